"""Containers that FFmpeg takes apart, opened so that it opens nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Protocol

import av
from av.container import Container

from playback.audio.formats import AudioFormat, Block, FormatError, parse
from playback.audio.media.blocks import FAULTS, Damage, cut, pieces
from playback.audio.media.containers import Kind

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

_LENIENT: Final[dict[str, Any]] = {"metadata_errors": "replace"} if hasattr(Container, "metadata_errors") else {}
"""Up to PyAV 18, a title that is not UTF-8 raises unless this is given; from 19 on it never does, and the argument is
gone. No signature shows it, because the function is compiled."""

_MOST_FAILURES: Final = 16
"""After so many errors of a demuxer in a row, no more is to be had from it; and so many packets that can't be
decoded at the end of a file are a rest that is lost."""


class Readable(Protocol):
    """What FFmpeg reads from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


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
            **_LENIENT,
        )
    except FAULTS as error:
        raise FormatError(f"the {kind.value} file can't be opened: {_reason(error)}") from error
    if _audio_stream(container) is None:
        found = ", ".join(f"{stream.type} of codec {_codec(stream)}" for stream in container.streams) or "no stream"
        container.close()
        raise FormatError(f"the {kind.value} file has {found}, expected audio of a codec that is known")
    return container


def _audio_stream(container: Any) -> Any:
    """The first stream that can be decoded, or None."""
    return next((stream for stream in container.streams.audio if _codec(stream) in _CODECS), None)


def _codec(stream: Any) -> str:
    context = stream.codec_context
    return context.name if context is not None else "unknown"


def _refuse(*_: object) -> object:
    raise PermissionError("a file of audio can't open others")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def demux(file: Readable, kind: Kind, damage: Damage) -> Iterator[Block]:
    """The audio of a container that is read by FFmpeg.

    Args:
        file: what it reads from.
        kind: the container.
        damage: counts the packets that can't be decoded.

    Raises:
        FormatError: it can't be opened, or has no audio.
    """
    with open_container(file, kind) as container:
        stream = _audio_stream(container)
        stream.codec_context.thread_count = 1  # it is decoded far faster than it plays
        last: Block | None = None
        beyond = failures = 0
        for packet in _packets(container, stream, damage):
            try:
                decoded = [(frame, parse(frame, _ANY)) for frame in packet.decode()]
            except FAULTS as error:
                damage.add(error)
                failures += 1
                if failures == _MOST_FAILURES:
                    damage.rest = FormatError(f"what follows can't be decoded: {_reason(error)}")
                continue
            if decoded:
                failures, damage.rest = 0, None
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
    while True:
        try:
            for packet in container.demux(stream):
                failures = 0
                yield packet
        except FAULTS as error:
            damage.add(error)
            failures += 1
            if failures == _MOST_FAILURES:
                damage.rest = FormatError(f"what follows can't be read: {_reason(error)}")
                return
        else:
            return


def _samples_beyond(frame: Any, packet: Any, stream: Any) -> int:
    """How many samples of an MP4 file's last frame are beyond its end.

    A short last packet says so exactly. Where it is not short, the edit list counts; some count in milliseconds.
    """
    if frame.pts is None or packet.pts is None:
        return 0
    stop = frame.pts * stream.time_base * frame.sample_rate + frame.samples
    for end in (packet.pts + packet.duration if packet.duration else None, stream.duration):
        beyond = 0 if end is None else round(stop - end * stream.time_base * frame.sample_rate)
        if 0 < beyond < frame.samples:
            return beyond
    return 0
