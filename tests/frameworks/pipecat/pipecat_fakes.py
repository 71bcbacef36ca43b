"""A conversation in the real framework, with a model and a synthesizer that are made up; its reader needs no clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import fields

import numpy as np
from pipecat.frames.frames import (
    AudioRawFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.settings import LLMSettings, TTSSettings
from pipecat.services.tts_service import TTSService
from pipecat.workers.runner import WorkerRunner

from playback import AudioFormat, Fades, PlaybackController
from playback.integrations.pipecat import PlaybackOutput

RATE = 24_000
FRAME = 480  # 20 ms
WORD_SECONDS = 0.2
CUTS = Fades(0.0, 0.0, 0.0, 0.0)

SETTINGS = [field.name for field in fields(LLMSettings) if field.name != "extra"]


async def settle(turns: int = 200) -> None:
    """Let everything that is under way in the pipeline come to rest."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for something that happens on the framework's own clock."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - whatever it is, the framework has no event for it
            await asyncio.sleep(0.001)


class FakeLLM(LLMService):
    """Answers with what it was given, one after the other."""

    def __init__(self, answers: list[str]) -> None:
        super().__init__(settings=LLMSettings(**dict.fromkeys(SETTINGS)))
        self.answers = answers
        self.asked: list[list[dict]] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        self.asked.append([dict(message) for message in frame.context.get_messages()])
        await self.push_frame(LLMFullResponseStartFrame())
        for word in self.answers.pop(0).split(" "):
            await self.push_frame(LLMTextFrame(word + " "))
        await self.push_frame(LLMFullResponseEndFrame())


class FakeTTS(TTSService):
    """Makes 200 ms of audio for each word, at once; each word is louder than the one before."""

    def __init__(self, *, words: bool = True, rate: int = RATE) -> None:
        super().__init__(
            push_text_frames=not words,
            push_start_frame=True,
            push_stop_frames=True,
            sample_rate=rate,
            settings=TTSSettings(model=None, voice=None, language=None),
        )
        self.contexts: list[str] = []
        self._words = words
        self._said: dict[str, float] = {}

    def audio(self, word: int, seconds: float = WORD_SECONDS) -> bytes:
        return np.full(int(self.sample_rate * seconds), 1_000 + 100 * word, np.int16).tobytes()

    async def run_tts(self, text: str, context_id: str) -> AsyncIterator[Frame | None]:
        if context_id not in self.contexts:
            self.contexts.append(context_id)
        start = self._said.get(context_id, 0.0)
        words = text.split()
        for number, _ in enumerate(words, round(start / WORD_SECONDS)):
            yield TTSAudioRawFrame(self.audio(number), self.sample_rate, 1, context_id=context_id)
        self._said[context_id] = start + len(words) * WORD_SECONDS
        if self._words:
            times = [(word, start + number * WORD_SECONDS) for number, word in enumerate(words)]
            await self.add_word_timestamps(times, context_id)


class Tap(FrameProcessor):
    """Passes everything on, and keeps what goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.down: list[Frame] = []
        self.up: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        (self.down if direction is FrameDirection.DOWNSTREAM else self.up).append(frame)
        await self.push_frame(frame, direction)

    def names(self, *kinds: type[Frame]) -> list[str]:
        """What went by downstream: of these kinds, or all but audio."""
        return [
            type(frame).__name__
            for frame in self.down
            if (isinstance(frame, kinds) if kinds else not isinstance(frame, AudioRawFrame))
        ]

    def audio(self) -> np.ndarray:
        """The audio that went by downstream."""
        frames = [frame.audio for frame in self.down if isinstance(frame, OutputAudioRawFrame)]
        return np.frombuffer(b"".join(frames), np.int16)

    @property
    def speaking(self) -> list[bool]:
        """The bot's beginnings and stops."""
        kinds = (BotStartedSpeakingFrame, BotStoppedSpeakingFrame)
        return [isinstance(frame, kinds[0]) for frame in self.down if isinstance(frame, kinds)]


class Conversation:
    """A pipeline that runs, and whoever reads its audio."""

    def __init__(
        self,
        *answers: str,
        words: bool = True,
        output: FrameProcessor | None = None,
        fades: Fades = CUTS,
        rate: int = RATE,
        tts_rate: int = RATE,
        tts: FakeTTS | None = None,
        user_params: LLMUserAggregatorParams | None = None,
        before: tuple[FrameProcessor, ...] = (),
        more: tuple[FrameProcessor, ...] = (),
        rtvi: bool = False,
        **options: object,
    ) -> None:
        self.output = output or PlaybackOutput(
            PlaybackController(AudioFormat(rate), fades=fades, input_timeout_seconds=3.0),
            end_silence_seconds=0.0,
            **options,
        )
        self.controller: PlaybackController | None = getattr(self.output, "controller", None)
        self.llm = FakeLLM(list(answers))
        self.tts = tts or FakeTTS(words=words, rate=tts_rate)
        self.above, self.below = Tap(), Tap()
        self.context = LLMContext()
        user, assistant = LLMContextAggregatorPair(self.context, user_params=user_params)
        self.worker = PipelineWorker(
            Pipeline([user, *before, self.llm, self.tts, self.above, self.output, *more, self.below, assistant]),
            params=PipelineParams(audio_out_sample_rate=tts_rate),
            cancel_on_idle_timeout=False,
            enable_rtvi=rtvi,
        )
        self.errors: list[Frame] = []
        self.frames: list[np.ndarray] = []

    @property
    def messages(self) -> list[str]:
        """What the context has of the assistant."""
        return [message["content"] for message in self.context.get_messages() if message["role"] == "assistant"]

    async def ask(self, text: str = "Well?", buffered: float | None = None) -> None:
        """Let the model answer, and wait until so many seconds are buffered."""
        self.context.add_message({"role": "user", "content": text})
        await self.queue(LLMContextFrame(self.context))
        if buffered is not None:
            await until(lambda: self.controller.buffered >= self.controller.format.samples(buffered) - 1)
        await settle()

    async def queue(self, *frames: Frame) -> None:
        await self.worker.queue_frames(list(frames))
        await settle()

    async def synthesized(self, *frames: Frame) -> None:
        """Let frames come from the synthesizer."""
        for frame in frames:
            await self.tts.push_frame(frame)
        await settle()

    async def interrupt(self) -> None:
        await self.queue(InterruptionFrame())
        await settle()

    async def read(self, seconds: float) -> np.ndarray:
        """Read as a transport does, frame by frame, without waiting."""
        samples = self.controller.format.sample_rate // 50
        frames = [np.zeros(0, np.int16)]
        for _ in range(round(seconds * 50)):
            frames.append(self.controller.read(samples)[:, 0])
            await settle(40)
        self.frames += frames
        return np.concatenate(frames)

    async def pull(self) -> None:
        """Read for ever, far faster than real time."""
        while True:
            await self.read(0.02)


@asynccontextmanager
async def conversation(*answers: str, **options: object) -> AsyncIterator[Conversation]:
    """A conversation, from its beginning to the end of its pipeline."""
    made = Conversation(*answers, **options)
    begun = asyncio.Event()

    @made.worker.event_handler("on_pipeline_started")
    async def started(worker: PipelineWorker, frame: Frame) -> None:
        begun.set()

    @made.worker.event_handler("on_pipeline_error")
    async def failed(worker: PipelineWorker, frame: Frame) -> None:
        made.errors.append(frame)

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(made.worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(10):
            await begun.wait()
        await settle()
        yield made
    finally:
        if not running.done():
            await made.worker.cancel()
        async with asyncio.timeout(10):
            await running
    assert not made.errors, made.errors
