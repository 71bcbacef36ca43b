"""No step: wherever speech stops and goes on, the output never jumps further than the audio itself does.

The measure is the largest step between two samples of the output, against the largest one of the input. A ramp of n
samples adds at most the peak divided by n.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, Fades, PlaybackController, Utterance
from tests.signals import CUTS, Heard

PEAK: Final = 20_000
MARGIN: Final = 8
"""What rounding, and the ripple of a resampler at a cut, may add."""


def sine(samples: int, rate: int, hertz: float, channels: int = 1, *, phase: float = 0.0) -> NDArray[np.int16]:
    """A sine of shape (samples, channels), each channel a quarter of a period behind the one before."""
    angle = 2 * np.pi * hertz * np.arange(samples)[:, np.newaxis] / rate + phase
    audio: NDArray[np.int16] = np.rint(PEAK * np.sin(angle - np.arange(channels) * np.pi / 2)).astype(np.int16)
    return audio


def largest(audio: NDArray[np.int16]) -> int:
    """The largest step between two samples that follow each other in one channel."""
    return int(np.abs(np.diff(audio.astype(int), axis=0)).max())


def allowed(audio: NDArray[np.int16], ramp: int) -> float:
    """The largest step of the audio itself, and what a ramp of so many samples adds."""
    return largest(audio) + PEAK / ramp + MARGIN


class Listener:
    """A controller that is read in frames, and all that was heard of it."""

    def __init__(self, rate: int, channels: int = 1, **options: Any) -> None:
        self.controller = PlaybackController(AudioFormat(rate, channels), **options)
        self.ramp = self.controller.format.samples(0.005)
        self.heard: list[NDArray[np.int16]] = []

    def read(self, frames: int, samples: int) -> None:
        self.heard += [self.controller.read(samples) for _ in range(frames)]

    @property
    def audio(self) -> NDArray[np.int16]:
        return np.concatenate(self.heard)


def cut(listener: Listener, audio: NDArray[np.int16], at: int, frame: int) -> Utterance:
    """An utterance that has an underrun after so many samples, and goes on four frames later; it never ends."""
    utterance = listener.controller.utterance()
    utterance.push(audio[:at])
    listener.read(at // frame + 4, frame)
    utterance.push(audio[at:])
    listener.read((len(audio) - at) // frame, frame)
    return utterance


RATES = [(8_000, 1), (24_000, 1), (24_000, 2), (48_000, 1), (48_000, 2)]


@pytest.mark.parametrize(("rate", "channels"), RATES)
@pytest.mark.parametrize("hertz", [50, 117, 233, 450, 1_000, 3_100])
def test_an_underrun_at_any_offset(rate: int, channels: int, hertz: float) -> None:
    frame = rate // 50
    audio = sine(rate // 4, rate, hertz, channels)
    rng = np.random.default_rng(rate + channels + int(hertz))
    for at in [*range(2 * frame, 2 * frame + 5), *rng.integers(2 * frame, 3 * frame, 12), 3 * frame - 1]:
        listener = Listener(rate, channels)
        utterance = cut(listener, audio, int(at), frame)
        assert largest(listener.audio) <= allowed(audio, listener.ramp), (rate, hertz, at)
        assert listener.controller.stats.underruns >= 1
        assert utterance.played == utterance.accepted - utterance._clip.buffer.unread


def test_an_underrun_at_every_offset_of_a_frame() -> None:
    audio = sine(2_000, 8_000, 233.0)
    for at in range(160, 481):
        listener = Listener(8_000)
        cut(listener, audio, at, 160)
        assert largest(listener.audio) <= allowed(audio, 40), at


@pytest.mark.parametrize("piece", [37, 160, 333, 800, 2_399, 2_400])
@pytest.mark.parametrize("prebuffer", [0.0, 0.02, 0.1])
def test_a_source_that_is_always_late(piece: int, prebuffer: float) -> None:
    audio = sine(24_000, 24_000, 233.0)
    listener = Listener(24_000, prebuffer_seconds=prebuffer)
    utterance = listener.controller.utterance()
    for start in range(0, len(audio), piece):
        utterance.push(audio[start : start + piece])
        if start // piece % 2:
            listener.read(piece * 3 // 480 + 1, 480)
    utterance.end()
    listener.read(60, 480)
    heard = listener.audio[: -60 * 480] if listener.controller.stats.underruns else listener.audio
    assert largest(heard) <= allowed(audio, 120)
    assert utterance.report is not None
    assert utterance.report.played == len(audio)


@pytest.mark.parametrize(("pushed", "rate"), [(24_000, 48_000), (16_000, 24_000), (44_100, 48_000), (48_000, 8_000)])
def test_an_underrun_of_resampled_audio(pushed: int, rate: int) -> None:
    audio = sine(pushed // 2, pushed, 300.0)
    whole = Listener(rate)
    whole.controller.utterance(format=AudioFormat(pushed)).push(audio)
    whole.read(20, rate // 50)
    for at in range(pushed // 10, pushed // 10 + pushed // 50, 61):
        listener = Listener(rate)
        utterance = listener.controller.utterance(format=AudioFormat(pushed))
        utterance.push(audio[:at])
        listener.read(10, rate // 50)
        utterance.push(audio[at:])
        listener.read(15, rate // 50)
        assert listener.controller.stats.underruns == 1
        assert largest(listener.audio) <= allowed(whole.audio, listener.ramp), at


@pytest.mark.parametrize("hertz", [90, 233, 700])
def test_a_gap_within_a_turn(hertz: float) -> None:
    """A tone whose pieces are utterances: what silence is between them is the gap's."""
    audio = sine(6_000, 24_000, hertz)
    for at in range(960, 1_440, 37):
        listener = Listener(24_000)
        turn = listener.controller.turn()
        for piece in (audio[:at], audio[at:]):
            utterance = turn.utterance()
            utterance.push(piece)
            utterance.end()
            listener.read(11, 480)
        assert largest(listener.audio) <= allowed(audio, 120), at
        assert turn.end()
        assert turn.report is not None
        assert len(turn.report.gaps) == 1


def test_a_turn_begins_and_ends_as_its_audio_does() -> None:
    controller = PlaybackController(AudioFormat(24_000))
    audio = sine(1_000, 24_000, 400.0, phase=1.0)
    for _ in range(3):
        utterance = controller.utterance()
        utterance.push(audio)
        utterance.end()
        heard = controller.read(1_440)
        assert np.array_equal(heard[:1_000], audio)
        assert not heard[1_000:].any()


def stops_and_goes_on() -> dict[str, Callable[[Listener, Utterance], object]]:
    """What may happen while a ramp of an underrun is under way."""
    return {
        "pause": lambda listener, _: (
            listener.controller.pause(),
            listener.read(9, 7),
            listener.controller.resume(),
        ),
        "pause without a read": lambda listener, _: (listener.controller.pause(), listener.controller.resume()),
        "rewind": lambda listener, _: (
            listener.controller.pause(),
            listener.read(3, 7),
            listener.controller.resume(0.03),
        ),
        "rewind without a read": lambda listener, _: (
            listener.controller.pause(),
            listener.controller.resume(0.03),
        ),
        "gain": lambda listener, _: setattr(listener.controller, "gain_db", -7.0),
        "interrupt": lambda listener, _: listener.controller.interrupt(),
        "cancel": lambda _, utterance: utterance.cancel(),
        "fail": lambda _, utterance: utterance.fail(LookupError("broken")),
    }


@pytest.mark.parametrize("what", stops_and_goes_on())
@pytest.mark.parametrize("moment", [0, 1, 3, 20, 60, 61, 75, 90, 130])
def test_whatever_comes_in_the_middle_of_a_ramp(what: str, moment: int) -> None:
    """In reads of 7 samples, so that each ramp takes many; the underrun is at read 50, the audio goes on at read 60."""
    if what == "fail" and not moment:
        pytest.skip("it ends here, in the middle of its audio")
    audio = sine(2_000, 24_000, 233.0)
    listener = Listener(24_000)
    utterance = listener.controller.utterance()
    utterance.push(audio[:353])
    for number in range(190):
        if number == 50 + moment:
            stops_and_goes_on()[what](listener, utterance)
        if number == 60:
            utterance.push(audio[353:])
        listener.read(1, 7)
    assert listener.controller.stats.underruns or not moment
    # Two ramps may be under way at a time.
    assert largest(listener.audio) <= allowed(audio, 60), moment


@pytest.mark.parametrize("what", ["interrupt", "cancel", "fail and cancel", "interrupt and speak"])
@pytest.mark.parametrize("reads", [0, 1, 3, 20])
@pytest.mark.parametrize("samples", [7, 33, 480])
def test_what_is_dropped_in_a_pause_ends_along_the_ramp_of_the_pause(what: str, reads: int, samples: int) -> None:
    """Nobody has to have read in the pause: a word that is spoken over pauses, and soon after that interrupts."""
    audio = sine(4_000, 24_000, 233.0)
    listener = Listener(24_000)
    utterance = listener.controller.utterance()
    utterance.push(audio)
    listener.read(962 // samples + 1, samples)
    listener.controller.pause()
    listener.read(reads, samples)
    if what == "fail and cancel":
        utterance.fail(LookupError("broken"))
    if "cancel" in what:
        utterance.cancel()
    else:
        listener.controller.interrupt()
    if "speak" in what:
        listener.controller.push(audio)
    listener.read(20, samples)
    both = largest(audio) if "speak" in what else 0  # the ramp sounds beneath it
    assert largest(listener.audio) <= allowed(audio, listener.ramp) + both


def test_a_pause_that_cuts_leaves_nothing_to_drop() -> None:
    audio = sine(2_000, 24_000, 233.0)
    for fades in (CUTS, Fades(pause_seconds=0), Fades(interrupt_seconds=0)):
        case = Heard(PlaybackController(AudioFormat(24_000), fades=fades))
        case.controller.push(audio)
        assert case.read() == audio[:480, 0].tolist()
        case.controller.pause()
        case.controller.interrupt()
        assert not any(case.read())


def test_of_zero_is_exact_to_the_sample() -> None:
    audio = sine(2_000, 24_000, 233.0)
    for at in (480, 700, 959):
        case = Heard(PlaybackController(AudioFormat(24_000), fades=CUTS))
        utterance = case.controller.utterance()
        utterance.push(audio[:at])
        heard = case.read() + case.read()
        assert heard == audio[:480, 0].tolist() + [0] * 480
        utterance.push(audio[at:])
        assert case.read() == audio[480:960, 0].tolist()


def test_the_ramp_counts_as_nothing() -> None:
    """With it or without, every event, position and count is the same."""
    logs = []
    for fades in (Fades(0.06, 0.005, 0.005, 0.0), Fades()):
        case = Heard(PlaybackController(AudioFormat(24_000), fades=fades))
        utterance = case.controller.utterance(text="one two")
        utterance.mark("one", at=0), utterance.mark("two", at=0.03)
        audio = sine(1_500, 24_000, 233.0)
        utterance.push(audio[:700])
        for _ in range(3):
            case.read()
        held = case.controller.buffered
        utterance.push(audio[700:])
        utterance.end()
        for _ in range(4):
            case.read()
        assert held == 220
        events = [(event.name, event.position) for event in case.events]
        logs.append((events, utterance.report and utterance.report.played, case.controller.stats))
    assert logs[0] == logs[1]


def test_the_ramps_are_those_of_the_samples_at_the_position() -> None:
    case = Heard(PlaybackController(AudioFormat(24_000)))
    utterance = case.controller.utterance()
    utterance.push(np.full(480 + 200, PEAK, np.int16))
    case.read()
    down = case.read()
    assert down[:120] == [round(PEAK * (1 - step / 120)) for step in range(120)]
    assert not any(down[120:])
    utterance.push(np.full(800, PEAK, np.int16))
    up = case.read()
    assert up[:120] == [round(PEAK * (1 + step) / 120) for step in range(120)]
    assert up[120:] == [PEAK] * 360


@pytest.mark.parametrize("held", [0, 1, 50])
def test_what_is_missing_of_the_ramp_decays_from_the_last_sample(held: int) -> None:
    case = Heard(PlaybackController(AudioFormat(24_000)))
    utterance = case.controller.utterance()
    audio = np.concatenate([np.full(480, 12_000), np.arange(12_000, 12_000 + 20 * held, 20)]).astype(np.int16)
    utterance.push(audio)
    case.read()
    values = [*audio[480:].tolist(), *[int(audio[-1])] * 120][:120]
    expected = [value * (1 - step / 120) for step, value in enumerate(values)]
    assert np.abs(np.array(case.read()[:120]) - expected).max() <= 1


class TestThePrebuffer:
    """A producer that sends pieces of one length, each so much late at most: the prebuffer covers that much."""

    @staticmethod
    def underruns(prebuffer: float, piece: float, late: float, seed: int) -> int:
        controller = PlaybackController(AudioFormat(8_000), prebuffer_seconds=prebuffer)
        utterance = controller.utterance()
        rng = np.random.default_rng(seed)
        due = [(index * piece + rng.uniform(0, late)) for index in range(40)]
        due[0] = 0.0
        for tick in itertools.count():
            while due and due[0] <= tick * 0.02:
                due.pop(0)
                utterance.push(np.full(round(piece * 8_000), 1_000, np.int16))
            if not due:
                return controller.stats.underruns
            controller.read(160)
        raise AssertionError

    @pytest.mark.parametrize("piece", [0.02, 0.06, 0.1, 0.25])
    @pytest.mark.parametrize("late", [0.04, 0.1])
    def test_covers_what_it_says(self, piece: float, late: float) -> None:
        for seed in range(5):
            # A read takes 20 ms at once, and a piece comes between two reads.
            assert self.underruns(late + 0.02, piece, late, seed) == 0

    def test_would_not_without_the_piece(self) -> None:
        assert any(self.underruns(0.0, 0.1, 0.1, seed) for seed in range(5))

    def test_is_beyond_the_largest_piece_so_far(self) -> None:
        case = Heard(PlaybackController(AudioFormat(24_000), fades=CUTS, prebuffer_seconds=0.1))
        utterance = case.controller.utterance()
        utterance.push(np.full(2_400, 1, np.int16))
        assert (case.controller.leaf, any(case.read())) == ("speaking.buffering", False)
        utterance.push(np.full(2_399, 1, np.int16))
        assert case.controller.leaf == "speaking.buffering"
        utterance.push(np.full(1, 1, np.int16))
        assert case.controller.leaf == "speaking.streaming"

    def test_asks_for_no_more_than_the_high_water(self) -> None:
        case = Heard(
            PlaybackController(
                AudioFormat(24_000), fades=CUTS, prebuffer_seconds=0.1, high_water_seconds=0.5, max_buffered_seconds=20
            )
        )
        utterance = case.controller.utterance()
        utterance.push(np.full(240_000, 1, np.int16))
        assert case.controller.leaf == "speaking.streaming"

    def test_of_zero_asks_for_nothing(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.push(np.full(24_000, 1, np.int16))
        for _ in range(51):
            case.read()
        utterance.push(np.full(480, 1, np.int16))
        assert case.controller.leaf == "speaking.streaming"

    def test_pieces_of_the_fast_path_count(self) -> None:
        case = Heard(PlaybackController(AudioFormat(24_000), fades=CUTS, prebuffer_seconds=0.02))
        utterance = case.controller.utterance()
        for samples in (480, 480, 480, 2_400, 480):
            utterance.push(bytes(np.full(samples, 1, np.int16)))
        for _ in range(10):
            case.read()
        utterance.push(bytes(np.full(2_000, 1, np.int16)))
        assert case.controller.leaf == "speaking.buffering"
        utterance.push(bytes(np.full(880, 1, np.int16)))
        assert case.controller.leaf == "speaking.streaming"
