"""What came of a run: counts, and whether every survivor was expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from mutants.judge import HUNG, PATHS, REFUSED, SURVIVED, TESTS, Verdict
from mutants.reasons import REASONS, Passing, Reason
from mutants.source import PLAYBACK, Mutant

ENOUGH_PERCENT: Final = 95.0
"""How many of the mutants have to be caught."""

NAMES: Final = {
    REFUSED: "refused by the chart's own check",
    PATHS: "caught by the paths",
    TESTS: "caught by other tests",
    HUNG: "hung",
    SURVIVED: "survived",
}


class Findings:
    """What became of each mutant.

    Args:
        verdicts: all that were judged.
        reasons: why survivors may survive.
        whole: whether these are all mutants there are, so that a reason may not be left over.
    """

    def __init__(
        self,
        verdicts: Iterable[tuple[Mutant, Verdict]],
        reasons: Sequence[Reason | Passing] = REASONS[PLAYBACK],
        *,
        whole: bool = True,
    ) -> None:
        self.verdicts: Final = sorted(verdicts)
        self._reasons: Final = reasons
        self._whole: Final = whole

    @property
    def counts(self) -> dict[str, int]:
        """How many mutants came to which end."""
        counts = Counter(what for _, (what, _) in self.verdicts)
        return {what: counts[what] for what in NAMES}

    @property
    def percent(self) -> float:
        """How many were caught, by whatever."""
        total = len(self.verdicts)
        return 100.0 * (total - self.counts[SURVIVED]) / total if total else 100.0

    @property
    def survivors(self) -> list[Mutant]:
        """What nobody noticed."""
        return [mutant for mutant, (what, _) in self.verdicts if what == SURVIVED]

    def explained(self) -> list[tuple[Reason | Passing, list[Mutant]]]:
        """Each reason that is needed, with its survivors."""
        groups = [(reason, [mutant for mutant in self.survivors if reason.fits(mutant)]) for reason in self._reasons]
        return [(reason, mutants) for reason, mutants in groups if mutants]

    def problems(self) -> list[str]:
        """Why the run fails, in words; empty if it does not."""
        problems = []
        # A single cell may well be one that has many mutants that nobody could notice.
        if self._whole and self.percent < ENOUGH_PERCENT:
            problems.append(f"only {self.percent:.1f} % were caught, expected {ENOUGH_PERCENT:g} % or more")
        problems += [
            f"no reason why it survived: {mutant}"
            for mutant in self.survivors
            if not any(reason.fits(mutant) for reason in self._reasons)
        ]
        problems += [
            f"it was expected to survive: {mutant}; noticed by {who}"
            for mutant, (what, who) in self.verdicts
            if what not in (SURVIVED, REFUSED) and any(reason.fits(mutant) for reason in self._reasons)
        ]
        if self._whole:
            needed = [reason for reason, _ in self.explained()]
            problems += [f"no survivor needs this reason: {reason}" for reason in self._reasons if reason not in needed]
        return problems
