"""BARGE_IN: the table that decides who has the floor, and what follows from it.

Theory of operation. A leaf says who speaks and what is done about it: its state (what stands before the dot) decides
whether the agent is lowered, paused, or left alone, and nothing else does (:data:`LOWERS`, :data:`PAUSES`). In
``lowered`` and ``held`` the agent was speaking when the user began; in ``waiting`` the user was first, so nothing of
the agent is heard until it is clear what the user's speech was. Two kinds of events exist:

* Commands come from whoever hears the user (``speech_started``, ``speech_ended``, and transcripts as ``words``,
  ``few_words``, ``backchannel_so_far``, ``backchannel``, ``no_words_so_far`` or ``no_words``) and from the application
  (``stop``). :mod:`playback.bargein.transcripts` says which of them a transcript is, and which ones do not count.
* Internal events are functions of the controller (:mod:`playback.bargein.agent`) and of the clock
  (:mod:`playback.bargein.policy`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from statecharts import Chart, ChartMachine, Edge, state_of

# =  stays        .  ignored        x  impossible
TABLE: Final = """
                   speech_started    speech_ended    words  few_words         backchannel_so_far  backchannel        no_words_so_far   no_words          stop     agent_ready       agent_started     agent_stopped  gap_began         hold_released  guard_elapsed     pause_elapsed  pause_too_late  min_speech_elapsed  max_backchannel_elapsed  silence_timeout  quiet_elapsed  quiet_ended
idle               user              .               .      .                 .                   .                  .                 .                 stopped  agent.ready       agent.early       x              x                 x              x                 x              x               x                   x                        x                quiet          x
quiet              user              .               idle   idle              idle                idle               .                 .                 stopped  agent.ready       agent.early       x              x                 x              x                 x              x               x                   x                        x                x              idle
user               .                 idle            .      .                 .                   .                  .                 .                 stopped  waiting.speaking  waiting.speaking  x              x                 x              x                 x              x               x                   x                        x                x              x
agent.ready        waiting.speaking  .               idle   .                 .                   .                  .                 .                 stopped  x                 agent.early       idle           agent.gap         x              x                 x              x               x                   x                        x                x              x
agent.early        both.early        .               idle   .                 .                   .                  .                 .                 stopped  x                 x                 idle           agent.gap         x              agent.settled     x              x               x                   x                        x                x              x
agent.settled      lowered.speaking  .               idle   .                 .                   .                  .                 .                 stopped  x                 x                 idle           agent.gap         x              x                 x              x               x                   x                        x                x              x
agent.gap          waiting.speaking  .               idle   .                 .                   .                  .                 .                 stopped  agent.ready       agent.early       idle           x                 x              x                 x              x               x                   x                        x                x              x
both.early         .                 agent.early     x      x                 x                   x                  .                 .                 stopped  x                 x                 user           waiting.speaking  x              lowered.speaking  x              x               x                   x                        x                x              x
both.released      .                 agent.ready     user   .                 .                   .                  .                 .                 stopped  x                 x                 user           x                 x              x                 x              x               x                   x                        x                x              x
lowered.speaking   .                 lowered.silent  user   held.speaking     lowered.listening   lowered.listening  .                 .                 stopped  x                 x                 user           held.speaking     x              x                 held.speaking  x               user                x                        x                x              x
lowered.listening  .                 lowered.silent  user   held.speaking     .                   .                  lowered.speaking  lowered.speaking  stopped  x                 x                 user           x                 x              x                 x              x               x                   user                     x                x              x
lowered.silent     lowered.speaking  .               idle   held.silent       .                   agent.settled      .                 agent.settled     stopped  x                 x                 idle           x                 x              x                 x              x               x                   x                        agent.settled    x              x
held.speaking      .                 held.silent     user   .                 lowered.listening   lowered.listening  .                 .                 stopped  x                 x                 user           x                 both.released  x                 x              x               user                x                        x                x              x
held.silent        held.speaking     .               idle   .                 lowered.silent      agent.settled      .                 agent.settled     stopped  x                 x                 idle           x                 agent.settled  x                 x              lowered.silent  x                   x                        agent.settled    x              x
waiting.speaking   .                 waiting.silent  user   .                 waiting.listening   waiting.listening  .                 .                 stopped  x                 x                 user           x                 both.released  x                 x              x               user                x                        x                x              x
waiting.listening  .                 waiting.silent  user   waiting.speaking  .                   .                  waiting.speaking  waiting.speaking  stopped  x                 x                 user           x                 both.released  x                 x              x               x                   user                     x                x              x
waiting.silent     waiting.speaking  .               idle   .                 .                   agent.ready        .                 agent.ready       stopped  x                 x                 idle           x                 agent.ready    x                 x              x               x                   x                        agent.ready      x              x
stopped            .                 .               .      .                 .                   .                  .                 .                 .        .                 .                 .              .                 .              .                 .              .               .                   .                        .                .              .
"""  # noqa: E501 - a table is read by its columns

INTERNAL: Final = (
    "agent_ready",
    "agent_started",
    "agent_stopped",
    "gap_began",
    "hold_released",
    "guard_elapsed",
    "pause_elapsed",
    "pause_too_late",
    "min_speech_elapsed",
    "max_backchannel_elapsed",
    "silence_timeout",
    "quiet_elapsed",
    "quiet_ended",
)
"""The internal events.

=========================== =========================================================================================
``agent_ready``             speech that may be interrupted is the next to be read, and nothing of it was read
``agent_started``           it sounds
``agent_stopped``           it does no longer, and no more of it is to come
``gap_began``               it does no longer, but an utterance or a turn is open: more of it may come
``hold_released``           somebody else has ended the policy's hold
``guard_elapsed``           the first moments of the agent's speech are over
``pause_elapsed``           the user's speech lasts: time to pause
``pause_too_late``          it did not: the user was silent by then, as was found out later, and no words have come
``min_speech_elapsed``      the user's speech is too long for a cough
``max_backchannel_elapsed`` it is too long for a backchannel, too
``silence_timeout``         the user has been silent for long enough
``quiet_elapsed``           nobody has spoken for long
``quiet_ended``             the agent says something that may not be interrupted
=========================== =========================================================================================
"""

STOPPED: Final = "stopped"
"""The final leaf: the policy leaves the controller alone."""

_CHART: Final = Chart.parse("barge_in", TABLE, internal=INTERNAL)

USER_TURN: Final = frozenset({"user", "waiting.speaking", "waiting.listening"})
"""The leaves in which the user has the floor: entering them begins a turn of the user's, leaving them ends it."""

_SUSPICIONS: Final = frozenset({"lowered", "held", "waiting"})
_LENGTHS: Final = frozenset({"min_speech_elapsed", "max_backchannel_elapsed"})


def _decision_of(edge: Edge) -> tuple[str, ...]:
    """What one edge emits about the user's meaning."""
    source, target = state_of(edge.source), state_of(edge.target)
    if edge.event in _LENGTHS or (edge.event == "words" and source != "quiet"):
        return ("barge_in",)
    goes_on = source in _SUSPICIONS and target not in _SUSPICIONS
    if goes_on and edge.event in ("silence_timeout", "backchannel", "no_words"):
        return ("false_interruption",)
    if target in _SUSPICIONS and source not in _SUSPICIONS:
        return ("barge_in_suspected",)
    return ("silence",) if edge.event == "quiet_elapsed" else ()


def _turn_of(edge: Edge) -> tuple[str, ...]:
    """What one edge emits about the user's turn."""
    if edge.event == "stop":
        return ()
    began, ends = edge.target in USER_TURN, edge.source in USER_TURN
    # Where the user is silent when it becomes clear, the turn is over already; in `waiting` that was emitted before.
    over = edge.target == "idle" and "barge_in" in _decision_of(edge) and state_of(edge.source) != "waiting"
    names = ["user_turn_started"] if over or (began and not ends) else []
    return (*names, "user_turn_ended") if over or (ends and not began) else tuple(names)


BARGE_IN: Final = replace(
    _CHART, outputs={(edge.source, edge.event): names for edge in _CHART.edges() if (names := _decision_of(edge))}
)
"""Who has the floor: the agent, the user, both, or nobody; and where it is in doubt, what is done about it."""

TURNS: Final = {(edge.source, edge.event): names for edge in _CHART.edges() if (names := _turn_of(edge))}
"""The beginnings and ends of the user's turns, by (leaf, event), after what the chart emits. They follow from
:data:`USER_TURN`, so the pictures of the chart do without them."""

MACHINE: Final = ChartMachine(BARGE_IN)
"""The one machine that all policies of a process share."""

AGENT_SPEAKS: Final = BARGE_IN.leaves_taking("agent_stopped")
"""The leaves in which the agent has the floor, or waits for it."""

LOWERS: Final = frozenset(leaf for leaf in BARGE_IN.leaves if state_of(leaf) in ("lowered", "held"))
"""The leaves in which the agent is lowered."""

PAUSES: Final = BARGE_IN.leaves_taking("hold_released")
"""The leaves in which the policy pauses the controller."""

WAITING: Final = frozenset(leaf for leaf in BARGE_IN.leaves if state_of(leaf) == "waiting")
"""The leaves in which the user was first, and the agent waits."""

IN_DOUBT: Final = LOWERS | PAUSES
"""The leaves in which it is not clear yet whether the user means it."""

READY: Final = BARGE_IN.leaves_taking("agent_started") & AGENT_SPEAKS - {"agent.gap"}
"""The leaf just before the agent's first sample."""

GUARDED: Final = BARGE_IN.leaves_taking("guard_elapsed")
"""The leaves in the first moments of the agent's speech."""

STARTS: Final = BARGE_IN.leaves_taking("speech_started")
"""The leaves in which the user is silent."""

ENDS: Final = BARGE_IN.leaves_taking("speech_ended")
"""The leaves in which the user speaks."""

TAKES: Final = {event: BARGE_IN.leaves_taking(event) for event in BARGE_IN.events}
"""The leaves that take each event."""
