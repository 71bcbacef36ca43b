"""The policy with a real controller, in every configuration that a few moments of talk can bring the two into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController, State
from playback.bargein import BARGE_IN, BargeIn
from playback.bargein.chart import HOLDS, MACHINE, SILENCE_LASTS, SPEECH_LASTS
from playback.bargein.policy import HOLD
from statecharts import IMPOSSIBLE
from statecharts.testing import ChartCoverage, Exploration, explore
from tests.bargein.test_policy import Clock

TICK = 1.0
GUARD, LASTING, SILENCE = 1 * TICK, 2 * TICK, 2 * TICK
USER = ("speech_started", "speech_ended", "words", "backchannel")
COMMANDS = ("pause", "resume", "release", "interrupt", "close", "stop")


class Configuration(NamedTuple):
    """What matters for whatever comes next."""

    leaf: str
    playback: str
    holds: tuple[str, ...]
    left: int
    played: bool
    interruptible: bool
    due: float | None
    since: tuple[float, ...]
    gain: float


class Conversation:
    """A controller of samples that take a second each, its policy, and what was told."""

    def __init__(self, mode: str) -> None:
        self.clock = Clock()
        self.controller = PlaybackController(AudioFormat(8_000), fades=Fades(0, 0, 0, 0))
        self.controller.read(1)
        options: dict[str, Any] = {"mode": mode, "backchannels": ["yes"]}
        self.policy = BargeIn(
            self.controller,
            min_seconds=LASTING,
            false_after_seconds=SILENCE,
            guard_seconds=GUARD,
            timer=self.clock,
            **options,
        )
        self.told: list[str] = []
        self.fading = False
        self.controller.on("interrupted", lambda _: self.fade(True))
        self.controller.on("silenced", lambda _: self.fade(False))
        for name in ("barge_in_suspected", "barge_in", "false_interruption"):
            self.policy.on(name, lambda event: self.told.append(event.name))

    def actions(self) -> Iterator[str]:
        if self.controller.state is State.CLOSED and self.policy.leaf not in SPEECH_LASTS | SILENCE_LASTS:
            yield from USER
            return
        if self.controller.buffered < 2:
            yield from ("say", "insist")
        yield from (*USER, *COMMANDS, "read", "wait")

    def apply(self, action: str) -> None:
        match action:
            case "say" | "insist":
                utterance = self.controller.utterance(interruptible=action == "say")
                utterance.push(np.array([1000, 1000], np.int16))
                utterance.end()
            case "words":
                self.policy.transcript("stop that")
            case "backchannel":
                self.policy.transcript("Yes.")
            case "read":
                self.controller.read(1)
            case "wait":
                self.clock.advance_to(self.clock.now + TICK)
            case "release":
                self.controller.resume(by=HOLD)
            case "speech_started" | "speech_ended" | "stop":
                getattr(self.policy, action)()
            case _:
                getattr(self.controller, action)()

    def visit(self, action: str) -> None:
        """Do one thing, and check what must be true then."""
        before, told = self.policy.leaf, len(self.told)
        others_pause = "application" in self.controller.holds
        self.apply(action)
        news = self.told[told:]
        assert len(news) <= 2
        if news[:1] == ["barge_in"]:
            assert before in HOLDS or before in ("agent.settled", "both.released", "both.early")
        if "false_interruption" in news:
            assert before in HOLDS
        if others_pause and action not in COMMANDS:
            assert "application" in self.controller.holds, "it releases only a hold of its own"
        if self.policy.leaf in HOLDS:
            held_how = self.controller.state is State.PAUSED if self.policy.mode == "pause" else self.gain == -15.0
            assert held_how
        elif self.policy.mode == "duck":
            assert self.gain in (0.0, -15.0)
            assert self.gain == 0.0 or self.fading  # a fade-out stays as soft as it was
        assert self.gain == -self.policy.lowered_db

    @property
    def gain(self) -> float:
        return self.controller.gain_db

    def fade(self, fading: bool) -> None:
        self.fading = fading

    def key(self) -> Configuration:
        playing, policy, now = self.controller.playing, self.policy, self.clock.now
        times = (policy._onset, policy._began, policy._ended)
        return Configuration(
            policy.leaf,
            self.controller.leaf,
            self.controller.holds,
            self.controller.buffered,
            bool(playing and playing.played),
            all(utterance.interruptible for utterance in self.controller._playout.transitions.queue.utterances),
            min((when - now for when in self.clock.waiting), default=None),
            tuple(max(now - time, 0) if now - time < 3 * TICK else 3 * TICK for time in times),
            self.gain,
        )


@pytest.fixture(scope="module", params=["pause", "duck"])
def found(request: pytest.FixtureRequest) -> tuple[ChartCoverage, Exploration[Configuration, str]]:
    with ChartCoverage(BARGE_IN) as coverage:
        explored = explore(
            lambda: Conversation(request.param),
            Conversation.actions,
            Conversation.apply,
            Conversation.key,
            visit=Conversation.visit,
            limit=30_000,
        )
    return coverage, explored


def test_every_cell_is_asked_and_none_that_is_impossible(
    found: tuple[ChartCoverage, Exploration[Configuration, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    coverage, explored = found
    with capsys.disabled():
        print(f"\n{len(explored.paths)} configurations")
    untouched = coverage.untouched
    if "hold_released" in {event for _, event in untouched}:  # nobody can resume what is not paused
        untouched = [(leaf, event) for leaf, event in untouched if event != "hold_released" and leaf != "both.released"]
    assert untouched == []
    assert not [cell for cell in coverage.touched if BARGE_IN.cells[cell[0]][cell[1]] == IMPOSSIBLE]
    assert MACHINE.chart is BARGE_IN


def test_waiting_decides_every_suspicion(found: tuple[ChartCoverage, Exploration[Configuration, str]]) -> None:
    _, explored = found
    for configuration in explored.paths:
        if configuration.leaf in HOLDS:
            *_, rest = explored.run(configuration, "wait")
            assert rest.leaf not in HOLDS, configuration
