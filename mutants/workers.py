"""Work in processes of its own, a few at a time: each is forked when its turn comes, and gone when it has answered."""

from __future__ import annotations

import json
import os
import selectors
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NoReturn, TypeVar

Task = TypeVar("Task")

KILLED: Final = "killed"
"""The answer of a process that did not live to give one: what it did took too long."""


@dataclass
class _Worker(Generic[Task]):
    """One process at work."""

    task: Task
    process: int
    deadline: float
    said: list[bytes] = field(default_factory=list)


def answers(
    tasks: Iterable[Task], work: Callable[[Task], Any], *, workers: int, limit_seconds: float
) -> Iterator[tuple[Task, Any]]:
    """Do each task in a process of its own.

    Args:
        tasks: what is to be done, in this order.
        work: does one task; what it returns must be JSON. What it prints is lost.
        workers: how many processes there are at a time.
        limit_seconds: how long one may take before it is killed.

    Yields:
        Each task with its answer, in the order in which they come; :data:`KILLED` if the process was.

    Raises:
        RuntimeError: the work raised; it has the traceback.
    """
    waiting = deque(tasks)
    with selectors.DefaultSelector() as selector:
        try:
            while True:
                while waiting and len(selector.get_map()) < workers:
                    _begin(selector, waiting.popleft(), work, limit_seconds)
                if not selector.get_map():
                    return
                for worker in _finished(selector):
                    yield worker.task, _answer(worker)
        finally:
            for key in list(selector.get_map().values()):
                os.kill(key.data.process, signal.SIGKILL)
                os.waitpid(key.data.process, 0)
                os.close(key.fd)


def _begin(selector: selectors.BaseSelector, task: Task, work: Callable[[Task], Any], limit_seconds: float) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        os.close(reader)
        _carry_out(task, work, writer)
    os.close(writer)
    worker = _Worker(task, process, time.monotonic() + limit_seconds)
    selector.register(reader, selectors.EVENT_READ, worker)


def _carry_out(task: Task, work: Callable[[Task], Any], writer: int) -> NoReturn:
    """The whole life of a forked process."""
    try:
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(silent, stream)
        try:
            answer = {"answer": work(task)}
        except BaseException:
            answer = {"raised": traceback.format_exc()}
        with os.fdopen(writer, "w", encoding="utf-8") as pipe:
            json.dump(answer, pipe)
    finally:
        os._exit(0)  # nothing of what the parent has set up may be torn down twice


def _finished(selector: selectors.BaseSelector) -> Iterator[_Worker[Any]]:
    """Hear what the processes say, and kill those whose time is up."""
    now = time.monotonic()
    for key in list(selector.get_map().values()):
        if key.data.deadline < now:
            os.kill(key.data.process, signal.SIGKILL)  # its end of the pipe is closed with it
    for key, _ in selector.select(timeout=0.5):
        said = os.read(key.fd, 65_536)
        if said:
            key.data.said.append(said)
        else:
            selector.unregister(key.fd)
            os.close(key.fd)
            os.waitpid(key.data.process, 0)
            yield key.data


def _answer(worker: _Worker[Any]) -> Any:
    if not worker.said:
        return KILLED
    answer = json.loads(b"".join(worker.said))
    if "raised" in answer:
        raise RuntimeError(f"{worker.task}: {answer['raised']}")
    return answer["answer"]
