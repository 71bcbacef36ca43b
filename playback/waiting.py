"""Gate: coroutines that wait for something which the core, without a loop of its own, makes happen."""

from __future__ import annotations

from asyncio import Future


class Gate:
    """A place to wait; whoever opens it says how it went.

    Nothing here knows a loop: a waiter brings its own, by being awaited.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[Future[bool]] = []

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiters)

    async def wait(self) -> bool:
        """Wait until the gate is opened.

        Returns:
            What it was opened with.
        """
        waiter: Future[bool] = Future()
        self._waiters.append(waiter)
        try:
            return await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def open(self, outcome: bool = True) -> None:
        """Let everybody through who waits now, in the order in which they came."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(outcome)
