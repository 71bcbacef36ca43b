"""FastPaths: where the next push or read may go without looking at anything else.

Most pushes append a frame, and most reads copy one, in a leaf in which neither changes anything. This is the only
place that decides whether that holds. It is computed from the state alone, after each command and each read, so nothing
has to be invalidated by whoever changes the state.
"""

from __future__ import annotations

from typing import Final

from playback.audio.buffer import SampleBuffer
from playback.chart import FLOWS, PAUSED, SOUNDS, WAITS
from playback.core.observer import Observers
from playback.core.playhead import Playhead, Silence
from playback.core.queue import PlayoutQueue
from playback.utterance import Utterance
from statecharts.machine import Session


class FastPaths:
    """The two fast paths of a playout.

    Args:
        session: the leaf.
        queue: the utterances.
        playhead: where reading stands.
        observers: while there are any, both paths are closed.
    """

    __slots__ = (
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

    def __init__(self, session: Session, queue: PlayoutQueue, playhead: Playhead, observers: Observers) -> None:
        self.push: Utterance | None = None
        """Whose plain bytes may be appended, and nothing else changes."""
        self.read: SampleBuffer | Silence | None = None
        """What the next frame may be copied from, and nothing else changes."""
        self.reads: Utterance | None = None
        """Whose samples these are, if they are anybody's."""
        self.taps_input = False
        """Whether a sink has to see each push."""
        self._session: Final = session
        self._queue: Final = queue
        self._playhead: Final = playhead
        self._observers: Final = observers
        self._pushed: Utterance | None = None
        self._pushed_in = ""

    def set_taps_input(self, taps_input: bool) -> None:
        """Say whether a sink has to see each push."""
        self.taps_input = taps_input
        self.refresh()

    def pushed(self, utterance: Utterance, leaf: str) -> None:
        """Remember whose push was the last one, and the leaf in which it stayed: the next one may be fast there."""
        self._pushed, self._pushed_in = utterance, leaf

    def refresh(self) -> None:
        """Compute both paths from the state."""
        leaf = self._session.leaf
        watched = bool(self._observers.all)
        self.refresh_push()
        self.read = self.reads = None
        if leaf not in WAITS and not watched and not self._queue.writers:
            sounds = leaf in SOUNDS
            self.read = self._playhead.source(sounds=sounds, paused=leaf in PAUSED)
            if sounds and self.read is not None:
                self.reads = self._queue.head

    def refresh_push(self) -> None:
        """Compute the path of pushes; enough after a push in a leaf where that changes only what is buffered."""
        self.push = None
        utterance = self._pushed
        if utterance is None:
            return
        leaf, buffer = self._session.leaf, utterance._clip.buffer
        if buffer.ended:
            self._pushed = None
        elif leaf in FLOWS and leaf == self._pushed_in and buffer.takes_plain(utterance.format):
            watched = self._observers.all or self.taps_input
            if not watched and not utterance._partial and self._queue.is_clean:
                self.push = utterance
