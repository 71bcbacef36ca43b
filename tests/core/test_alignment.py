"""A producer without a handle pushes one stream of bytes, cut anywhere: no sample of it is ever read askew.

Each sample of a stream is a value of its own, and no value is made of bytes of two others. So whatever is shifted by a
byte, or joined from two halves that do not belong together, is a value that nobody has pushed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, FormatError, PlaybackController
from tests.fuzzing import thorough
from tests.signals import CUTS

RATE: Final = 8_000
FORMATS: Final = (
    AudioFormat(RATE),
    AudioFormat(RATE, 2),
    AudioFormat(RATE, encoding="s16be"),
    AudioFormat(RATE, encoding="s24le"),
    AudioFormat(RATE, 2, encoding="s24le"),
    AudioFormat(RATE, encoding="f32le"),
)
ACTIONS: Final = ("push", "push", "push", "read", "read", "lock", "unlock", "interrupt", "late", "end", "time out")


class Stream:
    """What a producer sends: samples whose values rise by one, each with all of its channels alike."""

    def __init__(self, format: AudioFormat, first: int = 1) -> None:
        self.format: Final = format
        self.next = first
        self._begun = b""

    def take(self, number: int) -> bytes:
        """The next so many bytes."""
        while len(self._begun) < number:
            self._begun += self._sample(self.next)
            self.next += 1
        data, self._begun = self._begun[:number], self._begun[number:]
        return data

    def restart(self) -> None:
        """The producer is another one, which begins with a whole sample."""
        self._begun = b""

    def _sample(self, value: int) -> bytes:
        match self.format.encoding:
            case "s16be":
                one = value.to_bytes(2, "big")
            case "s24le":
                one = (value << 8).to_bytes(3, "little")
            case "f32le":
                one = np.float32(value / 32_768).tobytes()
            case _:
                one = value.to_bytes(2, "little")
        return one * self.format.channels


class Call:
    """A controller whose producers have no handles, and all that was read.

    Args:
        format: of what is pushed.
        push: takes bytes; by default the controller's own.
    """

    def __init__(self, format: AudioFormat, **options: Any) -> None:
        output = AudioFormat(RATE, format.channels)
        self.controller: Final = PlaybackController(output, input_format=format, fades=CUTS, **options)
        self.stream: Final = Stream(format)
        self.heard: Final[list[int]] = []

    def read(self, samples: int = 160) -> None:
        """Hear what comes next; both channels must be alike."""
        frame = self.controller.read(samples)
        assert (frame == frame[:, :1]).all()
        self.heard.extend(int(sample) for sample in frame[:, 0] if sample)

    def rises(self) -> bool:
        """Whether all that was heard was pushed, in order."""
        return self.heard == sorted(set(self.heard)) and all(0 < value < self.stream.next for value in self.heard)


@pytest.mark.fuzz
@given(
    format=st.sampled_from(FORMATS),
    completes=st.booleans(),
    actions=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(1, 31)), max_size=40),
)
@thorough(150)
def test_no_sample_is_ever_read_askew(format: AudioFormat, completes: bool, actions: list[tuple[str, int]]) -> None:
    call = Call(format, input_timeout_seconds=64 / RATE, on_input_timeout="complete" if completes else "fail")
    controller, stream, interrupted = call.controller, call.stream, False
    for action, number in actions:
        match action:
            case "push":
                if interrupted:  # what is refused after an interrupt is taken for late audio of what it dropped
                    stream.restart()
                interrupted = interrupted and controller.input_locked
                controller.push(stream.take(number))
            case "read":
                call.read(number)
            case "interrupt":  # another answer follows
                controller.interrupt()
                interrupted = True
            case "late":  # the answer goes on for a while after the interrupt has locked it out
                controller.interrupt(lock=True)
                with suppress(FormatError):  # floats that are read askew may be out of scale
                    controller.push(stream.take(number))
                controller.unlock()
                interrupted = True
            case "end":
                controller.end()
                stream.restart()
                interrupted = False
            case "time out":
                call.read(200)
            case _:
                getattr(controller, action)()
    controller.unlock()
    if interrupted:
        stream.restart()
    first = stream.next
    controller.push(stream.take(40 * format.frame_bytes))
    controller.end()
    call.read(400)
    assert call.rises()
    assert set(range(first, stream.next - 1)) <= set(call.heard)


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("cut", [1, 2, 3, 5])
def test_a_lock_and_an_unlock_in_mid_sample_lose_only_what_was_refused(format: AudioFormat, cut: int) -> None:
    call = Call(format)
    size = 10 * format.frame_bytes
    call.controller.push(call.stream.take(size + cut))
    call.controller.lock()
    call.read()
    call.controller.push(call.stream.take(size))
    call.controller.unlock()
    call.controller.push(call.stream.take(2 * size - cut))
    call.controller.end()
    call.read()
    begun = cut // format.frame_bytes
    assert call.heard == [*range(1, 11 + begun), *range(21 + begun, 41)]
    assert call.controller.stats.partial_bytes == 0


def test_a_sample_that_a_lock_cuts_is_heard_when_its_other_half_is_taken() -> None:
    call = Call(FORMATS[0])
    call.controller.push(call.stream.take(21))
    call.controller.lock()
    call.controller.unlock()
    call.controller.push(call.stream.take(19))
    call.controller.end()
    call.read()
    assert call.heard == [*range(1, 21)]


def test_the_input_timeout_cuts_no_sample() -> None:
    call = Call(FORMATS[0], input_timeout_seconds=0.02)
    call.controller.push(call.stream.take(21))
    call.read()
    call.read()
    call.controller.push(call.stream.take(19))
    call.controller.end()
    call.read()
    assert call.heard == [*range(1, 21)]


def _cancel(controller: PlaybackController) -> None:
    assert controller.playing is not None
    controller.playing.cancel()


def _fail(controller: PlaybackController) -> None:
    assert controller.playing is not None
    controller.playing.fail(LookupError("broken"))


def _cancel_turn(controller: PlaybackController) -> None:
    assert controller.playing is not None
    controller.playing.turn.cancel()


@pytest.mark.parametrize(
    "drop",
    [
        PlaybackController.interrupt,
        PlaybackController.end,
        _cancel,
        _cancel_turn,
        _fail,
        lambda controller: controller.interrupt(lock=True),
        lambda controller: controller.push(np.zeros(1, np.int16)),
    ],
)
def test_what_is_begun_is_never_joined_to_another_answer(drop: Callable[[PlaybackController], object]) -> None:
    call = Call(FORMATS[0])
    call.controller.push(call.stream.take(21))
    call.read(4)
    drop(call.controller)
    if call.controller.input_locked:
        call.controller.push(call.stream.take(8))  # late, and refused: it is no part of what follows
    call.controller.unlock()
    call.stream.restart()
    first = call.stream.next
    call.controller.push(call.stream.take(20))
    call.controller.end()
    call.read()
    assert call.heard[-10:] == [*range(first, first + 10)]
    assert call.controller.stats.partial_bytes == 1


def test_refused_arrays_have_no_part_of_a_sample() -> None:
    call = Call(FORMATS[0])
    call.controller.lock()
    call.controller.push(call.stream.take(3))
    call.controller.push(np.zeros(4, np.int16))
    call.controller.unlock()
    call.stream.restart()
    call.controller.push(call.stream.take(20))
    call.controller.end()
    call.read()
    assert call.heard == [*range(3, 13)]
    assert call.controller.stats.partial_bytes == 1


def test_a_push_that_is_an_error_leaves_the_stream_as_it_was() -> None:
    call = Call(FORMATS[0], high_water_seconds=0.02, max_buffered_seconds=0.02)
    call.controller.push(call.stream.take(21))
    call.controller.lock()
    call.read()
    call.controller.unlock()
    with pytest.raises(Exception, match="were pushed"):
        call.controller.push(bytes(1001))
    with pytest.raises(ValueError, match="the array's type is"):
        call.controller.push(np.zeros(1, np.int64))
    call.controller.push(call.stream.take(19))
    call.controller.end()
    call.read()
    assert call.heard == [*range(1, 21)]


def test_a_push_that_was_an_error_does_not_make_the_next_answer_stale() -> None:
    call = Call(FORMATS[0])
    with pytest.raises(ValueError, match="the array's type is"):
        call.controller.push(np.zeros(1, np.int64))
    call.controller.interrupt()
    assert call.controller.push(call.stream.take(20)) == 10


async def test_the_stream_of_another_thread_keeps_its_place_too() -> None:
    call = Call(FORMATS[0], input_timeout_seconds=0.02)
    producer = call.controller.threadsafe(asyncio.get_running_loop())

    async def push(number: int) -> None:
        await asyncio.to_thread(producer.push, call.stream.take(number))
        await asyncio.sleep(0)

    await push(21)
    call.controller.lock()
    call.read()
    await push(20)
    await push(8)
    call.controller.unlock()
    await push(12)
    call.read()
    call.read()  # times out
    await push(20)
    call.read(4)
    call.controller.interrupt(lock=True)
    await push(5)
    call.controller.unlock()
    call.stream.restart()
    first = call.stream.next
    await push(19)
    await push(1)
    call.read(10)
    assert call.heard == [*range(1, 11), *range(25, 35), *range(first, first + 10)]


async def test_after_an_interrupt_another_thread_may_begin_with_less_than_a_sample() -> None:
    call = Call(FORMATS[0], input_timeout_seconds=0.02)
    producer = call.controller.threadsafe(asyncio.get_running_loop())

    async def push(number: int) -> None:
        await asyncio.to_thread(producer.push, call.stream.take(number))
        await asyncio.sleep(0)

    await push(21)
    call.controller.interrupt()
    call.stream.restart()
    first = call.stream.next
    await push(1)
    call.read(4)  # times out, with half a sample
    await push(19)
    call.read(10)
    assert call.heard[-10:] == [*range(first, first + 10)]
