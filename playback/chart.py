"""PLAYBACK: the table that decides every buffer transition, and what follows from it.

A user sees a :class:`State`; a leaf is the detail. There is no guard and no flag beside the table: what may happen next
depends on the leaf alone.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Final

from statecharts import REFUSED, STAYS, Chart, ChartMachine, state_of

# =  stays        .  ignored        R  the audio is refused, counted and told        x  impossible
TABLE: Final = """
                     push                end                ready               underrun            boundary  drained       pause         resume              interrupt           lock                unlock              close
idle                 speaking.buffering  .                  x                   x                   =         x             paused.empty  .                   =                   input_locked        .                   closed
speaking.buffering   =                   speaking.draining  speaking.streaming  x                   =         x             paused.held   .                   interrupted.fading  speaking.sealed     .                   closed
speaking.streaming   =                   speaking.draining  x                   speaking.buffering  =         x             paused.held   .                   interrupted.fading  speaking.sealed     .                   closed
speaking.draining    speaking.streaming  .                  x                   x                   =         idle          paused.ended  .                   interrupted.fading  speaking.sealed     .                   closed
speaking.sealed      R                   .                  x                   x                   =         input_locked  paused.sealed .                   interrupted.sealed  .                   speaking.draining   closed
paused.empty         paused.held         .                  x                   x                   =         x             .             idle                idle                paused.sealed       .                   closed
paused.held          =                   paused.ended       x                   x                   =         x             .             speaking.buffering  interrupted.fading  paused.sealed       .                   closed
paused.ended         paused.held         .                  x                   x                   =         x             .             speaking.draining   interrupted.fading  paused.sealed       .                   closed
paused.sealed        R                   .                  x                   x                   =         x             .             speaking.sealed     interrupted.sealed  .                   paused.ended        closed
interrupted.fading   speaking.buffering  .                  x                   x                   =         idle          paused.empty  .                   =                   interrupted.sealed  .                   closed
interrupted.sealed   R                   .                  x                   x                   =         input_locked  paused.sealed .                   =                   .                   interrupted.fading  closed
input_locked         R                   .                  x                   x                   =         x             paused.sealed .                   =                   .                   idle                closed
closed               R                   .                  .                   .                   .         .             .             .                   .                   .                   .                   .
"""  # noqa: E501 - a table is read by its columns

FACTS: Final = ("ready", "underrun", "boundary", "drained")
"""What the buffer reports: enough is there to start · an open utterance ran dry · an utterance's last sample was handed
out · nothing is left to play. All other events are commands of the application."""

SETTLING: Final = ("boundary", "ready", "underrun", "drained")
"""In which order the facts are looked at, when more than one may have become true."""

MOVES: Final = "moves"

TOLD: Final = {
    ("push", REFUSED): ("audio_refused",),
    # `last_audio_byte` is left out for an utterance that was cut short: it was not heard to its end.
    ("boundary", STAYS): ("last_audio_byte", "utterance_finished"),
    ("underrun", MOVES): ("underrun",),
    ("pause", MOVES): ("paused",),
    ("resume", MOVES): ("resumed",),
    # An interrupt and a close tell `utterance_finished` for each utterance that they end, before this.
    ("interrupt", MOVES): ("interrupted",),
    ("lock", MOVES): ("input_locked",),
    ("unlock", MOVES): ("input_unlocked",),
    ("close", MOVES): ("closed",),
}
"""What listeners are told of a chart event, by what its cell does. The rest they hear from the buffer itself, at the
exact sample: `first_audio_byte`, `mark_reached`, `silenced`; `state_changed` sums up every step from rest to rest."""


def _with_outputs(chart: Chart) -> Chart:
    """The chart with what each edge tells, by (leaf, event)."""
    told = {}
    for edge in chart.edges():
        cell = chart.cells[edge.source][edge.event]
        names = TOLD.get((edge.event, cell if cell in (STAYS, REFUSED) else MOVES))
        if names:
            told[edge.source, edge.event] = names
    return replace(chart, outputs=told)


PLAYBACK: Final = _with_outputs(Chart.parse("playback", TABLE, facts=FACTS))
"""The chart of one playout."""

MACHINE: Final = ChartMachine(PLAYBACK)
"""The one machine that all controllers of a process share."""


class State(StrEnum):
    """What a user sees of a playout."""

    IDLE = "idle"
    SPEAKING = "speaking"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    INPUT_LOCKED = "input_locked"
    CLOSED = "closed"


STATE_OF: Final = {leaf: State(state_of(leaf)) for leaf in PLAYBACK.leaves}
"""The visible state of each leaf."""

# What the controller looks up where an edge would cost too much. All of it follows from the table.

PAUSED: Final = PLAYBACK.leaves_taking("resume")
"""The leaves in which a pause holds audio back."""

REFUSES: Final = PLAYBACK.leaves_where("push", REFUSED)
"""The leaves that turn audio away."""

TAKES: Final = PLAYBACK.leaves_where("push", STAYS)
"""The leaves in which a push is no edge."""

WAITS: Final = PLAYBACK.leaves_taking("ready")
"""The leaves in which the head waits for enough audio to start."""

FLOWS: Final = TAKES - WAITS
"""The leaves in which a push changes nothing but what is buffered."""

RUNS_DRY: Final = PLAYBACK.leaves_taking("underrun")
"""The leaves in which an open head may run dry."""

DRAINS: Final = PLAYBACK.leaves_taking("drained")
"""The leaves that are left when nothing is left to play."""

FADES: Final = frozenset(leaf for leaf in DRAINS if STATE_OF[leaf] is State.INTERRUPTED)
"""Of these, the leaves after an interrupt: they are left only inside a read, so that the interrupt is always seen."""

SOUNDS: Final = (RUNS_DRY | DRAINS) - FADES
"""The leaves in which a read hands out speech."""
