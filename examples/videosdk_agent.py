"""A VideoSDK agent that is interrupted, on a track of ours: no room, no network and no key.

In an application, two lines do it: ``from playback.integrations.videosdk import install``, and ``install()`` before the
job starts. Here the track is given to the pipeline by hand, and read as a room would read it.

    pip install 'voice-playback[videosdk]'
    python examples/videosdk_agent.py
"""

import asyncio
import contextlib
import logging

import numpy as np
from videosdk.agents import Agent, AgentSession, Pipeline
from videosdk.agents.llm.chat_context import ChatMessage, ChatRole
from videosdk.agents.llm.llm import LLM, LLMResponse
from videosdk.agents.tts.tts import TTS

from playback.integrations.videosdk import TeeMixingCustomAudioStreamTrack

ANSWER = "Your table is booked for eight and we look forward to it"
WORD_SECONDS = 0.1


class Model(LLM):
    """Stands for a language model: it always says the same."""

    async def chat(self, messages, tools=None, conversational_graph=None, **kwargs):  # noqa: ARG002
        """Answer, word by word."""
        for word in ANSWER.split():
            yield LLMResponse(content=f"{word} ", role=ChatRole.ASSISTANT)

    async def cancel_current_generation(self):
        """Nothing is under way that could be cancelled."""


class Voice(TTS):
    """Stands for a synthesizer: a tone for each word, faster than real time."""

    async def synthesize(self, text, voice_id=None, **kwargs):  # noqa: ARG002
        """Speak what comes."""
        async for part in text:
            for _ in str(part).split() if isinstance(part, str) else ():
                if self._first_audio_callback is not None:
                    callback, self._first_audio_callback = self._first_audio_callback, None
                    await callback()
                samples = np.arange(round(WORD_SECONDS * self.sample_rate))
                tone = np.rint(8000 * np.sin(2 * np.pi * 220 * samples / self.sample_rate))
                await self.audio_track.add_new_bytes(tone.astype(np.int16).tobytes())

    async def interrupt(self):
        """Stop: the track drops what it has."""
        self.audio_track.interrupt()


class Waiter(Agent):
    """Says nothing by itself."""

    async def on_enter(self):
        """The call begins."""

    async def on_exit(self):
        """The call is over."""


async def room(track):
    """Stands for a room: a peer connection, which pulls one frame after the other."""
    while True:
        await track.recv()


async def main():
    """Two turns, of which the second is interrupted."""
    logging.disable()  # the framework would report that there is no room
    track = TeeMixingCustomAudioStreamTrack(asyncio.get_running_loop())
    track.controller.on("utterance_finished", lambda event: print(f"  {event.report}"))

    pipeline = Pipeline(llm=Model(), tts=Voice(sample_rate=24_000))
    session = AgentSession(agent=Waiter("Take reservations."), pipeline=pipeline)
    await session.start()
    pipeline.orchestrator.set_audio_track(track)
    reading = asyncio.create_task(room(track))

    print("A turn to its end:")
    await session.reply("Confirm the booking.")

    print("The same, but the user breaks in:")
    heard = asyncio.Event()
    track.controller.once("first_audio_byte", lambda _: heard.set())
    reply = asyncio.create_task(session.reply("Confirm the booking."))
    await heard.wait()
    await asyncio.sleep(4.5 * WORD_SECONDS)
    pipeline.interrupt()
    await reply

    print("What the framework remembers:")
    for item in session.agent.chat_context.items:
        if isinstance(item, ChatMessage) and item.role is not ChatRole.SYSTEM:
            said = "".join(map(str, item.content))
            print(f"  {item.role.value}: {said.strip()}{' (interrupted)' if item.interrupted else ''}")

    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    await session.close()
    await track.cleanup()


asyncio.run(main())
