"""MPEG audio and ADTS without a demuxer: frames that have a header each.

So a frame is decoded as soon as it is there, a joined file plays on whatever its rate, and what the encoder added at
both ends is removed exactly where the file states it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import av

from playback.audio.formats import AudioFormat, Block, FormatError, parse
from playback.audio.media.blocks import FAULTS, REST_BYTES, Damage, cut, pieces
from playback.audio.media.containers import FRAME_HEADER, Frame, Kind, adts_frame, mpeg_frame, tag_bytes
from playback.audio.media.reader import Reader

_ANY: Final = AudioFormat(48_000)
"""For frames, which have a format of their own."""

_DECODER_DELAY: Final = 528 + 1
"""Samples by which a decoder of layer III is late (LAME's technical FAQ, "decoder delay"); LAME's figure of the padding
assumes the same."""

_ID3V1: Final = 128
_APE_HEADER: Final = 32


class _Info(NamedTuple):
    """What the first frame of an MP3 file, which holds no audio, says of the others: in samples of the decoder."""

    start: int = 0
    """Where the audio begins."""
    stop: int | None = None
    """Where it ends."""


class _Run:
    """The decoder of one file, or of frames that are alike."""

    def __init__(self, frame: Frame, info: _Info) -> None:
        self.alike: Final = frame.alike
        self._info: Final = info
        codec = {0: "aac", 2: "mp2float", 3: "mp3float"}[frame.layer]
        self._context: Final[Any] = av.CodecContext.create(codec, "r")
        self._context.thread_count = 1
        self._position = 0

    def decode(self, frame: Frame, data: bytes, damage: Damage) -> Iterator[Block]:
        """The audio of one frame."""
        try:
            blocks = [parse(decoded, _ANY) for decoded in self._context.decode(av.Packet(data))]
        except FAULTS as error:
            damage.add(error)
            self._position += frame.samples  # so that the end stays where it is
            return
        for block in blocks:
            start, stop = self._position, self._position + block.samples
            self._position = stop
            first, last = max(start, self._info.start), stop if self._info.stop is None else min(stop, self._info.stop)
            if first < last:
                yield from pieces(block if last - first == block.samples else cut(block, first - start, last - start))


def decode_frames(reader: Reader, kind: Kind, damage: Damage) -> Iterator[Block]:
    """The audio of MPEG audio or ADTS, of one file or several that are joined."""
    run: _Run | None = None
    for frame, data in _frames(reader, mpeg_frame if kind is Kind.MP3 else adts_frame, damage):
        if frame.layer == 3 and (info := _read_info(frame, data)):
            run = _Run(frame, info)  # a file begins
            continue
        if run is None or run.alike != frame.alike:
            run = _Run(frame, _Info())
        yield from run.decode(frame, data, damage)


def _frames(reader: Reader, read: Callable[[bytes], Frame | None], damage: Damage) -> Iterator[tuple[Frame, bytes]]:
    alike: tuple[int, ...] | None = None  # None: the next header has to be confirmed by another one
    stop = reader.position  # of the last frame
    while head := reader.peek(max(FRAME_HEADER, _APE_HEADER)):
        if size := _foreign(head) or len(head) - len(head.lstrip(b"\0")):  # a tag, or padding
            reader.skip(size)
            continue
        frame = read(head)
        if frame is not None and (frame.alike == alike or _is_confirmed(reader, frame, read)):
            data = reader.read(frame.size)
            if len(data) < frame.size:
                damage.add(FormatError("the last frame is cut off"))
                return
            alike, stop = frame.alike, reader.position
            yield frame, data
            continue
        if alike is not None:
            damage.add(FormatError("a frame does not begin where the one before ends"))
            alike = None
        reader.search(b"\xff")
        if reader.position >= stop + REST_BYTES and not reader.peek(1):
            damage.rest = FormatError("what follows has no frame that begins where the one before ends")


def _is_confirmed(reader: Reader, frame: Frame, read: Callable[[bytes], Frame | None]) -> bool:
    rest = reader.peek(frame.size + FRAME_HEADER)[frame.size :]
    following = read(rest)
    return not rest or (following is not None and following.alike == frame.alike) or bool(_foreign(rest))


def _foreign(head: bytes) -> int:
    """The length of a tag that begins here, 0 if there is none."""
    if head.startswith(b"TAG"):
        return _ID3V1
    if head.startswith(b"APETAGEX") and len(head) >= _APE_HEADER:
        size = int.from_bytes(head[12:16], "little")
        return _APE_HEADER + size if head[23] & 0x20 else _APE_HEADER  # the flag: it is the tag's header
    return tag_bytes(head)


def _read_info(frame: Frame, data: bytes) -> _Info | None:
    """Read the frame with which encoders describe a file: Xing's tag, with LAME's extension.

    See "MP3 Info Tag, revision 1" (LAME project). The encoder's delay and padding are 12 bits each, 21 bytes into
    LAME's part; FFmpeg writes the same.
    """
    at = 4 + frame.side_bytes
    if data[at : at + 4] not in (b"Xing", b"Info"):
        return _Info() if data[36:40] == b"VBRI" else None
    flags = int.from_bytes(data[at + 4 : at + 8], "big")
    at += 8
    count = int.from_bytes(data[at : at + 4], "big") if flags & 1 else 0
    at += sum(size for bit, size in ((1, 4), (2, 4), (4, 100), (8, 4)) if flags & bit)
    if data[at : at + 4] not in (b"LAME", b"Lavf", b"Lavc"):
        return _Info()
    both = int.from_bytes(data[at + 21 : at + 24], "big")
    delay, padding = both >> 12, both & 0xFFF
    start = delay + _DECODER_DELAY
    stop = count * frame.samples - padding + _DECODER_DELAY
    return _Info(start, stop if count and stop > start else None)
