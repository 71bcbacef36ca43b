"""``python -m statecharts MODULE:CHART``: print a chart in any format, write all of them, or check what was written."""

from __future__ import annotations

import argparse
import io
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
        The exit code: 0, 1 if something is missing or stale or could not be drawn or written.

    Raises:
        SystemExit: with code 2, after a message about what was wrong with the arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m statecharts", description="Print, write or check a statechart.")
    parser.add_argument("chart", metavar="MODULE:CHART", help="where the chart is, such as playback.chart:PLAYBACK")
    parser.add_argument("--format", choices=FORMATS, help="default: what the checked file's name says, or table")
    parser.add_argument("--view", choices=diagrams.VIEWS, help="default: what the checked file's name says, or detail")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", type=Path, metavar="PATH", help="see that a file is fresh; of a directory, all files")
    what.add_argument("--write", type=Path, metavar="DIRECTORY", help="write every format and view there")
    options = parser.parse_args(arguments)
    try:
        chart = find(options.chart)
    except ChartError as error:
        parser.error(str(error))
    try:
        if options.write is not None:
            write(chart, options.write)
        elif options.check is not None:
            return _check(chart, options)
        else:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8")  # as in the files, wherever this is piped to
            sys.stdout.write(FORMATS[options.format or "table"](chart, options.view or "detail"))
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

    A picture is fresh if it was drawn from the same DOT, and is unchanged since: so it can be checked without Graphviz,
    and by any version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    if format == "svg":
        return diagrams.is_of(text, diagrams.VIEWS[view](chart))
    return text == FORMATS[format](chart, view)


def _check(chart: Chart, options: argparse.Namespace) -> int:
    """Report which files of a directory are missing or stale, or whether the one file is; 1 if any is."""
    path: Path = options.check
    if path.is_dir():
        kinds = {path / f"{chart.name}{kind.suffix}": kind for kind in KINDS}
        renew = f"--write {path}"
    else:
        named = next((kind for kind in KINDS if path.name.endswith(kind.suffix)), Kind("", "table", "detail"))
        kind = Kind("", options.format or named.format, options.view or named.view)
        kinds = {path: kind}
        renew = f"--format {kind.format} --view {kind.view} > {path}"
    failed = [path for path, kind in kinds.items() if not is_fresh(chart, path, kind.format, kind.view)]
    for what, paths in (
        ("missing", [path for path in failed if not path.exists()]),
        ("stale", [path for path in failed if path.exists()]),
    ):
        if paths:
            sys.stderr.write(f"{what}: {', '.join(map(str, paths))}\n")
    if failed:
        sys.stderr.write(f"renew with: python -m statecharts {options.chart} {renew}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
