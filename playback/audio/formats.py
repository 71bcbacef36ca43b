"""AudioFormat, and how input of any kind becomes the output format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from numbers import Integral
from typing import Any, Final, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from playback.audio.encodings import ENCODINGS

SAMPLE_BYTES: Final = 2
"""Bytes of one sample of one channel: the core stores s16le, as WebRTC stacks and speech synthesis exchange it."""

BLOCK_SECONDS: Final = 0.2
"""The most audio that is converted at a time, so that no read waits for a long conversion."""

_TAIL_SAMPLES: Final = 256
"""Silence fed to a resampler at a time to push its last samples out. Its own flush ends a run of less than its filter's
length (32 taps) up to 100 samples short."""

_TAIL_FEEDS: Final = 1024
"""How often at the most: enough for 384 kHz down to 4 kHz; a resampler that gives nothing back must not be asked for
ever."""

RATES: Final = range(4_000, 384_001)
CHANNELS: Final = range(1, 3)


class FormatError(ValueError):
    """Audio of a type, shape, rate or value that can't be played."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How bare audio is laid out: its samples, channels interleaved.

    Args:
        sample_rate: samples of one channel in a second, in Hz.
        channels: 1 (mono) or 2 (stereo).
        encoding: how bytes hold the samples: signed integers of 16, 24 or 32 bits ("s16le", "s16be", "s24le", "s32le"),
            floats of full scale 1.0 ("f32le"), unsigned bytes whose silence is 128 ("u8"), or ITU-T G.711 ("mulaw",
            "alaw"). "le" is little-endian, "be" big-endian. Arrays and frames have a type of their own, so it does not
            apply to them. A controller's output is always "s16le".

    Raises:
        FormatError: a rate that is no whole number from 4,000 to 384,000, other channels, or another encoding.
    """

    sample_rate: int
    channels: int = 1
    encoding: str = "s16le"

    def __post_init__(self) -> None:
        for name, allowed in (("sample_rate", RATES), ("channels", CHANNELS)):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value not in allowed:
                raise FormatError(f"{name} is {value!r}, expected a whole number from {allowed[0]} to {allowed[-1]}")
            object.__setattr__(self, name, int(value))  # numpy's whole numbers, too
        if not isinstance(self.encoding, str) or self.encoding not in ENCODINGS:
            raise FormatError(f"encoding is {self.encoding!r}, expected one of {', '.join(ENCODINGS)}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return ENCODINGS[self.encoding].width * self.channels

    def samples(self, seconds: float) -> int:
        """The whole number of samples nearest to a time in seconds."""
        return round(seconds * self.sample_rate)

    def seconds(self, samples: int) -> float:
        """The time that a number of samples takes."""
        return samples / self.sample_rate


class Layout(NamedTuple):
    """How the bytes of one push are to be read, in PyAV's names: always packed, never planar."""

    sample_rate: int
    channels: str
    sample_type: str
    frame_bytes: int


_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_BYTE_TYPES: Final = frozenset("Bbch")
"""The items of a buffer that are taken for bare bytes, in the letters of the struct module."""

_LOUDEST: Final = 64.0
"""Floats above 36 dB over full scale are no loud audio, but 16-bit values that nobody has scaled."""

_MOST_PLANES: Final = 7
"""Of frames with more planes than these, PyAV up to 18 reads beyond the last one, and crashes; PyAV 19 raises."""

_NUMPY_TYPES: Final = {np.dtype(np.int16): "s16", np.dtype(np.float32): "flt"}


@cache
def bare_layout(format: AudioFormat) -> Layout:
    """The layout of bytes in a declared format.

    Bytes that are not s16le have a layout that no block has, because :func:`parse` decodes them: so nothing takes them
    for samples that can be played as they are.
    """
    sample_type = "s16" if format.encoding == "s16le" else format.encoding
    return Layout(format.sample_rate, _LAYOUTS[format.channels], sample_type, format.frame_bytes)


@cache
def _decoded_layout(format: AudioFormat) -> Layout:
    """The layout of what bytes in a declared format become."""
    sample_type = ENCODINGS[format.encoding].sample_type
    width = av.AudioFormat(sample_type).bytes
    return Layout(format.sample_rate, _LAYOUTS[format.channels], sample_type, width * format.channels)


def check_output(format: AudioFormat) -> None:
    """See that audio can be handed out in a format.

    Raises:
        FormatError: it has another encoding than s16le.
    """
    if format.encoding != "s16le":
        raise FormatError(
            f"the output's encoding is {format.encoding!r}, expected 's16le': another encoding is for input, as in"
            f" input_format or utterance(format=...)"
        )


class Block(NamedTuple):
    """One push, parsed and safe from later changes: whole samples, and the bytes of a sample that has only begun."""

    layout: Layout
    data: bytes | memoryview
    samples: int
    dangling: bytes = b""
    dropped: int = 0
    """Bytes of an incomplete sample that this push can't complete."""


def parse(audio: Any, format: AudioFormat, dangling: bytes = b"") -> Block:
    """Read what a producer pushed.

    Args:
        audio: bytes-like (in the format's encoding), a numpy array of int16 or float32 (full scale 1.0) of shape
            (samples,) or (samples, channels), or an ``av.AudioFrame`` of any rate, layout and sample type.
        format: what bare bytes and arrays are taken for. An array of two dimensions tells its channels itself.
        dangling: the bytes of a sample that the producer's last push left incomplete. Bytes go on with them; anything
            else drops them, for it can't be their continuation.

    Returns:
        The block. Immutable bytes are not copied unless they need decoding, anything else is.

    Raises:
        FormatError: a type, shape, rate, channel count or value that can't be.
    """
    match audio:
        case bytes():
            return _parse_bytes(dangling + audio if dangling else audio, format)
        case np.ndarray():
            return _parse_array(audio, format)._replace(dropped=len(dangling))
        case av.AudioFrame():
            return _parse_frame(audio)._replace(dropped=len(dangling))
    try:
        view = memoryview(audio)
    except TypeError:
        raise FormatError(
            f"audio is a {type(audio).__name__}, expected bytes, a numpy array or an av.AudioFrame"
        ) from None
    if view.format not in _BYTE_TYPES or (view.format == "h" and format.encoding != "s16le"):
        expected = "bytes or 16-bit samples ('h')" if format.encoding == "s16le" else f"bytes in {format.encoding}"
        raise FormatError(f"the buffer's type is {view.format!r}, expected {expected}")
    return _parse_bytes(dangling + bytes(view), format)


def _parse_bytes(data: bytes, format: AudioFormat) -> Block:
    layout = bare_layout(format)
    samples, extra = divmod(len(data), layout.frame_bytes)
    if extra:
        whole = len(data) - extra
        block = Block(layout, memoryview(data)[:whole], samples, data[whole:])
    else:
        block = Block(layout, data, samples)
    return block if layout.sample_type == "s16" else _decode(block, format)


def _decode(block: Block, format: AudioFormat) -> Block:
    """The samples of a block whose data is encoded.

    Raises:
        FormatError: floats that are out of scale.
    """
    data, layout = ENCODINGS[format.encoding].decode(block.data), _decoded_layout(format)
    if layout.sample_type == "flt":
        _check_scale(np.frombuffer(data, "<f4"))
    return block._replace(layout=layout, data=data)


def _parse_array(array: NDArray[Any], format: AudioFormat) -> Block:
    sample_type = _NUMPY_TYPES.get(array.dtype)
    if sample_type is None:
        raise FormatError(f"the array's type is {array.dtype}, expected int16 or float32 (full scale 1.0)")
    channels = array.shape[1] if array.ndim == 2 else 1
    if array.ndim not in (1, 2) or channels not in _LAYOUTS or (array.ndim == 1 and format.channels != 1):
        shapes = "(samples,)" if format.channels == 1 else f"(samples, {format.channels})"
        raise FormatError(f"the array's shape is {array.shape}, expected {shapes} or (samples, channels), channels ≤ 2")
    _check_scale(array)
    layout = Layout(format.sample_rate, _LAYOUTS[channels], sample_type, array.itemsize * channels)
    return Block(layout, array.tobytes(), len(array))


def _parse_frame(frame: av.AudioFrame) -> Block:
    if frame.sample_rate not in RATES:
        raise FormatError(f"the frame's sample rate is {frame.sample_rate}, expected {RATES[0]} to {RATES[-1]}")
    channels = frame.layout.nb_channels
    if not channels:
        raise FormatError(f"the frame's layout is {frame.layout.name!r}, expected at least one channel")
    try:
        if frame.format.is_planar and channels > _MOST_PLANES and frame.samples:
            frame = _pack(frame)
        # PyAV makes no array of nothing.
        array = frame.to_ndarray() if frame.samples else np.zeros((0, channels), np.int16)
    except (ValueError, av.FFmpegError) as error:
        raise FormatError(f"the frame's sample type is {frame.format.name!r}, which can't be read: {error}") from None
    if frame.format.is_planar:
        array = array.T
    _check_scale(array)
    name = frame.layout.name
    if name == f"{channels} channels":  # it does not say where they are to be heard, as frames of some files
        name = _LAYOUTS.get(channels, name)
    layout = Layout(frame.sample_rate, name, frame.format.packed.name, frame.format.bytes * channels)
    return Block(layout, array.tobytes(), frame.samples)


def _pack(frame: av.AudioFrame) -> av.AudioFrame:
    """The same samples, interleaved."""
    packed = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate).resample(frame)
    if [piece.samples for piece in packed] != [frame.samples]:
        raise ValueError("its channels can't be interleaved")
    return packed[0]


def _check_scale(array: NDArray[Any]) -> None:
    if array.dtype.kind != "f" or not array.size:
        return
    # One pass finds all three: the largest of numbers with a NaN among them is NaN.
    peak = np.abs(array).max()
    if not peak <= _LOUDEST:
        raise FormatError(f"the audio has a sample of magnitude {peak}, expected finite numbers, full scale 1.0")


def converted_samples(samples: int, source_rate: int, target_rate: int) -> int:
    """round(samples × ratio), halves up, in whole numbers: exact at any length."""
    return (2 * samples * target_rate + source_rate) // (2 * source_rate)


class Converter:
    """Turns one run of blocks of one layout into the output format, exactly as long as it should be.

    The conversion is swresample's, through PyAV. It holds back a few samples until more comes or :meth:`flush`.
    A converter lives as long as its run, so nothing of one utterance can sound in another.

    Args:
        layout: how every block of the run is laid out.
        target: the output format.
    """

    def __init__(self, layout: Layout, target: AudioFormat) -> None:
        self._layout: Final = layout
        self._target: Final = target
        # swresample spreads mono over stereo at -3 dB each; a copy is what listeners expect. So mono stays mono here.
        self._spread: Final = layout.channels == "mono" and target.channels == 2
        channels = "mono" if self._spread else _LAYOUTS[target.channels]
        self._resampler: Final = av.AudioResampler(format="s16", layout=channels, rate=target.sample_rate)
        self._taken = 0
        self._given = 0

    def convert(self, data: bytes | memoryview) -> bytes:
        """Convert the next samples.

        Args:
            data: whole samples in the run's layout.

        Returns:
            The samples that are ready, in the output format.
        """
        self._taken += len(data) // self._layout.frame_bytes
        return self._feed(data)

    def flush(self) -> bytes:
        """End the run: what was held back, so that the run is exactly round(samples × ratio) long."""
        silence = (b"\x80" if self._layout.sample_type == "u8" else b"\0") * _TAIL_SAMPLES * self._layout.frame_bytes
        owed = converted_samples(self._taken, self._layout.sample_rate, self._target.sample_rate) - self._given
        wanted = owed * self._target.frame_bytes
        tail = b""
        for _ in range(_TAIL_FEEDS):
            if len(tail) >= wanted:
                break
            tail += self._feed(silence)
        return tail[:wanted].ljust(wanted, b"\0")

    def _feed(self, data: bytes | memoryview) -> bytes:
        samples = len(data) // self._layout.frame_bytes
        frame = av.AudioFrame(format=self._layout.sample_type, layout=self._layout.channels, samples=samples)
        frame.sample_rate = self._layout.sample_rate
        frame.planes[0].update(data)  # type: ignore[arg-type]
        # A plane may be padded beyond its samples.
        width = SAMPLE_BYTES if self._spread else self._target.frame_bytes
        pieces = self._resampler.resample(frame)
        out = b"".join(memoryview(piece.planes[0])[: piece.samples * width] for piece in pieces)
        if self._spread:
            out = np.repeat(np.frombuffer(out, np.int16), 2).tobytes()
        self._given += len(out) // self._target.frame_bytes
        return out


@cache
def check_convertible(layout: Layout, target: AudioFormat) -> None:
    """See that a layout can be converted, before anything is taken.

    Raises:
        FormatError: swresample knows no way, as for some layouts of many channels.
    """
    try:
        Converter(layout, target).convert(bytes(layout.frame_bytes))
    except (ValueError, av.FFmpegError) as error:
        raise FormatError(
            f"audio of {layout.sample_rate} Hz, {layout.channels}, {layout.sample_type} can't be converted: {error}"
        ) from None
