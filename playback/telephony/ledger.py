"""The ledger of one call: what was read for the carrier, and how much of it the caller has heard. Pure.

Audio is sent in the order in which it is read, and a mark after it has a name. When that name comes back, all before it
was played. A recall (an interrupt, a pause, a close) forgets every outstanding mark, because a carrier sends them all
back when it clears its buffer: what comes back later, for whatever reason, confirms nothing. So ``heard`` never claims
what was not played, and lags behind what was played by at most the distance of two marks and the way of a mark.

Silence in which nobody speaks is not sent. It counts as heard together with what was sent before it.
"""

from __future__ import annotations

import itertools
from typing import Final


class Ledger:
    """Counts samples, and knows which marks are outstanding."""

    def __init__(self) -> None:
        self.read = 0
        """Samples that were read, without those that were taken back."""
        self.heard = 0
        """How many of them the caller has heard, as far as is known."""
        self.unmarked = 0
        """Samples that were sent since the last mark."""
        self._marks: Final[dict[str, int]] = {}  # by name, in the order in which they were sent
        self._numbers: Final = itertools.count(1)

    @property
    def outstanding(self) -> int:
        """Samples that were read, and are not known to be heard."""
        return self.read - self.heard

    def sent(self, samples: int) -> None:
        """Count samples that are sent."""
        self.read += samples
        self.unmarked += samples

    def skipped(self, samples: int) -> None:
        """Count samples of silence that are not sent."""
        self.read += samples
        if self._marks:
            if not self.unmarked:
                self._marks[next(reversed(self._marks))] = self.read
        elif not self.unmarked:
            self.heard = self.read

    def mark(self) -> str:
        """Set a mark after what was sent.

        Returns:
            Its name, which no other mark of the call has.
        """
        name = f"playback-{next(self._numbers)}"
        self._marks[name] = self.read
        self.unmarked = 0
        return name

    def played(self, name: str) -> bool:
        """Note that a mark has come back.

        Returns:
            Whether that confirms anything: not for a mark of somebody else, nor for one of before a recall.
        """
        position = self._marks.get(name)
        if position is None:
            return False
        # A carrier plays in order: what was marked before was played, too.
        for earlier in list(itertools.takewhile(lambda other: other != name, self._marks)):
            del self._marks[earlier]
        del self._marks[name]
        confirmed = position > self.heard
        self.heard = position
        return confirmed

    def recall(self, *, lost: bool = True) -> int:
        """Forget all that is outstanding.

        Args:
            lost: whether the carrier drops it. One that can't be cleared plays it, so that it will be heard.

        Returns:
            How many samples were heard.
        """
        if lost:
            self.read = self.heard
        else:
            self.heard = self.read
        self._marks.clear()
        self.unmarked = 0
        return self.heard
