"""Barge-in: the policy that distinguishes a cough from an interruption, its chart, and voice activity detection."""

from playback.bargein.backchannels import BACKCHANNELS
from playback.bargein.chart import BARGE_IN
from playback.bargein.events import EVENTS, BargedIn, BargeInSuspected, FalseInterruption
from playback.bargein.policy import BargeIn, Timer

__all__ = [
    "BACKCHANNELS",
    "BARGE_IN",
    "EVENTS",
    "BargeIn",
    "BargeInSuspected",
    "BargedIn",
    "FalseInterruption",
    "Timer",
]
