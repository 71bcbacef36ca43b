"""Down to 8 kHz: the telephone's band stays, and nothing above it folds into it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController
from tests.signals import CUTS, tone

pytestmark = pytest.mark.portable

TELEPHONE = AudioFormat(8_000)
SOURCES = [16_000, 22_050, 24_000, 44_100, 48_000]
LEVEL = 0.9


def heard(audio: NDArray[np.int16], rate: int, channels: int = 1) -> NDArray[np.float64]:
    """What a second of audio is at 8 kHz, without its ends, where a tone that begins has all frequencies."""
    controller = PlaybackController(TELEPHONE, fades=CUTS)
    utterance = controller.utterance(format=AudioFormat(rate, channels))
    utterance.push(audio)
    utterance.end()
    assert utterance.accepted == 8_000
    out = controller.read(8_000)[:, 0].astype(np.float64)
    assert utterance.played == 8_000
    return out[400:-400]


def decibels(audio: NDArray[np.float64]) -> float:
    """Against the tone that went in."""
    return float(20 * np.log10(max(np.sqrt(2) * audio.std() / (LEVEL * 32_767), 1e-9)))


@pytest.mark.parametrize("rate", SOURCES)
def test_what_lies_above_the_band_is_gone(rate: int) -> None:
    tones = [hertz for hertz in (*range(4_200, 5_000, 100), *range(5_000, 12_001, 500)) if hertz < rate / 2]
    levels = {hertz: decibels(heard(tone(rate, rate, hertz, LEVEL), rate)) for hertz in tones}
    assert max(levels.values()) < -60, levels


@pytest.mark.parametrize("rate", SOURCES)
def test_the_band_of_a_telephone_is_flat(rate: int) -> None:
    tones = (300, 1_000, 2_000, 3_000, 3_200, 3_400)
    levels = {hertz: decibels(heard(tone(rate, rate, hertz, LEVEL), rate)) for hertz in tones}
    assert max(map(abs, levels.values())) < 0.1, levels


@pytest.mark.parametrize("rate", SOURCES)
def test_loud_noise_above_the_band_is_gone(rate: int) -> None:
    rng = np.random.default_rng(rate)
    spectrum = np.fft.rfft(rng.normal(size=rate))
    spectrum[np.fft.rfftfreq(rate, 1 / rate) < 4_200] = 0
    high = np.fft.irfft(spectrum, rate)
    high *= 4_000 / high.std()
    out = heard(np.rint(high).clip(-32_768, 32_767).astype(np.int16), rate)
    assert out.std() < 4_000 / 1_000, "60 dB"


@pytest.mark.parametrize("size", [1, 7, 479, 480, 9_600])
def test_the_size_of_pushes_changes_nothing(size: int) -> None:
    audio = tone(24_000, 24_000, 700)
    outputs = []
    for pieces in ([audio], [audio[at : at + size] for at in range(0, len(audio), size)]):
        controller = PlaybackController(TELEPHONE, fades=CUTS)
        utterance = controller.utterance(format=AudioFormat(24_000))
        for piece in pieces:
            utterance.push(piece)
        utterance.end()
        outputs.append(controller.read(8_000))
    assert np.array_equal(outputs[0], outputs[1])


def test_little_is_held_back() -> None:
    controller = PlaybackController(TELEPHONE, fades=CUTS)
    utterance = controller.utterance(format=AudioFormat(24_000))
    for _ in range(10):
        utterance.push(tone(480, 24_000))
    assert utterance.accepted == 1_600
    controller.read(1_550)  # all but 6 ms
    assert (utterance.played, controller.stats.underruns) == (1_550, 0)


def test_stereo_is_averaged() -> None:
    left = tone(48_000, 48_000, 500, LEVEL)
    both = np.stack([left, np.zeros_like(left)], axis=1)
    assert decibels(heard(both, 48_000, 2)) == pytest.approx(-6.02, abs=0.05)
