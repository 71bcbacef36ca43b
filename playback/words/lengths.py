"""Lengths: how long words sound, in units of about a letter, from how they are written.

The figures were fitted to the words of 100 sentences in four voices of eSpeak NG and three of flite: they leave a
quarter of a word's mean length unexplained, letters alone 29 %. In scripts without letters for vowels, or without an
alphabet, what counts is that all words are measured alike.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache
from itertools import pairwise
from typing import Final

from playback.words.numbers import spoken
from playback.words.tokens import Token, is_unspaced, without_markup

_EACH: Final = 1.0
"""For a word, however short."""

_SHORT: Final = -0.75
"""For one of up to three letters: most are not stressed."""

_SYLLABLE: Final = 0.8
"""For each group of vowels, beyond its letters."""

_LAST: Final = 2.5
"""For the last word of a phrase: before a pause speech slows down."""

_NAMED: Final = 3.5
"""For a letter that is named, as those of "FAQ" are."""

_ACRONYM: Final = 5
"""Up to how many capital letters are named."""

_NUMERAL: Final = 5.0
"""For a numeral that is not one of ASCII's digits."""

_IDEOGRAM: Final = 3.5
"""For a character of a script without spaces, such as Chinese: a syllable, mostly."""

_SYMBOLS: Final = {
    "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "₹": "rupees", "%": "percent", "°": "degrees", "@": "at",
    "&": "and", "+": "plus", "=": "equals",
}  # fmt: skip
"""Symbols that are mostly spoken, and as what in English; other languages take about as long."""

_MONEY: Final = frozenset("$€£¥₹")
_SYMBOL: Final = re.compile(f"[{''.join(_SYMBOLS)}]")
_NUMBER: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)*")

_VOWELS: Final = re.compile("[aeiouyаеиоуыэюяαεηιουω]+")
"""Of the alphabets that write vowels; without accents, for keys have none."""

_BREAK: Final = re.compile(r"[.,;:!?…—–()\n。，、！？；：।؟،]")
"""Where a text may have a pause, if it stands between two words."""


def lengths(text: str, written: list[Token]) -> list[float]:
    """How long each word of a text sounds, with the symbols beside it that are spoken."""
    if not written:
        return []
    found = [_of_token(text, token) for token in written]
    for number in {number - 1 for number in breaks(text, written)} | {len(written) - 1}:
        found[number] += _LAST
    starts = [token.start for token in written]
    for symbol in _SYMBOL.finditer(without_markup(text)):
        number = bisect_right(starts, symbol.start()) - 1
        if number < 0 or symbol.end() in starts[number + 1 : number + 2]:
            number += 1  # it stands in front of the next word
        found[number] += _of_word(_SYMBOLS[symbol[0]])
    return found


def breaks(text: str, written: list[Token]) -> list[int]:
    """The words before which a text may have a pause, by their numbers."""
    pairs = enumerate(pairwise(written), 1)
    return [number for number, (one, other) in pairs if _BREAK.search(text, one.end, other.start)]


def _of_token(text: str, token: Token) -> float:
    """How long a word sounds that is not the last one of a phrase."""
    key, start, end = token
    if key.isalpha():
        if 1 < len(key) <= _ACRONYM and text[start:end].isupper() and key.isascii() and not text.isupper():
            return _NAMED * len(key)
        return _of_word(key)
    piece = text[start:end]
    length, at = 0.0, 0
    is_amount = not _MONEY.isdisjoint((text[start - 1 : start], text[end : end + 1]))
    for number in _NUMBER.finditer(piece):
        length += _of_letters(piece[at : number.start()]) + _of_number(number[0], is_amount=is_amount)
        at = number.end()
    return length + _of_letters(piece[at:] if at else key)


def _of_number(number: str, *, is_amount: bool) -> float:
    return sum(map(_of_numeral, spoken(number, is_amount=is_amount)))


@cache
def _of_numeral(word: str) -> float:
    return _of_word(word)  # there are few


def _of_letters(piece: str) -> float:
    return _of_word(piece.lower()) if piece else 0.0


def _of_word(key: str) -> float:
    """How long letters sound that are one word."""
    letters = float(len(key)) if key.isascii() and key.isalpha() else sum(map(_of_character, key))
    return _EACH + letters + _SYLLABLE * len(_VOWELS.findall(key)) + _SHORT * (letters <= 3)


def _of_character(character: str) -> float:
    if character.isnumeric():
        return _NUMERAL
    return _IDEOGRAM if is_unspaced(character) else 1.0
