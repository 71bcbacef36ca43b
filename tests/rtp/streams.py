"""RTP streams of Opus that are made up: what a sender sends, and what a network makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

from playback.codec.encoder import open_encoder
from playback.codec.settings import OpusSettings
from tests.codec.test_encoder import frames

STEP = 960
"""Of the timestamps: 20 ms."""
SILENT = bytes([31 << 3, 0xFF, 0xFE])
"""20 ms of silence."""


def rtp(
    sequence: int,
    timestamp: int,
    payload: bytes = SILENT,
    *,
    ssrc: int = 7,
    payload_type: int = 111,
    padding: int = 0,
    extension: bytes | None = None,
    sources: Sequence[int] = (),
) -> bytes:
    """A packet; numbers wrap."""
    flags = 0x80 | 0x20 * bool(padding) | 0x10 * (extension is not None) | len(sources)
    head = pack(">BBHII", flags, payload_type, sequence % 2**16, timestamp % 2**32, ssrc)
    head += b"".join(pack(">I", source) for source in sources)
    if extension is not None:
        head += pack(">HH", 0xBEDE, len(extension) // 4) + extension
    return head + payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")


def numbered(number: int) -> bytes:
    """20 ms whose bytes hold a number; libopus takes them for some sound."""
    return bytes([31 << 3]) + pack(">I", number)


def encoded(
    seconds: float = 1.0, *, rate: int = 48_000, expected_loss: float = 0.0, bitrate: int = 32_000
) -> list[bytes]:
    """Speech, as Opus."""
    encoder = open_encoder(rate, OpusSettings(bitrate, 5, "voip", expected_loss))
    return [encoder.encode(frame) for frame in frames(rate, seconds)]


def stream(payloads: Sequence[bytes], *, sequence: int = 0, timestamp: int = 0, ssrc: int = 7) -> list[bytes]:
    """The packets of a sender."""
    return [
        rtp(sequence + number, timestamp + STEP * number, payload, ssrc=ssrc) for number, payload in enumerate(payloads)
    ]
