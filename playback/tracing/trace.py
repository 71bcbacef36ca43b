"""Trace: what a controller was asked to do, which edges that took and what it told, to be kept and to be replayed."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, fields
from functools import wraps
from inspect import signature
from itertools import islice, zip_longest
from numbers import Integral
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar
from weakref import ReferenceType, WeakKeyDictionary, finalize, ref

from playback.audio.clip import Clip, Mark
from playback.audio.formats import AudioFormat, Block
from playback.events import EVENTS, ErrorRaised, Event
from playback.report import UtteranceReport
from playback.tracing.records import (
    Record,
    Settings,
    TracedCall,
    TracedEdge,
    TracedEvent,
    TraceError,
    header,
    jsonable,
    parse_header,
    parse_line,
    to_line,
)
from playback.utterance import Utterance

if TYPE_CHECKING:
    from playback.core.playout import Playout

P = ParamSpec("P")
R = TypeVar("R")


def recorded(name: str) -> Callable[[Callable[Concatenate[Playout, P], R]], Callable[Concatenate[Playout, P], R]]:
    """Have a method's calls written down while a trace is on, but not those that the playout itself makes meanwhile.

    Args:
        name: a name in :data:`playback.tracing.records.CALLS`, or ``command`` for the event that the method is given.
    """

    def decorate(method: Callable[Concatenate[Playout, P], R]) -> Callable[Concatenate[Playout, P], R]:
        parameters = list(signature(method).parameters)[1:]

        @wraps(method)
        def call(playout: Playout, /, *args: P.args, **kwargs: P.kwargs) -> R:
            trace = playout.trace
            if trace is None or trace.inside:
                return method(playout, *args, **kwargs)
            trace.called(name, {**dict(zip(parameters, args, strict=False)), **kwargs})
            trace.inside = True
            try:
                return method(playout, *args, **kwargs)
            finally:
                trace.inside = False

        return call

    return decorate


class Trace:
    """The calls made on a controller and its handles, the edges they took, the events they told. No audio is kept.

    Nothing that is decided or told depends on how the audio sounds, so a fresh controller that is given the same calls,
    with silence, takes the same edges and tells the same events. What a listener, a sink, a background raised is kept
    as the ``error`` event that it became, but is no part of a comparison: a replay has none of them.

    Made by :meth:`PlaybackController.trace` or :meth:`load`. Used in a ``with`` statement, it stops at its end.

    Example::

        with controller.trace(limit=None) as trace:
            controller.read(960)
        trace.save("call.jsonl")
        assert not trace.differences(trace.replay())
    """

    def __init__(self, settings: Settings, limit: int | None = None) -> None:
        self.settings: Final = settings
        """The controller's."""
        self.fresh = True
        """Whether it began with the controller."""
        self.dropped = 0
        """How many records the limit has cost."""
        self.inside = False
        """Whether a call is under way that has told nothing yet: whatever is called now, the playout calls itself."""
        self._records: Final[deque[Record]] = deque(maxlen=limit)
        self._numbers: Final[WeakKeyDictionary[Utterance, int]] = WeakKeyDictionary()
        self._named = 0
        self._playout: Playout | None = None

    @classmethod
    def begin(cls, playout: Playout, input_format: AudioFormat, limit: int | None) -> Trace:
        """See :meth:`PlaybackController.trace`."""
        if limit is not None:
            if not isinstance(limit, Integral) or isinstance(limit, bool):
                raise TypeError(f"limit is {limit!r}, expected a whole number or None")
            if not 1 <= limit <= sys.maxsize:
                raise ValueError(f"limit is {limit!r}, expected 1 or more, or None to keep all")
        if playout.trace is not None:
            raise RuntimeError("the controller has a trace already, expected one at a time: stop it first")
        trace = cls(Settings(playout.format, input_format, playout.playhead._fades, playout._limits), limit)
        trace.fresh = playout.is_unused
        trace._playout = playout
        playout.trace = trace
        playout.listeners.trace = trace.told
        playout.disturb()
        return trace

    def stop(self) -> None:
        """Record no more."""
        playout, self._playout = self._playout, None
        if playout is not None:
            playout.trace = playout.listeners.trace = None

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
        """The calls from outside, listeners' too."""
        return tuple(record for record in self._records if isinstance(record, TracedCall))

    @property
    def edges(self) -> tuple[TracedEdge, ...]:
        """The edges that the chart took."""
        return tuple(record for record in self._records if isinstance(record, TracedEdge))

    @property
    def events(self) -> tuple[TracedEvent, ...]:
        """The events that were told."""
        return tuple(record for record in self._records if isinstance(record, TracedEvent))

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """How often each cell (leaf, event) of the chart was an edge that was taken."""
        return Counter((edge.source, edge.event) for edge in self.edges)

    def replay(self) -> Trace:
        """Give a fresh controller the same calls.

        Returns:
            Its trace.

        Raises:
            TraceError: the beginning is missing, or the calls do not go together.
        """
        from playback.tracing.replay import replay  # it needs a controller, which needs this module

        return replay(self)

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
        return calls, list(self.edges), [event for event in self.events if event.name != ErrorRaised.name]

    # While it records

    def called(self, name: str, arguments: dict[str, Any]) -> None:
        """Write down a call; its arguments as the method was given them."""
        playout = self._playout
        assert playout is not None
        if name == "admit":
            era = arguments.pop("era", None)
            arguments["stale"] = era is not None and era is not playout.era
        elif name == "end":
            # What a write is still waiting to add will be missing; a replay has nobody who waits.
            arguments["cut_short"] = arguments["utterance"] in playout._writing
        elif name == "interrupt":
            arguments = {key: bool(value) for key, value in arguments.items()}
        plain: dict[str, Any] = {}
        for key, value in arguments.items():
            match value:
                case Block():
                    plain |= {"layout": list(value.layout), "samples": value.samples}
                    plain |= {"dangling": len(value.dangling), "dropped": value.dropped}
                case Mark():
                    plain |= {"at": value.at, "until": value.until, "payload": jsonable(value.payload)}
                case memoryview():
                    plain["samples"] = len(value) // playout.format.frame_bytes
                case _:
                    plain[key] = self._plain(value)
        call = TracedCall(playout.playhead.position, plain.pop("event", name), plain)
        last = self._records[-1] if self._records else None
        if isinstance(last, TracedCall) and (both := last.joined(call)):
            self._records[-1] = both
        else:
            self._add(call)

    def took(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None:
        """Write down an edge."""
        # Only who measures the chart fires these.
        if event != "push" or source != target or outputs:
            self._add(TracedEdge(position, source, event, target, outputs))

    def told(self, event: Event) -> None:
        """Write down an event that is about to be told: from here on, whatever is called, listeners call."""
        self.inside = False
        if event.name in EVENTS:
            names = [field.name for field in fields(event)][1:]
            details = {name: self._plain(getattr(event, name)) for name in names}
            self._add(TracedEvent(event.position, event.name, details))

    def _add(self, record: Record) -> None:
        self.dropped += len(self._records) == self._records.maxlen
        self._records.append(record)

    def _plain(self, value: Any) -> Any:
        """A value as JSON can hold it."""
        match value:
            case Utterance():
                return self._number(value)
            case UtteranceReport():
                marks = [[mark.at, mark.until, jsonable(mark.payload)] for mark in value.marks]
                names = [field.name for field in fields(value)]
                return {name: jsonable(getattr(value, name)) for name in names} | {"marks": marks}
        return jsonable(value)

    def _number(self, utterance: Utterance) -> int:
        """The trace's own number of a handle: ids may be given twice. The first time, its making is written down."""
        number = self._numbers.get(utterance)
        if number is None:
            number = self._named = self._numbers[utterance] = self._named + 1
            self.fresh = self.fresh and not utterance._clip.ended
            self.called(
                "utterance",
                {
                    "utterance": utterance,
                    "id": utterance.id,
                    "text": utterance.text,
                    "format": asdict(utterance.format),
                    "interruptible": bool(utterance.interruptible),
                },
            )
            # What waits for the end of a handle is held until then: so not the trace, which holds who holds the handle.
            finalize(utterance, _tell_gone, ref(self), number, utterance._clip).atexit = False
        return number

    def _gone(self, number: int, clip: Clip) -> None:
        """A handle is gone. One that was never used leaves no trace behind, so nobody may hold it in a replay."""
        if self._playout is not None and not clip.ended:
            self.called("drop", {"utterance": number})

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
            TraceError: it is something else; tells which line, and what was expected there.
            OSError: it can't be read.
        """
        with Path(path).open(encoding="utf-8") as file:
            number = 1
            try:
                settings, fresh, dropped = parse_header(file.readline())
                trace = cls(settings)
                trace.fresh, trace.dropped = fresh, dropped
                for number, line in enumerate(file, 2):  # noqa: B007 - the error tells it
                    trace._records.append(parse_line(line))
            except ValueError as error:  # UnicodeDecodeError, too
                raise TraceError(f"{path}: line {number}: {error}") from None
        return trace


def _tell_gone(trace: ReferenceType[Trace], number: int, clip: Clip) -> None:
    """Tell a trace, if it is still there, that a handle is not."""
    there = trace()
    if there is not None:
        there._gone(number, clip)
