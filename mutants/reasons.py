"""Why nobody could notice: the mutants that are expected to survive, each with the reason.

A user is whoever listens and reads: samples, events with their positions, what commands return, states, leaves, counts
and reports. What shows the chart itself (its table, its diagrams, a trace of the edges that were taken) shows a mutant
too, of course.

A reason that no survivor needs is as wrong as a survivor that has none, and so is one that fits a mutant that somebody
did notice.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from mutants.source import ORDER, Mutant, Source


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

REASONS: Final = (
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
