"""Readers that confirm: what was heard is what they say, and what they give back was not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Fades, Outcome, PlaybackController, Utterance, UtteranceReport
from playback.events import ErrorRaised, Interrupted, MarkReached, Resumed
from playback.tracing import Trace
from playback.tracing.replay import replay
from tests.signals import CUTS, FRAME, RATE, Heard, ramp

SILENCE = [0] * FRAME


class Line(Heard):
    """A carrier's line: what is read waits in its buffer, and sounds later."""

    def __init__(self, fades: Fades = CUTS, **options: Any) -> None:
        super().__init__(PlaybackController(AudioFormat(RATE), fades=fades, **options))
        self.buffer: list[int] = []
        self.heard: list[int] = []
        self.recalls = 0
        self.unconfirmed = 0
        """How many more samples sound until a recall reaches it."""
        self.controller.attach(self, confirms=True)

    def send(self, frames: int = 1) -> None:
        """Read frames into the buffer, but for one that a listener has had taken back."""
        for _ in range(frames):
            recalls, frame = self.recalls, self.read()
            if self.recalls == recalls:
                self.buffer += frame

    def play(self, samples: int) -> None:
        """Let so many samples sound, and confirm them."""
        self._sound(samples)
        self.controller.confirm(len(self.heard))

    def recall(self) -> int:
        """Clear the buffer, as a carrier does."""
        self.recalls += 1
        self._sound(self.unconfirmed)
        self.buffer.clear()
        return len(self.heard)

    def say(self, first: int, samples: int, **options: Any) -> Utterance:
        """Push an utterance of samples that count up, and end it."""
        utterance = self.controller.utterance(**options)
        utterance.push(ramp(samples, first))
        utterance.end()
        return utterance

    def _sound(self, samples: int) -> None:
        self.heard += self.buffer[:samples]
        del self.buffer[:samples]


def report(utterance: Utterance) -> UtteranceReport:
    assert utterance.report is not None
    return utterance.report


def test_everything_that_says_what_was_heard_waits_for_the_confirmation() -> None:
    line = Line()
    utterance = line.say(1, FRAME + 10)
    utterance.mark("one", at=100 / RATE)
    utterance.mark("two", at=1.0)
    line.send(3)
    assert (utterance.played, utterance.report, line.controller.state) == (0, None, "speaking")
    assert line.controller.buffered == FRAME + 10
    line.events.clear()
    line.play(99)
    assert line.emitted() == []
    line.play(1)
    assert [event.at for event in line.events if isinstance(event, MarkReached)] == [100]
    line.events.clear()
    line.play(FRAME + 10 - 101)
    assert (line.emitted(), utterance.played) == ([], FRAME + 9)
    line.play(1)
    names = ["mark_reached", "last_audio_byte", "utterance_finished", "turn_finished", "state_changed"]
    assert [event.name for event in line.events] == names
    assert {event.position for event in line.events} == {3 * FRAME}
    assert (report(utterance).played, report(utterance).heard) == (FRAME + 10, "one two")
    assert line.controller.state == "idle"


def test_an_utterance_is_read_while_the_one_before_it_is_still_to_be_heard() -> None:
    line = Line()
    first, second = line.say(1, FRAME), line.say(5_001, FRAME)
    line.send(3)
    assert line.controller.head is line.controller.playing is first
    line.play(FRAME - 1)
    assert (first.report, second.played) == (None, 0)
    line.play(11)
    assert report(first).outcome is Outcome.COMPLETED
    assert (second.played, line.controller.playing) == (10, second)


def test_a_pause_goes_on_where_the_listener_stopped() -> None:
    line = Line()
    line.say(1, 4 * FRAME)
    line.send(3)
    line.play(FRAME + 7)
    line.unconfirmed = 5
    line.controller.pause()
    assert (line.recalls, line.controller.buffered) == (1, 3 * FRAME - 12)
    line.send(2)
    line.play(2 * FRAME)
    line.controller.resume()
    line.send(4)
    line.play(4 * FRAME)
    assert [sample for sample in line.heard if sample] == [*range(1, 1 + 4 * FRAME)]


def test_a_pause_takes_back_whole_utterances_and_their_turns() -> None:
    line = Line()
    utterances = [line.say(1 + 100 * number, 100) for number in range(6)]
    line.send(2)
    line.play(250)
    line.controller.pause()
    assert [utterance.report is not None for utterance in utterances] == [True, True, False, False, False, False]
    line.controller.resume()
    line.send(2)
    line.play(2 * FRAME)
    assert line.heard == [*range(1, 601), *[0] * (len(line.heard) - 600)]
    assert [report(utterance).outcome for utterance in utterances] == [Outcome.COMPLETED] * 6
    started = [event.name for event in line.events].count("turn_started")
    assert (started, line.emitted("first_audio_byte")) == (6, ["first_audio_byte"] * 6)


def test_a_pause_and_a_rewind_within_what_was_heard() -> None:
    line = Line()
    line.say(1, 4 * FRAME)
    line.send(3)
    line.play(FRAME)
    line.controller.pause()
    line.controller.resume(rewind_seconds=100 / RATE)
    assert [event.rewound for event in line.events if isinstance(event, Resumed)] == [100]
    line.send(5)
    line.play(5 * FRAME)
    whole = [*range(1, 1 + FRAME), *range(1 + FRAME - 100, 1 + 4 * FRAME)]
    assert [sample for sample in line.heard if sample] == whole


def test_what_was_paused_comes_back_along_the_ramp_of_a_resume_and_ends_without_a_tail() -> None:
    line = Line(Fades(0.06, 0.005, 0.005, 0.005))
    utterance = line.controller.utterance()
    utterance.push(np.full(8 * FRAME, 10_000, np.int16))
    line.send(3)
    line.play(FRAME)
    line.controller.pause()
    line.send()
    assert line.buffer == SILENCE
    line.controller.resume()
    line.buffer.clear()
    resumed = line.read()
    rising = round(0.005 * RATE)
    assert resumed[0] < 200
    assert resumed[:rising] == sorted(resumed[:rising])
    assert resumed[rising:] == [10_000] * (FRAME - rising)


def test_an_interrupt_reports_what_was_heard_and_leaves_no_tail_where_the_transport_was_cleared() -> None:
    line = Line(Fades(0.06, 0.005, 0.005, 0.005))
    utterance = line.say(1, 8 * FRAME, text="one two three")
    for word, at in (("one", 0), ("two", 150), ("three", 600)):
        utterance.mark(word, at=at / RATE)
    line.send(4)
    line.play(500)
    line.unconfirmed = 120
    line.controller.interrupt()
    assert (report(utterance).played, report(utterance).discarded) == (620, 8 * FRAME - 620)
    assert report(utterance).heard == "one two"
    assert [event.discarded for event in line.events if isinstance(event, Interrupted)] == [8 * FRAME - 620]
    line.send(4)
    assert not any(line.buffer)
    assert line.controller.state == "idle"


def test_an_interrupt_fades_out_as_ever_if_all_was_heard() -> None:
    line = Line(Fades(0.06, 0.005, 0.005, 0.005))
    utterance = line.controller.utterance()
    utterance.push(np.full(20 * FRAME, 10_000, np.int16))
    line.send()
    line.play(FRAME)
    line.controller.interrupt()
    line.send(4)
    assert line.recalls == 0
    assert line.buffer[0] > 9_900
    assert line.buffer[: 3 * FRAME] == sorted(line.buffer[: 3 * FRAME], reverse=True)
    assert (line.controller.state, report(utterance).played) == ("interrupted", FRAME)
    line.controller.interrupt()
    assert line.buffer[FRAME]  # the fade-out sounds on
    line.play(4 * FRAME)
    line.send()
    assert line.controller.state == "idle"


def test_an_uninterruptible_utterance_that_is_heard_is_spared_and_what_was_read_behind_it_is_not() -> None:
    line = Line()
    spared, dropped = line.say(1, FRAME, interruptible=False), line.say(5_001, FRAME)
    line.send(2)
    line.play(100)
    line.controller.interrupt()
    assert (line.recalls, report(dropped).played, spared.report) == (1, 0, None)
    line.send(2)
    line.play(2 * FRAME)
    assert [sample for sample in line.heard if sample] == [*range(1, 1 + FRAME)]
    assert report(spared).outcome is Outcome.COMPLETED


def test_a_transport_is_not_cleared_for_an_utterance_that_is_spared_alone() -> None:
    line = Line()
    spared, dropped = line.say(1, 2 * FRAME, interruptible=False), line.say(5_001, FRAME)
    line.send()
    line.controller.interrupt()
    assert (line.recalls, report(dropped).outcome, spared.report) == (0, Outcome.INTERRUPTED, None)


def test_an_uninterruptible_utterance_that_was_only_read_is_dropped_with_what_is_heard() -> None:
    line = Line()
    heard, read = line.say(1, FRAME), line.say(5_001, FRAME, interruptible=False)
    line.send(2)
    line.play(100)
    line.controller.interrupt()
    assert (report(heard).played, report(read).played) == (100, 0)
    assert report(read).outcome is Outcome.INTERRUPTED


def test_the_recall_says_who_is_heard_before_an_interrupt_decides_who_is_spared() -> None:
    line = Line()
    before, spared = line.say(1, FRAME), line.say(5_001, FRAME, interruptible=False)
    line.send(2)
    line.play(100)
    line.unconfirmed = FRAME
    line.controller.interrupt()
    assert (report(before).outcome, spared.report, spared.played) == (Outcome.COMPLETED, None, 100)


def test_an_interrupt_at_a_word_lets_the_word_that_is_heard_end() -> None:
    line = Line()
    utterance = line.say(1, 4 * FRAME)
    for word, at in (("one", 0), ("two", 200), ("three", 400), ("four", 900)):
        utterance.mark(word, at=at / RATE)
    line.send(3)
    line.play(250)
    line.controller.interrupt(at="word")
    line.send(2)
    line.play(2 * FRAME)
    assert [sample for sample in line.heard if sample] == [*range(1, 401)]
    assert (report(utterance).played, report(utterance).discarded) == (400, 4 * FRAME - 400)
    assert report(utterance).heard == "one two"


@pytest.mark.parametrize("unconfirmed", [0, 30, 10_000])
def test_a_cancel_takes_its_own_samples_out_of_the_transport(unconfirmed: int) -> None:
    line = Line()
    utterances = [line.say(1 + 100 * number, 100) for number in range(4)]
    line.send()
    line.play(50)
    line.unconfirmed = unconfirmed
    assert utterances[1].cancel() is (unconfirmed < 10_000)
    line.send()
    line.play(10_000)
    expected = [*range(1, 101), *range(201, 401)] if unconfirmed < 10_000 else [*range(1, 401)]
    assert [sample for sample in line.heard if sample] == expected
    assert utterances[3].cancel() is False


def test_what_was_not_read_is_canceled_without_a_recall() -> None:
    line = Line()
    line.say(1, FRAME)
    waiting = line.say(5_001, FRAME)
    line.send()
    assert waiting.cancel()
    assert line.recalls == 0


def test_a_turn_that_is_canceled_while_it_is_heard() -> None:
    line = Line()
    turn = line.controller.turn()
    for first in (1, 101):
        utterance = turn.utterance()
        utterance.push(ramp(100, first))
        utterance.end()
    turn.end()
    line.say(5_001, 50)
    line.send()
    line.play(150)
    assert turn.cancel()
    assert turn.report is not None
    assert (turn.report.played, turn.report.discarded) == (150, 50)
    line.send()
    line.play(FRAME)
    assert [sample for sample in line.heard if sample] == [*range(1, 151), *range(5_001, 5_051)]


@pytest.mark.parametrize("command", ["lock", "unlock"])
def test_a_lock_lets_play_what_was_read(command: str) -> None:
    line = Line()
    utterance = line.say(1, FRAME)
    line.send(2)
    getattr(line.controller, command)()
    line.controller.gain_db = -6
    assert line.recalls == 0
    line.play(2 * FRAME)
    assert report(utterance).outcome is Outcome.COMPLETED


def test_a_close_recalls_and_reports_the_rest_as_discarded() -> None:
    line = Line()
    utterances = [line.say(1, FRAME), line.say(5_001, FRAME)]
    line.send(2)
    line.play(100)
    line.controller.close()
    assert (line.recalls, line.buffer) == (1, [])
    assert [(report(each).played, report(each).discarded) for each in utterances] == [(100, FRAME - 100), (0, FRAME)]
    line.send()
    line.play(FRAME)  # silence
    assert line.emitted("error") == []


def test_a_reader_that_goes_leaves_what_was_not_confirmed_to_the_next_one() -> None:
    line = Line()
    utterance = line.say(1, 2 * FRAME)
    utterance.mark("word", at=0.0)
    line.send(3)
    line.play(100)
    line.controller.detach(line)
    assert (line.recalls, utterance.played, line.controller.state) == (0, 100, "speaking")
    assert [*line.read(), *line.read()] == [*range(101, 1 + 2 * FRAME), *[0] * 100]
    assert report(utterance).outcome is Outcome.COMPLETED
    assert line.emitted("first_audio_byte", "last_audio_byte") == ["first_audio_byte", "last_audio_byte"]


def test_a_reader_that_goes_and_nobody_comes() -> None:
    line = Line()
    utterance = line.say(1, 2 * FRAME)
    line.send(3)
    line.play(100)
    line.controller.detach(line)
    line.controller.close()
    assert (report(utterance).played, report(utterance).discarded) == (100, 2 * FRAME - 100)


def test_a_reader_that_takes_over_from_one_that_hears_at_once() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0))
    utterance = controller.utterance()
    utterance.push(ramp(4 * FRAME))
    first = object()
    controller.attach(first)
    for _ in range(2):
        controller.read(FRAME)
    controller.detach(first)
    line = Line()
    line.controller = controller
    controller.attach(line, confirms=True)
    assert utterance.played == 2 * FRAME
    line.send()
    assert utterance.played == 2 * FRAME
    line.play(10)
    assert utterance.played == 2 * FRAME + 10


async def test_whoever_waits_goes_on_with_the_confirmation() -> None:
    line = Line()
    utterance = line.say(1, FRAME)
    drained = asyncio.create_task(line.controller.drain(network_seconds=0.02))
    finished = asyncio.create_task(utterance.wait())
    line.send(4)
    await asyncio.sleep(0)
    assert not drained.done()
    line.play(FRAME)
    assert await drained
    assert (await finished).outcome is Outcome.COMPLETED


async def test_a_write_waits_for_what_was_not_heard() -> None:
    line = Line(high_water_seconds=FRAME / RATE, max_buffered_seconds=2 * FRAME / RATE)
    utterance = line.say(1, 2 * FRAME)
    waiting = line.controller.utterance()
    writing = asyncio.create_task(waiting.write(ramp(FRAME)))
    line.send(2)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not writing.done()
    line.play(2 * FRAME)
    assert report(utterance).outcome is Outcome.COMPLETED
    assert await writing == FRAME


def test_an_underrun_and_its_silence_count_for_the_position() -> None:
    line = Line()
    utterance = line.controller.utterance()
    utterance.push(ramp(100))
    line.controller.read(50)  # as long as the reads are from now on
    line.buffer += [*range(1, 51)]
    line.buffer += line.read(50)
    line.buffer += line.read(50)
    assert line.emitted("underrun") == ["underrun"]
    utterance.push(ramp(100, 101))
    line.buffer += line.read(50)
    line.play(160)
    assert utterance.played == 110
    line.controller.interrupt()
    assert report(utterance).played == 110


def test_a_failure_that_stops_its_turn_stops_what_would_be_read_behind_it() -> None:
    line = Line()
    turn = line.controller.turn(stop_on_failure=True)
    broken, behind = turn.utterance(), turn.utterance()
    broken.push(ramp(100))
    broken.fail(LookupError("broken"))
    behind.push(ramp(FRAME, 5_001))
    line.send(2)
    assert max(line.buffer) == 100
    line.play(2 * FRAME)
    assert (report(broken).outcome, report(behind).outcome) == (Outcome.FAILED, Outcome.FAILED)
    assert turn.report is not None
    assert (turn.report.played, turn.report.outcome) == (100, Outcome.FAILED)


def test_what_was_heard_needs_no_memory() -> None:
    line = Line(history_seconds=0.0)
    utterance = line.controller.utterance()
    for _ in range(1_000):
        utterance.push(bytes(2 * FRAME))
        line.read()
        if line.controller.position > 10 * FRAME:
            line.controller.confirm(line.controller.position - 10 * FRAME)
    buffer = utterance._clip.buffer
    assert len(buffer._past) <= 12
    assert line.controller.buffered == 10 * FRAME


def test_what_the_last_turn_lacked_is_no_gap_of_the_next_one() -> None:
    line = Line()
    first = line.controller.turn()
    said = first.utterance()
    said.push(ramp(FRAME // 2))
    said.end()
    line.send()
    assert line.controller.leaf == "speaking.buffering"  # half a frame was missing within an open turn
    first.end()
    second = line.controller.turn()
    empty = second.utterance()
    empty.enqueue()
    empty.end()
    assert line.controller.leaf == "speaking.streaming"  # nobody has read within this one
    line.send()
    assert line.controller.leaf == "speaking.buffering"


def test_a_listener_that_interrupts_within_a_read_takes_back_the_frame_of_that_read() -> None:
    line = Line()
    utterance = line.say(1, 2 * FRAME)
    line.controller.on("first_audio_byte", lambda _: line.controller.interrupt())
    line.send(3)
    assert (line.recalls, report(utterance).played, report(utterance).discarded) == (1, 0, 2 * FRAME)
    assert line.buffer == [0] * 2 * FRAME
    line.play(2 * FRAME)
    with pytest.raises(ValueError, match="samples is 961, expected 0 to 960"):
        line.controller.confirm(2 * FRAME + 1)


class TestMistakes:
    """What a transport gets wrong."""

    def test_more_than_was_read(self) -> None:
        line = Line()
        line.send()
        with pytest.raises(ValueError, match=r"samples is 481, expected 0 to 480, the samples read and not recalled"):
            line.controller.confirm(FRAME + 1)
        with pytest.raises(ValueError, match="samples is -1"):
            line.controller.confirm(-1)
        with pytest.raises(TypeError):
            line.controller.confirm(1.5)  # type: ignore[arg-type]

    def test_less_than_before_changes_nothing(self) -> None:
        line = Line()
        utterance = line.say(1, FRAME)
        line.send()
        line.controller.confirm(100)
        line.controller.confirm(50)
        assert utterance.played == 100

    def test_after_a_recall_the_count_goes_on_from_its_answer(self) -> None:
        line = Line()
        line.say(1, 4 * FRAME)
        line.send(2)
        line.play(100)
        line.controller.pause()
        line.controller.resume()
        with pytest.raises(ValueError, match="samples is 101, expected 0 to 100"):
            line.controller.confirm(101)
        line.send()
        line.controller.confirm(100 + FRAME)

    def test_nobody_who_confirms(self) -> None:
        controller = PlaybackController(AudioFormat(RATE))
        with pytest.raises(RuntimeError, match="attached with confirms=True"):
            controller.confirm(0)
        with pytest.raises(TypeError, match=r"has no recall\(\)"):
            controller.attach(object(), confirms=True)  # type: ignore[call-overload]
        assert controller.reader is None

    def test_who_attaches_again_means_the_same(self) -> None:
        line = Line()
        line.controller.attach(line, confirms=True)
        with pytest.raises(RuntimeError, match="attached with confirms=True, expected to detach it first"):
            line.controller.attach(line)
        with pytest.raises(RuntimeError, match="reads this controller already"):
            line.controller.attach(Line(), confirms=True)

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (lambda _: 1 // 0, ZeroDivisionError),
            (lambda _: 100_000, ValueError),
            (lambda _: "many", TypeError),
            (lambda line: line.controller.confirm(100), RuntimeError),
        ],
    )
    def test_an_answer_that_can_not_be_counts_as_what_was_confirmed(
        self, answer: Callable[[Line], Any], error: type[Exception], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        line = Line()
        utterance = line.say(1, FRAME)
        line.send()
        line.play(30)
        monkeypatch.setattr(line, "recall", lambda: answer(line))
        line.controller.interrupt()
        assert report(utterance).played == 30
        assert [type(event.exception) for event in line.events if isinstance(event, ErrorRaised)] == [error]

    @pytest.mark.parametrize("call", ["close", "detach", "pause", "interrupt"])
    def test_a_recall_that_calls_the_controller(self, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
        line = Line()
        utterance = line.say(1, FRAME)
        line.send()
        line.play(30)

        def recall() -> int:
            method = getattr(line.controller, call)
            method(line) if call == "detach" else method()
            return 40

        monkeypatch.setattr(line, "recall", recall)
        line.controller.pause()
        line.controller.close()
        assert (utterance.played, report(utterance).accepted) == (30, FRAME)
        assert line.emitted("utterance_finished") == ["utterance_finished"]


def test_a_replay_hears_the_same() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    with Trace(controller, limit=None) as trace:
        line = Line()
        line.controller = controller
        controller.attach(line, confirms=True)
        line.say(1, 4 * FRAME, text="one two")
        line.send(3)
        line.play(700)
        line.unconfirmed = 33
        controller.pause()
        controller.resume()
        line.send(2)
        line.play(200)
        controller.interrupt()
        line.say(1, FRAME)
        line.send(2)
        controller.detach(line)
        controller.close()
    names = [call.name for call in trace.calls]
    assert names.count("recall") == 2
    assert (names.count("attach"), names.count("confirm"), names.count("detach")) == (1, 2, 1)
    assert trace.differences(replay(trace)) == []


def test_a_trace_that_begins_behind_a_reader_is_not_replayed() -> None:
    line = Line()
    assert not Trace(line.controller).fresh
