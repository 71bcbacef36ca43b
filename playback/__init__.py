"""The playout layer of a voice agent: an explicit statechart between speech synthesis and WebRTC."""

from playback.audio.formats import AudioFormat, FormatError
from playback.audio.ramps import Fades
from playback.chart import PLAYBACK, State
from playback.controller import PlaybackController
from playback.core.limits import BufferFull, Stats
from playback.report import Outcome, UtteranceReport
from playback.utterance import Utterance
from statecharts import ChartError

__all__ = [
    "PLAYBACK",
    "AudioFormat",
    "BufferFull",
    "ChartError",
    "Fades",
    "FormatError",
    "Outcome",
    "PlaybackController",
    "State",
    "Stats",
    "Utterance",
    "UtteranceReport",
]
__version__ = "0.1.0"
