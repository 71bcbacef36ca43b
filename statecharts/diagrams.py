"""A chart drawn: what is to be seen is worked out once, as a :class:`Diagram`, and rendered as Mermaid, DOT or SVG.

Each cell has a line of its own, in the order of the table, so that a change of one cell changes one line of a diff; but
a cell that makes a leaf final, or no longer so, redraws in a detail what leads to that leaf.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final

from statecharts.chart import REFUSED, VERDICTS, Chart, Edge, state_of

PALETTE: Final = ("#9aa3b0", "#009e73", "#e69f00", "#d55e00", "#7b5ea7", "#4a5060", "#0072b2", "#cc79a7")
"""A colour for each state, in the order of the table: greys, and the palette of Okabe and Ito (Color Universal Design,
2008), whose colours people who see colours differently can distinguish."""

_FAINT: Final = "#c3c8d0"
_INK: Final = "#1f2733"
_FONT: Final = "DejaVu Sans,Verdana,sans-serif"  # both have the same widths, so that boxes fit wherever they are shown
# With more arrows than this, labels of parallel arrows cover each other in rows; in columns there is room.
_MANY_ARROWS: Final = 70

# Where lines cross a label, the label stays legible; what is lit is lit by the page that shows the picture.
_STYLE: Final = ".edge text { paint-order: stroke; stroke: white; stroke-width: 3px; stroke-linejoin: round }"
_ROLE: Final = 'role="img"'
_MARK: Final = "<!-- drawn from SHA-256"


class GraphvizError(RuntimeError):
    """Graphviz is not installed, or could not draw."""


# What is to be seen


@dataclass(frozen=True)
class Highlight:
    """What a diagram brings out: where a session stands, and the way that it took."""

    leaf: str | None = None
    """The current leaf."""
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How often each (leaf, event) was taken."""


@dataclass(frozen=True)
class Note:
    """An event that is written into a node's box: it leads nowhere else, or to a node that nothing leads out of."""

    text: str
    count: int = 0
    """How often it was taken."""


@dataclass(frozen=True)
class Node:
    """A box: a leaf, or in an overview a state."""

    name: str
    label: str
    state: str
    """The state that it belongs to."""
    notes: tuple[Note, ...] = ()
    current: bool = False


@dataclass(frozen=True)
class Arrow:
    """An event that leads from one node to another."""

    source: str
    target: str
    event: str
    label: str
    internal: bool
    """Whether the chart's environment reports the event, rather than the application."""
    count: int = 0
    """How often it was taken."""


@dataclass(frozen=True)
class Diagram:
    """What is to be drawn, whatever draws it."""

    title: str
    initial: str
    states: tuple[str, ...]
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    tracked: bool = False
    """Whether a way is brought out: then what was not taken is drawn faintly."""

    def nodes_of(self, state: str) -> tuple[Node, ...]:
        """The boxes that a state consists of."""
        return tuple(node for node in self.nodes if node.state == state)

    def colour(self, name: str) -> str:
        """The colour of a node's state."""
        return PALETTE[self.states.index(state_of(name)) % len(PALETTE)]


def overview(chart: Chart, highlight: Highlight | None = None) -> Diagram:
    """The visible states alone, with an arrow for each event that leads from one of them to another.

    Raises:
        ValueError: the highlight is about a leaf or an event that the chart does not have.
    """
    highlight = _checked(chart, highlight)
    counts: Counter[tuple[str, str, str]] = Counter()
    for edge in chart.edges():
        source, target = state_of(edge.source), state_of(edge.target)
        if source != target:
            counts[source, edge.event, target] += highlight.counts.get((edge.source, edge.event), 0)
    order = {word: place for place, word in enumerate((*chart.states, *chart.events))}
    arrows = tuple(
        Arrow(source, target, event, event, event in chart.internal, counts[source, event, target])
        for source, event, target in sorted(counts, key=lambda arrow: [order[word] for word in arrow])
    )
    current = None if highlight.leaf is None else state_of(highlight.leaf)
    nodes = tuple(Node(state, _words(state), state, current=state == current) for state in chart.states)
    return Diagram(chart.name, state_of(chart.initial), chart.states, nodes, arrows, bool(highlight.counts))


def detail(chart: Chart, highlight: Highlight | None = None) -> Diagram:
    """The leaves within their states, with an arrow for each event that leads from one to another, and what it emits.

    What a leaf takes without being left is written into its box, and so is what leads to a leaf that nothing leads out
    of: such arrows come from everywhere, and say little. The one that was taken is drawn nevertheless.

    Raises:
        ValueError: the highlight is about a leaf or an event that the chart does not have.
    """
    highlight = _checked(chart, highlight)
    left = {edge.source for edge in chart.edges() if edge.source != edge.target}
    notes: dict[str, list[Note]] = {leaf: [] for leaf in chart.leaves}
    arrows = []
    for edge in chart.edges():
        label = _label(chart, edge)
        count = highlight.counts.get((edge.source, edge.event), 0)
        if edge.source == edge.target:
            notes[edge.source].append(Note(label, count))
        elif edge.target not in left and not count:
            notes[edge.source].append(Note(f"{label} → {_words(edge.target)}"))
        else:
            arrows.append(Arrow(edge.source, edge.target, edge.event, label, edge.event in chart.internal, count))
    nodes = tuple(
        Node(leaf, _words(leaf.partition(".")[2] or leaf), state_of(leaf), tuple(notes[leaf]), leaf == highlight.leaf)
        for leaf in chart.leaves
    )
    return Diagram(chart.name, chart.initial, chart.states, nodes, tuple(arrows), bool(highlight.counts))


def _label(chart: Chart, edge: Edge) -> str:
    """An event, and what comes of it besides a change of the leaf."""
    refused = chart.cells[edge.source][edge.event] == REFUSED
    event = f"{edge.event} (refused)" if refused else edge.event
    return f"{event} / {', '.join(edge.outputs)}" if edge.outputs else event


VIEWS: Final = {"overview": overview, "detail": detail}
"""The ways to see a chart, by name."""


def _checked(chart: Chart, highlight: Highlight | None) -> Highlight:
    """The highlight, if the chart has all that it is about.

    Raises:
        ValueError: it has not.
    """
    highlight = highlight or Highlight()
    leaves = {highlight.leaf} - {None} | {leaf for leaf, _ in highlight.counts}
    for what, names, known in (
        ("leaf", leaves, chart.leaves),
        ("event", {event for _, event in highlight.counts}, chart.events),
    ):
        for name in sorted(names - set(known), key=str):
            raise ValueError(f"{chart.name} has no {what} {name!r}, expected one of {', '.join(known)}")
    return highlight


def _words(name: str) -> str:
    return name.replace("_", " ")


# Renderers


def table(chart: Chart) -> str:
    """The chart's cells as a Markdown table: a row for each leaf, a column for each event."""
    rows = [["leaf", *chart.events], ["---"] * (1 + len(chart.events))]
    for leaf, row in chart.cells.items():
        cells = [row[event] for event in chart.events]
        rows.append([leaf, *(f"`{cell}`" if cell in VERDICTS else cell for cell in cells)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def mermaid(diagram: Diagram) -> str:
    """A Mermaid state diagram, for pages that draw it themselves."""
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in _mermaid(diagram))]) + "\n"


def _mermaid(diagram: Diagram) -> Iterator[str]:
    names = _identifiers([*diagram.states, *(node.name for node in diagram.nodes)])
    yield f"[*] --> {names[diagram.initial]}"
    for state in diagram.states:
        nodes = diagram.nodes_of(state)
        inner = any(node.name != state for node in nodes)
        if inner:
            yield f'state "{_words(state)}" as {names[state]} {{'
        for node in nodes:
            indent = "    " if inner else ""
            yield f'{indent}state "{node.label}" as {names[node.name]}'
            for note in node.notes:
                yield f"{indent}{names[node.name]}: {_counted(note.text, note.count)}"
        if inner:
            yield "}"
    for arrow in diagram.arrows:
        yield f"{names[arrow.source]} --> {names[arrow.target]}: {_counted(arrow.label, arrow.count)}"
    for node in diagram.nodes:
        if node.current:
            yield "classDef current stroke-width:4px,font-weight:bold"
            yield f"class {names[node.name]} current"


def _identifiers(names: list[str]) -> dict[str, str]:
    """Each name as Mermaid takes it, no two alike. None of its words, in whatever case, begins with ``s_``."""
    identifiers: dict[str, str] = {}
    for name in dict.fromkeys(names):
        identifier = "s_" + re.sub(r"\W", "_", name)
        while identifier in identifiers.values():
            identifier += "_"
        identifiers[name] = identifier
    return identifiers


def dot(diagram: Diagram) -> str:
    """Graphviz's DOT. Each box has the id ``leaf-NAME``, each arrow ``edge-SOURCE-EVENT-TARGET``, also in an SVG."""
    return "\n".join([f"digraph {_quoted(diagram.title)} {{", *(f"  {line}" for line in _dot(diagram)), "}"]) + "\n"


def _dot(diagram: Diagram) -> Iterator[str]:
    if len(diagram.arrows) > _MANY_ARROWS:
        yield "rankdir=LR"
    yield 'newrank=true nodesep=0.4 ranksep=0.65 pad=0.2 bgcolor="white"'
    yield f'graph [fontname="{_FONT}" fontsize=14 labeljust=l]'
    yield f'node [fontname="{_FONT}" fontsize=12 fontcolor="{_INK}" shape=box style="rounded,filled" margin="0.1,0.06"]'
    yield f'edge [fontname="{_FONT}" fontsize=10 arrowsize=0.7]'
    yield "start [shape=point width=0.14]"
    yield f"start -> {_quoted(diagram.initial)}"
    for state in diagram.states:
        nodes = diagram.nodes_of(state)
        inner = any(node.name != state for node in nodes)
        colour = diagram.colour(state)
        if inner:
            yield f"subgraph {_quoted(f'cluster_{state}')} {{"
            yield f"  label=<<b>{escape(_words(state))}</b>> id={_quoted(f'state-{state}')}"
            yield f'  style="rounded,filled" color="{colour}" fillcolor="{colour}26" fontcolor="{_dark(colour)}"'
        for node in nodes:
            # Light enough for what is faint to be read on it.
            fill = "white" if inner and not node.current else f"{colour}33"
            line = f'color="{_dark(colour)}" fillcolor="{fill}"'
            width = " penwidth=3.5" if node.current else ""
            yield f"  {_quoted(node.name)} [id={_quoted(f'leaf-{node.name}')} {line}{width} label=<"
            yield '    <table border="0" cellspacing="1" cellpadding="1">'
            yield f"    <tr><td><b>{escape(node.label)}</b></td></tr>"
            for note in node.notes:
                yield f"    {_row(note, diagram.tracked)}"
            yield "    </table>>]"
        if inner:
            yield "}"
    for arrow in diagram.arrows:
        colour = _FAINT if diagram.tracked and not arrow.count else _dark(diagram.colour(arrow.target))
        ends = f"{_quoted(arrow.source)} -> {_quoted(arrow.target)}"
        name = _quoted(f"edge-{arrow.source}-{arrow.event}-{arrow.target}")
        look = f'color="{colour}" fontcolor="{colour}"' + (" style=dashed" if arrow.internal else "")
        width = " penwidth=2.4" if arrow.count else ""
        yield f"{ends} [label={_quoted(f' {_counted(arrow.label, arrow.count)} ')} id={name} {look}{width}]"


def svg(diagram: Diagram) -> str:
    """An SVG picture, drawn by Graphviz from the DOT. It says what it was drawn from: see :func:`is_of`.

    Raises:
        GraphvizError: Graphviz is not installed, or could not draw.
    """
    source = dot(diagram)
    try:
        done = subprocess.run(["dot", "-Tsvg"], input=source, capture_output=True, encoding="utf-8", check=True)
    except FileNotFoundError:
        raise GraphvizError("no program 'dot' found: install Graphviz to draw SVG pictures") from None
    except subprocess.CalledProcessError as error:
        raise GraphvizError(f"Graphviz could not draw {diagram.title}: {error.stderr.strip()}") from None
    head, opening, body = done.stdout.partition("<svg ")
    attributes, _, rest = body.partition(">")
    prologue = head.partition("<!-- Generated")[0]
    picture = f"{opening}{_ROLE} {attributes}>\n{_heading(diagram)}{rest}"
    return f"{prologue}{_mark(diagram, picture)}\n{picture}"


def is_of(picture: str, diagram: Diagram) -> bool:
    """Whether an SVG was drawn from this diagram, and is whole and unchanged since.

    Other versions of Graphviz draw the same diagram a little differently, so pictures are not compared by themselves.
    """
    _, opening, rest = picture.partition(_MARK)
    mark, _, drawn = rest.partition("\n")
    return opening + mark == _mark(diagram, drawn)


def _mark(diagram: Diagram, picture: str) -> str:
    """A comment with the SHA-256 of all that a picture is made of, and of the picture itself."""
    sources = dot(diagram) + _ROLE + _heading(diagram)
    hashes = (hashlib.sha256(text.encode()).hexdigest() for text in (sources, picture))
    return f"{_MARK} {' as '.join(hashes)} -->"


def _heading(diagram: Diagram) -> str:
    """What a picture begins with, added to what Graphviz draws."""
    return f"<title>{escape(diagram.title)}</title><style>{_STYLE}</style>"


def _row(note: Note, tracked: bool) -> str:
    """A note as a row of a box; what is long is broken after its commas."""
    colour = f' color="{_FAINT}"' if tracked and not note.count else ""
    text = escape(_counted(note.text, note.count)).replace(", ", ',<br align="left"/>   ')
    return f'<tr><td align="left"><font point-size="9"{colour}>{text}<br align="left"/></font></td></tr>'


def _counted(text: str, count: int) -> str:
    return f"{text} ×{count}" if count else text


def _quoted(text: str) -> str:
    """A string as DOT takes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _dark(colour: str) -> str:
    """A colour dark enough for lines and letters on white."""
    return "#" + "".join(f"{round(int(colour[at : at + 2], 16) * 0.72):02x}" for at in (1, 3, 5))
