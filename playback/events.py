"""The events of a controller: one frozen dataclass for each.

Every event has ``name``, by which listeners subscribe, and ``position``: when it happened, in samples read since the
controller was made, exact within a read too. Events are data: :meth:`Event.as_dict` returns a dictionary of JSON
values, and a copy of an event copies neither the utterance nor the controller that it refers to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final, Literal

from playback._json import jsonable
from playback.chart import State
from playback.report import TurnReport, UtteranceReport, error_as_dict
from playback.turn import Turn
from playback.utterance import Utterance


@dataclass(frozen=True, slots=True)
class Event:
    """What all events have."""

    name: ClassVar[str]

    position: int
    """Samples read since the controller was made."""
    wall_time: float | None = field(default=None, kw_only=True, compare=False, repr=False)
    """When it was delivered, in seconds since the epoch, by the controller's clock; None before that. Two events that
    differ in nothing else are equal."""

    def as_dict(self) -> dict[str, Any]:
        """The event as a dictionary of JSON values: ``name``, ``position``, ``wall_time`` if set, and its other fields.

        An utterance is given by its id, a report as :meth:`UtteranceReport.as_dict` gives it, an exception by its type
        and message; a payload that JSON can't hold becomes ``{"repr": ...}``.
        """
        plain = {field.name: _plain(getattr(self, field.name)) for field in fields(self)}
        if self.wall_time is None:
            del plain["wall_time"]
        return {"name": self.name} | plain


@dataclass(frozen=True, slots=True)
class StateChanged(Event):
    """A command or a read has led from one leaf to another; emitted once for it, when it is complete."""

    name: ClassVar[str] = "state_changed"

    old: State
    new: State
    """The visible states; the same where only the detail changed."""
    old_leaf: str
    new_leaf: str


@dataclass(frozen=True, slots=True)
class FirstAudioByte(Event):
    """The first sample of an utterance was handed out."""

    name: ClassVar[str] = "first_audio_byte"

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class LastAudioByte(Event):
    """The last sample of an utterance was handed out, or confirmed; emitted once, if it was played to its end."""

    name: ClassVar[str] = "last_audio_byte"

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class UtteranceFinished(Event):
    """An utterance is over, whatever its outcome. Emitted exactly once for every utterance."""

    name: ClassVar[str] = "utterance_finished"

    utterance: Utterance
    report: UtteranceReport


@dataclass(frozen=True, slots=True)
class TurnStarted(Event):
    """The first sample of a turn was handed out. An utterance that belongs to no turn is one of its own."""

    name: ClassVar[str] = "turn_started"

    turn: Turn


@dataclass(frozen=True, slots=True)
class TurnFinished(Event):
    """A turn is over: it takes no more utterances, and all of them have finished.

    Emitted exactly once for every turn.
    """

    name: ClassVar[str] = "turn_finished"

    turn: Turn
    report: TurnReport


@dataclass(frozen=True, slots=True)
class MarkReached(Event):
    """All samples before a mark were played."""

    name: ClassVar[str] = "mark_reached"

    utterance: Utterance
    payload: object
    """What the producer marked; a word, mostly."""
    at: int
    """Where the mark stands, in samples from the utterance's start."""


@dataclass(frozen=True, slots=True)
class Paused(Event):
    """A pause holds audio back; silence follows the pause ramp. A further hold within the pause emits nothing."""

    name: ClassVar[str] = "paused"

    by: str
    """Who holds it back, such as ``"application"``."""


@dataclass(frozen=True, slots=True)
class Resumed(Event):
    """The pause is over: the last hold was released."""

    name: ClassVar[str] = "resumed"

    rewound: int
    """Samples that will sound a second time."""
    by: str
    """Who released the last hold."""


@dataclass(frozen=True, slots=True)
class Interrupted(Event):
    """All utterances were dropped; with ``at="word"``, all but what is left of the word that sounds."""

    name: ClassVar[str] = "interrupted"

    discarded: int
    """Samples that were buffered and will not be played."""


@dataclass(frozen=True, slots=True)
class Silenced(Event):
    """After an interrupt: the fade-out is over, nothing of the old utterances sounds any more.

    After one with ``at="word"``, that is once the word has ended.
    """

    name: ClassVar[str] = "silenced"


@dataclass(frozen=True, slots=True)
class InputLocked(Event):
    """From now on every push is refused."""

    name: ClassVar[str] = "input_locked"


@dataclass(frozen=True, slots=True)
class InputUnlocked(Event):
    """From now on pushes are accepted again."""

    name: ClassVar[str] = "input_unlocked"


@dataclass(frozen=True, slots=True)
class Underrun(Event):
    """An open utterance ran out of audio: its producer is slower than playback."""

    name: ClassVar[str] = "underrun"

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class UnderrunEnded(Event):
    """An underrun is over: audio has come, or the utterance is paused, ended or finished. Emitted once for each."""

    name: ClassVar[str] = "underrun_ended"

    utterance: Utterance
    seconds: float
    """How much silence was read because of it."""


Refusal = Literal["locked", "ended", "interrupted", "closed", "full"]
"""Why audio was turned away: the input is locked, the utterance had ended or was dropped, the controller is closed; or,
for a producer on another thread, which no exception reaches, more than may be buffered."""


@dataclass(frozen=True, slots=True)
class AudioRefused(Event):
    """A push was refused. A late push is not an error, but it is always reported."""

    name: ClassVar[str] = "audio_refused"

    utterance: Utterance | None
    """Whose push it was; None for a push without a handle."""
    samples: int
    """How many samples at the output rate were turned away."""
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Stalled(Event):
    """The reader came late, and skipped ahead instead of catching up with a burst."""

    name: ClassVar[str] = "stalled"

    seconds: float
    """By how much it was late."""


@dataclass(frozen=True, slots=True)
class FarEndReported(Event):
    """The other side of the connection has reported what arrived there (RTCP receiver reports, RFC 3550, 6.4)."""

    name: ClassVar[str] = "far_end_reported"

    loss: float
    """The share of packets that were lost since its report before, 0 to 1."""
    jitter_seconds: float
    """How much the packets' travel times differ, as it estimates that."""
    round_trip_seconds: float | None
    """How long a packet takes there and back; None if that is not known yet."""


@dataclass(frozen=True, slots=True)
class Closed(Event):
    """The controller was closed; only the change of state still follows."""

    name: ClassVar[str] = "closed"


@dataclass(frozen=True, slots=True)
class ErrorRaised(Event):
    """An exception that must not stop playback, such as one of a listener or within a read."""

    name: ClassVar[str] = "error"

    exception: BaseException
    source: str
    """What raised it, in words."""


INTERRUPTIONS: Final = (KeyboardInterrupt, SystemExit)
"""What ends a program, and is no error: no ``error`` event is made of it, it goes on to the loop."""


@dataclass(frozen=True, slots=True)
class EventsLost(Event):
    """Only in ``controller.events()``: its reader was so slow that older events were dropped."""

    name: ClassVar[str] = "events_lost"

    count: int


@dataclass(frozen=True, slots=True)
class InputEnded(Event):
    """For sinks: no more audio of an utterance comes. Its producer, a lock or the input timeout ended it."""

    name: ClassVar[str] = "input_ended"

    utterance: Utterance


def _plain(value: object) -> Any:
    match value:
        case Utterance() | Turn():
            return value.id
        case UtteranceReport() | TurnReport():
            return value.as_dict()
        case BaseException():
            return error_as_dict(value)
    return jsonable(value)


EventName = Literal[
    "state_changed",
    "first_audio_byte",
    "last_audio_byte",
    "utterance_finished",
    "turn_started",
    "turn_finished",
    "mark_reached",
    "paused",
    "resumed",
    "interrupted",
    "silenced",
    "input_locked",
    "input_unlocked",
    "underrun",
    "underrun_ended",
    "audio_refused",
    "stalled",
    "far_end_reported",
    "closed",
    "error",
]
"""The names that listeners can subscribe to."""

EVENTS: Final[dict[EventName, type[Event]]] = {
    "state_changed": StateChanged,
    "first_audio_byte": FirstAudioByte,
    "last_audio_byte": LastAudioByte,
    "utterance_finished": UtteranceFinished,
    "turn_started": TurnStarted,
    "turn_finished": TurnFinished,
    "mark_reached": MarkReached,
    "paused": Paused,
    "resumed": Resumed,
    "interrupted": Interrupted,
    "silenced": Silenced,
    "input_locked": InputLocked,
    "input_unlocked": InputUnlocked,
    "underrun": Underrun,
    "underrun_ended": UnderrunEnded,
    "audio_refused": AudioRefused,
    "stalled": Stalled,
    "far_end_reported": FarEndReported,
    "closed": Closed,
    "error": ErrorRaised,
}
"""Every event that listeners can subscribe to, by name."""


def names_of_fields(event: type[Event]) -> list[str]:
    """The fields of an event beside those that all events have."""
    return [field.name for field in fields(event) if field.name not in _COMMON]


_COMMON: Final = frozenset(field.name for field in fields(Event))
