"""FastPaths: where the next push or read may go without looking at anything else.

Most pushes append a frame, and most reads copy one, in a leaf in which neither changes anything. This is the only
place that decides whether that holds. It is computed from the state alone, after each command and each read, so nothing
has to be invalidated by whoever changes the state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from playback.audio.buffer import SampleBuffer
from playback.chart import FLOWS, PAUSED, SOUNDS, WAITS
from playback.core.drain import Drain
from playback.core.observer import Observers
from playback.core.playhead import Playhead, Silence
from playback.core.queue import PlayoutQueue
from playback.utterance import Utterance
from statecharts.machine import Session


class Interruption:
    """What a read meets in place of audio, where what a listener has raised has to go on: it raises it, once.

    Args:
        error: what to raise.
        over: called before.
    """

    def __init__(self, error: BaseException, over: Callable[[], object]) -> None:
        self._error: Final = error
        self._over: Final = over

    def fill(self, out: memoryview) -> bool:
        """Raise it; nothing is filled, and nothing has been read."""
        del out
        self._over()
        raise self._error


class FastPaths:
    """The two fast paths of a playout.

    Args:
        session: the leaf.
        queue: the utterances.
        playhead: where reading stands.
        observers: while one of them sees everything, both paths are closed.
        drain: while anybody waits there, the path of reads is closed.
    """

    __slots__ = (
        "_drain",
        "_interruptions",
        "_observers",
        "_playhead",
        "_pushed",
        "_pushed_in",
        "_queue",
        "_session",
        "push",
        "read",
        "reads",
        "taps_input",
    )

    def __init__(
        self, session: Session, queue: PlayoutQueue, playhead: Playhead, observers: Observers, drain: Drain
    ) -> None:
        self.push: Utterance | None = None
        """Whose plain bytes may be appended, and nothing else changes."""
        self.read: SampleBuffer | Silence | Interruption | None = None
        """What the next frame may be copied from, and nothing else changes."""
        self.reads: Utterance | None = None
        """Whose samples these are, if they are anybody's."""
        self.taps_input = False
        """Whether a sink has to see each push."""
        self._session: Final = session
        self._queue: Final = queue
        self._playhead: Final = playhead
        self._observers: Final = observers
        self._drain: Final = drain
        self._pushed: Utterance | None = None
        self._pushed_in = ""
        self._interruptions: Final[deque[Interruption]] = deque()

    def set_taps_input(self, taps_input: bool) -> None:
        """Say whether a sink has to see each push."""
        self.taps_input = taps_input
        self.refresh()

    def repeats(self, utterance: Utterance, leaf: str) -> bool:
        """Whether a push is the same edge again that the last one was, one that stays: it takes no step then."""
        if utterance is not self._pushed or leaf != self._pushed_in or leaf not in FLOWS or self._observers.everything:
            return False
        self.push = utterance if not self.taps_input and self._takes_plain(utterance) else None
        return True

    def pushed(self, utterance: Utterance, leaf: str) -> None:
        """Remember whose push was the last one, and the leaf in which it stayed: the next one may be fast there.

        That is all that a push changes, in a leaf where it changes nothing but what is buffered.
        """
        self._pushed, self._pushed_in = utterance, leaf
        self._refresh_push()

    def refresh(self) -> None:
        """Compute both paths from the state."""
        self._refresh_push()
        leaf = self._session.leaf
        turn = self._queue.open_turn
        # Each read counts for the input timeout of a turn without a place, and for whoever waits for silence.
        waits = self._drain.waiting or (turn is not None and not turn._placed)
        self.read = self.reads = None
        if leaf not in WAITS and not self._observers.everything and not self._queue.writers and not waits:
            sounds = leaf in SOUNDS
            self.read = self._playhead.source(sounds=sounds, paused=leaf in PAUSED)
            if sounds and self.read is not None:
                self.reads = self._queue.head
            ledger = self._playhead.ledger
            if ledger is not None:
                at = 0 if self.reads is None else self.reads._clip.buffer.cursor
                if not ledger.follows(self.reads, at):
                    self.read = self.reads = None  # what is read has to be written down
        if self._interruptions:
            self.read, self.reads = self._interruptions[0], None

    def raise_at_read(self, error: BaseException) -> None:
        """Have the next read raise this, before it does anything: no loop runs to which it could go on.

        What is raised before that read comes goes on to the reads after it, one each.
        """
        self._interruptions.append(Interruption(error, self._is_raised))
        self.refresh()

    def _is_raised(self) -> None:
        self._interruptions.popleft()
        self.refresh()

    def _refresh_push(self) -> None:
        leaf, utterance = self._session.leaf, self._pushed
        self.push = None
        if utterance is not None and utterance.ended:
            utterance = self._pushed = None
        if utterance is None or leaf != self._pushed_in or leaf not in FLOWS:
            return
        if not self._observers.everything and not self.taps_input and self._takes_plain(utterance):
            self.push = utterance

    def _takes_plain(self, utterance: Utterance) -> bool:
        buffer = utterance._clip.buffer
        plain = buffer.takes_plain(utterance.format) and not buffer.ended
        return plain and not utterance._partial and self._queue.is_clean
