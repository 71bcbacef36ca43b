"""The soak's own ledger: what each producer pushed and what was reported of it, apart from the library's counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import ReferenceType, ref

from benchmarks.soak.audio import Kind, converted
from playback import BufferFull, PlaybackController, Utterance
from playback.events import (
    AudioRefused,
    ErrorRaised,
    EventName,
    FirstAudioByte,
    LastAudioByte,
    MarkReached,
    StateChanged,
    UtteranceFinished,
)
from playback.sinks import SinkSlow

KEPT: Final = 20
"""How many failures are kept in words; all are counted."""


class Hiccup(Exception):  # noqa: N818 - it is no error: it is raised on purpose
    """What the soak's own sinks and listeners raise now and then."""


@dataclass(slots=True)
class Findings:
    """What all controllers of a run have in common."""

    totals: Counter[str] = field(default_factory=Counter)
    """What happened, and how often; samples are at each controller's own rate."""
    leaves: Counter[str] = field(default_factory=Counter)
    """How often each leaf of the chart was come to."""
    failed: Counter[str] = field(default_factory=Counter)
    """What went wrong, by the check that has found it."""
    failures: list[str] = field(default_factory=list)
    """The first ones in words."""

    def check(self, holds: bool, name: str, *details: object) -> None:
        """Note a failure unless something holds."""
        if not holds:
            self.failed[name] += 1
            if len(self.failures) < KEPT:
                self.failures.append(f"{name}: {', '.join(map(str, details))}")


@dataclass(slots=True, eq=False)
class Entry:
    """What is known of one utterance by what was done with it. Counts are samples at the output rate."""

    id: str
    kind: Kind
    accepted: int = 0
    refused: int = 0
    used: bool = False
    """Whether anything was done with its handle: before that it is nobody's."""
    overtaken: bool = False
    """Whether an interrupt came before that, so that its first use finishes it."""
    placed: bool = False
    """Whether it has its place in the queue: by a push that was taken, or its end."""
    ended: bool = False
    partial: int = 0
    """Bytes of a sample that has only begun."""
    run: int = 0
    """Samples that were taken, at the producer's rate."""
    firsts: int = 0
    lasts: int = 0
    marks: int = 0
    reached: int = 0
    met: ReferenceType[Utterance] | None = None
    """The handle; weak, so that nothing lives longer because of the ledger. None until the first event of an utterance
    that is pushed without one."""

    @property
    def handle(self) -> Utterance | None:
        """The handle, as long as anybody holds it."""
        return None if self.met is None else self.met()


class Account:
    """The ledger of one controller.

    Every push is predicted: it is taken whole, refused whole, or too much. Every event is counted. An utterance's entry
    is closed when it is reported as finished, so that whatever is reported of it later is a failure.

    Args:
        controller: must be new.
        findings: where failures and totals go.
        name: of the controller, in failures.
        maximum: what may be buffered at all, in samples.
        times_out: whether the controller ends utterances by itself, which is asked then and not predicted.
    """

    def __init__(
        self, controller: PlaybackController, findings: Findings, name: str, maximum: int, *, times_out: bool = False
    ) -> None:
        self.findings: Final = findings
        self.live: Final[dict[str, Entry]] = {}
        """The utterances that are not finished, by id."""
        self.locked = False
        self.closed = False
        self.played = 0
        """Samples that finished utterances have played."""
        self.raised = 0
        """How often a sink or a listener of ours has raised."""

        self._controller: Final = controller
        self._name: Final = name
        self._maximum: Final = maximum
        self._times_out: Final = times_out
        self._rate: Final = controller.format.sample_rate
        self._accepted = self._discarded = 0
        self._refusals = self._refused = 0
        self._refusals_seen = self._refused_seen = 0
        self._errors_seen = 0
        listeners: tuple[tuple[EventName, Callable[[Any], object]], ...] = (
            ("utterance_finished", self._finished),
            ("first_audio_byte", self._first),
            ("last_audio_byte", self._last),
            ("mark_reached", self._mark_reached),
            ("audio_refused", self._refusal),
            ("input_locked", self._input_locked),
            ("input_unlocked", self._input_unlocked),
            ("closed", self._input_closed),
            ("state_changed", self._changed),
            ("error", self._error),
        )
        for event, listener in listeners:
            controller.on(event, listener)

    def check(self, holds: bool, name: str, *details: object) -> None:
        """Note a failure of this controller unless something holds."""
        if not holds:
            self.findings.check(False, name, self._name, *details)

    @property
    def in_use(self) -> list[str]:
        """The utterances that the controller knows of and has not finished, by id."""
        return [entry.id for entry in self.live.values() if entry.used]

    # What producers do

    def open(self, id: str, kind: Kind, handle: Utterance | None = None) -> Entry:
        """Begin an utterance; one that is made without a handle is met with its first event."""
        entry = self.live[id] = Entry(id, kind, met=None if handle is None else ref(handle))
        self.findings.totals["utterances"] += 1
        if self.closed:
            self.check(False, "an utterance of a closed controller is not opened", id)
        return entry

    def use(self, entry: Entry) -> None:
        """Do something with a handle; the first time it may turn out that it came too late."""
        if not entry.used:
            entry.used = True
            entry.ended = entry.overtaken or self.closed

    def push(self, to: Any, entry: Entry | None, kind: Kind, samples: int, extra: int = 0) -> int:
        """Push audio and see that it is taken, or turned away, as it has to be.

        Args:
            to: has the method to push: a handle or the controller.
            entry: the utterance that it belongs to; None if there is none, because the input is locked.
            kind: of audio.
            samples: how many, at the producer's rate.
            extra: bytes beyond them, less than a sample has; only for bytes.

        Returns:
            The output samples that were accepted.
        """
        if entry is not None:
            self.use(entry)
        ended = entry is None or self._has_ended(entry)
        width = kind.format.frame_bytes
        carried = 0 if entry is None or ended else entry.partial
        whole, partial = divmod(carried + samples * width + extra, width) if kind.is_bytes else (samples, 0)
        refused = self.locked or self.closed or ended
        expected = 0
        if entry is not None and not refused:
            expected = self._converted(kind, entry.run + whole) - self._converted(kind, entry.run)
        full = not refused and whole > 0 and expected > self._maximum - self._controller.buffered
        self.findings.totals["pushes"] += 1
        try:
            accepted = int(to.push(kind.cut(samples, extra)))
        except BufferFull:
            self.check(full, "a push that fits is taken", whole)
            self.findings.totals["pushes that did not fit"] += 1
            return 0
        self.check(not full, "a push that does not fit is reported", whole)
        self.check(accepted == expected, "a push is taken whole or refused whole", entry, accepted, expected)
        if refused and whole:
            self._count_refused(entry, self._converted(kind, whole))
        if entry is not None and not ended:
            entry.partial = partial
            if not refused and whole:
                self._count_accepted(entry, whole, accepted)
        return accepted

    def wrote(self, entry: Entry, samples: int, accepted: int) -> None:
        """A write has come back: it has taken all, or none."""
        expected = self._converted(entry.kind, entry.run + samples) - self._converted(entry.kind, entry.run)
        self.check(accepted in (0, expected), "a write is taken whole or refused whole", entry, accepted)
        self.findings.totals["writes"] += 1
        if accepted:
            self._count_accepted(entry, samples, accepted)
        else:
            self._count_refused(entry, self._converted(entry.kind, samples))

    def end(self, to: Any, entry: Entry | None) -> None:
        """End an utterance."""
        if entry is not None:
            self.use(entry)
        expected = entry is not None and not self._has_ended(entry)
        if entry is not None:
            entry.ended = entry.placed = True
            entry.partial = 0
        self.check(to.end() is expected, "an end counts once", entry)

    def cancel(self, handle: Utterance, entry: Entry) -> None:
        """Cancel an utterance."""
        begun = entry.used
        self.use(entry)
        expected = entry.id in self.live and (begun or not entry.ended)
        self.check(handle.cancel() is expected, "a cancel counts once", entry)
        self.check(entry.id not in self.live, "what is cancelled is finished", entry)

    # What the user and the application do

    def interrupt(self, *, lock: bool = False, force: bool = False) -> bool:
        """Interrupt; returns whether anything has changed."""
        for entry in self.live.values():
            entry.overtaken = entry.overtaken or not entry.used
        return self._controller.interrupt(lock=lock, force=force)

    def _has_ended(self, entry: Entry) -> bool:
        handle = entry.handle if self._times_out else None
        entry.ended = entry.ended or (handle is not None and handle.ended)
        return entry.ended

    def _converted(self, kind: Kind, samples: int) -> int:
        return converted(samples, kind.format.sample_rate, self._rate)

    def _count_accepted(self, entry: Entry, samples: int, accepted: int) -> None:
        entry.run += samples
        entry.accepted += accepted
        entry.placed = True
        self._accepted += accepted
        self.findings.totals["accepted"] += accepted

    def _count_refused(self, entry: Entry | None, samples: int) -> None:
        self._refusals += 1
        self._refused += samples
        self.findings.totals["refusals"] += 1
        self.findings.totals["refused"] += samples
        if entry is not None:
            entry.refused += samples
            handle = entry.handle
            self.check(handle is None or handle.refused == entry.refused, "refused samples are counted", handle, entry)

    # What is reported

    def _of(self, event: Any) -> Entry | None:
        """The entry that an event is about; a handle is met with the first one."""
        entry = self.live.get(event.utterance.id)
        self.check(entry is not None, "nothing is reported of a finished utterance", event.name, event.utterance)
        if entry is not None and entry.met is None:
            entry.met = ref(event.utterance)
        return entry

    def _finished(self, event: UtteranceFinished) -> None:
        entry = self.live.pop(event.utterance.id, None)
        if entry is None:
            self.check(False, "utterance_finished exactly once", event.utterance)
            return
        entry.ended = True
        entry.partial = 0
        report = event.report
        completed = report.outcome == "completed"
        exact = report.accepted == entry.accepted == report.played + report.discarded
        self.check(exact, "accepted = played + discarded", report, entry)
        self.check(report.refused == entry.refused, "refused samples are counted", report, entry)
        self.check(entry.firsts == (report.played > 0), "first_audio_byte exactly once", report, entry)
        self.check(entry.lasts == completed, "last_audio_byte if and only if completed", report, entry)
        self.check(not completed or report.played == report.accepted, "completed is played whole", report)
        self.check(not completed or entry.reached == entry.marks, "all marks are reached on completion", report, entry)
        self.check(entry.reached <= entry.marks, "a mark is reached once", report, entry)
        self.played += report.played
        self._discarded += report.discarded
        totals = self.findings.totals
        totals["finished"] += 1
        totals[report.outcome.value] += 1
        totals["played"] += report.played
        totals["discarded"] += report.discarded

    def _first(self, event: FirstAudioByte) -> None:
        if (entry := self._of(event)) is not None:
            entry.firsts += 1

    def _last(self, event: LastAudioByte) -> None:
        if (entry := self._of(event)) is not None:
            entry.lasts += 1

    def _mark_reached(self, event: MarkReached) -> None:
        if (entry := self._of(event)) is not None:
            entry.reached += 1
        self.findings.totals["marks reached"] += 1

    def _refusal(self, event: AudioRefused) -> None:
        self._refusals_seen += 1
        self._refused_seen += event.samples

    def _input_locked(self, _: object) -> None:
        self.locked = True
        for entry in self.live.values():
            entry.ended = entry.ended or entry.placed

    def _input_unlocked(self, _: object) -> None:
        self.locked = False

    def _input_closed(self, _: object) -> None:
        self.closed = True

    def _changed(self, event: StateChanged) -> None:
        self.findings.leaves[event.new_leaf] += 1

    def _error(self, event: ErrorRaised) -> None:
        if isinstance(event.exception, Hiccup):
            self._errors_seen += 1
        elif isinstance(event.exception, SinkSlow):  # on a busy machine that is true
            self.findings.totals["slow sinks"] += 1
        else:
            self.check(False, "no other errors", event.source, repr(event.exception))

    # What must be true at any time

    def verify(self, heard: int | None = None) -> None:
        """Check every utterance that is not finished, and the sums.

        Args:
            heard: the samples of speech that were read, if they could be counted.
        """
        buffered = played = 0
        for entry in list(self.live.values()):
            handle = entry.handle
            if handle is not None:
                played += handle.played
                buffered += entry.accepted - handle.played
                right = (handle.accepted, handle.discarded) == (entry.accepted, 0)
                self.check(right and handle.report is None, "what is open is counted", handle, entry)
                self.check(handle.refused == entry.refused, "refused samples are counted", handle, entry)
                self.check(0 <= handle.played <= entry.accepted, "no more is played than accepted", handle)
            elif entry.met is None:  # made without a handle, and not begun
                buffered += entry.accepted
            else:  # a handle that was dropped before its first use leaves no trace
                self.check(not entry.used, "what is in use is kept", entry)
                del self.live[entry.id]
                self.findings.totals["forgotten"] += not entry.used
        controller, stats = self._controller, self._controller.stats
        self.check(controller.buffered == buffered, "buffered is what is left", controller.buffered, buffered)
        total = self.played + played + self._discarded + buffered
        self.check(self._accepted == total, "accepted = played + discarded + buffered", self._accepted, total)
        counts = (self._refusals, self._refused)
        self.check((stats.refusals, stats.refused_samples) == counts, "refusals are counted", stats, counts)
        seen = (self._refusals_seen, self._refused_seen)
        self.check(seen == counts, "refusals are reported", seen, counts)
        self.check(controller.input_locked == (self.locked or self.closed), "the lock is reported", controller.leaf)
        if heard is not None:
            self.check(heard == self.played + played, "what was counted is what was heard", heard, self.played + played)

    def verify_rest(self) -> None:
        """Check also what is true only once no task has anything left to do."""
        self.check(self._errors_seen == self.raised, "what is raised is reported", self._errors_seen, self.raised)
