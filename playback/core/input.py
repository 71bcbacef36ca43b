"""Input: what producers do to a playout. It owns every utterance, and is what a handle calls.

A push is parsed once, then it is taken whole or refused whole. Which it is depends on the leaf and on whether the
utterance has ended; whether it is an edge depends on the leaf alone. A push that changes nothing but what is buffered
goes the short way of :class:`~playback.core.fast_paths.FastPaths`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

from playback.audio.clip import Mark
from playback.audio.converter import converted_samples
from playback.audio.envelope import Envelope
from playback.audio.formats import AudioFormat, Block, parse
from playback.audio.media.containers import next_beginning
from playback.chart import CLOSED, FLOWS, PAUSED, REFUSES
from playback.core.confirming import Confirming
from playback.core.limits import BufferFull
from playback.core.observer import Observers, observed
from playback.core.transitions import Transitions
from playback.core.turns import Turns
from playback.events import AudioRefused, ErrorRaised, Refusal
from playback.prepared import PreparedUtterance
from playback.report import Outcome, UtteranceReport
from playback.turn import Turn
from playback.utterance import Utterance


class InputTap(Protocol):
    """What may want to see each block that is accepted: sinks that hear audio as it is pushed."""

    def take(self, utterance: Utterance, block: Block, at: int) -> None:
        """See a block that begins at this sample of its utterance, at the output rate."""


class Input:
    """What producers do.

    Args:
        transitions: the playout's chart, queue and playhead.
        turns: what turns ask of it.
        confirming: its reader, if that confirms.
    """

    __slots__ = (
        "_confirming",
        "_fast",
        "_full",
        "_queue",
        "_transitions",
        "_turns",
        "_width",
        "format",
        "history",
        "lock_generation",
        "observers",
        "tap",
    )

    def __init__(self, transitions: Transitions, turns: Turns, confirming: Confirming) -> None:
        self.observers: Final[Observers] = transitions.observers
        """Who watches."""
        self.format: Final[AudioFormat] = transitions.format
        """What is handed out."""
        self.history: Final = transitions.limits.history
        """How many played samples of the head are kept for a rewind."""
        self.lock_generation = object()
        """Replaced by each lock: a write that began in an older generation is refused."""
        self.tap: InputTap | None = None
        """What sees each block that is accepted."""
        self._transitions: Final = transitions
        self._turns: Final = turns
        self._confirming: Final = confirming
        self._queue: Final = transitions.queue
        self._fast: Final = transitions.fast
        self._width: Final = transitions.format.frame_bytes
        # What the queue may have accepted before anybody has to count again: set by each push that looks at everything,
        # and never too much afterwards, for reading only makes more room.
        self._full = 0

    @property
    def generation(self) -> object:
        """Replaced by each interrupt."""
        return self._transitions.generation

    @property
    def refuses(self) -> bool:
        """Whether every push is refused."""
        return self._transitions.session.leaf in REFUSES

    @property
    def is_paused(self) -> bool:
        """Whether a pause holds audio back."""
        return self._transitions.session.leaf in PAUSED

    def overtook(self, utterance: Utterance) -> bool:
        """Whether an interrupt, or the end of its turn, came before the first use of an utterance.

        Safe to ask from any thread.
        """
        if utterance._used:
            return False
        turn: Turn | None = utterance._turn
        over = turn is not None and not turn.is_open
        return over or utterance._generation is not self._transitions.generation

    def partial_of(self, utterance: Utterance) -> bytes:
        """The bytes of a sample that the last push of an utterance has left incomplete."""
        return utterance._partial

    def follow_loudness(self) -> Envelope | None:
        """What follows how loud the audio of an utterance is that has a text, if what was heard is estimated."""
        return self._transitions.late_words.follow_loudness()

    def admit(self, utterance: Utterance) -> None:
        """Know of an utterance from its first use on; one that an interrupt has overtaken is finished."""
        if not utterance._used:
            self.first_use(utterance, stale=self.overtook(utterance))

    @observed("utterance")
    def first_use(self, utterance: Utterance, stale: bool) -> None:
        """Know of an utterance.

        Args:
            utterance: which one.
            stale: whether an interrupt came since it was made.
        """
        utterance._used = True
        transitions = self._transitions
        if utterance._turn is None:
            utterance._turn = self._turns.own(utterance)
        if transitions.session.leaf == CLOSED:
            transitions.finish(utterance, Outcome.CLOSED)
        elif stale:
            transitions.finish(utterance, Outcome.INTERRUPTED)
        else:
            transitions.unqueued[utterance] = None
        transitions.emitter.flush()

    def push(self, utterance: Utterance, audio: Any) -> int:
        """See :meth:`Utterance.push`."""
        if self._fast.push is utterance and type(audio) is bytes:
            size, width = len(audio), self._width
            samples = size // width
            buffer, queue = utterance._clip.buffer, self._queue
            accepted = queue.accepted + samples
            if samples * width == size and samples <= buffer.largest and accepted <= self._full:
                buffer.append_plain(audio, samples)
                queue.accepted = accepted
                return samples
        if isinstance(audio, PreparedUtterance):
            return self._push_prepared(utterance, audio)
        if utterance._beginning is not None:
            self.check_beginning(utterance, audio)
        block = parse(audio, utterance.format, utterance._partial)
        if not utterance._used:
            self.admit(utterance)
        return self._push_block(utterance, block, True)

    def check(self, utterance: Utterance, audio: Any) -> None:
        """See that audio can be taken, before a write waits.

        Raises:
            FormatError: a type, shape, rate or value that can't be, or the beginning of a file.
        """
        self.check_beginning(utterance, audio)
        parse(audio, utterance.format, utterance._partial, keep=False)

    def check_beginning(self, utterance: Utterance, audio: Any) -> None:
        """See that the first bytes of an utterance are not those of a file.

        Raises:
            FormatError: they are.
        """
        if utterance._beginning is not None:
            utterance._beginning = next_beginning(utterance._beginning, audio)

    def push_block(self, utterance: Utterance, block: Block, bounded: bool = True) -> int:
        """Take a block that was parsed already, or turn it away.

        Args:
            utterance: whose it is.
            block: the audio.
            bounded: whether the maximum counts; not for what the head's write has waited for.
        """
        if not utterance._used:
            self.admit(utterance)
        return self._push_block(utterance, block, bounded)

    def _push_prepared(self, utterance: Utterance, prepared: PreparedUtterance) -> int:
        """Take prepared audio, and its words; its packets are the utterance's if they are its first audio."""
        at = utterance.accepted
        block = parse(prepared.audio, prepared.format)._replace(dropped=len(utterance._partial))
        accepted = self.push_block(utterance, block)
        if accepted:
            utterance._beginning = None
            utterance.opus = None if at else prepared
            if utterance.text is None and prepared.text is not None:
                utterance.append_text(prepared.text)
            utterance.mark_words(prepared.words, self.format.seconds(at))
        return accepted

    @observed("push", frequent=True)
    def _push_block(self, utterance: Utterance, block: Block, bounded: bool) -> int:
        if not self.may_push(utterance):
            return self.refuse_block(utterance, block)
        if not block.samples:
            self._keep_partial(utterance, block)
            self._enqueue(utterance)
            return 0
        transitions, queue, buffer = self._transitions, self._queue, utterance._clip.buffer
        samples = buffer.measure(block)
        room = transitions.limits.maximum - queue.buffered
        self._full = queue.accepted + room
        if samples > room and bounded:
            raise BufferFull(
                f"{queue.buffered} samples are buffered and {samples} were pushed,"
                f" expected at most {transitions.limits.maximum} together"
            )
        before = transitions.session.leaf
        queue.accepted += samples
        buffer.append(block, samples)
        if block.dropped or block.partial or utterance._partial:
            self._keep_partial(utterance, block)
        if transitions.unqueued:
            transitions.enqueue(utterance)
        if not queue.is_clean:
            queue.clean()
        if self.tap is not None:
            self.tap.take(utterance, block, buffer.accepted - samples)
        if not self._fast.repeats(utterance, before):
            transitions.fire("push")
            self._fast.pushed(utterance, before)
        if before in FLOWS:
            transitions.emitter.flush()
        else:
            transitions.complete(before)
        return samples

    def enqueue(self, utterance: Utterance) -> bool:
        """See :meth:`Utterance.enqueue`."""
        self.admit(utterance)
        if self._transitions.session.leaf in REFUSES and utterance in self._transitions.unqueued:
            self._refuse_enqueue(utterance)
            return False
        return self._enqueue(utterance)

    @observed("refuse_enqueue")
    def _refuse_enqueue(self, utterance: Utterance) -> None:
        self.refuse(utterance, 0)

    @observed("enqueue")
    def _enqueue(self, utterance: Utterance) -> bool:
        transitions = self._transitions
        if utterance not in transitions.unqueued or not self.may_push(utterance):
            self._fast.refresh()
            return False
        before = transitions.session.leaf
        transitions.enqueue(utterance)
        transitions.fire("push")
        transitions.complete(before)
        return True

    def push_from_thread(self, utterance: Utterance, block: Block) -> None:
        """The same for a producer that no exception reaches: what does not fit is refused, so it can't go unseen."""
        self.admit(utterance)
        self._push_from_thread(utterance, block)

    @observed("push_from_thread")
    def _push_from_thread(self, utterance: Utterance, block: Block) -> None:
        try:
            self._push_block(utterance, block, bounded=True)
        except BufferFull as error:
            self.refuse(utterance, self._samples_of(block), "full")
            self.report_error(error, "a push from another thread")

    async def write(self, utterance: Utterance, audio: Any, lock_generation: object) -> int:
        """See :meth:`Utterance.write`; it began in this generation of locks."""
        self.admit(utterance)
        samples = utterance._clip.buffer.measure(parse(audio, utterance.format, utterance._partial, keep=False))
        taken = await self._has_room(utterance, samples, lock_generation)
        block = parse(audio, utterance.format, utterance._partial)  # a push may have come between
        count = self._push_written(utterance, block) if taken else self.refuse_block(utterance, block)
        if not count:
            await asyncio.sleep(0)  # a loop that ignores the result must not keep others from running
        return count

    async def write_block(self, utterance: Utterance, block: Block) -> int:
        """The same with a block that was parsed already, and that nothing is split from."""
        self.admit(utterance)
        samples = utterance._clip.buffer.measure(block)
        taken = await self._has_room(utterance, samples, self.lock_generation)
        return self._push_written(utterance, block) if taken else self.refuse_block(utterance, block)

    async def wait_for_room(self, utterance: Utterance) -> None:
        """Wait until a write would go on, or the utterance takes no more."""
        await self._has_room(utterance, 0, self.lock_generation)

    def _push_written(self, utterance: Utterance, block: Block) -> int:
        """The maximum does not bind the head, which has waited for room as far as it has to."""
        return self.push_block(utterance, block, bounded=utterance is not self._queue.head)

    async def _has_room(self, utterance: Utterance, samples: int, lock_generation: object) -> bool:
        """Wait for room, or until the utterance takes no more; False if a lock came meanwhile."""
        queue, transitions = self._queue, self._transitions
        while (
            lock_generation is self.lock_generation
            and self.may_push(utterance)
            and not queue.has_room(utterance, samples, transitions.read_size)
        ):
            queue.writers.append(utterance)
            self._fast.refresh()
            try:
                await utterance.room.wait()
            finally:
                queue.writers.remove(utterance)
                self._fast.refresh()
        return lock_generation is self.lock_generation

    def mark(self, utterance: Utterance, mark: Mark) -> bool:
        """See :meth:`Utterance.mark`."""
        self.admit(utterance)
        return self._mark(utterance, mark)

    @observed("mark")
    def _mark(self, utterance: Utterance, mark: Mark) -> bool:
        if utterance.report is not None:
            if not utterance.report.final and isinstance(mark.payload, str):
                utterance._clip.add_mark(mark)
                self._transitions.late_words.changed(utterance.report)
            return False
        if isinstance(mark.payload, str):
            utterance._clip.buffer.envelope = None  # nothing has to be estimated
        if utterance._clip.add_mark(mark):
            self._transitions.playhead.emit_mark(utterance, mark)
            self._transitions.emitter.flush()
        return True

    @observed("unmark")
    def unmark(self, utterance: Utterance, mark: Mark) -> None:
        """Take a word back, for others are to replace it."""
        utterance._clip.remove_mark(mark)
        if utterance.report is not None:
            self._transitions.late_words.changed(utterance.report)

    async def wait_for_words(self, reports: Sequence[UtteranceReport]) -> None:
        """Wait for words that come late, as far as they are needed; at most for the limit of late words."""
        await self._transitions.late_words.wait(reports)

    def end(self, utterance: Utterance) -> bool:
        """See :meth:`Utterance.end`."""
        self.admit(utterance)
        # What a write is still waiting to add will be refused, so something will be missing.
        return self.end_input(utterance, cut_short=utterance in self._queue.writers)

    @observed("end")
    def end_input(self, utterance: Utterance, cut_short: bool, error: BaseException | None = None) -> bool:
        """Let an utterance take no more audio.

        Args:
            utterance: which one.
            cut_short: whether something of it is missing.
            error: why, if it failed.

        Returns:
            False if it had ended before.
        """
        if utterance.ended:
            return False
        utterance._on_cut = None  # its stream ends with it
        transitions = self._transitions
        before = transitions.session.leaf
        if utterance._turn.is_open and before not in REFUSES and utterance in transitions.unqueued:
            transitions.enqueue(utterance)
            transitions.fire("push")  # an open turn is under way from its first utterance on, an empty one too
        transitions.end_input(utterance, cut_short=cut_short, error=error)
        transitions.enqueue(utterance)
        transitions.fire("end")
        transitions.complete(before)
        return True

    def fail(self, utterance: Utterance, error: BaseException) -> bool:
        """See :meth:`Utterance.fail`."""
        self.admit(utterance)
        return self.end_input(utterance, cut_short=True, error=error)

    def cancel(self, utterance: Utterance) -> bool:
        """See :meth:`Utterance.cancel`."""
        self.admit(utterance)
        if self._confirming.holds(utterance):
            self._confirming.take_back()
        return self._cancel(utterance)

    @observed("cancel")
    def _cancel(self, utterance: Utterance) -> bool:
        transitions = self._transitions
        before = transitions.session.leaf
        if utterance.report is not None:
            transitions.complete(before)  # the reader may just have said that it was heard, and given back others
            return False
        if utterance is self._queue.head:
            transitions.playhead.interrupt(paused=before in PAUSED)
        transitions.finish(utterance, Outcome.INTERRUPTED)
        transitions.complete(before)
        return True

    def refuse(self, utterance: Utterance | None, samples: int, reason: Refusal = "locked") -> None:
        """Turn audio away, count it and report it; the reason is found out unless it lies outside."""
        transitions = self._transitions
        leaf = transitions.session.leaf
        transitions.stats.refusals += 1
        transitions.stats.refused_samples += samples
        if utterance is not None:
            utterance._refused += samples
            utterance._clip.cut_short = True
            if utterance.report is not None:
                reason = "interrupted" if utterance.report.outcome is Outcome.INTERRUPTED else "ended"
            elif utterance.ended and leaf not in REFUSES:
                reason = "ended"
        if leaf == CLOSED:
            reason = "closed"
        if leaf in REFUSES:
            transitions.fire("push", utterance=utterance, samples=samples, reason=reason)
        else:
            transitions.emitter.emit(AudioRefused(transitions.playhead.position, utterance, samples, reason))
        transitions.emitter.flush()

    @observed("refuse")
    def refuse_block(self, utterance: Utterance | None, block: Block) -> int:
        """Turn a block away; an empty one is not reported."""
        # If more may come, it goes on where this one breaks off, maybe in the middle of a sample.
        if utterance is not None and not utterance.ended:
            self._keep_partial(utterance, block)
            self._fast.refresh()
        if block.samples:
            self.refuse(utterance, self._samples_of(block))
        return 0

    def lock(self) -> bool:
        """End what waits for audio that can no longer come, and fire the lock.

        Returns:
            False if the input refuses already.
        """
        transitions = self._transitions
        if transitions.session.leaf in REFUSES:
            return False
        for utterance in [*self._queue.utterances]:
            if not utterance.ended:
                transitions.end_input(utterance, cut_short=True)
        self._turns.lock()
        self.lock_generation = object()
        for utterance in list(self._queue.writers):
            utterance.room.open()
        return transitions.fire("lock")

    def report_error(self, error: BaseException, source: str) -> None:
        """Emit what was raised where nobody can catch it."""
        self._transitions.emitter.emit(ErrorRaised(self._transitions.playhead.position, error, source))
        self._transitions.emitter.flush()

    def count_damaged(self, packets: int) -> None:
        """Add packets that a decoder has skipped to the statistics."""
        self._transitions.stats.damaged_packets += packets

    def count_partial(self, dropped: int) -> None:
        """Add bytes of samples that were never completed to the statistics."""
        self._transitions.stats.partial_bytes += dropped

    def may_push(self, utterance: Utterance) -> bool:
        """Whether a push would be accepted, if there is room."""
        return not utterance.ended and self._transitions.session.leaf not in REFUSES

    def _samples_of(self, block: Block) -> int:
        """What a block would be at the output rate."""
        return converted_samples(block.samples, block.layout.sample_rate, self.format.sample_rate)

    def _keep_partial(self, utterance: Utterance, block: Block) -> None:
        """Keep the bytes of a sample that has only begun, for the push that completes it."""
        self.count_partial(block.dropped)
        utterance._partial = block.partial
