"""The Opus encoder: libopus called directly or, where it is not found, through PyAV, which makes the same packets.

Both encode 20 ms at a time, mono, at the rate of the audio, without a resampler. A direct call costs about a quarter
less than one through PyAV; ``python -m benchmarks.micro.codecs`` has the ratios.
"""

from __future__ import annotations

import ctypes
from ctypes import c_int
from fractions import Fraction
from typing import Final, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from playback.codec import libopus
from playback.codec.libopus import LibOpus
from playback.codec.settings import OpusSettings, check_rate
from playback.pacing import PTIME_SECONDS, frame_samples

MOST_BYTES: Final = 1276
"""The longest packet of one frame (RFC 6716, section 3.4: [R2] and the byte before)."""


LOOKAHEAD_SECONDS: Final = 0.0065
"""How much later a decoder plays what was encoded: libopus, for ``voip`` and ``audio``; ``lowdelay`` is 4 ms faster."""


class Encoder(Protocol):
    """Encodes audio that follows on, 20 ms at a time. One thread may use it at a time."""

    @property
    def samples(self) -> NDArray[np.int16]:
        """20 ms of mono, of the encoder's own: what is filled in here is encoded without a copy."""

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """The packet of the next 20 ms.

        Args:
            samples: int16, of the shape of :attr:`samples`, which may be passed itself.

        Raises:
            ValueError: they have another shape.
        """


def open_encoder(sample_rate: int, settings: OpusSettings | None = None) -> Encoder:
    """An encoder for mono at a rate; where libopus is not found, one through PyAV.

    Args:
        sample_rate: 8,000, 12,000, 16,000, 24,000 or 48,000 Hz. The timestamps count at 48 kHz for all of them.
        settings: the defaults unless given.

    Raises:
        ValueError: Opus has no such rate.
    """
    check_rate(sample_rate)
    library = libopus.load()
    if library is None:
        return PyAVEncoder(sample_rate, settings or OpusSettings())
    return OpusEncoder(library, sample_rate, settings or OpusSettings())


class OpusEncoder:
    """Calls libopus directly.

    Its memory is an object of Python's, so it ends with it. The interpreter's lock is released while it encodes.

    Args:
        library: libopus.
        sample_rate: one that Opus has, in Hz.
        settings: what it is set to.
    """

    def __init__(self, library: LibOpus, sample_rate: int, settings: OpusSettings) -> None:
        self.samples: Final[NDArray[np.int16]] = np.zeros(frame_samples(sample_rate), np.int16)
        self._library: Final = library
        self._encode: Final = library.encode
        self._memory: Final = ctypes.create_string_buffer(library.encoder_size(1))
        self._out: Final = ctypes.create_string_buffer(MOST_BYTES)
        self._bytes: Final = memoryview(self._out).cast("B")
        # Addresses as numbers: ctypes would make objects of them at each call.
        self._state: Final = ctypes.addressof(self._memory)
        self._input: Final = int(self.samples.ctypes.data)
        self._output: Final = ctypes.addressof(self._out)
        self._size: Final = len(self.samples)
        result = library.encoder_init(self._state, sample_rate, 1, libopus.APPLICATIONS[settings.application])
        library.check(result, f"an encoder for {sample_rate} Hz")
        # What FFmpeg sets, too (libavcodec/libopusenc.c), so that its packets are the same: an unconstrained bit rate.
        for request, value in (
            (libopus.SET_BITRATE, settings.bitrate),
            (libopus.SET_COMPLEXITY, settings.complexity),
            (libopus.SET_VBR, True),
            (libopus.SET_VBR_CONSTRAINT, False),
            (libopus.SET_PACKET_LOSS_PERC, settings.loss_percent),
            (libopus.SET_INBAND_FEC, settings.fec),
        ):
            self._set(request, int(value))

    @property
    def lookahead(self) -> int:
        """By how many samples the sound of a packet is later than what was encoded: the pre-skip, at the rate."""
        value = c_int()
        self._library.check(
            self._library.encoder_ctl(self._state, libopus.GET_LOOKAHEAD, ctypes.byref(value)), "its look-ahead"
        )
        return value.value

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """The packet of the next 20 ms; see :meth:`Encoder.encode`."""
        if samples is not self.samples:
            _check_shape(samples, self._size)
            self.samples[:] = samples
        size = self._encode(self._state, self._input, self._size, self._output, MOST_BYTES)
        if size < 0:
            self._library.check(size, "encoding")
        return bytes(self._bytes[:size])

    def encode_apart(self, samples: NDArray[np.int16]) -> bytes:
        """The packet of the next 20 ms, predicted from nothing: it sounds right whatever a decoder has had before."""
        self._set(libopus.SET_PREDICTION_DISABLED, 1)
        try:
            return self.encode(samples)
        finally:
            self._set(libopus.SET_PREDICTION_DISABLED, 0)

    def reset(self) -> None:
        """Forget all that was encoded."""
        self._library.check(self._library.encoder_ctl(self._state, libopus.RESET_STATE), "a reset")

    def state(self) -> bytes:
        """All that it remembers of what it has encoded, and what it is set to."""
        return self._memory.raw

    def restore(self, state: bytes) -> None:
        """Go on from what an encoder of the same rate remembers.

        Raises:
            ValueError: it is the state of something else.
        """
        if len(state) != len(self._memory):
            raise ValueError(f"the state has {len(state):,} bytes, expected {len(self._memory):,}")
        self._memory.raw = state

    def _set(self, request: int, value: int) -> None:
        result = self._library.encoder_ctl(self._state, request, c_int(value))
        self._library.check(result, f"setting {request} to {value}")


class PyAVEncoder:
    """Calls libopus through PyAV: where only FFmpeg has it, within itself.

    Args:
        sample_rate: one that Opus has, in Hz.
        settings: what it is set to.
    """

    def __init__(self, sample_rate: int, settings: OpusSettings) -> None:
        self._codec: Final = av.CodecContext.create("libopus", "w")
        self._codec.sample_rate = sample_rate
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.bit_rate = int(settings.bitrate)
        self._codec.options = {
            "application": settings.application,
            "compression_level": str(int(settings.complexity)),
            "frame_duration": str(round(1000 * PTIME_SECONDS)),
            "packet_loss": str(settings.loss_percent),
            "fec": str(int(settings.fec)),
        }
        self._codec.open()
        self._size: Final = frame_samples(sample_rate)
        self._frame: Final = av.AudioFrame("s16", "mono", self._size)
        self._frame.sample_rate = sample_rate
        self._frame.time_base = Fraction(1, sample_rate)
        plane = np.frombuffer(memoryview(self._frame.planes[0]), np.int16)
        self.samples: Final[NDArray[np.int16]] = plane[: self._size]
        self._encoded = 0

    def encode(self, samples: NDArray[np.int16]) -> bytes:
        """The packet of the next 20 ms; see :meth:`Encoder.encode`."""
        if samples is not self.samples:
            _check_shape(samples, self._size)
            self.samples[:] = samples
        self._frame.pts = self._encoded  # without gaps, whatever is left out of what is sent
        [packet] = self._codec.encode(self._frame)
        self._encoded += self._size
        return bytes(packet)


def _check_shape(samples: NDArray[np.int16], size: int) -> None:
    if samples.shape != (size,) or samples.dtype != np.int16:
        raise ValueError(f"the samples are {samples.dtype} of shape {samples.shape}, expected int16 of shape ({size},)")
