"""Recording: what came of a scripted session, for the console and the plot to show."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback.events import AudioRefused, Event, MarkReached, UtteranceFinished
from playback.report import UtteranceReport

RECEIVED_RATE: Final = 48_000
"""The rate of what is received: Opus always decodes to it."""


@dataclass
class Recording:
    """What came of a session."""

    sample_rate: int
    """The rate of what was sent, and of all positions."""
    events: list[Event] = field(default_factory=list)
    """Every event, in order."""
    cues: list[tuple[int, str]] = field(default_factory=list)
    """The commands that were given, each with its position."""
    sent: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    """What was handed to the sending peer connection, one channel; it begins at position 0."""
    received: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    """What the other one received, one channel at 48 kHz; it begins with the first read, so it lags by the delay."""
    delay_seconds: float = 0.0
    """How long a sample took from the read to the receiver's hands."""
    timed_out: bool = False
    """Whether the session was cut off before all was over."""

    @property
    def reports(self) -> list[UtteranceReport]:
        """The utterances' reports, in the order in which they finished."""
        return [event.report for event in self.events if isinstance(event, UtteranceFinished)]

    @property
    def words(self) -> list[tuple[int, str]]:
        """The words that sounded, each with the position of its start."""
        return [
            (event.position, str(event.payload))
            for event in self.events
            # A mark beyond what was accepted belongs to audio that never came.
            if isinstance(event, MarkReached) and event.at < event.utterance.accepted
        ]

    @property
    def runs(self) -> list[list[Event]]:
        """The events; refusals of one utterance that follow each other stand together, for they are dozens."""
        return [list(run) for _, run in groupby(self.events, key=_run_key)]

    @property
    def seconds(self) -> float:
        """How long the session was."""
        return len(self.sent) / self.sample_rate


def _run_key(event: Event) -> object:
    return (id(event.utterance), event.reason) if isinstance(event, AudioRefused) else id(event)
