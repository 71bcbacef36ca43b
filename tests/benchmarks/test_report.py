"""The tables and plots on the page about performance: made from the figures beside them, and fresh."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.micro.codecs import intelligibility
from benchmarks.report import FOLDER, RENEW, main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the figures, and of what was made of them."""
    copy = tmp_path / "performance"
    shutil.copytree(FOLDER, copy)
    return copy


def test_the_tables_are_fresh() -> None:
    assert main(["--check"]) == 0, f"renew them with: {RENEW}"


def test_a_table_that_is_not_is_named_with_the_command_that_renews_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = folder / "calls.json"
    results = json.loads(figures.read_text())
    results["costs"]["ratios"]["Opus"] += 1
    figures.write_text(json.dumps(results))
    assert main(["--check", "--folder", str(folder)]) == 1
    assert capsys.readouterr().err == f"stale: costs.md; renew with: {RENEW}\n"
    assert main(["--folder", str(folder)]) == 0
    assert main(["--check", "--folder", str(folder)]) == 0


def test_what_is_missing_is_stale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "codecs.md").unlink()
    assert main(["--check", "--folder", str(folder)]) == 1
    assert "stale: codecs.md" in capsys.readouterr().err


def test_every_table_has_as_many_cells_in_each_row() -> None:
    for file in FOLDER.glob("*.md"):
        lines = [line for line in file.read_text().splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1, file.name
        assert not [line for line in lines if "nan" in line], file.name


def test_the_plots_are_pictures_with_words(folder: Path) -> None:
    calls = json.loads((folder / "calls.json").read_text())
    row = {"calls": 5, "cpu_us": 300.0, "cores": 0.1, "p50_ms": 1.0, "second_p99_ms": 2.0, "p99_ms": 3.0, "max_ms": 4.0}
    calls["lateness"] = {"rows": [{"track": track, **row} for track in ("baseline", "frames", "opus")]}
    (folder / "calls.json").write_text(json.dumps(calls))
    stall = {"seconds": 1.0, "delays": [(-1.0, 30.0), (0.1, 80.0), (1.0, 30.0)]}
    raw = [{"subject": "Opus", "stalls": [stall]}]
    heard = {"machine": calls["machines"]["costs"], "figures": [], "raw": raw}
    (folder / "heard.json").write_text(json.dumps(heard))
    assert main(["--folder", str(folder)]) == 0
    assert main(["--check", "--folder", str(folder)]) == 0
    for name, words in (("lateness", "calls in one process"), ("delay", "seconds since the end of the stall")):
        text = (folder / f"{name}.svg").read_text()
        ElementTree.fromstring(text)
        assert words in text
        assert "Opus" in text
    assert "| 5 | `OpusPlaybackTrack` | 300 | 0.10 | 1.0 | 2.0 | 3.0 | 4.0 |" in (folder / "lateness.md").read_text()


def test_a_plot_of_other_figures_is_stale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard = json.loads((folder / "heard.json").read_text())
    heard["raw"][0]["stalls"][0]["delays"][0][1] += 1
    (folder / "heard.json").write_text(json.dumps(heard))
    assert main(["--check", "--folder", str(folder)]) == 1
    assert capsys.readouterr().err == f"stale: delay.svg; renew with: {RENEW}\n"


def test_the_pages_have_all_that_is_made() -> None:
    docs = FOLDER.parent
    pages = "".join((docs / name).read_text(encoding="utf-8") for name in ("performance.md", "comparisons.md"))
    for file in (*FOLDER.glob("*.md"), *FOLDER.glob("*.svg")):
        assert f"performance/{file.name}" in pages


def test_intelligibility_is_that_of_the_sound_wherever_it_begins() -> None:
    chance = np.random.default_rng(1)
    noise = chance.normal(0, 1, 3 * 48_000)
    sent = 3_000 * noise * (1 + np.sin(np.arange(len(noise)) / 4_000))
    late = np.concatenate([np.zeros(300), sent])
    assert intelligibility(sent, late) == pytest.approx(1, abs=0.001)
    assert intelligibility(sent, late + chance.normal(0, 6_000, len(late))) < 0.9
