"""An output of ours without a session, whose time is what a test reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from livekit.agents.voice.io import PlaybackFinishedEvent
from livekit_fakes import CUT, FRAME, RATE, audio_frame, follow, samples_by_level

from playback import AudioFormat, PlaybackController
from playback.integrations.livekit import PlaybackAudioOutput


class Rig:
    """An output, what was heard of it and what it emitted."""

    def __init__(self, **settings: Any) -> None:
        self.controller = PlaybackController(AudioFormat(RATE), fades=CUT, **settings)
        self.output = PlaybackAudioOutput(self.controller)
        self.emitted: list[tuple[str, Any]] = []
        self.interruptions: list[Any] = []
        self.heard: list[np.ndarray] = []
        follow(self.output, self.emitted)
        self.controller.on("interrupted", self.interruptions.append)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.emitted if name != "playback_progressed"]

    @property
    def finished(self) -> list[PlaybackFinishedEvent]:
        return [event for name, event in self.emitted if name == "playback_finished"]

    @property
    def ends(self) -> list[tuple[int, bool]]:
        """Where each segment ended, in samples, and whether it was interrupted."""
        ends = [(event.playback_position * RATE, event.interrupted) for event in self.finished]
        assert all(abs(position - round(position)) < 1e-6 for position, _ in ends)
        return [(round(position), interrupted) for position, interrupted in ends]

    async def say(self, samples: int, value: int = 1_000) -> None:
        await self.output.capture_frame(audio_frame(samples, value))

    def read(self, frames: int = 1) -> None:
        for _ in range(frames):
            self.heard.append(self.controller.read(FRAME)[:, 0])

    @property
    def levels(self) -> dict[int, int]:
        return samples_by_level(np.concatenate(self.heard))


def closed(rig: Rig) -> None:
    rig.controller.close()


def locked(rig: Rig) -> None:
    rig.controller.lock()
    rig.read(20)
