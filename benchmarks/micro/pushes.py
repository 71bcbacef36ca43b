"""Long pushes of every kind, each compared with one copy of its bytes, made in the same round.

Memory that is new to the process takes several times as long to write as memory that was written before, and either may
get it. So the allocator is asked to keep what is freed, and the first rounds do not count.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import thread_time_ns
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.micro.audio import expect
from benchmarks.micro.measure import cpu_ns
from playback import AudioFormat, PlaybackController
from playback.audio.encodings import ENCODINGS
from playback.sinks import Chunk

SECONDS: Final = 300
"""Long enough that what a push takes anyhow, however short it is, does not count."""

RATE: Final = 24_000
OUTPUT: Final = AudioFormat(RATE)

LIMIT: Final = 1.5
"""The most that a push may cost, in copies of its data: promise P10."""

GIVES: Final = ("push", "push with a sink", "write", "speak", "threadsafe")
"""How audio is given: by itself, with a sink that hears it as it is pushed, and in the other ways of a producer."""


_WARM: Final = 2
"""Rounds after which all memory that is used was written before."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Settings of glibc's mallopt(3)."""


def keep_freed_memory() -> None:
    """Have the C library keep what is freed, if it is glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of input."""

    name: str
    format: AudioFormat
    audio: Any
    size: int
    """Bytes of its samples."""


def _noise(channels: int, rate: int = RATE) -> NDArray[np.float32]:
    """Samples of shape (samples, channels), 12 dB below full scale."""
    noise = np.random.default_rng(channels).normal(0, 0.08, (SECONDS * rate, channels))
    return noise.clip(-0.9, 0.9).astype(np.float32)


def _frame(samples: NDArray[Any], sample_type: str) -> av.AudioFrame:
    """A frame of samples of shape (samples, channels)."""
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    lying = samples.T if sample_type.endswith("p") else samples.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(lying), format=sample_type, layout=layout)
    frame.sample_rate = RATE
    return frame


def kinds() -> list[Kind]:
    """Every encoding, arrays of each type and shape, frames of each type; some resampled, some with other channels."""
    both, one = _noise(2), _noise(1)
    integers = {2: np.rint(both * 32_767).astype(np.int16), 1: np.rint(one * 32_767).astype(np.int16)}
    found = []
    for encoding in ENCODINGS:
        data = (one.tobytes() if encoding == "f32le" else bytes(len(one) * ENCODINGS[encoding].width)) or b""
        found.append(Kind(f"bytes, {encoding}", AudioFormat(RATE, 1, encoding), data, len(data)))
    plain = integers[1].tobytes()
    found += [
        Kind("bytes, resampled", AudioFormat(16_000), plain, len(plain)),
        Kind("bytearray", OUTPUT, bytearray(plain), len(plain)),
        Kind("view", OUTPUT, memoryview(bytearray(plain)), len(plain)),
    ]
    for name, values in (("float32", {1: one, 2: both}), ("int16", integers)):
        mono, stereo = values[1], values[2]
        for shape, array, channels in (
            ("(samples,)", mono[:, 0], 1),
            ("(samples, 1)", mono, 1),
            ("(samples, 2)", stereo, 2),
            ("(2, samples) transposed", np.ascontiguousarray(stereo.T).T, 2),
            ("of every other sample", np.repeat(mono[:, 0], 2)[::2], 1),
        ):
            found.append(Kind(f"{name} {shape}", AudioFormat(RATE, channels), array, array.nbytes))
    scaled: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
        "u8": lambda floats: (floats * 127 + 128).astype(np.uint8),
        "s16": lambda floats: (floats * 32_767).astype(np.int16),
        "s32": lambda floats: (floats * 2_147_483_000).astype(np.int32),
        "flt": lambda floats: floats,
        "dbl": lambda floats: floats.astype(np.float64),
    }
    for sample_type, scale in scaled.items():
        for suffix in ("", "p"):
            for channels, floats in ((1, one), (2, both)):
                samples = scale(floats)
                name = f"{sample_type}{suffix} frame, {'mono' if channels == 1 else 'stereo'}"
                found.append(Kind(name, OUTPUT, _frame(samples, sample_type + suffix), samples.nbytes))
    return found


def planar_frame() -> Kind:
    """What decoders of speech codecs give, from a synthesizer that sends a whole answer at once."""
    samples = _noise(2)
    return Kind("a planar float frame", OUTPUT, _frame(samples, "fltp"), samples.nbytes)


def float_array() -> Kind:
    """What a model gives that runs in this process."""
    samples = _noise(1)[:, 0]
    return Kind("a float32 array", OUTPUT, samples, samples.nbytes)


def ratio(kind: Kind, give: str, rounds: int) -> float:
    """What it takes to give one kind of input to a new controller, in copies; the median of so many rounds.

    Args:
        kind: what is given.
        give: how, one of :data:`GIVES`.
        rounds: how often.
    """
    return asyncio.run(_ratio(kind, give, rounds))


async def _ratio(kind: Kind, give: str, rounds: int) -> float:
    source = bytearray(b"\1") * kind.size
    ratios = []
    keep_freed_memory()
    gc.collect()
    gc.disable()
    try:
        for _ in range(_WARM + rounds):
            copy = cpu_ns(lambda: bytes(source))
            controller = PlaybackController(OUTPUT, max_buffered_seconds=3 * SECONDS)
            if give == "push with a sink":
                controller.sinks.add(_hear, when="pushed")
            ratios.append(await _give(controller, kind, give) / copy)
            controller.close()
            del controller
    finally:
        gc.enable()
    return median(ratios[_WARM:])


async def _give(controller: PlaybackController, kind: Kind, give: str) -> int:
    """Give the audio; returns the CPU time that this takes the loop's thread, in nanoseconds."""
    utterance = controller.utterance(format=kind.format)
    start = thread_time_ns()
    match give:
        case "write":
            await utterance.write(kind.audio)
        case "speak":
            utterance = controller.speak(_in_one_piece(kind.audio), format=kind.format)
            while not utterance.ended:  # noqa: ASYNC110 - nobody is notified of that
                await asyncio.sleep(0)
        case "threadsafe":
            producer = controller.threadsafe(asyncio.get_running_loop()).utterance(format=kind.format)
            utterance = producer.handle
            await asyncio.to_thread(producer.push, kind.audio)
            while not utterance.accepted:  # noqa: ASYNC110
                await asyncio.sleep(0)
        case _:
            utterance.push(kind.audio)
    time = thread_time_ns() - start
    seconds = utterance.accepted / OUTPUT.sample_rate
    expect("the seconds buffered", seconds in (SECONDS, SECONDS * RATE / kind.format.sample_rate), True)
    return time


async def _in_one_piece(audio: Any) -> AsyncGenerator[Any, None]:
    yield audio


def _hear(chunk: Chunk) -> int:
    return len(chunk.audio)


def measure(rounds: int) -> Mapping[str, float]:
    """The kinds that were once the slowest, each alone and with a sink that hears it as it is pushed."""
    found = {}
    for kind in (planar_frame(), float_array()):
        for give in GIVES[:2]:
            found[f"{give}, 300 s, {kind.name}"] = ratio(kind, give, rounds)
    return found


def main() -> None:
    """Print the ratios of all kinds, given in all ways."""
    print(f"{'× copy':38}", *(f"{give:>17}" for give in GIVES))
    for kind in kinds():
        print(f"{kind.name:38}", *(f"{ratio(kind, give, 7):17.2f}" for give in GIVES), flush=True)


if __name__ == "__main__":
    main()
