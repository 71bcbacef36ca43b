"""BargeIn(yield_at="word"): the agent ends its word when it gives way, as soft as it was, and has said no more."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from playback import Fades
from playback.words import Word
from tests.bargein.test_policy import RATE, Talk

pytestmark = pytest.mark.portable

WORDS = [Word("a", 0.0, 1.0), Word("long", 1.0, 1.5), Word("sentence", 1.5, 1.9), Word("indeed", 2.0, 3.0)]


def talk(**options: Any) -> Talk:
    chosen: dict[str, Any] = {"yield_at": "word", "pause_after_seconds": inf} | options
    made = Talk(**chosen)
    made.said.mark_words(WORDS)
    return made


def test_words_let_the_agent_end_its_word() -> None:
    case = talk()
    case.until(1.2)
    case.policy.transcript("stop", final=True)
    assert (case.names(), case.policy.leaf) == (["barge_in"], "idle")
    case.until(3.0)
    assert case.said.report is not None
    assert (case.said.report.outcome, case.said.played) == ("interrupted", round(1.5 * RATE))
    assert case.said.report.heard == "a long"
    assert case.policy.leaf == "idle", "the rest of a word is no speech of the agent's"


def test_who_speaks_on_is_not_held_against_the_rest_of_the_word() -> None:
    case = talk()
    case.until(1.2)
    case.policy.speech_started()
    case.policy.transcript("stop", final=True)
    assert case.names() == ["barge_in_suspected", "barge_in"]
    assert case.policy.leaf == "user"
    case.until(1.4)
    assert (case.policy.leaf, case.controller.holds) == ("user", ())
    case.until(3.0)
    assert case.said.played == round(1.5 * RATE)
    assert case.names() == []


def test_the_word_and_its_fade_out_stay_as_soft_as_they_were() -> None:
    case = talk(fades=Fades(0.06, 0, 0, 0))
    case.until(1.2)
    case.policy.speech_started()
    loudest = max(case.until(1.3)[RATE // 20 :])
    case.policy.transcript("stop", final=True)
    assert case.controller.gain_db == -15.0
    assert max(case.until(1.54)) <= loudest * 1.5  # the ramp of samples goes on; 15 dB would be 5.6 times as loud
    assert case.controller.gain_db == -15.0
    case.until(1.58)
    assert (case.controller.gain_db, case.policy.lowered_db) == (0.0, 0.0)


def test_the_agent_that_is_held_already_is_dropped_at_once() -> None:
    case = talk(pause_after_seconds=0.1)
    case.until(1.2)
    case.policy.speech_started()
    case.until(1.34)
    assert case.controller.state == "paused"
    case.policy.transcript("stop", final=True)
    assert case.said.report is not None
    assert not any(case.until(3.0))


def test_the_next_answer_is_held_against_a_user_who_speaks_on() -> None:
    case = talk()
    case.until(1.2)
    case.policy.speech_started()
    case.policy.transcript("stop", final=True)
    answer = case.say(1.0)
    assert case.policy.leaf == "user", "the word comes first"
    case.until(1.7)
    assert case.said.played == round(1.5 * RATE)
    assert (case.policy.leaf, answer.played <= round(0.02 * RATE)) == ("waiting.speaking", True)


def test_the_input_is_locked_at_once() -> None:
    case = talk(lock=True)
    case.until(1.2)
    case.policy.transcript("stop", final=True)
    assert case.controller.input_locked
    case.until(3.0)
    assert case.said.played == round(1.5 * RATE)


def test_an_interrupt_of_the_application_at_a_word_ends_the_agents_speech_for_the_policy() -> None:
    case = talk()
    case.until(1.2)
    case.controller.interrupt(at="word")
    case.policy.speech_started()
    assert (case.policy.leaf, case.names()) == ("user", [])
    assert case.controller.gain_db == 0.0


def test_an_unknown_place_is_an_error() -> None:
    with pytest.raises(ValueError, match="yield_at is 'later', expected 'now' or 'word'"):
        talk(yield_at="later")
