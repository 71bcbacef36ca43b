"""Real calls on the loopback interface: native peers, with each other and with aiortc."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from unittest.mock import patch

import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController, Utterance
from playback.native import NativePeer
from tests.transports.peers import Peers

HERE: Final = "127.0.0.1"
PATIENCE: Final = 15.0
"""Seconds after which somebody is taken to wait for ever, on a machine that is busy."""
RATE: Final = 24_000
LOUD: Final = 2000
"""Of full scale 32767; the tone has 8000."""


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> NDArray[np.int16]:
    audio: NDArray[np.float64] = 8000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return audio.astype(np.int16)


def say(controller: PlaybackController, seconds: float) -> Utterance:
    utterance = controller.utterance()
    utterance.push(tone(seconds, controller.format.sample_rate))
    utterance.end()
    return utterance


def heard_ms(audio: NDArray[Any]) -> int:
    """For how long the tone is there, in audio at 48 kHz, looked at in pieces of 5 ms."""
    pieces = np.abs(audio)[: len(audio) // 240 * 240].reshape(-1, 240)
    return 5 * int((pieces.max(axis=1) > LOUD).sum())


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind((HERE, 0))
        return int(found.getsockname()[1])


def native(controller: PlaybackController | None = None, **options: Any) -> NativePeer:
    """A peer that uses the loopback interface alone."""
    return NativePeer(controller or PlaybackController(AudioFormat(RATE)), bind_address=HERE, **options)


async def until(true: Callable[[], object]) -> None:
    """Wait until something that threads or timers make true is so."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - nobody else knows
            await asyncio.sleep(0.01)


async def call(calling: NativePeer, called: NativePeer) -> None:
    """Connect two of them."""
    calling.accept(await called.answer(await calling.offer()))
    await until(lambda: calling.state == called.state == "connected")


class Heard:
    """What comes over a peer, decoded as it comes, without a jitter buffer."""

    def __init__(self, peer: NativePeer) -> None:
        self.packets: list[bytes] = []
        peer.listen(self.packets.append)

    def numbers(self) -> list[int]:
        return [int.from_bytes(packet[2:4]) for packet in self.packets]

    def audio(self) -> NDArray[np.float64]:
        decoder = av.CodecContext.create("libopus", "r")
        decoder.sample_rate, decoder.format, decoder.layout = 48_000, "s16", "mono"
        frames = [frame for packet in self.packets for frame in decoder.decode(av.Packet(packet[12:]))]
        samples = [frame.to_ndarray().reshape(-1) for frame in frames]
        return np.concatenate([np.zeros(0), *samples])


@asynccontextmanager
async def browser_like(
    peer: NativePeer, track: MediaStreamTrack | None = None, *, offers: bool = True
) -> AsyncIterator[Peers]:
    """An aiortc connection to a peer, that sends a track and keeps what arrives; both are closed at the end."""
    with patch("aioice.ice.get_host_addresses", return_value=[HERE]):
        other = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peers = Peers(other, other)
        other.on("track", peers.collect)
        other.addTrack(track or AudioStreamTrack())
        try:
            if offers:
                await other.setLocalDescription(await other.createOffer())
                answer = await peer.answer(other.localDescription.sdp)
                await other.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            else:
                await other.setRemoteDescription(RTCSessionDescription(await peer.offer(), "offer"))
                await other.setLocalDescription(await other.createAnswer())
                peer.accept(other.localDescription.sdp)
            await until(lambda: peer.state == "connected")
            yield peers
        finally:
            await peers.close()
            await peer.close()
