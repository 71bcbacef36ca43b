"""The tracks whose calls are measured: ours, the baseline, and those of other systems where they are installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import Any, Final

import av

from playback.pacing import Pacer

RATE: Final = 48_000
FRAME: Final = 960
FRAME_BYTES: Final = 2 * FRAME
NATIVE_PORT: Final = 41_000
"""The UDP port of all native calls."""


@dataclass(frozen=True)
class Kind:
    """A kind of track.

    Attributes:
        stack: the package that it is for.
        make: makes one; given the audio of its speech.
        push: gives it audio to say, mono at 48 kHz.
    """

    stack: str
    make: Callable[[], Any]
    push: Callable[[Any, bytes], Any]


class Speaker:
    """The agent of a call: says the same as all others, each at its own time.

    Args:
        kind: of its track.
        speech: mono, int16, at 48 kHz.
        case: for how many seconds of how many it speaks.
        phase: how far into its turns it is, 0 to 1.
    """

    def __init__(self, kind: Kind, speech: bytes, case: tuple[float, float], phase: float) -> None:
        self.track: Final = kind.make()
        self._push: Final = kind.push
        self._speech: Final = speech
        self._spoken, self._period = case
        self._phase: Final = phase

    async def talk(self, seconds: float) -> None:
        """Speak: without a pause from now on, or in turns."""
        if not self._spoken:
            return
        if self._spoken == self._period:
            said = 0.0
            while said < seconds:
                await self._say(self._speech)
                said += len(self._speech) / 2 / RATE
            return
        turn = self._speech[: round(self._spoken / 0.02) * FRAME_BYTES]
        await asyncio.sleep(self._phase * self._period)
        while True:
            await self._say(turn)
            await asyncio.sleep(self._period)

    async def _say(self, audio: bytes) -> None:
        result = self._push(self.track, audio)
        if asyncio.iscoroutine(result):
            await result


# Ours, and what no source of frames can do without


class Baseline:
    """Hands out frames that are ready, when they are due; nothing can do with less.

    A frame is stamped anew each time it is handed out, so it must be consumed before it comes again.
    """

    def __init__(self) -> None:
        self._frames: list[av.AudioFrame] = []
        self._silence = _frame(bytes(FRAME_BYTES))
        self._said = 0
        self._pacer = Pacer()

    def push(self, audio: bytes) -> None:
        """Make its frames ready, unless they are."""
        if not self._frames:
            self._frames = ready(audio)
        self._said += len(self._frames)

    async def recv(self) -> av.AudioFrame:
        """The next frame."""
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._pacer.wait(clock()))
        number, _ = self._pacer.tick(clock())
        if self._said:
            self._said -= 1
            frame = self._frames[-1 - self._said % len(self._frames)]
        else:
            frame = self._silence
        frame.pts = number * FRAME
        return frame


def ready(audio: bytes) -> list[av.AudioFrame]:
    """All whole frames of audio, mono at 48 kHz."""
    return [_frame(audio[at : at + FRAME_BYTES]) for at in range(0, len(audio) - FRAME_BYTES + 1, FRAME_BYTES)]


def _frame(audio: bytes) -> av.AudioFrame:
    frame = av.AudioFrame("s16", "mono", FRAME)
    frame.planes[0].update(audio)
    frame.sample_rate = RATE
    frame.time_base = Fraction(1, RATE)
    return frame


def _ours(module: str, name: str, rate: int = RATE, **options: Any) -> Callable[[], Any]:
    """Makes one of our tracks, on a controller that takes audio at 48 kHz."""

    def make() -> Any:
        from playback import AudioFormat, PlaybackController

        controller = PlaybackController(AudioFormat(rate), input_format=AudioFormat(RATE))
        track = getattr(import_module(module), name)(controller, **options)
        track.controller = controller
        return track

    return make


def _native(complexity: int = 5) -> Callable[[], Any]:
    """Makes a native call; all of them have one UDP port."""

    def make() -> Any:
        from playback import AudioFormat, PlaybackController
        from playback.native import NativePeer

        controller = PlaybackController(AudioFormat(RATE), input_format=AudioFormat(RATE))
        return NativePeer(
            controller, udp_port=NATIVE_PORT, bind_address="127.0.0.1", complexity=complexity, connect_seconds=None
        )

    return make


def _push(track: Any, audio: bytes) -> None:
    """A whole utterance."""
    utterance = track.controller.utterance()
    utterance.push(audio)
    utterance.end()


def _speak_prepared(track: Any, audio: bytes) -> None:
    """The same, encoded once for all calls."""
    from playback import AudioFormat, PreparedUtterance

    if audio not in _PREPARED:
        _PREPARED[audio] = PreparedUtterance(audio, format=AudioFormat(RATE))
        _PREPARED[audio].encode()
    track.controller.speak(_PREPARED[audio])


_PREPARED: Final[dict[bytes, Any]] = {}


# Other systems'


def _make_videosdk() -> Any:
    from videosdk.agents.room.output_stream import CustomAudioStreamTrack

    track = CustomAudioStreamTrack(asyncio.get_running_loop())
    track.set_input_format(RATE, 1)
    return track


def _make_pipecat() -> Any:
    from pipecat.transports.smallwebrtc.transport import RawAudioTrack

    return RawAudioTrack(RATE)


def _push_pipecat(track: Any, audio: bytes) -> None:
    track.add_audio_bytes(audio[: len(audio) // FRAME_BYTES * FRAME_BYTES])


def _make_vision_agents() -> Any:
    from getstream.video.rtc.audio_track import AudioStreamTrack

    return AudioStreamTrack()


async def _push_vision_agents(track: Any, audio: bytes) -> None:
    import numpy as np
    from getstream.video.rtc.track_util import AudioFormat, PcmData

    await track.write(PcmData(RATE, AudioFormat.S16, np.frombuffer(audio, np.int16)), final=True)


TRACKS: Final = {
    "baseline": Kind("aiortc", Baseline, Baseline.push),
    "frames": Kind("aiortc", _ours("playback.track", "PlaybackTrack"), _push),
    "frames 24 kHz": Kind("aiortc", _ours("playback.track", "PlaybackTrack", 24_000), _push),
    "opus": Kind("aiortc", _ours("playback.opus", "OpusPlaybackTrack"), _push),
    "opus, complexity 0": Kind("aiortc", _ours("playback.opus", "OpusPlaybackTrack", complexity=0), _push),
    "native": Kind("native", _native(), _push),
    "native, complexity 0": Kind("native", _native(0), _push),
    "native, prepared": Kind("native", _native(), _speak_prepared),
    "opus, prepared": Kind("aiortc", _ours("playback.opus", "OpusPlaybackTrack"), _speak_prepared),
    "opus low delay": Kind("aiortc", _ours("playback.opus", "OpusPlaybackTrack", application="lowdelay"), _push),
    "opus, silence sent": Kind("aiortc", _ours("playback.opus", "OpusPlaybackTrack", idle="silence"), _push),
    "videosdk baseline": Kind("vsaiortc", Baseline, Baseline.push),
    "videosdk": Kind("vsaiortc", _make_videosdk, lambda track, audio: track.add_new_bytes(audio)),
    "pipecat": Kind("aiortc", _make_pipecat, _push_pipecat),
    "vision_agents": Kind("aiortc", _make_vision_agents, _push_vision_agents),
}
"""By name."""
