"""The tables of ``docs/frameworks``: what the ``compare.py`` of each framework measures.

::

    python tests/frameworks/tables.py livekit            measure, and print the table
    python tests/frameworks/tables.py livekit --write    measure, and put it into the page
    python tests/frameworks/tables.py livekit --check    measure nothing; does the page have these rows and columns?

It runs where the framework is installed: ``make compare`` does that for all, ``make integrations`` checks. Figures
differ from run to run, so what is checked is the shape of a table.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import platform
import sys
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

HERE: Final = Path(__file__).parent
PAGES: Final = HERE.parents[1] / "docs" / "frameworks"

BEGIN: Final = "<!-- begin: make compare -->"
END: Final = "<!-- end: make compare -->"

Row = Sequence[object]


class Comparison(Protocol):
    """What a ``compare.py`` has."""

    PACKAGES: tuple[str, ...]
    """Whose versions are named; the framework first."""
    HEADS: tuple[str, ...]
    """The heads of the columns."""
    ROWS: tuple[str, ...]
    """The first cell of each row."""

    def measured(self) -> AsyncIterator[Row]:
        """Each row, as soon as it is measured: its cells after the first."""


def comparison(framework: str) -> Comparison:
    """What is compared in one framework, which has to be installed."""
    # In place of this folder, in which others have the names of the frameworks' own packages.
    sys.path[0] = str(HERE / framework)
    module: Any = importlib.import_module("compare")
    return module  # type: ignore[no-any-return]


async def measure(what: Comparison) -> str:
    """Measure, and make the table.

    Raises:
        ValueError: there are more or fewer rows or cells than the comparison has names for.
    """
    rows: list[list[str]] = []
    async for cells in what.measured():
        if len(rows) == len(what.ROWS) or len(cells) + 1 != len(what.HEADS):
            raise ValueError(f"row {len(rows) + 1} is {cells}, expected {len(what.ROWS)} rows for {what.HEADS}")
        rows.append([what.ROWS[len(rows)], *map(str, cells)])
    if len(rows) < len(what.ROWS):
        raise ValueError(f"there is no row {what.ROWS[len(rows)]!r}")
    lines = [what.HEADS, ["---"] * len(what.HEADS), *rows]
    packages = ", ".join(f"{package} {version(package)}" for package in what.PACKAGES)
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return f"{table}\nMeasured with {packages} on Python {platform.python_version()}.\n"


def replaced(page: str, table: str) -> str:
    """A page with another table."""
    before, _, after = _parts(page)
    return f"{before}{BEGIN}\n{table}{END}{after}"


def problems(page: str, what: Comparison) -> list[str]:
    """How the shape of a page's table differs from what would be written; empty if it does not."""
    lines = [line for line in _parts(page)[1].splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads, _, *rows = cells if len(cells) > 1 else ([], [])
    found = [f"the columns are {heads}, expected {list(what.HEADS)}"] if heads != list(what.HEADS) else []
    names = [row[0] for row in rows]
    found += [f"there is no row {name!r}" for name in what.ROWS if name not in names]
    found += [f"the row {name!r} is not measured" for name in names if name not in what.ROWS]
    if not found and names != list(what.ROWS):
        found.append(f"the rows are {names}, expected {list(what.ROWS)}")
    return found + [f"the row {row[0]!r} has {len(row)} cells" for row in rows if len(row) != len(what.HEADS)]


def _parts(page: str) -> tuple[str, str, str]:
    """What is before, between and behind the two comments.

    Raises:
        ValueError: they are not there, or not once.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise ValueError(f"expected {BEGIN!r} and {END!r} once each")
    before, _, rest = page.partition(BEGIN)
    between, _, after = rest.partition(END)
    return before, between, after


def main(arguments: list[str] | None = None) -> int:
    """Print, write or check the table of one framework; returns the exit code."""
    parser = argparse.ArgumentParser(description="The tables of docs/frameworks.")
    parser.add_argument("framework", choices=sorted(folder.parent.name for folder in HERE.glob("*/compare.py")))
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    parser.add_argument("--check", action="store_true", help="measure nothing; compare the page's rows and columns")
    options = parser.parse_args(arguments)
    page = PAGES / f"{options.framework}.md"
    what = comparison(options.framework)
    if options.check:
        found = problems(page.read_text(encoding="utf-8"), what)
        for problem in found:
            sys.stderr.write(f"{page}: {problem}; renew it with: make compare\n")
        return int(bool(found))
    table = asyncio.run(measure(what))
    print(table, end="")
    if options.write:
        page.write_text(replaced(page.read_text(encoding="utf-8"), table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
