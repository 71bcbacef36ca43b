"""The conversation matrix: which sound, heard by whom, makes the agent give way, whoever began and however it speaks.

The rules are data, and stand in the docs as a table. The test expands each by who began, by how late recognition is, by
the shape of the agent's turn, by the length after which it is paused, and by where it is cut. The outcome may depend on
none of these but the lateness, and only where a rule says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from math import inf
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController, Utterance
from playback.bargein import BargeIn
from playback.words import Word
from tests.bargein.clock import Clock

RATE = 8_000
STEP = 0.04
JUST_AFTER = 0.001
"""After the agent's audio has arrived, and before its first sample is read."""
LATE = (0.2, 0.6, 1.5)
PAUSES = (0.0, 0.35, inf)
BEGINS = {"agent silent": None, "before the agent": -0.32, "with the agent": JUST_AFTER, "after the agent": 1.2}
YIELDS: Final[tuple[Literal["now", "word"], ...]] = ("now", "word")
SHAPES = ("one utterance", "several with gaps", "an open turn")
DETECTOR, BOTH, RECOGNITION = "detection", "detection and recognition", "recognition"
DOCS: Final = Path(__file__).parents[2] / "docs" / "bargein.md"


class Rule(NamedTuple):
    """What a sound of the user's leads to while the agent has the floor, or is about to."""

    sound: str
    seconds: float
    heard_by: str
    gives_way: bool
    words: str = ""
    late: tuple[float, ...] = LATE
    """How late the recognition is for which the rule holds."""


RULES = (
    Rule("a click", 0.08, DETECTOR, False),
    Rule("a cough", 0.4, DETECTOR, False),
    Rule("“hm”", 0.44, DETECTOR, False, "hm"),
    Rule("“Stop.”", 0.64, DETECTOR, False, "stop"),
    Rule("“mm-hm”", 1.12, DETECTOR, False, "mm hm"),
    Rule("“mm-hm, mm-hm, right”", 2.4, DETECTOR, True, "mm hm mm hm right"),
    Rule("a sentence", 2.0, DETECTOR, True, "no I want another table"),
    Rule("a cough", 0.4, BOTH, False),
    Rule("noise that is taken for speech", 1.12, BOTH, False),
    Rule("“hm”", 0.44, BOTH, False, "hm"),
    Rule("“yeah”", 0.48, BOTH, False, "yeah"),
    Rule("“mm-hm”", 1.12, BOTH, False, "mm hm"),
    Rule("“mm-hm, mm-hm, right”", 2.4, BOTH, False, "mm hm mm hm right", (0.2, 0.6)),
    Rule("“mm-hm, mm-hm, right”", 2.4, BOTH, True, "mm hm mm hm right", (1.5,)),
    Rule("“yeah yeah yeah …”", 4.8, BOTH, True, "yeah yeah yeah yeah yeah yeah"),
    Rule("“Stop.”", 0.64, BOTH, True, "stop"),
    Rule("“No.”", 0.44, BOTH, True, "no"),
    Rule("“Wait.”", 0.52, BOTH, True, "wait"),
    Rule("“okay, stop”", 1.0, BOTH, True, "okay stop"),
    Rule("“excuse me”", 0.8, BOTH, True, "excuse me"),
    Rule("a sentence", 2.0, BOTH, True, "no I want another table"),
    Rule("“yeah”", 0.48, RECOGNITION, False, "yeah"),
    Rule("“mm-hm, mm-hm, right”", 2.4, RECOGNITION, False, "mm hm mm hm right"),
    Rule("“Stop.”", 0.64, RECOGNITION, True, "stop"),
    Rule("“okay, stop”", 1.0, RECOGNITION, True, "okay stop"),
    Rule("a sentence", 2.0, RECOGNITION, True, "no I want another table"),
)


class Case(NamedTuple):
    """One expansion of a rule."""

    begins: str
    late: float
    shape: str
    pause: float
    yield_at: Literal["now", "word"]


def cases(rule: Rule) -> Iterator[Case]:
    # Without a detector nobody knows when the user began.
    begins = ("after the agent",) if rule.heard_by == RECOGNITION else tuple(BEGINS)
    lates = (0.0,) if rule.heard_by == DETECTOR else rule.late
    yield from (Case(*values) for values in product(begins, lates, SHAPES, PAUSES, YIELDS))


class Scenario:
    """An agent and a user on one clock, with a script of what the user does."""

    def __init__(self, rule: Rule, case: Case) -> None:
        self.clock = Clock()
        self.controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0), input_timeout_seconds=None)
        pause, yield_at = case.pause, case.yield_at
        self.policy = BargeIn(self.controller, pause_after_seconds=pause, yield_at=yield_at, timer=self.clock)
        self.emitted: list[str] = []
        for name in ("barge_in_suspected", "barge_in", "false_interruption"):
            self.policy.on(name, lambda event: self.emitted.append(event.name))
        self.shape = case.shape
        self.said: list[Utterance] = []
        offset = BEGINS[case.begins]
        if offset is None:  # the answer comes when the user has been silent for a moment
            self.user_at, self.agent_at = 1.0, 1.0 + rule.seconds + 0.32
        else:
            self.agent_at = 1.0
            self.user_at = self.agent_at + offset
        for when, call in self.script(rule, case.late):
            self.clock.call_at(round(self.user_at + when, 6), call)

    def script(self, rule: Rule, late: float) -> Iterator[tuple[float, Callable[[], object]]]:
        policy, words = self.policy, rule.words.split()
        if rule.heard_by != RECOGNITION:
            yield 0.0, policy.speech_started
            yield rule.seconds, policy.speech_ended
        if rule.heard_by != DETECTOR and words:
            for count in range(1, len(words) + 1):
                text, at = " ".join(words[:count]), rule.seconds * count / len(words) + late
                yield at, partial(policy.transcript, text, final=False)
            yield rule.seconds + late, partial(policy.transcript, rule.words, final=True)

    def speak(self) -> None:
        """The agent's answer arrives: six seconds of it, or more with gaps."""
        self.turn = self.controller.turn()
        if self.shape == "several with gaps":
            for index in range(6):
                self.clock.call_at(round(self.clock.now + 1.4 * index, 6), self.say)
            self.clock.call_at(self.clock.now + 7.2, self.turn.end)
        else:
            self.say(6.0)
            if self.shape == "one utterance":
                self.turn.end()

    def say(self, seconds: float = 1.0) -> None:
        utterance = self.turn.utterance()
        utterance.push(np.ones(round(seconds * RATE), np.int16))
        utterance.mark_words(Word("word", at / 10, at / 10 + 0.3) for at in range(0, round(seconds * 10), 4))
        utterance.end()
        self.said.append(utterance)

    def play(self) -> None:
        for frame in range(round((self.agent_at + 14.0) / STEP)):
            if self.emitted[-1:] == ["barge_in"]:
                break
            if frame == round(self.agent_at / STEP):
                self.speak()
                self.clock.advance_to(self.clock.now + JUST_AFTER)
            self.controller.read(round(STEP * RATE))
            self.clock.advance_to((frame + 1) * STEP)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.sound}, by {rule.heard_by}, {rule.late}")
def test_a_rule_holds_whoever_began_and_however_the_agent_speaks(rule: Rule) -> None:
    for case in cases(rule):
        scenario = Scenario(rule, case)
        scenario.play()
        alone = case.begins == "agent silent"
        gave_way = "barge_in" in scenario.emitted
        assert gave_way == (rule.gives_way and not alone), (case, scenario.emitted)
        played = sum(utterance.played for utterance in scenario.said)
        if gave_way:
            heard = np.count_nonzero(scenario.controller.read(RATE // 2))
            assert heard <= (0.3 * RATE if case.yield_at == "word" else 0), "no more than what is left of a word"
            assert scenario.turn.report is not None, case
            assert scenario.turn.utterance().push(np.ones(80, np.int16)) == 0, "the whole turn has ended"
        else:
            assert played == 6 * RATE, case
            assert scenario.controller.holds == ()
            assert scenario.emitted[0::2] == ["barge_in_suspected"] * len(scenario.emitted[0::2])
            assert scenario.emitted[1::2] == ["false_interruption"] * len(scenario.emitted[1::2])


def table() -> str:
    """The rules, as the docs have them."""
    lines = ["| sound | it lasts | what hears it | the agent |", "|---|---|---|---|"]
    for rule in RULES:
        late = "" if rule.late == LATE else f", late by {' or '.join(f'{late:g}' for late in rule.late)} s"
        outcome = "**gives way**" if rule.gives_way else "goes on"
        lines.append(f"| {rule.sound} | {rule.seconds:.2f} s | {rule.heard_by}{late} | {outcome} |")
    return "\n".join(lines)


def test_the_docs_have_the_rules() -> None:
    assert table() in DOCS.read_text(encoding="utf-8"), f"expected in {DOCS.name}:\n{table()}"
