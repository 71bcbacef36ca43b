"""The limiter: keeps a sum within 16 bits, without delay."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback.audio.formats import AudioFormat

RELEASE_SECONDS: Final = 0.2
"""The time constant of the limiter: long against a period of the lowest voice, or it would bend the wave itself."""

HIGHEST: Final = 32767
LOWEST: Final = -32768
_LIMITED_AT_ONCE: Final = 1024  # samples; at 4 kHz the scale of the running maximum grows by e^1.3 within them


class Limiter:
    """Keeps a sum within 16 bits, without delay: the gain follows the peaks at once and comes back slowly.

    The envelope is a running maximum of the peaks that decays exponentially, the gain its inverse where it exceeds full
    scale. All channels share it, so that the stereo image stands still.

    Args:
        format: what is limited.
    """

    def __init__(self, format: AudioFormat) -> None:
        decay = np.arange(1, _LIMITED_AT_ONCE + 1) / (RELEASE_SECONDS * format.sample_rate)
        self._rise: Final = np.exp(decay)
        self._fall: Final = np.exp(-decay)
        self._envelope = 1.0

    @property
    def is_active(self) -> bool:
        """Whether a peak still holds the gain down."""
        return self._envelope > 1.0

    def apply(self, audio: NDArray[np.float64]) -> None:
        """Limit audio of shape (samples, channels) in place; full scale is that of 16 bits."""
        for start in range(0, len(audio), _LIMITED_AT_ONCE):
            block = audio[start : start + _LIMITED_AT_ONCE]
            size = len(block)
            peaks = np.maximum(block / HIGHEST, block / LOWEST).max(axis=1)
            # Scaled by the inverse of the decay, the decaying maximum is a plain one.
            envelope = np.maximum.accumulate(peaks * self._rise[:size])
            np.maximum(envelope, self._envelope, out=envelope)
            envelope *= self._fall[:size]
            self._envelope = float(envelope[-1])
            block /= np.maximum(envelope, 1.0)[:, np.newaxis]
        self._envelope = max(self._envelope, 1.0)

    def reset(self) -> None:
        """Forget all peaks."""
        self._envelope = 1.0
