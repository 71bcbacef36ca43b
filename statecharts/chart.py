"""A statechart as plain data: every cell of (leaf, event) is decided, in one table."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from unicodedata import is_normalized

STAYS: Final = "="
"""The event is taken and the leaf stays as it is."""

IGNORED: Final = "."
"""The event changes nothing and emits nothing."""

REFUSED: Final = "R"
"""The leaf stays; what came with the event is turned away, and reported."""

IMPOSSIBLE: Final = "x"
"""The event can't happen here: reaching the cell is a bug."""

VERDICTS: Final = frozenset({STAYS, IGNORED, REFUSED, IMPOSSIBLE})


class ChartError(Exception):
    """A chart that contradicts itself, an event that it does not have, or one in a cell that says it is impossible."""


class Edge(NamedTuple):
    """One decided cell that takes its event: an edge of the diagram."""

    source: str
    event: str
    target: str
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """A chart without guards: a leaf and an event alone decide what happens.

    A leaf's name is ``state`` or ``state.detail``; what stands before the dot is the state that users see. The chart is
    checked when it is built, and can't be changed; it can be hashed, copied and pickled.

    Args:
        name: what the chart is called in diagrams.
        initial: the leaf in which every session begins.
        commands: the events that come from outside, in the order of the table's columns.
        internal: the events that follow from the chart's environment, after the commands.
        cells: for each leaf, for each event, a leaf's name or one of :data:`VERDICTS`.
        outputs: for each (leaf, event) that emits something, the names of what it emits, in order.

    Raises:
        ChartError: a name is used twice, is no word or means a verdict, a cell is missing or superfluous, a target is
            unknown, a leaf can't be reached or lies within another, an output hangs on a cell that takes no event, or
            names are given in something else than a tuple or a list.
    """

    name: str
    initial: str
    commands: tuple[str, ...]
    internal: tuple[str, ...]
    cells: Mapping[str, Mapping[str, str]]
    outputs: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cells = {leaf: MappingProxyType(dict(row)) for leaf, row in self.cells.items()}
        outputs = {cell: _names(self.name, f"what {cell} emits", names) for cell, names in self.outputs.items()}
        for attribute, frozen in (
            ("commands", _names(self.name, "the commands", self.commands)),
            ("internal", _names(self.name, "the internal events", self.internal)),
            ("cells", MappingProxyType(cells)),
            ("outputs", MappingProxyType(outputs)),
        ):
            object.__setattr__(self, attribute, frozen)
        problems = list(_problems(self))
        if problems:
            raise ChartError(f"chart {self.name!r}: " + "; ".join(problems))

    def __hash__(self) -> int:
        return hash((self.name, self.initial, self.commands, self.internal))

    def __reduce__(self) -> tuple[Any, ...]:
        cells = {leaf: dict(row) for leaf, row in self.cells.items()}
        return type(self), (self.name, self.initial, self.commands, self.internal, cells, dict(self.outputs))

    @classmethod
    def parse(
        cls,
        name: str,
        table: str,
        *,
        internal: tuple[str, ...],
        outputs: Mapping[tuple[str, str], tuple[str, ...]] | None = None,
    ) -> Chart:
        """Build a chart from its table, written out as text.

        Args:
            name: what the chart is called in diagrams.
            table: a line of event names, then for each leaf a line with its name and a cell for each event, all
                separated by white space. The first leaf is the initial one.
            internal: which of the events are internal, in any order; the others are commands.
            outputs: as for :class:`Chart`.

        Raises:
            ChartError: the table is empty, a line has too few or too many cells, a leaf or an event stands twice, an
                internal event has no column, or the chart contradicts itself.
        """
        internal = _names(name, "the internal events", internal)
        header, *lines = [line.split() for line in table.splitlines() if line.strip()] or [[]]
        if not lines:
            raise ChartError(f"chart {name!r}: the table has no leaf, expected a line of events and one for each leaf")
        for words, what in (
            (header, "event"),
            ([line[0] for line in lines], "leaf"),
            (list(internal), "internal event"),
        ):
            for word in sorted({word for word in words if words.count(word) > 1}):
                raise ChartError(f"chart {name!r}: the {what} {word!r} stands twice")
        for event in internal:
            if event not in header:
                raise ChartError(f"chart {name!r}: the internal event {event!r} has no column")
        cells: dict[str, dict[str, str]] = {}
        for leaf, *row in lines:
            if len(row) != len(header):
                raise ChartError(f"chart {name!r}: {leaf!r} has {len(row)} cells, expected {len(header)}")
            cells[leaf] = dict(zip(header, row, strict=True))
        commands = tuple(event for event in header if event not in internal)
        return cls(name, next(iter(cells)), commands, internal, cells, outputs or {})

    @property
    def leaves(self) -> tuple[str, ...]:
        """The leaves, in the order of the table."""
        return tuple(self.cells)

    @property
    def events(self) -> tuple[str, ...]:
        """The events, in the order of the table's columns."""
        return tuple(next(iter(self.cells.values())))

    @property
    def states(self) -> tuple[str, ...]:
        """What users see: the leaves' names up to the dot, in the order of the table, each once."""
        return tuple(dict.fromkeys(state_of(leaf) for leaf in self.cells))

    def edges(self) -> Iterator[Edge]:
        """Every cell that takes its event, in the order of the table; a refusal is an edge that stays."""
        for leaf, row in self.cells.items():
            for event, cell in row.items():
                if cell not in (IGNORED, IMPOSSIBLE):
                    target = leaf if cell in (STAYS, REFUSED) else cell
                    yield Edge(leaf, event, target, self.outputs.get((leaf, event), ()))

    def leaves_where(self, event: str, *cells: str) -> frozenset[str]:
        """The leaves whose cell for this event is one of those given."""
        return frozenset(leaf for leaf, row in self.cells.items() if row[event] in cells)

    def leaves_taking(self, event: str) -> frozenset[str]:
        """The leaves that take this event: their cell is neither ignored nor impossible."""
        return frozenset(self.cells) - self.leaves_where(event, IGNORED, IMPOSSIBLE)


def find(name: str) -> Chart:
    """The chart of this name.

    Args:
        name: ``MODULE:CHART``, such as ``playback.chart:PLAYBACK``.

    Raises:
        ChartError: there is no such module or name, the module fails, or what it names is no chart.
    """
    try:
        chart = pkgutil.resolve_name(name)
    except (Exception, SystemExit) as error:  # importing a module runs it
        raise ChartError(f"{name} could not be imported: {type(error).__name__}: {error}") from error
    if not isinstance(chart, Chart):
        raise ChartError(f"{name} is a {type(chart).__name__}, expected a Chart")
    return chart


def state_of(leaf: str) -> str:
    """The state that users see when the chart is in this leaf."""
    return leaf.partition(".")[0]


def _names(chart: str, what: str, names: object) -> tuple[str, ...]:
    """A tuple of names, frozen.

    Raises:
        ChartError: it is something else: a string is easily taken for a tuple of one.
    """
    if not isinstance(names, tuple | list):
        raise ChartError(f"chart {chart!r}: {what} is {names!r}, expected a tuple of names")
    return tuple(names)


def _is_word(name: object) -> bool:
    """Whether other programs take a name as it is.

    XML's names are letters, digits, ``_`` and ``-``, and no sign that only looks like one of these. A dot means
    something: in SCXML an event with a dot stands for others, too, and in XState a dot leads to what is within.
    """
    if not isinstance(name, str) or name.startswith("-"):
        return False
    return name.replace("-", "_").isidentifier() and is_normalized("NFKC", name)


def _problems(chart: Chart) -> Iterator[str]:
    """Everything that is wrong with a chart, in words."""
    events = (*chart.commands, *chart.internal)
    outputs = [name for names in chart.outputs.values() for name in names]
    for what, names in (("name", [chart.name]), ("event", events), ("leaf", chart.cells), ("output", outputs)):
        for name in dict.fromkeys(names):
            words = name.split(".", 1) if what == "leaf" else [name]
            if not all(map(_is_word, words)):
                yield f"the {what} {name!r} is no word of letters, digits, '_' and '-'"
    for leaf in chart.cells:
        if leaf in VERDICTS:
            yield f"the leaf {leaf!r} is called as a verdict is, expected another name"
        if state_of(leaf) != leaf and state_of(leaf) in chart.cells:
            yield f"the leaf {leaf!r} lies within another, {state_of(leaf)!r}"
    for event in sorted({event for event in events if events.count(event) > 1}):
        yield f"the event {event!r} stands twice"
    if chart.initial not in chart.cells:
        yield f"the initial leaf {chart.initial!r} is unknown"
    for leaf, row in chart.cells.items():
        for event in events:
            if event not in row:
                yield f"({leaf}, {event}) is not decided"
        for event, cell in row.items():
            if event not in events:
                yield f"({leaf}, {event}) is about an unknown event"
            elif cell == leaf:
                yield f"({leaf}, {event}) leads to itself, written {STAYS!r}"
            elif cell not in VERDICTS and cell not in chart.cells:
                yield f"({leaf}, {event}) leads to the unknown leaf {cell!r}"
    for (leaf, event), emitted in chart.outputs.items():
        if chart.cells.get(leaf, {}).get(event, IGNORED) in (IGNORED, IMPOSSIBLE):
            yield f"({leaf}, {event}) takes no event, so it can't emit {emitted}"
    for leaf in sorted(set(chart.cells) - _reachable(chart)):
        yield f"the leaf {leaf!r} can't be reached"


def _reachable(chart: Chart) -> set[str]:
    """The leaves that some sequence of events leads to."""
    reached: set[str] = set()
    waiting = [chart.initial]
    while waiting:
        leaf = waiting.pop()
        if leaf in chart.cells and leaf not in reached:
            reached.add(leaf)
            waiting += set(chart.cells[leaf].values()) - VERDICTS
    return reached
