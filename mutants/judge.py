"""What is done in a process of its own: find out who notices a mutant. Whatever needs the chart is imported late."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import pytest

from mutants.source import MODULE, ORDER, Cell, Mutant, Source
from statecharts import ChartError

QUICK_TESTS: Final = (
    "tests/core/test_pausing.py",
    "tests/core/test_interrupting.py",
    "tests/core/test_speaking.py",
    "tests/core/test_marks.py",
    "tests/core/test_reading.py",
    "tests/core/test_writing.py",
    "tests/core/test_emitter.py",
)
"""Who judges what the paths did not notice."""

DEEP_TESTS: Final = ("tests/sinks/test_sinks.py", "tests/core/test_properties.py", "tests/core/test_explore.py")
"""Who judges what nobody has expected to survive: a minute's work."""

ORDER_STEP: Final = 3
"""An order of the internal events is judged by every so many of the stops: any may go another way, so all take long."""

STOP_SECONDS: Final = 1.0
"""How much work one of the paths may be before it goes on for ever; most are two milliseconds."""

Lookups = dict[str, list[str]]
"""What the chart's module looks up in place of edges: its sets of leaves."""

Verdict = tuple[str, str]
"""What became of a mutant, one of those below; and who noticed it."""

REFUSED: Final = "refused"
PATHS: Final = "paths"
TESTS: Final = "tests"
HUNG: Final = "hung"
SURVIVED: Final = "survived"


class Walked(NamedTuple):
    """One path, and what it came by with the chart as it is."""

    sequence: str
    settings: str
    asked: frozenset[Cell]


class Survey(NamedTuple):
    """What is known of the chart as it is."""

    paths: Sequence[Walked]
    lookups: Lookups

    @classmethod
    def gather(cls, surveys: Iterable[Any]) -> Survey:
        """Put together what :func:`survey` has found for each leaf."""
        surveys = list(surveys)
        paths = [
            Walked(sequence, settings, frozenset((leaf, event) for leaf, event in asked))
            for stops, _ in surveys
            for sequence, settings, asked in stops
        ]
        return cls(paths, surveys[0][1])

    @property
    def cells(self) -> list[Cell]:
        """Every cell that is asked."""
        return sorted(frozenset().union(*(walked.asked for walked in self.paths)))

    def route(self, mutant: Mutant | None, lookups: Lookups) -> list[Walked]:
        """The stops where a mutant may go another way, the likeliest first.

        Until it asks the cell, or looks up something else, it goes the same way as ever.
        """
        if mutant is None:
            return list(self.paths)
        if mutant.leaf == ORDER:
            return list(self.paths[::ORDER_STEP])
        likely = [walked for walked in self.paths if mutant.cell in walked.asked]
        if lookups == self.lookups:
            return likely
        return likely + [walked for walked in self.paths if mutant.cell not in walked.asked]


def survey(leaf: str) -> Any:
    """Walk a part of the paths with the chart as it is, and note what it asks.

    Args:
        leaf: which part: the stops that come by this leaf.

    Returns:
        Each stop with the cells that it asked, and the lookups.
    """
    from statecharts import Chart
    from statecharts.machine import WATCHERS
    from tests.core.paths import itinerary, walk

    asked: set[Cell] = set()

    def watch(_: Chart, leaf: str, event: str) -> None:
        asked.add((leaf, event))

    WATCHERS.add(watch)
    walked = []
    for stop in itinerary([leaf]):
        asked.clear()
        walk(stop)
        walked.append((*stop, sorted(asked)))
    return walked, _lookups()


def judge(source: Source, surveyed: Survey, mutant: Mutant | None, tests: Sequence[str]) -> Verdict:
    """Find out who notices a mutant; None is the chart as it is, which nobody should find fault with.

    Args:
        source: the chart as it is.
        surveyed: what is known of it.
        mutant: what is changed.
        tests: the test files for what the paths do not notice.
    """
    source.install(mutant)
    try:
        importlib.import_module(MODULE)
    except ChartError as error:
        return REFUSED, str(error)
    from tests.core.paths import Stop, walk

    for walked in surveyed.route(mutant, _lookups()):
        signal.setitimer(signal.ITIMER_PROF, STOP_SECONDS)  # the signal ends the process
        try:
            walk(Stop(walked.sequence, walked.settings))
        except Exception:
            return PATHS, f"{walked.sequence} ({walked.settings})"
    signal.setitimer(signal.ITIMER_PROF, 0)
    failed = _Failed()
    # Asserts in what was imported above are plain; only the test files themselves are rewritten.
    options = [
        "-x",
        "-q",
        "-o",
        "addopts=",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore::pytest.PytestAssertRewriteWarning",
    ]
    if not tests:
        return SURVIVED, ""
    match pytest.main([*options, *tests], plugins=[failed]):
        case pytest.ExitCode.OK:
            return SURVIVED, ""
        case pytest.ExitCode.TESTS_FAILED | pytest.ExitCode.INTERRUPTED if failed.names:
            return TESTS, failed.names[0]
        case code:
            raise RuntimeError(f"pytest came to no verdict: {code!r}")


class _Failed:
    """Remembers which tests failed, and which files could not be collected."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.names.append(f"{report.nodeid}: {report.longreprtext}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names.append(report.nodeid)


def _lookups() -> Lookups:
    chart = importlib.import_module(MODULE)
    return {name: sorted(value) for name, value in vars(chart).items() if isinstance(value, frozenset)}
