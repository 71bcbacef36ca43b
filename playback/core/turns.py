"""Turns: what an answer of many utterances asks of a playout.

A turn is open from :meth:`Turns.open_turn` on, and has its place in the queue from its first enqueued utterance on. It
ends by its application, by an interrupt, a lock or a close (:mod:`playback.core.transitions`), or by the input timeout
(:mod:`playback.core.output`). It finishes when it has ended and has no utterance left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from playback.chart import CLOSED, PAUSED, REFUSES
from playback.core.confirming import Confirming
from playback.core.observer import Observers, observed
from playback.core.transitions import Transitions
from playback.report import Outcome, UtteranceReport
from playback.turn import Turn
from playback.utterance import Utterance


class Turns:
    """What turns ask of a playout.

    Args:
        transitions: its chart, queue and playhead.
        confirming: its reader, if that confirms.
    """

    __slots__ = ("_confirming", "_transitions", "observers")

    def __init__(self, transitions: Transitions, confirming: Confirming) -> None:
        self.observers: Final[Observers] = transitions.observers
        """Who watches."""
        self._transitions: Final = transitions
        self._confirming: Final = confirming

    def own(self, utterance: Utterance) -> Turn:
        """The turn of an utterance that was made outside of one."""
        transitions = self._transitions
        position, generation = transitions.playhead.position, transitions.generation
        return Turn(self, id=utterance.id, is_own=True, generation=generation, position=position, is_open=False)

    @observed("turn")
    def open_turn(self, turn: Turn) -> None:
        """Begin a turn.

        Raises:
            RuntimeError: another one is open.
        """
        transitions = self._transitions
        if transitions.session.leaf in REFUSES:
            closed = transitions.session.leaf == CLOSED
            turn._mark_outcome(Outcome.CLOSED if closed else Outcome.INTERRUPTED)
            turn.is_open = False
            transitions.finish_turn(turn)
            transitions.emitter.flush()
            return
        if self._transitions.queue.open_turn is not None:
            other = transitions.queue.open_turn
            raise RuntimeError(f"{other!r} is open, expected one open turn at a time: end it first")
        self._transitions.queue.open_turn = turn
        transitions.fast.refresh()

    @observed("end_turn")
    def end_turn(self, turn: Turn) -> bool:
        """See :meth:`Turn.end`."""
        if not turn.is_open:
            return False
        transitions = self._transitions
        before = transitions.session.leaf
        self._finish_unqueued(turn)
        transitions.end_turn(turn)
        transitions.finish_turn(turn)
        transitions.complete(before)
        return True

    def cancel_turn(self, turn: Turn) -> bool:
        """See :meth:`Turn.cancel`."""
        if self._confirming.holds(*self._transitions.queue.of_turn(turn)):
            self._confirming.take_back()
        return self._cancel_turn(turn)

    @observed("cancel_turn")
    def _cancel_turn(self, turn: Turn) -> bool:
        transitions = self._transitions
        before = transitions.session.leaf
        if turn.report is not None:
            transitions.complete(before)  # the reader may just have said that it was heard, and given back others
            return False
        if self._transitions.queue.head in turn._utterances:
            transitions.playhead.interrupt(paused=before in PAUSED)
        turn._mark_outcome(Outcome.INTERRUPTED)
        transitions.end_turn(turn)
        self._finish_unqueued(turn)
        for utterance in transitions.queue.of_turn(turn):
            transitions.finish(utterance, Outcome.INTERRUPTED)
        transitions.finish_turn(turn)
        transitions.complete(before)
        return True

    @observed("fail_turn")
    def fail_turn(self, turn: Turn, error: BaseException) -> bool:
        """End a turn because its application broke; what is there plays."""
        if not turn.is_open:
            return False
        transitions = self._transitions
        before = transitions.session.leaf
        transitions.fail_turn(turn, error)
        transitions.complete(before)
        return True

    async def wait_for_words(self, reports: Sequence[UtteranceReport]) -> None:
        """Wait for words of its utterances that come late; see :class:`~playback.core.late_words.LateWords`."""
        await self._transitions.late_words.wait(reports)

    def lock(self) -> None:
        """End the turn that is open: no more audio can come for it."""
        turn = self._transitions.queue.open_turn
        if turn is not None:
            turn._mark_outcome(Outcome.INTERRUPTED)
            self._finish_unqueued(turn)
            self._transitions.end_turn(turn)
            self._transitions.finish_turn(turn)

    def _finish_unqueued(self, turn: Turn) -> None:
        """Drop the utterances of a turn that have no place, for they can get none any more."""
        for utterance in self._transitions.unqueued_of(turn):
            self._transitions.finish(utterance, Outcome.INTERRUPTED)
