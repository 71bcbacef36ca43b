"""Interrupt and lock: final, instant, and no stale audio ever."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from playback import AudioFormat, Fades, Outcome, PlaybackController, Utterance
from playback.events import AudioRefused, Interrupted, Silenced
from tests.signals import FRAME, RATE, Heard, ramp

SILENCE = [0] * FRAME
LOUD = 10_000
FADE = 1_440  # 60 ms at 24 kHz


def loud(samples: int = 100 * FRAME, level: int = LOUD) -> np.ndarray:
    return np.full(samples, level, np.int16)


def faded(level: float = LOUD, samples: int = FADE) -> np.ndarray:
    return np.rint(level * (1 - np.arange(samples) / samples))


def sounding(fades: Fades | None = None) -> Heard:
    case = Heard(PlaybackController(AudioFormat(RATE), fades=fades or Fades()))
    case.controller.push(loud())
    case.read()
    case.events.clear()
    return case


def alike(one: list[int], other: np.ndarray) -> bool:
    """Equal but for how halves are rounded."""
    return len(one) == len(other) and float(np.abs(np.array(one) - other).max()) <= 1


def outcome(utterance: Utterance) -> Outcome | None:
    return None if utterance.report is None else utterance.report.outcome


class TestTheFade:
    def test_is_all_that_is_left(self) -> None:
        case = sounding()
        assert case.controller.interrupt()
        assert case.controller.state == "interrupted"
        assert case.controller.buffered == 0
        assert alike(case.read(2 * FADE)[:FADE], faded())
        assert not any(case.read(2 * FADE))
        assert case.controller.state == "idle"

    def test_is_emitted_when_it_is_over_to_the_sample(self) -> None:
        case = sounding()
        case.controller.interrupt()
        for _ in range(4):
            case.read()
        emitted = {event.name: event for event in case.events}
        assert isinstance(emitted["interrupted"], Interrupted)
        assert (emitted["interrupted"].position, emitted["interrupted"].discarded) == (FRAME, 99 * FRAME)
        assert isinstance(emitted["silenced"], Silenced)
        assert emitted["silenced"].position == FRAME + FADE
        assert [event.name for event in case.events] == [
            "utterance_finished",
            "turn_finished",
            "interrupted",
            "state_changed",
            "silenced",
            "state_changed",
        ]

    def test_is_as_short_as_what_is_left_and_still_ends_at_nothing(self) -> None:
        case = Heard(PlaybackController(AudioFormat(RATE)))
        case.controller.push(loud(FRAME + 100))
        case.read()
        case.controller.interrupt()
        assert case.read() == [*faded(LOUD, 100).astype(int).tolist(), *[0] * 380]

    def test_of_zero_is_a_cut_exact_to_the_sample(self) -> None:
        case = sounding(Fades(interrupt_seconds=0))
        case.controller.interrupt()
        assert case.controller.leaf == "interrupted.fading", "an interrupt is always seen"
        assert case.read() == SILENCE
        assert case.emitted()[-2:] == ["silenced", "state_changed"]
        assert case.controller.state == "idle"

    def test_begins_as_loud_as_it_was(self) -> None:
        case = sounding()
        case.controller.pause(), case.read()
        case.controller.resume(), case.read(60)  # halfway up
        case.controller.interrupt()
        assert alike(case.read(FADE), faded(LOUD / 2))

    @pytest.mark.parametrize("reads", [0, 1])
    def test_is_not_there_for_what_has_not_sounded(self, reads: int) -> None:
        case = Heard(PlaybackController(AudioFormat(RATE)))
        for _ in range(reads):
            case.read()
        case.controller.push(loud())
        assert case.controller.interrupt()
        assert case.controller.state == "interrupted"
        assert case.read() == SILENCE

    def test_is_not_there_in_a_pause(self) -> None:
        case = sounding()
        case.controller.pause(), case.read()
        case.controller.interrupt()
        assert case.read() == SILENCE
        assert case.controller.state == "idle"

    def test_is_the_ramp_of_a_pause_that_nobody_has_read(self) -> None:
        case = sounding()
        case.controller.pause()
        case.controller.interrupt()
        assert case.read() == [*faded(LOUD, 120).astype(int).tolist(), *[0] * 360]
        assert case.emitted()[-2:] == ["silenced", "state_changed"]
        assert case.controller.state == "idle"

    def test_is_cut_short_by_a_pause_along_its_ramp(self) -> None:
        case = sounding()
        case.controller.interrupt()
        case.read()
        case.controller.pause()
        level = LOUD * (1 - FRAME / FADE)
        frame = case.read()
        assert frame[0] == round(level)
        assert all(0 <= after < before for before, after in itertools.pairwise(frame[:120]))
        assert not any(frame[120:])
        assert case.emitted("silenced") == ["silenced"]
        case.controller.resume()
        assert (case.controller.state, case.read()) == ("idle", SILENCE)

    def test_outlives_a_pause_without_a_read(self) -> None:
        case = sounding()
        case.controller.interrupt()
        case.controller.pause(), case.controller.resume()
        assert case.controller.state == "idle"
        assert alike(case.read(FADE), faded())

    def test_sounds_on_beneath_a_new_utterance(self) -> None:
        case = sounding()
        case.controller.interrupt()
        case.controller.push(loud(level=1_000))
        assert alike(case.read(), 1_000 + faded()[:FRAME])
        assert case.controller.state == "speaking"
        assert alike(case.read(), 1_000 + faded()[FRAME : 2 * FRAME])
        case.read()
        assert case.emitted("silenced") == ["silenced"]
        assert case.read() == [1_000] * FRAME

    def test_never_wraps_around(self) -> None:
        case = Heard(PlaybackController(AudioFormat(RATE)))
        case.controller.push(loud(level=30_000))
        case.read()
        case.controller.interrupt()
        case.controller.push(loud(level=30_000))
        assert max(case.read()) == 32_767
        assert min(case.read()) > 0

    def test_of_a_second_interrupt_joins_the_first(self) -> None:
        case = sounding()
        case.controller.interrupt()
        case.controller.push(loud(level=1_000))
        case.read()
        case.controller.interrupt()
        out = np.array(case.read(FADE))
        wanted = faded(1_000)
        wanted[: FADE - FRAME] += LOUD * (1 - np.arange(FRAME, FADE) / FADE)
        assert np.abs(out - wanted).max() <= 1

    def test_emits_no_mark(self) -> None:
        case = sounding()
        case.controller.utterance()
        utterance = case.controller.utterance()
        utterance.push(loud(10))
        utterance.mark("beyond", at=0)
        case.controller.interrupt()
        for _ in range(4):
            case.read()
        assert case.emitted("mark_reached", "last_audio_byte", "first_audio_byte") == []


class TestFinality:
    def test_twice_is_once(self) -> None:
        case = sounding()
        assert [case.controller.interrupt(), case.controller.interrupt()] == [True, False]
        case.read()
        assert case.controller.interrupt() is False
        assert case.emitted("interrupted", "utterance_finished") == ["utterance_finished", "interrupted"]

    def test_before_anything_changes_nothing(self) -> None:
        case = Heard()
        assert case.controller.interrupt() is False
        assert (case.controller.state, case.emitted()) == ("idle", [])

    def test_every_utterance_of_the_queue_is_finished_once(self) -> None:
        case = Heard()
        handles = [case.controller.utterance(id=str(index)) for index in range(5)]
        for handle in handles[:3]:
            handle.push(ramp(100))
        for handle in handles[3:]:
            handle.mark("in use, and without a place")
        handles[0].end()
        case.controller.utterance(id="unused")
        case.controller.interrupt()
        finished = [event.utterance.id for event in case.events if event.name == "utterance_finished"]  # type: ignore[attr-defined]
        assert finished == ["0", "1", "2", "3", "4"]
        for handle in handles:
            assert handle.report is not None
            assert handle.report.outcome is Outcome.INTERRUPTED
            assert handle.report.discarded == handle.accepted
            assert handle.end() is False

    def test_a_stale_handle_is_refused_for_ever(self) -> None:
        case = Heard()
        stale = case.controller.utterance()
        stale.push(ramp(FRAME))
        case.controller.interrupt()
        fresh = case.controller.utterance()
        for _ in range(3):
            assert stale.push(ramp(100)) == 0
            fresh.push(ramp(FRAME, 5_001))
            assert not set(case.read()) & set(range(1, 101))
        refusals = [event for event in case.events if isinstance(event, AudioRefused)]
        assert [(event.utterance, event.samples, event.reason) for event in refusals] == [
            (stale, 100, "interrupted")
        ] * 3
        assert (stale.refused, case.controller.stats.refusals) == (300, 3)

    def test_what_a_listener_has_dropped_within_its_first_push_is_stale_too(self) -> None:
        case = Heard()
        stale = case.controller.utterance()

        def barge_in(_: object) -> None:
            case.controller.interrupt()
            case.controller.push(ramp(FRAME, 5_001))

        case.controller.once("state_changed", barge_in)
        stale.push(ramp(2 * FRAME).tobytes())
        assert [stale.push(ramp(FRAME).tobytes()) for _ in range(3)] == [0, 0, 0]
        assert case.controller.buffered == FRAME
        assert case.read() == [*range(5_001, 5_001 + FRAME)]

    def test_again_and_again(self) -> None:
        case = Heard()
        for _ in range(130):
            case.controller.push(ramp(2 * FRAME))
            assert case.read() == [*range(1, 1 + FRAME)]
            assert case.controller.interrupt()
            assert case.read() == SILENCE
        assert case.emitted("last_audio_byte") == []


class TestTheLock:
    def test_refuses_every_push_and_reports_it(self) -> None:
        case = Heard()
        assert [case.controller.lock(), case.controller.lock()] == [True, False]
        assert (case.controller.input_locked, case.controller.state) == (True, "input_locked")
        handle = case.controller.utterance()
        assert [handle.push(ramp(100)), case.controller.push(ramp(50))] == [0, 0]
        assert case.emitted() == ["input_locked", "state_changed", "audio_refused", "audio_refused"]
        assert case.controller.stats.refused_samples == 150
        assert [case.controller.unlock(), case.controller.unlock()] == [True, False]
        assert case.controller.state == "idle"

    def test_while_speaking_plays_what_there_is_and_completes_nothing_that_was_cut(self) -> None:
        case = Heard()
        ended, cut = case.controller.utterance(), case.controller.utterance()
        ended.push(ramp(100))
        ended.end()
        cut.push(ramp(100, 101))
        case.controller.lock()
        assert case.controller.leaf == "speaking.sealed"
        assert cut.push(ramp(100)) == 0
        assert case.read() == [*range(1, 201), *[0] * 280]
        assert ended.report is not None
        assert cut.report is not None
        assert (ended.report.outcome, cut.report.outcome) == (Outcome.COMPLETED, Outcome.INTERRUPTED)
        assert case.emitted("last_audio_byte") == ["last_audio_byte"]
        assert case.controller.state == "input_locked"

    def test_while_paused(self) -> None:
        case = sounding()
        case.controller.pause()
        case.controller.lock()
        assert case.controller.leaf == "paused.sealed"
        assert case.controller.push(ramp(10)) == 0
        case.controller.unlock()
        assert case.controller.leaf == "paused.ended"
        case.controller.resume()
        assert case.controller.leaf == "speaking.draining"

    def test_while_fading(self) -> None:
        case = sounding()
        case.controller.interrupt()
        case.controller.lock()
        assert case.controller.leaf == "interrupted.sealed"
        assert case.controller.push(loud()) == 0
        assert alike(case.read(FADE), faded())
        assert case.controller.state == "input_locked"

    def test_a_handle_that_was_refused_can_not_complete(self) -> None:
        case = Heard()
        handle = case.controller.utterance()
        case.controller.lock()
        handle.push(ramp(100))
        case.controller.unlock()
        assert handle.push(ramp(100)) == 100
        handle.end()
        case.read()
        assert handle.report is not None
        assert (handle.report.outcome, handle.report.played, handle.report.refused) == (Outcome.INTERRUPTED, 100, 100)

    def test_a_handle_without_a_push_does_not_notice(self) -> None:
        case = Heard()
        handle = case.controller.utterance()
        case.controller.lock()
        case.controller.unlock()
        handle.push(ramp(100))
        handle.end()
        case.read()
        assert handle.report is not None
        assert handle.report.outcome is Outcome.COMPLETED

    def test_with_an_interrupt_settles_once(self) -> None:
        case = sounding()
        assert case.controller.interrupt(lock=True)
        assert case.emitted() == ["utterance_finished", "interrupted", "input_locked", "state_changed"]
        assert case.controller.leaf == "interrupted.sealed"
        idle = Heard()
        assert idle.controller.interrupt(lock=True)
        assert idle.emitted() == ["input_locked", "state_changed"]


class TestUninterruptible:
    @staticmethod
    def queue(*, end: bool = True) -> tuple[Heard, list[Utterance]]:
        case = Heard()
        handles = [case.controller.utterance(interruptible=index > 0) for index in range(3)]
        for start, handle in zip((1, 2_001), handles, strict=False):
            handle.push(ramp(2 * FRAME, start))
        handles[2].mark("in use, and without a place")
        if end:
            handles[0].end()
        case.read()
        case.events.clear()
        return case, handles

    def test_goes_on_and_the_rest_is_dropped(self) -> None:
        case, handles = self.queue()
        assert case.controller.interrupt(lock=True)
        assert (case.controller.leaf, case.controller.input_locked) == ("speaking.draining", False)
        assert case.emitted() == ["utterance_finished", "utterance_finished", "state_changed"]
        assert [handle.report is None for handle in handles] == [True, False, False]
        assert case.read() == [*range(1 + FRAME, 1 + 2 * FRAME)]
        assert outcome(handles[0]) is Outcome.COMPLETED
        assert case.controller.interrupt() is False

    def test_stays_open(self) -> None:
        case, handles = self.queue(end=False)
        case.controller.interrupt()
        assert case.controller.leaf == "speaking.streaming"
        assert handles[0].push(ramp(10)) == 10

    def test_falls_to_force_and_to_cancel(self) -> None:
        case, handles = self.queue()
        assert case.controller.interrupt(force=True, lock=True)
        assert case.controller.leaf == "interrupted.sealed"
        assert outcome(handles[0]) is Outcome.INTERRUPTED
        case, handles = self.queue()
        assert handles[0].cancel()

    def test_is_only_protected_while_it_is_the_one_to_play(self) -> None:
        case = Heard()
        one, two = case.controller.utterance(), case.controller.utterance(interruptible=False)
        one.push(ramp(100))
        two.push(ramp(100))
        case.controller.interrupt()
        assert two.report is not None

    def test_holds_in_a_pause(self) -> None:
        case, _ = self.queue()
        case.controller.pause()
        case.controller.interrupt()
        assert case.controller.leaf == "paused.ended"
        case.controller.resume()
        assert case.read() == [*range(1 + FRAME, 1 + 2 * FRAME)]


class TestCancel:
    def test_of_what_sounds_leaves_a_fade_beneath_what_follows(self) -> None:
        case = Heard(PlaybackController(AudioFormat(RATE)))
        one, two = case.controller.utterance(), case.controller.utterance()
        one.push(loud())
        two.push(loud(level=1_000))
        case.read()
        one.cancel()
        assert alike(case.read(), 1_000 + faded()[:FRAME])
        assert case.emitted("interrupted", "silenced") == []

    def test_of_the_last_one_rests_when_the_fade_is_over(self) -> None:
        case = sounding()
        case.controller.push(loud(1))
        case.controller.close()
        assert case.controller.state == "closed"
        case = Heard(PlaybackController(AudioFormat(RATE)))
        utterance = case.controller.utterance()
        utterance.push(loud())
        case.read()
        utterance.cancel()
        assert case.controller.leaf == "speaking.draining"
        assert alike(case.read(FADE), faded())
        assert case.controller.state == "idle"


class TestClose:
    def test_is_silent_at_once_and_finishes_everything(self) -> None:
        case = sounding()
        handle = case.controller.utterance()
        handle.mark("in use")
        assert [case.controller.close(), case.controller.close()] == [True, False]
        assert case.emitted() == ["utterance_finished", "utterance_finished", "closed", "state_changed"]
        assert handle.report is not None
        assert handle.report.outcome is Outcome.CLOSED
        assert case.read() == SILENCE

    def test_ends_a_fade(self) -> None:
        case = sounding()
        case.controller.interrupt()
        case.controller.close()
        assert case.read() == SILENCE

    def test_refuses_and_ignores_everything_after(self) -> None:
        case = Heard()
        handle = case.controller.utterance()
        case.controller.close()
        case.emitted()
        assert [handle.push(ramp(10)), case.controller.push(ramp(10))] == [0, 0]
        assert [event.reason for event in case.events if isinstance(event, AudioRefused)] == ["closed", "closed"]
        controller = case.controller
        assert not any([controller.pause(), controller.resume(), controller.interrupt(lock=True), controller.lock()])
        assert not any([controller.unlock(), controller.end(), handle.end(), handle.cancel(), handle.mark("late")])
        assert controller.leaf == "closed"
