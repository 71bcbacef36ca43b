"""A carrier: a way there, a buffer, a speaker, and a way back, each with latency and jitter.

The speaker plays what has arrived, sample by sample, in the loop's time. It sends a mark back when all audio before it
was played; and at a clear all that are outstanding, as Twilio and Telnyx document it.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from playback.telephony import SocketClosedError
from tests.telephony.shapes import TwilioSide


class Played(NamedTuple):
    """A piece that the speaker has played without a gap."""

    at: float
    samples: NDArray[np.int16]


class Carrier:
    """A carrier and its WebSocket.

    Args:
        side: its messages.
        latency: how long a message takes, in each direction.
        jitter: by how much longer it may take; no message overtakes another.
        seed: for the jitter.
        echoes: whether a clear sends the outstanding marks back.
    """

    def __init__(
        self, side: TwilioSide, latency: float = 0.05, jitter: float = 0.0, seed: int = 0, *, echoes: bool = True
    ) -> None:
        self.side: Final = side
        self.latency: Final = latency
        self.jitter: Final = jitter
        self.played: Final[list[Played]] = []
        self.fullest = 0.0
        """The most audio that has waited for the speaker, in seconds."""
        self.clears: Final[list[float]] = []
        """When each clear arrived."""
        self.sent: Final[list[tuple[float, str]]] = []
        """What the application has sent, and when."""
        self.closed: tuple[int, str] | None = None
        self.reads = True
        """Whether the socket takes messages."""
        self._echoes: Final = echoes
        self._loop: Final = asyncio.get_running_loop()
        self._random: Final = random.Random(seed)
        self._buffer: Final[deque[NDArray[np.int16] | str]] = deque()
        self._clock = 0.0
        self._due: asyncio.TimerHandle | None = None
        self._inbox: Final[asyncio.Queue[str | bytes | None]] = asyncio.Queue()
        self._last_there = self._last_back = 0.0
        self._takes: Final = asyncio.Event()
        for message in side.start():
            self.say(message)

    # The application's socket

    async def receive(self) -> str | bytes | None:
        return None if self.closed else await self._inbox.get()

    async def send(self, message: str | bytes) -> None:
        while not self.reads:
            self._takes.clear()
            await self._takes.wait()
        if self.closed:
            raise SocketClosedError("closed")
        command = self.side.read(message)
        self.sent.append((self._loop.time(), command.kind))
        self._last_there = max(math.nextafter(self._last_there, math.inf), self._loop.time() + self._way())
        self._loop.call_at(self._last_there, self._arrive, message)
        await asyncio.sleep(0)

    async def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = code, reason
            self._inbox.put_nowait(None)

    # What the carrier does

    def say(self, message: str | bytes) -> None:
        """Send a message to the application."""
        # Strictly later than the one before: the loop does not keep the order of what is due at the same time.
        self._last_back = max(math.nextafter(self._last_back, math.inf), self._loop.time() + self._way())
        self._loop.call_at(self._last_back, self._inbox.put_nowait, message)

    def drop(self) -> None:
        """The connection is lost."""
        self.closed = self.closed or (1006, "")
        self._inbox.put_nowait(None)

    def take(self, reads: bool) -> None:
        """Take messages again, or no more."""
        self.reads = reads
        self._takes.set()

    @property
    def speech(self) -> NDArray[np.int16]:
        """All that was played until :meth:`finish`, or until something has arrived last."""
        return np.concatenate([np.zeros(0, np.int16), *(piece.samples for piece in self.played)])

    def finish(self) -> None:
        """Play no more."""
        self._advance()
        if self._due is not None:
            self._due.cancel()

    def _way(self) -> float:
        return self.latency + self._random.random() * self.jitter

    def _arrive(self, message: str | bytes) -> None:
        self._advance()
        command = self.side.read(message)
        if command.kind == "media":
            self._buffer.append(self.side.decode(command.audio))
        elif command.kind == "mark":
            self._buffer.append(command.mark)
        else:
            self.clears.append(self._loop.time())
            marks = [item for item in self._buffer if isinstance(item, str)]
            self._buffer.clear()
            for mark in marks if self._echoes else ():
                self.say(self.side.mark(mark))
            for reply in self.side.cleared():
                self.say(reply)
        self._advance()
        waiting = sum(len(item) for item in self._buffer if not isinstance(item, str))
        self.fullest = max(self.fullest, waiting / self.side.rate)

    def _advance(self) -> None:
        """Play until now."""
        now, rate = self._loop.time(), self.side.rate
        while self._buffer:
            item = self._buffer[0]
            if isinstance(item, str):
                self.say(self.side.mark(item))
                self._buffer.popleft()
                continue
            whole = round((now - self._clock) * rate)
            if whole <= 0:
                break
            piece = item[:whole]
            self.played.append(Played(self._clock, piece))
            self._clock += len(piece) / rate
            if whole < len(item):
                self._buffer[0] = item[whole:]
            else:
                self._buffer.popleft()
        else:
            self._clock = now
        self._plan()

    def _plan(self) -> None:
        """Come back when the next mark is reached."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        samples = 0
        for item in self._buffer:
            if isinstance(item, str):
                self._due = self._loop.call_at(self._clock + samples / self.side.rate, self._advance)
                return
            samples += len(item)
