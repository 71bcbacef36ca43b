"""The Opus decoder: libopus called directly, with its own concealment of what is lost.

It makes samples at any of Opus' rates, mono, whatever the packets were made from: recognition wants 16 kHz, and nothing
has to be resampled for that. Where libopus is not found, PyAV decodes, and what is lost is silence.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, Protocol

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from playback.codec import libopus
from playback.codec.libopus import LibOpus
from playback.codec.packets import CLOCK_RATE, MOST_SAMPLES, PacketError
from playback.codec.settings import check_rate

CONCEALED_STEP: Final = 120
"""What is concealed is a whole number of these, in samples at 48 kHz: 2.5 ms (opus.h, opus_decode)."""


class Decoder(Protocol):
    """Decodes packets that follow each other. One thread may use it at a time."""

    def decode(self, packet: bytes) -> NDArray[np.int16]:
        """The sound of the next packet.

        Raises:
            PacketError: it is none.
        """

    def conceal(self, samples: int, following: bytes | None = None) -> NDArray[np.int16]:
        """What is heard in place of packets that are missing.

        Args:
            samples: how long they were, at 48 kHz, rounded down to 2.5 ms.
            following: the packet after them: it may hold the last of them, more coarsely (in-band FEC).
        """


def open_decoder(sample_rate: int) -> Decoder:
    """A decoder that makes mono at a rate; where libopus is not found, one through PyAV.

    Raises:
        ValueError: Opus has no such rate.
    """
    check_rate(sample_rate)
    library = libopus.load()
    return PyAVDecoder(sample_rate) if library is None else OpusDecoder(library, sample_rate)


class OpusDecoder:
    """Calls libopus directly; its memory ends with it.

    Args:
        library: libopus.
        sample_rate: one that Opus has, in Hz.
    """

    def __init__(self, library: LibOpus, sample_rate: int) -> None:
        self._library: Final = library
        self._decode: Final = library.decode
        self._memory: Final = ctypes.create_string_buffer(library.decoder_size(1))
        self._state: Final = ctypes.addressof(self._memory)
        self._divisor: Final = CLOCK_RATE // sample_rate
        self._out = np.empty(MOST_SAMPLES // self._divisor, np.int16)
        self._output = int(self._out.ctypes.data)
        library.check(library.decoder_init(self._state, sample_rate, 1), f"a decoder for {sample_rate} Hz")

    def decode(self, packet: bytes) -> NDArray[np.int16]:
        """The sound of the next packet; see :meth:`Decoder.decode`."""
        made = self._decode(self._state, packet, len(packet), self._output, len(self._out), 0)
        if made < 0 or not packet:
            raise PacketError(f"libopus can't decode a packet of {len(packet)} bytes: {self._library.why(made)}")
        return self._out[:made].copy()

    def conceal(self, samples: int, following: bytes | None = None) -> NDArray[np.int16]:
        """What is heard in place of packets that are missing; see :meth:`Decoder.conceal`."""
        missing = samples // CONCEALED_STEP * CONCEALED_STEP // self._divisor
        if not missing:
            return np.empty(0, np.int16)
        out = np.empty(missing, np.int16)
        data, size = (None, 0) if following is None else (following, len(following))
        made = self._decode(self._state, data, size, int(out.ctypes.data), missing, following is not None)
        if made < 0 and following is not None:  # what follows is damaged
            made = self._decode(self._state, None, 0, int(out.ctypes.data), missing, 0)
        self._library.check(made, f"concealing {missing} samples")
        return out[:made]


class PyAVDecoder:
    """Decodes through PyAV; FFmpeg conceals nothing, so that what is missing is silence.

    Args:
        sample_rate: one that Opus has, in Hz. FFmpeg decodes at 48 kHz, and resamples.
    """

    def __init__(self, sample_rate: int) -> None:
        self._codec: Final = av.CodecContext.create("libopus", "r")
        self._codec.sample_rate = CLOCK_RATE
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._divisor: Final = CLOCK_RATE // sample_rate
        self._resampler: Final = av.AudioResampler("s16", "mono", sample_rate)

    def decode(self, packet: bytes) -> NDArray[np.int16]:
        """The sound of the next packet; see :meth:`Decoder.decode`."""
        if not packet:
            raise PacketError("an Opus packet has no bytes, expected one or more")
        try:
            frames: list[Any] = self._codec.decode(av.Packet(packet))
        except FFmpegError as error:
            raise PacketError(f"FFmpeg can't decode a packet of {len(packet)} bytes: {error}") from error
        made = [part.to_ndarray()[0] for frame in frames for part in self._resampler.resample(frame)]
        return np.concatenate(made) if made else np.empty(0, np.int16)

    def conceal(self, samples: int, following: bytes | None = None) -> NDArray[np.int16]:
        """Silence in place of packets that are missing; see :meth:`Decoder.conceal`."""
        del following
        return np.zeros(samples // CONCEALED_STEP * CONCEALED_STEP // self._divisor, np.int16)
