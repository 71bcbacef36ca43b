"""The audio tracks of older voice agents, by name and method, over a controller.

Four classes that take bytes of 24 kHz mono and hand out frames of 20 ms, for code that was written for tracks with
these names. They decide nothing: each method is a call or two to :attr:`LegacyTrack.controller`, which new code can use
beside them. ``docs/legacy.md`` says what differs.
"""

from __future__ import annotations

import asyncio
import inspect
from asyncio import AbstractEventLoop
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from playback.audio.formats import AudioFormat
from playback.integrations.legacy.base import (
    INPUT_TIMEOUT_SECONDS,
    LOGGER,
    OUTPUT,
    EventBus,
    LegacyTrack,
    global_event_emitter,
)
from playback.report import Outcome

if TYPE_CHECKING:
    from playback.background.mixer import LiveSound
    from playback.sinks.sinks import Chunk

__all__ = [
    "CustomAudioStreamTrack",
    "EventBus",
    "LegacyMixing",
    "LegacyTee",
    "LegacyTrack",
    "LegacyTracks",
    "MixingCustomAudioStreamTrack",
    "TeeCustomAudioStreamTrack",
    "TeeMixingCustomAudioStreamTrack",
    "global_event_emitter",
    "legacy_tracks",
]

BACKGROUND_FADE_SECONDS: Final = 0.02
"""How long the background fades in: enough for no click."""

SINK_SECONDS: Final = 5.0
"""How long a sink may keep the speech waiting before it is taken out."""


class LegacyMixing(LegacyTrack):
    """Adds a background beneath the speech."""

    def __init__(
        self, loop: AbstractEventLoop | None = None, *, input_timeout_seconds: float | None = INPUT_TIMEOUT_SECONDS
    ) -> None:
        super().__init__(loop, input_timeout_seconds=input_timeout_seconds)
        self._voices: Final[dict[AudioFormat, LiveSound]] = {}
        self.controller.background.duck_db = 0.0  # this code sets its levels itself

    async def add_background_bytes(self, audio_data: bytes) -> None:
        """Add background: s16le at :attr:`sample_rate`. A pause or an interrupt of the speech does not touch it."""
        pushed = AudioFormat(self.sample_rate, self.channels)
        if pushed not in self._voices:
            self._voices[pushed] = self.controller.background.stream(pushed, 0.0, BACKGROUND_FADE_SECONDS)
        taken = self._voices[pushed].push(audio_data)
        if taken < len(audio_data) // pushed.frame_bytes * OUTPUT.sample_rate // pushed.sample_rate:
            LOGGER.warning("background was dropped: more is buffered than a live voice holds, or it is over")


class LegacyTee(LegacyTrack):
    """Adds sinks, which get the speech as it is pushed.

    Args:
        loop: see :class:`LegacyTrack`.
        sinks: the first of them; the list is kept, and may be changed.
        pipeline: kept for those who read it.
        replaces_output: whether the track is silent while it has sinks, because one of them is what is heard.
        input_timeout_seconds: see :class:`LegacyTrack`.
    """

    def __init__(
        self,
        loop: AbstractEventLoop | None = None,
        sinks: list[Any] | None = None,
        pipeline: Any = None,
        *,
        replaces_output: bool = False,
        input_timeout_seconds: float | None = INPUT_TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(loop, input_timeout_seconds=input_timeout_seconds)
        self.sinks: list[Any] = [] if sinks is None else sinks
        self.pipeline = pipeline
        # What was accepted, until the sinks, which may take their time, have it.
        self._chunks: Final[deque[Chunk]] = deque()
        self._tap: Final = self._chunks.append
        self._replaces_output: Final = replaces_output
        self._tapped = False
        self._in_order: Final = asyncio.Lock()

    def add_sink(self, sink: Any) -> None:
        """Pass speech on to what has ``handle_audio_input(bytes)`` or is called with bytes, awaited if need be."""
        if sink not in self.sinks:
            self.sinks.append(sink)
        self._connect()

    def remove_sink(self, sink: Any) -> None:
        """Pass no more on to a sink."""
        if sink in self.sinks:
            self.sinks.remove(sink)
        self._connect()

    async def add_new_bytes(self, audio_data: bytes) -> None:
        """Add speech, and pass on what was accepted of it, in whole samples; returns when the sinks have it."""
        self._connect()
        await super().add_new_bytes(audio_data)
        async with self._in_order:
            while self._chunks:
                chunk = self._chunks.popleft()
                for sink in tuple(self.sinks):
                    if not await _hand_on(sink, chunk):
                        self.remove_sink(sink)

    def _connect(self) -> None:
        """Tap the speech if there are sinks: the list may have been changed by anybody."""
        if bool(self.sinks) == self._tapped:
            return
        self._tapped = not self._tapped
        if self._tapped:
            self.controller.sinks.add(self._tap, when="pushed", replaces_output=self._replaces_output)
        else:
            self.controller.sinks.remove(self._tap)


async def _hand_on(sink: Any, chunk: Chunk) -> bool:
    """Give one sink its audio; one that fails keeps it from nobody else. False if it hangs."""
    report = chunk.utterance.report if chunk.utterance is not None else None
    if report is not None and report.outcome is not Outcome.COMPLETED:
        return True  # interrupted since: a sink that plays it must not speak on
    audio = chunk.audio.tobytes()
    try:
        taken = sink.handle_audio_input(audio) if hasattr(sink, "handle_audio_input") else sink(audio)
        if inspect.isawaitable(taken):
            async with asyncio.timeout(SINK_SECONDS):
                await taken
    except TimeoutError:
        LOGGER.error("sink %r took longer than %g s, and was taken out", sink, SINK_SECONDS)
        return False
    except (GeneratorExit, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        LOGGER.exception("sink %r raised", sink)
    return True


class CustomAudioStreamTrack(LegacyTrack, MediaStreamTrack):
    """Speech."""


class MixingCustomAudioStreamTrack(LegacyMixing, CustomAudioStreamTrack):
    """Speech over a background."""


class TeeCustomAudioStreamTrack(LegacyTee, CustomAudioStreamTrack):
    """Speech, passed on to sinks."""


class TeeMixingCustomAudioStreamTrack(LegacyTee, MixingCustomAudioStreamTrack):
    """Speech over a background; the speech is passed on to sinks."""


class LegacyTracks(NamedTuple):
    """The four classes over another track class."""

    CustomAudioStreamTrack: type[LegacyTrack]
    MixingCustomAudioStreamTrack: type[LegacyMixing]
    TeeCustomAudioStreamTrack: type[LegacyTee]
    TeeMixingCustomAudioStreamTrack: type[Any]


def legacy_tracks(base: type[Any], stream_error: type[Exception] = MediaStreamError) -> LegacyTracks:
    """The four classes for a stack with a track class of its own, such as a fork of aiortc.

    Example::

        tracks = legacy_tracks(MediaStreamTrack, MediaStreamError)
        track = tracks.TeeCustomAudioStreamTrack(loop)

    Args:
        base: the track class; made without arguments, ended by its ``stop()``.
        stream_error: what the stack waits for when a track has ended.
    """
    names = LegacyTracks._fields
    custom = type(names[0], (LegacyTrack, base), {"stream_error": stream_error})
    mixing = type(names[1], (LegacyMixing, custom), {})
    tee = type(names[2], (LegacyTee, custom), {})
    return LegacyTracks(custom, mixing, tee, type(names[3], (LegacyTee, mixing), {}))
