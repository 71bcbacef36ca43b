"""The packets of a controller: what they hold, when none are sent, and how they sound."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray

from benchmarks.micro.codecs import decoded
from playback import AudioFormat, PlaybackController
from playback.codec.settings import SAMPLE_RATES, OpusSettings
from playback.native.rtp import RtpStream
from playback.native.sender import NativeSender
from playback.opus_reader import LEAD, SILENCE, TAIL_FRAMES, OpusReader
from tests.native.calls import heard_ms, tone
from tests.transports.test_track import speech as voice

RATE = 48_000


def speech(seconds: float, rate: int) -> bytes:
    return voice(seconds, rate).tobytes()


class Sent:
    """A controller, and what is sent of it."""

    def __init__(self, rate: int = RATE, idle: Any = "nothing", sequence: int = 65_000, **settings: Any) -> None:
        self.controller = PlaybackController(AudioFormat(rate))
        self.sender = NativeSender(
            OpusReader(self.controller, OpusSettings(**settings), idle=idle, shares_silence=True)
        )
        self.stream = RtpStream(1, 111, sequence=sequence, timestamp=0xFFFF0000)
        self.number = 0
        self.packets: list[RtpPacket] = []

    def say(self, audio: bytes) -> None:
        utterance = self.controller.utterance()
        utterance.push(audio)
        utterance.end()

    def tick(self, times: int) -> list[int]:
        """How many packets each tick has sent."""
        counts = []
        for _ in range(times):
            sent = self.sender.packets(self.stream, self.number)
            self.packets += map(RtpPacket.parse, sent)
            counts.append(len(sent))
            self.number += 1
        return counts


def test_nothing_is_sent_after_200_ms_of_silence() -> None:
    sent = Sent()
    # First some silence, by which the other side sees that there is a track.
    assert sent.tick(20) == [1] * 10 + [0] * 10
    sent.say(speech(0.2, RATE))
    assert sent.tick(10) == [2] + [1] * 9  # after a gap, 10 ms of silence come first
    assert sent.tick(30) == [1] * 10 + [0] * 20
    sent.say(speech(0.1, RATE))
    assert sent.tick(5) == [2] + [1] * 4
    assert [packet.payload for packet in sent.packets].count(LEAD) == 2


def test_marks_the_first_packet_after_silence_alone() -> None:
    sent = Sent()
    sent.tick(20)
    for _ in range(2):
        sent.say(speech(0.1, RATE))
        sent.tick(40)
    marked = [packet for packet in sent.packets if packet.marker]
    assert [packet.payload for packet in marked][1:] == [LEAD, LEAD]
    assert marked[0] is sent.packets[0]


def test_silence_is_encoded_only_as_long_as_the_encoder_may_hold_sound() -> None:
    sent = Sent()
    sent.say(speech(0.1, RATE))
    sent.tick(30)
    silences = [packet.payload == SILENCE for packet in sent.packets[5:]]
    assert silences == [False] * TAIL_FRAMES + [True] * (10 - TAIL_FRAMES)


def test_silence_is_sent_all_the_time_if_wanted_and_never_encoded() -> None:
    sent = Sent(idle="silence")
    assert sent.tick(50) == [1] * 50
    assert {packet.payload for packet in sent.packets[TAIL_FRAMES:]} == {SILENCE}
    assert [packet.marker for packet in sent.packets] == [1] + [0] * 49


def test_numbers_follow_and_times_are_those_of_the_clock_across_the_wraps() -> None:
    sent = Sent(sequence=0xFFFF)
    sent.tick(20)
    for _ in range(2):
        sent.say(speech(0.2, RATE))
        sent.tick(50)
    sent.number += 10  # ticks that were skipped
    sent.say(speech(0.2, RATE))
    sent.tick(20)
    numbers = [packet.sequence_number for packet in sent.packets]
    assert numbers == [(0xFFFF + each) % 2**16 for each in range(len(numbers))]
    starts = [(packet.timestamp - 0xFFFF0000) % 2**32 for packet in sent.packets if packet.marker]
    assert starts == [0, 20 * 960 - 480, 70 * 960 - 480, 130 * 960 - 480]


def played(sent: Sent) -> NDArray[np.float64]:
    """What a decoder makes of the packets, 48 kHz, without the leads."""
    samples: NDArray[np.float64] = decoded([av.Packet(packet.payload) for packet in sent.packets])
    return samples


@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_speech_after_silences_sounds_as_without_them(rate: int) -> None:
    """The encoder does not see the silence that all share: what follows must sound as if it had."""
    audio = speech(1.0, rate)
    apart, beside = Sent(rate, idle="silence"), Sent(rate, idle="silence")
    heard = []
    for sent, silence in ((apart, 25), (beside, TAIL_FRAMES)):
        for _ in range(3):
            sent.say(audio)
            sent.tick(50 + silence)
        heard.append(played(sent)[-(50 + silence) * 960 :][: 50 * 960])
    difference = heard[0] - heard[1]
    assert np.linalg.norm(difference) < 0.05 * np.linalg.norm(heard[1])


@pytest.mark.parametrize("silent", [0, 1, 2, 5, 10, 30])
@pytest.mark.parametrize("application", ["voip", "audio", "lowdelay"])
def test_the_first_words_are_as_loud_as_the_rest(silent: int, application: Any) -> None:
    """An encoder and a decoder that remember different things make what follows too soft, or too loud."""
    sent = Sent(24_000, application=application)
    sent.tick(silent)
    sent.say(tone(1.0).tobytes())
    sent.tick(70)
    sent.say(tone(1.0).tobytes())
    sent.tick(70)
    assert 1980 <= heard_ms(played(sent)) <= 2040
