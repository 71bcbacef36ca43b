"""Who judges the mutants of the chart can be trusted: what is bad is caught, what is as good survives."""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mutants.__main__ import batches, part
from mutants.findings import Findings
from mutants.judge import HUNG, PATHS, REFUSED, SURVIVED, Survey, Verdict, Walked
from mutants.reasons import REASONS, Reason
from mutants.source import BARGE_IN, ORDER, PLAYBACK, Mutant, Source, Subject
from mutants.workers import KILLED, answers
from playback.chart import INTERNAL
from playback.chart import PLAYBACK as CHART

JUDGED = """
import itertools
import json
from mutants.__main__ import prepare, survey_all
from mutants.judge import JURIES, judge
from mutants.source import Mutant, Source
from mutants.workers import answers

name, leaf, mutants = json.loads(input())
subject = next(subject for subject in JURIES if subject.name == name)
prepare(subject)
source = Source(subject)
surveyed = survey_all(subject, [leaf], workers=2)
tasks = [None, *(Mutant(*fields) for fields in mutants)]
judged = answers(tasks, lambda mutant: judge(source, surveyed, mutant, ()), workers=2, limit_seconds=60)
print(json.dumps([(task, answer) for task, answer in judged]))
"""

ORDERED = " ".join(INTERNAL)
BAD = Mutant("speaking.streaming", "pause", "paused.held", "idle")
ENDLESS = Mutant("speaking.draining", "drained", "idle", "=")
AS_GOOD = Mutant("speaking.draining", "end", "=", ".")
AS_GOOD_AN_ORDER = Mutant(ORDER, "order", ORDERED, "input_ended completed cut_short ready underrun gap faded drained")
BEYOND = Mutant("closed", "close", ".", "idle")


def judged(*mutants: Mutant, subject: Subject = PLAYBACK, leaf: str) -> dict[Mutant | None, Any]:
    """What becomes of mutants in processes that have not imported the chart, as this one has.

    Args:
        mutants: what is changed.
        subject: in which chart.
        leaf: which part of the paths judges them.
    """
    command = [sys.executable, "-c", JUDGED]
    root = Path(__file__).parents[2]
    given = json.dumps([subject.name, leaf, mutants])
    ran = subprocess.run(command, input=given, capture_output=True, text=True, check=False, cwd=root)
    assert not ran.returncode, ran.stderr
    return {task and Mutant(*task): answer for task, answer in json.loads(ran.stdout)}


def test_what_is_bad_is_caught_and_what_is_as_good_survives() -> None:
    verdicts = judged(BAD, ENDLESS, AS_GOOD, AS_GOOD_AN_ORDER, leaf="speaking.streaming")
    what, where = verdicts[BAD]
    assert what == PATHS
    assert "pause" in where
    assert verdicts[ENDLESS] == KILLED
    assert verdicts[AS_GOOD][0] == verdicts[AS_GOOD_AN_ORDER][0] == SURVIVED
    assert verdicts[None][0] == SURVIVED  # the chart as it is


def test_a_policy_that_is_bad_is_caught_by_what_it_does_and_by_what_it_emits() -> None:
    passing = Mutant("agent.settled", "gap_began", "agent.gap", "agent.ready")
    endless = Mutant("agent.settled", "gap_began", "agent.gap", "agent.early")
    target = Mutant("agent.settled", "words", "idle", "quiet")
    missing = Mutant("agent.settled", "speech_started", "lowered.speaking", ".")
    silent = Mutant("agent.settled", "words", "emits:barge_in", "emits:")
    verdicts = judged(target, missing, silent, endless, passing, subject=BARGE_IN, leaf="agent.settled")
    assert verdicts.pop(None)[0] == SURVIVED  # the chart as it is
    found = {mutant: what for mutant, (what, _) in verdicts.items()}
    assert found == {target: PATHS, missing: PATHS, silent: PATHS, endless: HUNG, passing: SURVIVED}


def test_one_process_judges_the_mutants_of_one_cell_or_one_mutant() -> None:
    pause, words = (Mutant("idle", event, ".", "user") for event in ("pause", "words"))
    other = pause._replace(becomes="stopped")
    assert batches([None, pause, other, words], in_one=True) == [(None,), (pause, other), (words,)]
    assert batches([pause, other], in_one=False) == [(pause,), (other,)]


@pytest.mark.parametrize(
    ("mutant", "events", "leads_on"),
    [
        (Mutant("held.speaking", "words", "user", "waiting.speaking"), "agent_stopped", True),
        (Mutant("held.speaking", "words", "user", "="), "agent_stopped", True),
        (Mutant("agent.settled", "few_words", ".", "agent.early"), "guard_elapsed", True),
        (Mutant("held.silent", "silence_timeout", "agent.settled", "agent.gap"), "agent_started guard_elapsed", True),
        # It ends in another leaf, comes back to its own cell, emits more or less, or leads nowhere.
        (Mutant("held.speaking", "words", "user", "waiting.speaking"), "", False),
        (Mutant("held.speaking", "words", "user", "agent.early"), "agent_stopped", False),
        (Mutant("held.speaking", "words", "user", "."), "agent_stopped", False),
        (Mutant("agent.settled", "agent_stopped", "idle", "agent.early"), "guard_elapsed agent_stopped", False),
        (Mutant("held.speaking", "agent_stopped", "user", "both.early"), "guard_elapsed agent_stopped", False),
        (Mutant("lowered.silent", "silence_timeout", "agent.settled", "both.early"), "agent_stopped", False),
        (Mutant("held.speaking", "words", "emits:barge_in", "emits:"), "agent_stopped", False),
    ],
    ids=str,
)
def test_whether_a_wrong_leaf_leads_on_to_the_right_one_is_computed(
    mutant: Mutant, events: str, leads_on: bool
) -> None:
    assert Source(BARGE_IN).leads_on(mutant, events.split()) is leads_on


def test_where_nobody_is_answered_a_cell_leads_elsewhere_or_is_missing() -> None:
    source = Source(BARGE_IN)
    leaves = set(source.chart.leaves)
    for cell, others in (
        (("idle", "words"), leaves - {"idle"}),
        (("idle", "quiet_elapsed"), leaves - {"idle", "quiet"} | {"."}),
        (("idle", "speech_started"), leaves - {"idle", "user"} | {".", "="}),
    ):
        assert {mutant.becomes for mutant in source.mutants_of(cell)} == others


def test_what_an_edge_emits_may_be_nothing_or_any_one_event() -> None:
    source = Source(BARGE_IN)
    emits = {("agent.settled", "words"): ("barge_in",), ("idle", "quiet_elapsed"): ("silence",)}
    others = list(source.emitters(("agent.settled", "words"), emits))
    assert [mutant.becomes for mutant in others] == ["emits:", "emits:silence"]
    assert list(source.emitters(("idle", "words"), emits)) == []
    names: dict[str, Any] = {"__name__": "changed"}
    exec(source.code(others[1]), names)
    assert names["BARGE_IN"].outputs["agent.settled", "words"] == ("silence",)
    assert names["BARGE_IN"].cells == source.chart.cells


def test_mutants_are_everything_else_that_a_cell_can_say() -> None:
    source = Source()
    mutants = list(source.mutants_of(("idle", "pause")))
    others = {*CHART.leaves, "=", ".", "R", "x"} - {"idle", "paused.empty"}
    assert {mutant.becomes for mutant in mutants} == others
    assert {(*mutant.cell, mutant.was) for mutant in mutants} == {("idle", "pause", "paused.empty")}
    assert len({mutant.becomes for mutant in source.orders()} - {ORDERED}) == 28


@pytest.mark.parametrize("mutant", [None, BAD, AS_GOOD_AN_ORDER])
def test_only_what_is_changed_is_different(mutant: Mutant | None) -> None:
    source = Source()
    assert source.chart.cells == CHART.cells
    names: dict[str, Any] = {"__name__": "changed"}
    exec(source.code(mutant), names)
    cells = {leaf: dict(row) for leaf, row in CHART.cells.items()}
    if mutant == BAD:
        cells[BAD.leaf][BAD.event] = BAD.becomes
    assert names["PLAYBACK"].cells == cells
    assert names["INTERNAL"] == (tuple(mutant.becomes.split()) if mutant == AS_GOOD_AN_ORDER and mutant else INTERNAL)


def test_a_chart_that_was_imported_can_not_be_changed() -> None:
    with pytest.raises(RuntimeError, match="imported already"):
        Source().install(BAD)


def test_a_sequence_that_can_not_go_another_way_is_left_out() -> None:
    near = Walked("pause", "cuts", frozenset({("speaking.streaming", "pause")}))
    far = Walked("close", "cuts", frozenset({("idle", "close")}))
    known = Survey([far, near], {"PAUSED": ["paused.held"]})
    assert known.cells == [("idle", "close"), ("speaking.streaming", "pause")]
    assert known.route(BAD, {"PAUSED": ["paused.held"]}) == [near]
    assert known.route(BAD, {"PAUSED": []}) == [near, far]
    assert known.route(None, {}) == [far, near]


def findings(*verdicts: tuple[Mutant, Verdict], reasons: tuple[Reason, ...] = (), whole: bool = False) -> Findings:
    return Findings(verdicts, reasons, whole=whole)


def test_survivors_need_a_reason_and_reasons_a_survivor() -> None:
    reason = Reason(("speaking.*",), "end", "=", (".",), "Nobody asks.")
    survives, caught = (AS_GOOD, (SURVIVED, "")), (BAD, (PATHS, "pause"))
    assert findings(caught).problems() == []
    assert findings(survives).problems() == [f"no reason why it survived: {AS_GOOD}"]
    explained = findings(survives, caught, reasons=(reason,))
    assert explained.problems() == []
    assert explained.explained() == [(reason, [AS_GOOD])]
    noticed = findings((AS_GOOD, (PATHS, "a.")), reasons=(reason,)).problems()
    assert noticed == [f"it was expected to survive: {AS_GOOD}; noticed by a."]
    stale = findings(caught, reasons=(reason,), whole=True).problems()
    assert stale == [f"no survivor needs this reason: {reason}"]


def test_enough_have_to_be_caught() -> None:
    reason = Reason(("speaking.*",), "end", "=", (".",), "Nobody asks.")
    verdicts = [(BAD, (PATHS, "pause")), (ENDLESS, (HUNG, "")), (BEYOND, (REFUSED, "")), (AS_GOOD, (SURVIVED, ""))]
    found = findings(*verdicts, reasons=(reason,), whole=True)
    assert found.counts == {REFUSED: 1, PATHS: 1, "tests": 0, HUNG: 1, SURVIVED: 1}
    assert found.problems() == ["only 75.0 % were caught, expected 95 % or more"]


@pytest.mark.parametrize("subject", REASONS, ids=lambda subject: subject.name)
def test_no_reason_is_about_the_chart_as_it_is_or_about_nothing(subject: Subject) -> None:
    source = Source(subject)
    cells = [(leaf, event) for leaf in source.chart.leaves for event in source.chart.events]
    mutants = [mutant for cell in cells for mutant in source.mutants_of(cell)] + list(source.orders())
    for reason in REASONS[subject]:
        assert any(map(reason.fits, mutants)), reason


def test_work_that_raises_or_takes_too_long() -> None:
    script = """
from mutants.workers import answers
import sys, time
print(list(answers([9], lambda seconds: time.sleep(seconds), workers=1, limit_seconds=0.2)))
list(answers([1], lambda number: number / 0, workers=1, limit_seconds=9))
"""
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=root)
    assert ran.stdout.strip() == str([(9, KILLED)])
    assert "RuntimeError: 1: Traceback" in ran.stderr
    assert "ZeroDivisionError" in ran.stderr


def test_answers_come_as_they_are_ready() -> None:
    assert list(answers([], lambda task: task, workers=2, limit_seconds=1)) == []


def test_the_parts_are_all_cells_and_each_of_them_once() -> None:
    cells = list(range(10))
    parts = [cells[first::step] for first, step in map(part, ("0/3", "1/3", "2/3"))]
    assert sorted(itertools.chain.from_iterable(parts)) == cells


@pytest.mark.parametrize("text", ["3/3", "1", "-1/3", "1/0", "a/b", "1/3/5", ""])
def test_another_part_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="expected K/N"):
        part(text)
