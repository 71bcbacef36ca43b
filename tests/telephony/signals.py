"""Audio whose every sample says which utterance it is of, and where in it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback.audio.encodings import ENCODINGS

MOST: Final = 4
"""How many utterances can be distinguished."""

SILENCE: Final = 8
"""What silence may be: A-law has no zero."""

PERIOD_SECONDS: Final = 2.0
"""Where an utterance is longer, its values come again."""


class Signals:
    """The signals of one call.

    Args:
        rate: samples a second.
        encoding: the carrier's; a compressed one has few values, so each stands for some samples.
    """

    def __init__(self, rate: int, encoding: str) -> None:
        if encoding == "s16le":
            values = np.concatenate([np.arange(9, 16_009), -np.arange(9, 16_009)])
        else:
            decoded = np.frombuffer(ENCODINGS[encoding].decode(bytes(range(256))), "<i2")
            values = np.unique(decoded[np.abs(decoded.astype(int)) > SILENCE])
        levels = len(values) // MOST
        self._values: Final = values[: levels * MOST].astype(np.int16).reshape(MOST, levels)
        self._place: Final = {int(value): divmod(n, levels) for n, value in enumerate(self._values.ravel())}
        self.block: Final = round(PERIOD_SECONDS * rate / levels)
        """To how many samples a place is known."""
        self._period: Final = self.block * levels

    def make(self, number: int, samples: int) -> NDArray[np.int16]:
        """The audio of an utterance."""
        signal: NDArray[np.int16] = self._values[number][(np.arange(samples) % self._period) // self.block]
        return signal

    def read(self, samples: NDArray[np.int16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which utterance each sample is of (-1: silence), and where in it, to a period."""
        values, inverse = np.unique(samples, return_inverse=True)
        places = [self._place[int(value)] if abs(int(value)) > SILENCE else (-1, 0) for value in values]
        numbers = np.array([number for number, _ in places])[inverse]
        return numbers, np.array([level * self.block for _, level in places])[inverse]

    def follow(self, where: NDArray[np.int64]) -> tuple[int, int, int]:
        """Follow an utterance as it was played.

        Args:
            where: the place of each sample, in the order in which they were played.

        Returns:
            Behind which sample it ended at its farthest, the longest repetition, and the longest gap, in samples.
        """
        farthest = back = gap = 0
        if not len(where):
            return farthest, back, gap
        steps = np.diff(where, prepend=0)
        half = self._period // 2
        steps = (steps + half) % self._period - half  # the nearest place that has the value
        unwrapped = np.cumsum(steps)
        within = 0
        ends = np.flatnonzero(steps) if steps.any() else np.zeros(0, np.int64)
        for at in ends:
            step = int(steps[at])
            if step < 0:
                back = max(back, -step)
            elif step > self.block:
                gap = max(gap, step)
        farthest = int(unwrapped.max())
        last = np.flatnonzero(unwrapped == farthest)
        within = min(len(last), self.block)
        return farthest + within, back, gap
