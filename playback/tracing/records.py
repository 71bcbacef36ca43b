"""Records: what a trace is made of, and how each is a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from playback.audio.formats import AudioFormat
from playback.audio.ramps import Fades
from playback.core.limits import Limits
from playback.events import EVENTS

VERSION: Final = 3
"""Of the format in which a trace is saved."""

LONGEST_SECONDS: Final = 24 * 60 * 60
"""How much may be read in a trace that is replayed."""
MOST_READS: Final = LONGEST_SECONDS * 50
"""In how many reads; so many of 20 ms, the frame of WebRTC (RFC 7587), are as long."""

_AUDIO: Final = ("utterance", "layout", "samples", "partial", "dropped")
CALLS: Final[dict[str, tuple[str, ...]]] = {
    "utterance": ("utterance", "id", "text", "format", "interruptible", "first", "in_turn", "stale"),  # first used
    "enqueue": ("utterance",),
    "refuse_enqueue": ("utterance",),
    "push": (*_AUDIO, "bounded"),
    "push_from_thread": _AUDIO,
    "refuse": _AUDIO,
    "mark": ("utterance", "at", "until", "payload"),
    "end": ("utterance", "cut_short", "error"),
    "cancel": ("utterance",),
    "turn": ("turn", "id", "stop_on_failure"),
    "end_turn": ("turn",),
    "cancel_turn": ("turn",),
    "fail_turn": ("turn", "error"),
    "pause": ("by",),
    "resume": ("by", "rewind"),
    "interrupt": ("by", "lock", "force"),
    "lock": (),
    "unlock": (),
    "close": (),
    "read": ("samples",),
    "gain": ("gain_db",),
    "stalled": ("seconds",),
}
"""What may be called, each with its arguments. Times and lengths are samples; of incomplete samples, bytes."""


class TraceError(Exception):
    """A trace that can't be read or replayed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a controller was made with; the limits in samples."""

    format: AudioFormat
    input_format: AudioFormat
    fades: Fades
    limits: Limits


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A call from outside. Reads of one length that follow each other are one record."""

    position: int
    """Samples read before."""
    name: str
    """A name in :data:`CALLS`."""
    arguments: dict[str, Any]
    """By name. An utterance is the trace's number for it: ids may be given twice."""
    times: int = 1
    """How often it was made in a row."""

    def __str__(self) -> str:
        return f"{self.position}: {self.name}({_shown(self.arguments)})" + f" × {self.times}" * (self.times > 1)

    def joined(self, next: TracedCall) -> TracedCall | None:
        """This and the next one in one record, if they are alike reads."""
        alike = self.name == next.name == "read" and self.arguments == next.arguments
        return replace(self, times=self.times + next.times) if alike else None


@dataclass(frozen=True, slots=True)
class TracedEdge:
    """An edge of the chart that was taken. A push that leaves the leaf as it is and emits nothing is none."""

    position: int
    source: str
    event: str
    target: str
    outputs: tuple[str, ...] = ()
    """The events that it emitted."""

    def __str__(self) -> str:
        emitted = f", emits {', '.join(self.outputs)}" if self.outputs else ""
        return f"{self.position}: {self.source} --{self.event}--> {self.target}{emitted}"


@dataclass(frozen=True, slots=True)
class TracedEvent:
    """An event that was emitted."""

    position: int
    name: str
    """A name in :data:`playback.events.EVENTS`."""
    details: dict[str, Any]
    """Its other fields; an utterance is the trace's number for it."""

    def __str__(self) -> str:
        return f"{self.position}: {self.name}({_shown(self.details)})"


Record = TracedCall | TracedEdge | TracedEvent


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


# Lines


def header(settings: Settings, *, fresh: bool, dropped: int) -> str:
    """The first line of a file."""
    return json.dumps({"trace": VERSION, **asdict(settings), "fresh": fresh, "dropped": dropped})


def parse_header(text: str) -> tuple[Settings, bool, int]:
    """Read the first line: the settings, whether the trace began with its controller, how many records it lacks.

    Raises:
        ValueError: it is something else.
    """
    line = _object(text)
    if "trace" not in line:
        raise ValueError(f'expected the header of a trace, such as {{"trace": {VERSION}, ...}}')
    if line["trace"] != VERSION:
        raise ValueError(f"a trace of version {line['trace']!r}, expected {VERSION}")
    _check(line, "fresh", "dropped", *("format", "input_format", "fades", "limits"))
    try:
        formats = AudioFormat(**line["format"]), AudioFormat(**line["input_format"])
        settings = Settings(*formats, Fades(**line["fades"]), Limits(**line["limits"]))
    except TypeError as error:
        raise ValueError(f"the settings are incomplete or of another kind: {error}") from None
    limits = asdict(settings.limits)
    completes = limits.pop("timeout_completes")
    if not isinstance(completes, bool):
        raise ValueError(f"timeout_completes is {completes!r}, expected true or false")
    for name, value in limits.items():
        if not _is_count(value) and (name != "input_timeout" or value is not None):
            raise ValueError(f"{name} is {value!r}, expected a number of samples")
    return settings, line["fresh"], line["dropped"]


def to_line(record: Record) -> str:
    """A record as a line of a file."""
    match record:
        case TracedCall(position, name, arguments, times):
            line = {"call": name, "position": position, **arguments} | ({"times": times} if times > 1 else {})
        case TracedEdge(position, source, event, target, outputs):
            line = {"edge": event, "position": position, "source": source, "target": target, "outputs": list(outputs)}
        case TracedEvent(position, name, details):
            line = {"event": name, "position": position, **details}
    return json.dumps(line)


def parse_line(text: str) -> Record:
    """Read a record.

    Raises:
        ValueError: it is something else.
    """
    match _object(text):
        case {"call": str(name), **line} if name in CALLS:
            times = line.pop("times", 1)
            if name != "read" and times != 1:
                raise ValueError(f"'times' is {times!r}, expected 1: only reads are counted together")
            _check({**line, "times": times}, "position", "times", *CALLS[name])
            return TracedCall(line["position"], name, {key: line[key] for key in CALLS[name]}, times)
        case {"edge": str(event), **line}:
            _check(line, "position", "source", "target", "outputs")
            return TracedEdge(line["position"], line["source"], event, line["target"], tuple(line["outputs"]))
        case {"event": str(name), **line} if name in EVENTS:
            _check(line, "position")
            return TracedEvent(line.pop("position"), name, line)
        case {"call": name}:
            raise ValueError(f"there is no call {name!r}, expected one of {', '.join(CALLS)}")
        case {"edge": event}:
            raise ValueError(f"the edge is {event!r}, expected the name of a chart's event")
        case {"event": name}:
            raise ValueError(f"there is no event {name!r}, expected one of {', '.join(EVENTS)}")
    raise ValueError('expected a record with "call", "edge" or "event"')


def _object(text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON: {error}") from None
    if not isinstance(line, dict):
        raise ValueError(f"it is {type(line).__name__!r}, expected a JSON object")
    return line


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_layout(value: object) -> bool:
    match value:
        case [int(rate), str(), str(), int(width)]:
            return rate > 0 and width > 0
    return False


def _is_format(value: object) -> bool:
    # A trace of a time before there were encodings has none.
    return isinstance(value, dict) and set(value) | {"encoding"} == {"sample_rate", "channels", "encoding"}


def _is_error(value: object) -> bool:
    match value:
        case None | {"type": str(), "message": str()}:
            return True
    return False


def _is_number(value: object) -> bool:
    """Whether it is a number, or the name of what JSON does not have, such as infinity."""
    match value:
        case int() | float() | {"repr": str()}:
            return True
    return False


Kind = tuple[str, Callable[[Any], bool]]
_COUNT: Final[Kind] = "a whole number, 0 or more", _is_count
_FLAG: Final[Kind] = "true or false", lambda value: isinstance(value, bool)
_TEXT: Final[Kind] = "a string", lambda value: isinstance(value, str)
_NUMBER: Final[Kind] = "a number", _is_number
_OBJECT: Final[Kind] = "an object", lambda value: isinstance(value, dict)
_FORMAT: Final[Kind] = 'an object with "sample_rate", "channels" and "encoding"', _is_format
_KINDS: Final[dict[str, Kind]] = {
    "position": _COUNT,
    "times": (f"a whole number from 1 to {MOST_READS:,}", lambda value: _is_count(value) and 1 <= value <= MOST_READS),
    "dropped": _COUNT,
    "fresh": _FLAG,
    "format": _FORMAT,
    "input_format": _FORMAT,
    "fades": _OBJECT,
    "limits": _OBJECT,
    "utterance": ("an utterance's number, or null", lambda value: value is None or _is_count(value)),
    "id": _TEXT,
    "text": ("a string or null", lambda value: value is None or isinstance(value, str)),
    "interruptible": _FLAG,
    "stale": _FLAG,
    "first": _FLAG,
    "bounded": _FLAG,
    "stop_on_failure": _FLAG,
    "turn": ("a turn's number", _is_count),
    "in_turn": ("a turn's number, or null", lambda value: value is None or _is_count(value)),
    "error": ('null, or an object with "type" and "message"', _is_error),
    "layout": ("[rate, channels, sample type, bytes]", _is_layout),
    "samples": _COUNT,
    "partial": _COUNT,
    "at": _COUNT,
    "until": ("a whole number or null", lambda value: value is None or _is_count(value)),
    "payload": ("anything", lambda _: True),
    "cut_short": _FLAG,
    "rewind": _COUNT,
    "by": ("a name", lambda value: isinstance(value, str) and value != ""),
    "lock": _FLAG,
    "force": _FLAG,
    "gain_db": _NUMBER,
    "seconds": _NUMBER,
    "source": _TEXT,
    "target": _TEXT,
    "outputs": (
        "a list of strings",
        lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    ),
}
"""What each field of a line has to be."""


def _check(line: dict[str, Any], *names: str) -> None:
    """See that a line has its fields.

    Raises:
        ValueError: one is missing, or of another kind.
    """
    for name in names:
        expected, fits = _KINDS[name]
        if name not in line:
            raise ValueError(f"{name!r} is missing, expected {expected}")
        if not fits(line[name]):
            raise ValueError(f"{name!r} is {line[name]!r}, expected {expected}")
