"""Music for the background: four chords that lead into each other, and back to the first one."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np

from playback.audio.formats import AudioFormat
from playback.audio.ramps import Samples

FORMAT: Final = AudioFormat(24_000)
"""What the music is in."""

CHORD_SECONDS: Final = 1.5
CHORDS: Final = (
    (220.0, 261.6, 329.6),
    (174.6, 220.0, 261.6),
    (196.0, 246.9, 293.7),
    (164.8, 196.0, 246.9),
)
"""A minor, F, G and E minor: the tones of each, in Hz."""


@cache
def music() -> Samples:
    """One round, for a loop; each chord swells and falls, so that there is no step anywhere."""
    time = np.arange(FORMAT.samples(CHORD_SECONDS)) / FORMAT.sample_rate
    swell = np.sin(np.pi * time / CHORD_SECONDS) ** 2
    chords = [swell * np.sum([np.sin(2 * np.pi * hertz * time) for hertz in chord], 0) for chord in CHORDS]
    return np.rint(np.concatenate(chords) / 3 * 0.8 * 32767).astype(np.int16)
