"""The turns of VideoSDK's synthesis, in utterances: when one begins, what belongs to it, and when it was heard."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from dataclasses import dataclass, field

from playback.audio.formats import AudioFormat
from playback.chart import State
from playback.events import UtteranceFinished
from playback.integrations.legacy.base import INPUT_TIMEOUT_SECONDS, Callback, LegacyTrack
from playback.report import Outcome
from playback.utterance import Utterance

FADE_SECONDS = 0.06
"""How long interrupted speech takes to fade out."""


@dataclass(eq=False, slots=True)
class Turn:
    """What is synthesized in one go. A gap in the synthesis, or a change of its format, splits it into utterances."""

    callback: Callback | None
    """Called once it was heard to its end."""
    declared: bool
    """Whether its beginning was marked. Then its end is too, so that no gap is taken for it."""
    utterances: list[Utterance] = field(default_factory=list)
    complete: bool = False
    """Whether no more comes, and the callback is due."""
    answered: bool = False
    """Whether the callback was called before the end was marked."""

    @property
    def fresh(self) -> bool:
        """Whether its beginning was marked, and nothing has followed yet."""
        return self.declared and self.callback is None and not self.utterances


class TurnTrack(LegacyTrack):
    """Replaces what the older tracks know of turns, to be mixed into a track class.

    The framework's synthesis marks where a turn begins, registers its callback, pushes, and marks where it ends: each
    such turn has the callback of its own. Realtime models mark no beginning: their one callback is called for every
    turn, which ends where they mark it or where no audio comes for ``input_timeout_seconds``.

    Args:
        loop: the event loop; kept for those who read it.
        input_timeout_seconds: a turn whose beginning was not marked, and that has nothing to play for so long, counts
            as ended; None waits for :meth:`mark_synthesis_complete`.
    """

    def __init__(
        self, loop: AbstractEventLoop | None = None, *, input_timeout_seconds: float | None = INPUT_TIMEOUT_SECONDS
    ) -> None:
        super().__init__(loop, input_timeout_seconds=input_timeout_seconds)
        self.interrupt_fade_duration = FADE_SECONDS
        """Set by the framework. It changes nothing: speech is gone :data:`FADE_SECONDS` after an interrupt."""
        self._turn: Turn | None = None  # the one that the next push or mark belongs to
        self._shown: Turn | None = None  # the one that a snapshot counts
        self._turn_of: dict[Utterance, Turn] = {}  # of those whose end was not reported yet

    @property
    def is_speaking(self) -> bool:
        """Whether something is left to hear, now or after a pause."""
        return self.controller.buffered > 0

    _is_speaking = is_speaking

    def set_input_format(self, sample_rate: int, channels: int = 1) -> None:
        """State what is pushed from now on, in Hz and 1 or 2 channels; as in the framework, 0 channels are one."""
        super().set_input_format(int(sample_rate), max(1, int(channels)))

    def mark_synthesis_start(self) -> None:
        """Begin a turn: what is pushed from here on, with the callback that is registered next."""
        self._leave_turn()
        self._turn = self._shown = Turn(None, declared=True)

    def on_last_audio_byte(self, callback: Callback) -> None:
        """Have a coroutine function, or a plain one, called when the turn that follows was heard to its end.

        Without a :meth:`mark_synthesis_start` just before, it is called for each later turn whose beginning is not
        marked, too.
        """
        if self._turn is not None and self._turn.fresh:
            self._turn.callback = callback
        else:
            self._leave_turn()
            self._callback = callback

    def mark_synthesis_complete(self) -> None:
        """End the turn. Its callback is called when it is played, at once if nothing of it is left to play."""
        self._partial = b""  # what a turn leaves of a sample is no part of the next one
        if self.controller.state is State.CLOSED:
            return
        turn, self._turn = self._turn or Turn(self._callback, declared=False), None
        if turn.answered:
            return
        turn.complete = True
        # An empty utterance stands for the end of a turn that has none open: it is enqueued behind what still
        # plays, and is reported like any other.
        utterance = self._utterance or self._add_utterance(turn)
        self._utterance = None
        utterance.end()

    def snapshot_playback(self) -> tuple[int, int]:
        """How much of the newest turn was played, and how much of it was pushed, in samples of the output."""
        utterances = self._shown.utterances if self._shown is not None else []
        return sum(utterance.played for utterance in utterances), sum(utterance.accepted for utterance in utterances)

    def _begin_turn(self) -> None:
        """Wait no more for the mark of a turn that has timed out."""
        if self._turn is not None and self._turn.answered:
            self._turn = None

    def _leave_turn(self) -> None:
        """What follows is another turn's: let the open one play to its end."""
        turn, self._turn = self._turn, None
        utterance, self._utterance = self._utterance, None
        self._partial = b""
        if turn is not None:
            # Whoever marks the beginning of a turn and not its end, waits for no callback.
            turn.complete = not turn.declared
        if utterance is not None:
            utterance.end()

    def _new_utterance(self, format: AudioFormat | None = None) -> Utterance:
        self._begin_turn()
        if self._turn is None:
            self._turn = self._shown = Turn(self._callback, declared=False)
        self._utterance = self._add_utterance(self._turn, format)
        return self._utterance

    def _add_utterance(self, turn: Turn, format: AudioFormat | None = None) -> Utterance:
        utterance = self.controller.utterance(format=format)
        turn.utterances.append(utterance)
        self._turn_of[utterance] = turn
        return utterance

    def _finished(self, event: UtteranceFinished) -> object:
        """Call back if a turn was played to its end; a coroutine is the controller's to run."""
        turn = self._turn_of.pop(event.utterance, None)
        if event.utterance is self._utterance:
            self._utterance = None
        if turn is None:
            return None
        completed = event.report.outcome is Outcome.COMPLETED
        # One read may finish several of its utterances, before any of them is reported here: the last one counts.
        finished = turn not in self._turn_of.values()
        if turn is self._turn and not turn.declared:
            if completed:
                turn.answered = finished  # it has timed out
            else:
                self._turn = None
        due = completed and finished and (turn.complete or turn.answered)
        return turn.callback() if due and turn.callback is not None else None
