"""Checks of what users pass: a mistake gets an error that names the value and what was expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any


def check_type(name: str, value: object, *types: type | None) -> None:
    """See that an argument is of one of these types; None stands for itself.

    Raises:
        TypeError: it is not.
    """
    if not any(value is None if kind is None else isinstance(value, kind) for kind in types):
        expected = " or ".join("None" if kind is None else kind.__name__ for kind in types)
        raise TypeError(f"{name} is {value!r}, expected {expected}")


def check_seconds(name: str, value: object) -> None:
    """See that an argument is a time.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative or not finite.
    """
    if not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}, expected a number of seconds")
    if not 0 <= _as_float(value) < float("inf"):
        raise ValueError(f"{name} is {value!r}, expected a finite number of seconds, 0 or more")


def _as_float(value: Real) -> float:
    """The number, or infinity for an integer that is too large for a float."""
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def check_whole(name: str, value: object, allowed: range) -> None:
    """See that an argument is a whole number within bounds.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is out of bounds.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, expected a whole number")
    if int(value) not in allowed:
        raise ValueError(f"{name} is {value!r}, expected {allowed[0]:,} to {allowed[-1]:,}")


def check_name(name: str, value: object) -> None:
    """See that an argument is a name.

    Raises:
        TypeError: it is no string.
        ValueError: it is empty.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, expected a string")
    if not value:
        raise ValueError(f"{name} is empty, expected a name such as 'application'")


def check_interrupt_at(name: str, value: object) -> None:
    """See that an argument says where an interrupt cuts.

    Raises:
        ValueError: it does not.
    """
    if value not in ("now", "word"):
        raise ValueError(f"{name} is {value!r}, expected 'now' or 'word'")


def check_share(name: str, value: object) -> None:
    """See that an argument is a part of a whole.

    Raises:
        TypeError: it is no number.
        ValueError: it is less than nothing, or more than all.
    """
    if not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}, expected a share from 0 to 1")
    if not 0 <= _as_float(value) <= 1:
        raise ValueError(f"{name} is {value!r}, expected a share from 0 to 1")


def check_decibels(name: str, value: object) -> None:
    """See that an argument is a number of dB.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, Real):
        raise TypeError(f"{name} is {value!r}, expected a number of dB")


def check_event(name: object, events: Mapping[Any, object]) -> str:
    """The name, if it is one of these events.

    Raises:
        TypeError: it is no name.
        ValueError: there is no such event.
    """
    if not isinstance(name, str):
        raise TypeError(f"the event's name is {name!r}, expected a string such as {next(iter(events))!r}")
    if name not in events:
        raise ValueError(f"there is no event {name!r}, expected one of {', '.join(sorted(events))}")
    return name


def check_listener(listener: Any) -> Callable[[Any], object]:
    """The listener, if it can be called.

    Raises:
        TypeError: it can't.
    """
    if not callable(listener):
        raise TypeError(f"the listener is {listener!r}, expected a function or a coroutine function")
    return listener  # type: ignore[no-any-return]
