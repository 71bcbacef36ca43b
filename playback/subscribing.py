"""Subscribe: how listeners are registered, typed by the event's name.

A misspelled name, a listener of another event and an attribute that the event does not have are errors of the type
checker. The overloads are generated from :data:`playback.events.EVENTS`; ``make charts`` renews them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar, overload

from playback import events
from playback.events import Event, EventName

E = TypeVar("E", bound=Event)
R = TypeVar("R")

Listen = Callable[[E], R]
"""A listener, plain or a coroutine function."""


class Decorate(Protocol[E]):
    """Registers a listener of this event, and gives it back."""

    def __call__(self, listener: Callable[[E], R], /) -> Callable[[E], R]:
        """Register it."""


class Subscribe(Protocol):
    """Registers a listener for an event; without a listener, gives the decorator that does.

    Args:
        event: a name in :data:`playback.events.EVENTS`.
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
    # from playback.events import EVENTS
    # for name, event in EVENTS.items():
    #     listener = f"Listen[events.{event.__name__}, R]"
    #     cog.outl("@overload")
    #     cog.outl(f'def __call__(self, event: Literal["{name}"], listener: {listener}) -> {listener}: ...')
    #     cog.outl("@overload")
    #     cog.outl(f'def __call__(self, event: Literal["{name}"]) -> Decorate[events.{event.__name__}]: ...')
    # ]]]
    @overload
    def __call__(self, event: Literal["state_changed"], listener: Listen[events.StateChanged, R]) -> Listen[events.StateChanged, R]: ...
    @overload
    def __call__(self, event: Literal["state_changed"]) -> Decorate[events.StateChanged]: ...
    @overload
    def __call__(self, event: Literal["first_audio_byte"], listener: Listen[events.FirstAudioByte, R]) -> Listen[events.FirstAudioByte, R]: ...
    @overload
    def __call__(self, event: Literal["first_audio_byte"]) -> Decorate[events.FirstAudioByte]: ...
    @overload
    def __call__(self, event: Literal["last_audio_byte"], listener: Listen[events.LastAudioByte, R]) -> Listen[events.LastAudioByte, R]: ...
    @overload
    def __call__(self, event: Literal["last_audio_byte"]) -> Decorate[events.LastAudioByte]: ...
    @overload
    def __call__(self, event: Literal["utterance_finished"], listener: Listen[events.UtteranceFinished, R]) -> Listen[events.UtteranceFinished, R]: ...
    @overload
    def __call__(self, event: Literal["utterance_finished"]) -> Decorate[events.UtteranceFinished]: ...
    @overload
    def __call__(self, event: Literal["turn_started"], listener: Listen[events.TurnStarted, R]) -> Listen[events.TurnStarted, R]: ...
    @overload
    def __call__(self, event: Literal["turn_started"]) -> Decorate[events.TurnStarted]: ...
    @overload
    def __call__(self, event: Literal["turn_finished"], listener: Listen[events.TurnFinished, R]) -> Listen[events.TurnFinished, R]: ...
    @overload
    def __call__(self, event: Literal["turn_finished"]) -> Decorate[events.TurnFinished]: ...
    @overload
    def __call__(self, event: Literal["mark_reached"], listener: Listen[events.MarkReached, R]) -> Listen[events.MarkReached, R]: ...
    @overload
    def __call__(self, event: Literal["mark_reached"]) -> Decorate[events.MarkReached]: ...
    @overload
    def __call__(self, event: Literal["paused"], listener: Listen[events.Paused, R]) -> Listen[events.Paused, R]: ...
    @overload
    def __call__(self, event: Literal["paused"]) -> Decorate[events.Paused]: ...
    @overload
    def __call__(self, event: Literal["resumed"], listener: Listen[events.Resumed, R]) -> Listen[events.Resumed, R]: ...
    @overload
    def __call__(self, event: Literal["resumed"]) -> Decorate[events.Resumed]: ...
    @overload
    def __call__(self, event: Literal["interrupted"], listener: Listen[events.Interrupted, R]) -> Listen[events.Interrupted, R]: ...
    @overload
    def __call__(self, event: Literal["interrupted"]) -> Decorate[events.Interrupted]: ...
    @overload
    def __call__(self, event: Literal["silenced"], listener: Listen[events.Silenced, R]) -> Listen[events.Silenced, R]: ...
    @overload
    def __call__(self, event: Literal["silenced"]) -> Decorate[events.Silenced]: ...
    @overload
    def __call__(self, event: Literal["input_locked"], listener: Listen[events.InputLocked, R]) -> Listen[events.InputLocked, R]: ...
    @overload
    def __call__(self, event: Literal["input_locked"]) -> Decorate[events.InputLocked]: ...
    @overload
    def __call__(self, event: Literal["input_unlocked"], listener: Listen[events.InputUnlocked, R]) -> Listen[events.InputUnlocked, R]: ...
    @overload
    def __call__(self, event: Literal["input_unlocked"]) -> Decorate[events.InputUnlocked]: ...
    @overload
    def __call__(self, event: Literal["underrun"], listener: Listen[events.Underrun, R]) -> Listen[events.Underrun, R]: ...
    @overload
    def __call__(self, event: Literal["underrun"]) -> Decorate[events.Underrun]: ...
    @overload
    def __call__(self, event: Literal["underrun_ended"], listener: Listen[events.UnderrunEnded, R]) -> Listen[events.UnderrunEnded, R]: ...
    @overload
    def __call__(self, event: Literal["underrun_ended"]) -> Decorate[events.UnderrunEnded]: ...
    @overload
    def __call__(self, event: Literal["audio_refused"], listener: Listen[events.AudioRefused, R]) -> Listen[events.AudioRefused, R]: ...
    @overload
    def __call__(self, event: Literal["audio_refused"]) -> Decorate[events.AudioRefused]: ...
    @overload
    def __call__(self, event: Literal["stalled"], listener: Listen[events.Stalled, R]) -> Listen[events.Stalled, R]: ...
    @overload
    def __call__(self, event: Literal["stalled"]) -> Decorate[events.Stalled]: ...
    @overload
    def __call__(self, event: Literal["far_end_reported"], listener: Listen[events.FarEndReported, R]) -> Listen[events.FarEndReported, R]: ...
    @overload
    def __call__(self, event: Literal["far_end_reported"]) -> Decorate[events.FarEndReported]: ...
    @overload
    def __call__(self, event: Literal["closed"], listener: Listen[events.Closed, R]) -> Listen[events.Closed, R]: ...
    @overload
    def __call__(self, event: Literal["closed"]) -> Decorate[events.Closed]: ...
    @overload
    def __call__(self, event: Literal["error"], listener: Listen[events.ErrorRaised, R]) -> Listen[events.ErrorRaised, R]: ...
    @overload
    def __call__(self, event: Literal["error"]) -> Decorate[events.ErrorRaised]: ...
    # [[[end]]]
    # fmt: on
    @overload
    def __call__(self, event: EventName, listener: Listen[Event, R]) -> Any: ...
    @overload
    def __call__(self, event: EventName) -> Any: ...
