"""``python -m benchmarks.aligned_calls [--calls N]``: are reads later where an aligner works?

Many agents talk in one process and are interrupted again and again; each of their tracks encodes Opus. In half of the
rounds what was heard is aligned, in the other half it is estimated. They take turns, so that both see the same machine.
A read is as late as it comes more than 20 ms after the one before; what the network does is not part of it. An
alignment is in time if it is there before a report is final by default (``late_words_seconds``).

The last line is about the interpreter's lock alone: how long a thread that gives it away is without it, while another
one aligns and while none does. A loop gives it away with each system call and with each packet that it encodes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import threading
import time
from typing import Any, Final

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks.calls.__main__ import TEXT
from playback import AudioFormat, PlaybackController, tuning
from playback.align import PocketsphinxAligner
from playback.core.late_words import LATE_WORDS_SECONDS
from playback.opus import OpusPlaybackTrack
from playback.pacing import PTIME_SECONDS
from playback.speech import speech_format, synthesize
from playback.words import Aligner

CALLS: Final = 60
ROUNDS: Final = 6
ROUND_SECONDS: Final = 20.0
INTERRUPTED_SECONDS: Final = 20.0
"""How often each call is interrupted."""
HEARD_SECONDS: Final = 5.0
"""How much of an answer was played then, on average."""


class Agents:
    """So many calls.

    Args:
        calls: how many.
        aligner: what finds what was heard; None for an estimate.
        audio: what each of them says again and again.
    """

    def __init__(self, calls: int, aligner: Aligner | None, audio: bytes) -> None:
        self._calls: Final = calls
        self._aligner: Final = aligner
        self._audio: Final = audio
        self.late: list[float] = []
        self.sources: list[str | None] = []
        self.waits: list[float] = []
        """How many seconds after each interrupt its alignment was there."""

    async def run(self, seconds: float) -> None:
        """Talk for a while."""
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(self._call(number / self._calls, end) for number in range(self._calls)))

    async def _call(self, share: float, end: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.02 * share)
        timing: Any = "estimate" if self._aligner is None else self._aligner
        controller = PlaybackController(AudioFormat(48_000), word_timing=timing, late_words_seconds=2.0)
        track = OpusPlaybackTrack(controller, idle="silence")
        rng = np.random.default_rng(round(1_000 * share))
        talking = asyncio.create_task(self._talk(controller, rng))
        reads: list[float] = []
        try:
            while loop.time() < end:
                await track.recv()
                reads.append(loop.time())
        finally:
            talking.cancel()
            track.stop()
        self.late += list(np.maximum(0.0, np.diff(reads) - PTIME_SECONDS))

    async def _talk(self, controller: PlaybackController, rng: np.random.Generator) -> None:
        await asyncio.sleep(float(rng.uniform(0, INTERRUPTED_SECONDS - HEARD_SECONDS)))
        while True:
            utterance = controller.utterance(text=TEXT, format=speech_format())
            utterance.push(self._audio)
            utterance.end()
            heard = float(rng.uniform(0.5, 2 * HEARD_SECONDS))
            await asyncio.sleep(heard)
            controller.interrupt()
            before = time.perf_counter()
            report = await utterance.wait()
            self.sources.append(report.heard_from)
            if report.heard_from == "alignment":
                self.waits.append(time.perf_counter() - before)
            await asyncio.sleep(INTERRUPTED_SECONDS - heard)


def figures(rounds: list[NDArray[np.float64]]) -> dict[str, float]:
    """How late reads were, in ms: the median of all rounds, for other programs disturb some of them."""
    shares = {"median": 50, "p99": 99, "p99_9": 99.9}
    found = {name: [1_000 * float(np.percentile(late, share)) for late in rounds] for name, share in shares.items()}
    found["over_20"] = [float(np.mean(late > 0.02)) for late in rounds]
    return {name: float(np.median(values)) for name, values in found.items()}


def cpu_seconds() -> float:
    """The CPU time of this process and of those that it has started."""
    process = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children()))


def lock_microseconds(aligner: Aligner, audio: bytes) -> dict[str, float]:
    """How long a thread takes on average to give the interpreter's lock away and get it back, as a loop often does."""
    found: dict[str, float] = {}
    for name in ("alone", "while another one aligns"):
        is_over = threading.Event()

        def work(name: str = name, is_over: threading.Event = is_over) -> None:
            for _ in range(10):
                if name == "alone":
                    is_over.wait(0.1)
                else:
                    aligner.align(TEXT, audio, speech_format())
            is_over.set()

        threading.Thread(target=work).start()
        count, before = 0, time.perf_counter()
        while not is_over.is_set():
            time.sleep(0)
            count += 1
        found[name] = 1e6 * (time.perf_counter() - before) / count
    return found


def measure(calls: int, rounds: int, seconds: float) -> dict[str, Any]:
    """The figures of both kinds of calls, of rounds that take turns."""
    chunks: list[bytes] = []

    def keep(chunk: bytes) -> bool:
        chunks.append(chunk)
        return True

    synthesize(TEXT, keep, lambda *_: None)
    aligner = PocketsphinxAligner()
    aligner.align(TEXT, b"".join(chunks)[:100_000], speech_format())
    kinds: dict[str, list[Agents]] = {"estimate": [], "alignment": []}
    cpu: dict[str, float] = dict.fromkeys(kinds, 0.0)
    for number in range(rounds):
        for name in kinds if number % 2 == 0 else reversed(kinds):
            agents = Agents(calls, aligner if name == "alignment" else None, b"".join(chunks))
            tuning.freeze()
            before = cpu_seconds()
            asyncio.run(agents.run(seconds))
            cpu[name] += cpu_seconds() - before
            kinds[name].append(agents)
    waits = np.array([wait for each in kinds["alignment"] for wait in each.waits])
    return {
        "waits": waits,
        "lock": lock_microseconds(aligner, b"".join(chunks)),
        "kinds": {
            name: {
                **figures([np.array(each.late) for each in agents]),
                "interrupted": sum(len(each.sources) for each in agents),
                "aligned": sum(each.sources.count("alignment") for each in agents),
                "cores": cpu[name] / rounds / seconds,
            }
            for name, agents in kinds.items()
        },
    }


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=CALLS, help="how many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each kind (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=ROUND_SECONDS, help="of a round (default: %(default)s)")
    options = parser.parse_args()
    logging.getLogger("playback").setLevel(logging.ERROR)  # each track warns that nothing was negotiated
    found = measure(options.calls, options.rounds, options.seconds)
    for name, kind in found["kinds"].items():
        print(name, ", ".join(f"{key} {value:.4g}" for key, value in kind.items()))
    waits = found["waits"]
    print(
        f"{np.mean(waits <= LATE_WORDS_SECONDS):.1%} of {len(waits)} alignments were there within"
        f" {LATE_WORDS_SECONDS:g} s of the interrupt: median {np.median(waits):.3f} s,"
        f" 95 % {np.percentile(waits, 95):.3f} s"
    )
    means = [f"{mean:.0f} µs {name}" for name, mean in found["lock"].items()]
    print("a thread has the lock back after", ", ".join(means))


if __name__ == "__main__":
    main()
