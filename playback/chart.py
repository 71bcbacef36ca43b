"""PLAYBACK: the table that decides every buffer transition, and what follows from it.

Theory of operation. A leaf is where a playout stands in detail; its name begins with the :class:`State` that users see.
The leaf alone decides what an event does: there is no guard and no flag beside the table. Two kinds of events exist:

* Commands come from the application: from producers (``push``, also for an utterance that is enqueued without audio,
  and ``end``, also for one that fails) and from whoever steers (``pause``, ``resume``, ``interrupt``,
  ``drop_waiting``, ``lock``, ``unlock``, ``close``).
* Internal events are functions of the buffer, the playhead and the last read. After each command, each read and each
  confirmation they are evaluated in the order of :data:`INTERNAL`; the first one that is true and that the leaf takes
  is fired, and the evaluation begins anew, until none is true. :mod:`playback.core.transitions` has the functions, and
  nothing else that decides.

Not in the table, because nothing depends on it: how loud a ramp is just now, and which samples a buffer holds.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Final

from statecharts import REFUSED, STAYS, Chart, ChartMachine, state_of

# =  stays        .  ignored        R  the audio is refused, counted and reported        x  impossible
TABLE: Final = """
                     push                end  input_ended        ready               underrun            gap                 completed  cut_short  drained       faded         pause         resume              interrupt           drop_waiting  lock                unlock              close
idle                 speaking.buffering  =    x                  x                   x                   x                   =          =          x             x             paused.empty  .                   =                   x             input_locked        .                   closed
speaking.buffering   =                   =    speaking.draining  speaking.streaming  x                   x                   =          =          x             x             paused.held   .                   interrupted.fading  =             speaking.sealed     .                   closed
speaking.streaming   =                   =    speaking.draining  x                   speaking.buffering  speaking.buffering  =          =          x             x             paused.held   .                   interrupted.fading  =             speaking.sealed     .                   closed
speaking.draining    speaking.streaming  =    x                  x                   x                   x                   =          =          idle          x             paused.ended  .                   interrupted.fading  =             speaking.sealed     .                   closed
speaking.sealed      R                   =    x                  x                   x                   x                   =          =          input_locked  x             paused.sealed .                   interrupted.sealed  =             .                   speaking.draining   closed
paused.empty         paused.held         =    x                  x                   x                   x                   =          =          x             x             .             idle                idle                x             paused.sealed       .                   closed
paused.held          =                   =    paused.ended       x                   x                   x                   =          =          x             x             .             speaking.buffering  interrupted.fading  =             paused.sealed       .                   closed
paused.ended         paused.held         =    x                  x                   x                   x                   =          =          x             x             .             speaking.draining   interrupted.fading  =             paused.sealed       .                   closed
paused.sealed        R                   =    x                  x                   x                   x                   =          =          x             x             .             speaking.sealed     interrupted.sealed  =             .                   paused.ended        closed
interrupted.fading   speaking.buffering  =    x                  x                   x                   x                   =          =          x             idle          paused.empty  .                   =                   x             interrupted.sealed  .                   closed
interrupted.sealed   R                   =    x                  x                   x                   x                   =          =          x             input_locked  paused.sealed .                   =                   x             .                   interrupted.fading  closed
input_locked         R                   =    x                  x                   x                   x                   =          =          x             x             paused.sealed .                   =                   x             .                   idle                closed
closed               R                   .    .                  .                   .                   .                   .          .          .             .             .             .                   .                   .             .                   .                   .
"""  # noqa: E501 - a table is read by its columns

INTERNAL: Final = ("input_ended", "completed", "cut_short", "ready", "underrun", "gap", "drained", "faded")
"""The internal events, in the order in which they are evaluated.

=============== =====================================================================================================
``input_ended`` nothing in the queue is open, neither an utterance nor a turn
``completed``   all of the front was heard, and its producer ended it
``cut_short``   all that there is of the front was heard, but it failed, was locked, or audio of it was refused
``ready``       the head has ended, or holds at least one read's worth and the prebuffer beyond its largest push
``underrun``    the last read found less than it asked for in the head, which is open and was not ready since
``gap``         the last read found nothing at all, within a turn that is open
``drained``     the queue is empty, and no tail of anything sounds or is still to be heard
``faded``       after an interrupt: no tail is left, and at least one sample was read since
=============== =====================================================================================================

The head is the utterance that is read, or will be next, and the front the one that is heard. They are the same, unless
the reader confirms (:mod:`playback.core.confirming`): then what was read is heard when it is confirmed.
"""

CLOSED: Final = "closed"
"""The final leaf."""

MOVES: Final = "moves"

EMITS: Final = {
    ("push", REFUSED): ("audio_refused",),
    ("completed", STAYS): ("last_audio_byte", "utterance_finished"),
    ("cut_short", STAYS): ("utterance_finished",),
    ("underrun", MOVES): ("underrun",),
    ("pause", MOVES): ("paused",),
    ("resume", MOVES): ("resumed",),
    # An interrupt, a drop and a close emit `utterance_finished` for each utterance that they end, before this. A drop
    # that lets a word end emits `interrupted`, as the interrupt that it stands for; one that spares the head does not.
    ("interrupt", MOVES): ("interrupted",),
    ("lock", MOVES): ("input_locked",),
    ("unlock", MOVES): ("input_unlocked",),
    ("close", MOVES): ("closed",),
}
"""What an edge emits, by its event and by what its cell does. The buffer itself emits the rest, at the exact sample:
``first_audio_byte``, ``mark_reached``, ``silenced``; ``state_changed`` sums up every step."""


def _with_outputs(chart: Chart) -> Chart:
    """The chart with what each edge emits, by (leaf, event)."""
    outputs = {}
    for edge in chart.edges():
        cell = chart.cells[edge.source][edge.event]
        names = EMITS.get((edge.event, cell if cell in (STAYS, REFUSED) else MOVES))
        if names:
            outputs[edge.source, edge.event] = names
    return replace(chart, outputs=outputs)


PLAYBACK: Final = _with_outputs(Chart.parse("playback", TABLE, internal=INTERNAL))
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

# What the core looks up where an edge would cost too much. All of it follows from the table.

INTERNAL_OF: Final = {
    leaf: tuple(event for event in INTERNAL if leaf in PLAYBACK.leaves_taking(event)) for leaf in PLAYBACK.leaves
}
"""The internal events that each leaf takes, in the order in which they are evaluated."""

PAUSED: Final = PLAYBACK.leaves_taking("resume")
"""The leaves in which a pause holds audio back."""

REFUSES: Final = PLAYBACK.leaves_where("push", REFUSED)
"""The leaves that turn audio away."""

WAITS: Final = PLAYBACK.leaves_taking("ready")
"""The leaves in which the head waits for enough audio to start."""

FLOWS: Final = PLAYBACK.leaves_where("push", STAYS) - WAITS
"""The leaves in which a push changes nothing but what is buffered."""

RUNS_DRY: Final = PLAYBACK.leaves_taking("underrun")
"""The leaves in which an open head, or an open turn, may run out of audio."""

SOUNDS: Final = RUNS_DRY | PLAYBACK.leaves_taking("drained")
"""The leaves in which a read hands out speech."""
