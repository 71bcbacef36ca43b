"""Pause and resume: nothing is lost, nothing is heard twice unless it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, Fades, PlaybackController
from playback.events import MarkReached, Resumed
from tests.signals import CUTS, FRAME, RATE, Heard, ramp

SILENCE = [0] * FRAME
LOUD = 10_000


def speaking(samples: int = 4 * FRAME, *, open: bool = True) -> Heard:
    case = Heard()
    utterance = case.controller.utterance()
    utterance.push(ramp(samples))
    if not open:
        utterance.end()
    assert case.read() == [*range(1, 1 + FRAME)]
    case.events.clear()
    return case


@pytest.mark.parametrize("reads", [0, 1, 50])
def test_resume_goes_on_at_the_very_next_sample(reads: int) -> None:
    case = speaking()
    assert case.controller.pause()
    for _ in range(reads):
        assert case.read() == SILENCE
    assert case.controller.resume()
    assert case.read() == [*range(1 + FRAME, 1 + 2 * FRAME)]


def test_a_second_pause_is_ignored() -> None:
    case = speaking()
    assert [case.controller.pause(), case.controller.pause()] == [True, False]
    assert case.emitted("paused") == ["paused"]
    assert case.controller.resume()
    assert case.controller.state == "speaking"
    assert case.controller.resume() is False


def test_a_pause_before_anything_holds_what_comes() -> None:
    case = Heard()
    case.controller.pause()
    assert case.controller.leaf == "paused.empty"
    assert case.controller.push(ramp(FRAME)) == FRAME
    assert case.read() == SILENCE
    case.controller.resume()
    assert case.read() == [*range(1, 1 + FRAME)]


def test_push_and_end_within_a_pause() -> None:
    case = speaking(2 * FRAME, open=False)
    case.controller.pause()
    case.controller.push(ramp(10, 1_001))
    case.controller.end()
    empty = case.controller.utterance()
    empty.end()
    assert case.emitted("last_audio_byte") == []
    assert case.read() == SILENCE
    case.controller.resume()
    assert case.controller.leaf == "speaking.draining"
    assert case.read() + case.read()[:10] == [*range(1 + FRAME, 1 + 2 * FRAME), *range(1_001, 1_011)]
    assert case.emitted("last_audio_byte") == ["last_audio_byte"] * 3


def test_no_last_byte_while_a_pause_holds_audio_back() -> None:
    case = speaking(2 * FRAME, open=False)
    case.controller.pause()
    for _ in range(100):
        case.read()
    assert case.emitted("last_audio_byte", "utterance_finished") == []
    case.controller.resume()
    case.read()
    assert case.emitted("last_audio_byte") == ["last_audio_byte"]


def test_an_end_within_a_pause_when_all_was_heard_is_reported_at_once() -> None:
    case = Heard()
    utterance = case.controller.utterance()
    utterance.push(ramp(FRAME))
    case.read()
    case.controller.pause()
    utterance.end()
    assert case.emitted("last_audio_byte") == ["last_audio_byte"]
    assert case.controller.leaf == "paused.ended"
    case.controller.resume()
    assert case.controller.state == "idle"


def test_an_interrupt_within_a_pause_is_silent_and_ends_it() -> None:
    case = speaking()
    case.controller.pause()
    assert case.controller.interrupt()
    assert case.controller.state == "interrupted"
    assert case.read() == SILENCE
    assert case.controller.state == "idle"
    case.controller.push(ramp(FRAME, 5_001))
    assert case.read() == [*range(5_001, 5_001 + FRAME)]


class TestRewind:
    def test_starts_so_much_earlier_and_counts_nothing_twice(self) -> None:
        case = speaking(4 * FRAME, open=False)
        case.read()
        case.controller.pause(), case.read()
        case.controller.resume(rewind_seconds=600 / RATE)
        assert case.controller.buffered == 2 * FRAME
        assert case.read() == [*range(361, 841)]
        assert case.controller.buffered == 2 * FRAME
        assert case.read() == [*range(841, 1321)]
        assert case.controller.buffered == 2 * FRAME - 360
        case.read(), case.read()
        (event,) = (event for event in case.events if isinstance(event, Resumed))
        assert event.rewound == 600
        assert case.emitted("last_audio_byte") == ["last_audio_byte"]

    @pytest.mark.parametrize("push", [10, 480, 1_000])
    def test_across_the_pushes_of_any_size(self, push: int) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        for start in range(0, 4_800, push):
            utterance.push(ramp(min(push, 4_800 - start), 1 + start).tobytes())
        for _ in range(5):
            case.read()
        case.controller.pause(), case.controller.resume(1_111 / RATE)
        assert case.read() == [*range(1 + 2_400 - 1_111, 1 + 2_400 - 1_111 + FRAME)]

    def test_marks_are_emitted_once(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.push(ramp(3 * FRAME))
        for at in (0, 100, 700):
            utterance.mark(str(at), at=at / RATE)
        case.read()
        case.controller.pause(), case.controller.resume(rewind_seconds=1)
        case.read(), case.read()
        assert [event.payload for event in case.events if isinstance(event, MarkReached)] == ["0", "100", "700"]
        assert case.emitted("first_audio_byte") == ["first_audio_byte"]

    def test_stays_within_the_utterance(self) -> None:
        case = Heard()
        for start in (1, 1_001):
            utterance = case.controller.utterance()
            utterance.push(ramp(FRAME, start))
        case.controller.end()
        first = case.controller.utterance()
        assert first.played == 0
        case.read()
        case.controller.pause(), case.controller.resume(rewind_seconds=10)
        assert case.read() == [*range(1, 1 + FRAME)]

    def test_stays_within_the_history(self) -> None:
        case = Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, history_seconds=0.01))
        case.controller.push(ramp(3 * FRAME))
        case.read(), case.read()
        case.controller.pause(), case.controller.resume(rewind_seconds=10)
        assert case.read() == [*range(1 + 2 * FRAME - 240, 1 + 3 * FRAME - 240)]

    def test_without_a_history_goes_nowhere(self) -> None:
        case = Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, history_seconds=0))
        case.controller.push(ramp(2 * FRAME))
        case.read()
        case.controller.pause(), case.controller.resume(rewind_seconds=10)
        assert case.read() == [*range(1 + FRAME, 1 + 2 * FRAME)]

    def test_an_interrupt_on_the_way_counts_right(self) -> None:
        case = speaking()
        utterance = case.controller.utterance()
        case.read()
        case.controller.pause(), case.controller.resume(rewind_seconds=1)
        case.read(100)
        case.controller.interrupt()
        (event,) = (event for event in case.events if event.name == "interrupted")
        assert event.discarded == 2 * FRAME  # type: ignore[attr-defined]
        assert (utterance.accepted, case.controller.buffered) == (0, 0)

    @pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf")])
    def test_times_that_can_not_be(self, seconds: float) -> None:
        case = speaking()
        case.controller.pause()
        with pytest.raises(ValueError, match=repr(seconds)):
            case.controller.resume(rewind_seconds=seconds)
        assert case.controller.state == "paused"


class TestRamps:
    """With the ramps on: 5 ms are 120 samples at 24 kHz."""

    @staticmethod
    def loud(fades: Fades) -> tuple[PlaybackController, NDArray[np.int_]]:
        controller = PlaybackController(AudioFormat(RATE), fades=fades)
        controller.push(np.full(100 * FRAME, LOUD, np.int16))
        controller.read(FRAME)
        return controller, np.arange(120)

    def test_down_over_the_audio_at_the_position_and_up_over_the_same(self) -> None:
        controller, steps = self.loud(Fades())
        buffered = controller.buffered
        controller.pause()
        frame = controller.read(FRAME)[:, 0]
        assert np.array_equal(frame[:120], np.rint(LOUD * (1 - steps / 120)))
        assert not frame[120:].any()
        assert controller.buffered == buffered, "the ramp plays nothing"
        controller.resume()
        frame = controller.read(FRAME)[:, 0]
        assert np.array_equal(frame[:120], np.rint(LOUD * ((1 + steps) / 120)))
        assert (frame[120:] == LOUD).all()
        assert controller.buffered == buffered - FRAME

    def test_no_step_however_small_the_reads(self) -> None:
        controller, _ = self.loud(Fades())
        controller.read(1)
        out = []
        for index in range(1_000):
            if index == 100:
                controller.pause()
            if index == 150:
                controller.resume()
            if index == 600:
                controller.pause()
            out.append(int(controller.read(1)[0, 0]))
        assert np.abs(np.diff(out)).max() <= LOUD / 120 + 1
        assert out[99] == LOUD
        assert out[-1] == 0

    def test_pause_and_resume_without_a_read_leave_no_trace(self) -> None:
        controller, _ = self.loud(Fades())
        other, _ = self.loud(Fades())
        for _ in range(3):
            controller.pause()
            controller.resume()
        for _ in range(3):
            assert np.array_equal(controller.read(FRAME), other.read(FRAME))
        controller.pause(), controller.read(60), controller.resume(), controller.read(60)
        other.pause(), other.read(60), other.resume(), other.read(60)
        controller.pause(), controller.resume()
        for _ in range(3):
            assert np.array_equal(controller.read(FRAME), other.read(FRAME))

    def test_a_rewind_ramps_up_too(self) -> None:
        controller, steps = self.loud(Fades())
        controller.pause(), controller.read(FRAME)
        controller.resume(rewind_seconds=0.01)
        assert np.array_equal(controller.read(120)[:, 0], np.rint(LOUD * ((1 + steps) / 120)))

    def test_a_rewind_before_any_read_fades_over(self) -> None:
        controller, _ = self.loud(Fades())
        buffered = controller.buffered
        controller.pause()
        controller.resume(rewind_seconds=0.01)
        heard = controller.read(FRAME)[:, 0]
        assert np.abs(np.diff(heard, prepend=LOUD)).max() <= LOUD / 120 + 1
        controller.read(FRAME)
        assert controller.buffered == buffered - 2 * FRAME + 240, "the fade-out plays nothing"

    def test_what_begins_after_a_pause_begins_at_once(self) -> None:
        controller, _ = self.loud(Fades())
        controller.pause(), controller.read(FRAME)
        controller.interrupt()
        controller.read(FRAME)
        controller.push(np.full(FRAME, LOUD, np.int16))
        assert (controller.read(FRAME) == LOUD).all()

    def test_a_pause_while_nothing_sounds_is_silent(self) -> None:
        controller = PlaybackController(AudioFormat(RATE))
        controller.push(np.full(FRAME, LOUD, np.int16))
        controller.pause()
        assert not controller.read(FRAME).any()
        controller.resume()
        assert (controller.read(FRAME) == LOUD).all()
