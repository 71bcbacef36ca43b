"""Lengths: how long words sound, in units of about a letter, from how they are written.

The figures were fitted to the words of 100 sentences in four voices of eSpeak NG and three of flite: they leave a
quarter of a word's mean length unexplained, letters alone 29 %. In scripts without letters for vowels, or without an
alphabet, what counts is that all words are measured alike.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from playback.words.tokens import Token, is_unspaced

_EACH: Final = 1.0
"""For a word, however short."""

_SHORT: Final = -0.75
"""For one of up to three letters: most are not stressed."""

_SYLLABLE: Final = 0.8
"""For each group of vowels, beyond its letters."""

_LAST: Final = 2.5
"""For the last word of a phrase: before a pause speech slows down."""

_DIGIT: Final = 5.0
"""For a digit, which is read as a word of its own or a part of one."""

_IDEOGRAM: Final = 3.5
"""For a character of a script without spaces, such as Chinese: a syllable, mostly."""

_VOWELS: Final = re.compile("[aeiouyаеиоуыэюяαεηιουω]+")
"""Of the alphabets that write vowels; without accents, for keys have none."""

_BREAK: Final = re.compile(r"[.,;:!?…—–()\n。，、！？；：।؟،]")
"""Where a text may have a pause, if it stands between two words."""


def lengths(text: str, written: list[Token]) -> list[float]:
    """How long each word of a text sounds."""
    last = {number - 1 for number in breaks(text, written)} | {len(written) - 1}
    return [_length(token.key) + _LAST * (number in last) for number, token in enumerate(written)]


def breaks(text: str, written: list[Token]) -> list[int]:
    """The words before which a text may have a pause, by their numbers."""
    pairs = enumerate(pairwise(written), 1)
    return [number for number, (one, other) in pairs if _BREAK.search(text, one.end, other.start)]


def _length(key: str) -> float:
    """How long a word sounds that is not the last one of a phrase."""
    letters = float(len(key)) if key.isascii() and key.isalpha() else sum(map(_of_character, key))
    return _EACH + letters + _SYLLABLE * len(_VOWELS.findall(key)) + _SHORT * (letters <= 3)


def _of_character(character: str) -> float:
    if character.isnumeric():
        return _DIGIT
    return _IDEOGRAM if is_unspaced(character) else 1.0
