"""Live audio that comes too late: it ends and begins along ramps, and none of it is lost."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat
from playback.background.mixer import Background
from tests.audio.media import wav
from tests.background.test_sources import until

FORMAT = AudioFormat(24_000)
FRAME = 480


def tone(hertz: float, samples: int, channels: int) -> NDArray[np.int16]:
    wave = np.rint(9_000 * np.cos(2 * np.pi * hertz * np.arange(samples) / 24_000)).astype(np.int16)
    return np.repeat(wave[:, None], channels, axis=1)


def mix(background: Background, frames: int, channels: int) -> NDArray[np.int16]:
    out = np.zeros((frames * FRAME, channels), np.int16)
    for at in range(0, len(out), FRAME):
        background.mix(out[at : at + FRAME].data.cast("B"), speaking=False, paused=False)
    return out


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("cut", [3 * FRAME, 3 * FRAME + 1, 3 * FRAME + 177, 4 * FRAME - 1, 10])
@pytest.mark.parametrize("hertz", [97, 440, 1_777])
@pytest.mark.parametrize("others", [0, 1])
def test_a_gap_makes_no_step(hertz: float, cut: int, channels: int, others: int) -> None:
    background = Background(AudioFormat(24_000, channels))
    for _ in range(others):  # so that it is an addend
        background.add(np.zeros((FRAME, channels), np.int16), gain_db=0, fade_seconds=0)
    live = background.stream(gain_db=0, fade_seconds=0)
    audio = tone(hertz, cut + 3_000, channels)
    live.push(audio[:cut])
    out = [mix(background, 10, channels)]
    live.push(audio[cut:])
    out.append(mix(background, 5, channels))
    heard = np.concatenate(out)[:, 0].astype(int)
    allowed = max(np.abs(np.diff(audio[:, 0].astype(int))).max(), 9_000 / 100)  # a ramp of 5 ms is 120 samples
    assert np.abs(np.diff(heard)).max() <= 1.6 * allowed
    assert np.array_equal(heard[:cut], audio[:cut, 0])
    assert not heard[cut + 120 : 10 * FRAME].any()
    assert np.array_equal(heard[10 * FRAME + 120 : 10 * FRAME + 2_400], audio[cut + 120 : cut + 2_400, 0]), (
        "none is lost"
    )


def test_gaps_that_follow_each_other_make_no_step() -> None:
    background = Background(FORMAT)
    live = background.stream(gain_db=0, fade_seconds=0)
    audio = tone(300, 100 * 240, 1)
    out = []
    for number in range(100):
        live.push(audio[240 * number : 240 * (number + 1) - number % 7])
        out.append(mix(background, 1, 1))
    heard = np.concatenate(out)[:, 0].astype(int)
    assert np.abs(np.diff(heard)).max() <= 1.6 * np.abs(np.diff(audio[:, 0].astype(int))).max()


@pytest.mark.parametrize("samples", [7, 48, 119, 480])
@pytest.mark.parametrize("ends", [False, True])
def test_a_gap_within_the_ramp_of_another_makes_no_step(samples: int, ends: bool) -> None:
    """Reads that are shorter than a ramp, and pieces that are shorter than either."""
    rng = np.random.default_rng(samples)
    for _ in range(30):
        background = Background(FORMAT)
        live = background.stream(gain_db=0, fade_seconds=0)
        audio = tone(97.3, 4_000, 1)[62:]  # from a crossing of zero on
        at, out = 0, []
        for number in range(13):
            size = int(rng.integers(1, 300))
            live.push(audio[at : at + size])
            at += size
            for _ in range(size // samples + 1 + int(rng.integers(0, 1 + 200 // samples))):
                out.append(read := np.zeros((samples, 1), np.int16))
                background.mix(read.data.cast("B"), speaking=False, paused=False)
            if number == 12 and ends:
                live.end()
        for _ in range(200 // samples + 1):
            out.append(read := np.zeros((samples, 1), np.int16))
            background.mix(read.data.cast("B"), speaking=False, paused=False)
        heard = np.concatenate(out)[:, 0].astype(int)
        # Two ramps and the audio itself may be under way at a time.
        assert np.abs(np.diff(heard)).max() <= 2 * 9_000 / 120 + np.abs(np.diff(audio[:, 0].astype(int))).max() + 8
        assert not heard[-1]
        assert live.is_finished is ends


class Stalling(io.BytesIO):
    """A file on a disk that answers no more from a place on, until it is allowed to."""

    def __init__(self, data: bytes, at: int) -> None:
        super().__init__(data)
        self._at = at
        self.may_go_on = threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._at:
            assert self.may_go_on.wait(60)
        return super().read(size)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("hertz", [97.3, 441.7])
def test_a_file_that_comes_too_late_makes_no_step(hertz: float, channels: int) -> None:
    audio = tone(hertz, 5 * 24_000, channels)
    file = Stalling(wav(audio, 24_000), 150_000 * channels)
    background = Background(AudioFormat(24_000, channels))
    sound = background.add(file, gain_db=0, fade_seconds=0.01)
    out: list[NDArray[np.int16]] = []

    def silence_follows(frames: int) -> bool:
        out.append(mix(background, 1, channels))
        return len(out) > frames and not out[-1].any()

    try:
        until(lambda: silence_follows(50))
        file.may_go_on.set()
        until(lambda: not silence_follows(0))
        out.append(mix(background, 10, channels))
    finally:
        file.may_go_on.set()
        sound.stop(0)
    heard = np.concatenate(out)[:, 0].astype(int)
    assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(audio[:, 0].astype(int))).max() + 9_000 / 120 + 8


def test_audio_that_comes_in_time_passes_untouched() -> None:
    background = Background(FORMAT)
    live = background.stream(gain_db=0, fade_seconds=0)
    audio = tone(300, 50 * FRAME, 1)
    out = []
    for at in range(0, len(audio), FRAME):
        live.push(audio[at : at + FRAME])
        out.append(mix(background, 1, 1))
    assert np.array_equal(np.concatenate(out), audio)
    live.end()
    assert not mix(background, 3, 1).any(), "an end is no gap"
