"""The framework's own tracks and ours, in one run of the same scenarios, frame by frame as a room pulls them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from videosdk.agents.room import output_stream
from videosdk_fakes import ANSWER, FRAME, WORD, calling, ramp, settle, until

from playback.integrations import videosdk as playback_videosdk

NEVER = "never"


@dataclass
class Ear:
    """Pulls frames from a track, as they are due."""

    track: Any
    frames: list[NDArray[np.int16]] = field(default_factory=list)
    _pulling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Ear:
        self._pulling = asyncio.create_task(self._pull())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._pulling is not None
        self._pulling.cancel()
        with contextlib.suppress(ValueError):  # the framework's own, with half a sample in its buffer
            await self.track.cleanup()

    async def _pull(self) -> None:
        while True:
            self.frames.append((await self.track.recv()).to_ndarray()[0])

    async def hear(self, frames: int) -> NDArray[np.int16]:
        """So many frames more."""
        begin = len(self.frames)
        await until(lambda: len(self.frames) >= begin + frames)
        return np.concatenate(self.frames[begin : begin + frames])

    def audible(self, begin: int = 0) -> int:
        """How many frames had any sound since the frame of this number."""
        return sum(bool(frame.any()) for frame in self.frames[begin:])


class Turns:
    """When each turn was reported to be over, in frames pulled."""

    def __init__(self, ear: Ear) -> None:
        self.ear = ear
        self.over: dict[str, int] = {}

    def begin(self, name: str) -> None:
        """As the framework's speech generation does."""

        async def over() -> None:
            self.over[name] = len(self.ear.frames)

        self.ear.track.mark_synthesis_start()
        self.ear.track.enable_audio_input(manual_control=True)
        self.ear.track.on_last_audio_byte(over)

    async def say(self, name: str, audio: bytes) -> None:
        """A whole turn."""
        self.begin(name)
        await self.ear.track.add_new_bytes(audio)
        self.ear.track.mark_synthesis_complete()


async def last_byte_late(track: Any) -> object:
    async with Ear(track) as ear:
        turns, late = Turns(ear), []
        for turn in range(3):  # the least of three: a busy machine makes the framework's own later still
            begin = len(ear.frames)
            await turns.say(str(turn), ramp(10 * FRAME).tobytes())
            await until(lambda turn=turn: str(turn) in turns.over)
            last = max(index for index, frame in enumerate(ear.frames[begin:], begin) if frame.any())
            late.append(max(0, turns.over[str(turn)] - last - 1))
        return min(late)


async def short_turn(track: Any) -> object:
    async with Ear(track) as ear:
        turns = Turns(ear)
        await turns.say("one", ramp(100).tobytes())
        heard = np.count_nonzero(await ear.hear(20))
        return f"{heard} heard, callback {'called' if turns.over else NEVER}"


async def tail(track: Any) -> object:
    async with Ear(track) as ear:
        turns = Turns(ear)
        await turns.say("one", ramp(2 * FRAME + 100).tobytes())
        await ear.hear(20)
        begin = len(ear.frames)
        await turns.say("two", ramp(FRAME, 20_000).tobytes())
        await ear.hear(5)
        return int(np.count_nonzero(np.isin(np.concatenate(ear.frames[begin:]), ramp(2 * FRAME + 100))))


async def odd_turn(track: Any) -> object:
    async with Ear(track) as ear:
        turns = Turns(ear)
        await turns.say("one", ramp(2 * FRAME).tobytes() + b"\x01")
        await ear.hear(20)
        begin = len(ear.frames)
        await turns.say("two", ramp(3 * FRAME).tobytes())
        await ear.hear(10)
        heard = np.concatenate(ear.frames[begin:])
        return 3 * FRAME - int(np.isin(ramp(3 * FRAME), heard).sum())


async def odd_barge_in(track: Any) -> object:
    async with Ear(track) as ear:
        turns = Turns(ear)
        await turns.say("one", ramp(15 * FRAME).tobytes() + b"\x01")
        await ear.hear(5)
        begin = len(ear.frames)
        try:
            track.interrupt()
        except ValueError as error:
            return type(error).__name__
        await ear.hear(15)
        return f"{ear.audible(begin)} frames of fade"


async def marked_in_a_pause(track: Any) -> object:
    async with Ear(track) as ear:
        turns = Turns(ear)
        turns.begin("one")
        await track.add_new_bytes(ramp(50 * FRAME).tobytes())
        await ear.hear(5)
        await track.pause()
        await ear.hear(15)
        track.mark_synthesis_complete()
        await settle()
        early = bool(turns.over)
        begin = len(ear.frames)
        await track.resume()
        await until(lambda: not track.is_speaking)
        return ear.audible(begin) if early else 0


async def pause_at(track: Any) -> object:
    async with Ear(track) as ear:
        turns = Turns(ear)
        await turns.say("one", ramp(40 * FRAME).tobytes())
        await ear.hear(5)
        for _ in range(3):
            await track.pause()
            await ear.hear(3)
            await track.resume()
            await ear.hear(3)
        await until(lambda: not track.is_speaking)
        missing = ~np.isin(ramp(40 * FRAME), np.concatenate(ear.frames))
        # A ramp up plays its samples more softly: they are heard, under another value.
        ramped = 3 * 120 if hasattr(track, "controller") else 0
        return max(0, int(missing.sum()) - ramped)


async def second_barge_in(track: Any) -> object:
    """As with a realtime model, which enables the input once."""
    async with Ear(track) as ear:
        track.enable_audio_input()
        left = []
        for _ in range(2):
            await track.add_new_bytes(ramp(100 * FRAME).tobytes())
            await ear.hear(5)
            begin = len(ear.frames)
            for _ in range(3):
                track.interrupt()
            await ear.hear(30)
            left.append(ear.audible(begin))
        return f"{left[0]}, then {left[1]}{' (measured for 30)' if left[1] == 30 else ''}"


async def queued(track: Any) -> object:
    async with Ear(track) as ear:
        turns = Turns(ear)
        await turns.say("one", ramp(5 * FRAME).tobytes())
        await turns.say("two", ramp(5 * FRAME).tobytes())
        await until(lambda: "two" in turns.over)
        return f"{len(turns.over)} of 2"


async def blocked(track: Any) -> object:
    """How many frames come within 100 ms after the loop was blocked for a second."""
    import time

    async with Ear(track) as ear:
        await ear.hear(5)
        time.sleep(1.0)  # noqa: ASYNC251 - that is the point
        begin = len(ear.frames)
        await asyncio.sleep(0.1)
        return len(ear.frames) - begin


async def counted(track: Any) -> object:
    """In the real session: how much more the snapshot, which is the history's measure, counts once the fade is over."""
    async with calling(track) as call, Ear(track) as ear:
        call.tts.words_at_once = 10
        call.llm.answer = f"{ANSWER} more"
        await call.ask()
        await until(lambda: ear.audible() >= 4 * WORD // FRAME + 2)
        first = track.snapshot_playback()
        await call.barge_in_words()
        await until(lambda: call.history[-1][2])
        await ear.hear(25)
        later = track.snapshot_playback()
        return (later[0] - first[0]) // FRAME


SCENARIOS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "last audio byte reported so many frames after the last one": last_byte_late,
    "a turn of 100 samples (4 ms)": short_turn,
    "samples of a turn's tail that open the next turn": tail,
    "samples of the next turn spoiled by an odd byte, of 1,440": odd_turn,
    "an interrupt near the end, with half a sample in the buffer": odd_barge_in,
    "frames still to play when a turn that is marked in a pause is reported as over": marked_in_a_pause,
    "samples lost in three pauses": pause_at,
    "frames that play on after a first barge-in, and after a second (realtime)": second_barge_in,
    "two turns queued: callbacks called": queued,
    "frames counted as played after an interrupt": counted,
    "frames within 100 ms after the loop was blocked for a second": blocked,
}


async def measure(kind: str, scenario: Callable[[Any], Awaitable[object]]) -> object:
    """One scenario on one of our tracks and on the framework's."""
    loop = asyncio.get_running_loop()
    results = []
    for module in (output_stream, playback_videosdk):
        with contextlib.redirect_stderr(io.StringIO()):
            results.append(await scenario(getattr(module, kind)(loop)))
    return tuple(results)


PACKAGES = ("videosdk-agents", "vsaiortc")
HEADS = ("", "the framework's own", "ours")
ROWS = tuple(SCENARIOS)


async def measured() -> AsyncIterator[Sequence[object]]:
    """Each row: the framework's own, ours; the mixing tracks are named where they differ."""
    logging.disable()
    for scenario in SCENARIOS.values():
        own, ours = await measure("CustomAudioStreamTrack", scenario)  # type: ignore[misc]
        mixing_own, mixing_ours = await measure("MixingCustomAudioStreamTrack", scenario)  # type: ignore[misc]
        yield [a if a == b else f"{a}; mixing: {b}" for a, b in ((own, mixing_own), (ours, mixing_ours))]
