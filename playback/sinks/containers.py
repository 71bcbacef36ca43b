"""The containers that a recording can be written to, each so that what was written can be read after a crash.

Only these are ever opened, by their suffix: FFmpeg also writes playlists, streams to addresses and files beside the one
that was asked for. It gets a file object and opens nothing itself.
"""

from __future__ import annotations

import os
from functools import cache
from os import PathLike
from typing import Any, Final, NamedTuple

import av
from av.container import OutputContainer

_FRAGMENTS: Final = {"movflags": "empty_moov+default_base_moof", "frag_duration": "500000"}
"""An index before each half second, and none at the end, which a crash would leave out."""

_CLUSTERS: Final = {"cluster_time_limit": "500", "cluster_size_limit": "1000000"}
_PAGES: Final = {"page_duration": "500000"}


class Container(NamedTuple):
    """How a recording is written."""

    muxer: str
    """FFmpeg's name."""
    codec: str
    options: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    """Of the muxer."""


CONTAINERS: Final[dict[str, Container]] = {
    "wav": Container("wav", "pcm_s16le"),
    "flac": Container("flac", "flac"),
    "ogg": Container("ogg", "libopus", _PAGES),
    "oga": Container("ogg", "libopus", _PAGES),
    "opus": Container("opus", "libopus", _PAGES),
    "mka": Container("matroska", "libopus", _CLUSTERS),
    "mkv": Container("matroska", "libopus", _CLUSTERS),
    "webm": Container("webm", "libopus", _CLUSTERS),
    "mp3": Container("mp3", "libmp3lame"),
    "aac": Container("adts", "aac"),
    "m4a": Container("ipod", "aac", _FRAGMENTS),
    "mp4": Container("mp4", "aac", _FRAGMENTS),
    "aif": Container("aiff", "pcm_s16be"),
    "aiff": Container("aiff", "pcm_s16be"),
    "au": Container("au", "pcm_s16be"),
    "caf": Container("caf", "pcm_s16be"),
    "tta": Container("tta", "tta"),
    "wv": Container("wv", "wavpack"),
}
"""By suffix. Beside these there are containers that take one rate or one channel only, such as AMR."""


def container_of(path: PathLike[str]) -> Container:
    """The container that a path names by its suffix.

    Raises:
        ValueError: it names none in which a recording can be written.
    """
    name = os.path.basename(path)
    container = CONTAINERS.get(os.path.splitext(name)[1].lower().lstrip("."))
    if container is None:
        raise ValueError(
            f"the suffix of {name!r} is not that of an audio container, expected one of {', '.join(CONTAINERS)}"
        )
    try:
        _sample_type(container.codec)
    except ValueError:
        raise ValueError(f"{name!r} needs the encoder {container.codec!r}, which this PyAV does not have") from None
    return container


def encoded_rate(codec: str, rate: int) -> int:
    """The rate to encode at: the same, or the next that the codec knows; the encoder converts."""
    rates = av.codec.Codec(codec, "w").audio_rates
    if not rates or rate in rates:
        return rate
    return min((known for known in rates if known > rate), default=max(rates))


@cache
def _sample_type(codec: str) -> str:
    """16 bits where the codec has them: the first of what WavPack and TTA can do are 8."""
    known = [kind.name for kind in av.codec.Codec(codec, "w").audio_formats or ()]
    return next((name for name in ("s16", "s16p") if name in known), known[0] if known else "s16")


class RecordingFile:
    """A file that hands all that is written to the system at once, so that it outlives this process.

    Raises:
        OSError: it can't be written.
    """

    def __init__(self, path: PathLike[str]) -> None:
        self._file: Final = open(path, "wb", buffering=0)  # noqa: SIM115 - the recording closes it

    def write(self, data: bytes) -> int:
        """Write all of it."""
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move on or back: muxers write lengths into their headers at the end."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Where it is."""
        return self._file.tell()

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Close it."""
        self._file.close()


def open_recording(file: RecordingFile, container: Container, rate: int) -> tuple[OutputContainer, Any]:
    """Begin a recording of two channels.

    Args:
        file: where to.
        container: how.
        rate: of what comes.

    Returns:
        PyAV's container, which writes each packet at once, and its stream.
    """
    output = av.open(
        file,
        "w",
        format=container.muxer,
        container_options={**container.options, "flush_packets": "1"},
    )
    stream: Any = output.add_stream(container.codec, rate=encoded_rate(container.codec, rate), layout="stereo")
    stream.codec_context.format = _sample_type(container.codec)
    output.start_encoding()
    return output, stream
