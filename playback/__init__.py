"""The playout layer of a voice agent: an explicit statechart between speech synthesis and WebRTC."""

from playback.audio.formats import AudioFormat, FormatError
from playback.audio.ramps import Fades
from playback.chart import PLAYBACK, State
from playback.controller import PlaybackController
from playback.core.confirming import ConfirmingReader
from playback.core.limits import BufferFull, Stats
from playback.events import (
    AudioRefused,
    Closed,
    ErrorRaised,
    Event,
    EventsLost,
    FarEndReported,
    FirstAudioByte,
    InputLocked,
    InputUnlocked,
    Interrupted,
    LastAudioByte,
    MarkReached,
    Paused,
    Resumed,
    Silenced,
    Stalled,
    StateChanged,
    TurnFinished,
    TurnStarted,
    Underrun,
    UnderrunEnded,
    UtteranceFinished,
)
from playback.passing import OpusPacket
from playback.prepared import PreparedUtterance
from playback.report import InputTimeout, Outcome, TurnReport, UtteranceReport
from playback.turn import Turn
from playback.utterance import Utterance
from statecharts import ChartError

__all__ = [
    "PLAYBACK",
    "AudioFormat",
    "AudioRefused",
    "BufferFull",
    "ChartError",
    "Closed",
    "ConfirmingReader",
    "ErrorRaised",
    "Event",
    "EventsLost",
    "Fades",
    "FarEndReported",
    "FirstAudioByte",
    "FormatError",
    "InputLocked",
    "InputTimeout",
    "InputUnlocked",
    "Interrupted",
    "LastAudioByte",
    "MarkReached",
    "OpusPacket",
    "Outcome",
    "Paused",
    "PlaybackController",
    "PreparedUtterance",
    "Resumed",
    "Silenced",
    "Stalled",
    "State",
    "StateChanged",
    "Stats",
    "Turn",
    "TurnFinished",
    "TurnReport",
    "TurnStarted",
    "Underrun",
    "UnderrunEnded",
    "Utterance",
    "UtteranceFinished",
    "UtteranceReport",
]
__version__ = "0.1.0"
