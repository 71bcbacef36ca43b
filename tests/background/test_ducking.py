"""Ducking: the background stays down as long as an answer lasts, and comes back without pumping."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

from playback import AudioFormat, PlaybackController, Utterance
from tests.signals import CUTS, FRAME, RATE

LEVEL: Final = 10_000
LOW: Final = round(LEVEL * 10 ** (-12 / 20))


class Levels:
    """A controller with background of one level beneath silent speech: what is heard is the level."""

    def __init__(self, **options: Any) -> None:
        self.controller = PlaybackController(AudioFormat(RATE), fades=CUTS, **options)
        self.background = self.controller.background
        self.background.add(np.full(RATE, LEVEL, np.int16), gain_db=0, fade_seconds=0)

    def after(self, frames: int) -> int:
        """The level at the end of so many frames."""
        return [int(self.controller.read(FRAME)[-1, 0]) for _ in range(frames)][-1]

    def speak(self, frames: int, make: Callable[[], Utterance] | None = None, *, end: bool = True) -> Utterance:
        """Silent speech of so many frames."""
        utterance = (make or self.controller.utterance)()
        utterance.push(np.zeros(frames * FRAME, np.int16))
        if end:
            utterance.end()
        return utterance


def test_it_stays_down_for_a_while_and_then_comes_back() -> None:
    levels = Levels()
    levels.speak(20)
    assert levels.after(20) == LOW
    assert {levels.after(1) for _ in range(25)} == {LOW}
    assert LOW < levels.after(1) < levels.after(15) < LEVEL
    assert levels.after(14) == LEVEL


@pytest.mark.parametrize("hold", [0.0, 0.02, 0.1, 2.0])
def test_how_long_it_stays_down_is_set(hold: float) -> None:
    levels = Levels()
    levels.background.duck_hold_seconds = hold
    levels.speak(20)
    assert levels.after(20) == LOW
    for _ in range(round(hold * 50)):
        assert levels.after(1) == LOW
    assert levels.after(1) > LOW


def test_each_silence_is_counted_from_its_beginning() -> None:
    levels = Levels()
    for _ in range(4):
        levels.speak(10)
        heard = [levels.after(1) for _ in range(30)]
        assert set(heard[9:]) == {LOW}
    assert levels.after(6) > LOW


@pytest.mark.parametrize("silence", [1, 24, 60, 200])
def test_it_stays_down_between_the_utterances_of_a_turn(silence: int) -> None:
    levels = Levels()
    turn = levels.controller.turn()
    heard = []
    for _ in range(3):
        levels.speak(10, turn.utterance)
        heard += [levels.after(1) for _ in range(10 + silence)]
    enqueued = turn.utterance()
    enqueued.enqueue()  # its audio is still to come
    heard += [levels.after(1) for _ in range(silence)]
    assert set(heard[8:]) == {LOW}
    enqueued.end()
    turn.end()
    assert levels.after(26) > LOW
    assert levels.after(30) == LEVEL


def test_it_does_not_go_down_for_a_turn_that_has_not_begun() -> None:
    levels = Levels()
    turn = levels.controller.turn()
    turn.utterance().enqueue()
    assert levels.after(50) == LEVEL


@pytest.mark.parametrize(("frames", "stays"), [(1, True), (24, True), (60, False)])
def test_it_stays_down_over_a_short_underrun(frames: int, stays: bool) -> None:
    levels = Levels()
    utterance = levels.speak(10, end=False)
    levels.after(10)
    heard = [levels.after(1) for _ in range(frames)]
    assert levels.controller.stats.underruns == 1
    assert (set(heard) == {LOW}) is stays
    utterance.push(np.zeros(10 * FRAME, np.int16))
    assert levels.after(10) == LOW


def test_it_comes_back_in_a_long_pause_within_a_turn() -> None:
    levels = Levels()
    turn = levels.controller.turn()
    levels.speak(10, turn.utterance)
    levels.after(12)
    levels.controller.pause()
    assert levels.after(60) == LEVEL
    levels.controller.resume()
    assert levels.after(10) == LOW


def test_how_fast_it_falls_and_comes_back_is_set() -> None:
    levels = Levels()
    levels.background.duck_seconds = 0.04
    levels.background.recover_seconds = 0.1
    levels.background.duck_hold_seconds = 0
    levels.after(1)
    levels.speak(10)
    assert [levels.after(1) > LOW, levels.after(1) == LOW] == [True, True]
    levels.after(8)
    assert [levels.after(4) < LEVEL, levels.after(1) == LEVEL] == [True, True]


def test_what_begins_after_the_last_sound_has_ended_begins_at_the_level_that_is_due() -> None:
    levels = Levels()
    levels.speak(10)
    levels.after(10)
    for sound in [*levels.background._sounds]:
        sound.stop(0)
    levels.after(2)
    levels.background.add(np.full(RATE, LEVEL, np.int16), gain_db=0, fade_seconds=0)
    assert levels.after(1) == LEVEL


@pytest.mark.parametrize("name", ["duck_seconds", "recover_seconds", "duck_hold_seconds"])
@pytest.mark.parametrize(
    ("value", "error"), [(-1.0, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("1", TypeError)]
)
def test_times_that_can_not_be(name: str, value: Any, error: type[Exception]) -> None:
    background = PlaybackController(AudioFormat(RATE)).background
    before = getattr(background, name)
    with pytest.raises(error, match=f"{name} is {value!r}"):
        setattr(background, name, value)
    assert getattr(background, name) == before
