"""``python -m mutants``: judge every mutant of the chart; exits with 1 unless all is as expected."""

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
from mutants.judge import DEEP_TESTS, HUNG, QUICK_TESTS, SURVIVED, Survey, Verdict, judge, survey
from mutants.reasons import REASONS
from mutants.source import Cell, Mutant, Source
from mutants.workers import KILLED, answers

LIMIT_SECONDS: Final = 240.0
"""How long one mutant may keep everybody waiting."""

DEEP_MOST: Final = 10
"""How many that nobody has expected to survive are shown to the slow tests: if there are more, that is bad enough."""

HEAVY: Final = ("aiortc", "av", "hypothesis.stateful", "numpy", "pyee.asyncio", "pytest_asyncio", "transitions")
"""What takes long to import and knows nothing of the chart; every process is forked from one that has it."""


def main(arguments: list[str] | None = None) -> int:
    """Judge mutants, and print what became of them.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 0 if enough were caught and every survivor was expected, else 1.
    """
    parser = argparse.ArgumentParser(prog="python -m mutants", description="Judge every mutant of the chart.")
    parser.add_argument("--cell", nargs=2, metavar=("LEAF", "EVENT"), help="only the mutants of one cell")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what became of each mutant")
    parser.add_argument("--deep", action="store_true", help="ask the slow tests even where a survivor is expected")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many processes (%(default)s)")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    prepare()
    source = Source()
    surveyed = survey_all(source.chart.leaves, workers=options.workers)
    cells: list[Cell] = [(options.cell[0], options.cell[1])] if options.cell else surveyed.cells
    if not set(cells) <= set(surveyed.cells):
        parser.error(f"no path asks the cell {' / '.join(options.cell)}")
    mutants = list(itertools.chain.from_iterable(map(source.mutants_of, cells)))
    if not options.cell:
        mutants += source.orders()

    judged = judge_all(source, surveyed, mutants, deep=options.deep, workers=options.workers)
    findings = Findings(judged, whole=not options.cell)
    show(findings, len(cells), time.monotonic() - begun)
    if options.json:
        rows = [{**mutant._asdict(), "verdict": what, "by": who} for mutant, (what, who) in findings.verdicts]
        options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if findings.problems() else 0


def prepare() -> None:
    """Import what every process will need, and what takes long; none of it knows the chart."""
    for name in HEAVY:
        importlib.import_module(name)
    gc.freeze()  # what the processes share stays shared


def survey_all(leaves: Sequence[str], *, workers: int) -> Survey:
    """Walk the paths with the chart as it is.

    Args:
        leaves: only the stops that come by these.
        workers: how many processes there are at a time.
    """
    found = answers(leaves, survey, workers=workers, limit_seconds=LIMIT_SECONDS)
    return Survey.gather(part for _, part in sorted(found, key=lambda answer: leaves.index(answer[0])))


def judge_all(
    source: Source, surveyed: Survey, mutants: Sequence[Mutant], *, deep: bool, workers: int
) -> list[tuple[Mutant, Verdict]]:
    """Judge mutants, each in a process of its own; and the chart as it is, to be sure of the judges.

    Args:
        source: the chart as it is.
        surveyed: what is known of it.
        mutants: what is judged.
        deep: whether to ask the slow tests even where a survivor is expected.
        workers: how many processes there are at a time.

    Raises:
        RuntimeError: somebody finds fault with the chart as it is.
    """

    def judged_by(tests: Sequence[str], tasks: Sequence[Mutant | None]) -> dict[Mutant | None, Verdict]:
        verdicts = answers(
            tasks,
            lambda mutant: judge(source, surveyed, mutant, tests),
            workers=workers,
            limit_seconds=LIMIT_SECONDS,
        )
        console = Console(stderr=True)
        progress = track(verdicts, "judging", len(tasks), console=console, disable=not console.is_terminal)
        return {mutant: (HUNG, "") if verdict == KILLED else tuple(verdict) for mutant, verdict in progress}

    judged = judged_by(QUICK_TESTS, [None, *mutants])
    what, who = judged.pop(None)
    if what != SURVIVED:
        raise RuntimeError(f"the chart as it is was {what}: {who}")
    survivors = [mutant for mutant in mutants if judged[mutant][0] == SURVIVED]
    if not deep:
        survivors = [mutant for mutant in survivors if not any(reason.fits(mutant) for reason in REASONS)][:DEEP_MOST]
    judged |= judged_by(DEEP_TESTS, survivors)
    return [(mutant, judged[mutant]) for mutant in mutants]


def show(findings: Findings, cells: int, seconds: float) -> None:
    """Print what came of a run.

    Args:
        findings: what became of each mutant.
        cells: how many cells were changed.
        seconds: how long it took.
    """
    console = Console(width=120, highlight=False)
    table = Table(title=f"{len(findings.verdicts)} mutants of {cells} cells, {seconds:.0f} s", title_justify="left")
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
