"""Underruns: each has an end, whatever ends it, and a length that is exact to the sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController, Underrun, UnderrunEnded, Utterance
from playback.events import EVENTS, Event
from tests.signals import FRAME, RATE

pytestmark = pytest.mark.portable


class Call:
    """A call in an underrun: two frames were played, then six of silence read."""

    def __init__(self, **options: Any) -> None:
        self.controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0), **options)
        self.events: list[Event] = []
        for name in EVENTS:
            self.controller.on(name, self.events.append)
        self.utterance = self.controller.utterance()
        self.utterance.push(np.ones(2 * FRAME, np.int16))
        self.read(8)

    def read(self, frames: int) -> None:
        for _ in range(frames):
            self.controller.read(FRAME)

    @property
    def ends(self) -> list[tuple[int, float]]:
        return [(event.position, event.seconds) for event in self.events if isinstance(event, UnderrunEnded)]


def resume(call: Call) -> None:
    call.utterance.push(np.ones(2 * FRAME, np.int16))


ENDS: dict[str, Callable[[Call], object]] = {
    "audio": resume,
    "end": lambda call: call.utterance.end(),
    "fail": lambda call: call.utterance.fail(ValueError()),
    "cancel": lambda call: call.utterance.cancel(),
    "pause": lambda call: call.controller.pause(),
    "interrupt": lambda call: call.controller.interrupt(),
    "lock": lambda call: call.controller.lock(),
    "close": lambda call: call.controller.close(),
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_an_underrun_is_its_end(end: str) -> None:
    call = Call()
    assert [event.position for event in call.events if isinstance(event, Underrun)] == [2 * FRAME]
    assert call.ends == []
    ENDS[end](call)
    assert call.ends == [(8 * FRAME, 6 * FRAME / RATE)]
    call.read(5)
    assert len(call.ends) == 1  # where audio has come, it has run out again, and that has not ended


def test_the_input_timeout_ends_it() -> None:
    call = Call(input_timeout_seconds=10 * FRAME / RATE)
    call.read(10)
    assert call.ends == [(12 * FRAME, 10 * FRAME / RATE)]


def test_one_ends_where_another_utterance_is_at_the_head() -> None:
    call = Call()
    other = call.controller.utterance()
    other.enqueue()
    call.utterance.cancel()
    assert call.controller.leaf == "speaking.buffering"
    assert [event.utterance for event in call.events if isinstance(event, UnderrunEnded)] == [call.utterance]
    call.read(3)
    assert len(call.ends) == 1


def test_the_lengths_are_all_the_silence_that_is_counted() -> None:
    call = Call()
    for frames in (3, 1, 7):
        call.utterance.push(np.ones(frames * FRAME + 3, np.int16))
        call.read(frames + 4)
    call.utterance.end()
    silence = sum(seconds for _, seconds in call.ends)
    assert silence == pytest.approx(call.controller.stats.underrun_samples / RATE)
    assert len(call.ends) == call.controller.stats.underruns == 4


def test_a_first_push_that_is_late_is_no_underrun() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    ended: list[UnderrunEnded] = []
    controller.on("underrun_ended", ended.append)
    utterance: Utterance = controller.utterance()
    utterance.enqueue()
    controller.read(FRAME)
    utterance.push(np.ones(FRAME, np.int16))
    controller.read(FRAME)
    utterance.end()
    assert ended == []
