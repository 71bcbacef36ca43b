"""Words that come when the utterance is over, or that correct earlier ones."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import time
from typing import Any

import pytest

from playback import PlaybackController, Utterance
from playback.events import MarkReached
from playback.report import UtteranceReport
from playback.tracing import Trace
from playback.tracing.replay import replay
from playback.words import Word
from tests.signals import CUTS, FRAME, RATE, Heard, ramp
from tests.speaking.playing import until

TEXT = "Your table is booked for eight."
WORDS = [Word(word, number * 0.02, number * 0.02 + 0.02) for number, word in enumerate(TEXT.split())]
"""One word in each frame."""
LATE_FRAMES = 15
"""What is read while a report takes late words: 0.3 s."""


def cut(frames: int = 2, text: str | None = TEXT, words: list[Word] | None = None, **options: Any) -> Heard:
    """A call in which an utterance was interrupted after so many of its ten frames."""
    call = Heard(PlaybackController(Heard().controller.format, fades=CUTS, **options))
    utterance = call.controller.utterance(text=text)
    utterance.mark_words(words or [])
    utterance.push(ramp(10 * FRAME))
    utterance.end()
    for _ in range(frames):
        call.read()
    call.controller.interrupt()
    return call


def utterance_of(call: Heard) -> Utterance:
    return next(event.utterance for event in call.events if event.name == "utterance_finished")  # type: ignore[attr-defined,no-any-return]


def report_of(call: Heard) -> UtteranceReport:
    report = utterance_of(call).report
    assert report is not None
    return report


class TestLate:
    def test_words_that_come_after_an_interruption_count(self) -> None:
        call = cut()
        report = report_of(call)
        assert not report.final
        assert utterance_of(call).mark_words(WORDS) == len(WORDS)
        assert (report.heard, report.heard_from, report.final) == ("Your table", "marks", False)

    def test_they_come_by_pieces(self) -> None:
        call = cut(5, words=WORDS[:2])
        report = report_of(call)
        assert report.heard == "Your table"
        for number, word in enumerate(WORDS[2:], 3):
            utterance_of(call).mark_words([word])
            assert report.heard == " ".join(TEXT.split()[: min(number, 5)])

    def test_a_mark_counts_as_well(self) -> None:
        call = cut()
        for word in WORDS:
            assert not utterance_of(call).mark(word.text, word.start, word.end), "it will never be reached"
        assert report_of(call).heard == "Your table"

    def test_a_word_of_an_utterance_that_completed_without_a_text(self) -> None:
        call = cut(10, text=None, words=WORDS[:5])
        assert report_of(call).outcome == "completed"
        utterance_of(call).mark_words(WORDS[5:])
        assert report_of(call).heard == TEXT

    def test_no_event_follows_the_end(self) -> None:
        call = cut(words=WORDS[:1])
        utterance = utterance_of(call)
        call.events.clear()
        utterance.mark_words(WORDS)
        for _ in range(10):
            call.read()
        assert not [event for event in call.events if isinstance(event, MarkReached)]

    def test_reports_of_the_turn_follow(self) -> None:
        call = cut()
        turn = utterance_of(call).turn.report
        assert not turn.final
        utterance_of(call).mark_words(WORDS)
        assert (turn.heard, turn.heard_from) == ("Your table", "marks")
        for _ in range(LATE_FRAMES):
            call.read()
        assert turn.final

    def test_only_until_the_report_is_final(self) -> None:
        call = cut(words=WORDS[:1])
        for _ in range(LATE_FRAMES - 1):
            call.read()
        assert not report_of(call).final
        call.read()
        assert report_of(call).final
        assert utterance_of(call).mark_words(WORDS) == 0
        utterance_of(call).mark("table", 0.02, 0.04)
        assert report_of(call).heard == "Your"

    def test_the_limit_is_the_controllers(self) -> None:
        assert report_of(cut(late_words_seconds=0.0)).final
        call = cut(late_words_seconds=0.04)
        call.read()
        assert not report_of(call).final
        call.read()
        assert report_of(call).final

    @pytest.mark.parametrize("frames", [0, 10])
    def test_what_is_certain_is_final_at_once(self, frames: int) -> None:
        call = cut(frames)
        assert report_of(call).final
        assert utterance_of(call).mark_words(WORDS) == 0
        assert report_of(call).heard == ("" if not frames else TEXT)

    def test_a_controller_that_is_gone_leaves_the_report_final(self) -> None:
        call = cut(words=WORDS)
        report = report_of(call)
        del call
        gc.collect()
        assert (report.final, report.heard) == (True, "Your table")

    def test_a_copy_follows_and_what_is_pickled_does_not(self) -> None:
        call = cut()
        report = report_of(call)
        copied, pickled = copy.deepcopy(report), pickle.loads(pickle.dumps(report))
        utterance_of(call).mark_words(WORDS)
        assert copied.heard == report.heard == "Your table"
        assert (pickled.heard, pickled.final) != (report.heard, report.final)

    def test_an_utterance_that_never_sounded_takes_none(self) -> None:
        controller = PlaybackController()
        controller.close()
        utterance = controller.utterance()
        assert not utterance.mark("one")
        assert utterance.mark_words(WORDS) == 0
        assert utterance.report is not None
        assert (utterance.report.final, utterance.report.heard) == (True, None)

    @pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf"), "0.3", None])
    def test_a_limit_that_can_not_be(self, seconds: Any) -> None:
        with pytest.raises((TypeError, ValueError), match=r"late_words_seconds is .*, expected"):
            PlaybackController(late_words_seconds=seconds)


class TestCorrected:
    def shifted(self, seconds: float, words: list[Word]) -> list[Word]:
        return [Word(text, start + seconds, None if end is None else end + seconds) for text, start, end in words]

    @pytest.mark.parametrize("ends", [True, False])
    @pytest.mark.parametrize("shift", [-0.009, 0.0, 0.004, 0.009])
    def test_a_batch_replaces_the_words_that_it_overlaps(self, shift: float, ends: bool) -> None:
        words = WORDS if ends else [Word(word.text, word.start) for word in WORDS]
        call = cut(5, words=words)
        utterance = utterance_of(call)
        utterance.mark_words(self.shifted(max(shift, 0), words[:1]) + self.shifted(shift, words[1:]))
        report = report_of(call)
        assert [mark.payload for mark in report.marks] == TEXT.split()
        assert report.heard == " ".join(TEXT.split()[: 5 if shift <= 0 else 4])

    def test_before_the_end_as_well(self) -> None:
        call = Heard()
        utterance = call.controller.utterance(text=TEXT)
        utterance.mark_words(WORDS)
        utterance.mark_words([Word(word.text, 2 * word.start, 2 * word.start + 0.04) for word in WORDS])
        utterance.push(ramp(20 * FRAME))
        for _ in range(4):
            call.read()
        call.controller.interrupt()
        assert report_of(call).heard == "Your table"

    def test_a_word_is_reported_once_however_often_it_is_corrected(self) -> None:
        call = Heard()
        utterance = call.controller.utterance(text=TEXT)
        utterance.mark_words(WORDS)
        utterance.push(ramp(10 * FRAME))
        for shift in (0.0, 0.002, -0.002, 0.001):
            call.read()
            utterance.mark_words(self.shifted(0.003 + shift, WORDS))
        for _ in range(6):
            call.read()
        reached = [event.payload for event in call.events if isinstance(event, MarkReached)]
        assert reached == TEXT.split()

    @pytest.mark.parametrize("rounding", [0.0, 0.001, 0.003])
    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_batches_that_follow_each_other_correct_nothing(self, rounding: float, size: int) -> None:
        utterance = PlaybackController().utterance(text="no no no no no no no no no")
        words = [Word("no", max(0.0, number * 0.02 - rounding), number * 0.02 + 0.02) for number in range(9)]
        for first in range(0, 9, size):
            utterance.mark_words(words[first : first + size])
        utterance.enqueue()
        utterance.cancel()
        assert utterance.report is not None
        assert len(utterance.report.marks) == 9

    def test_words_without_ends_that_follow_each_other_correct_nothing(self) -> None:
        utterance = PlaybackController().utterance(text="no no no")
        for number in range(3):
            utterance.mark_words([Word("no", number * 0.02)])
        utterance.cancel()
        assert utterance.report is not None
        assert len(utterance.report.marks) == 3

    def test_what_is_no_word_stays(self) -> None:
        utterance = PlaybackController().utterance(text=TEXT)
        utterance.mark({"viseme": 1}, at=0.01)
        utterance.mark_words(WORDS)
        utterance.mark_words(WORDS)
        utterance.cancel()
        assert utterance.report is not None
        assert len(utterance.report.marks) == 1 + len(WORDS)

    def test_a_bad_word_changes_nothing(self) -> None:
        utterance = PlaybackController().utterance(text=TEXT)
        utterance.mark_words(WORDS)
        with pytest.raises(ValueError, match="expected"):
            utterance.mark_words([Word("Your", 0.0, 0.1), Word("table", -1.0)])
        utterance.cancel()
        assert utterance.report is not None
        assert [mark.payload for mark in utterance.report.marks] == TEXT.split()

    def test_a_replay_does_the_same(self) -> None:
        controller = PlaybackController()
        with Trace(controller) as trace:
            utterance = controller.utterance(text=TEXT)
            utterance.mark_words(WORDS)
            utterance.push(ramp(10 * FRAME))
            controller.read(2 * FRAME)
            utterance.mark_words(self.shifted(0.003, WORDS))
            controller.read(2 * FRAME)
            controller.interrupt()
            utterance.mark_words(self.shifted(0.001, WORDS))
        assert trace.differences(replay(trace)) == []
        assert {"mark", "unmark"} <= {call.name for call in trace.calls}


class TestWaiting:
    """``wait()`` waits for words only where they are needed."""

    async def wait(self, call: Heard) -> asyncio.Task[UtteranceReport]:
        waiting = asyncio.create_task(utterance_of(call).wait())
        await asyncio.sleep(0)
        return waiting

    @pytest.mark.parametrize("words", [WORDS, WORDS[:3], [Word(word.text, word.start) for word in WORDS[:3]]])
    async def test_not_where_the_words_reach_to_the_cut(self, words: list[Word]) -> None:
        assert (await self.wait(cut(2, words=words))).done()

    @pytest.mark.parametrize("frames", [0, 10])
    async def test_not_where_it_is_certain(self, frames: int) -> None:
        assert (await self.wait(cut(frames))).done()

    async def test_not_without_a_text(self) -> None:
        assert (await self.wait(cut(text=None))).done()

    async def test_not_where_all_words_were_played(self) -> None:
        assert (await self.wait(cut(8, words=WORDS))).done()

    async def test_not_with_a_limit_of_zero(self) -> None:
        assert (await self.wait(cut(late_words_seconds=0.0))).done()

    @pytest.mark.parametrize("known", [0, 1, 2])
    async def test_until_they_reach_to_the_cut(self, known: int) -> None:
        call = cut(3, words=WORDS[:known], late_words_seconds=60.0)
        waiting = await self.wait(call)
        for word in WORDS[known:3]:
            assert not waiting.done()
            utterance_of(call).mark_words([word])
            await asyncio.sleep(0)
        utterance_of(call).mark_words(WORDS[3:4])
        assert (await waiting).heard == "Your table is"
        assert not (await waiting).final

    async def test_for_the_limit_in_samples_read(self) -> None:
        call = cut(late_words_seconds=60.0)
        waiting = await self.wait(call)
        call.controller.read(60 * RATE - 1)
        await asyncio.sleep(0)
        assert not waiting.done()
        call.controller.read(1)
        assert (await waiting).final

    async def test_for_the_limit_in_seconds_where_nobody_reads(self) -> None:
        call = cut(words=WORDS[:1], late_words_seconds=0.05)
        begun = time.monotonic()
        report = await utterance_of(call).wait()
        assert time.monotonic() - begun >= 0.04
        assert (report.final, report.heard) == (True, "Your")

    async def test_of_a_turn_for_all_of_its_utterances(self) -> None:
        controller = PlaybackController(late_words_seconds=60.0)
        async with controller.turn() as turn:
            handles = [turn.utterance(text=TEXT) for _ in range(2)]
            for handle in handles:
                handle.push(ramp(FRAME))
                handle.push(ramp(FRAME))
        controller.read(FRAME)
        handles[0].cancel()
        controller.read(FRAME)
        handles[1].cancel()
        waiting = asyncio.create_task(turn.wait())
        await asyncio.sleep(0)
        for handle in handles:
            assert not waiting.done()
            handle.mark_words([Word("Your", 0.0, 0.005), Word("table", 0.005, 1.0)])
            await asyncio.sleep(0)
        assert (await waiting).heard == "Your Your"

    async def test_not_again_of_a_synthesizer_that_sends_none(self) -> None:
        controller = PlaybackController(late_words_seconds=0.01)
        for number in range(2):
            utterance = controller.utterance(text=TEXT)
            utterance.push(ramp(2 * FRAME))
            controller.read(FRAME)
            controller.interrupt()
            waiting = asyncio.create_task(utterance.wait())
            await asyncio.sleep(0)
            assert waiting.done() == (number == 1)
            await waiting

    async def test_a_wait_that_is_cancelled_leaves_the_report_open(self) -> None:
        call = cut(words=WORDS[:1], late_words_seconds=60.0)
        waiting = await self.wait(call)
        waiting.cancel()
        await until(waiting.done)
        utterance_of(call).mark_words(WORDS[1:])
        assert report_of(call).heard == "Your table"

    async def test_reads_are_as_fast_again_when_nobody_waits(self) -> None:
        call = cut(late_words_seconds=60.0)
        waiting = await self.wait(call)
        assert call.controller._transitions.fast.read is None
        utterance_of(call).mark_words(WORDS)
        await waiting
        call.read(), call.read()
        assert call.controller._transitions.fast.read is not None
