"""``pytest --chart-coverage MODULE:CHART``: report which cells of a chart a test run never touched."""

from __future__ import annotations

from typing import Final

import pytest

from statecharts.chart import ChartError, find
from statecharts.coverage import ChartCoverage

_MEASURED: Final = pytest.StashKey[list[ChartCoverage]]()


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
    """Begin to count."""
    names: list[str] = config.getoption("chart_coverage")
    floor: float = config.getoption("chart_coverage_floor")
    if not 0 <= floor <= 100:
        raise pytest.UsageError(f"--chart-coverage-floor is {floor:g}, expected 0 to 100")
    if floor and not names:
        raise pytest.UsageError("--chart-coverage-floor needs --chart-coverage MODULE:CHART")
    try:
        measured = [ChartCoverage(find(name)) for name in names]
    except ChartError as error:
        raise pytest.UsageError(f"--chart-coverage: {error}") from None
    config.stash[_MEASURED] = measured
    for coverage in measured:
        coverage.start()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Let the run fail if too little was touched; a run that has failed otherwise keeps its own exit status."""
    floor: float = session.config.getoption("chart_coverage_floor")
    short = any(coverage.percent < floor for coverage in session.config.stash[_MEASURED])
    if short and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell what was touched."""
    floor: float = config.getoption("chart_coverage_floor")
    for coverage in config.stash[_MEASURED]:
        terminalreporter.section("chart coverage")
        terminalreporter.line(coverage.report())
        if coverage.percent < floor:
            terminalreporter.line(f"less than the floor of {floor:g} %", red=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Count no more."""
    for coverage in config.stash.get(_MEASURED, []):
        coverage.stop()
