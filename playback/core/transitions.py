"""Transitions: runs the chart for one playout, step by step.

State. The leaf is in :attr:`Transitions.session`; the utterances that have a place are in the queue, those that are in
use without one are in :attr:`Transitions.unqueued`; positions and ramps are the playhead's. Only this module fires
events of the chart.

A step. A command or a read does its work and fires its own event. Then :meth:`Transitions.end_step` evaluates the
internal events in the order of :data:`playback.chart.INTERNAL`, fires the first one that is true and that the leaf
takes, and begins again, until none is true (run to completion). At last one ``state_changed`` sums the step up, and
the fast paths are computed anew. Events wait in the emitter's outbox until then, so a listener always meets a complete
step.
"""

from __future__ import annotations

from typing import Any, Final

from playback.audio.formats import AudioFormat
from playback.audio.ramps import Fades
from playback.chart import INTERNAL_OF, MACHINE, PLAYBACK, STATE_OF, WAITS
from playback.core.drain import Drain
from playback.core.emitter import Emitter
from playback.core.fast_paths import FastPaths
from playback.core.late_words import LateWords
from playback.core.limits import Limits, Stats
from playback.core.observer import Observers
from playback.core.playhead import Playhead
from playback.core.queue import PlayoutQueue
from playback.events import (
    EVENTS,
    ErrorRaised,
    Event,
    InputEnded,
    StateChanged,
    TurnFinished,
    UnderrunEnded,
    UtteranceFinished,
    names_of_fields,
)
from playback.report import Outcome, UtteranceReport
from playback.turn import Turn
from playback.utterance import Utterance

_EVENTS: Final[dict[str, type[Event]]] = {str(name): event for name, event in EVENTS.items()}
_FIELDS: Final = {name: names_of_fields(event) for name, event in _EVENTS.items()}
_OUTPUTS: Final = dict(PLAYBACK.outputs)
"""Of a plain dict a look-up costs half as much."""

_FIRST_READ_SECONDS: Final = 0.02
"""How long a read is taken to be before there was one: a frame of WebRTC, where 20 ms is the default (RFC 7587)."""


class Transitions:
    """The chart, the queue and the playhead of one playout, kept in step.

    Args:
        format: what is handed out.
        limits: how much is buffered.
        fades: how long each change takes.
    """

    def __init__(self, format: AudioFormat, limits: Limits, fades: Fades) -> None:
        self.format: Final = format
        self.limits: Final = limits
        self.session: Final = MACHINE.session()
        self.emitter: Final = Emitter()
        self.queue: Final = PlayoutQueue(limits)
        self.playhead: Final = Playhead(
            self.queue, format, fades, self.emitter.emit, self._head_over, self._input_broke
        )
        self.observers: Final = Observers(self.playhead, self._watched, self.emitter.emit, self.emitter.flush)
        self.drain: Final = Drain(self.queue, self.playhead)
        self.fast: Final = FastPaths(self.session, self.queue, self.playhead, self.observers, self.drain)
        self.late_words: Final = LateWords(format, self.playhead, self.emitter, self.drain, self.fast.refresh)
        self.emitter.raise_later = self.fast.raise_at_read
        self.stats: Final = Stats()
        self.unqueued: Final[dict[Utterance, None]] = {}
        """Utterances that are in use and have no place in the queue yet."""
        self.generation = object()
        """Replaced by each interrupt: an utterance that was made in an older generation is stale."""
        self.read_size = format.samples(_FIRST_READ_SECONDS)
        """Samples of the last read."""
        self.short: tuple[Utterance | None, int] | None = None
        """The head in which the last read found less than it asked for (None where an open turn had none), and the
        position where that was; None if it found enough, or if a head has become ready since."""
        self._underrun: tuple[Utterance, int] | None = None  # whose audio has run out, and where

    @property
    def is_unused(self) -> bool:
        """Whether it stands as if it had just been made."""
        used = (
            self.playhead.position or self.queue.accepted or self.queue.turns or self.unqueued or self.playhead.ledger
        )
        return not used and self.session.leaf == PLAYBACK.initial and self.emitter.is_idle

    # Utterances and turns

    def enqueue(self, utterance: Utterance) -> None:
        """Put an utterance in the queue, if it is not there yet."""
        if utterance in self.unqueued:
            del self.unqueued[utterance]
            turn: Turn = utterance._turn
            turn._waited = 0
            self.queue.append(utterance, turn)

    def end_input(self, utterance: Utterance, *, cut_short: bool = False, error: BaseException | None = None) -> None:
        """Let an utterance take no more audio; cut short if something of it is missing, with an error if it failed."""
        utterance._error = utterance._error or error
        self.stats.partial_bytes += utterance._end_input(cut_short=cut_short)
        self.queue.end_input(utterance)
        self.emitter.emit(InputEnded(self.playhead.position, utterance))

    def let_end(self, head: Utterance, end: int) -> bool:
        """Let the head play on to a sample of its own and no further; it takes no more audio.

        Returns:
            False, and nothing has changed, if the audio until there can't be played.
        """
        clip, was_ended, had_arrived = head._clip, head.ended, head._has_arrived
        is_whole = was_ended and end == head.accepted
        following = self.queue.truncate(head, end, self.format.samples(self.playhead.fades.interrupt_seconds))
        if following is None:
            return False
        self.playhead.let_end(head, following, ends=was_ended)
        clip.yields, clip.truncated, clip.had_arrived = True, not is_whole, had_arrived
        if was_ended:
            clip.cut_short = clip.cut_short or not is_whole
        else:
            head._on_cut = None  # its stream ends with it
            self.end_input(head, cut_short=True)
        return True

    def finish(self, utterance: Utterance, outcome: Outcome) -> None:
        """Drop an utterance, with its report."""
        report = self._take_out(utterance, outcome)
        self.emitter.emit(UtteranceFinished(self.playhead.position, utterance, report))
        self._after(utterance)

    def finish_all(self, outcome: Outcome, keep: Utterance | None = None) -> int:
        """Drop every utterance in use, those in the queue first, and end all turns; returns how many utterances."""
        utterances = [utterance for utterance in self.queue.utterances if utterance is not keep]
        utterances += self.unqueued
        turns = [*self.queue.turns]
        if self.queue.open_turn is not None and self.queue.open_turn not in turns:
            turns.append(self.queue.open_turn)
        for turn in turns:
            if turn.is_open or keep is None or keep._turn is not turn:
                turn._mark_outcome(outcome)
            self.end_turn(turn)
        for utterance in utterances:
            self.finish(utterance, outcome)
        for turn in turns:
            self.finish_turn(turn)
        return len(utterances)

    def end_turn(self, turn: Turn) -> None:
        """Let a turn take no more utterances."""
        self.queue.end_turn(turn)

    def finish_turn(self, turn: Turn) -> None:
        """Finish a turn, if it takes no more utterances and has none left to be read or heard."""
        if turn.report is None and not turn.is_open and not turn._utterances:
            self.queue.remove_turn(turn)
            if not turn._unheard:
                report = turn._finish(self.format.sample_rate)
                self.emitter.emit(TurnFinished(self.playhead.position, turn, report))

    def fail_turn(self, turn: Turn, error: BaseException) -> None:
        """Let a turn take no more utterances, and its open utterances no more audio, because something broke."""
        turn._mark_outcome(Outcome.FAILED, error)
        self.end_turn(turn)
        for utterance in [*turn._utterances, *self.unqueued_of(turn)]:
            if not utterance.ended:
                self.end_input(utterance, cut_short=True, error=error)
                self.enqueue(utterance)  # its place is the last one that it can get
        self.finish_turn(turn)

    def unqueued_of(self, turn: Turn) -> list[Utterance]:
        """The utterances of a turn that are in use and have no place; once it has ended they can get none."""
        return [utterance for utterance in self.unqueued if utterance._turn is turn]

    def _take_out(self, utterance: Utterance, outcome: Outcome) -> UtteranceReport:
        self.unqueued.pop(utterance, None)
        if utterance is self.queue.head:
            self.playhead.pass_on(utterance)
        self.stats.partial_bytes += len(utterance._partial)
        report = utterance._finish(outcome)
        self.late_words.follow(report, utterance._clip.buffer)
        turn: Turn = utterance._turn
        turn._take_report(utterance, report)
        self.queue.remove(utterance, turn)
        return report

    def _after(self, utterance: Utterance) -> None:
        """An utterance has finished, and that was emitted: see what becomes of its turn."""
        turn: Turn = utterance._turn
        report = utterance.report
        if turn.report is None and report is not None and report.outcome is Outcome.FAILED:
            self._stop_turn(turn, report.error)
        self.finish_turn(turn)

    def _stop_turn(self, turn: Turn, error: BaseException | None) -> None:
        """One of its utterances has failed: if that ends it, those that are to be read behind it fail, too."""
        if turn.stop_on_failure:
            self.end_turn(turn)
            for other in [*turn._utterances, *self.unqueued_of(turn)]:
                if other.report is None:  # each that finishes here finishes those behind it
                    other._error = other._error or error
                    self.finish(other, Outcome.FAILED)

    def _input_broke(self, head: Utterance) -> None:
        """The rest of the head can't be played, as was found when it came to be converted: it fails."""
        error, clip = head._clip.buffer.error, head._clip
        if clip.cut_short and head._error is not None:
            return  # it has failed already
        assert error is not None
        self.emitter.emit(ErrorRaised(self.playhead.position, error, f"the audio of {head.id}"))
        if head.ended:
            clip.cut_short = True
            head._error = head._error or error
        else:
            self.end_input(head, cut_short=True, error=error)

    def _head_over(self) -> None:
        """All of the head was handed out, in the middle of a read or between two."""
        head = self.queue.turns[0]._utterances[0]
        if self.playhead.ledger is None:
            self._front_over(head)
            return
        self.playhead.pass_on(head)
        self.queue.pass_on()
        if head._clip.cut_short and _outcome_if_cut(head) is Outcome.FAILED:
            self._stop_turn(head._turn, head._error)  # now, for what follows must not be read
            self.finish_turn(head._turn)

    def finish_heard(self) -> None:
        """Finish those that were read to their end, and of which nothing is left to be heard."""
        ledger, unheard = self.playhead.ledger, self.queue.unheard
        while unheard and (ledger is None or not ledger.holds(unheard[0])):
            self._front_over(unheard[0])

    def _front_over(self, front: Utterance) -> None:
        """All of an utterance was heard."""
        self.playhead.emit_marks(front, completed=not front._clip.cut_short)
        if front._clip.cut_short:
            self.fire("cut_short", utterance=front, report=self._take_out(front, _outcome_if_cut(front)))
        else:
            self.fire("completed", utterance=front, report=self._take_out(front, Outcome.COMPLETED))
        self._after(front)

    # The chart

    def fire(self, event: str, position: int | None = None, **details: Any) -> bool:
        """Fire one event of the chart, and emit what its edge emits.

        Args:
            event: its name.
            position: when it happened, within a read; now, by default.
            details: the fields of the events that the edge emits.

        Returns:
            Whether the leaf takes it.
        """
        leaf = self.session.leaf
        if not MACHINE.fire(self.session, event):
            return False
        outputs = _OUTPUTS.get((leaf, event), ())
        if not outputs and not self.observers.all:
            return True
        if position is None:
            position = self.playhead.position
        if self.observers.all:
            self.observers.edge(position, leaf, event, self.session.leaf, outputs)
        for name in outputs:
            self.emitter.emit(_EVENTS[name](position, **{field: details[field] for field in _FIELDS[name]}))
        return True

    def complete(self, before: str) -> None:
        """Complete a command that began in this leaf, and deliver all that has happened."""
        self.end_step(before)
        self.emitter.flush()

    def end_step(self, before: str) -> None:
        """Run to completion, and sum up what has changed since this leaf."""
        self.run_internal_events()
        self.emit_change(before)

    def emit_change(self, before: str) -> None:
        """End a step: emit that the leaf has changed since this one, if it has, and compute the fast paths."""
        leaf = self.session.leaf
        if self._underrun is not None and (leaf not in WAITS or self.queue.head is not self._underrun[0]):
            self._end_underrun(*self._underrun)
        if leaf != before:
            change = StateChanged(self.playhead.position, STATE_OF[before], STATE_OF[leaf], before, leaf)
            self.emitter.emit(change)
        self.fast.refresh()
        if self.drain.waiting:
            self.drain.step_over()

    def _end_underrun(self, utterance: Utterance, start: int) -> None:
        """The head plays on, or something else is why it is silent: a pause, or its end."""
        self._underrun, position = None, self.playhead.position
        self.emitter.emit(UnderrunEnded(position, utterance, self.format.seconds(position - start)))

    def run_internal_events(self) -> None:
        """Fire each internal event that has become true, until none is left."""
        while event := self._next_internal_event():
            match event:
                case "completed" | "cut_short":
                    assert self.queue.front is not None
                    self._front_over(self.queue.front)
                case "underrun":
                    assert self.short is not None
                    head, position = self.short
                    self.stats.underruns += 1
                    if head is not None:
                        self._underrun = head, position
                    self.fire(event, position, utterance=head)
                case "gap":
                    assert self.short is not None
                    self.fire(event, self.short[1])
                case "input_ended" | "ready":  # what the last read missed is not missed by what comes now
                    self.short = None
                    self.fire(event)
                case _:
                    self.fire(event)

    def _next_internal_event(self) -> str | None:
        """The first internal event that is true, of those that the leaf takes."""
        head = front = self.queue.head
        over = head is not None and head._clip.buffer.over
        if self.playhead.ledger is not None:
            while (head := self.queue.head) is not None and head._clip.buffer.over:
                self._head_over()
            front = self.queue.front
            over = bool(self.queue.unheard) and front is not None and not self.playhead.ledger.holds(front)
        for event in INTERNAL_OF[self.session.leaf]:
            match event:
                case "input_ended":
                    true = not self.queue.any_open
                case "completed":
                    true = over and front is not None and not front._clip.cut_short
                case "cut_short":
                    true = over and front is not None and front._clip.cut_short
                case "ready":
                    true = head is not None and self._is_ready(head)
                case "underrun":
                    true = self.short is not None and self.short[0] is head is not None and not head.ended
                case "gap":
                    true = self.short is not None and self.short[0] is head is None
                case "drained":
                    true = not self.queue.turns and not self.queue.unheard and self.playhead.is_silent
                case _:  # faded
                    true = self.playhead.is_silent and self.playhead.has_moved_on
            if true:
                return event
        return None

    def _is_ready(self, head: Utterance) -> bool:
        """Whether the head may start: its input has ended, or it has the prebuffer, and at least one read's worth.

        A pause in which nobody has read leaves no trace: there was no gap that a prebuffer has to cover.
        """
        if head.ended:
            return True
        buffer = head._clip.buffer
        gapless = head._clip.begun and self.playhead.is_speaking
        prebuffered = gapless or buffer.unread >= self.limits.to_start(buffer.largest)
        if not prebuffered:
            return False
        ready = buffer.available(self.read_size) >= self.read_size
        if buffer.error is not None:
            self._input_broke(head)
        return ready or head.ended

    def _watched(self) -> None:
        """Somebody begins or ceases to watch."""
        self.emitter.watch = self.observers.event if self.observers.all else None
        self.fast.refresh()


def _outcome_if_cut(utterance: Utterance) -> Outcome:
    """How an utterance has ended of which something is missing."""
    failed = utterance._error is not None and not utterance._clip.truncated
    return Outcome.FAILED if failed else Outcome.INTERRUPTED
