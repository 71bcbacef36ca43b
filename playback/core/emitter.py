"""Listeners: who hears of events, in one order for all, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final
from weakref import WeakSet

from pyee import EventEmitter

from playback._checks import check_event, check_listener
from playback._waiting import Gate
from playback.chart import State
from playback.events import EVENTS, ErrorRaised, Event, EventsLost, StateChanged

LOGGER: Final = logging.getLogger("playback")
STREAM_EVENTS: Final = 1000
"""The most events that a stream holds for a slow reader."""

Listener = Callable[[Any], object]


class Listeners(EventEmitter):
    """An emitter with an outbox: events wait in it until the state is settled, then go out first in, first out.

    A listener that calls the controller back adds to the outbox and is told later, so every listener sees the events in
    the same order. What a listener raises, coroutine functions included, becomes an ``error`` event and stops nobody.
    """

    def __init__(self, events: Mapping[str, type[Event]] = EVENTS) -> None:
        super().__init__()
        self._known: Final = events
        self.tee: Callable[[Event], None] | None = None
        """Who hears of everything first, audio included, in order."""
        self.trace: Callable[[Event], None] | None = None
        """Who writes everything down, before anybody may call the controller back because of it."""
        self.outbox: Final[deque[Event]] = deque()
        """What waits to be told."""
        self._telling = False
        self._tasks: set[asyncio.Task[object]] = set()
        self._streams: WeakSet[EventStream] = WeakSet()

    def tell(self, event: Event) -> None:
        """Put an event into the outbox."""
        self.outbox.append(event)

    def insert(self, place: int, event: Event) -> None:
        """Put it in ahead of what was told since so much was waiting."""
        self.outbox.insert(place, event)

    def flush(self) -> None:
        """Tell all that is in the outbox, unless somebody further up the call stack is already at it."""
        if self._telling or not self.outbox:
            return
        self._telling = True
        try:
            while self.outbox:
                event = self.outbox.popleft()
                if self.trace is not None:
                    self.trace(event)
                if self.tee is not None:
                    self.tee(event)
                if event.name not in self._known:
                    continue  # for the tee alone
                for stream in list(self._streams):
                    stream._put(event)
                self.emit(event.name, event)
        finally:
            self._telling = False

    @property
    def at_rest(self) -> bool:
        """Whether nothing waits to be told, and nothing is being told."""
        return not self._telling and not self.outbox

    def listen(self, event: str, listener: Listener | None, *, once: bool = False) -> Any:
        """Register a listener, for the next event alone or for all; without one, give the decorator that will.

        Raises:
            ValueError: there is no such event.
            TypeError: the listener can't be called.
        """
        register = self._register_once if once else self.add_listener
        check_event(event, self._known)
        if listener is None:
            return lambda listener: register(event, check_listener(listener))
        return register(event, check_listener(listener))

    def stop_listening(self, event: str, listener: Listener) -> None:
        """Call a listener no more.

        Raises:
            ValueError: there is no such event, or the listener was not registered for it.
        """
        if listener not in self.listeners(check_event(event, self._known)):
            raise ValueError(f"{listener!r} does not listen to {event!r}")
        self.remove_listener(event, listener)

    def _register_once(self, event: str, listener: Listener) -> Listener:
        """As pyee's ``once``, but the listener keeps its name, for the ``error`` event in which it may be told."""

        @wraps(listener)
        def once(told: Event) -> object:
            self.remove_listener(event, listener)
            return listener(told)

        self._add_event_handler(event, listener, once)
        return listener

    def stream(self, closed: bool) -> EventStream:
        """A stream of all events from now on; one that has ended if the controller is closed and all of it was told."""
        stream = EventStream(ended=closed and self.at_rest)
        self._streams.add(stream)
        return stream

    def _emit_run(self, f: Listener, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        event: Event = args[0]
        # A listener that asks a cancelled future for its result raises CancelledError, which is no Exception; let out,
        # it would look as if the reader itself had been cancelled.
        try:
            result = f(*args, **kwargs)
            if not asyncio.iscoroutine(result):
                return
            try:
                task: asyncio.Task[object] = asyncio.get_running_loop().create_task(result)
            except RuntimeError:  # no loop runs
                result.close()
                raise
        except (Exception, asyncio.CancelledError) as error:
            self._failed(f, event, error)
            return
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._task_done(f, event, task))

    def _task_done(self, f: Listener, event: Event, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(f, event, error)
            self.flush()

    def _failed(self, f: Listener, event: Event, error: BaseException) -> None:
        source = f"listener {getattr(f, '__qualname__', repr(f))} of {event.name!r}"
        if event.name == ErrorRaised.name:  # it must not be told of its own failure
            LOGGER.error("%s raised", source, exc_info=error)
        else:
            self.tell(ErrorRaised(event.position, error, source))

    def _emit_handle_potential_error(self, event: str, error: Any) -> None:  # noqa: ARG002 - pyee's signature
        """An ``error`` event that nobody listens to is logged; it never raises, as it would in pyee."""
        if isinstance(error, ErrorRaised) and all(stream.ended for stream in self._streams):
            LOGGER.error("%s raised", error.source, exc_info=error.exception)


class EventStream:
    """All events, one after the other, for ``async for``; it ends after ``closed`` and what goes with it.

    It registers when it is made, and holds the newest 1,000 events; if its reader is slower than that, ``events_lost``
    stands where the older ones were.
    """

    def __init__(self, ended: bool) -> None:
        self._known: deque[Event] = deque()
        self._lost = 0
        self.ended = ended
        """Whether no more events come; some may still be held."""
        self._arrived = Gate()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Event:
        while True:
            if self._lost:
                lost, self._lost = self._lost, 0
                return EventsLost(self._known[0].position, lost)
            if self._known:
                return self._known.popleft()
            if self.ended:
                raise StopAsyncIteration
            await self._arrived.wait()

    async def aclose(self) -> None:
        """Stop listening; what is held is dropped, and whoever waits for the next event gets none."""
        self._known.clear()
        self._lost = 0
        self.ended = True
        self._arrived.open()

    def _put(self, event: Event) -> None:
        if self.ended:
            return
        self._known.append(event)
        if len(self._known) > STREAM_EVENTS:
            self._known.popleft()
            self._lost += 1
        # What `closed` stands in is summed up by a last change of state; whatever is refused later is not told here.
        self.ended = isinstance(event, StateChanged) and event.new is State.CLOSED
        self._arrived.open()
