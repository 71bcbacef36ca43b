"""Tracks whose frames a test puts into them, and who hears them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from playback.bargein.vad import RATE

Audio = NDArray[np.int16]


class Microphone(MediaStreamTrack):
    """A track whose frames are put into it, as aiortc's of what is received."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.queue: asyncio.Queue[av.AudioFrame | Exception | None] = asyncio.Queue()

    async def recv(self) -> av.AudioFrame:
        frame = await self.queue.get()
        if frame is None:
            raise MediaStreamError
        if isinstance(frame, Exception):
            raise frame
        return frame

    def put(self, samples: Audio, rate: int = RATE, channels: int = 1, size: int | None = None) -> None:
        size = size or rate // 50
        for i in range(0, len(samples), size):
            piece = np.repeat(samples[i : i + size], channels).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(piece, "s16", "stereo" if channels == 2 else "mono")
            frame.sample_rate = rate
            self.queue.put_nowait(frame)

    def end(self) -> None:
        self.queue.put_nowait(None)


class Heard:
    """A listener that notes when speech began and ended."""

    def __init__(self) -> None:
        self.changes: list[object] = []
        self.more = asyncio.Event()

    def speech_started(self) -> None:
        self.changes.append(True)
        self.more.set()

    def speech_ended(self) -> None:
        self.changes.append(False)
        self.more.set()

    async def until(self, changes: Sequence[object]) -> None:
        async with asyncio.timeout(10):
            while self.changes != list(changes):
                self.more.clear()
                await self.more.wait()


def sure(chunk: NDArray[np.float32]) -> float:
    """A detector's ears, replaced: speech is what is not zero."""
    return float(np.abs(chunk).max() > 0)
