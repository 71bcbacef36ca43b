"""Moments: when what happened, on the policy's clock, and the events that carry it."""

from __future__ import annotations

import math

from playback.bargein.chart import ENDS
from playback.bargein.events import (
    BargedIn,
    BargeInSuspected,
    FalseInterruption,
    Silence,
    UserTurnEnded,
    UserTurnStarted,
)
from playback.events import Event
from statecharts import state_of


class Moments:
    """The times of one conversation, in seconds; minus infinity for what never was.

    Args:
        now: the time at which it begins.
    """

    def __init__(self, now: float) -> None:
        self.began = -math.inf
        """When the user began to speak last."""
        self.begin_reported = -math.inf
        """When that was reported. Lengths of speech are counted from one report to the other, as both are late."""
        self.ended = -math.inf
        """When the user ended."""
        self.end_reported = -math.inf
        """When that was reported: a detector needs some silence to be sure of it."""
        self.arrived = -math.inf
        """When the agent's audio arrived, after it was silent."""
        self.onset = -math.inf
        """When the agent began to sound; what goes on within a turn, or soon after, has begun before."""
        self.paused = -math.inf
        """When the policy paused because the user's speech lasted."""
        self.doubted = -math.inf
        """When it became doubtful what the user means."""
        self.quiet_since = now
        """Since when nobody has spoken."""
        self._unanswered: float | None = None

    def latency(self, now: float) -> float | None:
        """How long the user has waited for the agent; None, if it was answered already."""
        unanswered, self._unanswered = self._unanswered, None
        return None if unanswered is None else now - unanswered

    def event(self, name: str, cause: tuple[str, str], position: int, now: float, words: str | None) -> Event:
        """What an edge emits.

        Args:
            name: the event's.
            cause: the leaf and the event of the edge.
            position: the controller's.
            now: the time.
            words: the transcript that has decided.
        """
        leaf, event = cause
        # While nobody has reported speech over the agent's, only a transcript has shown it.
        unreported = event == "words" and state_of(leaf) == "agent"
        spoken = 0.0 if unreported else now - self.began
        match name:
            case BargeInSuspected.name:
                return BargeInSuspected(position, now, spoken)
            case BargedIn.name:
                return BargedIn(position, now, spoken, words)
            case FalseInterruption.name:
                return FalseInterruption(position, now, now - self.doubted)
            case UserTurnStarted.name:
                return UserTurnStarted(position, now, spoken)
            case UserTurnEnded.name:
                is_silent = event == "speech_ended" or leaf not in ENDS
                self._unanswered = now if unreported or not is_silent else self.ended
                return UserTurnEnded(position, now, 0.0 if unreported else self._unanswered - self.began)
            case _:
                return Silence(position, now, now - self.quiet_since)
