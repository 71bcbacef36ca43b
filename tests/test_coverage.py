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

TOY = Chart.parse("toy", "     go  stop\noff  on  .\non   =   off", facts=())

SUITE = """
from statecharts import Chart, ChartMachine

TOY = Chart.parse("toy", "     go  stop\\noff  on  .\\non   =   off", facts=())
MACHINE = ChartMachine(TOY)


def test_go():
    assert MACHINE.fire(MACHINE.session(), "go")
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
    assert len(cells(PLAYBACK)) == 13 * 12
    with pytest.raises(ValueError, match="toy has no event 'fly', expected one of go, stop"):
        cells(TOY, "fly")


def test_what_was_touched_is_counted() -> None:
    machine = ChartMachine(TOY)
    session = machine.session()
    with ChartCoverage(TOY) as coverage:
        assert coverage.percent == 0
        machine.fire(session, "stop")  # ignored: nobody has to ask it
        machine.fire(session, "go")
        other = ChartMachine(Chart.parse("other", "   go\na  b\nb  a", facts=()))
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


def test_a_controller_s_pushes_are_counted_though_they_cost_no_transition() -> None:
    from playback import PlaybackController

    with ChartCoverage(PLAYBACK) as coverage:
        controller = PlaybackController()
        for _ in range(5):
            controller.push(bytes(1920))
    assert coverage.touched["speaking.streaming", "push"] >= 1


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_pytest_reports_what_was_never_touched(tmp_path: Path) -> None:
    done = run(tmp_path, "--chart-coverage", "test_suite:TOY", "--chart-coverage-floor", "30")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "toy: 1 of 3 cells, 33.3 %\n  never in on: go, stop\n" in done.stdout


def test_a_floor_fails_the_run(tmp_path: Path) -> None:
    done = run(tmp_path, "--chart-coverage", "test_suite:TOY", "--chart-coverage-floor", "34")
    assert done.returncode == 1
    assert "less than the floor of 34 %" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chart-coverage", "test_suite:NOTHING"], "--chart-coverage: test_suite:NOTHING"),
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
