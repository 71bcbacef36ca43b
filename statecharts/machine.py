"""A chart bound to `transitions`: one shared machine that moves any number of light sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Literal

from statecharts.chart import IGNORED, IMPOSSIBLE, REFUSED, STAYS, Chart, ChartError

# `transitions` logs every state that it enters or leaves at INFO: four lines an edge in the log of each call that an
# application carries. Whoever wants them sets the level; a level that is already set stays.
_LOGGER: Final = logging.getLogger("transitions")
if _LOGGER.level == logging.NOTSET:
    _LOGGER.setLevel(logging.WARNING)


_TAKEN: Final = ("leaf", "get_graph")
"""What `transitions` would call by an event's name, too, on a session or on what is drawn."""

Watcher = Callable[[Chart, str, str], object]
"""Told the chart, the leaf and the event, before the event has its effect."""

WATCHERS: Final[set[Watcher]] = set()
"""Who sees every event that any machine is given: what measures which cells a test run has touched."""


class Session:
    """Where one user of a chart stands. It belongs to no machine's list of models, so it is gone when it is dropped."""

    __slots__ = ("leaf",)

    leaf: str


class ChartMachine:
    """The executor of a chart.

    Building one takes milliseconds; sessions are what there may be thousands of.

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
        self.machine: Final = Machine(model=None, **self._definition())
        self._trigger: Final = {event: trigger.trigger for event, trigger in self.machine.events.items()}

    def graph(
        self, session: Session | None = None, *, engine: Literal["mermaid", "graphviz", "pygraphviz"] = "mermaid"
    ) -> Any:
        """The machine as `transitions` itself draws it: states and edges without what users of this package add.

        Args:
            session: whose leaf is marked; a new one's unless told.
            engine: what draws it, as ``GraphMachine`` calls it: ``"mermaid"``, or with packages of their own
                ``"graphviz"`` and ``"pygraphviz"``.

        Returns:
            The package's graph; its ``draw`` writes it to a file; with Mermaid its ``source`` is the text.
        """
        from transitions.extensions import GraphMachine

        drawn = GraphMachine(model=None, graph_engine=engine, title=self.chart.name, **self._definition())
        model = _Drawn()
        drawn.add_model(model, initial=(session or self.session()).leaf)
        return model.get_graph()

    def session(self) -> Session:
        """A new session in the chart's initial leaf."""
        session = Session()
        session.leaf = self.chart.initial
        return session

    def fire(self, session: Session, event: str) -> bool:
        """Give a session an event.

        Returns:
            True if the cell takes the event (also when the leaf stays), False if it ignores it.

        Raises:
            ChartError: the cell says that this can't happen, or there is no such event. The session stays where it was.
        """
        try:
            cell = self.chart.cells[session.leaf][event]
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
        if cell == IMPOSSIBLE:
            raise ChartError(f"{self.chart.name}: {event!r} can't happen in {session.leaf!r}")
        return bool(self._trigger[event](session))

    def _definition(self) -> dict[str, Any]:
        """What `transitions` has to know."""
        return {
            "states": list(self.chart.leaves),
            "initial": self.chart.initial,
            # No destination is an internal transition: the event is taken, and the leaf is neither left nor entered.
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


class _Drawn:
    """A model that the package hangs its own methods on."""

    get_graph: Callable[[], Any]
