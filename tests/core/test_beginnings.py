"""Bytes that are to be samples and begin as a file does: an error that names the ways out, and no noise."""

from __future__ import annotations

import asyncio
import io
import wave

import numpy as np
import pytest

from playback import FormatError, PlaybackController
from tests.signals import FRAME, Heard, ramp

pytestmark = pytest.mark.portable

BEGINNINGS = {
    "WAV": b"RIFF\x24\0\0\0WAVEfmt ",
    "AIFF": b"FORM\0\0\0\x24AIFFCOMM",
    "FLAC": b"fLaC\0\0\0\x22" + bytes(8),
    "Ogg": b"OggS\0\2" + bytes(10),
    "WebM or Matroska": b"\x1aE\xdf\xa3" + bytes(12),
    "MP4": b"\0\0\0\x20ftypM4A " + bytes(4),
    "CAF": b"caff\0\1\0\0desc" + bytes(4),
    "ID3": b"ID3\4\0\0\0\0\0\0" + bytes(6),
}
each = pytest.mark.parametrize(("name", "beginning"), BEGINNINGS.items(), ids=BEGINNINGS)


@each
def test_a_file_is_no_audio(name: str, beginning: bytes) -> None:
    h = Heard()
    utterance = h.controller.utterance()
    with pytest.raises(FormatError, match=rf"begins as .*{name}.*does.*speak\(\).*format='encoded'"):
        utterance.push(beginning + bytes(960))
    assert (utterance.accepted, h.controller.state, h.emitted()) == (0, "idle", [])
    assert utterance.push(ramp(FRAME)) == FRAME, "the handle can be used"


@each
def test_a_file_is_no_audio_without_a_handle(name: str, beginning: bytes) -> None:
    with pytest.raises(FormatError, match=name):
        PlaybackController().push(bytearray(beginning) + bytes(960))


@each
async def test_a_file_is_no_audio_for_a_write_or_a_thread(name: str, beginning: bytes) -> None:
    controller = PlaybackController()
    with pytest.raises(FormatError, match=name):
        await controller.utterance().write(beginning + bytes(960))
    producer = controller.threadsafe(asyncio.get_running_loop())
    with pytest.raises(FormatError, match=name):
        producer.utterance().push(beginning + bytes(960))


@each
@pytest.mark.parametrize("size", [1, 3, 7])
def test_a_file_in_pieces_is_noticed_within_its_signature(name: str, beginning: bytes, size: int) -> None:
    utterance = PlaybackController().utterance()

    def push() -> None:
        for start in range(0, len(beginning), size):
            utterance.push(beginning[start : start + size])

    with pytest.raises(FormatError, match=name):
        push()


def test_a_later_push_may_hold_anything() -> None:
    utterance = PlaybackController().utterance()
    utterance.push(bytes(960))
    assert utterance.push(BEGINNINGS["WAV"] + bytes(960)) == 488


def test_samples_are_never_taken_for_a_file() -> None:
    random = np.random.default_rng(1)
    for _ in range(2_000):
        samples = random.integers(-32_768, 32_768, 480).astype(np.int16)
        assert PlaybackController().push(samples.tobytes()) == 480
    for level in (0, 1, -1, 32_767, -32_768):
        assert PlaybackController().push(np.full(480, level, np.int16).tobytes()) == 480


def test_an_array_is_samples_whatever_it_holds() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as header:
        header.setnchannels(1)
        header.setsampwidth(2)
        header.setframerate(24_000)
        header.writeframes(bytes(960))
    samples = np.frombuffer(file.getvalue(), np.int16)
    assert PlaybackController().push(samples) == len(samples)
