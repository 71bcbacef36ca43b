"""The end of an event loop, for threads that wait for something to happen on it.

``asyncio.run`` cancels all tasks, closes the asynchronous generators and then waits for the threads of the executor,
while the loop still runs. A thread that asks for something only then would wait for ever, and so would ``asyncio.run``.
So a generator is left open on the loop: that it is closed says that the end has begun.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

LOOK_SECONDS: Final = 0.25
"""How often a thread that waits looks whether the loop is still there."""
STOPPED_SECONDS: Final = 5.0
"""How long a loop may stand still, before it starts or after it was stopped, until nobody waits for it any more."""


class LoopEnd:
    """Whether an event loop is at its end.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._generator: AsyncGenerator[None, None] | None = None
        self._has_begun = False
        with suppress(RuntimeError):  # it is closed
            loop.call_soon_threadsafe(self._watch)

    def result(self, pending: Future[T]) -> T:
        """Wait, on another thread, for what a coroutine of the loop returns.

        Args:
            pending: as :func:`asyncio.run_coroutine_threadsafe` gives it.

        Raises:
            RuntimeError: the loop ended meanwhile, or it has not run for :data:`STOPPED_SECONDS`.
        """
        still = 0.0
        while still < STOPPED_SECONDS:
            try:
                return pending.result(LOOK_SECONDS)
            except CancelledError:
                break
            except TimeoutError:
                if pending.done():  # it raised that itself
                    raise
            if self._loop.is_closed():
                break
            if self._has_begun:
                pending.cancel()
                break
            still = 0.0 if self._loop.is_running() else still + LOOK_SECONDS
        else:
            pending.cancel()
            raise RuntimeError(f"the loop has not run for {STOPPED_SECONDS:g} s, expected one that runs")
        raise RuntimeError("the loop has ended, expected one that runs")

    def _watch(self) -> None:
        """Leave a generator open; to be called in the loop's thread."""
        if getattr(self._loop, "_asyncgens_shutdown_called", False):  # of asyncio's own loops: it comes too late
            self._has_begun = True
            return
        generator = self._until_closed()
        step: Coroutine[Any, Any, None] = generator.__anext__()
        with suppress(StopIteration):
            step.send(None)
        self._generator = generator

    async def _until_closed(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._has_begun = True
