"""A real agent in a call that goes nowhere, with synthesis, a model and recognition that a test controls."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from getstream.video.rtc import PcmData
from vision_agents.core import Agent, User
from vision_agents.core.agents.conversation import InMemoryConversation
from vision_agents.core.edge import EdgeTransport
from vision_agents.core.edge.types import Connection, Participant
from vision_agents.core.llm import LLM
from vision_agents.core.llm.llm import LLMResponseDelta, LLMResponseFinal
from vision_agents.core.stt import STT
from vision_agents.core.stt.stt import Transcript
from vision_agents.core.tts import TTS
from vision_agents.core.turn_detection import TurnEnded, TurnStarted

from playback import AudioFormat, Fades, PlaybackController
from playback.integrations.vision_agents import PlaybackAudioTrack, PlaybackPublisher

RATE = 48_000
FRAME = 960
WORD = 0.1
"""Seconds that each word lasts."""

USER = Participant(original=None, user_id="user", id="user")


def speech(seconds: float, rate: int = RATE, level: int = 1_000) -> PcmData:
    """Audio in which each sample differs from its neighbours, so that a lost one is seen."""
    samples = (level + np.arange(round(rate * seconds)) % 1_000).astype(np.int16)
    return PcmData(sample_rate=rate, format="s16", samples=samples)


class FakeTTS(TTS):
    """Each word lasts 100 ms, faster than real time; ``[silence]`` has no audio, ``[short]`` 3 ms."""

    def __init__(self, streaming: bool = True, rate: int = RATE) -> None:
        super().__init__("fake")
        self.streaming = streaming
        self.rate = rate
        self.announce: Any = None
        self.words = asyncio.Semaphore(1_000)
        """How many words may be synthesized."""
        self.spoken: list[str] = []

    async def stream_audio(self, text: str, *_: Any, **__: Any) -> AsyncIterator[PcmData]:
        words = re.findall(r"[\w\[\]]+", text)
        self.spoken.append(text)
        if self.announce is not None:
            self.announce(text, [(word, index * WORD) for index, word in enumerate(words)])
        return self._speak(words)

    async def _speak(self, words: list[str]) -> AsyncIterator[PcmData]:
        for word in words:
            await self.words.acquire()
            if word != "[silence]":
                yield speech(0.003 if word == "[short]" else WORD, self.rate)

    async def stop_audio(self) -> None:
        """Nothing: it ignores interruptions, as some do."""


class FakeLLM(LLM):
    """Says what it is asked to say."""

    provider_name = "fake"

    def __init__(self) -> None:
        super().__init__()
        self.answers = 0

    async def simple_response(self, text: str, *_: Any, **__: Any) -> AsyncIterator[Any]:
        self.answers += 1
        item = f"answer-{self.answers}"
        for index, delta in enumerate(re.findall(r"\S+\s*", text)):
            yield LLMResponseDelta(delta=delta, content_index=index, item_id=item)
        yield LLMResponseFinal(text=text, item_id=item)


class FakeSTT(STT):
    """Hears what a test gives it."""

    turn_detection = True

    async def process_audio(self, pcm_data: PcmData, participant: Participant) -> None:
        pass

    def user_speaks(self) -> None:
        self.output.send_nowait(TurnStarted(participant=USER, confidence=1.0))

    def user_said(self, text: str) -> None:
        self.output.send_nowait(Transcript(participant=USER, mode="final", text=text))
        self.output.send_nowait(TurnEnded(participant=USER, confidence=1.0))


class FakeConnection(Connection):
    async def close(self) -> None:
        pass

    async def wait_for_participant(self, *_: Any, **__: Any) -> None:
        pass

    def idle_since(self) -> float:
        return 0.0


class FakeEdge(EdgeTransport):
    """Keeps the tracks that it is to publish."""

    def __init__(self, track: Any = None) -> None:
        super().__init__()
        self.track = track
        self.published: Any = None

    async def authenticate(self, user: User) -> None:
        pass

    async def create_call(self, call_id: str, **_: Any) -> Any:
        return SimpleNamespace(id=call_id)

    def create_audio_track(self) -> Any:
        return self.track

    def open_demo(self, *_: Any, **__: Any) -> None:
        pass

    async def join(self, *_: Any, **__: Any) -> Connection:
        return FakeConnection()

    async def publish_tracks(self, audio_track: Any, *_: Any) -> None:
        self.published = audio_track

    async def create_conversation(self, _call: Any, _user: User, instructions: str) -> Any:
        return InMemoryConversation(instructions, [])

    def add_track_subscriber(self, *_: Any) -> None:
        return None

    async def send_custom_event(self, data: dict[str, Any]) -> None:
        pass


class Talk(SimpleNamespace):
    """An agent in a call, and what plays it."""

    agent: Agent
    tts: FakeTTS
    stt: FakeSTT
    track: Any
    controller: PlaybackController

    async def settled(self) -> None:
        """Until nothing is left to do in the agent's tasks; they only wait for each other."""
        for _ in range(300):
            await asyncio.sleep(0)

    async def ask(self, text: str) -> None:
        """The user speaks; the answer is the same words."""
        self.stt.user_said(text)
        await self.settled()

    async def barge_in(self) -> None:
        self.stt.user_speaks()
        await self.settled()

    def play(self, seconds: float) -> np.ndarray:
        """Read so much, in frames as a transport does; this is all the time that passes."""
        frames = [self.controller.read(FRAME) for _ in range(round(seconds * 50))]
        return np.concatenate(frames)[:, 0]

    @property
    def said(self) -> list[str]:
        """What the conversation has of the agent."""
        return [message.content for message in self.agent.conversation.messages if message.role == "assistant"]


@asynccontextmanager
async def talk(
    *,
    fades: Fades | None = None,
    streaming: bool = True,
    words: bool = False,
    rate: int = RATE,
    by_edge: bool = False,
    llm: Any = None,
    track: Any = None,
) -> AsyncIterator[Talk]:
    """An agent that has joined a call; with a track of the framework's own there is no controller."""
    controller = PlaybackController(AudioFormat(RATE), fades=fades or Fades(0, 0, 0, 0))
    tts, stt = FakeTTS(streaming, rate), FakeSTT()
    processors = []
    if track is None and by_edge:
        track = PlaybackAudioTrack(controller)
    elif track is None:
        publisher = PlaybackPublisher(controller)
        processors, track = [publisher], publisher.track
    if words:
        tts.announce = track.announce
    edge = FakeEdge(track)
    agent = Agent(
        edge=edge,
        llm=llm or FakeLLM(),
        tts=tts,
        stt=stt,
        agent_user=User(id="agent", name="Agent"),
        processors=processors,
    )
    call = await agent.create_call("default", "call")
    async with agent.join(call, participant_wait_timeout=0):
        assert edge.published is track
        yield Talk(agent=agent, tts=tts, stt=stt, track=track, controller=controller)
