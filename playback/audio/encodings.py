"""The encodings of plain samples, and how each becomes samples that the converter takes.

A decoder gets whole samples of any number of channels, interleaved, and gives them back in the same order. Each is one
pass of numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = bytes | memoryview


class Encoding(NamedTuple):
    """How one sample of one channel is written."""

    width: int
    """Its bytes."""
    sample_type: str
    """What it becomes, in PyAV's names: 16-bit integers, 32-bit integers or floats."""
    decode: Callable[[Bytes], Bytes]
    """The samples in that type."""


def _expand_mulaw() -> NDArray[np.int16]:
    """The 256 values of μ-law, ITU-T G.711 table 2a/2b, on a scale of 16 bits (the standard's 14 bits times 4).

    A byte is transmitted inverted: sign, three bits of segment, four bits of step. 33 is the standard's bias.
    """
    byte = ~np.arange(256) & 0xFF
    magnitude = ((2 * (byte & 0x0F) + 33) << (byte >> 4 & 7)) - 33
    return (np.where(byte & 0x80, -magnitude, magnitude) * 4).astype("<i2")


def _expand_alaw() -> NDArray[np.int16]:
    """The 256 values of A-law, ITU-T G.711 table 1a/1b, on a scale of 16 bits (the standard's 13 bits times 8).

    Every second bit is transmitted inverted. The first two segments have steps of one size; each further one doubles
    it.
    """
    byte = np.arange(256) ^ 0x55
    segment = byte >> 4 & 7
    magnitude: NDArray[np.int64] = (2 * (byte & 0x0F) + np.where(segment, 33, 1)) << np.maximum(segment - 1, 0)
    return (np.where(byte & 0x80, magnitude, -magnitude) * 8).astype("<i2")


def _by_table(table: NDArray[np.int16]) -> Callable[[Bytes], Bytes]:
    return lambda data: table[np.frombuffer(data, np.uint8)].tobytes()


def unchanged(data: Bytes) -> Bytes:
    """What decodes an encoding that is a type of samples already."""
    return data


def _swap(data: Bytes) -> Bytes:
    return np.frombuffer(data, ">i2").astype("<i2").tobytes()


def _widen(data: Bytes) -> Bytes:
    """24 bits become the upper ones of 32: each sample is read together with the byte before it, which is cleared."""
    overlapping = np.ndarray(len(data) // 3, "<i4", buffer=b"\0" + data, strides=(3,))
    return (overlapping & ~0xFF).tobytes()


ENCODINGS: Final[dict[str, Encoding]] = {
    "s16le": Encoding(2, "s16", unchanged),
    "s16be": Encoding(2, "s16", _swap),
    "s24le": Encoding(3, "s32", _widen),
    "s32le": Encoding(4, "s32", unchanged),
    "f32le": Encoding(4, "flt", unchanged),
    "u8": Encoding(1, "s16", _by_table(((np.arange(256) - 128) * 256).astype("<i2"))),
    "mulaw": Encoding(1, "s16", _by_table(_expand_mulaw())),
    "alaw": Encoding(1, "s16", _by_table(_expand_alaw())),
}
"""By name; the names are FFmpeg's. In ``u8`` silence is 128; ``f32le`` has a full scale of 1.0."""


def encode(samples: NDArray[np.int16], encoding: str) -> bytes:
    """Samples as a telephone carrier takes them.

    G.711 gets the nearest of its 256 values.

    Args:
        samples: int16, of any shape; channels are interleaved.
        encoding: ``"s16le"``, ``"s16be"``, ``"mulaw"`` or ``"alaw"``.

    Raises:
        ValueError: another encoding.
    """
    if encoding == "s16le":
        return samples.astype("<i2").tobytes()
    if encoding == "s16be":
        return samples.astype(">i2").tobytes()
    if encoding not in ("mulaw", "alaw"):
        raise ValueError(f"encoding is {encoding!r}, expected 's16le', 's16be', 'mulaw' or 'alaw'")
    return _compressed(encoding)[samples.view(np.uint16)].tobytes()


@cache
def _compressed(encoding: str) -> NDArray[np.uint8]:
    """The byte of each sample, by its bits as an unsigned number: 64 KiB, made when it is first asked for."""
    expanded = (_expand_mulaw() if encoding == "mulaw" else _expand_alaw()).astype(np.int32)
    order = np.argsort(expanded, kind="stable")
    values = expanded[order]
    limits = (values[1:] + values[:-1]) / 2
    samples = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
    # A tie goes away from zero, as the decision values of the standard have it. Mu-law has two zeros: silence is 0xFF.
    steps = np.where(samples < 0, np.searchsorted(limits, samples), np.searchsorted(limits, samples, side="right"))
    table: NDArray[np.uint8] = order[steps].astype(np.uint8)
    return table
