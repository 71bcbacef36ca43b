"""A chart for other programs: SCXML (W3C) and XState's JSON.

A leaf ``state.detail`` becomes a state within a state. What an edge tells becomes an event that is sent to whoever runs
the chart, or the name of an action. A cell that is impossible has no transition, as one that is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final
from xml.etree import ElementTree

from statecharts.chart import IGNORED, IMPOSSIBLE, REFUSED, STAYS, Chart, state_of

SCXML: Final = "http://www.w3.org/2005/07/scxml"
"""The namespace of State Chart XML, W3C Recommendation of 1 September 2015."""

PARENT: Final = "#_parent"
"""Where outputs go: to the session that invoked this one (the Recommendation, section 6.2.4)."""


def scxml(chart: Chart) -> str:
    """The chart as SCXML.

    Each leaf is a ``<state>`` with its own name as id. Each cell that takes its event is a ``<transition>``, without a
    target where the leaf stays, with a ``<send>`` to ``#_parent`` for each output.
    """
    root = ElementTree.Element("scxml", xmlns=SCXML, version="1.0", name=chart.name, initial=chart.initial)
    for state, leaves in _nested(chart):
        parent = root
        if leaves != [state]:
            parent = ElementTree.SubElement(root, "state", id=state, initial=leaves[0])
        for leaf in leaves:
            element = ElementTree.SubElement(parent, "state", id=leaf)
            for event, target, outputs in _edges(chart, leaf):
                transition = ElementTree.SubElement(element, "transition", event=event)
                if target is not None:
                    transition.set("target", target)
                for output in outputs:
                    ElementTree.SubElement(transition, "send", event=output, target=PARENT)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def xstate(chart: Chart) -> str:
    """The chart as the JSON that ``createMachine`` of XState 5 takes; outputs are the types of actions."""
    states: dict[str, Any] = {}
    for state, leaves in _nested(chart):
        inner = {leaf: {"on": dict(_on(chart, leaf))} for leaf in leaves}
        if leaves == [state]:
            states[state] = inner[state]
        else:
            details = {leaf.removeprefix(f"{state}."): node for leaf, node in inner.items()}
            states[state] = {"initial": next(iter(details)), "states": details}
    machine = {"id": chart.name, "initial": state_of(chart.initial), "states": states}
    return json.dumps(machine, indent=2, ensure_ascii=False) + "\n"


def _on(chart: Chart, leaf: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """XState's transitions of a leaf."""
    for event, target, outputs in _edges(chart, leaf):
        transition: dict[str, Any] = {} if target is None else {"target": f"#{chart.name}.{target}"}
        if outputs:
            transition["actions"] = [{"type": output} for output in outputs]
        yield event, transition


def _nested(chart: Chart) -> Iterator[tuple[str, list[str]]]:
    """Each state with its leaves; the one that the chart begins with, or the first of the table, stands first."""
    for state in chart.states:
        leaves = [leaf for leaf in chart.leaves if state_of(leaf) == state]
        yield state, sorted(leaves, key=lambda leaf: leaf != chart.initial)


def _edges(chart: Chart, leaf: str) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    """What a leaf takes: the event, where it leads unless the leaf stays, what it tells."""
    for event, cell in chart.cells[leaf].items():
        if cell not in (IGNORED, IMPOSSIBLE):
            yield event, None if cell in (STAYS, REFUSED) else cell, chart.outputs.get((leaf, event), ())
