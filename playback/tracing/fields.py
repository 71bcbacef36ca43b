"""Fields: what each field of a trace file's lines may be. A file may hold anything, so each has a type and a bound.

The bounds are far beyond what a call needs, and keep a replay from running for ever or filling the memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from playback.events import EVENTS, names_of_fields

LONGEST_SECONDS: Final = 24 * 60 * 60
"""How much may be read in a trace that is replayed."""
MOST_READS: Final = LONGEST_SECONDS * 50
"""In how many reads; so many of 20 ms, the frame of WebRTC (RFC 7587), are as long."""

LONGEST_LINE: Final = 1_000_000
"""Characters of a line."""

_HIGHEST_RATE: Final = 384_000
_MOST_SAMPLES: Final = LONGEST_SECONDS * _HIGHEST_RATE
_MOST_READ: Final = 60 * 48_000
_MOST_HISTORY: Final = 600 * 48_000
_MOST_NUMBER: Final = 1 << 53
"""JSON's numbers are exact up to here in all programs (RFC 8259, section 6)."""
_MOST_CHANNELS: Final = 64
_LAST_SECOND: Final = 253_402_300_800
"""The end of the year 9999, the last one of :mod:`datetime`, in seconds since the epoch."""
_DEEPEST: Final = 16
"""Lists and objects within each other."""

_NAME: Final = re.compile(r"[A-Za-z0-9_.]{1,100}")


def is_count(value: object, most: int = _MOST_NUMBER) -> bool:
    """Whether it is a whole number from 0 up to a bound."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def printable(text: str) -> str:
    """Text in which all that a terminal would not print, but obey, is escaped as Python does it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: object, most: int = 1_000) -> str:
    """A value in a message: printable, and not endless."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_layout(value: object) -> bool:
    match value:
        case [int(rate), str(channels), str(sample_type), int(width)]:
            widths = range(1, 8 * _MOST_CHANNELS + 1)
            return rate in range(1, _HIGHEST_RATE + 1) and width in widths and len(channels + sample_type) <= 100
    return False


def _is_format(value: object) -> bool:
    # A trace of a time before there were encodings has none.
    return isinstance(value, dict) and set(value) | {"encoding"} == {"sample_rate", "channels", "encoding"}


def _is_error(value: object) -> bool:
    match value:
        case None | {"type": str(), "message": str()}:
            return value is None or (isinstance(value, dict) and "\0" not in value["type"])
    return False


def _is_number(value: object) -> bool:
    """Whether it is a number, or the name of what JSON does not have, such as infinity."""
    match value:
        case bool():
            return False
        case int():
            return abs(value) <= _MOST_NUMBER
        case float() | {"repr": "inf" | "-inf" | "nan"}:
            return True
    return False


def _is_time(value: object) -> bool:
    """Whether it is a time in seconds since the epoch, of the years that a calendar has."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LAST_SECOND


def is_shallow(value: object, deepest: int = _DEEPEST) -> bool:
    """Whether lists and objects do not lie too deep within each other, and no number in them is too large."""
    match value:
        case dict():
            return deepest > 0 and all(is_shallow(item, deepest - 1) for item in value.values())
        case list():
            return deepest > 0 and all(is_shallow(item, deepest - 1) for item in value)
        case int():
            return abs(value) <= _MOST_NUMBER
    return True


def _is_report(value: object) -> bool:
    """Whether it can be an utterance's report, or a turn's with those of its utterances."""
    if not isinstance(value, dict):
        return False
    utterances = value.get("utterances", [])
    return isinstance(utterances, list) and all(isinstance(each, dict) for each in utterances)


Kind = tuple[str, Callable[[Any], bool]]


def _up_to(most: int) -> Kind:
    return f"a whole number from 0 to {most:,}", lambda value: is_count(value, most)


def _or_null(kind: Kind) -> Kind:
    expected, fits = kind
    return f"{expected}, or null", lambda value: value is None or fits(value)


_COUNT: Final = _up_to(_MOST_NUMBER)
_SAMPLES: Final = _up_to(_MOST_SAMPLES)
_NAMED: Final[Kind] = "a name, of letters, digits, dots and underscores", _is_name
_FLAG: Final[Kind] = "true or false", lambda value: isinstance(value, bool)
_TEXT: Final[Kind] = "a string", lambda value: isinstance(value, str)
_NUMBER: Final[Kind] = "a number", _is_number
_OBJECT: Final[Kind] = "an object", lambda value: isinstance(value, dict)
_FORMAT: Final[Kind] = 'an object with "sample_rate", "channels" and "encoding"', _is_format
KINDS: Final[dict[str, Kind]] = {
    "position": _SAMPLES,
    "by": ("a name", lambda value: isinstance(value, str) and value != ""),
    "times": (f"a whole number from 1 to {MOST_READS:,}", lambda value: is_count(value, MOST_READS) and value > 0),
    "dropped": _COUNT,
    "fresh": _FLAG,
    "format": _FORMAT,
    "input_format": _FORMAT,
    "fades": _OBJECT,
    "limits": _OBJECT,
    "utterance": _or_null(("an utterance's number", is_count)),
    "id": _TEXT,
    "text": _or_null(_TEXT),
    "interruptible": _FLAG,
    "stale": _FLAG,
    "first": _FLAG,
    "bounded": _FLAG,
    "stop_on_failure": _FLAG,
    "turn": ("a turn's number", is_count),
    "in_turn": _or_null(("a turn's number", is_count)),
    "error": ('null, or an object with "type" and "message"', _is_error),
    "layout": ("[rate, channels, sample type, bytes]", _is_layout),
    "samples": _SAMPLES,
    "partial": _up_to(8 * _MOST_CHANNELS),
    "at": _SAMPLES,
    "until": _or_null(_SAMPLES),
    "payload": (f"at most {_DEEPEST} lists and objects within each other", is_shallow),
    "cut_short": _FLAG,
    "rewind": _SAMPLES,
    "lock": _FLAG,
    "force": _FLAG,
    "to_word_end": _FLAG,
    "gain_db": _NUMBER,
    "seconds": _NUMBER,
    "loss": _NUMBER,
    "jitter_seconds": _NUMBER,
    "round_trip_seconds": _or_null(_NUMBER),
    "wall_time": ("a time in seconds since the epoch, or null", lambda value: value is None or _is_time(value)),
    "source": _NAMED,
    "target": _NAMED,
    "edge": _NAMED,
    "outputs": (
        "a list of at most 100 names",
        lambda value: isinstance(value, list) and len(value) <= 100 and all(map(_is_name, value)),
    ),
}
"""What each field of a line has to be."""


LIMITS: Final[dict[str, Kind]] = {
    "history": _up_to(_MOST_HISTORY),
    "input_timeout": _or_null(_SAMPLES),
    "timeout_completes": _FLAG,
}
"""What each of the limits in a header has to be; those that are not named here are samples."""

READ_SAMPLES: Final = _up_to(_MOST_READ)
"""How much one read may hand out."""


def check(line: dict[str, Any], *names: str) -> None:
    """See that a line has its fields.

    Raises:
        ValueError: one is missing, or of another kind.
    """
    for name in names:
        expected, fits = KINDS[name]
        if name not in line:
            raise ValueError(f"{name!r} is missing, expected {expected}")
        if not fits(line[name]):
            raise ValueError(f"{name!r} is {shown(line[name], 200)}, expected {expected}")


def check_limits(limits: dict[str, Any]) -> None:
    """See that a header's limits can be.

    Raises:
        ValueError: one of them can't.
    """
    for name, value in limits.items():
        expected, fits = LIMITS.get(name, _SAMPLES)
        if not fits(value):
            raise ValueError(f"{name} is {shown(value, 200)}, expected {expected}")


def check_details(event: str, details: dict[str, Any]) -> None:
    """See that an event has fields that it can have.

    Raises:
        ValueError: it has others, or one of them is endless.
    """
    known = set(names_of_fields(EVENTS[event]))  # type: ignore[index]
    for name, value in details.items():
        if name not in known:
            raise ValueError(f"{event!r} has {shown(name, 200)}, expected only {', '.join(sorted(known))}")
        if not is_shallow(value):
            raise ValueError(f"{name!r} is {shown(value, 200)}, expected less")
        if name == "report" and not _is_report(value):
            raise ValueError(f"{name!r} is {shown(value, 200)}, expected the report of an utterance or of a turn")
