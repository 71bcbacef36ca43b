"""Word: a piece of text and the time at which it sounds."""

from __future__ import annotations

from typing import NamedTuple

from playback._checks import check_seconds, check_type


class Word(NamedTuple):
    """A word and its time, in seconds; the origin of the times depends on the synthesizer."""

    text: str
    start: float
    end: float | None = None


def check_word(word: object) -> Word:
    """The word, if it is one.

    Raises:
        TypeError: it is none, or its text or a time is of another type.
        ValueError: a time that is negative or not finite, or an end before the start.
    """
    if not isinstance(word, Word):
        raise TypeError(f"the word is {word!r}, expected a playback.words.Word")
    check_type("the word's text", word.text, str)
    check_seconds("the word's start", word.start)
    if word.end is not None:
        check_seconds("the word's end", word.end)
        if word.end < word.start:
            raise ValueError(f"the word is {word!r}, expected an end at or after its start")
    return word
