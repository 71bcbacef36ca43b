"""What is done in a process of its own: find out who notices a mutant. Whatever needs the chart is imported late."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Final, NamedTuple

import pytest

from mutants.source import BARGE_IN, ORDER, PLAYBACK, Cell, Mutant, Source, Subject
from statecharts import ChartError


class Jury(NamedTuple):
    """Who judges the mutants of one chart."""

    paths: str
    """The module with the paths."""
    quick: tuple[str, ...]
    """Who judges what the paths did not notice."""
    deep: tuple[str, ...]
    """Who judges what nobody has expected to survive: a minute's work."""
    reloaded: tuple[str, ...] = ()
    """The modules that know the chart, if these are imported anew for each mutant, so that one process can judge many;
    all others know the chart as it is, as the model needs."""
    step: int = 1
    """See :meth:`Survey.route`."""
    spared: int = 1
    """What is expected to survive is judged by every so many of the stops, unless asked for all of them."""


JURIES: Final = {
    PLAYBACK: Jury(
        "tests.core.paths",
        (
            "tests/core/test_pausing.py",
            "tests/core/test_interrupting.py",
            "tests/core/test_speaking.py",
            "tests/core/test_marks.py",
            "tests/core/test_reading.py",
            "tests/core/test_writing.py",
            "tests/core/test_emitter.py",
        ),
        ("tests/sinks/test_sinks.py", "tests/core/test_properties.py", "tests/core/test_explore.py"),
    ),
    BARGE_IN: Jury(
        "tests.bargein.paths",
        (),
        ("tests/bargein/test_no_words.py", "tests/bargein/test_gaps.py", "tests/bargein/test_yielding.py"),
        (
            "playback.bargein",
            "playback.bargein.agent",
            "playback.bargein.chart",
            "playback.bargein.moments",
            "playback.bargein.policy",
            "playback.bargein.transcripts",
        ),
        step=12,
        spared=20,
    ),
}

ORDER_STEP: Final = 3
"""An order of the internal events is judged by every so many of the stops: any may go another way, so all take long."""

STOP_SECONDS: Final = 1.0
"""How much work one of the paths may be before it goes on for ever; most are two milliseconds."""

STOP_EVENTS: Final = 1_000
"""How often one may ask the chart."""

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
    emits: Mapping[Cell, tuple[str, ...]] = {}

    @classmethod
    def gather(cls, surveys: Iterable[Any]) -> Survey:
        """Put together what :func:`survey` has found for each leaf."""
        surveys = list(surveys)
        paths = [
            Walked(sequence, settings, frozenset((leaf, event) for leaf, event in asked))
            for stops, _, _ in surveys
            for sequence, settings, asked in stops
        ]
        _, lookups, emits = surveys[0]
        return cls(paths, lookups, {(leaf, event): tuple(names) for leaf, event, names in emits})

    @property
    def cells(self) -> list[Cell]:
        """Every cell that is asked."""
        return sorted(frozenset().union(*(walked.asked for walked in self.paths)))

    def route(self, mutant: Mutant | None, lookups: Lookups, step: int = 1) -> list[Walked]:
        """The stops where a mutant may go another way, the likeliest first.

        Until it asks the cell, or looks up something else, it goes the same way as ever.

        Args:
            mutant: what is changed; None for nothing.
            lookups: what it looks up.
            step: how many of the less likely stops are left out for each that is not, and one.
        """
        if mutant is None:
            return list(self.paths)
        if mutant.leaf == ORDER:
            return list(self.paths[::ORDER_STEP])
        likely = [walked for walked in self.paths if mutant.cell in walked.asked]
        if lookups == self.lookups:
            return likely
        return likely + [walked for walked in self.paths if mutant.cell not in walked.asked][::step]


def survey(subject: Subject, leaf: str) -> Any:
    """Walk a part of the paths with the chart as it is, and note what it asks.

    Args:
        subject: which chart.
        leaf: which part: the stops that come by this leaf.

    Returns:
        Each stop with the cells that it asked, the lookups, and what the edges emit.
    """
    from statecharts import Chart
    from statecharts.machine import WATCHERS

    paths = importlib.import_module(JURIES[subject].paths)
    asked: set[Cell] = set()

    def watch(chart: Chart, leaf: str, event: str) -> None:
        if chart.name == subject.name:
            asked.add((leaf, event))

    WATCHERS.add(watch)
    walked = []
    for stop in paths.itinerary([leaf]):
        asked.clear()
        paths.walk(stop)
        walked.append((*stop, sorted(asked)))
    chart = getattr(importlib.import_module(subject.module), subject.variable)
    return walked, _lookups(subject), [(*cell, names) for cell, names in chart.outputs.items()]


def judge(
    source: Source, surveyed: Survey, mutant: Mutant | None, tests: Sequence[str], *, spare: bool = False
) -> Verdict:
    """Find out who notices a mutant; None is the chart as it is, which nobody should find fault with.

    Args:
        source: the chart as it is.
        surveyed: what is known of it.
        mutant: what is changed.
        tests: the test files for what the paths do not notice.
        spare: whether only some of the stops judge it; see :attr:`Jury.spared`.
    """
    jury = JURIES[source.subject]
    for module in jury.reloaded:
        sys.modules.pop(module, None)
    source.install(mutant)
    try:
        importlib.import_module(source.subject.module)
    except ChartError as error:
        return REFUSED, str(error)
    paths = importlib.import_module(jury.paths)
    # In a process that judges others, too, what goes on for ever must not end the process.
    patience = _Patience(source.subject.name) if jury.reloaded else nullcontext()
    for walked in surveyed.route(mutant, _lookups(source.subject), jury.step)[:: jury.spared if spare else 1]:
        signal.setitimer(signal.ITIMER_PROF, STOP_SECONDS)  # the signal ends the process
        try:
            with patience:
                paths.walk(paths.Stop(walked.sequence, walked.settings))
        except Exception:
            return PATHS, f"{walked.sequence} ({walked.settings})"
        except Endless:
            return HUNG, f"{walked.sequence} ({walked.settings})"
        finally:
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


class Endless(BaseException):
    """A path that goes on for ever."""


class _Patience:
    """Ends what has asked a chart too often; whoever catches that and asks again is ended again."""

    def __init__(self, chart: str) -> None:
        self._chart: Final = chart
        self._asked = 0

    def __enter__(self) -> None:
        from statecharts.machine import WATCHERS

        self._asked = 0
        WATCHERS.add(self._watch)

    def __exit__(self, *_: object) -> None:
        from statecharts.machine import WATCHERS

        WATCHERS.remove(self._watch)
        if self._asked > STOP_EVENTS:
            raise Endless

    def _watch(self, chart: Any, _leaf: str, _event: str) -> None:
        self._asked += chart.name == self._chart
        if self._asked > STOP_EVENTS:
            raise Endless


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


def _lookups(subject: Subject) -> Lookups:
    chart = importlib.import_module(subject.module)
    return {name: sorted(value) for name, value in vars(chart).items() if isinstance(value, frozenset)}
