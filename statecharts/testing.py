"""Tests of code that follows a chart: all cells as test cases, all configurations, and the coverage of a test run.

The last is also an option of pytest's, once this package is installed: ``pytest --chart-coverage MODULE:CHART``, with
``--chart-coverage-floor PERCENT`` to fail the run below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from statecharts.chart import Chart
from statecharts.coverage import ChartCoverage
from statecharts.explore import Exploration, ExplorationError, explore

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

__all__ = ["ChartCoverage", "Exploration", "ExplorationError", "cells", "explore"]


def cells(chart: Chart, *events: str) -> list[ParameterSet]:
    """Every cell of a chart as a case of a test.

    Example::

        @pytest.mark.parametrize(("leaf", "event"), cells(PLAYBACK))
        def test_a_cell(leaf, event): ...

    Args:
        chart: the chart.
        events: return only the cells of these events; by default of all events.

    Returns:
        For each cell its leaf and its event, named ``leaf-event``, in the order of the table.

    Raises:
        ValueError: the chart has no such event.
    """
    for event in events:
        if event not in chart.events:
            raise ValueError(f"{chart.name} has no event {event!r}, expected one of {', '.join(chart.events)}")
    return [
        pytest.param(leaf, event, id=f"{leaf}-{event}") for leaf in chart.leaves for event in events or chart.events
    ]
