"""PlayoutQueue: the utterances in the order in which they play, and how much they hold.

It is the only place that says who is before whom, who is still open, and what waits for room. It decides nothing: what
follows from a head that is over is for the chart to say.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from playback.core.limits import Limits
from playback.utterance import Utterance

_FREED_AT_ONCE: Final = 64
"""How many chunks one read or push frees: few enough to cost nothing, and more than one of either usually adds."""


class PlayoutQueue:
    """The utterances in the order in which they play; the first one is the head.

    Args:
        limits: how much may be buffered.
    """

    __slots__ = ("_gone", "_limits", "_open", "_released", "accepted", "utterances", "writers")

    def __init__(self, limits: Limits) -> None:
        self.utterances: Final[deque[Utterance]] = deque()
        self.accepted = 0
        """Samples of all utterances there ever were."""
        self.writers: Final[list[Utterance]] = []
        """Those with a write that waits for room."""
        self._limits: Final = limits
        self._open: Final[set[Utterance]] = set()
        self._gone = 0
        self._released: Final[list[deque[Any]]] = []

    @property
    def head(self) -> Utterance | None:
        """The utterance that plays, or will play next."""
        return self.utterances[0] if self.utterances else None

    @property
    def buffered(self) -> int:
        """Samples that were accepted and are neither played nor discarded."""
        return self.accepted - self._gone - (self.utterances[0].played if self.utterances else 0)

    @property
    def any_open(self) -> bool:
        """Whether more audio may come for an utterance in the queue."""
        return bool(self._open)

    @property
    def is_clean(self) -> bool:
        """Whether everything that was dropped is freed."""
        return not self._released

    def append(self, utterance: Utterance) -> None:
        """Put an utterance behind all others."""
        self.utterances.append(utterance)
        if not utterance.ended:
            self._open.add(utterance)

    def end_input(self, utterance: Utterance) -> None:
        """Note that no more audio comes for an utterance."""
        self._open.discard(utterance)

    def remove(self, utterance: Utterance) -> None:
        """Take an utterance out, with whatever it still holds."""
        if utterance in self.utterances:
            self.utterances.remove(utterance)
            self._gone += utterance.accepted
        self._open.discard(utterance)
        self._released.extend(held for held in utterance._clip.buffer.release() if held)

    def clean(self) -> None:
        """Free some of what was dropped.

        Freeing ten minutes of audio in small chunks takes milliseconds, so an interrupt puts it aside, and each read
        and each push frees a little.
        """
        for _ in range(_FREED_AT_ONCE):
            if not self._released:
                break
            held = self._released[-1]
            held.pop()
            if not held:
                self._released.pop()

    def has_room(self, utterance: Utterance, samples: int, read_size: int) -> bool:
        """Whether so many samples can be taken, and no more than the high water has to be played before them.

        What plays after this utterance does not count: it would wait for room that only its own end can make. For the
        same reason there is nothing to wait for once nothing plays before them.
        """
        before = 0
        for other in self.utterances:
            before += other.accepted - other.played
            if other is utterance:
                break
        fits = self.buffered + samples <= self._limits.maximum
        # Less than a read's worth would never start.
        enough = max(self._limits.high_water, read_size)
        return not before or (fits and before <= enough)

    def wake_writers(self, read_size: int) -> None:
        """Let the writes go on for which there is room now."""
        for utterance in list(self.writers):
            if self.has_room(utterance, 0, read_size):
                utterance.room.open()
