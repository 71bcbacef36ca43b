"""Why nobody could notice: the mutants that are expected to survive, each with the reason.

A user is whoever listens and reads: samples, events with their positions, what commands return, states, leaves, counts
and reports. What shows the chart itself (its table, its diagrams, a trace of the edges that were taken) shows a mutant
too, of course.

A reason that no survivor needs is as wrong as a survivor that has none, and so is one that fits a mutant that somebody
did notice.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from mutants.source import BARGE_IN, ORDER, PLAYBACK, Mutant, Source, Subject


class Reason(NamedTuple):
    """A kind of mutant that no user could distinguish from the chart as it is."""

    leaves: tuple[str, ...]
    """Patterns of the shell; one has to fit."""
    event: str
    was: str
    becomes: tuple[str, ...]
    """Patterns, as well."""
    why: str

    def fits(self, mutant: Mutant) -> bool:
        """Whether it is about this mutant."""
        return (
            (self.event, self.was) == (mutant.event, mutant.was)
            and any(fnmatchcase(mutant.leaf, leaf) for leaf in self.leaves)
            and any(fnmatchcase(mutant.becomes, becomes) for becomes in self.becomes)
        )


class Passing(NamedTuple):
    """A cell of BARGE_IN that leads elsewhere first: what is true there leads on to the right leaf in the same step.

    Where that ends, and that nothing more and nothing less is emitted on the way, is computed from the mutated chart.
    """

    leaves: tuple[str, ...]
    """Patterns of the shell; one has to fit."""
    events: tuple[str, ...]
    """Patterns of the cell's event."""
    becomes: tuple[str, ...]
    """Patterns, as well."""
    ways: tuple[tuple[str, ...], ...]
    """What may be true after it: each sequence of internal events has to lead to the right leaf."""
    why: str

    def fits(self, mutant: Mutant) -> bool:
        """Whether it is about this mutant."""
        return (
            any(fnmatchcase(mutant.event, event) for event in self.events)
            and any(fnmatchcase(mutant.leaf, leaf) for leaf in self.leaves)
            and any(fnmatchcase(mutant.becomes, becomes) for becomes in self.becomes)
            and all(_leads_on(mutant, way) for way in self.ways)
        )


@functools.cache
def _leads_on(mutant: Mutant, way: tuple[str, ...]) -> bool:
    return _source().leads_on(mutant, way)


@functools.cache
def _source() -> Source:
    return Source(BARGE_IN)


_NOBODY_ASKS: Final = (
    "It leads nowhere by itself and emits nothing, and nobody asks the chart whether it was taken. What follows from it"
)
_NOTHING_IS_OPEN: Final = (
    "Nothing in the queue is open here, so `input_ended` is true and the first that is evaluated: it leads on to the"
    " right leaf in the same step, and only the step's last leaf is emitted."
)
_NOTHING_IS_LEFT: Final = (
    "The queue is empty here and no tail sounds, so `drained`, after `input_ended` where the leaf takes it, leads on to"
    " the right leaf in the same step, and only the step's last leaf is emitted."
)
_TO_IDLE: Final = ("speaking.buffering", "speaking.streaming", "speaking.draining")
_TO_DRAINING: Final = ("speaking.buffering", "speaking.streaming")

_PLAYBACK: Final = (
    Reason(
        ("*",),
        "end",
        "=",
        (".", "R"),
        f"{_NOBODY_ASKS} is `input_ended`; what `end()` returns is whether the utterance was open.",
    ),
    Reason(
        ("speaking.*", "paused.*"),
        "drop_waiting",
        "=",
        (".", "R"),
        f"{_NOBODY_ASKS} is `input_ended`; what `interrupt()` returns is whether a handle was dropped or the leaf has"
        " changed.",
    ),
    Reason(
        ("speaking.buffering",),
        "push",
        "=",
        (".",),
        f"{_NOBODY_ASKS} is `ready`, and no lookup has the leaf because of this cell: it waits, so it does not flow.",
    ),
    Reason(
        ("idle", "input_locked", "interrupted.*"),
        "interrupt",
        "=",
        (".", "R"),
        "Only an interrupt that leaves its leaf emits `interrupted`, and nobody asks the chart whether this one was"
        " taken: what `interrupt()` returns is whether a handle was dropped or the leaf has changed.",
    ),
    Reason(
        ("closed",),
        "interrupt",
        ".",
        ("=", "R"),
        "The same: only an interrupt that leaves its leaf emits something, and after the close there is no handle to"
        " drop.",
    ),
    Reason(("interrupted.fading",), "faded", "idle", _TO_IDLE, _NOTHING_IS_LEFT),
    Reason(("interrupted.sealed",), "faded", "input_locked", ("speaking.sealed",), _NOTHING_IS_LEFT),
    Reason(("paused.ended",), "end", "=", ("paused.held",), _NOTHING_IS_OPEN),
    Reason(("paused.ended",), "drop_waiting", "=", ("paused.held",), _NOTHING_IS_OPEN),
    Reason(("paused.ended",), "resume", "speaking.draining", _TO_DRAINING, _NOTHING_IS_OPEN),
    Reason(("paused.sealed",), "unlock", "paused.ended", ("paused.held",), _NOTHING_IS_OPEN),
    Reason(("speaking.draining",), "end", "=", _TO_DRAINING, _NOTHING_IS_OPEN),
    Reason(("speaking.draining",), "drop_waiting", "=", _TO_DRAINING, _NOTHING_IS_OPEN),
    Reason(("speaking.draining",), "pause", "paused.ended", ("paused.held",), _NOTHING_IS_OPEN),
    Reason(("speaking.sealed",), "unlock", "speaking.draining", _TO_DRAINING, _NOTHING_IS_OPEN),
    Reason(_TO_DRAINING, "input_ended", "speaking.draining", _TO_DRAINING, _NOTHING_IS_OPEN),
    Reason(
        (ORDER,),
        "order",
        " ".join(Source().internal),
        ("*completed*cut_short*ready*", "*cut_short*completed*ready*"),
        "What matters is that heads that are over are gone before `ready` is asked of the next one. No other two events"
        " that one leaf takes depend on their order. A head was either cut short or it was not. `input_ended` emits"
        " nothing, changes nothing that the others look at, and leads to speaking.draining whether or not `ready` has"
        " led to speaking.streaming before. `underrun` needs an open head, `input_ended` that nothing is open,"
        " `drained` that there is no head, and `gap` that there is none but an open turn. `faded` becomes true by a"
        " read, and in its leaves a read ends no head.",
    ),
)

_GUARDED: Final = ("guard_elapsed", "agent_stopped")

_BARGE_IN: Final = (
    Passing(
        ("agent.*",),
        ("agent_stopped",),
        ("agent.*",),
        (("agent_stopped",), _GUARDED),
        "The agent is still silent there, so `agent_stopped` is fired again, after `guard_elapsed` if that is due.",
    ),
    Passing(
        ("both.*", "lowered.*"),
        ("agent_stopped",),
        ("agent.*", "both.*", "lowered.listening"),
        (("agent_stopped",), _GUARDED),
        "The same, where nothing was paused and nothing else of the clock is due.",
    ),
    Passing(
        ("held.*", "waiting.*"),
        ("agent_stopped",),
        ("*",),
        (("agent_stopped",),),
        "The agent is still silent there. What is paused goes on or stays, and `agent_stopped` is fired again, before"
        " the clock is asked.",
    ),
    Passing(
        ("quiet",),
        ("quiet_ended",),
        ("agent.*",),
        (("agent_stopped",), _GUARDED),
        "What may not be interrupted counts as silence, so `agent_stopped` is true.",
    ),
    Passing(
        ("both.*", "held.*", "lowered.*", "waiting.*"),
        ("words", "min_speech_elapsed", "max_backchannel_elapsed"),
        ("*",),
        (("agent_stopped",),),
        "The interrupt has silenced the agent, so `agent_stopped` is fired, before anything is paused or the clock is"
        " asked.",
    ),
    Passing(
        ("agent.*",),
        ("gap_began",),
        ("agent.*",),
        (("gap_began",), ("guard_elapsed", "gap_began")),
        "The agent still waits for audio there, so `gap_began` is fired again.",
    ),
    Passing(
        ("idle", "quiet"),
        ("agent_ready",),
        ("*",),
        (("agent_ready",),),
        "The agent is still ready there, so `agent_ready` is fired again, at the same time.",
    ),
    Passing(
        ("idle",),
        ("agent_started",),
        ("*",),
        (("agent_started",),),
        "The agent still sounds there, so `agent_started` is fired again.",
    ),
    Passing(
        ("agent.*",),
        ("agent_started",),
        ("agent.*",),
        (("agent_started",),),
        "The agent still sounds there, so `agent_started` is fired again.",
    ),
    Passing(
        ("agent.settled",),
        ("*",),
        ("*.early",),
        (("guard_elapsed",),),
        "The guard is over, so `guard_elapsed` is due at once.",
    ),
    Passing(
        ("lowered.silent",),
        ("backchannel", "no_words", "silence_timeout"),
        ("agent.early",),
        (("guard_elapsed",),),
        "Only an agent whose guard is over is lowered, so `guard_elapsed` is due at once.",
    ),
    Passing(
        ("held.silent",),
        ("backchannel", "no_words", "silence_timeout", "hold_released"),
        ("agent.*",),
        (("agent_started", "guard_elapsed"),),
        "Only an agent that sounds and whose guard is over is held, so `agent_started` is true where the leaf takes it,"
        " and `guard_elapsed` is due.",
    ),
    Passing(
        ("held.silent",),
        ("silence_timeout",),
        ("waiting.silent",),
        (("silence_timeout", "agent_started", "guard_elapsed"),),
        "The silence has lasted for as long as that leaf waits for, too, so `silence_timeout` is due at once.",
    ),
    Passing(
        ("held.silent", "waiting.speaking"),
        ("hold_released",),
        ("held.*", "waiting.*"),
        (("hold_released", "agent_started", "guard_elapsed"),),
        "The hold is still over there, so `hold_released` is fired again.",
    ),
    Passing(
        ("waiting.silent",),
        ("backchannel", "no_words", "silence_timeout", "hold_released"),
        ("agent.*",),
        (("agent_ready",),),
        "The agent goes on with audio of which nothing was read, so `agent_ready` is true.",
    ),
)

REASONS: Final[Mapping[Subject, tuple[Reason | Passing, ...]]] = {PLAYBACK: _PLAYBACK, BARGE_IN: _BARGE_IN}
"""For each chart, why some of its mutants survive."""
