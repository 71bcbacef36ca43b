"""A session of LiveKit Agents that needs no room, no network and no key: model, synthesizer and user are made up.

Words differ in their level: the first word that is synthesized sounds at 1,000, the next one at 1,100, and so
on. Time is what a test reads: nothing here waits for a clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentSession, APIConnectOptions, llm, stt, tts, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, TimedString
from livekit.agents.voice.io import AudioInput, AudioOutput

from playback import AudioFormat, Fades, PlaybackController
from playback.integrations.livekit import PlaybackAudioOutput

RATE = 24_000
FRAME = RATE // 50
WORD = RATE // 10
WORD_SECONDS = 0.1
CUT = Fades(0.0, 0.0, 0.0, 0.0)


def level(number: int) -> int:
    """The level of a word, counted from 0."""
    return 1_000 + 100 * number


def audio_frame(samples: np.ndarray | int, value: int = 1_000, rate: int = RATE, channels: int = 1) -> rtc.AudioFrame:
    """A frame of the framework's: so many samples of one level, or the samples that are given."""
    if isinstance(samples, int):
        samples = np.full((samples, channels), value, np.int16)
    return rtc.AudioFrame(samples.tobytes(), rate, channels, len(samples))


class Model(llm.LLM):
    """Says what it is given, one answer after the other."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = deque(answers)

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        for word in self._llm.answers.popleft().split(" "):
            delta = llm.ChoiceDelta(role="assistant", content=word + " ")
            self._event_ch.send_nowait(llm.ChatChunk(id="answer", delta=delta))


class Synthesizer(tts.TTS):
    """Makes 100 ms for each word; it sends the times of words if it is aligned.

    Args:
        aligned: whether it says when each word is spoken.
        word_samples: how long a word is; or each of them.
        rate: its sample rate.
        gate: what it waits for before each word, if a test wants it to be slow.
    """

    def __init__(
        self,
        aligned: bool = True,
        word_samples: int | list[int] = WORD,
        rate: int = RATE,
        channels: int = 1,
        gate: asyncio.Semaphore | None = None,
    ) -> None:
        capabilities = tts.TTSCapabilities(streaming=True, aligned_transcript=aligned)
        super().__init__(capabilities=capabilities, sample_rate=rate, num_channels=channels)
        self.word_samples = itertools.repeat(word_samples) if isinstance(word_samples, int) else iter(word_samples)
        self.gate = gate
        self.words = 0

    def synthesize(self, text: str, **_: Any) -> tts.ChunkedStream:
        return self._synthesize_with_stream(text)

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        return _Speech(tts=self, conn_options=conn_options)


class WholeText(Synthesizer):
    """One that does not stream: the framework cuts the text into sentences, and sends their times."""

    def __init__(self) -> None:
        super().__init__(aligned=False)
        self._capabilities = tts.TTSCapabilities(streaming=False)


class _Speech(tts.SynthesizeStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        synthesizer: Synthesizer = self._tts
        output_emitter.initialize(
            request_id="speech",
            sample_rate=synthesizer.sample_rate,
            num_channels=synthesizer.num_channels,
            mime_type="audio/pcm",
            stream=True,
        )
        output_emitter.start_segment(segment_id="speech")
        start, rest = 0.0, ""

        async def say(word: str) -> None:
            nonlocal start
            if synthesizer.gate is not None:
                await synthesizer.gate.acquire()
            samples = next(synthesizer.word_samples)
            end = start + samples / synthesizer.sample_rate
            if synthesizer.capabilities.aligned_transcript:
                output_emitter.push_timed_transcript(TimedString(word + " ", start_time=start, end_time=end))
            audio = np.full((samples, synthesizer.num_channels), level(synthesizer.words), np.int16)
            output_emitter.push(audio.tobytes())
            output_emitter.flush()
            synthesizer.words += 1
            start = end

        async for text in self._input_ch:
            if isinstance(text, str):
                *words, rest = (rest + text).split(" ")
                for word in filter(None, words):
                    await say(word)
        if rest:
            await say(rest)
        output_emitter.end_segment()


class Microphone(AudioInput):
    """What the user's side hears; a test pushes frames of the level that says who speaks."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self.frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    def hear(self, seconds: float, *, speech: bool) -> None:
        for _ in range(round(seconds * 50)):
            self.frames.put_nowait(audio_frame(FRAME, 5_000 if speech else 0))

    async def __anext__(self) -> rtc.AudioFrame:
        return await self.frames.get()


class Ear(vad.VAD):
    """Voice activity detection of what is loud; time is what it has heard."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.02))

    def stream(self) -> vad.VADStream:
        return _Hearing(self)


class _Hearing(vad.VADStream):
    async def _main_task(self) -> None:
        heard, speech, silence, speaking = 0, 0.0, 0.0, False

        def emit(kind: vad.VADEventType) -> None:
            self._event_ch.send_nowait(
                vad.VADEvent(
                    type=kind,
                    samples_index=heard,
                    timestamp=heard / RATE,
                    speech_duration=speech,
                    silence_duration=silence,
                    speaking=speaking,
                    raw_accumulated_silence=silence,
                    raw_accumulated_speech=speech,
                )
            )

        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            heard += frame.samples_per_channel
            loud = np.abs(np.frombuffer(frame.data, np.int16)).max() > 1_000
            if loud:
                speech, silence = speech + frame.duration, 0.0
                if not speaking:
                    speaking = True
                    emit(vad.VADEventType.START_OF_SPEECH)
            else:
                silence += frame.duration
                if speaking and silence >= 0.1:
                    speaking = False
                    emit(vad.VADEventType.END_OF_SPEECH)
                    speech = 0.0
            emit(vad.VADEventType.INFERENCE_DONE)


class Recognizer(stt.STT):
    """Speech recognition that hears what the test says the user said."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self.said: asyncio.Queue[str] = asyncio.Queue()

    async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS, **_: Any) -> stt.RecognizeStream:
        return _Recognition(stt=self, conn_options=conn_options)


class _Recognition(stt.RecognizeStream):
    async def _run(self) -> None:
        async def ignore_audio() -> None:
            async for _ in self._input_ch:
                pass

        ignoring = asyncio.create_task(ignore_audio())
        try:
            while True:
                text = await self._stt.said.get()
                words = [stt.SpeechData(language="en", text=text)]
                self._event_ch.send_nowait(stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=words))
        finally:
            ignoring.cancel()


class Call:
    """A session, what it plays into, and all that it emitted.

    Args:
        session: the session.
        controller: what plays its output.
        output: the audio output of ours.
    """

    def __init__(self, session: AgentSession[Any], controller: PlaybackController, output: PlaybackAudioOutput) -> None:
        self.session, self.controller, self.output = session, controller, output
        self.microphone: Microphone | None = None
        self.heard: list[np.ndarray] = []
        self.emitted: list[tuple[str, Any]] = []
        follow(output, self.emitted)

    @property
    def said(self) -> list[tuple[str, bool]]:
        """What the history has of the agent: text, and whether it was interrupted."""
        return [
            ((item.text_content or "").strip(), item.interrupted)
            for item in self.session.history.items
            if item.type == "message" and item.role == "assistant"
        ]

    @property
    def finished(self) -> list[Any]:
        return [event for name, event in self.emitted if name == "playback_finished"]

    @property
    def levels(self) -> list[int]:
        """The levels that were heard, silence left out, each as often as samples of it sounded."""
        return samples_by_level(np.concatenate(self.heard))

    async def listen(self, seconds: float) -> None:
        """Read so much, as a track does, and let the framework's tasks run between two frames."""
        for _ in range(round(seconds * 50)):
            self.heard.append(self.controller.read(FRAME)[:, 0])
            await turns()

    async def listen_until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        for _ in range(round(seconds * 50)):
            if condition():
                return
            await self.listen(0.02)
        raise AssertionError("it did not happen")

    async def play_out(self, *speeches: Any) -> None:
        """Read until the framework takes these speeches for done."""
        await self.listen_until(lambda: all(speech.done() for speech in speeches))
        await turns()


def samples_by_level(audio: np.ndarray) -> dict[int, int]:
    values, counts = np.unique(audio[audio != 0], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def follow(output: AudioOutput, emitted: list[tuple[str, Any]]) -> None:
    """Write down what an output emits."""
    for name in ("playback_started", "playback_progressed", "playback_finished"):
        output.on(name, lambda event, name=name: emitted.append((name, event)))


async def turns(count: int = 12) -> None:
    """Let other tasks run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for the framework alone; nothing is read."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the framework notifies nobody
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def calling(
    *answers: str,
    synthesizer: Synthesizer | None = None,
    controller: PlaybackController | None = None,
    user: bool = False,
    wrap: Callable[[AgentSession[Any], PlaybackAudioOutput], AudioOutput] | None = None,
    **interruption: Any,
) -> AsyncIterator[Call]:
    """A session that has begun, with an output of ours.

    Args:
        answers: what the model says.
        synthesizer: one of another kind.
        controller: one of another kind; by default its cuts are exact to the sample.
        user: whether there is a user, who is heard and recognized.
        wrap: puts something around the output.
        interruption: options of the framework.
    """
    controller = controller or PlaybackController(AudioFormat(RATE), fades=CUT)
    microphone, recognizer = Microphone(), Recognizer()
    options: dict[str, Any] = {"backchannel_boundary": None, "mode": "vad", **interruption}
    session: AgentSession[Any] = AgentSession(
        llm=Model(*answers),
        tts=synthesizer or Synthesizer(),
        vad=Ear() if user else None,
        stt=recognizer if user else NOT_GIVEN,
        turn_handling={
            "turn_detection": "vad" if user else "manual",
            "interruption": options,
            "endpointing": {"min_delay": 0.02, "max_delay": 0.05},
        },
        aec_warmup_duration=None,
        user_away_timeout=None,
        session_close_transcript_timeout=0.1,
    )
    output = PlaybackAudioOutput(controller)
    call = Call(session, controller, output)
    session.output.audio = wrap(session, output) if wrap else output
    if user:
        session.input.audio = microphone
    call.microphone, call.recognizer = microphone, recognizer  # type: ignore[attr-defined]
    await session.start(Agent(instructions="Answer."), record=False)
    try:
        yield call
    finally:
        controller.close()
        await session.aclose()
