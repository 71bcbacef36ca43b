"""UtteranceReport: what became of an utterance, and what was heard of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property
from itertools import compress, zip_longest
from typing import Any, Final, Literal
from unicodedata import category

from playback._json import jsonable, message_of
from playback.audio.clip import Mark

_ANCHOR: Final = 3
"""How many letters in a row have to be alike to take a piece of text for what was said."""

_AHEAD: Final = 400
"""How many letters beyond a word are looked at to find its place."""


HeardFrom = Literal["completed", "marks"]
"""How it is known what was heard."""


class InputTimeout(TimeoutError):  # noqa: N818 - as TimeoutError
    """A producer has sent nothing for too long."""


class Outcome(StrEnum):
    """How an utterance or a turn ended."""

    COMPLETED = "completed"
    """Its producer ended it, and all of it was played."""
    FAILED = "failed"
    """Its producer broke, or sent nothing for too long; what had arrived was played."""
    INTERRUPTED = "interrupted"
    """An interrupt or a cancel dropped it, a lock ended it before its producer did, or audio of it was refused."""
    CLOSED = "closed"
    """The controller was closed."""


@dataclass(frozen=True, repr=False)
class UtteranceReport:
    """What was really played of an utterance. Counts are samples at the output rate."""

    id: str
    outcome: Outcome
    accepted: int
    """Samples that were pushed and taken."""
    played: int
    """Samples that were handed out, each counted once."""
    discarded: int
    """Samples that were taken and will never be played."""
    refused: int
    """Samples that were pushed and turned away until it finished."""
    text: str | None
    """What it was to say."""
    marks: tuple[Mark, ...] = field(default=(), repr=False)
    """Its marks, by position."""
    error: BaseException | None = None
    """Why it failed: what its producer raised, or :class:`InputTimeout`. An utterance that an input timeout was let
    complete has one, too."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
        return f"{type(self).__qualname__}({shown}, heard={self.heard!r}, heard_from={self.heard_from!r})"

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it; marks as ``[at, until, payload]``, positions in samples."""
        plain = {field.name: jsonable(getattr(self, field.name)) for field in fields(self) if field.name != "error"}
        marks = [[mark.at, mark.until, jsonable(mark.payload)] for mark in self.marks]
        known = {"heard": self.heard, "heard_from": self.heard_from}
        return plain | {"marks": marks, "error": error_as_dict(self.error)} | known

    @property
    def heard_from(self) -> HeardFrom | None:
        """How :attr:`heard` is known: all of it was played (``completed``), or from word times (``marks``).

        Where nothing was played, no word time is needed to know that nothing was heard; that counts as ``marks``, too.
        None where ``heard`` is None.
        """
        if self.text is not None and not self.played:
            return "marks"
        if self._is_whole and self.text is not None:
            return "completed"
        return "marks" if any(isinstance(mark.payload, str) for mark in self.marks) else None

    @property
    def _is_whole(self) -> bool:
        """Whether all that it was to say was played: its producer said so itself."""
        return self.outcome is Outcome.COMPLETED and self.error is None

    @cached_property
    def heard(self) -> str | None:
        """What was heard: ``text`` up to the last word that was played to its end.

        Words are the marks whose payload is a string. Without a text they are joined. On completion it is all of the
        text, where nothing was played it is empty, and without words to know it by it is None. Words are found in the
        text by their letters and digits, so spaces, punctuation, parts of words and single characters make no
        difference; what is spelled otherwise ("8" for "eight") is aligned by what stands around it. It is computed
        when it is first asked for.
        """
        if self.text is not None and not self.played:
            return ""  # nothing of it has sounded, however it ended
        completed = self._is_whole
        if completed and self.text is not None:
            return self.text
        words = [(mark.payload, mark.at, mark.until) for mark in self.marks if isinstance(mark.payload, str)]
        if not words:
            return None
        spoken = [word for word, _, _ in words]
        starts = [start for _, start, _ in words]
        ends = [after if until is None else until for (*_, until), after in zip_longest(words, starts[1:])]
        played = [completed or (end is not None and 0 < self.played >= end) for end in ends]
        if self.text is None:
            return _join(list(compress(spoken, played)))
        last = max((index for index, was in enumerate(played, 1) if was), default=0)
        return self.text[: _end_of(last, spoken, self.text)]


@dataclass(frozen=True, repr=False)
class TurnReport:
    """What was really played of a turn. Counts are samples at the output rate."""

    id: str
    outcome: Outcome
    """The worst of its own end and of its utterances': closed, interrupted, failed, completed."""
    utterances: tuple[UtteranceReport, ...]
    """Of its utterances, in the order in which they finished."""
    error: BaseException | None = None
    """The first thing that went wrong."""
    gaps: tuple[float, ...] = ()
    """The silences between its first and its last audible sample in which it had nothing to play, in seconds."""
    first_audio_seconds: float | None = None
    """From its beginning to its first audible sample, in samples read; None if there was none."""

    @property
    def text(self) -> str | None:
        """What it was to say: the texts of its utterances, joined by spaces; None if none has a text."""
        return _joined(report.text for report in self.utterances)

    @property
    def heard(self) -> str | None:
        """What was heard of it: what was heard of its utterances, joined by spaces; None if that is not known."""
        return _joined(report.heard for report in self.utterances)

    @property
    def accepted(self) -> int:
        """Samples that were pushed and taken."""
        return sum(report.accepted for report in self.utterances)

    @property
    def played(self) -> int:
        """Samples that were handed out."""
        return sum(report.played for report in self.utterances)

    @property
    def discarded(self) -> int:
        """Samples that were taken and will never be played."""
        return sum(report.discarded for report in self.utterances)

    def __repr__(self) -> str:
        return (
            f"TurnReport(id={self.id!r}, outcome={self.outcome!r}, heard={self.heard!r}, played={self.played},"
            f" discarded={self.discarded}, utterances={len(self.utterances)}, error={self.error!r}, gaps={self.gaps},"
            f" first_audio_seconds={self.first_audio_seconds})"
        )

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return {
            "id": self.id,
            "outcome": self.outcome.value,
            "text": self.text,
            "heard": self.heard,
            "played": self.played,
            "discarded": self.discarded,
            "error": error_as_dict(self.error),
            "gaps": list(self.gaps),
            "first_audio_seconds": self.first_audio_seconds,
            "utterances": [report.as_dict() for report in self.utterances],
        }


def error_as_dict(error: BaseException | None) -> dict[str, str] | None:
    """An exception as JSON can hold it: its type and its message."""
    return None if error is None else {"type": type(error).__qualname__, "message": message_of(error)}


def _joined(texts: Iterable[str | None]) -> str | None:
    """Texts joined by spaces; empty ones add none. None if there is not one."""
    known = [text for text in texts if text is not None]
    return " ".join(text for text in known if text) if known else None


def _join(words: list[str]) -> str:
    """Words side by side; synthesis that counts spaces among its words gives them itself."""
    spaced = any(word != word.strip() for word in words)
    return ("" if spaced else " ").join(words).strip()


def _letters(text: str) -> list[tuple[str, int]]:
    """What a text is recognized by: its letters and digits, each with where it ends in the text."""
    return [
        (letter, end)
        for end, character in enumerate(text, 1)
        for letter in character.casefold()
        if letter.isalnum() or category(letter).startswith("M")
    ]


def _end_of(count: int, words: list[str], text: str) -> int:
    """Where the first words end in a text.

    Args:
        count: how many words were heard.
        words: all words there are, heard or not: they align what is spelled otherwise.
        text: the text.
    """
    spelled = ["".join(letter for letter, _ in _letters(word)) for word in words]
    heard, said = sum(map(len, spelled[:count])), "".join(spelled)
    letters = _letters(text)
    written = "".join(letter for letter, _ in letters)

    # Mostly the words are spelled as the text is, and this is all.
    same = next((at for at, pair in enumerate(zip(written, said, strict=False)) if pair[0] != pair[1]), len(said))
    position = min(heard, same, len(written))
    exact = heard <= same
    if not exact:
        ahead = heard - same
        near = written[same : same + 2 * ahead + _AHEAD], said[same : heard + _AHEAD]
        for i, j, size in SequenceMatcher(None, *near, autojunk=False).get_matching_blocks():
            if size >= _ANCHOR and j <= ahead and not exact:
                position = same + i + min(size, ahead - j)
                exact = ahead <= j + size
    end = letters[position - 1][1] if position else 0
    # Rather a word too few than one that was not heard.
    while not exact and 0 < end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end -= 1
    return len(text[:end].rstrip())
