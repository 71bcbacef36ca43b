"""Barge-in: what a cough, a "mm-hm" and a sentence do to the agent's speech, exact in time and in samples."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController, State, Utterance
from playback.bargein import BARGE_IN, BargedIn, BargeIn, BargeInSuspected, FalseInterruption
from playback.bargein.backchannels import words_of
from playback.bargein.chart import MACHINE, TURNS, USER_TURN
from playback.bargein.policy import HOLD
from playback.events import Event, EventName, Resumed
from statecharts import IGNORED, IMPOSSIBLE, STAYS, state_of
from tests.bargein.clock import Clock

pytestmark = pytest.mark.portable

RATE = 8_000
FRAME = 160

GOLDEN = """
| leaf | speech_started | speech_ended | words | few_words | backchannel_so_far | backchannel | no_words_so_far | no_words | stop | agent_ready | agent_started | agent_stopped | gap_began | hold_released | guard_elapsed | pause_elapsed | pause_too_late | min_speech_elapsed | max_backchannel_elapsed | silence_timeout | quiet_elapsed | quiet_ended |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
| idle | user | . | . | . | . | . | . | . | stopped | agent.ready | agent.early | x | x | x | x | x | x | x | x | x | quiet | x |
| quiet | user | . | idle | idle | idle | idle | . | . | stopped | agent.ready | agent.early | x | x | x | x | x | x | x | x | x | x | idle |
| user | . | idle | . | . | . | . | . | . | stopped | waiting.speaking | waiting.speaking | x | x | x | x | x | x | x | x | x | x | x |
| agent.ready | waiting.speaking | . | idle | . | . | . | . | . | stopped | x | agent.early | idle | agent.gap | x | x | x | x | x | x | x | x | x |
| agent.early | both.early | . | idle | . | . | . | . | . | stopped | x | x | idle | agent.gap | x | agent.settled | x | x | x | x | x | x | x |
| agent.settled | lowered.speaking | . | idle | . | . | . | . | . | stopped | x | x | idle | agent.gap | x | x | x | x | x | x | x | x | x |
| agent.gap | waiting.speaking | . | idle | . | . | . | . | . | stopped | agent.ready | agent.early | idle | x | x | x | x | x | x | x | x | x | x |
| both.early | . | agent.early | x | x | x | x | . | . | stopped | x | x | user | waiting.speaking | x | lowered.speaking | x | x | x | x | x | x | x |
| both.released | . | agent.ready | user | . | . | . | . | . | stopped | x | x | user | x | x | x | x | x | x | x | x | x | x |
| lowered.speaking | . | lowered.silent | user | held.speaking | lowered.listening | lowered.listening | . | . | stopped | x | x | user | held.speaking | x | x | held.speaking | x | user | x | x | x | x |
| lowered.listening | . | lowered.silent | user | held.speaking | . | . | lowered.speaking | lowered.speaking | stopped | x | x | user | x | x | x | x | x | x | user | x | x | x |
| lowered.silent | lowered.speaking | . | idle | held.silent | . | agent.settled | . | agent.settled | stopped | x | x | idle | x | x | x | x | x | x | x | agent.settled | x | x |
| held.speaking | . | held.silent | user | . | lowered.listening | lowered.listening | . | . | stopped | x | x | user | x | both.released | x | x | x | user | x | x | x | x |
| held.silent | held.speaking | . | idle | . | lowered.silent | agent.settled | . | agent.settled | stopped | x | x | idle | x | agent.settled | x | x | lowered.silent | x | x | agent.settled | x | x |
| waiting.speaking | . | waiting.silent | user | . | waiting.listening | waiting.listening | . | . | stopped | x | x | user | x | both.released | x | x | x | user | x | x | x | x |
| waiting.listening | . | waiting.silent | user | waiting.speaking | . | . | waiting.speaking | waiting.speaking | stopped | x | x | user | x | both.released | x | x | x | x | user | x | x | x |
| waiting.silent | waiting.speaking | . | idle | . | . | agent.ready | . | agent.ready | stopped | x | x | idle | x | agent.ready | x | x | x | x | x | agent.ready | x | x |
| stopped | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . | . |
"""  # noqa: E501


def rounded(event: Any) -> Any:
    """An event, with its times to the microsecond."""
    return replace(event, time=round(event.time, 6), seconds=round(event.seconds, 6))


class Talk:
    """An agent and a user, on one clock: each frame that is read takes its time."""

    def __init__(self, *, seconds: float = 4.0, fades: Fades | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.controller = PlaybackController(AudioFormat(RATE), fades=fades or Fades(0, 0, 0, 0))
        options = {"pause_after_seconds": 0.0, "min_seconds": 0.7} | options
        if options["pause_after_seconds"] == 0.0:
            options = {"duck_db": 0.0} | options
        self.policy = BargeIn(self.controller, timer=self.clock, **options)
        self.emitted: list[Event] = []
        for name in ("barge_in_suspected", "barge_in", "false_interruption"):
            self.policy.on(name, lambda event: self.emitted.append(rounded(event)))
        self.resumed: list[Resumed] = []
        self.controller.on("resumed", self.resumed.append)
        self.said = self.utterance = self.say(seconds)

    def say(self, seconds: float, **options: Any) -> Utterance:
        utterance = self.controller.utterance(**options)
        utterance.push(np.arange(round(seconds * RATE)).astype(np.int16) | 1)
        utterance.end()
        return utterance

    def until(self, when: float) -> list[int]:
        """Read what is heard until then, and let the time pass."""
        heard: list[int] = []
        while self.clock.now + FRAME / RATE <= when + 1e-9:
            heard += self.controller.read(FRAME)[:, 0].tolist()
            self.clock.advance_to(round(self.clock.now + FRAME / RATE, 6))
        return heard

    @property
    def state(self) -> str:
        return self.controller.state

    def names(self) -> list[str]:
        """What was emitted so far; and forget it."""
        names = [event.name for event in self.emitted]
        self.emitted.clear()
        return names


def golden() -> dict[str, dict[str, str]]:
    header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in GOLDEN.strip().splitlines())
    return {leaf: dict(zip(header[1:], row, strict=True)) for leaf, *row in rows}


def test_the_table_is_the_golden_matrix() -> None:
    assert {leaf: dict(row) for leaf, row in BARGE_IN.cells.items()} == golden()
    assert BARGE_IN.initial == "idle"
    assert BARGE_IN.commands == (
        "speech_started",
        "speech_ended",
        "words",
        "few_words",
        "backchannel_so_far",
        "backchannel",
        "no_words_so_far",
        "no_words",
        "stop",
    )


def test_the_built_machine_is_the_table() -> None:
    for leaf, row in golden().items():
        for event, cell in row.items():
            session = MACHINE.session()
            session.leaf = leaf
            if cell != IMPOSSIBLE:
                assert MACHINE.fire(session, event) is (cell != IGNORED)
                assert session.leaf == (leaf if cell in (STAYS, IGNORED) else cell)


def test_every_suspicion_is_emitted_and_every_way_out_of_it() -> None:
    doubts = ("lowered", "held", "waiting")
    for edge in BARGE_IN.edges():
        into, out_of = (state_of(leaf) in doubts for leaf in (edge.target, edge.source))
        decided = edge.event in ("words", "min_speech_elapsed", "max_backchannel_elapsed")
        decided = decided and not edge.source.startswith("quiet")
        goes_on = out_of and not into and edge.event in ("backchannel", "no_words", "silence_timeout")
        assert ("barge_in_suspected" in edge.outputs) == (into and not out_of), edge
        assert ("barge_in" in edge.outputs) == decided, edge
        assert ("false_interruption" in edge.outputs) == goes_on, edge


def test_each_turn_of_the_user_has_a_beginning_and_an_end() -> None:
    """Whatever way is taken through the table, the two events take turns."""
    for edge in BARGE_IN.edges():
        if edge.event == "stop":
            continue
        names = [*TURNS.get((edge.source, edge.event), ())]
        had, has = (leaf in USER_TURN for leaf in (edge.source, edge.target))
        expected = {(False, True): ["user_turn_started"], (True, False): ["user_turn_ended"]}.get((had, has), [])
        assert names == expected or (names == ["user_turn_started", "user_turn_ended"] and not had and not has), edge


def test_a_cough_pauses_and_the_agent_goes_on() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    assert talk.state == "paused"
    assert not any(talk.until(1.2))
    talk.policy.speech_ended()
    assert talk.policy.leaf == "held.silent"
    assert talk.clock.waiting == [1.2 + 0.6]
    talk.until(1.8)
    assert talk.state == "speaking"
    assert talk.until(1.82)[0] == RATE + 1  # the very next sample
    assert talk.emitted == [BargeInSuspected(RATE, 1.0, 0.0), FalseInterruption(round(1.8 * RATE), 1.8, 0.8)]
    assert talk.policy.leaf == "agent.settled"
    assert not talk.clock.waiting


def test_speech_that_lasts_interrupts() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.until(1.68)
    assert talk.state == "paused"
    talk.until(1.7)
    assert talk.emitted[-1] == BargedIn(round(1.7 * RATE), 1.7, 0.7, None)
    assert talk.state == "interrupted"
    assert talk.utterance.report is not None
    assert talk.utterance.report.played == RATE
    assert talk.policy.leaf == "user"
    talk.policy.speech_ended()
    assert talk.policy.leaf == "idle"
    assert not talk.clock.waiting


def test_each_stretch_of_speech_counts_by_itself() -> None:
    talk = Talk(seconds=9)
    talk.until(1.0)
    for start in (1.0, 2.0, 3.0):
        talk.policy.speech_started()
        talk.until(start + 0.5)
        talk.policy.speech_ended()
        talk.until(start + 1.0)  # less than it takes to be over
    assert talk.names() == ["barge_in_suspected"]
    talk.until(4.1)
    assert talk.names() == ["false_interruption"]


def test_enough_words_interrupt_at_once() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.until(1.2)
    talk.policy.transcript("Wait", final=False)
    assert talk.state == "paused"
    talk.policy.transcript("Wait a", final=False)
    assert talk.emitted[-1] == BargedIn(round(1.2 * RATE), 1.2, 0.2, "Wait a")
    assert talk.state == "interrupted"


@pytest.mark.parametrize("text", ["Stop.", "No", "Wait", "Halt.", "да"])
@pytest.mark.parametrize("heard", ["speaking", "silent", "by recognition alone"])
def test_a_final_word_interrupts_whoever_hears_it(text: str, heard: str) -> None:
    talk = Talk()
    talk.until(1.0)
    if heard != "by recognition alone":
        talk.policy.speech_started()
    talk.until(1.3)
    if heard == "silent":
        talk.policy.speech_ended()
    talk.policy.transcript(text, final=False)
    assert "barge_in" not in talk.names()
    talk.policy.transcript(text, final=True)
    assert talk.names() == ["barge_in"]
    assert talk.state == "interrupted"


def test_words_after_the_speech_still_interrupt() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.until(1.3)
    talk.policy.speech_ended()
    talk.until(1.5)
    talk.policy.transcript("no no")
    assert talk.names() == ["barge_in_suspected", "barge_in"]
    assert talk.policy.leaf == "idle"


def test_words_alone_will_do_where_nothing_else_hears_the_user() -> None:
    talk = Talk()
    talk.until(0.4)
    talk.policy.transcript("old words of the user's own turn")
    assert talk.names() == []
    talk.until(1.0)
    talk.policy.transcript("stop that")
    assert talk.emitted == [BargedIn(RATE, 1.0, 0.0, "stop that")]


@pytest.mark.parametrize("text", ["Mm-hm.", "Yes", "uh huh, right", "OK! I see", "MMHM yeah yeah"])
def test_a_backchannel_lets_the_agent_go_on_at_once(text: str) -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.until(1.3)
    talk.policy.transcript(text, final=True)
    talk.policy.speech_ended()
    talk.policy.transcript(text, final=False)
    assert talk.names() == ["barge_in_suspected"]
    talk.policy.transcript(text, final=True)
    assert talk.names() == ["false_interruption"]
    assert talk.state == "speaking"


@pytest.mark.parametrize("text", ["yes but", "see I", "hm no", "okay okay stop"])
def test_more_than_a_backchannel_is_meant(text: str) -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.transcript(text, final=False)
    assert talk.names() == ["barge_in_suspected", "barge_in"]


@pytest.mark.parametrize("text", ["oh I", "yeah uh", "okay, go", "mm"])
def test_what_may_become_a_backchannel_is_waited_for(text: str) -> None:
    talk = Talk(min_words=1)
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.transcript(text, final=False)
    assert talk.names() == ["barge_in_suspected"]
    talk.policy.transcript(f"{text} no", final=False)
    assert talk.names() == ["barge_in"]


def test_what_has_not_become_a_backchannel_is_none() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.transcript("oh I", final=True)
    assert talk.names() == ["barge_in_suspected", "barge_in"]


def test_backchannels_may_begin_like_others() -> None:
    talk = Talk(backchannels=["a b", "a", "b c"])
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.transcript("A b c, a!", final=False)
    assert talk.names() == ["barge_in_suspected"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Mm-hm, don't!", ["mm", "hm", "don't"]),
        ("That’s 'it'.", ["that's", "it"]),
        ("रुको हाँ", ["रुको", "हाँ"]),
        ("หยุด", ["หยุด"]),
        ("u\u0308ber a_b", ["über", "a", "b"]),
        ("❤\ufe0f ... ' -", []),
    ],
)
def test_words_are_split_in_any_script(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_backchannels_are_the_user_s_to_choose() -> None:
    talk = Talk(backchannels=["jawohl", "ach so"], min_words=1)
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.transcript("Ach so, jawohl!", final=False)
    assert talk.names() == ["barge_in_suspected"]
    talk.policy.transcript("yes", final=False)
    assert talk.names() == ["barge_in"]


def test_it_goes_on_at_the_beginning_of_the_word_that_was_cut() -> None:
    talk = Talk(seconds=0.01)
    utterance = talk.controller.utterance(text="one two three")
    utterance.push(np.arange(4 * RATE).astype(np.int16) | 1)
    utterance.mark("one", at=0.1, until=0.9)
    utterance.mark("two", at=1.2, until=2.0)
    utterance.mark("three", at=2.2)
    utterance.mark(object(), at=2.3)  # no word
    utterance.end()
    for pause, rewound in ((1.0, 0.0), (1.6, 0.4), (3.0, 0.8)):
        while utterance.played < pause * RATE:
            talk.until(talk.clock.now + 0.02)
        over = (utterance.played - pause * RATE) / RATE
        talk.policy.speech_started()
        talk.policy.speech_ended()
        talk.until(talk.clock.now + 0.62)
        assert talk.resumed[-1].rewound / RATE == pytest.approx(rewound + over if rewound else 0, abs=1e-6)
    assert talk.names() == ["barge_in_suspected", "false_interruption"] * 3


def test_without_rewind_it_goes_on_where_it_was() -> None:
    talk = Talk(rewind=False)
    talk.utterance.mark("word", at=0.5)
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.speech_ended()
    talk.until(1.6)
    assert [event.rewound for event in talk.resumed] == [0]


def test_the_first_moments_are_ignored_unless_the_speech_lasts() -> None:
    talk = Talk(min_seconds=2.0)
    talk.until(0.1)
    talk.policy.speech_started()
    assert talk.policy.leaf == "both.early"
    talk.until(0.3)
    talk.policy.speech_ended()  # it was the agent's own voice
    assert talk.policy.leaf == "agent.early"
    talk.until(0.4)
    talk.policy.speech_started()
    talk.policy.transcript("more words than enough")
    talk.until(0.48)
    assert talk.names() == []
    talk.until(0.52)  # its first sample was read at 0 s, so that is when it began
    assert talk.emitted == [BargeInSuspected(round(0.5 * RATE), 0.5, 0.1)]


def test_the_guard_begins_anew_with_each_turn() -> None:
    talk = Talk(seconds=1.0)
    talk.until(2.0)
    assert talk.policy.leaf == "idle"
    talk.say(1.0)
    talk.until(2.1)
    assert talk.policy.leaf == "agent.early"
    talk.policy.speech_started()
    assert talk.names() == []


def test_a_following_utterance_is_the_same_turn() -> None:
    talk = Talk(seconds=1.0)
    talk.say(1.0)
    talk.until(1.02)
    assert talk.policy.leaf == "agent.settled"
    talk.policy.speech_started()
    assert talk.policy.leaf == "held.speaking"


def waiting(began: float, says: float, **options: Any) -> Talk:
    """A user who speaks from one time on, and an agent whose audio arrives at another one."""
    talk = Talk(seconds=0.01, **options)
    talk.until(began)
    talk.policy.speech_started()
    talk.until(says)
    talk.said = talk.say(4.0)
    return talk


@pytest.mark.parametrize("pause_after_seconds", [0.0, 0.35, inf])
def test_the_agent_does_not_begin_over_a_user_who_speaks(pause_after_seconds: float) -> None:
    talk = waiting(2.0, 2.4, pause_after_seconds=pause_after_seconds, min_seconds=1.2)
    assert (talk.policy.leaf, talk.state, talk.names()) == ("waiting.speaking", "paused", ["barge_in_suspected"])
    assert not any(talk.until(3.18))
    assert talk.state == "paused"
    talk.until(3.2)  # the user has spoken for 1.2 s
    assert talk.names() == ["barge_in"]
    assert talk.said.report is not None
    assert (talk.said.report.outcome, talk.said.played, talk.policy.leaf) == ("interrupted", 0, "user")


def test_after_a_cough_the_agent_begins_with_its_first_sample() -> None:
    talk = waiting(2.0, 2.2)
    talk.until(2.4)
    talk.policy.speech_ended()
    assert not any(talk.until(3.0))
    assert talk.names() == ["barge_in_suspected", "false_interruption"]
    assert talk.until(3.02)[0] == 1
    assert talk.policy.leaf == "agent.early"


def test_the_end_of_the_user_s_own_turn_does_not_drop_the_answer() -> None:
    """A detector reports the end late: an answer that is quicker than that was not talked over."""
    talk = waiting(2.0, 5.0)
    talk.until(5.3)
    talk.policy.speech_ended()
    talk.until(5.9)
    assert talk.names() == ["barge_in_suspected", "false_interruption"]
    talk.until(6.0)
    assert talk.said.played


def test_words_drop_an_answer_that_waits_but_not_those_that_it_answers() -> None:
    talk = Talk(seconds=0.01)
    talk.until(2.0)
    talk.policy.speech_started()
    talk.policy.transcript("What time is it?", final=False)
    talk.until(2.4)
    talk.say(4.0)
    talk.policy.transcript("What time is it?", final=True)
    assert talk.policy.leaf == "waiting.speaking"
    talk.policy.transcript("What time is it in Rome?", final=False)
    assert talk.names() == ["barge_in_suspected", "barge_in"]


@pytest.mark.parametrize("late", [0.2, 0.6, 1.5])
def test_the_transcript_of_the_user_s_own_turn_does_not_interrupt_the_answer(late: float) -> None:
    talk = Talk(seconds=0.01)
    talk.until(2.0)
    talk.policy.speech_started()
    talk.until(3.0)
    talk.policy.speech_ended()
    talk.until(3.1)
    talk.say(4.0)
    talk.until(3.0 + late)
    for final in (False, True):
        talk.policy.transcript("What time is it?", final=final)
    talk.until(3.0 + late + 0.6)
    assert (talk.names(), talk.state) == ([], "speaking")
    talk.policy.transcript("No, stop.", final=True)  # nothing is owed any more
    assert talk.names() == ["barge_in"]


def test_speech_that_began_before_the_agent_s_is_not_its_echo() -> None:
    talk = waiting(2.0, 2.1)
    talk.until(2.2)
    talk.policy.speech_ended()
    talk.until(3.0)
    assert talk.policy.leaf == "agent.early"
    talk.policy.transcript("Stop.")  # 0.8 s late
    assert talk.names() == ["barge_in_suspected", "false_interruption", "barge_in"]


@pytest.mark.parametrize("pause_after_seconds", [0.0, 0.35, inf])
def test_a_detector_that_is_late_can_say_that_the_user_was_first(pause_after_seconds: float) -> None:
    """What was handed out until then was heard; no more of it is, as if the detector had been in time."""
    talk = Talk(seconds=0.01, pause_after_seconds=pause_after_seconds)
    talk.until(2.0)
    talk.say(4.0)
    talk.until(2.06)
    assert talk.policy.leaf == "agent.early"
    talk.policy.speech_started(seconds_ago=0.1)
    assert (talk.policy.leaf, talk.state, talk.names()) == ("held.speaking", "paused", ["barge_in_suspected"])
    talk.policy.transcript("Stop.")
    assert talk.names() == ["barge_in"]


def test_an_answer_at_the_very_end_of_the_question_is_not_interrupted_by_its_transcript() -> None:
    talk = Talk(seconds=0.01)
    talk.policy.on("user_turn_ended", lambda _: talk.say(4.0))
    talk.until(2.0)
    talk.policy.speech_started()
    talk.until(3.0)
    talk.policy.speech_ended()
    for late in (0.2, 0.6, 1.2):
        talk.until(3.0 + late)
        talk.policy.transcript("What time is it?", final=late > 1)
    assert (talk.names(), talk.state) == ([], "speaking")


@pytest.mark.parametrize(("rests", "leaf"), [(0.5, "agent.settled"), (0.96, "agent.settled"), (1.04, "agent.early")])
def test_the_guard_does_not_begin_anew_within_a_second(rests: float, leaf: str) -> None:
    talk = Talk(seconds=1.0)
    talk.until(1.0 + rests)
    talk.say(1.0)
    talk.until(talk.clock.now + 0.04)
    assert talk.policy.leaf == leaf


def test_the_guard_does_not_begin_anew_between_the_utterances_of_a_turn() -> None:
    talk = Talk(seconds=0.01)
    talk.until(2.0)
    turn = talk.controller.turn()
    talk.say(1.0, turn=turn)
    talk.until(6.0)
    assert talk.policy.leaf == "agent.gap"
    talk.say(1.0, turn=turn)
    talk.until(6.04)
    assert talk.policy.leaf == "agent.settled"


@pytest.mark.parametrize("gap", ["between utterances", "within an utterance"])
def test_who_speaks_in_a_gap_of_the_agent_s_turn_is_not_talked_over(gap: str) -> None:
    talk = Talk(seconds=0.01)
    talk.until(2.0)
    turn = talk.controller.turn()
    utterance = turn.utterance()
    utterance.push(np.ones(RATE, np.int16))
    if gap == "between utterances":
        utterance.end()
    talk.until(4.0)
    assert talk.policy.leaf == "agent.gap"
    talk.policy.speech_started()
    assert talk.policy.leaf == "waiting.speaking"
    following = utterance if gap == "within an utterance" else turn.utterance()
    following.push(np.ones(RATE, np.int16))
    assert not any(talk.until(4.6))
    talk.policy.transcript("Are you there?")
    assert talk.names() == ["barge_in_suspected", "barge_in"]
    assert turn.report is not None


def test_a_barge_in_ends_the_whole_turn() -> None:
    talk = Talk(seconds=0.01)
    talk.until(2.0)
    turn = talk.controller.turn()
    said, waits, unused = (turn.utterance() for _ in range(3))
    said.push(np.ones(2 * RATE, np.int16))
    waits.push(np.ones(2 * RATE, np.int16))
    talk.until(3.0)
    talk.policy.transcript("Stop.")
    assert turn.report is not None
    assert turn.report.outcome == "interrupted"
    later = turn.utterance()
    for utterance in (said, waits, unused, later):
        assert utterance.push(np.ones(RATE, np.int16)) == 0
    assert not any(talk.until(4.0)[RATE // 2 :])


@pytest.mark.parametrize("pause_after_seconds", [0.0, 0.35, inf])
def test_backchannels_do_not_interrupt_by_their_length(pause_after_seconds: float) -> None:
    talk = Talk(seconds=9.0, pause_after_seconds=pause_after_seconds, min_seconds=1.2, guard_seconds=0.0)
    talk.until(1.0)
    talk.policy.speech_started()
    talk.until(1.2)
    talk.policy.transcript("mm", final=False)
    assert (talk.policy.leaf, talk.state) == ("lowered.listening", "speaking")
    talk.until(4.96)
    talk.policy.transcript("mm-hm, yeah, right", final=False)
    assert talk.names() == ["barge_in_suspected"]
    talk.until(5.0)
    assert talk.names() == ["barge_in"]


def test_three_backchannels_in_a_row_change_nothing() -> None:
    talk = Talk(seconds=9.0, pause_after_seconds=0.35, duck_db=15.0, min_seconds=1.2)
    talk.until(1.0)
    for start in (1.0, 2.0, 3.0):
        talk.policy.speech_started()
        talk.until(start + 0.3)
        talk.policy.transcript("mm", final=False)
        talk.until(start + 0.7)
        assert talk.state == "speaking"
        talk.policy.speech_ended()
        talk.policy.transcript("Mm-hm.", final=True)
        talk.until(start + 1.0)
    assert talk.names() == ["barge_in_suspected", "false_interruption"] * 3
    talk.until(9.1)
    assert talk.utterance.report is not None
    assert (talk.utterance.report.outcome, talk.resumed, talk.controller.gain_db) == ("completed", [], 0.0)


def test_a_backchannel_that_goes_on_as_something_else_interrupts() -> None:
    talk = Talk(pause_after_seconds=0.35)
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.transcript("okay", final=False)
    talk.policy.transcript("okay stop", final=False)
    assert talk.names() == ["barge_in_suspected", "barge_in"]


def test_the_agent_is_lowered_at_once_and_paused_when_the_speech_lasts() -> None:
    talk = Talk(pause_after_seconds=0.35, duck_db=12.0)
    talk.until(1.0)
    talk.policy.speech_started()
    assert (talk.state, talk.controller.gain_db) == ("speaking", -12.0)
    talk.until(1.34)
    assert talk.state == "speaking"
    talk.until(1.36)
    assert (talk.state, talk.policy.leaf) == ("paused", "held.speaking")
    talk.policy.speech_ended()
    talk.until(2.0)
    assert (talk.state, talk.controller.gain_db) == ("speaking", 0.0)


@pytest.mark.parametrize("pause_after_seconds", [0.35, inf])
def test_a_first_word_pauses_the_agent_where_anything_does(pause_after_seconds: float) -> None:
    talk = Talk(pause_after_seconds=pause_after_seconds)
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.transcript("Wait", final=False)
    assert talk.state == ("paused" if pause_after_seconds < inf else "speaking")
    talk.policy.speech_ended()
    talk.until(1.6)
    assert (talk.state, talk.names()) == ("speaking", ["barge_in_suspected", "false_interruption"])


def test_a_first_word_after_the_speech_pauses_the_agent_too() -> None:
    talk = Talk(pause_after_seconds=0.35)
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.transcript("okay", final=False)
    talk.policy.speech_ended()
    assert talk.policy.leaf == "lowered.silent"
    talk.policy.transcript("Halt", final=False)
    assert (talk.policy.leaf, talk.state) == ("held.silent", "paused")
    talk.policy.transcript("hm", final=False)
    assert (talk.policy.leaf, talk.state) == ("lowered.silent", "speaking")


def test_what_nobody_is_sure_of_is_a_backchannel() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.transcript("stop it now", final=False, certainty=0.3)
    talk.until(1.3)
    talk.policy.speech_ended()
    assert talk.names() == ["barge_in_suspected"]
    talk.policy.transcript("stop", final=True, certainty=0.3)
    assert talk.names() == ["false_interruption"]
    talk.policy.transcript("stop", final=True, certainty=0.5)
    assert talk.names() == ["barge_in"]


def test_ducking_goes_on_softer() -> None:
    talk = Talk(pause_after_seconds=inf, fades=Fades(0.06, 0, 0, 0))
    talk.controller.gain_db = -3.0
    talk.until(1.0)
    talk.policy.speech_started()
    assert (talk.controller.gain_db, talk.state) == (-18.0, "speaking")
    talk.until(1.3)
    talk.policy.speech_ended()
    talk.until(1.9)
    assert talk.names() == ["barge_in_suspected", "false_interruption"]
    assert talk.controller.gain_db == -3.0
    talk.policy.speech_started()
    talk.until(2.58)
    talk.controller.gain_db -= 1.0  # somebody else's change stays
    talk.until(2.6)
    assert talk.names() == ["barge_in_suspected", "barge_in"]
    assert talk.controller.gain_db == -19.0  # to the end of the fade-out
    talk.until(2.7)
    assert talk.controller.gain_db == -4.0


def test_a_fade_out_of_the_ducked_agent_does_not_swell() -> None:
    talk = Talk(pause_after_seconds=inf, fades=Fades(0.06, 0, 0, 0))
    talk.until(1.0)
    talk.policy.speech_started()
    loudest = max(talk.until(1.5)[RATE // 4 :])
    talk.controller.interrupt()
    assert (talk.policy.leaf, talk.controller.gain_db, talk.policy.lowered_db) == ("user", -15.0, 15.0)
    assert max(talk.until(1.6)) <= loudest
    assert (talk.controller.gain_db, talk.policy.lowered_db) == (0.0, 0.0)


def test_a_ducked_agent_that_comes_to_its_end_is_loud_again() -> None:
    talk = Talk(seconds=1.1, pause_after_seconds=inf, min_seconds=3.0)
    talk.until(1.0)
    talk.policy.speech_started()
    talk.until(1.2)
    assert (talk.policy.leaf, talk.controller.gain_db) == ("user", 0.0)
    assert talk.names() == ["barge_in_suspected"]


def test_what_may_not_be_interrupted_is_left_alone() -> None:
    talk = Talk(seconds=0.01)
    talk.until(1.0)
    talk.say(2.0, interruptible=False)
    talk.say(2.0)
    talk.until(2.0)
    talk.policy.speech_started()
    talk.policy.transcript("stop it now")
    talk.until(2.9)
    assert (talk.policy.leaf, talk.state, talk.names()) == ("user", "speaking", [])
    assert talk.names() == []
    heard = talk.until(3.1)  # the next one may be, and the user has spoken for long
    assert sum(1 for sample in heard if sample) <= FRAME * 6
    assert talk.names() == ["barge_in_suspected"]
    assert talk.policy.leaf == "waiting.speaking"


def test_a_pause_of_somebody_else_s_is_not_resumed() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.controller.pause()
    talk.policy.speech_started()
    talk.policy.speech_ended()
    talk.until(3.0)
    assert (talk.state, talk.names()) == ("paused", [])
    talk.controller.resume()
    assert talk.policy.leaf == "agent.settled"


def test_a_pause_of_the_application_outlasts_the_policy_s() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.controller.pause()
    assert not talk.controller.resume(by="nobody")
    assert [*talk.controller.holds] == [HOLD, "application"]
    talk.policy.speech_ended()
    talk.until(3.0)
    assert talk.names() == ["barge_in_suspected", "false_interruption"]
    assert (talk.state, [*talk.controller.holds], talk.policy.leaf) == ("paused", ["application"], "idle")
    talk.controller.resume()
    assert (talk.state, talk.policy.leaf) == ("speaking", "agent.settled")


def test_a_barge_in_ends_no_pause_of_the_application() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.controller.pause()
    talk.policy.transcript("no, wait")
    assert talk.names() == ["barge_in_suspected", "barge_in"]
    assert (talk.state, talk.controller.holds) == ("paused", ("application",))


def test_the_application_does_not_resume_what_the_policy_holds() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    assert not talk.controller.resume()
    assert (talk.state, talk.policy.leaf) == ("paused", "held.speaking")


def test_who_releases_the_policy_s_hold_has_the_last_word() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.controller.resume(by=HOLD)
    assert talk.policy.leaf == "both.released"
    talk.until(3.0)
    assert (talk.state, talk.names()) == ("speaking", ["barge_in_suspected"])
    talk.policy.transcript("I said stop")
    assert talk.names() == ["barge_in"]


@pytest.mark.parametrize("command", ["interrupt", "close"])
def test_what_ends_the_speech_ends_the_suspicion(command: str) -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    getattr(talk.controller, command)()
    talk.until(3.0)
    assert (talk.policy.leaf, talk.names()) == ("user", ["barge_in_suspected"])
    assert not talk.clock.waiting


def test_a_cancelled_utterance_leaves_no_pause_behind() -> None:
    talk = Talk()
    talk.until(1.0)
    following = talk.say(1.0)
    talk.policy.speech_started()
    talk.utterance.cancel()
    assert talk.policy.leaf == "held.speaking"  # what follows is held, too
    talk.policy.speech_ended()
    talk.until(1.7)
    assert following.played
    following.cancel()
    assert (talk.policy.leaf, talk.state) == ("idle", "idle")


def test_what_is_cancelled_while_it_is_held_leaves_no_pause_behind() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.utterance.cancel()
    assert (talk.policy.leaf, talk.state) == ("user", "idle")


def test_a_lock_comes_with_the_interrupt_if_it_is_asked_for() -> None:
    talk = Talk(lock=True)
    talk.until(1.0)
    talk.policy.speech_started()
    talk.until(1.7)
    assert talk.controller.input_locked


def test_listeners_see_what_was_done() -> None:
    talk = Talk()
    seen: list[State] = []
    talk.policy.on("barge_in_suspected", lambda _: seen.append(talk.controller.state))
    talk.policy.on("barge_in", lambda _: seen.append(talk.controller.state))
    talk.until(1.0)
    talk.policy.speech_started()
    talk.until(1.7)
    assert seen == [State.PAUSED, State.INTERRUPTED]


def test_a_listener_may_call_the_policy_back() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.controller.once("paused", lambda _: talk.policy.speech_ended())
    talk.policy.speech_started()
    assert (talk.policy.leaf, talk.clock.waiting) == ("held.silent", [1.6])
    talk.until(1.2)
    talk.policy.speech_started()
    assert talk.clock.waiting == [1.9]  # what was waited for before does not come any more
    talk.until(2.0)
    assert talk.names() == ["barge_in_suspected", "barge_in"]


def test_events_come_in_their_order_whoever_calls_back() -> None:
    talk = Talk(false_after_seconds=0.0)
    talk.until(1.0)
    talk.controller.once("paused", lambda _: talk.policy.speech_ended())
    talk.policy.speech_started()
    assert (talk.names(), talk.state) == (["barge_in_suspected", "false_interruption"], "speaking")


def test_what_a_listener_raises_is_an_error_of_the_controller_s() -> None:
    talk = Talk()
    errors: list[Any] = []
    talk.controller.on("error", errors.append)

    def fails(_: Event) -> None:
        raise LookupError("no such listener")

    talk.policy.on("barge_in_suspected", fails)
    talk.until(1.0)
    talk.policy.speech_started()
    assert talk.names() == ["barge_in_suspected"]
    assert [(type(error.exception), error.position) for error in errors] == [(LookupError, RATE)]
    assert "fails of 'barge_in_suspected'" in errors[0].source


@pytest.mark.parametrize("event", ["first_audio_byte", "state_changed"])
def test_a_policy_may_be_stopped_by_who_hears_an_event_first(event: EventName) -> None:
    clock = Clock()
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0))
    policies: list[BargeIn] = []
    controller.on(event, lambda _: policies[0].stop())
    policy = BargeIn(controller, timer=clock)
    policies.append(policy)
    controller.push(np.ones(4 * RATE, np.int16))
    controller.read(FRAME)
    assert (policy.leaf, clock.waiting) == ("stopped", [])
    clock.advance_to(1.0)
    policy.speech_started()
    assert controller.state is State.SPEAKING


def test_speech_that_sounds_before_the_policy_can_look_is_speech() -> None:
    """Another listener may read before the policy is notified that the agent has begun."""
    clock = Clock()
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0))
    controller.on("state_changed", lambda event: controller.read(FRAME) if event.old is State.IDLE else None)
    policy = BargeIn(controller, silence_seconds=1.0, timer=clock)
    clock.advance_to(1.0)
    assert policy.leaf == "quiet"
    controller.push(np.ones(4 * RATE, np.int16))
    assert policy.leaf == "agent.early"


def test_a_silence_is_emitted_once() -> None:
    talk = Talk(seconds=1.0, silence_seconds=2.0)
    silences: list[Any] = []
    talk.policy.on("silence", silences.append)
    talk.until(2.96)
    assert not silences
    talk.until(9.0)  # it began with the agent's last frame
    assert [rounded(event).seconds for event in silences] == [2.0]
    talk.policy.transcript("hello")  # by recognition alone
    talk.until(10.98)
    assert len(silences) == 1
    talk.until(11.02)
    assert len(silences) == 2
    talk.say(1.0, interruptible=False)
    talk.until(13.9)
    assert (len(silences), talk.policy.leaf) == (2, "idle")
    talk.until(14.1)
    assert len(silences) == 3


def test_latencies_are_those_of_what_was_heard() -> None:
    talk = Talk(seconds=0.01)
    events: list[Any] = []
    talk.until(1.0)
    for name in ("user_turn_started", "user_turn_ended", "agent_turn_started", "agent_turn_ended"):
        talk.policy.on(name, events.append)
    talk.policy.speech_started(seconds_ago=0.1)
    talk.until(2.0)
    talk.policy.speech_ended(seconds_ago=0.25)
    talk.until(2.5)
    turn = talk.controller.turn()
    talk.say(1.0, turn=turn)
    turn.end()
    talk.until(4.0)
    started, ended, began, over = events
    assert (started.name, round(started.time, 6), round(started.seconds, 6)) == ("user_turn_started", 1.0, 0.1)
    assert (ended.name, round(ended.time, 6), round(ended.seconds, 6)) == ("user_turn_ended", 2.0, 0.85)
    assert (began.turn, round(began.latency, 6)) == (turn, 0.75)
    assert (over.name, over.report) == ("agent_turn_ended", turn.report)


def test_a_policy_that_is_stopped_leaves_the_controller_alone() -> None:
    talk = Talk()
    talk.until(1.0)
    talk.policy.speech_started()
    talk.policy.stop()
    assert talk.state == "speaking"
    talk.policy.stop()
    talk.policy.speech_started()
    talk.until(3.0)
    assert talk.state == "speaking"
    assert not talk.clock.waiting
    assert talk.names() == ["barge_in_suspected"]


async def test_the_running_loop_is_its_clock() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    policy = BargeIn(controller, guard_seconds=0, min_seconds=0, false_after_seconds=0)
    controller.push(np.full(4 * FRAME, 1000, np.int16))
    controller.read(FRAME)
    policy.speech_started()
    assert controller.state is State.INTERRUPTED


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pause_after_seconds": -1}, ValueError, "pause_after_seconds is -1"),
        ({"pause_after_seconds": "0"}, TypeError, "pause_after_seconds is '0'"),
        ({"silence_seconds": float("nan")}, ValueError, "silence_seconds is nan"),
        ({"max_backchannel_seconds": inf}, ValueError, "max_backchannel_seconds is inf"),
        ({"min_certainty": 1.5}, ValueError, r"min_certainty is 1\.5"),
        ({"min_seconds": -1}, ValueError, "min_seconds is -1"),
        ({"false_after_seconds": float("nan")}, ValueError, "false_after_seconds is nan"),
        ({"guard_seconds": "1"}, TypeError, "guard_seconds is '1'"),
        ({"min_words": 0}, ValueError, "min_words is 0, expected 1 or more"),
        ({"min_words": 1.5}, TypeError, r"min_words is 1\.5"),
        ({"duck_db": -3}, ValueError, "duck_db is -3"),
        ({"backchannels": "yes"}, TypeError, "backchannels is 'yes', expected several strings"),
        ({"backchannels": ["yes", 1]}, TypeError, "one of backchannels is 1, expected str"),
    ],
)
def test_a_mistake_is_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        BargeIn(PlaybackController(), timer=Clock(), **options)


def test_no_loop_and_no_timer_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        BargeIn(PlaybackController())
    with pytest.raises(TypeError, match="controller is None"):
        BargeIn(None, timer=Clock())  # type: ignore[arg-type]
    policy = BargeIn(PlaybackController(), timer=Clock())
    with pytest.raises(TypeError, match="text is None"):
        policy.transcript(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no event 'paused', expected one of agent_turn_ended"):
        policy.on("paused", print)  # type: ignore[call-overload]
