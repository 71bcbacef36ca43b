"""Media files of all kinds, made with PyAV, of a sound that resembles speech."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from playback.audio.formats import Block

SAMPLES = 24_001
"""Of each file: no multiple of any frame."""


class Case(NamedTuple):
    """How a file is made."""

    container: str
    codec: str
    rate: int
    options: dict[str, str] = {}  # noqa: RUF012 - nobody changes it
    is_lossless: bool = False
    states_length: bool = True
    """Whether the file says which samples of the decoder are the audio."""
    delay: int = 0
    """Samples that the encoder puts before the audio, where the file does not say so."""


CASES = {
    "mp3": Case("mp3", "libmp3lame", 24_000),
    "mp3 44100": Case("mp3", "libmp3lame", 44_100),
    "mp3 plain": Case("mp3", "libmp3lame", 16_000, {"write_xing": "0", "id3v2_version": "0"}, False, False, 1_105),
    "adts": Case("adts", "aac", 24_000, {}, False, False, 1_024),
    "ogg opus": Case("ogg", "libopus", 48_000, {"page_duration": "20000"}),
    "ogg vorbis": Case("ogg", "vorbis", 44_100, {"page_duration": "100000"}, False, False),
    "ogg flac": Case("ogg", "flac", 24_000, {}, True),
    "flac": Case("flac", "flac", 24_000, {}, True),
    "webm opus": Case("webm", "libopus", 48_000),
    "webm vorbis": Case("webm", "vorbis", 48_000, {}, False, False),
    "matroska flac": Case("matroska", "flac", 24_000, {}, True),
    "m4a": Case("ipod", "aac", 44_100),
    "m4a index first": Case("ipod", "aac", 24_000, {"movflags": "faststart"}),
    "m4a alac": Case("ipod", "alac", 24_000, {}, True),
    "mp4 fragmented": Case("mp4", "flac", 24_000, {"movflags": "frag_keyframe+empty_moov", "strict": "-2"}, True),
    "aiff": Case("aiff", "pcm_s16be", 24_000, {}, True),
    "au": Case("au", "pcm_s16be", 24_000, {}, True),
    "caf": Case("caf", "pcm_s16be", 24_000, {}, True),
    "wavpack": Case("wv", "wavpack", 24_000, {}, False),
    "wav": Case("wav", "pcm_s16le", 24_000, {}, True),
    "wav 24 bits": Case("wav", "pcm_s24le", 24_000, {}, True),
    "wav floats": Case("wav", "pcm_f32le", 24_000, {}, True),
    "wav mu-law": Case("wav", "pcm_mulaw", 8_000),
    "wav A-law": Case("wav", "pcm_alaw", 8_000),
    "wav ADPCM": Case("wav", "adpcm_ms", 24_000, {}, False, False),
}

_STEREO_ONLY = "vorbis"


def sound(rate: int, seed: int = 1, samples: int = SAMPLES, channels: int = 1) -> NDArray[np.int16]:
    """A voice that goes up and down, with pauses, in a little noise; of shape (samples,) or (samples, 2)."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(4.4 * time + seed)) / rate
    voice = np.sum([np.sin(number * phase + number * seed) / number for number in range(1, 20)], axis=0)
    mono = 0.12 * voice * np.sqrt(np.clip(np.sin(11 * time + seed), 0, 1)) + rng.normal(0, 0.002, samples)
    out: NDArray[np.int16] = np.rint(32_767 * mono).astype(np.int16)
    return out if channels == 1 else np.stack([out, out // 2], axis=1)


@cache
def made(name: str, seed: int = 1, samples: int = SAMPLES, channels: int = 1) -> bytes:
    """A file of one of the cases."""
    case = CASES[name]
    channels = 2 if case.codec == _STEREO_ONLY else channels
    return encode(sound(case.rate, seed, samples, channels), case)


def encode(audio: NDArray[np.int16], case: Case, metadata: dict[str, str] | None = None) -> bytes:
    """A file of this audio."""
    layout = "stereo" if audio.ndim == 2 else "mono"
    with tempfile.TemporaryDirectory() as folder:
        # Some are written in two passes, which takes a real file.
        file: Any = Path(folder) / "file" if "faststart" in str(case.options) else BytesIO()
        target = str(file) if isinstance(file, Path) else file
        with av.open(target, "w", format=case.container, options=case.options) as container:
            container.metadata.update(metadata or {})
            stream: Any = container.add_stream(case.codec, rate=case.rate, layout=layout)
            if case.codec == _STEREO_ONLY:
                stream.codec_context.options = {"strict": "experimental"}
            for start in range(0, len(audio), 1_024):
                piece = np.ascontiguousarray(audio[start : start + 1_024]).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(piece, "s16", layout)
                frame.sample_rate, frame.pts, frame.time_base = case.rate, start, Fraction(1, case.rate)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return file.read_bytes() if isinstance(file, Path) else bytes(file.getvalue())


def samples_of(blocks: list[Block]) -> NDArray[np.float64]:
    """The first channel of blocks of one rate, full scale 32768."""
    out = []
    for block in blocks:
        kind, scale = {"s16": ("<i2", 1), "s32": ("<i4", 2**-16), "flt": ("<f4", 2**15), "u8": ("u1", 256)}[
            block.layout.sample_type
        ]
        values = np.frombuffer(block.read(), kind).astype(np.float64) - (128 if kind == "u1" else 0)
        width = np.dtype(kind).itemsize
        out.append(values[:: block.layout.frame_bytes // width] * scale)
    return np.concatenate(out) if out else np.zeros(0)


def correlation(heard: NDArray[np.float64], audio: NDArray[np.int16], delay: int = 0) -> float:
    """How alike they are, from -1 to 1."""
    heard = heard[delay : delay + len(audio)]
    return float(np.corrcoef(heard, audio[: len(heard)])[0, 1])


def wav(
    audio: NDArray[np.int16],
    rate: int,
    *,
    length: int | None = None,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A WAV file of 16 bits with any length in its header, and chunks before and after its samples."""
    data = audio.astype("<i2").tobytes()
    channels = audio.shape[1] if audio.ndim == 2 else 1

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, "little")

    head = b"".join([number(1, 2), number(channels, 2), number(rate, 4), number(rate * 2 * channels, 4)])
    head = b"WAVEfmt " + number(16, 4) + head + number(2 * channels, 2) + number(16, 2) + before
    size = len(data) if length is None else length
    total = min(len(head) + 8 + size, 2**32 - 1)
    return b"RIFF" + number(total, 4) + head + b"data" + number(size, 4) + data + after


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a WAV file."""
    return name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)
