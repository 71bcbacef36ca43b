"""What the framework may call, and in which orders it does."""

import asyncio
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from fake_agent import FRAME, USER, speech, talk
from getstream.video.rtc import AudioStreamTrack, PcmData
from vision_agents.core.agents import agents
from vision_agents.core.agents.inference import AudioOutputChunk, AudioOutputStream
from vision_agents.core.llm.realtime import Realtime
from vision_agents.core.processors import AudioPublisher
from vision_agents.core.utils.audio_forwarder import AudioForwarder

import playback.integrations.vision_agents as integration
from playback import AudioFormat, Fades, PlaybackController, State
from playback.integrations.vision_agents import PlaybackAudioTrack, PlaybackPublisher
from playback.track import PlaybackTrack

EMPTY = PcmData(sample_rate=48_000, format="s16")


def make(**settings: Any) -> PlaybackAudioTrack:
    controller = PlaybackController(AudioFormat(48_000), fades=Fades(0, 0, 0, 0), **settings)
    return PlaybackAudioTrack(controller)


def played(track: PlaybackAudioTrack, frames: int) -> np.ndarray:
    return np.concatenate([track.controller.read(FRAME) for _ in range(frames)])


def test_it_has_every_member_that_the_framework_uses() -> None:
    source = inspect.getsource(agents)
    used = set(re.findall(r"_audio_track\.(\w+)", source))
    assert used == {"write", "flush", "stop"}
    theirs, ours = AudioStreamTrack(), make()
    public = {name for name in {*vars(theirs), *dir(theirs)} if not name.startswith("_")}
    assert {name for name in public if not hasattr(ours, name)} == {"audio_buffer_size_ms"}  # nothing is ever dropped
    for name in ("sample_rate", "channels", "format", "kind", "readyState"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("write", "flush", "recv", "stop"):
        signature = inspect.signature(getattr(ours, name))
        assert list(signature.parameters) == list(inspect.signature(getattr(theirs, name)).parameters)
        assert inspect.iscoroutinefunction(getattr(ours, name)) == inspect.iscoroutinefunction(getattr(theirs, name))


def test_it_is_a_track_of_aiortc() -> None:
    track = make()
    assert isinstance(track, MediaStreamTrack)
    assert track.kind == "audio"
    assert isinstance(PlaybackPublisher(PlaybackController()), AudioPublisher)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("format", ["s16", "f32"])
@pytest.mark.parametrize("shape", ["samples", "channels first", "samples first", "interleaved"])
async def test_audio_of_any_rate_layout_and_type(rate: int, format: str, shape: str) -> None:
    tone = np.sin(np.arange(rate // 10) * 2 * np.pi * 200 / rate) * 0.25
    values = (tone * 32_768).astype(np.int16) if format == "s16" else tone.astype(np.float32)
    stereo = np.stack([values, values])
    samples, channels = {
        "samples": (values, 1),
        "channels first": (stereo, 2),
        "samples first": (np.ascontiguousarray(stereo.T), 2),
        "interleaved": (stereo.T.reshape(-1), 2),
    }[shape]
    track = make()
    await track.write(PcmData(sample_rate=rate, format=format, samples=samples, channels=channels), final=True)
    assert abs(track.controller.buffered - 4_800) <= 1
    heard = played(track, 5)[1_000:3_800]
    assert abs(int(np.abs(heard).max()) - 8_192) < 100


async def test_a_stereo_track() -> None:
    track = PlaybackAudioTrack(PlaybackController(AudioFormat(48_000, 2)))
    assert track.channels == 2
    samples = np.stack([np.full(960, 1_000, np.int16), np.full(960, -1_000, np.int16)])
    await track.write(PcmData(sample_rate=48_000, format="s16", samples=samples, channels=2), final=True)
    frame = await track.recv()
    assert frame.layout.name == "stereo"
    assert frame.to_ndarray().reshape(-1, 2)[0].tolist() == [1_000, -1_000]


async def test_the_rate_changes_within_an_utterance() -> None:
    track = make()
    await track.write(speech(0.1, 24_000))
    await track.write(speech(0.1, 16_000))
    await track.write(EMPTY, final=True)
    assert track.controller.buffered == 9_600
    assert played(track, 10)[-100:].all()
    assert track.controller.state == State.IDLE


async def test_orders_of_calls() -> None:
    track = make()
    finished: list[Any] = []
    track.controller.on("utterance_finished", lambda event: finished.append(event.report))
    await track.flush()  # before anything else
    await track.write(EMPTY)  # nothing at all
    assert finished == []
    await track.write(EMPTY, final=True)  # a turn without audio ends, too
    assert [(report.outcome, report.accepted) for report in finished] == [("completed", 0)]
    await track.write(speech(0.02), final=True)
    await track.write(speech(0.02), True)
    await track.flush()
    await track.flush()
    await track.write(EMPTY, final=True)  # belated
    assert [report.outcome for report in finished[1:]] == ["interrupted", "interrupted", "completed"]
    await track.write(speech(0.02))
    await track.flush()
    await track.write(speech(0.1))  # another turn
    assert played(track, 4).all()
    track.stop()
    track.stop()
    await track.write(speech(0.1), final=True)
    await track.flush()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_what_can_not_be_taken_does_not_end_the_agents_task(caplog: pytest.LogCaptureFixture) -> None:
    track = make(max_buffered_seconds=10.0)
    await track.write(PcmData(48_000, "f32", np.full(960, np.nan, np.float32)))
    await track.write(PcmData(48_000, "s16", np.zeros((6, 960), np.int16), channels=6))
    await track.write(speech(9))
    await track.write(speech(2))
    assert len(caplog.records) == 3
    assert track.controller.buffered == 9 * 48_000
    await track.write(EMPTY, final=True)
    played(track, 450)
    assert track.controller.state == State.IDLE


async def test_writing_never_waits_so_that_a_flush_gets_through() -> None:
    track = make()
    async with asyncio.timeout(1):
        for _ in range(60):
            await track.write(speech(1))
        await track.flush()
    assert track.controller.buffered == 0


async def test_the_frames_are_what_an_edge_transport_sends() -> None:
    track = make()
    await track.write(speech(0.021), final=True)
    frames = [await track.recv() for _ in range(2)]
    for index, frame in enumerate(frames):
        assert isinstance(frame, av.AudioFrame)
        assert (frame.samples, frame.sample_rate, frame.format.name, frame.layout.name) == (960, 48_000, "s16", "mono")
        assert frame.pts == index * 960
        assert frame.time_base == frame.time_base.__class__(1, 48_000)
    assert not frames[1].to_ndarray()[0, 48:].any()


async def test_the_frameworks_own_reader_reads_it() -> None:
    track, heard = make(), []

    async def keep(pcm: PcmData) -> None:
        heard.append(pcm)

    await track.write(speech(0.1), final=True)
    forwarder = AudioForwarder(track, keep)
    await forwarder.start()
    while not heard:  # noqa: ASYNC110 - it has nothing to wait for
        await asyncio.sleep(0.01)
    track.stop()
    await forwarder._task  # it ends with its track
    assert heard
    assert heard[0].sample_rate == 16_000


async def test_the_frameworks_own_stream_feeds_it() -> None:
    """Audio of any length, cut to 20 ms and padded by the framework."""
    stream, track = AudioOutputStream(), make()
    await stream.send(AudioOutputChunk(data=speech(0.033)))
    await stream.send(AudioOutputChunk(data=speech(0.011), final=True))
    await stream.send(AudioOutputChunk(final=True))
    stream.close()
    finished = []
    track.controller.on("last_audio_byte", lambda event: finished.append(event.utterance.accepted))
    async for item in stream:
        await track.write(item.data if item.data is not None else EMPTY, final=item.final)
    played(track, 3)
    assert finished == [2_880, 0]


class FakeRealtime(Realtime):
    """Speech to speech: says what the test pushes to its output."""

    provider_name = "fake"

    async def connect(self) -> None:
        self._on_connected()

    async def simple_response(self, *_: Any, **__: Any) -> Any:
        return
        yield

    async def simple_audio_response(self, pcm: PcmData, participant: Any) -> None:
        pass

    async def watch_video_track(self, track: Any, shared_forwarder: Any = None) -> None:
        pass

    async def close(self) -> None:
        await self._close_audio_input()

    def say(self, pcm: PcmData) -> None:
        self._emit_audio_output_event(pcm)

    def done(self, interrupted: bool = False) -> None:
        self._emit_audio_output_done_event(interrupted=interrupted)


async def test_a_realtime_model() -> None:
    llm = FakeRealtime()
    async with talk(llm=llm) as now:
        finished = []
        now.controller.on(
            "utterance_finished", lambda event: finished.append((event.report.outcome, event.report.played))
        )
        llm.say(speech(0.05, 24_000))
        llm.done()
        llm.done()  # a response without audio
        await now.settled()
        now.play(0.06)
        assert finished == [("completed", 2_880), ("completed", 0)]

        finished.clear()
        llm.say(speech(0.5, 24_000))
        await now.settled()
        now.play(0.2)
        llm._current_participant = USER
        llm.done(interrupted=True)
        await now.settled()
        assert not now.play(0.1).any()
        assert finished == [("interrupted", 9_600)]
        llm.say(speech(0.1, 24_000))
        llm.done()
        await now.settled()
        assert now.play(0.1)[100:].all()


async def test_a_flush_before_the_audio_counts_what_was_announced_as_not_heard() -> None:
    track = make()
    reports: list[Any] = []
    track.controller.on("utterance_finished", lambda event: reports.append(event.report))
    track.announce("One.", [("One", 0.0)])
    track.announce("Two.", [("Two", 0.0)])
    await track.write(speech(0.1), final=True)
    await track.flush()
    await track.write(speech(0.1), final=True)
    played(track, 5)
    assert [(report.text, report.heard) for report in reports] == [("One.", ""), ("Two.", ""), (None, None)]


@pytest.mark.parametrize("start", [-0.1, float("nan"), float("inf"), None])
async def test_an_announcement_that_can_not_be_is_the_announcers_mistake(start: Any) -> None:
    """An exception in `write` would end the task in which the agent writes."""
    track = make()
    with pytest.raises((TypeError, ValueError), match=r"the start of 'Two' is .*, expected a"):
        track.announce("One two.", [("One", 0.0), ("Two", start)])
    with pytest.raises(TypeError, match="text is 5, expected str"):
        track.announce(5)  # type: ignore[arg-type]
    await track.write(speech(0.1), final=True)
    assert played(track, 5).all()


async def test_synthesis_that_fails_leaves_an_open_utterance() -> None:
    track = make(input_timeout_seconds=1.0, on_input_timeout="complete")
    await track.write(speech(0.05))
    played(track, 10)
    assert track.controller.state == State.SPEAKING
    played(track, 50)
    assert track.controller.state == State.IDLE
    await track.write(speech(0.1), final=True)
    assert played(track, 5).all()


async def test_two_agents_can_not_read_one_controller() -> None:
    controller = PlaybackController()
    first, second = PlaybackPublisher(controller), PlaybackPublisher(controller)
    await first.track.recv()
    with pytest.raises(RuntimeError, match="reads its controller already"):
        await second.track.recv()


async def test_a_controller_outlives_a_track() -> None:
    controller = PlaybackController()
    first = PlaybackAudioTrack(controller, close_controller=False)
    await first.write(speech(0.1), final=True)
    await first.recv()
    first.stop()
    second = PlaybackAudioTrack(controller)
    assert isinstance(second, PlaybackTrack)
    assert (await second.recv()).to_ndarray().all()


def test_without_the_framework_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vision_agents.core.processors", None)
    code = compile(Path(integration.__file__).read_text(), integration.__file__, "exec")
    with pytest.raises(ImportError, match=r"pip install 'voice-playback\[vision_agents\]'"):
        exec(code, {"__name__": "again"})
