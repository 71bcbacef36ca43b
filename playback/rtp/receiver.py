"""Opus from RTP packets, as arrays of samples for voice activity and recognition.

Packets are decoded only while somebody listens, once for each rate, with libopus; a hole is filled by libopus'
concealment, or by what the packet after it holds of the one before (in-band FEC).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from time import monotonic
from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_seconds, check_type
from playback._waiting import Gate
from playback.codec.decoder import Decoder, open_decoder
from playback.codec.packets import PacketError
from playback.rtp.jitter import WAIT_SECONDS, JitterBuffer, JitterStats, Piece
from playback.rtp.packets import RtpError, parse

RATE: Final = 16_000
"""What recognition and voice activity expect, in Hz."""

QUEUE_SECONDS: Final = 10.0
"""How much audio waits for a listener, by default."""


@dataclass(slots=True)
class ReceiverStats(JitterStats):
    """What a receiver has counted. While nobody listens, packets are only counted as unheard."""

    unheard: int = 0
    """Packets that came while nobody listened: nothing is done with them."""
    dropped_seconds: float = 0.0
    """Audio that listeners did not take in time."""


class OpusReceiver:
    """Takes RTP packets of Opus, and gives their sound to every listener.

    Example::

        receiver = OpusReceiver(payload_types={111})
        track.on_message(lambda data: loop.call_soon_threadsafe(receiver.feed, data))
        start(VoiceActivity(receiver, policy).run())
        start(recognize(receiver.samples()))            # 16 kHz mono arrays

    A packet that is in order is decoded when it comes. After a hole, the next ones wait for what is missing, at most
    ``wait_seconds``; then the hole is filled. All calls are made in one thread, the loop's if there is one.

    Args:
        payload_types: those that are Opus in this session; all of them unless given.
        wait_seconds: how long a packet that is missing is waited for, in seconds; 0.04 to 0.06 is enough for most
            networks, and 0 waits for none.
        clock: the time in seconds, of a clock that never goes back.

    Raises:
        TypeError: the time is no number.
        ValueError: it is negative or not finite.
    """

    def __init__(
        self,
        *,
        payload_types: Collection[int] | None = None,
        wait_seconds: float = WAIT_SECONDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        check_seconds("wait_seconds", wait_seconds)
        self.stats: Final = ReceiverStats()
        """What it has counted."""
        self._payload_types: Final = None if payload_types is None else frozenset(payload_types)
        self._wait: Final = wait_seconds
        self._clock: Final = clock
        self._jitter: JitterBuffer | None = None  # while somebody listens
        self._decodings: Final[dict[int, _Decoding]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether it was closed."""
        return self._ended

    def feed(self, packet: bytes | bytearray | memoryview) -> None:
        """Take a packet of RTP. Nothing that comes from a network makes this raise; what is no Opus is counted.

        Raises:
            TypeError: these are no bytes.
        """
        check_type("packet", packet, bytes, bytearray, memoryview)
        if self._jitter is None:
            self.stats.unheard += 1
            return
        try:
            parsed = parse(packet)
            if self._payload_types is not None and parsed.payload_type not in self._payload_types:
                self.stats.ignored += 1
                return
            pieces = self._jitter.put(parsed, self._clock())
        except (RtpError, PacketError):
            self.stats.malformed += 1
            return
        self._hand_out(pieces)
        self._set_timer()

    def poll(self) -> None:
        """Give up what was waited for long enough. On a loop this is done in time, without a call."""
        if self._jitter is not None:
            self._hand_out(self._jitter.release(self._clock()))
            self._set_timer()

    def samples(self, rate: int = RATE, *, queue_seconds: float = QUEUE_SECONDS) -> SampleStream:
        """Listen from now on: int16, one channel, an array for each packet or hole.

        Args:
            rate: in Hz, one that Opus has: 8,000, 12,000, 16,000, 24,000 or 48,000.
            queue_seconds: how much audio may wait; then the oldest array is dropped, and counted.

        Raises:
            ValueError: Opus has no such rate, or the time is negative or not finite.
            TypeError: the time is no number.
        """
        check_seconds("queue_seconds", queue_seconds)
        decoding = self._decodings.get(rate) or _Decoding(open_decoder(rate))
        stream = SampleStream(self, rate, queue_seconds)
        if self._ended:
            stream.end()
            return stream
        self._decodings[rate] = decoding
        decoding.streams.append(stream)
        if self._jitter is None:
            self._jitter = JitterBuffer(self.stats, self._wait)
        return stream

    def __aiter__(self) -> AsyncIterator[NDArray[np.int16]]:
        """Listen at :data:`RATE`."""
        return self.samples()

    def leave(self, stream: SampleStream) -> None:
        """Give a listener nothing more; it ends."""
        stream.end()
        for rate, decoding in list(self._decodings.items()):
            if stream in decoding.streams:
                decoding.streams.remove(stream)
            if not decoding.streams:
                del self._decodings[rate]
        if not self._decodings:
            self._jitter = None
            self._set_timer()

    def close(self) -> None:
        """End: what waits is handed out, and every listener ends after it. To close twice does nothing."""
        if self._jitter is not None:
            self._hand_out(self._jitter.flush())
        self._ended = True
        for decoding in list(self._decodings.values()):
            for stream in list(decoding.streams):
                self.leave(stream)

    def _hand_out(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            damaged = False
            for decoding in self._decodings.values():
                damaged |= not decoding.take(piece)
            self.stats.malformed += damaged

    def _set_timer(self) -> None:
        deadline = None if self._jitter is None else self._jitter.deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:  # the caller polls
                return
            self._timer = loop.call_later(max(0.0, deadline - self._clock()), self.poll)


class _Decoding:
    """A decoder, and who listens to it."""

    def __init__(self, decoder: Decoder) -> None:
        self.streams: Final[list[SampleStream]] = []
        self._decoder: Final = decoder

    def take(self, piece: Piece) -> bool:
        """Decode a piece for everybody; returns False if it is damaged: what is heard then is concealed."""
        sound = True
        if piece.payload is None:
            samples = self._decoder.conceal(piece.samples, piece.following)
        else:
            try:
                samples = self._decoder.decode(piece.payload)
            except PacketError:
                samples, sound = self._decoder.conceal(piece.samples), False
        samples.flags.writeable = False  # several listeners have it
        for stream in self.streams:
            stream.put(samples)
        return sound


class SampleStream:
    """The samples of one listener: an asynchronous iterator of arrays, which ends with the receiver."""

    def __init__(self, receiver: OpusReceiver, rate: int, queue_seconds: float) -> None:
        self._receiver: Final = receiver
        self._rate: Final = rate
        self._limit: Final = round(queue_seconds * rate)
        self._arrays: Final[deque[NDArray[np.int16]]] = deque()
        self._waiting = 0
        self._more: Final = Gate()
        self._ended = False
        self.dropped = 0
        """How many arrays were dropped, because they were not taken in time."""

    def __aiter__(self) -> AsyncIterator[NDArray[np.int16]]:
        return self

    async def __anext__(self) -> NDArray[np.int16]:
        while not self._arrays:
            if self._ended:
                raise StopAsyncIteration
            await self._more.wait()
        samples = self._arrays.popleft()
        self._waiting -= len(samples)
        return samples

    async def aclose(self) -> None:
        """Take no more samples."""
        self.clear()
        self._receiver.leave(self)

    def clear(self) -> None:
        """Drop what waits."""
        self._arrays.clear()
        self._waiting = 0

    def put(self, samples: NDArray[np.int16]) -> None:
        """Add samples; the newest are always kept."""
        if not len(samples):
            return
        self._arrays.append(samples)
        self._waiting += len(samples)
        while self._waiting > self._limit and len(self._arrays) > 1:
            oldest = self._arrays.popleft()
            self._waiting -= len(oldest)
            self.dropped += 1
            self._receiver.stats.dropped_seconds += len(oldest) / self._rate
        self._more.open()

    def end(self) -> None:
        """Add no more samples."""
        self._ended = True
        self._more.open()
