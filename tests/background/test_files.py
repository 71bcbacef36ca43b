"""Files that loop, are joined or are damaged: without a seam, to their end, and for ever."""

from __future__ import annotations

import io
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, FormatError
from playback.audio.media.blocks import Damage
from playback.audio.media.decoding import decode
from playback.background import decoding
from playback.background.decoding import Decoding, End
from playback.events import ErrorRaised
from tests.audio.media import CASES, encode, made, samples_of, sound, wav
from tests.background.test_sources import until
from tests.fuzzing import VARIABLE
from tests.signals import RATE, Heard

FORMAT = AudioFormat(RATE)
KINDS = ["wav", "flac", "mp3", "mp3 44100", "ogg vorbis", "ogg opus", "webm opus", "m4a", "m4a index first", "m4a alac"]


def run(data: bytes, samples: int, format: AudioFormat = FORMAT, loop: bool = True) -> tuple[Any, list[Any]]:
    """What a file gives in the output format, up to so many samples, and all else that it reports."""
    file = decoding.Decoding(io.BytesIO(data), "the file", format, loop=loop, untrusted=False, lead=0)
    audio, reports, pieces = bytearray(), file.ready, file._pieces()
    try:
        while len(audio) < 2 * samples:
            audio += next(pieces)
    except StopIteration:
        reports.append(End(None))
    except Exception as error:
        reports.append(End(error))
    return np.frombuffer(bytes(audio), np.int16), list(reports)


# Loops


def periodic(rate: int, channels: int) -> NDArray[np.int16]:
    """Just over a second of something that goes on at its end as it has begun: a tone of 200 Hz with a harmonic."""
    time = np.arange(217 * (rate // 200)) / (rate // 200)
    wave = np.rint(9_000 * np.sin(2 * np.pi * time) + 3_000 * np.sin(6 * np.pi * time)).astype(np.int16)
    return wave if channels == 1 else np.stack([wave, wave], axis=1)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("output", [None, RATE])
def test_a_loop_has_no_seam(name: str, output: int | None) -> None:
    """What repeats itself has repeated itself over the seam, too: by its autocorrelation at the period of the tone."""
    case = CASES[name]
    audio = periodic(case.rate, 2 if case.codec == "vorbis" else 1)
    rate = output or case.rate
    heard, reports = run(encode(audio, case), 4 * rate, AudioFormat(rate))
    assert reports == []
    period = rate // 200
    signal = heard.astype(float)
    seam = round(len(audio) * rate / case.rate)
    worst = 1.0
    for at in range(seam - 5 * period, seam + 5 * period, period // 2):
        here, next_one = signal[at : at + 2 * period], signal[at + period : at + 3 * period]
        worst = min(worst, float(np.dot(here, next_one) / np.sqrt(np.dot(here, here) * np.dot(next_one, next_one))))
    # FFmpeg's AAC needs a thousand samples until it is good; padding would turn the phase, and so the sign.
    assert worst > (0.75 if case.codec == "aac" else 0.98), worst
    around = signal[seam - 3 * period : seam + 2 * period]
    lags = [np.dot(around[:-lag], around[lag:]) for lag in range(period - 9, period + 10)]
    assert abs(int(np.argmax(lags)) - 9) <= 1, "the period goes on"
    whole = np.correlate(signal[:seam], signal[seam : 2 * seam])[0]
    assert whole / np.dot(signal[:seam], signal[:seam]) == pytest.approx(1, abs=0.02), "each round is as long"


@pytest.mark.parametrize("name", KINDS)
def test_each_round_is_the_same(name: str) -> None:
    case = CASES[name]
    data = made(name)
    once = len(run(data, 10 * case.rate, AudioFormat(case.rate), loop=False)[0])
    heard, reports = run(data, 4 * once, AudioFormat(case.rate))
    assert reports == []
    assert np.array_equal(heard[:once], heard[once : 2 * once])
    assert np.array_equal(heard[:once], heard[2 * once : 3 * once])


# Joined files


@pytest.mark.parametrize("name", [name for name in CASES if name.split()[0] not in ("m4a", "mp4", "wavpack")])
def test_joined_files_play_to_their_end_and_loop(name: str) -> None:
    data = b"".join(made(name, seed) for seed in (1, 2, 3))
    once, reports = run(data, 10**9, loop=False)
    assert reports == [End(None)]
    assert len(once) >= 2.9 * RATE * 24_001 / CASES[name].rate
    heard, reports = run(data, 3 * len(once))
    assert reports == []
    assert len(heard) >= 3 * len(once)


def test_chained_ogg_of_different_formats_plays_to_its_end() -> None:
    cases = [
        CASES["ogg opus"],
        CASES["ogg flac"],
        CASES["ogg flac"]._replace(rate=8_000),
        CASES["ogg vorbis"],
        CASES["ogg opus"],
    ]
    channels = [1, 2, 1, 2, 1]
    sounds = [sound(case.rate, 1, case.rate, count) for case, count in zip(cases, channels, strict=True)]
    data = b"".join(encode(audio, case) for audio, case in zip(sounds, cases, strict=True))
    heard, reports = run(data, 10**9, loop=False)
    assert reports == [End(None)]
    assert len(heard) == pytest.approx(5 * RATE, abs=50)
    for second in range(5):
        here, expected = heard[second * RATE : (second + 1) * RATE][1_000:-1_000], sound(RATE, 1, RATE)
        shifted = (expected[1_000 - lag : len(here) + 1_000 - lag] for lag in range(50))  # Vorbis is a little long
        assert max(np.corrcoef(here, audio)[0, 1] for audio in shifted) > 0.9, second
    looped, reports = run(data, 3 * len(heard))
    assert reports == []
    assert np.array_equal(looped[: len(heard) - 100], heard[:-100])  # the end runs into the next round


def test_a_part_that_can_not_be_read_is_skipped_and_counted() -> None:
    broken = bytearray(made("ogg opus"))
    broken[30:60] = bytes(30)
    data = made("ogg flac") + bytes(broken) + made("ogg flac", 2)
    heard, reports = run(data, 10**9, loop=False)
    assert len(heard) == 2 * 24_001
    assert [type(report) for report in reports] == [int, End]
    assert reports[-1].error is None


def test_a_part_of_channels_that_nobody_can_convert_is_skipped() -> None:
    odd = wav(np.tile(sound(RATE)[:, None], (1, 9)), RATE)
    for data, count in ((wav(sound(RATE), RATE) + odd + wav(sound(RATE), RATE), 2), (odd, 0)):
        heard, reports = run(data, 10**9, loop=False)
        assert len(heard) == count * 24_001
        assert isinstance(reports[-1], End)
        assert (reports[-1].error is None) is bool(count)
        heard, reports = run(data, 200_000)
        assert len(heard) >= count * 100_000
        assert any(isinstance(report, End) for report in reports) is (not count)


# Damage


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three stretches behind the header are changed, dropped or doubled, or the end is missing."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(min(len(out) // 4, 4_000), len(out) - 8))
        size = int(rng.integers(1, min(2_000, len(out) - start)))
        match int(rng.integers(5)):
            case 0:
                out[start : start + size] = rng.bytes(size)
            case 1:
                del out[start : start + size]
            case 2:
                out[start:start] = out[start : start + size]
            case 3:
                out[start : start + size] = bytes(size)
            case _:
                del out[max(start, len(out) // 2) :]
    return bytes(out)


@pytest.mark.fuzz
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(
    "name", ["wav", "flac", "mp3", "ogg vorbis", "ogg opus", "webm opus", "m4a index first", "adts"]
)
def test_no_damage_ends_a_loop(name: str) -> None:
    import os

    count = 4 if not os.environ.get(VARIABLE) else 200
    case = CASES[name]
    whole = encode(sound(case.rate, 1, 3 * case.rate, 2 if case.codec == "vorbis" else 1), case)
    rng = np.random.default_rng(16)
    for number in range(count):
        data = damaged(whole, rng)
        heard, reports = run(data, 8 * RATE)
        assert len(heard) >= 8 * RATE, f"damage {number}: {reports}"
        assert np.abs(heard.astype(int)).max() > 1_000
        assert not any(isinstance(report, End) for report in reports)
        assert sum(isinstance(report, Exception) for report in reports) <= 1


def test_damage_is_counted_once() -> None:
    data = bytearray(encode(sound(48_000, 1, 96_000), CASES["ogg opus"]))
    data[len(data) // 2] ^= 0xFF
    case = Heard()
    voice = case.controller.background.add(io.BytesIO(bytes(data)), gain_db=0, fade_seconds=0)
    for _ in range(2_000):
        case.read()
        if case.controller.position > 4 * 2 * RATE:
            break
        until(lambda: bool(voice._source._decoding.ready))  # type: ignore[attr-defined]
    assert case.controller.stats.damaged_packets == 1
    assert not voice.is_finished
    assert not [event for event in case.events if isinstance(event, ErrorRaised)]
    voice.stop(0)


class Failing(io.BytesIO):
    """A file whose reads fail from a place on, a few times."""

    def __init__(self, data: bytes, at: int, times: int) -> None:
        super().__init__(data)
        self._at = at
        self._times = times

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._at and self._times:
            self._times -= 1
            raise OSError("the disk is gone")
        return super().read(size)


@pytest.mark.parametrize("times", [1, 3])
def test_a_rest_that_can_not_be_read_is_one_error_event_and_a_loop_begins_again(times: int) -> None:
    case = Heard()
    data = wav(sound(RATE, 1, 3 * RATE), RATE)
    voice = case.controller.background.add(Failing(data, 100_000, times), gain_db=0, fade_seconds=0)
    for _ in range(50 * 12):
        case.read()
        until(lambda: bool(voice._source._decoding.ready))  # type: ignore[attr-defined]
    (event,) = (event for event in case.events if isinstance(event, ErrorRaised))
    assert "the disk is gone" in str(event.exception)
    assert event.source == "background"
    assert not voice.is_finished
    voice.stop(0)


@pytest.mark.parametrize("name", ["ogg opus", "ogg flac", "mp3", "adts"])
def test_a_rest_of_garbage_is_reported(name: str) -> None:
    case = CASES[name]
    whole = encode(sound(case.rate, 1, 3 * case.rate), case)
    garbage = np.random.default_rng(1).bytes(60_000).replace(b"OggS", b"oggs")
    data = whole[: len(whole) // 2] + garbage
    damage = Damage()
    heard = samples_of(list(decode(data, damage=damage)))
    assert len(heard) > case.rate
    assert isinstance(damage.rest, FormatError)
    looped, reports = run(data, 5 * RATE)
    assert len(looped) >= 5 * RATE
    assert [type(report) for report in reports if not isinstance(report, int)] == [FormatError]
    _, reports = run(data, 10**9, loop=False)
    assert isinstance(reports[-1].error, FormatError), "played once, it ends with what was wrong"


def test_a_whole_file_has_no_rest() -> None:
    for name in CASES:
        damage = Damage()
        list(decode(made(name), damage=damage))
        assert (damage.count, damage.rest) == (0, None), name


def test_a_loop_that_is_stopped_stops_decoding() -> None:
    file = Decoding(io.BytesIO(made("flac")), "the file", FORMAT, loop=True, untrusted=False, lead=5)
    file.start()
    until(lambda: len(file.ready) == 5)
    file.stop()
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "decoding the file"])
