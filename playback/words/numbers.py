"""Numbers as they are spoken: "1,250" is far longer than its digits, and 1998 has fewer words than 1,998.

A length needs no language: "forty two" takes about as long as "zweiundvierzig". So numbers are put into English words,
which needs no package.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_SMALL: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALES: Final = ("", "thousand", "million", "billion", "trillion")

_LONGEST: Final = 6
"""Up to how many digits in a row are read as one number: more are a phone number or the like, read digit by digit."""

_THOUSANDS: Final = re.compile(r"[.,](?=(?:\d\d[.,])*\d{3}(?:\D|$))")
"""A separator of groups of three digits, or of two as in India."""


def spoken(number: str, *, is_amount: bool = False) -> tuple[str, ...]:
    """The words that are said for a number.

    Args:
        number: ASCII digits, with full stops and commas between them or without.
        is_amount: whether it is an amount of money, so that two decimals are a number of their own.
    """
    grouped = _THOUSANDS.sub("", number)
    whole, *parts = re.split("[.,]", grouped)
    words = [*_whole(whole, is_grouped=len(grouped) < len(number))]
    for part in parts:
        if is_amount and len(part) <= 2:
            words += [*_whole(part, is_grouped=True), "cents"] if int(part) else []
        else:
            words += ["point", *_digits(part)]
    return tuple(words)


def _whole(digits: str, *, is_grouped: bool) -> Iterator[str]:
    """The words of digits without decimals.

    Args:
        digits: one at least.
        is_grouped: whether they had separators, so that it is a number, whatever its length.
    """
    number = int(digits[: 3 * len(_SCALES)])
    is_code = not is_grouped and (len(digits) > _LONGEST or (digits[0] == "0" and len(digits) > 1))
    if is_code or len(digits) > 3 * len(_SCALES):
        yield from _digits(digits)
    elif not is_grouped and 1_100 <= number < 2_100 and number % 1_000 >= 10:  # a year
        yield from _below_thousand(number // 100)
        yield from _below_thousand(number % 100) if number % 100 else ("hundred",)
    elif number == 0:
        yield "zero"
    else:
        for place in reversed(range(len(_SCALES))):
            if group := number // 1_000**place % 1_000:
                yield from _below_thousand(group)
                if place:
                    yield _SCALES[place]


def _below_thousand(number: int) -> Iterator[str]:
    hundreds, rest = divmod(number, 100)
    if hundreds:
        yield from (_SMALL[hundreds], "hundred")
    if rest >= len(_SMALL):
        yield _TENS[rest // 10]
        rest %= 10
    if rest:
        yield _SMALL[rest]


def _digits(digits: str) -> Iterator[str]:
    return (_SMALL[int(digit)] for digit in digits)
