"""AudioFormat, and how a producer's input of any kind is parsed into blocks."""

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


LAYOUTS: Final = {1: "mono", 2: "stereo"}
"""PyAV's names of layouts, by the number of channels."""

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
    return Layout(format.sample_rate, LAYOUTS[format.channels], sample_type, format.frame_bytes)


@cache
def _decoded_layout(format: AudioFormat) -> Layout:
    """The layout of what bytes in a declared format become."""
    sample_type = ENCODINGS[format.encoding].sample_type
    width = av.AudioFormat(sample_type).bytes
    return Layout(format.sample_rate, LAYOUTS[format.channels], sample_type, width * format.channels)


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
    partial: bytes = b""
    dropped: int = 0
    """Bytes of an incomplete sample that this push can't complete."""


def parse(audio: Any, format: AudioFormat, partial: bytes = b"") -> Block:
    """Read what a producer pushed.

    Args:
        audio: bytes-like (in the format's encoding), a numpy array of int16 or float32 (full scale 1.0) of shape
            (samples,) or (samples, channels), or an ``av.AudioFrame`` of any rate, layout and sample type.
        format: what bare bytes and arrays are taken for. An array of two dimensions has its channels in its shape.
        partial: the bytes of a sample that the producer's last push left incomplete. Bytes go on with them; anything
            else drops them, for it can't be their continuation.

    Returns:
        The block. Immutable bytes are not copied unless they need decoding, anything else is.

    Raises:
        FormatError: a type, shape, rate, channel count or value that can't be.
    """
    match audio:
        case bytes():
            return _parse_bytes(partial + audio if partial else audio, format)
        case np.ndarray():
            return _parse_array(audio, format)._replace(dropped=len(partial))
        case av.AudioFrame():
            return _parse_frame(audio)._replace(dropped=len(partial))
    try:
        view = memoryview(audio)
    except TypeError:
        raise FormatError(
            f"audio is a {type(audio).__name__}, expected bytes, a numpy array or an av.AudioFrame"
        ) from None
    if view.format not in _BYTE_TYPES or (view.format == "h" and format.encoding != "s16le"):
        expected = "bytes or 16-bit samples ('h')" if format.encoding == "s16le" else f"bytes in {format.encoding}"
        raise FormatError(f"the buffer's type is {view.format!r}, expected {expected}")
    return _parse_bytes(partial + bytes(view), format)


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
    if array.ndim not in (1, 2) or channels not in LAYOUTS or (array.ndim == 1 and format.channels != 1):
        shapes = "(samples,)" if format.channels == 1 else f"(samples, {format.channels})"
        raise FormatError(f"the array's shape is {array.shape}, expected {shapes} or (samples, channels), channels ≤ 2")
    _check_scale(array)
    layout = Layout(format.sample_rate, LAYOUTS[channels], sample_type, array.itemsize * channels)
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
        name = LAYOUTS.get(channels, name)
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
