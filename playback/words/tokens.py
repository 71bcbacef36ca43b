"""Tokens: the words of a text, as they are compared and counted.

A token is a run of letters and digits with what belongs to them: accents and vowel signs, an apostrophe between letters
("don't"), a full stop or a comma between digits or letters ("3.5", "e.g", "example.com"), as in the default word
boundaries of Unicode Standard Annex #29 (https://unicode.org/reports/tr29/#Word_Boundaries). Scripts that are written
without spaces are not divided by a dictionary: each of their characters is a token of its own.

Tokens are compared by their letters and digits alone, in one normal form (NFKD, case-folded, without combining marks),
so that neither case nor punctuation nor the way in which an accent is encoded makes a difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from unicodedata import category, normalize

_ASCII: Final = re.compile(r"[A-Za-z0-9]+(?:(?:(?<=[A-Za-z])['.](?=[A-Za-z])|(?<=[0-9])[.,](?=[0-9]))[A-Za-z0-9]+)*")
"""A token of a text that is plain ASCII: most are, and this is many times faster than a look at each character."""

_UNSPACED: Final = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f00-\u0fff"  # Tibetan
    "\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b"  # radicals, numerals and repetition marks of Han
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Hiragana, Katakana
    "\u3100-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U0001b000-\U0001b16f"  # Kana, supplement and extensions
    "\U00020000-\U0003ffff"  # Han, supplementary planes
    "]"
)
"""A character of a script that is written without spaces (the scripts of Unicode's Line_Break classes ID and SA)."""

_TAG: Final = re.compile(r"</?[A-Za-z][^<>]*>")
"""Markup."""

_APOSTROPHES: Final = frozenset("'’ʼ＇")
_POINTS: Final = frozenset(".․")
_COMMAS: Final = frozenset(",٫٬")


class Token(NamedTuple):
    """A word of a text."""

    key: str
    """What it is compared by; never empty."""
    start: int
    """Where it begins in the text."""
    end: int
    """Where it ends."""


def tokens(text: str) -> list[Token]:
    """The words of a text, in order."""
    if (plain := _as_ascii(text)) is not None:
        return [Token(_key(match[0]), *match.span()) for match in _ASCII.finditer(plain)]
    return [Token(key, start, end) for start, end in _spans(text) if (key := _key(text[start:end]))]


def without_markup(text: str) -> str:
    """A text of the same length with spaces in place of markup such as SSML's, which is not spoken."""
    return _TAG.sub(lambda tag: " " * len(tag[0]), text) if "<" in text else text


def is_unspaced(character: str) -> bool:
    """Whether a character belongs to a script that is written without spaces."""
    return _UNSPACED.match(character) is not None


def count_unspaced(text: str) -> int:
    """How many characters of a text belong to such a script."""
    return 0 if text.isascii() else len(_UNSPACED.findall(text))


def _as_ascii(text: str) -> str | None:
    """A text of the same length in ASCII that has the same tokens; None if it has others' letters.

    Many texts are English but for their quotes, dashes and currencies.
    """
    if text.isascii():
        return text
    plain = {}
    for character in set(text):
        if not character.isascii():
            if character.isalnum() or _continues(character) or is_unspaced(character):
                return None
            joining = zip((_APOSTROPHES, _POINTS, _COMMAS), "'.,", strict=True)
            plain[ord(character)] = next((other for some, other in joining if character in some), " ")
    return text.translate(plain)


def _key(token: str) -> str:
    if token.isascii():
        return "".join(filter(str.isalnum, token.lower())) if not token.isalnum() else token.lower()
    folded = normalize("NFKD", normalize("NFKD", token).casefold())
    return "".join(filter(str.isalnum, folded))


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the tokens of any text begin and end."""
    start, at, length, has_unspaced = None, 0, len(text), count_unspaced(text) > 0
    while at < length:
        character = text[at]
        end = at + 1
        while end < length and _continues(text[end]):
            end += 1
        if not character.isalnum() and not (start is not None and _joins(text, at, end)):
            if start is not None:
                yield start, at
            start = None
        elif has_unspaced and is_unspaced(character):
            if start is not None:
                yield start, at
            yield at, end
            start = None
        elif start is None:
            start = at
        at = end
    if start is not None:
        yield start, length


def _continues(character: str) -> bool:
    """Whether a character belongs to the one before: a combining mark, or what joins and varies."""
    return not character.isascii() and (category(character)[0] == "M" or character in "\u200c\u200d")


def _joins(text: str, at: int, end: int) -> bool:
    """Whether what stands here, after a letter or digit, continues a token."""
    character, following = text[at], text[end : end + 1]
    before = at - 1
    while before > 0 and _continues(text[before]):
        before -= 1
    if not following or is_unspaced(following):
        return False
    if text[before].isalpha() and following.isalpha():
        return character in _APOSTROPHES or character in _POINTS
    return text[before].isnumeric() and following.isnumeric() and (character in _POINTS or character in _COMMAS)
