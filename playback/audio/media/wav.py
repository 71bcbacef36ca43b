"""WAV without a demuxer: a header, then samples, so that lengths are exact and nothing waits for a whole packet.

Synthesizers write the header before they know the length: 0, or about 2^31 or 2^32 - 1 there means "to the end".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from playback.audio.formats import BLOCK_SECONDS, AudioFormat, Block, FormatError, parse
from playback.audio.media.blocks import Damage
from playback.audio.media.reader import Beginning, Reader

WAV_BEGINNING: Final = Beginning(re.compile(rb"RIFF.{4}WAVE", re.DOTALL), b"RIFF", 12)

_HEADER_BYTES: Final = 2**20
_HEADER_CHUNKS: Final = 64
"""The most bytes and chunks before the samples: a cover picture fits, an endless header does not."""

_UNKNOWN_LENGTH: Final = 0x7FFF_0000
"""A length from here on is none: 0x7FFFFFFF less a header, 0x7FFFF000 (eSpeak NG, SoX), 0xFFFFFFFF (FFmpeg)."""

_EXTENSIBLE: Final = 0xFFFE
_ENCODINGS: Final = {
    (1, 8): "u8",
    (1, 16): "s16le",
    (1, 24): "s24le",
    (1, 32): "s32le",
    (3, 32): "f32le",
    (6, 8): "alaw",
    (7, 8): "mulaw",
}
"""By format tag and bits: "Multimedia Programming Interface and Data Specifications 1.0" and RFC 2361."""


class WavHeader(NamedTuple):
    """What stands before the samples."""

    size: int
    """Its bytes."""
    format: AudioFormat | None
    """None where the samples are not plain ones, or of more than two channels."""
    length: int | None
    """The bytes of samples; None: all that come."""


def read_header(reader: Reader) -> WavHeader:
    """Look at the header of a WAV file, without moving on.

    Raises:
        FormatError: it is cut off or damaged, or there are no samples within the first MiB.
    """
    at, samples, long_length = 12, b"", 0
    for _ in range(_HEADER_CHUNKS):
        head = reader.peek(at + 8)[at:]
        if len(head) < 8:
            raise FormatError("the WAV file ends within its header, expected a data chunk")
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data":
            if len(samples) < 16:
                raise FormatError(
                    "the WAV file has no fmt chunk before its data, expected a fmt chunk of 16 bytes or more"
                )
            stated = long_length if size == 0xFFFF_FFFF and long_length else size
            known = stated == long_length or 0 < stated < _UNKNOWN_LENGTH
            return WavHeader(at + 8, _format(samples), stated if known and stated else None)
        if name == b"fmt ":
            samples = reader.peek(at + 8 + min(size, 40))[at + 8 :]
        elif name == b"ds64":  # of RF64, EBU Tech 3306: lengths of 64 bits
            long_length = int.from_bytes(reader.peek(at + 24)[at + 16 :], "little")
        at += 8 + size + size % 2
        if at > _HEADER_BYTES:
            break
    raise FormatError("the WAV file has no samples near its beginning, expected a data chunk")


def _format(chunk: bytes) -> AudioFormat | None:
    def number(at: int, size: int = 2) -> int:
        return int.from_bytes(chunk[at : at + size], "little")

    tag, channels, rate, width, bits = number(0), number(2), number(4, 4), number(12), number(14)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = number(24)  # the first bytes of a GUID
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None or width != channels * bits // 8:
        return None
    try:
        return AudioFormat(rate, channels, encoding)
    except FormatError:
        return None


def read_samples(reader: Reader, header: WavHeader, damage: Damage) -> Iterator[Block]:
    """The samples of a WAV file that has a format, as they come; what follows them is left."""
    assert header.format is not None
    reader.skip(header.size)
    width = header.format.frame_bytes
    step = max(1, int(BLOCK_SECONDS * header.format.sample_rate)) * width
    partial, left = b"", header.length
    while data := reader.read_some(step - len(partial) if left is None else min(step - len(partial), left)):
        if left is not None:
            left -= len(data)
        try:
            block = parse(data, header.format, partial)
        except FormatError as error:  # floats that are no numbers
            damage.add(error)
            data = partial + data
            partial = data[len(data) // width * width :]
            continue
        partial = block.partial
        if block.samples:
            yield block._replace(partial=b"")
