"""The end of an event loop, for threads that wait for something to happen on it.

``asyncio.run`` cancels all tasks, closes the asynchronous generators and then waits for the threads of the executor,
while the loop still runs. A thread that asks for something only then would wait for ever, and so would ``asyncio.run``.
So a generator is left open on the loop: that it is closed says that the end has begun.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
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

    def run(self, function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Have the loop run a coroutine function, and wait for what it returns, on another thread.

        The coroutine is made in the loop's thread: one that is made here, and that the loop does not come to any more,
        would be reported as never awaited.

        Raises:
            RuntimeError: the loop is closed, it ended meanwhile, or it has not run for :data:`STOPPED_SECONDS`.
        """
        pending: Future[T] = Future()

        def begin() -> None:
            if pending.cancelled():
                return
            task = self._loop.create_task(function(*args, **kwargs))
            task.add_done_callback(lambda task: _hand_over(task, pending))
            pending.add_done_callback(lambda _: self._cancel(task))

        self._loop.call_soon_threadsafe(begin)
        return self._result(pending)

    def _cancel(self, task: Task[T]) -> None:
        """Cancel a task that nobody waits for any more; to be called on any thread."""
        if not task.done():
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(task.cancel)

    def _result(self, pending: Future[T]) -> T:
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


def _hand_over(task: Task[T], pending: Future[T]) -> None:
    """Give what a task has returned or raised to whoever waits for it, unless nobody does any more."""
    if task.cancelled():
        pending.cancel()
    error = None if task.cancelled() else task.exception()
    if not pending.set_running_or_notify_cancel():
        return
    if error is not None:
        pending.set_exception(error)
    else:
        pending.set_result(task.result())
