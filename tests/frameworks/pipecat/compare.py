"""The framework's own output against ours, in the same scenarios at the same time: for the table of its page.

Both play through a track that is read in real time: the framework's through its own ``RawAudioTrack``, as SmallWebRTC
does, ours through a ``PlaybackTrack``. Each word has a level of its own, so what was heard can be counted.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import numpy as np
from loguru import logger
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InterruptionFrame,
    LLMContextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.transport import RawAudioTrack
from pipecat_fakes import RATE, WORD_SECONDS, Conversation, FakeTTS, conversation, until

from playback import AudioFormat, PlaybackController
from playback.integrations.pipecat import PlaybackOutput, PlaybackPauseFrame, PlaybackResumeFrame
from playback.track import PlaybackTrack

SILENCE_SECONDS = 0.4
RAMPS = 2 * RATE // 200
"""Samples of a pause's ramps, which are not heard at their full level: 5 ms each."""

ANSWER = "one two three four five six seven eight"


class Theirs(BaseOutputTransport):
    """The framework's output, with the track that SmallWebRTC gives it."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_out_enabled=True, audio_out_end_silence_secs=0))
        self.track = RawAudioTrack(RATE)

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        await self.track.add_audio_bytes(frame.audio)
        return True


class Ours(PlaybackOutput):
    """Ours, with a track."""

    def __init__(self) -> None:
        super().__init__(PlaybackController(AudioFormat(RATE), input_timeout_seconds=3.0))
        self.track = PlaybackTrack(self.controller)


class Synthesizer(FakeTTS):
    """Each word has its own level in the whole conversation; silence follows each text."""

    silence = 0.0
    stall: tuple[int, float] = (-1, 0.0)
    """After this word nothing comes for so many seconds, though all words' times are known."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0

    async def run_tts(self, text: str, context_id: str) -> AsyncIterator[Frame | None]:
        self.contexts.append(context_id)
        words = text.split()
        for number, _ in enumerate(words):
            yield TTSAudioRawFrame(self.audio(self.made), RATE, 1, context_id=context_id)
            self.made += 1
            if number == 0:
                times = [(word, index * WORD_SECONDS) for index, word in enumerate(words)]
                await self.add_word_timestamps(times, context_id)
            if number == self.stall[0]:
                await asyncio.sleep(self.stall[1])
        if self.silence:
            yield TTSAudioRawFrame(bytes(2 * round(RATE * self.silence)), RATE, 1, context_id=context_id)


class Ear:
    """Who reads the track, in real time."""

    def __init__(self) -> None:
        self.samples: Counter[int] = Counter()
        self.last_sound = 0.0

    async def listen(self, track: RawAudioTrack | PlaybackTrack) -> None:
        while True:
            frame = np.frombuffer(bytes((await track.recv()).planes[0]), np.int16)
            if frame.any():
                # A frame is heard from now on.
                self.last_sound = time.monotonic() + (np.flatnonzero(frame)[-1] + 1) / RATE
            self.samples.update(frame.tolist())

    def word(self, number: int) -> int:
        """How many samples of a word were heard at its full level."""
        return self.samples[1_000 + 100 * number]


@contextlib.asynccontextmanager
async def scenario(kind: type[Theirs | Ours]) -> AsyncIterator[tuple[Conversation, Ear]]:
    """A conversation that is listened to."""
    output = kind()
    ear = Ear()
    made = Synthesizer()
    async with conversation(output=output, tts=made) as talk:
        listening = asyncio.create_task(ear.listen(output.track))
        try:
            yield talk, ear
        finally:
            listening.cancel()


async def say(talk: Conversation, text: str) -> None:
    talk.llm.answers.append(text)
    talk.context.add_message({"role": "user", "content": "Well?"})
    await talk.worker.queue_frame(LLMContextFrame(talk.context))


async def heard_until(ear: Ear, word: int, samples: int = 1) -> None:
    await until(lambda: ear.word(word) >= samples, 20)


def in_context(talk: Conversation) -> int:
    """How many words the context has."""
    return len(" ".join(talk.messages).split())


async def late_chunk(kind: type) -> float:
    """How many ms of a chunk of 500 ms are heard that comes 100 ms after its context was interrupted."""
    async with scenario(kind) as (talk, ear):
        await say(talk, ANSWER)
        await heard_until(ear, 1)
        await talk.above.push_frame(InterruptionFrame())
        await asyncio.sleep(0.1)
        audio = np.full(RATE // 2, 9_000, np.int16).tobytes()
        await talk.tts.push_frame(TTSAudioRawFrame(audio, RATE, 1, context_id=talk.tts.contexts[-1]))
        await asyncio.sleep(0.8)
        return round(ear.samples[9_000] * 1_000 / RATE)


async def cut_word(kind: type) -> float:
    """How many words of the context were not heard to their end, when the third one is cut in its middle."""
    async with scenario(kind) as (talk, ear):
        await say(talk, ANSWER)
        await heard_until(ear, 2, round(RATE * WORD_SECONDS / 2))
        await talk.worker.queue_frame(InterruptionFrame())
        await asyncio.sleep(0.2)
        whole = sum(ear.word(number) >= RATE * WORD_SECONDS - 1 for number in range(8))
        return in_context(talk) - whole


async def three_messages(kind: type) -> float:
    """How many words of the context were not heard at all: three messages, each with 400 ms of silence at its end."""
    async with scenario(kind) as (talk, ear):
        talk.tts.silence = SILENCE_SECONDS
        for text in ("one two three four", "five six seven eight", "nine ten eleven twelve"):
            await talk.worker.queue_frame(TTSSpeakFrame(text))
        await heard_until(ear, 8)
        await talk.worker.queue_frame(InterruptionFrame())
        await asyncio.sleep(0.2)
        return max(0, in_context(talk) - sum(ear.word(number) > 0 for number in range(12)))


async def slow_synthesis(kind: type) -> float:
    """How many words of the context were not heard at all: synthesis stands still for 1 s after the third word."""
    async with scenario(kind) as (talk, ear):
        talk.tts.stall = (2, 1.0)
        await say(talk, ANSWER)
        await heard_until(ear, 3)
        await talk.worker.queue_frame(InterruptionFrame())
        await asyncio.sleep(0.2)
        return max(0, in_context(talk) - sum(ear.word(number) > 0 for number in range(8)))


async def stopped(kind: type) -> float:
    """How many ms after its last sample was heard the bot is said to have stopped."""
    async with scenario(kind) as (talk, ear):
        at: list[float] = []
        process = talk.below.process_frame

        async def watch(frame: Frame, direction: FrameDirection) -> None:
            if isinstance(frame, BotStoppedSpeakingFrame) and direction is FrameDirection.DOWNSTREAM:
                at.append(time.monotonic())
            await process(frame, direction)

        talk.below.process_frame = watch
        await say(talk, "one two three")
        await until(lambda: at)
        return round((at[0] - ear.last_sound) * 1_000)


async def short_answer(kind: type) -> float:
    """How many samples are heard of an answer of 500 samples."""
    async with scenario(kind) as (talk, ear):
        audio = np.full(500, 9_000, np.int16).tobytes()
        await talk.tts.push_frame(TTSStartedFrame(context_id="short"))
        await talk.tts.push_frame(TTSAudioRawFrame(audio, RATE, 1, context_id="short"))
        await talk.tts.push_frame(TTSStoppedFrame(context_id="short"))
        await asyncio.sleep(0.3)
        return ear.samples[9_000]


async def paused(kind: type) -> float | None:
    """How many samples a pause of 500 ms loses; None if there is none to be had."""
    if kind is Theirs:
        return None
    async with scenario(kind) as (talk, ear):
        await say(talk, "one two three")
        await heard_until(ear, 1)
        await talk.worker.queue_frame(PlaybackPauseFrame())
        await asyncio.sleep(0.5)
        await talk.worker.queue_frame(PlaybackResumeFrame())
        await until(lambda: talk.messages)
        # Once more than all of them were heard: the ramps of a pause sound twice.
        return sum(max(0, round(RATE * WORD_SECONDS) - ear.word(number) - RAMPS) for number in range(3))


SCENARIOS: dict[str, Callable[[type], Awaitable[float | None]]] = {
    "late chunk of 500 ms, 100 ms after its context was interrupted: heard, ms": late_chunk,
    "interrupted in mid-word: words in the context that were cut": cut_word,
    "three messages with 400 ms of silence each, interrupted: words in the context that nobody heard": three_messages,
    "synthesis stands still for 1 s, interrupted: words in the context that nobody heard": slow_synthesis,
    "the bot has stopped, ms after its last sample": stopped,
    "an answer of 500 samples: samples heard": short_answer,
    "a pause of 500 ms: samples lost": paused,
}


PACKAGES = ("pipecat-ai",)
HEADS = ("scenario", "Pipecat", "playback")
ROWS = tuple(SCENARIOS)


async def measured() -> AsyncIterator[Sequence[object]]:
    """Each row: the framework's, ours."""
    logger.remove()
    for measure in SCENARIOS.values():
        theirs, ours = await asyncio.gather(measure(Theirs), measure(Ours))
        yield "no pause" if theirs is None else f"{theirs:g}", f"{ours:g}"
