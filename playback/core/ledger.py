"""Ledger: what a reader has read and its listener has not heard yet.

A reader that confirms plays what it reads later, somewhere else. The ledger says what each of its samples was: a list
of spans, each of one utterance or of anything else (silence, the tail of a fade-out). A span ends where the next one
begins, and the last one goes on with each read, so a read that is only a copy has nothing to write down.

Places are positions, in samples read. A reader counts only what it has read since it attached and has not given back:
that is the same less an offset, which grows with each recall. Only :meth:`Ledger.add` adds, only :meth:`Ledger.hear`
moves on, only :meth:`Ledger.take_back` drops anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

from playback.utterance import Utterance


class _Clock(Protocol):
    position: int


class Span(NamedTuple):
    """Samples of one kind that were read one after the other."""

    start: int
    """The position of the first of them."""
    utterance: Utterance | None
    """Whose they are; None for what is no speech."""
    at: int
    """Which sample of the utterance the first one is."""


class Ledger:
    """What was read and not heard, in order.

    Args:
        clock: what has the position, in samples read.
    """

    __slots__ = ("_clock", "_offset", "_spans", "heard_speech", "heard_until")

    def __init__(self, clock: _Clock) -> None:
        self.heard_until = clock.position
        """The position up to which everything was heard or taken back."""
        self.heard_speech = False
        """Whether the last sample that was heard was speech, and nothing was taken back since."""
        self._clock: Final = clock
        self._offset = clock.position
        self._spans: Final[deque[Span]] = deque()

    @property
    def read(self) -> int:
        """What the reader has read: samples since it attached, without those that were taken back."""
        return self._clock.position - self._offset

    @property
    def heard(self) -> int:
        """How many of these its listener has heard."""
        return self.heard_until - self._offset

    def add(self, utterance: Utterance | None, at: int = 0) -> None:
        """Write down what the samples are that are read next, from a sample of an utterance on."""
        if not self.follows(utterance, at):
            self._spans.append(Span(self._clock.position, utterance, at))

    def follows(self, utterance: Utterance | None, at: int = 0) -> bool:
        """Whether this is what the samples are that are read next, without having to be written down."""
        if not self._spans:
            return utterance is None
        start, whose, begin = self._spans[-1]
        return whose is utterance and (utterance is None or begin + self._clock.position - start == at)

    @property
    def holds_speech(self) -> bool:
        """Whether samples of any utterance were read and not heard."""
        return next(self._unheard(), None) is not None

    def holds(self, utterance: Utterance) -> bool:
        """Whether samples of an utterance were read and not heard."""
        return any(whose is utterance for whose, _, _ in self._unheard())

    def holds_others(self, utterance: Utterance) -> bool:
        """Whether samples of any other utterance were."""
        return any(whose is not utterance for whose, _, _ in self._unheard())

    def hear(self, samples: int) -> Iterator[tuple[Utterance, int]]:
        """Move on until so many samples were heard, as the reader counts.

        Yields:
            Each utterance of which some were heard, and where in it that ends; in the order in which they were.
        """
        until = samples + self._offset
        while self.heard_until < until:
            span = self._spans[0] if self._spans else None
            if span is None or self.heard_until < span.start:  # what was read before anything was written down
                self.heard_until = until if span is None else min(until, span.start)
                self.heard_speech = False
                continue
            end = self._end(0)
            self.heard_until = min(until, end)
            self.heard_speech = span.utterance is not None
            if self.heard_until == end and len(self._spans) > 1:
                self._spans.popleft()  # the last one goes on
            if span.utterance is not None:
                yield span.utterance, span.at + self.heard_until - span.start

    def take_back(self) -> dict[Utterance, int]:
        """Drop all that was not heard.

        Returns:
            Where each utterance of it goes back to.
        """
        taken: dict[Utterance, int] = {}
        for utterance, at, _ in self._unheard():
            taken.setdefault(utterance, at)
        self._offset += self._clock.position - self.heard_until
        self.heard_until = self._clock.position
        self.heard_speech = False
        self._spans.clear()
        return taken

    def _unheard(self) -> Iterator[tuple[Utterance, int, int]]:
        """The speech that was not heard: whose it is, from which sample on, and how many."""
        for number, (start, utterance, at) in enumerate(self._spans):
            begin, end = max(start, self.heard_until), self._end(number)
            if utterance is not None and begin < end:
                yield utterance, at + begin - start, end - begin

    def _end(self, number: int) -> int:
        """Where a span ends."""
        following = number + 1
        return self._spans[following].start if following < len(self._spans) else self._clock.position
