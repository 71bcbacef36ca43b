"""Callers as programs: real peer connections, over HTTP and over WebSockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import av
import httpx
import numpy as np
import websockets
from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError
from websockets.asyncio.client import ClientConnection

from playback.serving.calls import Calls
from playback.serving.server import make_server
from playback.serving.settings import ServingSettings
from tests.leftovers import loopback, settled, sockets

PATIENCE_SECONDS = 20.0
LOUD = 1_000
SDP = {"content-type": "application/sdp"}

Message = dict[str, Any]


class Caller:
    """A caller who sends silence, or what a microphone hears, and may have a data channel."""

    def __init__(
        self, *, channel: bool = False, direction: str = "sendrecv", microphone: MediaStreamTrack | None = None
    ) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.voice: MediaStreamTrack | None = None
        self.peer.on("track", self._voice_came)
        self.channel: RTCDataChannel | None = self.peer.createDataChannel("playback") if channel else None
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        if self.channel is not None:
            self.channel.on("message", self.messages.put_nowait)
        if direction == "sendrecv":
            self.peer.addTrack(microphone or AudioStreamTrack())
        else:
            self.peer.addTransceiver("audio", direction=direction)

    async def offer(self) -> str:
        """Its offer, with all its candidates."""
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return str(self.peer.localDescription.sdp)

    async def answered(self, sdp: str) -> None:
        """Take the answer."""
        await self.peer.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def hears(self) -> None:
        """Wait until there is something to hear."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                assert self.voice is not None
                frame = await self.voice.recv()
                assert isinstance(frame, av.AudioFrame)
                if np.abs(frame.to_ndarray().astype(int)).max() > LOUD:
                    return

    async def heard_seconds(self) -> float:
        """How much that is loud is heard until the connection is over."""
        loud = 0.0
        assert self.voice is not None
        with suppress(MediaStreamError):
            while True:
                frame = await self.voice.recv()
                assert isinstance(frame, av.AudioFrame)
                loud += 0.02 * bool(np.abs(frame.to_ndarray().astype(int)).max() > LOUD)
        return loud

    async def gone(self) -> None:
        """Wait until the other side has closed the connection."""
        await settled(lambda: self.peer.connectionState in ("closed", "failed"), lambda: self.peer.connectionState)

    async def close(self) -> None:
        """Go away."""
        await self.peer.close()

    def _voice_came(self, track: MediaStreamTrack) -> None:
        self.voice = track


class SocketCaller(Caller):
    """A caller over a WebSocket."""

    socket: ClientConnection
    key: str

    async def call(self, address: str, query: str = "", **first: Any) -> Message:
        """Open a socket, and send an offer.

        Returns:
            The answer, or what came in its place.
        """
        self.socket = await websockets.connect(f"{address.replace('http', 'ws')}/ws{query}")
        await self.send(type="offer", sdp=await self.offer(), **first)
        message = await self.receive()
        if message["type"] == "answer":
            self.key = message["key"]
            await self.answered(message["sdp"])
        return message

    async def attach(self, address: str, key: str | None = None) -> Message:
        """Take the call up with another socket."""
        self.socket = await websockets.connect(f"{address.replace('http', 'ws')}/ws")
        await self.send(type="attach", key=key or self.key)
        return await self.receive()

    def cut(self) -> None:
        """Cut the socket, without a word."""
        self.socket.transport.abort()

    async def send(self, **message: Any) -> None:
        """Send a message."""
        await self.socket.send(json.dumps(message))

    async def receive(self) -> Message:
        """The next message."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            message: Message = json.loads(await self.socket.recv())
            return message

    async def closed(self) -> int | None:
        """Wait until the socket is closed; the code."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.socket.wait_closed()
        return self.socket.close_code

    async def close(self) -> None:
        """Go away."""
        await super().close()
        if hasattr(self, "socket"):
            await self.socket.close()


class HttpCaller(Caller):
    """A caller over HTTP."""

    location: str
    tag: str

    async def call(self, client: httpx.AsyncClient, query: str = "") -> httpx.Response:
        """Begin a call."""
        response = await client.post(f"/whep{query}", content=await self.offer(), headers=SDP)
        if response.status_code == 201:
            self.location, self.tag = response.headers["location"], response.headers["etag"]
            await self.answered(response.text)
        return response


@asynccontextmanager
async def serving(calls: Calls, settings: ServingSettings | None = None) -> AsyncIterator[str]:
    """A server in this loop; gives its address. At the end there is no call, and no socket is left."""
    held = sockets()
    with loopback():
        listener = socket.create_server(("127.0.0.1", 0))
        server = make_server(calls, settings or ServingSettings(), shutdown_seconds=0.0)
        task = asyncio.create_task(server._serve([listener]))
        await settled(lambda: server.started, lambda: "not started")
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
            listener.close()
    assert not len(calls)
    await settled(lambda: sockets() <= held, lambda: (held, sockets()))
