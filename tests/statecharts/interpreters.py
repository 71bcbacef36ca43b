"""A chart run by programs that know nothing of each other: each takes walks, and reports what came of every event."""

from __future__ import annotations

import json
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final
from xml.etree import ElementTree

from sismic.interpreter import Interpreter
from sismic.model import BasicState, CompoundState, Statechart, Transition
from statemachine.io.loader import load

from statecharts import IMPOSSIBLE, Chart, ChartMachine, exports, state_of
from tests.needs import NODE_MODULES

Walk = Sequence[str]
"""Events, one after the other, from the chart's beginning."""

Step = tuple[str, tuple[str, ...]]
"""The leaf after an event, and what was emitted."""

NODE: Final = Path(__file__).parent / "xstate.mjs"
_SCXML: Final = f"{{{exports.SCXML}}}"


def by_the_table(chart: Chart, walks: Sequence[Walk]) -> list[list[Step]]:
    """The cells, looked up by hand."""
    runs = []
    for walk in walks:
        leaf, run = chart.initial, []
        for event in walk:
            cell = chart.cells[leaf][event]
            emitted = chart.outputs.get((leaf, event), ())
            leaf = cell if cell in chart.leaves else leaf
            run.append((leaf, emitted))
        runs.append(run)
    return runs


def by_transitions(chart: Chart, walks: Sequence[Walk]) -> list[list[Step]]:
    """The machine that the program runs."""
    machine = ChartMachine(chart)
    runs = []
    for walk in walks:
        session, run = machine.session(), []
        for event in walk:
            leaf = session.leaf
            taken = machine.fire(session, event)
            run.append((session.leaf, chart.outputs.get((leaf, event), ()) if taken else ()))
        runs.append(run)
    return runs


class _Parent:
    """The session that invoked a chart, and receives what it emits."""

    def __init__(self) -> None:
        self.emitted: list[str] = []

    def send_to_parent(self, event: str) -> None:
        self.emitted.append(event)


def by_python_statemachine(chart: Chart, walks: Sequence[Walk]) -> list[list[Step]]:
    """python-statemachine, which reads our SCXML."""
    make: Callable[[], Any] = load(exports.scxml(chart), format="scxml")
    runs = []
    for walk in walks:
        machine, parent = make(), _Parent()
        machine._invoke_session = parent
        run = []
        for event in walk:
            parent.emitted = []
            machine.send(event)
            (leaf,) = (state.id for state in machine.configuration if state.id in chart.cells)
            run.append((leaf, tuple(parent.emitted)))
        runs.append(run)
    return runs


def by_sismic(chart: Chart, walks: Sequence[Walk]) -> list[list[Step]]:
    """Sismic, which is given state by state what our SCXML says."""
    statechart = _read(ElementTree.fromstring(exports.scxml(chart)))
    runs = []
    for walk in walks:
        emitted: list[str] = []
        interpreter = Interpreter(statechart, initial_context={"emitted": emitted})
        interpreter.execute()
        run = []
        for event in walk:
            emitted.clear()
            interpreter.queue(event).execute()
            (leaf,) = (name for name in interpreter.configuration if name in chart.cells)
            run.append((leaf, tuple(interpreter.context["emitted"])))
            interpreter.context["emitted"].clear()
        runs.append(run)
    return runs


def _read(root: ElementTree.Element) -> Statechart:
    """SCXML as Sismic's model."""
    statechart = Statechart(root.attrib["name"])
    statechart.add_state(CompoundState("root", initial=state_of(root.attrib["initial"])), None)
    sources = []
    for parent, element in _states("root", root):
        name = element.attrib["id"]
        inner = element.find(f"{_SCXML}state") is not None
        statechart.add_state(CompoundState(name, element.get("initial")) if inner else BasicState(name), parent)
        sources.append(element)
    for element in sources:
        for transition in element.findall(f"{_SCXML}transition"):
            sends = [send.attrib["event"] for send in transition.findall(f"{_SCXML}send")]
            statechart.add_transition(
                Transition(
                    element.attrib["id"],
                    transition.get("target"),
                    transition.attrib["event"],
                    action=f"emitted.extend({sends!r})",
                )
            )
    statechart.validate()
    return statechart


def _states(parent: str, element: ElementTree.Element) -> Iterator[tuple[str, ElementTree.Element]]:
    for state in element.findall(f"{_SCXML}state"):
        yield parent, state
        yield from _states(state.attrib["id"], state)


def by_xstate(chart: Chart, walks: Sequence[Walk]) -> list[list[Step]]:
    """XState in Node, which reads our JSON."""
    given = json.dumps({"machine": json.loads(exports.xstate(chart)), "walks": [list(walk) for walk in walks]})
    done = subprocess.run(["node", NODE, f"{NODE_MODULES}/"], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [[(leaf, tuple(emitted)) for leaf, emitted in run] for run in json.loads(done.stdout)]


def walks_of(chart: Chart) -> list[list[str]]:
    """Walks that together ask every cell that can be reached and is not impossible."""
    paths: dict[str, list[str]] = {chart.initial: []}
    waiting = deque([chart.initial])
    while waiting:
        leaf = waiting.popleft()
        for event, cell in chart.cells[leaf].items():
            if cell in chart.cells and cell not in paths:
                paths[cell] = [*paths[leaf], event]
                waiting.append(cell)
    return [
        [*path, event]
        for leaf, path in paths.items()
        for event, cell in chart.cells[leaf].items()
        if cell != IMPOSSIBLE
    ]


def random_walks(chart: Chart, count: int, length: int, seed: int) -> list[list[str]]:
    """Walks of events in any order, but for those that can't happen; each leaf is left for good only late."""
    random = Random(seed)
    endless = {leaf for leaf, row in chart.cells.items() if any(cell in chart.cells for cell in row.values())}
    walks = []
    for _ in range(count):
        leaf, walk = chart.initial, []
        for number in range(length):
            cells = chart.cells[leaf]
            late = number >= length - 5
            events = [
                event
                for event, cell in cells.items()
                if cell != IMPOSSIBLE and (late or cell not in chart.cells or cell in endless)
            ]
            event = random.choice(events)
            walk.append(event)
            leaf = cells[event] if cells[event] in chart.cells else leaf
        walks.append(walk)
    return walks
