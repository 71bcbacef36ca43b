"""KnownWords: what is known of when the words of an utterance sound, and what was heard by that.

An utterance is over when it has been played or dropped. What is known of its words may still grow for a moment: word
times arrive late, or correct earlier ones. So a report keeps this object, and asks it anew, until it is final.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress, takewhile, zip_longest
from typing import Any, Literal, NamedTuple, Protocol
from weakref import ref

from playback.audio.clip import Mark
from playback.words.heard import heard_of, heard_words

HeardFrom = Literal["completed", "marks"]
"""How it is known what was heard."""


class Clock(Protocol):
    """What has the position of a playout."""

    position: int


class Played(NamedTuple):
    """What became of an utterance."""

    text: str | None
    """What it was to say."""
    samples: int
    """How much of it was played."""
    completed: bool
    """Whether all that it was to say was played: its producer said so itself."""
    ended: bool
    """Whether all of its audio had arrived."""


class Heard(NamedTuple):
    """What was heard, and how that is known."""

    text: str | None = None
    source: HeardFrom | None = None


class KnownWords:
    """What is known of the words of one utterance.

    Args:
        marks: all of its marks, by position; the list itself, for it may grow.
        played: what became of it.
    """

    __slots__ = ("_clock", "_covers", "_deadline", "_heard", "marks", "played")

    def __init__(self, marks: list[Mark], played: Played) -> None:
        self.marks = marks
        self.played = played
        self._clock: ref[Clock] | None = None
        self._deadline = 0
        self._heard: Heard | None = None
        self._covers: bool | None = None

    def __copy__(self) -> KnownWords:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> KnownWords:
        return self  # what becomes known of an utterance is the same for all copies of its report

    def __reduce__(self) -> tuple[Any, ...]:
        """What is pickled is final: nothing more becomes known to it."""
        return KnownWords, ([*self.marks], self.played)

    def stay_open(self, clock: Clock, samples: int) -> None:
        """Take what becomes known while so many samples are read from now on."""
        if samples:
            self._clock, self._deadline = ref(clock), clock.position + samples

    def close(self) -> None:
        """Take no more: what is known now is final."""
        self._clock = None

    def changed(self) -> None:
        """Something has become known."""
        self._heard = self._covers = None

    @property
    def is_open(self) -> bool:
        """Whether more may become known."""
        if self._clock is None:
            return False
        clock = self._clock()
        if clock is None or clock.position >= self._deadline:
            self._clock = None
        return self._clock is not None

    @property
    def is_certain(self) -> bool:
        """Whether what was heard is certain, whatever becomes known: all of the text, or nothing."""
        text, samples, completed, _ = self.played
        return text is not None and (completed or not samples)

    @property
    def has_words(self) -> bool:
        """Whether there are words among the marks."""
        return any(isinstance(mark.payload, str) for mark in self.marks)

    @property
    def covers_cut(self) -> bool:
        """Whether the words that are known reach beyond what was played, or are all of the text."""
        if self._covers is None:
            self._covers = self._find_cover()
        return self._covers

    @property
    def heard(self) -> Heard:
        """What was heard, by what is known now."""
        if self._heard is None:
            self._heard = self._find_heard()
        return self._heard

    def _find_cover(self) -> bool:
        text, samples, completed, _ = self.played
        if completed or not samples:
            return True
        words = [mark for mark in self.marks if isinstance(mark.payload, str)]
        if not words:
            return text is None
        last = max(mark.at if mark.until is None else mark.until for mark in words)
        return last > samples or any(mark.at >= samples for mark in words) or self.heard.text == text

    def _find_heard(self) -> Heard:
        text, samples, completed, _ = self.played
        if text is not None and not samples:
            return Heard("", "marks")  # nothing of it has sounded, however it ended
        if text is not None and completed:
            return Heard(text, "completed")
        words = [(mark.payload, mark.at, mark.until) for mark in self.marks if isinstance(mark.payload, str)]
        return Heard(self._of_words(words), "marks") if words else Heard()

    def _of_words(self, words: Sequence[tuple[str, int, int | None]]) -> str:
        """What was heard by the times of words: the text and both times of each, in samples."""
        text, samples, completed, ended = self.played
        spoken = [word for word, _, _ in words]
        starts = [start for _, start, _ in words]
        ends = [after if until is None else until for (*_, until), after in zip_longest(words, starts[1:])]
        played = [completed or (end is not None and 0 < samples >= end) for end in ends]
        count = sum(1 for _ in takewhile(bool, played))
        if text is None:
            others = list(compress(spoken, played))  # words may overlap: one that begins later may end first
            return heard_words(spoken, count) if count == len(others) else heard_words(others, len(others))
        return heard_of(text, spoken, count, is_final=ended)


def least_certain(sources: Iterable[HeardFrom | None]) -> HeardFrom | None:
    """The least certain way of knowing; None if there is none."""
    order: tuple[HeardFrom, ...] = ("marks", "completed")
    known = {source for source in sources if source is not None}
    return next((source for source in order if source in known), None)
