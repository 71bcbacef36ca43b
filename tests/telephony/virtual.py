"""A loop whose clock jumps to what is due next: hours of calls in seconds, in which nothing sleeps."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

Result = TypeVar("Result")


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: the time passes at once."""

    now = 0.0
    most = 600.0
    """When a test is over, whatever it waits for."""
    stuck = 0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("the loop waits for something that never comes")
        self.now += max(timeout, 0.0)
        self.stuck = 0 if timeout > 0 else self.stuck + 1
        if self.now > self.most or self.stuck > 100_000:
            raise AssertionError(f"it is {self.now} s, and the loop still runs")
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with such a clock; for tasks that wait for each other and for the time, never for a real socket."""

    def __init__(self) -> None:
        self._jumping: Final = _Jumping()
        super().__init__(self._jumping)
        self.set_exception_handler(self._note)
        self.errors: Final[list[dict[str, Any]]] = []

    def time(self) -> float:
        return self._jumping.now

    def _note(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context)


def virtually(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in such a loop, and see that it leaves no task behind and nothing failed unseen."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(coroutine)
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        assert not left, left
        assert not loop.errors, loop.errors
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
