"""Reading a stream of bytes with a look ahead, and up to where a joined file begins."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

_STEP: Final = 32_768


class Reader:
    """The bytes of a source, in order.

    Args:
        read: gives at most as many bytes as it is asked for, and at least one; none only at the end. It may wait.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read: Final = read
        self._buffer = bytearray()
        self._at_end = False
        self.position = 0
        """How many bytes it has moved on by."""

    def peek(self, size: int) -> bytes:
        """The next bytes, without moving on; fewer only at the end."""
        self._fill(size)
        return bytes(self._buffer[:size])

    def peek_some(self, size: int) -> bytes:
        """The next bytes that are there, at least one and at most ``size``, without moving on; none at the end."""
        self._fill(1)
        return bytes(self._buffer[:size])

    def read(self, size: int) -> bytes:
        """The next bytes; fewer only at the end."""
        data = self.peek(size)
        self._pass(data)
        return data

    def read_some(self, size: int) -> bytes:
        """The next bytes that are there, at least one and at most ``size``; none at the end."""
        data = self.peek_some(size)
        self._pass(data)
        return data

    def skip(self, size: int) -> None:
        """Move on by so many bytes."""
        while size > 0 and (passed := len(self.read(min(size, _STEP)))):
            size -= passed

    def search(self, first: bytes) -> None:
        """Move on by at least one byte, up to the next byte of this value among those that are there."""
        data = self.peek_some(_STEP)
        found = data.find(first, 1)
        self.skip(found if found > 0 else len(data))

    def _pass(self, data: bytes) -> None:
        del self._buffer[: len(data)]
        self.position += len(data)

    def _fill(self, size: int) -> None:
        while len(self._buffer) < size and not self._at_end:
            data = self._read(max(_STEP, size - len(self._buffer)))
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(
                    f"the file's read() gave a {type(data).__name__}, expected bytes: open it in binary mode"
                )
            self._buffer += data
            self._at_end = not data


class Beginning(NamedTuple):
    """How a file of some kind begins; enough bits that nothing within such a file looks like it."""

    pattern: re.Pattern[bytes]
    magic: bytes
    """The fixed bytes with which the pattern begins."""
    width: int
    """The most bytes that the pattern matches."""


class Part:
    """The bytes up to where the next file begins: a file object that ends there.

    Args:
        reader: where they come from; it stands at the next file afterwards.
        beginning: how a file begins. None: never, so all that comes is one part.
        is_inside: whether the reader stands within a file already, not at its beginning.
    """

    def __init__(self, reader: Reader, beginning: Beginning | None, *, is_inside: bool = False) -> None:
        self._reader: Final = reader
        self._beginning: Final = beginning
        self._start = 0 if is_inside else 1  # a file's own beginning does not end it

    def read(self, size: int = _STEP) -> bytes:
        """The next bytes, at least one and at most ``size``; none at the end of the part."""
        if self._beginning is not None:
            size = self._safe(size, self._beginning)
        data = self._reader.read_some(size) if size else b""
        self._start = 0
        return data

    def skip(self) -> None:
        """Move on to the end of the part."""
        while self.read():
            pass

    def _safe(self, size: int, beginning: Beginning) -> int:
        """How many of the next bytes belong to this part, at most ``size``.

        Bytes at the end that may be the first ones of a file are kept back until that is known.
        """
        data = self._reader.peek_some(size + beginning.width)
        while True:
            if match := beginning.pattern.search(data, self._start):
                return min(size, match.start())
            whole = len(data) - _kept_back(data, beginning, self._start)
            if whole:
                return min(size, whole)
            more = self._reader.peek(len(data) + 1)
            if len(more) == len(data):  # the end
                return min(size, len(data))
            data = more


def _kept_back(data: bytes, beginning: Beginning, start: int) -> int:
    """How many bytes at the end of this may be the first ones of a file."""
    for at in range(max(start, len(data) - beginning.width + 1), len(data)):
        if beginning.magic.startswith(data[at : at + len(beginning.magic)]):
            return len(data) - at
    return 0
