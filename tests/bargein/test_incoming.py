"""One incoming track has several consumers: each gets every frame, nobody waits for ever, and no queue grows."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import av
import numpy as np
import pytest
from aiortc import AudioStreamTrack, RTCPeerConnection, VideoStreamTrack
from aiortc.mediastreams import MediaStreamError

from playback.bargein.incoming import IncomingAudio, Subscription
from playback.bargein.vad import CHUNK, SpeechDetector, VoiceActivity
from tests.bargein.microphones import Audio, Heard, Microphone, sure

pytestmark = pytest.mark.portable


async def numbers(frames: Subscription) -> list[int]:
    return [int(frame.to_ndarray()[0, 0]) async for frame in frames]


def put(microphone: Microphone, *values: int, rate: int = 16_000) -> None:
    for value in values:
        microphone.put(np.full(rate // 50, value, np.int16), rate)


async def test_each_subscriber_gets_every_frame() -> None:
    microphone = Microphone()
    audio = IncomingAudio(microphone)
    subscriptions = [audio.frames() for _ in range(3)]
    put(microphone, *range(50))
    microphone.end()
    async with asyncio.timeout(10):
        assert await asyncio.gather(*map(numbers, subscriptions)) == [list(range(50))] * 3


async def test_voice_activity_a_recorder_and_recognition_hear_the_same_track() -> None:
    microphone, first, second = Microphone(), Heard(), Heard()
    activity = VoiceActivity(microphone, first, second, detector=SpeechDetector(sure))
    samples, track = activity.audio.samples(), activity.audio.track()
    running = asyncio.create_task(activity.run())
    await asyncio.sleep(0)
    microphone.put(np.ones(48_000, np.int16), 48_000)
    microphone.end()
    recorded = 0
    async with asyncio.timeout(10):
        with suppress(MediaStreamError):
            while isinstance(frame := await track.recv(), av.AudioFrame):
                recorded += frame.samples
        heard = np.concatenate([piece async for piece in samples])
        await running
    assert recorded == 48_000
    assert heard.dtype == np.int16
    assert heard.shape == (pytest.approx(16_000, abs=64),)
    assert first.changes == second.changes == [True, False]


async def test_whoever_reads_the_track_itself_gets_an_error() -> None:
    microphone = Microphone()
    audio = IncomingAudio(microphone)
    frames = audio.frames()
    put(microphone, *range(10))
    with pytest.raises(RuntimeError, match="use its track\\(\\) or samples\\(\\)"):
        await microphone.recv()
    with pytest.raises(RuntimeError, match="is read by an IncomingAudio already"):
        IncomingAudio(microphone)
    with pytest.raises(RuntimeError, match="is read by an IncomingAudio already"):
        VoiceActivity(microphone, detector=SpeechDetector(sure))
    microphone.end()
    assert await numbers(frames) == list(range(10))


@pytest.mark.parametrize("how", ["ended", "stopped", "raised"])
async def test_every_subscriber_ends_with_the_track(how: str) -> None:
    microphone = Microphone()
    audio = IncomingAudio(microphone)
    frames, samples, track = audio.frames(), audio.samples(), audio.track()
    waiting = [asyncio.ensure_future(each) for each in (anext(frames, None), anext(samples, None), track.recv())]
    await asyncio.sleep(0)
    if how == "stopped":
        microphone.stop()
    elif how == "ended":
        microphone.end()
    else:
        microphone.queue.put_nowait(OSError("the device is gone"))
    async with asyncio.timeout(1):
        ends = await asyncio.gather(*waiting, return_exceptions=True)
    if how == "raised":
        assert [str(end) for end in ends] == ["the device is gone"] * 3
    else:
        assert ends[:2] == [None, None]
        assert isinstance(ends[2], MediaStreamError)
    assert audio.ended
    late = audio.track()
    with pytest.raises(OSError if how == "raised" else MediaStreamError):
        await late.recv()


async def test_every_subscriber_ends_with_the_connection() -> None:
    ours, theirs = RTCPeerConnection(), RTCPeerConnection()
    came: asyncio.Future[IncomingAudio] = asyncio.get_running_loop().create_future()
    ours.on("track", lambda track: came.set_result(IncomingAudio(track)))
    theirs.addTrack(AudioStreamTrack())
    await theirs.setLocalDescription(await theirs.createOffer())
    await ours.setRemoteDescription(theirs.localDescription)
    await ours.setLocalDescription(await ours.createAnswer())
    await theirs.setRemoteDescription(ours.localDescription)
    audio = await came
    samples, track = audio.samples(), audio.track()
    async with asyncio.timeout(20):
        assert len(await anext(samples)) > 0
        await ours.close()
    async with asyncio.timeout(1):
        async for _ in samples:
            pass
        with suppress(MediaStreamError):
            while True:
                await track.recv()
    await theirs.close()


async def test_the_oldest_frames_of_a_slow_subscriber_are_dropped_and_counted() -> None:
    microphone = Microphone()
    audio = IncomingAudio(microphone)
    slow, fast = audio.frames(queue_seconds=0.2), audio.frames()
    put(microphone, *range(100))
    microphone.end()
    assert await numbers(fast) == list(range(100))
    assert await numbers(slow) == list(range(90, 100))
    assert (slow.dropped, fast.dropped) == (90, 0)


async def test_a_subscriber_that_leaves_ends_alone() -> None:
    microphone = Microphone()
    audio = IncomingAudio(microphone)
    leaves, stays, track = audio.frames(), audio.frames(), audio.track()
    put(microphone, 1)
    assert int((await anext(leaves)).to_ndarray()[0, 0]) == 1
    leaves.close()
    track.stop()
    put(microphone, 2)
    microphone.end()
    assert await numbers(leaves) == []
    assert await numbers(stays) == [1, 2]
    with pytest.raises(MediaStreamError):
        await track.recv()


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
async def test_samples_have_the_rate_that_was_asked_for(rate: int) -> None:
    microphone = Microphone()
    samples = IncomingAudio(microphone).samples(rate)
    microphone.put(np.ones(44_100, np.int16), 44_100, channels=2)
    microphone.end()
    assert sum([len(piece) async for piece in samples]) == pytest.approx(rate, abs=0.01 * rate)


async def test_what_is_no_audio_track_is_refused() -> None:
    with pytest.raises(ValueError, match="kind is 'video', expected 'audio'"):
        IncomingAudio(VideoStreamTrack())
    with pytest.raises(TypeError, match="track is 'microphone'"):
        IncomingAudio("microphone")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rate is 0"):
        IncomingAudio(Microphone()).samples(0)
    with pytest.raises(ValueError, match="queue_seconds is -1"):
        IncomingAudio(Microphone()).frames(queue_seconds=-1)
    with pytest.raises(TypeError, match="expected an object with speech_started"):
        VoiceActivity(Microphone(), object(), detector=SpeechDetector(sure))  # type: ignore[arg-type]


async def test_a_listener_that_raises_takes_nothing_from_the_others() -> None:
    class Broken(Heard):
        def speech_started(self) -> None:
            raise OSError("broken")

    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    microphone, listener = Microphone(), Heard()
    microphone.put(np.ones(10 * CHUNK, np.int16))
    microphone.end()
    await VoiceActivity(microphone, Broken(), listener, detector=SpeechDetector(sure)).run()
    assert listener.changes == [True, False]
    assert [str(error) for error in reported] == ["broken"]


async def test_a_listener_that_wants_samples_gets_them_before_what_follows_from_them() -> None:
    class Recognition(Heard):
        def samples_heard(self, samples: Audio) -> None:
            self.changes.append(len(samples))

    microphone, listener = Microphone(), Recognition()
    microphone.put(np.ones(3 * CHUNK, np.int16), size=CHUNK)
    microphone.end()
    await VoiceActivity(microphone, listener, detector=SpeechDetector(sure)).run()
    assert listener.changes == [CHUNK, CHUNK, CHUNK, True, False]


async def test_a_listener_may_ask_how_long_ago_it_was() -> None:
    class Asks:
        def __init__(self) -> None:
            self.ago: list[float] = []

        def speech_started(self, seconds_ago: float) -> None:
            self.ago.append(seconds_ago)

        def speech_ended(self, *, seconds_ago: float = 0.0) -> None:
            self.ago.append(seconds_ago)

    microphone, listener = Microphone(), Asks()
    microphone.put(np.repeat(np.array([0, 1, 0], np.int16), 20 * CHUNK), size=CHUNK)
    microphone.end()
    await VoiceActivity(microphone, listener, Heard(), detector=SpeechDetector(sure)).run()
    assert listener.ago == pytest.approx([0.096, 0.256])
