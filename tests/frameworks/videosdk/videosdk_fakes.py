# ruff: noqa: ARG002 - the signatures are the framework's
"""A call in the real framework, with a model, a synthesizer and ears of our own: no network and no key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from videosdk.agents import Agent, AgentSession, EOUConfig, InterruptConfig, Pipeline
from videosdk.agents.llm.chat_context import ChatMessage, ChatRole
from videosdk.agents.llm.llm import LLM, LLMResponse
from videosdk.agents.stt.stt import STT, SpeechData, SpeechEventType, STTResponse
from videosdk.agents.tts.tts import TTS, FlushMarker
from videosdk.agents.vad import VAD, VADData, VADEventType, VADResponse

RATE = 24_000
FRAME = 480
WORD = 2_400
"""How many samples a word takes: 100 ms."""
ANSWER = "one two six ten and off her way out now"
"""Ten words of three letters, so that a share of the characters is the same share of the words."""
PATIENCE_SECONDS = 20.0


def ramp(samples: int, start: int = 1) -> NDArray[np.int16]:
    """Samples that are all different, none of them silent."""
    return (np.arange(start, start + samples) % 30_000 + 1).astype(np.int16)


async def settle() -> None:
    """Let every task run that can."""
    for _ in range(30):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something has come about."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - what is waited for is the framework's, and notifies nobody
            await asyncio.sleep(0.002)


class FakeLLM(LLM):
    """Answers with these words, whatever it is asked."""

    def __init__(self, answer: str = ANSWER) -> None:
        super().__init__()
        self.answer = answer

    async def chat(self, messages: Any, tools: Any = None, conversational_graph: Any = None, **kwargs: Any) -> Any:
        for index, word in enumerate(self.answer.split()):
            yield LLMResponse(content=(" " if index else "") + word, role=ChatRole.ASSISTANT)

    async def cancel_current_generation(self) -> None:
        pass


class FakeTTS(TTS):
    """A hundred milliseconds for each word, all samples different; as fast as the track takes them."""

    def __init__(self) -> None:
        super().__init__(sample_rate=RATE)
        self.loop: Any = None
        self.words_at_once: int | None = None
        """After how many words synthesis waits to be let on; None is never."""
        self.go_on = asyncio.Event()
        self.deaf = False
        """Whether an interrupt stops the synthesis."""
        self.pushed = 0
        """Samples synthesized so far."""
        self.running = False
        self._stopped = False

    async def synthesize(self, text: Any, voice_id: str | None = None, **kwargs: Any) -> None:
        self._stopped = False
        self.running = True
        try:
            async for part in self._parts(text):
                for _ in part.split():
                    if self._stopped:
                        return
                    if self.words_at_once == 0:
                        await self.go_on.wait()
                    await self.word()
                    if self.words_at_once:
                        self.words_at_once -= 1
        finally:
            self.running = False

    async def word(self, samples: int = WORD) -> None:
        """Push one word, now."""
        if self._first_audio_callback is not None:
            callback, self._first_audio_callback = self._first_audio_callback, None
            await callback()
        audio = ramp(samples, self.pushed)
        self.pushed += samples
        if samples:
            await self.audio_track.add_new_bytes(audio.tobytes())

    async def interrupt(self) -> None:
        self._stopped = not self.deaf
        if not self.deaf:
            self.go_on.set()
        self.audio_track.interrupt()

    async def _parts(self, text: Any) -> AsyncIterator[str]:
        if isinstance(text, str):
            yield text
            return
        async for part in text:
            if not isinstance(part, FlushMarker):
                yield str(part)


class FakeVAD(VAD):
    """Hears the user when a test says so."""

    async def process_audio(self, audio_frames: bytes, **kwargs: Any) -> None:
        pass

    def on_inference(self, callback: Callable[[VADResponse], None]) -> None:
        self._inferred = callback

    async def hear(self, speech: bool) -> None:
        """The user begins to speak, or falls silent."""
        probability = 0.9 if speech else 0.0
        data = VADData(is_speech=speech, confidence=probability, energy=0.1)
        self._inferred(VADResponse(event_type=VADEventType.FRAME_PROCESSED, data=data))
        kind = VADEventType.START_OF_SPEECH if speech else VADEventType.END_OF_SPEECH
        assert self._vad_callback is not None
        await self._vad_callback(VADResponse(event_type=kind, data=data))
        await settle()


class FakeSTT(STT):
    """Understands what a test says."""

    async def process_audio(self, audio_frames: bytes, language: str | None = None, **kwargs: Any) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def hear(self, text: str, final: bool = True) -> None:
        """The user has said this."""
        kind = SpeechEventType.FINAL if final else SpeechEventType.INTERIM
        assert self._transcript_callback is not None
        await self._transcript_callback(STTResponse(event_type=kind, data=SpeechData(text=text, confidence=0.9)))
        await settle()


class FakeAgent(Agent):
    async def on_enter(self) -> None:
        pass

    async def on_exit(self) -> None:
        pass


class Call:
    """A session on a track, that is read in place of a room: one frame after the other, without a clock."""

    def __init__(self, track: Any, pipeline: Pipeline, session: AgentSession) -> None:
        self.track = track
        self.pipeline = pipeline
        self.session = session
        self.llm: FakeLLM = pipeline.llm
        self.tts: FakeTTS = pipeline.tts
        self.vad: FakeVAD = pipeline.vad
        self.stt: FakeSTT = pipeline.stt
        self.emitted: list[str] = []
        self.reports: list[Any] = []
        speech = pipeline.orchestrator.speech_generation
        for name in ("synthesis_started", "first_audio_byte", "last_audio_byte", "synthesis_interrupted"):
            speech.on(name, lambda _, name=name: self.emitted.append(name))
        if hasattr(track, "controller"):
            track.controller.on("utterance_finished", lambda event: self.reports.append(event.report))

    @property
    def history(self) -> list[tuple[str, str, bool]]:
        """Who has said what, and whether it was interrupted."""
        return [
            (item.role.value, "".join(map(str, item.content)), item.interrupted)
            for item in self.session.agent.chat_context.items
            if isinstance(item, ChatMessage) and item.role is not ChatRole.SYSTEM
        ]

    async def ask(self, text: str = "hello there") -> None:
        """The user says something, and all of the answer that comes at once is synthesized."""
        started = self.emitted.count("synthesis_started")
        await self.stt.hear(text)
        await until(lambda: self.emitted.count("synthesis_started") > started)
        await until(lambda: not self.tts.running or self.tts.words_at_once == 0)
        await settle()

    async def play(self, frames: int) -> NDArray[np.int16]:
        """What is heard in so many frames."""
        heard = []
        for _ in range(frames):
            heard.append(self.track.controller.read(FRAME)[:, 0])
            await settle()
        return np.concatenate([np.zeros(0, np.int16), *heard])

    async def barge_in(self) -> None:
        """The user speaks for so long that the agent gives way."""
        interrupted = self.emitted.count("synthesis_interrupted")
        await self.vad.hear(True)
        await until(lambda: self.emitted.count("synthesis_interrupted") > interrupted)
        await settle()
        await self.vad.hear(False)

    async def barge_in_words(self) -> None:
        """What the user says is understood, so that it was no cough."""
        interrupted = self.emitted.count("synthesis_interrupted")
        await self.stt.hear("no wait stop", final=False)
        await until(lambda: self.emitted.count("synthesis_interrupted") > interrupted)
        await settle()


@asynccontextmanager
async def calling(track: Any, *, resumes: bool = False, doubt_seconds: float = 0.05) -> AsyncIterator[Call]:
    """A session that has begun, on a track; closed at the end."""
    pipeline = Pipeline(
        stt=FakeSTT(),
        llm=FakeLLM(),
        tts=FakeTTS(),
        vad=FakeVAD(),
        eou_config=EOUConfig(min_max_speech_wait_timeout=(0.0, 0.0)),
        interrupt_config=InterruptConfig(
            interrupt_min_duration=0.05,
            false_interrupt_pause_duration=doubt_seconds,
            resume_on_false_interrupt=resumes,
        ),
        text_chunking=False,
        text_filtering=False,
    )
    session = AgentSession(agent=FakeAgent("Answer."), pipeline=pipeline)
    pipeline._set_loop_and_audio_track(asyncio.get_running_loop(), track)
    await session.start()
    try:
        yield Call(track, pipeline, session)
    finally:
        await session.close()
        await track.cleanup()
