"""Which cells of a chart were asked: what a test run has touched, and what it never did."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import Final, Self

from statecharts.chart import Chart
from statecharts.machine import WATCHERS


class ChartCoverage:
    """Counts the events that machines of a chart are given, from ``start`` to ``stop``, or within a ``with`` block.

    Example::

        with ChartCoverage(PLAYBACK) as coverage:
            run_a_session()
        print(coverage.percent, coverage.untouched)

    Args:
        chart: whose cells are counted; those of every machine that was made of it, or of an equal one.
    """

    def __init__(self, chart: Chart) -> None:
        self.chart: Final = chart
        self.touched: Final[Counter[tuple[str, str]]] = Counter()
        """How often each (leaf, event) was asked."""
        self._taken: Final = [(edge.source, edge.event) for edge in chart.edges()]

    def start(self) -> None:
        """Count from now on."""
        WATCHERS.add(self._watch)

    def stop(self) -> None:
        """Count no more."""
        WATCHERS.discard(self._watch)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def untouched(self) -> list[tuple[str, str]]:
        """The cells that take their event and were never asked, in the order of the table."""
        return [cell for cell in self._taken if cell not in self.touched]

    @property
    def percent(self) -> float:
        """How many of the cells that take their event were asked. Of the others nobody has to ask."""
        return 100.0 * (1 - len(self.untouched) / len(self._taken)) if self._taken else 100.0

    def report(self) -> str:
        """What was touched, in one line for each leaf that has a cell left."""
        count, missing = len(self._taken), self.untouched
        lines = [f"{self.chart.name}: {count - len(missing)} of {count} cells, {self.percent:.1f} %"]
        for leaf, cells in groupby(missing, key=itemgetter(0)):
            lines.append(f"  never in {leaf}: {', '.join(event for _, event in cells)}")
        return "\n".join(lines)

    def _watch(self, chart: Chart, leaf: str, event: str) -> None:
        if chart == self.chart:  # a module that is imported under two names makes its chart twice
            self.touched[leaf, event] += 1
