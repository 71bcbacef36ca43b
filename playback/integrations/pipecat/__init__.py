"""Pipecat: a processor that takes the place of ``transport.output()``."""

from playback.integrations.pipecat.output import (
    PlaybackMixer,
    PlaybackOutput,
    PlaybackPauseFrame,
    PlaybackResumeFrame,
)

__all__ = [
    "PlaybackMixer",
    "PlaybackOutput",
    "PlaybackPauseFrame",
    "PlaybackResumeFrame",
]
