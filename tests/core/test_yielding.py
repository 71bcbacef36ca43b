"""``interrupt(at="word")``: the word that sounds is finished, and nothing else; what can't be is cut at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Fades, Outcome, PlaybackController, Utterance
from playback.events import Interrupted, MarkReached, Silenced, UtteranceFinished
from playback.words import Word
from tests.signals import CUTS, FRAME, RATE, Heard, ramp

WORDS = (Word("one", 0.0, 0.1), Word("two", 0.15, 0.3), Word("three", 0.3, None), Word("four", 0.5, 0.9))
"""A gap behind the first, none behind the second, the third without an end, the last one 400 ms long."""
TEXT = "One two, three four!"
LONG = RATE  # one second of audio


def at(seconds: float) -> int:
    return round(seconds * RATE)


class Case(Heard):
    """An utterance with word times that sounds, and the events since."""

    def __init__(
        self,
        seconds: float,
        *,
        words: tuple[Word, ...] = WORDS,
        ended: bool = True,
        samples: int = LONG,
        controller: PlaybackController | None = None,
        **options: Any,
    ) -> None:
        super().__init__(controller)
        self.utterance = self.controller.utterance(text=TEXT, **options)
        self.utterance.mark_words(words)
        self.utterance.push(ramp(samples))
        if ended:
            self.utterance.end()
        self.read(at(seconds))
        self.events.clear()

    @property
    def is_over(self) -> bool:
        return self.utterance.report is not None

    @property
    def conserved(self) -> bool:
        utterance = self.utterance
        left = utterance.accepted - utterance.played - utterance.discarded
        return left == self.controller.buffered

    def finish(self) -> list[int]:
        """Read until it is over, and as much again."""
        return self.read(LONG)


def outcome(utterance: Utterance) -> Outcome | None:
    return None if utterance.report is None else utterance.report.outcome


class TestTheWord:
    @pytest.mark.parametrize(("now", "end"), [(0.05, 0.1), (0.2, 0.3), (0.35, 0.5), (0.6, 0.9)])
    def test_is_finished_to_the_sample_and_nothing_follows(self, now: float, end: float) -> None:
        case = Case(now)
        assert case.controller.interrupt(at="word")
        assert not case.is_over
        assert case.utterance.is_yielding
        assert case.conserved
        assert case.finish() == [*ramp(LONG)[at(now) : at(end)].tolist(), *[0] * (LONG - at(end) + at(now))]
        report = case.utterance.report
        assert report is not None
        assert (report.outcome, report.played, report.discarded) == ("interrupted", at(end), LONG - at(end))
        assert case.conserved

    def test_was_heard(self) -> None:
        yielding, cut = Case(0.2), Case(0.3)
        yielding.controller.interrupt(at="word")
        yielding.finish()
        cut.controller.interrupt()  # just behind the word
        assert yielding.utterance.report is not None
        assert cut.utterance.report is not None
        assert yielding.utterance.report.heard == cut.utterance.report.heard == "One two"

    def test_that_is_the_last_one_leaves_only_silence_out(self) -> None:
        case = Case(0.6)
        case.controller.interrupt(at="word")
        case.finish()
        assert case.utterance.report is not None
        assert (case.utterance.report.outcome, case.utterance.report.heard) == ("interrupted", TEXT)

    def test_fades_out_in_what_follows_it(self) -> None:
        case = Case(0.2, controller=PlaybackController(AudioFormat(RATE)))
        case.controller.interrupt(at="word")
        heard = case.finish()
        word, fade = at(0.1), at(0.06)
        assert heard[:word] == ramp(LONG)[at(0.2) : at(0.3)].tolist()
        tail = ramp(LONG)[at(0.3) : at(0.3) + fade] * (1 - np.arange(fade) / fade)
        assert np.abs(np.array(heard[word : word + fade]) - tail).max() <= 1
        assert not any(heard[word + fade :])
        assert case.utterance.played == at(0.3), "a fade-out counts as nothing"

    def test_is_not_finished_louder_or_softer_in_stereo(self) -> None:
        controller = PlaybackController(AudioFormat(48_000, 2), fades=CUTS)
        utterance = controller.utterance(format=AudioFormat(RATE))
        utterance.mark_words(WORDS)
        utterance.push(ramp(LONG))
        expected = PlaybackController(AudioFormat(48_000, 2), fades=CUTS)
        other = expected.utterance(format=AudioFormat(RATE))
        other.push(ramp(LONG))
        for each in (controller, expected):
            each.read(9_600)
        controller.interrupt(at="word")  # the resampler of an open utterance holds some samples back
        heard, wanted = controller.read(48_000), expected.read(4_800)
        assert np.abs(heard[:4_800].astype(int) - wanted).max() <= 1
        assert not heard[4_800:].any()
        assert (utterance.played, utterance.accepted) == (14_400, 48_000)

    def test_is_heard_within_one_read_with_what_comes_next(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        following = case.controller.utterance()
        assert following.push(ramp(100, 30_000)) == 100
        following.end()
        heard = case.read(at(0.1) + 200)
        assert heard == [*ramp(LONG)[at(0.2) : at(0.3)].tolist(), *range(30_000, 30_100), *[0] * 100]
        assert outcome(following) == "completed"

    def test_that_fades_out_above_what_comes_next_makes_no_hole_in_it(self) -> None:
        case = Case(0.2, controller=PlaybackController(AudioFormat(RATE)), samples=LONG)
        case.controller.interrupt(at="word")
        following = case.controller.utterance()
        following.push(np.full(LONG, 5_000, np.int16))
        heard = np.array(case.finish())[at(0.1) :]
        tail = ramp(LONG)[at(0.3) : at(0.36)] * (1 - np.arange(at(0.06)) / at(0.06))
        assert np.abs(heard[: at(0.06)] - 5_000 - tail).max() <= 1
        assert set(heard[at(0.06) : at(0.8)]) == {5_000}


class TestAtOnce:
    """Where there is no word to finish, or where it can't be finished, at="word" is an interrupt like any other."""

    def check(self, case: Case) -> None:
        assert case.controller.interrupt(at="word")
        assert outcome(case.utterance) == "interrupted"
        assert not case.utterance.is_yielding
        assert case.controller.state in ("interrupted", "idle")
        assert not any(case.finish())

    def test_without_word_times(self) -> None:
        self.check(Case(0.2, words=()))

    def test_between_two_words(self) -> None:
        self.check(Case(0.12))

    @pytest.mark.parametrize("seconds", [0.1, 0.15, 0.3])
    def test_where_a_word_ends_or_begins(self, seconds: float) -> None:
        self.check(Case(seconds))

    def test_behind_the_last_word(self) -> None:
        self.check(Case(0.95))

    def test_before_the_first_sample(self) -> None:
        self.check(Case(0.0))

    def test_where_its_end_is_more_than_400_ms_away(self) -> None:
        words = (Word("supercalifragilistic", 0.0, 0.8),)
        self.check(Case(0.39, words=words))
        case = Case(0.4, words=words)
        case.controller.interrupt(at="word")
        assert not case.is_over

    def test_where_its_audio_has_not_arrived(self) -> None:
        self.check(Case(0.2, samples=at(0.28), ended=False))

    def test_where_its_end_is_not_known_yet(self) -> None:
        self.check(Case(0.35, words=WORDS[:3], ended=False))

    def test_in_an_underrun(self) -> None:
        case = Case(0.2, samples=at(0.2), ended=False)
        case.read()
        case.utterance.push(ramp(10))
        self.check(case)

    @pytest.mark.parametrize("reads", [0, 1])
    def test_in_a_pause(self, reads: int) -> None:
        case = Case(0.2)
        case.controller.pause()
        for _ in range(reads):
            case.read()
        self.check(case)

    def test_after_a_pause_that_was_heard_until_it_sounds_again(self) -> None:
        case = Case(0.2)
        case.controller.pause(), case.read(), case.controller.resume()
        self.check(case)

    def test_where_the_rest_of_the_word_turns_out_to_be_no_audio(self) -> None:
        controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
        utterance = controller.utterance()
        utterance.mark_words([Word("one", 1.0, 1.3)])
        audio = np.full(2 * RATE, 0.1, np.float32)
        audio[at(1.2) :] = 1_000.0  # found when it is converted
        utterance.push(audio)
        controller.read(at(1.05))
        controller.interrupt(at="word")
        assert outcome(utterance) == "interrupted"
        assert not controller.read(RATE).any()


class TestTheRest:
    def test_of_what_waits_is_dropped_at_once(self) -> None:
        case = Case(0.2)
        waiting, unplaced = case.controller.utterance(), case.controller.utterance()
        waiting.push(ramp(100))
        unplaced.mark("word")
        stale = case.controller.utterance()
        case.controller.interrupt(at="word")
        assert [outcome(each) for each in (waiting, unplaced)] == ["interrupted", "interrupted"]
        assert stale.push(ramp(100)) == 0
        assert case.utterance.push(ramp(100)) == 0
        assert case.controller.buffered == at(0.1)

    def test_is_refused_though_the_word_sounds(self) -> None:
        case = Case(0.2, ended=False)
        case.controller.interrupt(at="word")
        assert case.utterance.ended
        assert case.utterance.push(ramp(100)) == 0
        case.finish()
        assert case.utterance.refused == 100
        assert outcome(case.utterance) == "interrupted"

    def test_of_an_open_turn_is_refused_and_the_turn_is_interrupted(self) -> None:
        case = Heard()
        turn = case.controller.turn()
        first, second = turn.utterance(), turn.utterance()
        first.mark_words(WORDS)
        first.push(ramp(LONG)), first.end(), second.push(ramp(LONG))
        case.read(at(0.2))
        case.controller.interrupt(at="word")
        assert not turn.is_open
        assert outcome(turn.utterance()) is None
        assert turn.utterance().push(ramp(100)) == 0
        assert turn.report is None
        case.read(at(0.1))
        assert turn.report is not None
        assert turn.report.outcome == "interrupted"
        assert (turn.report.played, turn.report.discarded) == (at(0.3), 2 * LONG - at(0.3))

    def test_of_a_stream_without_a_handle_begins_with_a_whole_sample(self) -> None:
        case = Heard()
        case.controller.push(ramp(at(0.3)))
        case.controller.head.mark_words([Word("one", 0.0, 0.3)])  # type: ignore[union-attr]
        case.controller.push(b"\x07")
        case.read(at(0.2))
        case.controller.interrupt(at="word")
        case.controller.push(ramp(100, 500))
        assert case.read(at(0.1) + 100)[-100:] == list(range(500, 600))

    def test_is_not_there_in_the_last_word_of_what_has_ended(self) -> None:
        case = Case(0.35, words=WORDS[:3], samples=at(0.5))
        waiting = case.controller.utterance()
        waiting.push(ramp(100))
        assert case.controller.interrupt(at="word")
        assert case.utterance.is_yielding
        case.events.clear()
        case.finish()
        assert case.emitted("last_audio_byte", "utterance_finished", "silenced") == [
            "last_audio_byte",
            "utterance_finished",
            "silenced",
        ]
        assert (outcome(case.utterance), outcome(waiting)) == ("completed", "interrupted")

    def test_of_what_had_failed_is_interrupted(self) -> None:
        case = Case(0.2, ended=False)
        case.utterance.fail(LookupError("broken"))
        case.controller.interrupt(at="word")
        case.finish()
        assert outcome(case.utterance) == "interrupted"

    def test_is_locked_in_the_same_step(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word", lock=True)
        assert case.controller.input_locked
        assert case.finish()[: at(0.1)] == ramp(LONG)[at(0.2) : at(0.3)].tolist()
        assert case.controller.state == "input_locked"

    def test_is_spared_where_it_may_not_be_interrupted(self) -> None:
        case = Case(0.2, interruptible=False)
        case.controller.interrupt(at="word")
        assert not case.utterance.is_yielding
        case.finish()
        assert outcome(case.utterance) == "completed"

    def test_is_not_spared_by_force(self) -> None:
        case = Case(0.2, interruptible=False)
        case.controller.interrupt(at="word", force=True)
        case.finish()
        assert case.utterance.played == at(0.3)

    def test_is_not_changed_by_words_that_are_marked_late(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        assert case.utterance.mark("half", at=0.22, until=0.25)
        case.finish()
        assert case.utterance.played == at(0.3)


class TestTheEvents:
    def test_say_what_was_dropped_when_the_word_was_over_and_when_it_is_silent(self) -> None:
        case = Case(0.2, controller=PlaybackController(AudioFormat(RATE)))
        waiting = case.controller.utterance()
        waiting.push(ramp(100))
        case.events.clear()
        case.controller.interrupt(at="word")
        assert [event.name for event in case.events] == ["utterance_finished", "turn_finished", "interrupted",
                                                         "state_changed"]  # fmt: skip
        dropped = case.events[2]
        assert isinstance(dropped, Interrupted)
        assert dropped.discarded == 100 + LONG - at(0.3)
        assert case.controller.leaf == "speaking.draining"
        case.events.clear()
        for _ in range(20):
            case.read()
        emitted = [event for event in case.events if event.name not in ("mark_reached", "turn_finished")]
        assert [event.name for event in emitted] == ["utterance_finished", "silenced", "state_changed"]
        finished, silenced, _ = emitted
        assert isinstance(finished, UtteranceFinished)
        assert isinstance(silenced, Silenced)
        assert (finished.position, silenced.position) == (at(0.3), at(0.36))

    def test_of_an_open_utterance_have_the_end_of_its_input(self) -> None:
        case = Case(0.2, ended=False)
        case.controller.interrupt(at="word")
        assert "last_audio_byte" not in case.emitted()
        assert case.controller.leaf == "speaking.draining"

    def test_emits_silence_at_the_end_of_the_word_without_a_fade(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        case.finish()
        assert [event.position for event in case.events if isinstance(event, Silenced)] == [at(0.3)]

    def test_of_marks_end_with_the_word(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        case.finish()
        reached = [event.payload for event in case.events if isinstance(event, MarkReached)]
        assert reached == ["three"], "all samples before it were played"


class TestASecondInterrupt:
    @pytest.mark.parametrize("how", ["now", "word"])
    def test_cuts_at_once(self, how: Any) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        case.read(100)
        case.events.clear()
        assert case.controller.interrupt(at=how)
        assert case.emitted("utterance_finished", "interrupted") == ["utterance_finished", "interrupted"]
        assert case.utterance.played == at(0.2) + 100
        assert case.conserved
        assert not any(case.finish())

    def test_fades_out_as_long_as_any(self) -> None:
        case = Case(0.2, controller=PlaybackController(AudioFormat(RATE)))
        case.controller.interrupt(at="word")
        case.read(at(0.1) - 2)  # two samples of the word are left
        case.controller.interrupt()
        heard = np.array(case.finish())
        fade = at(0.06)
        first = at(0.3) - 2
        tail = ramp(LONG)[first : first + fade] * (1 - np.arange(fade) / fade)
        assert np.abs(heard[:fade] - tail).max() <= 1
        assert case.emitted("silenced") == ["silenced"]

    @pytest.mark.parametrize("whole", [False, True])
    def test_may_be_a_cancel(self, whole: bool) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        case.events.clear()
        assert (case.utterance.turn if whole else case.utterance).cancel()
        assert not any(case.finish())
        assert case.emitted("utterance_finished", "silenced") == ["utterance_finished", "silenced"]

    def test_is_none_for_the_next_answer(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        case.finish()
        following = case.controller.utterance()
        following.mark_words(WORDS)
        following.push(ramp(LONG))
        case.read(at(0.2))
        case.controller.interrupt(at="word")
        case.finish()
        assert following.played == at(0.3)


class TestAPauseMeanwhile:
    def test_holds_the_word_back_and_loses_nothing(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        case.read(100)
        case.controller.pause()
        assert not any(case.read(LONG))
        case.controller.resume()
        assert case.finish()[: at(0.1)] == [*ramp(LONG)[at(0.2) + 100 : at(0.3)].tolist(), *[0] * 100]

    def test_may_rewind_within_what_was_kept(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        case.read(100)
        case.controller.pause(), case.read(), case.controller.resume(to_word=True)
        assert case.finish()[: at(0.15)] == ramp(LONG)[at(0.15) : at(0.3)].tolist()
        assert case.utterance.played == at(0.3)

    def test_that_an_interrupt_ends_makes_no_sound(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        case.controller.pause(), case.read()
        case.controller.interrupt()
        assert not any(case.finish())

    def test_ends_with_a_close(self) -> None:
        case = Case(0.2)
        case.controller.interrupt(at="word")
        case.controller.close()
        assert outcome(case.utterance) == "closed"
        assert not any(case.finish())


def test_a_rewound_word_is_finished_and_played_counts_each_sample_once() -> None:
    case = Case(0.45)
    case.controller.pause(), case.controller.resume(0.25)  # back in the second word; nobody has read meanwhile
    case.controller.interrupt(at="word")
    assert case.conserved
    case.finish()
    assert case.utterance.played == at(0.45)
    assert case.conserved


def test_a_long_answer_costs_no_more_than_a_short_one() -> None:
    """What is dropped is neither copied nor walked through."""
    controller = PlaybackController(AudioFormat(RATE))
    utterance = controller.utterance()
    utterance.mark_words(WORDS)
    for _ in range(2_000):
        utterance.push(ramp(FRAME))
    controller.read(at(0.2))
    controller.interrupt(at="word")
    buffer = utterance._clip.buffer
    assert len(buffer._chunks) <= 1
    assert not controller._transitions.queue.is_clean, "it is freed bit by bit, with the reads"


def test_an_unknown_place_is_an_error_that_names_it() -> None:
    case = Case(0.2)
    with pytest.raises(ValueError, match=r"at is 'sentence', expected 'now' or 'word'"):
        case.controller.interrupt(at="sentence")  # type: ignore[arg-type]
    assert not case.utterance.is_yielding
    assert case.controller.fades == Fades(0, 0, 0, 0)
