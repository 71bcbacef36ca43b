"""RTP and RTCP, as far as one stream of audio needs them (RFC 3550)."""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_HEADER: Final = struct.Struct(">BBHII")
_VERSION: Final = 2 << 6
_MARKER: Final = 0x80

_RTCP: Final = range(192, 224)
"""What the second byte of RTCP is, on a port that RTP uses, too (RFC 5761, section 4)."""
_SENDER_REPORT, _RECEIVER_REPORT = 200, 201
_BLOCK: Final = struct.Struct(">IIIIII")
_NTP_EPOCH: Final = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970 (RFC 868)."""


class RtpStream:
    """The headers of one stream: what follows on wraps, at 2^16 and 2^32.

    Args:
        ssrc: whose it is.
        payload_type: of all its packets.
        sequence: the number of the first packet; random unless given (RFC 3550, section 5.1).
        timestamp: what is added to all timestamps; random unless given.
    """

    def __init__(
        self, ssrc: int, payload_type: int, *, sequence: int | None = None, timestamp: int | None = None
    ) -> None:
        self._ssrc: Final = ssrc
        self._payload_type: Final = payload_type
        self._sequence = secrets.randbits(16) if sequence is None else sequence
        self._offset: Final = secrets.randbits(32) if timestamp is None else timestamp

    def packet(self, payload: bytes, timestamp: int, *, marker: bool = False) -> bytes:
        """The next packet.

        Args:
            payload: what it carries.
            timestamp: of its first sample, counted from any beginning; it may be negative, and of any size.
            marker: whether it is the first one after silence in which nothing was sent (RFC 3551, section 4.1).
        """
        sequence, self._sequence = self._sequence, (self._sequence + 1) & 0xFFFF
        kind = self._payload_type | _MARKER if marker else self._payload_type
        return _HEADER.pack(_VERSION, kind, sequence, (timestamp + self._offset) & 0xFFFFFFFF, self._ssrc) + payload


def is_rtcp(packet: bytes) -> bool:
    """Whether a packet is a report, rather than audio."""
    return len(packet) > 1 and packet[1] in _RTCP


@dataclass(frozen=True, slots=True)
class Reception:
    """What the other side reports of a stream (RFC 3550, section 6.4.1)."""

    loss: float
    """The share of packets that was lost since its report before, 0 to 1."""
    jitter: int
    """In units of the timestamp."""
    round_trip_seconds: float | None
    """None if it had no report of ours yet."""


def receptions(packet: bytes, ssrc: int, now: float | None = None) -> Iterator[Reception]:
    """What a compound RTCP packet reports of a stream; nothing of what is malformed.

    Args:
        packet: it, decrypted.
        ssrc: whose stream.
        now: seconds since 1970, as the sender reports count them.
    """
    at = 0
    while at + 8 <= len(packet):
        length = 4 * (int.from_bytes(packet[at + 2 : at + 4]) + 1)
        kind, count = packet[at + 1], packet[at] & 0x1F
        end = min(at + length, len(packet))
        block = at + {_SENDER_REPORT: 28, _RECEIVER_REPORT: 8}.get(kind, length)
        while count and block + _BLOCK.size <= end:
            of, lost, _, jitter, last, delay = _BLOCK.unpack_from(packet, block)
            if of == ssrc:
                yield Reception((lost >> 24) / 256, jitter, _round_trip(last, delay, now))
            block, count = block + _BLOCK.size, count - 1
        at += length


def _round_trip(last: int, delay: int, now: float | None) -> float | None:
    """From a report of ours to the answer to it, without the time that the other side took."""
    if not last:
        return None
    middle = round(((time.time() if now is None else now) + _NTP_EPOCH) * 65536)
    elapsed = (middle - last - delay) & 0xFFFFFFFF
    return elapsed / 65536 if elapsed < 0x80000000 else 0.0  # clocks that were set meanwhile
