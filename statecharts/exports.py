"""A chart for other programs: SCXML (W3C) and XState's JSON.

A leaf ``state.detail`` becomes a state within a state. What an edge emits becomes an event that is sent to whoever runs
the chart, or the name of an action. A cell that is impossible has no transition, as one that is ignored.

Each transition has a line of its own, so that a change of one cell changes one line of a diff; JSON's commas may touch
the line before. No name needs to be escaped: a chart's names are words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from textwrap import indent
from typing import Any, Final

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
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<scxml xmlns="{SCXML}" version="1.0" name="{chart.name}" initial="{chart.initial}">',
        *(f"  {line}" for line in _scxml(chart)),
        "</scxml>",
    ]
    return "".join(f"{line}\n" for line in lines)


def _scxml(chart: Chart) -> Iterator[str]:
    """The states, line by line."""
    for state, leaves in _nested(chart):
        inner = leaves != [state]
        space = "  " if inner else ""
        if inner:
            yield f'<state id="{state}" initial="{leaves[0]}">'
        for leaf in leaves:
            yield f'{space}<state id="{leaf}">'
            for event, target, outputs in _edges(chart, leaf):
                leads = "" if target is None else f' target="{target}"'
                sends = "".join(f'<send event="{output}" target="{PARENT}"/>' for output in outputs)
                yield f'{space}  <transition event="{event}"{leads}>{sends}</transition>'
            yield f"{space}</state>"
        if inner:
            yield "</state>"


def xstate(chart: Chart) -> str:
    """The chart as the JSON that ``createMachine`` of XState 5 takes; outputs are the types of actions."""
    states: dict[str, str] = {}
    for state, leaves in _nested(chart):
        inner = {leaf: _object({"on": _object(_on(chart, leaf))}) for leaf in leaves}
        if leaves == [state]:
            states[state] = inner[state]
        else:
            details = {leaf.removeprefix(f"{state}."): text for leaf, text in inner.items()}
            states[state] = _object({"initial": _json(next(iter(details))), "states": _object(details)})
    machine = {"id": _json(chart.name), "initial": _json(state_of(chart.initial)), "states": _object(states)}
    return _object(machine) + "\n"


def _on(chart: Chart, leaf: str) -> dict[str, str]:
    """XState's transitions of a leaf, each as JSON."""
    transitions = {}
    for event, target, outputs in _edges(chart, leaf):
        transition: dict[str, Any] = {} if target is None else {"target": f"#{chart.name}.{target}"}
        if outputs:
            transition["actions"] = [{"type": output} for output in outputs]
        transitions[event] = _json(transition)
    return transitions


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _object(values: dict[str, str]) -> str:
    """An object, of values that are JSON already; each begins a line."""
    pairs = ",\n".join(f"{_json(name)}: {value}" for name, value in values.items())
    return f"{{\n{indent(pairs, '  ')}\n}}"


def _nested(chart: Chart) -> Iterator[tuple[str, list[str]]]:
    """Each state with its leaves; the one that the chart begins with, or the first of the table, stands first."""
    for state in chart.states:
        leaves = [leaf for leaf in chart.leaves if state_of(leaf) == state]
        yield state, sorted(leaves, key=lambda leaf: leaf != chart.initial)


def _edges(chart: Chart, leaf: str) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    """What a leaf takes: the event, where it leads unless the leaf stays, what it emits."""
    for event, cell in chart.cells[leaf].items():
        if cell not in (IGNORED, IMPOSSIBLE):
            yield event, None if cell in (STAYS, REFUSED) else cell, chart.outputs.get((leaf, event), ())
