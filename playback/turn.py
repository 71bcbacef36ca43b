"""Turn: one answer of the agent, made of utterances.

A turn has one contiguous place in the queue, from its first enqueued utterance on: whatever is enqueued outside waits
behind all of it. It is open until :meth:`Turn.end`; then it takes no more utterances, and is over with the last one.
An utterance that belongs to no turn is one of its own, so that each answer has one ``turn_started`` and one
``turn_finished``. The core is the only other place that uses the underscored names here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, NoReturn, Protocol, Self

from playback._waiting import Gate
from playback.report import Outcome, TurnReport, UtteranceReport
from playback.utterance import Utterance

_WORST: Final = (Outcome.CLOSED, Outcome.INTERRUPTED, Outcome.FAILED, Outcome.COMPLETED)
"""The outcomes; of those of a turn's parts, the first one in this order is the turn's."""


class TurnOwner(Protocol):
    """What a turn asks of the playout that it belongs to."""

    def end_turn(self, turn: Turn) -> bool:
        """See :meth:`Turn.end`."""

    def cancel_turn(self, turn: Turn) -> bool:
        """See :meth:`Turn.cancel`."""

    def fail_turn(self, turn: Turn, error: BaseException) -> bool:
        """End a turn because its application broke; what is there plays."""

    async def wait_for_words(self, reports: Sequence[UtteranceReport]) -> None:
        """Wait for words that come late, as far as they are needed."""


class TurnMaker(Protocol):
    """Who makes the utterances of a turn."""

    @property
    def utterance(self) -> Callable[..., Utterance]:
        """See :meth:`PlaybackController.utterance`."""

    @property
    def speak(self) -> Callable[..., Utterance]:
        """See :meth:`PlaybackController.speak`."""


class Turn:
    """One answer, made of utterances. Made by :meth:`PlaybackController.turn`, never by hand.

    Example::

        async with controller.turn() as turn:
            async for sentence in sentences:
                turn.speak(synthesize(sentence), text=sentence)
        report = await turn.wait()

    Leaving the ``with`` block ends the turn. An exception in it fails the turn: the buffered audio plays, and the
    exception propagates. A cancellation cancels the turn.
    """

    __slots__ = (
        "__weakref__",
        "_asked_at",
        "_done",
        "_error",
        "_gaps",
        "_generation",
        "_maker",
        "_order",
        "_outcome",
        "_owner",
        "_placed",
        "_report",
        "_reports",
        "_silence",
        "_started_at",
        "_unheard",
        "_utterances",
        "_waited",
        "id",
        "is_open",
        "is_own",
        "stop_on_failure",
    )

    def __init__(
        self,
        owner: TurnOwner,
        maker: TurnMaker | None = None,
        *,
        id: str,
        is_own: bool = False,
        generation: object,
        position: int,
        is_open: bool,
        stop_on_failure: bool = False,
    ) -> None:
        self.id: Final = id
        """The name that reports and events carry."""
        self.is_own: Final = is_own
        """Whether it is that of one utterance which belongs to no other turn."""
        self.is_open = is_open
        """Whether more utterances may come."""
        self.stop_on_failure: Final = stop_on_failure
        """Whether an utterance that fails ends the turn."""

        self._owner: Final = owner
        self._maker: Final = maker
        self._generation: Final = generation
        self._utterances: Final[deque[Utterance]] = deque()  # those that are enqueued and not read to their end
        self._unheard = 0  # how many were read to their end, and are not finished
        self._order: Final[list[Utterance]] = []  # those that were enqueued, in the order in which they play
        self._reports: Final[dict[Utterance, UtteranceReport]] = {}  # of those that are finished
        self._placed = False  # whether it has its place in the queue, or had it
        self._outcome = Outcome.COMPLETED
        self._error: BaseException | None = None
        self._report: TurnReport | None = None
        self._done: Final = Gate()
        self._asked_at: Final = position
        self._started_at: int | None = None
        self._gaps: list[int] = []
        self._silence = 0  # samples since it had nothing to play
        self._waited = 0  # samples of silence that count for the input timeout

    def __repr__(self) -> str:
        condition = self._report.outcome if self._report else "open" if self.is_open else "ended"
        finished = len(self._report.utterances if self._report else self._reports)
        return f"<Turn {self.id} {condition}, {finished} of its utterances finished>"

    def __copy__(self) -> Turn:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> Turn:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} can't be pickled, expected Event.as_dict() or its report")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
        elif isinstance(error, asyncio.CancelledError):
            self.cancel()
        else:
            self._owner.fail_turn(self, error)

    def utterance(self, **options: Any) -> Utterance:
        """Make a handle of this turn; see :meth:`PlaybackController.utterance`.

        Once the turn is over, it is finished as interrupted from the start.
        """
        return self._make().utterance(turn=self, **options)

    def speak(self, source: Any, **options: Any) -> Utterance:
        """Play a source as an utterance of this turn; see :meth:`PlaybackController.speak`.

        Its place is the one behind those of this turn that were enqueued before. Once the turn is over, the source is
        closed, and the utterance finished as interrupted.
        """
        return self._make().speak(source, turn=self, **options)

    def end(self) -> bool:
        """State that no more utterances come; the enqueued ones play to their end.

        Returns:
            False if it had ended before.
        """
        return self._owner.end_turn(self)

    def cancel(self) -> bool:
        """Drop all of its utterances; it finishes as interrupted, and so do they.

        Returns:
            False if it was finished before.
        """
        return self._owner.cancel_turn(self)

    async def wait(self) -> TurnReport:
        """Wait until it is finished, and return the report.

        This also waits for late words of its utterances, as :meth:`Utterance.wait` does, for all of them at the same
        time.
        """
        while self._report is None:
            await self._done.wait()
        await self._owner.wait_for_words(self._report.utterances)
        return self._report

    @property
    def report(self) -> TurnReport | None:
        """The report once it is finished, None before."""
        return self._report

    def _make(self) -> TurnMaker:
        if self._maker is None:
            raise RuntimeError(f"{self!r} was made for one utterance, expected a turn that controller.turn() has made")
        return self._maker

    # For the core

    def _enqueue(self, utterance: Utterance, place: int | None) -> None:
        """Put an utterance behind so many of those that are to be read; None is all of them."""
        if place is not None:
            self._order.insert(self._order.index(self._utterances[0]) + place, utterance)
            self._utterances.insert(place, utterance)
        else:
            self._order.append(utterance)
            self._utterances.append(utterance)

    def _take_report(self, utterance: Utterance, report: UtteranceReport) -> None:
        """Count an utterance that has finished."""
        if self._report is None:
            self._reports[utterance] = report
        self._mark_outcome(report.outcome, report.error)

    def _mark_outcome(self, outcome: Outcome, error: BaseException | None = None) -> None:
        """Its outcome is at least as bad as this one; of the errors the first counts."""
        self._outcome = min(self._outcome, outcome, key=_WORST.index)
        self._error = self._error or error

    def _end_gap(self) -> None:
        """A sample is handed out: the silence before it was a gap, if there was any."""
        if self._silence:
            self._gaps.append(self._silence)
            self._silence = 0

    def _finish(self, sample_rate: int) -> TurnReport:
        """Write the report; the owner decides when."""
        self.is_open = False
        started = self._started_at
        in_order = dict.fromkeys([*self._order, *self._reports])  # those that had no place come last
        self._report = TurnReport(
            id=self.id,
            outcome=self._outcome,
            utterances=tuple(self._reports[utterance] for utterance in in_order),
            error=self._error,
            gaps=tuple(gap / sample_rate for gap in self._gaps),
            first_audio_seconds=None if started is None else (started - self._asked_at) / sample_rate,
        )
        self._order.clear()  # handles hold their turn: no cycle is left
        self._reports.clear()
        self._done.open()
        return self._report
