"""KnownWords: what is known of when the words of an utterance sound, and what was heard by that.

An utterance is over when it has been played or dropped. What is known of its words may still grow for a moment: word
times arrive late, or correct earlier ones. So a report keeps this object, and asks it anew, until it is final.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from itertools import compress, takewhile, zip_longest
from statistics import fmean
from typing import Any, Final, Literal, NamedTuple, Protocol
from weakref import ref

from playback.audio.clip import Mark
from playback.audio.envelope import Envelope
from playback.words.estimate import USUAL_RATE, Sound, estimate, speaking_rate
from playback.words.heard import heard_of, heard_words
from playback.words.word import Word

HeardFrom = Literal["completed", "marks", "alignment", "estimate"]
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
    sample_rate: int
    """Of the samples."""


class SpeakingRate:
    """How fast the speech of one controller is, by what it has said so far."""

    def __init__(self) -> None:
        self._rates: deque[float] = deque(maxlen=_SAID)
        self._said: deque[tuple[str, Envelope]] = deque(maxlen=_SAID)

    def has_said(self, text: str, envelope: Envelope) -> None:
        """It has said a text to its end; that is looked at when it is needed."""
        self._said.append((text, envelope))

    @property
    def rate(self) -> float:
        """Units of length in a second of speech."""
        while self._said:
            text, envelope = self._said.popleft()
            rate = speaking_rate(text, Sound(envelope.windows(), envelope.seconds, 0.0, True))
            if rate is not None:
                self._rates.append(rate)
        return fmean([USUAL_RATE, *self._rates]) if self._rates else USUAL_RATE


class Heard(NamedTuple):
    """What was heard, and how that is known."""

    text: str | None = None
    source: HeardFrom | None = None


_SAID: Final = 8
"""By how many utterances it is known how fast the speech is."""


class KnownWords:
    """What is known of the words of one utterance.

    Args:
        marks: all of its marks, by position; the list itself, for it may grow.
        played: what became of it.
    """

    __slots__ = (
        "_aligned",
        "_alignment",
        "_clock",
        "_covers",
        "_deadline",
        "_heard",
        "_rate",
        "_taken",
        "envelope",
        "marks",
        "played",
    )

    def __init__(self, marks: list[Mark], played: Played, heard: Heard | None = None) -> None:
        self.marks = marks
        self.played = played
        self.envelope: Envelope | None = None
        self._alignment: Future[list[Word]] | None = None
        self._aligned: list[Word] = []
        self._taken: Future[list[Word]] | None = None
        self._clock: ref[Clock] | None = None
        self._deadline = 0
        self._heard = heard
        self._rate: SpeakingRate | None = None
        self._covers: bool | None = None

    def __copy__(self) -> KnownWords:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> KnownWords:
        return self  # what becomes known of an utterance is the same for all copies of its report

    def __reduce__(self) -> tuple[Any, ...]:
        """What is pickled is final: nothing more becomes known to it."""
        return KnownWords, ([*self.marks], self.played, self.heard)

    def estimate_by(self, envelope: Envelope, rate: SpeakingRate) -> None:
        """Estimate what was heard, while no words are known.

        Args:
            envelope: how loud all of its audio was.
            rate: how fast the speech is.
        """
        self.envelope, self._rate = envelope, rate

    def align_by(self, alignment: Future[list[Word]]) -> None:
        """Go by an alignment, once it is there."""
        self._alignment = alignment

    def takes(self, alignment: Future[list[Word]]) -> bool:
        """Take an alignment that is there; False if it has come too late."""
        if alignment is self._alignment and self.is_open:
            self._take_alignment()
            return True
        return self._taken is alignment

    @property
    def is_aligning(self) -> bool:
        """Whether an alignment is under way that still counts."""
        return self._alignment is not None and not self._alignment.done() and self.is_open

    def stay_open(self, clock: Clock, samples: int) -> None:
        """Take what becomes known while so many samples are read from now on."""
        if samples:
            self._clock, self._deadline = ref(clock), clock.position + samples

    def close(self) -> None:
        """Take no more: what is known now is final."""
        self._take_alignment()
        alignment, self._clock, self._alignment = self._alignment, None, None
        if alignment is not None:
            alignment.cancel()  # one that has not begun need not begin any more

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
            self.close()
        return self._clock is not None

    @property
    def is_certain(self) -> bool:
        """Whether what was heard is certain, whatever becomes known: all of the text, or nothing."""
        text, samples, completed, *_ = self.played
        return not samples or (text is not None and completed)

    @property
    def has_words(self) -> bool:
        """Whether there are words among the marks."""
        return any(isinstance(mark.payload, str) for mark in self.marks)

    @property
    def covers_cut(self) -> bool:
        """Whether the words that are known reach beyond what was played, or are all of the text."""
        self._take_alignment()
        if self._covers is None:
            self._covers = self._find_cover()
        return self._covers

    @property
    def heard(self) -> Heard:
        """What was heard, by what is known now."""
        is_open = self.is_open
        self._take_alignment()
        if self._heard is None:
            self._heard = self._find_heard()
        if not is_open:
            self.envelope = self._rate = None
        return self._heard

    def _take_alignment(self) -> None:
        """See whether the alignment is there; one that has failed counts as none."""
        alignment = self._alignment
        if alignment is not None and alignment.done():
            self._alignment, self._taken = None, alignment
            if not alignment.cancelled() and alignment.exception() is None:
                self._aligned = alignment.result()
                self.changed()

    def _find_cover(self) -> bool:
        text, samples, completed, *_ = self.played
        if completed or not samples:
            return True
        words = [mark for mark in self.marks if isinstance(mark.payload, str)]
        if not words:
            return text is None or bool(self._aligned)
        last = max(mark.at if mark.until is None else mark.until for mark in words)
        return last > samples or any(mark.at >= samples for mark in words) or self.heard.text == text

    def _find_heard(self) -> Heard:
        text, samples, completed, *_ = self.played
        if text is not None and not samples:
            return Heard("", "marks")  # nothing of it has sounded, however it ended
        if text is not None and completed:
            return Heard(text, "completed")
        words = [(mark.payload, mark.at, mark.until) for mark in self.marks if isinstance(mark.payload, str)]
        if words:
            return Heard(self._of_words(words), "marks")
        if text is None:
            return Heard()
        if self._aligned:
            rate = self.played.sample_rate
            times = [(word, start * rate, None if end is None else end * rate) for word, start, end in self._aligned]
            return Heard(self._of_words(times, follows=False), "alignment")
        return self._estimated(text)

    def _estimated(self, text: str) -> Heard:
        """What was heard, by the share of the speech that was played."""
        if self.envelope is None or self._rate is None:
            return Heard()
        _, samples, _, ended, sample_rate = self.played
        sound = Sound(self.envelope.windows(), self.envelope.seconds, samples / sample_rate, ended)
        return Heard(estimate(text, sound, USUAL_RATE if ended else self._rate.rate), "estimate")

    def _of_words(self, words: Sequence[tuple[str, float, float | None]], *, follows: bool = True) -> str:
        """What was heard by the times of words.

        Args:
            words: the text and both times of each, in samples.
            follows: whether a word without an end lasts until the next one.
        """
        text, samples, completed, ended, _ = self.played
        ended |= not follows  # the words that are aligned are spelled as the text is
        spoken = [word for word, _, _ in words]
        starts = [start for _, start, _ in words]
        following = starts[1:] if follows else []
        ends = [after if until is None else until for (*_, until), after in zip_longest(words, following)]
        played = [completed or (end is not None and 0 < samples >= end) for end in ends]
        count = sum(1 for _ in takewhile(bool, played))
        if text is None:
            others = list(compress(spoken, played))  # words may overlap: one that begins later may end first
            return heard_words(spoken, count) if count == len(others) else heard_words(others, len(others))
        return heard_of(text, spoken, count, is_final=ended)


def least_certain(sources: Iterable[HeardFrom | None]) -> HeardFrom | None:
    """The least certain way of knowing; None if there is none."""
    order: tuple[HeardFrom, ...] = ("estimate", "alignment", "marks", "completed")
    known = {source for source in sources if source is not None}
    return next((source for source in order if source in known), None)
