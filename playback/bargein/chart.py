"""BARGE_IN: the table that decides who has the floor, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from statecharts import Chart, ChartMachine, state_of

# =  stays        .  ignored        x  impossible
TABLE: Final = """
                    speech_started      speech_ended      words  backchannel    agent_sounds  agent_rests  overruled       settled             lasted  expired
idle                user                .                 .      .              agent.early   x            x               x                   x       x
agent.early         both.early          .                 .      .              x             idle         x               agent.settled       x       x
agent.settled       suspected.speaking  .                 idle   .              x             idle         x               x                   x       x
user                .                   idle              .      .              both.early    x            x               x                   x       x
both.early          .                   agent.early       .      .              x             user         x               suspected.speaking  x       x
both.overruled      .                   agent.settled     user   .              x             user         x               x                   x       x
suspected.speaking  .                   suspected.silent  user   .              x             user         both.overruled  x                   user    x
suspected.silent    suspected.speaking  .                 idle   agent.settled  x             idle         agent.settled   x                   x       agent.settled
"""  # noqa: E501 - a table is read by its columns

FACTS: Final = ("agent_sounds", "agent_rests", "overruled", "settled", "lasted", "expired")
"""What the controller and the clock report: speech that may be interrupted sounds · it does no longer · somebody else
has ended the hold · the first moments of the agent's speech are over · the user's speech is too long for a cough · the
user has been silent for long enough. All other events are the user's: of these, ``words`` are enough words to be meant,
and a ``backchannel`` only says that the user listens."""


def _told(chart: Chart) -> Chart:
    """The chart with what each edge tells, by (leaf, event)."""
    told = {}
    for edge in chart.edges():
        if edge.event in ("words", "lasted"):
            told[edge.source, edge.event] = ("barge_in",)
        elif edge.event in ("backchannel", "expired"):
            told[edge.source, edge.event] = ("false_interruption",)
        elif state_of(edge.target) == "suspected" != state_of(edge.source):
            told[edge.source, edge.event] = ("barge_in_suspected",)
    return replace(chart, outputs=told)


BARGE_IN: Final = _told(Chart.parse("barge_in", TABLE, facts=FACTS))
"""Who has the floor: the agent, the user, both, or nobody; suspected is what lies between both and the user."""

MACHINE: Final = ChartMachine(BARGE_IN)
"""The one machine that all policies of a process share."""

AGENT_SOUNDS: Final = BARGE_IN.leaves_taking("agent_rests")
"""The leaves in which the agent has the floor."""

HOLDS: Final = BARGE_IN.leaves_taking("overruled")
"""The leaves in which the agent is held."""

LASTS: Final = BARGE_IN.leaves_taking("lasted")
"""The leaves in which the user's speech may turn out to be too long for a cough."""

EXPIRES: Final = BARGE_IN.leaves_taking("expired")
"""The leaves in which the user's silence may turn out to be long enough."""

EARLY: Final = BARGE_IN.leaves_taking("settled")
"""The leaves in the first moments of the agent's speech."""

STARTS: Final = BARGE_IN.leaves_taking("speech_started")
"""The leaves in which the user is silent."""

ENDS: Final = BARGE_IN.leaves_taking("speech_ended")
"""The leaves in which the user speaks."""
