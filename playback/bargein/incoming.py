"""One incoming track for several consumers: voice activity, speech recognition, a recorder.

Each frame of an aiortc track goes to only one caller of ``recv()``, so two consumers would get half of the frames each.
:class:`IncomingAudio` is the only reader of the track, and gives every frame to each subscriber. From then on, a direct
``recv()`` of the track raises an error that says so.

aiortc's own ``MediaRelay`` is not used: its queues have no limit, and where a track is stopped while it waits for a
frame, its consumers wait for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from playback._checks import check_seconds, check_type, check_whole
from playback.bargein.recognizer import RATE

QUEUE_SECONDS: Final = 10.0
"""How much audio waits for a subscriber, by default."""


class IncomingAudio:
    """Reads a track, and gives each frame to every subscriber.

    Example::

        @peer_connection.on("track")
        def on_track(track):
            audio = IncomingAudio(track)
            start(VoiceActivity(audio, policy).run())
            start(recognize(audio.samples()))           # 16 kHz mono arrays
            recorder.addTrack(audio.track())            # a track of aiortc

    It reads from the first subscription until the track ends, even without subscribers, because the frames of a track
    without a reader would pile up without a limit. When the track ends, every subscription ends.

    Args:
        track: an audio track of any rate and layout that nobody reads yet.

    Raises:
        TypeError: it is no track.
        ValueError: it is a track of video.
        RuntimeError: another one reads it already.
    """

    def __init__(self, track: MediaStreamTrack) -> None:
        check_type("track", track, MediaStreamTrack)
        if track.kind != "audio":
            raise ValueError(f"the track's kind is {track.kind!r}, expected 'audio'")
        if isinstance(track.recv, _Refusal):
            raise RuntimeError(f"{track!r} is read by an IncomingAudio already, expected a subscription to that one")
        self._track: Final = track
        self._recv: Final = track.recv
        self._subscriptions: Final[set[Subscription]] = set()
        self._task: asyncio.Task[None] | None = None
        self._ended = track.readyState == "ended"
        self._error: Exception | None = None
        track.recv = _Refusal()  # type: ignore[method-assign]
        track.add_listener("ended", self._finish)

    @property
    def ended(self) -> bool:
        """Whether the track has ended."""
        return self._ended

    def frames(self, *, queue_seconds: float = QUEUE_SECONDS) -> Subscription:
        """Subscribe to the frames as they come.

        Args:
            queue_seconds: how much audio may wait; then the oldest frame is dropped, and counted.

        Raises:
            TypeError: it is no number.
            ValueError: it is negative or not finite.
            RuntimeError: no event loop runs.
        """
        check_seconds("queue_seconds", queue_seconds)
        loop = asyncio.get_running_loop()
        subscription = Subscription(self, queue_seconds)
        if self._ended:
            subscription.end(self._error)
            return subscription
        self._subscriptions.add(subscription)
        if self._task is None:
            self._task = loop.create_task(self._read())
        return subscription

    def samples(self, rate: int = RATE, *, queue_seconds: float = QUEUE_SECONDS) -> Samples:
        """Subscribe to samples: int16, one channel, in arrays of any length.

        Args:
            rate: in Hz; most recognition expects the default, 16,000.
            queue_seconds: as for :meth:`frames`.

        Raises:
            TypeError, ValueError, RuntimeError: as for :meth:`frames`; or the rate can't be.
        """
        check_whole("rate", rate, range(1_000, 384_001))
        return Samples(self.frames(queue_seconds=queue_seconds), rate)

    def track(self, *, queue_seconds: float = QUEUE_SECONDS) -> MediaStreamTrack:
        """Subscribe with a track of aiortc's kind, for a recorder or another peer connection.

        Args:
            queue_seconds: as for :meth:`frames`.

        Raises:
            TypeError, ValueError, RuntimeError: as for :meth:`frames`.
        """
        return _SubscribedTrack(self.frames(queue_seconds=queue_seconds))

    def leave(self, subscription: Subscription) -> None:
        """Give a subscription no more frames; it ends."""
        self._subscriptions.discard(subscription)
        subscription.end(None)

    async def _read(self) -> None:
        try:
            while True:
                frame = await self._recv()
                if isinstance(frame, av.AudioFrame) and frame.samples:
                    for subscription in self._subscriptions:
                        subscription.put(frame)
                await asyncio.sleep(0)  # a track that has many frames ready never waits, and nobody could take them
        except MediaStreamError:
            pass
        except Exception as error:
            self._error = error
        finally:
            self._finish()

    def _finish(self) -> None:
        """End every subscription; a read that still waits would wait for ever."""
        self._ended = True
        for subscription in self._subscriptions:
            subscription.end(self._error)
        self._subscriptions.clear()
        if self._task is not None and self._task is not _current_task():
            self._task.cancel()


class Subscription:
    """The frames of one subscriber: an asynchronous iterator, which ends with the track."""

    def __init__(self, audio: IncomingAudio, queue_seconds: float) -> None:
        self._audio: Final = audio
        self._limit: Final = queue_seconds
        self._frames: Final[deque[av.AudioFrame]] = deque()
        self._seconds = 0.0
        self._more: Final = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self.dropped = 0
        """How many frames were dropped, because they were not taken in time."""

    def __aiter__(self) -> AsyncIterator[av.AudioFrame]:
        return self

    async def __anext__(self) -> av.AudioFrame:
        while not self._frames:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        frame = self._frames.popleft()
        self._seconds -= frame.samples / frame.sample_rate
        return frame

    async def aclose(self) -> None:
        """Take no more frames."""
        self.close()

    def close(self) -> None:
        """Take no more frames."""
        self._frames.clear()
        self._audio.leave(self)

    def put(self, frame: av.AudioFrame) -> None:
        """Add a frame; the newest is always kept."""
        self._frames.append(frame)
        self._seconds += frame.samples / frame.sample_rate
        while self._seconds > self._limit and len(self._frames) > 1:
            oldest = self._frames.popleft()
            self._seconds -= oldest.samples / oldest.sample_rate
            self.dropped += 1
        self._more.set()

    def end(self, error: Exception | None) -> None:
        """Add no more frames."""
        if not self._ended:
            self._ended, self._error = True, error
            self._more.set()


class Samples:
    """The samples of one subscriber: an asynchronous iterator of arrays, which ends with the track."""

    def __init__(self, frames: Subscription, rate: int) -> None:
        self._frames: Final = frames
        self._rate: Final = rate
        self._resampler: av.AudioResampler | None = None
        self._layout: tuple[Any, ...] | None = None

    @property
    def dropped(self) -> int:
        """How many frames were dropped, because they were not taken in time."""
        return self._frames.dropped

    def __aiter__(self) -> AsyncIterator[NDArray[np.int16]]:
        return self

    async def __anext__(self) -> NDArray[np.int16]:
        while True:
            frame = await self._frames.__anext__()
            layout = frame.sample_rate, frame.format.name, frame.layout.name
            if self._resampler is None or layout != self._layout:
                self._resampler, self._layout = av.AudioResampler("s16", "mono", self._rate), layout
            # The frame is not the subscriber's own, and is not changed; clocks of tracks may jump, and do not matter.
            made = [part.to_ndarray()[0] for part in self._resampler.resample(frame)]
            if made:
                return np.concatenate(made)

    async def aclose(self) -> None:
        """Take no more samples."""
        self._frames.close()


class _SubscribedTrack(MediaStreamTrack):
    """A subscription as a track."""

    kind = "audio"

    def __init__(self, frames: Subscription) -> None:
        super().__init__()
        self._frames: Final = frames

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        try:
            return await self._frames.__anext__()
        except StopAsyncIteration:
            self.stop()
            raise MediaStreamError from None

    def stop(self) -> None:
        super().stop()
        self._frames.close()


class _Refusal:
    """What a track that somebody reads has in place of its ``recv``."""

    async def __call__(self) -> Any:
        raise RuntimeError(
            "this track is read by an IncomingAudio, which gives all frames to each of its subscribers:"
            " use its track() or samples() in place of the track"
        )


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # stopped without a loop
        return None
