"""Trace: what a controller was asked to do, which edges that took and what it emitted, to be kept and replayed."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice, zip_longest
from numbers import Integral
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO
from weakref import WeakKeyDictionary

from playback._json import jsonable
from playback.audio.clip import Mark
from playback.audio.formats import Block
from playback.controller import PlaybackController
from playback.events import EVENTS, ErrorRaised, Event, FarEndReported, Stalled, names_of_fields
from playback.report import TurnReport, UtteranceReport, error_as_dict
from playback.tracing.fields import LONGEST_LINE, printable
from playback.tracing.records import (
    Record,
    Settings,
    TracedCall,
    TracedEdge,
    TracedEvent,
    TraceError,
    header,
    parse_header,
    parse_line,
    to_line,
)
from playback.turn import Turn
from playback.utterance import Utterance

_REPORTED: Final = (Stalled.name, FarEndReported.name)
"""Events that say what a call has said; the call is in the trace."""


class Trace:
    """The calls made on a controller and its utterances, the edges they took, the events they emitted.

    No audio is kept. Nothing that is decided or emitted depends on how the audio sounds, so a fresh controller that is
    given the same calls, with silence, takes the same edges and emits the same events. What a listener, a sink or a
    background raised is kept as the ``error`` event that it became, but is no part of a comparison: a replay has none
    of them.

    It records from when it is made until :meth:`stop`; used in a ``with`` statement, it stops at its end.

    Example::

        with Trace(controller, limit=None) as trace:
            controller.read(960)
        trace.save("call.jsonl")
        assert not trace.differences(replay(trace))  # from playback.tracing.replay import replay

    Args:
        controller: whose calls are recorded; it may have other observers, another trace too.
        limit: how many records are kept, the newest; None keeps all.

    Raises:
        TypeError: the limit is no whole number.
        ValueError: it is less than 1.
    """

    def __init__(self, controller: PlaybackController, limit: int | None = 1000) -> None:
        if limit is not None:
            if not isinstance(limit, Integral) or isinstance(limit, bool):
                raise TypeError(f"limit is {limit!r}, expected a whole number or None")
            if not 1 <= limit <= sys.maxsize:
                raise ValueError(f"limit is {limit!r}, expected 1 or more, or None to keep all")
        settings = Settings(controller.format, controller.input_format, controller.fades, controller.limits)
        self._begin(settings, limit, fresh=controller.is_unused, clock=controller.clock)
        self._stops.append(controller.observe(self))

    def _begin(
        self, settings: Settings, limit: int | None, *, fresh: bool, clock: Callable[[], float] | None = None
    ) -> None:
        self.settings: Settings = settings
        """The controller's."""
        self.fresh = fresh
        """Whether it began with the controller."""
        self.dropped = 0
        """How many records the limit has cost."""
        self._records: deque[Record] = deque(maxlen=limit)
        self._numbers: WeakKeyDictionary[Utterance, int] = WeakKeyDictionary()
        self._turn_numbers: WeakKeyDictionary[Turn, int] = WeakKeyDictionary()
        self._named = self._turns_named = 0
        self._clock = clock
        self._stops: list[Callable[[], None]] = []

    @classmethod
    def of(cls, settings: Settings, *, fresh: bool = True) -> Trace:
        """A trace that nothing has been recorded in: a file's or a replay's."""
        trace = cls.__new__(cls)
        trace._begin(settings, None, fresh=fresh)  # noqa: SLF001 - its own
        return trace

    def stop(self) -> None:
        """Record no more."""
        while self._stops:
            self._stops.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # What was recorded

    @property
    def records(self) -> tuple[Record, ...]:
        """Everything, in the order in which it came about; each reads well as a string."""
        return tuple(self._records)

    @property
    def calls(self) -> tuple[TracedCall, ...]:
        """The calls from outside, those of listeners included."""
        return tuple(record for record in self._records if isinstance(record, TracedCall))

    @property
    def edges(self) -> tuple[TracedEdge, ...]:
        """The edges that the chart took."""
        return tuple(record for record in self._records if isinstance(record, TracedEdge))

    @property
    def events(self) -> tuple[TracedEvent, ...]:
        """The events that were emitted."""
        return tuple(record for record in self._records if isinstance(record, TracedEvent))

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How often each cell (leaf, event) of the chart was an edge that was taken."""
        return Counter((edge.source, edge.event) for edge in self.edges)

    def differences(self, other: Trace, most: int = 3) -> list[str]:
        """What is not the same in another trace: settings, calls, edges, events but for ``error``, in lines to read.

        Calls, edges and events are compared one kind after the other: in which order they lie depends on who listens.

        Args:
            other: what should be the same, such as a replay.
            most: how many lines there may be for each kind.
        """
        lines = [] if self.settings == other.settings else [f"settings: {self.settings}, but {other.settings}"]
        for kind, mine, others in zip(("call", "edge", "event"), self._comparable(), other._comparable(), strict=True):
            pairs = enumerate(zip_longest(mine, others, fillvalue="nothing more"), 1)
            different = (f"{kind} {number}: {one}, but {two}" for number, (one, two) in pairs if one != two)
            lines += islice(different, most)
        return lines

    def _comparable(self) -> tuple[list[Any], list[Any], list[Any]]:
        # Whether two reads are one record depends on what lies between them, and that on who listens.
        calls: list[TracedCall] = []
        for call in self.calls:
            if calls and (both := calls[-1].joined(call)):
                calls[-1] = both
            else:
                calls.append(call)
        events = [event for event in self.events if event.name != ErrorRaised.name]
        for number, event in enumerate(events):
            if "report" in event.details:
                details = event.details | {"report": _without_heard(event.details["report"])}
                events[number] = TracedEvent(event.position, event.name, details)
        return calls, list(self.edges), events

    # While it records: the methods of an observer

    def called(self, position: int, name: str, arguments: dict[str, Any]) -> None:
        """Write down a call; its arguments as the method was given them."""
        if name == "utterance":
            self._number(position, arguments["utterance"], stale=arguments["stale"])
            return
        if name == "turn":
            turn: Turn = arguments["turn"]
            arguments = {"turn": turn, "id": turn.id, "stop_on_failure": bool(turn.stop_on_failure)}
        plain: dict[str, Any] = {}
        for key, value in arguments.items():
            match value:
                case Block():
                    plain |= {"layout": list(value.layout), "samples": value.samples}
                    plain |= {"partial": len(value.partial), "dropped": value.dropped}
                case Mark():
                    plain |= {"at": value.at, "until": value.until, "payload": jsonable(value.payload)}
                case memoryview():
                    plain["samples"] = len(value) // self.settings.format.frame_bytes
                case Utterance():
                    plain[key] = self._number(position, value)
                case Turn():
                    plain[key] = self._turn_number(value)
                case None | BaseException():
                    plain[key] = error_as_dict(value)
                case _:
                    plain[key] = jsonable(value)
        self._add_call(TracedCall(position, plain.pop("event", name), plain, wall_time=self._now()))

    def edge(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None:
        """Write down an edge, but for a push that changes nothing and emits nothing: there are fifty a second."""
        if event != "push" or source != target or outputs:
            self._add(TracedEdge(position, source, event, target, outputs, wall_time=self._now()))

    def event(self, event: Event) -> None:
        """Write down an event that is about to be delivered, but for one that repeats what a reader has reported."""
        if event.name in EVENTS and event.name not in _REPORTED:
            details = {name: self._plain(event, getattr(event, name)) for name in names_of_fields(type(event))}
            self._add(TracedEvent(event.position, event.name, details, wall_time=event.wall_time))

    def _now(self) -> float | None:
        return None if self._clock is None else self._clock()

    def _add_call(self, call: TracedCall) -> None:
        last = self._records[-1] if self._records else None
        if isinstance(last, TracedCall) and (both := last.joined(call)):
            self._records[-1] = both
        else:
            self._add(call)

    def _add(self, record: Record) -> None:
        self.dropped += len(self._records) == self._records.maxlen
        self._records.append(record)

    def _plain(self, event: Event, value: Any) -> Any:
        """A value as JSON can hold it."""
        match value:
            case Utterance():
                return self._number(event.position, value)
            case UtteranceReport():
                return value.as_dict()
            case Turn():
                return self._turn_number(value)
            case TurnReport():
                return value.as_dict()
        return jsonable(value)

    def _turn_number(self, turn: Turn) -> int:
        """The trace's own number of a turn."""
        number = self._turn_numbers.get(turn)
        if number is None:
            number = self._turns_named = self._turn_numbers[turn] = self._turns_named + 1
        return number

    def _number(self, position: int, utterance: Utterance, *, stale: bool = False) -> int:
        """The trace's own number of a handle: ids may be given twice. The first time, its making is written down."""
        number = self._numbers.get(utterance)
        if number is None:
            number = self._named = self._numbers[utterance] = self._named + 1
            self.fresh = self.fresh and not utterance.ended
            turn: Turn | None = utterance.turn
            arguments = {
                "utterance": number,
                "id": utterance.id,
                "text": utterance.text,
                "format": asdict(utterance.format),
                "interruptible": bool(utterance.interruptible),
                "first": bool(utterance.first),
                "in_turn": None if turn is None or turn.is_own else self._turn_number(turn),
                "stale": stale,
            }
            self._add(TracedCall(position, "utterance", arguments, wall_time=self._now()))
        return number

    # The file

    def save(self, path: str | PathLike[str]) -> None:
        """Write it to a file, in lines of JSON: the settings first, then a line for each record.

        A file that is there is kept until the new one is whole.

        Raises:
            OSError: it can't be written.
        """
        lines = [header(self.settings, fresh=self.fresh, dropped=self.dropped), *map(to_line, self._records)]
        text = "".join(f"{line}\n" for line in lines)
        whole = Path(path).resolve()  # a link stays one
        if whole.exists() and not whole.is_file():
            whole.write_text(text, encoding="utf-8")  # a pipe or a device stays one, too
            return
        part = whole.with_name(f"{whole.name}.part")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(whole)
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Trace:
        """Read what :meth:`save` has written.

        Raises:
            TraceError: it is something else; the message names the line, and what was expected there.
            OSError: it can't be read.
        """
        with Path(path).open(encoding="utf-8") as file:
            number = 1
            try:
                settings, fresh, dropped = parse_header(file.readline(LONGEST_LINE + 1))
                trace = cls.of(settings, fresh=fresh)
                trace.dropped = dropped
                for number, line in enumerate(_lines(file), 2):  # noqa: B007 - the error names it
                    trace._records.append(parse_line(line))  # noqa: SLF001 - its own
            except ValueError as error:  # UnicodeDecodeError, too
                raise TraceError(printable(f"{path}: line {number}: {error}")) from None
        return trace


def _without_heard(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what was heard: that is what was known at the time, and may be an estimate."""
    left = {name: value for name, value in report.items() if name not in ("heard", "heard_from", "final")}
    if "utterances" in left:
        left["utterances"] = [_without_heard(utterance) for utterance in left["utterances"]]
    return left


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a file; one that is too long ends there."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line
