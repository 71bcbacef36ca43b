"""The three events of a barge-in policy, and how listeners of them are registered, typed by the event's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar, overload

from playback.events import Event
from playback.subscribing import Decorate, Listen

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BargeInSuspected(Event):
    """The user speaks while the agent does: the agent is held, until it is clear whether that is meant."""

    name: ClassVar[str] = "barge_in_suspected"

    seconds: float
    """How long the user has been speaking."""


@dataclass(frozen=True, slots=True)
class BargedIn(Event):
    """The user means it: the agent was interrupted."""

    name: ClassVar[str] = "barge_in"

    seconds: float
    """How long after the user began to speak; 0 if only a transcript has shown it."""
    words: str | None
    """The transcript that has decided, None if the length of the speech has."""


@dataclass(frozen=True, slots=True)
class FalseInterruption(Event):
    """It was a cough, a noise or a "mm-hm": the agent goes on."""

    name: ClassVar[str] = "false_interruption"

    seconds: float
    """How long the agent was held."""


BargeInEventName = Literal["barge_in_suspected", "barge_in", "false_interruption"]
"""The names that listeners can subscribe to."""

EVENTS: Final[dict[BargeInEventName, type[Event]]] = {
    "barge_in_suspected": BargeInSuspected,
    "barge_in": BargedIn,
    "false_interruption": FalseInterruption,
}
"""Every event that listeners can subscribe to, by name."""


class SubscribeBargeIn(Protocol):
    """Registers a listener for an event; without a listener, gives the decorator that does.

    Args:
        event: a name in :data:`EVENTS`.
        listener: called with the event; a coroutine function runs as a task.

    Returns:
        The listener.

    Raises:
        ValueError: there is no such event.
        TypeError: the listener can't be called.
    """

    @overload
    def __call__(
        self, event: Literal["barge_in_suspected"], listener: Listen[BargeInSuspected, R]
    ) -> Listen[BargeInSuspected, R]: ...
    @overload
    def __call__(self, event: Literal["barge_in_suspected"]) -> Decorate[BargeInSuspected]: ...
    @overload
    def __call__(self, event: Literal["barge_in"], listener: Listen[BargedIn, R]) -> Listen[BargedIn, R]: ...
    @overload
    def __call__(self, event: Literal["barge_in"]) -> Decorate[BargedIn]: ...
    @overload
    def __call__(
        self, event: Literal["false_interruption"], listener: Listen[FalseInterruption, R]
    ) -> Listen[FalseInterruption, R]: ...
    @overload
    def __call__(self, event: Literal["false_interruption"]) -> Decorate[FalseInterruption]: ...
    @overload
    def __call__(self, event: BargeInEventName, listener: Listen[Event, R]) -> Any: ...
    @overload
    def __call__(self, event: BargeInEventName) -> Any: ...
