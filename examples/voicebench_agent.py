"""An agent behind a WebSocket, for voicebench, which measures conversations from the audio alone. It runs offline.

``python examples/voicebench_agent.py --port 8765``, and in another terminal ``voicebench run scenario.yaml --adapter
websocket --url ws://127.0.0.1:8765``. Whoever has spoken gets the next of a few answers; who says "stop", none. What
has happened is printed as JSON, one event a line.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
from typing import Any

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection, serve

from playback import AudioFormat, PlaybackController
from playback.bargein import EVENTS, BargedIn, BargeIn
from playback.bargein.closed_grammar import english
from playback.bargein.short_words import ShortWords
from playback.bargein.vad import VoiceActivity
from playback.events import Event
from playback.pump import Pump
from playback.speech import speak, speech_format

RATE = 16_000
THINKING_SECONDS = 0.6
"""What a language model takes, and the first of the speech."""

ANSWERS = (
    "Good morning and welcome.",
    "We open at five every evening and the kitchen takes orders until half past ten on all days of the week.",
    "Then I will put you down for nine people at the long table by the window on the first floor of the house.",
    "The menu of the evening has four courses for sixty pounds and there is a shorter one with two courses which comes"
    " with a glass of wine from the village.",
    "There is a soup with bread.",
    "There is trout today.",
)


class Caller(MediaStreamTrack):
    """What the caller sends, as a track; with a peer connection, its ``track`` event brings one."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()

    def put(self, samples: bytes | None) -> None:
        """Take what was received, or None at its end."""
        self._frames.put_nowait(samples)

    async def recv(self) -> av.AudioFrame:
        """Wait for the next frame."""
        samples = await self._frames.get()
        if samples is None:
            raise MediaStreamError
        frame = av.AudioFrame.from_ndarray(np.frombuffer(samples, "<i2").reshape(1, -1), "s16", "mono")
        frame.sample_rate = RATE
        return frame


class Agent:
    """Listens to one caller, and answers.

    Args:
        options: of the policy.
        log: called with what has happened.
    """

    def __init__(self, options: dict[str, Any], log: Any) -> None:
        self.caller = Caller()
        self.controller = PlaybackController(AudioFormat(RATE))
        self.policy = BargeIn(self.controller, **options)
        self.hearing = VoiceActivity(self.caller, self.policy, ShortWords(self.policy.transcript))
        self._answers = itertools.cycle(ANSWERS)
        self._wants_silence = False
        self._thinking: set[asyncio.Task[None]] = set()
        self.policy.on("barge_in", self._barge_in)
        self.policy.on("user_turn_ended", self._user_turn_ended)
        for name in EVENTS:
            self.policy.on(name, log)
        for name in ("first_audio_byte", "paused", "resumed", "interrupted", "utterance_finished"):
            self.controller.on(name, log)

    def _barge_in(self, event: BargedIn) -> None:
        self._wants_silence = event.words is not None and set(event.words.split()) == {"stop"}

    def _user_turn_ended(self, _: Event) -> None:
        if not self._wants_silence:
            # What has begun is not taken back when the user goes on: the policy sees to it that nobody hears it then.
            task = asyncio.create_task(self._answer())
            self._thinking.add(task)
            task.add_done_callback(self._thinking.discard)
        self._wants_silence = False

    async def _answer(self) -> None:
        await asyncio.sleep(THINKING_SECONDS)
        speak(self.controller, next(self._answers))

    def close(self) -> None:
        """End what is under way."""
        for task in self._thinking:
            task.cancel()
        self.policy.stop()
        self.controller.close()
        self.caller.put(None)


async def call(connection: ServerConnection, number: int) -> None:
    """Talk with one caller until the connection is closed.

    A first message in JSON may have the session's name and options of the policy, as the adapter's option
    ``start_message: {session: a, pause_after_seconds: 0}`` sends it.
    """
    first = await connection.recv()
    options = json.loads(first) if isinstance(first, str) else {}
    session = options.pop("session", number)
    options.pop("sample_rate", None)

    def log(event: Event) -> None:
        print(json.dumps({"session": session, **event.as_dict()}), flush=True)

    async def send(frame: NDArray[np.int16]) -> None:
        if frame.any():  # the benchmark takes the agent to be silent when nothing comes
            await connection.send(frame.tobytes())

    agent = Agent(options, log)
    # A frame is sent when it is due: what is sent can't be taken back.
    playing = asyncio.create_task(Pump(agent.controller, send, lead_seconds=0.0).run())
    hearing = asyncio.create_task(agent.hearing.run())
    async for message in connection:
        if isinstance(message, bytes):
            agent.caller.put(message)
    agent.close()
    await asyncio.gather(playing, hearing, return_exceptions=True)


async def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8765, help="0 for any that is free (%(default)s)")
    options = parser.parse_args()
    speech_format(), english()  # loaded before anybody calls
    sessions = itertools.count()
    async with serve(lambda connection: call(connection, next(sessions)), "127.0.0.1", options.port) as server:
        print(json.dumps({"listening": next(iter(server.sockets)).getsockname()[1]}), flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
