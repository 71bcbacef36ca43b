"""Vision Agents: a real agent whose voice is played by a controller, and whose conversation has what was heard.

It runs offline: the classes at the end stand for an edge transport, a language model and synthesis.

    pip install 'voice-playback[vision_agents]'
    python examples/vision_agents_call.py
"""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from getstream.video.rtc import PcmData
from vision_agents.core import Agent, User
from vision_agents.core.agents.conversation import InMemoryConversation
from vision_agents.core.edge import EdgeTransport
from vision_agents.core.edge.types import Connection
from vision_agents.core.llm import LLM
from vision_agents.core.tts import TTS

from playback import PlaybackController
from playback.integrations.vision_agents import PlaybackPublisher

WORD_SECONDS = 0.3


async def main() -> None:
    """A call: an answer, a cough, a barge-in."""
    controller = PlaybackController()
    controller.on("state_changed", show)
    publisher = PlaybackPublisher(controller)
    tts = Speech()
    tts.publisher = publisher  # it knows when each word begins

    agent = Agent(
        edge=Nowhere(),
        llm=Silent(),
        tts=tts,
        agent_user=User(id="agent", name="Receptionist"),
        processors=[publisher],  # the change
    )
    async with agent.join(await agent.create_call("default", "call"), participant_wait_timeout=0):
        await agent.say("Your table is booked for eight.")
        while controller.state == "idle":
            await hear(publisher.track, 0.02)
        await hear(publisher.track, 0.5)

        controller.pause()  # was that a cough?
        await hear(publisher.track, 0.4)
        controller.resume()  # it was: not a sample is lost
        await hear(publisher.track, 0.5)

        await agent.say("All right.", interrupt=True)  # no: the user says something
        await hear(publisher.track, 1)
        print([message.content for message in agent.conversation.messages])


async def hear(track: Any, seconds: float) -> None:
    """Stand for the edge transport, which reads a frame each 20 ms."""
    for _ in range(round(seconds * 50)):
        await track.recv()


def show(event: Any) -> None:
    """Print a change of state."""
    if event.new is not event.old:
        print(f"{event.position / 48_000:5.2f} s  {event.new}")


class Speech(TTS):
    """A tone for each word, faster than real time."""

    publisher: PlaybackPublisher

    async def stream_audio(self, text: str, *_: Any, **__: Any) -> AsyncIterator[PcmData]:
        """Announce the words, then make them."""
        words = text.split()
        self.publisher.track.announce(text, [(word, index * WORD_SECONDS) for index, word in enumerate(words)])
        return self._speak(words)

    async def _speak(self, words: list[str]) -> AsyncIterator[PcmData]:
        tone = (8_000 * np.sin(np.arange(int(24_000 * WORD_SECONDS)) / 20)).astype(np.int16)
        for _ in words:
            yield PcmData(sample_rate=24_000, format="s16", samples=tone)

    async def stop_audio(self) -> None:
        """Nothing is under way."""


class Silent(LLM):
    """A model that is asked nothing here."""

    async def simple_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        """Nothing."""
        return
        yield


class Nowhere(EdgeTransport):
    """A call without participants."""

    async def authenticate(self, user: User) -> None:
        """Anybody may."""

    async def create_call(self, call_id: str, **_: Any) -> Any:
        """Make a call."""
        return SimpleNamespace(id=call_id)

    def create_audio_track(self) -> Any:
        """Never asked for: there is a publisher."""

    def open_demo(self, *_: Any, **__: Any) -> None:
        """Open nothing."""

    async def join(self, *_: Any, **__: Any) -> Connection:
        """Join at once."""
        return Connected()

    async def publish_tracks(self, audio_track: Any, video_track: Any) -> None:
        """Take the tracks; a real transport reads them from here on."""

    async def create_conversation(self, _call: Any, _user: User, instructions: str) -> Any:
        """Keep the conversation in memory."""
        return InMemoryConversation(instructions, [])

    def add_track_subscriber(self, track_id: str) -> None:
        """Nobody has a track."""

    async def send_custom_event(self, data: dict[str, Any]) -> None:
        """Nobody listens."""


class Connected(Connection):
    """The connection of that call."""

    async def close(self) -> None:
        """Nothing is open."""

    async def wait_for_participant(self, *_: Any, **__: Any) -> None:
        """Nobody comes."""

    def idle_since(self) -> float:
        """It is never idle."""
        return 0.0


if __name__ == "__main__":
    asyncio.run(main())
