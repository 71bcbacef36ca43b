"""The chart: its table, its checks, and the machine that is built from it."""

from __future__ import annotations

import copy
import logging
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transitions import Machine
from transitions.extensions import GraphMachine

from playback.chart import INTERNAL, MACHINE, PLAYBACK, STATE_OF, State
from statecharts import IGNORED, IMPOSSIBLE, REFUSED, STAYS, Chart, ChartError, ChartMachine, Edge
from statecharts.chart import find
from statecharts.machine import WATCHERS, Session

GOLDEN = """
| leaf | push | end | input_ended | ready | underrun | gap | completed | cut_short | drained | faded | pause | resume | interrupt | drop_waiting | lock | unlock | close |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
| idle | speaking.buffering | = | x | x | x | x | = | = | x | x | paused.empty | . | = | x | input_locked | . | closed |
| speaking.buffering | = | = | speaking.draining | speaking.streaming | x | x | = | = | x | x | paused.held | . | interrupted.fading | = | speaking.sealed | . | closed |
| speaking.streaming | = | = | speaking.draining | x | speaking.buffering | speaking.buffering | = | = | x | x | paused.held | . | interrupted.fading | = | speaking.sealed | . | closed |
| speaking.draining | speaking.streaming | = | x | x | x | x | = | = | idle | x | paused.ended | . | interrupted.fading | = | speaking.sealed | . | closed |
| speaking.sealed | R | = | x | x | x | x | = | = | input_locked | x | paused.sealed | . | interrupted.sealed | = | . | speaking.draining | closed |
| paused.empty | paused.held | = | x | x | x | x | = | = | x | x | . | idle | idle | x | paused.sealed | . | closed |
| paused.held | = | = | paused.ended | x | x | x | = | = | x | x | . | speaking.buffering | interrupted.fading | = | paused.sealed | . | closed |
| paused.ended | paused.held | = | x | x | x | x | = | = | x | x | . | speaking.draining | interrupted.fading | = | paused.sealed | . | closed |
| paused.sealed | R | = | x | x | x | x | = | = | x | x | . | speaking.sealed | interrupted.sealed | = | . | paused.ended | closed |
| interrupted.fading | speaking.buffering | = | x | x | x | x | = | = | x | idle | paused.empty | . | = | x | interrupted.sealed | . | closed |
| interrupted.sealed | R | = | x | x | x | x | = | = | x | input_locked | paused.sealed | . | = | x | . | interrupted.fading | closed |
| input_locked | R | = | x | x | x | x | = | = | x | x | paused.sealed | . | = | x | . | idle | closed |
| closed | R | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . |
"""  # noqa: E501


def golden() -> dict[str, dict[str, str]]:
    header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in GOLDEN.strip().splitlines())
    return {leaf: dict(zip(header[1:], row, strict=True)) for leaf, *row in rows}


def test_the_table_is_the_golden_matrix() -> None:
    assert {leaf: dict(row) for leaf, row in PLAYBACK.cells.items()} == golden()
    assert PLAYBACK.initial == "idle"
    assert PLAYBACK.internal == INTERNAL
    commands = ("push", "end", "pause", "resume", "interrupt", "drop_waiting", "lock", "unlock", "close")
    assert PLAYBACK.commands == commands


def test_the_built_machine_is_the_table() -> None:
    built = {
        (source, event): [transition.dest for transition in transitions]
        for event, trigger in MACHINE.machine.events.items()
        for source, transitions in trigger.transitions.items()
    }
    wanted = {
        (leaf, event): [None if cell in (STAYS, REFUSED) else cell]
        for leaf, row in golden().items()
        for event, cell in row.items()
        if cell not in (IGNORED, IMPOSSIBLE)
    }
    assert built == wanted
    assert set(MACHINE.machine.states) == set(golden())


@pytest.mark.parametrize("leaf", PLAYBACK.leaves)
@pytest.mark.parametrize("event", PLAYBACK.events)
def test_firing_does_what_the_cell_says(leaf: str, event: str) -> None:
    session = MACHINE.session()
    session.leaf = leaf
    cell = golden()[leaf][event]
    if cell == IMPOSSIBLE:
        with pytest.raises(ChartError, match=f"'{event}' can't happen in '{leaf}'"):
            MACHINE.fire(session, event)
        assert session.leaf == leaf
    else:
        assert MACHINE.fire(session, event) is (cell != IGNORED)
        assert session.leaf == (leaf if cell in (STAYS, IGNORED, REFUSED) else cell)


def test_sessions_are_apart_and_unknown_to_the_machine() -> None:
    one, other = MACHINE.session(), MACHINE.session()
    MACHINE.fire(one, "push")
    assert (one.leaf, other.leaf) == ("speaking.buffering", "idle")
    assert not MACHINE.machine.models
    assert sys.getsizeof(one) < 100
    assert not hasattr(one, "__dict__")


def test_outputs_hang_on_the_edges_that_emit_something() -> None:
    emitted = {(edge.source, edge.event): edge.outputs for edge in PLAYBACK.edges() if edge.outputs}
    assert emitted["speaking.streaming", "pause"] == ("paused",)
    assert emitted["input_locked", "push"] == ("audio_refused",)
    assert emitted["speaking.draining", "completed"] == ("last_audio_byte", "utterance_finished")
    assert emitted["speaking.draining", "cut_short"] == ("utterance_finished",)
    assert ("idle", "interrupt") not in emitted
    assert ("speaking.streaming", "push") not in emitted


def test_every_state_that_users_see_is_in_the_chart() -> None:
    assert [str(state) for state in State] == list(PLAYBACK.states)
    assert STATE_OF["paused.held"] is State.PAUSED


TOY = """
      go    stop
off   on    .
on    =     off
"""


def toy(table: str = TOY, *, internal: tuple[str, ...] = (), **more: object) -> Chart:
    return Chart.parse("toy", table, internal=internal, **more)  # type: ignore[arg-type]


def test_a_chart_emits_its_parts() -> None:
    chart = toy(internal=("stop",), outputs={("off", "go"): ("light",)})
    assert (chart.leaves, chart.events, chart.states) == (("off", "on"), ("go", "stop"), ("off", "on"))
    assert (chart.commands, chart.internal, chart.initial) == (("go",), ("stop",), "off")
    assert list(chart.edges()) == [
        Edge("off", "go", "on", ("light",)),
        Edge("on", "go", "on", ()),
        Edge("on", "stop", "off", ()),
    ]
    assert chart.leaves_where("stop", IGNORED) == {"off"}
    assert chart.leaves_taking("stop") == {"on"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TOY.replace("off   on    .", "off   on"), "'off' has 1 cells, expected 2"),
        (TOY.replace("off   on    .", "off   on    . ."), "'off' has 3 cells, expected 2"),
        (TOY.replace("off   on", "off   up"), r"\(off, go\) leads to the unknown leaf 'up'"),
        (TOY.replace("on    =", "on    on"), r"\(on, go\) leads to itself"),
        (TOY.replace("off   on", "off   ."), "the leaf 'on' can't be reached"),
        (TOY.replace("go    stop", "go    go"), "the event 'go' stands twice"),
        (TOY.replace("on    =", "off   ="), "the leaf 'off' stands twice"),
        (TOY.replace("off ", "x   "), "the leaf 'x' is called as a verdict is"),
        (
            TOY.replace("off ", "R   ").replace("on    =     off", "on    .     R"),
            "the leaf 'R' is called as a verdict",
        ),
        ("", "the table has no leaf"),
        (" go stop ", "the table has no leaf"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(table: str, message: str) -> None:
    with pytest.raises(ChartError, match=message):
        toy(table)


def test_a_fact_needs_a_column_and_an_output_an_edge() -> None:
    with pytest.raises(ChartError, match="the internal event 'ready' has no column"):
        toy(internal=("ready",))
    with pytest.raises(ChartError, match=r"\(off, stop\) takes no event"):
        toy(outputs={("off", "stop"): ("light",)})


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ("light", r"what \('off', 'go'\) emits is 'light', expected a tuple of names"),
        (("a light",), "the output 'a light' is no word"),
        (("",), "the output '' is no word"),
        ((1,), "the output 1 is no word"),
        (None, "is None, expected a tuple"),
    ],
)
def test_what_an_edge_emits_is_checked(outputs: object, message: str) -> None:
    with pytest.raises(ChartError, match=message):
        toy(outputs={("off", "go"): outputs})


def test_names_are_frozen_whatever_they_came_in() -> None:
    emitted = ["light"]
    chart = Chart("toy", "off", ["go"], [], {"off": {"go": "="}}, {("off", "go"): emitted})  # type: ignore[arg-type, dict-item]
    emitted.append("sound")
    assert (chart.commands, chart.internal, chart.outputs["off", "go"]) == (("go",), (), ("light",))
    for commands, internal in (("go", ()), (("go",), "")):
        with pytest.raises(ChartError, match=r"s is '.*', expected a tuple of names"):
            Chart("toy", "off", commands, internal, {"off": {"go": "="}})  # type: ignore[arg-type]
    with pytest.raises(ChartError, match="the internal events is 'stop', expected a tuple of names"):
        toy(internal="stop")  # type: ignore[arg-type]


def test_a_chart_can_be_a_key_and_be_copied() -> None:
    for other in (copy.deepcopy(PLAYBACK), pickle.loads(pickle.dumps(PLAYBACK)), replace(PLAYBACK)):
        assert other is not PLAYBACK
        assert {other: "same"}[PLAYBACK] == "same"
    assert toy() != toy(outputs={("off", "go"): ("light",)})


def test_a_chart_of_bare_data_is_checked_too() -> None:
    with pytest.raises(ChartError) as caught:
        Chart("toy", "nowhere", ("go", "go"), (), {"off": {"stop": "."}})
    for words in ("'go' stands twice", "'nowhere' is unknown", "(off, go) is not decided", "unknown event"):
        assert words in str(caught.value)


def test_the_table_can_not_be_changed_afterwards() -> None:
    with pytest.raises(TypeError):
        PLAYBACK.cells["idle"]["push"] = "closed"  # type: ignore[index]


def test_edges_are_not_logged_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    assert logging.getLogger("transitions").level == logging.NOTSET
    with caplog.at_level(logging.INFO):
        MACHINE.fire(MACHINE.session(), "push")
    assert not caplog.records
    with caplog.at_level(logging.INFO, logger="transitions"):
        MACHINE.fire(MACHINE.session(), "push")
    assert caplog.records


def test_other_machines_of_the_package_are_logged_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    other = Machine(states=["off", "on"], initial="off", transitions=[["go", "off", "on"]], name="other")
    with caplog.at_level(logging.INFO):
        assert other.trigger("go")
    assert caplog.records


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TOY.replace("go ", "g.o"), "the event 'g.o' is no word"),
        (TOY.replace("off ", "off."), "the leaf 'off.' is no word"),
        (TOY.replace("on ", "a.b.c"), "the leaf 'a.b.c' is no word"),
        (TOY.replace("off ", "on.a "), "the leaf 'on.a' lies within another, 'on'"),
        (TOY.replace("stop", '"s"'), "the event '\"s\"' is no word"),
        (TOY.replace("stop", "m²"), "the event 'm²' is no word"),  # neither XML nor Python takes it in a name
        (TOY.replace("stop", "-s"), "the event '-s' is no word"),
    ],
)
def test_names_that_other_programs_do_not_take_are_refused(table: str, message: str) -> None:
    with pytest.raises(ChartError, match=message):
        toy(table)
    with pytest.raises(ChartError, match="the name 'a toy' is no word"):
        Chart.parse("a toy", TOY, internal=())


def test_a_chart_is_found_by_its_name() -> None:
    assert find("playback.chart:PLAYBACK") is PLAYBACK
    with pytest.raises(ChartError, match="No module named 'nowhere'"):
        find("nowhere:CHART")
    with pytest.raises(ChartError, match="NOTHING"):
        find("playback.chart:NOTHING")
    with pytest.raises(ChartError, match=r"playback\.chart:State is a EnumType, expected a Chart"):
        find("playback.chart:State")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import missing_here", "ModuleNotFoundError: No module named 'missing_here'"),
        ("def", "SyntaxError"),
    ],
)
def test_a_module_that_fails_while_it_is_imported(
    line: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ChartError, match=f"^broken_module:CHART could not be imported: {message}"):
        find("broken_module:CHART")


class Drawn:
    """A model that the package hangs its own methods on."""

    get_graph: Callable[[], Any]


def drawn_by_the_package(machine: ChartMachine, session: Session | None = None) -> str:
    """The machine as `transitions` itself draws it, in Mermaid."""
    model = Drawn()
    graph = GraphMachine(model=None, graph_engine="mermaid", title=machine.chart.name, **machine.definition())
    graph.add_model(model, initial=(session or machine.session()).leaf)
    return str(model.get_graph().source)


def test_the_package_that_runs_the_machine_draws_it_too() -> None:
    """Every edge of the table, and no other, is in the picture that `transitions` draws."""
    drawn = set()
    for line in drawn_by_the_package(MACHINE).splitlines():
        if "-->" in line and "[*]" not in line:
            arrow, _, events = line.strip().partition(": ")
            source, target = arrow.split(" --> ")
            drawn |= {(source, event.removesuffix(" [internal]"), target) for event in events.split(" | ")}
    assert drawn == {(edge.source, edge.event, edge.target) for edge in PLAYBACK.edges()}


def test_the_package_s_drawing_marks_a_session_s_leaf() -> None:
    session = MACHINE.session()
    MACHINE.fire(session, "push")
    assert "Class speaking.buffering s_active" in drawn_by_the_package(MACHINE, session)
    assert not MACHINE.machine.models


def test_a_machine_of_another_chart() -> None:
    machine = ChartMachine(toy())
    session = machine.session()
    assert [machine.fire(session, event) for event in ("stop", "go", "go", "stop")] == [False, True, True, True]
    assert session.leaf == "off"


@pytest.mark.parametrize("event", ["leaf", "get_graph"])
def test_an_event_whose_name_the_machine_needs(event: str) -> None:
    with pytest.raises(ChartError, match=f"toy: a machine can't have an event '{event}', expected another name"):
        ChartMachine(toy(TOY.replace("stop", event)))


def test_an_event_that_the_chart_does_not_have() -> None:
    machine = ChartMachine(toy())
    session = machine.session()
    with pytest.raises(ChartError, match=r"toy has no cell \(off, nope\), expected one of the events go, stop"):
        machine.fire(session, "nope")
    assert session.leaf == "off"


def test_who_watches_may_come_and_go_while_an_event_is_fired() -> None:
    def second(chart: Chart, leaf: str, event: str) -> None:
        emitted.append("second")

    def first(chart: Chart, leaf: str, event: str) -> None:
        emitted.append("first")
        WATCHERS.discard(first)
        WATCHERS.add(second)

    emitted: list[str] = []
    session = MACHINE.session()
    WATCHERS.add(first)
    try:
        MACHINE.fire(session, "push")
        MACHINE.fire(session, "ready")
    finally:
        WATCHERS.difference_update({first, second})
    assert emitted == ["first", "second"]
