"""Audio tracks for VideoSDK's agents, over a controller: the framework's names, methods and constructors.

Each derives from the framework's own ``CustomAudioTrack``, and is given to a room (``custom_microphone_audio_track``)
or to a pipeline (``set_audio_track``); :func:`install` has the rooms make them themselves. They decide nothing: what
plays, and what was heard, is the controller's to report. ``docs/frameworks/videosdk.md`` says what gets better.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import Any

from playback.integrations.legacy.base import INPUT_TIMEOUT_SECONDS
from playback.integrations.legacy.tracks import LegacyMixing, LegacyTee
from playback.integrations.videosdk.turns import TurnTrack

try:
    from videosdk import CustomAudioTrack
    from vsaiortc.mediastreams import MediaStreamError
except ImportError as error:
    raise ImportError("VideoSDK is not installed: pip install 'voice-playback[videosdk]'") from error

__all__ = [
    "CustomAudioStreamTrack",
    "MixingCustomAudioStreamTrack",
    "TeeCustomAudioStreamTrack",
    "TeeMixingCustomAudioStreamTrack",
    "install",
]


class CustomAudioStreamTrack(TurnTrack, CustomAudioTrack):
    """Speech.

    Example::

        track = CustomAudioStreamTrack(asyncio.get_running_loop())
        pipeline.orchestrator.set_audio_track(track)

    Args:
        loop: the event loop; kept for those who read it.
        input_timeout_seconds: see :class:`playback.integrations.videosdk.turns.TurnTrack`.
    """

    stream_error = MediaStreamError


class MixingCustomAudioStreamTrack(LegacyMixing, CustomAudioStreamTrack):
    """Speech over a background; that it has ``add_background_bytes`` switches the framework's background audio on."""


class _Tee(LegacyTee):
    """The framework makes a tee for those who publish the sound themselves, so the track itself is silent."""

    def __init__(
        self,
        loop: AbstractEventLoop | None = None,
        sinks: list[Any] | None = None,
        pipeline: Any = None,
        *,
        replaces_output: bool = True,
        input_timeout_seconds: float | None = INPUT_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(
            loop, sinks, pipeline, replaces_output=replaces_output, input_timeout_seconds=input_timeout_seconds
        )
        self._connect()


class TeeCustomAudioStreamTrack(_Tee, CustomAudioStreamTrack):
    """Speech, passed on to sinks such as an avatar's server; while there are any, the track itself is silent.

    Args:
        loop: see :class:`CustomAudioStreamTrack`.
        sinks: the first of them: each has ``handle_audio_input(bytes)`` or is called with bytes, awaited if need be.
        pipeline: kept for those who read it.
        replaces_output: False has the track heard all the same.
        input_timeout_seconds: see :class:`CustomAudioStreamTrack`.
    """


class TeeMixingCustomAudioStreamTrack(_Tee, MixingCustomAudioStreamTrack):
    """Speech over a background; the speech is passed on to sinks.

    Args:
        loop: see :class:`TeeCustomAudioStreamTrack`, as for the others.
        sinks: the first of them.
        pipeline: kept for those who read it.
        replaces_output: False has the track heard all the same.
        input_timeout_seconds: see :class:`CustomAudioStreamTrack`.
    """


def install() -> None:
    """Have every VideoSDK room that is made from now on use these tracks for what it makes itself.

    Example::

        install()
        WorkerJob(entrypoint=entrypoint, jobctx=make_context).start()

    Raises:
        ImportError: the framework's rooms make no such tracks.
    """
    from videosdk.agents.room import room

    for track in (TeeCustomAudioStreamTrack, TeeMixingCustomAudioStreamTrack):
        if not hasattr(room, track.__name__):
            raise ImportError(f"{room.__name__} has no {track.__name__}, expected videosdk-agents 1.0.30 or later")
        setattr(room, track.__name__, track)
