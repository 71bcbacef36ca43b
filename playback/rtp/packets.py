"""RTP packets, as they are read: the fields that a receiver of Opus needs (RFC 3550, section 5.1)."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

_HEADER: Final = 12
_FIELDS: Final = Struct(">BBHII").unpack_from


class RtpError(ValueError):
    """Bytes that are no RTP packet."""


class RtpPacket(NamedTuple):
    """A packet of RTP."""

    payload_type: int
    sequence: int
    """16 bits, that wrap."""
    timestamp: int
    """32 bits, that wrap; of Opus at 48 kHz."""
    ssrc: int
    payload: bytes


def parse(data: bytes | bytearray | memoryview) -> RtpPacket:
    """Read a packet.

    Raises:
        RtpError: it is none, or is cut short.
    """
    data = bytes(data)
    if len(data) < _HEADER or data[0] >> 6 != 2:
        raise RtpError(f"no RTP packet: {len(data)} bytes that begin with {data[:2].hex()!r}, expected version 2")
    flags = data[0]
    start, end = _HEADER + 4 * (flags & 0x0F), len(data)
    if flags & 0x10:  # a header extension, whose length counts words
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
    if flags & 0x20:  # padding, whose last byte counts it
        padding = data[-1]
        if not padding:
            raise RtpError("an RTP packet with padding of 0 bytes, expected 1 or more")
        end -= padding
    if start > end:
        raise RtpError(f"an RTP packet of {len(data)} bytes is shorter than its header and padding")
    _, kind, sequence, timestamp, ssrc = _FIELDS(data)
    return RtpPacket(kind & 0x7F, sequence, timestamp, ssrc, data[start:end])
