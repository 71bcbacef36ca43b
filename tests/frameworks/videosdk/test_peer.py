"""A real peer connection of the framework's own WebRTC stack, on the loopback interface."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import patch

import numpy as np
import pytest
from videosdk_fakes import PATIENCE_SECONDS, RATE, until
from vsaiortc import RTCConfiguration, RTCPeerConnection
from vsaiortc.mediastreams import MediaStreamError, MediaStreamTrack

from playback.integrations.videosdk import CustomAudioStreamTrack, TeeMixingCustomAudioStreamTrack

TONE = np.rint(12_000 * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)).astype(np.int16)
LOUD = 2000.0


class Ear:
    """How loud each received frame was."""

    def __init__(self) -> None:
        self.levels: list[float] = []
        self.listening: asyncio.Task[None] | None = None

    def listen(self, track: MediaStreamTrack) -> None:
        self.listening = asyncio.create_task(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            self.levels.append(float(np.sqrt(np.mean(frame.to_ndarray().astype(np.float64) ** 2))))

    @property
    def loud(self) -> int:
        return sum(level > LOUD for level in self.levels)

    @property
    def quiet(self) -> bool:
        return len(self.levels) > 5 and max(self.levels[-5:]) < 50


@asynccontextmanager
async def heard(track: MediaStreamTrack) -> AsyncIterator[Ear]:
    """Send a track to a peer."""
    with patch("aioice.ice.get_host_addresses", return_value=["127.0.0.1"]):
        sender, receiver = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        ear = Ear()
        receiver.on("track", ear.listen)
        sender.addTrack(track)
        try:
            await sender.setLocalDescription(await sender.createOffer())
            await receiver.setRemoteDescription(sender.localDescription)
            await receiver.setLocalDescription(await receiver.createAnswer())
            await sender.setRemoteDescription(receiver.localDescription)
            yield ear
        finally:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await sender.close()
                await receiver.close()
                if ear.listening is not None:
                    await ear.listening


async def test_a_turn_and_an_interruption_arrive() -> None:
    track = TeeMixingCustomAudioStreamTrack(asyncio.get_running_loop())
    over = asyncio.Event()

    async def turn_over() -> None:
        over.set()

    async with heard(track) as ear:
        track.mark_synthesis_start()
        track.enable_audio_input(manual_control=True)
        track.on_last_audio_byte(turn_over)
        await track.add_new_bytes(TONE[: RATE // 2].tobytes())
        track.mark_synthesis_complete()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await over.wait()
        await until(lambda: ear.loud >= 20)
        await until(lambda: ear.quiet)
        before = ear.loud

        track.mark_synthesis_start()
        await track.add_new_bytes(np.tile(TONE, 10).tobytes())
        await until(lambda: ear.loud > before + 5)
        track.interrupt()
        await until(lambda: ear.quiet)
        assert ear.loud < before + 50  # of 500
        await track.cleanup()


async def test_a_track_that_ends_is_no_error_to_its_sender(caplog: pytest.LogCaptureFixture) -> None:
    track = CustomAudioStreamTrack(asyncio.get_running_loop())
    with caplog.at_level(logging.WARNING):
        async with heard(track) as ear:
            await until(lambda: len(ear.levels) > 3)
            await track.cleanup()
            await asyncio.sleep(0.1)
    assert [record for record in caplog.records if "Traceback" in record.getMessage()] == []
