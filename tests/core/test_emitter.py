"""Who receives events, in what order, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from asyncio import create_task
from collections.abc import Callable
from typing import Any

import pytest

from playback import PlaybackController, State, Utterance
from playback.core.emitter import STREAM_EVENTS, EventStream
from playback.events import EVENTS, ErrorRaised, Event, EventName, EventsLost, StateChanged, UtteranceFinished
from tests.signals import FRAME, Heard, ramp

pytestmark = [pytest.mark.portable, pytest.mark.timeout(30)]  # nothing here waits for time to pass


@pytest.fixture
def h() -> Heard:
    return Heard()


def say(h: Heard, samples: int = FRAME) -> Utterance:
    """An utterance that was pushed and ended."""
    utterance = h.controller.utterance()
    utterance.push(ramp(samples))
    utterance.end()
    return utterance


def errors(h: Heard) -> list[ErrorRaised]:
    return [event for event in h.events if isinstance(event, ErrorRaised)]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# Registering


def test_on_registers_directly_and_as_a_decorator() -> None:
    controller = PlaybackController()
    emitted: list[str] = []

    @controller.on("paused")
    def decorated(event: Event) -> None:
        emitted.append(f"decorated {event.name}")

    def direct(event: Event) -> None:
        emitted.append(f"direct {event.name}")

    assert controller.on("paused", direct) is direct
    assert callable(decorated)
    controller.pause()
    controller.resume()
    controller.pause()
    assert emitted == ["decorated paused", "direct paused"] * 2


def test_once_is_called_once_directly_and_as_a_decorator() -> None:
    controller = PlaybackController()
    emitted: list[str] = []

    def decorated(event: Event) -> None:
        emitted.append("decorated")

    assert controller.once("paused")(decorated) is decorated
    controller.once("paused", lambda _: emitted.append("direct"))
    for _ in range(2):
        controller.pause()
        controller.resume()
    assert emitted == ["decorated", "direct"]


@pytest.mark.parametrize("register", ["on", "once"])
def test_a_removed_listener_is_called_no_more(register: str) -> None:
    controller = PlaybackController()
    emitted: list[Event] = []
    listener = emitted.append
    getattr(controller, register)("paused", listener)
    controller.remove_listener("paused", listener)
    controller.pause()
    assert not emitted
    with pytest.raises(ValueError, match="does not listen to 'paused'"):
        controller.remove_listener("paused", listener)


class Counter:
    """A listener that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, _: Event) -> None:
        self.calls += 1

    async def call_later(self, _: Event) -> None:
        self.calls += 1


def pause_twice(controller: PlaybackController, counter: Counter) -> list[int]:
    """How often the listener is called in each of two pauses."""
    counts = []
    for _ in range(2):
        counter.calls = 0
        controller.pause()
        controller.resume()
        counts.append(counter.calls)
    return counts


@pytest.mark.parametrize(
    ("registrations", "counts"),
    [
        (["on"], [1, 1]),
        (["once"], [1, 0]),
        (["on", "on"], [1, 1]),
        (["once", "once"], [2, 0]),
        (["on", "once"], [2, 1]),
        (["once", "on"], [2, 1]),
        (["once", "on", "once", "on"], [3, 1]),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_once_never_ends_another_registration(registrations: list[str], counts: list[int]) -> None:
    controller, counter = PlaybackController(), Counter()
    for register in registrations:
        assert getattr(controller, register)("paused", counter.call) == counter.call
    assert pause_twice(controller, counter) == counts


@pytest.mark.parametrize("registrations", [["on", "once"], ["once", "on"], ["once", "once"]], ids="-".join)
def test_removing_a_listener_ends_all_of_its_registrations(registrations: list[str]) -> None:
    controller, counter, other = PlaybackController(), Counter(), Counter()
    controller.on("paused", other.call)
    controller.on("resumed", counter.call)
    for register in registrations:
        getattr(controller, register)("paused", counter.call)
    controller.remove_listener("paused", counter.call)  # another object each time, and equal
    assert pause_twice(controller, counter) == [1, 1], "it listens to the other event still"
    assert other.calls == 2
    with pytest.raises(ValueError, match="does not listen"):
        controller.remove_listener("paused", counter.call)


def test_a_listener_that_is_over_can_be_registered_again() -> None:
    controller, counter = PlaybackController(), Counter()
    controller.once("paused", counter.call)
    controller.pause()
    with pytest.raises(ValueError, match="does not listen"):
        controller.remove_listener("paused", counter.call)
    controller.resume()
    controller.on("paused", counter.call)
    assert pause_twice(controller, counter) == [1, 1]


def test_once_is_over_before_its_listener_is_called(h: Heard) -> None:
    """What the listener causes itself does not reach it; what it registers does."""
    counter = Counter()

    def call(event: Event) -> None:
        counter.call(event)
        h.controller.resume()
        h.controller.pause()

    h.controller.once("paused", call)
    h.controller.pause()
    assert counter.calls == 1
    assert h.emitted("paused", "error") == ["paused", "paused"]

    def again(event: Event) -> None:
        counter.call(event)
        h.controller.once("paused", again)

    h.controller.once("paused", again)
    h.controller.resume()
    assert pause_twice(h.controller, counter) == [1, 1]


def test_once_is_over_even_if_its_listener_raises(h: Heard) -> None:
    h.controller.once("paused", breaks)
    h.controller.on("paused", breaks)
    for count in (2, 1):
        h.controller.pause()
        h.controller.resume()
        assert h.emitted("error") == ["error"] * count


def test_once_counts_for_its_own_event_alone() -> None:
    controller, counter = PlaybackController(), Counter()
    controller.once("paused", counter.call)
    controller.once("resumed", counter.call)
    controller.lock()
    controller.unlock()
    assert counter.calls == 0
    assert pause_twice(controller, counter) == [2, 0]


async def test_a_coroutine_function_is_called_once_too() -> None:
    controller, counter = PlaybackController(), Counter()
    controller.once("paused", counter.call_later)
    pause_twice(controller, counter)
    await settle()
    assert counter.calls == 1


@pytest.mark.parametrize("register", ["on", "once"])
@pytest.mark.parametrize("remover", ["on", "once"])
def test_removed_by_a_listener_before_it_a_listener_is_not_called(h: Heard, remover: str, register: str) -> None:
    counter = Counter()

    def remove(event: Event) -> None:
        h.controller.remove_listener("paused", remove)
        h.controller.remove_listener("paused", counter.call)

    def remove_once(event: Event) -> None:
        h.controller.remove_listener("paused", counter.call)

    getattr(h.controller, remover)("paused", remove if remover == "on" else remove_once)
    getattr(h.controller, register)("paused", counter.call)
    assert pause_twice(h.controller, counter) == [0, 0]
    assert not errors(h)


def test_a_listener_that_is_called_once_has_no_registration_left_to_remove(h: Heard) -> None:
    def remove(event: Event) -> None:
        h.controller.remove_listener("paused", remove)

    h.controller.once("paused", remove)
    h.controller.pause()
    assert [type(error.exception) for error in errors(h)] == [ValueError]


@pytest.mark.parametrize("method", ["on", "once"])
@pytest.mark.parametrize("name", ["last_audio_bite", "", "new_listener", "events_lost"])
def test_an_unknown_name_is_an_error(method: str, name: Any) -> None:
    controller = PlaybackController()
    with pytest.raises(ValueError, match=f"no event {name!r}.*last_audio_byte"):
        getattr(controller, method)(name)
    with pytest.raises(ValueError, match=f"no event {name!r}"):
        getattr(controller, method)(name, print)
    with pytest.raises(ValueError, match=f"no event {name!r}"):
        controller.remove_listener(name, print)


@pytest.mark.parametrize("method", ["on", "once"])
@pytest.mark.parametrize("listener", ["print", 7, object()])
def test_what_cannot_be_called_is_an_error(method: str, listener: object) -> None:
    with pytest.raises(TypeError, match="expected a function"):
        getattr(PlaybackController(), method)("paused", listener)


@pytest.mark.parametrize("method", ["on", "once"])
def test_what_cannot_be_called_is_an_error_to_the_decorator_too(method: str) -> None:
    with pytest.raises(TypeError, match="expected a function"):
        getattr(PlaybackController(), method)("paused")("print")


# Listeners that call back

Call = Callable[[PlaybackController], object]
CALLS_BACK: list[tuple[str, Call, list[str], str]] = [
    ("last_audio_byte", lambda c: c.pause(), ["paused", "state_changed"], "paused.empty"),
    ("utterance_finished", lambda c: c.push(ramp(960)), ["state_changed"], "speaking.streaming"),
    ("first_audio_byte", lambda c: c.interrupt(), [], "idle"),
    ("state_changed", lambda c: c.lock(), ["input_locked", "state_changed"], "input_locked"),
    ("last_audio_byte", lambda c: c.close(), ["closed", "state_changed"], "closed"),
]


@pytest.mark.parametrize(
    ("name", "call", "emitted", "leaf"), CALLS_BACK, ids=[f"{row[0]}-{row[3]}" for row in CALLS_BACK]
)
def test_a_listener_that_calls_back_sees_a_settled_state_and_all_hear_the_same_order(
    name: EventName, call: Call, emitted: list[str], leaf: str
) -> None:
    controller = PlaybackController()
    utterance = controller.utterance()
    utterance.push(ramp(960))
    utterance.end()

    before = Heard(controller)
    seen: list[str] = []

    def call_back(event: Event) -> None:
        seen.append(controller.leaf)
        call(controller)

    controller.once(name, call_back)
    after = Heard(controller)
    controller.read(960)
    assert seen == ["idle"]
    assert controller.leaf == leaf
    assert [id(event) for event in before.events] == [id(event) for event in after.events]
    assert before.emitted() == ["first_audio_byte", "last_audio_byte", "utterance_finished", "state_changed", *emitted]


def test_interrupted_in_its_first_audio_byte_an_utterance_is_silent_from_the_next_read_on(h: Heard) -> None:
    h.controller.on("first_audio_byte", lambda _: h.controller.interrupt())
    utterance = h.controller.utterance()
    utterance.push(ramp(3 * FRAME))
    assert h.read() == list(range(1, FRAME + 1))
    assert h.read() == [0] * FRAME
    assert (utterance.played, utterance.discarded) == (FRAME, 2 * FRAME)
    assert h.emitted() == [
        "state_changed",
        "first_audio_byte",
        "utterance_finished",
        "interrupted",
        "state_changed",
        "silenced",
        "state_changed",
    ]


def test_paused_in_last_audio_byte_the_next_utterance_loses_nothing(h: Heard) -> None:
    say(h, 100)
    h.controller.utterance().push(ramp(2 * FRAME, 1000))
    h.controller.once("last_audio_byte", lambda _: h.controller.pause())
    first = h.read()
    assert first == [*range(1, 101), *range(1000, 1380)]
    assert h.read() == [0] * FRAME
    assert h.controller.leaf == "paused.held"
    h.controller.resume()
    assert h.read() == list(range(1380, 1380 + FRAME))


def test_what_is_pushed_when_an_utterance_finished_sounds_in_the_next_read(h: Heard) -> None:
    h.controller.once("utterance_finished", lambda _: h.controller.push(ramp(FRAME, 1000)))
    say(h, 100)
    assert h.read() == [*range(1, 101), *[0] * 380]
    assert h.read() == list(range(1000, 1000 + FRAME))


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_any_event_may_close_the_controller(name: EventName) -> None:
    """Every event is caused once; whichever closes, reads go on in silence and each utterance finishes once."""
    h = Heard()
    controller = h.controller
    controller.on(name, lambda _: controller.close())
    cause_everything(controller)
    assert not any(h.read())
    assert controller.state is State.CLOSED
    finished = [event.utterance for event in h.events if isinstance(event, UtteranceFinished)]
    assert len(finished) == len(set(finished)) > 0
    names = h.emitted(*EVENTS)
    assert name in names
    assert names.count("closed") == 1


def cause_everything(controller: PlaybackController) -> None:
    """Let every event there is be emitted at least once, if nobody stops it."""
    first, second = controller.utterance(), controller.utterance()
    first.push(ramp(FRAME + 7))
    first.mark("word", at=0.001)
    controller.read(FRAME)
    controller.read(FRAME)  # an underrun
    first.end()
    second.push(ramp(5 * FRAME))
    controller.read(FRAME)
    controller.pause()
    controller.resume()
    controller.interrupt()
    controller.read(FRAME)
    second.push(ramp(1))
    controller.lock()
    controller.unlock()
    controller.report_stall(1.0)
    controller.report_far_end(0.1, 0.02)
    controller.on("paused", lambda _: 1 / 0)
    controller.pause()
    controller.close()


def test_the_script_above_does_cause_everything(h: Heard) -> None:
    cause_everything(h.controller)
    assert set(h.emitted(*EVENTS)) == set(EVENTS)


def test_every_listener_hears_the_same_order_whoever_calls_back() -> None:
    controller = PlaybackController()
    first = Heard(controller)
    for name in EVENTS:
        controller.once(name, lambda _: controller.lock() and controller.unlock())
    second = Heard(controller)
    cause_everything(controller)
    assert [id(event) for event in first.events] == [id(event) for event in second.events]
    assert len(first.events) > 30


# Listeners that go


def test_a_listener_may_remove_itself_and_the_others_are_still_called(h: Heard) -> None:
    emitted: list[str] = []

    def leaver(event: Event) -> None:
        emitted.append("leaver")
        h.controller.remove_listener("paused", leaver)

    h.controller.on("paused", leaver)
    h.controller.on("paused", lambda _: emitted.append("stayer"))
    for _ in range(2):
        h.controller.pause()
        h.controller.resume()
    assert emitted == ["leaver", "stayer", "stayer"]
    assert not errors(h)


def test_a_listener_may_register_another_one_which_receives_the_next_event(h: Heard) -> None:
    emitted: list[Event] = []
    h.controller.once("paused", lambda _: h.controller.on("paused", emitted.append))
    h.controller.pause()
    assert not emitted
    h.controller.resume()
    h.controller.pause()
    assert len(emitted) == 1


# Listeners that raise


class BrokenError(Exception):
    """What listeners raise here."""


def breaks(event: Event) -> None:
    raise BrokenError(event.name)


async def breaks_later(event: Event) -> None:
    await asyncio.sleep(0)
    raise BrokenError(event.name)


def test_what_a_listener_raises_becomes_an_error_and_stops_nobody(h: Heard) -> None:
    emitted: list[str] = []
    h.controller.on("paused", breaks)
    h.controller.on("paused", lambda _: emitted.append("emitted"))
    assert h.controller.pause()
    assert emitted == ["emitted"]
    (error,) = errors(h)
    assert isinstance(error.exception, BrokenError)
    assert error.source == "listener breaks of 'paused'"
    assert h.emitted() == ["paused", "state_changed", "error"]


def test_a_listener_of_one_event_is_named_when_it_raises(h: Heard) -> None:
    h.controller.once("paused", breaks)
    h.controller.pause()
    assert [error.source for error in errors(h)] == ["listener breaks of 'paused'"]


def test_reads_answer_whatever_listeners_raise(h: Heard) -> None:
    for name in set(EVENTS) - {"error"}:
        h.controller.on(name, breaks)
    say(h, FRAME + 10)
    assert h.read() == list(range(1, FRAME + 1))
    assert h.read() == [*range(FRAME + 1, FRAME + 11), *[0] * (FRAME - 10)]
    names = h.emitted(*EVENTS)
    assert names.count("error") == len(names) / 2


@pytest.mark.parametrize("error", [asyncio.CancelledError, StopIteration, AssertionError])
def test_no_exception_of_a_listener_escapes_from_a_read(h: Heard, error: type[BaseException]) -> None:
    def listener(event: Event) -> None:
        raise error

    h.controller.on("first_audio_byte", listener)
    say(h)
    assert h.read() == list(range(1, FRAME + 1))
    assert [type(event.exception) for event in errors(h)] == [error]


async def test_a_cancelled_future_in_a_listener_does_not_cancel_the_reader(h: Heard) -> None:
    future: asyncio.Future[int] = asyncio.Future()
    future.cancel()
    h.controller.on("last_audio_byte", lambda _: future.result())
    say(h)
    h.read()
    assert [type(event.exception) for event in errors(h)] == [asyncio.CancelledError]


async def test_coroutine_listeners_run_as_tasks(h: Heard) -> None:
    emitted: list[str] = []

    @h.controller.on("last_audio_byte")
    async def listener(event: Event) -> None:
        await asyncio.sleep(0)
        emitted.append(event.name)

    say(h)
    h.read()
    assert not emitted
    await settle()
    assert emitted == ["last_audio_byte"]


async def test_the_task_of_a_coroutine_listener_is_kept_while_it_waits(h: Heard) -> None:
    emitted: list[str] = []
    futures: weakref.WeakSet[asyncio.Future[str]] = weakref.WeakSet()

    @h.controller.on("paused")
    async def listener(event: Event) -> None:
        future: asyncio.Future[str] = asyncio.Future()
        futures.add(future)
        emitted.append(await future)

    h.controller.pause()
    await settle()
    gc.collect()  # the loop itself holds tasks weakly
    for future in futures:
        future.set_result("emitted")
    await settle()
    assert emitted == ["emitted"]


async def test_what_a_coroutine_listener_raises_becomes_an_error(h: Heard) -> None:
    h.controller.on("paused", breaks_later)
    h.controller.pause()
    assert not errors(h)
    await settle()
    (error,) = errors(h)
    assert isinstance(error.exception, BrokenError)
    assert error.source == "listener breaks_later of 'paused'"


async def test_a_coroutine_listener_that_is_cancelled_is_no_error(h: Heard) -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    @h.controller.on("paused")
    async def listener(event: Event) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(60)

    h.controller.pause()
    await settle()
    assert tasks[0] is not None
    tasks[0].cancel()
    await settle()
    assert not errors(h)


def test_a_coroutine_listener_without_a_running_loop_is_an_error_and_no_warning(h: Heard) -> None:
    async def listener(event: Event) -> None:
        pass

    idle = asyncio.new_event_loop()  # a loop that is there, but does not run, is none
    asyncio.set_event_loop(idle)
    try:
        h.controller.on("paused", listener)
        h.controller.pause()
        gc.collect()  # would warn of a coroutine that was never awaited
    finally:
        asyncio.set_event_loop(None)
        idle.close()
    assert [type(event.exception) for event in errors(h)] == [RuntimeError]


# Errors that nobody hears


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, str]]:
    assert all(record.exc_info for record in caplog.records)
    return caplog.record_tuples


def test_an_error_listener_that_raises_is_logged_and_not_called_for_itself(caplog: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController()
    emitted: list[Event] = []
    controller.on("error", breaks)
    controller.on("error", emitted.append)
    controller.on("paused", breaks)
    controller.pause()
    assert len(emitted) == 1
    assert logged(caplog) == [("playback", logging.ERROR, "listener breaks of 'error' raised")]


async def test_an_error_listener_that_raises_later_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController()
    controller.on("error", breaks_later)
    controller.on("paused", breaks)
    controller.pause()
    await settle()
    assert logged(caplog) == [("playback", logging.ERROR, "listener breaks_later of 'error' raised")]


def test_an_error_without_a_listener_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController()
    controller.on("paused", breaks)
    controller.pause()
    assert logged(caplog) == [("playback", logging.ERROR, "listener breaks of 'paused' raised")]


async def test_an_error_that_a_stream_holds_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController()
    stream = controller.events()
    controller.on("paused", breaks)
    controller.pause()
    assert not caplog.records
    assert [(await anext(stream)).name for _ in range(3)] == ["paused", "state_changed", "error"]


async def test_a_stream_that_has_ended_keeps_no_error_from_the_log(caplog: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController()
    stream = controller.events()
    await stream.aclose()
    controller.on("paused", breaks)
    controller.pause()
    assert stream is not None
    assert logged(caplog) == [("playback", logging.ERROR, "listener breaks of 'paused' raised")]


# The stream


async def test_a_stream_has_all_events_in_order_and_ends_after_closed(h: Heard) -> None:
    stream = h.controller.events()
    cause_everything(h.controller)
    streamed = [event async for event in stream]
    assert [id(event) for event in streamed] == [id(event) for event in h.events]
    assert [event.name for event in streamed[-2:]] == ["closed", "state_changed"]
    assert isinstance(streamed[-1], StateChanged)
    assert streamed[-1].new is State.CLOSED


async def test_a_stream_registers_when_it_is_called(h: Heard) -> None:
    h.controller.pause()
    stream = h.controller.events()
    h.controller.resume()
    assert (await anext(stream)).name == "resumed"


async def test_streams_do_not_take_events_from_each_other(h: Heard) -> None:
    streams = [h.controller.events() for _ in range(3)]
    h.controller.close()
    assert [[event.name async for event in stream] for stream in streams] == [["closed", "state_changed"]] * 3


async def test_a_reader_that_waits_is_woken_by_the_next_event(h: Heard) -> None:
    task = create_task(anext_of(h.controller.events()))
    await settle()
    assert not task.done()
    h.controller.pause()
    assert (await task).name == "paused"


async def anext_of(stream: EventStream) -> Event:
    return await anext(stream)


@pytest.mark.parametrize("lost", [0, 1, 234])
async def test_a_slow_reader_has_the_newest_events_and_learns_how_many_it_lost(h: Heard, lost: int) -> None:
    stream = h.controller.events()
    for number in range(STREAM_EVENTS + lost):
        h.controller.report_stall(number)
    first = await anext(stream) if lost else None
    assert first == (EventsLost(0, lost) if lost else None)
    held = [await anext(stream) for _ in range(STREAM_EVENTS)]
    assert [id(event) for event in held] == [id(event) for event in h.events[lost:]]

    h.controller.report_stall(-1)
    assert (await anext(stream)) is h.events[-1]  # the loss is reported once


async def test_an_overflow_keeps_the_end(h: Heard) -> None:
    stream = h.controller.events()
    for _ in range(STREAM_EVENTS):
        h.controller.report_stall(1)
    h.controller.close()
    streamed = [event async for event in stream]
    assert streamed[0] == EventsLost(0, 2)
    assert [event.name for event in streamed[-2:]] == ["closed", "state_changed"]


async def test_aclose_wakes_who_waits_and_drops_what_is_held(h: Heard) -> None:
    stream = h.controller.events()
    tasks = [create_task(anext_of(stream)) for _ in range(2)]
    await settle()
    await stream.aclose()
    for task in tasks:
        with pytest.raises(StopAsyncIteration):
            await task

    stream = h.controller.events()
    h.controller.pause()
    await stream.aclose()
    h.controller.resume()
    assert [event async for event in stream] == []


async def test_a_stream_made_after_the_close_has_ended(h: Heard) -> None:
    h.controller.close()
    stream = h.controller.events()
    h.controller.push(ramp(1))  # refused, which is emitted to listeners only
    assert [event async for event in stream] == []


async def test_a_reader_that_gives_up_takes_no_event_with_it(h: Heard) -> None:
    stream = h.controller.events()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext_of(stream), 0.01)
    h.controller.pause()
    assert (await anext(stream)).name == "paused"


def test_a_stream_that_is_dropped_is_freed(h: Heard) -> None:
    stream = h.controller.events()
    h.controller.pause()
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None
    h.controller.resume()


async def test_a_stream_made_while_the_controller_closes_has_the_rest(h: Heard) -> None:
    streams: list[EventStream] = []
    h.controller.on("utterance_finished", lambda _: streams.append(h.controller.events()))
    say(h)
    h.controller.close()
    assert [event.name async for event in streams[0]] == ["turn_finished", "closed", "state_changed"]
