"""Spoken forms: what a synthesizer may say for a piece of a text, such as "forty two dollars" for "$42.".

Synthesizers differ, so a form has alternatives, and the audio decides. A form is a sequence of slots, and a slot has
several alternatives, each of them words; no words at all if it may be left out. Words are in lower case; a letter that
is named is in upper case.

Numbers are spoken by num2words, in the language of the text. Amounts, dates, times and abbreviations are English.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import chain
from typing import Final
from unicodedata import normalize

Alternative = tuple[str, ...]
Slot = tuple[Alternative, ...]

_LONGEST: Final = 200
"""A piece with more characters is no word, and not spelled out."""

_RUNS: Final = re.compile(r"[^\W\d_]+(?:['’ʼ][^\W\d_]+)*|\d+(?:[.,]\d+)*|\S", re.UNICODE)
"""Letters, digits and single symbols."""
_LETTERS: Final = re.compile(r"[^\W\d_]")
_AMOUNT: Final = re.compile(r"([$€£¥₹])(\d[\d,]*)(?:\.(\d\d?))?|(\d[\d,]*)(?:[.,](\d\d?))?([$€£¥₹])")
_TIME: Final = re.compile(r"(\d{1,2}):(\d\d)(?::\d\d)?([ap]\.?m\.?)?", re.IGNORECASE)
_DATE: Final = re.compile(r"(\d{1,2})([/.-])(\d{1,2})(?:\2(\d{4}|\d\d))?")
_ISO_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_ORDINAL: Final = re.compile(r"(\d+)(?:st|nd|rd|th)", re.IGNORECASE)
_OUTSIDE: Final = " \t\"'‘’“”«»()[]{}<>*_`~,;!?…¿¡|.:"


def _words(text: str) -> dict[str, Slot]:
    """``dr=doctor|drive``, with ``_`` between words, as a dict."""
    return {
        key: tuple(tuple(one.split("_")) for one in said.split("|"))
        for key, _, said in (pair.partition("=") for pair in text.split())
    }


_CURRENCIES: Final = _words(
    "$=dollar|dollars|cent|cents €=euro|euros|cent|cents £=pound|pounds|penny|pence ¥=yen|yen|sen|sen "
    "₹=rupee|rupees|paisa|paise"
)
"""One, several, and parts."""
_SYMBOLS: Final = _words(
    "@=at &=and %=percent|per_cent +=plus °=degrees|degree .=dot|point /=slash|forward_slash "
    "-=dash|hyphen|minus|to –=to|dash|minus _=underscore :=colon #=hash|number|hashtag|pound ×=times|by ==equals "
    "*=star|asterisk ~=tilde \\=backslash $=dollar|dollars €=euro|euros £=pound|pounds ¥=yen ₹=rupees|rupee "
    "<=less_than >=greater_than ,=comma|point"
)
_SAID: Final = frozenset("@&%°")
"""Symbols that are always said."""
_SAID_ALONE: Final = frozenset("+=×#$€£¥₹<>")
"""Symbols that are said where nothing stands beside them."""
_ABBREVIATIONS: Final = _words(
    "dr=doctor|drive st=saint|street mr=mister mrs=missus ms=miss|miz jr=junior sr=senior|S_R prof=professor "
    "vs=versus|V_S etc=et_cetera approx=approximately dept=department no=number|no ave=avenue blvd=boulevard "
    "rd=road apt=apartment tel=telephone fig=figure vol=volume min=minutes|minute|min max=maximum|max jan=january "
    "feb=february mar=march|mar apr=april jun=june jul=july aug=august sep=september sept=september oct=october "
    "nov=november dec=december mon=monday tue=tuesday tues=tuesday wed=wednesday|wed thu=thursday thurs=thursday "
    "fri=friday sat=saturday|sat sun=sunday|sun inc=incorporated|inc ltd=limited co=company|co corp=corporation "
    "e.g=E_G|for_example i.e=I_E|that_is a.m=A_M p.m=P_M kg=kilograms|kilogram|kilos|K_G g=grams|gram|G "
    "mg=milligrams|milligram km=kilometers|kilometer|K_M m=meters|meter|M cm=centimeters|centimeter "
    "mm=millimeters|millimeter l=liters|liter|L ml=milliliters|milliliter lb=pounds|pound lbs=pounds "
    "oz=ounces|ounce ft=feet|foot in=inches|in mi=miles|mile mph=miles_per_hour|M_P_H "
    "km/h=kilometers_per_hour|kilometers_an_hour|K_M_H kmh=kilometers_per_hour hz=hertz khz=kilohertz "
    "mhz=megahertz ghz=gigahertz kb=kilobytes|K_B mb=megabytes|megabyte|M_B gb=gigabytes|gigabyte|G_B "
    "tb=terabytes|terabyte|T_B hr=hours|hour|hour hrs=hours sec=seconds|second|sec mins=minutes secs=seconds "
    "c=C|celsius f=F|fahrenheit k=K|thousand am=A_M|am pm=P_M ok=okay|O_K tv=T_V id=I_D"
)
_SCALES: Final = frozenset({"thousand", "million", "billion", "trillion", "k", "m", "bn"})
_MONTHS: Final = tuple(
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)


def form_of(piece: str, before: str = "", *, language: str = "en") -> tuple[Slot, ...]:
    """What may be said for a piece of a text.

    Args:
        piece: what stands between spaces.
        before: the piece before it: of "$5 million", the dollars are said behind the millions.
        language: what numbers are spoken in, as num2words names it.

    Returns:
        The slots; none if nothing is said.
    """
    if len(piece) > _LONGEST:
        return ()
    plain = normalize("NFKC", piece).replace("⁄", "/").strip(_OUTSIDE)  # "½" is "1⁄2"
    is_english = language.partition("_")[0].partition("-")[0] == "en"
    if is_english and (whole := _english(plain)):
        slots: tuple[Slot, ...] = (whole,)
    else:
        slots = tuple(_runs(plain or piece.strip(), language, is_english=is_english))
    if is_english and plain.lower() in _SCALES and (unit := _CURRENCIES.get(before[:1])):
        slots = (tuple(chain.from_iterable((one, (*one, *unit[1])) for one in slots[0])),)
    return tuple(tuple(dict.fromkeys(slot)) for slot in slots)


def _english(plain: str) -> Slot | None:
    """What is said for something that is spoken in another order, or with other words."""
    if known := _ABBREVIATIONS.get(plain.lower().rstrip(".")):
        letters = plain.lower()
        return (*known, (letters,)) if letters.isalpha() and len(letters) > 1 else known
    if found := _AMOUNT.fullmatch(plain):
        return _amount(found)
    if found := _ORDINAL.fullmatch(plain):
        return _optional_and(_say(int(found[1]), "en", "ordinal"))
    if found := _TIME.fullmatch(plain):
        return _time(int(found[1]), int(found[2]), found[3] or "")
    if found := _ISO_DATE.fullmatch(plain):
        return _date(int(found[2]), int(found[3]), found[1]) or None
    if (found := _DATE.fullmatch(plain)) and (found[2] == "/" or found[4]):
        one, other = int(found[1]), int(found[3])
        said = (*_date(one, other, found[4]), *_date(other, one, found[4]))
        return said if found[4] else (*said, *_fraction(one, other), *_by_parts(one, other)) or None
    return None


def _fraction(one: int, other: int) -> Slot:
    if other < 2:
        return ()
    names = {2: ("half", "halves"), 4: ("quarter", "quarters")}
    parts, several = names.get(other, (" ".join(_ordinal(other)), " ".join(_ordinal(other)) + "s"))
    if one == 1:
        return (("one", *parts.split()), ("a", *parts.split()), tuple(parts.split()))
    return tuple((*count, *several.split()) for count in _cardinal(one, "en"))


def _by_parts(one: int, other: int) -> Slot:
    first, last = _cardinal(one, "en")[0], _cardinal(other, "en")[0]
    return tuple((*first, *word, *last) for word in ((), ("of",), ("out", "of"), *_SYMBOLS["/"]))


def _amount(found: re.Match[str]) -> Slot:
    symbol = found[1] or found[6]
    number, parts = (found[2] or found[4]).replace(",", ""), found[3] or found[5]
    one, many, part, several = (said[0] for said in _CURRENCIES[symbol])
    unit = one if int(number) == 1 else many
    said: list[Alternative] = []
    for spoken in _number(number, "en"):
        said += [(*spoken, unit), (unit, *spoken), spoken] if not parts else []
        if parts:
            below = _cardinal(int(parts.ljust(2, "0")), "en")[0]
            digits = _digits(parts, "en")[0]
            small = part if int(parts) == 1 else several
            said += [
                (*spoken, unit, *below, small),
                (*spoken, unit, "and", *below, small),
                (*spoken, unit, *below),
                (*spoken, *below),
                (*spoken, "point", *digits, many),
                (unit, *spoken, "point", *digits),
                (*spoken, "point", *digits),
            ]
            said += [(*spoken, unit)] if int(parts) == 0 else []
    return tuple(dict.fromkeys(said))


def _time(hour: int, minute: int, half: str) -> Slot:
    hours, minutes = _cardinal(hour, "en")[0], _cardinal(minute, "en")[0]
    if minute == 0:
        said: list[Alternative] = [hours, (*hours, "o'clock"), (*hours, "hundred"), (*hours, "zero", "zero")]
    elif minute < 10:
        said = [(*hours, zero, *minutes) for zero in ("O", "zero")] + [(*hours, *minutes)]
    else:
        said = [(*hours, *minutes)]
    letters = tuple(half.replace(".", "").upper())
    return tuple((*one, *letters) for one in said)


def _date(month: int, day: int, year: str | None) -> Slot:
    """What is said for a date; nothing if it is none."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return ()
    name = _MONTHS[month - 1]
    cardinal, ordinal = _cardinal(day, "en")[0], _ordinal(day)
    said = [
        (name, *ordinal),
        (name, "the", *ordinal),
        (name, *cardinal),
        (*ordinal, "of", name),
        ("the", *ordinal, "of", name),
    ]
    if not year:
        return tuple(said)
    return tuple((*one, *of_year) for one in said for of_year in _number(year, "en"))


def _runs(plain: str, language: str, *, is_english: bool) -> list[Slot]:
    """The slots of letters, digits and symbols, one after the other."""
    runs = _RUNS.findall(plain)
    slots: list[Slot] = []
    for place, run in enumerate(runs):
        if _LETTERS.match(run):
            after_number = place > 0 and runs[place - 1][-1].isdecimal()
            unit = _ABBREVIATIONS.get(run.lower(), ()) if is_english and after_number else ()
            slots.append((*unit, *_letters(run)))
        elif run[0].isdecimal():
            slots.append(_number(run, language))
        elif run in _SYMBOLS and is_english:
            if run in _SAID or (run in _SAID_ALONE and len(runs) == 1):
                slots.append(_SYMBOLS[run])
            elif any(map(str.isalnum, plain)):
                slots.append(((), *_SYMBOLS[run]))
    return slots


def _letters(run: str) -> Slot:
    word = run.replace("’", "'").replace("ʼ", "'").lower()
    spelled = tuple(letter.upper() for letter in word if letter.isalpha())
    if len(run) > 5 or not run.isascii():
        return ((word,),)
    if len(run) > 1 and (run.isupper() or not set("aeiouy") & set(word)):
        return (spelled, (word,))
    return ((word,),)


@lru_cache(2_000)
def _number(text: str, language: str) -> Slot:
    """What may be said for digits, with or without separators."""
    if "." in text or "," in text:
        return _separated(text, language)
    digits = "".join(str(int(digit)) for digit in text)
    said: list[Alternative] = []
    if len(digits) <= 15 and (digits == "0" or digits[0] != "0"):
        said += _cardinal(int(digits), language)
    if 3 <= len(digits) <= 6 and digits[0] != "0":
        said += _pairs(digits, language)
    if len(digits) > 2 or not said:
        said += _digits(digits, language)
    return tuple(dict.fromkeys(said))


def _separated(text: str, language: str) -> Slot:
    joined = re.sub(r"[.,](?=\d{3}(?:\D|$))", "", text)
    if joined.isdecimal():
        said = [*_number(joined, language)]
    else:
        whole, _, rest = joined.replace(",", ".").partition(".")
        below = [*_digits(rest.replace(".", ""), language), *_cardinal(int(rest.replace(".", "")[:15]), language)]
        point = [("point",), ()] if language.startswith("en") else [(word,) for word in _say_point(language)] + [()]
        said = [(*one, *word, *other) for one in _number(whole, language) for word in point for other in below]
    return tuple(dict.fromkeys(said))


@lru_cache(16)
def _say_point(language: str) -> Alternative:
    """The word between a number and its decimals: the one that num2words puts there."""
    words = _split(_num2words(1.5, language, "cardinal"))
    return words[1:2]


def _pairs(digits: str, language: str) -> Slot:
    """Pair by pair: "1999" as "nineteen ninety nine", "2004" as "twenty oh four", "221" as "two twenty one"."""
    head = len(digits) % 2 or 2
    parts = [digits[:head], *(digits[at : at + 2] for at in range(head, len(digits), 2))]
    if len(parts) == 2 and parts[1] == "00":
        return ((*_cardinal(int(parts[0]), language)[0], "hundred"),)
    said: list[Alternative] = [()]
    for part in parts:
        number = _cardinal(int(part), language)[0]
        ways = [(zero, *number) for zero in ("O", "zero")] if part[0] == "0" else [number]
        said = [(*one, *way) for one in said for way in ways]
    return tuple(said)


def _digits(digits: str, language: str) -> Slot:
    """Digit by digit."""
    names = [_cardinal(int(digit), language)[0] for digit in digits]
    said = tuple(chain.from_iterable(names))
    if "0" not in digits or not language.startswith("en"):
        return (said,)
    return said, tuple("O" if word == "zero" else word for word in said)


def _cardinal(number: int, language: str) -> Slot:
    return _optional_and(_say(number, language, "cardinal"))


def _ordinal(number: int) -> Alternative:
    return _say(number, "en", "ordinal")


def _optional_and(said: Alternative) -> Slot:
    without = tuple(word for word in said if word != "and")
    return (said, without) if without != said else (said,)


@lru_cache(2_000)
def _say(number: int, language: str, kind: str) -> Alternative:
    return _split(_num2words(number, language, kind))


def _split(said: str) -> Alternative:
    return tuple(re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)*", said.lower())) or ("zero",)


def _num2words(number: float, language: str, kind: str) -> str:
    from num2words import num2words

    try:
        return str(num2words(number, lang=language, to=kind))
    except (NotImplementedError, OverflowError):
        return str(num2words(number, lang="en", to=kind))
