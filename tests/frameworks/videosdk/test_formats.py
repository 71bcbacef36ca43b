"""Rates, channels, odd bytes, and the sinks that get what was accepted."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from test_contract import Turns, begin, play
from videosdk_fakes import FRAME, RATE, ramp

from playback.integrations.videosdk import (
    CustomAudioStreamTrack,
    TeeCustomAudioStreamTrack,
    TeeMixingCustomAudioStreamTrack,
)


async def test_formats() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    begin(track, turns.of("one"))
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.set_input_format(48_000, 2)
    await track.add_new_bytes(np.repeat(ramp(960), 2).tobytes())
    track.set_input_format(24_000)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.mark_synthesis_complete()
    assert track.snapshot_playback() == (0, 3 * FRAME)
    await play(track, 2)
    assert turns.over == []
    await play(track, 1)
    assert turns.over == ["one"]


async def test_a_format_may_be_given_as_loosely_as_to_the_frameworks_own() -> None:
    track = CustomAudioStreamTrack()
    track.set_input_format(48_000.0, 0)
    await track.add_new_bytes(ramp(960).tobytes())
    track.mark_synthesis_complete()
    assert track.snapshot_playback() == (0, FRAME)


async def test_a_realtime_model_assigns_another_rate() -> None:
    track = CustomAudioStreamTrack()
    track.sample_rate = 16_000
    track.time_base_fraction = Fraction(1, 16_000)
    track.samples = 320
    track.chunk_size = int(track.samples * track.channels * track.sample_width)
    await track.add_new_bytes(ramp(320).tobytes())
    track.mark_synthesis_complete()
    assert track.snapshot_playback() == (0, FRAME)
    frame = await track.recv()
    assert (frame.sample_rate, frame.samples) == (RATE, FRAME)
    assert frame.to_ndarray().any()
    await track.cleanup()


async def test_odd_bytes() -> None:
    track = CustomAudioStreamTrack()
    audio = ramp(2 * FRAME).tobytes()
    for begins, ends in ((0, 333), (333, 334), (334, 1001), (1001, len(audio))):
        await track.add_new_bytes(audio[begins:ends])
    assert (await play(track, 2)).tolist() == ramp(2 * FRAME).tolist()


@pytest.mark.parametrize("track_class", [TeeCustomAudioStreamTrack, TeeMixingCustomAudioStreamTrack])
async def test_sinks(track_class: type[Any]) -> None:
    class Avatar:
        def __init__(self) -> None:
            self.heard = bytearray()

        async def handle_audio_input(self, audio_data: bytes) -> None:
            self.heard += audio_data

    avatar, plain, late = Avatar(), bytearray(), bytearray()

    async def awaited(audio_data: bytes) -> None:
        late.extend(audio_data)

    track = track_class(loop=asyncio.get_running_loop(), sinks=[avatar], pipeline="pipeline")
    assert (track.sinks, track.pipeline) == ([avatar], "pipeline")
    track.add_sink(plain.extend)
    track.sinks.append(awaited)  # as a transport does that finds no add_sink
    turns = Turns()
    begin(track, turns.of("one"))
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    track.mark_synthesis_complete()
    assert avatar.heard == plain == late == ramp(2 * FRAME).tobytes()
    assert not (await play(track, 2)).any()  # the avatar's server is what is heard
    assert turns.over == ["one"]
    track.interrupt()
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert len(plain) == 4 * FRAME  # what is refused reaches nobody
    for sink in (avatar, plain.extend, awaited):
        track.remove_sink(sink)
    track.enable_audio_input(manual_control=True)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert (await play(track, 1)).all()
    assert len(plain) == 4 * FRAME
    await track.cleanup()


async def test_a_tee_that_is_heard_all_the_same() -> None:
    heard = bytearray()
    track = TeeCustomAudioStreamTrack(sinks=[heard.extend], replaces_output=False)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert (await play(track, 1)).all()
    assert len(heard) == 2 * FRAME
