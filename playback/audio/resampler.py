"""Resamplers: swresample through PyAV, with a steeper filter where a telephone's band is all that is left.

swresample's own filter of 32 taps is 22 dB down at 4.2 kHz, where a rate of 8 kHz aliases, and has lost 0.1 dB at
3.4 kHz, the upper end of a telephone's band (ITU-T G.712). At higher rates what aliases lies above all speech, and the
filter stays as it is: it is the cheapest, and holds back the least.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Final

import av

Resample = Callable[[av.AudioFrame], list[av.AudioFrame]]
"""Takes a frame, gives those that are ready."""

TELEPHONE_RATE: Final = 8_000
"""Up to this rate the filter is steep."""

_STEEP: Final = "filter_size=64:cutoff=0.93:kaiser_beta=7"
"""Measured from 24 kHz: tones from 4.2 kHz on are 75 dB down or more, and up to 3.4 kHz all is flat within 0.01 dB. It
takes 1.4 times as long as the filter of 32 taps, and holds back 4 ms in place of 2. soxr, at its quality HQ, takes less
and is as good, but works in blocks and holds back 75 ms and more: a stream that is not ended would be late by that."""


def open_resampler(source_rate: int, sample_type: str, layout: str, target_rate: int, channels: str) -> Resample:
    """A resampler to s16.

    Args:
        source_rate: of the frames that it gets, in Hz.
        sample_type: their sample type, in PyAV's names.
        layout: their layout, the same.
        target_rate: of those that it gives, in Hz.
        channels: their layout.

    Raises:
        ValueError, av.FFmpegError: swresample knows no way.
    """
    if target_rate > TELEPHONE_RATE or source_rate <= target_rate:
        return av.AudioResampler(format="s16", layout=channels, rate=target_rate).resample
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        sample_rate=source_rate, format=sample_type, layout=layout, time_base=Fraction(1, source_rate)
    )
    resample = graph.add("aresample", f"{target_rate}:{_STEEP}")
    convert = graph.add("aformat", f"sample_fmts=s16:channel_layouts={channels}:sample_rates={target_rate}")
    sink = graph.add("abuffersink")
    source.link_to(resample)
    resample.link_to(convert)
    convert.link_to(sink)
    graph.configure()
    position = 0

    def run(frame: av.AudioFrame) -> list[av.AudioFrame]:
        nonlocal position
        frame.pts, frame.time_base = position, Fraction(1, source_rate)
        position += frame.samples
        graph.push(frame)
        ready: list[av.AudioFrame] = []
        while True:
            try:
                ready.append(graph.pull())  # type: ignore[arg-type]
            except (av.BlockingIOError, EOFError):
                return ready

    return run
