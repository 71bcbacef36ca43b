"""Barge-in: the policy that distinguishes a cough from an interruption, its chart, and voice activity detection."""

from playback.bargein.backchannels import BACKCHANNELS
from playback.bargein.chart import BARGE_IN
from playback.bargein.events import (
    EVENTS,
    AgentTurnEnded,
    AgentTurnStarted,
    BargedIn,
    BargeInSuspected,
    FalseInterruption,
    Silence,
    UserTurnEnded,
    UserTurnStarted,
)
from playback.bargein.policy import BargeIn, Timer

__all__ = [
    "BACKCHANNELS",
    "BARGE_IN",
    "EVENTS",
    "AgentTurnEnded",
    "AgentTurnStarted",
    "BargeIn",
    "BargeInSuspected",
    "BargedIn",
    "FalseInterruption",
    "Silence",
    "Timer",
    "UserTurnEnded",
    "UserTurnStarted",
]
