"""TokenBucket: how often something may happen, on average and at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


class TokenBucket:
    """Tokens that come at a rate and are kept up to a number; what happens takes one.

    Args:
        per_second: how many come.
        most: how many are kept; it is full to begin with.
        clock: seconds, from any beginning.
    """

    def __init__(self, per_second: float, most: float, clock: Callable[[], float]) -> None:
        self._per_second: Final = per_second
        self._most: Final = most
        self._clock: Final = clock
        self._tokens = most
        self._filled = clock()

    def take(self) -> bool:
        """Take a token, if there is one."""
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._filled) * self._per_second)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
