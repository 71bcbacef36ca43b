"""What the producers of the soak push: audio of several rates, layouts and types, each push an object of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from playback import AudioFormat

_SAMPLES: Final = 1 << 20


def _speech() -> NDArray[np.int16]:
    """Noise without a single silent sample, so that those that are heard can be counted."""
    noise = np.random.default_rng(1).normal(0, 4_000, _SAMPLES).astype(np.int16)
    return np.where(noise == 0, 1, noise).astype(np.int16)


_SPEECH: Final = _speech()
_BYTES: Final = memoryview(_SPEECH.tobytes())
_FLOATS: Final = (_SPEECH / 32_768).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to push audio."""

    name: str
    format: AudioFormat
    """What bare bytes and arrays are taken for; the rate counts for frames, too."""
    cut: Callable[[int, int], Any]
    """Makes a push of so many samples, and so many bytes beyond them where it is bytes."""
    is_bytes: bool = False
    """Whether a sample may be split between two pushes."""


def of_bytes(name: str, format: AudioFormat) -> Kind:
    """Bytes in a format, as they come from a socket."""
    width = format.frame_bytes
    return Kind(name, format, lambda samples, extra: bytes(_BYTES[: samples * width + extra]), is_bytes=True)


def _frame(samples: int, _: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(_SPEECH[:samples].reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = 16_000
    return frame


def _planar_frame(samples: int, _: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(_FLOATS[: 2 * samples].reshape(2, -1), format="fltp", layout="stereo")
    frame.sample_rate = 44_100
    return frame


KINDS: Final = (
    of_bytes("bytes, 24 kHz", AudioFormat(24_000)),
    of_bytes("bytes, 8 kHz", AudioFormat(8_000)),
    of_bytes("bytes, 44.1 kHz stereo", AudioFormat(44_100, 2)),
    Kind("float32 array, 24 kHz", AudioFormat(24_000), lambda samples, _: _FLOATS[:samples]),
    Kind("int16 array, 48 kHz stereo", AudioFormat(48_000), lambda samples, _: _SPEECH[: 2 * samples].reshape(-1, 2)),
    Kind("av.AudioFrame, 16 kHz", AudioFormat(16_000), _frame),
    Kind("av.AudioFrame, 44.1 kHz, planar floats, stereo", AudioFormat(44_100), _planar_frame),
)
"""Everything but a controller's own format."""

MUSIC: Final = (_SPEECH[:60_000] // 4).astype(np.int16)
"""What sounds beneath the speech."""


def converted(samples: int, source: int, target: int) -> int:
    """What so many samples amount to at another rate: the whole number nearest to it, halves up."""
    return (2 * samples * target // source + 1) // 2
