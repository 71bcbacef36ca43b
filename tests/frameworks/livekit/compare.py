"""The framework's own room output against ours, in one run of the same scenarios: for the table of its page.

Both play into a real ``rtc.AudioSource`` of the native library, and what comes out of its track is what was heard. Only
the room is made up. The value of a sample is its place, so that what is lost, and what was heard, can be counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice.io import AudioOutput
from livekit.agents.voice.room_io._output import _ParticipantAudioOutput
from livekit.agents.voice.transcription.synchronizer import TranscriptSynchronizer
from livekit_fakes import RATE, WORD, Model, Synthesizer, level, samples_by_level

from playback import AudioFormat, Fades, PlaybackController
from playback.integrations.livekit import PlaybackAudioOutput, source_pump


def speech(seconds: float) -> np.ndarray:
    """Samples that count from 1."""
    return np.arange(1, round(seconds * RATE) + 1).astype(np.int16)


class Heard:
    """What comes out of a track, and when."""

    def __init__(self) -> None:
        self.pieces: list[tuple[float, np.ndarray]] = []

    async def listen(self, track: rtc.LocalAudioTrack) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=RATE, num_channels=1)
        try:
            async for event in stream:
                self.pieces.append((time.monotonic(), np.frombuffer(event.frame.data, np.int16).copy()))
        finally:
            await stream.aclose()

    @property
    def audio(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, np.int16), *(piece for _, piece in self.pieces)])

    @property
    def samples(self) -> np.ndarray:
        audio = self.audio
        return audio[audio != 0]

    @property
    def last(self) -> float:
        """When something was heard last."""
        return max(when for when, piece in self.pieces if piece.any())


class Scenario:
    """An output on the stage."""

    def __init__(self, output: AudioOutput, heard: Heard, source: rtc.AudioSource) -> None:
        self.output, self.heard, self.source = output, heard, source
        self.finished: list[tuple[float, Any]] = []
        output.on("playback_finished", lambda event: self.finished.append((time.monotonic(), event)))

    async def say(self, audio: np.ndarray) -> None:
        for block in np.split(audio, range(RATE // 10, len(audio), RATE // 10)):
            await self.output.capture_frame(rtc.AudioFrame(block.tobytes(), RATE, 1, len(block)))
        self.output.flush()

    async def hear(self, samples: int) -> None:
        while len(self.heard.samples) < samples:  # noqa: ASYNC110 - the track is the framework's
            await asyncio.sleep(0.002)

    async def end(self) -> bool:
        """Whether the segment ends at all."""
        try:
            await asyncio.wait_for(self.output.wait_for_playout(), 3.0)
        except TimeoutError:
            return False
        return True


class _Room:
    """As much of a room as the framework's output asks for: it takes a track."""

    def __init__(self, heard: Heard) -> None:
        self.local_participant = self
        self.heard = heard
        self.listening: asyncio.Task[None] | None = None

    async def publish_track(self, track: rtc.LocalAudioTrack, _: rtc.TrackPublishOptions) -> _Room:
        self.listening = asyncio.create_task(self.heard.listen(track))
        return self

    sid = "track"

    async def wait_for_subscription(self) -> None:
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def theirs() -> AsyncIterator[Scenario]:
    heard = Heard()
    room: Any = _Room(heard)
    output = _ParticipantAudioOutput(
        room, sample_rate=RATE, num_channels=1, track_publish_options=rtc.TrackPublishOptions()
    )
    await output.start()
    try:
        yield Scenario(output, heard, output._audio_source)
    finally:
        room.listening.cancel()
        await asyncio.gather(room.listening, return_exceptions=True)
        await output.aclose()


@contextlib.asynccontextmanager
async def ours(*, clears_queue: bool = False) -> AsyncIterator[Scenario]:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0.0, 0.0, 0.0, 0.0))  # each sample as it is
    source = rtc.AudioSource(RATE, 1)
    heard = Heard()
    listening = asyncio.create_task(heard.listen(rtc.LocalAudioTrack.create_audio_track("agent", source)))
    pumping = asyncio.create_task(source_pump(controller, source, clears_queue=clears_queue).run())
    try:
        yield Scenario(PlaybackAudioOutput(controller), heard, source)
    finally:
        controller.close()
        listening.cancel()
        await asyncio.gather(listening, pumping, return_exceptions=True)
        await source.aclose()


async def pause(scenario: Scenario) -> list[str]:
    audio = speech(1.2)
    await scenario.say(audio)
    await scenario.hear(RATE // 2)
    paused = time.monotonic()
    scenario.output.pause()
    await asyncio.sleep(0.4)
    silent = scenario.heard.last - paused
    scenario.output.resume()
    await scenario.end()
    await asyncio.sleep(0.1)
    lost = len(set(audio.tolist()) - set(scenario.heard.samples.tolist()))
    return [f"{lost} samples ({1000 * lost / RATE:.0f} ms)", f"{1000 * silent:.0f} ms"]


async def short_of_a_pause(scenario: Scenario) -> list[str]:
    await scenario.say(speech(0.15))
    await scenario.hear(1)
    scenario.output.pause()
    await asyncio.sleep(0.4)
    heard, ended = len(scenario.heard.samples), bool(scenario.finished)
    scenario.output.resume()
    await scenario.end()
    return [f"{1000 * heard / RATE:.0f} of 150 ms sounded in the pause" + (", and it was finished" if ended else "")]


async def end(scenario: Scenario) -> list[str]:
    await scenario.say(speech(0.7))
    await scenario.end()
    reported = scenario.finished[0][0]
    await asyncio.sleep(0.15)
    late = reported - scenario.heard.last
    return [f"{abs(1000 * late):.0f} ms {'after' if late > 0 else 'before'} the last sample"]


async def interruption(scenario: Scenario) -> list[str]:
    await scenario.say(speech(1.2))
    await scenario.hear(RATE // 2)
    interrupted = time.monotonic()
    scenario.output.clear_buffer()
    scenario.output.clear_buffer()
    await scenario.end()
    await asyncio.sleep(0.3)
    error = scenario.finished[0][1].playback_position - len(scenario.heard.samples) / RATE
    return [
        f"{1000 * error:+.1f} ms",
        f"{1000 * (scenario.heard.last - interrupted):.0f} ms",
        f"{len(scenario.finished)}",
    ]


async def short(scenario: Scenario, samples: int) -> list[str]:
    await scenario.say(speech(samples / RATE))
    ended = await scenario.end()
    await asyncio.sleep(0.1)
    return [f"{'ended' if ended else 'never ended'}, {len(scenario.heard.samples)} heard"]


async def history(scenario: Scenario) -> list[str]:
    """A session that counts to ten, draws out the third word, and is interrupted in it."""
    answer = "One two three, four five six seven eight nine ten."
    lengths = [WORD, WORD, 7 * WORD] + [WORD] * 7
    session: AgentSession[Any] = AgentSession(
        llm=Model(answer),
        tts=Synthesizer(word_samples=lengths),
        vad=None,
        turn_handling={"turn_detection": "manual"},
    )
    if isinstance(scenario.output, PlaybackAudioOutput):
        session.output.audio = scenario.output
    else:  # what a room puts around it
        synchronizer = TranscriptSynchronizer(next_in_chain_audio=scenario.output, next_in_chain_text=None)
        session.output.audio, session.output.transcription = synchronizer.audio_output, synchronizer.text_output
    await session.start(Agent(instructions="Count."), record=False)
    speech = session.generate_reply(user_input="Count.")
    await scenario.hear(round(0.6 * RATE))
    speech.interrupt()
    await speech
    await asyncio.sleep(0.1)
    heard = samples_by_level(scenario.heard.audio)
    whole = sum(heard.get(level(number), 0) == length for number, length in enumerate(lengths))
    said = session.history.items[-1]
    await session.aclose()
    assert said.type == "message"
    return [f"“{said.text_content}”; {whole} words were heard to their end"]


async def queue(scenario: Scenario) -> list[str]:
    """How much is out of reach, while it speaks."""
    talking = asyncio.create_task(scenario.say(speech(1.0)))
    most = 0.0
    for _ in range(100):
        most = max(most, scenario.source.queued_duration)
        await asyncio.sleep(0.005)
    await talking
    await scenario.end()
    return [f"{1000 * most:.0f} ms"]


SCENARIOS: list[tuple[Callable[[Scenario], Awaitable[list[str]]], list[str]]] = [
    (pause, ["a pause of 0.4 s: lost", "from `pause()` to silence"]),
    (short_of_a_pause, ["a pause at the start of 150 ms"]),
    (end, ["`playback_finished` is emitted"]),
    (
        interruption,
        [
            "an interruption: position reported against what was heard",
            "from `clear_buffer()` to silence",
            "ends reported",
        ],
    ),
    *((partial(short, samples=samples), [f"a segment of {samples} samples"]) for samples in (0, 1, 71, 479)),
    (history, ["the history after an interruption in the third of ten words, which is a long one"]),
    (queue, ["most that is queued in the source"]),
]


PACKAGES = ("livekit-agents", "livekit")
HEADS = ("", "LiveKit's own", "ours")
ROWS = tuple(name for _, names in SCENARIOS for name in names)


async def measured() -> AsyncIterator[Sequence[object]]:
    """Each row: theirs, ours."""
    for scenario, _ in SCENARIOS:
        figures = []
        for stage in (theirs, ours):
            async with stage() as on_stage:
                await asyncio.sleep(0.1)
                figures.append(await scenario(on_stage))
        for row in zip(*figures, strict=True):
            yield row
