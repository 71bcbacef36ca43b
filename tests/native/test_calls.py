"""Real calls: native peers with aiortc and with each other, in both directions."""

from __future__ import annotations

import asyncio
import re
import socket
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from playback import AudioFormat, FarEndReported, PlaybackController, State
from playback.codec.settings import SAMPLE_RATES
from playback.native import NativeChannel, NativePeer
from playback.opus import OpusPlaybackTrack
from tests.native.calls import PATIENCE, RATE, Heard, browser_like, call, free_port, heard_ms, native, say, until


@pytest.mark.parametrize("offers", [True, False])
@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
async def test_aiortc_hears_a_native_peer_and_is_heard(offers: bool, rate: int) -> None:
    controller, theirs = PlaybackController(AudioFormat(rate)), PlaybackController(AudioFormat(RATE))
    peer = native(controller)
    heard = Heard(peer)
    async with browser_like(peer, OpusPlaybackTrack(theirs), offers=offers) as peers:
        await peers.receive(0.02)
        utterance = say(controller, 1.0)
        say(theirs, 1.0)
        assert (await utterance.wait()).outcome == "completed"
        assert await controller.drain()
        await until(lambda: heard_ms(heard.audio()) >= 990)
        await until(lambda: heard_ms(peers.audio()) >= 990)
    assert peer.state == "closed"
    assert controller.state is State.CLOSED


def _has_heard(heard: Heard, milliseconds: int) -> bool:
    return heard_ms(heard.audio()) >= milliseconds


async def test_two_native_peers_hear_each_other_through_one_port() -> None:
    port = free_port()
    calling, called = native(udp_port=port), native(udp_port=free_port())
    heard = {peer: Heard(peer) for peer in (calling, called)}
    await call(calling, called)
    assert called.remote_address is not None
    assert called.remote_address.endswith(f":{port}")
    for peer in heard:
        say(peer.controller, 0.5)
    for each in heard.values():
        await until(partial(_has_heard, each, 480))
        assert all((after - before) % 2**16 == 1 for before, after in pairwise(each.numbers()))
    await calling.close()
    await called.close()


async def test_many_calls_share_one_port() -> None:
    near = free_port()
    pairs = [(native(udp_port=near), native()) for _ in range(20)]
    heard = [Heard(called) for _, called in pairs]
    for calling, called in pairs:
        await call(calling, called)
    for number, (calling, _) in enumerate(pairs):
        say(calling.controller, 0.1 + 0.02 * number)
    for number, each in enumerate(heard):
        await until(lambda: len(each.packets) >= 5 + number)  # noqa: B023
    # None has heard another's: each has one source, and none has more packets than its own call sends.
    assert len({packets.packets[0][8:12] for packets in heard}) == 20
    assert all(len({packet[8:12] for packet in packets.packets}) == 1 for packets in heard)
    await asyncio.gather(*(peer.close() for pair in pairs for peer in pair))


async def test_far_end_is_reported() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    reports: list[FarEndReported] = []
    controller.on("far_end_reported", reports.append)
    async with browser_like(native(controller)):
        say(controller, 5.0)
        await until(lambda: any(report.round_trip_seconds is not None for report in reports))
    assert all(report.loss == 0.0 and report.jitter_seconds < 0.1 for report in reports)
    trips = [report.round_trip_seconds for report in reports if report.round_trip_seconds is not None]
    assert all(trip < 0.5 for trip in trips)


async def test_channels_carry_text_and_bytes_both_ways_and_close() -> None:
    calling, called = native(), native()
    got: list[tuple[str, str | bytes]] = []
    channels: list[NativeChannel] = []

    def echo(channel: NativeChannel, message: str | bytes) -> None:
        got.append(("called", message))
        channel.send(message)

    def came(channel: NativeChannel) -> None:
        channels.append(channel)
        channel.on("message", partial(echo, channel))
        channel.on("close", lambda: got.append(("called", "closed")))

    called.on("channel", came)
    channel = calling.create_channel("chat")
    assert channel.readyState == "connecting"
    with pytest.raises(RuntimeError, match="the channel 'chat' is connecting, expected an open one"):
        channel.send("early")
    channel.on("open", lambda: channel.send("grüße"))
    channel.on("message", lambda message: got.append(("calling", message)))
    await call(calling, called)
    await until(lambda: len(got) == 2)
    channel.send(b"\x00\xff")
    await until(lambda: len(got) == 4)
    assert got == [("called", "grüße"), ("calling", "grüße"), ("called", b"\x00\xff"), ("calling", b"\x00\xff")]
    assert channels[0].label == "chat"
    with pytest.raises(ValueError, match="the message has 10,000,000 bytes, expected at most"):
        channel.send(bytes(10_000_000))
    many = [str(number) for number in range(500)]
    for text in many:
        channel.send(text)
    await until(lambda: len(got) == 4 + 2 * len(many))
    assert [text for side, text in got[4:] if side == "calling"] == many
    channel.close()
    await until(lambda: ("called", "closed") in got and not channel.readyState.startswith("o"))
    await calling.close()
    await called.close()


async def test_addresses_may_trickle() -> None:
    calling, called = native(), native()
    found: list[tuple[NativePeer, str | None, str]] = []
    for peer in (calling, called):
        peer.on("candidate", lambda line, mid, peer=peer: found.append((peer, line, mid)))
    strip = re.compile(r"(?m)^a=(candidate:.*|end-of-candidates)\r?\n")
    answer = await called.answer(strip.sub("", await calling.offer(trickle=True)), trickle=True)
    calling.accept(strip.sub("", answer))
    await until(lambda: sum(line is None for _, line, _ in found) == 2)
    await asyncio.sleep(0.2)
    assert "connected" not in (calling.state, called.state)
    for peer, line, mid in found:
        (called if peer is calling else calling).add_candidate(line, mid)
    await until(lambda: calling.state == called.state == "connected")
    await calling.close()
    await called.close()


async def test_states_are_emitted_in_order() -> None:
    calling, called = native(), native()
    states: list[str] = []
    calling.on("state_changed", states.append)
    await call(calling, called)
    await calling.close()
    assert states == ["connecting", "connected", "closed"]
    await called.close()


OPUS_LINE = re.compile(r"(?m)^a=rtpmap:\d+ opus.*\n")


async def test_offers_that_can_not_be_answered_change_nothing() -> None:
    calling, peer = native(), native()
    offer = await calling.offer()
    for wrong, message in (
        ("v=0\r\nm=audio\r\n", "the offer can't be read, expected SDP"),
        ("", "the description has nothing, expected a section of audio"),
        (OPUS_LINE.sub("", offer), "the audio section has no Opus at 48 kHz"),
        (offer.replace("a=sendrecv", "a=sendonly"), "the audio section is sendonly, expected sendrecv or recvonly"),
        (offer.replace("m=audio", "m=video"), "the description has video, expected a section of audio"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            await peer.answer(wrong)
        assert peer.state == "new"
    with pytest.raises(TypeError, match="the offer is NoneType, expected SDP, a string"):
        await peer.answer(None)  # type: ignore[arg-type]
    calling.accept(await peer.answer(offer))
    await until(lambda: peer.state == "connected")
    with pytest.raises(RuntimeError, match="the peer has a description already"):
        await peer.answer(offer)
    with pytest.raises(RuntimeError, match="the peer has no offer that waits for an answer"):
        peer.accept(offer)
    await calling.close()
    await peer.close()


async def test_an_offer_that_fails_half_way_closes_the_peer() -> None:
    calling, peer = native(), native()
    offer = re.sub(r"(?m)^a=ice-.*\n", "", await calling.offer())
    with pytest.raises(ValueError, match="the offer can't be answered"):
        await peer.answer(offer)
    assert peer.state == "closed"
    assert peer.controller.state is State.CLOSED
    with pytest.raises(RuntimeError, match="the peer is closed"):
        await peer.answer(offer)
    await calling.close()


async def test_a_port_that_others_have_closes_the_peer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        peer = native(udp_port=other.getsockname()[1])
        with pytest.raises(ValueError, match="the offer can't be made"):
            await peer.offer()
    assert peer.state == "closed"


@pytest.mark.parametrize("rate", SAMPLE_RATES)
async def test_every_rate_of_opus_is_sent_as_it_is(rate: int) -> None:
    calling, called = native(PlaybackController(AudioFormat(rate))), native()
    heard = Heard(called)
    await call(calling, called)
    say(calling.controller, 0.3)
    await until(lambda: heard_ms(heard.audio()) >= 280)
    audio = heard.audio()
    spectrum = np.abs(np.fft.rfft(audio))
    assert abs(np.argmax(spectrum) * 48_000 / len(audio) - 440) < 8
    await calling.close()
    await called.close()


async def test_the_receiver_decodes_what_comes_and_ends_with_the_call() -> None:
    calling, called = native(), native()
    stream = called.receiver.samples(48_000)
    await call(calling, called)
    say(calling.controller, 0.5)
    heard = np.zeros(0)
    async with asyncio.timeout(PATIENCE):
        async for piece in stream:
            heard = np.concatenate([heard, np.asarray(piece).reshape(-1)])
            if heard_ms(heard) >= 480:
                break
        await calling.close()
        await called.close()
        assert len([piece async for piece in stream]) < 50  # it ends, with what had arrived
    assert called.receiver.ended
