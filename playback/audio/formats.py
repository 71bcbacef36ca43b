"""AudioFormat, and how a producer's input of any kind is parsed into blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from numbers import Integral
from typing import Any, Final, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from playback.audio.encodings import ENCODINGS, unchanged
from playback.audio.scale import CHECKED_SECONDS, fault_of

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
    """The format of plain samples: rate, channels (interleaved) and encoding.

    Args:
        sample_rate: samples of one channel in a second, in Hz.
        channels: 1 (mono) or 2 (stereo).
        encoding: how bytes hold the samples: signed integers of 16, 24 or 32 bits ("s16le", "s16be", "s24le", "s32le"),
            floats of full scale 1.0 ("f32le"), unsigned bytes whose silence is 128 ("u8"), or ITU-T G.711 ("mulaw",
            "alaw"). "le" is little-endian, "be" big-endian. Arrays and frames have a type of their own, so it does not
            apply to them. A controller's output is always "s16le".

    Raises:
        FormatError: a rate that is not a whole number from 4,000 to 384,000, other channels, or another encoding.
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

_MOST_PLANES: Final = 7
"""Of frames with more planes than these, PyAV up to 18 reads beyond the last one, and crashes; PyAV 19 raises."""

_NUMPY_TYPES: Final = {np.dtype(np.int16): "s16", np.dtype(np.float32): "flt"}
"""The arrays that are taken, and PyAV's names of their types."""

_SAMPLE_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "u8": np.dtype(np.uint8),
    "s16": np.dtype(np.int16),
    "s32": np.dtype(np.int32),
    "flt": np.dtype(np.float32),
    "dbl": np.dtype(np.float64),
}
"""The samples of frames, by PyAV's names: all that swresample converts, but s64."""


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
    """One push, parsed and safe from later changes: whole samples, and the bytes of a sample that has only begun.

    The data stays as it came, so that a push costs no more than a copy: still encoded, planar, or of floats that nobody
    has looked at. :meth:`read` makes samples of it, for as much as is asked for.
    """

    layout: Layout
    """What :meth:`read` gives."""
    data: bytes | memoryview | NDArray[Any]
    samples: int
    partial: bytes = b""
    dropped: int = 0
    """Bytes of an incomplete sample that this push can't complete."""
    encoding: str | None = None
    """How the data is encoded; None if it has the layout's type already."""

    @property
    def is_plain(self) -> bool:
        """Whether the data is what :meth:`read` gives, and can't be wrong."""
        return self.layout.sample_type == "s16" and self.encoding is None and not isinstance(self.data, np.ndarray)

    def read(self, start: int = 0, stop: int | None = None) -> bytes | memoryview:
        """The samples from ``start`` up to ``stop``, in the layout.

        Raises:
            FormatError: floats that are not finite, or out of scale.
        """
        stop = self.samples if stop is None else stop
        data, layout = self.data, self.layout
        if isinstance(data, np.ndarray):
            piece = data[start:stop]
            _check_scale(piece)
            return piece.tobytes()
        width = layout.frame_bytes if self.encoding is None else bare_width(self.encoding, layout)
        if len(data) != (stop - start) * width:
            data = memoryview(data)[start * width : stop * width]
        if self.encoding is not None:
            return ENCODINGS[self.encoding].decode(data)
        if layout.sample_type in _FLOATS:
            _check_scale(np.frombuffer(data, _SAMPLE_TYPES[layout.sample_type]))
        return data


_FLOATS: Final = frozenset(name for name, kind in _SAMPLE_TYPES.items() if kind.kind == "f")


def bare_width(encoding: str, layout: Layout) -> int:
    """Bytes of one sample of all channels of a layout, as an encoding writes them."""
    return ENCODINGS[encoding].width * (layout.frame_bytes // _SAMPLE_TYPES[layout.sample_type].itemsize)


def parse(audio: Any, format: AudioFormat, partial: bytes = b"", *, keep: bool = True) -> Block:
    """Read what a producer pushed.

    It costs at most one copy, and a look at the first second: what is wrong behind that, :meth:`Block.read` finds.

    Args:
        audio: bytes-like (in the format's encoding), a numpy array of int16 or float32 (full scale 1.0) of shape
            (samples,) or (samples, channels), or an ``av.AudioFrame`` of any rate, layout and sample type.
        format: what bare bytes and arrays are taken for. An array of two dimensions has its channels in its shape.
        partial: the bytes of a sample that the producer's last push left incomplete. Bytes go on with them; anything
            else drops them, for it can't be their continuation.
        keep: whether the samples are wanted; otherwise the block has none, and nothing is copied.

    Returns:
        The block. Immutable bytes are not copied, anything else is.

    Raises:
        FormatError: a type, shape, rate, channel count or value that can't be.
    """
    match audio:
        case bytes():
            return _parse_bytes(audio, format, partial, keep)
        case np.ndarray():
            return _parse_array(audio, format, keep)._replace(dropped=len(partial))
        case av.AudioFrame():
            return _parse_frame(audio, keep)._replace(dropped=len(partial))
    try:
        view = memoryview(audio)
    except TypeError:
        raise FormatError(
            f"audio is a {type(audio).__name__}, expected bytes, a numpy array or an av.AudioFrame"
        ) from None
    if view.format not in _BYTE_TYPES or (view.format == "h" and format.encoding != "s16le"):
        expected = "bytes or 16-bit samples ('h')" if format.encoding == "s16le" else f"bytes in {format.encoding}"
        raise FormatError(f"the buffer's type is {view.format!r}, expected {expected}")
    if not view.c_contiguous:
        return _parse_bytes(np.asarray(view).tobytes(), format, partial, keep)
    return _parse_bytes(view.cast("B"), format, partial, keep)


def _parse_bytes(data: bytes | memoryview, format: AudioFormat, partial: bytes, keep: bool) -> Block:
    """Bytes that are contiguous; a view is copied."""
    encoding, layout = format.encoding, bare_layout(format)
    samples, extra = divmod(len(partial) + len(data), layout.frame_bytes)
    if encoding == "s16le" and keep and not partial and not extra and isinstance(data, bytes):
        return Block(layout, data, samples)  # mostly there is nothing to do
    if encoding == "f32le":
        checked = layout.frame_bytes * int(CHECKED_SECONDS * layout.sample_rate)
        start = partial + data[:checked]
        _check_scale(np.frombuffer(start, np.float32, len(start) // layout.frame_bytes * format.channels))
    if not keep:
        return Block(_decoded_layout(format), b"", samples)
    if partial:
        data = b"".join((partial, data))
    elif not isinstance(data, bytes):
        data = bytes(data)
    rest = b""
    if extra:
        rest = bytes(data[-extra:])
        data = memoryview(data)[:-extra]
    needs_decoding = ENCODINGS[encoding].decode is not unchanged
    return Block(_decoded_layout(format), data, samples, rest, encoding=encoding if needs_decoding else None)


def _parse_array(array: NDArray[Any], format: AudioFormat, keep: bool) -> Block:
    sample_type = _NUMPY_TYPES.get(array.dtype)
    if sample_type is None:
        raise FormatError(f"the array's type is {array.dtype}, expected int16 or float32 (full scale 1.0)")
    channels = array.shape[1] if array.ndim == 2 else 1
    if array.ndim not in (1, 2) or channels not in LAYOUTS or (array.ndim == 1 and format.channels != 1):
        shapes = "(samples,)" if format.channels == 1 else f"(samples, {format.channels})"
        raise FormatError(f"the array's shape is {array.shape}, expected {shapes} or (samples, channels), channels ≤ 2")
    _check_scale(array[: int(CHECKED_SECONDS * format.sample_rate)])
    layout = Layout(format.sample_rate, LAYOUTS[channels], sample_type, array.itemsize * channels)
    if not keep:
        return Block(layout, b"", len(array))
    # To interleave channels that lie one after the other takes several times as long as to copy them.
    return Block(layout, array.tobytes() if array.flags.c_contiguous else np.array(array, order="K"), len(array))


def _parse_frame(frame: av.AudioFrame, keep: bool) -> Block:
    if frame.sample_rate not in RATES:
        raise FormatError(f"the frame's sample rate is {frame.sample_rate}, expected {RATES[0]} to {RATES[-1]}")
    channels, packed = frame.layout.nb_channels, frame.format.packed.name
    if not channels:
        raise FormatError(f"the frame's layout is {frame.layout.name!r}, expected at least one channel")
    dtype = _SAMPLE_TYPES.get(packed)
    if dtype is None:
        raise FormatError(f"the frame's sample type is {frame.format.name!r}, which can't be read")
    planes = _planes(frame, dtype)
    for plane in planes:
        items = int(CHECKED_SECONDS * frame.sample_rate) * (channels if len(planes) == 1 else 1)
        _check_scale(plane[:items])
    name = frame.layout.name
    if name == f"{channels} channels":  # it does not say where they are to be heard, as frames of some files
        name = LAYOUTS.get(channels, name)
    layout = Layout(frame.sample_rate, name, packed, dtype.itemsize * channels)
    if not keep:
        return Block(layout, b"", frame.samples)
    if len(planes) == 1:
        return Block(layout, planes[0].tobytes(), frame.samples)
    together = np.empty((channels, frame.samples), dtype)
    for number, plane in enumerate(planes):
        together[number] = plane
    return Block(layout, together.T, frame.samples)


def _planes(frame: av.AudioFrame, dtype: np.dtype[Any]) -> list[NDArray[Any]]:
    """The samples of a frame where they lie: one array for each plane."""
    channels = frame.layout.nb_channels
    if not frame.samples:
        return [np.zeros(0, dtype)]
    if not frame.format.is_planar or channels == 1:
        return [np.frombuffer(frame.planes[0], dtype, frame.samples * channels)]  # type: ignore[call-overload]
    if channels > _MOST_PLANES:
        return [np.frombuffer(_pack(frame).planes[0], dtype, frame.samples * channels)]  # type: ignore[call-overload]
    return [np.frombuffer(plane, dtype, frame.samples) for plane in frame.planes]  # type: ignore[call-overload]


def _pack(frame: av.AudioFrame) -> av.AudioFrame:
    """The same samples, interleaved.

    Raises:
        FormatError: swresample knows no way.
    """
    try:
        packed = av.AudioResampler(frame.format.packed, frame.layout, frame.sample_rate).resample(frame)
    except (ValueError, av.FFmpegError) as error:
        raise FormatError(f"the frame's {frame.layout.nb_channels} channels can't be interleaved: {error}") from None
    if [piece.samples for piece in packed] != [frame.samples]:
        raise FormatError(f"the frame's {frame.layout.nb_channels} channels can't be interleaved")
    return packed[0]


def _check_scale(samples: NDArray[Any]) -> None:
    fault = fault_of(samples)
    if fault is not None:
        raise FormatError(fault)
