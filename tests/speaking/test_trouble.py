"""Sources that end badly at the worst time, and what is sent where it does not belong."""

from __future__ import annotations

import array
import asyncio
import inspect
import io
import time
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import numpy as np
import pytest

from playback import FormatError, InputTimeout, Outcome
from playback.media_input import StreamInput
from playback.words import Word
from tests.audio.media import wav
from tests.signals import RATE, ramp
from tests.speaking.playing import STALL, Call, Clock, Source, no_thread_is_left, turns, until

threads_end = pytest.fixture(autouse=True)(no_thread_is_left)

HTML = b"<html><body>500 Internal Server Error</body></html>"


@pytest.fixture
async def call() -> AsyncGenerator[Call, None]:
    made = Call()
    yield made
    made.controller.close()
    await turns()


async def test_a_failure_is_kept_however_long_decoding_takes(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, error = Clock(monkeypatch), ConnectionError("gone")
    before = call.controller.speak(ramp(40 * RATE))
    source = Source(wav(ramp(30 * RATE), RATE), error)
    utterance = call.controller.speak(source)
    await until(lambda: source.asked == 2)
    for _ in range(30):
        await clock.advance(1.0)
    await call.play(before, utterance)
    assert utterance.report is not None
    assert (utterance.report.outcome, utterance.report.error) == (Outcome.FAILED, error)
    assert utterance.report.played == 30 * RATE


async def test_what_a_stream_sent_before_it_timed_out_is_played(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    utterance = call.controller.speak(Source(wav(ramp(30 * RATE), RATE), STALL), timeout_seconds=0.3)
    await until(lambda: utterance.accepted > 0)
    await clock.advance(1.0)
    call.controller.pause()
    await clock.advance(1.0)
    call.controller.resume()
    await clock.advance(1.0)
    await call.play(utterance)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.FAILED
    assert isinstance(utterance.report.error, InputTimeout)
    assert utterance.report.played == 30 * RATE


@pytest.mark.parametrize("beginning", [ramp(480), wav(ramp(480), RATE)], ids=["samples", "stream"])
async def test_a_source_that_is_slow_to_close_keeps_nobody_waiting(
    call: Call, beginning: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, closed = Clock(monkeypatch), asyncio.Event()

    async def slow() -> AsyncGenerator[Any, None]:
        try:
            yield beginning
            await asyncio.sleep(3600)
        finally:
            await closed.wait()

    first = call.controller.speak(slow(), timeout_seconds=0.1)
    second = call.controller.speak(ramp(480))
    await until(lambda: first.accepted > 0)
    await clock.advance(1.0)
    await until(lambda: second.report is not None, call.read)
    assert first.report is not None
    assert second.report is not None
    assert (first.report.outcome, second.report.outcome) == (Outcome.FAILED, Outcome.COMPLETED)
    assert isinstance(first.report.error, InputTimeout)
    assert first.report.played == 480
    closed.set()
    await turns()


@pytest.mark.parametrize("size", [44, 100, 4_844])
async def test_samples_do_not_overtake_a_stream(call: Call, size: int) -> None:
    data = wav(ramp(2_400), RATE)
    utterance = call.controller.speak(Source(data[:size], ramp(480), data[size:]))
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, FormatError)
    assert "sent ndarray within a media stream, expected bytes" in str(utterance.report.error)
    assert call.heard == ramp(2_400)[: len(call.heard)].tolist()


async def test_concurrent_writes_of_a_stream_keep_their_order(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    full = True
    monkeypatch.setattr(StreamInput, "_is_full", property(lambda _: full))
    audio = ramp(RATE)
    data, utterance = wav(audio, RATE), call.controller.utterance(format="encoded")
    utterance.push(data[:1_000])
    first = asyncio.ensure_future(utterance.write(data[1_000:5_001]))
    await turns()
    full = False  # there is room, but the first has not noticed yet
    second = asyncio.ensure_future(utterance.write(data[5_001:5_004]))
    await turns()
    assert isinstance(utterance._decoder, StreamInput)
    utterance._decoder._taken.open()
    await asyncio.gather(first, second)
    await utterance.write(data[5_004:])
    utterance.end()
    await call.play(utterance)
    assert call.heard == audio.tolist()


async def test_a_lock_refuses_the_bytes_of_a_stream(call: Call) -> None:
    call.controller.lock()
    utterance = call.controller.utterance(format="encoded")
    assert utterance.push(wav(ramp(4_800), RATE)) == 0
    assert await utterance.write(wav(ramp(4_800), RATE)) == 0
    assert [event.reason for event in call.named("audio_refused")] == ["locked", "locked"]
    call.controller.unlock()
    utterance.end()
    await call.play(utterance)
    assert call.heard == []


async def test_an_interrupt_refuses_the_bytes_of_a_stream_and_says_so(call: Call) -> None:
    utterance = call.controller.utterance(format="encoded")
    utterance.push(wav(ramp(4_800), RATE))
    call.controller.interrupt()
    assert utterance.push(bytes(100)) == 0
    assert [event.reason for event in call.named("audio_refused")] == ["interrupted"]


@pytest.mark.parametrize("item", [np.ones(5), [1], "text", memoryview(array.array("d", [1.0]))])
async def test_a_stream_takes_bytes_only(call: Call, item: object) -> None:
    with pytest.raises(FormatError, match=r"expected bytes"):
        call.controller.utterance(format="encoded").push(item)


# Threads


def of(*pieces: bytes) -> Iterator[bytes]:
    yield from pieces


@pytest.mark.parametrize("source", [None, 5, Source()])
async def test_what_a_thread_can_not_speak_leaves_nothing_in_the_queue(call: Call, source: object) -> None:
    producer = call.controller.threadsafe(asyncio.get_running_loop())
    with pytest.raises(TypeError, match=r"expected audio, a path, a file, or an iterable of audio"):
        await asyncio.to_thread(producer.speak, source)
    utterance = call.controller.speak(ramp(480))
    await call.play(utterance)
    assert call.heard == ramp(480).tolist()


@pytest.mark.parametrize(
    "source", [HTML * 30, of(HTML, HTML), [HTML], [Word("Hi", 0.0), HTML]], ids=["whole", "generator", "list", "word"]
)
async def test_an_error_page_from_a_thread_is_not_heard(call: Call, source: Any) -> None:
    producer = call.controller.threadsafe(asyncio.get_running_loop())
    with pytest.raises(FormatError, match=r"500 Internal Server Error"):
        await asyncio.to_thread(producer.speak, source, text="Hi there.")
    await turns()
    call.read()
    (event,) = call.named("utterance_finished")
    assert (event.report.outcome, event.report.heard) == (Outcome.FAILED, "")
    assert call.heard == []


async def test_a_thread_asks_no_more_of_its_source_once_it_was_refused(call: Call) -> None:
    call.controller.lock()
    asked = 0

    def pieces() -> Iterator[bytes]:
        nonlocal asked
        while asked < 1_000:
            asked += 1
            yield bytes(960)
            time.sleep(0)

    producer = call.controller.threadsafe(asyncio.get_running_loop())
    await asyncio.to_thread(producer.speak, pieces())
    await turns()
    assert asked == 1
    call.controller.unlock()
    assert len(call.named("utterance_finished")) == 1


@pytest.mark.parametrize("name", ["interruptible", "first"])
def test_what_is_no_truth_value_is_refused(name: str) -> None:
    call = Call()
    with pytest.raises(TypeError, match=rf"{name} is 'no', expected bool"):
        call.controller.utterance(**{name: "no"})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"stop_on_failure is 'no', expected bool"):
        call.controller.turn(stop_on_failure="no")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"loop is 5, expected AbstractEventLoop"):
        call.controller.threadsafe(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "mistake",
    [
        {"timeout_seconds": -1},
        {"first_audio_timeout_seconds": "soon"},
        {"format": "mp3"},
        {"text": 5},
        {"turn": "this"},
    ],
)
async def test_a_speak_that_is_refused_for_its_arguments_closes_its_source(call: Call, mistake: dict[str, Any]) -> None:
    async def awaited() -> bytes:
        return b""

    def generates() -> Iterator[bytes]:
        try:
            yield b""
        finally:
            closed.append("generator")

    closed: list[str] = []
    begun = generates()
    next(begun)
    file, coroutine, source, future = (
        io.BytesIO(b"audio"),
        awaited(),
        Source(),
        asyncio.get_running_loop().create_future(),
    )
    for refused in (file, coroutine, source, begun, future, b"audio"):
        with pytest.raises((ValueError, TypeError)):
            call.controller.speak(refused, **mistake)
    await turns()
    assert file.closed
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    assert source.closed == 1
    assert closed == ["generator"]
    assert future.cancelled()


def test_a_speak_without_a_loop_leaves_no_coroutine_behind() -> None:
    async def awaited() -> bytes:
        return b""

    coroutine, source = awaited(), Source()
    for refused in (coroutine, source):
        with pytest.raises(RuntimeError, match="no running event loop"):
            Call().controller.speak(refused)
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
