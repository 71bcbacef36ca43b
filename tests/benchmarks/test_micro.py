"""The benchmarks run, and measure everything they list. How fast anything is, no test says."""

import json
import math
from pathlib import Path

import pytest

from benchmarks.micro.__main__ import main
from benchmarks.micro.audio import expect
from benchmarks.micro.codecs import aiortc_encoding
from benchmarks.micro.figures import ELSEWHERE, ROWS, SYSTEMS, Effort, Results, Row
from benchmarks.micro.measure import allocated, interleave
from benchmarks.micro.packets import measure_packets, pool_ratio
from tests.transports.test_track import speech


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    file = tmp_path_factory.mktemp("benchmarks") / "figures.json"
    return main(["--quick", "--json", str(file)]), file


def test_a_run_writes_a_positive_figure_for_every_row(written: tuple[int, Path]) -> None:
    code, file = written
    found = json.loads(file.read_text(encoding="utf-8"))
    assert code == 0
    assert found["baseline_us"] > 0
    assert [figure["subject"] for figure in found["figures"]] == [row.subject for row in ROWS]
    for figure in found["figures"]:
        assert figure["figure"] > 0, figure
        assert math.isfinite(figure["figure"]), figure


def test_the_table_has_every_row_and_its_target(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.micro.__main__.measure", meets)
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for row in ROWS:
        line = next(line for line in lines if line.strip().startswith(f"{row.subject}  "))
        assert ("≤" in line, " ok" in line) == (row.target is not None,) * 2
        assert "MISSED" not in line
    assert all(system in "".join(lines) for system in SYSTEMS)


def test_a_missed_target_is_shown_and_fails_only_a_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.micro.__main__.measure", misses)
    assert main([]) == 0
    assert capsys.readouterr().out.count("MISSED") == sum(row.target is not None for row in ROWS)
    assert main(["--check"]) == 1


def test_a_check_passes_when_all_targets_are_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.micro.__main__.measure", meets)
    assert main(["--check"]) == 0


def test_what_was_measured_elsewhere_is_a_row_of_ours_in_the_same_unit() -> None:
    units = {row.subject: row.unit for row in ROWS}
    for subject, (unit, figures) in ELSEWHERE.items():
        assert units[subject] == unit
        assert len(figures) == len(SYSTEMS)


def test_a_target_includes_its_limit() -> None:
    assert Row("", "", 1.0).met(1.0) is True
    assert Row("", "", 1.0).met(1.1) is False
    assert Row("", "").met(1.0) is None


def test_a_ratio_is_taken_between_the_baselines_around_it_and_leaves_the_cold_round_out() -> None:
    baselines = iter([1_000, 1_000, 100, 300, 100, 300])
    acts = iter([{"read": 5}, {"read": 400}, {"read": 600}])
    baseline, ratios = interleave(lambda: next(baselines), [lambda: next(acts)], 3)
    assert baseline == 300
    assert ratios == {"read": 2.5}


def test_memory_is_that_of_what_is_held() -> None:
    held, size = allocated(lambda: [bytes(10_000) for _ in range(100)])
    assert held
    assert 1_000_000 < size < 1_020_000


def test_a_subject_that_does_something_else_is_reported() -> None:
    with pytest.raises(RuntimeError, match="the leaf is 'idle', expected 'closed'"):
        expect("the leaf", "idle", "closed")


def meets(effort: Effort) -> Results:
    return Results(2.0, {row.subject: row.target or 1.0 for row in ROWS})


def misses(effort: Effort) -> Results:
    return Results(2.0, {row.subject: 2 * (row.target or 1.0) for row in ROWS})


def test_each_way_of_a_packet_is_measured() -> None:
    audio = speech(2, 48_000).tobytes()
    rows = measure_packets(audio, aiortc_encoding(audio), rounds=1)
    assert {"a call, complexity 5", "a call, prepared audio", "receive, at 16 kHz"} <= {row["subject"] for row in rows}
    assert all(0 < row["micros"] < math.inf and 0 < row["ratio"] < math.inf for row in rows)
    assert pool_ratio(audio, rounds=1) > 0
