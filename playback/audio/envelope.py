"""Envelope: how loud the audio of an utterance was, from its start to its end, for the little that it costs.

To know how much of the speech was played, it takes the loudness of all of it, also of what is dropped. A look at each
sample would cost as much as all else that a read does. So only one in about :data:`POINTS_HERTZ` of a second is taken,
of the first channel, and of that the high byte: a slice of bytes in steps. What was played is looked at when it leaves
the history that is kept for a rewind, what is dropped while it is freed: a few chunks in each read.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from playback.audio.formats import AudioFormat, Block, FormatError

POINTS_HERTZ: Final = 1_500
"""How many samples of a second are looked at: 30 in a window, which is enough to find its loudness within 3 dB or so,
for speech has a pitch of 80 to 300 Hz."""

WINDOW_SECONDS: Final = 0.02
"""For how long speech is taken to be as loud: a phone lasts 50 ms and more."""

_PIECE: Final = 65_536
"""How many samples are looked at in one go."""

_COST: Final = 4_096
"""How many samples cost about as much as freeing a chunk does."""

_SCALES: Final = {"s16": 1 / 256, "flt": 128.0, "dbl": 128.0, "s32": 1 / (1 << 24)}
"""What makes -128 to 127 of a sample, by PyAV's names of types; one of u8 has an offset as well."""

_TYPES: Final = {"s16": np.int16, "flt": np.float32, "dbl": np.float64, "s32": np.int32, "u8": np.uint8}


Chunks = deque[bytes | memoryview]
"""Audio in the output format."""


class Envelope:
    """The loudness of one utterance.

    Args:
        format: the output format.
    """

    __slots__ = (
        "_at",
        "_chunks",
        "_first",
        "_format",
        "_played",
        "_points",
        "_raw",
        "_raw_at",
        "_step",
        "_windows",
        "stride",
    )

    def __init__(self, format: AudioFormat) -> None:
        self.stride: Final = max(1, format.sample_rate // POINTS_HERTZ)
        """Samples from one point to the next."""
        self._format: Final = format
        self._step: Final = self.stride * format.frame_bytes
        self._first = 1 if sys.byteorder == "little" else 0  # the byte of the next chunk that is the next point
        self._points = bytearray()
        self._windows: NDArray[np.uint8] = np.zeros(0, np.uint8)  # of points that are given up

        # What is still to be looked at: audio in the output format, then what was not converted.
        self._played: Chunks = deque()
        self._chunks: Chunks = deque()
        self._raw: deque[Block] = deque()
        self._raw_at = 0  # samples of the first of these blocks
        self._at = 0.0  # where that is, in output samples from the first block

    def skip(self, samples: int) -> None:
        """Count so many samples, of which nothing is known, as speech."""
        self._points += b"\x40" * (samples // self.stride)

    def add(self, chunk: bytes | memoryview) -> None:
        """Look at the next audio, in the output format."""
        self._points += bytes(chunk[self._first :: self._step])
        self._first = (self._first - len(chunk)) % self._step

    def add_block(self, block: Block) -> None:
        """Look at the next audio, in whatever layout.

        Raises:
            FormatError: it can't be played.
        """
        self._add_raw(block, 0, block.samples)

    def keep(self, chunk: bytes | memoryview) -> None:
        """Take audio that was played and is needed for nothing else any more; here, nobody needs it."""

    def keep_rest(self, played: Chunks, chunks: Chunks, raw: deque[Block], raw_at: int) -> None:
        """Take what is left of the audio, to look at it later.

        Args:
            played: what was played and is kept for a rewind, in the output format.
            chunks: what comes next.
            raw: what follows that and was not converted.
            raw_at: how many samples of the first block were.
        """
        self._played, self._chunks, self._raw, self._raw_at = played, chunks, raw, raw_at

    @property
    def is_complete(self) -> bool:
        """Whether all was looked at."""
        return not self._played and not self._chunks and not self._raw

    def look_at_next(self) -> int:
        """Look at the next piece of what is left, and free it.

        Returns:
            What that has cost, in chunks that could have been freed.
        """
        if self._played or self._chunks:
            chunks = self._played or self._chunks
            chunk = chunks.popleft()
            most = _PIECE * self._format.frame_bytes
            if len(chunk) > most:
                chunks.appendleft(memoryview(chunk)[most:])
                chunk = memoryview(chunk)[:most]
            self.add(chunk)
            return 1 + len(chunk) // self._format.frame_bytes // _COST
        block = self._raw[0]
        stop = min(block.samples, self._raw_at + _PIECE)
        samples = stop - self._raw_at
        try:
            self._add_raw(block, self._raw_at, stop)
        except FormatError:  # it could not have been played, and nothing behind it
            self._raw.clear()
            return 1
        self._raw_at = stop
        if stop == block.samples:
            self._raw.popleft()
            self._raw_at = 0
        return 1 + samples // _COST

    def windows(self) -> NDArray[np.uint8]:
        """How loud it is in each :data:`WINDOW_SECONDS`: 0 is below -42 dB of full scale, 127 is full scale."""
        while not self.is_complete:
            self.look_at_next()
        size = self._window
        whole = len(self._points) // size * size
        if whole:
            self._windows = np.concatenate([self._windows, self._loudest(self._points[:whole])])
            del self._points[:whole]
        return np.concatenate([self._windows, self._loudest(self._points)]) if self._points else self._windows

    def _loudest(self, points: bytearray) -> NDArray[np.uint8]:
        """The loudness of each window; the last one may be shorter."""
        # Of -1 to -256 the high byte is -1: one's complement makes them as silent as 0 to 255.
        signed = np.frombuffer(bytes(points), np.int8)
        levels = np.where(signed < 0, ~signed, signed).astype(np.uint8)
        windows: NDArray[np.uint8] = (
            np.pad(levels, (0, -len(levels) % self._window)).reshape(-1, self._window).max(axis=1, initial=0)
        )
        return windows

    @property
    def seconds(self) -> float:
        """How long a window is."""
        return self._window * self.stride / self._format.sample_rate

    @property
    def _window(self) -> int:
        """How many points a window has."""
        return max(1, round(WINDOW_SECONDS * self._format.sample_rate / self.stride))

    def _add_raw(self, block: Block, start: int, stop: int) -> None:
        layout = block.layout
        ratio = layout.sample_rate / self._format.sample_rate
        channels = layout.frame_bytes // np.dtype(_TYPES[layout.sample_type]).itemsize
        samples = np.frombuffer(block.read(start, stop), _TYPES[layout.sample_type])[::channels]
        begin, end = self._at, self._at + len(samples) / ratio
        places = np.arange(-(-begin // self.stride), end / self.stride) * self.stride - begin
        taken: NDArray[Any] = samples[np.minimum((places * ratio).astype(np.int64), len(samples) - 1)]
        if layout.sample_type == "u8":
            levels = taken.astype(np.int16) - 128
        else:
            levels = np.clip(np.floor(taken * _SCALES[layout.sample_type]), -128, 127)
        self._points += levels.astype(np.int8).tobytes()
        self._at = end
