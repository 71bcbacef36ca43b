"""Emitter: who is notified of events, in one order for all, and what happens when a listener fails.

Events wait in the outbox until a step is complete, then they go out first in, first out. A listener that calls the
controller back adds to the outbox, and its events are delivered later, so every listener sees the events in the same
order. What a listener raises becomes an ``error`` event and stops nobody.

Listeners are registered with pyee behind a wrapper that catches what they raise, so nothing of pyee's own handling of
errors is ever reached. ``KeyboardInterrupt`` and ``SystemExit`` are not for listeners: whoever catches them emits an
``error`` all the same, and when its turn to be delivered comes, what it holds goes on to the loop, or to the next read.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, NoReturn
from weakref import WeakSet

from pyee import EventEmitter

from playback._checks import check_event, check_listener
from playback._waiting import Gate
from playback.chart import State
from playback.events import EVENTS, INTERRUPTIONS, ErrorRaised, Event, EventsLost, StateChanged

LOGGER: Final = logging.getLogger("playback")
STREAM_EVENTS: Final = 1000
"""The most events that a stream holds for a slow reader."""

Listener = Callable[[Any], object]


class _Registration(NamedTuple):
    """A listener as it was given, and the wrapper that pyee calls."""

    listener: Listener
    once: bool
    wrapper: Listener


class Emitter:
    """Delivers events to listeners, streams and one tap.

    Args:
        events: those that listeners may subscribe to, by name; all others go to the tap alone.
    """

    def __init__(self, events: Mapping[Any, type[Event]] = EVENTS) -> None:
        self.clock: Callable[[], float] | None = None
        """The wall clock, in seconds since the epoch; without one, events have no wall time."""
        self.tap: Callable[[Event], None] | None = None
        """Called with each event before any listener, audio for sinks included."""
        self.watch: Callable[[Event], None] | None = None
        """Called with each event before the tap: what observers are notified by."""
        self.raise_later: Callable[[BaseException], object] = _raise
        """Called with an interruption of the program, where no loop runs to which it could go on."""
        self.outbox: Final[deque[Event]] = deque()
        """What waits to be delivered."""
        self._known: Final = events
        self._delivering = False
        self._pyee: Final = EventEmitter()
        self._registered: Final[dict[str, list[_Registration]]] = {}
        self._tasks: Final[set[asyncio.Task[object]]] = set()
        self._streams: WeakSet[EventStream] | None = None

    def emit(self, event: Event) -> None:
        """Put an event into the outbox."""
        self.outbox.append(event)

    def insert(self, place: int, event: Event) -> None:
        """Put it in ahead of what was emitted since so much was waiting."""
        self.outbox.insert(place, event)

    def flush(self) -> None:
        """Deliver all that is in the outbox, unless somebody further up the call stack is already at it."""
        if self._delivering or not self.outbox:
            return
        self._delivering = True
        try:
            while self.outbox:
                event = self.outbox.popleft()
                if isinstance(event, ErrorRaised) and isinstance(event.exception, INTERRUPTIONS):
                    self._pass_on(event.exception)
                    continue
                if self.clock is not None:
                    self._stamp(self.clock, event)
                if self.watch is not None:
                    self.watch(event)
                if self.tap is not None:
                    self._call_tap(self.tap, event)
                if event.name not in self._known:
                    continue  # for the tap alone
                for stream in list(self._streams or ()):
                    stream._put(event)
                if isinstance(event, ErrorRaised) and not self._pyee.listeners(event.name):
                    self._log_unheard(event)  # pyee would raise it
                else:
                    self._pyee.emit(event.name, event)
        finally:
            self._delivering = False

    def _stamp(self, clock: Callable[[], float], event: Event) -> None:
        """Say when an event is delivered, before anybody has it; a clock that raises is not asked again."""
        try:
            object.__setattr__(event, "wall_time", clock())
        except Exception as error:
            self.clock = None
            self._failed("the clock", event, error)

    def _call_tap(self, tap: Callable[[Event], None], event: Event) -> None:
        try:
            tap(event)
        except BaseException as error:
            self._failed("sinks", event, error)

    def _pass_on(self, interruption: BaseException) -> None:
        """Let an interruption of the program go on once the step is complete, and the frame delivered."""
        try:
            asyncio.get_running_loop().call_soon(_raise, interruption)
        except RuntimeError:  # no loop runs
            self.raise_later(interruption)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be delivered, and nothing is being delivered."""
        return not self._delivering and not self.outbox

    def on(self, event: str, listener: Listener | None = None) -> Any:
        """Call a listener at each event of a name; without one, give the decorator that will.

        A listener that is registered for the event already is called once, as before.

        Raises:
            ValueError: there is no such event.
            TypeError: the listener can't be called.
        """
        return self._register(event, listener, once=False)

    def once(self, event: str, listener: Listener | None = None) -> Any:
        """The same for the next event of that name only; it never ends another registration.

        Raises:
            ValueError: there is no such event.
            TypeError: the listener can't be called.
        """
        return self._register(event, listener, once=True)

    def remove_listener(self, event: str, listener: Listener) -> None:
        """Call a listener no more, however it was registered.

        Raises:
            ValueError: there is no such event, or the listener was not registered for it.
        """
        found = [one for one in self._registered.get(check_event(event, self._known), []) if one.listener == listener]
        if not found:
            raise ValueError(f"{listener!r} does not listen to {event!r}")
        for registration in found:
            self._remove(event, registration)

    def stream(self, closed: bool) -> EventStream:
        """A stream of all events from now on; it has ended if the controller is closed and all of it was delivered."""
        stream = EventStream(ended=closed and self.is_idle)
        if self._streams is None:
            self._streams = WeakSet()
        self._streams.add(stream)
        return stream

    def _register(self, event: str, listener: Listener | None, *, once: bool) -> Any:
        check_event(event, self._known)
        if listener is None:
            return lambda listener: self._register(event, check_listener(listener), once=once)
        check_listener(listener)
        others = self._registered.setdefault(event, [])
        if not once and any(other.listener == listener and not other.once for other in others):
            return listener

        def call(emitted: Event) -> None:
            if registration not in others:  # a listener that was called before it has removed it
                return
            if once:
                self._remove(event, registration)
            self._call(listener, emitted)

        registration = _Registration(listener, once, call)
        others.append(registration)
        self._pyee.add_listener(event, call)
        return listener

    def _remove(self, event: str, registration: _Registration) -> None:
        self._registered[event].remove(registration)
        self._pyee.remove_listener(event, registration.wrapper)

    def _log_unheard(self, event: ErrorRaised) -> None:
        if all(stream.ended for stream in self._streams or ()):
            LOGGER.error("%s raised", event.source, exc_info=event.exception)

    def _call(self, listener: Listener, event: Event) -> None:
        # Whatever it is: CancelledError, of a cancelled future that is asked for its result, would look as if the
        # reader itself had been cancelled; and a panic of a library in Rust is no Exception either.
        try:
            result = listener(event)
            if not asyncio.iscoroutine(result):
                return
            try:
                task: asyncio.Task[object] = asyncio.get_running_loop().create_task(result)
            except RuntimeError:  # no loop runs
                result.close()
                raise
        except BaseException as error:
            self._failed(_source_of(listener, event), event, error)
            return
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._task_done(listener, event, task))

    def _task_done(self, listener: Listener, event: Event, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, INTERRUPTIONS):  # those the task has passed on itself
            self._failed(_source_of(listener, event), event, error)
            self.flush()

    def _failed(self, source: str, event: Event, error: BaseException) -> None:
        if event.name == ErrorRaised.name and not isinstance(error, INTERRUPTIONS):
            LOGGER.error("%s raised", source, exc_info=error)  # it must not be notified of its own failure
        else:
            self.emit(ErrorRaised(event.position, error, source))


def _source_of(listener: Listener, event: Event) -> str:
    return f"listener {getattr(listener, '__qualname__', repr(listener))} of {event.name!r}"


def _raise(interruption: BaseException) -> NoReturn:
    raise interruption


class EventStream:
    """All events, one after the other, for ``async for``; it ends after ``closed`` and what goes with it.

    It registers when it is made, and holds the newest 1,000 events; if its reader is slower than that, ``events_lost``
    stands where the older ones were.
    """

    def __init__(self, ended: bool) -> None:
        self._held: deque[Event] = deque()
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
                return EventsLost(self._held[0].position, lost)
            if self._held:
                return self._held.popleft()
            if self.ended:
                raise StopAsyncIteration
            await self._arrived.wait()

    async def aclose(self) -> None:
        """Stop listening; what is held is dropped, and whoever waits for the next event gets none."""
        self._held.clear()
        self._lost = 0
        self.ended = True
        self._arrived.open()

    def _put(self, event: Event) -> None:
        if self.ended:
            return
        self._held.append(event)
        if len(self._held) > STREAM_EVENTS:
            self._held.popleft()
            self._lost += 1
        # What `closed` stands in is summed up by a last change of state; whatever is refused later is not delivered.
        self.ended = isinstance(event, StateChanged) and event.new is State.CLOSED
        self._arrived.open()
