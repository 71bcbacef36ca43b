"""Diagrams: every cell is drawn where it belongs, in a line of its own, and no label covers another."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from playback.bargein import BARGE_IN
from playback.chart import PLAYBACK
from statecharts import IGNORED, IMPOSSIBLE, REFUSED, STAYS, VERDICTS, Chart, ChartError, diagrams, exports, state_of
from statecharts.diagrams import Diagram, Highlight, detail, overview
from tests.core.test_chart import golden
from tests.needs import need_program

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
    internal=("end",),
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


def test_what_an_edge_emits_stands_on_it() -> None:
    diagram = detail(PLAYBACK)
    labels = {(arrow.source, arrow.event): arrow.label for arrow in diagram.arrows}
    assert labels["speaking.streaming", "pause"] == "pause / paused"
    assert labels["speaking.draining", "drained"] == "drained"
    idle = next(node for node in diagram.nodes if node.name == "idle")
    texts = [note.text for note in idle.notes]
    closed = next(node for node in diagram.nodes if node.name == "closed")
    assert [note.text for note in closed.notes] == ["push (refused) / audio_refused"]  # it is not taken, as with =
    assert texts == [
        "end",
        "completed / last_audio_byte, utterance_finished",
        "cut_short / utterance_finished",
        "interrupt",
        "close / closed → closed",
    ]
    internal = {arrow.event for arrow in diagram.arrows if arrow.internal}
    assert internal == {"input_ended", "ready", "underrun", "gap", "drained", "faded"}


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
    """Every chart that differs in one cell; not those in which what is final no longer is: these are drawn apart."""
    for leaf, event in itertools.product(PLAYBACK.leaves, PLAYBACK.events):
        for cell in (*PLAYBACK.leaves, STAYS, IGNORED, REFUSED, IMPOSSIBLE):
            if cell not in (leaf, PLAYBACK.cells[leaf][event]) and leaf != "closed":
                cells = {source: dict(row) for source, row in PLAYBACK.cells.items()}
                cells[leaf][event] = cell
                outputs = {place: emitted for place, emitted in PLAYBACK.outputs.items() if place != (leaf, event)}
                try:
                    yield replace(PLAYBACK, cells=cells, outputs=outputs)
                except ChartError:  # a leaf that can't be reached any more
                    continue


@pytest.mark.parametrize("view", diagrams.VIEWS.values(), ids=diagrams.VIEWS)
@pytest.mark.parametrize("render", [diagrams.mermaid, diagrams.dot], ids=["mermaid", "dot"])
def test_a_change_of_one_cell_changes_one_line(
    view: Callable[[Chart], Diagram], render: Callable[[Diagram], str]
) -> None:
    before = render(view(PLAYBACK))
    changes = {changed_lines(before, render(view(chart))) for chart in itertools.islice(mutated(), 0, None, 7)}
    assert (1, 1) in changes
    assert changes <= {(0, 0), (0, 1), (1, 0), (1, 1)}


def changed_lines(before: str, after: str) -> tuple[int, int]:
    """How many lines have gone, and how many have come."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return sum(line.startswith("-") for line in lines), sum(line.startswith("+") for line in lines)


@pytest.mark.parametrize("export", [exports.scxml, exports.xstate, diagrams.table])
def test_a_change_of_one_cell_changes_one_line_of_an_export(export: Callable[[Chart], str]) -> None:
    def lines(chart: Chart) -> str:
        return re.sub(",$", "", export(chart), flags=re.MULTILINE)  # JSON's commas are the next line's

    before = lines(PLAYBACK)
    changes = {changed_lines(before, lines(chart)) for chart in itertools.islice(mutated(), 0, None, 7)}
    assert (1, 1) in changes
    assert changes <= {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_a_new_state_changes_no_other_state_s_lines() -> None:
    cells = {leaf: dict(row) for leaf, row in TOY.cells.items()}
    new = {"new.one": {"go": "state", "end": "="}, **cells}
    more = replace(TOY, initial="new.one", cells=new)
    boxes, others = (
        [line for line in diagrams.dot(detail(chart)).splitlines() if "subgraph" in line] for chart in (TOY, more)
    )
    assert boxes == ['  subgraph "cluster_a" {']
    assert others == ['  subgraph "cluster_new" {', *boxes]


MERMAID_WORDS = (
    "Note Class Style click scale default root accTitle accDescr constructor toString __proto__ END State direction "
    "classDef as hide"
)


@pytest.mark.parametrize("word", MERMAID_WORDS.split())
@pytest.mark.parametrize("view", diagrams.VIEWS.values(), ids=diagrams.VIEWS)
def test_no_name_is_a_word_of_mermaid_s(word: str, view: Callable[[Chart, Highlight], Diagram]) -> None:
    """Mermaid does not mind the case of its own words, and trips over those of JavaScript."""
    chart = Chart.parse("toy", f"       go   end\n{word}  b.b  .\nb.b  {word}  =", internal=())
    text = diagrams.mermaid(view(chart, Highlight(word)))
    bare = re.sub(r'"[^"]*"|: .*', "", text)  # what is a label is no word of the language
    names = set(re.findall(r"[\w]+", bare)) - {"stateDiagram", "v2", "state", "as", "classDef", "class", "current"}
    names -= {"stroke", "width", "4px", "font", "weight", "bold"}
    assert f"s_{word}" in names
    assert all(name.startswith("s_") for name in names)


@pytest.mark.parametrize("chart", [PLAYBACK, BARGE_IN, TOY], ids=lambda chart: chart.name)
@pytest.mark.parametrize("view", diagrams.VIEWS.values(), ids=diagrams.VIEWS)
def test_mermaid_has_every_arrow_under_a_name_of_its_own(chart: Chart, view: Callable[[Chart], Diagram]) -> None:
    diagram = view(chart)
    text = diagrams.mermaid(diagram)
    names = re.findall(r'^ *state "([^"]*)" as (\w+)', text, re.MULTILINE)
    assert len({identifier for _, identifier in names}) == len(names)
    identifiers = {identifier for _, identifier in names}
    arrows = re.findall(r"^ *(\w+) --> (\w+): (.*)$", text, re.MULTILINE)
    assert [label for _, _, label in arrows] == [arrow.label for arrow in diagram.arrows]
    assert {name for source, target, _ in arrows for name in (source, target)} <= identifiers


def test_a_highlight_brings_out_a_leaf_and_a_way() -> None:
    diagram = detail(PLAYBACK, HIGHLIGHT)
    assert [node.name for node in diagram.nodes if node.current] == ["speaking.streaming"]
    assert [(arrow.source, arrow.event, arrow.count) for arrow in diagram.arrows if arrow.count] == [
        ("idle", "push", 2),
        ("idle", "close", 3),  # else it is written into the box: the way that was taken is to be seen
    ]
    text = diagrams.mermaid(diagram)
    assert "s_idle --> s_speaking_buffering: push ×2\n" in text
    assert "s_idle --> s_closed: close / closed ×3\n" in text
    assert "s_paused_empty: close / closed → closed\n" in text
    assert "s_closed: push (refused) / audio_refused ×1\n" in text
    assert text.endswith("class s_speaking_streaming current\n")
    assert "s_idle --> s_speaking: push ×2\n" in diagrams.mermaid(overview(PLAYBACK, HIGHLIGHT))
    assert "×" not in diagrams.dot(detail(PLAYBACK))


def luminance(colour: str) -> float:
    """The relative luminance of a colour on white (Web Content Accessibility Guidelines 2.2)."""
    alpha = int(colour[7:] or "ff", 16) / 255
    parts = [1 - alpha * (1 - int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("leaf", PLAYBACK.leaves)
def test_what_is_faint_in_the_current_leaf_can_be_seen(leaf: str) -> None:
    text = diagrams.dot(detail(PLAYBACK, Highlight(leaf, {("idle", "push"): 1})))
    box = re.search(rf'id="leaf-{re.escape(leaf)}" color="#......" fillcolor="(#\w+)" penwidth=3.5', text)
    assert box is not None
    fill, faint = luminance(box[1]), luminance("#c3c8d0")
    assert (fill + 0.05) / (faint + 0.05) > 1.15


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
    diagram = view(chart, HIGHLIGHT if highlight and chart is PLAYBACK else None)
    laid = laid_out(diagram)
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
    assert len(labels) == len(diagram.arrows)
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


def test_a_picture_that_was_cut_or_changed_is_not_the_diagram_s(monkeypatch: pytest.MonkeyPatch) -> None:
    need_program("dot", "Debian package graphviz")
    diagram = overview(TOY)
    picture = diagrams.svg(diagram)
    assert diagrams.is_of(picture, diagram)
    for other in (picture[:-40], picture.replace("toy", "joy"), picture + " ", picture.partition("<svg")[0], ""):
        assert not diagrams.is_of(other, diagram)
    monkeypatch.setattr(diagrams, "_STYLE", "text { fill: red }")
    assert not diagrams.is_of(picture, diagram)


def test_a_name_in_any_alphabet_is_drawn_whatever_the_locale() -> None:
    need_program("dot", "Debian package graphviz")
    chart = Chart.parse("tür", "     öffnen\nzu   auf\nauf  =", internal=())
    script = "import sys, pickle; from statecharts import diagrams; chart = pickle.load(sys.stdin.buffer);"
    script += "sys.stdout.buffer.write(diagrams.svg(diagrams.detail(chart)).encode())"
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, input=pickle.dumps(chart), env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert "öffnen" in done.stdout.decode()


def test_every_state_has_a_colour_of_its_own() -> None:
    diagram = overview(PLAYBACK)
    assert len({diagram.colour(state) for state in PLAYBACK.states}) == 6


def test_without_graphviz_a_picture_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(diagrams.GraphvizError, match="install Graphviz"):
        diagrams.svg(overview(PLAYBACK))
