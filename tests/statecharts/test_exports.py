"""Exports and the command: files that hold every cell, fresh or reported as stale."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from playback.bargein import BARGE_IN
from playback.chart import PLAYBACK
from statecharts import VERDICTS, Chart, exports
from statecharts.__main__ import FORMATS, KINDS, is_fresh, main, write
from statecharts.exports import SCXML
from tests.core.test_chart import golden
from tests.needs import ROOT, need_program

CHART = "playback.chart:PLAYBACK"

LATE = Chart.parse(
    "late",
    """
         go   back
    b.x  =    b.y
    b.y  a    .
    a    b.x  b.y
    """,
    internal=(),
)


def test_scxml_has_every_cell_that_takes_its_event() -> None:
    root = ElementTree.fromstring(exports.scxml(PLAYBACK))
    cells, emitted = {}, {}
    for state in root.iter(f"{{{SCXML}}}state"):
        for transition in state.findall(f"{{{SCXML}}}transition"):
            place = state.attrib["id"], transition.attrib["event"]
            cells[place] = transition.get("target")
            emitted[place] = tuple(send.attrib["event"] for send in transition)
            assert {send.attrib["target"] for send in transition} <= {exports.PARENT}
    assert cells == {
        (leaf, event): None if cell in VERDICTS else cell
        for leaf, row in golden().items()
        for event, cell in row.items()
        if cell not in (".", "x")
    }
    assert {place: names for place, names in emitted.items() if names} == PLAYBACK.outputs
    assert (root.attrib["initial"], root.attrib["name"]) == ("idle", "playback")
    assert [state.attrib["id"] for state in root] == list(PLAYBACK.states)


def test_xstate_nests_leaves_within_their_states() -> None:
    machine = json.loads(exports.xstate(PLAYBACK))
    assert list(machine["states"]) == list(PLAYBACK.states)
    assert list(machine["states"]["paused"]["states"]) == ["empty", "held", "ended", "sealed"]
    streaming = machine["states"]["speaking"]["states"]["streaming"]["on"]
    assert streaming["pause"] == {"target": "#playback.paused.held", "actions": [{"type": "paused"}]}
    assert streaming["push"] == {}
    assert "ready" not in streaming


def test_a_chart_that_begins_within_a_state() -> None:
    assert json.loads(exports.xstate(LATE))["initial"] == "b"
    assert ElementTree.fromstring(exports.scxml(LATE)).attrib["initial"] == "b.x"


@pytest.mark.parametrize("chart", [PLAYBACK, BARGE_IN], ids=lambda chart: chart.name)
def test_what_is_drawn_from_the_charts_is_fresh(chart: Chart) -> None:
    paths = {kind: ROOT / "docs" / "charts" / f"{chart.name}{kind.suffix}" for kind in KINDS}
    stale = [path.name for kind, path in paths.items() if not is_fresh(chart, path, kind.format, kind.view)]
    assert not stale, "renew it with: make charts"


@pytest.mark.parametrize(
    ("shown", "drawn"),
    [("chart-overview", "playback-overview"), ("chart-detail", "playback-detail"), ("barge-in", "barge_in-detail")],
)
def test_the_demo_shows_the_same_pictures(shown: str, drawn: str) -> None:
    page, charts = ROOT / "playback" / "demo" / "page", ROOT / "docs" / "charts"
    assert (page / f"{shown}.svg").read_text() == (charts / f"{drawn}.svg").read_text(), "renew it with: make charts"


def test_what_is_written_is_fresh_until_the_chart_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need_program("dot", "Debian package graphviz")
    write(PLAYBACK, tmp_path)
    assert main([CHART, "--check", str(tmp_path)]) == 0
    assert len(list(tmp_path.iterdir())) == len(KINDS) == 9
    for kind in KINDS:
        path = tmp_path / f"playback{kind.suffix}"
        arguments = [CHART, "--check", str(path), "--format", kind.format, "--view", kind.view]
        assert main(arguments) == 0
        path.write_text(path.read_text().replace("SHA-256 ", "SHA-256 0").replace("push", "shove"))
        assert main(arguments) == 1
        renew = f"--format {kind.format} --view {kind.view} > {path}"
        emitted = f"stale: {path}\nrenew with: python -m statecharts {CHART} {renew}\n"
        assert capsys.readouterr().err == emitted
        assert main(arguments[:3]) == 1  # the file's name says the rest
        assert capsys.readouterr().err == emitted
    table = tmp_path / "playback-table.md"
    table.unlink()
    assert main([CHART, "--check", str(table)]) == 1
    assert capsys.readouterr().err.startswith(f"missing: {table}\n")
    assert main([CHART, "--check", str(tmp_path)]) == 1
    missing, stale, renew = capsys.readouterr().err.splitlines()
    assert missing == f"missing: {table}"
    assert len(stale.split(", ")) == len(KINDS) - 1
    assert renew == f"renew with: python -m statecharts {CHART} --write {tmp_path}"
    write(PLAYBACK, tmp_path)
    assert [main([CHART, "--check", str(tmp_path / f"playback{kind.suffix}")]) for kind in KINDS] == [0] * len(KINDS)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_is_printed_is_utf_8_whatever_the_terminal_s(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "statecharts", CHART, "--format", "mermaid"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == FORMATS["mermaid"](PLAYBACK, "detail")


def test_the_command_prints_to_what_is_no_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    assert main([CHART]) == 0
    assert out.getvalue() == FORMATS["table"](PLAYBACK, "detail")


@pytest.mark.parametrize("view", ["overview", "detail"])
@pytest.mark.parametrize("kind", FORMATS)
def test_the_command_prints_a_chart(kind: str, view: str) -> None:
    if kind == "svg":
        need_program("dot", "Debian package graphviz")
    command = [sys.executable, "-m", "statecharts", CHART, "--format", kind, "--view", view]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == FORMATS[kind](PLAYBACK, view)


def test_the_command_says_that_graphviz_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert main([CHART, "--write", str(tmp_path / "charts")]) == 1
    assert "install Graphviz" in capsys.readouterr().err
    assert not (tmp_path / "charts").exists()


@pytest.mark.parametrize("name", ["nowhere:CHART", "playback.chart:NOTHING", "playback.chart:State"])
def test_the_command_says_what_is_wrong(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([name])
    assert name in capsys.readouterr().err
