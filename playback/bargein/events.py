"""The events of a barge-in policy: what is decided, and the turns of the conversation.

Each has, beside its position, the time at which it happened, on the policy's clock: an event loop's, by default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from playback.events import Event
from playback.report import TurnReport
from playback.turn import Turn


@dataclass(frozen=True, slots=True)
class PolicyEvent(Event):
    """What all events of a policy have."""

    time: float
    """When it happened, in seconds on the policy's clock."""


@dataclass(frozen=True, slots=True)
class BargeInSuspected(PolicyEvent):
    """The user speaks while the agent speaks or is about to; the agent is lowered or paused until it is clear why."""

    name: ClassVar[str] = "barge_in_suspected"

    seconds: float
    """How long after the user's first sound this is."""


@dataclass(frozen=True, slots=True)
class BargedIn(PolicyEvent):
    """It was an interruption by the user, so the agent was interrupted."""

    name: ClassVar[str] = "barge_in"

    seconds: float
    """How long after the user's first sound this is; 0 if only a transcript has shown it."""
    words: str | None
    """The transcript that has decided, None if the length of the speech has."""


@dataclass(frozen=True, slots=True)
class FalseInterruption(PolicyEvent):
    """It was a cough, a noise or a "mm-hm", so the agent resumes."""

    name: ClassVar[str] = "false_interruption"

    seconds: float
    """How long it was in doubt."""


@dataclass(frozen=True, slots=True)
class UserTurnStarted(PolicyEvent):
    """The user has the floor: nobody else speaks, or the agent was interrupted."""

    name: ClassVar[str] = "user_turn_started"

    seconds: float
    """How long after the user's first sound this is; 0 if only a transcript has shown it."""


@dataclass(frozen=True, slots=True)
class UserTurnEnded(PolicyEvent):
    """The user is silent again. A turn that a short pause has divided is two."""

    name: ClassVar[str] = "user_turn_ended"

    seconds: float
    """How long the user has spoken; 0 if only a transcript has shown it."""


@dataclass(frozen=True, slots=True)
class AgentTurnStarted(PolicyEvent):
    """The first sample of an agent's turn was handed out."""

    name: ClassVar[str] = "agent_turn_started"

    turn: Turn
    latency: float | None
    """Seconds since the user's speech ended; None if the user has not spoken since the agent's last turn."""


@dataclass(frozen=True, slots=True)
class AgentTurnEnded(PolicyEvent):
    """A turn of the agent's is over, also one that was never heard."""

    name: ClassVar[str] = "agent_turn_ended"

    turn: Turn
    report: TurnReport


@dataclass(frozen=True, slots=True)
class Silence(PolicyEvent):
    """Nobody speaks; emitted once until somebody does again."""

    name: ClassVar[str] = "silence"

    seconds: float
    """How long nobody has spoken."""


BargeInEventName = Literal[
    "barge_in_suspected",
    "barge_in",
    "false_interruption",
    "user_turn_started",
    "user_turn_ended",
    "agent_turn_started",
    "agent_turn_ended",
    "silence",
]
"""The names that listeners can subscribe to."""

EVENTS: Final[dict[BargeInEventName, type[Event]]] = {
    "barge_in_suspected": BargeInSuspected,
    "barge_in": BargedIn,
    "false_interruption": FalseInterruption,
    "user_turn_started": UserTurnStarted,
    "user_turn_ended": UserTurnEnded,
    "agent_turn_started": AgentTurnStarted,
    "agent_turn_ended": AgentTurnEnded,
    "silence": Silence,
}
"""Every event that listeners can subscribe to, by name."""
