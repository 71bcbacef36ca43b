"""Other programs execute what we export, and agree with the machine that runs: after every event, state and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final

import pytest

from playback import AudioFormat, Fades, PlaybackController
from playback.bargein import BARGE_IN
from playback.chart import PLAYBACK
from playback.tracing import Trace
from statecharts import IMPOSSIBLE, Chart
from tests.needs import need_xstate
from tests.statecharts.interpreters import (
    Step,
    Walk,
    by_python_statemachine,
    by_sismic,
    by_the_table,
    by_transitions,
    by_xstate,
    random_walks,
    walks_of,
)
from tests.statecharts.test_exports import LATE

Run = Callable[[Chart, Sequence[Walk]], list[list[Step]]]

INTERPRETERS: Final[Mapping[str, Run]] = {
    "transitions": by_transitions,
    "python-statemachine": by_python_statemachine,
    "sismic": by_sismic,
    "xstate": by_xstate,
}
CHARTS: Final = {chart.name: chart for chart in (PLAYBACK, BARGE_IN)}
RANDOM: Final = {name: random_walks(chart, count=40, length=60, seed=1) for name, chart in CHARTS.items()}

interpreters = pytest.mark.parametrize("interpreter", INTERPRETERS)
charts = pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)


def run(interpreter: str, chart: Chart, walks: Sequence[Walk]) -> list[list[Step]]:
    if interpreter == "xstate":
        need_xstate()
    return INTERPRETERS[interpreter](chart, walks)


@charts
def test_the_walks_are_long_and_go_everywhere(chart: Chart) -> None:
    assert sum(map(len, RANDOM[chart.name])) >= 2_000
    asked = set()
    for walk in walks_of(chart):
        leaves = [chart.initial, *(leaf for leaf, _ in by_the_table(chart, [walk])[0])]
        asked |= set(zip(leaves, walk, strict=False))
    possible = {(leaf, event) for leaf, row in chart.cells.items() for event, cell in row.items() if cell != IMPOSSIBLE}
    assert asked == possible


@interpreters
@charts
def test_a_tour_of_every_cell(chart: Chart, interpreter: str) -> None:
    assert run(interpreter, chart, walks_of(chart)) == by_the_table(chart, walks_of(chart))


@interpreters
@charts
def test_random_events(chart: Chart, interpreter: str) -> None:
    walks = RANDOM[chart.name]
    assert run(interpreter, chart, walks) == by_the_table(chart, walks)


@interpreters
def test_a_chart_that_begins_within_a_state(interpreter: str) -> None:
    assert run(interpreter, LATE, walks_of(LATE)) == by_the_table(LATE, walks_of(LATE))


def changed(leaf: str, event: str, target: str) -> Chart:
    """The chart with one other target."""
    cells = {source: dict(row) for source, row in PLAYBACK.cells.items()}
    cells[leaf][event] = target
    return replace(PLAYBACK, cells=cells)


@interpreters
@pytest.mark.parametrize(
    ("leaf", "event", "target"),
    [
        ("speaking.streaming", "pause", "paused.ended"),
        ("interrupted.sealed", "faded", "idle"),
        ("paused.empty", "push", "paused.ended"),
    ],
)
def test_one_changed_target_is_caught(interpreter: str, leaf: str, event: str, target: str) -> None:
    other = changed(leaf, event, target)
    for walks in (walks_of(PLAYBACK), RANDOM["playback"]):
        # The walks of the right chart lead the wrong one elsewhere: maybe where an event can't happen.
        possible = [walk for walk in walks if _is_possible(other, walk)]
        assert run(interpreter, other, possible) != by_the_table(PLAYBACK, possible)


def _is_possible(chart: Chart, walk: Walk) -> bool:
    leaf = chart.initial
    for event in walk:
        cell = chart.cells[leaf][event]
        if cell == IMPOSSIBLE:
            return False
        leaf = cell if cell in chart.cells else leaf
    return True


@interpreters
def test_what_controllers_did_is_what_the_others_do(interpreter: str) -> None:
    """The edges of sessions at random, as their traces have them."""
    traces = [wander(seed) for seed in range(30)]
    walks = [[edge.event for edge in trace.edges] for trace in traces]
    assert sum(map(len, walks)) >= 1_000
    runs = run(interpreter, PLAYBACK, walks)
    for trace, steps in zip(traces, runs, strict=True):
        assert [edge.target for edge in trace.edges] == [leaf for leaf, _ in steps]
        for edge, (_, emitted) in zip(trace.edges, steps, strict=True):
            cut_short = edge.event == "boundary" and "last_audio_byte" not in edge.outputs
            assert edge.outputs == (("utterance_finished",) if cut_short else emitted)


COMMANDS: Final = ("push", "push", "end", "pause", "resume", "interrupt", "lock", "unlock", "read", "read")


def wander(seed: int) -> Trace:
    """A controller that is given commands in any order."""
    random = Random(seed)
    controller = PlaybackController(AudioFormat(8_000), fades=Fades(0.002, 0.001, 0.001))
    trace = Trace(controller, limit=None)
    controller.read(16)
    for _ in range(120):
        command = random.choice(COMMANDS)
        match command:
            case "push":
                controller.push(bytes(2 * random.choice([8, 16, 40])))
            case "read":
                controller.read(16)
            case _:
                getattr(controller, command)()
    controller.close()
    trace.stop()
    return trace
