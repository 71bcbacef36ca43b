"""Many calls in one process: real senders, real SRTP, real UDP on the loopback interface, one kind of track.

``python -m benchmarks.calls.sender --track opus --calls 20 --speech FILE.wav`` prints a line of JSON: the CPU time for
each 20 ms of a call, and how late frames were. The other ends are in a process of their own. It needs nothing but the
standard library, numpy and what the track needs, so that it runs inside the environments of other systems, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import time
import wave
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from aioice import ice
from numpy.typing import NDArray

from benchmarks.calls.tracks import RATE, TRACKS, Speaker
from benchmarks.machine import stolen_seconds
from playback import tuning
from playback.pacing import PTIME_SECONDS

SETTLING_SECONDS: Final = 2.0
"""How long calls run before anything is counted."""

SETUPS: Final = 8
"""How many connections are set up at a time."""

CASES: Final = {"speech": (1.0, 1.0), "turns": (2.0, 8.0), "silence": (0.0, 1.0)}
"""For how many seconds of how many the agent of each call speaks."""


@dataclass
class Timed:
    """When each frame of a call was handed out, and when it was due."""

    times: list[float] = field(default_factory=list)
    stamps: list[float] = field(default_factory=list)

    def lateness(self, begin: float, end: float) -> NDArray[np.float64]:
        """By how much each frame of a span of time came later than the most punctual of them, in seconds.

        What is handed out together with the frame after it, as its lead, is none.
        """
        times, stamps = np.asarray(self.times), np.asarray(self.stamps)
        within = (times >= begin) & (times < end) & (np.diff(stamps, append=np.inf) > 0.9 * PTIME_SECONDS)
        ahead: NDArray[np.float64] = times[within] - stamps[within]
        return ahead - ahead.min() if len(ahead) else ahead


def timed(module: Any, track: Any, timed: Timed, start: Callable[[], Awaitable[None]]) -> Any:
    """A track of a stack that hands out another one's frames, from a start on, and notes when."""
    clock = asyncio.get_running_loop().time

    class TimedTrack(module.MediaStreamTrack):  # type: ignore[misc]
        kind = "audio"
        tick = 0.0
        """Seconds of a timestamp's unit; 0 before the first frame."""

        async def recv(self) -> Any:
            if not self.tick:
                await start()
            data = await track.recv()
            timed.times.append(clock())
            if not self.tick:
                self.tick = float(data.time_base)
            timed.stamps.append(data.pts * self.tick)
            return data

    return TimedTrack()


class Calls:
    """So many calls of a kind.

    Args:
        options: the command line.
        speech: mono, int16, at 48 kHz.
    """

    def __init__(self, options: argparse.Namespace, speech: bytes) -> None:
        self.options: Final = options
        self.kind: Final = TRACKS[options.track]
        self.module: Final = None if self.kind.stack == "native" else import_module(self.kind.stack)
        self.speakers: Final = [
            Speaker(self.kind, speech, CASES[options.case], number / options.calls) for number in range(options.calls)
        ]
        self.timed: Final = [Timed() for _ in self.speakers]
        self.go: Final = asyncio.Event()
        self.far_end: Process

    async def connect(self) -> None:
        """Set all of them up."""
        command = [self.options.far_python, "-m", "benchmarks.calls.receiver"]
        self.far_end = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=2**20)
        one_at_a_time, setups = asyncio.Lock(), asyncio.Semaphore(SETUPS)
        async with asyncio.timeout(120):
            await asyncio.gather(
                *(self._connect(number, one_at_a_time, setups) for number in range(self.options.calls))
            )

    async def _connect(self, number: int, one_at_a_time: asyncio.Lock, setups: asyncio.Semaphore) -> None:
        async with setups:
            if self.module is None:
                await self._connect_native(self.speakers[number].track, self.timed[number], one_at_a_time)
                return
            configuration = self.module.RTCConfiguration(iceServers=[])
            connection = self.module.RTCPeerConnection(configuration)
            start = partial(self._start, number)
            connection.addTrack(timed(self.module, self.speakers[number].track, self.timed[number], start))
            connected = asyncio.Event()
            connection.on(
                "connectionstatechange",
                lambda: connected.set() if connection.connectionState == "connected" else None,
            )
            await connection.setLocalDescription(await connection.createOffer())
            async with one_at_a_time:
                answer = await self._answer(connection.localDescription.sdp)
            await connection.setRemoteDescription(self.module.RTCSessionDescription(answer, "answer"))
            await connected.wait()

    async def _answer(self, offer: str) -> str:
        """What the far end answers."""
        assert self.far_end.stdin
        assert self.far_end.stdout
        self.far_end.stdin.write(json.dumps({"sdp": offer}).encode() + b"\n")
        answer: str = json.loads(await self.far_end.stdout.readline())["sdp"]
        return answer

    async def _connect_native(self, peer: Any, timed: Timed, one_at_a_time: asyncio.Lock) -> None:
        clock = asyncio.get_running_loop().time

        def note(late: float) -> None:
            timed.times.append(now := clock())
            timed.stamps.append(now - late)

        connected = asyncio.Event()
        peer.on("state_changed", lambda state: connected.set() if state == "connected" else None)
        peer.controller.watch_frames(note)
        offer = await peer.offer()
        async with one_at_a_time:
            peer.accept(await self._answer(offer))
        await connected.wait()

    async def _start(self, number: int) -> None:
        """Wait for the common start; each call begins at its own place within 20 ms."""
        await self.go.wait()
        await asyncio.sleep(0.02 * number / self.options.calls)

    async def measure(self) -> dict[str, Any]:
        """Let all of them speak, and count."""
        seconds = self.options.seconds
        clock = asyncio.get_running_loop().time
        talks = [asyncio.create_task(speaker.talk(SETTLING_SECONDS + seconds + 1)) for speaker in self.speakers]
        self.go.set()
        await asyncio.sleep(SETTLING_SECONDS)
        begin, cpu, stolen = clock(), time.process_time(), stolen_seconds()
        await asyncio.sleep(seconds)
        end, cpu, stolen = clock(), time.process_time() - cpu, stolen_seconds() - stolen
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        late = np.concatenate([each.lateness(begin, end) for each in self.timed])
        quantiles = np.quantile(late, (0.5, 0.99, 1.0)) if len(late) else np.zeros(3)
        # A machine whose cores others use stands still for moments; what a second is mostly like is not moved by that.
        seconds_late = [
            np.concatenate([each.lateness(at, at + 1) for each in self.timed]) for at in np.arange(begin, end - 0.9)
        ]
        seconds_p99 = [float(np.quantile(one, 0.99)) for one in seconds_late if len(one)]
        return {
            "cpu_us": 1e6 * cpu / (self.options.calls * (end - begin) / 0.02),
            "cores": cpu / (end - begin),
            "p50_ms": 1000 * quantiles[0],
            "p99_ms": 1000 * quantiles[1],
            "max_ms": 1000 * quantiles[2],
            "second_p99_ms": 1000 * float(np.median(seconds_p99)) if seconds_p99 else 0.0,
            "stolen": stolen / (end - begin),
            "frames_per_second": len(late) / (end - begin) / self.options.calls,
        }


async def main(options: argparse.Namespace, speech: bytes) -> dict[str, Any]:
    """Connect, measure, and leave the rest to the end of the process."""
    ice.get_host_addresses = lambda **_: ["127.0.0.1"]
    if options.threads:
        tuning.set_threads(options.threads)
    calls = Calls(options, speech)
    await calls.connect()
    if options.freeze:
        tuning.freeze()
    try:
        return await calls.measure()
    finally:
        calls.far_end.kill()
        await calls.far_end.wait()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls.sender", description=__doc__)
    parser.add_argument("--track", choices=TRACKS, required=True)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--case", choices=CASES, default="speech")
    parser.add_argument("--speech", type=Path, required=True, help="a WAV file: mono, 16 bits, 48 kHz")
    parser.add_argument("--far-python", default=sys.executable, help="which Python runs the other ends")
    parser.add_argument("--freeze", action="store_true", help="playback.tuning.freeze()")
    parser.add_argument("--uvloop", action="store_true", help="playback.tuning.loop_factory()")
    parser.add_argument("--threads", type=int, default=0, help="playback.tuning.set_threads(); 0 is asyncio's choice")
    return parser


if __name__ == "__main__":
    arguments = parser().parse_args()
    with wave.open(str(arguments.speech), "rb") as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise SystemExit(f"{arguments.speech}: expected {RATE} Hz, mono, 16 bits")
        audio = file.readframes(file.getnframes())
    factory = tuning.loop_factory() if arguments.uvloop else None
    # Within a timed track, one of Opus can't see what its connection has negotiated, and would warn of it in each call.
    logging.getLogger("playback").setLevel(logging.ERROR)
    with asyncio.Runner(loop_factory=factory) as runner:
        print(json.dumps(runner.run(main(arguments, audio))), flush=True)
        # Hundreds of tasks and sockets: nobody needs to see them closed one by one.
        os._exit(0)
