"""``python -m benchmarks.micro.codecs [--json FILE]``: what encoding costs, and how well it can be understood.

The CPU time is compared with that of aiortc's own encoder (stereo, 96 kbit/s) for the same speech, in turns. STOI is
the short-time objective intelligibility of Taal, Hendriks, Heusdens and Jensen (2011), 1 at most, at 16 kHz.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import wave
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import count, cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, Final, get_args

import av
import numpy as np
from aiortc import rtp
from aiortc.codecs.opus import OpusEncoder
from numpy.typing import NDArray
from pystoi import stoi
from rich.console import Console
from rich.table import Table
from scipy.signal import correlate, resample_poly

from benchmarks.calls.__main__ import write_speech
from benchmarks.calls.tracks import FRAME, FRAME_BYTES, RATE, ready
from benchmarks.machine import about
from benchmarks.micro.measure import cpu_ns
from benchmarks.micro.packets import measure_packets, pool_ratio
from playback import AudioFormat, PlaybackController
from playback.codec.settings import Application
from playback.opus import OpusPlaybackTrack

COMPLEXITIES: Final = (0, 3, 5, 10)
ROUNDS: Final = 9
SECOND: Final = 50
"""Frames that are encoded at a time."""


class Encoding:
    """Encodes the same speech over and over.

    Args:
        speech: mono, at 48 kHz.
        options: of the track.
    """

    def __init__(self, speech: bytes, **options: Any) -> None:
        self._speech: Final = speech
        self._controller: Final = PlaybackController(AudioFormat(RATE), high_water_seconds=600)
        self._track: Final = OpusPlaybackTrack(self._controller, idle="silence", **options)
        self.packets: Final[list[bytes]] = []

    def __call__(self) -> None:
        """Encode a second."""
        if self._controller.buffered < SECOND * FRAME:
            self._controller.push(self._speech)
        for number in range(SECOND):
            self.packets.extend(map(bytes, self._track.packets(number * FRAME)))


def decoded(packets: Iterable[av.Packet[Any]]) -> NDArray[np.float64]:
    """What Opus packets that follow each other sound like, mono at 48 kHz."""
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.format, decoder.layout = RATE, "s16", "mono"
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(float)


def aiortc_encoding(speech: bytes) -> Callable[[], None]:
    """What encodes a second of speech as a sender of aiortc does."""
    frames = cycle(ready(speech))
    encoder, numbers = OpusEncoder(), count()

    def encode() -> None:
        for frame in islice(frames, SECOND):
            frame.pts = next(numbers) * FRAME
            rtp.compute_audio_level_dbov(frame)
            encoder.encode(frame)

    return encode


def measure(speech: bytes, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """A row for each application and complexity."""
    baseline = aiortc_encoding(speech)
    encodings = {
        (application, complexity): Encoding(speech, application=application, complexity=complexity)
        for application in get_args(Application)
        for complexity in COMPLEXITIES
    }
    ratios: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(rounds):
        before = cpu_ns(baseline)
        for name, encoding in encodings.items():
            time = cpu_ns(encoding)
            after = cpu_ns(baseline)
            ratios[name].append(2 * time / (before + after))
            before = after
    sent = np.frombuffer(speech, np.int16).astype(float)
    return [
        {
            "application": application,
            "complexity": complexity,
            "ratio": median(ratios[application, complexity]),
            "kilobits": float(np.mean([len(packet) for packet in encoding.packets])) * 8 * SECOND / 1000,
            "stoi": intelligibility(sent, decoded(map(av.Packet, encoding.packets))),
        }
        for (application, complexity), encoding in encodings.items()
    ]


def intelligibility(sent: NDArray[np.float64], received: NDArray[np.float64]) -> float:
    """The STOI of what was received, wherever it begins; both at 48 kHz."""
    length = min(len(sent), len(received)) - RATE // 10
    lag = int(np.argmax(correlate(received[: RATE + RATE // 10], sent[:RATE], "valid")))
    clean, heard = (resample_poly(part[:length], 1, 3) for part in (sent, received[lag:]))
    return float(stoi(clean, heard, RATE // 3))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro.codecs", description="What encoding costs.")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "speech.wav"
        write_speech(file)
        with wave.open(str(file)) as opened:
            speech = opened.readframes(opened.getnframes())
    speech = speech[: len(speech) // FRAME_BYTES * FRAME_BYTES]
    rows = measure(speech)
    table = Table("application", "complexity", "× aiortc's encoder", "kbit/s", "STOI")
    for row in rows:
        figures = (f"{row['ratio']:.2f}", f"{row['kilobits']:.0f}", f"{row['stoi']:.3f}")
        table.add_row(row["application"], str(row["complexity"]), *figures)
    Console().print(table)
    packets = measure_packets(speech, aiortc_encoding(speech), ROUNDS)
    ways = Table("a packet of 20 ms", "µs of CPU", "× aiortc's encoder")
    for row in packets:
        ways.add_row(row["subject"], f"{row['micros']:.1f}", f"{row['ratio']:.3f}")
    Console().print(ways)
    pool = pool_ratio(speech, ROUNDS)
    Console().print(f"Encoding in two threads takes {pool:.2f} times as long as in one.")
    if options.json:
        options.json.write_text(
            json.dumps({"machine": about(), "rows": rows, "packets": packets, "pool": pool}, indent=1) + "\n",
            encoding="utf-8",
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
