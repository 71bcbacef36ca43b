"""Decoding media from bytes: files, uploads, streams.

Everything is read through one :class:`Reader`. What it begins with decides how it goes on: WAV, MPEG audio and ADTS are
taken apart here; all other containers are opened by FFmpeg, through one guarded function. Files that are joined are
decoded one after the other, each by a decoder of its own.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from functools import cache
from io import BytesIO
from os import PathLike
from typing import Any, BinaryIO, Final, Protocol

import av

from playback.audio.blocks import FAULTS, Damage, cut, pieces
from playback.audio.containers import Kind, recognize, tag_bytes
from playback.audio.formats import AudioFormat, Block, FormatError, parse
from playback.audio.frames import decode_frames
from playback.audio.reader import Beginning, Part, Reader
from playback.audio.wav import WAV_BEGINNING, read_header, read_samples

WHOLE_BYTES: Final = 64 * 2**20
"""The most that is kept of a stream that can't be decoded as it arrives."""

_MP4_HEAD: Final = 2**16
"""Within so many bytes the index of an MP4 file has to begin, or it does not come first."""

_ANY: Final = AudioFormat(48_000)
"""For frames, which have a format of their own."""

_DEMUXERS: Final = {
    Kind.WAV: "wav",
    Kind.AIFF: "aiff",
    Kind.FLAC: "flac",
    Kind.OGG: "ogg",
    Kind.MP3: "mp3",
    Kind.ADTS: "aac",
    Kind.MATROSKA: "matroska",
    Kind.MP4: "mov",
    Kind.CAF: "caf",
    Kind.AU: "au",
    Kind.AMR: "amr",
    Kind.WAVPACK: "wv",
    Kind.TTA: "tta",
}
"""FFmpeg's names. Only these are ever opened: FFmpeg also knows formats that are lists of other files and addresses."""

_CODECS: Final = frozenset(
    (
        *(
            "aac",
            "aac_fixed",
            "ac3",
            "ac3_fixed",
            "adpcm_ima_qt",
            "adpcm_ima_wav",
            "adpcm_ms",
            "alac",
            "amrnb",
            "amrwb",
        ),
        *("eac3", "flac", "g722", "gsm", "gsm_ms", "libopencore_amrnb", "libopencore_amrwb", "libopus", "libspeex"),
        *("libvorbis", "mp1", "mp1float", "mp2", "mp2float", "mp3", "mp3float", "opus", "speex", "tta", "vorbis"),
        *("wavpack", "pcm_alaw", "pcm_mulaw", "pcm_s8", "pcm_u8", "pcm_f32be", "pcm_f32le", "pcm_f64be", "pcm_f64le"),
        *(f"pcm_s{bits}{order}" for bits in (16, 24, 32, 64) for order in ("be", "le")),
    )
)
"""FFmpeg's names of the decoders that are ever used: no pictures, for example."""

_OPTIONS: Final = {
    "codec_whitelist": ",".join(sorted(_CODECS)),
    "protocol_whitelist": "none",
    "max_streams": "64",
    # How much is read before the first packet, in µs and bytes. A header says what has to be known.
    "analyzeduration": "1",
    "probesize": "4096",
}

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
    # The first page of a stream (RFC 3533, 6): of several streams side by side, all first pages come before any other.
    Kind.OGG: Beginning(
        re.compile(rb"OggS\x00[\x02\x06]\x00{8}.{4}\x00{4}", re.DOTALL),
        b"OggS\0",
        22,
        re.compile(rb"OggS\x00[\x00\x01\x04\x05]"),
    ),
}
"""How a file begins that is joined to another one of the same kind."""

_MOST_FAILURES: Final = 16
"""After so many errors of a demuxer in a row, no more is to be had from it."""

_QUOTED: Final = 200
_LOOK: Final = 16_384
"""Enough to recognize anything: a frame of ADTS has at most 8,191 bytes."""


class Readable(Protocol):
    """What FFmpeg reads from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


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
    seekable = getattr(source, "seekable", None)
    file_object = source if seekable and seekable() else None
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
        part = Part(reader, _BEGINNINGS.get(kind))
        try:
            for block in _decode_part(part, kind, damage, file):
                is_empty = False
                yield block
        except FormatError as error:
            damage.add(error)
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
    while True:
        start = b""
        kind: Kind | None = None
        while kind is None:
            reader.peek(len(start) + 1)
            more = reader.peek_some(_LOOK)
            kind = recognize(more, final=len(more) == len(start))
            start = more
        if kind is not Kind.ID3:
            break
        tagged = True
        reader.skip(tag_bytes(start))
    if tagged and kind is Kind.UNKNOWN:
        return Kind.MP3  # behind padding
    if not start:
        raise FormatError(f"{name} is empty, expected a file of audio, such as WAV, MP3 or Ogg")
    if kind is Kind.TEXT:
        text = reader.peek_some(_QUOTED).decode("utf-8", "replace")
        raise FormatError(f"{name} is text, expected audio; it begins with {text!r}")
    if kind is Kind.UNKNOWN:
        raise FormatError(
            f"{name} begins with {start[:16]!r}, which is no container of audio that is known, such as WAV, MP3 or Ogg;"
            f" plain samples need an AudioFormat"
        )
    return kind


def _decode_part(part: Part, kind: Kind, damage: Damage, file: BinaryIO | None) -> Iterator[Block]:
    reader = Reader(part.read)
    if kind in (Kind.MP3, Kind.ADTS):
        return decode_frames(reader, kind, damage)
    if kind is Kind.WAV:
        header = read_header(reader)
        if header.format is not None:
            return read_samples(reader, header, damage)
    if kind is Kind.MP4:
        return _demux(file or _indexed(reader), kind, damage)
    if kind is Kind.WAVPACK:  # a tag at its end is taken for a damaged block where FFmpeg can't go back
        return _demux(file or _whole(reader, "it is WavPack"), kind, damage)
    return _demux(_Unseekable(reader), kind, damage)


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


# FFmpeg


def open_container(file: Readable, kind: Kind) -> Any:
    """Open a file of a kind that was recognized, and nothing else.

    FFmpeg does not guess the format, so no playlist, session description or list of files is ever parsed; nothing but
    the given object is opened, and only decoders of audio are used.

    Args:
        file: what it reads from.
        kind: a container.

    Returns:
        PyAV's container; the caller closes it.

    Raises:
        FormatError: it can't be opened, or has no audio.
    """
    demuxer = _DEMUXERS[kind]
    options = {**_OPTIONS, "format_whitelist": demuxer}
    try:
        container = av.open(
            file,
            "r",
            format=demuxer,
            container_options=options,
            io_open=_refuse,
            **_lenient(),
        )
    except FAULTS as error:
        raise FormatError(f"the {kind.value} file can't be opened: {_reason(error)}") from error
    names = [stream.codec_context.name for stream in container.streams.audio]
    if not names or names[0] not in _CODECS:
        container.close()
        found = f"audio of codec {names[0]}" if names else "no audio stream"
        raise FormatError(f"the {kind.value} file has {found}, expected audio of a codec that is known")
    return container


def _refuse(*_: object) -> object:
    raise PermissionError("a file of audio can't open others")


@cache
def _lenient() -> dict[str, Any]:
    """How to ask PyAV to take titles and names that are not UTF-8; from PyAV 19 on it does so by itself."""
    lenient: dict[str, Any] = {"metadata_errors": "replace"}
    silence = BytesIO(b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\2\0\0\0\0\0")
    try:
        av.open(silence, "r", format="wav", **lenient).close()
    except TypeError:
        return {}
    return lenient


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _demux(file: Readable, kind: Kind, damage: Damage) -> Iterator[Block]:
    with open_container(file, kind) as container:
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1  # it is decoded far faster than it plays
        last: Block | None = None
        beyond = 0
        for packet in _packets(container, stream, damage):
            try:
                decoded = [(frame, parse(frame, _ANY)) for frame in packet.decode()]
            except FAULTS as error:
                damage.add(error)
                continue
            for frame, block in decoded:
                if kind is not Kind.MP4:  # the others' demuxers have FFmpeg remove what is beyond the end
                    yield from pieces(block)
                    continue
                if last is not None:
                    yield from pieces(last)
                last, beyond = block, _samples_beyond(frame, packet, stream)
        if last is not None:
            yield from pieces(cut(last, 0, last.samples - beyond))


def _packets(container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    """The packets of a stream, and one without data at the end; what the demuxer can't read is skipped."""
    failures = 0
    while failures < _MOST_FAILURES:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
        except FAULTS as error:
            damage.add(error)
            failures += 1
        else:
            return


def _samples_beyond(frame: Any, packet: Any, stream: Any) -> int:
    """How many samples of an MP4 file's last frame are beyond its end, by the packet's duration and the edit list's."""
    if frame.pts is None or packet.pts is None:
        return 0
    ends = [packet.pts + packet.duration if packet.duration else None, stream.duration]
    stop = frame.pts * stream.time_base * frame.sample_rate + frame.samples
    beyond = [round(stop - end * stream.time_base * frame.sample_rate) for end in ends if end is not None]
    return max((samples for samples in beyond if 0 < samples < frame.samples), default=0)
