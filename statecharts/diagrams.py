"""A chart as text for people: a Markdown table, a Mermaid diagram."""

from __future__ import annotations

from collections.abc import Iterator

from statecharts.chart import VERDICTS, Chart, Edge, state_of


def table(chart: Chart) -> str:
    """The chart's cells as a Markdown table: a row for each leaf, a column for each event."""
    rows = [["leaf", *chart.events], ["---"] * (1 + len(chart.events))]
    for leaf, cells in chart.cells.items():
        rows.append([leaf, *(f"`{cell}`" if cell in VERDICTS else cell for cell in cells.values())])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def mermaid(chart: Chart) -> str:
    """The chart's leaves within their states, and every edge that leaves its leaf, as a Mermaid state diagram.

    Where all leaves of a state take an event to the same place, the edge is drawn once, from the state. Edges between
    the same two places share one arrow. Lines are sorted, so that a change of one cell changes few lines.
    """
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in _lines(chart))]) + "\n"


def _lines(chart: Chart) -> Iterator[str]:
    yield f"[*] --> {_identifier(chart.initial)}"
    for state in chart.states:
        inner = [leaf for leaf in chart.leaves if leaf.startswith(f"{state}.")]
        if inner:
            yield f"state {state} {{"
            for leaf in inner:
                yield f'    state "{leaf.removeprefix(state + ".")}" as {_identifier(leaf)}'
            yield "}"
    arrows: dict[tuple[str, str], list[str]] = {}
    for edge in chart.edges():
        if edge.source != edge.target:
            events = arrows.setdefault((_origin(chart, edge), edge.target), [])
            if edge.event not in events:
                events.append(edge.event)
    for (source, target), events in sorted(arrows.items()):
        yield f"{_identifier(source)} --> {_identifier(target)}: {', '.join(events)}"


def _origin(chart: Chart, edge: Edge) -> str:
    """Where an edge is drawn from: its leaf, or the state whose leaves all go the same way out of it."""
    state = state_of(edge.source)
    inner = [leaf for leaf in chart.leaves if state_of(leaf) == state]
    common = all(chart.cells[leaf][edge.event] == edge.target for leaf in inner)
    return state if common and state_of(edge.target) != state else edge.source


def _identifier(leaf: str) -> str:
    """A leaf's name as Mermaid takes it."""
    return leaf.replace(".", "_")
