"""What the framework may ask of an audio output, in the orders in which it may ask it; without a session."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np
import pytest
from livekit.agents.voice.io import AudioOutput
from livekit_fakes import FRAME, RATE, audio_frame, turns
from livekit_rig import Rig, closed, locked

MEMBERS = {
    "can_pause",
    "capture_frame",
    "captured_playout_segments",
    "clear_buffer",
    "flush",
    "label",
    "next_in_chain",
    "on_attached",
    "on_detached",
    "on_playback_finished",
    "on_playback_progressed",
    "on_playback_started",
    "pause",
    "resume",
    "sample_rate",
    "wait_for_playout",
}
"""What an output has in the version that this was written for."""


async def test_the_interface_is_the_one_that_is_known():
    assert {name for name in vars(AudioOutput) if not name.startswith("_")} == MEMBERS


async def test_what_it_says_of_itself(rig):
    assert rig.output.label == "Playback"
    assert rig.output.can_pause
    assert rig.output.sample_rate is None
    assert rig.output.next_in_chain is None
    assert "PlaybackAudioOutput" in repr(rig.output)
    rig.output.on_attached()
    rig.output.on_detached()


async def test_a_segment_to_its_end(rig):
    await rig.say(1_000)
    rig.output.flush()
    assert rig.names == []
    rig.read(2)
    assert rig.names == ["playback_started"]
    rig.read()
    assert rig.names == ["playback_started", "playback_finished"]
    assert rig.ends == [(1_000, False)]
    assert await rig.output.wait_for_playout() == rig.finished[0]
    assert rig.levels == {1_000: 1_000}


async def test_the_end_is_emitted_when_the_last_sample_is_read_and_not_when_it_was_captured(rig):
    await rig.say(FRAME)
    rig.read(3)
    assert rig.names == ["playback_started"]  # an underrun, which is no end
    await rig.say(FRAME)
    rig.output.flush()
    assert rig.finished == []
    rig.read()
    assert rig.ends == [(2 * FRAME, False)]


async def test_what_was_played_already_ends_with_the_flush(rig):
    await rig.say(FRAME)
    rig.read()
    rig.output.flush()
    assert rig.ends == [(FRAME, False)]


@pytest.mark.parametrize("samples", [0, 1, 71, 479])
async def test_a_segment_shorter_than_a_frame(rig, samples):
    await rig.say(samples)
    rig.output.flush()
    waiting = asyncio.create_task(rig.output.wait_for_playout())
    await turns()
    rig.read()
    assert (await asyncio.wait_for(waiting, 1)).playback_position == samples / RATE
    assert rig.ends == [(samples, False)]
    assert rig.names.count("playback_started") == (samples > 0)


async def test_nothing_captured_is_no_segment(rig):
    rig.output.flush()
    rig.output.clear_buffer()
    rig.output.flush()
    assert (await rig.output.wait_for_playout()).playback_position == 0
    assert rig.emitted == []
    assert rig.interruptions == []


async def test_an_interruption_in_the_middle(rig):
    await rig.say(5_000)
    rig.read(3)
    rig.output.flush()
    rig.output.clear_buffer()
    assert rig.ends == [(3 * FRAME, True)]
    rig.read(3)
    assert rig.levels == {1_000: 3 * FRAME}


async def test_flush_and_two_clears_are_one_interruption(rig):
    await rig.say(5_000)
    rig.read()
    rig.output.flush()
    rig.output.clear_buffer()
    rig.output.clear_buffer()
    rig.read()
    rig.output.clear_buffer()
    assert rig.ends == [(FRAME, True)]
    assert len(rig.interruptions) == 1
    assert await rig.output.wait_for_playout() == rig.finished[0]


async def test_an_interruption_before_the_first_sample(rig):
    await rig.say(5_000)
    rig.output.flush()
    rig.output.clear_buffer()
    assert rig.names == ["playback_finished"]
    assert rig.ends == [(0, True)]


async def test_an_interruption_drops_what_is_queued_too(rig):
    for value in (1_000, 2_000, 3_000):
        await rig.say(FRAME, value)
        rig.output.flush()
    rig.read()
    rig.output.clear_buffer()
    rig.read(4)
    assert rig.ends == [(FRAME, False), (0, True), (0, True)]
    assert rig.levels == {1_000: FRAME}


async def test_two_segments_follow_each_other_without_a_gap(rig):
    await rig.say(700, 1_000)
    rig.output.flush()
    await rig.say(700, 2_000)
    rig.output.flush()
    rig.read(3)
    assert rig.names == ["playback_started", "playback_finished"] * 2
    audio = np.concatenate(rig.heard)
    assert (audio[:700] == 1_000).all()
    assert (audio[700:1_400] == 2_000).all()


async def test_a_late_chunk_of_an_interrupted_segment_is_refused(rig):
    await rig.say(5_000)
    rig.read()
    rig.output.clear_buffer()
    await rig.say(5_000, 2_000)  # it was under way
    rig.read(3)
    rig.output.flush()
    await rig.say(FRAME, 3_000)
    rig.output.flush()
    rig.read(2)
    assert rig.levels == {1_000: FRAME, 3_000: FRAME}
    assert rig.ends == [(FRAME, True), (FRAME, False)]
    assert rig.controller.stats.refused_samples == 5_000


# Pause


async def test_a_pause_loses_nothing(rig):
    await rig.output.capture_frame(audio_frame(np.arange(1, 5_001, dtype=np.int16)[:, None]))
    rig.output.flush()
    rig.read(3)
    rig.output.pause()
    rig.read(50)
    assert rig.finished == []
    rig.output.resume()
    rig.read(10)
    audio = np.concatenate(rig.heard)
    assert (audio[audio != 0] == np.arange(1, 5_001)).all()
    assert rig.names == ["playback_started", "playback_finished"]
    assert rig.ends == [(5_000, False)]


async def test_a_pause_with_no_segment_repeats_and_holds_what_is_captured(rig):
    rig.output.pause()
    rig.output.pause()
    await rig.say(FRAME)
    rig.output.flush()
    rig.read(3)
    assert rig.emitted == []
    rig.output.resume()
    rig.output.resume()
    rig.read()
    assert rig.ends == [(FRAME, False)]


async def test_a_pause_outlives_clear_buffer_until_resume(rig):
    await rig.say(5_000)
    rig.output.flush()
    rig.read()
    rig.output.pause()
    rig.output.clear_buffer()
    rig.output.clear_buffer()
    assert rig.ends == [(FRAME, True)]
    assert len(rig.interruptions) == 1
    await rig.say(FRAME, 2_000)
    rig.output.flush()
    rig.read(5)
    assert rig.levels == {1_000: FRAME}
    rig.output.resume()
    rig.read(2)
    assert rig.levels == {1_000: FRAME, 2_000: FRAME}
    assert rig.ends == [(FRAME, True), (FRAME, False)]


async def test_a_clear_of_nothing_keeps_a_pause(rig):
    rig.output.pause()
    rig.output.clear_buffer()
    await rig.say(FRAME)
    rig.read(2)
    assert rig.names == []


# Whatever happens to a segment


def interrupted_by_the_application(rig: Rig) -> None:
    rig.controller.interrupt()


def cancelled(rig: Rig) -> None:
    playing = rig.controller.playing
    assert playing is not None
    playing.cancel()


def paused_and_cleared(rig: Rig) -> None:
    rig.output.pause()
    rig.output.clear_buffer()


@pytest.mark.parametrize("happens", [interrupted_by_the_application, cancelled, closed, locked, paused_and_cleared])
@pytest.mark.parametrize("flushed", [True, False])
async def test_one_end_whatever_happens(rig, happens, flushed):
    await rig.say(2_000)
    if flushed:
        rig.output.flush()
    rig.read(2)
    happens(rig)
    rig.output.flush()
    rig.output.clear_buffer()
    rig.read(3)
    await turns()
    assert len(rig.finished) == 1
    assert rig.names == ["playback_started", "playback_finished"]
    assert await asyncio.wait_for(rig.output.wait_for_playout(), 1) == rig.finished[0]


@pytest.mark.parametrize("refuses", [closed, locked])
async def test_one_end_for_a_segment_that_is_refused(rig, refuses):
    refuses(rig)
    await rig.say(2_000)
    await rig.say(2_000)
    rig.output.flush()
    rig.read(2)
    assert (await asyncio.wait_for(rig.output.wait_for_playout(), 1)).interrupted
    assert rig.ends == [(0, True)]


async def test_a_capture_waits_at_the_high_water_and_may_be_cancelled():
    rig = Rig(high_water_seconds=0.1)
    await rig.say(FRAME * 6)
    waiting = asyncio.create_task(rig.say(FRAME, 2_000))
    await turns()
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    rig.output.flush()
    rig.output.clear_buffer()
    assert rig.ends == [(0, True)]


async def test_a_capture_that_waits_is_woken_by_an_interruption():
    rig = Rig(high_water_seconds=0.1)
    await rig.say(FRAME * 6)
    waiting = asyncio.create_task(rig.say(FRAME, 2_000))
    await turns()
    rig.output.clear_buffer()
    await asyncio.wait_for(waiting, 1)
    rig.output.flush()
    rig.read(3)
    assert rig.ends == [(0, True)]
    assert rig.levels == {}


async def test_audio_that_cannot_be_leaves_no_segment_waiting(rig):
    with pytest.raises(ValueError, match="9 channels"):
        await rig.output.capture_frame(audio_frame(FRAME, channels=9))
    rig.output.flush()
    rig.read()
    await asyncio.wait_for(rig.output.wait_for_playout(), 1)
    assert rig.ends == [(0, False)]


async def test_an_utterance_of_the_application_is_no_segment(rig):
    utterance = rig.controller.utterance()
    utterance.push(bytes(2 * FRAME * 4))
    utterance.end()
    rig.read()
    rig.output.pause()
    rig.output.resume()
    rig.read()
    assert rig.emitted == []
    rig.output.clear_buffer()  # stops everything
    assert utterance.report is not None
    assert utterance.report.outcome == "interrupted"
    assert rig.emitted == []


async def test_an_utterance_of_the_application_may_be_protected(rig):
    utterance = rig.controller.utterance(interruptible=False)
    utterance.push(bytes(2 * FRAME * 2))
    utterance.end()
    await rig.say(FRAME)
    rig.output.flush()
    rig.read()
    rig.output.clear_buffer()
    assert rig.ends == [(0, True)]
    rig.read()
    assert utterance.report is not None
    assert utterance.report.outcome == "completed"


def test_without_the_framework_it_says_what_to_install():
    code = "import sys; sys.modules['livekit'] = None; import playback.integrations.livekit"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'voice-playback[livekit]'" in run.stderr
