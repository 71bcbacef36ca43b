"""Headers of RTP, also where they wrap, and what RTCP reports."""

from __future__ import annotations

import struct

import pytest
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket, RtcpSenderInfo, RtcpSrPacket, RtpPacket

from playback.native.rtp import Reception, RtpStream, is_rtcp, receptions

SSRC = 0x12345678


def test_headers_are_what_a_parser_reads() -> None:
    stream = RtpStream(SSRC, 111, sequence=7, timestamp=1000)
    packet = RtpPacket.parse(stream.packet(b"opus", 960, marker=True))
    assert (packet.ssrc, packet.payload_type, packet.sequence_number) == (SSRC, 111, 7)
    assert (packet.timestamp, packet.marker, packet.payload) == (1960, 1, b"opus")
    following = RtpPacket.parse(stream.packet(b"", 1920))
    assert (following.sequence_number, following.timestamp, following.marker) == (8, 2920, 0)


def test_sequence_numbers_and_timestamps_wrap() -> None:
    stream = RtpStream(SSRC, 111, sequence=0xFFFE, timestamp=0xFFFFFFFF - 960)
    packets = [RtpPacket.parse(stream.packet(b"", number * 960)) for number in range(4)]
    assert [packet.sequence_number for packet in packets] == [0xFFFE, 0xFFFF, 0, 1]
    assert [packet.timestamp for packet in packets] == [0xFFFFFFFF - 960, 0xFFFFFFFF, 959, 1919]


def test_time_before_the_beginning_and_after_days_fits_the_header() -> None:
    stream = RtpStream(SSRC, 111, timestamp=0)
    assert RtpPacket.parse(stream.packet(b"", -480)).timestamp == 2**32 - 480
    assert RtpPacket.parse(stream.packet(b"", 5 * 2**32 + 3)).timestamp == 3


def test_begins_at_random() -> None:
    firsts = {RtpStream(SSRC, 111).packet(b"", 0)[2:8] for _ in range(20)}
    assert len(firsts) == 20


def info(ssrc: int = SSRC, **values: int) -> RtcpReceiverInfo:
    found = {
        "fraction_lost": 64,
        "packets_lost": 3,
        "highest_sequence": 9,
        "jitter": 480,
        "lsr": 0,
        "dlsr": 0,
        **values,
    }
    return RtcpReceiverInfo(ssrc=ssrc, **found)


def test_reports_of_a_receiver_and_of_a_sender_are_read() -> None:
    receiver = bytes(RtcpRrPacket(ssrc=1, reports=[info(ssrc=5), info()]))
    sender_info = RtcpSenderInfo(ntp_timestamp=0, rtp_timestamp=0, packet_count=0, octet_count=0)
    sender = bytes(RtcpSrPacket(ssrc=1, sender_info=sender_info, reports=[info(fraction_lost=0)]))
    assert is_rtcp(receiver)
    assert [*receptions(receiver + sender, SSRC)] == [Reception(0.25, 480, None), Reception(0.0, 480, None)]


def test_round_trip_is_what_is_left_of_the_time_since_our_report() -> None:
    now = 1_800_000_000.0
    sent = round((now - 0.35 + 2_208_988_800) * 65536) & 0xFFFFFFFF
    packet = bytes(RtcpRrPacket(ssrc=1, reports=[info(lsr=sent, dlsr=round(0.3 * 65536))]))
    [found] = receptions(packet, SSRC, now)
    assert found.round_trip_seconds == pytest.approx(0.05, abs=1e-4)
    [found] = receptions(packet, SSRC, now - 3)  # the clock was set back
    assert found.round_trip_seconds == 0.0


def test_what_is_malformed_reports_nothing_and_does_not_raise() -> None:
    packet = bytes(RtcpRrPacket(ssrc=1, reports=[info(), info()]))
    assert len([*receptions(packet, SSRC)]) == 2
    for length in range(len(packet)):
        assert len([*receptions(packet[:length], SSRC)]) <= length // 32
    assert [*receptions(struct.pack(">BBHI", 0x9F, 201, 0xFFFF, 0), SSRC)] == []


def test_audio_is_no_rtcp() -> None:
    assert not is_rtcp(RtpStream(SSRC, 111).packet(b"x", 0))
    assert not is_rtcp(RtpStream(SSRC, 111).packet(b"x", 0, marker=True))
    assert not is_rtcp(b"")
