"""Sounds beneath the speech, as Pipecat's mixer frames control them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import inf, log10
from typing import Any, Final

from pipecat.frames.frames import MixerControlFrame, MixerEnableFrame, MixerUpdateSettingsFrame

from playback.background.mixer import BackgroundSound
from playback.controller import PlaybackController

LOGGER: Final = logging.getLogger("playback")

LOUDEST_DB: Final = 60.0
"""The most that a controller makes audio louder."""

CHANGE_SECONDS: Final = 0.25
"""How long one sound takes to make way for another."""


def decibels(volume: float) -> float:
    """A gain in dB for a volume, which is a factor: 1.0 leaves samples as they are."""
    return min(LOUDEST_DB, 20.0 * log10(volume)) if volume > 0 else -inf


class PlaybackMixer:
    """One of several sounds beneath the speech, controlled by the framework's mixer frames.

    It takes the arguments of the framework's own mixer for files, but files of any rate and layout. Every change is a
    ramp; while speech sounds, the background falls by ``controller.background.duck_db``.

    Example::

        output = PlaybackOutput(mixer=PlaybackMixer({"office": "office.ogg"}, "office"))

    Args:
        sounds: what :meth:`playback.background.mixer.Background.add` takes, by name: paths, mostly.
        default_sound: the one to begin with.
        volume: how loud, as a factor.
        mixing: whether it sounds from the beginning.
        loop: whether sounds begin again at their end.

    Raises:
        ValueError: there is no sound of that name.
    """

    def __init__(
        self,
        sounds: Mapping[str, Any],
        default_sound: str,
        *,
        volume: float = 0.4,
        mixing: bool = True,
        loop: bool = True,
    ) -> None:
        if default_sound not in sounds:
            raise ValueError(f"default_sound is {default_sound!r}, expected one of {', '.join(sounds)}")
        self._sounds: Final = sounds
        self._sound = default_sound
        self._volume = volume
        self._mixing = mixing
        self._loop = loop
        self._controller: PlaybackController | None = None
        self._voice: BackgroundSound | None = None

    def start(self, controller: PlaybackController) -> None:
        """Sound beneath the speech of a controller."""
        self._controller = controller
        self._play(self._sound)

    def stop(self) -> None:
        """Fade out."""
        self._controller = None
        if self._voice is not None:
            self._voice.stop()

    def control(self, frame: MixerControlFrame) -> None:
        """Do what a mixer frame says."""
        if isinstance(frame, MixerEnableFrame):
            self._mixing = frame.enable
            if self._voice is not None:
                _ = self._voice.resume() if frame.enable else self._voice.pause()
        elif isinstance(frame, MixerUpdateSettingsFrame):
            for setting, value in frame.settings.items():
                self._set(setting, value)

    def _set(self, setting: str, value: Any) -> None:
        match setting:
            case "volume":
                gain_db = decibels(value)
                self._volume = value
                if self._voice is not None:
                    self._voice.gain_db = gain_db
            case "loop":
                self._loop = value  # of the next sound
            case "sound" if value in self._sounds:
                self._sound = value
                self._play(value)
            case _:
                LOGGER.error("the mixer has no setting %s=%r", setting, value)

    def _play(self, sound: str) -> None:
        if self._controller is None:
            return
        try:
            voice = self._controller.background.add(
                self._sounds[sound], decibels(self._volume), self._loop, CHANGE_SECONDS
            )
        except (OSError, TypeError, ValueError):
            # As with the framework's own mixer: the call goes on, with the sound that there was.
            LOGGER.exception("the mixer can't play the sound %r", sound)
            return
        if self._voice is not None:
            self._voice.stop(CHANGE_SECONDS)
        self._voice = voice
        if not self._mixing:
            self._voice.pause()
