"""Converter: turns blocks of any layout into the output format, exactly as long as they should be."""

from __future__ import annotations

from functools import cache
from typing import Final

import av
import numpy as np

from playback.audio.formats import LAYOUTS, SAMPLE_BYTES, AudioFormat, FormatError, Layout
from playback.audio.resampler import open_resampler

_TAIL_SAMPLES: Final = 256
"""Silence fed to a resampler at a time to push its last samples out. Its own flush ends a run of less than its filter's
length (32 or 64 taps) up to 100 samples short."""

_TAIL_FEEDS: Final = 1024
"""How often at the most: enough for 384 kHz down to 4 kHz; a resampler that gives nothing back must not be asked for
ever."""


def converted_samples(samples: int, source_rate: int, target_rate: int) -> int:
    """round(samples × ratio), halves up, in whole numbers: exact at any length."""
    return (2 * samples * target_rate + source_rate) // (2 * source_rate)


class Converter:
    """Turns one run of blocks of one layout into the output format, exactly as long as it should be.

    The conversion is swresample's, through PyAV. It holds back a few samples until more comes or :meth:`flush`.
    A converter lives as long as its run, so nothing of one utterance can sound in another.

    Args:
        layout: how every block of the run is laid out.
        target: the output format.
    """

    def __init__(self, layout: Layout, target: AudioFormat) -> None:
        self._layout: Final = layout
        self._target: Final = target
        # swresample spreads mono over stereo at -3 dB each; a copy is what listeners expect. So mono stays mono here.
        self._spread: Final = layout.channels == "mono" and target.channels == 2
        channels = "mono" if self._spread else LAYOUTS[target.channels]
        self._resample: Final = open_resampler(
            layout.sample_rate, layout.sample_type, layout.channels, target.sample_rate, channels
        )
        self._taken = 0
        self._given = 0

    def convert(self, data: bytes | memoryview) -> bytes:
        """Convert the next samples.

        Args:
            data: whole samples in the run's layout.

        Returns:
            The samples that are ready, in the output format.
        """
        self._taken += len(data) // self._layout.frame_bytes
        return self._feed(data)

    def flush(self) -> bytes:
        """End the run: what was held back, so that the run is exactly round(samples × ratio) long."""
        silence = (b"\x80" if self._layout.sample_type == "u8" else b"\0") * _TAIL_SAMPLES * self._layout.frame_bytes
        owed = converted_samples(self._taken, self._layout.sample_rate, self._target.sample_rate) - self._given
        wanted = owed * self._target.frame_bytes
        tail = b""
        for _ in range(_TAIL_FEEDS):
            if len(tail) >= wanted:
                break
            tail += self._feed(silence)
        return tail[:wanted].ljust(wanted, b"\0")

    def _feed(self, data: bytes | memoryview) -> bytes:
        samples = len(data) // self._layout.frame_bytes
        frame = av.AudioFrame(format=self._layout.sample_type, layout=self._layout.channels, samples=samples)
        frame.sample_rate = self._layout.sample_rate
        frame.planes[0].update(data)  # type: ignore[arg-type]
        # A plane may be padded beyond its samples.
        width = SAMPLE_BYTES if self._spread else self._target.frame_bytes
        pieces = self._resample(frame)
        out = b"".join(memoryview(piece.planes[0])[: piece.samples * width] for piece in pieces)
        if self._spread:
            out = np.repeat(np.frombuffer(out, np.int16), 2).tobytes()
        self._given += len(out) // self._target.frame_bytes
        return out


@cache
def check_convertible(layout: Layout, target: AudioFormat) -> None:
    """See that a layout can be converted, before anything is taken.

    Raises:
        FormatError: swresample knows no way, as for some layouts of many channels.
    """
    try:
        Converter(layout, target).convert(bytes(layout.frame_bytes))
    except (ValueError, av.FFmpegError) as error:
        raise FormatError(
            f"audio of {layout.sample_rate} Hz, {layout.channels}, {layout.sample_type} can't be converted: {error}"
        ) from None
