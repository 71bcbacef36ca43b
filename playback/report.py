"""UtteranceReport: what became of an utterance, and what was heard of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property
from itertools import compress, zip_longest
from typing import Any, Final, Literal
from unicodedata import category

from playback._json import jsonable
from playback.audio.clip import Mark

_ANCHOR: Final = 3
"""How many letters in a row have to be alike to take a piece of text for what was said."""

_AHEAD: Final = 400
"""How many letters beyond a word are looked at to find its place."""


HeardFrom = Literal["completed", "marks"]
"""How it is known what was heard."""


class Outcome(StrEnum):
    """How an utterance ended."""

    COMPLETED = "completed"
    """Its producer ended it, and all of it was played."""
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

    def __repr__(self) -> str:
        shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
        return f"{type(self).__qualname__}({shown}, heard={self.heard!r}, heard_from={self.heard_from!r})"

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it; marks as ``[at, until, payload]``, positions in samples."""
        plain = {field.name: jsonable(getattr(self, field.name)) for field in fields(self)}
        marks = [[mark.at, mark.until, jsonable(mark.payload)] for mark in self.marks]
        return plain | {"marks": marks, "heard": self.heard, "heard_from": self.heard_from}

    @property
    def heard_from(self) -> HeardFrom | None:
        """How :attr:`heard` is known: all of it was played (``completed``), or from word times (``marks``).

        None where ``heard`` is None.
        """
        if self.outcome is Outcome.COMPLETED and self.text is not None:
            return "completed"
        return "marks" if any(isinstance(mark.payload, str) for mark in self.marks) else None

    @cached_property
    def heard(self) -> str | None:
        """What was heard: ``text`` up to the last word that was played to its end.

        Words are the marks whose payload is a string. Without a text they are joined; on completion it is all of the
        text; without words to tell by it is None. Words are found in the text by their letters and digits, so spaces,
        punctuation, parts of words and single characters are all the same to it; what is spelled otherwise ("8" for
        "eight") is aligned by what stands around it. It is worked out when it is first asked for.
        """
        completed = self.outcome is Outcome.COMPLETED
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


def _join(words: list[str]) -> str:
    """Words side by side; synthesis that counts spaces among its words tells them itself."""
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
