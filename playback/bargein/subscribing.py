"""SubscribeBargeIn: how listeners of a policy's events are registered, typed by the event's name.

The overloads are generated from :data:`playback.bargein.events.EVENTS`; ``make charts`` renews them.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeVar, overload

from playback.bargein import events
from playback.bargein.events import BargeInEventName
from playback.events import Event
from playback.subscribing import Decorate, Listen

R = TypeVar("R")


class SubscribeBargeIn(Protocol):
    """Registers a listener for an event; without a listener, gives the decorator that does.

    Args:
        event: a name in :data:`playback.bargein.EVENTS`.
        listener: called with the event; a coroutine function runs as a task.

    Returns:
        The listener.

    Raises:
        ValueError: there is no such event.
        TypeError: the listener can't be called.
    """

    # fmt: off
    # [[[cog
    # import cog
    # from playback.bargein.events import EVENTS
    # for name, event in EVENTS.items():
    #     listener = f"Listen[events.{event.__name__}, R]"
    #     cog.outl("@overload")
    #     cog.outl(f'def __call__(self, event: Literal["{name}"], listener: {listener}) -> {listener}: ...')
    #     cog.outl("@overload")
    #     cog.outl(f'def __call__(self, event: Literal["{name}"]) -> Decorate[events.{event.__name__}]: ...')
    # ]]]
    @overload
    def __call__(self, event: Literal["barge_in_suspected"], listener: Listen[events.BargeInSuspected, R]) -> Listen[events.BargeInSuspected, R]: ...
    @overload
    def __call__(self, event: Literal["barge_in_suspected"]) -> Decorate[events.BargeInSuspected]: ...
    @overload
    def __call__(self, event: Literal["barge_in"], listener: Listen[events.BargedIn, R]) -> Listen[events.BargedIn, R]: ...
    @overload
    def __call__(self, event: Literal["barge_in"]) -> Decorate[events.BargedIn]: ...
    @overload
    def __call__(self, event: Literal["false_interruption"], listener: Listen[events.FalseInterruption, R]) -> Listen[events.FalseInterruption, R]: ...
    @overload
    def __call__(self, event: Literal["false_interruption"]) -> Decorate[events.FalseInterruption]: ...
    @overload
    def __call__(self, event: Literal["user_turn_started"], listener: Listen[events.UserTurnStarted, R]) -> Listen[events.UserTurnStarted, R]: ...
    @overload
    def __call__(self, event: Literal["user_turn_started"]) -> Decorate[events.UserTurnStarted]: ...
    @overload
    def __call__(self, event: Literal["user_turn_ended"], listener: Listen[events.UserTurnEnded, R]) -> Listen[events.UserTurnEnded, R]: ...
    @overload
    def __call__(self, event: Literal["user_turn_ended"]) -> Decorate[events.UserTurnEnded]: ...
    @overload
    def __call__(self, event: Literal["agent_turn_started"], listener: Listen[events.AgentTurnStarted, R]) -> Listen[events.AgentTurnStarted, R]: ...
    @overload
    def __call__(self, event: Literal["agent_turn_started"]) -> Decorate[events.AgentTurnStarted]: ...
    @overload
    def __call__(self, event: Literal["agent_turn_ended"], listener: Listen[events.AgentTurnEnded, R]) -> Listen[events.AgentTurnEnded, R]: ...
    @overload
    def __call__(self, event: Literal["agent_turn_ended"]) -> Decorate[events.AgentTurnEnded]: ...
    @overload
    def __call__(self, event: Literal["silence"], listener: Listen[events.Silence, R]) -> Listen[events.Silence, R]: ...
    @overload
    def __call__(self, event: Literal["silence"]) -> Decorate[events.Silence]: ...
    # [[[end]]]
    @overload
    def __call__(self, event: BargeInEventName, listener: Listen[Event, R]) -> Any: ...
    @overload
    def __call__(self, event: BargeInEventName) -> Any: ...
    # fmt: on
