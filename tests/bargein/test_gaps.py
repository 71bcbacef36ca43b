"""How long the agent falls silent for a sound that was nothing, on samples: time is the number of samples read.

The detector is late as ours is by default: 0.1 s for the beginning of speech, a quarter of a second for its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController
from playback.bargein import BargeIn
from playback.bargein.recognizer import RATE, Recognized
from playback.bargein.short_words import _WORKER, ShortWords
from playback.bargein.vad import SpeechDetector
from tests.bargein.test_hearing import SampleClock

pytestmark = pytest.mark.portable

PIECE = RATE // 50
BEGAN_LATE, ENDED_LATE = 0.096, 0.256
"""By default; see :class:`SpeechDetector`."""
LONGEST_GAP = 0.25
START = 1.0
COUGHS = [0.1, 0.2, 0.3, 0.35, 0.4, 0.44]
"""How long a cough lasts, in seconds: that of a man 0.3 to 0.4 s in the mean."""


class NoWord:
    """A recognizer that knows none of what it hears."""

    def recognize(self, samples: NDArray[np.int16]) -> Recognized | None:  # noqa: ARG002 - the protocol's
        return None


class Case:
    """An agent that speaks for eight seconds, and a user who makes one sound."""

    def __init__(self, seconds: float, **options: Any) -> None:
        self.controller, self.clock = PlaybackController(AudioFormat(RATE)), SampleClock()
        self.policy = BargeIn(self.controller, timer=self.clock, **options)
        self.emitted: list[str] = []
        for name in ("barge_in", "false_interruption"):
            self.policy.on(name, lambda event: self.emitted.append(event.name))
        self.answer = self.controller.utterance()
        self.answer.push(np.full(8 * RATE, 1_000, np.int16))
        self.answer.end()
        self.words: ShortWords | None = None
        self.heard: list[int] = []
        self.seconds = seconds
        self.calls: list[tuple[float, Callable[[], object]]] = []
        # A sound that is shorter than the detector takes to be sure is none.
        if seconds >= BEGAN_LATE:
            self.at(BEGAN_LATE, self.began)
            self.at(seconds + ENDED_LATE, self.ended)

    def at(self, seconds: float, call: Callable[[], object]) -> None:
        """Have this called so long after the sound's beginning."""
        self.calls.append((START + seconds, call))
        self.calls.sort(key=lambda call: call[0])

    def began(self) -> None:
        self.policy.speech_started(seconds_ago=BEGAN_LATE)
        if self.words is not None:
            self.words.speech_started()

    def ended(self) -> None:
        self.policy.speech_ended(seconds_ago=ENDED_LATE)
        if self.words is not None:
            self.words.speech_ended()

    async def play(self, seconds: float = 6.0) -> None:
        while self.clock.time() < seconds:
            while self.calls and self.calls[0][0] <= self.clock.time() + 1e-9:
                self.calls.pop(0)[1]()
            while self.words is not None and self.words._busy:
                await asyncio.get_running_loop().run_in_executor(_WORKER, int)  # behind the sound
                await asyncio.sleep(0)
            if self.words is not None:
                self.words.samples_heard(np.zeros(PIECE, np.int16))
            self.heard += self.controller.read(PIECE)[:, 0].tolist()
            self.clock.advance(PIECE / RATE)

    @property
    def gap(self) -> float:
        """The longest silence, in seconds."""
        loud = np.flatnonzero(self.heard)
        return float(np.max(np.diff(loud), initial=1) - 1) / RATE


def test_the_detector_is_as_late_as_this_says() -> None:
    detector = SpeechDetector(lambda chunk: float(chunk[0] > 0))
    heard = np.concatenate([np.zeros(RATE), np.ones(RATE), np.zeros(RATE)]).astype(np.int16)
    late = {}
    for start in range(0, len(heard), PIECE):
        for change in detector.feed(heard[start : start + PIECE]):
            late[change.speaking] = (detector.position - change.at) / RATE
    assert late == {True: pytest.approx(BEGAN_LATE, abs=0.02), False: pytest.approx(ENDED_LATE, abs=0.02)}


async def alone(case: Case) -> None:
    """Nobody hears words."""


async def by_ear(case: Case) -> None:
    case.words = ShortWords(case.policy.transcript, NoWord())


async def recognition_that_finds_nothing(case: Case) -> None:
    for late in (0.2, 0.7):
        case.at(case.seconds + late, partial(case.policy.transcript, "", final=late > 0.5))


@pytest.mark.parametrize("hear", [alone, by_ear, recognition_that_finds_nothing])
@pytest.mark.parametrize("seconds", COUGHS)
async def test_a_cough_makes_no_gap_and_drops_nothing(seconds: float, hear: Any) -> None:
    case = Case(seconds)
    await hear(case)
    await case.play(10.0)
    assert case.gap < LONGEST_GAP
    assert (case.answer.played, case.answer.report is not None) == (8 * RATE, True)
    assert case.emitted == ["false_interruption"]
    assert case.controller.gain_db == 0.0


@pytest.mark.parametrize("seconds", [0.5, 0.8, 1.0])
async def test_a_sound_that_is_no_word_lets_the_agent_go_on_when_it_ends(seconds: float) -> None:
    case = Case(seconds)
    await by_ear(case)
    await case.play(10.0)
    assert case.gap <= seconds + ENDED_LATE + 0.02 - 0.446, "since it was paused, to when its end is known"
    assert case.emitted == ["false_interruption"]


async def test_what_lasts_is_waited_for_though_it_has_ended() -> None:
    """A "Stop." whose words come late: nothing resumes."""
    case = Case(0.64)
    case.at(0.64 + 0.6, partial(case.policy.transcript, "Stop."))
    await case.play()
    assert case.emitted == ["barge_in"]
    assert not any(case.heard[round((START + 0.55) * RATE) :])


@pytest.mark.parametrize("early", [0.3, 0.5])
async def test_words_that_came_before_a_short_sound_ended_are_waited_for(early: float) -> None:
    """A "No." of which recognition has heard something: it may become more."""
    case = Case(0.44, min_words=3)
    case.at(early, partial(case.policy.transcript, "no", final=False))
    case.at(0.44 + 0.6, partial(case.policy.transcript, "No.", final=True))
    await case.play()
    assert case.emitted == ["barge_in"]
    assert not any(case.heard[round((START + 0.5) * RATE) :])


async def test_a_sentence_is_silent_as_soon_as_before() -> None:
    case = Case(2.0)
    await case.play()
    assert case.emitted == ["barge_in"]
    assert np.flatnonzero(case.heard)[-1] / RATE - START <= 0.47


async def test_words_that_come_late_for_a_short_sound_interrupt_all_the_same() -> None:
    case = Case(0.4)
    case.at(0.4 + 0.6, partial(case.policy.transcript, "No."))
    await case.play()
    assert case.emitted == ["barge_in"]
