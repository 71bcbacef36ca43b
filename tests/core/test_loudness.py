"""Loudness: a gain above 0 dB is limited and never clips, bends a wave only while it rises, and makes no step."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController
from tests.signals import CUTS

RATE: Final = 24_000
FRAME: Final = 480
CEILING: Final = 31_656
"""0.3 dB below full scale, in 16 bits."""

GAINS: Final = [0.0, 1.0, 3.0, 6.0, 12.0, 18.0, 24.0]


def sine(seconds: float, hertz: float, peak: float, rate: int = RATE) -> NDArray[np.int16]:
    audio: NDArray[np.int16] = np.rint(peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate))
    return audio.astype(np.int16)


def talking(audio: NDArray[np.int16], rate: int = RATE, channels: int = 1, **options: Any) -> PlaybackController:
    controller = PlaybackController(AudioFormat(rate, channels), fades=CUTS, **options)
    controller.push(audio)
    return controller


def read(controller: PlaybackController, frames: int) -> NDArray[np.int_]:
    """So many frames of 20 ms, of all channels."""
    samples = controller.format.sample_rate // 50
    return np.concatenate([controller.read(samples) for _ in range(frames)]).astype(int)


def distortion(audio: NDArray[np.int_], hertz: int, rate: int = RATE) -> float:
    """The harmonics of a tone, against it; of whole seconds."""
    spectrum = np.abs(np.fft.rfft(audio.astype(float)))
    seconds = len(audio) // rate
    harmonics = [spectrum[hertz * seconds * number] for number in range(1, rate // 2 // hertz)]
    return float(np.sqrt(np.square(harmonics[1:]).sum()) / harmonics[0])


@pytest.mark.parametrize("gain", GAINS)
@pytest.mark.parametrize("hertz", [60, 100, 233, 440, 1_000, 3_000])
def test_a_steady_tone_keeps_its_shape_at_any_gain(hertz: int, gain: float) -> None:
    controller = talking(sine(3, hertz, 20_000))
    controller.gain_db = gain
    read(controller, 25)
    heard = read(controller, 50)[:, 0]
    assert distortion(heard, hertz) < 0.005
    expected = min(20_000 * 10 ** (gain / 20), CEILING)
    assert expected * 0.97 < np.abs(heard).max() <= CEILING


def test_clipping_would_distort_it() -> None:
    clipped = np.clip(sine(1, 440, 20_000) * 10 ** (12 / 20), -32_768, 32_767).astype(int)
    assert distortion(clipped, 440) > 0.2


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("peak", [8_000, 20_000, 32_767])
def test_no_sample_is_at_full_scale(peak: int, background: bool) -> None:
    controller = talking(sine(3, 233, peak))
    if background:
        controller.background.add(sine(1, 317, 30_000), gain_db=-6, fade_seconds=0)
    controller.gain_db = 12
    assert np.abs(read(controller, 1)).max() < 32_767
    assert np.abs(read(controller, 99)).max() <= CEILING


@pytest.mark.parametrize("order", ["gain first", "background first"])
def test_the_sum_with_background_keeps_its_headroom_as_long_as_the_gain_does(order: str) -> None:
    controller = talking(sine(4, 233, 32_000))
    if order == "gain first":
        controller.gain_db = 6
    controller.background.add(sine(1, 317, 30_000), gain_db=0, fade_seconds=0)
    controller.gain_db = 6
    read(controller, 2)
    assert np.abs(read(controller, 50)).max() <= CEILING
    controller.gain_db = 0
    read(controller, 2)
    assert np.abs(read(controller, 50)).max() > CEILING


@pytest.mark.parametrize("gain", [-40.0, -6.0, -0.1, 0.0])
def test_at_or_below_0_db_speech_is_exact(gain: float) -> None:
    audio = np.random.default_rng(1).integers(-32_768, 32_768, 30 * FRAME).astype(np.int16)
    controller = talking(audio)
    controller.gain_db = gain
    read(controller, 2)
    expected = np.rint(audio[2 * FRAME : 20 * FRAME] * 10 ** (gain / 20)).astype(int)
    assert np.array_equal(read(controller, 18)[:, 0], expected)


def test_after_a_gain_speech_is_exact_again_at_once() -> None:
    audio = np.random.default_rng(2).integers(-32_768, 32_768, 80 * FRAME).astype(np.int16)
    controller = talking(audio)
    for number in range(8):
        controller.gain_db = 18
        read(controller, 5)
        controller.gain_db = 0
        read(controller, 1)
        first = (10 * number + 6) * FRAME
        assert np.array_equal(read(controller, 4)[:, 0], audio[first : first + 4 * FRAME]), "nothing to recover from"


@pytest.mark.parametrize("hertz", [50, 233, 1_000])
@pytest.mark.parametrize("peak", [10_000, 32_767])
def test_no_change_of_gain_makes_a_step(hertz: int, peak: int) -> None:
    """What a frame may do is what the audio does at that gain, and what the ramp of 20 ms adds."""
    for offset in range(0, FRAME, 23):
        controller = talking(sine(3, hertz, peak)[offset:])
        before = read(controller, 2)[-1:]
        for gain in (12.0, 24.0, 3.0, -20.0, 20.0, 0.0):
            controller.gain_db = gain
            heard = read(controller, 6)
            loudest = max(10 ** (12 / 20), 10 ** (24 / 20)) if gain >= 12 else 10 ** (24 / 20)
            own = 2 * np.pi * hertz / RATE * min(peak * loudest, CEILING * 1.04)
            ramp = CEILING * 1.04 * loudest / FRAME
            assert np.abs(np.diff(heard, axis=0, prepend=before)).max() <= own + ramp + 3, (offset, gain)
            before = heard[-1:]


def test_a_loud_word_dips_what_follows_only_for_a_moment_and_evenly() -> None:
    quiet, loud = sine(1, 400, 2_000), sine(0.2, 400, 30_000)
    controller = talking(np.concatenate([quiet, loud, quiet]))
    controller.gain_db = 12
    heard = np.abs(read(controller, 110)[:, 0])
    levels = np.array([heard[start : start + FRAME].max() for start in range(0, len(heard), FRAME)])
    steady = round(2_000 * 10 ** (12 / 20))
    assert set(levels[2:50].tolist()) <= {steady - 1, steady}
    after = levels[60:]
    assert after[0] < 0.3 * steady
    assert (np.diff(after) >= -1).all(), "it comes back evenly"
    assert (after[1:] / after[:-1]).max() < 1.12, "1 dB in 20 ms"
    assert after[25] >= steady - 1, "within half a second"


def test_two_channels_keep_their_balance() -> None:
    audio = np.stack([sine(2, 300, 28_000), sine(2, 300, 7_000)], axis=1)
    controller = talking(audio, channels=2)
    controller.gain_db = 15
    read(controller, 10)
    heard = read(controller, 50)
    assert np.abs(heard[:, 0] - 4 * heard[:, 1]).max() <= 4
    assert np.abs(heard).max() <= CEILING


def test_frames_of_any_size_are_limited_alike() -> None:
    audio = np.concatenate([sine(0.3, 200, 9_000), sine(0.3, 310, 31_000), sine(0.4, 150, 3_000)])
    heard = []
    for size in (77, 480, 3_000):
        controller = talking(audio)
        controller.read(1)
        controller.gain_db = 9
        heard.append(np.concatenate([controller.read(size) for _ in range(18_000 // size)])[:17_700].astype(int))
    assert np.abs(heard[0] - heard[1]).max() <= 1
    assert np.abs(heard[0] - heard[2]).max() <= 1


def test_speech_above_a_fade_out_is_limited_not_clipped() -> None:
    """New speech at full scale begins while the old one fades out beneath it."""
    controller = PlaybackController(AudioFormat(RATE))
    controller.push(sine(1, 233, 32_000))
    read(controller, 10)
    controller.interrupt()
    again = controller.utterance()
    again.push(sine(2, 233, 32_000))
    overlap = read(controller, 3)[:, 0]
    assert np.abs(overlap).max() <= 32_767
    assert (np.abs(overlap) >= 32_767).sum() < 15, "a peak at a time, and no flat top"
    read(controller, 30)
    assert np.array_equal(controller.read(FRAME)[:, 0], sine(2, 233, 32_000)[33 * FRAME : 34 * FRAME])
