"""Records: what a trace is made of, and how each is a line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from playback.audio.formats import AudioFormat
from playback.audio.ramps import Fades
from playback.core.limits import Limits
from playback.events import EVENTS
from playback.tracing.fields import LONGEST_LINE, READ_SAMPLES, check, check_details, check_limits, shown

VERSION: Final = 4
"""Of the format in which a trace is saved."""

_AUDIO: Final = ("utterance", "layout", "samples", "partial", "dropped")
CALLS: Final[dict[str, tuple[str, ...]]] = {
    "utterance": ("utterance", "id", "text", "format", "interruptible", "first", "in_turn", "stale"),  # first used
    "enqueue": ("utterance",),
    "refuse_enqueue": ("utterance",),
    "push": (*_AUDIO, "bounded"),
    "push_from_thread": _AUDIO,
    "refuse": _AUDIO,
    "mark": ("utterance", "at", "until", "payload"),
    "unmark": ("utterance", "at", "until", "payload"),
    "end": ("utterance", "cut_short", "error"),
    "cancel": ("utterance",),
    "turn": ("turn", "id", "stop_on_failure"),
    "end_turn": ("turn",),
    "cancel_turn": ("turn",),
    "fail_turn": ("turn", "error"),
    "pause": ("by",),
    "resume": ("by", "rewind"),
    "interrupt": ("by", "lock", "force", "to_word_end"),
    "lock": (),
    "unlock": (),
    "close": (),
    "read": ("samples",),
    "attach": (),  # of a reader that confirms, as the three that follow
    "confirm": ("samples",),
    "recall": ("samples",),  # what it answered; the command that asked comes next
    "detach": (),
    "gain": ("gain_db",),
    "stalled": ("seconds",),
    "far_end": ("loss", "jitter_seconds", "round_trip_seconds"),
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
    wall_time: float | None = field(default=None, compare=False, kw_only=True)
    """When the first of them was, in seconds since the epoch; None in a replay."""

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
    wall_time: float | None = field(default=None, compare=False, kw_only=True)
    """When, in seconds since the epoch; None in a replay."""

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
    wall_time: float | None = field(default=None, compare=False, kw_only=True)
    """When, in seconds since the epoch; None in a replay."""

    def __str__(self) -> str:
        return f"{self.position}: {self.name}({_shown(self.details)})"


Record = TracedCall | TracedEdge | TracedEvent


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in values.items())


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
        raise ValueError(f"a trace of version {shown(line['trace'], 200)}, expected {VERSION}")
    check(line, "fresh", "dropped", *("format", "input_format", "fades", "limits"))
    try:
        formats = AudioFormat(**line["format"]), AudioFormat(**line["input_format"])
        settings = Settings(*formats, Fades(**line["fades"]), Limits(**line["limits"]))
    except TypeError as error:
        raise ValueError(f"the settings are incomplete or of another type: {error}") from None
    check_limits(asdict(settings.limits))
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
    return json.dumps(line if record.wall_time is None else {**line, "wall_time": record.wall_time})


def parse_line(text: str) -> Record:
    """Read a record.

    Raises:
        ValueError: it is something else.
    """
    line = _object(text)
    wall_time = line.pop("wall_time", None)
    check({"wall_time": wall_time}, "wall_time")
    match line:
        case {"call": str(name), **line} if name in CALLS:
            times = line.pop("times", 1)
            if name != "read" and times != 1:
                raise ValueError(f"'times' is {shown(times, 200)}, expected 1: only reads are counted together")
            check({**line, "times": times}, "position", "times", *CALLS[name])
            if name == "read" and not READ_SAMPLES[1](line["samples"]):
                raise ValueError(f"'samples' is {line['samples']}, expected {READ_SAMPLES[0]} of a read")
            return TracedCall(
                line["position"], name, {key: line[key] for key in CALLS[name]}, times, wall_time=wall_time
            )
        case {"edge": str(event), **line}:
            check({**line, "edge": event}, "edge", "position", "source", "target", "outputs")
            ends = line["source"], event, line["target"]
            return TracedEdge(line["position"], *ends, tuple(line["outputs"]), wall_time=wall_time)
        case {"event": str(name), **line} if name in EVENTS:
            check(line, "position")
            position = line.pop("position")
            check_details(name, line)
            return TracedEvent(position, name, line, wall_time=wall_time)
        case {"call": name}:
            raise ValueError(f"there is no call {shown(name, 200)}, expected one of {', '.join(CALLS)}")
        case {"edge": event}:
            raise ValueError(f"the edge is {shown(event, 200)}, expected the name of a chart's event")
        case {"event": name}:
            raise ValueError(f"there is no event {shown(name, 200)}, expected one of {', '.join(EVENTS)}")
    raise ValueError('expected a record with "call", "edge" or "event"')


def _object(text: str) -> dict[str, Any]:
    if len(text) > LONGEST_LINE:
        raise ValueError(f"expected at most {LONGEST_LINE:,} characters")
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"expected JSON: {error}") from None
    if not isinstance(line, dict):
        raise ValueError(f"it is {type(line).__name__!r}, expected a JSON object")
    return line
