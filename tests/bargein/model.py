"""A model of the policy: what it decides, by flags in place of a chart, to compare the policy with.

What decides nothing is the policy's own: the times (:class:`Moments`), how the agent's speech stands
(:class:`AgentWatch`) and which transcripts count (:class:`Transcripts`).
"""

from __future__ import annotations

from math import inf
from typing import Any, Final

from playback import PlaybackController, State
from playback.bargein.agent import AgentWatch, Speech
from playback.bargein.backchannels import Backchannels
from playback.bargein.moments import Moments
from playback.bargein.transcripts import Transcripts
from playback.events import Event, EventName

HOLD: Final = "barge-in"
WATCHED: Final[tuple[EventName, ...]] = ("state_changed", "first_audio_byte", "utterance_finished", "interrupted")
OVERLAP_SECONDS: Final = 0.5

Outputs = tuple[str, ...] | None
"""What a decision emits; None if nothing was decided."""


class ModelPolicy:
    """Does what :class:`playback.bargein.BargeIn` does, with the same arguments."""

    def __init__(
        self,
        controller: PlaybackController,
        *,
        pause_after_seconds: float,
        min_seconds: float,
        max_backchannel_seconds: float,
        false_after_seconds: float,
        guard_seconds: float,
        silence_seconds: float,
        backchannels: list[str],
        timer: Any,
        duck_db: float = 15.0,
    ) -> None:
        self.controller = controller
        self.pause_after, self.min_seconds, self.max_backchannel = (
            pause_after_seconds,
            min_seconds,
            max_backchannel_seconds,
        )
        self.false_after, self.guard, self.silence = false_after_seconds, guard_seconds, silence_seconds
        self.duck_db, self.timer = duck_db, timer
        self.moments = Moments(timer.time())
        self.watch = AgentWatch(controller, HOLD, self.moments)
        self.transcripts = Transcripts(Backchannels(backchannels))
        self.emitted: list[Event] = []
        self.talks = False
        """Whether the user speaks."""
        self.agent = ""
        """How the agent's speech stands: ready, early, settled, gap, or nothing at all."""
        self.doubt = ""
        """What is done while it is in doubt what the user means: lowered, held, or waiting."""
        self.listening = self.released = self.quiet = self.stopped = False
        self.paused = self.lowered = False
        self.timers: list[Any] = []
        for event in WATCHED:
            controller.on(event, self.look)
        self.look()

    @property
    def leaf(self) -> str:
        """The name of the flags, as the chart calls it."""
        if self.stopped:
            return "stopped"
        if self.doubt:
            return f"{self.doubt}.{'listening' if self.listening else 'speaking' if self.talks else 'silent'}"
        if self.released:
            return "both.released"
        if not self.agent:
            return "user" if self.talks else "quiet" if self.quiet else "idle"
        return "both.early" if self.talks else f"agent.{self.agent}"

    # What the policy is given

    def speech_started(self, seconds_ago: float = 0.0) -> None:
        if not self.talks and not self.stopped:
            self.moments.begin_reported = self.timer.time()
            self.moments.began = self.timer.time() - seconds_ago
            self.transcripts.speech_began()
        self.take("speech_started")

    def speech_ended(self, seconds_ago: float = 0.0) -> None:
        if self.talks and not self.stopped:
            now = self.timer.time()
            self.moments.quiet_since = self.moments.end_reported = now
            self.moments.ended = max(self.moments.began, now - seconds_ago)
            self.transcripts.speech_ended(now)
        self.take("speech_ended")

    def transcript(self, text: str, final: bool = True) -> None:
        now = self.timer.time()
        pauses = self.pause_after < inf
        command = self.transcripts.command(
            text, leaf=self.leaf, at=now, final=final, certain=True, min_words=2, pauses=pauses
        )
        if text:
            self.moments.quiet_since = now
        if command is not None:
            self.take(command, text)

    def stop(self) -> None:
        if not self.stopped:
            for event in WATCHED:
                self.controller.remove_listener(event, self.look)
        self.take("stop")

    # What it decides

    def decide(self, event: str) -> Outputs:
        """Change the flags."""
        if self.stopped:
            return None
        match event:
            case "stop":
                self.stopped, self.doubt, self.listening = True, "", False
                return ()
            case "speech_started" | "speech_ended":
                return self.hear(event == "speech_started")
            case "words" | "few_words" | "backchannel_so_far" | "backchannel":
                return self.understand(event)
            case "no_words" | "no_words_so_far":
                return self.understand_nothing(final=event == "no_words")
            case "pause_too_late":
                self.doubt = "lowered"
            case "min_speech_elapsed" | "max_backchannel_elapsed":
                return self.give_way()
            case "silence_timeout":
                return self.go_on()
            case "guard_elapsed":
                self.agent = "settled"
                return self.suspect("lowered") if self.talks else ()
            case "pause_elapsed":
                self.doubt = "held"
            case "quiet_elapsed":
                self.quiet = True
                return ("silence",)
            case "quiet_ended":
                self.quiet = False
            case "hold_released":
                self.released = self.talks
                self.agent = "ready" if self.doubt == "waiting" else "settled"
                self.doubt, self.listening = "", False
            case "agent_stopped":
                self.agent = self.doubt = ""
                self.listening = self.released = False
            case _:
                return self.speak(event)
        return ()

    def hear(self, speaks: bool) -> Outputs:
        if speaks is self.talks:
            return None
        self.talks, self.listening, self.quiet = speaks, False, False
        if not speaks and self.released:
            self.released, self.agent = False, "ready"
        if not speaks or self.doubt or self.agent in ("", "early"):
            return ()
        return self.suspect("lowered" if self.agent == "settled" else "waiting")

    def understand(self, said: str) -> Outputs:
        if self.quiet:
            self.quiet = False
            return ()
        if said == "words" and self.agent:
            return self.give_way()
        if not self.doubt:
            return None
        before = self.doubt, self.listening
        if said == "few_words":
            self.doubt = "held" if self.doubt == "lowered" else self.doubt
            self.listening = False
        elif said == "backchannel" and not self.talks:
            return self.go_on()
        else:
            self.doubt = "lowered" if self.doubt == "held" else self.doubt
            self.listening = self.talks
        return () if before != (self.doubt, self.listening) else None

    def understand_nothing(self, *, final: bool) -> Outputs:
        if final and self.doubt and not self.talks:
            return self.go_on()
        was, self.listening = self.listening, False
        return () if was else None

    def speak(self, event: str) -> Outputs:
        """The agent's speech has come to another point."""
        self.quiet = False
        if event == "gap_began" and self.doubt:
            self.doubt = "held"
            return ()
        self.agent = {"agent_ready": "ready", "agent_started": "early", "gap_began": "gap"}[event]
        return self.suspect("waiting") if self.talks else ()

    def suspect(self, doubt: str) -> Outputs:
        self.doubt = doubt
        return ("barge_in_suspected",)

    def give_way(self) -> Outputs:
        self.agent = self.doubt = ""
        self.listening = self.released = False
        return ("barge_in",)

    def go_on(self) -> Outputs:
        self.agent = "ready" if self.doubt == "waiting" else "settled"
        self.doubt = ""
        return ("false_interruption",)

    # What follows

    def look(self, _: object = None) -> None:
        self.watch.listen(self.timer.time())
        while (event := self.news()) is not None:
            if not self.agent:
                self.moments.arrived = self.timer.time()
                self.transcripts.agent_began(user_speaks=self.talks)
            self.take(event)
        if self.leaf == "idle":
            self.wait()

    def news(self) -> str | None:
        """What the agent's speech has come to."""
        if self.stopped:
            return None
        speech = self.watch.speech(self.leaf)
        undecided = not self.doubt and not self.released
        match speech:
            case Speech.NONE if self.quiet:
                return "quiet_ended" if self.controller.state is State.SPEAKING else None
            case Speech.NONE:
                return "agent_stopped" if self.agent else None
            case _ if self.doubt in ("held", "waiting"):
                return None if speech is Speech.HELD else "hold_released"
            case Speech.READY if undecided and self.agent in ("", "gap"):
                return "agent_ready"
            case Speech.SOUNDS if undecided and self.agent in ("", "gap", "ready"):
                return "agent_started"
            case Speech.GAP if undecided and self.agent in ("ready", "early", "settled"):
                return "gap_began"
            case Speech.GAP if self.doubt == "lowered" and self.talks and not self.listening:
                return "gap_began"
        return None

    def take(self, event: str, words: str | None = None) -> None:
        before, had_turn, doubted = self.leaf, self.has_turn, self.doubt
        outputs = self.decide(event)
        if outputs is None:
            return
        now = self.timer.time()
        if self.doubt and not doubted:
            self.moments.doubted = now
        if event == "pause_elapsed":
            self.moments.paused = now
        for name in (*outputs, *self.turns(event, outputs, had_turn, doubted)):
            self.emitted.append(self.moments.event(name, (before, event), self.controller.position, now, words))
        if "barge_in" in outputs:
            self.controller.interrupt(by=HOLD)
        paused = self.doubt in ("held", "waiting")
        if paused != self.paused:
            self.paused = paused
            if paused:
                self.controller.pause(by=HOLD)
            else:
                self.controller.resume(to_word=event != "stop", by=HOLD)
                self.look()
        lowered = self.doubt in ("held", "lowered")
        if lowered != self.lowered:
            self.lowered = lowered
            if not lowered and self.controller.state is State.INTERRUPTED:
                self.controller.once("silenced", lambda _: self.raise_by(self.duck_db))  # a fade-out must not swell
            else:
                self.raise_by(-self.duck_db if lowered else self.duck_db)
        self.wait()

    def raise_by(self, decibels: float) -> None:
        self.controller.gain_db += decibels

    @property
    def has_turn(self) -> bool:
        """Whether the user has the floor."""
        return not self.stopped and self.talks and (self.doubt == "waiting" or not (self.agent or self.doubt))

    def turns(self, event: str, outputs: tuple[str, ...], had_turn: bool, doubted: str) -> tuple[str, ...]:
        if event == "stop":
            return ()
        if "barge_in" in outputs and not self.talks and doubted != "waiting":
            return ("user_turn_started", "user_turn_ended")
        if had_turn == self.has_turn:
            return ()
        return ("user_turn_started",) if self.has_turn else ("user_turn_ended",)

    def wait(self) -> None:
        while self.timers:
            self.timers.pop().cancel()
        when, event = min(self.waits(), default=(inf, ""))
        if when <= self.timer.time():
            self.take(event)
        elif when < inf:
            self.timers.append(self.timer.call_at(when, lambda: self.take(event)))

    def waits(self) -> list[tuple[float, str]]:
        """What the clock will bring, and when."""
        moments = self.moments
        first = moments.began < moments.arrived
        if self.stopped or self.released:
            return []
        if not self.doubt:
            if self.agent == "early":
                own = moments.began if self.talks and first else moments.onset + self.guard
                return [(own, "guard_elapsed")]
            rests = not self.agent and not self.talks and not self.quiet and self.watch.is_quiet
            return [(moments.quiet_since + self.silence, "quiet_elapsed")] if rests else []
        if not self.talks:
            waits = [(moments.end_reported + self.false_after, "silence_timeout")]
            if self.doubt == "held" and moments.ended < moments.paused and not self.transcripts.has_words:
                waits.append((moments.end_reported, "pause_too_late"))
            return waits
        if self.listening:
            return [(moments.begin_reported + self.max_backchannel, "max_backchannel_elapsed")]
        if self.doubt == "waiting":
            enough = max(moments.begin_reported + self.min_seconds, moments.arrived + OVERLAP_SECONDS)
        else:
            enough = max(moments.begin_reported, moments.onset) + self.min_seconds
        waits = [(enough, "min_speech_elapsed")]
        if self.doubt == "lowered":
            waits.append((moments.began if first else moments.begin_reported + self.pause_after, "pause_elapsed"))
        return waits
