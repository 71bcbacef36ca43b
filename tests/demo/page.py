"""A page of the demo as a program: a real peer connection with its data channel, and what it received."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray
from starlette.applications import Starlette

from playback.demo.app import DemoSettings, create_app
from tests.leftovers import counted_controllers, loopback, settled, sockets

__all__ = ["counted_controllers", "loopback", "settled", "sockets"]

HOST = "http://127.0.0.1"
SDP = {"content-type": "application/sdp"}
PATIENCE_SECONDS = 20.0
LOUD = 1000
"""Of 32,767: what is heard, and no noise of a codec."""

Message = dict[str, Any]


class Page:
    """One page, connected or about to be."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.messages: list[Message] = []
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel: RTCDataChannel = self.peer.createDataChannel("playback")
        self.channel.on("message", self._take)
        self.channel.on("close", self._wake)
        self.voice: MediaStreamTrack | None = None
        self.peer.on("track", self._voice_came)
        self.location = ""
        self.hidden = False
        """Whether it hides its addresses, as a browser that may not use the microphone."""
        self.longest: int | None = None
        """How long it says a message may be, if it says so."""
        self._more = asyncio.Event()

    async def connect(self, query: str = "", path: str = "/whep", microphone: MediaStreamTrack | None = None) -> None:
        """Begin a session, and wait until it says hello."""
        await self.answered(query, path, microphone)
        await self.message("hello")

    async def answered(
        self, query: str = "", path: str = "/whep", microphone: MediaStreamTrack | None = None
    ) -> httpx.Response:
        """Begin a session, and give the answer, whatever becomes of it."""
        response = await self.offer(query, path, microphone)
        assert response.status_code == 201, response.text
        self.location = response.headers["location"]
        await self.peer.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
        return response

    async def offer(
        self, query: str = "", path: str = "/whep", microphone: MediaStreamTrack | None = None
    ) -> httpx.Response:
        """Send an offer."""
        if not self.peer.getTransceivers():
            self.peer.addTransceiver(microphone or "audio", direction="sendrecv")
        await self.peer.setLocalDescription(await self.peer.createOffer())
        text = self.peer.localDescription.sdp
        if self.hidden:
            text = text.replace(" 127.0.0.1 ", " 0c8f0d7e-0000.local ")
        if self.longest is not None:
            text = re.sub(r"a=max-message-size:\d+", f"a=max-message-size:{self.longest}", text)
        return await self.client.post(path + query, content=text, headers=SDP)

    def send(self, do: str, **values: Any) -> None:
        """Send a command."""
        self.channel.send(json.dumps({"do": do, **values}))

    async def message(self, kind: str, condition: Callable[[Message], bool] = lambda _: True, **values: Any) -> Message:
        """Wait for a message of a kind, with these values; the first one there is."""

        def fits(message: Message) -> bool:
            wanted = {"is": kind, **values}
            return all(message.get(key) == value for key, value in wanted.items()) and condition(message)

        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    for message in self.messages:
                        if fits(message):
                            return message
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"no {kind} {values} in {self.messages[-20:]}") from None

    async def event(self, name: str, **values: Any) -> Message:
        """Wait for an event of the controller."""
        return await self.message("event", name=name, **values)

    async def hears(self, seconds: float) -> None:
        """Wait until there is something to hear, for so long at most."""
        assert self.voice is not None
        async with asyncio.timeout(seconds):
            while True:
                frame = await self.voice.recv()
                assert isinstance(frame, av.AudioFrame)
                if np.abs(frame.to_ndarray().astype(int)).max() > LOUD:
                    break

    async def hear_all(self) -> NDArray[np.int16]:
        """All that is heard until the connection is over, of one channel."""
        heard = [np.zeros(0, np.int16)]
        assert self.voice is not None
        with suppress(MediaStreamError):
            while True:
                frame = await self.voice.recv()
                assert isinstance(frame, av.AudioFrame)
                heard.append(frame.to_ndarray().reshape(-1, frame.layout.nb_channels)[:, 0].astype(np.int16))
        return np.concatenate(heard)

    async def gone(self) -> None:
        """Wait until the data channel is closed."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.channel.readyState != "closed":
                self._more.clear()
                await self._more.wait()

    def of(self, kind: str) -> list[Message]:
        """The messages of a kind so far."""
        return [message for message in self.messages if message["is"] == kind]

    async def close(self) -> None:
        """Go away."""
        await self.peer.close()

    def _take(self, message: str) -> None:
        self.messages.append(json.loads(message))
        self._more.set()

    def _wake(self) -> None:
        self._more.set()

    def _voice_came(self, track: MediaStreamTrack) -> None:
        self.voice = track


@asynccontextmanager
async def served(
    settings: DemoSettings | None = None, app: Starlette | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """An app, and a client of it; at the end all sessions are closed."""
    app = app or create_app(settings)
    with loopback():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST) as client:
            try:
                yield client
            finally:
                await app.state.sessions.aclose()


@asynccontextmanager
async def page(settings: DemoSettings | None = None, query: str = "") -> AsyncIterator[Page]:
    """A page that is connected to an app of its own."""
    async with served(settings) as client:
        one = Page(client)
        try:
            await one.connect(query)
            yield one
        finally:
            await one.close()
