"""``python -m statecharts MODULE:CHART``: print a chart in any format, write all of them, or check what was written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from statecharts import diagrams, exports
from statecharts.chart import Chart, ChartError, find

FORMATS: Final[Mapping[str, Callable[[Chart, str], str]]] = {
    "table": lambda chart, view: diagrams.table(chart),  # noqa: ARG005
    "mermaid": lambda chart, view: diagrams.mermaid(diagrams.VIEWS[view](chart)),
    "dot": lambda chart, view: diagrams.dot(diagrams.VIEWS[view](chart)),
    "svg": lambda chart, view: diagrams.svg(diagrams.VIEWS[view](chart)),
    "scxml": lambda chart, view: exports.scxml(chart),  # noqa: ARG005
    "xstate": lambda chart, view: exports.xstate(chart),  # noqa: ARG005
}
"""What a chart can be printed as, by name."""


class Kind(NamedTuple):
    """One of the files that a chart is written to."""

    suffix: str
    format: str
    view: str


KINDS: Final = (
    Kind("-table.md", "table", "detail"),
    *(
        Kind(f"-{view}.{suffix}", kind, view)
        for view in diagrams.VIEWS
        for suffix, kind in (("mmd", "mermaid"), ("dot", "dot"), ("svg", "svg"))
    ),
    Kind(".scxml", "scxml", "detail"),
    Kind(".xstate.json", "xstate", "detail"),
)
"""All files that a chart is written to."""


def main(arguments: list[str] | None = None) -> int:
    """Print, write or check a chart.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 0, 1 if something is stale or could not be drawn or written.

    Raises:
        SystemExit: with code 2, after a message about what was wrong with the arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m statecharts", description="Print, write or check a statechart.")
    parser.add_argument("chart", metavar="MODULE:CHART", help="where the chart is, such as playback.chart:PLAYBACK")
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    parser.add_argument("--view", choices=diagrams.VIEWS, default="detail", help="default: %(default)s")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", type=Path, metavar="FILE", help="see that a file is fresh; of a directory, all files")
    what.add_argument("--write", type=Path, metavar="DIRECTORY", help="write every format and view there")
    options = parser.parse_args(arguments)
    try:
        chart = find(options.chart)
    except ChartError as error:
        parser.error(str(error))
    try:
        if options.write is not None:
            write(chart, options.write)
        elif options.check is None:
            sys.stdout.write(FORMATS[options.format](chart, options.view))
        elif stale := _stale(chart, options.check, Kind("", options.format, options.view)):
            names = ", ".join(str(path) for path in stale)
            sys.stderr.write(f"stale: {names}\nrenew with: python -m statecharts {options.chart} --write DIRECTORY\n")
            return 1
    except (diagrams.GraphvizError, OSError) as error:
        sys.stderr.write(f"statecharts: error: {error}\n")
        return 1
    return 0


def write(chart: Chart, directory: Path) -> None:
    """Write a chart in every format and view.

    Raises:
        GraphvizError: Graphviz is not installed; nothing was written.
        OSError: a file can't be written.
    """
    texts = {kind.suffix: FORMATS[kind.format](chart, kind.view) for kind in KINDS}
    directory.mkdir(parents=True, exist_ok=True)
    for suffix, text in texts.items():
        (directory / f"{chart.name}{suffix}").write_text(text, encoding="utf-8")


def is_fresh(chart: Chart, path: Path, format: str, view: str = "detail") -> bool:
    """Whether a file holds what the chart would be written as now.

    A picture is fresh if it was drawn from the same DOT: so it can be checked without Graphviz, and by any version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if format == "svg":
        return diagrams.is_of(text, diagrams.VIEWS[view](chart))
    return text == FORMATS[format](chart, view)


def _stale(chart: Chart, path: Path, kind: Kind) -> list[Path]:
    """The files of a directory that are not fresh, or the one file."""
    if not path.is_dir():
        return [] if is_fresh(chart, path, kind.format, kind.view) else [path]
    paths = {kind: path / f"{chart.name}{kind.suffix}" for kind in KINDS}
    return [path for kind, path in paths.items() if not is_fresh(chart, path, kind.format, kind.view)]


if __name__ == "__main__":
    sys.exit(main())
