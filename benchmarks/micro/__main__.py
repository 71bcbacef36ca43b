"""``python -m benchmarks.micro [--quick] [--check] [--json FILE]``: measure, and print the table."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.micro.figures import ELSEWHERE, ELSEWHERE_NOTE, FULL, NOTES, QUICK, ROWS, SYSTEMS, Results, measure

WIDTH: Final = 110
VERDICTS: Final = {True: "ok", False: "MISSED", None: ""}


def main(arguments: list[str] | None = None) -> int:
    """Measure everything, and print it.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 1 if ``--check`` was given and a target is missed, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro", description="CPU and memory, against a baseline."
    )
    parser.add_argument("--quick", action="store_true", help="a few rounds of each; shows that it works, not how fast")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there")
    options = parser.parse_args(arguments)

    results = measure(QUICK if options.quick else FULL)
    console = Console(width=WIDTH, highlight=False)
    console.print(f"Baseline: {results.baseline_us:.2f} µs of CPU a frame, Python {platform.python_version()}")
    console.print(_table(results))
    console.print(NOTES)
    console.print(f"\n{ELSEWHERE_NOTE}")
    console.print(_elsewhere(results))
    if options.json:
        options.json.write_text(json.dumps(_as_json(results), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if options.check and results.missed else 0


def _table(results: Results) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("subject")
    table.add_column("figure", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    for row in ROWS:
        figure = results.figures[row.subject]
        target = "" if row.target is None else f"≤ {row.target:,g} {row.unit}"
        table.add_row(
            row.subject,
            f"{_number(figure)} {row.unit}",
            target,
            VERDICTS[row.met(figure)],
            style="bold red" if row.met(figure) is False else "",
        )
    return table


def _elsewhere(results: Results) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("subject", no_wrap=True)
    for name in ("this run", *SYSTEMS):
        table.add_column(name, justify="right", no_wrap=True)
    for subject, (unit, figures) in ELSEWHERE.items():
        table.add_row(f"{subject}, {unit}", _number(results.figures[subject]), *(f"{figure:,g}" for figure in figures))
    return table


def _number(figure: float) -> str:
    """A figure with as many digits as can be trusted."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.2f}" if figure >= 0.1 else f"{figure:.3f}"


def _as_json(results: Results) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "versions": dict(_versions()),
        "baseline_us": results.baseline_us,
        "figures": [
            {
                "subject": row.subject,
                "figure": results.figures[row.subject],
                "unit": row.unit,
                "target": row.target,
                "ok": row.met(results.figures[row.subject]),
            }
            for row in ROWS
        ],
    }


def _versions() -> Iterator[tuple[str, str]]:
    for package in ("av", "aiortc", "numpy", "transitions"):
        yield package, version(package)


if __name__ == "__main__":
    sys.exit(main())
