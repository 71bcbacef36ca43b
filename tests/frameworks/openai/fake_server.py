"""A realtime server on the loopback address: it says what a test asks for, and keeps what it was sent."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import websockets

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"

from agents.realtime import RealtimeAgent, RealtimeRunner

from playback import AudioFormat, Fades, PlaybackController
from playback.integrations.openai import RealtimePlayback

RATE = 24_000
FRAME = 960  # 20 ms at 48 kHz

_ids = count(1)


def speech(milliseconds: float, level: int = 1_000) -> bytes:
    """PCM16 of 24 kHz; each sample differs from its neighbours, so that a lost one is seen."""
    samples = round(RATE * milliseconds / 1000)
    return (level + np.arange(samples) % 1_000).astype("<i2").tobytes()


class Server:
    """What the model's websocket connects to."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.socket: Any = None
        self._arrived = asyncio.Event()
        self._received = asyncio.Event()

    async def serve(self, socket: Any) -> None:
        self.socket = socket
        self._received.set()
        async for message in socket:
            self.received.append(json.loads(message))
            self._arrived.set()

    async def send(self, type: str, **content: Any) -> None:
        await self._received.wait()
        await self.socket.send(json.dumps({"type": type, "event_id": f"event_{next(_ids)}", **content}))

    def of(self, type: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["type"] == type]

    @property
    def truncated(self) -> list[tuple[str, int, int]]:
        """Item, content index, milliseconds: in the order in which they came."""
        return [
            (message["item_id"], message["content_index"], message["audio_end_ms"])
            for message in self.of("conversation.item.truncate")
        ]

    async def wait_for(self, type: str, times: int = 1) -> None:
        async with asyncio.timeout(5):
            while len(self.of(type)) < times:
                self._arrived.clear()
                await self._arrived.wait()

    # What a real one says

    async def session(self, turn_detection: dict[str, Any] | None = None, format: dict[str, Any] | None = None) -> None:
        output = {"format": format or {"type": "audio/pcm", "rate": RATE}}
        audio = {"input": {"turn_detection": turn_detection}, "output": output}
        await self.send("session.created", session={"type": "realtime", "model": "gpt-realtime", "audio": audio})

    async def begin(self, response: str) -> None:
        await self.send("response.created", response={"id": response, "object": "realtime.response"})

    async def delta(self, response: str, item: str, audio: bytes, index: int = 0) -> None:
        await self.send(
            "response.output_audio.delta",
            response_id=response,
            item_id=item,
            output_index=0,
            content_index=index,
            delta=base64.b64encode(audio).decode(),
        )

    async def done(self, response: str, item: str, index: int = 0) -> None:
        await self.send(
            "response.output_audio.done", response_id=response, item_id=item, output_index=0, content_index=index
        )

    async def end(self, response: str, status: str = "completed") -> None:
        await self.send("response.done", response={"id": response, "object": "realtime.response", "status": status})

    async def say(self, response: str, *items: str, milliseconds: float = 1_000) -> None:
        """A response to its end, with an item each."""
        await self.begin(response)
        for item in items:
            await self.delta(response, item, speech(milliseconds))
            await self.done(response, item)
        await self.end(response)

    async def user_speaks(self) -> None:
        await self.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id=f"user_{next(_ids)}")


class Call(SimpleNamespace):
    """A session, the server that it talks to, and what plays it."""

    server: Server
    session: Any
    controller: PlaybackController
    playback: Any

    async def settled(self) -> None:
        """Until the session has taken all that the server has said so far."""
        marker = f"marker_{next(_ids)}"
        seen = asyncio.Event()

        class Listener:
            async def on_event(self, event: Any) -> None:
                if getattr(event, "item_id", None) == marker:
                    seen.set()

        listener = Listener()
        self.session.model.add_listener(listener)
        await self.server.send("conversation.item.deleted", item_id=marker)
        async with asyncio.timeout(5):
            await seen.wait()
        self.session.model.remove_listener(listener)
        await asyncio.sleep(0)  # for what has just begun as a task

    async def answered(self) -> list[tuple[str, int, int]]:
        """What was truncated once the server has heard all that the session has sent so far."""
        await self.settled()
        before = len(self.server.of("input_audio_buffer.append"))
        await self.session.send_audio(b"\0\0")
        await self.server.wait_for("input_audio_buffer.append", before + 1)
        return self.server.truncated

    def play(self, milliseconds: float) -> np.ndarray:
        """Read so much, in frames as a track does; this is all the time that passes."""
        whole, rest = divmod(round(48 * milliseconds), FRAME)
        frames = [self.controller.read(samples) for samples in [FRAME] * whole + [rest] * bool(rest)]
        return np.concatenate(frames)[:, 0]


@asynccontextmanager
async def call(
    *,
    turn_detection: Any = None,
    fades: Fades | None = None,
    tracked: bool = True,
    format: Any = None,
    listen: bool = True,
    agent: RealtimeAgent[Any] | None = None,
    run_config: Any = None,
) -> AsyncIterator[Call]:
    """A session that is connected; without a tracker it estimates by the clock, and the controller still plays."""
    server = Server()
    async with websockets.serve(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        controller = PlaybackController(AudioFormat(48_000), fades=fades or Fades(0, 0, 0, 0))
        playback = RealtimePlayback(controller)
        config: Any = {"url": f"ws://127.0.0.1:{port}", "headers": {}}
        if tracked:
            config["playback_tracker"] = playback
        session = await RealtimeRunner(agent or RealtimeAgent(name="test"), config=run_config).run(model_config=config)
        if tracked:
            playback.attach(session, listen=listen)
        else:
            session.model.add_listener(playback)
        async with session:
            now = Call(server=server, session=session, controller=controller, playback=playback)
            await server.session(turn_detection, format)
            await now.settled()
            yield now
