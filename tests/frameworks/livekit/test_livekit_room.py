"""Into a room's audio source, and out of its track again: the native library's own, without a room. In real time."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from compare import RATE, ours, speech
from livekit import rtc

from playback import AudioFormat, PlaybackController
from playback.integrations.livekit import source_pump
from playback.pump import MOST_AHEAD_SECONDS

SLACK = 0.002
"""How exact the source's own reckoning of its queue is."""

TICKS = 0.03
"""How far its reckoning of what it has played may be off on a busy machine; it plays 10 ms at a time."""


async def test_every_sample_comes_out_of_the_track_once_across_a_pause():
    async with ours() as scenario:
        audio = speech(0.6)
        await scenario.say(audio)
        await scenario.hear(RATE // 5)
        scenario.output.pause()
        await asyncio.sleep(0.2)
        held = len(scenario.heard.samples)
        await asyncio.sleep(0.1)
        assert len(scenario.heard.samples) == held < len(audio)
        scenario.output.resume()
        assert await scenario.end()
        await scenario.hear(len(audio))
        await asyncio.sleep(0.1)
        assert (scenario.heard.samples == audio).all()
        assert len(scenario.finished) == 1


async def test_the_position_of_an_interruption_is_what_came_out_of_the_track():
    async with ours() as scenario:
        await scenario.say(speech(1.0))
        await scenario.hear(RATE // 5)
        scenario.output.clear_buffer()
        ((_, event),) = scenario.finished
        assert event.interrupted
        await scenario.hear(round(event.playback_position * RATE))
        await asyncio.sleep(0.1)
        assert event.playback_position * RATE == pytest.approx(len(scenario.heard.samples))


async def test_a_queue_that_is_cleared_counts_as_not_heard():
    async with ours(clears_queue=True) as scenario:
        reports = []
        scenario.output.controller.on("utterance_finished", lambda event: reports.append(event.report))
        await scenario.say(speech(1.0))
        await scenario.hear(RATE // 5)
        written = scenario.output.controller.position
        queued = scenario.source.queued_duration
        scenario.output.clear_buffer()
        assert scenario.source.queued_duration == 0
        ((_, event),) = scenario.finished
        await asyncio.sleep(0.1)
        (report,) = reports
        assert 0 < written - report.played <= round(queued * RATE) + 1
        assert report.played + report.discarded == RATE
        assert event.playback_position * RATE == pytest.approx(report.played)
        assert abs(report.played - len(scenario.heard.samples)) <= TICKS * RATE


async def test_a_pause_that_clears_the_queue_goes_on_where_it_stopped_and_ends_when_all_has_played():
    async with ours(clears_queue=True) as scenario:
        audio = speech(0.6)
        await scenario.say(audio)
        await scenario.hear(RATE // 5)
        scenario.output.pause()
        await asyncio.sleep(0.2)
        held = len(scenario.heard.samples)
        await asyncio.sleep(0.1)
        assert len(scenario.heard.samples) == held < len(audio)
        scenario.output.resume()
        assert await scenario.end()
        assert len(scenario.heard.samples) >= len(audio) - 2 * TICKS * RATE
        await asyncio.sleep(0.1)
        missing = len(audio) - len(set(scenario.heard.samples.tolist()))
        assert missing <= TICKS * RATE
        assert len(scenario.heard.samples) - (len(audio) - missing) <= TICKS * RATE


@pytest.mark.parametrize("blocked", [0.0, 0.05, 0.3])
async def test_no_more_than_40_ms_are_queued_also_after_the_loop_was_blocked(blocked):
    async with ours() as scenario:
        await scenario.say(speech(1.0))
        queued = []
        for number in range(60):
            queued.append(scenario.source.queued_duration)
            if number == 20:
                time.sleep(blocked)  # noqa: ASYNC251 - it is meant
            await asyncio.sleep(0.005)
        assert 0 < max(queued) <= MOST_AHEAD_SECONDS + SLACK
        assert await scenario.end()
        await scenario.hear(RATE)
        await asyncio.sleep(0.1)
        assert len(scenario.heard.samples) == RATE


async def test_the_source_has_to_be_of_the_controller_s_format():
    controller = PlaybackController(AudioFormat(48_000))
    source = rtc.AudioSource(RATE, 1)
    with pytest.raises(ValueError, match="24000 Hz"):
        source_pump(controller, source)
    stereo = rtc.AudioSource(48_000, 2)
    with pytest.raises(ValueError, match="2 channels"):
        source_pump(controller, stereo)
    await source.aclose()
    await stereo.aclose()


async def test_stereo():
    controller = PlaybackController(AudioFormat(48_000, 2))
    source = rtc.AudioSource(48_000, 2)
    stream = rtc.AudioStream.from_track(
        track=rtc.LocalAudioTrack.create_audio_track("agent", source), sample_rate=48_000, num_channels=2
    )
    pumping = asyncio.create_task(source_pump(controller, source).run())
    controller.push(np.tile(np.array([[1_000, 2_000]], np.int16), (4_800, 1)))
    controller.end()
    heard = np.zeros((0, 2), np.int16)
    async for event in stream:
        piece = np.frombuffer(event.frame.data, np.int16).reshape(-1, 2)
        heard = np.concatenate([heard, piece[piece.any(axis=1)]])
        if len(heard) >= 4_800:
            break
    assert (heard == [1_000, 2_000]).all()
    controller.close()
    await pumping
    await stream.aclose()
    await source.aclose()


class Publication:
    """As much of a publication as the pump asks for: when the first participant has subscribed."""

    def __init__(self) -> None:
        self.subscribed = asyncio.Event()
        self.asked = 0

    async def wait_for_subscription(self) -> None:
        self.asked += 1
        await self.subscribed.wait()


async def test_the_greeting_is_not_consumed_before_the_first_participant_has_subscribed():
    controller = PlaybackController(AudioFormat(RATE))
    source, publication = rtc.AudioSource(RATE, 1), Publication()
    stream = rtc.AudioStream.from_track(
        track=rtc.LocalAudioTrack.create_audio_track("agent", source), sample_rate=RATE, num_channels=1
    )
    pumping = asyncio.create_task(source_pump(controller, source, publication).run())
    greeting = speech(0.3)
    controller.push(greeting)
    controller.end()
    await asyncio.sleep(0.2)
    assert publication.asked == 1
    assert (controller.position, source.queued_duration) == (0, 0)
    publication.subscribed.set()
    heard = np.zeros(0, np.int16)
    async for event in stream:
        piece = np.frombuffer(event.frame.data, np.int16)
        heard = np.concatenate([heard, piece[piece != 0]])
        if len(heard) >= np.count_nonzero(greeting):
            break
    assert (heard == greeting[greeting != 0]).all()
    assert publication.asked == 1
    controller.close()
    await pumping
    await stream.aclose()
    await source.aclose()
