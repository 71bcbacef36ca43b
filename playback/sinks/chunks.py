"""What sinks receive: audio, and the events that concern them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from playback.audio.formats import AudioFormat
from playback.events import Event
from playback.utterance import Utterance

When = Literal["pushed", "played"]
"""When a sink hears: as soon as audio is accepted, ahead of its time, or in the read that hands it out."""


@dataclass(frozen=True, slots=True)
class Chunk(Event):
    """Audio on its way to a sink: one push that was accepted, or one frame that was read.

    ``position`` is when, as for all events; for a played frame, where it begins.
    """

    name: ClassVar[str] = "chunk"

    utterance: Utterance | None
    """Whose it is; for a played frame whose speech it begins with, None if it has none or only its fade-out."""
    offset: int | None
    """Where pushed audio begins in its utterance, in samples at the output rate; None for a played frame."""
    format: AudioFormat
    """Of ``audio``: the producer's own rate for a push, the output format for a played frame."""
    audio: NDArray[np.int16] = field(compare=False)
    """The samples, of shape (samples, channels), read-only. For a played frame, exactly what was read."""
    when: When
    voice: NDArray[np.int16] | None = field(default=None, compare=False)
    """For a played frame the speech alone, of the same shape, whatever sounds beneath it or replaces it."""

    def as_dict(self) -> dict[str, Any]:
        """The chunk as JSON can hold it: how many samples it has, in place of the samples."""
        return {
            "name": self.name,
            "position": self.position,
            "utterance": None if self.utterance is None else self.utterance.id,
            "offset": self.offset,
            "format": asdict(self.format),
            "samples": len(self.audio),
            "when": self.when,
        }


CONTROLS: Final = frozenset(
    (
        "paused",
        "resumed",
        "stalled",
        "interrupted",
        "input_locked",
        "input_unlocked",
        "input_ended",
        "utterance_finished",
        "closed",
    )
)
"""The events that sinks receive, in order with the audio."""
