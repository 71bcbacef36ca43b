"""DaemonThreads: an executor whose threads keep no process from its end.

The threads of :class:`concurrent.futures.ThreadPoolExecutor` are joined when the interpreter exits, so that a call that
never returns keeps the process for ever. What runs here is of no use to a process that ends, so nobody joins it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_IDLE_SECONDS: Final = 5.0
"""How long a thread waits for more to do until it ends."""


class DaemonThreads(Executor):
    """Threads that do what they are given, in about this order.

    Args:
        name: of each thread.
        threads: how many there are at most; they start when they are needed, and end when there is nothing to do.

    One is made for a module, and stays: a fork has it begin anew.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._name: Final = name
        self._threads: Final = threads
        self._begin()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """Begin without threads, as in a process that was forked: it has none of its parent's."""
        self._jobs: SimpleQueue[list[Callable[[], object]]] = SimpleQueue()
        self._lock = Lock()
        self._running = 0
        self._idle = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread call a function; what the call holds is freed when its future is cancelled.

        Where no thread can start any more, because the interpreter exits, the future is never done.
        """
        future: Future[T] = Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)

        job: list[Callable[[], object]] = [call]
        future.add_done_callback(lambda _: job.clear())
        self._run(job)
        return future

    def _run(self, job: list[Callable[[], object]]) -> None:
        with self._lock:
            self._jobs.put(job)
            if self._idle >= self._jobs.qsize() or self._running == self._threads:
                return
            self._running += 1
        try:
            Thread(target=self._work, name=self._name, daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._running -= 1

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            try:
                job: list[Any] = self._jobs.get(timeout=_IDLE_SECONDS)
            except Empty:
                job = []
            with self._lock:
                self._idle -= 1
                if not job and self._jobs.empty():
                    self._running -= 1
                    return
            for call in tuple(job):
                call()
                del call
            del job  # or what it holds would live as long as this thread waits
