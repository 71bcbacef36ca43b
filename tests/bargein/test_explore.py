"""The policy with a real controller, in every configuration that a few moments of talk can bring the two into."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import inf
from typing import Any, NamedTuple

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController, State, Turn, Utterance
from playback.bargein import BARGE_IN, BargeIn
from playback.bargein.chart import AGENT_SPEAKS, ENDS, IN_DOUBT, LOWERS, MACHINE, PAUSES, USER_TURN, WAITING
from playback.bargein.policy import HOLD
from statecharts import IMPOSSIBLE
from statecharts.testing import ChartCoverage, Exploration, explore
from tests.bargein.clock import Clock

TICK = 1.0
GUARD, LASTING, SILENCE, BACKCHANNEL = 1 * TICK, 2 * TICK, 2 * TICK, 3 * TICK
TRANSCRIPTS = {
    "words": ("stop that", True),
    "few_words": ("stop", False),
    "backchannel_so_far": ("yes", False),
    "backchannel": ("Yes.", True),
    "no_words_so_far": ("", False),
    "no_words": ("…", True),
}
COMMANDS = ("pause", "resume", "release", "interrupt", "close")


class World(NamedTuple):
    """What may happen, beside the user's speech, reads and time."""

    says: tuple[str, ...]
    does: tuple[str, ...]
    pause_after_seconds: float = TICK
    silence_seconds: float = inf


WORLDS = {
    "talk": World(("say",), (*TRANSCRIPTS, "release", "stop")),
    "a late detector": World(("say",), ("ended_before", "few_words")),
    "pauses at once": World(("say",), ("words", "backchannel"), pause_after_seconds=0.0),
    "only lowers": World(("say",), ("words", "backchannel_so_far"), pause_after_seconds=inf),
    "an utterance with gaps": World(("begin",), ("words",)),
    "a turn with gaps": World(("answer",), (*TRANSCRIPTS, "stop")),
    "application": World(("say",), COMMANDS),
    "uninterruptible": World(("say", "insist"), ("words",), silence_seconds=TICK),
    "silence": World((), (*TRANSCRIPTS, "stop"), silence_seconds=2 * TICK),
}


class Configuration(NamedTuple):
    """What matters for whatever comes next."""

    leaf: str
    playback: str
    holds: tuple[str, ...]
    left: int
    open: bool
    played: bool
    interruptible: tuple[bool, ...]
    due: float | None
    times: tuple[float, ...]
    said: tuple[bool, ...]
    gain: float


class Conversation:
    """A controller of samples that take a second each, its policy, and what was emitted."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = Clock()
        self.controller = PlaybackController(AudioFormat(8_000), fades=Fades(0, 0, 0, 0), input_timeout_seconds=None)
        self.controller.read(1)
        self.policy = BargeIn(
            self.controller,
            pause_after_seconds=world.pause_after_seconds,
            min_seconds=LASTING,
            max_backchannel_seconds=BACKCHANNEL,
            false_after_seconds=SILENCE,
            guard_seconds=GUARD,
            silence_seconds=world.silence_seconds,
            backchannels=["yes"],
            timer=self.clock,
        )
        self.open: Utterance | Turn | None = None
        self.emitted: list[str] = []
        self.fading = False
        self.controller.on("interrupted", lambda _: self.fade(True))
        self.controller.on("silenced", lambda _: self.fade(False))
        for name in ("barge_in_suspected", "barge_in", "false_interruption", "user_turn_started", "user_turn_ended"):
            self.policy.on(name, lambda event: self.emitted.append(event.name))

    def actions(self) -> Iterator[str]:
        user = ("speech_started", "speech_ended", *(action for action in self.world.does if action in TRANSCRIPTS))
        if self.policy.leaf == "stopped":
            yield from (*user, "stop")
            return
        if self.is_open:
            yield "end"
            if self.controller.buffered < 1:
                yield "push"
        elif self.controller.buffered < 1:
            yield from self.world.says
        yield from (*self.world.does, "speech_started", "speech_ended", "read", "wait")

    @property
    def is_open(self) -> bool:
        if isinstance(self.open, Turn):
            return self.open.is_open
        return self.open is not None and not self.open.ended

    def apply(self, action: str) -> None:
        match action:
            case "say" | "insist" | "begin":
                utterance = self.controller.utterance(interruptible=action != "insist")
                utterance.push(np.array([1000, 1000], np.int16))
                if action == "begin":
                    self.open = utterance
                else:
                    utterance.end()
            case "answer":
                self.open = self.controller.turn()
                self.say()
            case "push":
                self.say()
            case "end":
                assert self.open is not None
                self.open.end()
            case "read":
                self.controller.read(1)
            case "wait":
                self.clock.advance_to(self.clock.now + TICK)
            case "release":
                self.controller.resume(by=HOLD)
            case "ended_before":
                self.policy.speech_ended(seconds_ago=2 * TICK)
            case "speech_started" | "speech_ended" | "stop":
                getattr(self.policy, action)()
            case _ if action in TRANSCRIPTS:
                text, final = TRANSCRIPTS[action]
                self.policy.transcript(text, final=final)
            case _:
                getattr(self.controller, action)()

    def say(self) -> None:
        """Say a little more within what is open."""
        utterance = self.open.utterance() if isinstance(self.open, Turn) else self.open
        assert utterance is not None
        utterance.push(np.array([1000], np.int16))
        if isinstance(self.open, Turn):
            utterance.end()

    def visit(self, action: str) -> None:
        """Do one thing, and check what must be true then."""
        before, emitted = self.policy.leaf, len(self.emitted)
        others_pause = "application" in self.controller.holds
        self.apply(action)
        leaf, news = self.policy.leaf, self.emitted[emitted:]
        if news[:1] == ["barge_in"]:
            assert before in AGENT_SPEAKS
        if "false_interruption" in news:
            assert before in IN_DOUBT
        if others_pause and action not in (*COMMANDS, "stop"):
            assert "application" in self.controller.holds, "it releases only a hold of its own"
        assert HOLD not in self.controller.holds or leaf in PAUSES
        assert leaf not in PAUSES or self.controller.state is State.PAUSED
        assert self.gain == (-15.0 if leaf in LOWERS else 0.0) or self.fading  # a fade-out stays as soft as it was
        assert self.gain == -self.policy.lowered_db
        turns = [name for name in self.emitted if name.startswith("user_turn")]
        assert all(
            name == ("user_turn_ended" if index % 2 else "user_turn_started") for index, name in enumerate(turns)
        )
        assert leaf == "stopped" or len(turns) % 2 == (leaf in USER_TURN)

    @property
    def gain(self) -> float:
        return self.controller.gain_db

    def fade(self, fading: bool) -> None:
        self.fading = fading

    def key(self) -> Configuration:
        head, now, leaf = self.controller.head, self.clock.now, self.policy.leaf
        moments, transcripts, agent = self.policy._moments, self.policy._transcripts, self.policy._agent
        limits = (
            (moments.began, 3 * TICK if leaf in ENDS else 0),
            (moments.end_reported, SILENCE if leaf not in ENDS else 0),
            (moments.arrived, TICK if leaf in WAITING else 0),
            (moments.onset, 2 * TICK if leaf in AGENT_SPEAKS else 0),
            (moments.quiet_since, self.world.silence_seconds if leaf == "idle" else 0),
            (agent._sounded, TICK),
            (moments.paused, 3 * TICK if leaf in PAUSES and "ended_before" in self.world.does else 0),
        )
        times = tuple(min(now - time, limit) if limit < inf else 0 for time, limit in limits)
        return Configuration(
            leaf,
            self.controller.leaf,
            self.controller.holds,
            self.controller.buffered,
            self.is_open,
            head is not None and head.played > 0,
            (agent._sounds, agent.is_quiet, head is not None and head.interruptible, head is self.open),
            min((when - now for when in self.clock.waiting), default=None),
            times,
            (
                leaf in WAITING and transcripts._newest == transcripts._known,
                head is not None and head.turn is agent._turn,
                self.controller.buffered < 1 and self.is_open,
                transcripts._was_first,
                transcripts._spoke_since,
                transcripts._owed,
                transcripts.has_words and "ended_before" in self.world.does,
            ),
            self.gain,
        )


@cache
def found(name: str) -> tuple[ChartCoverage, Exploration[Configuration, str]]:
    """All that one world leads to."""
    world = WORLDS[name]
    with ChartCoverage(BARGE_IN) as coverage:
        explored = explore(
            lambda: Conversation(world),
            Conversation.actions,
            Conversation.apply,
            Conversation.key,
            visit=Conversation.visit,
            limit=10_000,
        )
    return coverage, explored


@pytest.mark.parametrize("name", WORLDS)
def test_waiting_decides_every_doubt(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, explored = found(name)
    with capsys.disabled():
        print(f"\n{name}: {len(explored.paths)} configurations")
    for configuration in explored.paths:
        if configuration.leaf in IN_DOUBT:
            *_, rest = explored.run(configuration, "wait")
            assert rest.leaf not in IN_DOUBT, configuration


def test_every_cell_is_asked_and_none_that_is_impossible() -> None:
    touched = frozenset[Any]().union(*(found(name)[0].touched for name in WORLDS))
    possible = {
        (leaf, event)
        for leaf, row in BARGE_IN.cells.items()
        for event, cell in row.items()
        if cell != IMPOSSIBLE and (leaf != "stopped" or event in BARGE_IN.commands)
    } - {("quiet", "agent_started")}  # see test_policy: only a listener that reads brings it about
    assert sorted(possible - touched) == []
    assert not [cell for cell in touched if BARGE_IN.cells[cell[0]][cell[1]] == IMPOSSIBLE]
    assert MACHINE.chart is BARGE_IN
