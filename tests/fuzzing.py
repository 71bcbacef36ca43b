"""How much is made up: the same few things in each run, and many others at night."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

VARIABLE: Final = "FUZZ_TIMES"


def thorough(examples: int, steps: int = 50) -> settings:
    """Settings for a test that tries this many examples.

    With the variable FUZZ_TIMES, the test tries as many times more, and different ones in each run.

    Raises:
        ValueError: the variable is not a whole number above zero.
    """
    value = os.environ.get(VARIABLE) or "1"
    if not value.isdecimal() or not int(value):
        raise ValueError(f"{VARIABLE} is {value!r}, expected a whole number above zero")
    times = int(value)
    return settings(
        max_examples=examples * times,
        stateful_step_count=steps,
        deadline=None,
        derandomize=times == 1,
        suppress_health_check=list(HealthCheck),  # they judge by time
    )
