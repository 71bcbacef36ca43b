"""The soak runs, finds nothing, and would find what it looks for: each control breaks one thing, and it is reported."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import mmap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyee import EventEmitter

import benchmarks.soak.__main__ as soak
from benchmarks.soak.__main__ import Outcome, Plan, main, run
from benchmarks.soak.audio import converted
from benchmarks.soak.growth import LIMITS, Sample, Trend, ends, growing, left, slope, trends, warm
from benchmarks.soak.ledger import Account, Findings
from benchmarks.soak.session import Session
from playback.audio.buffer import SampleBuffer
from playback.chart import PLAYBACK
from playback.core.emitter import Emitter
from playback.core.input import Input
from playback.core.queue import PlayoutQueue
from playback.turn import Turn
from playback.utterance import Utterance

SHORT = Plan(hours=0.06, controllers=6, segments=2)
"""Enough for what is wrong each time."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any]]:
    file: Path = tmp_path_factory.mktemp("soak") / "found.json"
    code = main(["--quick", "--json", str(file)])
    return code, json.loads(file.read_text(encoding="utf-8"))


def test_a_quick_soak_finds_nothing(written: tuple[int, dict[str, Any]]) -> None:
    code, found = written
    assert [part["problems"] for part in found["parts"]] == [[], []]
    assert code == 0
    assert found["ok"]


def test_it_comes_to_every_leaf_and_does_everything(written: tuple[int, dict[str, Any]]) -> None:
    most, traced = written[1]["parts"]
    assert set(most["leaves"]) == set(PLAYBACK.leaves)
    session = asyncio.run(_session())
    acts = {act.__name__ for act in (*session._acts, *session.attachments.acts)}
    assert {act.strip("_").replace("_", " ") for act in acts} <= set(most["totals"]) | set(traced["totals"])
    for name in ("completed", "interrupted", "closed", "forgotten", "refusals", "writes", "marks reached"):
        assert most["totals"][name] > 0, name
    assert most["totals"]["pushes that did not fit"] > 0
    assert most["totals"]["controllers"] > most["plan"]["controllers"]


def test_only_one_part_is_traced(written: tuple[int, dict[str, Any]]) -> None:
    most, traced = written[1]["parts"]
    assert {sample["traced"] for sample in most["samples"]} == {0}
    assert all(sample["traced"] > 0 for sample in traced["samples"])
    assert (list(most["trends"]), list(traced["trends"])) == (["rss"], ["traced"])
    assert math.isclose(most["plan"]["hours"] + traced["plan"]["hours"], soak.QUICK.hours)


@pytest.mark.slow
def test_a_seed_decides_on_everything() -> None:
    one, same, other = (_happened(run(replace(SHORT, seed=seed))) for seed in (5, 5, 6))
    assert one == same
    assert one != other


async def _session() -> Session:
    session = Session(1, 1, Findings())
    session.controller.close()
    return session


def _happened(outcome: Outcome) -> dict[str, int]:
    assert not outcome.findings.failed
    return {**outcome.findings.totals, **outcome.findings.leaves} | {"slow sinks": 0}  # which depends on the machine


# Counts that are wrong


def _every(number: int) -> Callable[[], bool]:
    """Returns whether it is time again."""
    counter = itertools.count(1)
    return lambda: next(counter) % number == 0


def test_an_utterance_that_is_reported_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    emit, due = EventEmitter.emit, _every(20)

    def twice(listeners: EventEmitter, name: str, *arguments: Any) -> bool:
        if name == "utterance_finished" and due():
            emit(listeners, name, *arguments)
        return bool(emit(listeners, name, *arguments))

    monkeypatch.setattr(EventEmitter, "emit", twice)
    assert _checks(run(SHORT)) == {"utterance_finished exactly once"}


@pytest.mark.slow
def test_an_utterance_that_is_never_reported_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    emit, due = EventEmitter.emit, _every(20)

    def seldom(listeners: EventEmitter, name: str, *arguments: Any) -> bool:
        return (name == "utterance_finished" and due()) or bool(emit(listeners, name, *arguments))

    monkeypatch.setattr(EventEmitter, "emit", seldom)
    outcome = run(SHORT)
    assert "what is in use is kept" in _checks(outcome)
    assert any(" utterances, but " in problem for problem in outcome.problems)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["first_audio_byte", "last_audio_byte", "mark_reached"])
@pytest.mark.parametrize("times", [0, 2])
def test_an_event_that_is_emitted_another_number_of_times_is_noticed(
    monkeypatch: pytest.MonkeyPatch, name: str, times: int
) -> None:
    emit, due = EventEmitter.emit, _every(20)

    def otherwise(listeners: EventEmitter, emitted: str, *arguments: Any) -> bool:
        for _ in range(times if emitted == name and due() else 1):
            emit(listeners, emitted, *arguments)
        return True

    monkeypatch.setattr(EventEmitter, "emit", otherwise)
    expected = {
        "first_audio_byte": {"first_audio_byte exactly once"},
        "last_audio_byte": {"last_audio_byte if and only if completed"},
        "mark_reached": {"a mark is reached once", "all marks are reached on completion"},
    }
    assert _checks(run(SHORT)) & expected[name]


@pytest.mark.slow
def test_a_sample_that_is_lost_in_a_push_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    append, due = SampleBuffer.append_plain, _every(50)

    def lose(clip: SampleBuffer, data: bytes, samples: int) -> None:
        append(clip, data, samples)
        if due():
            clip.accepted -= 1

    monkeypatch.setattr(SampleBuffer, "append_plain", lose)
    assert "what is open is counted" in _checks(run(SHORT))


@pytest.mark.slow
def test_samples_that_are_played_and_not_counted_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    read, due = SampleBuffer.read, _every(20)

    def go_back(clip: SampleBuffer, out: memoryview) -> None:
        read(clip, out)
        if clip._offset and due():
            clip._offset -= clip._width

    monkeypatch.setattr(SampleBuffer, "read", go_back)
    assert "what was counted is what was heard" in _checks(run(SHORT))


@pytest.mark.slow
def test_a_buffer_that_is_counted_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    remove, due = PlayoutQueue.remove, _every(40)

    def forget(queue: PlayoutQueue, utterance: Utterance, turn: Turn) -> None:
        remove(queue, utterance, turn)
        queue._gone -= due()

    monkeypatch.setattr(PlayoutQueue, "remove", forget)
    assert "buffered is what is left" in _checks(run(replace(SHORT, segments=1, hours=0.02)))


@pytest.mark.slow
def test_a_refusal_that_is_not_counted_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse, due = Input.refuse, _every(10)

    def forget(input: Input, *arguments: Any) -> None:
        refuse(input, *arguments)
        input._transitions.stats.refused_samples -= due()

    monkeypatch.setattr(Input, "refuse", forget)
    assert _checks(run(SHORT)) == {"refusals are counted"}


@pytest.mark.slow
def test_stale_audio_that_is_taken_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    may_push = Input.may_push

    def lenient(input: Input, utterance: Any) -> bool:
        return may_push(input, utterance) or input._transitions.session.leaf == "idle"

    monkeypatch.setattr(Input, "may_push", lenient)
    assert "a push is taken whole or refused whole" in _checks(run(SHORT))


def test_what_is_raised_and_never_reported_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Emitter, "_failed", lambda *_: None)
    assert _checks(run(SHORT)) == {"what is raised is reported"}


# What grows, and what is left


def _keep(monkeypatch: pytest.MonkeyPatch, of: Callable[[Any], object]) -> list[object]:
    """Have a listener keep something of every utterance, for ever."""
    kept: list[object] = []
    finished = Account._finished

    def listener(account: Account, event: Any) -> None:
        kept.append(of(event))
        finished(account, event)

    monkeypatch.setattr(Account, "_finished", listener)
    return kept


@pytest.mark.slow
def test_utterances_that_a_listener_keeps_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _keep(monkeypatch, lambda event: event.utterance)
    outcome = run(soak.QUICK.parts()[0])
    kept.clear()
    assert not outcome.findings.failed
    types = {"playback.utterance.Utterance", "playback.audio.buffer.SampleBuffer"}
    assert types <= set(growing(outcome.samples))
    assert types <= set(left(outcome.before, outcome.after))
    assert any(
        problem.startswith("more and more live objects: playback.audio.buffer.SampleBuffer")
        for problem in outcome.problems
    )


@pytest.mark.slow
def test_a_controller_that_is_kept_when_it_was_replaced_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    close = Session.close

    async def keep(session: Session) -> None:
        kept[:] = [session.controller]
        await close(session)

    monkeypatch.setattr(Session, "close", keep)
    outcome = run(soak.QUICK.parts()[0])
    assert not outcome.findings.failed
    assert "controllers that nobody holds are kept: 7, not 6" in outcome.problems


@pytest.mark.slow
def test_bytes_that_a_listener_keeps_are_noticed_where_they_are_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _keep(monkeypatch, lambda _: bytes(20_000))
    outcome = run(soak.QUICK.parts()[1])
    kept.clear()
    assert len(outcome.problems) == 1
    assert outcome.problems[0].startswith("traced grows")


@pytest.mark.slow
def test_a_process_that_takes_more_and_more_memory_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = _keep(monkeypatch, lambda _: _taken(400_000))
    outcome = run(soak.QUICK.parts()[0])
    kept.clear()
    assert len(outcome.problems) == 1
    assert outcome.problems[0].startswith("rss grows")


def _taken(count: int) -> mmap.mmap:
    """Bytes that come from the system: whatever the allocator has left of earlier tests, the process grows."""
    memory = mmap.mmap(-1, count)
    memory.write(bytes(count))
    return memory


def test_a_task_that_is_left_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Session.close
    tasks = []

    async def leave(session: Session) -> None:
        tasks.append(asyncio.get_running_loop().create_task(asyncio.Event().wait()))
        await close(session)

    monkeypatch.setattr(Session, "close", leave)
    outcome = run(replace(SHORT, segments=1, hours=0.01))
    assert f"left when all was closed: {len(tasks)} tasks" in outcome.problems


def test_a_problem_is_shown_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(Emitter, "_failed", lambda *_: None)
    monkeypatch.setattr(soak, "FEWEST_SEGMENTS", 1)
    monkeypatch.setattr(soak, "QUICK", replace(soak.QUICK, segments=1))
    file = tmp_path / "found.json"
    assert main(["--hours", "0.03", "--controllers", "3", "--quick", "--json", str(file)]) == 1
    shown = capsys.readouterr().out
    assert "what is raised is reported" in shown
    assert shown.rstrip().endswith("FAILED")
    assert not json.loads(file.read_text(encoding="utf-8"))["ok"]


def _checks(outcome: Outcome) -> set[str]:
    """The checks that have failed."""
    assert not outcome.findings.failed or outcome.problems
    return set(outcome.findings.failed)


# How it judges


def _samples(values: list[int], name: str = "rss") -> list[Sample]:
    usual = {"rss": 0, "traced": 0, "objects": 0}
    return [
        Sample(hours=float(hour), types={}, ratio=1.0, all_in_us=1.0, **(usual | {name: value}))
        for hour, value in enumerate(values)
    ]


def test_a_slope_is_that_of_most_points() -> None:
    assert slope([0, 1, 2, 3, 4], [0, 2, 4, 100, 8]) == 2
    assert slope([0], [5]) == 0


def test_the_first_quarter_is_the_warm_up() -> None:
    samples = _samples([0, 90, 100, 100, 100, 100, 100, 100])
    assert len(warm(samples)) == 6
    assert trends(samples, "rss")[0].slope == 0
    assert ends([1, 2, 3, 4, 5, 6, 7, 9]) == (2, 7)
    assert ends([*range(16)]) == (1.5, 13.5)
    assert ends([1, 9]) == (1, 9)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.name)
def test_memory_grows_when_it_goes_up_all_the_time_and_far_enough(limit: Any) -> None:
    steady = _samples([round(2 * limit.rise) * hour for hour in range(16)], limit.name)
    jump = _samples([0] * 8 + [round(2 * limit.rise)] * 8, limit.name)
    slight = _samples([round(limit.slope / 2) * hour for hour in range(100)], limit.name)
    assert [trend.grows for trend in trends(steady, limit.name)] == [True]
    assert [trend.grows for trend in trends(jump, limit.name)] == [False]
    assert [trend.grows for trend in trends(slight, limit.name)] == [False]
    assert Trend(limit, 2 * limit.slope, limit.rise).grows is False


def test_more_and_more_objects_are_named_by_their_type() -> None:
    one = _samples([0] * 12)
    rising = [replace(sample, types={"a": 10 * hour, "b": 5}) for hour, sample in enumerate(one)]
    assert list(growing(rising)) == ["a"]
    assert list(growing([replace(sample, objects=1_000 * hour) for hour, sample in enumerate(one)])) == ["all objects"]


def test_rounding_is_to_the_nearest_whole_number_halves_up() -> None:
    assert [converted(samples, 44_100, 48_000) for samples in (0, 1, 147, 441)] == [0, 1, 160, 480]
    assert [converted(samples, 48_000, 24_000) for samples in (1, 2, 3)] == [1, 1, 2]
