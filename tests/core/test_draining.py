"""Drain: what it waits for, counted in samples read, and how it ends."""

from __future__ import annotations

import asyncio
from asyncio import Task, create_task
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController

RATE = 8_000
EAR = 1600
"""Samples of the default allowance."""


@pytest.fixture
def controller() -> PlaybackController:
    return PlaybackController(AudioFormat(RATE), fades=Fades(0.02, 0, 0))


def say(controller: PlaybackController, samples: int) -> None:
    utterance = controller.utterance()
    utterance.push(np.ones(samples, np.int16))
    utterance.end()


async def samples_until(
    controller: PlaybackController, task: Task[bool], most: int = 10 * RATE, frame: int = 160
) -> int:
    """Read until it is over; returns how many samples that took."""
    begin = controller.position
    while not task.done() and controller.position - begin < most:
        controller.read(frame)
        for _ in range(3):  # the waiter wakes, sees that it is over, and ends its task
            await asyncio.sleep(0)
    return controller.position - begin


async def drained(controller: PlaybackController, frame: int = 160, **options: Any) -> int:
    task = create_task(controller.drain(**options))
    await asyncio.sleep(0)
    samples = await samples_until(controller, task, frame=frame)
    assert await task is True
    return samples


async def test_it_waits_for_the_end_of_the_speech_and_for_the_ear(controller: PlaybackController) -> None:
    say(controller, 800)
    assert await drained(controller) == 800 + EAR
    assert controller.leaf == "idle"


@pytest.mark.parametrize("frame", [1, 7, 160, 4000])
async def test_the_ear_is_counted_in_samples_from_the_very_last_one(controller: PlaybackController, frame: int) -> None:
    say(controller, 805)
    samples = await drained(controller, frame)
    assert 805 + EAR <= samples < 805 + EAR + frame


async def test_of_what_was_heard_before_it_waits_for_the_rest(controller: PlaybackController) -> None:
    say(controller, 800)
    controller.read(800 + 1000)
    assert await drained(controller) == 640  # whole frames that hold the 600 that are left
    assert await controller.drain()
    assert await controller.drain(timeout=0)


async def test_a_controller_that_never_spoke_waits_for_the_ear_alone(
    controller: PlaybackController,
) -> None:
    assert await drained(controller) == EAR
    assert await PlaybackController().drain(network_seconds=0)


async def test_it_waits_for_what_comes_meanwhile_and_locks_nothing(controller: PlaybackController) -> None:
    say(controller, 800)
    task = create_task(controller.drain())
    await asyncio.sleep(0)
    controller.read(800 + 1500)
    await asyncio.sleep(0)
    say(controller, 160)
    assert await samples_until(controller, task) == 160 + EAR
    assert await task


async def test_an_open_turn_is_not_over(controller: PlaybackController) -> None:
    turn = controller.turn()
    utterance = turn.utterance()
    utterance.push(bytes(320))
    utterance.end()
    task = create_task(controller.drain(network_seconds=0))
    await asyncio.sleep(0)
    assert await samples_until(controller, task, most=RATE) == RATE
    turn.end()
    for _ in range(3):
        await asyncio.sleep(0)
    assert task.done()
    assert await task


async def test_it_waits_for_a_fade_out(controller: PlaybackController) -> None:
    say(controller, 8000)
    controller.read(800)
    controller.interrupt()
    assert await drained(controller, 1) == 160 + EAR


@pytest.mark.parametrize("cut", ["interrupt", "pause"])
async def test_what_was_cut_without_a_fade_counts_to_the_cut(cut: str) -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0))
    say(controller, 8000)
    for _ in range(5):
        controller.read(160)  # the last of them on the fast path
    getattr(controller, cut)()
    if cut == "pause":
        controller.read(160)
        controller.interrupt()
    assert await drained(controller, 1) == EAR - 160 * (cut == "pause")


async def test_while_the_input_is_locked_it_is_over_as_well(controller: PlaybackController) -> None:
    say(controller, 800)
    controller.lock()
    assert await drained(controller) == 800 + EAR
    assert controller.leaf == "input_locked"


async def test_a_pause_is_waited_for(controller: PlaybackController) -> None:
    say(controller, 800)
    controller.pause()
    task = create_task(controller.drain())
    await asyncio.sleep(0)
    assert await samples_until(controller, task, most=RATE) == RATE
    controller.resume()
    assert await samples_until(controller, task) == 800 + EAR


@pytest.mark.parametrize(
    "prepare",
    [lambda c: say(c, 800), lambda c: c.pause(), lambda _: None, lambda c: c.push(b"1234")],
    ids=["nobody reads", "paused", "unused", "open"],
)
async def test_at_the_timeout_it_is_false(
    controller: PlaybackController, prepare: Callable[[PlaybackController], object]
) -> None:
    prepare(controller)
    leaf = controller.leaf
    assert await controller.drain(timeout=0.01) is False
    assert await controller.drain(timeout=0) is False
    assert controller.leaf == leaf


async def test_a_close_ends_it(controller: PlaybackController) -> None:
    say(controller, 800)
    tasks = [create_task(controller.drain()) for _ in range(3)]
    await asyncio.sleep(0)
    controller.close()
    assert await asyncio.gather(*tasks) == [False] * 3
    assert await controller.drain() is False


async def test_many_may_wait_and_one_may_give_up(controller: PlaybackController) -> None:
    say(controller, 800)
    tasks = [create_task(controller.drain()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await samples_until(controller, tasks[1])
    assert [task.cancelled() for task in tasks] == [True, False, False]
    assert await tasks[2]


async def test_a_listener_may_wait_as_a_task(controller: PlaybackController) -> None:
    done: list[int] = []

    @controller.on("last_audio_byte")
    async def hang_up(_: object) -> None:
        assert await controller.drain()
        done.append(controller.position)
        controller.close()

    say(controller, 800)
    for _ in range(40):
        controller.read(160)
        await asyncio.sleep(0)
    assert done == [800 + EAR]


async def test_afterwards_the_fast_path_is_open_again(controller: PlaybackController) -> None:
    await drained(controller)
    controller.read(160)
    assert controller._playout.transitions.fast.read is not None
    await controller.drain(timeout=0)
    assert controller._playout.transitions.fast.read is not None


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"timeout": -1}, ValueError, "timeout is -1"),
        ({"timeout": float("nan")}, ValueError, "timeout is nan"),
        ({"timeout": "1"}, TypeError, "timeout is '1'"),
        ({"network_seconds": -0.1}, ValueError, "network_seconds is -0.1"),
        ({"network_seconds": None}, TypeError, "network_seconds is None"),
    ],
)
async def test_times_that_can_not_be(
    controller: PlaybackController, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await controller.drain(**options)
