"""The limiter: keeps audio within 16 bits, without delay.

The gain follows each peak at once, stays for the hold time, and comes back slowly. So a peak is bent once, when it is
the highest so far; after that the same gain holds for the whole wave, and nothing of its shape changes. There is no
step: where a peak takes over, the gain is the one before.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback.audio.formats import AudioFormat
from playback.audio.ramps import GAIN_RAMP_SECONDS, Ramp, factor

RELEASE_SECONDS: Final = 0.2
"""The time constant in which the gain comes back: no more than 0.87 dB within a frame of 20 ms.

Long against a period of the lowest voice, or it would bend the wave itself; short against a sentence. Compressors
default to times of this order: 0.25 s in the Web Audio API (W3C, 2021, DynamicsCompressorOptions).
"""

HOLD_SECONDS: Final = 0.02
"""How long the gain stays after a peak before it comes back: a period of 50 Hz, below the lowest voice.

From one period to the next it does not move, so a steady tone is not bent at all. Limiters in amplifiers have 10 ms and
more (Texas Instruments, TAS2780 data sheet, SLOSE75B, LIM_HLD_TM).
"""

CEILING_DB: Final = -0.3
"""What a gain above 0 dB is limited to, in dB of full scale: what lies between two samples, and what a codec makes of
them, may be higher than either. The default of limiters such as Godot's (AudioEffectHardLimiter)."""

HIGHEST: Final = 32767
LOWEST: Final = -32768
_LIMITED_AT_ONCE: Final = 1024  # samples; at 4 kHz the scale of the running maximum grows by e^1.3 within them
_ROUNDED: Final = 0.49  # what exceeds a bound by less is rounded to it


@lru_cache(maxsize=16)
def _decay(sample_rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By how much an envelope falls within the next samples; the inverse of it comes first. All limiters share it."""
    decay = np.arange(1, _LIMITED_AT_ONCE + 1) / (RELEASE_SECONDS * sample_rate)
    return np.exp(decay), np.exp(-decay)


class Limiter:
    """Keeps audio below a ceiling, without delay.

    The envelope is the highest peak within the hold time, then decays exponentially. What the audio is scaled by is the
    level that is asked for, or what brings the envelope down to the ceiling, if that is less. It is the envelope of the
    audio as it comes, before the level: so a gain that is taken back leaves nothing to recover from. All channels share
    it, so that the stereo image stands still.

    Args:
        format: what is limited.
    """

    def __init__(self, format: AudioFormat) -> None:
        self._format: Final = format
        self._recent: NDArray[np.float64] | None = None  # peaks within the hold time, 1 is full scale; None for none
        self._envelope = 0.0
        self._ceiling: Final = Ramp()
        self.is_active = False
        """Whether it does anything but scale by the level: a peak holds the gain down, or the ceiling is moving."""
        self.highest = HIGHEST + _ROUNDED
        """Up to here audio is below the ceiling."""
        self.lowest = LOWEST - _ROUNDED
        """Down to here it is."""

    def leave_headroom(self, leave: bool) -> None:
        """Move the ceiling to 0.3 dB below full scale, or back to full scale, along a ramp of 20 ms."""
        ceiling = factor(CEILING_DB) if leave else 1.0
        if ceiling != self._ceiling.target:
            self._ceiling.move(ceiling, self._format.samples(GAIN_RAMP_SECONDS))
            self.highest, self.lowest = HIGHEST * ceiling + _ROUNDED, LOWEST * ceiling - _ROUNDED
            self.is_active = True

    def apply(self, audio: NDArray[np.float64], level: NDArray[np.float64] | None = None) -> None:
        """Scale audio, and limit it.

        Args:
            audio: of shape (samples, channels), in place; full scale is that of 16 bits.
            level: what each sample is scaled by, of shape (samples,); 1 by default.
        """
        for start in range(0, len(audio), _LIMITED_AT_ONCE):
            block = audio[start : start + _LIMITED_AT_ONCE]
            size = len(block)
            # What the envelope is at level and ceiling: above 1, it has to come down to them.
            excess = self._follow(np.maximum(block / HIGHEST, block / LOWEST).max(axis=1))
            wanted = np.ones(size) if level is None else level[start : start + size]
            excess *= wanted
            ceiling = np.ones((size, 1))
            self._ceiling.apply(ceiling)
            excess /= ceiling[:, 0]
            block *= (wanted / np.maximum(excess, 1.0))[:, np.newaxis]
            limits = bool(excess[-1] > 1.0)
            if not limits:
                self._forget()
            self.is_active = limits or self._ceiling.level != self._ceiling.target

    def reset(self) -> None:
        """Forget all peaks."""
        self._forget()
        self.is_active = False

    def _forget(self) -> None:
        self._envelope = 0.0
        self._recent = None

    def _follow(self, peaks: NDArray[np.float64]) -> NDArray[np.float64]:
        """The envelope of these peaks, behind those before."""
        rise, fall = _decay(self._format.sample_rate)
        size = len(peaks)
        # Scaled by the inverse of the decay, the decaying maximum is a plain one.
        envelope = np.maximum.accumulate(self._hold(peaks) * rise[:size])
        np.maximum(envelope, self._envelope, out=envelope)
        envelope *= fall[:size]
        self._envelope = float(envelope[-1])
        return envelope

    def _hold(self, peaks: NDArray[np.float64]) -> NDArray[np.float64]:
        """The highest of each peak and those of the hold time before it.

        A window that slides over blocks of its own length is the end of one and the beginning of the next, so two
        running maxima are enough (van Herk, 1992; Gil and Werman, 1993).
        """
        width = self._format.samples(HOLD_SECONDS)
        recent = np.zeros(width - 1) if self._recent is None else self._recent
        row = np.concatenate([recent, peaks, np.zeros(-(width - 1 + len(peaks)) % width)])
        self._recent = row[len(peaks) : len(peaks) + width - 1].copy()
        blocks = row.reshape(-1, width)
        ends = np.maximum.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].reshape(-1)
        beginnings = np.maximum.accumulate(blocks, axis=1).reshape(-1)
        held: NDArray[np.float64] = np.maximum(ends[: len(peaks)], beginnings[width - 1 :][: len(peaks)])
        return held
