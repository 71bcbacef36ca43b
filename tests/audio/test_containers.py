"""What a stream of bytes is recognized as, by how it begins."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from playback.audio.encodings import ENCODINGS
from playback.audio.media.containers import Kind, adts_frame, mpeg_frame, recognize, tag_bytes
from tests.audio.media import CASES, chunk, made, sound, wav

KINDS = {
    "mp3": Kind.ID3,
    "mp3 44100": Kind.ID3,
    "mp3 plain": Kind.MP3,
    "adts": Kind.ADTS,
    "ogg": Kind.OGG,
    "flac": Kind.FLAC,
    "webm": Kind.MATROSKA,
    "matroska": Kind.MATROSKA,
    "m4a": Kind.MP4,
    "mp4": Kind.MP4,
    "aiff": Kind.AIFF,
    "au": Kind.AU,
    "caf": Kind.CAF,
    "wavpack": Kind.WAVPACK,
    "wav": Kind.WAV,
}

TEXTS = (
    '<!DOCTYPE html>\n<html lang="en"><head><title>502 Bad Gateway</title></head><body>nginx</body></html>' * 2,
    '{"error": {"message": "You exceeded your current quota, please check your plan and billing details."}}' * 2,
    "#EXTM3U\n#EXTINF:10,\nhttp://169.254.169.254/latest/meta-data\nfile:///etc/passwd\n" * 2,
    "ffconcat version 1.0\nfile /etc/passwd\nfile secret.wav\n" * 3,
    "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nm=audio 5004 RTP/AVP 0\r\n" * 2,
    "\ufeff<?xml version='1.0'?><Error><Message>Zugriff verweigert: ungültiger Schlüssel äöü</Message></Error>"
    + 40 * " .",
)


def decided(data: bytes) -> tuple[Kind | None, int]:
    """What it is recognized as when it comes byte by byte, and after how many bytes."""
    for size in range(len(data) + 1):
        if kind := recognize(data[:size]):
            return kind, size
    return recognize(data, final=True), len(data)


@pytest.mark.parametrize("name", CASES)
def test_each_container_is_recognized_byte_by_byte(name: str) -> None:
    data = made(name)
    kind, size = decided(data)
    assert kind is KINDS.get(name, KINDS[name.split()[0]])
    assert size <= 1_500
    assert kind.is_container
    for more in (size + 1, 2 * size, len(data)):
        assert recognize(data[:more]) is kind


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"RF64\xff\xff\xff\xffWAVEds64", Kind.WAV),
        (b"FORM\0\0\1\0AIFC", Kind.AIFF),
        (b"\0\0\0\x18ftypM4A \0\0\0\0", Kind.MP4),
        (b"#!AMR\n\x3c", Kind.AMR),
        (b"#!AMR-WB\n\x3c", Kind.AMR),
        (b"TTA1\1\0", Kind.TTA),
        (b"ID3\4\0\0\0\0\0\x23", Kind.ID3),
        (b"RIFF\0\0\0\0AVI LIST", Kind.UNKNOWN),
        (b"ID3\4\0\0\0\0\0\x80", Kind.UNKNOWN),
    ],
)
def test_signatures(start: bytes, kind: Kind) -> None:
    assert recognize(start, final=True) is kind


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_no_audio(text: str) -> None:
    data = text.encode()
    assert decided(data) == (Kind.TEXT, 128)
    assert recognize(data[:50], final=True) is Kind.TEXT
    assert not Kind.TEXT.is_container


@pytest.mark.parametrize("text", [b"Not Found", b"upstream connect error", b'{"error": 1}'])
def test_text_that_ends_early_is_text(text: bytes) -> None:
    assert recognize(text) is None
    assert recognize(text, final=True) is Kind.TEXT


def test_nothing_is_unknown() -> None:
    assert recognize(b"") is None
    assert recognize(b"", final=True) is Kind.UNKNOWN


def test_samples_are_never_mistaken() -> None:
    rng = np.random.default_rng(5)
    voice = sound(24_000, samples=100_000).astype("<i2")
    streams = [rng.bytes(64) for _ in range(5_000)]
    streams += [bytes([value]) * 512 for value in range(256)]  # constant in 8 bits, μ-law silence among them
    streams += [voice[at:].tobytes()[:4_096] for at in range(0, 90_000, 297)]
    quiet = rng.integers(-3, 4, 50_000).astype("<i2")
    streams += [quiet[at:].tobytes()[:4_096] for at in range(0, 40_000, 137)]
    for value in (-1, -2, -257, -513, -769, -1_025, -1_281):  # in s16le, what a header of MPEG audio begins with
        ramp = np.arange(value, value + 4_000, dtype="<i2")
        streams += [ramp.tobytes(), ramp[::-1].tobytes(), np.full(4_000, value, "<i2").tobytes()]
    kinds = {decided(data)[0] for data in streams}
    assert kinds == {Kind.UNKNOWN}


def test_loud_voices_of_8_bits_are_not_text() -> None:
    # Of μ-law and u8, one half of a wave is printable.
    time = np.arange(2_000)
    for hertz in (60, 80, 130, 400, 1_000):
        wave = np.sin(2 * np.pi * hertz * time / 8_000)
        unsigned = np.rint(128 + 60 * wave).astype(np.uint8)
        codes = np.frombuffer(b"".join(bytes([code]) for code in range(256)), np.uint8)
        table = np.frombuffer(ENCODINGS["mulaw"].decode(codes.tobytes()), "<i2").astype(int)
        mulaw = np.abs(table[None, :] - (20_000 * wave)[:, None]).argmin(axis=1).astype(np.uint8)
        for data in (unsigned, mulaw):
            assert {decided(data[at:].tobytes())[0] for at in range(0, 200, 3)} == {Kind.UNKNOWN}


def test_samples_are_decided_after_a_few_bytes() -> None:
    assert decided(bytes(100)) == (Kind.UNKNOWN, 5)
    assert all(decided(sound(24_000, seed, 100).tobytes())[1] <= 8 for seed in range(200))


def test_one_header_is_not_enough() -> None:
    mp3, adts = made("mp3 plain"), made("adts")
    for data, read in ((mp3, mpeg_frame), (adts, adts_frame)):
        first = read(data)
        assert first is not None
        second = data[first.size :]
        assert recognize(data[: first.size]) is None
        assert recognize(data[: first.size] + bytes(100)) is Kind.UNKNOWN
        assert recognize(data[: first.size], final=True) in (Kind.MP3, Kind.ADTS), "a file of one frame"
        assert recognize(data[: first.size - 1], final=True) is Kind.UNKNOWN
        assert recognize(data[: first.size] + second[:7]) in (Kind.MP3, Kind.ADTS)


def test_headers_of_frames() -> None:
    frame = mpeg_frame(b"\xff\xfb\x90\x00")  # MPEG-1, layer III, 128 kbit/s, 44,100 Hz, stereo
    assert frame is not None
    assert (frame.size, frame.samples, frame.side_bytes) == (417, 1_152, 32)
    frame = mpeg_frame(b"\xff\xf3\x84\xc0")  # MPEG-2, layer III, 64 kbit/s, 24,000 Hz, mono
    assert frame is not None
    assert (frame.size, frame.samples, frame.side_bytes) == (192, 576, 9)
    frame = mpeg_frame(b"\xff\xe3\x18\xc0")  # MPEG-2.5, 8 kbit/s, 8,000 Hz
    assert frame is not None
    assert (frame.size, frame.samples) == (72, 576)
    refused = [b"\xff\xfb\x00\x00", b"\xff\xfb\xf0\x00", b"\xff\xfb\x9c\x00", b"\xff\xfb\x90\x02", b"\xff\xeb\x90\x00"]
    refused += [b"\xff\xff\x90\x00", b"\xff\xf9\x90\x00", b"\xfe\xfb\x90\x00", b"\xff\xfb\x90"]
    assert [mpeg_frame(head) for head in refused] == [None] * len(refused)
    assert adts_frame(made("adts")[:6]) is None
    assert adts_frame(b"\xff\xf1\x7c\x40\x02\x1f\xfc") is None, "there is no such rate"
    assert adts_frame(b"\xff\xf1\x50\x40\x00\x1f\xfc") is None, "it is shorter than its header"


def test_the_frames_of_a_file_follow_each_other() -> None:
    for name, read in (("mp3 plain", mpeg_frame), ("adts", adts_frame)):
        data, at, frames = made(name), 0, []
        while at < len(data):
            frame = read(data[at:])
            assert frame is not None
            frames.append(frame)
            at += frame.size
        assert at == len(data)
        assert all(one.alike == other.alike for one, other in pairwise(frames))


def test_the_length_of_a_tag() -> None:
    assert tag_bytes(b"ID3\4\0\0\0\0\2\1" + bytes(300)) == 10 + 257
    assert tag_bytes(b"ID3\4\0\x10\0\0\0\1" + bytes(300)) == 10 + 1 + 10, "with a footer"
    assert tag_bytes(wav(sound(8_000), 8_000, before=chunk(b"LIST", b"INFO"))) == 0
