"""Sessions that come and go leave nothing; and what they would leave is noticed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import benchmarks.soak.churn as module
from benchmarks.soak.churn import main
from playback.events import EVENTS


def test_sessions_leave_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sessions", "60"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("ok\n")
    assert out.count("\n") == 2 * 22 + 1


def test_sessions_that_are_kept_are_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kept: list[object] = []
    hold = module.session

    async def leak(number: int, *, closed: bool, folder: Path) -> None:
        await hold(number, closed=closed, folder=folder)
        kept.append([name.upper() for name in EVENTS])
        kept.append([[number] for number in range(20)])

    monkeypatch.setattr(module, "session", leak)
    assert main(["--sessions", "20"]) == 1
    assert "grows: objects" in capsys.readouterr().out


def test_tasks_and_threads_that_are_left_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def leak(number: int, *, closed: bool, folder: Path) -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(3600)))

    monkeypatch.setattr(module, "session", leak)
    counts = asyncio.run(module.churn(20, closed=True))
    assert any(problem.startswith("tasks: ") for problem in module.problems(counts))
