"""The audio of the benchmarks, and what makes sure that it is this audio that was read."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import av
import numpy as np

from benchmarks.micro.measure import cpu_ns
from playback import AudioFormat

FORMAT: Final = AudioFormat(24_000)
"""What speech synthesis mostly makes, and what everything here is measured in."""

FRAME: Final = FORMAT.samples(0.02)
FRAME_BYTES: Final = FRAME * FORMAT.frame_bytes
FRAMES: Final = 50
"""A batch: one second of frames."""

SECOND_BYTES: Final = FRAMES * FRAME_BYTES
TIME_BASE: Final = Fraction(1, FORMAT.sample_rate)


def _chirp() -> bytes:
    """One second that rises from 200 to 400 Hz at half of full scale: no two frames of it are the same."""
    seconds = np.arange(FORMAT.sample_rate) / FORMAT.sample_rate
    return (16_384 * np.sin(2 * np.pi * (200 + 100 * seconds) * seconds)).astype(np.int16).tobytes()


SPEECH: Final = _chirp()


def chunks(size: int = FRAME_BYTES, seconds: int = 1) -> list[bytes]:
    """The speech over and over in chunks of so many bytes, each an object of its own, as they come from a socket."""
    audio = memoryview(SPEECH * seconds)
    return [bytes(audio[start : start + size]) for start in range(0, len(audio), size)]


READY: Final = chunks()


def baseline() -> int:
    """Make a batch of frames from ready bytes, and nothing else; returns the CPU time in nanoseconds."""
    return cpu_ns(_fill_frames)


def _fill_frames() -> None:
    for number, data in enumerate(READY):
        frame = av.AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(data)
        frame.sample_rate = FORMAT.sample_rate
        frame.pts = number * FRAME
        frame.time_base = TIME_BASE


def content(frame: av.AudioFrame) -> bytes:
    """The samples of a frame."""
    return frame.to_ndarray().tobytes()


def loudness(audio: bytes) -> float:
    """Root mean square, 1.0 being full scale."""
    return float(np.sqrt(np.mean((np.frombuffer(audio, np.int16) / 32_768.0) ** 2)))


def expect(what: str, found: object, expected: object) -> None:
    """Make sure that what is measured is what the table says.

    Raises:
        RuntimeError: it is not.
    """
    if found != expected:
        raise RuntimeError(f"{what} is {found!r}, expected {expected!r}")
