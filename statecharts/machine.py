"""A chart bound to `transitions`: one shared machine that moves any number of light sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from statecharts.chart import IGNORED, IMPOSSIBLE, REFUSED, STAYS, Chart, ChartError


class _Quiet(logging.Filter):
    """Drops what `transitions` logs at INFO about our charts: four lines an edge, in the log of each call.

    Only records of machines made here are dropped, and only while nobody has set a level for the package's own logger:
    ``logging.getLogger("transitions").setLevel("INFO")`` brings them back.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: Final[set[str]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged: not if it begins with the name of one of our machines."""
        ours = isinstance(record.args, tuple) and record.args and record.args[0] in self.names
        wanted = any(logging.getLogger(name).level != logging.NOTSET for name in ("transitions", "transitions.core"))
        return not ours or wanted or record.levelno > logging.INFO


_QUIET: Final = _Quiet()
logging.getLogger("transitions.core").addFilter(_QUIET)

_TAKEN: Final = ("leaf", "get_graph")
"""What `transitions` would call by an event's name, too, on a session or on what is drawn."""

Watcher = Callable[[Chart, str, str], object]
"""Called with the chart, the leaf and the event, before the event has its effect."""

WATCHERS: Final[set[Watcher]] = set()
"""Who sees every event that any machine is given: what measures which cells a test run has touched."""


class Session:
    """The current leaf of one user of a chart. No machine keeps a reference to it."""

    __slots__ = ("leaf",)

    leaf: str


class ChartMachine:
    """The executor of a chart.

    Building a machine takes milliseconds, so share it; it can run thousands of sessions.

    Args:
        chart: the chart, already checked.

    Raises:
        ChartError: an event has a name that `transitions` needs for something else.
    """

    def __init__(self, chart: Chart) -> None:
        from transitions import Machine  # costs more than all else here, and who draws or measures a chart needs none

        for event in chart.events:
            if event in _TAKEN:
                raise ChartError(f"{chart.name}: a machine can't have an event {event!r}, expected another name")
        self.chart: Final = chart
        # Of plain dicts, in which a look-up costs half as much as in those that can't be changed.
        self._cells: Final = {leaf: dict(row) for leaf, row in chart.cells.items()}
        self.machine: Final = Machine(model=None, **self.definition())
        _QUIET.names.add(self.machine.name)
        self._trigger: Final = {event: trigger.trigger for event, trigger in self.machine.events.items()}

    def session(self) -> Session:
        """A new session in the chart's initial leaf."""
        session = Session()
        session.leaf = self.chart.initial
        return session

    def fire(self, session: Session, event: str) -> bool:
        """Fire an event in a session.

        Returns:
            True if the cell takes the event (also when the leaf stays), False if it ignores it.

        Raises:
            ChartError: the cell says that this can't happen, or there is no such event. The session stays where it was.
        """
        try:
            cell = self._cells[session.leaf][event]
        except KeyError:
            raise ChartError(
                f"{self.chart.name} has no cell ({session.leaf}, {event}),"
                f" expected one of the events {', '.join(self.chart.events)}"
            ) from None
        if WATCHERS:
            for watch in tuple(WATCHERS):  # another thread, or one of them, may begin to watch or cease meanwhile
                watch(self.chart, session.leaf, event)
        if cell == IGNORED:
            return False
        if cell in (STAYS, REFUSED):  # an internal transition: no state is left or entered, so there is nothing to run
            return True
        if cell == IMPOSSIBLE:
            raise ChartError(f"{self.chart.name}: {event!r} can't happen in {session.leaf!r}")
        return bool(self._trigger[event](session))

    def definition(self) -> dict[str, Any]:
        """The arguments of a ``transitions.Machine`` that runs, or a ``GraphMachine`` that draws, this chart."""
        return {
            "states": list(self.chart.leaves),
            "initial": self.chart.initial,
            # No destination is an internal transition; `fire` answers those itself, and others find them here.
            "transitions": [
                {"trigger": event, "source": leaf, "dest": None if cell in (STAYS, REFUSED) else cell}
                for leaf, row in self.chart.cells.items()
                for event, cell in row.items()
                if cell not in (IGNORED, IMPOSSIBLE)
            ],
            "auto_transitions": False,
            "model_attribute": "leaf",
            "name": self.chart.name,
        }
