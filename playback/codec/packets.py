"""What the first bytes of an Opus packet say: how long its sound is (RFC 6716, section 3)."""

from __future__ import annotations

from typing import Final

CLOCK_RATE: Final = 48_000
"""Of the durations, in Hz: as in RTP, whatever the audio's rate was."""

MOST_SAMPLES: Final = CLOCK_RATE * 120 // 1_000
"""The longest packet: 120 ms ([R5])."""

_SILK: Final = (480, 960, 1_920, 2_880)
_HYBRID: Final = (480, 960)
_CELT: Final = (120, 240, 480, 960)


class PacketError(ValueError):
    """Bytes that are no Opus packet."""


def packet_samples(packet: bytes | memoryview) -> int:
    """How long the sound of a packet is, in samples at 48 kHz.

    Raises:
        PacketError: it is empty, or says something that no packet may.
    """
    if not packet:
        raise PacketError("an Opus packet has no bytes, expected one or more")
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        frame = _SILK[configuration & 3]
    elif configuration < 16:
        frame = _HYBRID[configuration & 1]
    else:
        frame = _CELT[configuration & 3]
    frames = 1 if code == 0 else 2
    if code == 3:
        frames = packet[1] & 63 if len(packet) > 1 else 0
    if not 0 < frames * frame <= MOST_SAMPLES:
        raise PacketError(f"an Opus packet holds {frames} frames of {frame} samples, expected 120 ms at most")
    return frames * frame
