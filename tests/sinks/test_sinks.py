"""Sinks: who else hears the audio, in what order, and what happens when one of them fails."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController, Utterance
from playback.events import EVENTS, ErrorRaised, Event, InputEnded
from playback.sinks import CONTROLS, CallbackSink, Chunk, SinkOverflow, SinkSlow, When, pushed
from playback.sinks import dispatch as module
from tests.signals import CUTS, FRAME, RATE, Heard, ramp

pytestmark = [pytest.mark.portable, pytest.mark.timeout(30)]  # nothing here waits for time to pass

WHENS: list[When] = ["pushed", "played"]


@pytest.fixture
def h() -> Heard:
    return Heard()


class Tap:
    """A sink that keeps what it hears."""

    def __init__(self) -> None:
        self.items: list[Event] = []

    def audio(self, chunk: Chunk) -> None:
        self.items.append(chunk)

    def control(self, event: Event) -> None:
        self.items.append(event)

    @property
    def chunks(self) -> list[Chunk]:
        return [item for item in self.items if isinstance(item, Chunk)]

    @property
    def story(self) -> list[str]:
        """What it heard, in short: audio by whose it is."""
        return [
            f"{item.utterance.id if item.utterance else '-'} {item.audio[0, 0]}+{len(item.audio)}"
            if isinstance(item, Chunk)
            else item.name
            for item in self.items
        ]


class AwaitedTap(Tap):
    """The same, awaited; it takes a turn of the loop for each item."""

    async def audio(self, chunk: Chunk) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.items.append(chunk)

    async def control(self, event: Event) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.items.append(event)


class Hung(Tap):
    """A sink that never comes back from its first chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = False

    async def audio(self, chunk: Chunk) -> None:  # type: ignore[override]
        self.items.append(chunk)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


def say(h: Heard, samples: int = FRAME, id: str = "a", start: int = 1) -> Utterance:
    """An utterance that was pushed and ended."""
    utterance = h.controller.utterance(id=id)
    utterance.push(ramp(samples, start))
    utterance.end()
    return utterance


def errors(h: Heard, type: type[BaseException] = BaseException) -> list[Any]:
    return [e.exception for e in h.events if isinstance(e, ErrorRaised) and isinstance(e.exception, type)]


async def settle(turns: int = 50) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


def joined(chunks: list[Chunk]) -> list[int]:
    return [int(sample) for chunk in chunks for sample in chunk.audio[:, 0]]


class Clock:
    """A clock that goes only as the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    return clock


# Registering


def test_controls_are_events_and_the_end_of_input() -> None:
    assert set(EVENTS) | {InputEnded.name} >= CONTROLS


def test_add_returns_the_sink_and_takes_it_once(h: Heard) -> None:
    tap = Tap()
    assert h.controller.sinks.add(tap, when="played") is tap
    with pytest.raises(ValueError, match="Tap was added already"):
        h.controller.sinks.add(tap, when="pushed")
    h.read()
    assert len(tap.chunks) == 1


def test_removing_a_sink_that_is_not_there_is_an_error(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap())
    h.controller.sinks.remove(tap)
    for sink in (tap, Tap(), print):
        with pytest.raises(ValueError, match="none of the sinks"):
            h.controller.sinks.remove(sink)


@pytest.mark.parametrize("sink", ["print", 7, object(), Tap, type("Bad", (), {"audio": 7})()])
def test_what_cannot_hear_is_an_error(h: Heard, sink: Any) -> None:
    with pytest.raises(TypeError, match=r"is no sink, expected an object with audio\(chunk\)"):
        h.controller.sinks.add(sink)


def test_an_unknown_time_is_an_error(h: Heard) -> None:
    with pytest.raises(ValueError, match="when is 'later', expected 'pushed' or 'played'"):
        h.controller.sinks.add(Tap(), when="later")  # type: ignore[arg-type]


def test_a_sink_may_say_when_it_hears(h: Heard) -> None:
    class Monitor(Tap):
        when = "played"

    with pytest.raises(ValueError, match="when is 'pushed', expected 'played'"):
        h.controller.sinks.add(Monitor(), when="pushed")
    monitor = h.controller.sinks.add(Monitor())
    say(h)
    assert not monitor.chunks
    h.read()
    assert monitor.chunks[0].when == "played"


def test_a_function_is_a_sink(h: Heard) -> None:
    pushed: list[Chunk] = []
    h.controller.sinks.add(pushed.append, when="pushed")
    say(h)
    assert joined(pushed) == list(range(1, FRAME + 1))


def test_a_bound_method_is_known_again(h: Heard) -> None:
    tap, heard = Tap(), list[Chunk]()
    h.controller.sinks.add(tap.audio, when="played")
    h.controller.sinks.add(Tap().audio, when="played")  # another one's
    h.controller.sinks.add(heard.append, when="played")
    with pytest.raises(ValueError, match=r"Tap\.audio was added already"):
        h.controller.sinks.add(tap.audio)
    h.controller.sinks.remove(tap.audio)
    h.controller.sinks.remove(heard.append)
    h.read()
    assert not tap.items
    assert not heard


def test_a_callback_sink_has_either_function_or_both(h: Heard) -> None:
    audio: list[Event] = []
    control: list[Event] = []
    h.controller.sinks.add(CallbackSink(audio.append), when="played")
    h.controller.sinks.add(CallbackSink(control=control.append), when="played")
    h.read()
    h.controller.pause()
    assert [item.name for item in audio] == ["chunk"]
    assert [item.name for item in control] == ["paused"]


@pytest.mark.parametrize("when", WHENS)
def test_who_hears_control_alone_costs_no_audio(h: Heard, when: When) -> None:
    h.controller.sinks.add(CallbackSink(control=print), when=when)
    assert not h.controller.sinks.hears_pushed
    assert not h.controller.sinks.hears_played


def test_the_short_path_of_pushes_comes_back_when_the_last_sink_goes(h: Heard) -> None:
    data = ramp(FRAME).tobytes()
    utterance = h.controller.utterance()
    for _ in range(3):
        utterance.push(data)
    h.read()
    utterance.push(data)
    fast = h.controller._playout.transitions.fast
    assert fast.push is utterance
    tap = h.controller.sinks.add(Tap(), when="pushed")
    utterance.push(data)
    assert fast.push is None
    assert len(tap.chunks) == 1
    h.controller.sinks.remove(tap)
    for _ in range(2):
        utterance.push(data)
        assert fast.push is utterance
    assert len(tap.chunks) == 1


def test_a_sink_that_hears_played_audio_leaves_pushes_their_short_path(h: Heard) -> None:
    h.controller.sinks.add(Tap(), when="played")
    utterance = h.controller.utterance()
    utterance.push(bytes(4 * FRAME))
    h.read()
    utterance.push(bytes(FRAME))
    assert h.controller._playout.transitions.fast.push is utterance


# What chunks say


def test_a_pushed_chunk_says_whose_it_is_and_where_it_belongs() -> None:
    h = Heard(PlaybackController(AudioFormat(48_000), input_format=AudioFormat(RATE), fades=CUTS))
    tap = h.controller.sinks.add(Tap(), when="pushed")
    h.read(100)
    utterance = h.controller.utterance()
    utterance.push(ramp(480).tobytes())
    utterance.push(ramp(240, 481).tobytes())
    first, second = tap.chunks
    assert (first.utterance, first.position, first.offset, first.when, first.voice) == (
        utterance,
        100,
        0,
        "pushed",
        None,
    )
    assert first.format == AudioFormat(RATE)
    assert first.audio.tolist() == ramp(480)[:, None].tolist()
    assert second.offset == 960
    assert second.audio.tolist() == ramp(240, 481)[:, None].tolist()
    for array in (first.audio, second.audio):
        assert array.dtype == np.int16
        assert not array.flags.writeable
        with pytest.raises(ValueError, match=r"[Rr]ead-only|WRITEABLE|writeable"):
            array.flags.writeable = True


def test_a_played_chunk_says_whose_it_is_and_when(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap(), when="played")
    utterance = say(h, FRAME + 100)
    h.controller.gain_db = -6
    frames = [h.controller.read(FRAME) for _ in range(3)]
    assert [(c.position, c.utterance, c.offset, c.when, c.format) for c in tap.chunks] == [
        (n * FRAME, owner, None, "played", AudioFormat(RATE)) for n, owner in enumerate((utterance, utterance, None))
    ]
    for frame, chunk in zip(frames, tap.chunks, strict=True):
        assert chunk.voice is not None
        assert not chunk.audio.flags.writeable
        assert not chunk.voice.flags.writeable
        assert chunk.audio.tolist() == chunk.voice.tolist() == frame.tolist()


def stereo_frame(samples: int, format: str, layout: str, rate: int = RATE) -> av.AudioFrame:
    frame = av.AudioFrame(format=format, layout=layout, samples=samples)
    frame.sample_rate = rate
    for plane in frame.planes:
        plane.update(np.full(plane.buffer_size // 4, 0.25, np.float32).tobytes())
    return frame


@pytest.mark.parametrize(
    ("audio", "rate", "channels", "expected"),
    [
        (np.full(FRAME, 0.5, np.float32), RATE, 1, 16384),
        (np.full((FRAME, 2), 0.5, np.float32), RATE, 2, 16384),
        (np.full((FRAME, 2), 77, np.int16), RATE, 2, 77),
        (stereo_frame(FRAME, "fltp", "stereo", 16_000), 16_000, 2, 8192),
        (stereo_frame(FRAME, "flt", "mono", 44_100), 44_100, 1, 8192),
        (stereo_frame(FRAME, "fltp", "5.1"), RATE, 2, None),
    ],
    ids=["float mono", "float stereo", "stereo", "planar stereo frame", "float frame", "six channels"],
)
def test_pushed_audio_of_any_kind_arrives_as_int16_at_its_own_rate(
    h: Heard, audio: Any, rate: int, channels: int, expected: int | None
) -> None:
    tap = h.controller.sinks.add(Tap(), when="pushed")
    assert h.controller.push(audio) > 0
    (chunk,) = tap.chunks
    assert chunk.format == AudioFormat(rate, channels)
    assert chunk.audio.shape == (FRAME, channels)
    assert chunk.audio.dtype == np.int16
    assert set(chunk.audio.ravel().tolist()) == {expected} or expected is None
    assert chunk.audio.any()


def test_a_split_sample_and_an_empty_push_never_reach_a_sink_broken(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap(), when="pushed")
    data = ramp(100).tobytes()
    for piece in (data[:3], b"", data[3:7], data[7:]):
        h.controller.push(piece)
    assert joined(tap.chunks) == list(range(1, 101))
    assert [chunk.offset for chunk in tap.chunks] == [0, 1, 3]


def test_audio_that_no_sink_can_get_is_reported_and_plays(h: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object) -> None:
            raise ValueError("no way")

    h.controller.sinks.add(Tap(), when="pushed")
    monkeypatch.setattr(pushed, "Converter", Broken)
    frame = np.full((FRAME, 1), 0.5, np.float32)
    assert h.controller.push(frame) == FRAME
    h.controller.end()
    assert [str(error) for error in errors(h)] == ["no way"]
    assert any(h.read())


def test_several_sinks_hear_the_same(h: Heard) -> None:
    taps = [h.controller.sinks.add(Tap(), when=when) for when in WHENS * 2]
    say(h, 1000)
    h.read()
    h.controller.pause()
    h.controller.resume()
    h.controller.interrupt(lock=True)
    h.controller.close()
    for one, other in zip(taps, taps[2:], strict=False):
        assert one.story == other.story
        assert one.items == other.items
        assert len(one.chunks) == 1


def test_played_chunks_are_all_that_was_read(h: Heard) -> None:
    h = Heard(PlaybackController(AudioFormat(RATE, 2)))  # with fades
    tap = h.controller.sinks.add(Tap(), when="played")
    rng = np.random.default_rng(7)
    reads: list[NDArray[np.int16]] = []

    def read(samples: int) -> None:
        reads.append(h.controller.read(samples))

    for turn in range(40):
        h.controller.push(rng.integers(-9999, 9999, (int(rng.integers(1, 2000)), 2)).astype(np.int16))
        read(int(rng.integers(1, 900)))
        match turn % 8:
            case 1:
                h.controller.pause()
            case 2:
                h.controller.resume()
            case 4:
                h.controller.end()
            case 5:
                h.controller.gain_db = float(rng.integers(-20, 6))
            case 6:
                h.controller.interrupt()
        buffer = np.empty((480, 2), np.int16)
        h.controller.read_into(buffer)
        reads.append(buffer)
    assert np.concatenate([chunk.audio for chunk in tap.chunks]).tolist() == np.concatenate(reads).tolist()
    assert [chunk.position for chunk in tap.chunks] == [0, *np.cumsum([len(r) for r in reads])[:-1].tolist()]
    assert np.concatenate(reads).any()


# What is refused


@pytest.mark.parametrize("when", WHENS)
def test_refused_audio_never_arrives(h: Heard, when: When) -> None:
    tap = h.controller.sinks.add(Tap(), when=when)
    stale = h.controller.utterance(id="stale")
    stale.push(ramp(FRAME))
    h.controller.interrupt(lock=True)
    ended = h.controller.utterance(id="ended")
    assert stale.push(ramp(FRAME, 1000)) == ended.push(ramp(FRAME, 2000)) == h.controller.push(ramp(FRAME, 3000)) == 0
    h.controller.unlock()
    ended.end()
    assert stale.push(ramp(FRAME, 4000)) == ended.push(ramp(FRAME, 5000)) == 0
    for _ in range(3):
        h.read()
    h.controller.close()
    assert h.controller.push(ramp(FRAME, 6000)) == 0
    assert max(joined(tap.chunks)) == (FRAME if when == "pushed" else 0)


# Order: a turn as a sink hears it


def turn(h: Heard) -> Iterator[None]:
    """A turn that is interrupted, after one that is not."""
    say(h, 2 * FRAME, "a")
    for _ in range(3):
        h.read()
        yield
    late = h.controller.utterance(id="b")
    late.push(ramp(2 * FRAME, 1))
    h.read()
    yield
    h.controller.pause()
    h.controller.resume()
    h.controller.interrupt()
    late.push(ramp(FRAME))
    h.read()
    yield
    h.controller.lock()
    h.controller.unlock()
    h.controller.close()
    h.read()
    yield


TURN = {
    "pushed": [
        *("a 1+960", "input_ended", "utterance_finished"),
        *("b 1+960", "paused", "resumed", "utterance_finished", "interrupted"),
        *("input_locked", "input_unlocked", "closed"),
    ],
    "played": [
        *("input_ended", "a 1+480", "a 481+480", "utterance_finished", "- 0+480"),
        *("b 1+480", "paused", "resumed", "utterance_finished", "interrupted", "- 0+480"),
        *("input_locked", "input_unlocked", "closed"),
    ],
}


@pytest.mark.parametrize("when", WHENS)
def test_audio_and_events_come_in_order(h: Heard, when: When) -> None:
    tap = h.controller.sinks.add(Tap(), when=when)
    list(turn(h))
    assert tap.story == TURN[when]


@pytest.mark.parametrize("when", WHENS)
async def test_audio_and_events_come_in_order_to_a_sink_that_is_awaited(h: Heard, when: When) -> None:
    tap = h.controller.sinks.add(AwaitedTap(), when=when)
    for _ in turn(h):
        await settle()
    assert tap.story == TURN[when]
    assert not tasks()


@pytest.mark.parametrize("when", WHENS)
def test_an_interrupt_from_a_listener_within_the_read_stops_the_audio(h: Heard, when: When) -> None:
    tap = h.controller.sinks.add(Tap(), when=when)
    h.controller.once("first_audio_byte", lambda _: h.controller.interrupt())
    utterance = h.controller.utterance(id="a")
    utterance.push(ramp(FRAME * 4))
    h.read()
    utterance.push(ramp(FRAME))
    h.read()
    cut = tap.story.index("interrupted")
    assert tap.story[:cut][0].startswith("a 1+")
    assert not [line for line in tap.story[cut:] if line.startswith("a ")]


def test_input_ended_comes_once_for_each_way_that_input_ends(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap())
    say(h, id="emitted").end()
    h.controller.utterance(id="locked").push(ramp(FRAME))
    h.controller.lock()
    assert tap.story == ["emitted 1+480", "input_ended", "locked 1+480", "input_ended", "input_locked"]
    assert [event.utterance.id for event in tap.items if isinstance(event, InputEnded)] == ["emitted", "locked"]


def test_the_end_of_input_is_no_event_for_listeners(h: Heard) -> None:
    h.controller.sinks.add(Tap())
    say(h)
    h.read()
    assert not {"input_ended", "chunk"} & set(h.emitted())


@pytest.mark.parametrize("when", WHENS)
def test_sinks_hear_before_listeners(h: Heard, when: When) -> None:
    order: list[str] = []
    h.controller.on("paused", lambda _: order.append("listener"))
    h.controller.sinks.add(CallbackSink(print, lambda _: order.append("sink")), when=when)
    h.controller.pause()
    assert order == ["sink", "listener"]


def test_nothing_comes_after_closed(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap(), when="played")
    h.controller.sinks.add(CallbackSink(control=lambda e: e.name == "closed" and h.read()))
    h.controller.close()
    h.read()
    h.controller.pause()
    assert tap.story == ["closed"]


def test_a_read_by_a_listener_that_closes_is_heard_by_nobody(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap(), when="played")
    h.controller.on("paused", lambda _: (h.controller.close(), h.read()))
    h.controller.pause()
    assert tap.story == ["paused", "closed"]


def test_a_sink_added_while_closed_is_emitted_is_notified_too(h: Heard) -> None:
    late = Tap()
    h.controller.sinks.add(CallbackSink(control=lambda _: h.controller.sinks.add(late)))
    h.controller.close()
    assert late.story == ["closed"]


@pytest.mark.parametrize("seen", [True, False], ids=["sinks before close", "sinks after close"])
def test_a_sink_added_to_a_closed_controller_is_notified(h: Heard, seen: bool) -> None:
    if seen:
        assert h.controller.sinks
    h.controller.close()
    tap = h.controller.sinks.add(Tap(), when="played")
    h.read()
    assert tap.story == ["closed"]
    h.controller.sinks.remove(tap)


# Sinks that fail


def raising(error: BaseException) -> Callable[[Event], None]:
    def fail(_: Event) -> None:
        raise error

    return fail


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("error", [RuntimeError("no"), asyncio.CancelledError()], ids=["error", "cancelled"])
def test_what_a_sink_raises_is_reported_and_hurts_nobody(h: Heard, when: When, error: BaseException) -> None:
    fail = raising(error)
    h.controller.sinks.add(CallbackSink(fail, fail), when=when)
    tap = h.controller.sinks.add(Tap(), when=when)
    list(turn(h))
    assert tap.story == TURN[when]
    emitted = [event for event in h.events if isinstance(event, ErrorRaised)]
    assert len(emitted) == len(TURN[when])
    assert {event.exception for event in emitted} == {error}
    assert {event.source for event in emitted} == {"sink CallbackSink"}


async def test_what_an_awaited_sink_raises_is_reported_at_once_and_it_goes_on(h: Heard) -> None:
    heard: list[str] = []

    async def fail(item: Event) -> None:
        heard.append(item.name)
        await asyncio.sleep(0)
        raise (RuntimeError, asyncio.CancelledError)[len(heard) % 2]

    h.controller.sinks.add(CallbackSink(fail, fail), when="pushed")
    say(h)
    h.controller.pause()
    await settle()
    assert heard == ["chunk", "input_ended", "paused"]
    assert [type(error) for error in errors(h)] == [asyncio.CancelledError, RuntimeError, asyncio.CancelledError]


@pytest.mark.parametrize("when", WHENS)
async def test_a_sink_that_hangs_hurts_nobody_and_is_cancelled_when_it_goes(h: Heard, when: When) -> None:
    hung = h.controller.sinks.add(Hung(), when=when)
    tap = h.controller.sinks.add(Tap(), when=when)
    for _ in turn(h):
        await settle()
    assert tap.story == TURN[when]
    assert len(hung.chunks) == 1
    assert len(tasks()) == 1
    h.controller.sinks.remove(hung)
    await settle()
    assert hung.cancelled
    assert len(hung.items) == {"pushed": 1, "played": 2}[when]  # an event may come ahead of the first chunk
    assert not tasks()
    assert not errors(h)


async def test_a_sink_that_swallows_its_cancellation_ends_all_the_same(h: Heard) -> None:
    async def stubborn(_: Chunk) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    h.controller.sinks.add(stubborn, when="played")
    h.read()
    h.read()
    await settle()
    h.controller.sinks.remove(stubborn)
    await settle()
    assert not tasks()


def test_the_end_of_the_loop_ends_the_task_and_the_next_loop_goes_on(h: Heard) -> None:
    tap = h.controller.sinks.add(AwaitedTap(), when="played")

    async def read() -> None:
        h.read()
        await settle()

    asyncio.run(read())
    asyncio.run(read())
    gc.collect()
    assert [chunk.position for chunk in tap.chunks] == [0, FRAME]
    assert not errors(h)


def test_without_a_loop_an_awaited_sink_is_an_error_reported_once(h: Heard) -> None:
    async def never(_: Chunk) -> None:
        raise AssertionError

    for sink in (never, lambda chunk: never(chunk)):
        h.controller.sinks.add(sink, when="played")
        for _ in range(3):
            h.read()
        assert [str(error) for error in errors(h)] == ["no running event loop"]
        h.emitted()
        h.controller.sinks.remove(sink)
    gc.collect()  # a coroutine that was never awaited would be reported here


async def test_audio_from_before_there_was_a_loop_is_not_lost(h: Heard) -> None:
    tap = h.controller.sinks.add(AwaitedTap(), when="played")
    await asyncio.to_thread(h.read)  # no loop runs in that thread
    assert len(errors(h)) == 1
    h.read()
    await settle()
    assert [chunk.position for chunk in tap.chunks] == [0, FRAME]


async def test_a_plain_function_around_a_coroutine_function_is_awaited_in_order(h: Heard) -> None:
    tap = AwaitedTap()
    h.controller.sinks.add(lambda chunk: tap.audio(chunk), when="played")
    for _ in range(5):
        h.read()
    await settle()
    assert [chunk.position for chunk in tap.chunks] == [n * FRAME for n in range(5)]
    h.controller.close()
    await settle()
    assert not tasks()


async def test_a_callable_object_and_one_awaited_function_of_two_keep_the_order(h: Heard) -> None:
    order: list[str] = []

    class Callback:
        async def __call__(self, item: Event) -> None:
            await asyncio.sleep(0)
            order.append(item.name)

    h.controller.sinks.add(CallbackSink(Callback(), lambda e: order.append(e.name)), when="played")
    h.read()
    h.controller.pause()
    h.read()
    assert not order
    await settle()
    assert order == ["chunk", "paused", "chunk"]


# Sinks that are slow


def test_a_slow_function_is_reported_once_a_second_of_playback(h: Heard, clock: Clock) -> None:
    def slow(_: Chunk) -> None:
        clock.now += 0.0051

    h.controller.sinks.add(slow, when="played")
    for _ in range(101):
        h.read()
    emitted = errors(h, SinkSlow)
    assert [round(error.seconds, 6) for error in emitted] == [0.0051] * 3  # at 0, 1 and 2 s
    assert emitted[0].sink is slow
    assert "slow took 5.1 ms, expected at most 5 ms" in str(emitted[0])


def test_five_milliseconds_are_not_slow(h: Heard, clock: Clock) -> None:
    def busy(_: Chunk) -> None:
        clock.now += 0.0049

    h.controller.sinks.add(busy, when="played")
    h.read()
    assert not errors(h)


def test_each_slow_sink_is_reported_and_so_is_its_error(h: Heard, clock: Clock) -> None:
    def slow(_: Chunk) -> None:
        clock.now += 1
        raise RuntimeError

    sinks = [h.controller.sinks.add(CallbackSink(slow), when="played") for _ in range(2)]
    h.read()
    assert [type(error) for error in errors(h)] == [SinkSlow, RuntimeError] * 2
    assert [error.sink for error in errors(h, SinkSlow)] == sinks


async def test_what_is_too_much_for_an_awaited_sink_is_dropped_and_reported(h: Heard) -> None:
    gate = asyncio.Event()
    heard: list[Event] = []

    async def wait(item: Event) -> None:
        await gate.wait()
        heard.append(item)

    h.controller.sinks.add(CallbackSink(wait, wait), when="played")
    frames = int(module.QUEUE_SECONDS["played"] * RATE / FRAME)
    for _ in range(frames + 7):
        h.read()
    h.controller.pause()
    (begun,) = errors(h, SinkOverflow)
    assert (begun.dropped, begun.over) == (1, False)
    assert "audio for it is being dropped" in str(begun)
    gate.set()
    await settle(frames + 50)
    h.read()
    await settle()
    _, over = errors(h, SinkOverflow)
    assert (over.dropped, over.over) == (7, True)
    assert "7 chunks were dropped in all" in str(over)
    kept = [n * FRAME for n in range(frames)]
    assert [e.position for e in heard if isinstance(e, Chunk)] == [*kept, (frames + 7) * FRAME]
    assert [e.name for e in heard][frames : frames + 2] == ["paused", "chunk"]  # a control is never dropped


async def test_an_overflow_is_one_long_gap_and_not_many(h: Heard) -> None:
    """A sink at half the pace of playback."""
    turns = asyncio.Semaphore(0)
    heard: list[int] = []

    async def half(chunk: Chunk) -> None:
        await turns.acquire()
        heard.append(chunk.position // FRAME)

    h.controller.sinks.add(half, when="played")
    frames = 2500
    for frame in range(frames):
        h.read()
        if frame % 2:
            turns.release()
        await asyncio.sleep(0)
    # It fills once within 1,000 frames, and from then on after each 500 that it was served half of what it holds.
    assert len(errors(h, SinkOverflow)) < 10
    assert heard == sorted(heard)
    assert sum(b - a > 1 for a, b in pairwise(heard)) <= 2
    h.controller.sinks.remove(half)


@pytest.mark.parametrize("leave", ["remove", "close"])
async def test_an_overflow_is_summed_up_when_a_sink_goes(h: Heard, leave: str) -> None:
    hung = h.controller.sinks.add(Hung(), when="played")
    for _ in range(int(module.QUEUE_SECONDS["played"] * RATE / FRAME) + 3):
        h.read()
    h.controller.sinks.remove(hung) if leave == "remove" else h.controller.close()
    assert [(error.dropped, error.over) for error in errors(h, SinkOverflow)] == [(1, False), (3, True)]


async def test_a_burst_of_synthesis_waits_whole(h: Heard) -> None:
    tap = h.controller.sinks.add(AwaitedTap(), when="pushed")
    utterance = h.controller.utterance()
    for _ in range(3000):  # a minute, in frames of 20 ms, with no turn of the loop between them
        utterance.push(ramp(FRAME))
    await settle(3050)
    assert [chunk.offset for chunk in tap.chunks] == [n * FRAME for n in range(3000)]
    assert not errors(h)


async def test_what_waits_for_a_slow_sink_is_passed_over_when_it_was_dropped(h: Heard) -> None:
    tap = h.controller.sinks.add(AwaitedTap(), when="pushed")
    dropped = h.controller.utterance(id="dropped")
    dropped.push(ramp(FRAME))
    dropped.push(ramp(FRAME))
    h.controller.interrupt()
    say(h, id="next")
    h.read()
    await settle()
    assert tap.story == [
        "utterance_finished",
        "interrupted",
        "next 1+480",
        "input_ended",
        "utterance_finished",
    ]


# Sinks that come and go within a callback


def test_a_sink_may_remove_itself_and_others_and_add_more(h: Heard) -> None:
    later, gone = Tap(), Tap()
    seen: list[int] = []

    def swap(chunk: Chunk) -> None:
        seen.append(chunk.position)
        for sink in (swap, gone):
            h.controller.sinks.remove(sink)
        h.controller.sinks.add(later, when="played")

    h.controller.sinks.add(swap, when="played")
    h.controller.sinks.add(gone, when="played")
    other = h.controller.sinks.add(Tap(), when="played")
    for _ in range(3):
        h.read()
    assert seen == [0]
    assert not gone.items
    assert [chunk.position for chunk in later.chunks] == [FRAME, 2 * FRAME]
    assert [chunk.position for chunk in other.chunks] == [0, FRAME, 2 * FRAME]


async def test_an_awaited_sink_that_removes_itself_may_finish_what_it_does(h: Heard) -> None:
    steps: list[str] = []

    async def leave(_: Chunk) -> None:
        h.controller.sinks.remove(leave)
        steps.append("removed")
        await asyncio.sleep(0)
        steps.append("finished")

    h.controller.sinks.add(leave, when="played")
    h.read()
    h.read()
    await settle()
    assert steps == ["removed", "finished"]
    assert not tasks()


async def test_a_wrapped_sink_that_removes_itself_leaves_nothing_behind(h: Heard) -> None:
    async def later() -> None:
        raise AssertionError

    def leave(_: Chunk) -> object:
        h.controller.sinks.remove(leave)
        return later()

    h.controller.sinks.add(leave, when="played")
    h.read()
    await settle()
    gc.collect()
    assert not tasks()
    assert not errors(h)


async def test_the_task_ends_by_itself_after_closed(h: Heard) -> None:
    tap = h.controller.sinks.add(AwaitedTap())
    bare = AwaitedTap()
    h.controller.sinks.add(bare.audio)
    say(h)
    await settle()
    assert len(tasks()) == 2
    h.controller.close()
    await settle()
    assert not tasks()
    assert tap.story[-1] == "closed"
    assert bare.story == ["a 1+480"]


def test_a_sink_that_pushes_sounds_after_what_it_heard(h: Heard) -> None:
    def reply(chunk: Chunk) -> None:
        if chunk.utterance is not None and chunk.utterance.id == "a":
            say(h, id="b")

    tap = h.controller.sinks.add(Tap(), when="pushed")
    h.controller.sinks.add(reply, when="pushed")
    utterance = h.controller.utterance(id="a")
    utterance.push(ramp(FRAME))
    assert tap.story == ["a 1+480", "b 1+480", "input_ended"]


# A sink in the output's place


def played_through(when: When | None, replaces: bool) -> tuple[list[Any], list[list[int]], Heard]:
    h = Heard()
    if when is not None:
        h.controller.sinks.add(Tap(), when=when, replaces_output=replaces)
    reads = []
    utterance = h.controller.utterance(text="one two", id="u")
    utterance.push(ramp(5 * FRAME))
    utterance.mark("one", at=0.0, until=0.02)
    utterance.end()
    say(h, 700, id="v")
    for step in range(9):
        reads.append(h.read())
        if step == 1:
            h.controller.pause()
        if step == 3:
            h.controller.resume()
        if step == 6:
            h.controller.interrupt()
    events = [
        (event.name, event.position, getattr(event, "report", None), getattr(event, "new_leaf", None))
        for event in h.events
    ]
    return events, reads, h


@pytest.mark.parametrize("when", WHENS)
def test_a_sink_in_the_output_s_place_silences_it_and_changes_nothing_else(when: When) -> None:
    plain, sounds, without = played_through(None, False)
    events, reads, silent = played_through(when, True)
    assert events == plain
    assert silent.controller.stats == without.controller.stats
    assert silent.controller.position == without.controller.position == 9 * FRAME
    assert np.any(sounds)
    assert not np.any(reads)


@pytest.mark.parametrize("when", WHENS)
def test_a_sink_that_only_listens_mutes_nothing(when: When) -> None:
    assert played_through(when, False)[:2] == played_through(None, False)[:2]


def test_the_voice_is_heard_where_the_output_is_replaced(h: Heard) -> None:
    avatar = h.controller.sinks.add(Tap(), when="played", replaces_output=True)
    say(h, 2 * FRAME)
    assert not any(h.read())
    (chunk,) = avatar.chunks
    assert chunk.voice is not None
    assert chunk.voice[:, 0].tolist() == list(range(1, FRAME + 1))
    assert not chunk.audio.any()
    h.controller.sinks.remove(avatar)
    assert h.read() == list(range(FRAME + 1, 2 * FRAME + 1))


def test_a_loop_that_was_closed_under_a_sink_costs_nobody_a_frame() -> None:
    h = Heard()
    heard: list[int] = []

    async def awaited(chunk: Chunk) -> None:
        heard.append(chunk.position)

    async def serve() -> None:
        h.read()
        await asyncio.sleep(0.01)

    h.controller.sinks.add(awaited, when="played")
    loop = asyncio.new_event_loop()
    task = loop.create_task(serve())
    loop.run_until_complete(task)
    queue = h.controller.sinks._workers[0]._queue
    assert queue is not None
    served = queue._task
    assert served is not None
    served._log_destroy_pending = False  # type: ignore[attr-defined]  # it is left behind on purpose
    loop.close()
    for number in range(1, 4):
        h.read()
        assert h.controller.position == (1 + number) * FRAME
    assert heard == [0]
    assert "error" in h.emitted()
    coroutine: Any = served.get_coro()
    coroutine.close()


def test_reads_within_a_listener_reach_the_sinks_in_order() -> None:
    h = Heard()
    heard: list[int] = []
    h.controller.sinks.add(lambda chunk: heard.append(chunk.position), when="played")
    h.read(), h.read()
    h.controller.once("stalled", lambda _: [h.read() for _ in range(3)])
    h.controller.report_stall(1.0)
    assert heard == [FRAME * number for number in range(5)]


# Long pushes come in pieces


def long_push(h: Heard, seconds: float = 3.0, id: str = "a", first: bool = False) -> Utterance:
    """An utterance that has to be converted for a sink; each sample is its own number, up to 32,767."""
    utterance = h.controller.utterance(id=id, first=first)
    numbers = np.arange(1, int(seconds * RATE) + 1) % 32_000
    utterance.push((numbers / 32_768).astype(np.float32))
    return utterance


def test_a_long_push_comes_in_pieces_ahead_of_playback_and_whole(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap(), when="pushed")
    utterance = long_push(h)
    assert [len(chunk.audio) for chunk in tap.chunks] == [RATE // 5]
    utterance.end()
    utterance_behind = say(h, id="b")
    while utterance_behind.report is None:
        h.read()
        heard = sum(len(chunk.audio) for chunk in tap.chunks if chunk.utterance is utterance)
        assert heard >= min(utterance.accepted, utterance.played + 8 * FRAME), "playback has caught up"
    of_it = [chunk for chunk in tap.chunks if chunk.utterance is utterance]
    assert joined(of_it) == (np.arange(1, 3 * RATE + 1) % 32_000).tolist()
    assert [chunk.offset for chunk in of_it] == list(range(0, 3 * RATE, RATE // 5))
    ended = [item.utterance.id for item in tap.items if isinstance(item, InputEnded)]
    assert ended == ["b", "a"], "the end of what is not all heard yet comes behind it"
    names = [item.name for item in tap.items if getattr(item, "utterance", None) is utterance]
    assert names == ["chunk"] * 15 + ["input_ended", "utterance_finished"]


@pytest.mark.parametrize("size", [FRAME, 5 * RATE])
def test_all_of_it_is_heard_before_it_has_finished(h: Heard, size: int) -> None:
    tap = h.controller.sinks.add(Tap(), when="pushed")
    utterance = long_push(h)
    say(h, id="b")
    utterance.push(ramp(100, 7))
    utterance.end()
    while utterance.report is None:
        h.read(size)
    names = [item.name for item in tap.items if getattr(item, "utterance", None) is utterance]
    assert names == ["chunk"] * 16 + ["input_ended", "utterance_finished"]
    assert joined([chunk for chunk in tap.chunks if chunk.utterance is utterance])[-100:] == ramp(100, 7).tolist()


def test_what_an_interrupt_drops_is_not_heard_any_more(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap(), when="pushed")
    long_push(h).end()
    h.read()
    h.controller.interrupt()
    heard = len(tap.chunks)
    h.read(RATE)
    assert len(tap.chunks) == heard == 2
    assert [item.name for item in tap.items][-3:] == ["input_ended", "utterance_finished", "interrupted"]
    assert not h.controller.sinks.is_behind


def test_what_plays_first_is_heard_first(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap(), when="pushed")
    say(h, id="head", samples=FRAME)
    later, sooner = long_push(h, 30, "later"), long_push(h, 30, "sooner", first=True)
    for _ in range(100):
        h.read()
        heard = sum(len(chunk.audio) for chunk in tap.chunks if chunk.utterance is sooner)
        assert heard > sooner.played
    assert later.played == 0


def test_a_sink_that_goes_leaves_nothing_behind(h: Heard) -> None:
    tap = h.controller.sinks.add(Tap(), when="pushed")
    long_push(h)
    h.controller.sinks.remove(tap)
    assert not h.controller.sinks.is_behind
    h.read()
    assert len(tap.chunks) == 1
