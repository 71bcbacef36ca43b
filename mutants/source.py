"""A chart's source, and the mutants that are made of it; :mod:`playback` itself is not imported here."""

from __future__ import annotations

import ast
import importlib.util
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, NamedTuple

from statecharts import ChartError
from statecharts.chart import IGNORED, IMPOSSIBLE, STAYS, VERDICTS, Chart

ORDER: Final = "INTERNAL"
"""Stands for the leaf where a mutant is not about a cell but about the order of the internal events."""

EMITS: Final = "emits:"
"""What a mutant says in place of a cell's content begins with, where it is about what the edge emits."""

Cell = tuple[str, str]
"""A leaf and an event."""


class Subject(NamedTuple):
    """A chart whose mutants are judged."""

    name: str
    """The chart's own name."""
    module: str
    """Where its table stands."""
    variable: str
    """What it is called there."""
    ordered: bool
    """Whether the order of its internal events says which of them comes first."""
    emits: bool
    """Whether what its edges emit is made wrong, too."""
    answers: bool
    """Whether a caller learns how a cell took its event; if not, no ignored cell becomes one that stays or refuses."""


PLAYBACK: Final = Subject("playback", "playback.chart", "PLAYBACK", ordered=True, emits=False, answers=True)
BARGE_IN: Final = Subject("barge_in", "playback.bargein.chart", "BARGE_IN", ordered=False, emits=True, answers=False)


class Mutant(NamedTuple):
    """One cell that is made wrong, or what its edge emits, or two internal events that have changed places."""

    leaf: str
    event: str
    was: str
    becomes: str

    @property
    def cell(self) -> Cell:
        """Where it is."""
        return self.leaf, self.event

    def __str__(self) -> str:
        return f"{self.leaf} / {self.event}: {self.was} → {self.becomes}"


class Source:
    """The source of a chart, with its table and its order of internal events.

    Args:
        subject: which chart.
    """

    def __init__(self, subject: Subject = PLAYBACK) -> None:
        self.subject: Final = subject
        self.path: Final = _path(subject.module)
        self._tree: Final = ast.parse(self.path.read_text(encoding="utf-8"))
        self._table: Final[str] = self._constant("TABLE")
        self.internal: Final[tuple[str, ...]] = self._constant("INTERNAL")
        self.chart: Final = Chart.parse(subject.name, self._table, internal=self.internal)

    def mutants_of(self, cell: Cell) -> Iterator[Mutant]:
        """Everything else that a cell can say, without what is the same to every caller."""
        leaf, event = cell
        was = self.chart.cells[leaf][event]
        if self.subject.answers:
            verdicts = sorted(VERDICTS)
        else:
            verdicts = [] if was == IGNORED else [IGNORED] if event in self.internal else [IGNORED, STAYS]
        for becomes in (*self.chart.leaves, *verdicts):
            if becomes not in (was, leaf):  # that a cell leads to its own leaf is written as staying there
                yield Mutant(leaf, event, was, becomes)

    def emitters(self, cell: Cell, emits: Mapping[Cell, tuple[str, ...]]) -> Iterator[Mutant]:
        """Nothing, or one event, in place of what an edge emits; nothing at all where the cell is no edge.

        Args:
            cell: which one.
            emits: what each edge of the chart emits.
        """
        leaf, event = cell
        if not self.subject.emits or self.chart.cells[leaf][event] in (IGNORED, IMPOSSIBLE):
            return
        was = emits.get(cell, ())
        for becomes in ((), *((name,) for name in sorted({name for names in emits.values() for name in names}))):
            if becomes != was:
                yield Mutant(leaf, event, EMITS + " ".join(was), EMITS + " ".join(becomes))

    def orders(self) -> Iterator[Mutant]:
        """Every order of the internal events in which two have changed places."""
        if not self.subject.ordered:
            return
        for one, other in itertools.combinations(self.internal, 2):
            places = {one: other, other: one}
            order = (places.get(event, event) for event in self.internal)
            yield Mutant(ORDER, "order", " ".join(self.internal), " ".join(order))

    def code(self, mutant: Mutant | None) -> CodeType:
        """The module's code with one mutant in it; as it is, without one."""
        body = list(self._tree.body)
        if mutant is not None and mutant.leaf == ORDER:
            self._assignment("INTERNAL").value = _literal(tuple(mutant.becomes.split()))
        elif mutant is not None and mutant.becomes.startswith(EMITS):
            emits = tuple(mutant.becomes.removeprefix(EMITS).split())
            name = self.subject.variable
            text = f"{name} = replace({name}, outputs={{**{name}.outputs, {mutant.cell!r}: {emits!r}}})"
            self._tree.body += ast.parse(text).body
        elif mutant is not None:
            cells = {leaf: dict(row) for leaf, row in self.chart.cells.items()}
            cells[mutant.leaf][mutant.event] = mutant.becomes
            self._assignment("TABLE").value = _literal(_table(self.chart.events, cells))
        code = compile(self._tree, str(self.path), "exec")
        self._tree.body = body
        self._assignment("INTERNAL").value = _literal(self.internal)
        self._assignment("TABLE").value = _literal(self._table)
        return code

    def leads_on(self, mutant: Mutant, events: Sequence[str]) -> bool:
        """Whether a cell that leads to a wrong leaf comes to the right one all the same, and emits the same on the way.

        Args:
            mutant: the cell.
            events: the internal events that are true there, in the order in which they are fired; a leaf that does not
                take one is not given it.
        """
        if mutant.becomes == IGNORED or mutant.becomes.startswith(EMITS):
            return False
        right, wrong = (self._way(change, mutant.cell, events) for change in (None, mutant))
        if right[-1] != wrong[-1]:
            return False  # what is emitted takes longer to find out
        return self._emitted(None, right) == self._emitted(mutant, wrong)

    def _way(self, mutant: Mutant | None, cell: Cell, events: Sequence[str]) -> list[Cell]:
        """The cells that take an event, from one on; the last is the leaf where that ends, with no event."""
        way = []
        leaf = cell[0]
        for event in (cell[1], *events):
            cell = (leaf, event)
            target = mutant.becomes if mutant and mutant.cell == cell else self.chart.cells[leaf][event]
            if target in (IGNORED, IMPOSSIBLE):
                continue
            way.append(cell)
            leaf = target if target in self.chart.leaves else leaf
        return [*way, (leaf, "")]

    def _emitted(self, mutant: Mutant | None, way: Sequence[Cell]) -> list[str] | None:
        """What is emitted on the way; None if the mutant is refused."""
        names: dict[str, Any] = {"__name__": self.subject.module}
        try:
            exec(self.code(mutant), names)
        except ChartError:
            return None
        emits = [names[self.subject.variable].outputs, names.get("TURNS", {})]
        return [name for cell in way for outputs in emits for name in outputs.get(cell, ())]

    def install(self, mutant: Mutant | None) -> None:
        """Have this process import the chart with one mutant in it.

        Raises:
            RuntimeError: the chart was imported before.
        """
        module = self.subject.module
        if module in sys.modules:
            raise RuntimeError(f"{module} was imported already, expected a process that knows nothing of it")
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]
        sys.meta_path.insert(0, _Finder(module, self.code(mutant)))

    def _constant(self, name: str) -> Any:
        value = self._assignment(name).value
        assert value is not None
        return ast.literal_eval(value)

    def _assignment(self, name: str) -> ast.AnnAssign:
        for statement in self._tree.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr()) if found == name:
                    return statement
        raise LookupError(f"{self.path} has no constant {name!r}")


class _Finder(MetaPathFinder, Loader):
    """Finds the chart's module, and nothing else."""

    def __init__(self, module: str, code: CodeType) -> None:
        self._module: Final = module
        self._code: Final = code

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name == self._module else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


def _path(module: str) -> Path:
    """Where a module's source is; the package is not imported."""
    top, *parts = module.split(".")
    package = importlib.util.find_spec(top)
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0], *parts).with_suffix(".py")


def _table(events: Sequence[str], cells: Mapping[str, Mapping[str, str]]) -> str:
    rows = [" ".join((leaf, *row.values())) for leaf, row in cells.items()]
    return "\n".join((" ".join(events), *rows))


def _literal(value: object) -> ast.expr:
    return ast.parse(repr(value), mode="eval").body
