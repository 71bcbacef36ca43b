"""Barge-in: a cough or an interruption? The agent is lowered, then paused, until that is clear.

:class:`BargeIn` is called by any voice activity detector or speech recognition, and watches its controller. All its
decisions are in :data:`BARGE_IN`, a chart without guards. This module runs the chart: it fires events, evaluates the
internal events of the clock, and lowers or pauses the agent as the leaf requires.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Literal, Protocol
from weakref import finalize, ref

from playback._checks import check_decibels, check_interrupt_at, check_seconds, check_share, check_type
from playback._made import Made
from playback.bargein.agent import AgentWatch
from playback.bargein.backchannels import BACKCHANNELS, Backchannels, words_of
from playback.bargein.chart import (
    AGENT_SPEAKS,
    BARGE_IN,
    ENDS,
    IN_DOUBT,
    INTERNAL,
    LOWERS,
    MACHINE,
    PAUSES,
    STARTS,
    TAKES,
    TURNS,
    WAITING,
)
from playback.bargein.events import EVENTS, AgentTurnEnded, AgentTurnStarted, BargedIn, BargeInEventName
from playback.bargein.moments import Moments
from playback.bargein.subscribing import SubscribeBargeIn
from playback.bargein.transcripts import Transcripts
from playback.chart import State
from playback.controller import PlaybackController
from playback.core.emitter import Emitter, Listener
from playback.events import ErrorRaised, Event, EventName, TurnFinished, TurnStarted
from statecharts import state_of

HOLD: Final = "barge-in"
"""The name of the policy's own hold, in ``controller.holds``."""

OVERLAP_SECONDS: Final = 0.5
"""How long speech that began before the agent's audio arrived has to go on after it to be more than the end of the
user's own turn: a detector reports the end about a quarter of a second late."""

# What may change who has the floor.
_WATCHED: Final[tuple[EventName, ...]] = ("state_changed", "first_audio_byte", "utterance_finished", "interrupted")
_TIMED: Final = tuple(event for event in INTERNAL if event.endswith(("_elapsed", "_timeout", "_late")))


class Timer(Protocol):
    """A clock that calls back; every asyncio event loop is one."""

    def time(self) -> float:
        """Seconds, from any beginning; never less than before."""

    def call_at(self, when: float, callback: Callable[[], object], /) -> Any:
        """Call back at a time; what is returned has a ``cancel()``."""


class BargeIn:
    """The policy of one controller, and the one object by which an application follows the conversation.

    Example::

        policy = BargeIn(controller)
        policy.on("barge_in", lambda event: answer.cancel())
        ...
        policy.speech_started()                        # from voice activity detection
        policy.transcript("no, wait", final=False)     # from speech recognition
        policy.speech_ended()

    ``barge_in_suspected`` is followed by ``barge_in`` or ``false_interruption``, unless the agent falls silent
    meanwhile for another reason, or other code releases the policy's hold. Utterances that are not interruptible are
    not affected. The policy's pause has an owner of its own, :data:`HOLD`, so it does not affect the holds of other
    owners.

    Args:
        controller: the controller of the agent's speech.
        duck_db: by how much the agent is lowered at the first sound of the user.
        pause_after_seconds: user speech of this length, or any words, pause the agent; 0 pauses at once, infinity
            never. If the user began first, the agent is held back, whatever this is.
        min_seconds: user speech of this length is an interruption, unless it consists only of backchannels so far.
        max_backchannel_seconds: user speech of this length is an interruption even if it consists only of backchannels.
        min_words: an interim transcript of at least so many words is an interruption, and so is any final transcript;
            neither is one if it consists only of backchannels.
        false_after_seconds: the agent resumes this long after the end of shorter speech.
        guard_seconds: speech that begins in the first moments of the agent's counts only once they are over and if it
            still lasts: until echo cancellation has found its way, the agent hears itself.
        silence_seconds: so long after the last speech of anybody, ``silence`` is emitted; infinity for never.
        lock: lock the input with the interrupt.
        yield_at: ``"word"`` lets the agent end its word when it gives way, unless a pause has cut it before.
        rewind: after a pause, go on at the beginning of the word that was cut, if words are marked.
        backchannels: what counts as listening, whatever its case and punctuation.
        min_certainty: below it, a transcript says nothing, as one without words.
        timer: the clock; the running event loop by default.

    Raises:
        TypeError: an argument of another type.
        ValueError: a time that is negative or not a number, fewer than one word, a certainty that is none.
        RuntimeError: no timer was given, and no event loop runs.
    """

    def __init__(
        self,
        controller: PlaybackController,
        *,
        duck_db: float = 15.0,
        pause_after_seconds: float = 0.35,
        min_seconds: float = 1.2,
        max_backchannel_seconds: float = 4.0,
        min_words: int = 2,
        false_after_seconds: float = 0.6,
        guard_seconds: float = 0.5,
        silence_seconds: float = 8.0,
        lock: bool = False,
        yield_at: Literal["now", "word"] = "now",
        rewind: bool = True,
        backchannels: Iterable[str] = BACKCHANNELS,
        min_certainty: float = 0.5,
        timer: Timer | None = None,
    ) -> None:
        check_type("controller", controller, PlaybackController)
        for name, seconds in (("pause_after_seconds", pause_after_seconds), ("silence_seconds", silence_seconds)):
            if seconds != math.inf:
                check_seconds(name, seconds)
        check_seconds("min_seconds", min_seconds)
        check_seconds("max_backchannel_seconds", max_backchannel_seconds)
        check_seconds("false_after_seconds", false_after_seconds)
        check_seconds("guard_seconds", guard_seconds)
        check_share("min_certainty", min_certainty)
        check_interrupt_at("yield_at", yield_at)
        check_decibels("duck_db", duck_db)
        if not 0 <= duck_db < math.inf:
            raise ValueError(f"duck_db is {duck_db!r}, expected a finite number of dB, 0 or more")
        check_type("min_words", min_words, int)
        if min_words < 1:
            raise ValueError(f"min_words is {min_words!r}, expected 1 or more")
        self.controller: Final = controller
        self.duck_db: Final = duck_db
        self.pause_after_seconds = pause_after_seconds
        self.min_seconds = min_seconds
        self.max_backchannel_seconds = max_backchannel_seconds
        self.min_words = min_words
        self.false_after_seconds = false_after_seconds
        self.guard_seconds = guard_seconds
        self.silence_seconds = silence_seconds
        self.lock = lock
        self.yield_at: Literal["now", "word"] = yield_at
        self.rewind = rewind
        self.min_certainty = min_certainty
        self._transcripts: Final = Transcripts(Backchannels(backchannels))
        self._timer: Final[Timer] = timer or asyncio.get_running_loop()
        self._session: Final = MACHINE.session()
        self._emitter: Final = Emitter(EVENTS)
        self._emitter.clock = controller.clock
        self._emitter.tap = self._pass_on
        self._emitter.raise_later = lambda error: controller.report_error(error, "a listener of the policy")
        self._moments: Final = Moments(self._timer.time())
        self._agent: Final = AgentWatch(controller, HOLD, self._moments)
        self._lowered_db = 0.0
        self._paused = self._lowered = False
        self._due: Final[list[Any]] = []  # the timer that was set, if one is; a policy that is dropped cancels it
        finalize(self, _cancel, self._due).atexit = False
        self._listeners: Final[tuple[tuple[EventName, Listener], ...]] = (
            *((event, self._look) for event in _WATCHED),
            ("turn_started", self._agent_turn_started),
            ("turn_finished", self._agent_turn_ended),
        )
        for event, listener in self._listeners:
            controller.on(event, listener)
        self._look()
        NEW_POLICIES.notify(self)

    # Its state

    @property
    def leaf(self) -> str:
        """The current leaf of :data:`BARGE_IN`; ``stopped`` after :meth:`stop`."""
        return self._session.leaf

    @property
    def state(self) -> str:
        """Who has the floor, or what is done while that is in doubt: what stands before the dot in :attr:`leaf`."""
        return state_of(self._session.leaf)

    @property
    def lowered_db(self) -> float:
        """By how much the policy has lowered the controller's gain, which is raised by as much when it is over.

        Whoever sets the gain meanwhile, rather than changes it by a difference, has to lower it by this.
        """
        return self._lowered_db

    @property
    def on(self) -> SubscribeBargeIn:
        """``on(event, listener)`` has a listener called with each event of a name; ``@on(event)`` is the decorator.

        The names are those of :data:`playback.bargein.EVENTS`; another one is a ValueError. Any number of listeners may
        subscribe. What one raises becomes an ``error`` event of the controller.
        """
        return self._emitter.on

    def remove_listener(self, event: BargeInEventName, listener: Listener) -> None:
        """Call a listener no more.

        Raises:
            ValueError: there is no such event, or the listener was not registered for it.
        """
        self._emitter.remove_listener(event, listener)

    # What the user does

    def speech_started(self, seconds_ago: float = 0.0) -> None:
        """The user has begun to speak.

        Args:
            seconds_ago: how long ago that was, because a detector needs some speech to be sure.

        Raises:
            ValueError: a time that is negative or not finite.
        """
        check_seconds("seconds_ago", seconds_ago)
        if self._session.leaf in STARTS:
            now = self._moments.begin_reported = self._timer.time()
            self._moments.began = now - seconds_ago
            self._transcripts.speech_began()
        self._take("speech_started")

    def speech_ended(self, seconds_ago: float = 0.0) -> None:
        """The user has fallen silent.

        Args:
            seconds_ago: how long ago that was, because a detector needs some silence to be sure.

        Raises:
            ValueError: a time that is negative or not finite.
        """
        check_seconds("seconds_ago", seconds_ago)
        if self._session.leaf in ENDS:
            moments, now = self._moments, self._timer.time()
            moments.quiet_since = moments.end_reported = now
            moments.ended = max(moments.began, now - seconds_ago)
            self._transcripts.speech_ended(now)
        self._take("speech_ended")

    def transcript(self, text: str, final: bool = True, certainty: float = 1.0) -> None:
        """What the user has said so far.

        Args:
            text: the words since the user began to speak.
            final: whether the transcript is final. Only a final backchannel lets the agent resume at once, because an
                interim one may be the beginning of more words.
            certainty: how sure the recognizer is, 0 to 1.

        Raises:
            TypeError: the text is no string.
            ValueError: no such certainty.
        """
        check_type("text", text, str)
        check_share("certainty", certainty)
        now = self._timer.time()
        command = self._transcripts.command(
            text,
            leaf=self._session.leaf,
            at=now,
            final=final,
            certain=certainty >= self.min_certainty,
            min_words=self.min_words,
            pauses=self.pause_after_seconds < math.inf,
        )
        if words_of(text):
            self._moments.quiet_since = now
        if command is not None:
            self._take(command, text)

    def stop(self) -> None:
        """Stop the policy: its hold is released, and it does nothing to the controller any more."""
        for event, listener in self._listeners:
            with suppress(ValueError):  # stopped already
                self.controller.remove_listener(event, listener)
        self._take("stop")

    # What follows

    def _look(self, _: object = None) -> None:
        """See what has become of the agent's speech, and fire what the chart does not know of yet."""
        self._agent.listen(self._timer.time())
        while (event := self._agent.event(self._session.leaf)) is not None:
            if self._session.leaf not in AGENT_SPEAKS:
                self._moments.arrived = self._timer.time()
                self._transcripts.agent_began(user_speaks=self._session.leaf in ENDS)
            self._take(event)
        if self._session.leaf in TAKES["quiet_elapsed"]:
            self._wait()

    def _agent_turn_started(self, event: TurnStarted) -> None:
        now = self._timer.time()
        self._emitter.emit(AgentTurnStarted(event.position, now, event.turn, self._moments.latency(now)))
        self._emitter.flush()

    def _agent_turn_ended(self, event: TurnFinished) -> None:
        self._emitter.emit(AgentTurnEnded(event.position, self._timer.time(), event.turn, event.report))
        self._emitter.flush()

    def _take(self, event: str, words: str | None = None) -> None:
        """Give the chart an event, do what follows, and wait for what the clock will bring."""
        before = self._session.leaf
        if not MACHINE.fire(self._session, event):
            return
        now, position = self._timer.time(), self.controller.position
        if before not in IN_DOUBT and self._session.leaf in IN_DOUBT:
            self._moments.doubted = now
        if event == "pause_elapsed":
            self._moments.paused = now
        outputs = (*BARGE_IN.outputs.get((before, event), ()), *TURNS.get((before, event), ()))
        for name in outputs:  # first into the outbox: what is done may have others call the policy back
            self._emitter.emit(self._moments.event(name, (before, event), position, now, words))
        if BargedIn.name in outputs:
            self.controller.interrupt(lock=self.lock, by=HOLD, at=self.yield_at)
        self._hold(to_word=self.rewind and event != "stop")
        self._lower()
        self._wait()
        self._emitter.flush()

    def _pass_on(self, event: Event) -> None:
        """Have the controller emit what a listener has raised."""
        if isinstance(event, ErrorRaised):
            self.controller.report_error(event.exception, event.source)

    def _hold(self, *, to_word: bool) -> None:
        """Pause or resume, as the leaf says."""
        paused = self._session.leaf in PAUSES
        if paused == self._paused:
            return
        self._paused = paused
        if paused:
            self.controller.pause(by=HOLD)
        else:
            self.controller.resume(to_word=to_word, by=HOLD)
            self._look()  # others may hold it still

    def _lower(self) -> None:
        """Lower or raise the voice, as the leaf says; what is left of it after an interrupt must not swell."""
        lowered, head = self._session.leaf in LOWERS, self.controller.head
        if lowered == self._lowered:
            return
        self._lowered = lowered
        is_ending = self.controller.state is State.INTERRUPTED or (head is not None and head.is_yielding)
        if is_ending and not lowered:
            self.controller.once("silenced", lambda _: self._change(self.duck_db))
        else:
            self._change(-self.duck_db if lowered else self.duck_db)

    def _change(self, by_db: float) -> None:
        self._lowered_db -= by_db
        self.controller.gain_db += by_db

    def _wait(self) -> None:
        """Have the clock bring what this leaf waits for, and nothing else; at once, if it is due."""
        _cancel(self._due)
        waits = [(self._due_at(event), event) for event in _TIMED if self._session.leaf in TAKES[event]]
        when, event = min(waits, default=(math.inf, ""))
        if when <= self._timer.time():
            self._take(event)
        elif when < math.inf:
            policy = ref(self)  # a timer keeps nothing that was dropped

            def take() -> None:
                if (this := policy()) is not None:
                    this._take(event)  # noqa: SLF001 - its own

            self._due.append(self._timer.call_at(when, take))

    def _due_at(self, event: str) -> float:
        """When an internal event of the clock becomes true."""
        moments, leaf = self._moments, self._session.leaf
        match event:
            case "guard_elapsed" if leaf in ENDS and moments.began < moments.arrived:
                return moments.began  # speech that began before the agent's is not its echo
            case "guard_elapsed":
                return moments.onset + self.guard_seconds
            case "pause_elapsed" if moments.began < moments.arrived:
                return moments.began  # the detector was late: the agent would have waited for a user who was first
            case "pause_elapsed":
                return moments.begin_reported + self.pause_after_seconds
            case "pause_too_late":
                is_too_late = moments.ended < moments.paused and not self._transcripts.has_words
                return moments.end_reported if is_too_late else math.inf
            case "min_speech_elapsed" if leaf in WAITING:
                return max(moments.begin_reported + self.min_seconds, moments.arrived + OVERLAP_SECONDS)
            case "min_speech_elapsed":
                return max(moments.begin_reported, moments.onset) + self.min_seconds
            case "max_backchannel_elapsed":
                return moments.begin_reported + self.max_backchannel_seconds
            case "silence_timeout":
                return moments.end_reported + self.false_after_seconds
            case _:  # quiet_elapsed
                return moments.quiet_since + self.silence_seconds if self._agent.is_quiet else math.inf


def _cancel(timers: list[Any]) -> None:
    while timers:
        timers.pop().cancel()


NEW_POLICIES: Final[Made[BargeIn]] = Made()
"""Notifies of each policy that is made."""
