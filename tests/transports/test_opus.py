"""The track that encodes for itself: what it sends and when it sends nothing, and which connections it refuses."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from asyncio import create_task
from fractions import Fraction
from itertools import chain, pairwise
from typing import Any, TypeAlias

import av
import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCRtpSender
from aiortc.mediastreams import MediaStreamError

from benchmarks.browser.signals import likeness
from benchmarks.micro.codecs import decoded
from playback import AudioFormat, Outcome, PlaybackController, State
from playback.events import Stalled
from playback.opus import PACKET_SAMPLES, CodecError, OpusPlaybackTrack, prefer_opus
from playback.track import PlaybackTrack
from tests.signals import CUTS, Heard, ramp
from tests.transports.peers import RATE, connected
from tests.transports.test_track import band, rms, similarity, speech, until_loud

pytestmark = pytest.mark.portable

Packet: TypeAlias = "av.Packet[av.AudioStream]"


def packets_of(track: OpusPlaybackTrack, count: int, first: int = 0) -> list[list[Packet]]:
    """What it makes of so many times 20 ms, for each of them."""
    return [track.packets(number * PACKET_SAMPLES) for number in range(first, first + count)]


def sent_by(track: OpusPlaybackTrack, count: int, first: int = 0) -> list[Packet]:
    """The same, one after the other."""
    return list(chain.from_iterable(packets_of(track, count, first)))


def sizes_of(**options: Any) -> list[int]:
    """How many bytes it makes of each 20 ms of the same two seconds of speech."""
    controller = PlaybackController()
    controller.push(speech(2, 48_000))
    track = OpusPlaybackTrack(controller, **options)
    return [packet.size for packet in sent_by(track, 100)]


# What is sent


@pytest.mark.parametrize("rate", [8_000, 12_000, 16_000, 24_000, 48_000])
def test_it_sounds_like_what_was_pushed(rate: int) -> None:
    audio = speech(1.5, rate)
    controller = PlaybackController(AudioFormat(rate))
    controller.push(audio)
    controller.end()
    packets = sent_by(OpusPlaybackTrack(controller), 80)
    for packet, after in pairwise(packets):
        assert packet.time_base == Fraction(1, 48_000)
        assert packet.pts is not None
        assert after.pts == packet.pts + 960
    match, lag = similarity(band(audio, rate), band(decoded(packets), RATE))
    assert match > 0.9
    assert lag < RATE * 0.01  # what the encoder looks ahead


async def test_over_a_connection_each_utterance_is_heard_and_reported() -> None:
    h = Heard(PlaybackController(AudioFormat(24_000)))
    audio = speech(1.5, 24_000)
    async with connected(OpusPlaybackTrack(h.controller)) as peers:
        first = h.controller.utterance()
        first.push(audio[:24_000])
        first.end()
        await until_loud(peers)
        await asyncio.wait_for(first.wait(), 20)
        await asyncio.sleep(0.4)  # from some time on, nothing is sent
        begin = len(peers.arrivals)
        utterance = h.controller.utterance()
        utterance.push(audio)
        utterance.end()
        report = await asyncio.wait_for(utterance.wait(), 20)
        await peers.receive(0.1)
        received = np.concatenate([peers.audio(begin), np.zeros(RATE)])
    assert report.outcome is Outcome.COMPLETED
    assert similarity(band(audio, 24_000), band(received, RATE))[0] > 0.9
    assert h.emitted("last_audio_byte") == ["last_audio_byte"] * 2


def test_the_bit_rate_and_the_complexity_are_libopus_s() -> None:
    assert np.mean(sizes_of(bitrate=16_000)) < 0.6 * np.mean(sizes_of(bitrate=48_000))
    assert sizes_of(complexity=0) != sizes_of(complexity=10)
    # 20 ms of them: in the long run, a variable rate comes near to what was asked for.
    assert np.mean(sizes_of(bitrate=32_000)) * 8 / 0.02 == pytest.approx(32_000, rel=0.4)


@pytest.mark.parametrize("bitrate", [6_000, 256_000])
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_the_least_and_the_greatest_bit_rate_are_encoded(rate: int, bitrate: int) -> None:
    controller = PlaybackController(AudioFormat(rate))
    controller.push(speech(0.5, rate))
    packets = sent_by(OpusPlaybackTrack(controller, bitrate=bitrate), 20)
    assert (np.mean([packet.size for packet in packets]) > 200) == (bitrate == 256_000)


def modes(**options: Any) -> set[str]:
    """Which of its three coders Opus uses (RFC 6716, section 3.1: table 2)."""
    return {"SILK" if toc >> 3 < 12 else "hybrid" if toc >> 3 < 16 else "CELT" for toc, *_ in spoken(**options)}


def spoken(**options: Any) -> list[bytes]:
    controller = PlaybackController()
    controller.push(speech(2, 48_000))
    track = OpusPlaybackTrack(controller, **options)
    return [bytes(packet) for packet in sent_by(track, 100)]


def test_low_delay_is_another_coder() -> None:
    assert modes(application="lowdelay") == {"CELT"}
    assert modes(application="voip", bitrate=16_000) <= {"SILK", "hybrid"}


def test_where_loss_is_expected_packets_hold_the_one_before_too() -> None:
    # The second bit of what SILK writes for a single frame is set if that is there (RFC 6716, section 4.2.3).
    def share(expected_loss: float) -> float:
        packets = spoken(expected_loss=expected_loss)
        return float(np.mean([packet[0] >> 3 < 16 and bool(packet[1] & 0x40) for packet in packets]))

    assert share(0) == 0
    assert share(0.001) > 0.5
    assert share(0.2) > 0.5


# When nothing is sent


def test_after_200_ms_of_silence_nothing_is_sent_until_there_is_something_to_hear() -> None:
    controller = PlaybackController(fades=CUTS)
    track = OpusPlaybackTrack(controller)
    assert [len(packets) for packets in packets_of(track, 13)] == [1] * 10 + [0] * 3
    assert controller.position == 13 * 960  # time goes on
    controller.push(speech(0.1, 48_000))
    controller.end()
    packets = packets_of(track, 20, first=13)
    # A jitter buffer fades in what comes first after a gap: that is 10 ms of silence, as of before.
    assert [len(each) for each in packets] == [2] + [1] * 14 + [0] * 5
    lead, first = packets[0]
    assert lead.pts is not None
    assert first.pts == lead.pts + 480 == 13 * 960
    assert lead.time_base == first.time_base
    silence = decoded([lead])
    assert len(silence) == 480
    assert not silence.any()


def test_a_pause_and_a_short_silence_within_speech_count_as_silence_like_any_other() -> None:
    controller = PlaybackController(fades=CUTS)
    track = OpusPlaybackTrack(controller)
    controller.push(np.concatenate([speech(0.1, 48_000), np.zeros(9 * 960, np.int16), speech(0.1, 48_000)]))
    assert len(sent_by(track, 19)) == 19
    controller.pause()
    assert packets_of(track, 12, first=19)[10:] == [[], []]


@pytest.mark.parametrize("before", ["nothing", "all"])
@pytest.mark.parametrize("application", ["voip", "audio", "lowdelay"])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_the_first_20_ms_after_a_silence_are_heard(rate: int, application: Any, before: str) -> None:
    controller = PlaybackController(AudioFormat(rate), fades=CUTS)
    track = OpusPlaybackTrack(controller, application=application)
    controller.push(speech(0.5, rate))
    controller.end()
    earlier = sent_by(track, 100)
    controller.push(speech(0.5, rate))
    after = sent_by(track, 25, first=100)
    # A receiver that knows nothing of what was before is worse off than any.
    sound = decoded(after) if before == "nothing" else decoded(earlier + after)[960 * len(earlier) :]
    onset = np.interp(np.arange(960) * rate / RATE, np.arange(rate // 50), speech(0.5, rate)[: rate // 50])
    match, place = likeness(onset, sound[: 3 * 960])
    assert 480 <= place < 480 + 0.015 * RATE  # what the encoder looks ahead
    assert match > 0.9


async def test_what_was_made_together_is_handed_out_at_once_in_its_order() -> None:
    controller = PlaybackController()
    track = OpusPlaybackTrack(controller)
    for _ in range(10):
        await track.recv()
    waiting = create_task(track.recv())
    await asyncio.sleep(0.1)
    controller.push(speech(1, 48_000))
    first = await waiting
    position = controller.position
    second = await track.recv()
    assert controller.position == position  # nothing more was read, and nothing waited for
    assert first.pts is not None
    assert second.pts == first.pts + 480
    track.stop()


async def test_what_is_left_of_a_pair_is_not_sent_after_the_end() -> None:
    controller = PlaybackController()
    track = OpusPlaybackTrack(controller)
    packets_of(track, 12)
    controller.push(speech(1, 48_000))
    await track.recv()
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


def test_silence_is_sent_if_that_is_asked_for() -> None:
    track = OpusPlaybackTrack(PlaybackController(), idle="silence")
    packets = sent_by(track, 40)
    assert len(packets) == 40
    assert rms(decoded(packets)) < 1


def test_background_is_something_to_hear() -> None:
    controller = PlaybackController()
    controller.background.add(speech(1, 48_000), fade_seconds=0.0)
    assert len(sent_by(OpusPlaybackTrack(controller), 50)) == 50


# Time


async def test_after_a_loop_was_blocked_it_skips_ahead() -> None:
    h = Heard(PlaybackController(fades=CUTS))
    h.controller.push(speech(5, 48_000))
    track = OpusPlaybackTrack(h.controller)
    packets = [await track.recv() for _ in range(3)]
    time.sleep(0.5)  # noqa: ASYNC251 - a loop that is blocked is the point
    packets += [await track.recv() for _ in range(3)]
    stamps = [packet.pts for packet in packets if packet.pts is not None]
    steps = [after - before for before, after in pairwise(stamps)]
    assert all(step % 960 == 0 and step > 0 for step in steps)
    assert steps[2] >= 20 * 960
    assert any(isinstance(event, Stalled) for event in h.events)
    assert h.controller.position == 6 * 960  # no audio was skipped
    track.stop()


async def test_stop_ends_a_recv_that_waits_for_something_to_hear() -> None:
    controller = PlaybackController()
    track = OpusPlaybackTrack(controller)
    for _ in range(10):
        await track.recv()
    waiting = create_task(track.recv())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    track.stop()
    with pytest.raises(MediaStreamError):
        await asyncio.wait_for(waiting, 20)
    assert controller.state is State.CLOSED


# Which connections


async def negotiate(sender: RTCPeerConnection, receiver: RTCPeerConnection) -> None:
    await sender.setLocalDescription(await sender.createOffer())
    await receiver.setRemoteDescription(sender.localDescription)
    await receiver.setLocalDescription(await receiver.createAnswer())
    await sender.setRemoteDescription(receiver.localDescription)


def put_first(connection: RTCPeerConnection, mime_type: str) -> None:
    """Have a connection's first transceiver prefer a codec."""
    codecs = RTCRtpSender.getCapabilities("audio").codecs
    connection.getTransceivers()[0].setCodecPreferences(sorted(codecs, key=lambda codec: codec.mimeType != mime_type))


def take_only(connection: RTCPeerConnection, mime_type: str) -> None:
    """Have a connection's first transceiver know no other codec."""
    codecs = RTCRtpSender.getCapabilities("audio").codecs
    connection.getTransceivers()[0].setCodecPreferences([codec for codec in codecs if codec.mimeType == mime_type])


@pytest.mark.parametrize("idle", [False, True])
@pytest.mark.parametrize("offers", [False, True])
async def test_a_connection_that_negotiated_another_codec_is_refused(
    offers: bool, idle: bool, caplog: pytest.LogCaptureFixture
) -> None:
    controller = PlaybackController()
    if not idle:
        controller.push(speech(5, 48_000))
    track = OpusPlaybackTrack(controller)
    ended = asyncio.Event()
    track.on("ended", ended.set)
    sender, receiver = RTCPeerConnection(), RTCPeerConnection()
    try:
        prefer_opus(sender, sender.addTrack(track))
        receiver.addTransceiver("audio")
        take_only(receiver, "audio/PCMU")
        await negotiate(*((sender, receiver) if offers else (receiver, sender)))
        await asyncio.wait_for(ended.wait(), 20)
    finally:
        await sender.close()
        await receiver.close()
    assert controller.state is State.CLOSED
    [logged] = [record.getMessage() for record in caplog.records if "CodecError" in record.getMessage()]
    assert "the connection negotiated audio/PCMU, expected audio/opus" in logged
    assert "prefer_opus" in logged


async def test_opus_is_preferred_where_the_other_side_would_rather_have_another_codec() -> None:
    controller = PlaybackController()
    track = OpusPlaybackTrack(controller)
    offerer, answerer = RTCPeerConnection(), RTCPeerConnection()
    try:
        offerer.addTransceiver("audio")
        put_first(offerer, "audio/PCMU")
        await offerer.setLocalDescription(await offerer.createOffer())
        prefer_opus(answerer, answerer.addTrack(track))
        await answerer.setRemoteDescription(offerer.localDescription)
        await answerer.setLocalDescription(await answerer.createAnswer())
        await offerer.setRemoteDescription(answerer.localDescription)
        lines = answerer.localDescription.sdp.splitlines()
        [kinds] = [line.split()[3:] for line in lines if line.startswith("m=audio")]
        names = dict(line.removeprefix("a=rtpmap:").split() for line in lines if line.startswith("a=rtpmap:"))
        assert names[kinds[0]] == "opus/48000/2"
        assert len(kinds) > 1  # all others are still there
        utterance = controller.utterance()
        utterance.push(speech(0.2, 48_000))
        utterance.end()
        assert (await asyncio.wait_for(utterance.wait(), 20)).outcome is Outcome.COMPLETED
        assert track.readyState == "live"
    finally:
        await offerer.close()
        await answerer.close()


async def test_it_is_too_late_to_prefer_it_once_there_is_an_offer() -> None:
    offerer, answerer = RTCPeerConnection(), RTCPeerConnection()
    try:
        offerer.addTransceiver("audio")
        await offerer.setLocalDescription(await offerer.createOffer())
        await answerer.setRemoteDescription(offerer.localDescription)
        sender = answerer.addTrack(OpusPlaybackTrack(PlaybackController()))
        with pytest.raises(RuntimeError, match=r"expected prefer_opus before setRemoteDescription\(\)"):
            prefer_opus(answerer, sender)
    finally:
        await offerer.close()
        await answerer.close()


async def test_opus_is_preferred_only_for_a_sender_of_audio_of_this_connection() -> None:
    connection, other = RTCPeerConnection(), RTCPeerConnection()
    stranger = other.addTrack(OpusPlaybackTrack(PlaybackController()))
    video = connection.addTransceiver("video").sender
    with pytest.raises(ValueError, match="belongs to another connection"):
        prefer_opus(connection, stranger)
    with pytest.raises(ValueError, match="one of video, expected one of audio"):
        prefer_opus(connection, video)
    await connection.close()
    await other.close()


async def test_preferences_that_are_set_afterwards_are_seen_too(caplog: pytest.LogCaptureFixture) -> None:
    track = OpusPlaybackTrack(PlaybackController())
    sender, receiver = RTCPeerConnection(), RTCPeerConnection()
    try:
        prefer_opus(sender, sender.addTrack(track))
        put_first(sender, "audio/PCMA")
        await negotiate(sender, receiver)
        for _ in range(2):  # each time
            with pytest.raises(CodecError, match="negotiated audio/PCMA, expected audio/opus"):
                await track.recv()
    finally:
        await sender.close()
        await receiver.close()


@pytest.mark.parametrize("mime_type", ["audio/opus", "audio/PCMU"])
async def test_a_track_that_comes_in_the_middle_of_a_call_is_refused_where_the_call_has_another_codec(
    mime_type: str,
) -> None:
    track = OpusPlaybackTrack(PlaybackController())
    peer, other = RTCPeerConnection(), RTCPeerConnection()
    try:
        sender = peer.addTrack(PlaybackTrack(PlaybackController()))
        take_only(peer, mime_type)
        await negotiate(peer, other)
        prefer_opus(peer, sender)
        sender.replaceTrack(track)
        prefer_opus(peer, sender)
        if mime_type == "audio/opus":
            assert isinstance(await track.recv(), av.Packet)
        else:
            with pytest.raises(CodecError, match="audio/PCMU"):
                await track.recv()
    finally:
        await peer.close()
        await other.close()


async def test_nothing_is_refused_before_it_is_negotiated(caplog: pytest.LogCaptureFixture) -> None:
    track = OpusPlaybackTrack(PlaybackController())
    connection = RTCPeerConnection()
    try:
        prefer_opus(connection, connection.addTrack(track))
        await track.recv()
        await connection.setLocalDescription(await connection.createOffer())
        await track.recv()
    finally:
        await connection.close()
    await track.recv()
    assert not [record for record in caplog.records if record.name == "playback"]


async def test_a_track_keeps_no_connection_alive() -> None:
    track = OpusPlaybackTrack(PlaybackController())
    connection = RTCPeerConnection()
    prefer_opus(connection, connection.addTrack(track))
    await connection.close()
    gone = weakref.ref(connection)
    del connection
    gc.collect()
    assert gone() is None
    assert isinstance(await track.recv(), av.Packet)


async def test_whoever_asks_for_packets_directly_is_no_connection_and_is_warned_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    track = OpusPlaybackTrack(PlaybackController())
    for _ in range(2):
        assert isinstance(await track.recv(), av.Packet)
    track.stop()
    [warning] = caplog.messages
    assert "can't see which codec was negotiated: call playback.opus.prefer_opus(peer_connection, sender)" in warning


# Mistakes


@pytest.mark.parametrize(
    ("format", "options", "error", "message"),
    [
        (AudioFormat(48_000, 2), {}, ValueError, "expected 1 channel at one of 8000, "),
        (AudioFormat(44_100), {}, ValueError, r"44100.*expected 1 channel at one of 8000"),
        (AudioFormat(48_000), {"bitrate": 5_999}, ValueError, "bitrate is 5999, expected 6,000 to 256,000"),
        (AudioFormat(48_000), {"bitrate": 32.5}, TypeError, "bitrate is 32.5, expected a whole number"),
        (AudioFormat(48_000), {"complexity": 11}, ValueError, "complexity is 11, expected 0 to 10"),
        (AudioFormat(48_000), {"complexity": True}, TypeError, "complexity is True"),
        (AudioFormat(48_000), {"application": "VOIP"}, ValueError, "application is 'VOIP', expected one of 'voip'"),
        (AudioFormat(48_000), {"expected_loss": 20}, ValueError, "expected_loss is 20, expected a share from 0 to 1"),
        (AudioFormat(48_000), {"expected_loss": float("nan")}, ValueError, "expected_loss is nan"),
        (AudioFormat(48_000), {"expected_loss": "much"}, TypeError, "expected_loss is 'much', expected a share"),
        (AudioFormat(48_000), {"idle": "stop"}, ValueError, "idle is 'stop', expected one of 'nothing', 'silence'"),
    ],
)
def test_what_opus_does_not_have_is_reported_and_claims_nothing(
    format: AudioFormat, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    controller = PlaybackController(format)
    with pytest.raises(error, match=message):
        OpusPlaybackTrack(controller, **options)
    controller.attach(object())


async def test_a_controller_has_one_track_of_either_kind_that_is_read() -> None:
    controller = PlaybackController()
    first, second = OpusPlaybackTrack(controller, close_controller=False), PlaybackTrack(controller)
    controller.push(ramp(960))
    await first.recv()
    with pytest.raises(RuntimeError, match="one reader"):
        await second.recv()
    first.stop()
    await second.recv()
    assert controller.state is State.SPEAKING
