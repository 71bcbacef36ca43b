"""The jitter buffer: whatever the network does, everything comes out once, in order, and as long as it should be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback.codec.packets import PacketError, packet_samples
from playback.rtp.jitter import MOST_WAITING, JitterBuffer, JitterStats, Piece
from playback.rtp.packets import RtpError, RtpPacket, parse
from tests.rtp.streams import SILENT, STEP, numbered, rtp

pytestmark = pytest.mark.portable


def packet(number: int, *, at: int | None = None, first: int = 0, ssrc: int = 7) -> RtpPacket:
    """The packet of a number, with its timestamp unless another is given."""
    timestamp = (STEP * number if at is None else at) % 2**32
    return RtpPacket(111, (first + number) % 2**16, timestamp, ssrc, numbered(number))


def numbers(pieces: list[Piece]) -> list[int | None]:
    """What went out: the numbers of packets, and None for a hole."""
    return [None if piece.payload is None else int.from_bytes(piece.payload[1:], "big") for piece in pieces]


class Buffer:
    """A jitter buffer, and all that has come out of it."""

    def __init__(self, wait_seconds: float = 0.06) -> None:
        self.stats = JitterStats()
        self.jitter = JitterBuffer(self.stats, wait_seconds)
        self.pieces: list[Piece] = []

    def put(self, packet: RtpPacket, now: float = 0.0) -> list[int | None]:
        pieces = self.jitter.put(packet, now)
        self.pieces += pieces
        return numbers(pieces)


# In order, out of order, twice, too late, never


def test_what_is_in_order_goes_out_at_once() -> None:
    buffer = Buffer()
    assert [buffer.put(packet(number)) for number in range(5)] == [[0], [1], [2], [3], [4]]
    assert buffer.jitter.deadline is None


def test_what_comes_too_early_waits_for_what_is_before_it() -> None:
    buffer = Buffer()
    assert [buffer.put(packet(number)) for number in (0, 2, 3, 1, 4)] == [[0], [], [], [1, 2, 3], [4]]
    assert buffer.stats.lost == 0


def test_after_60_ms_it_waits_no_longer() -> None:
    buffer = Buffer()
    buffer.put(packet(0), 1.0)
    assert buffer.put(packet(2), 1.04) == []
    assert buffer.jitter.deadline == pytest.approx(1.1)
    assert numbers(buffer.jitter.release(1.099)) == []
    assert numbers(buffer.jitter.release(1.1)) == [None, 2]
    assert buffer.put(packet(1), 1.2) == []
    assert (buffer.stats.lost, buffer.stats.late) == (1, 1)


def test_a_hole_is_as_long_as_its_packets_were_and_comes_with_the_packet_after_it() -> None:
    buffer = Buffer(wait_seconds=0)
    buffer.put(packet(0))
    buffer.put(packet(4))
    assert buffer.pieces[1:] == [Piece(None, 3 * STEP, numbered(4)), Piece(numbered(4), STEP)]
    assert buffer.stats.lost == 3
    assert buffer.stats.concealed_seconds == pytest.approx(0.06)


def test_what_comes_again_goes_out_once() -> None:
    buffer = Buffer()
    for number in (0, 0, 2, 2, 1, 1, 2, 0):
        buffer.put(packet(number))
    assert numbers(buffer.pieces) == [0, 1, 2]
    assert buffer.stats.duplicated == 5


def test_of_a_flood_with_a_hole_in_it_not_all_is_kept() -> None:
    buffer = Buffer()
    buffer.put(packet(0))
    for number in range(2, 1_000):
        buffer.put(packet(number))
        assert len(buffer.jitter._waiting) <= MOST_WAITING
    assert numbers(buffer.pieces)[:3] == [0, None, 2]


# Time that is not sent, and other streams


def test_where_a_sender_was_silent_the_hole_is_filled_without_a_packet_that_is_lost() -> None:
    buffer = Buffer()
    buffer.put(packet(0))
    buffer.put(packet(1, at=20 * STEP))  # 400 ms, as with DTX
    assert buffer.pieces[1:] == [Piece(None, 19 * STEP, None), Piece(numbered(1), STEP)]
    assert buffer.stats.lost == 0


def test_a_long_silence_is_left_out() -> None:
    buffer = Buffer()
    buffer.put(packet(0))
    buffer.put(packet(1, at=60 * 48_000))
    assert numbers(buffer.pieces) == [0, 1]
    assert buffer.stats.skipped_seconds == pytest.approx(60, abs=0.1)


def test_a_timestamp_that_goes_back_makes_no_hole() -> None:
    buffer = Buffer()
    buffer.put(packet(0, at=100_000))
    buffer.put(packet(1, at=50_000))
    assert numbers(buffer.pieces) == [0, 1]


@pytest.mark.parametrize("first", [0, 2**16 - 3, 2**15 - 2])
@pytest.mark.parametrize("at", [0, 2**32 - 2 * STEP, 2**31 - STEP])
def test_sequence_numbers_and_timestamps_wrap(first: int, at: int) -> None:
    buffer = Buffer(wait_seconds=0)
    for number in (0, 1, 2, 4, 5, 6):
        buffer.put(packet(number, at=at + STEP * number, first=first))
    assert numbers(buffer.pieces) == [0, 1, 2, None, 4, 5, 6]
    assert buffer.pieces[3].samples == STEP


def test_another_source_begins_anew_and_the_one_before_it_is_late() -> None:
    buffer = Buffer()
    buffer.put(packet(0))
    buffer.put(packet(2))
    # What waits goes out first; it has waited long enough.
    assert buffer.put(packet(30_000, ssrc=8), 0.02) == [None, 2, 30_000]
    assert buffer.put(packet(3), 0.03) == []
    assert buffer.put(packet(30_001, ssrc=8), 0.04) == [30_001]
    assert buffer.stats.restarts == 1
    assert buffer.stats.late == 1
    assert buffer.put(packet(4), 2.0) == [4]  # it has come back


def test_a_jump_of_the_sequence_numbers_begins_anew_with_its_second_packet() -> None:
    buffer = Buffer()
    buffer.put(packet(0))
    assert buffer.put(packet(20_000)) == []  # one alone is a mistake
    assert buffer.put(packet(1)) == [1]
    assert buffer.put(packet(20_000)) == []
    assert buffer.put(packet(20_001)) == [20_001]
    assert buffer.stats.restarts == 1


# Any network


@st.composite
def networks(draw: st.DrawFn, most: float) -> tuple[list[tuple[float, int]], set[int], int, int]:
    """Arrivals of up to 60 packets, each late by its own delay; which are lost; and where the numbers begin."""
    count = draw(st.integers(2, 60))
    lost = draw(st.sets(st.integers(1, count - 1), max_size=count // 3))
    arrivals: list[tuple[float, int]] = []
    for number in range(count):
        if number in lost:
            continue
        for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
            delay = 0.0 if number == 0 else draw(st.floats(0.0, most))
            arrivals.append((0.02 * number + delay, number))
    first = draw(st.sampled_from([0, 2**16 - 20, 2**15 - 20, 40_000]))
    at = draw(st.sampled_from([0, 2**32 - 20 * STEP, 2**31 - 20 * STEP]))
    return sorted(arrivals), lost, first, at


def played(network: tuple[list[tuple[float, int]], set[int], int, int]) -> Buffer:
    arrivals, _, first, at = network
    buffer = Buffer()
    for now, number in arrivals:
        deadline = buffer.jitter.deadline
        if deadline is not None and deadline <= now:
            buffer.pieces += buffer.jitter.release(deadline)
        buffer.put(packet(number, at=at + STEP * number, first=first), now)
    buffer.pieces += buffer.jitter.flush()
    return buffer


@given(networks(0.05))
def test_what_comes_in_time_goes_out_once_and_in_order(
    network: tuple[list[tuple[float, int]], set[int], int, int],
) -> None:
    arrivals, lost, _, _ = network
    buffer = played(network)
    came = sorted({number for _, number in arrivals})
    assert [number for number in numbers(buffer.pieces) if number is not None] == came
    assert sum(piece.samples for piece in buffer.pieces) == STEP * (came[-1] + 1)
    assert buffer.stats.lost == len([number for number in lost if number < came[-1]])
    assert buffer.stats.duplicated == len(arrivals) - len(came)
    assert buffer.stats.late == 0


@given(networks(0.5))
def test_whatever_comes_when_it_is_in_order_and_as_long_as_it_should_be(
    network: tuple[list[tuple[float, int]], set[int], int, int],
) -> None:
    arrivals, _, _, _ = network
    buffer = played(network)
    out = [number for number in numbers(buffer.pieces) if number is not None]
    assert out == sorted(set(out))
    skipped = round(buffer.stats.skipped_seconds * 48_000)
    assert sum(piece.samples for piece in buffer.pieces) + skipped == STEP * (out[-1] + 1)
    assert buffer.stats.received == len(arrivals) == len(out) + buffer.stats.late + buffer.stats.duplicated
    assert buffer.stats.lost == out[-1] + 1 - len(out)


# What is in a packet


def test_a_packet_is_read_whatever_its_header_holds() -> None:
    data = rtp(65_535, 2**32 - 1, b"sound", padding=3, extension=bytes(8), sources=(1, 2))
    assert parse(data) == RtpPacket(111, 65_535, 2**32 - 1, 7, b"sound")
    assert parse(memoryview(data)).payload == b"sound"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        rtp(1, 1)[:11],
        b"\x00" + rtp(1, 1)[1:],
        rtp(1, 1, b"", sources=(1, 2))[:16],
        rtp(1, 1, b"", extension=bytes(8))[:16],
        b"\xa0" + rtp(1, 1)[1:-1] + b"\x00",
        b"\xa0" + rtp(1, 1)[1:-1] + b"\xff",
    ],
)
def test_what_is_no_packet_is_an_error(data: bytes) -> None:
    with pytest.raises(RtpError):
        parse(data)


@pytest.mark.parametrize(
    ("head", "samples"),
    [
        (bytes([0 << 3]), 480),
        (bytes([3 << 3]), 2_880),
        (bytes([13 << 3]), 960),
        (bytes([16 << 3]), 120),
        (bytes([31 << 3 | 1]), 1_920),
        (bytes([31 << 3 | 2]), 1_920),
        (bytes([31 << 3 | 3, 6]), 5_760),
    ],
)
def test_a_packet_says_how_long_it_is(head: bytes, samples: int) -> None:
    assert packet_samples(head) == samples


@pytest.mark.parametrize("data", [b"", bytes([31 << 3 | 3]), bytes([31 << 3 | 3, 0]), bytes([31 << 3 | 3, 7])])
def test_what_is_no_opus_is_an_error(data: bytes) -> None:
    with pytest.raises(PacketError):
        packet_samples(data)
    with pytest.raises(PacketError):
        Buffer().put(RtpPacket(111, 0, 0, 7, data))


def test_silence_is_20_ms() -> None:
    assert packet_samples(SILENT) == STEP
