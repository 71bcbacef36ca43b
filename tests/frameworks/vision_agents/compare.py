"""The framework's own audio track and this project's: the same agent, the same scenarios, in one run."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import numpy as np
from fake_agent import FRAME, RATE, speech, talk
from getstream.video.rtc import AudioStreamTrack, PcmData
from vision_agents.core.agents.events import AgentTurnEndedEvent

from playback import AudioFormat, PlaybackController
from playback.integrations.vision_agents import PlaybackAudioTrack

EMPTY = PcmData(sample_rate=RATE, format="s16")


def ours() -> PlaybackAudioTrack:
    return PlaybackAudioTrack(PlaybackController(AudioFormat(RATE)))


class Reader:
    """Reads a track faster than real time: by frames, not by the clock."""

    def __init__(self, track: Any) -> None:
        self.track = track
        self.frames = 0
        if isinstance(track, AudioStreamTrack):
            track._pacer.next_pts = self._due  # type: ignore[method-assign]

    async def _due(self) -> int:
        return self.frames * FRAME

    async def read(self, seconds: float) -> np.ndarray:
        heard = []
        for _ in range(round(seconds * 50)):
            own = isinstance(self.track, AudioStreamTrack)
            frame = await self.track.recv() if own else self.track.frame(self.frames * FRAME)
            heard.append(frame.to_ndarray()[0])
            self.frames += 1
        return np.concatenate(heard)


def lost(heard: np.ndarray, said: float) -> str:
    """Audio has no sample that is zero, so silence is what is missing."""
    return f"{max(0.0, said - np.count_nonzero(heard) / RATE):.2f} s lost"


async def long_answer(track: Any) -> str:
    for _ in range(400):
        await track.write(speech(0.1))
    await track.write(EMPTY, final=True)
    return lost(await Reader(track).read(41), 40)


async def false_interruption(track: Any) -> str:
    """A cough: the one has a pause, the other one can only drop."""
    reader = Reader(track)
    await track.write(speech(3), final=True)
    heard = [await reader.read(1)]
    if isinstance(track, PlaybackAudioTrack):
        track.controller.pause()
    else:
        await track.flush()
    heard.append(await reader.read(1))
    if isinstance(track, PlaybackAudioTrack):
        track.controller.resume()
    heard.append(await reader.read(3))
    return lost(np.concatenate(heard), 3)


async def interruption(track: Any) -> str:
    """How large the step is in which a loud tone ends."""
    reader = Reader(track)
    tone = (16_000 * np.cos(np.arange(RATE) * 2 * np.pi * 200 / RATE)).astype(np.int16)
    await track.write(PcmData(sample_rate=RATE, format="s16", samples=tone), final=True)
    heard = [await reader.read(0.4)]
    await track.flush()
    heard.append(await reader.read(0.2))
    # Within the tone no two samples are further apart than this.
    usual = np.abs(np.diff(tone.astype(int))).max()
    step = np.abs(np.diff(np.concatenate(heard).astype(int))).max()
    return f"a step of {step} (the tone itself: {usual})"


async def short_tails(track: Any) -> str:
    """Ten pieces of 21 ms, one after the other."""
    for _ in range(10):
        await track.write(speech(0.021), final=True)
    heard = await Reader(track).read(1)
    spoken = np.flatnonzero(heard)
    gaps = spoken[-1] - spoken[0] + 1 - len(spoken)
    return f"{gaps / RATE * 1000:.0f} ms of gaps in 210 ms"


async def stall(track: Any) -> str:
    """In real time: the loop is blocked for a second, and then come how many frames within 100 ms."""
    await track.write(speech(3), final=True)
    await track.recv()
    time.sleep(1)  # noqa: ASYNC251 - that is the point
    frames, until = 0, time.monotonic() + 0.1
    while time.monotonic() < until:
        await track.recv()
        frames += 1
    return f"{frames} frames in 100 ms"


SCENARIOS: dict[str, Callable[[Any], Awaitable[str]]] = {
    "an answer of 40 s, synthesized at once": long_answer,
    "a cough after 1 s of 3 s": false_interruption,
    "a barge-in on a loud tone": interruption,
    "ten pieces of 21 ms": short_tails,
    "the loop is blocked for 1 s": stall,
}


async def end_of_turn(track: Any) -> str:
    """In the whole agent: how much is still to be heard when the end of a turn of 2 s is reported."""
    async with talk(track=track) as now:
        reported = asyncio.Event()

        @now.agent.events.subscribe
        async def on_ended(event: AgentTurnEndedEvent) -> None:
            reported.set()

        ended = reported
        if isinstance(track, PlaybackAudioTrack):
            ended = asyncio.Event()
            track.controller.on("last_audio_byte", lambda _: ended.set())
        reader = Reader(track)
        await now.agent.say(" ".join(["word"] * 20))
        await now.settled()
        while not ended.is_set():
            await reader.read(0.02)
            await asyncio.sleep(0)
        rest = np.count_nonzero(await reader.read(3)) / RATE
        return f"{rest:.2f} s before it was heard"


PACKAGES = ("vision-agents", "getstream")
HEADS = ("", "getstream's track", "ours")
ROWS = (*SCENARIOS, "the end of a turn is reported")


async def measured() -> AsyncIterator[Sequence[object]]:
    """Each row: the framework's own track, and this project's."""
    for run in (*SCENARIOS.values(), end_of_turn):
        yield await run(AudioStreamTrack()), await run(ours())
