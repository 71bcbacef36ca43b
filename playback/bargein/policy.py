"""Barge-in: a cough or an interruption? The agent holds while it is in doubt, then gives way or goes on.

:class:`BargeIn` hears of the user's speech from any voice activity detector or speech recognition, and of the agent's
from its controller. What follows from what is :data:`BARGE_IN`, a chart without guards.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Literal, Protocol
from weakref import ref

from playback._checks import check_decibels, check_seconds, check_type
from playback.bargein.backchannels import BACKCHANNELS, Backchannels, words_of
from playback.bargein.chart import (
    AGENT_SPEAKS,
    BARGE_IN,
    ENDS,
    GUARDED,
    HOLDS,
    MACHINE,
    SILENCE_LASTS,
    SPEECH_LASTS,
    STARTS,
)
from playback.bargein.events import (
    EVENTS,
    BargedIn,
    BargeInEventName,
    BargeInSuspected,
    FalseInterruption,
    SubscribeBargeIn,
)
from playback.chart import State
from playback.controller import PlaybackController
from playback.core.emitter import Emitter, Listener
from playback.events import ErrorRaised, Event, EventName
from statecharts import state_of

HOLD: Final = "barge-in"
"""The name of the policy's own hold, in ``controller.holds``."""

# What may change who has the floor.
_WATCHED: Final[tuple[EventName, ...]] = ("state_changed", "first_audio_byte", "utterance_finished")


class Timer(Protocol):
    """A clock that calls back; every asyncio event loop is one."""

    def time(self) -> float:
        """Seconds, from any beginning; never less than before."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> Any:
        """Call back at a time; what is returned has a ``cancel()``."""


class BargeIn:
    """The policy of one controller.

    Example::

        policy = BargeIn(controller)
        policy.on("barge_in", lambda event: answer.cancel())
        ...
        policy.speech_started()                        # from voice activity detection
        policy.transcript("no, wait", final=False)     # from speech recognition
        policy.speech_ended()

    A suspicion is followed by ``barge_in`` or ``false_interruption``, unless the agent falls silent meanwhile for
    another reason, or somebody else releases the policy's hold. Utterances that are not interruptible are left alone.
    The policy's pause is a hold of its own, :data:`HOLD`: those of others stay, and end no sooner for it.

    Args:
        controller: whose speech it decides about.
        mode: what holding is: ``"pause"``, or ``"duck"``, by which the agent goes on 15 dB softer.
        min_seconds: speech of this length is an interruption.
        min_words: a transcript of so many words is one, whatever its length; unless they are backchannels.
        false_after_seconds: so long after the end of shorter speech, the agent goes on.
        guard_seconds: speech in the first moments of the agent's counts only once they are over and if it still lasts:
            until echo cancellation has found its way, the agent hears itself.
        lock: lock the input with the interrupt.
        rewind: go on at the beginning of the word that was cut, with ``mode="pause"`` and words that are marked.
        backchannels: what counts as listening, whatever its case and punctuation.
        duck_db: by how much ``"duck"`` lowers the voice.
        timer: the clock; the running event loop by default.

    Raises:
        TypeError: an argument of another type.
        ValueError: no such mode, a time that is negative or not finite, fewer than one word.
        RuntimeError: no timer was given, and no event loop runs.
    """

    def __init__(
        self,
        controller: PlaybackController,
        *,
        mode: Literal["pause", "duck"] = "pause",
        min_seconds: float = 0.7,
        min_words: int = 2,
        false_after_seconds: float = 0.6,
        guard_seconds: float = 0.5,
        lock: bool = False,
        rewind: bool = True,
        backchannels: Iterable[str] = BACKCHANNELS,
        duck_db: float = 15.0,
        timer: Timer | None = None,
    ) -> None:
        check_type("controller", controller, PlaybackController)
        if mode not in ("pause", "duck"):
            raise ValueError(f"mode is {mode!r}, expected 'pause' or 'duck'")
        check_seconds("min_seconds", min_seconds)
        check_seconds("false_after_seconds", false_after_seconds)
        check_seconds("guard_seconds", guard_seconds)
        check_decibels("duck_db", duck_db)
        if not 0 <= duck_db < math.inf:
            raise ValueError(f"duck_db is {duck_db!r}, expected a finite number of dB, 0 or more")
        check_type("min_words", min_words, int)
        if min_words < 1:
            raise ValueError(f"min_words is {min_words!r}, expected 1 or more")
        self.controller: Final = controller
        self.mode: Final = mode
        self.min_seconds = min_seconds
        self.min_words = min_words
        self.false_after_seconds = false_after_seconds
        self.guard_seconds = guard_seconds
        self.lock = lock
        self.rewind = rewind
        self.duck_db: Final = duck_db
        self._backchannels: Final = Backchannels(backchannels)
        self._timer: Final[Timer] = timer or asyncio.get_running_loop()
        self._session: Final = MACHINE.session()
        self._emitter: Final = Emitter(EVENTS)
        self._emitter.tap = self._pass_on
        self._emitter.raise_later = lambda error: controller.report_error(error, "a listener of the policy")
        self._lowered_db = 0.0
        self._due: Any = None
        self._onset = self._began = self._ended = self._held = -math.inf
        for event in _WATCHED:
            controller.on(event, self._look)
        self._look()

    # What there is to see

    @property
    def leaf(self) -> str:
        """Where it stands: a leaf of :data:`BARGE_IN`, ``stopped`` after :meth:`stop`."""
        return self._session.leaf

    @property
    def state(self) -> str:
        """Who has the floor: idle, agent, user, both or suspected; or stopped."""
        return state_of(self._session.leaf)

    @property
    def lowered_db(self) -> float:
        """By how much ``"duck"`` has lowered the controller's gain, which is raised by as much when the hold is over.

        Whoever sets the gain meanwhile, rather than changes it by a difference, has to lower it by this.
        """
        return self._lowered_db

    @property
    def on(self) -> SubscribeBargeIn:
        """``on(event, listener)`` has a listener called with each event of a name; ``@on(event)`` is the decorator.

        The names are those of :data:`playback.bargein.EVENTS`; another one is a ValueError. What a listener raises
        becomes an ``error`` event of the controller.
        """
        return self._emitter.on

    def remove_listener(self, event: BargeInEventName, listener: Listener) -> None:
        """Call a listener no more.

        Raises:
            ValueError: there is no such event, or the listener was not registered for it.
        """
        self._emitter.remove_listener(event, listener)

    # What the user does

    def speech_started(self) -> None:
        """The user has begun to speak."""
        if self._session.leaf in STARTS:
            self._began = self._timer.time()
        self._take("speech_started")

    def speech_ended(self) -> None:
        """The user has fallen silent."""
        if self._session.leaf in ENDS:
            self._ended = self._timer.time()
        self._take("speech_ended")

    def transcript(self, text: str, final: bool = True) -> None:
        """What the user has said so far.

        Args:
            text: the words since the user began to speak.
            final: whether no word of it will change. Only a final backchannel lets the agent go on at once: what looks
                like one so far may be the beginning of more.

        Raises:
            TypeError: the text is no string.
        """
        check_type("text", text, str)
        words = words_of(text)
        if self._backchannels.cover(words, final=final):
            if final:
                self._take("backchannel")
        elif len(words) >= self.min_words:
            self._take("words", text)

    def stop(self) -> None:
        """Leave the controller alone from now on; what is held goes on."""
        for event in _WATCHED:
            with suppress(ValueError):  # stopped already
                self.controller.remove_listener(event, self._look)
        self._take("stop")

    # What follows

    def _look(self, _: object = None) -> None:
        """See what has become of the agent's speech, and fire what the chart does not know of yet."""
        playing, state, leaf = self.controller.playing, self.controller.state, self._session.leaf
        held = self.mode == "pause" and leaf in HOLDS  # by the policy; others may hold it, too
        # A turn begins with its first sample, and goes on over utterances that follow each other without a gap.
        sounds = (
            playing is not None
            and playing.interruptible
            and (playing.played > 0 or leaf in AGENT_SPEAKS)
            and (state is State.SPEAKING or held)
        )
        if sounds and held and HOLD not in self.controller.holds:
            self._take("hold_released")
        elif sounds != (leaf in AGENT_SPEAKS):
            if sounds:
                self._onset = self._timer.time()
            self._take("agent_started" if sounds else "agent_stopped")

    def _take(self, event: str, words: str | None = None) -> None:
        """Give the chart an event, do what follows, and wait for what the clock will bring."""
        before = self._session.leaf
        if not MACHINE.fire(self._session, event):
            return
        now, position = self._timer.time(), self.controller.position
        # The event goes into the outbox first: what is done may have others call the policy back, and emit more.
        match BARGE_IN.outputs.get((before, event)):
            case (BargeInSuspected.name,):
                self._held = now
                self._emitter.emit(BargeInSuspected(position, now - self._began))
                if self.mode == "pause":
                    self.controller.pause(by=HOLD)
                else:
                    self._lower(self.duck_db)
            case (BargedIn.name,):
                # Only a transcript has shown it, where no speech was noticed.
                spoken = 0.0 if before == "agent.settled" else now - self._began
                self._emitter.emit(BargedIn(position, spoken, words))
                if before in HOLDS and self.mode == "duck":
                    self._raise_after_fade()
                self.controller.interrupt(lock=self.lock, by=HOLD)
            case (FalseInterruption.name,):
                self._emitter.emit(FalseInterruption(position, now - self._held))
                self._release(to_word=self.rewind)
            case _ if before in HOLDS and self._session.leaf not in HOLDS:
                self._release()
        self._wait()
        self._emitter.flush()

    def _pass_on(self, event: Event) -> None:
        """Have the controller emit what a listener has raised."""
        if isinstance(event, ErrorRaised):
            self.controller.report_error(event.exception, event.source)

    def _release(self, *, to_word: bool = False) -> None:
        """End the hold; somebody else may have done so already, where it is a pause, or hold the agent, too."""
        if self.mode == "pause":
            self.controller.resume(to_word=to_word, by=HOLD)
            self._look()
        elif self.controller.state is State.INTERRUPTED:
            self._raise_after_fade()
        else:
            self._lower(-self.duck_db)

    def _raise_after_fade(self) -> None:
        """Leave a voice that is interrupted as soft as it was: its fade-out must not swell."""
        self.controller.once("silenced", lambda _: self._lower(-self.duck_db))

    def _lower(self, by_db: float) -> None:
        self._lowered_db += by_db
        self.controller.gain_db -= by_db

    def _wait(self) -> None:
        """Have the clock bring what this leaf waits for, and nothing else; at once, if it is due."""
        self._cancel()
        leaf = self._session.leaf
        if leaf in GUARDED:
            when, event = self._onset + self.guard_seconds, "guard_elapsed"
        elif leaf in SPEECH_LASTS:
            when, event = max(self._began, self._onset) + self.min_seconds, "min_speech_elapsed"
        elif leaf in SILENCE_LASTS:
            when, event = self._ended + self.false_after_seconds, "silence_timeout"
        else:
            return
        if when <= self._timer.time():
            self._take(event)
        else:
            policy = ref(self)  # a timer keeps nothing that was dropped

            def take() -> None:
                this = policy()
                if this is not None:
                    this._take(event)  # noqa: SLF001 - its own

            self._due = self._timer.call_at(when, take)

    def _cancel(self) -> None:
        """Wait for nothing."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
