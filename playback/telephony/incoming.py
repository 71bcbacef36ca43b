"""What comes from the caller: audio as a track, and the keys that are pressed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from fractions import Fraction
from typing import Final

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from playback.audio.encodings import ENCODINGS
from playback.audio.formats import AudioFormat
from playback.telephony.dialect import INVALID_DATA, MessageError

WAITING_SECONDS: Final = 1.0
"""How much audio waits for somebody to hear it; then the oldest goes, and is counted."""

WAITING_KEYS: Final = 64
"""How many keys wait for somebody to take them."""


class CallerTrack(MediaStreamTrack):
    """The caller's audio, as a track of aiortc: frames of one channel at the carrier's rate.

    Args:
        format: how the carrier encodes it.
    """

    kind = "audio"

    def __init__(self, format: AudioFormat) -> None:
        super().__init__()
        self._format: Final = format
        self._time_base: Final = Fraction(1, format.sample_rate)
        self._frames: Final[deque[av.AudioFrame]] = deque()
        self._held = 0
        self._more: Final = asyncio.Event()
        self._samples = 0
        self.dropped = 0
        """Frames that nobody has heard in time."""

    def put(self, audio: bytes) -> None:
        """Add audio in the carrier's encoding.

        Raises:
            MessageError: it does not hold whole samples.
        """
        if len(audio) % self._format.frame_bytes:
            raise MessageError(INVALID_DATA, "the audio does not hold whole samples")
        if not audio or self.readyState != "live":
            return
        decoded = np.frombuffer(ENCODINGS[self._format.encoding].decode(audio), "<i2").astype(np.int16)
        frame = av.AudioFrame.from_ndarray(decoded.reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.time_base, frame.pts = self._format.sample_rate, self._time_base, self._samples
        self._samples += frame.samples
        self._frames.append(frame)
        self._held += frame.samples
        while self._held > WAITING_SECONDS * self._format.sample_rate and len(self._frames) > 1:
            self._held -= self._frames.popleft().samples
            self.dropped += 1
        self._more.set()

    async def recv(self) -> av.AudioFrame:
        """The next frame.

        Raises:
            MediaStreamError: the call is over.
        """
        while not self._frames:
            if self.readyState != "live":
                raise MediaStreamError("the call is over")
            self._more.clear()
            await self._more.wait()
        frame = self._frames.popleft()
        self._held -= frame.samples
        return frame

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._more.set()


class Keys:
    """The keys that the caller presses: an asynchronous iterator of "0" to "9", "*", "#" and "A" to "D".

    It ends with the call. It holds the newest 64 for a slow reader. Several readers share them.
    """

    def __init__(self) -> None:
        self._keys: Final[deque[str]] = deque()
        self._more: Final = asyncio.Event()
        self._ended = False
        self.dropped = 0
        """Keys that nobody has taken in time."""

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        while not self._keys:
            if self._ended:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._keys.popleft()

    def put(self, key: str) -> None:
        """Add a key; the newest is always kept."""
        if len(self._keys) == WAITING_KEYS:
            self._keys.popleft()
            self.dropped += 1
        self._keys.append(key)
        self._more.set()

    def end(self) -> None:
        """Add no more keys."""
        self._ended = True
        self._more.set()
