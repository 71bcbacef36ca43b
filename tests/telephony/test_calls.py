"""What a caller hears, and what is reported of it, over carriers of every kind."""

from __future__ import annotations

import os

import pytest

from tests.fuzzing import VARIABLE
from tests.telephony.calls import random_call
from tests.telephony.virtual import virtually

TIMES = int(os.environ.get(VARIABLE) or "1")


@pytest.mark.fuzz
@pytest.mark.parametrize("part", range(4))
def test_what_is_reported_is_what_the_speaker_has_played(part: int) -> None:
    for seed in range(part * 50 * TIMES, (part + 1) * 50 * TIMES):
        try:
            virtually(random_call(seed))
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
