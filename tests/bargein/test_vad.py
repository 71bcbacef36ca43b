"""Voice activity: real speech is heard, with its beginning and its end; noise, clicks, tones and silence are not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from playback.bargein import vad
from playback.bargein.vad import CHUNK, RATE, SpeechChange, SpeechDetector, VoiceActivity
from playback.speech import speech_format, synthesize
from tests.bargein.microphones import Audio, Heard, Microphone, sure
from tests.signals import tone

pytestmark = pytest.mark.portable

START = 0.12
"""How much later than its loudness speech may be found to begin, in seconds: soft consonants are no voice yet."""
END = 0.1
"""By how much its end may be missed."""


@cache
def speech(text: str, rate: int = RATE) -> Audio:
    chunks: list[bytes] = []

    def keep(chunk: bytes) -> bool:
        chunks.append(chunk)
        return True

    synthesize(text, keep, lambda *_: None)
    samples = np.frombuffer(b"".join(chunks), np.int16)
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
    frame.sample_rate = speech_format().sample_rate
    resampler = av.AudioResampler("s16", "mono", rate)
    return np.concatenate([part.to_ndarray()[0] for part in resampler.resample(frame) + resampler.resample(None)])


def silence(seconds: float, rate: int = RATE) -> Audio:
    return np.zeros(round(seconds * rate), np.int16)


def noise(seconds: float, level: float) -> Audio:
    return np.random.default_rng(1).normal(0, level, round(seconds * RATE)).astype(np.int16)


def seconds(changes: Iterable[SpeechChange]) -> list[tuple[bool, float]]:
    return [(change.speaking, change.at / RATE) for change in changes]


class Script:
    """A detector's ears, replaced: it is given how likely speech is in each chunk."""

    def __init__(self, *probabilities: float) -> None:
        self.left = list(probabilities)

    def __call__(self, chunk: NDArray[np.float32]) -> float:
        assert chunk.shape == (CHUNK,)
        assert chunk.dtype == np.float32
        return self.left.pop(0)


def scripted(*probabilities: float, **settings: float) -> list[tuple[bool, int]]:
    detector = SpeechDetector(Script(*probabilities), **settings)
    changes = detector.feed(np.zeros(CHUNK * len(probabilities), np.int16))
    return [(change.speaking, change.at // CHUNK) for change in changes]


# What is speech


@pytest.mark.parametrize("text", ["Your table is booked for eight.", "No, wait a moment please.", "Hello", "Stop."])
def test_speech_is_found_with_its_beginning_and_its_end(text: str) -> None:
    said = speech(text)
    loud = np.flatnonzero(np.abs(said) > 300) / RATE + 0.5
    changes = seconds(SpeechDetector().feed(np.concatenate([silence(0.5), said, silence(1.0)])))
    assert [speaking for speaking, _ in changes] == [True, False]
    (_, start), (_, end) = changes
    assert loud[0] - CHUNK / RATE <= start <= loud[0] + START
    assert loud[-1] - END <= end <= loud[-1] + END


def test_speech_in_soft_noise_is_found() -> None:
    said = np.concatenate([silence(0.5), speech("Could you make it nine instead?"), silence(1.0)])
    changes = SpeechDetector().feed(said + noise(len(said) / RATE, 100)[: len(said)])
    assert [change.speaking for change in changes] == [True, False]


@pytest.mark.parametrize(
    "audio",
    [
        silence(2.0),
        noise(2.0, 100),
        noise(2.0, 3000),
        np.concatenate([silence(0.5), noise(0.1, 8000), silence(0.5)]),
        np.concatenate([silence(0.3), noise(0.05, 12000)] * 6),
        np.concatenate([silence(0.4), np.full(20, 30000, np.int16)] * 4),
        tone(2 * RATE, RATE, 440, 0.3),
        tone(2 * RATE, RATE, 1000),
    ],
    ids=["silence", "soft-noise", "noise", "burst", "bursts", "clicks", "440-hertz", "1000-hertz"],
)
def test_what_is_no_speech_is_taken_for_none(audio: Audio) -> None:
    assert SpeechDetector().feed(audio) == []


# Hysteresis, to the chunk


def test_speech_begins_with_the_first_of_enough_chunks_in_a_row() -> None:
    assert scripted(0, 0.9, 0.9, 0.9, 0.9) == [(True, 1)]
    assert scripted(0.9, 0.9, 0.2, 0.9, 0.9, 0.2) == []


def test_speech_ends_behind_its_last_chunk_after_enough_silence() -> None:
    assert scripted(0.9, 0.9, 0.9, *[0.1] * 7) == [(True, 0)]
    assert scripted(0.9, 0.9, 0.9, *[0.1] * 8) == [(True, 0), (False, 3)]


def test_a_probability_between_the_two_changes_nothing() -> None:
    assert scripted(*[0.4] * 10) == []
    assert scripted(0.5, 0.5, 0.5, *[0.34] * 7, 0.35, *[0.34] * 7) == [(True, 0)]


def test_times_are_rounded_up_to_chunks_and_are_at_least_one() -> None:
    assert scripted(0.9, 0.1, start_seconds=0, end_seconds=0) == [(True, 0), (False, 1)]
    assert scripted(0.9, 0.9, 0.1, 0.1, start_seconds=0.033, end_seconds=0.033) == [(True, 0), (False, 2)]
    assert scripted(0.9, 0.1, start_seconds=0.032, end_seconds=0.032) == [(True, 0), (False, 1)]


@pytest.mark.parametrize("size", [1, 7, 511, 512, 513, 5000])
def test_it_does_not_matter_in_which_pieces_samples_come(size: int) -> None:
    samples = np.arange(CHUNK * 12 + 5, dtype=np.int16)
    heard: list[NDArray[np.float32]] = []

    def probability(chunk: NDArray[np.float32]) -> float:
        heard.append(chunk.copy())
        return float(3 <= len(heard) <= 6)

    detector = SpeechDetector(probability, end_seconds=0.05)
    changes = [c for i in range(0, len(samples), size) for c in detector.feed(samples[i : i + size])]
    assert changes == [SpeechChange(True, 2 * CHUNK), SpeechChange(False, 6 * CHUNK)]
    assert np.array_equal(np.concatenate(heard) * 32768, samples[: 12 * CHUNK])


def test_finishing_ends_speech_at_the_last_sample_and_forgets_what_began() -> None:
    detector = SpeechDetector(Script(0.9, 0.9, 0.9, 0.9, 0.9, 0.9))
    assert detector.finish() == []
    detector.feed(np.zeros(3 * CHUNK + 9, np.int16))
    assert detector.finish() == [SpeechChange(False, 3 * CHUNK + 9)]
    assert detector.finish() == []
    assert detector.feed(np.zeros(2 * CHUNK, np.int16)) == []
    assert detector.finish() == []
    assert detector.feed(np.zeros(CHUNK, np.int16)) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start_probability": 0.3}, "0 ≤ end_probability ≤ start_probability ≤ 1"),
        ({"start_probability": 1.1}, "start_probability=1.1"),
        ({"end_probability": float("nan")}, "end_probability=nan"),
        ({"start_seconds": -1.0}, "start_seconds is -1.0"),
        ({"end_seconds": float("inf")}, "end_seconds is inf"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpeechDetector(Script(), **settings)


# A track


@pytest.mark.parametrize(
    ("rate", "channels", "size"),
    [(48_000, 2, 960), (48_000, 1, 1), (44_100, 1, 441), (8_000, 1, 160), (16_000, 1, 333), (24_000, 2, 7919)],
)
async def test_any_rate_layout_and_frame_size_is_heard(rate: int, channels: int, size: int) -> None:
    microphone, listener = Microphone(), Heard()
    audio = [silence(0.3, rate), speech("Hello there", rate), silence(0.6, rate)]
    microphone.put(np.concatenate(audio), rate, channels, max(size, 50))
    microphone.end()
    await VoiceActivity(microphone, listener).run()
    assert listener.changes == [True, False]


async def test_a_track_may_change_its_format() -> None:
    microphone, listener = Microphone(), Heard()
    for rate, channels in ((48_000, 1), (8_000, 1), (48_000, 2)):
        microphone.put(np.concatenate([speech("Hello there", rate), silence(0.6, rate)]), rate, channels)
    microphone.end()
    await VoiceActivity(microphone, listener).run()
    assert listener.changes == [True, False] * 3


async def test_speech_is_over_with_the_track() -> None:
    microphone, listener = Microphone(), Heard()
    microphone.put(np.ones(10 * CHUNK, np.int16))
    microphone.end()
    await VoiceActivity(microphone, listener, detector=SpeechDetector(sure)).run()
    assert listener.changes == [True, False]


async def test_speech_is_over_when_nobody_listens_any_more() -> None:
    microphone, listener = Microphone(), Heard()
    microphone.put(np.ones(10 * CHUNK, np.int16))
    task = asyncio.create_task(VoiceActivity(microphone, listener, detector=SpeechDetector(sure, end_seconds=60)).run())
    await listener.until([True])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert listener.changes == [True, False]


async def test_a_microphone_that_is_switched_off_ends_speech_and_may_come_back() -> None:
    microphone, listener = Microphone(), Heard()
    detector = SpeechDetector(sure, end_seconds=0.05)
    task = asyncio.create_task(VoiceActivity(microphone, listener, detector=detector).run())
    for heard in ([True, False], [True, False, True, False]):
        microphone.put(np.ones(10 * CHUNK, np.int16))
        await listener.until(heard)
    assert not task.done()
    microphone.end()
    await task
    assert listener.changes == [True, False, True, False]


async def test_frames_that_come_unevenly_are_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vad, "GAP_SECONDS", 60.0)
    microphone, listener = Microphone(), Heard()
    detector = SpeechDetector(sure, end_seconds=0.0)
    task = asyncio.create_task(VoiceActivity(microphone, listener, detector=detector).run())
    microphone.put(np.ones(10 * CHUNK, np.int16))
    await listener.until([True])
    await asyncio.sleep(0.05)
    assert listener.changes == [True]
    microphone.put(np.zeros(10 * CHUNK, np.int16))
    await listener.until([True, False])
    microphone.end()
    await task


async def test_a_silent_track_that_ends_reports_nothing() -> None:
    microphone, listener = Microphone(), Heard()
    microphone.end()
    await VoiceActivity(microphone, listener, detector=SpeechDetector(sure)).run()
    assert listener.changes == []
