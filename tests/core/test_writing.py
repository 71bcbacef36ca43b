"""Waiting: `write` for room, `wait` for the report."""

from __future__ import annotations

import asyncio
from asyncio import Task, create_task
from collections.abc import Callable

import numpy as np
import pytest

from playback import AudioFormat, BufferFull, FormatError, Outcome, PlaybackController, Utterance, UtteranceReport
from playback.events import AudioRefused
from tests.signals import CUTS, FRAME, RATE, Heard, ramp

pytestmark = pytest.mark.timeout(30)  # nothing here waits for time to pass

HIGH_WATER = 5 * FRAME


def heard() -> Heard:
    """A controller whose high water is five frames."""
    return Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, high_water_seconds=0.1))


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(10):
        await asyncio.sleep(0)


async def waiting(utterance: Utterance, samples: int = FRAME, start: int = 1) -> Task[int]:
    """A write that waits."""
    task = create_task(utterance.write(ramp(samples, start)))
    await settle()
    assert not task.done()
    return task


async def full(heard: Heard, *, interruptible: bool = True) -> Utterance:
    """An utterance that has filled the buffer to just above the high water."""
    utterance = heard.controller.utterance(interruptible=interruptible)
    assert utterance.push(ramp(HIGH_WATER + 1)) == HIGH_WATER + 1
    return utterance


async def test_below_and_at_the_high_water_it_does_not_wait() -> None:
    utterance = heard().controller.utterance()
    assert await utterance.write(ramp(HIGH_WATER)) == HIGH_WATER
    assert await utterance.write(ramp(FRAME)) == FRAME  # not more than the high water was buffered


async def test_it_waits_above_the_high_water_and_goes_on_when_enough_was_read() -> None:
    h = heard()
    utterance = await full(h)
    task = await waiting(utterance, start=HIGH_WATER + 2)
    h.read(1)  # down to the high water
    assert await task == FRAME
    assert h.read(HIGH_WATER + FRAME) == list(range(2, HIGH_WATER + FRAME + 2))


async def test_a_read_that_leaves_too_much_wakes_nobody() -> None:
    h = heard()
    utterance = await full(h)
    utterance.push(ramp(FRAME))
    task = await waiting(utterance)
    h.read(FRAME)
    await settle()
    assert not task.done()
    h.read(FRAME)
    assert await task == FRAME


async def test_it_is_woken_in_the_middle_of_a_long_push_that_is_playing() -> None:
    h = heard()
    utterance = h.controller.utterance()
    utterance.push(ramp(4 * HIGH_WATER))
    for _ in range(3):
        h.read()
    task = await waiting(utterance)
    while h.controller.buffered > HIGH_WATER:
        h.read()
    await settle()
    assert task.done()


async def test_it_waits_through_a_pause() -> None:
    h = heard()
    utterance = await full(h)
    h.controller.pause()
    task = await waiting(utterance)
    for _ in range(20):
        h.read()
    await settle()
    assert not task.done()
    h.controller.resume()
    h.read()
    assert await task == FRAME


ENDS: dict[str, tuple[Callable[[PlaybackController], object], str, Outcome]] = {
    "interrupt": (lambda controller: controller.interrupt(), "interrupted", Outcome.INTERRUPTED),
    "interrupt and lock": (lambda controller: controller.interrupt(lock=True), "interrupted", Outcome.INTERRUPTED),
    "lock": (lambda controller: controller.lock(), "locked", Outcome.INTERRUPTED),
    "close": (lambda controller: controller.close(), "closed", Outcome.CLOSED),
}


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("end", ENDS)
async def test_what_ends_its_hopes_wakes_it_with_nothing(end: str, paused: bool) -> None:
    command, reason, outcome = ENDS[end]
    h = heard()
    utterance = await full(h)
    if paused:
        h.controller.pause()
    task = await waiting(utterance)
    queued = await waiting(utterance)
    command(h.controller)
    assert await task == 0
    assert await queued == 0
    assert utterance.refused == 2 * FRAME
    assert (h.controller.stats.refusals, h.controller.stats.refused_samples) == (2, 2 * FRAME)
    refused = [event for event in h.events if isinstance(event, AudioRefused)]
    assert [(event.utterance, event.samples, event.reason) for event in refused] == [(utterance, FRAME, reason)] * 2

    h.controller.resume()
    h.read(2 * HIGH_WATER)
    assert (await utterance.wait()).outcome is outcome
    assert utterance.accepted == HIGH_WATER + 1


async def test_cancelling_the_utterance_wakes_it_with_nothing() -> None:
    utterance = await full(heard())
    task = await waiting(utterance)
    utterance.cancel()
    assert await task == 0


@pytest.mark.parametrize("placed", [True, False])
async def test_locked_and_unlocked_before_it_runs_it_still_takes_nothing(placed: bool) -> None:
    h = heard()
    utterance = await full(h)
    if not placed:
        utterance.end()
        utterance = h.controller.utterance()
    task = await waiting(utterance)
    h.controller.lock()
    h.controller.unlock()
    assert await task == 0
    assert utterance.refused == FRAME


async def test_locked_and_unlocked_a_write_behind_another_one_takes_nothing_either() -> None:
    """Or the utterance would have a hole where the first write was."""
    h = heard()
    (await full(h)).end()
    utterance = h.controller.utterance()
    first, second = await waiting(utterance), await waiting(utterance, start=1000)
    h.controller.lock()
    h.controller.unlock()
    h.read()
    assert (await first, await second) == (0, 0)
    assert utterance.accepted == 0


async def test_woken_by_a_read_but_interrupted_before_it_runs_it_takes_nothing() -> None:
    h = heard()
    utterance = await full(h)
    task = await waiting(utterance)
    h.read()
    h.controller.interrupt()
    assert await task == 0
    assert h.controller.buffered == 0


async def test_woken_by_a_read_but_overtaken_by_a_push_it_waits_again() -> None:
    h = heard()
    utterance = await full(h)
    task = await waiting(utterance)
    h.read()
    utterance.push(ramp(FRAME))
    await settle()
    assert not task.done()
    h.read()
    assert await task == FRAME


@pytest.mark.parametrize("woken", [False, True])
async def test_cancelled_it_has_taken_nothing(woken: bool) -> None:
    h = heard()
    utterance = await full(h)
    task = await waiting(utterance)
    if woken:
        h.read()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (utterance.accepted, utterance.refused) == (HIGH_WATER + 1, 0)
    h.read()
    assert await utterance.write(ramp(FRAME)) == FRAME  # and holds nobody up
    utterance.end()
    h.read(2 * HIGH_WATER)
    assert (await utterance.wait()).outcome is Outcome.COMPLETED


async def test_cancelling_one_of_several_leaves_the_others_their_turn() -> None:
    h = heard()
    utterance = await full(h)
    tasks = [await waiting(utterance, 2, start) for start in (10, 20, 30)]
    tasks[1].cancel()
    h.read(HIGH_WATER + 1)
    assert [await tasks[0], await tasks[2]] == [2, 2]
    utterance.end()
    assert h.read(6) == [10, 11, 30, 31, 0, 0]


async def test_concurrent_writes_keep_their_order() -> None:
    h = heard()
    utterance = h.controller.utterance()
    starts = range(1, 50 * FRAME, FRAME)
    tasks = [create_task(utterance.write(ramp(FRAME, start))) for start in starts]
    out: list[int] = []
    while not all(task.done() for task in tasks):
        await settle()
        assert h.controller.buffered <= HIGH_WATER + FRAME
        out += h.read()
    utterance.end()
    out += h.read(2 * HIGH_WATER)
    assert out[: 50 * FRAME] == list(range(1, 50 * FRAME + 1))
    assert [await task for task in tasks] == [FRAME] * 50


async def test_a_write_that_comes_when_there_is_room_again_does_not_overtake_one_that_waited() -> None:
    h = heard()
    utterance = await full(h)
    first = await waiting(utterance, 2, 10)
    second = create_task(utterance.write(ramp(2, 20)))  # its turn of the loop comes first
    h.read(HIGH_WATER + 1)
    assert (await second, await first) == (2, 2)
    utterance.end()
    assert h.read(5) == [10, 11, 20, 21, 0]


async def test_a_sample_split_between_two_writes_is_put_together() -> None:
    h = heard()
    utterance = h.controller.utterance()
    audio = ramp(3).tobytes()
    tasks = [create_task(utterance.write(piece)) for piece in (audio[:3], audio[3:])]
    assert [await task for task in tasks] == [1, 2]
    utterance.end()
    assert h.read(4) == [1, 2, 3, 0]


async def test_one_write_may_exceed_the_high_water_but_not_the_maximum() -> None:
    controller = PlaybackController(AudioFormat(RATE), high_water_seconds=0.1, max_buffered_seconds=1)
    utterance = controller.utterance()
    with pytest.raises(BufferFull):
        await utterance.write(bytes(2 * RATE + 2))
    assert utterance.accepted == 0
    assert await utterance.write(bytes(2 * RATE)) == RATE


@pytest.mark.parametrize("audio", ["text", 7, None, np.zeros(3), np.array([np.nan], np.float32)])
async def test_a_format_error_is_raised_before_it_waits(audio: object) -> None:
    utterance = await full(heard())
    with pytest.raises(FormatError):
        await asyncio.wait_for(utterance.write(audio), 5)


async def test_an_uninterruptible_utterance_goes_on_through_an_interrupt_and_so_does_its_writer() -> None:
    h = heard()
    utterance = await full(h, interruptible=False)
    other = h.controller.utterance()
    dropped = await waiting(other)
    h.read()
    utterance.push(ramp(FRAME))
    task = await waiting(utterance)
    h.controller.interrupt(lock=True)
    assert await dropped == 0
    await settle()
    assert not task.done()
    assert not h.controller.input_locked
    h.read()
    assert await task == FRAME

    task = await waiting(utterance)
    h.controller.interrupt(force=True)
    assert await task == 0


async def test_the_head_is_never_kept_waiting_by_what_plays_after_it() -> None:
    """Or both would wait for ever: the later one for the head to end, the head for room that only it can make."""
    h = heard()
    first, second = h.controller.utterance(), h.controller.utterance()
    await first.write(ramp(FRAME))
    await second.write(ramp(HIGH_WATER + 1))
    task = create_task(first.write(ramp(FRAME)))
    for _ in range(10):
        await settle()
        h.read()
    done = task.done()
    task.cancel()
    assert done


async def test_wait_returns_the_report_at_once_when_it_is_there() -> None:
    h = heard()
    utterance = h.controller.utterance()
    utterance.push(ramp(FRAME))
    utterance.end()
    h.read()
    waiter = utterance.wait()
    with pytest.raises(StopIteration) as stop:
        waiter.send(None)  # no turn of the loop
    assert stop.value.value is utterance.report


async def finished_by(command: Callable[[Heard, Utterance], object]) -> list[UtteranceReport]:
    """What three who wait get, of whom a fourth has given up."""
    h = heard()
    utterance = h.controller.utterance()
    utterance.push(ramp(FRAME))
    tasks = [create_task(utterance.wait()) for _ in range(4)]
    await settle()
    tasks[1].cancel()
    await settle()
    assert [task.done() for task in tasks] == [False, True, False, False]
    command(h, utterance)
    reports = [await task for task in tasks if not task.cancelled()]
    assert all(report is utterance.report for report in reports)
    return reports


@pytest.mark.parametrize(
    ("command", "outcome", "played"),
    [
        pytest.param(lambda h, utterance: (utterance.end(), h.read()), Outcome.COMPLETED, FRAME, id="played"),
        pytest.param(lambda _, utterance: utterance.cancel(), Outcome.INTERRUPTED, 0, id="cancelled"),
        pytest.param(lambda h, _: h.controller.interrupt(), Outcome.INTERRUPTED, 0, id="interrupted"),
        pytest.param(lambda h, _: h.controller.close(), Outcome.CLOSED, 0, id="closed"),
    ],
)
async def test_everybody_who_waits_gets_the_report(
    command: Callable[[Heard, Utterance], object], outcome: Outcome, played: int
) -> None:
    reports = await finished_by(command)
    assert [(report.outcome, report.played) for report in reports] == [(outcome, played)] * 3


async def test_a_handle_that_was_never_pushed_to_is_waited_for_too() -> None:
    h = heard()
    task = create_task(h.controller.utterance().wait())
    await settle()
    h.controller.interrupt()
    assert (await task).outcome is Outcome.INTERRUPTED


async def test_a_handle_made_after_the_close_is_finished_already() -> None:
    h = heard()
    h.controller.close()
    assert (await h.controller.utterance().wait()).outcome is Outcome.CLOSED


async def test_it_waits_until_it_fits() -> None:
    h = Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, high_water_seconds=0.09, max_buffered_seconds=0.1))
    head, utterance = h.controller.utterance(), h.controller.utterance()
    head.push(ramp(4 * FRAME))
    head.end()
    write = asyncio.create_task(utterance.write(ramp(2 * FRAME)))
    await asyncio.sleep(0)
    assert not write.done()
    h.read()
    await asyncio.sleep(0)
    assert await write == 2 * FRAME


async def test_the_head_s_write_goes_on_below_the_high_water_whatever_the_maximum() -> None:
    h = Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, high_water_seconds=0.1, max_buffered_seconds=0.1))
    head, later = h.controller.utterance(), h.controller.utterance()
    head.push(ramp(1))
    later.push(ramp(5 * FRAME - 1))
    assert await head.write(ramp(6 * FRAME)) == 6 * FRAME
    write = asyncio.create_task(head.write(ramp(FRAME)))
    await asyncio.sleep(0)
    assert not write.done()
    for _ in range(2):
        h.read()
        await asyncio.sleep(0)
    assert await write == FRAME


async def test_what_can_never_fit_is_an_error() -> None:
    h = Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, high_water_seconds=0.1, max_buffered_seconds=0.1))
    with pytest.raises(BufferFull):
        await h.controller.utterance().write(ramp(6 * FRAME))


async def test_an_end_while_it_waits_leaves_something_missing() -> None:
    h = Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, high_water_seconds=0.01))
    utterance = h.controller.utterance()
    utterance.push(ramp(2 * FRAME))
    write = asyncio.create_task(utterance.write(ramp(FRAME)))
    await asyncio.sleep(0)
    utterance.end()
    h.read(), h.read()
    assert await write == 0
    assert utterance.refused == FRAME
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.INTERRUPTED


async def test_a_high_water_below_a_read_lets_a_read_s_worth_in() -> None:
    h = Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, high_water_seconds=0))
    utterance = h.controller.utterance()
    for start in range(1, 1 + 2 * FRAME, 160):
        await asyncio.wait_for(utterance.write(ramp(160, start)), 5)
        if h.controller.buffered >= FRAME:
            h.read()
    assert utterance.played == 2 * FRAME


async def test_a_loop_of_writes_that_are_refused_lets_others_run() -> None:
    controller = PlaybackController(AudioFormat(8_000))
    controller.lock()
    utterance = controller.utterance()
    others: list[int] = []
    asyncio.get_running_loop().call_soon(others.append, 1)
    while not others:
        assert await utterance.write(bytes(320)) == 0
