"""Recognizing a stream of bytes by how it begins: a container of audio, text such as an error page, or neither.

Plain samples have no signature: whatever else is not recognized may be samples. So nothing here may take samples for
something else. Most signatures have 32 bits or more. MPEG audio and ADTS begin with a header of which too few bits are
fixed, so a second header has to stand where the first one says, with the same version, rate and channels.
"""

from __future__ import annotations

import codecs
import re
from enum import Enum
from typing import Any, Final, NamedTuple

from playback.audio.formats import FormatError


class Kind(Enum):
    """What a stream of bytes is. The value is its name for messages."""

    WAV = "WAV"
    AIFF = "AIFF"
    FLAC = "FLAC"
    OGG = "Ogg"
    MP3 = "MP3"
    """MPEG audio of layer II or III."""
    ADTS = "AAC (ADTS)"
    MATROSKA = "WebM or Matroska"
    MP4 = "MP4"
    CAF = "CAF"
    AU = "AU"
    AMR = "AMR"
    WAVPACK = "WavPack"
    TTA = "TTA"
    ID3 = "ID3 tag"
    """A tag; mostly MP3 follows, :func:`tag_bytes` later."""
    TEXT = "text"
    """Printable text, such as HTML, JSON or a playlist: no audio."""
    UNKNOWN = "unknown"
    """None of these: maybe plain samples."""

    @property
    def is_container(self) -> bool:
        """Whether there may be audio in it that has to be decoded."""
        return self not in (Kind.TEXT, Kind.UNKNOWN)


_SIGNATURES: Final[tuple[tuple[Kind, tuple[tuple[int, bytes], ...]], ...]] = (
    *((Kind.WAV, ((0, name), (8, b"WAVE"))) for name in (b"RIFF", b"RF64", b"BW64")),
    *((Kind.AIFF, ((0, b"FORM"), (8, name))) for name in (b"AIFF", b"AIFC")),
    (Kind.FLAC, ((0, b"fLaC"),)),
    (Kind.OGG, ((0, b"OggS\0"),)),
    (Kind.MATROSKA, ((0, b"\x1aE\xdf\xa3"),)),
    *((Kind.MP4, ((4, name),)) for name in (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip")),
    (Kind.CAF, ((0, b"caff\0\1"),)),
    (Kind.AU, ((0, b".snd\0\0"),)),
    *((Kind.AMR, ((0, name),)) for name in (b"#!AMR\n", b"#!AMR-WB\n")),
    (Kind.WAVPACK, ((0, b"wvpk"),)),
    (Kind.TTA, ((0, b"TTA1"),)),
)
"""What stands where at the beginning of each container."""

_TAG: Final = re.compile(rb"ID3[\x02-\x04][^\xff].[\x00-\x7f]{4}", re.DOTALL)
"""The header of an ID3v2 tag (id3.org, "ID3 tag version 2.4.0", 3.1): version, revision, flags, size."""

_TAG_HEADER: Final = 10

_TEXT_BYTES: Final = 128
"""So many printable bytes are text. Fewer may be the part of a loud wave that lies on one side, in 8-bit samples."""

_SHORTEST_TEXT: Final = 8
_TEXT_VARIETY: Final = 6
"""Text has at least so many different bytes; a constant or a square wave does not."""

_BREAKS: Final = dict.fromkeys(map(ord, "\t\n\f\r"))


def recognize(start: bytes, *, final: bool = False) -> Kind | None:
    """What a stream is that begins so.

    Args:
        start: all that has come of it so far.
        final: whether nothing more comes, so that it has to be decided.

    Returns:
        None where that depends on bytes that are still to come. Samples are decided after 8 bytes, unless they resemble
        something else; MPEG audio takes a frame and a header, text 128 bytes.
    """
    undecided = False
    for kind, parts in _SIGNATURES:
        seen = [(start[at : at + len(part)], part) for at, part in parts]
        if all(found == part for found, part in seen):
            return kind
        undecided |= all(part.startswith(found) for found, part in seen)
    if _TAG.match(start):
        return Kind.ID3
    undecided |= len(start) < _TAG_HEADER and b"ID3".startswith(start[:3])
    for answer in (_recognize_frames(start, final), _recognize_text(start, final)):
        if answer is not Kind.UNKNOWN and answer is not None:
            return answer
        undecided |= answer is None
    return None if undecided and not final else Kind.UNKNOWN


def tag_bytes(start: bytes) -> int:
    """The length of the ID3v2 tag that a stream begins with, 0 if it begins with none.

    Args:
        start: at least its first 10 bytes.
    """
    if not _TAG.match(start):
        return 0
    size = 0
    for byte in start[6:_TAG_HEADER]:
        size = size << 7 | byte
    return _TAG_HEADER + size + (_TAG_HEADER if start[5] & 0x10 else 0)  # there may be a footer


def _recognize_text(start: bytes, final: bool) -> Kind | None:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start[:BEGINNING_BYTES])
    except UnicodeDecodeError:
        return Kind.UNKNOWN
    if not text.removeprefix("\ufeff").translate(_BREAKS).isprintable():
        return Kind.UNKNOWN
    if len(start) < _TEXT_BYTES and not final:
        return None
    return Kind.TEXT if len(start) >= _SHORTEST_TEXT and len(set(start)) >= _TEXT_VARIETY else Kind.UNKNOWN


# Frames with a header each


class Frame(NamedTuple):
    """What the header of a frame says."""

    size: int
    """Bytes, with the header."""
    samples: int
    """Samples of one channel."""
    alike: tuple[int, ...]
    """What is the same in all frames of a stream."""
    layer: int = 0
    """The layer of MPEG audio."""
    side_bytes: int = 0
    """Bytes of layer III's side information, which follows the header."""


FRAME_HEADER: Final = 7
"""Enough bytes for either header."""

_BITRATES: Final[dict[tuple[bool, int], tuple[int, ...]]] = {
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s by index from 1 on, for (MPEG-1, layer): ISO/IEC 11172-3, 2.4.2.3, and 13818-3, 2.4.2.3."""

_MPEG_RATES: Final = 44_100, 48_000, 32_000
_HALVINGS: Final = {3: 0, 2: 1, 0: 2}
"""How often MPEG-1, MPEG-2 and MPEG-2.5 halve these rates, by the version's two bits."""
_ADTS_RATES: Final = 13


def mpeg_frame(head: bytes) -> Frame | None:
    """Read a header of MPEG audio, layer II or III, of a stated bit rate: ISO/IEC 11172-3, 2.4.1.3.

    Layer I is obsolete, and its header fits plain samples: two of -1 and -2 are its first 16 bits.
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    bitrate, rate, emphasis = head[2] >> 4, head[2] >> 2 & 3, head[3] & 3
    if version == 1 or layer not in (2, 3) or bitrate in (0, 15) or rate == 3 or emphasis == 2:
        return None
    is_first, is_mono = version == 3, head[3] >> 6 == 3
    hertz = _MPEG_RATES[rate] >> _HALVINGS[version]
    samples = 1152 if is_first or layer == 2 else 576
    size = samples // 8 * _BITRATES[is_first, layer][bitrate - 1] * 1000 // hertz + (head[2] >> 1 & 1)
    side = (17 if is_mono else 32) if is_first else (9 if is_mono else 17)
    return Frame(size, samples, (version, layer, rate, is_mono), layer, side)


def adts_frame(head: bytes) -> Frame | None:
    """Read a header of AAC in ADTS: ISO/IEC 13818-7, 6.2."""
    if len(head) < FRAME_HEADER or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return None
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    rate = head[2] >> 2 & 0xF
    shortest = FRAME_HEADER if head[1] & 1 else FRAME_HEADER + 2  # there may be a checksum
    if rate >= _ADTS_RATES or size <= shortest:
        return None
    return Frame(size, 1024 * ((head[6] & 3) + 1), (head[1], head[2] & 0xFD, head[3] & 0xC0))


def _recognize_frames(start: bytes, final: bool) -> Kind | None:
    if start and (start[0] != 0xFF or (len(start) > 1 and start[1] & 0xE0 != 0xE0)):
        return Kind.UNKNOWN
    if len(start) < FRAME_HEADER:
        return None
    for kind, read in ((Kind.ADTS, adts_frame), (Kind.MP3, mpeg_frame)):
        first = read(start)
        if first is None:
            continue
        second = read(start[first.size : first.size + FRAME_HEADER])
        if second is not None and second.alike == first.alike:
            return kind
        if len(start) < first.size + FRAME_HEADER:  # a file may be a single frame
            return None if not final else kind if len(start) == first.size else Kind.UNKNOWN
    return Kind.UNKNOWN


_MAYBE: Final = re.compile(
    rb"RIFF|RF64|BW64|FORM|fLaC|OggS|\x1aE\xdf\xa3|caff|\.snd|#!AMR|wvpk|TTA1|ID3|\xff[\xe0-\xff]"
    rb"|.{4}(?:ftyp|styp|moov|moof|mdat|wide|free|skip)",
    re.DOTALL,
)
"""How any of the containers may begin: a look at this first takes a hundredth of the time."""

_SIGNATURE_BYTES: Final = 16
"""More than the longest of the fixed signatures has: that of WAV has 12 bytes."""

BEGINNING_BYTES: Final = 4096
"""How much of the first bytes is looked at: two frames of MP3 at any bit rate."""


def recognize_audio(data: bytes, *, name: str, final: bool = False) -> Kind | None:
    """As :func:`recognize`, for what has to be audio.

    Args:
        data: the first bytes.
        name: what sent them, for the error.
        final: whether no more are looked at; so it is from :data:`BEGINNING_BYTES` on.

    Raises:
        FormatError: they are text, such as an error page.
    """
    kind = recognize(data, final=final or len(data) >= BEGINNING_BYTES)
    if kind is Kind.TEXT:
        raise FormatError(f"{name} sent text in place of audio: {data[:200]!r}")
    return kind


def next_beginning(beginning: bytes, audio: Any) -> bytes | None:
    """See that bytes which are to be samples do not begin as a file does: its header would be heard as noise.

    Args:
        beginning: what came before, while that is too short to decide.
        audio: what comes now.

    Returns:
        The beginning so far, if the next bytes have to be looked at, too.

    Raises:
        FormatError: they begin with the signature of a container.
    """
    if not isinstance(audio, (bytes, bytearray, memoryview)):
        return None  # arrays and frames are samples
    view = memoryview(audio)
    if not view.c_contiguous:
        return None
    beginning += bytes(view.cast("B")[:BEGINNING_BYTES])
    kind = recognize(beginning, final=True) if _MAYBE.match(beginning) else None
    if kind is not None and kind.is_container:
        raise FormatError(
            f"the audio begins as {kind.value} does, expected bare samples: give the stream to controller.speak(), or"
            f" push it to an utterance of format='encoded'"
        )
    return beginning if len(beginning) < _SIGNATURE_BYTES else None
