"""What the framework may ask of an audio output, in the orders in which it may ask it; without a session."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.voice.io import AgentOutput, AudioOutput, PlaybackFinishedEvent
from livekit.agents.voice.recorder_io.recorder_io import RecorderAudioOutput
from livekit.agents.voice.transcription.synchronizer import TranscriptSynchronizer
from livekit_fakes import CUT, FRAME, RATE, audio_frame, follow, samples_by_level, turns

from playback import AudioFormat, PlaybackController
from playback.integrations.livekit import PlaybackAudioOutput

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


class Rig:
    """An output, what was heard of it and what it told."""

    def __init__(self, **settings: Any) -> None:
        self.controller = PlaybackController(AudioFormat(RATE), fades=CUT, **settings)
        self.output = PlaybackAudioOutput(self.controller)
        self.told: list[tuple[str, Any]] = []
        self.interruptions: list[Any] = []
        self.heard: list[np.ndarray] = []
        follow(self.output, self.told)
        self.controller.on("interrupted", self.interruptions.append)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told if name != "playback_progressed"]

    @property
    def finished(self) -> list[PlaybackFinishedEvent]:
        return [event for name, event in self.told if name == "playback_finished"]

    @property
    def ends(self) -> list[tuple[int, bool]]:
        """Where each segment ended, in samples, and whether it was interrupted."""
        ends = [(event.playback_position * RATE, event.interrupted) for event in self.finished]
        assert all(abs(position - round(position)) < 1e-6 for position, _ in ends)
        return [(round(position), interrupted) for position, interrupted in ends]

    async def say(self, samples: int, value: int = 1_000) -> None:
        await self.output.capture_frame(audio_frame(samples, value))

    def read(self, frames: int = 1) -> None:
        for _ in range(frames):
            self.heard.append(self.controller.read(FRAME)[:, 0])

    @property
    def levels(self) -> dict[int, int]:
        return samples_by_level(np.concatenate(self.heard))


@pytest.fixture
def rig() -> Rig:
    return Rig()


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


async def test_the_end_is_told_when_the_last_sample_is_read_and_not_when_it_was_captured(rig):
    await rig.say(FRAME)
    rig.read(3)
    assert rig.names == ["playback_started"]  # it ran dry, which is no end
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
    assert rig.told == []
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
    assert rig.told == []
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


def closed(rig: Rig) -> None:
    rig.controller.close()


def locked(rig: Rig) -> None:
    rig.controller.lock()
    rig.read(20)


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
    assert rig.told == []
    rig.output.clear_buffer()  # stops everything
    assert utterance.report is not None
    assert utterance.report.outcome == "interrupted"
    assert rig.told == []


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
    rig.read(4)  # two of speech, then it runs dry
    await rig.say(FRAME)
    rig.output.flush()
    rig.read(2)
    runs = [event for name, event in rig.told if name == "playback_progressed"]
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
    told: list[tuple[str, Any]] = []
    follow(around, told)
    assert around.can_pause
    assert around.sample_rate is None
    if refuses is not None:
        refuses(rig)
    for _ in range(3):
        await around.capture_frame(audio_frame(FRAME))
        around.flush()
        rig.read(2)
        await asyncio.wait_for(around.wait_for_playout(), 1)
    assert [event.interrupted for name, event in told if name == "playback_finished"] == [refuses is not None] * 3


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
    told: list[tuple[str, Any]] = []
    follow(outputs.audio, told)
    await outputs.audio.capture_frame(audio_frame(5_000, 1_000))
    one.read(2)
    outputs.replace_audio_tail(other.output)
    await outputs.audio.capture_frame(audio_frame(FRAME, 2_000))
    outputs.audio.flush()
    one.read(2)
    other.read(2)
    assert one.ends == [(2 * FRAME, True)]
    assert other.ends == [(FRAME, False)]
    assert [name for name, _ in told].count("playback_finished") == 1
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


def test_without_the_framework_it_says_what_to_install():
    code = "import sys; sys.modules['livekit'] = None; import playback.integrations.livekit"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'playback[livekit]'" in run.stderr
