"""Statecharts as plain data, with execution, diagrams, exports and test coverage. Independent of audio."""

from statecharts.chart import IGNORED, IMPOSSIBLE, REFUSED, STAYS, VERDICTS, Chart, ChartError, Edge, state_of
from statecharts.machine import ChartMachine, Session

__all__ = [
    "IGNORED",
    "IMPOSSIBLE",
    "REFUSED",
    "STAYS",
    "VERDICTS",
    "Chart",
    "ChartError",
    "ChartMachine",
    "Edge",
    "Session",
    "state_of",
]
