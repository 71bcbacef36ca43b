"""Live audio that comes too late: it ends and begins along ramps, and none of it is lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat
from playback.background.mixer import Background

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
