"""A clock for tests of the policy."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any


class Clock:
    """Time that passes by hand; calls back exactly when it was asked to."""

    def __init__(self) -> None:
        self.now = 0.0
        self._calls: list[tuple[float, int, dict[str, Any]]] = []
        self._numbers = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Any:
        call = {"callback": callback, "cancelled": False}
        heapq.heappush(self._calls, (when, next(self._numbers), call))

        class Handle:
            def cancel(self) -> None:
                call["cancelled"] = True

        return Handle()

    @property
    def waiting(self) -> list[float]:
        """When it is going to call back."""
        return sorted(when for when, _, call in self._calls if not call["cancelled"])

    def advance_to(self, when: float) -> None:
        while self._calls and self._calls[0][0] <= when:
            due, _, call = heapq.heappop(self._calls)
            if not call["cancelled"]:
                self.now = due
                call["callback"]()
        self.now = when
