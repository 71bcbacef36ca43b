"""What the tests of speaking share: a call whose time is the number of samples read, and sources that do as they are
asked."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Any, Final

import pytest

from playback import AudioFormat, PlaybackController, Turn, Utterance
from playback.events import EVENTS, Event
from tests.signals import CUTS, FRAME, RATE

PATIENCE: Final = 60.0
"""Seconds after which a thread is taken to be stuck."""

STALL: Final = object()
"""Among the items of a source: it never sends the next one."""


class Call:
    """A controller that is read while the loop runs, with all that was heard and emitted.

    Args:
        options: of the controller; 24 kHz mono, no fades and no input timeout by default.
    """

    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {"format": AudioFormat(RATE), "fades": CUTS, "input_timeout_seconds": None}
        self.controller: Final = PlaybackController(**defaults | options)
        self.heard: Final[list[int]] = []
        """All samples that were not silent: the signals of these tests have none that is."""
        self.events: Final[list[Event]] = []
        self.tasks: Final[list[asyncio.Future[None]]] = []
        """Those of the test's own, which the loop holds only weakly."""
        for name in EVENTS:
            self.controller.on(name, self.events.append)

    def named(self, name: str) -> list[Any]:
        """The events of a name so far."""
        return [event for event in self.events if event.name == name]

    def read(self, samples: int = FRAME) -> list[int]:
        """The next samples."""
        frame = [int(sample) for sample in self.controller.read(samples)[:, 0]]
        self.heard.extend(sample for sample in frame if sample)
        return frame

    async def play(self, *parts: Utterance | Turn) -> None:
        """Read until these are finished, and what fed them has gone."""
        await until(lambda: all(part.report is not None for part in parts), self.read)
        await turns()


async def turns(number: int = 12) -> None:
    """Let the loop go round a few times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], act: Callable[[], object] = lambda: None) -> None:
    """Let the loop go round until something is so; a test's timeout ends it if that never comes.

    What takes many turns waits for another thread. A loop that never sleeps releases the interpreter's lock only to
    take it again at once, and can keep that thread from running for minutes.
    """
    for turn in count():
        if condition():
            return
        act()
        await asyncio.sleep(0 if turn < 100 else 0.0001)


class Source:
    """An asynchronous iterator that sends items: an exception is raised, :data:`STALL` never comes, a number is so many
    turns of the loop."""

    def __init__(self, *items: Any) -> None:
        self.items: Final = deque(items)
        self.asked = self.closed = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self.asked += 1
        while self.items:
            item = self.items.popleft()
            if isinstance(item, int):
                await turns(item)
            elif item is STALL:
                await asyncio.get_running_loop().create_future()
            elif isinstance(item, BaseException):
                raise item
            else:
                return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


class Clock:
    """The clock of the running loop, which goes on by hand, too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        real = loop.time
        self._ahead = 0.0
        monkeypatch.setattr(loop, "time", lambda: real() + self._ahead)

    async def advance(self, seconds: float) -> None:
        """Let what is ready happen, then time go by, then what is due happen."""
        await turns()
        self._ahead += seconds
        await turns()


class Threads:
    """The threads that are started while this is looked at."""

    def __init__(self) -> None:
        self._before: Final = set(threading.enumerate())

    def started(self) -> list[threading.Thread]:
        """Those that run now, and did not before."""
        return [thread for thread in threading.enumerate() if thread not in self._before]

    def join(self) -> None:
        """Wait until they have ended."""
        for thread in self.started():
            thread.join(PATIENCE)
            assert not thread.is_alive(), thread.name


def tasks_of_speaking() -> list[str]:
    """The names of the tasks that feed utterances, or decode for them."""
    names = (task.get_name() for task in asyncio.all_tasks())
    return [name for name in names if name.startswith(("speaking ", "decoding "))]


def no_thread_is_left() -> Iterator[None]:
    """A fixture: whatever thread a test has started ends with it."""
    threads = Threads()
    yield
    threads.join()
