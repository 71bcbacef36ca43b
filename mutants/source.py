"""The chart's source, and the mutants that are made of it; :mod:`playback` itself is not imported here."""

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

from statecharts.chart import VERDICTS, Chart

MODULE: Final = "playback.chart"

ORDER: Final = "INTERNAL"
"""Stands for the leaf where a mutant is not about a cell but about the order of the internal events."""

Cell = tuple[str, str]
"""A leaf and an event."""


class Mutant(NamedTuple):
    """One cell that is made wrong, or two internal events that have changed places."""

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
    """The source of the chart, with its table and its order of internal events.

    Args:
        path: the file; the installed package's own unless given.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path: Final = path or _path()
        self._tree: Final = ast.parse(self.path.read_text(encoding="utf-8"))
        self._table: Final[str] = self._constant("TABLE")
        self.internal: Final[tuple[str, ...]] = self._constant("INTERNAL")
        self.chart: Final = Chart.parse("playback", self._table, internal=self.internal)

    def mutants_of(self, cell: Cell) -> Iterator[Mutant]:
        """Everything else that a cell can say."""
        leaf, event = cell
        was = self.chart.cells[leaf][event]
        for becomes in (*self.chart.leaves, *sorted(VERDICTS)):
            if becomes not in (was, leaf):  # that a cell leads to its own leaf is written as staying there
                yield Mutant(leaf, event, was, becomes)

    def orders(self) -> Iterator[Mutant]:
        """Every order of the internal events in which two have changed places."""
        for one, other in itertools.combinations(self.internal, 2):
            places = {one: other, other: one}
            order = (places.get(event, event) for event in self.internal)
            yield Mutant(ORDER, "order", " ".join(self.internal), " ".join(order))

    def code(self, mutant: Mutant | None) -> CodeType:
        """The module's code with one mutant in it; as it is, without one."""
        if mutant is not None and mutant.leaf == ORDER:
            self._assignment("INTERNAL").value = _literal(tuple(mutant.becomes.split()))
        elif mutant is not None:
            cells = {leaf: dict(row) for leaf, row in self.chart.cells.items()}
            cells[mutant.leaf][mutant.event] = mutant.becomes
            self._assignment("TABLE").value = _literal(_table(self.chart.events, cells))
        code = compile(self._tree, str(self.path), "exec")
        self._assignment("INTERNAL").value = _literal(self.internal)
        self._assignment("TABLE").value = _literal(self._table)
        return code

    def install(self, mutant: Mutant | None) -> None:
        """Have this process import the chart with one mutant in it.

        Raises:
            RuntimeError: the chart was imported before.
        """
        if MODULE in sys.modules:
            raise RuntimeError(f"{MODULE} was imported already, expected a process that knows nothing of it")
        sys.meta_path.insert(0, _Finder(self.code(mutant)))

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

    def __init__(self, code: CodeType) -> None:
        self._code: Final = code

    def find_spec(self, name: str, _path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(MODULE, self) if name == MODULE else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


def _path() -> Path:
    package = importlib.util.find_spec(MODULE.partition(".")[0])
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "chart.py"


def _table(events: Sequence[str], cells: Mapping[str, Mapping[str, str]]) -> str:
    rows = [" ".join((leaf, *row.values())) for leaf, row in cells.items()]
    return "\n".join((" ".join(events), *rows))


def _literal(value: object) -> ast.expr:
    return ast.parse(repr(value), mode="eval").body
