"""Why nobody could tell: the mutants that are expected to survive, each with the reason.

A user is whoever listens and reads: samples, events with their positions, what commands return, states, leaves, counts
and reports. What shows the chart itself (its table, its diagrams, a trace of the edges that were taken) shows a mutant
too, of course.

A reason that no survivor needs is as wrong as a survivor that has none, and so is one that fits a mutant that somebody
did notice.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from mutants.source import Mutant


class Reason(NamedTuple):
    """A kind of mutant that no user could tell from the chart as it is."""

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


REASONS: Final = (
    Reason(
        ("*",),
        "end",
        "=",
        (".", "R"),
        "An end leads nowhere by itself, and nobody asks the chart whether it was taken: what `end()` returns is"
        " whether the utterance was open, and what follows from it is `input_ended`.",
    ),
    Reason(
        ("closed",),
        "end",
        ".",
        ("=", "R"),
        "After the close every utterance is finished at its first use, so no end is fired.",
    ),
    Reason(
        ("idle", "input_locked", "interrupted.*"),
        "interrupt",
        "=",
        (".", "R"),
        "Only an interrupt that leaves its leaf is told, and nobody asks the chart whether this one was taken: what"
        " `interrupt()` returns is whether a handle was dropped or the leaf has changed.",
    ),
    Reason(
        ("closed",),
        "interrupt",
        ".",
        ("=", "R"),
        "The same: only an interrupt that leaves its leaf is told, and after the close there is no handle to drop.",
    ),
)
