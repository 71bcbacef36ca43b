"""How loud an utterance is, found by a look at few of its samples."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from numpy.typing import NDArray

from playback.audio.envelope import Envelope
from playback.audio.formats import AudioFormat, Block, parse

RATE = 24_000


def bursts(rate: int = RATE, level: float = 0.5) -> NDArray[np.int16]:
    """A second: 0.3 s of a tone, 0.2 s of silence, 0.3 s of the tone, 0.2 s of silence."""
    time = np.arange(rate) / rate
    loud = (time % 0.5) < 0.3
    return np.rint(level * 32767 * np.sin(2 * np.pi * 220 * time) * loud).astype(np.int16)


def of_chunks(audio: NDArray[np.int16], size: int, format: AudioFormat) -> Envelope:
    envelope = Envelope(format)
    data = audio.tobytes()
    for start in range(0, len(data), size * format.frame_bytes):
        envelope.add(data[start : start + size * format.frame_bytes])
    return envelope


def is_as_pushed(envelope: Envelope, level: float = 0.5) -> None:
    windows = envelope.windows()
    places = (np.arange(len(windows)) + 0.5) * envelope.seconds
    inside = np.minimum(places % 0.5, 0.5 - places % 0.5) > 0.03
    speech = (places % 0.5 < 0.27) & inside
    silence = (places % 0.5 > 0.33) & inside
    assert np.all(windows[speech] > 0.5 * 127 * level)
    assert np.all(windows[silence] == 0)
    assert len(windows) * envelope.seconds == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("size", [1, 7, 160, 441, 480, 10_000, 24_000])
def test_it_does_not_depend_on_how_the_audio_came(size: int) -> None:
    envelope = of_chunks(bursts(), size, AudioFormat(RATE))
    assert np.array_equal(envelope.windows(), of_chunks(bursts(), 24_000, AudioFormat(RATE)).windows())
    is_as_pushed(envelope)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_at_each_rate(rate: int) -> None:
    is_as_pushed(of_chunks(bursts(rate), 441, AudioFormat(rate)))


def test_in_stereo_the_first_channel_counts() -> None:
    audio = np.stack([bursts(), np.zeros(RATE, np.int16)], axis=1)
    is_as_pushed(of_chunks(audio, 480, AudioFormat(RATE, 2)))


@pytest.mark.parametrize("level", [-1, 1, 255, -256])
def test_the_quietest_samples_are_silence(level: int) -> None:
    assert not of_chunks(np.full(RATE, level, np.int16), 480, AudioFormat(RATE)).windows().any()


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("kind", ["s16", "float", "mulaw", "stereo", "frames"])
def test_what_is_left_is_looked_at_unconverted(rate: int, kind: str) -> None:
    audio = bursts(rate)
    pushed = AudioFormat(rate, encoding="mulaw") if kind == "mulaw" else AudioFormat(rate, 2 if kind == "stereo" else 1)
    blocks: deque[Block] = deque()
    for piece in np.array_split(audio, 13):
        if kind == "float":
            blocks.append(parse(piece.astype(np.float32) / 32768, pushed))
        elif kind == "mulaw":
            blocks.append(parse(_mulaw(piece), pushed))
        elif kind == "stereo":
            blocks.append(parse(np.stack([piece, piece], axis=1), pushed))
        else:
            blocks.append(parse(piece.tobytes(), pushed))
    envelope = Envelope(AudioFormat(48_000))
    envelope.keep_rest(deque(), deque(), blocks, 0)
    is_as_pushed(envelope)
    assert envelope.is_complete


def test_a_piece_of_any_length_is_looked_at_a_little_at_a_time() -> None:
    envelope = Envelope(AudioFormat(RATE))
    minutes = bytes(600 * RATE * 2)
    envelope.keep_rest(deque(), deque([minutes]), deque(), 0)
    steps = 0
    while not envelope.is_complete:
        assert envelope.look_at_next() <= 64
        steps += 1
    assert steps > 200
    assert len(envelope.windows()) == 30_000


def test_what_can_not_be_played_is_left_out() -> None:
    wrong = parse(np.concatenate([np.zeros(2 * RATE), np.full(RATE, 1e9)]).astype(np.float32), AudioFormat(RATE))
    envelope = Envelope(AudioFormat(RATE))
    envelope.keep_rest(deque(), deque([bursts().tobytes()]), deque([wrong, wrong]), 0)
    is_as_pushed_first = envelope.windows()[:50]
    assert is_as_pushed_first.any()
    assert envelope.is_complete


def test_what_is_not_known_counts_as_speech() -> None:
    envelope = Envelope(AudioFormat(RATE))
    envelope.skip(RATE)
    assert envelope.windows().all()
    assert len(envelope.windows()) == 50


def _mulaw(audio: NDArray[np.int16]) -> bytes:
    """µ-law by its definition (ITU-T G.711), to the nearest code."""
    codes = np.arange(256, dtype=np.uint8)
    inverted = ~codes
    exponent, mantissa = (inverted >> 4) & 7, inverted & 15
    values = (((mantissa.astype(int) << 3) + 132) << exponent) - 132
    values = np.where(inverted & 128, -values, values)
    order = np.argsort(values)
    places = np.clip(np.searchsorted(values[order], audio), 0, 255)
    return codes[order][places].tobytes()
