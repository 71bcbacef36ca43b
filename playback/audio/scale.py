"""The scale of floats: a full scale of 1.0 with some headroom, and not that of 16-bit integers.

Samples that were never divided by 32,768 are noise at full scale, so they have to be recognized before they sound. Two
rules do that. Nothing that is meant to be heard is :data:`LOUDEST` times as loud as full scale. And samples that came
from integers are whole numbers, which floats of full scale 1.0 never are, but for 0 and ±1.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LOUDEST: Final = 8.0
"""18 dB over full scale: audio that is 12 dB too hot passes, with its peaks, and is clipped. For unscaled 16 bits it is
the level of -72 dB, below all that is heard as speech."""

_LOUD: Final = 2.0
"""From here on, whole numbers are no samples of full scale 1.0."""

CHECKED_SECONDS: Final = 1.0
"""How much of a push is checked before it is taken. More would cost more than to copy it; the rest is checked as it is
converted."""


def fault_of(samples: NDArray[Any]) -> str | None:
    """What is wrong with floats that are to be played, in words; None if nothing is.

    Args:
        samples: of any shape and type; only floats can be wrong.
    """
    if samples.dtype.kind != "f" or not samples.size:
        return None
    # The largest of numbers with a NaN among them is NaN, and so is the smallest.
    peak = max(float(samples.max()), -float(samples.min()))
    if not peak <= LOUDEST:
        expected = f"expected finite numbers, full scale 1.0, at most {LOUDEST:g}"
        return f"the audio has a sample of magnitude {peak:g}, {expected}"
    if peak >= _LOUD and (samples == np.rint(samples)).all():
        return f"the audio has whole numbers up to {peak:g}, expected full scale 1.0: 16-bit samples divided by 32,768"
    return None
