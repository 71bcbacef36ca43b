"""Clock: when the next packet of each call is due. An event loop has one for all of its calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from playback.pacing import PTIME_SECONDS, Pacer

SLOTS: Final = 10
"""Into how many parts the 20 ms are divided. Each wake-up of the loop costs as much as a call or two that are silent,
and the calls of a part are served one after the other: 40 calls of 400, in 2 ms."""

Tick = Callable[[int, float, float], object]
"""Called with the number of the tick, by how many seconds it is late, and by how many it is too late to catch up (0
unless ticks were skipped)."""

_clocks: Final[dict[asyncio.AbstractEventLoop, Clock]] = {}
"""Of the loops that have calls."""


class Clock:
    """Ticks each 20 ms, for each call in its own part of them, so that their packets don't leave in a burst.

    One timer of the loop serves all calls. It is off while there is none. Where the loop was blocked for more than
    60 ms, ticks are skipped (:class:`~playback.pacing.Pacer`).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._now: Final = loop.time
        self._call_later: Final = loop.call_later
        self._begin: Final = loop.time()
        self._slots: Final = [_Slot() for _ in range(SLOTS)]
        self._timer: asyncio.TimerHandle | None = None

    @staticmethod
    def running() -> Clock:
        """The clock of the running loop; one that has no call any more is replaced."""
        loop = asyncio.get_running_loop()
        return _clocks.get(loop) or Clock(loop)

    def add(self, tick: Tick) -> None:
        """Tick for one more call, in the part of the 20 ms that has the fewest."""
        number = min(range(SLOTS), key=lambda each: len(self._slots[each].ticks))
        slot = self._slots[number]
        _clocks[self._loop] = self
        if not slot.ticks:
            slot.start(self._begin + number * PTIME_SECONDS / SLOTS, self._now())
        slot.ticks[tick] = None
        self._arm()

    def remove(self, tick: Tick) -> None:
        """Tick for this call no longer; it may be called in a tick, and more than once."""
        for slot in self._slots:
            slot.ticks.pop(tick, None)
        if not any(slot.ticks for slot in self._slots):
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if _clocks.get(self._loop) is self:
                del _clocks[self._loop]

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        now = self._now()
        waits = [slot.pacer.wait(now) for slot in self._slots if slot.ticks]
        self._timer = self._call_later(min(waits), self._wake) if waits else None

    def _wake(self) -> None:
        self._timer = None
        try:
            for slot in self._slots:
                if slot.ticks and not slot.pacer.wait(now := self._now()):
                    slot.run(now)
        finally:  # what a tick raises goes on to the loop
            self._arm()


class _Slot:
    """The calls of one part of the 20 ms."""

    def __init__(self) -> None:
        self.ticks: Final[dict[Tick, None]] = {}
        self.pacer = Pacer()

    def start(self, begin: float, now: float) -> None:
        """Begin anew, at the next of the times that belong to this part."""
        periods = -int((begin - now) // PTIME_SECONDS)
        self.pacer = Pacer()
        self.pacer.wait(begin + periods * PTIME_SECONDS)

    def run(self, now: float) -> None:
        """One tick of each call."""
        number, skipped = self.pacer.tick(now)
        late = self.pacer.late
        for tick in [*self.ticks]:
            if tick in self.ticks:  # not removed by the one before it
                tick(number, late, skipped)
