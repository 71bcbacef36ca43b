"""Synthesizers that send Opus: their packets are sent on as they are, and decoded for all else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import av
import numpy as np
import pytest

from benchmarks.micro.codecs import decoded
from playback import AudioFormat, Outcome, PlaybackController, Utterance
from playback.audio.formats import FormatError
from playback.codec.encoder import open_encoder
from playback.codec.packets import PacketError
from playback.codec.settings import OpusSettings
from playback.passing import MOST_KEPT, PRE_ROLL, OpusPacket, ReceivedPackets
from playback.words import Word
from tests.speaking.playing import until
from tests.speaking.test_prepared import Call, interrupt_at_30, nothing, roughness, spoken
from tests.transports.test_track import band, similarity

pytestmark = pytest.mark.portable

RATE = 24_000


def synthesized(seconds: float = 2.0, rate: int = 48_000, silence: int = 1) -> list[bytes]:
    """The packets of a synthesizer, that ends with so many frames of silence."""
    encoder = open_encoder(rate, OpusSettings(bitrate=48_000))
    audio = spoken(seconds, rate).reshape(-1, rate // 50)
    return [encoder.encode(frame) for frame in [*audio, *np.zeros((silence, rate // 50), np.int16)]]


async def speak(call: Call, pieces: Iterable[Any], **options: Any) -> Utterance:
    """Have a synthesizer send these pieces, and wait until it has."""

    async def source() -> AsyncIterator[Any]:
        for piece in pieces:
            yield piece

    utterance = call.controller.speak(source(), **options)
    await until(lambda: utterance.ended)
    return utterance


def opus(packets: Iterable[bytes]) -> list[OpusPacket]:
    return list(map(OpusPacket, packets))


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
async def test_the_packets_are_sent_as_they_came_and_it_is_reported_as_ever(rate: int) -> None:
    call, packets = Call(rate), synthesized(1.0)
    words = [Word("Good", 0.1, 0.4), Word("morning.", 0.5, 0.9)]
    utterance = await speak(call, [*words, *opus(packets)], text="Good morning.")
    call.read(len(packets) + 5)
    assert call.packets[: len(packets)] == packets
    report = utterance.report
    assert report is not None
    assert (report.outcome, report.heard, report.heard_from) == (Outcome.COMPLETED, "Good morning.", "completed")
    assert report.played == rate // 50 * len(packets)


async def test_a_reader_of_frames_hears_their_sound() -> None:
    controller = PlaybackController(AudioFormat(48_000))
    call = Call(48_000)
    call.controller = controller
    packets = synthesized(1.0)
    await speak(call, opus(packets))
    heard = controller.read(960 * len(packets))[:, 0]
    sound = decoded(map(av.Packet, packets))
    assert similarity(band(sound[:-2_000], 48_000), band(heard.astype(np.float64), 48_000))[0] > 0.99


async def test_a_controller_in_stereo_plays_them() -> None:
    controller = PlaybackController(AudioFormat(44_100, channels=2))
    call = Call()
    call.controller = controller
    utterance = await speak(call, opus(synthesized(0.5)))
    heard = controller.read(44_100)
    assert np.abs(heard.astype(int)).max() > 3_000
    assert utterance.report is not None
    assert utterance.report.played == pytest.approx(0.52 * 44_100, abs=1)


@pytest.mark.parametrize("act", [nothing, interrupt_at_30, lambda controller, tick: tick == 30 and controller.pause()])
async def test_where_it_is_faded_it_is_encoded_and_no_seam_clicks(act: Any) -> None:
    call, packets = Call(48_000, bitrate=48_000), synthesized(1.0, silence=0)
    await speak(call, opus(packets))
    call.read(80, act)
    first = call.passed.index(False)
    assert first == (50 if act is nothing else 30)
    assert call.packets[:first] == packets[:first]
    encoder = open_encoder(48_000, OpusSettings(bitrate=48_000))
    whole = decoded(av.Packet(encoder.encode(frame)) for frame in call.frames)
    window = slice(8 * first - 2, 8 * first + 16)
    source = roughness(np.concatenate(call.frames).astype(np.float64))
    # What the seam has must not stand out from what the voice has elsewhere.
    assert roughness(call.sound)[window].max() < max(roughness(whole).max(), source.max())
    assert np.abs(np.diff(call.sound)).max() < 1.1 * np.abs(np.diff(whole)).max()


async def test_after_audio_that_is_no_packet_they_are_encoded() -> None:
    call = Call()
    utterance = await speak(call, [spoken(0.1, seed=5), *opus(synthesized(0.5))])
    call.read(40)
    assert not any(call.passed)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.COMPLETED


async def test_audio_between_packets_is_encoded_and_so_is_what_follows_it() -> None:
    call, packets = Call(), synthesized(0.5)
    await speak(call, [*opus(packets[:10]), spoken(0.03, seed=5), *opus(packets[10:])])
    call.read(40)
    assert call.passed == [True] * 10 + [False] * 30


async def test_packets_of_another_length_are_played_and_not_sent() -> None:
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.format, codec.layout = 48_000, "s16", "mono"
    codec.options = {"frame_duration": "40"}
    frames: list[av.AudioFrame] = []
    for part in spoken(0.4, 48_000).reshape(-1, 1_920):
        frame = av.AudioFrame.from_ndarray(part[np.newaxis], "s16", "mono")
        frame.sample_rate = 48_000
        frames.append(frame)
    packets = [bytes(packet) for frame in frames for packet in codec.encode(frame)]
    call = Call()
    utterance = await speak(call, opus(packets))
    call.read(30)
    assert not any(call.passed)
    assert utterance.report is not None
    assert utterance.report.played == RATE * 4 // 10


async def test_a_packet_that_can_not_be_decoded_fails_the_utterance() -> None:
    call, packets = Call(), synthesized(0.2)
    utterance = await speak(call, opus([*packets[:5], bytes([31 << 3 | 2, 250])]))
    call.read(20)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.FAILED
    assert isinstance(utterance.report.error, PacketError)
    assert utterance.report.played == 5 * RATE // 50


async def test_packets_within_a_media_stream_are_an_error() -> None:
    call = Call()
    utterance = await speak(call, [b"OggS" + bytes(60), *opus(synthesized(0.1))])
    call.read(5)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, FormatError)


@pytest.mark.parametrize(("data", "error"), [(b"", PacketError), ("text", TypeError), (bytes([255]), PacketError)])
def test_what_is_no_packet_is_refused(data: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        OpusPacket(data)


# Memory


def test_what_was_sent_long_ago_or_is_never_sent_is_forgotten() -> None:
    packets, received = synthesized(0.6), ReceivedPackets(AudioFormat(RATE))
    for packet in opus(packets):
        received.decode(packet)
    assert received.frame(25) is not None
    assert len(received._kept) == len(packets) - 25 + PRE_ROLL
    assert received.frame(10) is None
    assert received.packet(25) == packets[25]
    unsent = ReceivedPackets(AudioFormat(RATE))
    for _ in range(MOST_KEPT + 50):
        unsent.decode(OpusPacket(packets[0]))
    assert len(unsent._kept) == MOST_KEPT
