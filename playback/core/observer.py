"""Observers: whoever watches a playout from outside, such as a trace or the demo's picture of the chart.

Several may watch one playout. Nothing is spent on them while there is none: a call looks at an empty tuple, and the
fast paths stay open. While there is one that wants to see every push and every read, the fast paths are closed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar
from weakref import ref

from playback.events import INTERRUPTIONS, ErrorRaised, Event

P = ParamSpec("P")
R = TypeVar("R")

LOGGER: Final = logging.getLogger("playback")


class Observer(Protocol):
    """What watches a playout. Its methods are called in the middle of a step, so they must not call the controller.

    What they raise becomes an ``error`` event; of an observer that raises at one, it is logged.
    """

    def called(self, position: int, name: str, arguments: dict[str, Any]) -> None:
        """A call came from outside: from the application, a reader or a listener.

        Args:
            position: samples read so far.
            name: what was called.
            arguments: what the call was given, by name.
        """

    def edge(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None:
        """An edge of the chart was taken, also one that stays in its leaf.

        Args:
            position: when, in samples read.
            source: the leaf before.
            event: the chart's event.
            target: the leaf after.
            outputs: the names of the events that the edge emits.
        """

    def event(self, event: Event) -> None:
        """An event is about to be delivered to the listeners."""


class _Clock(Protocol):
    position: int


class Observers:
    """All observers of one playout.

    Args:
        clock: what has the position, in samples read.
        changed: called when somebody begins or ceases to watch.
        emit: where the events go of what they raise.
        flush: delivers them, where a call is over that would not do so itself.
    """

    __slots__ = ("__weakref__", "_changed", "_clock", "_emit", "all", "everything", "flush", "inside")

    def __init__(
        self,
        clock: _Clock,
        changed: Callable[[], None],
        emit: Callable[[Event], None],
        flush: Callable[[], None],
    ) -> None:
        self.all: tuple[Observer, ...] = ()
        """Who watches."""
        self.everything: tuple[Observer, ...] = ()
        """Those that want to see each push and each read, so that none may take a fast path."""
        self.inside = False
        """Whether a call is under way that has emitted nothing yet: what is called now, the playout calls itself."""
        self._clock: Final = clock
        self._changed: Final = changed
        self._emit: Final = emit
        self.flush: Final = flush

    def add(self, observer: Observer, *, everything: bool = True) -> Callable[[], None]:
        """Let an observer watch from now on.

        Args:
            observer: who.
            everything: whether it sees each push and each read; otherwise it need not, and they cost no more than
                without it.

        Returns:
            What ends it; calling it again does nothing. It does not keep the playout, which may long be gone.
        """
        self.all += (observer,)
        if everything:
            self.everything += (observer,)
        self._changed()
        observers = ref(self)

        def remove() -> None:
            playing = observers()
            if playing is not None:
                playing.all = tuple(other for other in playing.all if other is not observer)
                playing.everything = tuple(other for other in playing.everything if other is not observer)
                playing._changed()

        return remove

    def called(self, name: str, arguments: dict[str, Any]) -> bool:
        """Report a call from outside.

        Returns:
            Whether an observer raised: the event of that waits until the call is over.
        """
        raised = False
        for observer in self.all:
            try:
                observer.called(self._clock.position, name, arguments)
            except BaseException as error:
                self._failed(observer, error)
                raised = True
        return raised

    def edge(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None:
        """Report an edge."""
        for observer in self.all:
            try:
                observer.edge(position, source, event, target, outputs)
            except BaseException as error:
                self._failed(observer, error)

    def event(self, event: Event) -> None:
        """Report an event that is about to be delivered: from here on, whatever is called, listeners call."""
        self.inside = False
        for observer in self.all:
            try:
                observer.event(event)
            except BaseException as error:
                if isinstance(event, ErrorRaised) and not isinstance(error, INTERRUPTIONS):
                    LOGGER.error("observer %r raised", observer, exc_info=error)
                else:
                    self._failed(observer, error)

    def _failed(self, observer: Observer, error: BaseException) -> None:
        self._emit(ErrorRaised(self._clock.position, error, f"observer {type(observer).__qualname__}"))


class Observed(Protocol):
    """What has methods that observers are notified of."""

    @property
    def observers(self) -> Observers:
        """Who watches."""


O = TypeVar("O", bound=Observed)  # noqa: E741 - beside P and R


def observed(
    name: str, *, flushes: bool = True, frequent: bool = False
) -> Callable[[Callable[Concatenate[O, P], R]], Callable[Concatenate[O, P], R]]:
    """Report a method's calls to the observers, but not those that the playout itself makes within another call.

    Args:
        name: how the call is named in a trace.
        flushes: whether the call may end with a flush, so that what an observer raised is an event even if nothing
            else came of it. A read may not: its audio goes ahead of its events.
        frequent: whether only those observers are notified that want to see everything.
    """

    def decorate(method: Callable[Concatenate[O, P], R]) -> Callable[Concatenate[O, P], R]:
        parameters = signature(method)

        @wraps(method)
        def call(self: O, /, *args: P.args, **kwargs: P.kwargs) -> R:
            observers = self.observers
            if not (observers.everything if frequent else observers.all) or observers.inside:
                return method(self, *args, **kwargs)
            bound = parameters.bind(self, *args, **kwargs)
            bound.apply_defaults()
            _, *arguments = bound.arguments.items()
            raised = observers.called(name, dict(arguments))
            observers.inside = True
            try:
                return method(self, *args, **kwargs)
            finally:
                observers.inside = False
                if raised and flushes:
                    observers.flush()

        return call

    return decorate
