"""The jitter buffer: packets in, in any order; pieces of sound out, in their order and without a hole.

It has no clock and no I/O: each call brings the time. It is made for a listener that takes audio as it comes, such as
speech recognition, and not for a loudspeaker. So a packet that is in order goes out at once, however unevenly they
arrive, and only one that comes after a hole waits, for as long as what is missing may still come.

What is missing is known by the timestamps: the next packet's, less the end of the last one. A hole with consecutive
sequence numbers is a pause of a sender that sends nothing during silence (DTX, RFC 7587, section 3.1.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from playback.codec.packets import CLOCK_RATE, packet_samples
from playback.rtp.packets import RtpPacket

WAIT_SECONDS: Final = 0.06
"""How long a packet is waited for once a later one is there: three packets, more than networks reorder by."""

MOST_FILLED_SECONDS: Final = 0.5
"""The longest hole that is filled. During DTX, libopus sends a packet each 400 ms (RFC 7587, section 3.1.3: such
packets are rare); what is longer is left out, as nobody waits for it."""

MOST_WAITING: Final = 100
"""Packets that may wait: a flood with a hole in it is no reason to keep all of it."""

MOST_AHEAD: Final = 3_000
MOST_BEHIND: Final = 100
"""By how many sequence numbers a packet may be ahead or behind; otherwise two that are consecutive begin anew
(RFC 3550, appendix A.1: MAX_DROPOUT, MAX_MISORDER)."""

OTHER_SOURCE_SECONDS: Final = 1.0
"""How long the source must be quiet before the one before it may come back: until then, its packets are late ones."""


class Piece(NamedTuple):
    """What comes next: a packet, or a hole."""

    payload: bytes | None
    """The Opus packet; None is a hole."""
    samples: int
    """How long it is, at 48 kHz."""
    following: bytes | None = None
    """The packet after a hole, if that is there and packets before it were lost: it may hold the last one of them."""


@dataclass(slots=True)
class JitterStats:
    """What has happened to packets."""

    received: int = 0
    """Packets of Opus that came, whatever became of them."""
    lost: int = 0
    """Packets that did not come, or came too late."""
    late: int = 0
    """Packets that came after their place was given up, or that belong to an earlier source."""
    duplicated: int = 0
    """Packets that came again."""
    malformed: int = 0
    """What is no RTP packet, or no Opus."""
    ignored: int = 0
    """Packets of another payload type."""
    restarts: int = 0
    """How often a stream began anew: another source, or a jump of the sequence numbers."""
    skipped_seconds: float = 0.0
    """Holes that were too long to be filled."""
    concealed_seconds: float = 0.0
    """Holes that were filled."""


class JitterBuffer:
    """Puts packets in order; see the module.

    Args:
        stats: where it counts.
        wait_seconds: how long a packet that is missing is waited for; 0 waits for none.
    """

    def __init__(self, stats: JitterStats, wait_seconds: float = WAIT_SECONDS) -> None:
        self._stats: Final = stats
        self._wait: Final = wait_seconds
        self._source: int | None = None
        self._previous: int | None = None
        self._heard_at = 0.0
        self._next = 0  # the sequence number that goes out next; it does not wrap
        self._end: int | None = None  # where the last piece has ended, as a timestamp
        self._waiting: Final[dict[int, tuple[RtpPacket, int, float]]] = {}  # with length and arrival, as they came
        self._gone: Final[dict[int, None]] = {}  # the last ones that went out
        self._jump: int | None = None  # what would follow a packet that was too far away

    @property
    def deadline(self) -> float | None:
        """When to call :meth:`release`, in the time of the calls; None while nothing waits."""
        if not self._waiting:
            return None
        _, _, arrival = next(iter(self._waiting.values()))  # the first that came of them
        return arrival + self._wait

    def put(self, packet: RtpPacket, now: float) -> list[Piece]:
        """Take a packet.

        Args:
            packet: of Opus.
            now: the time in seconds, of a clock that never goes back.

        Returns:
            What goes out now.

        Raises:
            PacketError: its payload is no Opus.
        """
        samples = packet_samples(packet.payload)
        self._stats.received += 1
        pieces: list[Piece] = []
        if packet.ssrc != self._source:
            if packet.ssrc == self._previous and now - self._heard_at < OTHER_SOURCE_SECONDS:
                self._stats.late += 1
                return pieces
            pieces = self.flush()
            self._begin(packet)
        self._heard_at = now
        number = self._next + _signed(packet.sequence - self._next, 16)
        if not -MOST_BEHIND <= number - self._next <= MOST_AHEAD:
            if packet.sequence != self._jump:
                self._jump = (packet.sequence + 1) & 0xFFFF
                self._stats.late += 1
                return pieces
            pieces = self.flush()
            self._begin(packet)
            number = self._next
        self._jump = None
        if number == self._next and not self._waiting:  # as mostly
            self._append(pieces, number, packet, samples)
        elif number in self._waiting or number in self._gone:
            self._stats.duplicated += 1
        elif number < self._next:
            self._stats.late += 1
        else:
            self._waiting[number] = packet, samples, now
            pieces += self.release(now)
        return pieces

    def release(self, now: float) -> list[Piece]:
        """What goes out now: what is in order, and what has waited long enough for what was before it."""
        pieces: list[Piece] = []
        while self._waiting:
            if self._next not in self._waiting:
                deadline = self.deadline
                if len(self._waiting) <= MOST_WAITING and deadline is not None and now < deadline:
                    break
            self._release_first(pieces)
        return pieces

    def flush(self) -> list[Piece]:
        """What waits, without waiting any longer."""
        pieces: list[Piece] = []
        while self._waiting:
            self._release_first(pieces)
        return pieces

    def _begin(self, packet: RtpPacket) -> None:
        """Begin a stream with this packet."""
        if self._source is not None:
            self._stats.restarts += 1
        if packet.ssrc != self._source:
            self._previous, self._source = self._source, packet.ssrc
        self._next, self._end, self._jump = packet.sequence, None, None
        self._gone.clear()

    def _release_first(self, pieces: list[Piece]) -> None:
        first = min(self._waiting)
        packet, samples, _ = self._waiting.pop(first)
        self._append(pieces, first, packet, samples)

    def _append(self, pieces: list[Piece], number: int, packet: RtpPacket, samples: int) -> None:
        """Let a packet go out, and before it the hole that is between it and the last one."""
        lost = number - self._next
        self._stats.lost += lost
        hole = 0 if self._end is None else _signed(packet.timestamp - self._end, 32)
        if 0 < hole <= MOST_FILLED_SECONDS * CLOCK_RATE:
            self._stats.concealed_seconds += hole / CLOCK_RATE
            pieces.append(Piece(None, hole, packet.payload if lost else None))
        elif hole > 0:
            self._stats.skipped_seconds += hole / CLOCK_RATE
        pieces.append(Piece(packet.payload, samples))
        self._next, self._end = number + 1, packet.timestamp + samples
        self._gone[number] = None
        if len(self._gone) > MOST_BEHIND:
            del self._gone[next(iter(self._gone))]


def _signed(difference: int, bits: int) -> int:
    """A difference of two numbers that wrap, as the nearer of the two ways around."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half
