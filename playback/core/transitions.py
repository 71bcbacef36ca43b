"""Stepper: takes a playout from rest to rest.

A command or a read does its work and fires its event; then each fact that has become true is fired, until none is left.
What listeners are told waits in an outbox until then.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from playback._checks import check_seconds
from playback.audio.clip import Clip
from playback.audio.formats import AudioFormat
from playback.audio.ramps import Fades
from playback.chart import (
    DRAINS,
    FADES,
    MACHINE,
    PLAYBACK,
    RUNS_DRY,
    SETTLING,
    STATE_OF,
    WAITS,
)
from playback.core.emitter import Listeners
from playback.core.playhead import Playhead, Silence
from playback.core.queue import Timeline
from playback.events import EVENTS, LastAudioByte, StateChanged, UtteranceFinished
from playback.report import Outcome, UtteranceReport
from playback.sinks.chunks import InputEnded
from playback.utterance import Utterance

if TYPE_CHECKING:
    from playback.tracing.trace import Trace

_FIELDS: Final = {name: [field.name for field in fields(event)][1:] for name, event in EVENTS.items()}
_FIRST_READ_SECONDS: Final = 0.02
"""How long a read is taken to be before there was one: a frame of WebRTC, where 20 ms is the default (RFC 7587)."""


@dataclass(slots=True)
class Stats:
    """What went on so far; samples are at the output rate."""

    underruns: int = 0
    """How often an utterance ran dry."""
    underrun_samples: int = 0
    """Silence that was read because of that."""
    refusals: int = 0
    """Pushes that were turned away."""
    refused_samples: int = 0
    """The audio in them."""
    dangling_bytes: int = 0
    """Bytes of samples that were never completed."""
    stalls: int = 0
    """How often the reader came late and skipped ahead."""
    stalled_seconds: float = 0.0
    """By how much in all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is buffered, in samples at the output rate."""

    cushion: int
    high_water: int
    maximum: int
    history: int
    starve: int | None

    @classmethod
    def of_seconds(
        cls,
        format: AudioFormat,
        cushion_seconds: float,
        high_water_seconds: float,
        max_buffered_seconds: float,
        history_seconds: float,
        starve_seconds: float | None,
    ) -> Limits:
        """The limits that a controller was given.

        Raises:
            TypeError: a time that is no number.
            ValueError: a time that is negative or not finite, or not cushion ≤ high water ≤ maximum.
        """
        for name, value in (
            ("cushion_seconds", cushion_seconds),
            ("high_water_seconds", high_water_seconds),
            ("max_buffered_seconds", max_buffered_seconds),
            ("history_seconds", history_seconds),
            ("starve_seconds", 0.0 if starve_seconds is None else starve_seconds),
        ):
            check_seconds(name, value)
        if not cushion_seconds <= high_water_seconds <= max_buffered_seconds:
            raise ValueError(
                "expected cushion_seconds ≤ high_water_seconds ≤ max_buffered_seconds,"
                f" got {cushion_seconds!r}, {high_water_seconds!r}, {max_buffered_seconds!r}"
            )
        return cls(
            cushion=format.samples(cushion_seconds),
            high_water=format.samples(high_water_seconds),
            maximum=format.samples(max_buffered_seconds),
            history=format.samples(history_seconds),
            starve=None if starve_seconds is None else max(1, format.samples(starve_seconds)),
        )


class Stepper:
    """The chart, the timeline and the playhead, kept in step.

    Args:
        format: what is handed out.
        limits: how much is buffered.
        fades: how long each change takes.
    """

    def __init__(self, format: AudioFormat, limits: Limits, fades: Fades) -> None:
        self.format: Final = format
        self.history: Final = limits.history
        """How much of a playing utterance is kept for a rewind, in samples."""
        self.listeners: Final = Listeners()
        self.timeline: Final = Timeline()
        self.playhead: Final = Playhead(self.timeline, format, fades, self.listeners.tell, self._finish_head)
        self.session: Final = MACHINE.session()
        self.stats: Final = Stats()
        self.trace: Trace | None = None
        """What is being written down; meanwhile every push and every read looks at everything, so none goes unseen."""

        self._limits: Final = limits
        self._width: Final = format.frame_bytes
        self._read_size = format.samples(_FIRST_READ_SECONDS)
        # Handles that have no place in the queue yet. A handle that is dropped before its first push leaves no trace.
        self._placeless: Final[WeakValueDictionary[int, Utterance]] = WeakValueDictionary()

        # Where a push or a read may go without a look at anything else, until something happens.
        self._fast_in: Clip | None = None
        self._fast_out: Clip | Silence | None = None

    @property
    def is_unused(self) -> bool:
        """Whether it stands as if it had just been made."""
        used = self.playhead.position or self.timeline.accepted or self.timeline.clips or len(self._placeless)
        return not used and self.session.leaf == PLAYBACK.initial and self.listeners.at_rest

    def disturb(self) -> None:
        """Something happened: the next push and the next read have to look at everything again."""
        self._fast_in = self._fast_out = None

    def _place(self, utterance: Utterance) -> None:
        """Give a handle its place in the queue, if it has none yet."""
        if not utterance._placed:
            utterance._placed = True
            self._placeless.pop(id(utterance), None)
            self.timeline.append(utterance._clip, utterance)

    def _end(self, utterance: Utterance, *, cut_short: bool = False) -> None:
        """Let an utterance take no more audio."""
        utterance._clip.cut_short = utterance._clip.cut_short or cut_short
        self._drop_dangling(utterance)
        utterance._clip.end()
        self.listeners.tell(InputEnded(self.playhead.position, utterance))
        utterance.room.open()
        self.disturb()

    def _drop_dangling(self, utterance: Utterance) -> None:
        """Drop the bytes of a sample that will not be completed."""
        self.stats.dangling_bytes += len(utterance._dangling)
        utterance._dangling = b""

    def _finish(self, utterance: Utterance, outcome: Outcome) -> None:
        """Drop an utterance and tell of it."""
        report = self._take_out(utterance, outcome)
        self.listeners.tell(UtteranceFinished(self.playhead.position, utterance, report))

    def _finish_all(self, outcome: Outcome, keep: Clip | None = None) -> int:
        """Drop every handle there is, those in the queue first; returns how many they were."""
        utterances = [clip.utterance for clip in self.timeline.clips if clip is not keep]
        utterances += self._placeless.values()
        for utterance in utterances:
            self._finish(utterance, outcome)
        return len(utterances)

    def _finish_head(self) -> None:
        """Fire the boundary: the head is over."""
        utterance = self.timeline.clips[0].utterance
        self.playhead.tell_marks(utterance._clip)
        outcome = Outcome.INTERRUPTED if utterance._clip.cut_short else Outcome.COMPLETED
        self._fire("boundary", utterance=utterance, report=self._take_out(utterance, outcome))

    def _take_out(self, utterance: Utterance, outcome: Outcome) -> UtteranceReport:
        """Take an utterance out of the queue, with its report."""
        self._placeless.pop(id(utterance), None)
        self._drop_dangling(utterance)
        report = utterance._finish(outcome)
        if utterance._clip is self.timeline.head:
            self.playhead.pass_on()
        self.timeline.remove(utterance._clip)
        self.disturb()
        return report

    def _count_dry(self, head: Clip, samples: int) -> None:
        """Count the silence of an open head, and end it when it has starved."""
        if head.played:
            self.stats.underrun_samples += samples
        head.dry += samples
        if self._limits.starve is not None and head.dry >= self._limits.starve and not head.ended:
            self._end(head.utterance)
            self._fire_end()

    # The chart

    def _fire(self, event: str, position: int | None = None, **told: Any) -> bool:
        """Fire one event, and tell what its edge tells; it happened now, or at a position within this read."""
        leaf = self.session.leaf
        if position is None:
            position = self.playhead.position
        self.disturb()
        if not MACHINE.fire(self.session, event):
            return False
        outputs = PLAYBACK.outputs.get((leaf, event), ())
        if "report" in told and told["report"].outcome is not Outcome.COMPLETED:
            outputs = tuple(name for name in outputs if name != LastAudioByte.name)
        if self.trace is not None:
            self.trace.took(position, leaf, event, self.session.leaf, outputs)
        for name in outputs:
            self.listeners.tell(EVENTS[name](position, **{field: told[field] for field in _FIELDS[name]}))
        return True

    def _fire_end(self) -> None:
        """Fire the end, if no utterance that has its place is open any more."""
        if not self.timeline.any_open:
            self._fire("end")

    def _rest(self, before: str) -> None:
        """Come to rest after a command, and tell all that has happened since."""
        self._settle()
        self._tell_change(before)
        self.listeners.flush()

    def _settle(self, *, dry: Clip | None = None, dry_at: int = 0, reading: bool = False) -> None:
        """Fire each fact that has become true, until none is left.

        Args:
            dry: the open head that the read just made found with too little, if there was one.
            dry_at: at which position that was.
            reading: whether this follows a read.
        """
        while fact := self._fact(dry, reading):
            if fact == "boundary":
                self._finish_head()
            elif fact == "underrun":
                self.stats.underruns += 1
                self._fire(fact, dry_at, utterance=self.timeline.clips[0].utterance)
                dry = None
            else:
                self._fire(fact)

    def _fact(self, dry: Clip | None, reading: bool) -> str | None:
        """The next fact that is true, if there is one that the leaf takes."""
        leaf = self.session.leaf
        head = self.timeline.head
        for fact in SETTLING:
            match fact:
                case "boundary":
                    true = head is not None and head.over
                case "ready":
                    true = leaf in WAITS and head is not None and self._is_ready(head)
                case "underrun":
                    true = leaf in RUNS_DRY and head is not None and head is dry and not head.ended
                case _:
                    silent = head is None and self.playhead.is_silent
                    true = leaf in DRAINS and silent and (reading or leaf not in FADES)
            if true:
                return fact
        return None

    def _is_ready(self, head: Clip) -> bool:
        """Whether the head may start: it has ended, or it has the cushion, and at least one read's worth.

        A pause that nobody has read in leaves no trace: there was no gap that a cushion has to cover.
        """
        if head.ended:
            return True
        gapless = head.played > 0 and self.playhead.is_speaking
        cushioned = gapless or head.accepted - head.cursor >= self._limits.cushion
        return cushioned and head.available(self._read_size) >= self._read_size

    def _tell_change(self, before: str) -> None:
        """Tell that the leaf has changed, if it has."""
        leaf = self.session.leaf
        if leaf != before:
            change = StateChanged(self.playhead.position, STATE_OF[before], STATE_OF[leaf], before, leaf)
            self.listeners.tell(change)
