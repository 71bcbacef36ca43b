"""Gate: coroutines that wait for something which the core, without a loop of its own, makes happen; and who runs."""

from __future__ import annotations

from asyncio import Future, Task, current_task
from typing import Any


class Gate:
    """A place to wait until somebody opens it.

    Nothing here knows a loop: a waiter brings its own, by being awaited.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[Future[None]] = []

    async def wait(self) -> None:
        """Wait until the gate is opened."""
        waiter: Future[None] = Future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def open(self) -> None:
        """Let everybody through who waits now, in the order in which they came."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            # Who waits in a loop that was closed will never wake, and must not keep the others from it.
            if not waiter.done() and not waiter.get_loop().is_closed():
                waiter.set_result(None)


def running_task() -> Task[Any] | None:
    """The task that runs here, if one does."""
    try:
        return current_task()
    except RuntimeError:
        return None
