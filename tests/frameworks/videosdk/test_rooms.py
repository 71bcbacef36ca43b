"""The framework's rooms, jobs, transports and realtime pipeline, on our tracks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from videosdk.agents import AgentSession, Pipeline
from videosdk.agents.job import JobContext, RoomOptions
from videosdk.agents.realtime_base_model import RealtimeBaseModel
from videosdk.agents.room import room as rooms
from videosdk.agents.transports.websocket_handler import WebSocketTransportHandler
from videosdk.agents.utils import AgentState
from videosdk_fakes import FRAME, FakeAgent, ramp, settle

from playback.integrations.videosdk import (
    CustomAudioStreamTrack,
    TeeCustomAudioStreamTrack,
    TeeMixingCustomAudioStreamTrack,
    install,
)


def make_room(**options: Any) -> rooms.VideoSDKHandler:
    return rooms.VideoSDKHandler(
        meeting_id="room",
        auth_token="token",
        name="Agent",
        agent_participant_id="agent",
        agent_id="agent",
        pipeline=None,
        loop=asyncio.get_running_loop(),
        owns_session_metrics=False,
        **options,
    )


async def test_a_room_takes_the_track_it_is_given() -> None:
    track = CustomAudioStreamTrack(asyncio.get_running_loop())
    room = make_room(custom_microphone_audio_track=track)
    assert room.audio_track is track
    assert room.meeting_config["custom_microphone_audio_track"] is track
    await track.add_new_bytes(ramp(10 * FRAME).tobytes())
    await room.cleanup()
    assert track.readyState == "ended"
    assert room.audio_track is None


@pytest.mark.parametrize(
    ("background", "made"), [(False, TeeCustomAudioStreamTrack), (True, TeeMixingCustomAudioStreamTrack)]
)
async def test_installed_a_room_makes_our_tracks(
    monkeypatch: pytest.MonkeyPatch, background: bool, made: type[Any]
) -> None:
    for name in ("TeeCustomAudioStreamTrack", "TeeMixingCustomAudioStreamTrack"):
        monkeypatch.setattr(rooms, name, getattr(rooms, name))  # to be put back
    install()
    install()
    room = make_room(background_audio=background)
    assert type(room.audio_track) is made
    assert room.meeting_config["custom_microphone_audio_track"] is room.audio_track
    await room.cleanup()
    avatar = make_room(
        background_audio=background, custom_microphone_audio_track=CustomAudioStreamTrack(), audio_sinks=[print]
    )
    assert type(avatar.agent_audio_track) is made
    await avatar.cleanup()


async def test_another_framework_cannot_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(rooms, "TeeCustomAudioStreamTrack")
    with pytest.raises(ImportError, match=r"no TeeCustomAudioStreamTrack, expected videosdk-agents 1\.0\.30"):
        install()


async def test_a_job_hands_the_track_to_another_pipeline() -> None:
    track = TeeCustomAudioStreamTrack(asyncio.get_running_loop())
    track.enable_audio_input(manual_control=True)
    track.interrupt()
    context = JobContext(room_options=RoomOptions(room_id="room", auth_token="token"))
    context.room = SimpleNamespace(audio_track=track, pipeline=None)
    given = []
    pipeline = SimpleNamespace(_set_loop_and_audio_track=lambda *loop_and_track: given.append(loop_and_track[1]))
    context._set_pipeline_internal(pipeline)
    assert given == [track]
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert track.controller.read(FRAME).any()
    await track.cleanup()


async def test_a_websocket_hears_what_is_said() -> None:
    class Socket:
        def __init__(self) -> None:
            self.sent = bytearray()
            self.gone = asyncio.Event()

        async def send(self, data: bytes) -> None:
            self.sent += data

        async def __aiter__(self) -> AsyncIterator[str]:
            await self.gone.wait()
            return
            yield ""

    loop = asyncio.get_running_loop()
    track, socket = TeeCustomAudioStreamTrack(loop), Socket()
    handler = WebSocketTransportHandler(loop=loop, pipeline=SimpleNamespace(audio_track=track))
    connection = asyncio.create_task(handler._handle_connection(socket))
    await settle()
    assert len(track.sinks) == 1
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert socket.sent == ramp(FRAME).tobytes()
    socket.gone.set()
    await connection
    assert track.sinks == []
    await track.cleanup()


class FakeRealtime(RealtimeBaseModel[str]):
    """Streams audio without any mark but the end."""

    async def connect(self) -> None:
        self.reframe_audio_track(16_000)

    async def speak(self, samples: int) -> None:
        self.emit("agent_speech_started", {})
        await self.audio_track.add_new_bytes(ramp(samples).tobytes())
        self.audio_track.mark_synthesis_complete()

    async def interrupt(self) -> None:
        self.audio_track.interrupt()
        self.audio_track.mark_synthesis_complete()

    async def aclose(self) -> None:
        await super().aclose()


async def test_a_realtime_model() -> None:
    model = FakeRealtime()
    pipeline = Pipeline(llm=model)
    track = CustomAudioStreamTrack(asyncio.get_running_loop())
    session = AgentSession(agent=FakeAgent("Answer."), pipeline=pipeline)
    pipeline._set_loop_and_audio_track(asyncio.get_running_loop(), track)
    ended = []
    model.on("agent_speech_ended", lambda data: ended.append(data))
    await session.start()
    for turn in (1, 2):
        await model.speak(640)
        await settle()
        assert session.agent_state is AgentState.SPEAKING
        track.controller.read(FRAME)
        await settle()
        assert len(ended) == turn - 1
        track.controller.read(FRAME)
        await settle()
        assert len(ended) == turn
        assert session.agent_state is AgentState.IDLE
    await model.speak(64_000)
    track.controller.read(FRAME)
    model.emit("user_speech_started", {})  # the framework interrupts the track itself, before the model does
    await model.interrupt()
    await settle()
    assert len(ended) == 3  # the model's mark is answered
    assert np.count_nonzero(track.controller.read(20 * FRAME)) <= 3 * FRAME
    await session.close()
    await track.cleanup()
