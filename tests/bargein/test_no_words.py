"""Recognition that recognizes nothing: the length of the speech decides again, and nothing waits for words in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import pytest

from playback.bargein import BargeIn
from playback.bargein.recognizer import RATE, Recognized
from playback.bargein.short_words import ShortWords
from tests.bargein.test_policy import Talk
from tests.bargein.test_short_words import YEAH, Ears, Transcripts, hear

pytestmark = pytest.mark.portable

NOTHING: dict[str, Callable[[BargeIn], object]] = {
    "taken back": lambda policy: policy.transcript("", final=False, certainty=0.0),
    "an empty interim": lambda policy: policy.transcript("", final=False),
    "an empty final": lambda policy: policy.transcript("", final=True),
    "spaces": lambda policy: policy.transcript(" \n", final=True),
    "an ellipsis": lambda policy: policy.transcript("…", final=True),
    "punctuation": lambda policy: policy.transcript("?!", final=False),
    "an uncertain interim": lambda policy: policy.transcript("yeah, sure", final=False, certainty=0.2),
    "an uncertain final": lambda policy: policy.transcript("yeah, sure", final=True, certainty=0.2),
}
KINDS = pytest.mark.parametrize("nothing", NOTHING.values(), ids=NOTHING.keys())


def talk(**options: Any) -> Talk:
    chosen: dict[str, Any] = {"pause_after_seconds": 0.35, "min_seconds": 1.2, "seconds": 9.0} | options
    return Talk(**chosen)


@KINDS
def test_after_a_backchannel_the_length_decides_again(nothing: Callable[[BargeIn], object]) -> None:
    case = talk()
    case.until(1.0)
    case.policy.speech_started()
    case.policy.transcript("yeah", final=False)
    case.until(1.6)
    assert case.policy.leaf == "lowered.listening"
    nothing(case.policy)
    assert case.policy.leaf == "held.speaking"
    case.until(2.18)
    assert case.policy.leaf == "held.speaking"
    case.until(2.2)
    assert case.names() == ["barge_in_suspected", "barge_in"]


@KINDS
def test_speech_that_is_too_long_by_then_interrupts_at_once(nothing: Callable[[BargeIn], object]) -> None:
    case = talk(pause_after_seconds=inf)
    case.until(1.0)
    case.policy.speech_started()
    case.policy.transcript("yeah", final=False)
    case.until(2.4)
    nothing(case.policy)
    assert case.names() == ["barge_in_suspected", "barge_in"]


@KINDS
def test_it_does_not_keep_the_length_from_deciding(nothing: Callable[[BargeIn], object]) -> None:
    case = talk()
    case.until(1.0)
    case.policy.speech_started()
    for tenth in range(1, 12):
        case.until(1.0 + tenth / 10)
        nothing(case.policy)
    case.until(2.2)
    assert case.names() == ["barge_in_suspected", "barge_in"]


@KINDS
def test_a_user_who_was_first_is_not_waited_for_either(nothing: Callable[[BargeIn], object]) -> None:
    case = Talk(seconds=0.1, pause_after_seconds=0.35, min_seconds=1.2)
    case.until(1.0)
    case.policy.speech_started()
    case.say(5.0)
    case.policy.transcript("yeah", final=False)
    assert case.policy.leaf == "waiting.listening"
    nothing(case.policy)
    assert case.policy.leaf == "waiting.speaking"
    case.until(2.2)
    assert case.names() == ["barge_in_suspected", "barge_in"]


@pytest.mark.parametrize("name", ["an empty final", "spaces", "an ellipsis", "an uncertain final"])
def test_a_final_one_lets_the_agent_go_on_when_the_user_is_silent(name: str) -> None:
    case = talk()
    case.until(1.0)
    case.policy.speech_started()
    case.until(1.6)
    case.policy.speech_ended()
    assert case.policy.leaf == "held.silent"
    NOTHING[name](case.policy)
    assert (case.policy.leaf, case.names()) == ("agent.settled", ["barge_in_suspected", "false_interruption"])


@pytest.mark.parametrize("name", ["taken back", "an empty interim", "punctuation", "an uncertain interim"])
def test_one_that_is_not_final_leaves_it_open_when_the_user_is_silent(name: str) -> None:
    case = talk()
    case.until(1.0)
    case.policy.speech_started()
    case.until(1.6)
    case.policy.speech_ended()
    NOTHING[name](case.policy)
    assert (case.policy.leaf, case.names()) == ("held.silent", ["barge_in_suspected"])
    case.until(2.2)
    assert case.names() == ["false_interruption"]


@KINDS
def test_it_is_no_speech_for_the_silence_in_which_nobody_speaks(nothing: Callable[[BargeIn], object]) -> None:
    case = Talk(seconds=0.1, silence_seconds=2.0)
    silences: list[float] = []
    case.policy.on("silence", lambda event: silences.append(event.time))
    for tenth in range(40):
        case.until(tenth / 10)
        nothing(case.policy)
    assert len(silences) == 1


def test_it_is_not_the_final_transcript_that_is_still_to_come() -> None:
    """Of a recognizer that sends empty finals, as streaming ones do: the answer is not dropped for its own question."""
    case = Talk(seconds=0.1)
    case.until(1.0)
    case.policy.speech_started()
    case.until(2.0)
    case.policy.speech_ended()
    case.say(3.0)
    case.until(2.7)
    case.policy.transcript("", final=True)
    case.policy.transcript("A table for two, please.", final=True)
    assert case.names() == []


def test_it_does_not_make_what_was_said_before_the_answer_new() -> None:
    case = Talk(seconds=0.1)
    case.until(1.0)
    case.policy.speech_started()
    case.policy.transcript("a table for two", final=False)
    case.policy.transcript("", final=False)
    case.say(3.0)
    case.policy.transcript("a table for two", final=False)
    assert case.names() == ["barge_in_suspected"]


@KINDS
def test_it_changes_nothing_while_the_agent_begins(nothing: Callable[[BargeIn], object]) -> None:
    case = talk()
    case.until(0.1)
    case.policy.speech_started()
    assert case.policy.leaf == "both.early"
    nothing(case.policy)
    assert case.policy.leaf == "both.early"


# Short words


async def test_a_sound_that_is_no_word_is_final_at_its_end() -> None:
    ears, got = Ears(None, None), Transcripts()
    words = ShortWords(got, ears, first_seconds=0.2, every_seconds=5.0)
    words.speech_started()
    hear(words, 0.3)
    await ears.answered(1)
    assert got.got == []
    words.speech_ended()
    await got.until(1)
    assert got.got == [("", True, 0.0)]


async def test_a_recognizer_that_raises_takes_back_what_was_delivered() -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    ears, got = Ears(YEAH, OSError("no ears"), OSError("none at all")), Transcripts()
    words = ShortWords(got, ears, first_seconds=0.2, every_seconds=0.2)
    words.speech_started()
    hear(words, 0.2)
    await got.until(1)
    hear(words, 0.2)
    await got.until(2)
    words.speech_ended()
    await got.until(3)
    await asyncio.sleep(0)
    assert got.got == [("yeah", False, 0.9), ("", False, 0.0), ("", True, 0.0)]
    assert [str(error) for error in reported] == ["no ears", "none at all"]


async def test_a_recognizer_that_does_not_answer_takes_back_what_was_delivered() -> None:
    ears, got = Ears(YEAH, YEAH), Transcripts()
    words = ShortWords(got, ears, first_seconds=0.2, every_seconds=0.2)
    words.speech_started()
    hear(words, 0.2)
    await got.until(1)
    ears.free.clear()
    hear(words, 0.4)
    assert got.got == [("yeah", False, 0.9)], "an answer may take as long as until the next one"
    hear(words, 0.1)
    assert got.got == [("yeah", False, 0.9), ("", False, 0.0)]
    hear(words, 1.0)
    assert len(got.got) == 2
    ears.free.set()
    await ears.answered(2)


async def test_what_becomes_too_long_for_a_word_takes_back_what_was_delivered() -> None:
    ears, got = Ears(YEAH), Transcripts()
    words = ShortWords(got, ears, first_seconds=0.9, every_seconds=5.0, max_seconds=1.0)
    words.speech_started()
    hear(words, 0.9)
    await got.until(1)
    hear(words, 0.2)
    assert got.got == [("yeah", False, 0.9), ("", False, 0.0)]
    hear(words, 5.0)
    words.speech_ended()
    await asyncio.sleep(0.02)
    assert len(got.got) == 2
    assert words._kept <= 1.2 * RATE


@pytest.mark.parametrize("then", [None, OSError("no ears"), Recognized("yeah", 0.1), Recognized("…", 0.9)])
async def test_a_sentence_that_began_like_a_backchannel_interrupts_by_its_length(then: Any) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    case = talk()
    ears = Ears(YEAH, *[then] * 20)
    words = ShortWords(case.policy.transcript, ears, first_seconds=0.2, every_seconds=0.4)
    case.until(1.0)
    case.policy.speech_started()
    words.speech_started()
    while case.clock.now < 2.5:
        words.samples_heard(np.ones(RATE // 50, np.int16))
        while words._busy:
            await ears.answered(len(ears.sounds))
            await asyncio.sleep(0)
        case.until(case.clock.now + 0.02)
    events = case.emitted
    assert [event.name for event in events] == ["barge_in_suspected", "barge_in"]
    assert events[-1].time == pytest.approx(2.2, abs=0.001)  # type: ignore[attr-defined]
