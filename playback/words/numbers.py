"""Numbers as they are spoken: "1,250" is far longer than its digits, and 1998 has fewer words than 1,998.

A length needs no language: "forty two" takes about as long as "zweiundvierzig". So numbers are put into English words,
which needs no package.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

_SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_DIGITS: Final = dict(zip("0123456789", _SMALL, strict=False))
_SCALES: Final = ("", "thousand", "million", "billion", "trillion")

_LONGEST: Final = 6
"""Up to how many digits in a row are read as one number: more are a phone number or the like, read digit by digit."""

_THOUSANDS: Final = re.compile(r"[.,](?=(?:\d\d[.,])*\d{3}(?:\D|$))")
"""A separator of groups of three digits, or of two as in India."""

_SEPARATOR: Final = re.compile("[.,]")


def spoken(number: str, *, is_amount: bool = False) -> list[str]:
    """What is said for a number, as phrases of few words; there are about 1,000 of them, so each is made only once.

    Args:
        number: ASCII digits, with full stops and commas between them or without.
        is_amount: whether it is an amount of money, so that two decimals are a number of their own.
    """
    if number.isdigit():
        return _whole(number, is_grouped=False)
    grouped = _THOUSANDS.sub("", number)
    whole, *parts = _SEPARATOR.split(grouped)
    phrases = _whole(whole, is_grouped=len(grouped) < len(number))
    for part in parts:
        if not is_amount or len(part) > 2:
            phrases.append("point")
            phrases += map(_DIGITS.__getitem__, part)
        elif cents := int(part):
            phrases += (_below_thousand(cents), "cents")
    return phrases


def _whole(digits: str, *, is_grouped: bool) -> list[str]:
    """The phrases of digits without decimals.

    Args:
        digits: one at least.
        is_grouped: whether they had separators, so that it is a number, whatever its length.
    """
    count = len(digits)
    is_code = not is_grouped and (count > _LONGEST or (digits[0] == "0" and count > 1))
    if is_code or count > 3 * len(_SCALES):
        return [_DIGITS[digit] for digit in digits]
    number = int(digits)
    if not is_grouped and 1_100 <= number < 2_100 and number % 1_000 >= 10:  # a year
        return [_below_thousand(number // 100), _below_thousand(number % 100) if number % 100 else "hundred"]
    if number < 1_000:
        return [_below_thousand(number) if number else "zero"]
    phrases: list[str] = []
    for scale in _SCALES:  # from behind
        number, group = divmod(number, 1_000)
        if group:
            phrases += (scale, _below_thousand(group)) if scale else (_below_thousand(group),)
    return phrases[::-1]


@cache
def _below_thousand(number: int) -> str:
    """The words of a number from 1 to 999."""
    hundreds, rest = divmod(number, 100)
    words = [_SMALL[hundreds], "hundred"] if hundreds else []
    if rest >= len(_SMALL):
        words.append(_TENS[rest // 10])
        rest %= 10
    if rest:
        words.append(_SMALL[rest])
    return " ".join(words)
