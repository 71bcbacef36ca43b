"""Files of every container, whole, joined, damaged, hostile."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from playback.audio.formats import BLOCK_SECONDS, Block, FormatError
from playback.audio.media.blocks import Damage
from playback.audio.media.containers import Kind, adts_frame
from playback.audio.media.decoding import decode
from playback.audio.media.ffmpeg import demux
from tests.audio.media import CASES, SAMPLES, Case, chunk, correlation, encode, made, samples_of, sound, wav
from tests.audio.test_containers import TEXTS

RATE = 24_000


def decoded(source: Any) -> tuple[list[Block], int]:
    """The blocks of a file, and how much of it was skipped."""
    damage = Damage()
    return list(decode(source, damage=damage)), damage.count


def heard(source: Any) -> NDArray[np.float64]:
    """An undamaged file."""
    blocks, damaged = decoded(source)
    assert damaged == 0
    return samples_of(blocks)


class Unseekable:
    """A file object as a network gives it."""

    def __init__(self, data: bytes, size: int = 1_000) -> None:
        self._file = io.BytesIO(data)
        self._size = size

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._size))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_each_container_and_codec(name: str, channels: int) -> None:
    case = CASES[name]
    data, audio = made(name, channels=channels), sound(case.rate)
    blocks, damaged = decoded(data)
    out = samples_of(blocks)
    assert damaged == 0
    if case.is_lossless:
        assert np.array_equal(out, audio)
    elif name.startswith("m4a"):
        assert abs(len(out) - SAMPLES) <= case.rate / 1_000, "an edit list may count in milliseconds"
    elif case.states_length:
        assert len(out) == SAMPLES
    else:
        assert SAMPLES <= len(out) - case.delay < SAMPLES + 2_048
    assert correlation(out, audio, case.delay) > 0.95
    assert {block.layout.sample_rate for block in blocks} == {case.rate}
    stereo = channels == 2 or "vorbis" in name
    assert {block.layout.channels for block in blocks} == {"stereo" if stereo else "mono"}
    assert all(0 < block.samples <= BLOCK_SECONDS * case.rate for block in blocks)
    assert all(len(block.read()) == block.samples * block.layout.frame_bytes for block in blocks)


@pytest.mark.parametrize("name", ["wav", "mp3", "m4a", "m4a index first", "ogg opus", "wavpack"])
def test_all_sources_give_the_same(name: str, tmp_path: Path) -> None:
    data = made(name)
    path = tmp_path / "file"
    path.write_bytes(data)
    expected = heard(data)
    with path.open("rb") as file:
        file.seek(100)
        for source in (path, str(path), bytearray(data), memoryview(data), io.BytesIO(data), file, Unseekable(data)):
            assert np.array_equal(heard(source), expected)
        assert not file.closed


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        list(decode("/no/such/file.wav"))


def test_errors_of_the_source_are_not_hidden() -> None:
    class Broken(Unseekable):
        def read(self, size: int) -> bytes:
            if data := super().read(size):
                return data
            raise ConnectionResetError("the peer is gone")

    for name in ("wav", "ogg opus", "mp3", "flac"):
        with pytest.raises(ConnectionResetError):
            list(decode(Broken(made(name)[:3_000])))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="gave a str, expected bytes: open it in binary mode"):
        list(decode(io.StringIO("RIFF")))  # type: ignore[arg-type]


# WAV


@pytest.mark.parametrize("length", [None, 0, 0x7FFF_F000, 0x7FFF_FFDB, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
@pytest.mark.parametrize("before", [b"", chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0"), chunk(b"junk", bytes(70_001))])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_of_any_stated_length(length: int | None, before: bytes, channels: int) -> None:
    audio = sound(RATE, channels=channels)
    data = wav(audio, RATE, length=length, before=before)
    assert np.array_equal(heard(data), audio.reshape(SAMPLES, -1)[:, 0])
    assert np.array_equal(heard(data * 3), np.tile(audio.reshape(SAMPLES, -1)[:, 0], 3)), "joined"


def test_what_follows_the_samples_of_a_wav_file_is_no_sound() -> None:
    audio = sound(RATE)
    after = chunk(b"LIST", b"INFOICMT\x04\0\0\0abcd") + chunk(b"id3 ", bytes(range(256)) * 9) + b"\0\xff junk"
    data = wav(audio, RATE, after=after)
    assert np.array_equal(heard(data), audio)
    assert np.array_equal(heard(data + data), np.tile(audio, 2))


def test_a_wav_header_on_every_piece() -> None:
    audio = sound(RATE)
    for length in (None, 0, 0xFFFF_FFFF, 2 * SAMPLES):  # the last one: every header states the length of all
        pieces = [wav(piece, RATE, length=length) for piece in np.array_split(audio, 30)]
        assert np.array_equal(heard(b"".join(pieces)), audio)


def test_a_partial_sample_at_the_end_of_a_wav_file_is_dropped() -> None:
    audio = sound(RATE)
    assert np.array_equal(heard(wav(audio, RATE, length=0) + b"\x7f"), audio)
    assert np.array_equal(heard(wav(audio, RATE, length=0) + b"\x7f" + wav(audio, RATE)), np.tile(audio, 2))


def test_rf64_states_its_length_elsewhere() -> None:
    audio = sound(RATE)
    size = audio.nbytes.to_bytes(8, "little")
    plain = wav(audio, RATE, length=0xFFFF_FFFF, after=chunk(b"LIST", b"x" * 100))
    data = b"RF64" + plain[4:12] + chunk(b"ds64", bytes(8) + size + bytes(12)) + plain[12:]
    assert np.array_equal(heard(data), audio)


def test_wav_of_other_samples_is_left_to_ffmpeg() -> None:
    surround = np.tile(sound(RATE)[:, None], (1, 6))
    (block, *_), damaged = decoded(wav(surround, RATE))
    assert damaged == 0
    assert block.layout.channels in ("5.1", "6 channels", "5.1(side)")
    assert np.array_equal(heard(wav(surround, RATE)), sound(RATE))
    extensible = encode(sound(RATE), Case("wav", "pcm_s24le", RATE))
    assert b"\xfe\xff" in extensible[:24], "the case is one of WAVE_FORMAT_EXTENSIBLE"
    assert np.array_equal(heard(extensible), sound(RATE))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"RIFF\0\0\0\0WAVE", "ends within its header"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", "ends within its header"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0\1\2\3\4", "no fmt chunk"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"abcd", b"") * 200, "no samples near its beginning"),
        (b"RIFF\0\0\0\0WAVE" + b"abcd\xf0\xff\xff\xff" + bytes(2**21), "no samples near its beginning"),
        (wav(np.zeros(0, np.int16), RATE), "without a sample"),
    ],
)
def test_wav_files_without_samples(data: bytes, message: str) -> None:
    with pytest.raises(
        FormatError, match=f"the audio is WAV without a sample that can be decoded.*{message}|{message}"
    ):
        list(decode(data))


def test_floats_that_are_no_numbers_are_damage() -> None:
    audio = (sound(RATE) / 32_768).astype("<f4")
    audio[12_000] = np.nan
    data = encode(sound(RATE), CASES["wav floats"])
    header = data[: data.index(b"data") + 8]
    blocks, damaged = decoded(header + audio.tobytes())
    assert damaged == 1
    assert sum(block.samples for block in blocks) == SAMPLES - int(BLOCK_SECONDS * RATE)


# Several files in one


@pytest.mark.parametrize("name", [name for name in CASES if name.split()[0] not in ("m4a", "mp4", "wavpack")])
def test_joined_files_play_on(name: str) -> None:
    case = CASES[name]
    parts = [made(name, seed) for seed in (1, 2, 3)]
    singles = [heard(part) for part in parts]
    out = heard(b"".join(parts))
    if case.states_length or case.is_lossless:
        assert np.array_equal(out, np.concatenate(singles))
    else:  # where nothing says that a file begins, the decoder goes on, and what one ends with runs into the next
        assert abs(len(out) - sum(map(len, singles))) <= 2_048


@pytest.mark.parametrize("name", ["mp3", "flac", "ogg opus", "ogg flac", "wav", "matroska flac"])
def test_joined_files_may_have_other_layouts(name: str) -> None:
    case = CASES[name]
    other = case if case.codec == "libopus" else case._replace(rate=2 * case.rate)
    second = encode(sound(other.rate, 2, 10_000, channels=2), other)
    blocks, damaged = decoded(made(name) + second)
    assert damaged == 0
    layouts = list(dict.fromkeys((block.layout.sample_rate, block.layout.channels) for block in blocks))
    assert layouts == [(case.rate, "mono"), (other.rate, "stereo")]
    assert sum(block.samples for block in blocks) == SAMPLES + 10_000


@pytest.mark.parametrize("names", [("ogg opus", "ogg flac"), ("ogg flac", "ogg vorbis"), ("ogg vorbis", "ogg opus")])
def test_chained_ogg_of_different_codecs(names: tuple[str, str]) -> None:
    blocks, damaged = decoded(b"".join(map(made, names)))
    assert damaged == 0
    singles = [block for name in names for block in decoded(made(name))[0]]
    assert [(block.layout, bytes(block.read())) for block in blocks] == [
        (block.layout, bytes(block.read())) for block in singles
    ]


def test_tags_around_mp3_files() -> None:
    plain, audio = made("mp3 plain"), heard(made("mp3 plain"))
    id3v1 = b"TAG" + b"a title".ljust(125, b"\0")
    ape = b"APETAGEX\xd0\x07\0\0\x30\0\0\0\1\0\0\0\0\0\0\xa0" + bytes(8)
    ape += b"\4\0\0\0\0\0\0\0Art\0abcd" + b"APETAGEX\xd0\x07\0\0\x30\0\0\0\1\0\0\0\0\0\0\x80" + bytes(8)
    id3v2 = b"ID3\4\0\0\0\0\2\0" + bytes(range(256))
    for before in (b"", id3v2, id3v2 * 2, id3v2 + bytes(2_000)):
        assert np.array_equal(heard(before + plain + id3v1), audio)
        assert np.array_equal(heard(before + plain + ape), audio)
        assert abs(len(heard((before + plain + id3v1) * 2)) - 2 * len(audio)) <= 1_152


@pytest.mark.parametrize("name", ["adts", "flac"])
def test_a_tag_before_other_containers(name: str) -> None:
    assert np.array_equal(heard(b"ID3\4\0\0\0\0\2\0" + bytes(256) + made(name)), heard(made(name)))


# What can't be decoded


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_quoted(text: str) -> None:
    quoted = re.escape(repr(text[:40])[1:-1])
    with pytest.raises(FormatError, match=f"answer 7 is text, expected audio; it begins with .*{quoted}"):
        list(decode(text.encode(), name="answer 7"))


def test_plain_samples_need_a_format() -> None:
    with pytest.raises(
        FormatError, match=r"begins with b.*, expected an audio container.* plain samples need an AudioFormat"
    ):
        list(decode(sound(RATE).tobytes()))


def test_nothing_is_no_audio() -> None:
    with pytest.raises(FormatError, match="the audio is empty, expected a file of audio"):
        list(decode(b""))


@pytest.mark.parametrize("text", TEXTS)
def test_lists_of_files_are_not_followed_behind_a_signature_either(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(made("wav"))
    text = text.replace("secret.wav", str(tmp_path / "secret.wav"))
    for start in (
        b"ID3\3\0\0\0\0\0\0",
        b"OggS\0\2",
        b"fLaC",
        b"\0\0\0\x18ftypM4A ",
        b"\x1aE\xdf\xa3",
        b"RIFF\0\0\0\0WAVE",
    ):
        with pytest.raises(FormatError):
            list(decode(start + text.encode()))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind.is_container and kind is not Kind.ID3])
def test_the_demuxer_does_not_guess_the_format(kind: Kind, tmp_path: Path) -> None:
    # A playlist that FFmpeg, left to guess, follows.
    (tmp_path / "a.wav").write_bytes(made("wav"))
    text = f"ffconcat version 1.0\nfile {tmp_path}/a.wav\n".encode()
    damage = Damage()
    try:  # some demuxers look for a frame anywhere, and find none
        blocks = list(demux(io.BytesIO(text), kind, damage))
    except FormatError:
        blocks = []
    assert blocks == []


def test_a_movie_that_names_other_files_is_refused(tmp_path: Path) -> None:
    data = made("m4a")
    at = data.index(b"dref")
    other = tmp_path / "other.m4a"
    other.write_bytes(data)
    # The data reference "url " with the flag "in this file" becomes one that is elsewhere.
    moved = bytearray(data)
    moved[at + 16 : at + 24] = b"url \0\0\0\0"
    assert abs(len(samples_of(decoded(bytes(moved))[0])) - SAMPLES) <= 45, "its own audio, whatever it names"


def test_pictures_are_not_decoded() -> None:
    png = b"\x89PNG\r\n\x1a\n" + bytes(200)
    head = b"\0\0\0\3" + b"\0\0\0\x09image/png" + bytes(20) + len(png).to_bytes(4, "big") + png
    flac = made("flac")
    picture = b"\x06" + len(head).to_bytes(3, "big") + head
    with_picture = flac[:42] + picture + flac[42:]
    assert np.array_equal(heard(with_picture), sound(RATE))


@pytest.mark.parametrize("name", ["flac", "matroska flac", "m4a alac", "mp3"])
def test_titles_that_are_not_utf_8(name: str) -> None:
    case = CASES[name]
    data = encode(sound(case.rate), case, {"title": "a title of some length"})
    assert b"a title of some" in data
    damaged = data.replace(b"a title of some length", b"\xff\xfe\xfditle of some length")
    assert len(heard(damaged)) == SAMPLES


# Damage


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1, 400])
@pytest.mark.parametrize(
    "name",
    ["mp3", "mp3 plain", "adts", "ogg opus", "ogg vorbis", "ogg flac", "flac", "webm clusters", "m4a", "m4a alac"],
)
def test_a_damaged_stretch_is_skipped(name: str, size: int, seed: int) -> None:
    # FFmpeg goes on with the next cluster.
    case = CASES.get(name, CASES["webm opus"]._replace(options={"cluster_time_limit": "200"}))
    samples = 5 * SAMPLES
    stereo = 2 if case.codec == "vorbis" else 1
    data = bytearray(encode(sound(case.rate, samples=samples, channels=stereo), case))
    start = int(len(data) * np.random.default_rng(seed).uniform(0.45, 0.55))
    data[start : start + size] = bytes(byte ^ 0x55 for byte in data[start : start + size])
    blocks, damaged = decoded(bytes(data))
    out = samples_of(blocks)
    audio = sound(case.rate, samples=samples)
    assert 0.7 * samples < len(out) < 1.05 * samples, "what follows is played"
    assert correlation(out[:SAMPLES], audio[:SAMPLES], case.delay) > 0.95
    if size > 1 and name.split()[0] in ("mp3", "adts", "ogg"):
        assert damaged >= 1


def test_a_file_without_any_good_packet_is_an_error() -> None:
    data = made("adts")
    frame = adts_frame(data)
    assert frame is not None
    broken = (data[:7] + b"\xff" * (frame.size - 7)) * 5
    with pytest.raises(FormatError, match=r"the audio is AAC \(ADTS\) without a sample that can be decoded: ."):
        list(decode(broken))


@pytest.mark.parametrize("name", CASES)
def test_truncations_and_flipped_bits_end(name: str) -> None:
    whole = made(name)
    rng = np.random.default_rng(len(name))
    for number in range(12):
        data = bytearray(whole)
        if number % 2:
            del data[int(rng.integers(1, len(data))) :]
        for _ in range(int(rng.integers(0, 30))):
            # Half of them within the header.
            top = len(data) if rng.random() < 0.5 else min(len(data), 400)
            data[int(rng.integers(top))] ^= 1 << int(rng.integers(8))
        for source in (bytes(data), Unseekable(bytes(data))):
            try:
                blocks = list(decode(source))  # type: ignore[arg-type]
            except FormatError:
                continue
            assert all(len(block.read()) == block.samples * block.layout.frame_bytes > 0 for block in blocks)
