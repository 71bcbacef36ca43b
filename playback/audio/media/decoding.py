"""Decoding media from bytes: files, uploads, streams.

Everything is read through one :class:`Reader`. What it begins with decides how it goes on: WAV, MPEG audio and ADTS are
taken apart here; all other containers are left to FFmpeg. Files that are joined are decoded one after the other, each
by a decoder of its own.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Generator, Iterator
from io import BytesIO
from os import PathLike
from os import stat as stat_of
from typing import Any, BinaryIO, Final, cast

from playback.audio.formats import Block, FormatError
from playback.audio.media.blocks import Damage
from playback.audio.media.containers import Kind, recognize, tag_bytes
from playback.audio.media.ffmpeg import Readable, demux
from playback.audio.media.frames import decode_frames
from playback.audio.media.ogg import OggFile
from playback.audio.media.reader import Beginning, Part, Reader
from playback.audio.media.wav import WAV_BEGINNING, read_header, read_samples

WHOLE_BYTES: Final = 64 * 2**20
"""The most that is kept of a stream that can't be decoded as it arrives."""

_MP4_HEAD: Final = 2**16
"""Within so many bytes the index of an MP4 file has to begin, or it does not come first."""

_BEGINNINGS: Final = {
    Kind.WAV: WAV_BEGINNING,
    Kind.AIFF: Beginning(re.compile(rb"FORM.{4}AIF[FC]", re.DOTALL), b"FORM", 12),
    Kind.FLAC: Beginning(re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"), b"fLaC", 8),
    Kind.MATROSKA: Beginning(re.compile(rb"\x1aE\xdf\xa3.{1,8}?\x42\x86\x81\x01", re.DOTALL), b"\x1aE\xdf\xa3", 16),
    Kind.AU: Beginning(
        re.compile(rb"\.snd\x00\x00.{6}\x00\x00\x00[\x01-\x1b]\x00[\x00-\x05].{2}", re.DOTALL), b".snd", 20
    ),
    Kind.AMR: Beginning(re.compile(rb"#!AMR(-WB)?\n"), b"#!AMR", 9),
    Kind.CAF: Beginning(re.compile(rb"caff\x00\x01\x00\x00"), b"caff", 8),
}
"""How a file begins that is joined to another one of the same kind."""

_QUOTED: Final = 200
_LOOK: Final = 16_384
"""Enough to recognize anything: a frame of ADTS has at most 8,191 bytes."""

Source = str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO


def decode(source: Source, *, name: str = "the audio", damage: Damage | None = None) -> Generator[Block, None, None]:
    """Decode a file.

    Args:
        source: a path, the bytes of a file, or a binary file object. One that can seek is read from its beginning. It
            is not closed.
        name: what to call it in errors.
        damage: counts what had to be skipped.

    Yields:
        The audio, in blocks of at most :data:`~playback.audio.formats.BLOCK_SECONDS`, in the rate and layout that it
        has; joined files may each have others. What an encoder has added at both ends is removed where the file states
        it.

    Raises:
        OSError: it can't be read.
        FormatError: it holds no audio that can be decoded: text, a list of other files, plain samples, nothing.
    """
    if isinstance(source, (str, PathLike)):
        with open(source, "rb") as file:
            yield from decode(file, name=name, damage=damage)
        return
    if isinstance(source, (bytes, bytearray, memoryview)):
        source = BytesIO(source)
    file_object = source if is_seekable(source) else None
    if file_object is not None:
        file_object.seek(0)
    yield from decode_stream(Reader(source.read), name, damage or Damage(), file_object)


def decode_stream(
    reader: Reader, name: str, damage: Damage, file: BinaryIO | None = None
) -> Generator[Block, None, None]:
    """Decode what a reader gives, as far as it has come.

    Args:
        reader: it may wait for more.
        name: what to call it in errors.
        damage: counts what had to be skipped.
        file: the same bytes, where they can be read in any order.

    Raises:
        FormatError: as :func:`decode`.
    """
    kind = _recognize(reader, name)
    is_empty = True
    while reader.peek(1):
        part = OggFile(reader, damage) if kind is Kind.OGG else Part(reader, _BEGINNINGS.get(kind))
        is_first = True
        try:
            for block in _decode_part(part, kind, damage, file):
                if is_first:  # whatever was wrong before, the file goes on
                    is_empty = is_first = False
                    damage.rest = None
                yield block
        except FormatError as error:
            damage.add(error)
            damage.rest = error
        part.skip()
    if is_empty:
        reason = f": {damage.last}" if damage.last else ""
        raise FormatError(f"{name} is {kind.value} without a sample that can be decoded{reason}") from damage.last


def _recognize(reader: Reader, name: str) -> Kind:
    """What comes, behind its tags.

    Raises:
        FormatError: no audio.
    """
    tagged = False
    while (found := _look(reader, name))[0] is Kind.ID3:
        tagged = True
        reader.skip(tag_bytes(found[1]))
    kind, start = found
    if tagged and kind is Kind.UNKNOWN:
        return Kind.MP3  # behind padding
    _check(kind, start, name)
    return kind


def _look(reader: Reader, name: str) -> tuple[Kind, bytes]:
    """What comes next, and how it begins, without moving on.

    Raises:
        FormatError: nothing.
    """
    start = b""
    kind: Kind | None = None
    while kind is None:
        reader.peek(len(start) + 1)
        more = reader.peek_some(_LOOK)
        kind = recognize(more, final=len(more) == len(start))
        start = more
    if not start:
        raise FormatError(f"{name} is empty, expected a file of audio, such as WAV, MP3 or Ogg")
    return kind, start


def _check(kind: Kind, start: bytes, name: str) -> None:
    if kind is Kind.TEXT:
        text = start[:_QUOTED].decode("utf-8", "replace")
        raise FormatError(f"{name} is text, expected audio; it begins with {text!r}")
    if kind is Kind.UNKNOWN:
        raise FormatError(
            f"{name} begins with {start[:16]!r}, expected an audio container, such as WAV, MP3 or Ogg;"
            f" plain samples need an AudioFormat"
        )


def check_beginning(source: Source, *, name: str) -> Source:
    """See that a file begins as audio does. Nothing of it is decoded.

    Args:
        source: as for :func:`decode`.
        name: what to call it in errors.

    Returns:
        What to decode: the source, or, where that can't go back, a file object that gives all of its bytes.

    Raises:
        OSError: it can't be read.
        FormatError: it is text, a list of other files, plain samples, nothing; or a pipe by its path, which may wait
            for its writer.
    """
    if isinstance(source, (str, PathLike)):
        if stat.S_ISFIFO(stat_of(source).st_mode):
            raise FormatError(f"{name} is a pipe, whose writer may never come, expected a file; or open it on a thread")
        with open(source, "rb") as file:
            check_beginning(file, name=name)
        return source
    if isinstance(source, (bytes, bytearray, memoryview)):
        source = BytesIO(source)
    if is_seekable(source):
        source.seek(0)
    reader = Reader(source.read)
    _check(*_look(reader, name), name)
    return source if is_seekable(source) else cast(BinaryIO, _Unseekable(reader))


def is_seekable(source: Any) -> bool:
    """Whether a file object can go back."""
    seekable = getattr(source, "seekable", None)
    return bool(seekable and seekable())


def _decode_part(part: Part | OggFile, kind: Kind, damage: Damage, file: BinaryIO | None) -> Iterator[Block]:
    reader = Reader(part.read)
    if kind in (Kind.MP3, Kind.ADTS):
        return decode_frames(reader, kind, damage)
    if kind is Kind.WAV:
        header = read_header(reader)
        if header.format is not None:
            return read_samples(reader, header, damage)
    if kind not in (Kind.MP4, Kind.WAVPACK):
        return demux(_Unseekable(reader), kind, damage)
    if file is not None:
        file.seek(0)
        return demux(file, kind, damage)
    if kind is Kind.MP4:
        return demux(_indexed(reader), kind, damage)
    # A tag at its end is taken for a damaged block where FFmpeg can't go back.
    return demux(_whole(reader, "it is WavPack"), kind, damage)


class _Unseekable:
    """A file object of what a reader gives."""

    def __init__(self, reader: Reader) -> None:
        self.read: Final = reader.read_some


def _indexed(reader: Reader) -> Readable:
    """An MP4 stream whose index is there before the audio; all of it is waited for where it does not come first."""
    at = 0
    while at < _MP4_HEAD:
        head = reader.peek(at + 8)[at:]
        size = int.from_bytes(head[:4], "big")
        if head[4:] in (b"moov", b"moof"):
            return _Unseekable(reader)
        if size < 8 or head[4:] == b"mdat":
            break
        at += size
    return _whole(reader, "the index of an MP4 does not come first (FFmpeg: -movflags +faststart)")


def _whole(reader: Reader, reason: str) -> BinaryIO:
    """All of a stream, once it is there.

    Raises:
        FormatError: there is more than :data:`WHOLE_BYTES` of it.
    """
    data = reader.read(WHOLE_BYTES + 1)
    if len(data) > WHOLE_BYTES:
        raise FormatError(f"it has more than {WHOLE_BYTES} bytes and can't be decoded as it arrives: {reason}")
    return BytesIO(data)
