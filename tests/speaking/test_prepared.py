"""Prepared audio: encoded once, sent to any number of calls, and left without a trace where it is changed."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.browser.signals import voice
from benchmarks.micro.codecs import decoded
from playback import AudioFormat, FormatError, Outcome, PlaybackController
from playback.codec import encoder as codec
from playback.codec.encoder import OpusEncoder, PyAVEncoder, open_encoder
from playback.codec.settings import Application, OpusSettings
from playback.opus import OpusPlaybackTrack
from playback.opus_reader import SILENCE, OpusReader
from playback.prepared import CHAPTER, PreparedUtterance
from playback.tracing import Trace
from playback.words import Word
from tests.signals import Heard
from tests.tracing.test_trace import replayed

pytestmark = pytest.mark.portable

RATE = 24_000
FRAME = RATE // 50
Act = Callable[[PlaybackController, int], object]


def spoken(seconds: float = 2.0, rate: int = RATE, seed: int = 3) -> NDArray[np.int16]:
    """A voice, that is loud from its first to its last sample."""
    return np.asarray(12_000 * voice(seconds, rate, seed)).astype(np.int16)


def prepared(seconds: float = 2.0, rate: int = RATE, **options: Any) -> PreparedUtterance:
    return PreparedUtterance(spoken(seconds, rate), format=AudioFormat(rate), **options)


def nothing(controller: PlaybackController, tick: int) -> None:
    """Leave it alone."""


def pause_at_20(controller: PlaybackController, tick: int) -> None:
    if tick == 20:
        controller.pause()
    elif tick == 40:
        controller.resume()


def gain_at_20(controller: PlaybackController, tick: int) -> None:
    if tick in (20, 40):
        controller.gain_db = -6.0 if tick == 20 else 0.0


def interrupt_at_30(controller: PlaybackController, tick: int) -> None:
    if tick == 30:
        controller.interrupt()


ACTIONS = ["pause", "resume", "quiet", "loud", "interrupt", "greeting", "word"]
ACTS = [nothing, pause_at_20, gain_at_20, interrupt_at_30]


class Call:
    """A call, what it was sent, and which of its frames were sent as they were prepared."""

    def __init__(self, rate: int = RATE, **options: Any) -> None:
        self.heard = Heard(PlaybackController(AudioFormat(rate)))
        self.controller = self.heard.controller
        self.reader = OpusReader(self.controller, OpusSettings(**options), idle="silence")
        self.packets: list[bytes] = []
        self.passed: list[bool] = []
        self.frames: list[NDArray[np.int16]] = []

    def read(self, count: int, act: Act = nothing) -> Call:
        for tick in range(count):
            act(self.controller, tick)
            [(_, packet)] = self.reader.read()
            self.packets.append(packet)
            self.passed.append(self.reader._sent is not None)
            self.frames.append(self.reader._samples.copy())
        return self

    @property
    def sound(self) -> NDArray[np.float64]:
        return decoded(map(av.Packet, self.packets))


# What it is


def test_it_is_its_audio_and_silence_up_to_a_whole_frame_and_the_look_ahead_of_opus() -> None:
    audio = spoken(0.5)[:-100]
    made = PreparedUtterance(audio, format=AudioFormat(RATE))
    samples = np.frombuffer(made.audio, np.int16)
    assert np.array_equal(samples[: len(audio)], audio)
    assert not samples[len(audio) :].any()
    assert len(samples) % FRAME == 0
    assert 156 <= len(samples) - len(audio) < 156 + FRAME
    assert made.seconds == len(samples) / RATE


def test_it_is_made_from_what_can_be_pushed_and_from_files(tmp_path: Path) -> None:
    audio = spoken(0.5)
    file = io.BytesIO()
    with wave.open(file, "wb") as opened:
        opened.setparams((1, 2, RATE, 0, "NONE", ""))
        opened.writeframes(audio.tobytes())
    (tmp_path / "greeting.wav").write_bytes(file.getvalue())
    expected = PreparedUtterance(audio, format=AudioFormat(RATE)).audio
    file.seek(0)
    for source in (
        audio.tobytes(),
        audio.astype(np.float32) / 32_768,
        file.getvalue(),
        file,
        tmp_path / "greeting.wav",
        str(tmp_path / "greeting.wav"),
    ):
        assert PreparedUtterance(source, format=AudioFormat(RATE)).audio == expected
    other = PreparedUtterance(audio, source_format=AudioFormat(RATE), format=AudioFormat(48_000))
    assert other.seconds == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PreparedUtterance(b""), FormatError, "the prepared audio is empty"),
        (lambda: PreparedUtterance(7), FormatError, "7|int"),
        (lambda: PreparedUtterance(b"\0\0", text=7), TypeError, "text is 7"),  # type: ignore[arg-type]
        (lambda: PreparedUtterance(b"\0\0", words=["word"]), TypeError, "word"),  # type: ignore[list-item]
        (lambda: PreparedUtterance(b"\0\0", format=AudioFormat(11_025)), ValueError, "11025 Hz"),
        (lambda: PreparedUtterance(np.array([np.nan, 0], np.float32)), FormatError, "NaN|finite|nan"),
    ],
)
def test_what_can_not_be_prepared_is_an_error(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# Its packets


def test_each_call_is_sent_the_same_packets_and_nothing_is_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    greeting = prepared()
    greeting.encode()
    packets = greeting.packets(RATE, OpusSettings())
    assert packets is not None
    expected = [packets.packet(number) for number in range(len(packets))]

    def refuse(*_: object) -> bytes:
        raise AssertionError("encoded again")

    monkeypatch.setattr(OpusEncoder, "encode", refuse)
    for _ in range(3):
        call = Call()
        call.controller.speak(greeting)
        assert call.read(len(packets)).packets == expected


def test_a_call_hears_what_it_would_hear_of_any_utterance_and_reports_it() -> None:
    words = [Word("Good", 0.1, 0.5), Word("morning.", 0.6, 1.2)]
    greeting = prepared(text="Good morning.", words=words)
    call = Call()
    utterance = call.controller.speak(greeting)
    call.read(110)
    other = Call()
    plain = other.controller.utterance(text="Good morning.")
    plain.enqueue()
    plain.mark_words(words)
    plain.push(greeting.audio)
    plain.end()
    other.read(110)
    assert np.array_equal(call.frames, other.frames)
    assert call.heard.emitted() == other.heard.emitted()
    assert utterance.report is not None
    assert plain.report is not None
    assert utterance.report.outcome is Outcome.COMPLETED
    assert utterance.report.heard == plain.report.heard == "Good morning."
    assert call.controller.stats == other.controller.stats
    difference = call.sound - other.sound
    assert np.sqrt(np.mean(difference**2)) < 0.1 * np.sqrt(np.mean(other.sound**2))


def test_a_trace_of_it_plays_again(tmp_path: Path) -> None:
    controller = PlaybackController(AudioFormat(RATE))
    trace = Trace(controller)
    controller.speak(prepared(0.5, text="Good morning.", words=[Word("Good", 0.1, 0.3)]))
    for _ in range(40):
        controller.read(FRAME)
    assert replayed(trace, tmp_path / "trace.jsonl").counts == trace.counts


def test_an_interrupt_says_what_was_heard() -> None:
    call = Call()
    words = [Word("Good", 0.1, 0.5), Word("morning.", 0.6, 1.2)]
    utterance = call.controller.speak(prepared(text="Good morning.", words=words))
    call.read(50, interrupt_at_30)
    assert utterance.report is not None
    assert utterance.report.heard == "Good"


def test_it_can_be_pushed_into_an_utterance_and_spoken_in_a_turn() -> None:
    greeting = prepared(text="Welcome.")
    call = Call()
    utterance = call.controller.utterance()
    assert utterance.push(greeting) == len(greeting.audio) // 2
    utterance.end()
    turn = call.controller.turn()
    turn.speak(greeting)
    turn.end()
    call.read(210)
    assert utterance.text == "Welcome."
    assert turn.report is not None
    assert turn.report.heard == "Welcome."
    frames = len(greeting.audio) // 2 // FRAME
    assert call.passed[: 2 * frames] == [True] * 2 * frames


def test_after_other_audio_of_its_utterance_it_plays_and_is_encoded() -> None:
    call = Call()
    utterance = call.controller.utterance()
    utterance.push(spoken(0.1, seed=5))
    utterance.push(prepared(0.5, words=[Word("there", 0.1, 0.2)]))
    utterance.end()
    call.read(40)
    assert not any(call.passed)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_controller_of_another_rate_converts_and_encodes_it(rate: int) -> None:
    call = Call(rate)
    utterance = call.controller.speak(prepared(0.5))
    call.read(40)
    assert not any(call.passed)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.COMPLETED


def test_while_the_input_is_locked_it_is_refused() -> None:
    call = Call()
    call.controller.lock()
    utterance = call.controller.speak(prepared(0.5))
    call.read(1)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.INTERRUPTED


def test_what_is_longer_than_may_be_buffered_fails() -> None:
    controller = PlaybackController(
        AudioFormat(RATE), prebuffer_seconds=0, high_water_seconds=0.1, max_buffered_seconds=0.2
    )
    utterance = controller.speak(prepared(0.5))
    OpusReader(controller).read()
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.FAILED


def test_each_kind_of_encoder_has_its_own_packets() -> None:
    greeting = prepared(0.5)
    low, high = OpusSettings(bitrate=12_000), OpusSettings(bitrate=64_000)
    assert greeting.packets(RATE, low) is greeting.packets(RATE, low)
    assert greeting.packets(RATE, low) is not greeting.packets(RATE, high)
    low_packets, high_packets = greeting.packets(RATE, low), greeting.packets(RATE, high)
    assert low_packets is not None
    assert high_packets is not None
    greeting.encode(low)
    greeting.encode(high)
    assert low_packets.bytes_kept < high_packets.bytes_kept


def test_threads_that_want_the_same_packets_encode_them_once() -> None:
    greeting = prepared()

    def all_packets(_: int) -> list[bytes]:
        packets = greeting.packets(RATE, OpusSettings())
        assert packets is not None
        return [packets.packet(number) for number in range(len(packets))]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(all_packets, range(8))
    assert all(other == first for other in others)
    assert first == all_packets(0)


def test_without_libopus_it_is_encoded_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "libopus", SimpleNamespace(load=lambda: None))
    call = Call()
    assert isinstance(call.reader._encoder, PyAVEncoder)
    greeting = prepared(0.5)
    greeting.encode()
    utterance = call.controller.speak(greeting)
    call.read(40)
    assert not any(call.passed)
    assert utterance.report is not None


def test_the_track_sends_them_with_their_timestamps() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    track = OpusPlaybackTrack(controller)
    for number in range(13):
        track.packets(960 * number)
    greeting = prepared(0.5)
    controller.speak(greeting)
    lead, first = track.packets(960 * 13)
    packets = greeting.packets(RATE, OpusSettings())
    assert packets is not None
    assert (lead.pts, first.pts, bytes(first)) == (960 * 13 - 480, 960 * 13, packets.packet(0))


@pytest.mark.parametrize("application", ["voip", "audio", "lowdelay"])
def test_calls_that_share_their_silence_sound_the_same(application: Application) -> None:
    call, other = Call(application=application), Call(application=application)
    call.reader = OpusReader(
        call.controller, OpusSettings(application=application), idle="silence", shares_silence=True
    )
    for each in (call, other):
        for _ in range(2):
            utterance = each.controller.utterance()
            utterance.push(np.concatenate([spoken(0.4), np.zeros(30 * FRAME, np.int16)]))
            utterance.end()
        each.read(110)
    assert call.packets[23:49] == [SILENCE] * 26
    assert call.packets[:22] == other.packets[:22]
    window = slice(8 * 49, 8 * 56)
    assert roughness(call.sound)[window].max() < 1.25 * roughness(other.sound)[window].max() + 1
    difference = np.sqrt(np.mean((call.sound - other.sound) ** 2) / np.mean(other.sound**2))
    assert difference < 0.25


# Where it begins


def test_after_an_utterance_that_ends_in_silence_it_is_passed_at_once_otherwise_from_the_next_chapter_on() -> None:
    for tail, first in ((np.zeros(FRAME, np.int16), 0), (spoken(0.02, seed=9), CHAPTER)):
        call = Call()
        before = call.controller.utterance()
        before.push(np.concatenate([spoken(0.2, seed=5), tail]))
        before.end()
        call.controller.speak(prepared())
        call.read(100)
        assert call.passed.index(True) == 11 + first


def test_one_that_begins_within_a_frame_is_encoded() -> None:
    call = Call()
    before = call.controller.utterance()
    before.push(spoken(0.21, seed=5))
    before.end()
    utterance = call.controller.speak(prepared())
    call.read(120)
    assert not any(call.passed)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.COMPLETED


def test_while_it_is_held_back_nothing_of_it_is_sent() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    reader = OpusReader(controller)
    late = PreparedUtterance(np.concatenate([np.zeros(2 * FRAME, np.int16), spoken(0.5)]), format=AudioFormat(RATE))
    controller.pause()
    controller.speak(late)
    assert [len(reader.read()) for _ in range(13)] == [1] * 10 + [0] * 3
    controller.resume()
    packets = late.packets(RATE, OpusSettings())
    assert packets is not None
    assert [data for _, data in reader.read()][-1] == packets.packet(0)


def test_after_a_pause_it_is_passed_again_from_a_chapter_on() -> None:
    call = Call()
    call.controller.speak(prepared())
    call.read(120, pause_at_20)
    back = call.passed.index(True, 41)
    assert back == 20 + CHAPTER  # 20 frames were played before the pause, and none within its 20


# Where it is left


def expected_packets(call: Call, settings: OpusSettings) -> list[bytes]:
    """What one encoder makes of the same frames, if it stands apart where a chapter began."""
    encoder = open_encoder(RATE, settings)
    assert isinstance(encoder, OpusEncoder)
    made, number = [], 0
    for frame, passed in zip(call.frames, call.passed, strict=True):
        made.append(encoder.encode_apart(frame) if passed and number % CHAPTER == 0 else encoder.encode(frame))
        number = number + 1 if passed else 0
    return made


@pytest.mark.parametrize("act", [nothing, gain_at_20, interrupt_at_30])
@pytest.mark.parametrize("application", ["voip", "audio", "lowdelay"])
def test_what_is_encoded_after_packets_is_to_the_bit_what_their_encoder_would_make(
    act: Act, application: Application
) -> None:
    call = Call(application=application)
    call.controller.speak(prepared())
    call.read(39 if act is gain_at_20 else 120, act)
    assert any(call.passed)
    assert not all(call.passed)
    assert call.packets == expected_packets(call, OpusSettings(application=application))


def roughness(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    """How loud the high frequencies of each 2.5 ms are, where a click shows: the rms of the third difference."""
    third = np.diff(sound, 3, append=(0, 0, 0))
    parts: NDArray[np.float64] = np.sqrt(np.mean(third.reshape(-1, 120) ** 2, axis=1))
    return parts


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("application", ["voip", "audio", "lowdelay"])
@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_no_seam_is_rougher_than_the_same_audio_encoded_as_a_whole(
    rate: int, application: Application, act: Act
) -> None:
    greeting = prepared(rate=rate)
    call, other = Call(rate, application=application), Call(rate, application=application)
    call.controller.speak(greeting)
    plain = other.controller.utterance()
    plain.push(greeting.audio)
    plain.end()
    call.read(130, act)
    other.read(130, act)
    assert any(call.passed)
    assert not any(other.passed)
    assert np.array_equal(call.frames, other.frames)
    sound, whole = call.sound, other.sound
    rough, rough_whole = roughness(sound), roughness(whole)
    seams = [number for number in range(1, 130) if call.passed[number] != call.passed[number - 1]]
    for seam in [*seams, *range(0, 100, CHAPTER)]:
        window = slice(max(0, 8 * seam - 2), 8 * seam + 12)
        assert rough[window].max() < 1.25 * rough_whole[window].max() + 1
    difference = np.sqrt(np.mean((sound - whole) ** 2) / np.mean(whole**2))
    assert difference < 0.25


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 100), st.sampled_from(ACTIONS)),
        max_size=8,
    )
)
def test_whatever_happens_a_call_is_sent_the_sound_that_was_read(actions: list[tuple[int, str]]) -> None:
    call, greeting = Call(), prepared(1.0)

    def act(controller: PlaybackController, tick: int) -> None:
        for at, action in actions:
            if at != tick:
                continue
            if action == "greeting":
                controller.speak(greeting)
            elif action == "word":
                word = controller.utterance()
                word.push(spoken(0.13, seed=7))
                word.end()
            elif action in ("quiet", "loud"):
                controller.gain_db = -6.0 if action == "quiet" else 0.0
            else:
                getattr(controller, action)()

    call.controller.speak(greeting)
    call.read(110, act)
    encoder = open_encoder(RATE)
    whole = decoded(av.Packet(encoder.encode(frame)) for frame in call.frames)
    loud = np.mean(whole**2)
    assert np.mean((call.sound - whole) ** 2) <= 0.1 * loud + 1
    assert roughness(call.sound).max() < 1.3 * roughness(whole).max() + 1
