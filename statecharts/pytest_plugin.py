"""``pytest --chart-coverage MODULE:CHART``: report which cells of a chart a test run never touched.

pytest loads this in every run, so what costs time is imported only when the option is there.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from statecharts.coverage import ChartCoverage

WORKER: Final = "statecharts"
"""Under what name a worker of pytest-xdist sends what it has touched."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the options."""
    group = parser.getgroup("statecharts")
    group.addoption(
        "--chart-coverage",
        action="append",
        default=[],
        metavar="MODULE:CHART",
        help="report the cells of this chart that no test has touched; repeatable",
    )
    group.addoption(
        "--chart-coverage-floor",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="fail the run if fewer of the cells that take their event were touched",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count, if it is asked for."""
    names: list[str] = config.getoption("chart_coverage")
    floor: float = config.getoption("chart_coverage_floor")
    if not 0 <= floor <= 100:
        raise pytest.UsageError(f"--chart-coverage-floor is {floor:g}, expected 0 to 100")
    if floor and not names:
        raise pytest.UsageError("--chart-coverage-floor needs --chart-coverage MODULE:CHART")
    if names:
        is_worker = hasattr(config, "workerinput")
        measurement = Worker(_coverages(names)) if is_worker else Measurement(_coverages(names), floor)
        config.pluginmanager.register(measurement, "statecharts-measurement")


def _coverages(names: list[str]) -> list[ChartCoverage]:
    """A measurement of each chart, once.

    Raises:
        pytest.UsageError: there is no such chart.
    """
    from statecharts.chart import ChartError, find
    from statecharts.coverage import ChartCoverage

    try:
        return [ChartCoverage(chart) for chart in dict.fromkeys(map(find, names))]
    except ChartError as error:
        hint = ""
        if isinstance(error.__cause__, ModuleNotFoundError):
            hint = "; is it on the path? Run python -m pytest, or set pythonpath in pytest's configuration"
        raise pytest.UsageError(f"--chart-coverage: {error}{hint}") from None


class Worker:
    """Counts in one of the processes of pytest-xdist, and sends what was touched to the one that reports it."""

    def __init__(self, coverages: list[ChartCoverage]) -> None:
        self.coverages: Final = coverages
        for coverage in coverages:
            coverage.start()

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send what was touched."""
        touched = [[(*cell, count) for cell, count in coverage.touched.items()] for coverage in self.coverages]
        session.config.workeroutput[WORKER] = touched  # type: ignore[attr-defined]  # pytest-xdist's

    def pytest_unconfigure(self) -> None:
        """Count no more."""
        for coverage in self.coverages:
            coverage.stop()


class Measurement(Worker):
    """Counts, and reports what was touched, by this process and by its workers.

    Args:
        coverages: what is measured.
        floor: how many percent are too few.
    """

    def __init__(self, coverages: list[ChartCoverage], floor: float) -> None:
        super().__init__(coverages)
        self.floor: Final = floor
        self.ran = False
        """Whether tests were to be executed, and not only listed or planned."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """See whether tests are executed from here on."""
        self.ran = not session.config.option.collectonly and not session.config.option.setuponly

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a worker of pytest-xdist has touched; one that has crashed sends nothing."""
        for coverage, cells in zip(self.coverages, getattr(node, "workeroutput", {}).get(WORKER, ()), strict=False):
            coverage.touched.update({(leaf, event): count for leaf, event, count in cells})

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let the run fail if too little was touched; a run that has failed otherwise keeps its own exit status."""
        short = [coverage for coverage in self.coverages if self.ran and coverage.percent < self.floor]
        if short and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if not session.config.pluginmanager.has_plugin("terminalreporter"):
            for coverage in short:
                sys.stderr.write(f"{coverage.report()}\n{self._missed}\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Report what was touched."""
        for coverage in self.coverages if self.ran else ():
            terminalreporter.section(f"chart coverage of {coverage.chart.name}")
            terminalreporter.line(coverage.report())
            if coverage.percent < self.floor:
                terminalreporter.line(self._missed, red=True)

    @property
    def _missed(self) -> str:
        return f"less than the floor of {self.floor:g} %"
