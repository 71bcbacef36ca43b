"""Order, ends and underruns: what is pushed is what is heard, to the sample."""

from __future__ import annotations

from typing import Any

import pytest

from playback import AudioFormat, BufferFull, InputTimeout, Outcome, PlaybackController
from playback.chart import MACHINE
from playback.events import LastAudioByte
from statecharts import Session
from tests.signals import CUTS, FRAME, RATE, Heard, ramp

pytestmark = pytest.mark.portable

SILENCE = [0] * FRAME


def heard(**options: Any) -> Heard:
    return Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, **options))


@pytest.mark.parametrize("samples", [1, 2, 71, 479, 480, 481, 959, 960, 961, 4_800])
def test_an_utterance_of_any_length_is_heard_whole_and_reported_once(samples: int) -> None:
    case = Heard()
    utterance = case.controller.utterance()
    assert utterance.push(ramp(samples)) == samples
    utterance.end()
    for start in range(0, samples, FRAME):
        assert "last_audio_byte" not in case.emitted()
        assert case.read() == [*range(1 + start, 1 + samples), *SILENCE][:FRAME]
    assert case.emitted("last_audio_byte", "utterance_finished") == ["last_audio_byte", "utterance_finished"]
    assert case.controller.state == "idle"
    assert case.read() == SILENCE
    assert case.emitted() == []


def test_a_second_push_into_a_leaf_costs_no_step_of_the_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Heard()
    utterance = case.controller.utterance()
    utterance.push(ramp(10))
    fired: list[str] = []
    fire = MACHINE.fire

    def counted(session: Session, event: str) -> bool:
        fired.append(event)
        return fire(session, event)

    monkeypatch.setattr(MACHINE, "fire", counted)
    data = ramp(10).tobytes()
    utterance.push(ramp(4 * FRAME))
    assert (case.controller.leaf, fired) == ("speaking.streaming", ["push", "ready"])
    utterance.push(data)  # the first one in a leaf is an edge that stays, and the next ones are none
    assert fired == ["push", "ready", "push"]
    for _ in range(3):
        utterance.push(data)
        case.read()
    assert fired == ["push", "ready", "push"]
    case.controller.pause()
    utterance.push(data)
    case.read()
    utterance.push(data)
    assert (case.controller.leaf, fired[3:]) == ("paused.held", ["pause", "push"])


def test_the_last_byte_is_emitted_at_the_very_sample() -> None:
    case = Heard()
    case.read(FRAME)
    utterance = case.controller.utterance()
    utterance.push(ramp(700))
    utterance.end()
    case.read(), case.read()
    (event,) = (event for event in case.events if isinstance(event, LastAudioByte))
    assert (event.position, event.utterance) == (FRAME + 700, utterance)


def test_an_empty_utterance_is_reported_like_any_other() -> None:
    case = Heard()
    utterance = case.controller.utterance(text="")
    assert utterance.end()
    assert case.emitted() == ["last_audio_byte", "utterance_finished"]
    assert utterance.report is not None
    assert (utterance.report.outcome, utterance.report.accepted) == (Outcome.COMPLETED, 0)


@pytest.mark.parametrize("push", [b"", b"\x01"])
def test_an_empty_push_takes_a_place_in_the_queue(push: bytes) -> None:
    case = Heard()
    first, second = case.controller.utterance(), case.controller.utterance()
    assert first.push(push) == 0
    assert (case.controller.leaf, case.emitted()) == ("speaking.buffering", ["state_changed"])
    assert first.push(push[:0]) == 0
    assert case.emitted() == []
    second.push(ramp(FRAME))
    assert case.read() == SILENCE
    first.end()
    assert case.read() == ramp(FRAME).tolist()


@pytest.mark.parametrize("push", [b"", b"\x01"])
def test_an_empty_push_while_the_input_is_locked_changes_nothing(push: bytes) -> None:
    case = Heard()
    case.controller.lock()
    case.emitted()
    assert case.controller.utterance().push(push) == 0
    assert (case.controller.leaf, case.emitted()) == ("input_locked", [])


def test_a_tail_does_not_open_the_next_utterance() -> None:
    case = Heard()
    for start in (1, 10_001):
        utterance = case.controller.utterance()
        utterance.push(ramp(FRAME + 71, start))
        utterance.end()
        case.read()
        assert case.read() == [*range(start + FRAME, start + FRAME + 71), *[0] * (FRAME - 71)]


def test_utterances_follow_each_other_without_a_gap() -> None:
    case = Heard()
    for start in (1, 101, 201):
        utterance = case.controller.utterance()
        utterance.push(ramp(100, start))
        utterance.end()
    assert case.read() == [*range(1, 301), *[0] * 180]
    assert case.emitted("first_audio_byte", "last_audio_byte") == ["first_audio_byte", "last_audio_byte"] * 3


@pytest.mark.parametrize("reads", [1, 50])
def test_an_underrun_loses_nothing_and_finishes_nothing(reads: int) -> None:
    case = Heard()
    utterance = case.controller.utterance()
    utterance.push(ramp(FRAME + 100))
    assert case.read() == [*range(1, 1 + FRAME)]
    for _ in range(reads):
        assert case.read() == SILENCE
    assert case.emitted("underrun", "last_audio_byte") == ["underrun"]
    assert case.controller.stats.underrun_samples == reads * FRAME
    utterance.push(ramp(FRAME, 1 + FRAME + 100))
    assert case.read() == [*range(1 + FRAME, 1 + 2 * FRAME)]
    utterance.end()
    assert case.read() == [*range(1 + 2 * FRAME, 1 + 2 * FRAME + 100), *[0] * 380]
    assert case.emitted("underrun", "last_audio_byte") == ["last_audio_byte"]
    assert utterance.played == utterance.accepted == 2 * FRAME + 100


def test_a_frame_is_never_filled_in_part_by_an_open_utterance() -> None:
    case = Heard()
    first, second = case.controller.utterance(), case.controller.utterance()
    first.push(ramp(100))
    first.end()
    second.push(ramp(379, 1_001))
    assert case.read() == [*range(1, 101), *[0] * 380]
    assert case.emitted("underrun") == ["underrun"]
    second.push(ramp(1, 1_380))
    assert case.read() == SILENCE, "after a gap it needs a whole read's worth again"
    second.push(ramp(100, 1_381))
    assert case.read() == [*range(1_001, 1_481)]


class TestTheEnd:
    def test_before_the_drain(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.push(ramp(FRAME))
        utterance.end()
        assert case.emitted("last_audio_byte") == []
        case.read()
        assert case.emitted("last_audio_byte") == ["last_audio_byte"]
        assert case.controller.state == "idle"

    def test_at_the_drain(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.push(ramp(FRAME))
        case.read()
        assert case.emitted("last_audio_byte", "underrun") == []
        utterance.end()
        assert case.emitted() == ["last_audio_byte", "utterance_finished", "state_changed"]
        assert case.controller.state == "idle"

    def test_after_the_drain(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.push(ramp(FRAME))
        case.read(), case.read()
        assert case.emitted("underrun") == ["underrun"]
        utterance.end()
        assert case.emitted() == ["last_audio_byte", "utterance_finished", "underrun_ended", "state_changed"]
        assert case.controller.state == "idle"

    def test_a_second_time_is_nothing(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        assert [utterance.end(), utterance.end()] == [True, False]
        assert case.emitted() == ["last_audio_byte", "utterance_finished"]

    def test_a_push_after_it_is_refused(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.push(ramp(FRAME))
        utterance.end()
        assert utterance.push(ramp(100)) == 0
        assert case.emitted("audio_refused") == ["audio_refused"]
        case.read()
        assert utterance.report is not None
        assert (utterance.report.outcome, utterance.report.refused) == (Outcome.INTERRUPTED, 100)
        assert case.emitted("last_audio_byte") == []


class TestSeveralHandles:
    def test_each_keeps_the_place_of_its_first_push(self) -> None:
        case = Heard()
        one, two = case.controller.utterance(), case.controller.utterance()
        two.push(ramp(100, 201))
        one.push(ramp(100, 1))
        two.push(ramp(100, 301))
        one.end(), two.end()
        assert case.read() == [*range(201, 401), *range(1, 101), *[0] * 180]

    def test_a_handle_changes_nothing_by_existing(self) -> None:
        case = Heard()
        handle = case.controller.utterance()
        assert (case.controller.state, case.emitted()) == ("idle", [])
        speaking = case.controller.utterance()
        speaking.push(ramp(FRAME))
        speaking.end()
        assert case.controller.leaf == "speaking.draining"
        case.read()
        assert case.controller.state == "idle"
        assert handle.report is None

    def test_a_handle_that_is_dropped_unused_leaves_no_trace(self) -> None:
        case = Heard()
        case.controller.utterance()
        case.controller.interrupt()
        assert case.emitted() == []

    def test_an_interrupt_ends_those_without_a_push_too(self) -> None:
        case = Heard()
        handle = case.controller.utterance()
        handle.mark("in use, and without a push")
        assert case.controller.interrupt()
        assert case.emitted() == ["utterance_finished"]
        assert handle.push(ramp(FRAME)) == 0
        assert case.read() == SILENCE

    def test_one_that_ends_empty_waits_for_its_turn(self) -> None:
        case = Heard()
        one, two = case.controller.utterance(), case.controller.utterance()
        one.push(ramp(FRAME))
        two.end()
        assert two.report is None
        one.end()
        case.read()
        assert case.emitted("last_audio_byte") == ["last_audio_byte"] * 2
        assert two.report is not None

    def test_cancel_drops_one_alone(self) -> None:
        case = Heard()
        handles = [case.controller.utterance() for _ in range(3)]
        for start, handle in zip((1, 101, 201), handles, strict=True):
            handle.push(ramp(100, start))
            handle.end()
        assert [handles[1].cancel(), handles[1].cancel()] == [True, False]
        assert handles[1].report is not None
        assert handles[1].report.outcome is Outcome.INTERRUPTED
        assert case.read() == [*range(1, 101), *range(201, 301), *[0] * 280]

    def test_cancel_of_the_only_open_one_ends_the_waiting(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.push(ramp(100))
        utterance.cancel()
        assert (case.controller.state, case.controller.buffered) == ("idle", 0)


class TestProducersWithoutHandles:
    def test_push_begins_an_utterance_and_end_ends_it(self) -> None:
        case = Heard()
        assert case.controller.end() is False
        assert case.controller.push(ramp(100)) == 100
        assert case.controller.push(ramp(100, 101)) == 100
        assert case.controller.end() is True
        assert case.read() == [*range(1, 201), *[0] * 280]
        assert case.emitted("first_audio_byte", "last_audio_byte") == ["first_audio_byte", "last_audio_byte"]
        assert case.controller.end() is False

    def test_after_an_interrupt_the_next_push_is_a_new_utterance(self) -> None:
        case = Heard()
        case.controller.push(ramp(2 * FRAME))
        case.read()
        case.controller.interrupt()
        assert case.controller.push(ramp(FRAME, 5_001)) == FRAME
        assert case.read() == [*range(5_001, 5_001 + FRAME)]

    def test_only_a_lock_stops_them(self) -> None:
        case = Heard()
        case.controller.push(ramp(FRAME))
        case.controller.interrupt(lock=True)
        assert case.controller.push(ramp(FRAME)) == 0
        assert case.emitted("audio_refused") == ["audio_refused"]
        case.controller.unlock()
        assert case.controller.push(ramp(FRAME)) == FRAME
        assert case.read() == [*range(1, 1 + FRAME)]


class TestThePrebuffer:
    def test_counts_before_the_start_and_after_an_underrun(self) -> None:
        """It is asked for beyond the largest push: what covers a delay is what lasts while the next one is made."""
        case = heard(prebuffer_seconds=0.1)
        utterance = case.controller.utterance()
        utterance.push(ramp(FRAME))
        utterance.push(ramp(2_399, 1 + FRAME))
        assert (case.controller.leaf, case.read()) == ("speaking.buffering", SILENCE)
        utterance.push(ramp(2_399, 2_400 + FRAME))
        assert case.controller.leaf == "speaking.streaming"
        for start in range(1, 5_278 - FRAME, FRAME):
            assert case.read() == [*range(start, start + FRAME)]
        assert case.read() == SILENCE
        utterance.push(ramp(2_399, 5_279))
        assert case.read() == SILENCE
        utterance.push(ramp(2_401, 7_678))
        assert case.read() == [*range(4_801, 4_801 + FRAME)]

    def test_counts_after_a_resume_and_not_between_utterances(self) -> None:
        case = heard(prebuffer_seconds=0.1)
        utterance = case.controller.utterance()
        utterance.push(ramp(1_200))
        utterance.push(ramp(1_200, 1_201))
        utterance.push(ramp(1_200, 2_401))
        case.read()
        case.controller.pause(), case.controller.resume()
        assert case.controller.leaf == "speaking.streaming", "there was no gap"
        case.controller.pause(), case.read(), case.controller.resume()
        assert case.controller.leaf == "speaking.buffering"
        utterance.end()
        other = case.controller.utterance()
        other.push(ramp(FRAME, 10_001))
        for start in range(1 + FRAME, 3_360, FRAME):
            assert case.read() == [*range(start, start + FRAME)]
        assert case.read() == [*range(3_361, 3_601), *range(10_001, 10_001 + 240)]

    def test_an_utterance_that_has_ended_needs_none(self) -> None:
        case = heard(prebuffer_seconds=0.1)
        utterance = case.controller.utterance()
        utterance.push(ramp(10))
        utterance.end()
        assert case.read() == [*range(1, 11), *[0] * 470]


class TestStarvation:
    def test_an_utterance_that_stays_dry_is_ended(self) -> None:
        case = heard(input_timeout_seconds=0.1, on_input_timeout="complete")
        utterance = case.controller.utterance()
        utterance.push(ramp(FRAME + 10))
        case.read()
        for _ in range(4):
            assert case.read() == SILENCE
        assert not utterance.ended
        assert case.read() == SILENCE
        assert (utterance.ended, case.controller.leaf) == (True, "speaking.draining")
        assert case.read() == [*range(1 + FRAME, 11 + FRAME), *[0] * 470]
        assert case.emitted("last_audio_byte") == ["last_audio_byte"]
        assert utterance.report is not None
        assert utterance.report.outcome is Outcome.COMPLETED

    def test_by_default_it_fails(self) -> None:
        case = heard(input_timeout_seconds=0.1)
        utterance = case.controller.utterance(text="one two three")
        for at, word in enumerate(("one", "two", "three")):
            utterance.mark(word, at=at * 0.02, until=(at + 1) * 0.02)
        utterance.push(ramp(FRAME + 10))
        for _ in range(7):
            case.read()
        assert case.emitted("last_audio_byte", "utterance_finished") == ["utterance_finished"]
        assert utterance.report is not None
        assert (utterance.report.outcome, utterance.report.heard) == (Outcome.FAILED, "one")
        assert isinstance(utterance.report.error, InputTimeout)
        assert "0.1 s" in str(utterance.report.error)

    def test_what_is_played_makes_up_for_its_own_length(self) -> None:
        case = heard(input_timeout_seconds=0.1)
        utterance = case.controller.utterance()
        for _ in range(10):
            utterance.push(ramp(3 * FRAME))
            for _ in range(6):
                case.read()
        assert not utterance.ended
        utterance.push(ramp(1))
        for _ in range(2):
            case.read()
        assert utterance.ended

    def test_a_pause_does_not_count(self) -> None:
        case = heard(input_timeout_seconds=0.1)
        utterance = case.controller.utterance()
        utterance.push(ramp(FRAME))
        case.read()
        case.controller.pause()
        for _ in range(20):
            case.read()
        case.controller.resume()
        case.read()
        assert not utterance.ended


class TestLimits:
    def test_a_push_beyond_the_maximum_takes_nothing(self) -> None:
        case = heard(high_water_seconds=0.5, max_buffered_seconds=1.0)
        utterance = case.controller.utterance()
        utterance.push(ramp(23_000))
        with pytest.raises(BufferFull, match=r"23000 .* 1001 .* 24000"):
            utterance.push(ramp(1_001))
        assert (utterance.accepted, case.controller.buffered) == (23_000, 23_000)
        assert utterance.push(ramp(1_000)) == 1_000
        case.read()
        assert utterance.push(ramp(FRAME)) == FRAME

    def test_small_pushes_reach_the_same_maximum(self) -> None:
        case = heard(high_water_seconds=0.5, max_buffered_seconds=1.0)
        utterance = case.controller.utterance()
        for _ in range(50):
            assert utterance.push(bytes(2 * FRAME)) == FRAME
        with pytest.raises(BufferFull):
            utterance.push(bytes(2 * FRAME))
        case.read()
        assert utterance.push(bytes(2 * FRAME)) == FRAME

    @pytest.mark.parametrize(
        "options",
        [
            {"prebuffer_seconds": -1.0},
            {"prebuffer_seconds": 11.0},
            {"high_water_seconds": 601.0},
            {"max_buffered_seconds": float("inf")},
            {"history_seconds": float("nan")},
            {"input_timeout_seconds": -0.1},
        ],
    )
    def test_times_that_can_not_be(self, options: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=next(iter(options))) as caught:
            heard(**options)
        assert repr(next(iter(options.values()))) in str(caught.value)
