"""NativeSender: what a controller plays, as RTP packets of Opus."""

from __future__ import annotations

from typing import Final, get_args

import numpy as np

from playback.codec.encoder import open_encoder
from playback.codec.settings import PACKET_SAMPLES, SAMPLE_RATES, OpusSettings
from playback.controller import PlaybackController
from playback.native.rtp import RtpStream
from playback.opus import IDLE_SECONDS, Idle
from playback.pacing import PTIME_SECONDS

SILENCE: Final = bytes([31 << 3, 0xFF, 0xFE])
"""20 ms of silence, for all calls: CELT, full band, mono (RFC 6716, table 2), with nothing coded but the flag for silence
(section 4.3)."""
LEAD: Final = bytes([30 << 3, 0xFF, 0xFE])
"""10 ms of it: sent before the first sound after a gap, which a jitter buffer would fade in otherwise."""
_LEAD_SAMPLES: Final = PACKET_SAMPLES // 2

TAIL_FRAMES: Final = 2
"""How much of a silence is encoded: what the encoder looks ahead (6.5 ms at most) still holds sound. From there on, it
and every decoder remember nothing but silence, so :data:`SILENCE` is what would be encoded."""

_IDLE_FRAMES: Final = round(IDLE_SECONDS / PTIME_SECONDS)


class NativeSender:
    """Reads a controller, 20 ms at a time, and makes packets of it.

    As an :class:`~playback.opus.OpusPlaybackTrack` does, it sends nothing after 200 ms of silence, and 10 ms of silence
    before the sound that ends it. In between, all calls send the same packet of silence, which nobody encodes.

    Args:
        controller: what to read; it is not claimed here.
        settings: of the encoder.
        idle: ``"nothing"``, or ``"silence"`` to send packets of silence all the time.

    Raises:
        ValueError: the controller's format is nothing that Opus has.
    """

    def __init__(self, controller: PlaybackController, settings: OpusSettings, idle: Idle) -> None:
        output = controller.format
        if output.channels != 1 or output.sample_rate not in SAMPLE_RATES:
            rates = ", ".join(map(str, SAMPLE_RATES))
            raise ValueError(f"the controller's format is {output}, expected 1 channel at one of {rates} Hz")
        if idle not in get_args(Idle):
            raise ValueError(f"idle is {idle!r}, expected one of {', '.join(map(repr, get_args(Idle)))}")
        self._read_into: Final = controller.read_into
        self._encoder: Final = open_encoder(output.sample_rate, settings)
        # The samples, four at a time: whether there is anything but zeros is seen in a fraction of the time.
        self._audio: Final = self._encoder.samples.view(np.int64)
        self._most_silent: Final[float] = _IDLE_FRAMES if idle == "nothing" else np.inf
        self._silent = TAIL_FRAMES
        self._sends = False
        """Whether a packet was sent for the 20 ms before."""

    def packets(self, stream: RtpStream, number: int) -> list[bytes]:
        """Read the next 20 ms.

        Args:
            stream: makes the headers.
            number: which 20 ms of the call they are; some may have been skipped.

        Returns:
            One packet; none within silence; two at the end of silence in which none was sent.
        """
        self._read_into(self._audio)
        if self._audio.any():
            self._silent = 0
        else:
            self._silent += 1
            if self._silent > self._most_silent:
                self._sends = False
                return []
        time = number * PACKET_SAMPLES
        payload = SILENCE if self._silent > TAIL_FRAMES else self._encoder.encode(self._encoder.samples)
        if self._sends:
            return [stream.packet(payload, time)]
        self._sends = True
        if self._silent:
            return [stream.packet(payload, time, marker=True)]
        return [stream.packet(LEAD, time - _LEAD_SAMPLES, marker=True), stream.packet(payload, time)]
