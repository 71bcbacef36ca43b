"""Ramps and fades: no change of loudness is a step unless its ramp is set to zero."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_decibels, check_seconds

Samples = NDArray[np.int16]
"""Audio as it is handed out, of shape (samples, channels)."""

GAIN_RAMP_SECONDS: Final = 0.02
"""How long a change of gain takes: one frame, short enough to be felt as immediate, long enough not to click."""

SHORTEST_FADE_SECONDS: Final = 0.004
"""Where less than this is left to fade out, the last sample decays until then: long enough not to click (a step of full
scale becomes 32 small ones at 8 kHz), too short to be heard as a sound."""

LONGEST_FADE_SECONDS: Final = 5.0
"""A fade is worked out in one go, and what fades can't be taken back."""


@dataclass(frozen=True, slots=True)
class Fades:
    """How long each fade takes, in seconds; 0 cuts, exact to the sample.

    Args:
        interrupt_seconds: the fade-out of interrupted speech.
        pause_seconds: the ramp down into a pause, also if what is paused is interrupted before the next read.
        resume_seconds: the ramp up after a pause.
        underrun_seconds: the ramp into the silence of an underrun, or of a gap within a turn, and the ramp out of it.

    Raises:
        ValueError: a time that is negative, not finite or longer than 5 s.
    """

    interrupt_seconds: float = 0.06
    pause_seconds: float = 0.005
    resume_seconds: float = 0.005
    underrun_seconds: float = 0.005

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            check_seconds(field.name, value)
            if value > LONGEST_FADE_SECONDS:
                raise ValueError(f"{field.name} is {value!r}, expected at most {LONGEST_FADE_SECONDS} seconds")


class Ramp:
    """A gain that moves along a straight line, sample by sample.

    Args:
        level: the gain to begin with, as a factor.
    """

    __slots__ = ("_left", "level", "target")

    def __init__(self, level: float = 1.0) -> None:
        self.level = level
        self.target = level
        self._left = 0

    def move(self, target: float, samples: int) -> None:
        """Go to another gain within so many samples, at once for 0."""
        self.target = target
        self._left = samples
        if not samples:
            self.level = target

    @property
    def flat(self) -> bool:
        """Whether samples pass unchanged."""
        return self.level == 1.0 == self.target

    def apply(self, audio: NDArray[np.float64]) -> None:
        """Scale audio of shape (samples, channels) in place, and move on by as many samples."""
        moving = min(self._left, len(audio))
        if moving:
            step = (self.target - self.level) / self._left
            audio[:moving] *= (self.level + step * np.arange(1, moving + 1))[:, np.newaxis]
            self._left -= moving
            self.level = self.level + step * moving if self._left else self.target
        if self.level != 1.0:
            audio[moving:] *= self.level


class Tail:
    """Sound that outlives what it was cut from, fading out: after an interrupt, into a pause or into an underrun.

    It only ever gets shorter or is joined by another one, and sounds beneath whatever comes next.
    """

    __slots__ = ("_audio",)

    def __init__(self) -> None:
        self._audio: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return 0 if self._audio is None else len(self._audio)

    def add(self, audio: NDArray[np.float64]) -> None:
        """Fade this audio of shape (samples, channels) out over its whole length, with what still sounds."""
        audio = audio * np.linspace(1.0, 0.0, len(audio), endpoint=False)[:, np.newaxis]
        if self._audio is not None:
            short, long = sorted((audio, self._audio), key=len)
            audio = long.copy()
            audio[: len(short)] += short
        self._audio = audio if len(audio) else None

    def cut(self, samples: int) -> None:
        """Have what still sounds end within so many samples; what ends by then anyway stays as it is."""
        if len(self) > samples:
            audio, self._audio = self._audio, None
            assert audio is not None
            self.add(audio[:samples])

    def clear(self) -> None:
        """End it at once."""
        self._audio = None

    def mix_into(self, audio: NDArray[np.float64]) -> int:
        """Add the next samples to audio of shape (samples, channels).

        Returns:
            How many samples of it still sounded.
        """
        if self._audio is None:
            return 0
        sounding = min(len(self._audio), len(audio))
        audio[:sounding] += self._audio[:sounding]
        self._audio = self._audio[sounding:] if sounding < len(self._audio) else None
        return sounding


def to_int16(audio: NDArray[np.float64], out: Samples) -> None:
    """Round audio into samples; what exceeds full scale is clipped, never wrapped around."""
    np.rint(audio, out=audio)
    np.clip(audio, -32768, 32767, out=audio)
    out[:] = audio


def factor(gain_db: float) -> float:
    """A gain in dB as a factor of amplitude, 10^(dB/20); minus infinity is silence.

    Raises:
        TypeError: no number.
        ValueError: not a number, or more than 60 dB.
    """
    check_decibels("gain_db", gain_db)
    if math.isnan(gain_db) or gain_db > 60:
        raise ValueError(f"gain_db is {gain_db!r}, expected a number of dB up to 60")
    return float(10.0 ** (gain_db / 20.0))
