"""Upload: a file that comes in pieces."""

from __future__ import annotations

from typing import Final

from playback.demo.protocol import ProtocolError

PIECE_BYTES: Final = 1024
"""How long the pieces of a file are, at least, on average: each costs time, however short it is."""


class Upload:
    """What has come of a file so far.

    Args:
        name: what it is called.
        size: how many bytes are to come.
        text: what the recording says; empty where that is not known.
        keep: whether they are wanted; a page that was refused may have sent them before it could know.
    """

    def __init__(self, name: str, size: int, text: str = "", *, keep: bool = True) -> None:
        self.name: Final = name
        self.text: Final = text
        self.keep: Final = keep
        self.left = size
        """How many bytes are still to come."""
        self._pieces: Final[list[bytes]] = []
        self._most: Final = 64 + size // PIECE_BYTES
        self._count = 0

    def add(self, piece: bytes) -> None:
        """Take a piece.

        Raises:
            ProtocolError: there are too many of them, or more bytes than were announced.
        """
        self._count += 1
        if self._count > self._most:
            raise ProtocolError(
                f"{self.name} comes in more than {self._most} pieces, expected {PIECE_BYTES} bytes in each", "file"
            )
        if len(piece) > self.left:
            raise ProtocolError(
                f"{self.name} has {len(piece) - self.left} bytes too many, expected as many as were announced", "file"
            )
        self.left -= len(piece)
        if self.keep:
            self._pieces.append(piece)

    def data(self) -> bytes:
        """All that has come, in one piece."""
        return b"".join(self._pieces)
