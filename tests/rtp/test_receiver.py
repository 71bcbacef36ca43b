"""The receiver: the sound of RTP packets, for whoever listens, with what is lost concealed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from playback.bargein.vad import SpeechDetector, VoiceActivity
from playback.codec import decoder, libopus
from playback.codec.decoder import PyAVDecoder, open_decoder
from playback.codec.packets import PacketError
from playback.rtp import OpusReceiver, SampleStream
from tests.codec.test_encoder import frames
from tests.rtp.streams import STEP, encoded, numbered, rtp, stream
from tests.transports.test_track import band, similarity

pytestmark = pytest.mark.portable


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made(**options: Any) -> tuple[OpusReceiver, Time]:
    """A receiver, and its clock."""
    clock = Time()
    return OpusReceiver(clock=clock, **options), clock


async def all_of(samples: SampleStream) -> NDArray[np.int16]:
    """What it has given until it ended."""
    return np.concatenate([array async for array in samples])


def rms(samples: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


# The sound


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
async def test_a_listener_gets_the_sound_at_its_rate(rate: int) -> None:
    receiver, _ = made()
    samples = receiver.samples(rate)
    for packet in stream(encoded(1.5)):
        receiver.feed(packet)
    receiver.close()
    heard = await all_of(samples)
    assert heard.dtype == np.int16
    assert len(heard) == 1.5 * rate
    sent = frames(rate, 1.5)[:-2].reshape(-1)
    assert similarity(band(sent, rate), band(heard, rate))[0] > 0.9


async def test_a_receiver_is_a_stream_for_recognition() -> None:
    receiver, _ = made()

    async def listen() -> list[NDArray[np.int16]]:
        return [array async for array in receiver]

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)
    for packet in stream(encoded(0.2)):
        receiver.feed(packet)
    receiver.close()
    assert [array.shape for array in await task] == [(320,)] * 10


async def test_listeners_of_one_rate_share_a_decoder_and_what_nobody_hears_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded = 0
    real = decoder.OpusDecoder.decode

    def counted(self: decoder.OpusDecoder, packet: bytes) -> NDArray[np.int16]:
        nonlocal decoded
        decoded += 1
        return real(self, packet)

    monkeypatch.setattr(decoder.OpusDecoder, "decode", counted)
    receiver, _ = made()
    packets = stream(encoded(0.4))
    receiver.feed(packets[0])
    assert (decoded, receiver.stats.unheard) == (0, 1)
    one, other = receiver.samples(), receiver.samples()
    receiver.feed(packets[1])
    assert decoded == 1
    first, second = await anext(one), await anext(other)
    assert first is second
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1
    await one.aclose()
    await other.aclose()
    receiver.feed(packets[2])
    assert (decoded, receiver.stats.unheard) == (1, 2)


class Listener:
    """What voice activity reports."""

    def __init__(self) -> None:
        self.changes: list[str] = []

    def speech_started(self) -> None:
        self.changes.append("started")

    def speech_ended(self) -> None:
        self.changes.append("ended")


async def test_voice_activity_hears_a_receiver() -> None:
    receiver, _ = made()
    listener = Listener()
    loud = SpeechDetector(lambda chunk: float(np.abs(chunk).max() > 0.01))
    activity = VoiceActivity(receiver, listener, detector=loud)
    task = asyncio.create_task(activity.run())
    await asyncio.sleep(0)
    for packet in stream([*encoded(0.6), *[bytes([31 << 3, 0xFF, 0xFE])] * 30]):
        receiver.feed(packet)
    receiver.close()
    await task
    assert activity.audio is receiver
    assert listener.changes == ["started", "ended"]


# What is lost


def heard_without(lost: set[int], payloads: list[bytes]) -> NDArray[np.int16]:
    receiver, _ = made(wait_seconds=0)
    samples = receiver.samples(48_000, queue_seconds=100)
    for number, packet in enumerate(stream(payloads)):
        if number not in lost:
            receiver.feed(packet)
    assert receiver.stats.lost == len(lost)
    return np.concatenate(list(samples._arrays))


def test_a_lost_packet_is_concealed_and_nothing_moves() -> None:
    payloads = encoded(1.0)
    whole, holed = heard_without(set(), payloads), heard_without({10, 20, 21}, payloads)
    assert len(holed) == len(whole)
    hole = slice(10 * 960, 11 * 960)
    # What libopus makes up is a voice that goes on, not silence; and there is no step.
    assert rms(holed[hole]) > 0.3 * rms(whole[hole])
    assert np.abs(np.diff(holed.astype(int))).max() < 1.5 * np.abs(np.diff(whole.astype(int))).max()
    assert np.array_equal(holed[: 10 * 960], whole[: 10 * 960])


def test_a_packet_that_holds_the_one_before_brings_it_back() -> None:
    lost = set(range(6, 48, 4))

    def error(expected_loss: float) -> float:
        payloads = encoded(1.0, rate=16_000, expected_loss=expected_loss, bitrate=24_000)
        whole, holed = heard_without(set(), payloads), heard_without(lost, payloads)
        missing = np.concatenate([np.arange(number * 960, number * 960 + 960) for number in lost])
        return rms(holed[missing].astype(float) - whole[missing]) / rms(whole[missing])

    assert error(expected_loss=0.2) < 0.7 * error(expected_loss=0.0)


async def test_what_is_missing_is_given_up_in_time_without_another_packet() -> None:
    receiver = OpusReceiver(wait_seconds=0.01)
    samples = receiver.samples()
    packets = stream(encoded(0.2))
    receiver.feed(packets[0])
    receiver.feed(packets[2])
    async with asyncio.timeout(5):
        assert [len(await anext(samples)) for _ in range(3)] == [320, 320, 320]
    assert receiver.stats.lost == 1


async def test_the_clock_is_the_caller_s() -> None:
    receiver, clock = made()
    samples = receiver.samples()
    packets = stream(encoded(0.2))
    receiver.feed(packets[0])
    receiver.feed(packets[2])
    clock.now = 0.059
    receiver.poll()
    assert len(samples._arrays) == 1
    clock.now = 0.06
    receiver.poll()
    assert len(samples._arrays) == 3


def test_silence_that_was_not_sent_is_filled() -> None:
    receiver, _ = made()
    samples = receiver.samples(queue_seconds=100)
    payloads = encoded(0.2)
    receiver.feed(rtp(0, 0, payloads[0]))
    receiver.feed(rtp(1, 20 * STEP, payloads[1]))
    assert sum(map(len, samples._arrays)) == 21 * 320
    assert receiver.stats.lost == 0


# What is wrong


def test_what_is_no_opus_is_counted() -> None:
    receiver, _ = made(payload_types={111})
    samples = receiver.samples()
    receiver.feed(b"")
    receiver.feed(rtp(0, 0, b""))
    receiver.feed(rtp(0, 0, payload_type=13))
    receiver.feed(memoryview(bytearray(rtp(0, 0, bytes([31 << 3 | 3, 0xFF])))))
    assert (receiver.stats.malformed, receiver.stats.ignored) == (3, 1)
    assert not samples._arrays
    with pytest.raises(TypeError, match="packet is 'text', expected bytes or bytearray or memoryview"):
        receiver.feed("text")  # type: ignore[arg-type]


def test_a_packet_that_libopus_refuses_is_concealed_and_counted() -> None:
    receiver, _ = made()
    samples = receiver.samples()
    receiver.feed(rtp(0, 0, encoded(0.1)[0]))
    receiver.feed(rtp(1, STEP, bytes([31 << 3 | 2, 250])))  # two frames, of which the first is longer than the packet
    assert [len(array) for array in samples._arrays] == [320, 640]
    assert receiver.stats.malformed == 1


@given(st.lists(st.binary(max_size=60) | st.binary(min_size=12, max_size=60).map(lambda data: b"\x80\x6f" + data)))
def test_nothing_that_comes_makes_it_raise(data: list[bytes]) -> None:
    receiver, clock = made()
    samples = receiver.samples()
    for packet in data:
        receiver.feed(packet)
        clock.now += 0.02
        receiver.poll()
    receiver.close()
    assert sum(map(len, samples._arrays)) <= samples._limit + 16_000


@settings(max_examples=20)
@given(st.sets(st.integers(1, 48)), st.randoms(use_true_random=False))
def test_any_loss_and_order_leaves_the_right_number_of_samples(lost: set[int], chance: Any) -> None:
    receiver, clock = made()
    samples = receiver.samples(queue_seconds=100)
    packets = stream([numbered(number) for number in range(50)], sequence=65_520, timestamp=2**32 - 9_600)
    arrivals = [
        (0.02 * number + (chance.uniform(0, 0.05) if number else 0), packet)
        for number, packet in enumerate(packets)
        if number not in lost
        for _ in range(chance.choice([1, 1, 2]))
    ]
    for now, packet in sorted(arrivals):
        clock.now = now
        receiver.poll()
        receiver.feed(packet)
    receiver.close()
    skipped = round(receiver.stats.skipped_seconds * 16_000)
    assert sum(map(len, samples._arrays)) + skipped == 50 * 320
    assert receiver.stats.lost == len(lost)


# Listeners that are slow, or leave


async def test_what_a_listener_does_not_take_is_dropped_from_the_oldest_on() -> None:
    receiver, _ = made()
    slow, fast = receiver.samples(queue_seconds=0.1), receiver.samples()
    for packet in stream(encoded(1.0)):
        receiver.feed(packet)
    receiver.close()
    assert slow.dropped == 45
    assert receiver.stats.dropped_seconds == pytest.approx(0.9)
    assert fast.dropped == 0
    assert np.array_equal(await all_of(slow), (await all_of(fast))[-1_600:])


async def test_a_listener_that_leaves_ends_and_a_listener_after_the_end_gets_nothing() -> None:
    receiver, _ = made()
    one, other = receiver.samples(), receiver.samples()
    waiting = asyncio.create_task(anext(one, None))
    await asyncio.sleep(0)
    await one.aclose()
    assert await waiting is None
    for packet in stream(encoded(0.1)):
        receiver.feed(packet)
    receiver.close()
    receiver.close()
    assert receiver.ended
    assert len(await all_of(other)) == 1_600
    assert await anext(receiver.samples(), None) is None
    receiver.feed(rtp(0, 0))
    assert receiver.stats.unheard == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: OpusReceiver(wait_seconds=-1), ValueError, "wait_seconds is -1"),
        (lambda: OpusReceiver().samples(44_100), ValueError, "sample_rate is 44100"),
        (lambda: OpusReceiver().samples(queue_seconds="1"), TypeError, "queue_seconds is '1'"),  # type: ignore[arg-type]
    ],
)
def test_a_mistake_is_an_error(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# Without libopus


def test_without_libopus_pyav_decodes_and_what_is_lost_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    packets = encoded(1.5)
    monkeypatch.setattr(decoder, "libopus", SimpleNamespace(load=lambda: None))
    other = open_decoder(16_000)
    assert isinstance(other, PyAVDecoder)
    heard = np.concatenate([other.decode(packet) for packet in packets])
    assert 0 <= 24_000 - len(heard) <= 320  # what the resampler holds back
    assert similarity(band(frames(16_000, 1.4).reshape(-1), 16_000), band(heard, 16_000))[0] > 0.9
    assert not other.conceal(STEP).any()
    with pytest.raises(PacketError):
        other.decode(b"")
    assert libopus.load() is not None
