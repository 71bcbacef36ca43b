"""Files that a page has sent: decoded from memory, step by step, and never allowed to name another file."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Final

import av

FORMATS: Final = "aac,aiff,amr,au,caf,flac,matroska,mov,mp3,ogg,wav"
"""What is decoded. FFmpeg knows formats that are lists of other files and addresses, which it would open: a stranger
must not have it do that."""

STEP_SECONDS: Final = 0.5
"""How much is decoded at a time."""


class FileError(Exception):
    """A file that can't be played: says why."""


def _nothing_else(*_: object) -> object:
    raise PermissionError("a file from a page can't open others")


def frames(data: bytes, name: str) -> Iterator[av.AudioFrame]:
    """The audio of a file, a frame at a time.

    Args:
        data: the whole file.
        name: what to call it in errors.

    Raises:
        FileError: it can't be decoded, or has no audio.
    """
    try:
        options = {"format_whitelist": FORMATS}
        with av.open(
            BytesIO(data), "r", container_options=options, metadata_errors="replace", io_open=_nothing_else
        ) as container:
            if not container.streams.audio:
                raise FileError(f"{name} has no audio stream, expected a file with one")
            yield from container.decode(container.streams.audio[0])
    # Whatever a stranger's bytes lead to, it is the file's fault.
    except (av.FFmpegError, OSError, ValueError, ArithmeticError, LookupError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{name} can't be decoded: {reason}; expected audio such as WAV, MP3, Ogg or FLAC") from error


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
