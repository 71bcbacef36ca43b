"""Diagrams: every cell is drawn where it belongs, in a line of its own, and no label covers another."""

from __future__ import annotations

import difflib
import itertools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from playback.bargein import BARGE_IN
from playback.chart import PLAYBACK
from statecharts import IGNORED, IMPOSSIBLE, REFUSED, STAYS, VERDICTS, Chart, ChartError, diagrams, state_of
from statecharts.diagrams import Diagram, Highlight, detail, overview
from tests.needs import need_program
from tests.test_chart import golden

HIGHLIGHT = Highlight("speaking.streaming", {("idle", "push"): 2, ("closed", "push"): 1, ("idle", "close"): 3})

TOY = Chart.parse(
    "toy",
    """
            go      end
    state   end     .
    end     a.note  R
    a.note  =       a_note
    a_note  state   =
    """,
    facts=("end",),
    outputs={("state", "go"): ("one", "two")},
)
"""Names that mean something in Mermaid, and two that look alike there."""


def test_the_markdown_table_has_every_cell() -> None:
    header, _, *rows = diagrams.table(PLAYBACK).splitlines()
    cells = [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in (header, *rows)]
    assert cells[0] == ["leaf", *PLAYBACK.events]
    assert {leaf: dict(zip(PLAYBACK.events, row, strict=True)) for leaf, *row in cells[1:]} == golden()


def test_the_detail_has_every_cell_that_takes_its_event() -> None:
    diagram = detail(PLAYBACK)
    arrows = {(arrow.source, arrow.event, arrow.target) for arrow in diagram.arrows}
    notes = {(node.name, note.text.split(" ")[0]) for node in diagram.nodes for note in node.notes}
    left = {
        (leaf, event, cell)
        for leaf, row in golden().items()
        for event, cell in row.items()
        if cell not in VERDICTS and cell != "closed"
    }
    kept = {
        (leaf, event)
        for leaf, row in golden().items()
        for event, cell in row.items()
        if cell in (STAYS, REFUSED, "closed")
    }
    assert (arrows, notes) == (left, kept)
    assert [node.name for node in diagram.nodes] == list(golden())


def test_what_an_edge_tells_stands_on_it() -> None:
    diagram = detail(PLAYBACK)
    labels = {(arrow.source, arrow.event): arrow.label for arrow in diagram.arrows}
    assert labels["speaking.streaming", "pause"] == "pause / paused"
    assert labels["speaking.draining", "drained"] == "drained"
    idle = next(node for node in diagram.nodes if node.name == "idle")
    texts = [note.text for note in idle.notes]
    assert texts == ["boundary / last_audio_byte, utterance_finished", "interrupt", "close / closed → closed"]
    assert {arrow.event for arrow in diagram.arrows if arrow.fact} == {"ready", "underrun", "drained"}


def test_the_overview_has_what_leads_from_state_to_state() -> None:
    drawn = [(arrow.source, arrow.event, arrow.target) for arrow in overview(PLAYBACK).arrows]
    wanted = {
        (state_of(leaf), event, state_of(cell))
        for leaf, row in golden().items()
        for event, cell in row.items()
        if cell not in VERDICTS and state_of(cell) != state_of(leaf)
    }
    assert set(drawn) == wanted
    assert len(drawn) == len(wanted)
    assert [node.name for node in overview(PLAYBACK).nodes] == list(PLAYBACK.states)


def mutated() -> Iterator[Chart]:
    """Every chart that differs in one cell; not those in which what is final no longer is."""
    for leaf, event in itertools.product(PLAYBACK.leaves, PLAYBACK.events):
        for cell in (*PLAYBACK.leaves, STAYS, IGNORED, REFUSED, IMPOSSIBLE):
            if cell not in (leaf, PLAYBACK.cells[leaf][event]) and leaf != "closed":
                cells = {source: dict(row) for source, row in PLAYBACK.cells.items()}
                cells[leaf][event] = cell
                outputs = {place: told for place, told in PLAYBACK.outputs.items() if place != (leaf, event)}
                try:
                    yield replace(PLAYBACK, cells=cells, outputs=outputs)
                except ChartError:  # a leaf that can't be reached any more
                    continue


@pytest.mark.parametrize("view", diagrams.VIEWS.values(), ids=diagrams.VIEWS)
@pytest.mark.parametrize("render", [diagrams.mermaid, diagrams.dot], ids=["mermaid", "dot"])
def test_a_change_of_one_cell_changes_one_line(
    view: Callable[[Chart], Diagram], render: Callable[[Diagram], str]
) -> None:
    before = render(view(PLAYBACK)).splitlines()
    most = 0
    for chart in itertools.islice(mutated(), 0, None, 7):
        lines = list(difflib.unified_diff(before, render(view(chart)).splitlines(), n=0, lineterm=""))[2:]
        gone, come = (sum(line.startswith(sign) for line in lines) for sign in "-+")
        assert gone <= 1, lines
        assert come <= 1, lines
        most = max(most, gone + come)
    assert most == 2


@pytest.mark.parametrize("chart", [PLAYBACK, BARGE_IN, TOY], ids=lambda chart: chart.name)
@pytest.mark.parametrize("view", diagrams.VIEWS.values(), ids=diagrams.VIEWS)
def test_mermaid_has_every_arrow_under_a_name_of_its_own(chart: Chart, view: Callable[[Chart], Diagram]) -> None:
    diagram = view(chart)
    text = diagrams.mermaid(diagram)
    names = re.findall(r'^ *state "([^"]*)" as (\w+)', text, re.MULTILINE)
    assert len({identifier for _, identifier in names}) == len(names)
    assert not {identifier for _, identifier in names} & {"state", "end", "note"}
    identifiers = {identifier for _, identifier in names}
    arrows = re.findall(r"^ *(\w+) --> (\w+): (.*)$", text, re.MULTILINE)
    assert [label for _, _, label in arrows] == [arrow.label for arrow in diagram.arrows]
    assert {name for source, target, _ in arrows for name in (source, target)} <= identifiers


def test_a_highlight_brings_out_a_leaf_and_a_way() -> None:
    diagram = detail(PLAYBACK, HIGHLIGHT)
    assert [node.name for node in diagram.nodes if node.current] == ["speaking.streaming"]
    assert [(arrow.source, arrow.event, arrow.count) for arrow in diagram.arrows if arrow.count] == [
        ("idle", "push", 2)
    ]
    text = diagrams.mermaid(diagram)
    assert "idle --> speaking_buffering: push ×2\n" in text
    assert "closed: push / audio_refused ×1\n" in text
    assert text.endswith("class speaking_streaming current\n")
    assert "idle --> speaking: push ×2\n" in diagrams.mermaid(overview(PLAYBACK, HIGHLIGHT))
    assert "close / closed → closed ×3" in diagrams.dot(diagram)
    assert "×" not in diagrams.dot(detail(PLAYBACK))


@pytest.mark.parametrize(
    ("highlight", "message"),
    [
        (Highlight("speaking"), "playback has no leaf 'speaking', expected one of idle, speaking.buffering"),
        (Highlight(counts={("nowhere", "push"): 1}), "no leaf 'nowhere'"),
        (Highlight(counts={("idle", "shout"): 1}), "no event 'shout', expected one of push"),
    ],
)
@pytest.mark.parametrize("view", diagrams.VIEWS.values(), ids=diagrams.VIEWS)
def test_a_highlight_of_what_is_not_there_is_refused(
    highlight: Highlight, message: str, view: Callable[[Chart, Highlight], Diagram]
) -> None:
    with pytest.raises(ValueError, match=message):
        view(PLAYBACK, highlight)


class Box(NamedTuple):
    """A rectangle in the picture, in points."""

    what: str
    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        across = min(self.right, other.right) - max(self.left, other.left)
        along = min(self.top, other.top) - max(self.bottom, other.bottom)
        return across > 1 and along > 1


def laid_out(diagram: Diagram) -> dict[str, Any]:
    need_program("dot", "Debian package graphviz")
    done = subprocess.run(["dot", "-Tjson"], input=diagrams.dot(diagram), capture_output=True, text=True, check=True)
    assert not done.stderr
    laid: dict[str, Any] = json.loads(done.stdout)
    return laid


@pytest.mark.parametrize("chart", [PLAYBACK, BARGE_IN, TOY], ids=lambda chart: chart.name)
@pytest.mark.parametrize("highlight", [False, True])
@pytest.mark.parametrize("view", diagrams.VIEWS.values(), ids=diagrams.VIEWS)
def test_no_label_covers_another_or_a_box(
    chart: Chart, view: Callable[[Chart, Highlight | None], Diagram], highlight: bool
) -> None:
    laid = laid_out(view(chart, HIGHLIGHT if highlight and chart is PLAYBACK else None))
    boxes = []
    for node in laid["objects"]:
        if "pos" in node:
            x, y = map(float, node["pos"].split(","))
            width, height = (72 * float(node[size]) for size in ("width", "height"))
            boxes.append(Box(node["name"], x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    labels = []
    for edge in laid["edges"]:
        if "lp" in edge:
            x, y = map(float, edge["lp"].split(","))
            width = sum(piece["width"] for piece in edge["_ldraw_"] if piece["op"] == "T")
            labels.append(Box(edge["label"], x - width / 2, y - 5, x + width / 2, y + 5))
    assert len(labels) == len(view(chart, None).arrows)
    overlaps = [(one.what, other.what) for one, other in itertools.combinations(labels, 2) if one.overlaps(other)]
    overlaps += [(one.what, other.what) for one in labels for other in boxes if one.overlaps(other)]
    assert overlaps == []


def test_a_picture_has_every_leaf_and_edge_by_its_id() -> None:
    need_program("dot", "Debian package graphviz")
    diagram = detail(PLAYBACK, HIGHLIGHT)
    picture = diagrams.svg(diagram)
    root = ElementTree.fromstring(picture.encode())
    ids = {element.get("id") for element in root.iter()}
    assert {f"leaf-{leaf}" for leaf in PLAYBACK.leaves} <= ids
    assert {f"edge-{arrow.source}-{arrow.event}-{arrow.target}" for arrow in diagram.arrows} <= ids
    assert {f"state-{state}" for state in ("speaking", "paused", "interrupted")} <= ids
    assert root[0].text == "playback"
    assert diagrams.is_of(picture, diagram)
    assert not diagrams.is_of(picture, detail(PLAYBACK))


def test_every_state_has_a_colour_of_its_own() -> None:
    diagram = overview(PLAYBACK)
    assert len({diagram.colour(state) for state in PLAYBACK.states}) == 6


def test_without_graphviz_a_picture_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(diagrams.GraphvizError, match="install Graphviz"):
        diagrams.svg(overview(PLAYBACK))
