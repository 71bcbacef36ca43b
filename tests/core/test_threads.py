"""Producers on other threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from threading import Thread
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, BufferFull, FormatError, Outcome, PlaybackController
from playback.events import AudioRefused, ErrorRaised, UtteranceFinished
from playback.threads import ThreadsafeProducer, ThreadsafeUtterance
from tests.signals import CUTS, FRAME, RATE, Heard, ramp

pytestmark = [pytest.mark.portable, pytest.mark.timeout(30)]  # nothing here waits for time to pass

PUSHES = 5000


def made(**options: Any) -> tuple[Heard, ThreadsafeProducer]:
    """A controller in the running loop, and what another thread may hold of it."""
    # What is read is not read in real time, so no input timeout could be.
    options.setdefault("input_timeout_seconds", None)
    h = Heard(PlaybackController(AudioFormat(RATE), fades=CUTS, **options))
    return h, h.controller.threadsafe(asyncio.get_running_loop())


async def settle() -> None:
    """Let the loop carry out what other threads have asked for."""
    for _ in range(3):
        await asyncio.sleep(0)


def in_a_thread(work: Callable[[], object]) -> None:
    """Do something in another thread to its end, while the loop, in this one, stands still."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def outcomes(h: Heard) -> list[tuple[Outcome, int]]:
    """How utterances ended, with the samples played of them."""
    finished = [event.report for event in h.events if isinstance(event, UtteranceFinished)]
    return [(report.outcome, report.played) for report in finished]


def refusals(h: Heard) -> list[tuple[int, str]]:
    return [(event.samples, event.reason) for event in h.events if isinstance(event, AudioRefused)]


async def test_thousands_of_pushes_of_one_thread_keep_their_order_while_they_play() -> None:
    h, producer = made()

    def produce() -> None:
        for number in range(PUSHES):
            producer.push(ramp(3, 3 * number + 1))
        producer.end()

    out: list[int] = []
    work = asyncio.create_task(asyncio.to_thread(produce))
    while not work.done() or h.controller.buffered:
        await asyncio.sleep(0)
        out += h.read(60)
    await work
    assert [sample for sample in out if sample] == list(range(1, 3 * PUSHES + 1))
    assert outcomes(h) == [(Outcome.COMPLETED, 3 * PUSHES)]


async def test_all_calls_return_none() -> None:
    h, producer = made()

    def produce() -> list[object]:
        utterance = producer.utterance(text="one two", id="name", interruptible=False)
        call: list[Callable[[], object]] = [
            lambda: utterance.push(ramp(FRAME)),
            lambda: utterance.mark("one", at=0.001),
            utterance.end,
            utterance.end,
            utterance.cancel,
            lambda: utterance.push(b"late"),
            lambda: producer.push(ramp(1)),
            producer.end,
            producer.end,
        ]
        return [each() for each in call]

    assert await asyncio.to_thread(produce) == [None] * 9
    await settle()
    assert not any(isinstance(event, ErrorRaised) for event in h.events)


async def test_a_handle_is_the_same_one_that_events_name() -> None:
    h, producer = made()
    utterances: list[ThreadsafeUtterance] = []

    def produce() -> None:
        utterance = producer.utterance(text="one two", id="name", format=AudioFormat(48_000), interruptible=False)
        utterance.push(bytes(4 * FRAME))
        utterance.mark("one", at=0.001, until=0.002)
        utterance.mark("two", at=0.003)
        utterance.end()
        utterances.append(utterance)

    in_a_thread(produce)
    handle = utterances[0].handle
    assert handle.accepted == 0  # nothing happens outside the loop's thread
    await settle()
    assert (handle.id, handle.text, handle.interruptible) == ("name", "one two", False)
    assert (handle.accepted, handle.ended) == (FRAME, True)
    h.read()
    report = await handle.wait()
    assert (report.outcome, report.heard) == (Outcome.COMPLETED, "one two")
    assert h.emitted("mark_reached", "last_audio_byte") == ["mark_reached", "mark_reached", "last_audio_byte"]


async def test_cancel_is_carried_out_in_its_turn() -> None:
    h, producer = made()

    def produce() -> None:
        utterance = producer.utterance()
        utterance.push(ramp(FRAME))
        utterance.cancel()
        utterance.push(ramp(FRAME))

    in_a_thread(produce)
    await settle()
    assert outcomes(h) == [(Outcome.INTERRUPTED, 0)]
    assert refusals(h) == [(FRAME, "interrupted")]


@pytest.mark.parametrize("known", [True, False], ids=["known", "not known yet"])
@pytest.mark.parametrize("own", [True, False], ids=["the producer's own", "a handle"])
async def test_a_push_that_an_interrupt_has_overtaken_is_refused(own: bool, known: bool) -> None:
    h, producer = made()
    target = producer if own else producer.utterance()
    if known:
        in_a_thread(lambda: target.push(ramp(FRAME)))
    await settle()
    in_a_thread(lambda: target.push(ramp(FRAME)))  # made before the interrupt, carried out after it
    h.controller.interrupt()
    await settle()
    assert h.controller.buffered == 0
    assert not any(h.read())
    assert refusals(h) == [(FRAME, "interrupted")]
    assert outcomes(h) == [(Outcome.INTERRUPTED, 0)]


async def test_a_handle_that_an_interrupt_has_overtaken_is_finished() -> None:
    h, producer = made()
    handles: list[ThreadsafeUtterance] = []
    in_a_thread(lambda: handles.append(producer.utterance()))
    h.controller.interrupt()
    assert (await asyncio.wait_for(handles[0].handle.wait(), 5)).outcome is Outcome.INTERRUPTED
    in_a_thread(lambda: handles.append(producer.utterance()))
    h.controller.close()
    assert (await asyncio.wait_for(handles[1].handle.wait(), 5)).outcome is Outcome.CLOSED
    assert outcomes(h) == [(Outcome.INTERRUPTED, 0), (Outcome.CLOSED, 0)]


async def test_after_an_interrupt_the_next_push_begins_a_new_utterance() -> None:
    h, producer = made()
    in_a_thread(lambda: producer.push(ramp(FRAME)))
    await settle()
    h.controller.interrupt()
    in_a_thread(lambda: producer.push(ramp(FRAME, 1000)))
    await settle()
    h.read(0)
    assert h.read() == list(range(1000, 1000 + FRAME))


async def test_so_it_does_when_the_interrupt_came_before_the_first_push_was_carried_out() -> None:
    """The second push was made after the interrupt: it is not stale."""
    h, producer = made()
    in_a_thread(lambda: producer.push(ramp(FRAME)))
    h.controller.interrupt()
    in_a_thread(lambda: producer.push(ramp(FRAME, 1000)))
    await settle()
    assert h.read() == list(range(1000, 1000 + FRAME))


@pytest.mark.parametrize("audio", ["text", 7, None, np.zeros(3), np.array([np.nan], np.float32)])
@pytest.mark.parametrize("own", [True, False])
async def test_a_format_error_is_raised_in_the_callers_thread(own: bool, audio: object) -> None:
    h, producer = made()
    target = producer if own else producer.utterance()
    with pytest.raises(FormatError):
        in_a_thread(lambda: target.push(audio))
    await settle()
    assert not h.events


async def test_a_full_buffer_becomes_an_error_event_and_takes_nothing() -> None:
    h, producer = made(high_water_seconds=0.1, max_buffered_seconds=0.1)

    def produce() -> None:
        producer.push(ramp(5 * FRAME))
        producer.push(ramp(1))
        producer.end()

    in_a_thread(produce)
    await settle()
    (error,) = [event for event in h.events if isinstance(event, ErrorRaised)]
    assert isinstance(error.exception, BufferFull)
    assert "from another thread" in error.source
    assert h.read(5 * FRAME + 1) == [*range(1, 5 * FRAME + 1), 0]
    assert refusals(h) == [(1, "full")]
    assert outcomes(h) == [(Outcome.INTERRUPTED, 5 * FRAME)], "something of it is missing"


async def test_a_write_waits_in_its_thread_for_room() -> None:
    h, producer = made(high_water_seconds=0.1, max_buffered_seconds=0.2)
    utterance = producer.utterance()

    def produce() -> list[int]:
        utterance.push(ramp(7).tobytes()[:13])
        rest = ramp(7).tobytes()[13:] + ramp(20 * FRAME, 8).tobytes()
        accepted = [utterance.write(rest[at : at + 999]) for at in range(0, len(rest), 999)]
        utterance.end()
        return accepted

    work = asyncio.create_task(asyncio.to_thread(produce))
    out: list[int] = []
    while not work.done() or h.controller.buffered:
        await asyncio.sleep(0)
        out += h.read(60)
        assert h.controller.buffered <= 2400 + 500
    assert [sample for sample in out if sample] == [*range(1, 20 * FRAME + 8)]
    assert sum(await work) == 20 * FRAME + 1
    assert outcomes(h) == [(Outcome.COMPLETED, 20 * FRAME + 7)]


async def test_a_write_in_the_loops_own_thread_is_an_error_instead_of_waiting_for_ever() -> None:
    _, producer = made()
    with pytest.raises(RuntimeError, match=r"await Utterance\.write"):
        producer.utterance().write(ramp(1))


async def test_a_mark_that_cannot_be_becomes_an_error_event() -> None:
    h, producer = made()
    in_a_thread(lambda: producer.utterance().mark("word", at=-1))
    await settle()
    assert [type(event.exception) for event in h.events if isinstance(event, ErrorRaised)] == [ValueError]


@pytest.mark.parametrize("step", [1, 3, 5, 7])
async def test_odd_bytes_across_pushes_are_put_together(step: int) -> None:
    h, producer = made()
    audio = ramp(100).tobytes()

    def produce() -> None:
        for start in range(0, len(audio), step):
            producer.push(bytearray(audio[start : start + step]))
        producer.end()

    in_a_thread(produce)
    await settle()
    assert h.read(101) == [*range(1, 101), 0]
    assert h.controller.stats.partial_bytes == 0


async def test_a_partial_sample_does_not_go_over_to_the_next_utterance() -> None:
    h, producer = made()

    def produce() -> None:
        for _ in range(2):
            producer.push(ramp(3).tobytes() + b"\x7f")
            producer.end()

    in_a_thread(produce)
    await settle()
    assert h.read(8) == [1, 2, 3, 1, 2, 3, 0, 0]
    assert h.controller.stats.partial_bytes == 2


async def test_what_is_pushed_may_change_afterwards() -> None:
    h, producer = made()
    audio = ramp(FRAME)

    def produce() -> None:
        producer.push(audio)
        audio.fill(-1)

    in_a_thread(produce)
    await settle()
    assert h.read() == list(range(1, FRAME + 1))


async def test_two_producers_at_once_each_keep_their_order() -> None:
    h, first = made()
    second = h.controller.threadsafe(asyncio.get_running_loop())

    def produce(producer: ThreadsafeProducer, sign: int) -> None:
        for number in range(PUSHES):
            producer.push(sign * ramp(2, 2 * number + 1))
        producer.end()

    await asyncio.gather(asyncio.to_thread(produce, first, 1), asyncio.to_thread(produce, second, -1))
    await settle()
    out = h.read(4 * PUSHES + 1)
    counted = list(range(1, 2 * PUSHES + 1))
    assert [sample for sample in out if sample > 0] == counted
    assert [-sample for sample in out if sample < 0] == counted
    assert sum(a * b < 0 for a, b in pairwise(out)) == 1  # one utterance after the other
    assert outcomes(h) == [(Outcome.COMPLETED, 2 * PUSHES)] * 2


async def test_one_producer_may_be_shared_by_threads() -> None:
    h, producer = made()

    def produce(value: int) -> None:
        for _ in range(PUSHES):
            producer.push(np.full(2, value, np.int16))

    await asyncio.gather(*(asyncio.to_thread(produce, value) for value in (1, 2, 3)))
    producer.end()
    await settle()
    out = np.array(h.read(6 * PUSHES))
    assert (out[::2] == out[1::2]).all()
    assert np.bincount(out).tolist() == [0] + [2 * PUSHES] * 3
    assert outcomes(h) == [(Outcome.COMPLETED, 6 * PUSHES)]


@pytest.mark.parametrize("end", ["producer", "interrupt", "lock"])
async def test_after_a_finished_utterance_a_push_begins_a_new_one(end: str) -> None:
    h, producer = made()
    in_a_thread(lambda: producer.push(ramp(FRAME)))
    await settle()
    if end == "producer":
        in_a_thread(producer.end)
        await settle()
    elif end == "interrupt":
        h.read(10)
        h.controller.interrupt()
    else:
        h.controller.lock()
        h.controller.unlock()
    h.read()
    in_a_thread(lambda: producer.push(ramp(FRAME, 1000)))
    in_a_thread(producer.end)
    await settle()
    assert h.read() == list(range(1000, 1000 + FRAME))
    assert len(outcomes(h)) == 2
    assert outcomes(h)[1] == (Outcome.COMPLETED, FRAME)


@pytest.mark.parametrize("threadsafe", [False, True])
async def test_audio_refused_while_locked_does_not_spoil_what_is_pushed_after_the_unlock(threadsafe: bool) -> None:
    """The late audio of one turn, an odd byte at its end; then the next turn."""
    h, producer = made()
    push = producer.push if threadsafe else h.controller.push
    end = producer.end if threadsafe else h.controller.end
    push(ramp(FRAME))
    await settle()
    h.controller.interrupt(lock=True)
    push(ramp(2).tobytes() + b"\x7f")
    await settle()
    h.controller.unlock()
    push(ramp(FRAME, 1000).tobytes())
    end()
    await settle()
    assert refusals(h) == [(2, "locked")]
    assert h.read() == list(range(1000, 1000 + FRAME))
    assert h.emitted("last_audio_byte") == ["last_audio_byte"]


async def test_locked_out_it_is_refused_and_reported() -> None:
    h, producer = made()
    h.controller.lock()
    in_a_thread(lambda: producer.push(ramp(FRAME)))
    await settle()
    assert refusals(h) == [(FRAME, "locked")]


async def test_a_closed_loop_is_reported_to_the_caller() -> None:
    loop = asyncio.new_event_loop()
    producer = PlaybackController().threadsafe(loop)
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        in_a_thread(lambda: producer.push(ramp(1)))


async def test_a_handle_may_be_used_in_the_loops_own_thread_at_once() -> None:
    h, producer = made()
    utterance = producer.utterance()
    assert utterance.handle.push(ramp(FRAME)) == FRAME
    utterance.handle.end()
    await settle()
    assert h.read() == [*range(1, FRAME + 1)]
    assert outcomes(h) == [(Outcome.COMPLETED, FRAME)]


@pytest.mark.parametrize("cancel", [True, False])
async def test_a_handle_of_another_thread_may_be_used_before_its_turn(cancel: bool) -> None:
    h, producer = made()
    handles: list[ThreadsafeUtterance] = []
    in_a_thread(lambda: handles.append(producer.utterance()))
    handle = handles[0].handle
    if cancel:
        handle.cancel()
    else:
        handle.push(ramp(FRAME))
        handle.end()
    await settle()
    h.controller.interrupt()
    await settle()
    assert outcomes(h) == [(Outcome.INTERRUPTED, 0)]
