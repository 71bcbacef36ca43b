"""What recognizes short sounds, of any language: the protocol that an application may implement."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_share, check_type

RATE: Final = 16_000
"""What a recognizer gets, in Hz."""


class Recognized(NamedTuple):
    """What a short sound was."""

    text: str
    """The words."""
    certainty: float
    """How certain it is, from 0 to 1."""


class Recognizer(Protocol):
    """Recognizes the words of a short sound, of any language.

    It is called on a worker thread, one call at a time for all calls of the process, so one object may serve them all.
    It should not hold the interpreter's lock for more than a few milliseconds at a time.
    """

    def recognize(self, samples: NDArray[np.int16]) -> Recognized | None:
        """Recognize the whole of a sound.

        Args:
            samples: one channel at :data:`RATE`, from a little before the sound to its end.

        Returns:
            The words, or None if it is none of those that are known.
        """


def check_recognized(found: object) -> Recognized | None:
    """What a recognizer has returned, if it can be.

    Raises:
        TypeError: it is neither :class:`Recognized` nor None, or a part of it is of another type.
        ValueError: there is no such certainty.
    """
    if found is None:
        return None
    if not isinstance(found, Recognized):
        raise TypeError(f"the recognizer returned {found!r}, expected Recognized or None")
    check_type("the recognized text", found.text, str)
    check_share("the certainty", found.certainty)
    return found
