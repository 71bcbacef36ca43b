"""``python -m mutants``: judge every mutant of both charts; exits with 1 unless all is as expected."""

from __future__ import annotations

import argparse
import gc
import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from mutants.findings import NAMES, Findings
from mutants.judge import HUNG, JURIES, SURVIVED, Survey, Verdict, judge, survey
from mutants.reasons import REASONS
from mutants.source import Cell, Mutant, Source, Subject
from mutants.workers import KILLED, answers

LIMIT_SECONDS: Final = 240.0
"""How long one mutant may keep everybody waiting."""

DEEP_MOST: Final = 10
"""How many that nobody has expected to survive are shown to the slow tests: if there are more, that is bad enough."""

HEAVY: Final = ("aiortc", "av", "hypothesis.stateful", "numpy", "pyee.asyncio", "pytest_asyncio", "transitions")
"""What takes long to import and knows nothing of a chart; every process is forked from one that has it."""


def main(arguments: list[str] | None = None) -> int:
    """Judge mutants, and print what became of them.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 0 if enough were caught and every survivor was expected, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m mutants", description="Judge every mutant of both charts.")
    parser.add_argument("--chart", choices=[subject.name for subject in JURIES], help="only the mutants of one chart")
    parser.add_argument("--cell", nargs=2, metavar=("LEAF", "EVENT"), help="only the mutants of one cell")
    parser.add_argument(
        "--part", type=part, metavar="K/N", default=(0, 1), help="only each Nth cell, from K on (0 <= K < N)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what became of each mutant")
    parser.add_argument("--deep", action="store_true", help="ask the slow tests even where a survivor is expected")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many processes (%(default)s)")
    options = parser.parse_args(arguments)
    # In this order: what judges the second chart imports the first.
    sources = [Source(subject) for subject in JURIES if options.chart in (None, subject.name)]
    if options.cell:
        leaf, event = options.cell
        sources = [source for source in sources if leaf in source.chart.leaves and event in source.chart.events][:1]
        if not sources:
            parser.error(f"no chart has the cell {leaf} / {event}")
    first, step = options.part
    whole = not options.cell and step == 1
    rows, failed = [], False
    for source in sources:
        begun = time.monotonic()
        prepare(source.subject)
        surveyed = survey_all(source.subject, source.chart.leaves, workers=options.workers)
        cells: list[Cell] = [(options.cell[0], options.cell[1])] if options.cell else surveyed.cells[first::step]
        if not set(cells) <= set(surveyed.cells):
            parser.error(f"no path asks the cell {' / '.join(options.cell)}")
        mutants = list(itertools.chain.from_iterable(map(source.mutants_of, cells)))
        for cell in cells:
            mutants += source.emitters(cell, surveyed.emits)
        if not options.cell:
            mutants += source.orders()
        judged = judge_all(source, surveyed, mutants, deep=options.deep, workers=options.workers)
        findings = Findings(judged, REASONS[source.subject], whole=whole)
        show(source.subject, findings, len(cells), time.monotonic() - begun)
        rows += [
            {"chart": source.subject.name, **mutant._asdict(), "verdict": what, "by": who}
            for mutant, (what, who) in findings.verdicts
        ]
        failed = failed or bool(findings.problems())
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if failed else 0


def part(text: str) -> tuple[int, int]:
    """Parse which part of the cells is meant.

    Args:
        text: ``K/N``, with 0 <= K < N.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    first, _, step = text.partition("/")
    if not (first.isdecimal() and step.isdecimal() and int(first) < int(step)):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected K/N with 0 <= K < N")
    return int(first), int(step)


def prepare(subject: Subject) -> None:
    """Import what every process will need, and what takes long: what knows the chart only where that is imported anew.

    Args:
        subject: which chart.
    """
    for name in HEAVY:
        importlib.import_module(name)
    if JURIES[subject].reloaded:
        importlib.import_module(JURIES[subject].paths)
    gc.freeze()  # what the processes share stays shared


def survey_all(subject: Subject, leaves: Sequence[str], *, workers: int) -> Survey:
    """Walk the paths with the chart as it is.

    Args:
        subject: which chart.
        leaves: only the stops that come by these.
        workers: how many processes there are at a time.
    """
    found = answers(leaves, lambda leaf: survey(subject, leaf), workers=workers, limit_seconds=LIMIT_SECONDS)
    return Survey.gather(part for _, part in sorted(found, key=lambda answer: leaves.index(answer[0])))


def judge_all(
    source: Source, surveyed: Survey, mutants: Sequence[Mutant], *, deep: bool, workers: int
) -> list[tuple[Mutant, Verdict]]:
    """Judge mutants, in processes of their own (:func:`batches`); and the chart as it is, to be sure of the judges.

    Args:
        source: the chart as it is.
        surveyed: what is known of it.
        mutants: what is judged.
        deep: whether to ask the slow tests even where a survivor is expected.
        workers: how many processes there are at a time.

    Raises:
        RuntimeError: somebody finds fault with the chart as it is, or a process ended that judged more than one.
    """
    jury, reasons = JURIES[source.subject], REASONS[source.subject]

    def is_expected(mutant: Mutant) -> bool:
        return any(reason.fits(mutant) for reason in reasons)

    def is_spared(mutant: Mutant | None) -> bool:
        return mutant is not None and not deep and is_expected(mutant)

    def judged_by(tests: Sequence[str], mutants: Sequence[Mutant | None]) -> dict[Mutant | None, Verdict]:
        verdicts = answers(
            batches(mutants, in_one=bool(jury.reloaded) and not tests),
            lambda batch: [judge(source, surveyed, mutant, tests, spare=is_spared(mutant)) for mutant in batch],
            workers=workers,
            limit_seconds=LIMIT_SECONDS,
        )
        console = Console(stderr=True)
        progress = track(verdicts, "judging", len(mutants), console=console, disable=not console.is_terminal)
        judged: dict[Mutant | None, Verdict] = {}
        for batch, answer in progress:
            if answer != KILLED:
                judged |= zip(batch, map(tuple, answer), strict=True)
            elif len(batch) == 1:
                judged[batch[0]] = HUNG, ""
            else:
                raise RuntimeError(f"one of {[str(mutant) for mutant in batch]} ended its process, expected none")
        return judged

    judged = judged_by(jury.quick, [None, *mutants])
    what, who = judged.pop(None)
    if what != SURVIVED:
        raise RuntimeError(f"the chart as it is was {what}: {who}")
    survivors = [mutant for mutant in mutants if judged[mutant][0] == SURVIVED]
    if not deep:
        survivors = [mutant for mutant in survivors if not is_expected(mutant)][:DEEP_MOST]
    if jury.deep:
        judged |= judged_by(jury.deep, survivors)
    return [(mutant, judged[mutant]) for mutant in mutants]


def batches(mutants: Sequence[Mutant | None], *, in_one: bool) -> list[tuple[Mutant | None, ...]]:
    """What each process judges.

    Args:
        mutants: all of them.
        in_one: whether one process can judge many, one after the other: those of one cell.
    """
    if not in_one:
        return [(mutant,) for mutant in mutants]
    groups = itertools.groupby(mutants, lambda mutant: mutant and mutant.cell)
    return [tuple(group) for _, group in groups]


def show(subject: Subject, findings: Findings, cells: int, seconds: float) -> None:
    """Print what came of a run.

    Args:
        subject: whose mutants they were.
        findings: what became of each mutant.
        cells: how many cells were changed.
        seconds: how long it took.
    """
    console = Console(width=120, highlight=False)
    table = Table(
        title=f"{subject.name}: {len(findings.verdicts)} mutants of {cells} cells, {seconds:.0f} s",
        title_justify="left",
    )
    table.add_column("")
    table.add_column("mutants", justify="right")
    for what, count in findings.counts.items():
        table.add_row(NAMES[what], str(count))
    table.add_section()
    table.add_row("caught", f"{findings.percent:.1f} %")
    console.print(table)
    for reason, mutants in findings.explained():
        console.print(f"\n{len(mutants)} survived: {reason.why}", markup=False)
        for mutant in mutants:
            console.print(f"  {mutant}", markup=False)
    for problem in findings.problems():
        console.print(f"\nPROBLEM: {problem}", markup=False, style="bold red")


if __name__ == "__main__":
    sys.exit(main())
