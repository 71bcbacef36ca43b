"""Files open with each release of PyAV, whatever their metadata."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from playback import AudioFormat, FormatError
from playback.audio.media.decoding import decode
from playback.audio.media.untrusted import UntrustedDecoder
from playback.background.sources import FileSource
from tests.background.test_sources import listen
from tests.signals import FRAME, RATE, tone

pytestmark = pytest.mark.portable

TITLES = {
    "Latin-1": b"Caf\xe9 M\xfcller",
    "UTF-16": "Lied".encode("utf-16"),
    "no text": b"\xff\xfe\xfd\x80",
    "UTF-8": "Café".encode(),
}


def chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def wav(title: bytes) -> bytes:
    """A tenth of a second of a tone in a WAV file that has a title."""
    audio = tone(RATE // 10, RATE)
    form = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    info = b"INFO" + chunk(b"INAM", title)
    body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"LIST", info) + chunk(b"data", audio.tobytes())
    return chunk(b"RIFF", body)


each_title = pytest.mark.parametrize("title", TITLES.values(), ids=TITLES.keys())


@each_title
def test_a_background_file_opens_whatever_its_title(title: bytes, tmp_path: Path) -> None:
    path = tmp_path / "titled.wav"
    path.write_bytes(wav(title))
    source = FileSource(AudioFormat(RATE), path, loop=False)
    assert np.array_equal(listen(source, FRAME), tone(RATE // 10, RATE)[:FRAME])
    source.close()


@each_title
def test_an_upload_is_decoded_whatever_its_title(title: bytes) -> None:
    assert sum(block.samples for block in UntrustedDecoder(wav(title), name="titled.wav")) == RATE // 10


@each_title
def test_a_container_that_ffmpeg_takes_apart_opens_whatever_its_title(title: bytes) -> None:
    audio = np.zeros(RATE // 10, ">i2").tobytes()
    common = struct.pack(">hLh", 1, RATE // 10, 16) + bytes.fromhex("400e bb80 0000 0000 0000")
    parts = [(b"COMM", common), (b"NAME", title), (b"SSND", bytes(8) + audio)]
    body = b"AIFF" + b"".join(name + struct.pack(">I", len(data)) + data + bytes(len(data) % 2) for name, data in parts)
    file = b"FORM" + struct.pack(">I", len(body)) + body
    assert sum(block.samples for block in decode(file)) == RATE // 10


def test_what_is_no_media_file_is_an_error() -> None:
    with pytest.raises(FormatError, match="no audio at all"):
        next(decode(b"no audio at all" * 100))
