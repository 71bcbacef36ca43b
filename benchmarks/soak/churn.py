"""``python -m benchmarks.soak.churn [--sessions N]``: sessions that come and go, closed or just dropped.

Each session is a controller with all that goes with it: a turn that speaks, a threadsafe producer, background, sinks, a
trace, a barge-in policy and listeners. Half of them are closed, the other half dropped in the middle of it all.
Objects, tasks, threads and open files have to be as many afterwards as after the first few, and memory about as much.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import threading
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.soak.growth import MEGABYTE, resident
from playback import AudioFormat, PlaybackController
from playback.bargein import BargeIn
from playback.events import Event
from playback.sinks import CallbackSink, Chunk, RecorderSink
from playback.tracing import Trace
from playback.track import PlaybackTrack

SESSIONS: Final = 10_000
CHECKS: Final = 20
"""How often things are looked at; the first fifth is the warm-up."""
FORMAT: Final = AudioFormat(24_000)
FRAME: Final = FORMAT.samples(0.02)
READS: Final = 12
RECORDED: Final = 50
"""One session in so many is recorded, if it is closed: a recorder is finished by its controller's end, or its own."""

MOST_MORE: Final = {"objects": 150, "tasks": 2, "threads": 1, "files": 2, "MB": 24}
"""By how much anything may have become more since the warm-up: what a session more or less makes, but memory, of which
the allocator keeps what it likes."""

_FILES: Final = Path("/proc/self/fd")
_MUSIC: Final = np.random.default_rng(1).normal(0, 1_000, FORMAT.sample_rate // 4).astype(np.int16)
_SPEECH: Final = np.random.default_rng(2).normal(0, 4_000, FRAME).astype(np.int16)


async def _synthesize() -> AsyncGenerator[bytes, None]:
    for _ in range(6):
        yield _SPEECH.tobytes()
        await asyncio.sleep(0)


def _hear(chunk: Chunk) -> int:
    return len(chunk.audio)


async def _publish(chunk: Chunk) -> int:
    await asyncio.sleep(0)
    return len(chunk.audio)


async def session(number: int, *, closed: bool, folder: Path) -> None:
    """One call: some speech, a barge-in, and its end, if it has one.

    Args:
        number: which one.
        closed: whether it is closed, or just dropped.
        folder: where recordings go.
    """
    controller = PlaybackController(FORMAT)
    track = PlaybackTrack(controller)
    heard: list[Event] = []
    for name in ("state_changed", "turn_finished", "utterance_finished"):
        controller.on(name, heard.append)
    events = controller.events()
    controller.background.add(_MUSIC, loop=True)
    controller.sinks.add(CallbackSink(_hear), when="pushed")
    controller.sinks.add(CallbackSink(_publish), when="played")
    if closed and not number % RECORDED:
        controller.sinks.add(RecorderSink(folder / "call.wav"))
    trace = Trace(controller)
    policy = BargeIn(controller)
    turn = controller.turn()
    spoken = turn.speak(_synthesize(), text="what is said", format=FORMAT)
    turn.speak(_synthesize(), format=FORMAT)
    producer = controller.threadsafe(asyncio.get_running_loop())
    for read in range(READS):
        track.frame(read * FRAME)
        await asyncio.sleep(0)
    policy.speech_started()
    producer.push(np.zeros(FORMAT.sample_rate, np.float32))  # longer than what a sink gets at once
    controller.utterance(format="encoded").push(b"RIFF\xff\xff\xff\x7fWAVE")
    spoken.mark("word")
    await asyncio.sleep(0)
    track.frame(READS * FRAME)
    if closed:
        policy.stop()
        trace.stop()
        controller.close()
        await spoken.wait()
        await turn.wait()
        async for _ in events:
            pass


@dataclass(frozen=True, slots=True)
class Count:
    """What there is after some sessions."""

    sessions: int
    figures: dict[str, float]


async def _count(sessions: int) -> Count:
    for _ in range(20):  # sources are closed by tasks, and decoders end on threads of their own
        await asyncio.sleep(0)
        gc.collect()
        if len(asyncio.all_tasks()) == 1:
            break
    for _ in range(100):
        if not any(thread.name.startswith(("decoding", "reading", "record")) for thread in threading.enumerate()):
            break
        await asyncio.sleep(0.01)
    gc.collect()
    figures = {
        "objects": len(gc.get_objects()),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "files": len(os.listdir(_FILES)) if _FILES.exists() else 0,
        "MB": resident() / MEGABYTE,
    }
    return Count(sessions, figures)


def _log(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """All but that the task of a sink was dropped, too: that is what is done here."""
    if context.get("message") != "Task was destroyed but it is pending!":
        loop.default_exception_handler(context)


async def churn(sessions: int, *, closed: bool) -> list[Count]:
    """Hold so many sessions, one after the other; returns what there was meanwhile."""
    asyncio.get_running_loop().set_exception_handler(_log)
    counts = []
    gc.collect()
    gc.freeze()  # what is there already is not looked at each time
    try:
        with TemporaryDirectory() as folder:
            for number in range(sessions):
                await session(number, closed=closed, folder=Path(folder))
                if (number + 1) % max(1, sessions // CHECKS) == 0:
                    counts.append(await _count(number + 1))
    finally:
        gc.unfreeze()
    return counts


def problems(counts: list[Count]) -> list[str]:
    """What has grown since the warm-up, in lines to read."""
    first, last = counts[len(counts) // 5], counts[-1]
    return [
        f"{name}: {first.figures[name]:,.0f} after {first.sessions:,} sessions, {last.figures[name]:,.0f} at last"
        for name, most in MOST_MORE.items()
        if last.figures[name] - first.figures[name] > most
    ]


def main(arguments: list[str] | None = None) -> int:
    """Hold the sessions, and print what there was.

    Returns:
        The exit code: 1 if something has grown.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak.churn", description="Sessions that come and go.")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="closed, and as many dropped (%(default)s)")
    sessions = parser.parse_args(arguments).sessions
    if sessions < CHECKS:
        parser.error(f"--sessions is {sessions}, expected {CHECKS} or more")
    failed = False
    for closed in (True, False):
        counts = asyncio.run(churn(sessions, closed=closed))
        sys.stdout.write(f"{'closed' if closed else 'dropped'}\n{'sessions':>10}")
        sys.stdout.write("".join(f"{name:>12}" for name in MOST_MORE) + "\n")
        for count in counts:
            sys.stdout.write(f"{count.sessions:10,}" + "".join(f"{n:12,.0f}" for n in count.figures.values()) + "\n")
        for problem in problems(counts):
            failed = True
            sys.stdout.write(f"grows: {problem}\n")
    sys.stdout.write("FAILED\n" if failed else "ok\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
