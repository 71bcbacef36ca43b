"""BARGE_IN: the table that decides who has the floor, and what follows from it.

Commands come from whoever hears the user (``speech_started``, ``speech_ended``, ``words``, ``backchannel``) and from
the application (``stop``). Internal events are what the controller and the clock bring;
:mod:`playback.bargein.policy` evaluates them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from statecharts import Chart, ChartMachine, state_of

# =  stays        .  ignored        x  impossible
TABLE: Final = """
                    speech_started      speech_ended      words  backchannel    stop     agent_started  agent_stopped  hold_released   guard_elapsed       min_speech_elapsed  silence_timeout
idle                user                .                 .      .              stopped  agent.early    x              x               x                   x                   x
agent.early         both.early          .                 .      .              stopped  x              idle           x               agent.settled       x                   x
agent.settled       suspected.speaking  .                 idle   .              stopped  x              idle           x               x                   x                   x
user                .                   idle              .      .              stopped  both.early     x              x               x                   x                   x
both.early          .                   agent.early       .      .              stopped  x              user           x               suspected.speaking  x                   x
both.released       .                   agent.settled     user   .              stopped  x              user           x               x                   x                   x
suspected.speaking  .                   suspected.silent  user   .              stopped  x              user           both.released   x                   user                x
suspected.silent    suspected.speaking  .                 idle   agent.settled  stopped  x              idle           agent.settled   x                   x                   agent.settled
stopped             .                   .                 .      .              .        .              .              .               .                   .                   .
"""  # noqa: E501 - a table is read by its columns

INTERNAL: Final = (
    "agent_started",
    "agent_stopped",
    "hold_released",
    "guard_elapsed",
    "min_speech_elapsed",
    "silence_timeout",
)
"""The internal events.

====================== ==============================================================================================
``agent_started``      speech that may be interrupted sounds
``agent_stopped``      it does no longer
``hold_released``      somebody else has ended the hold
``guard_elapsed``      the first moments of the agent's speech are over
``min_speech_elapsed`` the user's speech is too long for a cough
``silence_timeout``    the user has been silent for long enough
====================== ==============================================================================================

Of the commands, ``words`` are enough words to be meant, and a ``backchannel`` only says that the user listens.
"""


def _with_outputs(chart: Chart) -> Chart:
    """The chart with what each edge emits, by (leaf, event)."""
    outputs = {}
    for edge in chart.edges():
        if edge.event in ("words", "min_speech_elapsed"):
            outputs[edge.source, edge.event] = ("barge_in",)
        elif edge.event in ("backchannel", "silence_timeout"):
            outputs[edge.source, edge.event] = ("false_interruption",)
        elif state_of(edge.target) == "suspected" != state_of(edge.source):
            outputs[edge.source, edge.event] = ("barge_in_suspected",)
    return replace(chart, outputs=outputs)


STOPPED: Final = "stopped"
"""The final leaf: the policy leaves the controller alone."""

BARGE_IN: Final = _with_outputs(Chart.parse("barge_in", TABLE, internal=INTERNAL))
"""Who has the floor: the agent, the user, both, or nobody; suspected is what lies between both and the user."""

MACHINE: Final = ChartMachine(BARGE_IN)
"""The one machine that all policies of a process share."""

AGENT_SPEAKS: Final = BARGE_IN.leaves_taking("agent_stopped")
"""The leaves in which the agent has the floor."""

HOLDS: Final = BARGE_IN.leaves_taking("hold_released")
"""The leaves in which the agent is held."""

SPEECH_LASTS: Final = BARGE_IN.leaves_taking("min_speech_elapsed")
"""The leaves in which the user's speech may turn out to be too long for a cough."""

SILENCE_LASTS: Final = BARGE_IN.leaves_taking("silence_timeout")
"""The leaves in which the user's silence may turn out to be long enough."""

GUARDED: Final = BARGE_IN.leaves_taking("guard_elapsed")
"""The leaves in the first moments of the agent's speech."""

STARTS: Final = BARGE_IN.leaves_taking("speech_started")
"""The leaves in which the user is silent."""

ENDS: Final = BARGE_IN.leaves_taking("speech_ended")
"""The leaves in which the user speaks."""
