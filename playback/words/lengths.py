"""Lengths: how long words sound, in units of about a letter, from how they are written.

The figures were fitted to the words of 44 sentences in four voices of eSpeak NG and four of flite: they leave 24 % of a
word's mean length unexplained, letters alone 29 %. In scripts without letters for vowels, or without an alphabet, what
counts is that all words are measured alike.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache
from itertools import pairwise
from typing import Final

from playback.words.numbers import spoken
from playback.words.tokens import Token, is_unspaced, without_markup

_EACH: Final = 1.6
"""For a word, however short."""

_UNSTRESSED: Final = -1.1
"""For a word of those below."""

_ENGLISH: Final = (
    "a an the of to in on at by for from with and or but as if than that this is are was were be been am it its he she "
    "they we you i me my your his her our their them us do can will would could should have has had not no so"
)
_GERMAN: Final = (
    "der das den dem des ein eine einen einem und oder zu im ins von vom mit auf fur ist sind ich du er sie es wir ihr "
    "sich nicht dass"
)
_FRENCH: Final = (
    "le la les de du un une et ou a au aux en dans pour par sur est ce que qui je tu il elle nous vous ils ne pas se"
)
_SPANISH: Final = "el los las del uno una y o al con por para es lo su sus mi yo te nos"
_FUNCTION_WORDS: Final = frozenset(f"{_ENGLISH} {_GERMAN} {_FRENCH} {_SPANISH}".split())
"""Words that have no stress, mostly: they are spoken faster than others. They are keys, without accents. The figure is
of the English ones."""

_DOUBLED: Final = re.compile(r"([a-z])\1")
_ONE_SOUND: Final = re.compile("th|ch|sh|ph|wh|gh|ck")
_LESS_DOUBLED: Final = -0.65
_LESS_ONE_SOUND: Final = -1.0
"""For two letters that are one sound."""

_LAST: Final = 1.5
"""For the last word of a phrase: before a pause speech slows down."""

_NAMED: Final = 3.0
"""For a letter that is named, as those of "FAQ" are."""

_ACRONYM: Final = 5
"""Up to how many capital letters are named."""

_NUMERAL: Final = 4.0
"""For a numeral that is not one of ASCII's digits."""

_IDEOGRAM: Final = 2.2
"""For a character of a script without spaces, such as Chinese: a syllable, mostly."""

_SYMBOLS: Final = {
    "$": "dollars", "€": "euros", "£": "pounds", "¥": "yen", "₹": "rupees", "%": "percent", "°": "degrees", "@": "at",
    "&": "and", "+": "plus", "=": "equals",
}  # fmt: skip
"""Symbols that are mostly spoken, and as what in English; other languages take about as long."""

_MONEY: Final = frozenset("$€£¥₹")
_SYMBOL: Final = re.compile(f"[{''.join(_SYMBOLS)}]")
_NUMBER: Final = re.compile(r"[0-9]+(?:[.,][0-9]+)*")

_SHORT: Final = 4
"""How long the numbers are whose length is remembered: 11,110 at most."""

_BREAK: Final = re.compile(r"[.,;:!?…—–()\n。，、！？；：।؟،]")
"""Where a text may have a pause, if it stands between two words."""


def lengths(text: str, written: list[Token]) -> list[float]:
    """How long each word of a text sounds, with the symbols beside it that are spoken."""
    if not written:
        return []
    has_names = not text.isupper()  # or capital letters say nothing
    found = [_of_token(text, token, has_names=has_names) for token in written]
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


def _of_token(text: str, token: Token, *, has_names: bool) -> float:
    """How long a word sounds that is not the last one of a phrase."""
    key, start, end = token
    if key.isalpha():
        if has_names and 1 < len(key) <= _ACRONYM and key.isascii() and text[start:end].isupper():
            return _NAMED * len(key)
        return _of_word(key)
    piece = text[start:end]
    length, at = 0.0, 0
    is_amount = text[start - 1 : start] in _MONEY or text[end : end + 1] in _MONEY
    for number in _NUMBER.finditer(piece):
        length += _of_letters(piece[at : number.start()]) + _of_number(number[0], is_amount=is_amount)
        at = number.end()
    return length + _of_letters(piece[at:] if at else key)


def _of_number(number: str, *, is_amount: bool) -> float:
    if len(number) <= _SHORT and number.isdigit():
        return _of_short_number(number)
    return sum(map(_of_phrase, spoken(number, is_amount=is_amount)))


@cache
def _of_short_number(digits: str) -> float:
    return sum(map(_of_phrase, spoken(digits)))


@cache
def _of_phrase(words: str) -> float:
    return sum(map(_of_word, words.split()))


def _of_letters(piece: str) -> float:
    return _of_word(piece.lower()) if piece else 0.0


def _of_word(key: str) -> float:
    """How long letters sound that are one word."""
    if not (key.isascii() and key.isalpha()):
        return _EACH + sum(map(_of_character, key))
    as_one = _LESS_DOUBLED * len(_DOUBLED.findall(key)) + _LESS_ONE_SOUND * len(_ONE_SOUND.findall(key))
    return _EACH + len(key) + as_one + _UNSTRESSED * (key in _FUNCTION_WORDS)


def _of_character(character: str) -> float:
    if character.isnumeric():
        return _NUMERAL
    return _IDEOGRAM if is_unspaced(character) else 1.0
