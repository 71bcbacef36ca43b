"""Explain: what a caller heard of a call, and why there were gaps, as far as its trace knows.

Times are seconds of the call: samples read, by the output rate. Time that a reader has skipped, because it came too
late, is no part of them; each skip is a gap of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from playback.chart import PAUSED, WAITS
from playback.tracing.records import TracedCall, TracedEdge, TracedEvent
from playback.tracing.trace import Trace
from statecharts import state_of

SYNTHESIS: Final = "synthesis slow"
BLOCKED: Final = "loop blocked"
LOST: Final = "network lost"
HELD: Final = "paused"
DUCKED: Final = "ducked"
CUT: Final = "interrupted"
CAUSES: Final = (SYNTHESIS, BLOCKED, LOST, HELD, DUCKED, CUT)
"""Why speech was not heard, or less loud."""

_LOST_PEER: Final = "lost peer"
"""The hold of :mod:`playback.lost_peer`."""

_WAITS_BECAUSE: Final = {
    "underrun": "an utterance ran out of audio",
    "gap": "the turn had nothing enqueued",
    "resume": "after a pause, no audio was there",
}


@dataclass(frozen=True, slots=True)
class Span:
    """A state, and how long it lasted."""

    begin: float
    end: float
    state: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Speech was not heard, or less loud."""

    begin: float
    seconds: float
    cause: str
    """One of :data:`CAUSES`."""
    detail: str
    wall_time: float | None
    """When it began, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class TurnFound:
    """What became of a turn."""

    id: str
    outcome: str
    end: float
    first_audio: float | None
    """Seconds from its beginning to its first sample."""
    played: float
    discarded: float


@dataclass(slots=True)
class Explanation:
    """What a trace says of a call."""

    began: float | None
    """Seconds since the epoch; None if the trace has no wall clock."""
    seconds: float
    """How much was read."""
    complete: bool
    """Whether it begins with the call, and nothing was dropped."""
    spans: list[Span] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    turns: list[TurnFound] = field(default_factory=list)
    silenced: list[float] = field(default_factory=list)
    """From each interrupt to silence, in seconds."""
    refused: dict[str, float] = field(default_factory=dict)
    """Seconds of audio that were turned away, by reason."""
    far_end: list[tuple[float, float, float, float | None]] = field(default_factory=list)
    """What the far end has reported: when, the share of packets lost, jitter and round trip in seconds."""

    @property
    def totals(self) -> dict[str, float]:
        """Seconds of all gaps, by cause; only causes that there are."""
        found = {cause: sum(gap.seconds for gap in self.gaps if gap.cause == cause) for cause in CAUSES}
        return {cause: seconds for cause, seconds in found.items() if seconds}


def explain(trace: Trace) -> Explanation:
    """Find out what a trace says of its call."""
    return _Reader(trace).result


class _Reader:
    """Goes through the records once, in their order."""

    def __init__(self, trace: Trace) -> None:
        self._rate: Final = trace.settings.format.sample_rate
        records = trace.records
        times = [record.wall_time for record in records if record.wall_time is not None]
        end = max((_end(record) for record in records), default=0)
        self.result: Final = Explanation(
            began=min(times, default=None),
            seconds=end / self._rate,
            complete=trace.fresh and not trace.dropped,
        )
        self._edges: Final = trace.edges
        self._leaf = self._edges[0].source if self._edges else ""
        self._since = records[0].position if records else 0
        self._waits: tuple[TracedEdge, str] | None = None
        self._pause: TracedEvent | None = None
        self._interrupt: TracedEvent | None = None
        self._quiet: tuple[int, float | None, str] | None = None  # since an interrupt
        self._gain: float = 0.0
        self._ducked: tuple[TracedCall, float] | None = None
        for record in records:
            match record:
                case TracedEdge():
                    self._edge(record)
                case TracedEvent():
                    self._event(record)
                case TracedCall():
                    self._call(record)
        self._finish(end)
        self.result.gaps.sort(key=lambda gap: gap.begin)

    def _edge(self, edge: TracedEdge) -> None:
        if edge.target == edge.source:
            return
        if state_of(edge.source) != state_of(edge.target):
            self._end_span(edge.position)
        self._leaf = edge.target
        if edge.target in WAITS:
            self._waits = edge, _WAITS_BECAUSE.get(edge.event, "its first audio was late")
        elif edge.source in WAITS:
            self._end_wait(edge.position)
        if edge.source in PAUSED and edge.target not in PAUSED:
            self._end_pause(edge.position)

    def _event(self, event: TracedEvent) -> None:
        match event.name:
            case "paused":
                self._pause = event
            case "interrupted":
                discarded = self._seconds(event.details.get("discarded"))
                self._interrupt = event
                self._quiet = event.position, event.wall_time, f"{discarded:.2f} s discarded"
            case "silenced" if self._interrupt is not None and self._quiet is not None:
                faded = (event.position - self._interrupt.position) / self._rate
                self.result.silenced.append(faded)
                self._quiet = event.position, event.wall_time, f"{self._quiet[2]}, silent after {faded:.2f} s"
            case "turn_started":
                self._end_quiet(event.position)
            case "turn_finished":
                self._turn(event)
            case "audio_refused":
                reason, samples = str(event.details.get("reason")), event.details.get("samples")
                refused = self.result.refused
                refused[reason] = refused.get(reason, 0.0) + self._seconds(samples)

    def _call(self, call: TracedCall) -> None:
        match call.name:
            case "stalled":
                seconds = _number(call.arguments["seconds"])
                self._gap(call.position, seconds, BLOCKED, "the reader came late and skipped it", call.wall_time)
            case "far_end":
                loss, jitter, trip = (call.arguments[name] for name in ("loss", "jitter_seconds", "round_trip_seconds"))
                at = call.position / self._rate
                self.result.far_end.append(
                    (at, _number(loss), _number(jitter), None if trip is None else _number(trip))
                )
            case "gain":
                self._set_gain(call, _number(call.arguments["gain_db"]))

    def _set_gain(self, call: TracedCall, gain: float) -> None:
        """Note where speech becomes less loud than it was, and where it is as loud again."""
        if self._ducked is not None and gain >= self._ducked[1]:
            self._end_duck(call.position)
        elif self._ducked is None and gain < self._gain:
            self._ducked = call, self._gain
        self._gain = gain

    def _turn(self, event: TracedEvent) -> None:
        report = event.details.get("report")
        if not isinstance(report, dict):
            return
        first = report.get("first_audio_seconds")
        self.result.turns.append(
            TurnFound(
                id=str(report.get("id")),
                outcome=str(report.get("outcome")),
                end=event.position / self._rate,
                first_audio=None if first is None else _number(first),
                played=self._seconds(report.get("played")),
                discarded=self._seconds(report.get("discarded")),
            )
        )

    # The ends

    def _finish(self, position: int) -> None:
        self._end_span(position)
        if self._waits is not None:
            self._end_wait(position)
        self._end_pause(position)
        self._end_quiet(position)
        self._end_duck(position)

    def _end_span(self, position: int) -> None:
        if position > self._since and self._leaf:
            begin, end = self._since / self._rate, position / self._rate
            self.result.spans.append(Span(begin, end, state_of(self._leaf)))
        self._since = position

    def _end_wait(self, position: int) -> None:
        if self._waits is not None:
            edge, why = self._waits
            self._waits = None
            seconds = (position - edge.position) / self._rate
            self._gap(edge.position, seconds, SYNTHESIS, why, edge.wall_time)

    def _end_pause(self, position: int) -> None:
        if self._pause is not None:
            event, by = self._pause, str(self._pause.details.get("by"))
            self._pause = None
            seconds = (position - event.position) / self._rate
            cause, detail = (LOST, "nothing came from the peer") if by == _LOST_PEER else (HELD, f"by {by}")
            self._gap(event.position, seconds, cause, detail, event.wall_time)

    def _end_quiet(self, position: int) -> None:
        if self._quiet is not None:
            begin, wall_time, detail = self._quiet
            self._quiet = self._interrupt = None
            self._gap(begin, (position - begin) / self._rate, CUT, detail, wall_time)

    def _end_duck(self, position: int) -> None:
        if self._ducked is not None:
            (call, before), gain = self._ducked, self._gain
            self._ducked = None
            self._gap(
                call.position,
                (position - call.position) / self._rate,
                DUCKED,
                f"speech {before - gain:.0f} dB less loud",
                call.wall_time,
            )

    def _gap(self, position: int, seconds: float, cause: str, detail: str, wall_time: float | None) -> None:
        if seconds > 0:
            self.result.gaps.append(Gap(position / self._rate, seconds, cause, detail, wall_time))

    def _seconds(self, samples: object) -> float:
        return _number(samples) / self._rate


def _end(record: TracedCall | TracedEdge | TracedEvent) -> int:
    """Where a record ends, in samples read."""
    if isinstance(record, TracedCall) and record.name == "read":
        return record.position + record.times * int(record.arguments["samples"])
    return record.position


def _number(value: Any) -> float:
    """A number of a file, in which an event's fields may be anything: 0 for what is none, or has no end."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) == float("inf"):
        return 0.0
    return float(value)
