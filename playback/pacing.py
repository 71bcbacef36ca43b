"""When the next frame is due."""

from __future__ import annotations

from typing import Final

PTIME_SECONDS: Final = 0.020
"""How much audio a frame holds: the default of Opus over RTP (RFC 7587), and what aiortc's encoder works with."""

LATE_SECONDS: Final = 0.060
"""How late a read may come and still catch up. Later ones skip: a burst would sit in the listener's jitter buffer, out
of reach of an interrupt, for seconds."""


class Pacer:
    """An even sequence of ticks, anchored at the first one. It knows no clock: the caller gives the time.

    Args:
        interval: seconds between ticks.
        lead: how many seconds before its time a tick is due.
    """

    def __init__(self, interval: float = PTIME_SECONDS, lead: float = 0.0) -> None:
        self._interval: Final = interval
        self._lead: Final = lead
        self._start: float | None = None
        self._next = 0
        self.late = 0.0
        """By how many seconds the last tick was taken after its time."""

    def wait(self, now: float) -> float:
        """Seconds until the next tick is due; 0 if it is.

        Args:
            now: the time in seconds, of a clock that never goes back.
        """
        if self._start is None:
            self._start = now
        return max(0.0, self._due() - now)

    def tick(self, now: float) -> tuple[int, float]:
        """Take the next tick, once its time has come.

        Args:
            now: the time in seconds, read again after the waiting.

        Returns:
            The number of the tick (the first one is 0), and by how many seconds it came too late to catch up: 0 unless
            ticks were skipped.
        """
        self.late = late = now - self._due()
        if late > LATE_SECONDS:
            self._next += int(late / self._interval)
        else:
            late = 0.0
        tick = self._next
        self._next += 1
        return tick, late

    def _due(self) -> float:
        # Counted from the start, so that no rounding adds up.
        return (self._start or 0.0) + self._next * self._interval - self._lead


def frame_samples(sample_rate: int, seconds: float = PTIME_SECONDS) -> int:
    """How many samples a frame holds.

    Raises:
        ValueError: the rate has no frames of this length.
    """
    samples = round(sample_rate * seconds)
    if samples < 1 or samples / sample_rate != seconds:
        wrong = f"{seconds} s at {sample_rate} Hz is {sample_rate * seconds} samples"
        raise ValueError(f"{wrong}, expected a whole number, 1 or more")
    return samples
