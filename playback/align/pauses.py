"""Pauses in speech: found by their loudness, and left out of what is aligned.

The words are known and so is what is silent: the decoder need not guess at it. With silence among what it may find, it
took synthesizers that are unlike its training data for silence, whole sentences of them.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 16_000
"""Samples per second, of one channel."""
FRAME: Final = RATE // 100
"""Samples of a frame: the decoder has one each 10 ms."""

_SHORTEST: Final = 10
"""From how many frames on a silence is a pause: the closure of a plosive is shorter."""
_KEPT: Final = 4
"""How many frames of a pause are kept at either side: sounds fade in and out."""
_SILENT: Final = 10 ** (-35 / 20)
"""What is silent, as a share of what is loud."""
_FLOOR: Final = 2.0
"""What is silent in a recording with noise, as a multiple of the noise."""
_NOISIEST: Final = 10 ** (-24 / 20)
"""The loudest noise that counts as silence, as a share of what is loud: the quietest fricatives are hardly louder."""
_AUDIBLE: Final = 8.0
"""What is softer is no speech (RMS of samples of 16 bits)."""
_BEFORE: Final = 3
"""By how many frames a word may seem to end before a pause and yet last until it."""


class Speech:
    """Audio without its pauses.

    Args:
        samples: one channel, at :data:`RATE`.
    """

    def __init__(self, samples: NDArray[np.int16]) -> None:
        count = len(samples) // FRAME
        frames = samples[: count * FRAME].reshape(count, FRAME)
        power: NDArray[np.float64] = np.einsum("ij,ij->i", frames, frames, dtype=np.float64, casting="unsafe")
        loudness = np.sqrt(power / FRAME)
        kept = np.ones(count, bool)
        self._pauses: Final = list(_pauses(loudness)) if count else []
        for start, end in self._pauses:
            kept[start + _KEPT * (start > 0) : end - _KEPT * (end < count)] = False
        if count and np.percentile(loudness, 95) < _AUDIBLE:
            kept[:] = False
        self.samples: Final[NDArray[np.int16]] = frames[kept].reshape(-1)
        """What is left."""
        self._frames: Final = np.flatnonzero(kept)
        self._starts: Final = [start for start, _ in self._pauses]
        self.seconds: Final = len(samples) / RATE

    def start(self, frame: int) -> float:
        """When a word that begins with a frame of :attr:`samples` begins in the audio, in seconds."""
        at = int(self._frames[frame])
        pause = bisect_right(self._starts, at) - 1
        if pause >= 0 and at < self._pauses[pause][1]:
            at = self._pauses[pause][1]
        return at / 100

    def end(self, frame: int) -> float:
        """When a word whose last frame it is ends in the audio, in seconds."""
        at = int(self._frames[frame]) + 1
        pause = self._pause_at(at)
        return (at if pause is None else self._pauses[pause][0]) / 100

    def is_pause_after(self, frame: int) -> bool:
        """Whether a pause begins where a word ends whose last frame it is."""
        return self._pause_at(int(self._frames[frame]) + 1) is not None

    def _pause_at(self, at: int) -> int | None:
        pause = bisect_right(self._starts, at + _BEFORE) - 1
        return pause if pause >= 0 and at <= self._pauses[pause][1] + _BEFORE else None


def _pauses(loudness: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The first frame of each pause, and the one behind its last."""
    loud = float(np.percentile(loudness, 95))
    noise = _FLOOR * float(np.percentile(loudness, 5))
    silent = loudness < np.clip(noise, _SILENT * loud, _NOISIEST * loud)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], silent, [False]])))
    return [
        (int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True) if end - start >= _SHORTEST
    ]
