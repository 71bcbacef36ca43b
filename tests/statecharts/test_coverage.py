"""Which cells were touched: counted within a block, and by an option of pytest's that can fail a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from playback.chart import PLAYBACK
from statecharts import Chart, ChartMachine
from statecharts.machine import WATCHERS
from statecharts.testing import ChartCoverage, cells

TOY = Chart.parse("toy", "     go  stop\noff  on  .\non   =   off", internal=())

SUITE = """
from statecharts import Chart, ChartMachine

TOY = Chart.parse("toy", "     go  stop\\noff  on  .\\non   =   off", internal=())
MACHINE = ChartMachine(TOY)


def test_go():
    assert MACHINE.fire(MACHINE.session(), "go")
"""

HALVES = """

def test_stop():
    session = MACHINE.session()
    session.leaf = "on"
    assert MACHINE.fire(session, "stop")
"""


def test_every_cell_is_a_case() -> None:
    cases = [(*case.values, case.id) for case in cells(TOY)]
    assert cases == [
        ("off", "go", "off-go"),
        ("off", "stop", "off-stop"),
        ("on", "go", "on-go"),
        ("on", "stop", "on-stop"),
    ]
    assert [case.values for case in cells(TOY, "stop")] == [("off", "stop"), ("on", "stop")]
    assert len(cells(PLAYBACK)) == 13 * 17
    with pytest.raises(ValueError, match="toy has no event 'fly', expected one of go, stop"):
        cells(TOY, "fly")


def test_what_was_touched_is_counted() -> None:
    machine = ChartMachine(TOY)
    session = machine.session()
    with ChartCoverage(TOY) as coverage:
        assert coverage.percent == 0
        machine.fire(session, "stop")  # ignored: nobody has to ask it
        machine.fire(session, "go")
        other = ChartMachine(Chart.parse("other", "   go\na  b\nb  a", internal=()))
        other.fire(other.session(), "go")  # not this chart's
        assert coverage.touched == {("off", "stop"): 1, ("off", "go"): 1}
        assert coverage.untouched == [("on", "go"), ("on", "stop")]
        assert coverage.report() == "toy: 1 of 3 cells, 33.3 %\n  never in on: go, stop"
        machine.fire(session, "go")
        machine.fire(session, "stop")
        assert coverage.percent == 100
        assert coverage.report() == "toy: 3 of 3 cells, 100.0 %"
    machine.fire(session, "go")
    assert coverage.touched["off", "go"] == 1
    assert coverage._watch not in WATCHERS


def test_a_chart_that_was_made_twice_is_one_chart() -> None:
    again = Chart.parse("toy", "     go  stop\noff  on  .\non   =   off", internal=())
    with ChartCoverage(TOY) as coverage:
        machine = ChartMachine(again)  # as of a module that was imported under two names
        machine.fire(machine.session(), "go")
    assert coverage.touched == {("off", "go"): 1}


def test_a_controller_s_pushes_are_counted_though_they_cost_no_transition() -> None:
    from playback import PlaybackController

    with ChartCoverage(PLAYBACK) as coverage:
        controller = PlaybackController()
        for _ in range(5):
            controller.push(bytes(1920))
    assert coverage.touched["speaking.streaming", "push"] >= 1


def run(folder: Path, *options: str, suite: str = SUITE) -> subprocess.CompletedProcess[str]:
    (folder / "test_suite.py").write_text(suite)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder), *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_pytest_reports_what_was_never_touched(tmp_path: Path) -> None:
    done = run(tmp_path, "--chart-coverage", "test_suite:TOY", "--chart-coverage-floor", "30")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "= chart coverage of toy =" in done.stdout
    assert "toy: 1 of 3 cells, 33.3 %\n  never in on: go, stop\n" in done.stdout


def test_a_floor_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, "--chart-coverage", "test_suite:TOY", "--chart-coverage-floor", "34")
    assert done.returncode == 1
    assert "less than the floor of 34 %" in done.stdout


def test_without_a_terminal_a_missed_floor_is_reported_nevertheless(tmp_path: Path) -> None:
    done = run(tmp_path, "--chart-coverage", "test_suite:TOY", "--chart-coverage-floor", "34", "-p", "no:terminal")
    assert done.returncode == 1
    assert done.stderr.endswith("toy: 1 of 3 cells, 33.3 %\n  never in on: go, stop\nless than the floor of 34 %\n")


@pytest.mark.parametrize(
    "option",
    [
        "--collect-only",
        "--setup-plan",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("--setup-only", "--cache-show", "--fixtures")),
        pytest.param("--fixtures-per-test", marks=pytest.mark.slow),
    ],
)
def test_where_no_test_is_executed_nothing_is_measured(tmp_path: Path, option: str) -> None:
    cache = ["-p", "cacheprovider"] if option == "--cache-show" else []
    done = run(tmp_path, "--chart-coverage", "test_suite:TOY", "--chart-coverage-floor", "100", *cache, option)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "chart coverage" not in done.stdout


def test_where_all_tests_are_skipped_the_floor_holds(tmp_path: Path) -> None:
    suite = f"{SUITE}\n\nimport pytest\npytestmark = pytest.mark.skip\n"
    done = run(tmp_path, "--chart-coverage", "test_suite:TOY", "--chart-coverage-floor", "1", suite=suite)
    assert done.returncode == 1
    assert "toy: 0 of 3 cells" in done.stdout


def test_what_workers_have_touched_counts_together(tmp_path: Path) -> None:
    options = ["--chart-coverage", "test_suite:TOY", "--chart-coverage-floor", "60", "-n", "2"]
    done = run(tmp_path, *options, suite=SUITE + HALVES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("toy: 2 of 3 cells, 66.7 %\n  never in on: go\n") == 1
    assert "floor" not in done.stdout


def test_a_chart_that_is_named_twice_is_reported_once(tmp_path: Path) -> None:
    suite = SUITE + "\n\nSAME = TOY\n"
    names = ["test_suite:TOY", "test_suite:TOY", "test_suite:SAME"]
    done = run(tmp_path, *(f"--chart-coverage={name}" for name in names), suite=suite)
    assert done.stdout.count("toy: 1 of 3 cells") == 1


def test_a_run_that_measures_nothing_imports_nothing_that_costs_time() -> None:
    script = "import sys, statecharts.pytest_plugin; print('transitions' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chart-coverage", "test_suite:NOTHING"], "--chart-coverage: test_suite:NOTHING"),
        (["--chart-coverage", "nowhere:DOOR"], "is it on the path? Run python -m pytest, or set pythonpath"),
        (["--chart-coverage-floor", "50"], "--chart-coverage-floor needs --chart-coverage MODULE:CHART"),
        (["--chart-coverage", "test_suite:TOY", "--chart-coverage-floor", "101"], "is 101, expected 0 to 100"),
    ],
)
def test_options_that_can_not_be_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    done = run(tmp_path, *options)
    assert done.returncode == 4
    assert message in done.stderr


def test_without_the_option_nothing_is_said(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 0
    assert "chart coverage" not in done.stdout
