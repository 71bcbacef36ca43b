"""``python -m statecharts MODULE:CHART --format table|mermaid``: print a chart."""

from __future__ import annotations

import argparse
import pkgutil
import sys
from typing import Final

from statecharts import diagrams
from statecharts.chart import Chart

RENDERERS: Final = {"table": diagrams.table, "mermaid": diagrams.mermaid}


def main(arguments: list[str] | None = None) -> int:
    """Print one chart in one format.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 0, or 2 after a message about what was wrong with the arguments.
    """
    parser = argparse.ArgumentParser(prog="python -m statecharts", description="Print a statechart.")
    parser.add_argument("chart", metavar="MODULE:CHART", help="where the chart is, such as playback.chart:PLAYBACK")
    parser.add_argument("--format", choices=sorted(RENDERERS), default="table")
    options = parser.parse_args(arguments)
    try:
        chart = pkgutil.resolve_name(options.chart)
    except (ImportError, AttributeError, ValueError) as error:
        parser.error(f"{options.chart}: {error}")
    if not isinstance(chart, Chart):
        parser.error(f"{options.chart} is a {type(chart).__name__}, expected a Chart")
    sys.stdout.write(RENDERERS[options.format](chart))
    return 0


if __name__ == "__main__":
    sys.exit(main())
