"""How far ahead of the caller's ear audio is sent. Pure: the caller gives the time.

The carrier plays from a buffer. What is in it rides out jitter of the way, but it has to be cleared when somebody
interrupts, so it is kept small. :class:`Lead` knows when that buffer will be empty if all that was sent arrives at
once, and how long the next frame has to wait so that the buffer holds no more than the lead.
"""

from __future__ import annotations

from typing import Final

from playback.pacing import LATE_SECONDS, PTIME_SECONDS

SOUND_SECONDS: Final = 0.06
"""How far ahead background is sent while nobody speaks: enough for the jitter of a good network. The next sentence
comes later by as much."""

_EXACT_SECONDS: Final = 1e-6
"""How exact a time is: a clock in floats can't wait for less."""


class Lead:
    """When the next frame of 20 ms is due.

    Args:
        seconds: how much audio the carrier's buffer may hold; at least a frame.
    """

    def __init__(self, seconds: float) -> None:
        self._most: Final = max(seconds - PTIME_SECONDS, 0.0)
        self._empty: float | None = None
        self.late = 0.0
        """By how many seconds the last frame was taken after its time, at most."""

    def wait(self, now: float, *, ahead: bool, sounding: bool = False) -> float:
        """Seconds until the next frame is due; 0 if it is.

        Args:
            now: the time in seconds, of a clock that never goes back.
            ahead: whether there is something to send ahead of its time. Without that, a frame is due when the buffer is
                empty: late audio still plays without a gap until then.
            sounding: whether something else sounds without end, such as background: it goes ahead by
                :data:`SOUND_SECONDS`.
        """
        if self._empty is None:
            self._empty = now
        lead = self._most if ahead else min(self._most, SOUND_SECONDS) if sounding else 0.0
        wait = self._empty - now - lead
        return wait if wait > _EXACT_SECONDS else 0.0

    def take(self, now: float) -> float:
        """Take the next frame, once it is due.

        Returns:
            By how many seconds it came too late to catch up: the loop or the socket was blocked for that long.
        """
        empty = now if self._empty is None else self._empty
        self.late = max(0.0, now - empty)
        if self.late <= LATE_SECONDS:
            return 0.0
        self._empty = now
        return self.late

    def sent(self, now: float) -> float:
        """Count a frame that the socket has taken: it plays behind what is in the buffer, or at once.

        Returns:
            For how many seconds the buffer was empty before, if that is too long to catch up: the socket was blocked.
        """
        empty = now if self._empty is None else self._empty
        self._empty = max(empty, now) + PTIME_SECONDS
        return now - empty if now - empty > LATE_SECONDS else 0.0

    def skipped(self, now: float) -> None:
        """Count a frame of silence that is not sent: an even clock, so that late ticks do not add up."""
        self._empty = (now if self._empty is None else self._empty) + PTIME_SECONDS

    def cleared(self, now: float) -> None:
        """The carrier's buffer is cleared."""
        if self._empty is not None:
            self._empty = min(self._empty, now)

    def ends(self, now: float) -> float:
        """When the caller has heard what was sent, if all of it arrives at once."""
        return now if self._empty is None else max(self._empty, now)
