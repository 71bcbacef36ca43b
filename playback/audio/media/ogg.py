"""Ogg, page by page: RFC 3533.

FFmpeg often ends a file at the first damaged page. So it is given whole pages only: what fails its checksum is left
out, and the codec misses a packet.
"""

from __future__ import annotations

import zlib
from typing import Final

from playback.audio.formats import FormatError
from playback.audio.media.blocks import REST_BYTES, Damage
from playback.audio.media.reader import Reader

_MAGIC: Final = b"OggS\0"
_HEADER: Final = 27
_FIRST: Final = 2
"""The flag of a stream's first page."""

_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class OggFile:
    """The pages of one file: a file object that ends where the next one of a chain begins.

    Of streams side by side in one file, all first pages come before any other; so a first page after others begins the
    next file.

    Args:
        reader: where they come from; it stands at the next file afterwards.
        damage: counts the stretches without a page that belongs here.
    """

    def __init__(self, reader: Reader, damage: Damage) -> None:
        self._reader: Final = reader
        self._damage: Final = damage
        self._page = b""
        self._streams: set[bytes] = set()
        self._has_begun = False
        """Whether a page came that is no first one."""

    def read(self, size: int = 0) -> bytes:
        """The next bytes, at least one and at most ``size``, or a whole page; none at the end of the file."""
        page = self._page or self._next()
        size = size or len(page)
        self._page = page[size:]
        return page[:size]

    def skip(self) -> None:
        """Move on to the end of the file."""
        while self.read():
            pass

    def _next(self) -> bytes:
        is_lost, start = False, self._reader.position
        while head := self._reader.peek(_HEADER):
            page = self._whole(head) if head.startswith(_MAGIC) else b""
            if not page:
                is_lost = self._lose(is_lost)
                self._reader.search(_MAGIC[:1])
                continue
            stream, is_first = page[14:18], bool(page[5] & _FIRST)
            if is_first and self._has_begun:
                return b""
            self._reader.skip(len(page))
            if is_first:
                self._streams.add(stream)
            elif stream not in self._streams:  # its first page is lost
                is_lost = self._lose(is_lost)
                continue
            else:
                self._has_begun = True
            return page
        if is_lost and self._reader.position >= start + REST_BYTES:
            self._damage.rest = self._damage.last
        return b""

    def _whole(self, head: bytes) -> bytes:
        """The page that begins here; nothing if it is damaged or cut off."""
        size = _HEADER + (head[26] if len(head) == _HEADER else 255)
        size += sum(self._reader.peek(size)[_HEADER:])
        page = self._reader.peek(size)
        return page if len(page) == size and checksum(page) == page[22:26] else b""

    def _lose(self, is_lost: bool) -> bool:
        if not is_lost:
            self._damage.add(FormatError("a page of Ogg is damaged"))
        return True


def checksum(page: bytes) -> bytes:
    """The checksum of a page, over all of it with that field as zeros.

    It is zlib's CRC-32 with all bits in the other order, and without its inversions at the beginning and the end.
    """
    data = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    crc = zlib.crc32(data, 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return crc.to_bytes(4, "big").translate(_REVERSED)
