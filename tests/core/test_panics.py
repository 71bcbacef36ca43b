"""What is raised and is no Exception: a panic of a library in Rust, a group of exceptions, GeneratorExit.

It must not leave a read, lose a frame or keep anybody else from what he waits for. Only what is to end the program goes
on to the loop, once the frame is there.
"""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest

from playback import AudioFormat, Outcome, PlaybackController
from playback.bargein import BargeIn
from playback.events import ErrorRaised, Event
from playback.sinks import CallbackSink, SinkSlow
from tests.signals import CUTS, FRAME, RATE, ramp
from tests.speaking.playing import Call, turns, until

pytestmark = pytest.mark.portable


class Panic(BaseException):
    """As pyo3's PanicException, which is no Exception."""


class Observes:
    """An observer that raises at one of its methods."""

    def __init__(self, error: BaseException, method: str) -> None:
        for name in ("called", "edge", "event"):
            setattr(self, name, _raises(error) if name == method else lambda *_: None)

    called: Callable[[int, str, dict[str, Any]], None]
    edge: Callable[[int, str, str, str, tuple[str, ...]], None]
    event: Callable[[Event], None]


def listens(controller: PlaybackController, error: BaseException) -> None:
    controller.on("first_audio_byte", _raises(error))


def hears_played(controller: PlaybackController, error: BaseException) -> None:
    controller.sinks.add(CallbackSink(_raises(error)), when="played")


def hears_pushed(controller: PlaybackController, error: BaseException) -> None:
    controller.sinks.add(CallbackSink(_raises(error)), when="pushed")


def hears_events(controller: PlaybackController, error: BaseException) -> None:
    controller.sinks.add(CallbackSink(control=_raises(error)))


def observes_calls(controller: PlaybackController, error: BaseException) -> None:
    controller.observe(Observes(error, "called"))


def observes_edges(controller: PlaybackController, error: BaseException) -> None:
    controller.observe(Observes(error, "edge"))


def observes_events(controller: PlaybackController, error: BaseException) -> None:
    controller.observe(Observes(error, "event"))


def sounds(controller: PlaybackController, error: BaseException) -> None:
    sound = controller.background.add(np.ones(FRAME, np.int16), gain_db=0)
    sound.render = sound.render_steady = _raises(error)  # type: ignore[method-assign]


def _raises(error: BaseException) -> Callable[..., Any]:
    def raises(*_: object) -> None:
        raise error

    return raises


PLACES: Final = (
    *(listens, hears_played, hears_pushed, hears_events),
    *(observes_calls, observes_edges, observes_events, sounds),
)
ERRORS: Final = (
    Panic("a panic"),
    BaseExceptionGroup("several", [Panic()]),
    GeneratorExit(),
    asyncio.CancelledError(),
    ValueError("any other"),
)


def say(controller: PlaybackController) -> list[int]:
    """All that is heard of a frame and a half, and of what comes after it."""
    utterance = controller.utterance()
    utterance.push(ramp(FRAME + FRAME // 2))
    utterance.end()
    heard = [int(sample) for _ in range(3) for sample in controller.read(FRAME)[:, 0]]
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.COMPLETED
    return heard[: FRAME + FRAME // 2]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_whatever_is_raised_is_an_error_event_and_nobody_misses_anything(
    place: Callable[[PlaybackController, BaseException], None], error: BaseException
) -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    errors: list[ErrorRaised] = []
    finished: list[Event] = []
    controller.on("error", errors.append)
    place(controller, error)
    controller.on("first_audio_byte", finished.append)
    controller.on("utterance_finished", finished.append)
    assert say(controller) == ramp(FRAME + FRAME // 2).tolist()
    assert {event.exception for event in errors if not isinstance(event.exception, SinkSlow)} == {error}
    assert [event.name for event in finished] == ["first_audio_byte", "utterance_finished"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_what_is_to_end_the_program_is_raised_by_the_next_read_where_no_loop_runs(
    place: Callable[[PlaybackController, BaseException], None], error: BaseException
) -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    errors: list[ErrorRaised] = []
    heard: list[int] = []
    raised = 0
    controller.on("error", errors.append)
    place(controller, error)
    utterance = controller.utterance()
    utterance.push(ramp(FRAME + FRAME // 2))
    utterance.end()
    for _ in range(100):
        position = controller.position
        try:
            heard += controller.read(FRAME)[:, 0].tolist()
        except type(error):
            raised += controller.position == position
        if len(heard) > 2 * FRAME:
            break
    assert heard[: FRAME + FRAME // 2] == ramp(FRAME + FRAME // 2).tolist()
    assert raised >= 1
    assert [event for event in errors if not isinstance(event.exception, SinkSlow)] == []


@pytest.mark.parametrize("fails", [False, True])
def test_what_an_observer_raises_at_a_call_that_changes_nothing_is_an_event_at_once(fails: bool) -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    turn = controller.turn()
    turn.end()
    errors: list[ErrorRaised] = []
    controller.on("error", errors.append)
    if fails:
        controller.turn()
    observes_calls(controller, error := Panic())
    if fails:
        with pytest.raises(RuntimeError, match="one open turn"):
            controller.turn()
    else:
        turn.cancel()
    assert [event.exception for event in errors] == [error]


def test_several_that_are_to_end_the_program_are_raised_by_one_read_each() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    errors = [SystemExit(3), KeyboardInterrupt()]
    for error in errors:
        controller.on("paused", _raises(error))
    controller.push(ramp(FRAME))
    controller.pause()
    controller.resume()
    for error in errors:
        with pytest.raises(type(error)) as raised:
            controller.read(FRAME)
        assert raised.value is error
    assert controller.read(FRAME)[:, 0].tolist() == ramp(FRAME).tolist()


@pytest.mark.parametrize("place", [listens, hears_played, observes_events])
def test_what_is_to_end_the_program_goes_on_to_the_loop_after_the_frame(
    place: Callable[[PlaybackController, BaseException], None],
) -> None:
    frames: list[list[int]] = []

    async def call() -> None:
        controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
        place(controller, SystemExit(7))
        controller.push(ramp(FRAME))
        frames.append(controller.read(FRAME)[:, 0].tolist())
        await asyncio.sleep(60)

    with pytest.raises(SystemExit, match="7"):
        asyncio.run(call())
    assert frames == [ramp(FRAME).tolist()]


def test_a_keyboard_interrupt_in_a_task_of_a_listener_reaches_the_loop_once() -> None:
    async def listener(_: object) -> None:
        raise KeyboardInterrupt

    errors: list[Event] = []

    async def call() -> None:
        controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
        controller.on("error", errors.append)
        controller.on("paused", listener)
        controller.pause()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await turns()
            raise

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(call())
    assert errors == []


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_in_the_task_of_a_listener_and_of_a_sink(error: BaseException) -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    errors: list[ErrorRaised] = []
    controller.on("error", errors.append)

    async def raises(_: object) -> None:
        await asyncio.sleep(0)
        raise error

    heard: list[Any] = []

    async def hears(chunk: Any) -> None:
        heard.append(chunk)
        raise error

    controller.on("first_audio_byte", raises)
    controller.sinks.add(CallbackSink(hears), when="played")
    say(controller)
    await turns()
    assert len(heard) == 3
    cancelled = isinstance(error, asyncio.CancelledError)  # the listener's task is cancelled then, which is no error
    assert [event.exception for event in errors].count(error) == (3 if cancelled else 4)


@pytest.mark.parametrize(
    "error", [error for error in ERRORS if not isinstance(error, asyncio.CancelledError)], ids=repr
)
@pytest.mark.parametrize("kind", ["asynchronous", "blocking", "closing", "closing a blocking one"])
async def test_in_a_source_that_is_spoken(kind: str, error: BaseException) -> None:
    call = Call()

    class Iterates:
        def __init__(self) -> None:
            self.left = 3

        def __iter__(self) -> Iterator[Any]:
            return self

        def __next__(self) -> Any:
            self.left -= 1
            if self.left:
                return np.full(100, 9, np.int16)
            if kind == "blocking":
                raise error
            raise StopIteration

        def close(self) -> None:
            if kind == "closing a blocking one":
                raise error

    class Streams:
        left = 3

        def __aiter__(self) -> AsyncIterator[Any]:
            return self

        async def __anext__(self) -> Any:
            self.left -= 1
            if self.left:
                return np.full(100, 9, np.int16)
            if kind == "asynchronous":
                raise error
            raise StopAsyncIteration

        async def aclose(self) -> None:
            if kind == "closing":
                raise error

    utterance = call.controller.speak(Streams() if kind in ("asynchronous", "closing") else Iterates())
    await call.play(utterance)
    if kind.startswith("closing"):
        await until(lambda: bool(call.named("error")))
        assert [event.exception for event in call.named("error")] == [error]
    assert utterance.report is not None
    assert utterance.report.outcome == ("completed" if kind.startswith("closing") else "failed")
    assert call.heard == [9] * 200
    gc.collect()


def test_an_observer_that_always_raises_is_logged_where_it_raises_at_its_own_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    controller.observe(Observes(Panic(), "event"))
    controller.pause()
    assert "Observes" in caplog.text


async def test_a_file_that_panics_finishes_its_sound() -> None:
    class File(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise Panic
            return super().read(size)

    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    errors: list[ErrorRaised] = []
    controller.on("error", errors.append)
    header = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\1\0\1\0\xc0\x5d\0\0\x80\xbb\0\0\2\0\x10\0data\xff\xff\xff\x7f"
    sound = controller.background.add(File(header + bytes(100_000)))
    await until(lambda: sound.is_finished, lambda: controller.read(FRAME))
    assert errors


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_in_a_listener_of_the_policy(error: BaseException) -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    errors: list[ErrorRaised] = []
    controller.on("error", errors.append)
    policy = BargeIn(controller, guard_seconds=0)
    policy.on("barge_in", _raises(error))
    controller.push(np.ones(10 * FRAME, np.int16))
    controller.read(FRAME)
    policy.speech_started()
    policy.transcript("no, stop it now", final=True)
    assert [event.exception for event in errors] == [error]
    assert controller.state == "interrupted"
