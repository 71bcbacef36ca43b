"""What a packet of Opus costs by each way: sent with libopus directly or through PyAV, received here or by aiortc.

CPU time is given beside that of aiortc's own encoder for the same 20 ms, in turns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, count, cycle, islice
from statistics import median
from struct import pack
from time import perf_counter_ns
from typing import Any, Final

import av
import numpy as np
from aiortc.codecs import depayload
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray
from scipy.signal import resample_poly

from benchmarks.micro.measure import cpu_ns
from playback import AudioFormat, PlaybackController
from playback.codec.encoder import Encoder, PyAVEncoder, open_encoder
from playback.codec.settings import OpusSettings
from playback.opus import OpusPlaybackTrack
from playback.prepared import PreparedUtterance
from playback.rtp import OpusReceiver

RATE: Final = 48_000
RATES: Final = (24_000, RATE)
COMPLEXITIES: Final = (0, 5)
SECOND: Final = 50
CODEC: Final = RTCRtpCodecParameters("audio/opus", RATE, 2, 111)
THREADS: Final = 2
CALLS: Final = 20
"""How many calls the threads encode for."""

Act = Callable[[], object]


def measure_packets(speech: bytes, baseline: Act, rounds: int) -> list[dict[str, Any]]:
    """A row for each way: CPU time for a packet in µs, and beside the baseline.

    Args:
        speech: mono, at 48 kHz.
        baseline: encodes a second with aiortc's encoder.
        rounds: how often.
    """
    acts = dict(chain(_encoding(speech), _calling(speech), _receiving(speech)))
    times: defaultdict[str, list[float]] = defaultdict(list)
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        before = cpu_ns(baseline)
        for name, act in acts.items():
            time = cpu_ns(act)
            after = cpu_ns(baseline)
            times[name].append(time / SECOND / 1_000)
            ratios[name].append(2 * time / (before + after))
            before = after
    return [{"subject": name, "micros": median(times[name]), "ratio": median(ratios[name])} for name in acts]


def frames_of(speech: bytes, rate: int) -> NDArray[np.int16]:
    """The speech at a rate, 20 ms in each row."""
    samples = np.frombuffer(speech, np.int16)
    if rate != RATE:
        samples = np.rint(resample_poly(samples.astype(float), rate, RATE)).clip(-32_768, 32_767).astype(np.int16)
    size = rate // SECOND
    return samples[: len(samples) // size * size].reshape(-1, size)


def _encoding(speech: bytes) -> Iterator[tuple[str, Act]]:
    for rate in RATES:
        for complexity in COMPLEXITIES:
            settings = OpusSettings(complexity=complexity)
            for way, encoder in (("directly", open_encoder(rate, settings)), ("by PyAV", PyAVEncoder(rate, settings))):
                frames = cycle(frames_of(speech, rate))
                yield f"encode {way}, {rate // 1_000} kHz, complexity {complexity}", _second(encoder, frames)


def _calling(speech: bytes) -> Iterator[tuple[str, Act]]:
    """Whole calls of an OpusPlaybackTrack, without a network: what is read, sent as packets."""
    frames = frames_of(speech, RATE)
    audio = frames[: len(frames) // SECOND * SECOND].reshape(-1)
    greeting = PreparedUtterance(audio, format=AudioFormat(RATE))
    for complexity in (0, 5):
        yield f"a call, complexity {complexity}", _call(lambda controller: controller.push(audio), complexity)
    greeting.encode()
    yield "a call, prepared audio", _call(lambda controller: controller.speak(greeting), 5)
    yield "a call, silent", _call(lambda _: None, 5)


def _call(speak: Callable[[PlaybackController], object], complexity: int) -> Act:
    controller = PlaybackController(AudioFormat(RATE), high_water_seconds=600)
    track = OpusPlaybackTrack(controller, complexity=complexity)
    numbers = count()

    def act() -> None:
        if controller.buffered < SECOND * RATE // 50:
            speak(controller)
        for number in islice(numbers, SECOND):
            track.packets(960 * number)

    return act


def _receiving(speech: bytes) -> Iterator[tuple[str, Act]]:
    """From RTP packets to samples at 16 kHz, mono."""
    encoder = open_encoder(RATE)
    payloads = cycle([encoder.encode(frame) for frame in frames_of(speech, RATE)])
    numbers = count()

    def packets() -> Iterator[bytes]:
        for payload, number in zip(islice(payloads, SECOND), numbers, strict=False):
            yield pack(">BBHII", 0x80, 111, number % 2**16, 960 * number % 2**32, 7) + payload

    receiver = OpusReceiver()
    samples = receiver.samples(queue_seconds=0)

    def receive() -> None:
        for packet in packets():
            receiver.feed(packet)
        samples.clear()

    jitter, decoder = JitterBuffer(capacity=16, prefetch=4), OpusDecoder()
    resampler = av.AudioResampler("s16", "mono", 16_000)

    def aiortc_receive() -> None:
        for data in packets():
            packet = RtpPacket.parse(data)
            packet._data = depayload(CODEC, packet.payload)  # type: ignore[attr-defined]
            _, encoded = jitter.add(packet)
            if encoded is not None:
                for frame in decoder.decode(encoded):
                    for part in resampler.resample(frame):  # type: ignore[arg-type]
                        part.to_ndarray()

    yield "receive, at 16 kHz", receive
    yield "receive as aiortc does, and resample to 16 kHz", aiortc_receive


def _second(encoder: Encoder, frames: Iterator[NDArray[np.int16]]) -> Act:
    def act() -> None:
        for frame in islice(frames, SECOND):
            encoder.encode(frame)

    return act


def pool_ratio(speech: bytes, rounds: int) -> float:
    """The time that passes while a pool of two threads encodes a packet for each call, beside one thread."""
    frames = frames_of(speech, RATE)
    calls = [open_encoder(RATE) for _ in range(CALLS)]

    def alone() -> None:
        for frame in frames[:SECOND]:
            for call in calls:
                call.encode(frame)

    def together(pool: ThreadPoolExecutor) -> None:
        halves = [calls[number::THREADS] for number in range(THREADS)]
        for frame in frames[:SECOND]:

            def half(half: list[Encoder], frame: NDArray[np.int16] = frame) -> None:
                for call in half:
                    call.encode(frame)

            list(pool.map(half, halves))

    with ThreadPoolExecutor(THREADS) as pool:
        ratios = []
        for _ in range(rounds):
            before = _passed(alone)
            time = _passed(lambda: together(pool))
            ratios.append(2 * time / (before + _passed(alone)))
    return median(ratios)


def _passed(act: Act) -> int:
    start = perf_counter_ns()
    act()
    return perf_counter_ns() - start
