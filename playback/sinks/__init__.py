"""Sinks: listeners of the audio, such as avatars and recorders; ``controller.sinks`` holds those of a controller."""

from playback.sinks.chunks import CONTROLS, Chunk, When
from playback.sinks.dispatch import SinkOverflow, SinkSlow
from playback.sinks.recorder import RecorderSink
from playback.sinks.sinks import CallbackSink, Sink, Sinks

__all__ = [
    "CONTROLS",
    "CallbackSink",
    "Chunk",
    "RecorderSink",
    "Sink",
    "SinkOverflow",
    "SinkSlow",
    "Sinks",
    "When",
]
