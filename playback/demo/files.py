"""Files that a page has sent: decoded from memory, step by step, and never allowed to name another file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import av

from playback.audio.formats import FormatError
from playback.audio.media.blocks import to_frame
from playback.audio.media.decoding import decode

STEP_SECONDS: Final = 0.5
"""How much is decoded at a time."""


class FileError(Exception):
    """A file that can't be played: says why."""


def frames(data: bytes, name: str) -> Iterator[av.AudioFrame]:
    """The audio of a file, a frame at a time.

    Args:
        data: the whole file.
        name: what to call it in errors.

    Raises:
        FileError: it can't be decoded, or has no audio.
    """
    try:
        for block in decode(data, name=name):
            yield to_frame(block)
    except FormatError as error:
        raise FileError(f"{name} can't be decoded: {error}; expected audio such as WAV, MP3, Ogg or FLAC") from error


def step(source: Iterator[av.AudioFrame]) -> list[av.AudioFrame]:
    """The next frames; none at the end. For a thread: decoding takes its time.

    Raises:
        FileError: as :func:`frames`.
    """
    taken: list[av.AudioFrame] = []
    seconds = 0.0
    while seconds < STEP_SECONDS and (frame := next(source, None)) is not None:
        taken.append(frame)
        seconds += frame.samples / frame.sample_rate
    return taken
