"""What measures many calls: it counts right, finds the largest number, and runs with real senders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.calls.__main__ import MORE, Runner, _largest, write_speech
from benchmarks.calls.sender import Timed


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("calls") / "speech.wav"
    write_speech(file)
    return file


def test_lateness_is_counted_from_the_most_punctual_frame() -> None:
    stamps = [0.02 * number for number in range(6)]
    late = [0.0, 0.004, 0.001, 0.030, 0.011, 0.0]
    timed = Timed([100 + stamp + by for stamp, by in zip(stamps, late, strict=True)], stamps)
    assert timed.lateness(0, 200) == pytest.approx(late)
    # The frames of a span of time, and the most punctual of these.
    assert timed.lateness(100.02, 100.1) == pytest.approx([0.003, 0.0, 0.029, 0.010])
    assert timed.lateness(500, 600).size == 0


@pytest.mark.parametrize("limit", [1, 5, 7, 10, 11, 19, 20, 33, 59, 79, 80, 81, 130, 299])
def test_the_largest_number_that_passes_is_found_to_within_a_sixteenth(limit: int) -> None:
    asked = []

    def passes(count: int) -> bool:
        asked.append(count)
        return count <= limit

    found = _largest(passes)
    assert limit - max(1, limit // 16) <= found <= limit
    assert len(asked) < 20


def test_there_may_be_no_such_number_and_no_end() -> None:
    assert _largest(lambda _: False) == 0
    assert _largest(lambda _: True) == MORE[-1]


@pytest.mark.parametrize(
    ("track", "case"), [("baseline", "speech"), ("frames", "turns"), ("opus", "speech"), ("opus", "silence")]
)
def test_calls_run_with_real_senders(track: str, case: str, speech: Path) -> None:
    run = Runner(speech, Console(quiet=True), short=True)
    report = run(track, 2, "--case", case, "--freeze", "--uvloop", "--threads", "2", seconds=1.0)
    assert 0 < report["cpu_us"] < np.inf
    if (track, case) == ("opus", "silence"):
        assert report["frames_per_second"] == 0
    else:
        assert 5 < report["frames_per_second"] < 80  # 50, where the machine is not too busy
        assert 0 <= report["p50_ms"] <= report["p99_ms"] <= report["max_ms"]


@pytest.mark.parametrize(
    ("stolen", "short", "tries", "best"),
    [
        ([0.3, 0.01, 0.0], False, 2, 0.01),
        ([0.3, 0.2, 0.5, 0.6, 0.4, 0.0], False, 5, 0.2),
        ([0.3, 0.0], True, 1, 0.3),
    ],
)
def test_what_was_disturbed_is_tried_again(
    stolen: list[float], short: bool, tries: int, best: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def run(*_: object, **__: object) -> dict[str, float]:
        tried.append(stolen[len(tried)])
        return {"stolen": tried[-1]}

    monkeypatch.setattr(Runner, "__call__", run)
    runner = Runner(Path("speech.wav"), Console(quiet=True), short=short)
    assert runner.quietly("opus", 5)["stolen"] == best
    assert len(tried) == tries


def test_what_fails_is_reported(tmp_path: Path) -> None:
    silent = tmp_path / "none.wav"
    with pytest.raises(RuntimeError, match=r"calls\.sender(.|\n)*FileNotFoundError"):
        Runner(silent, Console(quiet=True), short=True)("baseline", 1)


def test_speech_of_another_rate_is_refused(tmp_path: Path) -> None:
    import wave

    file = tmp_path / "slow.wav"
    with wave.open(str(file), "wb") as slow:
        slow.setparams((1, 2, 8_000, 0, "NONE", ""))
    command = [sys.executable, "-m", "benchmarks.calls.sender", "--track", "baseline", "--speech", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "expected 48000 Hz, mono, 16 bits" in done.stderr
    assert done.returncode


def test_parts_are_added_to_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import benchmarks.calls.__main__ as calls

    results = tmp_path / "new" / "calls.json"
    monkeypatch.setitem(calls.PARTS, "costs", lambda run: {"short": run.short})
    monkeypatch.setitem(calls.PARTS, "tuning", lambda _: "found")
    assert calls.main(["--short", "--json", str(results)]) == 0
    assert calls.main(["--only", "tuning", "--json", str(results)]) == 0
    found = json.loads(results.read_text())
    assert (found["costs"], found["tuning"]) == ({"short": True}, "found")
    assert found["machines"]["costs"]["versions"]["aiortc"]
