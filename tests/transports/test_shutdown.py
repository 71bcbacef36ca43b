"""The end of a process: sentences are finished, goodbye is heard whole, and the deadline holds whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Outcome, PlaybackController, State
from playback.ending import shutdown
from playback.events import ErrorRaised
from playback.utterance import Utterance

pytestmark = pytest.mark.portable

RATE = 8_000
FRAME = 160
GOODBYE = 900
"""The samples of goodbye; all else is softer."""


class Call:
    """A call whose listener reads as fast as the loop goes: its time is the samples that it has read."""

    def __init__(self) -> None:
        self.controller = PlaybackController(AudioFormat(RATE), input_timeout_seconds=None)
        self.heard: list[int] = []
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while self.controller.state is not State.CLOSED:
            self.heard += self.controller.read(FRAME).reshape(-1).tolist()
            await asyncio.sleep(0)

    def say(self, level: int, seconds: float = 0.5, **options: Any) -> Utterance:
        utterance = self.controller.utterance(**options)
        utterance.push(np.full(round(seconds * RATE), level, np.int16))
        utterance.end()
        return utterance

    def seconds_of(self, level: int) -> float:
        return self.heard.count(level) / RATE

    @property
    def goodbye_seconds(self) -> float:
        """How much of goodbye was heard; the fade-out of what was interrupted may sound beneath its beginning."""
        return sum(sample >= GOODBYE for sample in self.heard) / RATE

    async def hang_up(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


def goodbye(controller: PlaybackController) -> Utterance:
    utterance = controller.utterance(text="Goodbye.", interruptible=False)
    utterance.push(np.full(RATE, GOODBYE, np.int16))
    utterance.end()
    return utterance


async def test_what_plays_is_finished_and_goodbye_is_heard_whole() -> None:
    calls = [Call() for _ in range(20)]
    for call in calls[::2]:
        call.say(100)
        call.say(200)
    await asyncio.sleep(0)
    assert await shutdown([call.controller for call in calls], goodbye)
    for index, call in enumerate(calls):
        assert call.controller.state is State.CLOSED
        assert call.goodbye_seconds == 1.0
        assert len(call.heard) >= RATE * (1.2 + (0 if index % 2 else 0.5))
        assert call.seconds_of(100) == (0.0 if index % 2 else 0.5)
        assert call.seconds_of(200) < 0.1  # faded out, if it has begun


async def test_the_whole_turn_is_finished_or_only_its_sentence() -> None:
    for finish, seconds in (("turn", 0.5), ("utterance", 0.0)):
        call = Call()
        async with call.controller.turn() as turn:
            for level in (100, 200):
                utterance = turn.utterance()
                utterance.push(np.full(RATE // 2, level, np.int16))
                utterance.end()
        assert await shutdown([call.controller], goodbye, finish=finish)  # type: ignore[arg-type]
        assert call.seconds_of(100) == 0.5
        assert call.seconds_of(200) == pytest.approx(seconds, abs=0.1)
        assert call.goodbye_seconds == 1.0


@pytest.mark.parametrize("prepare", ["pause", "lock", "interrupt"])
async def test_goodbye_is_heard_in_every_state(prepare: str) -> None:
    call = Call()
    call.say(100, interruptible=False)
    getattr(call.controller, prepare)()
    if prepare == "pause":
        call.controller.pause(by="barge-in")
    assert await shutdown([call.controller], goodbye)
    assert call.goodbye_seconds == 1.0


async def test_an_answer_that_does_not_end_is_interrupted() -> None:
    call = Call()
    open_one = call.controller.utterance(interruptible=False)
    open_one.push(np.full(RATE, 100, np.int16))
    assert await shutdown([call.controller], goodbye, finish_seconds=0.05)
    assert call.goodbye_seconds == 1.0
    assert open_one.report is not None
    assert open_one.report.outcome is Outcome.INTERRUPTED


async def test_without_a_goodbye_what_plays_drains() -> None:
    call = Call()
    said = call.say(100)
    assert await shutdown([call.controller])
    assert said.report is not None
    assert said.report.outcome is Outcome.COMPLETED
    assert await shutdown([call.controller], goodbye)  # closed already
    assert await shutdown([], goodbye)


async def never() -> AsyncIterator[bytes]:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(3600)  # nor does it close
    yield b""


def stalls(controller: PlaybackController) -> Utterance:
    return controller.speak(never(), timeout_seconds=None, first_audio_timeout_seconds=None)


def raises(controller: PlaybackController) -> Utterance:
    raise LookupError("no voice")


class Panic(BaseException):
    """As pyo3's PanicException, which is no Exception."""


def panics(controller: PlaybackController) -> Utterance:
    raise Panic("no voice")


@pytest.mark.parametrize("say", [goodbye, stalls, raises, panics, None])
async def test_the_deadline_holds_whatever_happens(say: Callable[[PlaybackController], Utterance] | None) -> None:
    calls = [Call() for _ in range(3)]
    for call in calls:
        call.say(100)
    await calls[0].hang_up()  # nobody reads any more
    errors: list[ErrorRaised] = []
    calls[1].controller.on("error", errors.append)
    waiting = [asyncio.create_task(call.controller.utterance().wait()) for call in calls]
    before = set(asyncio.all_tasks())
    loop = asyncio.get_running_loop()
    begun = loop.time()
    assert not await shutdown([call.controller for call in calls], say, finish_seconds=0.1, deadline_seconds=0.5)
    assert loop.time() - begun < 20  # and not for ever
    assert all(call.controller.state is State.CLOSED for call in calls)
    assert {report.outcome for report in await asyncio.gather(*waiting)} <= {Outcome.CLOSED, Outcome.INTERRUPTED}
    assert [str(event.exception) for event in errors] == (["no voice"] if say in (raises, panics) else [])
    for task in asyncio.all_tasks() - before:
        task.cancel()


async def test_a_controller_that_is_named_twice_says_goodbye_once() -> None:
    call = Call()
    assert await shutdown([call.controller, call.controller], goodbye)
    assert call.goodbye_seconds == 1


async def test_one_that_is_cancelled_closes_all() -> None:
    call = Call()
    await call.hang_up()
    call.say(100)
    task = asyncio.create_task(shutdown([call.controller], goodbye))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.controller.state is State.CLOSED


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"finish": "word"}, "finish is 'word', expected 'turn' or 'utterance'"),
        ({"finish_seconds": -1}, "finish_seconds is -1"),
        ({"deadline_seconds": float("inf")}, "deadline_seconds is inf"),
        ({"network_seconds": "1"}, "network_seconds is '1'"),
    ],
)
async def test_what_can_not_be_is_refused_before_anything_ends(options: dict[str, Any], error: str) -> None:
    controller = PlaybackController()
    with pytest.raises((ValueError, TypeError), match=error):
        await shutdown([controller], **options)
    assert controller.state is State.IDLE
