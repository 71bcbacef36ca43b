"""Signals and measures that several tests share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from playback import AudioFormat, Fades, PlaybackController
from playback.events import EVENTS, Event

RATE = 24_000
FRAME = 480
CUTS = Fades(0, 0, 0, 0)


def ramp(samples: int, start: int = 1) -> NDArray[np.int16]:
    """Samples that are all different, none of them silent, so that each can be distinguished from every other."""
    return np.arange(start, start + samples, dtype=np.int16)


def tone(samples: int, rate: int, hertz: float = 1000.0, level: float = 0.5) -> NDArray[np.int16]:
    """A sine, as int16."""
    return np.rint(level * 32767 * np.sin(2 * np.pi * hertz * np.arange(samples) / rate)).astype(np.int16)


def signal_to_noise(audio: NDArray[np.int16], rate: int, hertz: float = 1000.0) -> float:
    """By how many dB a sine of this frequency exceeds all else in the audio."""
    angle = 2 * np.pi * hertz * np.arange(len(audio)) / rate
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    values = audio.astype(np.float64)
    fit = basis @ np.linalg.lstsq(basis, values, rcond=None)[0]
    return float(10 * np.log10(np.sum(fit**2) / np.sum((values - fit) ** 2)))


class Heard:
    """A controller whose reads and events are kept.

    Args:
        controller: 24 kHz mono without fades by default.
    """

    def __init__(self, controller: PlaybackController | None = None) -> None:
        self.controller = controller or PlaybackController(AudioFormat(RATE), fades=CUTS)
        self.events: list[Event] = []
        for name in EVENTS:
            self.controller.on(name, self.events.append)

    def read(self, samples: int = FRAME) -> list[int]:
        """The next samples of the first channel."""
        return [int(sample) for sample in self.controller.read(samples)[:, 0]]

    def emitted(self, *names: str) -> list[str]:
        """The names of the events so far, or of those of them that are asked for; and forget them.

        Each utterance is a turn of its own. What that adds is left out, but where it is asked for.
        """
        events, self.events[:] = [event.name for event in self.events], []
        return [name for name in events if (name in names if names else not name.startswith("turn_"))]
