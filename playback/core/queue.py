"""PlayoutQueue: the turns and their utterances in the order in which they play, and how much they hold.

What is read, and what is heard, is at the same place, unless the reader confirms. Then the head is the utterance that
is to be read, and those before it that were read to their end wait to be heard; the front is the first of all.

It is the only place that says who is before whom, who is still open, and what waits for room. It decides nothing: what
follows from a head that is over is for the chart to say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

from playback.audio.envelope import Envelope
from playback.core.limits import Limits
from playback.turn import Turn
from playback.utterance import Utterance

_FREED_AT_ONCE: Final = 64
"""How many chunks one read or push frees: few enough to cost nothing, and more than one of either usually adds."""


class PlayoutQueue:
    """The turns in the order in which they play, each with its utterances.

    The first utterance of the first turn is the head.

    Args:
        limits: how much may be buffered.
    """

    __slots__ = ("_gone", "_limits", "_open", "_released", "accepted", "open_turn", "turns", "unheard", "writers")

    def __init__(self, limits: Limits) -> None:
        self.turns: Final[deque[Turn]] = deque()
        """Those that are not read to their end."""
        self.unheard: Final[deque[Utterance]] = deque()
        """The utterances before the head: read to their end, and still to be heard."""
        self.accepted = 0
        """Samples of all utterances there ever were."""
        self.open_turn: Turn | None = None
        """The turn that may take more utterances, whether or not it has its place yet."""
        self.writers: Final[list[Utterance]] = []
        """Those with a write that waits for room."""
        self._limits: Final = limits
        self._open: Final[set[Utterance]] = set()
        self._gone = 0
        self._released: Final[list[deque[Any] | Envelope]] = []

    @property
    def head(self) -> Utterance | None:
        """The utterance that plays, or will play next; None also where an open turn has nothing to play."""
        return self.turns[0]._utterances[0] if self.turns and self.turns[0]._utterances else None

    @property
    def front(self) -> Utterance | None:
        """The utterance that the listener hears, or will hear next; the head, unless one before it is still to be."""
        return self.unheard[0] if self.unheard else self.head

    @property
    def utterances(self) -> Iterator[Utterance]:
        """All utterances, in the order in which they play."""
        return chain(self.unheard, chain.from_iterable(turn._utterances for turn in self.turns))

    @property
    def buffered(self) -> int:
        """Samples that were accepted and are neither played nor discarded."""
        front = self.front
        return self.accepted - self._gone - (0 if front is None else front.played)

    @property
    def any_open(self) -> bool:
        """Whether more audio may come for what is in the queue."""
        return bool(self._open) or (self.open_turn is not None and self.open_turn._placed)

    @property
    def is_clean(self) -> bool:
        """Whether everything that was dropped is freed."""
        return not self._released

    def append(self, utterance: Utterance, turn: Turn) -> None:
        """Put an utterance behind those of its turn, and a turn that is new here behind all others.

        One that is to be first goes directly behind the head: within a turn that has its place behind that turn's first
        utterance, and as a new turn behind the first turn. Where what was read before is still to be heard, that is the
        head: one that has not begun comes after it, and so does a turn that has not.
        """
        if not turn._placed:
            turn._placed = True
            if utterance.first and self.turns:
                self.turns.insert(0 if self.unheard and self.turns[0]._started_at is None else 1, turn)
            else:
                self.turns.append(turn)
        place = None
        if utterance.first and turn._utterances:
            place = 0 if turn._unheard and not turn._utterances[0]._clip.begun else 1
        turn._enqueue(utterance, place)
        if not utterance.ended:
            self._open.add(utterance)

    def end_input(self, utterance: Utterance) -> None:
        """Note that no more audio comes for an utterance."""
        self._open.discard(utterance)

    def end_turn(self, turn: Turn) -> None:
        """Note that no more utterances come for a turn."""
        turn.is_open = False
        if self.open_turn is turn:
            self.open_turn = None

    def remove(self, utterance: Utterance, turn: Turn) -> None:
        """Take an utterance out, with whatever it still holds."""
        if utterance in turn._utterances:
            turn._utterances.remove(utterance)
            self._gone += utterance.accepted - utterance._clip.buffer.discarded
        elif utterance in self.unheard:
            self.unheard.remove(utterance)
            turn._unheard -= 1
            self._gone += utterance.accepted - utterance._clip.buffer.discarded
        self._open.discard(utterance)
        buffer = utterance._clip.buffer
        self._released.extend(held for held in buffer.release() if held)
        if buffer.envelope is not None and not buffer.envelope.is_complete:
            self._released.append(buffer.envelope)

    def pass_on(self) -> None:
        """The head was read to its end, and is still to be heard: the next one is the head."""
        turn = self.turns[0]
        self.unheard.append(turn._utterances.popleft())
        turn._unheard += 1
        if not turn.is_open and not turn._utterances:
            self.turns.popleft()

    def take_back(self) -> None:
        """Those that were read to their end are to be read again, in part: the first of them is the head."""
        while self.unheard:
            utterance = self.unheard.pop()
            turn: Turn = utterance._turn
            turn._utterances.appendleft(utterance)
            turn._unheard -= 1
            if turn not in self.turns:
                self.turns.appendleft(turn)

    def of_turn(self, turn: Turn) -> list[Utterance]:
        """The utterances of a turn that have a place."""
        return [*(utterance for utterance in self.unheard if utterance._turn is turn), *turn._utterances]

    def truncate(self, head: Utterance, end: int, beyond: int) -> bytes | None:
        """Drop what comes after a sample of the head, which takes no more audio; see :meth:`SampleBuffer.truncate`.

        Returns:
            The bytes of so many samples after it; None, and nothing is dropped, if what is to stay can't be played.
        """
        cut = head._clip.buffer.truncate(end, beyond)
        if cut is None:
            return None
        following, released = cut
        self._gone += head._clip.buffer.discarded
        self._released.extend(held for held in released if held)
        return following

    def remove_turn(self, turn: Turn) -> None:
        """Take out a turn of which nothing is left to be read."""
        if turn in self.turns:
            self.turns.remove(turn)

    def clean(self) -> None:
        """Free some of what was dropped.

        Freeing ten minutes of audio in small chunks takes milliseconds, so an interrupt puts it aside, and each read
        and each push frees a little.
        """
        left = _FREED_AT_ONCE
        while left > 0 and self._released:
            held = self._released[-1]
            if isinstance(held, Envelope):
                if held.is_complete:  # it is also looked at when somebody asks
                    held.windows()
                    self._released.pop()
                else:
                    left -= held.look_at_next()
                continue
            held.pop()
            left -= 1
            if not held:
                self._released.pop()

    def has_room(self, utterance: Utterance, samples: int, read_size: int) -> bool:
        """Whether a write of so many samples may go on.

        The head's may while less than the high water is there to be read, whatever waits behind it: what is behind it
        can only be played after it, so to wait for that would be to wait for ever. For the same reason it may while
        there is less than one read, however much a resampler holds back. The maximum binds only what is behind it.
        """
        # Less than a read's worth would never start.
        enough = max(self._limits.high_water, read_size)
        if utterance is self.head:
            buffer = utterance._clip.buffer
            return buffer.unread <= enough or buffer.available(read_size) < read_size
        before = 0
        for other in self.utterances:
            before += other.accepted - other.played
            if other is utterance:
                break
        return not self.buffered or (self.buffered + samples <= self._limits.maximum and before <= enough)

    def wake_writers(self, read_size: int) -> None:
        """Let the writes go on for which there is room now."""
        for utterance in list(self.writers):
            if self.has_room(utterance, 0, read_size):
                utterance.room.open()
