"""Files that a page has sent: decoded from memory, step by step, and never allowed to name another file."""

from __future__ import annotations

from collections.abc import Iterator

from playback.audio.formats import Block, FormatError
from playback.audio.media.decoding import decode


class FileError(Exception):
    """A file that can't be played: says why."""


def blocks(data: bytes, name: str) -> Iterator[Block]:
    """The audio of a file, block by block.

    Args:
        data: the whole file.
        name: what to call it in errors.

    Raises:
        FileError: it can't be decoded, or has no audio.
    """
    try:
        yield from decode(data, name=name)
    except FormatError as error:
        raise FileError(f"{name} can't be decoded: {error}; expected audio such as WAV, MP3, Ogg or FLAC") from error
