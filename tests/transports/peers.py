"""Two real peer connections on the loopback interface: one sends a track, the other keeps what arrives."""

from __future__ import annotations

import asyncio
from asyncio import Task, create_task
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from numpy.typing import NDArray

RATE = 48_000
"""What a received frame is decoded to, in Hz."""
PATIENCE_SECONDS = 20.0
"""How long anything may take before a test gives up; much longer than it should, for machines that are busy."""


@dataclass(frozen=True)
class Arrival:
    """One received frame: when it came by the loop's clock, and its samples, the channels averaged."""

    time: float
    samples: NDArray[np.float64]


@dataclass
class Peers:
    """A connection, and what has arrived over it so far."""

    sender: RTCPeerConnection
    receiver: RTCPeerConnection
    arrivals: list[Arrival] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)
    _collecting: Task[None] | None = None

    async def receive(self, seconds: float) -> NDArray[np.float64]:
        """Wait for so much more audio to arrive.

        Returns:
            What arrived meanwhile, in samples of :data:`RATE`, full scale 32767.

        Raises:
            TimeoutError: it did not come.
        """
        begin = len(self.arrivals)
        async with asyncio.timeout(seconds + PATIENCE_SECONDS):
            while sum(len(arrival.samples) for arrival in self.arrivals[begin:]) < round(seconds * RATE):
                self._more.clear()
                await self._more.wait()
        return self.audio(begin)

    def audio(self, begin: int = 0) -> NDArray[np.float64]:
        """All that has arrived since the frame of this number."""
        return np.concatenate([np.zeros(0), *(arrival.samples for arrival in self.arrivals[begin:])])

    async def close(self) -> None:
        """Close both ends."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.sender.close()
            await self.receiver.close()
            if self._collecting is not None:
                await self._collecting

    def collect(self, track: MediaStreamTrack) -> None:
        """Keep what arrives on a track until it ends."""
        self._collecting = create_task(self._collect(track))

    async def _collect(self, track: MediaStreamTrack) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            assert frame.sample_rate == RATE
            samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels).mean(axis=1, dtype=np.float64)
            self.arrivals.append(Arrival(clock(), samples))
            self._more.set()


@asynccontextmanager
async def connected(
    track: MediaStreamTrack, added: Callable[[RTCPeerConnection, RTCRtpSender], object] = lambda *_: None
) -> AsyncIterator[Peers]:
    """Send a track from one peer connection to another; both are closed at the end.

    Args:
        track: what is sent.
        added: called with the connection and its sender, once the track is added.
    """
    # Without servers and with the loopback address alone, nothing depends on the network of the machine.
    with patch("aioice.ice.get_host_addresses", return_value=["127.0.0.1"]):
        sender, receiver = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        peers = Peers(sender, receiver)
        receiver.on("track", peers.collect)
        added(sender, sender.addTrack(track))
        try:
            await sender.setLocalDescription(await sender.createOffer())
            await receiver.setRemoteDescription(sender.localDescription)
            await receiver.setLocalDescription(await receiver.createAnswer())
            await sender.setRemoteDescription(receiver.localDescription)
            yield peers
        finally:
            await peers.close()
