"""Formats, progress, the framework's outputs around ours, and any order of calls; without a session."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.voice.io import AgentOutput, AudioOutput
from livekit.agents.voice.recorder_io.recorder_io import RecorderAudioOutput
from livekit.agents.voice.transcription.synchronizer import TranscriptSynchronizer
from livekit_fakes import FRAME, RATE, audio_frame, follow
from livekit_rig import Rig, closed, locked

from playback.integrations.livekit import PlaybackAudioOutput

# Formats


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
async def test_rate_and_channels_are_converted(rig, rate, channels):
    time = np.arange(rate // 5)[:, None] / rate
    tone = (8_000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16).repeat(channels, axis=1)
    for block in np.array_split(tone, 7):
        await rig.output.capture_frame(audio_frame(block, rate=rate, channels=channels))
    rig.output.flush()
    rig.read(12)
    assert rig.ends == [(RATE // 5, False)]
    audio = np.concatenate(rig.heard)[: RATE // 5].astype(float)
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    assert abs(np.argmax(spectrum) * RATE / len(audio) - 440) < 6


async def test_the_format_may_change_within_a_segment(rig):
    await rig.output.capture_frame(audio_frame(4_800, rate=48_000))
    await rig.output.capture_frame(audio_frame(1_600, rate=16_000, channels=2))
    rig.output.flush()
    rig.read(12)
    assert rig.ends == [(4_800, False)]


async def test_memory_beyond_the_samples_of_a_frame_is_not_played(rig):
    await rig.output.capture_frame(rtc.AudioFrame(np.full(960, 1_000, np.int16).tobytes(), RATE, 1, FRAME))
    rig.output.flush()
    rig.read(3)
    assert rig.levels == {1_000: FRAME}


# Progress, which the session's recorder goes by


async def test_progress_covers_what_was_played_once_and_leaves_out_the_pauses(rig):
    await rig.say(FRAME * 4)
    rig.read(2)
    rig.output.pause()
    rig.read(5)
    rig.output.resume()
    rig.read(4)  # two of speech, then an underrun
    await rig.say(FRAME)
    rig.output.flush()
    rig.read(2)
    runs = [event for name, event in rig.emitted if name == "playback_progressed"]
    assert [(round(run.offset * RATE), round(run.duration * RATE)) for run in runs] == [
        (0, FRAME * 2),
        (FRAME * 2, FRAME * 2),
        (FRAME * 4, FRAME),
    ]
    assert rig.ends == [(FRAME * 5, False)]


# Outputs around this one, as the framework puts them there


class Recording:
    """As much of a recorder as its output asks for."""

    recording = False
    _encoding = False


def wrapped(output: PlaybackAudioOutput) -> AudioOutput:
    """The chain of a session in a room that is recorded: recorder, synchronizer, proxy, ours."""
    synchronizer = TranscriptSynchronizer(next_in_chain_audio=output, next_in_chain_text=None)
    recorder: Any = Recording()
    return RecorderAudioOutput(recording_io=recorder, audio_output=synchronizer.audio_output, on_played=print)


@pytest.mark.parametrize("refuses", [None, closed, locked])
async def test_outputs_around_it_never_wait_for_ever(rig, refuses):
    around = wrapped(rig.output)
    emitted: list[tuple[str, Any]] = []
    follow(around, emitted)
    assert around.can_pause
    assert around.sample_rate is None
    if refuses is not None:
        refuses(rig)
    for _ in range(3):
        await around.capture_frame(audio_frame(FRAME))
        around.flush()
        rig.read(2)
        await asyncio.wait_for(around.wait_for_playout(), 1)
    assert [event.interrupted for name, event in emitted if name == "playback_finished"] == [refuses is not None] * 3


async def test_a_handle_that_is_ended_while_its_first_frame_is_captured(rig):
    around = wrapped(rig.output)
    rig.controller.once("state_changed", lambda _: rig.controller.interrupt())
    await around.capture_frame(audio_frame(FRAME))
    around.flush()
    assert (await asyncio.wait_for(around.wait_for_playout(), 1)).interrupted


async def test_the_tail_is_replaced_within_a_segment():
    one, other = Rig(), Rig()
    outputs = AgentOutput(lambda: None, lambda: None, lambda: None)
    outputs.audio = wrapped(one.output)
    emitted: list[tuple[str, Any]] = []
    follow(outputs.audio, emitted)
    await outputs.audio.capture_frame(audio_frame(5_000, 1_000))
    one.read(2)
    outputs.replace_audio_tail(other.output)
    await outputs.audio.capture_frame(audio_frame(FRAME, 2_000))
    outputs.audio.flush()
    one.read(2)
    other.read(2)
    assert one.ends == [(2 * FRAME, True)]
    assert other.ends == [(FRAME, False)]
    assert [name for name, _ in emitted].count("playback_finished") == 1
    assert (await asyncio.wait_for(outputs.audio.wait_for_playout(), 1)).interrupted is False


# Any order


@pytest.mark.parametrize("seed", range(60))
async def test_any_order_of_calls(seed):
    dice = random.Random(seed)
    rig = Rig()
    captured = open_segment = 0
    for _ in range(120):
        match dice.choice(["capture", "capture", "flush", "clear", "end", "pause", "resume", "read", "read", "read"]):
            case "capture":
                captured += not open_segment
                open_segment = 1
                await rig.say(dice.choice([0, 1, 71, FRAME, 1_000, 3_000]))
            case "flush":
                open_segment = 0
                rig.output.flush()
            case "clear":
                rig.output.clear_buffer()
            case "end":  # what the framework does to interrupt
                open_segment = 0
                rig.output.flush()
                rig.output.clear_buffer()
                rig.output.clear_buffer()
                assert rig.output._pending_playback_count == 0
            case "pause":
                rig.output.pause()
                before = len(rig.heard)
                rig.read()
                assert not rig.heard[before].any()
            case "resume":
                rig.output.resume()
            case "read":
                rig.read(dice.randint(1, 4))
        assert len(rig.finished) <= captured
    rig.output.flush()
    rig.output.resume()
    rig.read(2_000)
    await asyncio.wait_for(rig.output.wait_for_playout(), 1)
    assert len(rig.finished) == captured == rig.output.captured_playout_segments
    assert sum(position for position, _ in rig.ends) == sum(rig.levels.values())
    starts = rig.names.count("playback_started")
    assert starts == sum(position > 0 for position, _ in rig.ends)
