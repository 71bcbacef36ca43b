"""Threads that wait for the event loop when it ends: whatever ends it, they get an error, and `asyncio.run` returns."""

from __future__ import annotations

import asyncio
import gc
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from playback import AudioFormat, PlaybackController, _loop_end
from playback.threads import ThreadsafeProducer

PATIENCE: Final = 60.0
"""Seconds after which a thread is taken to be stuck."""
SECOND: Final = bytes(2 * 8_000)


def full() -> PlaybackController:
    """A controller that nobody reads, and whose buffer is full after two writes of a second."""
    return PlaybackController(AudioFormat(8_000), high_water_seconds=0.5)


def write(producer: ThreadsafeProducer) -> None:
    utterance = producer.utterance()
    while True:
        utterance.write(SECOND)


def speak(producer: ThreadsafeProducer) -> None:
    def source() -> Iterator[bytes]:
        while True:
            yield SECOND

    producer.speak(source())


class Worker:
    """Does something that waits, on a thread, and keeps how that ended."""

    def __init__(self, does: Callable[[], object]) -> None:
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self._does = does

    def run(self) -> None:
        try:
            self._does()
        except BaseException as error:
            self.error = error
        finally:
            self.ended.set()

    def check(self) -> None:
        """See that it did not wait for ever."""
        assert self.ended.wait(PATIENCE)
        assert isinstance(self.error, RuntimeError)
        assert "loop" in str(self.error)


@pytest.mark.portable
@pytest.mark.parametrize("does", [write, speak])
def test_a_run_returns_while_a_thread_of_its_executor_waits(does: Callable[[ThreadsafeProducer], None]) -> None:
    workers: list[Worker] = []

    async def main() -> None:
        controller = full()
        producer = controller.threadsafe(asyncio.get_running_loop())
        workers.append(Worker(lambda: does(producer)))
        asyncio.get_running_loop().run_in_executor(None, workers[0].run)
        while not controller.buffered:  # noqa: ASYNC110 - the thread does it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # mostly, it waits by now

    asyncio.run(main())
    workers[0].check()


@pytest.mark.portable
@pytest.mark.parametrize("does", [write, speak])
@pytest.mark.parametrize("late", ["the call", "the producer"])
def test_a_run_returns_though_a_thread_begins_to_wait_when_it_ends(
    does: Callable[[ThreadsafeProducer], None], late: str
) -> None:
    """The thread wakes when all tasks are cancelled and only the executor is waited for."""
    workers: list[Worker] = []

    async def main() -> None:
        controller, loop = full(), asyncio.get_running_loop()
        early = controller.threadsafe(loop)

        def begin() -> None:
            assert ending.wait(PATIENCE)
            does(controller.threadsafe(loop) if late == "the producer" else early)

        ending = threading.Event()
        workers.append(Worker(begin))
        loop.run_in_executor(None, workers[0].run)
        original = loop.shutdown_default_executor

        async def shut_down(*arguments: Any) -> None:
            ending.set()
            await original(*arguments)

        loop.shutdown_default_executor = shut_down  # type: ignore[method-assign]
        await asyncio.sleep(0)

    asyncio.run(main())
    workers[0].check()


def ended_by(end: Callable[[AbstractEventLoop], None]) -> Worker:
    """A worker on a plain thread, whose loop has run and then gets this end."""
    loop, controller = asyncio.new_event_loop(), full()
    producer = controller.threadsafe(loop)
    worker = Worker(lambda: write(producer))
    threading.Thread(target=worker.run, daemon=True).start()

    async def until_it_waits() -> None:
        while not controller.buffered:  # noqa: ASYNC110 - the thread does it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

    loop.run_until_complete(until_it_waits())
    end(loop)
    return worker


def test_a_loop_that_is_closed_ends_the_wait() -> None:
    ended_by(lambda loop: loop.close()).check()


def test_a_loop_that_does_not_run_any_more_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loop_end, "STOPPED_SECONDS", 0.5)
    loops: list[AbstractEventLoop] = []
    worker = ended_by(loops.append)
    worker.check()
    assert str(worker.error) == "the loop has not run for 0.5 s, expected one that runs"
    loops[0].close()


def test_nothing_is_left_unawaited_in_a_loop_that_never_came_to_it(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(_loop_end, "STOPPED_SECONDS", 0.1)

    def leave_it_waiting() -> None:
        loop = asyncio.new_event_loop()
        producer = full().threadsafe(loop)
        worker = Worker(lambda: write(producer))
        threading.Thread(target=worker.run, daemon=True).start()
        worker.check()
        loop.close()

    leave_it_waiting()
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_a_loop_that_starts_late_is_waited_for() -> None:
    loop, controller = asyncio.new_event_loop(), full()
    producer = controller.threadsafe(loop)
    accepted: list[int] = []
    worker = Worker(lambda: accepted.append(producer.utterance().write(SECOND)))
    threading.Thread(target=worker.run, daemon=True).start()
    assert not worker.ended.wait(0.4)

    async def main() -> None:
        while not worker.ended.is_set():  # noqa: ASYNC110 - the thread does it
            await asyncio.sleep(0.01)

    loop.run_until_complete(main())
    assert worker.error is None
    assert accepted == [8_000]
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def test_what_is_made_for_a_loop_that_is_closed_raises_at_its_first_call() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    producer = full().threadsafe(loop)
    with pytest.raises(RuntimeError, match="closed"):
        producer.utterance().write(SECOND)


async def test_a_producer_that_is_dropped_leaves_no_task_behind() -> None:
    controller, loop = full(), asyncio.get_running_loop()
    for _ in range(50):
        controller.threadsafe(loop)
        await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0.05)
    assert len(asyncio.all_tasks()) == 1
