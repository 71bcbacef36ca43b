"""What the page about this framework says of our tracks, as it is measured."""

from __future__ import annotations

import asyncio
from typing import Any

import compare
import pytest

from playback.integrations.videosdk import CustomAudioStreamTrack, MixingCustomAudioStreamTrack

EXPECTED = {
    compare.last_byte_late: 0,
    compare.short_turn: "100 heard, callback called",
    compare.tail: 0,
    compare.odd_turn: 0,
    compare.odd_barge_in: "3 frames of fade",
    compare.marked_in_a_pause: 0,
    compare.pause_at: 0,
    compare.second_barge_in: "3, then 3",
    compare.queued: "2 of 2",
    compare.counted: 0,
}


def test_every_scenario_is_expected() -> None:
    assert {*EXPECTED} == {*compare.SCENARIOS.values()} - {compare.blocked}


@pytest.mark.parametrize("scenario", EXPECTED, ids=lambda scenario: scenario.__name__)
async def test_ours(scenario: Any) -> None:
    """Both kinds at once: they wait, mostly."""
    loop = asyncio.get_running_loop()
    tracks = [CustomAudioStreamTrack(loop), MixingCustomAudioStreamTrack(loop)]
    assert [*await asyncio.gather(*map(scenario, tracks))] == [EXPECTED[scenario]] * 2
