"""Listeners and sinks that call the controller back, in any way, from within any event: no sample is lost or shifted.

Each handle has values of its own, which rise by one. What is heard of it, in the order of positions, has to be a run of
them, whoever pushes, reads or steers from within what.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, BufferFull, PlaybackController, Utterance
from playback.events import EVENTS, ErrorRaised, Event
from playback.sinks import CallbackSink, SinkSlow
from tests.fuzzing import thorough
from tests.signals import CUTS

RATE: Final = 8_000
VALUES: Final = 2_000
"""Values that one handle has."""

MOST: Final = 15
"""Handles, whose values fit into 16 bits."""

DEPTH: Final = 3
"""How many calls deep a listener calls back."""

ACTIONS: Final = (
    *("push", "push", "push", "odd", "odd", "array", "read", "read", "read", "make", "own", "mark", "end", "pause"),
    *("resume", "rewind", "interrupt", "cancel", "lock", "unlock", "gain", "enqueue", "turn", "turn's end", "observe"),
)
BACK: Final = (
    *(*ACTIONS, "odd", "odd", "odd", "push", "fail", "interrupt and lock", "sink", "mark at once", "write", "raise"),
)

Action = tuple[str, int]


class Panic(BaseException):
    """As pyo3's PanicException, which is no Exception."""


ERRORS: Final = (ValueError, Panic, GeneratorExit, asyncio.CancelledError, StopIteration)


class Watcher:
    """An observer that only watches: it closes the fast paths."""

    def called(self, position: int, name: str, arguments: dict[str, Any]) -> None: ...

    def edge(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None: ...

    def event(self, event: Event) -> None: ...


class Producer:
    """A handle, and the bytes that it is still to be given."""

    def __init__(self, utterance: Utterance, number: int) -> None:
        self.utterance: Final = utterance
        self.first: Final = 1 + number * VALUES
        values = np.arange(self.first, self.first + VALUES, dtype="<i2")
        self.bytes: Final = values.tobytes()
        self.at = 0

    def take(self, number: int) -> bytes:
        self.at += number
        return self.bytes[self.at - number : self.at]


class Call:
    """A controller, what is done to it, and what its listeners do in turn.

    Args:
        backs: what the listeners do, one after the other, whatever the event is.
        options: of the controller.
    """

    def __init__(self, backs: list[tuple[bool, Action]], **options: Any) -> None:
        self.controller: Final = PlaybackController(AudioFormat(RATE), fades=CUTS, **options)
        self.backs: Final = list(reversed(backs))
        self.frames: Final[dict[int, list[int]]] = {}
        self.events: Final[list[Any]] = []
        self.raised: Final[list[BaseException]] = []
        self.depth = 0
        self.producers: Final[list[Producer]] = []
        self.removes: Final[list[Any]] = []
        for name in EVENTS:
            self.controller.on(name, self.events.append)
            self.controller.on(name, self.call_back)
        self.act(("make", 0))

    def call_back(self, item: object) -> None:
        """What each listener and each sink does."""
        if self.depth < DEPTH and self.backs:
            does, action = self.backs.pop()
            if does and action[0] == "raise":
                error = ERRORS[action[1] % len(ERRORS)]()
                if not isinstance(item, ErrorRaised):  # what is raised at an error is logged
                    self.raised.append(error)
                raise error
            if does:
                self.depth += 1
                self.act(action)
                self.depth -= 1

    def act(self, action: Action) -> None:
        what, number = action
        controller = self.controller
        producer = self.producers[number % len(self.producers)] if self.producers else None
        match what:
            case "make" | "turn":
                if len(self.producers) < MOST:
                    self.make(in_turn=what == "turn", interruptible=number % 3 > 0)
                return
            case "read":
                self.read(number % 24 + 1)
                return
            case "own":
                controller.end()
                return
            case "pause" | "lock" | "unlock" | "interrupt":
                getattr(controller, what)()
                return
            case "resume" | "rewind":
                controller.resume(0 if what == "resume" else number / RATE)
                return
            case "interrupt and lock":
                controller.interrupt(lock=True, force=True)
                return
            case "gain":
                controller.gain_db = 0.0
                return
            case "observe":
                self.removes.pop()() if self.removes else self.removes.append(controller.observe(Watcher()))
                return
            case "sink":
                when: Any = "pushed" if number % 2 else "played"
                controller.sinks.add(CallbackSink(lambda chunk: self.call_back(chunk)), when=when)
                return
        assert producer is not None
        utterance = producer.utterance
        match what:
            case "push" | "odd" | "array":
                length = {"push": number % 24 * 2, "odd": number, "array": number % 24 * 2}[what]
                if what == "array" and producer.at % 2:
                    return  # it would drop the half that is there, which is right and makes a gap
                if producer.at + length <= len(producer.bytes) and utterance.report is None and not utterance.ended:
                    self.push(producer, length, array=what == "array")
            case "mark" | "mark at once":
                utterance.mark("word", at=number * (what == "mark") / RATE)
            case "fail":
                utterance.fail(LookupError("broken"))
            case "turn's end":
                turn = utterance.turn
                if turn is not None:
                    turn.end()
            case "write":  # a coroutine that is driven until it waits, as a task does
                if not producer.at % 2 and producer.at + 32 <= len(producer.bytes) and utterance.report is None:
                    writing = utterance.write(producer.bytes[producer.at : producer.at + 32])
                    accepted = utterance.accepted
                    try:
                        writing.send(None)
                    except (StopIteration, BufferFull):
                        producer.at += 2 * (utterance.accepted - accepted)
                    except RuntimeError:
                        pass
                    writing.close()
            case _:
                getattr(utterance, what)()

    def make(self, *, in_turn: bool, interruptible: bool) -> None:
        make = self.controller.utterance
        if in_turn:
            try:
                make = self.controller.turn().utterance
            except RuntimeError:  # another one is open
                return
        number = len(self.producers)  # listeners of the turn may have made some
        if number < MOST:
            self.producers.append(Producer(make(id=str(number), interruptible=interruptible), number))

    def push(self, producer: Producer, length: int, *, array: bool) -> None:
        if self.controller.input_locked:
            return
        data = producer.take(length)
        try:
            producer.utterance.push(np.frombuffer(data, np.int16) if array else data)
        except BufferFull:
            producer.at -= length  # nothing of it was taken, and nobody was called

    def read(self, samples: int) -> None:
        position = self.controller.position
        self.frames[position] = self.controller.read(samples)[:, 0].tolist()

    def heard(self) -> list[int]:
        """All that was not silent, in the order of positions; the frames must be without a gap."""
        at, heard = 0, []
        for position in sorted(self.frames):
            assert position == at
            at += len(self.frames[position])
            heard += [value for value in self.frames[position] if value]
        return heard


actions = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 40))
backs = st.tuples(st.booleans(), st.tuples(st.sampled_from(BACK), st.integers(0, 40)))


@pytest.mark.fuzz
@given(
    first=st.lists(actions, min_size=10, max_size=60),
    backs=st.lists(backs, max_size=60),
    prebuffer=st.sampled_from([0, 0, 20]),
    history=st.sampled_from([0, 1_000]),
    maximum=st.sampled_from([60, 100_000]),
)
@thorough(250)
def test_whatever_listeners_do_no_sample_is_lost_or_shifted(
    first: list[Action], backs: list[tuple[bool, Action]], prebuffer: int, history: int, maximum: int
) -> None:
    call = Call(
        backs,
        prebuffer_seconds=prebuffer / RATE,
        high_water_seconds=min(maximum, 80_000) / RATE,
        max_buffered_seconds=maximum / RATE,
        history_seconds=history / RATE,
        input_timeout_seconds=200 / RATE,
    )
    for action in first:
        call.act(action)
    call.backs.clear()
    call.controller.resume()
    call.controller.unlock()
    for producer in call.producers:
        producer.utterance.end()
    for _ in range(VALUES):
        call.read(24)
        if call.controller.state.value in ("idle", "input_locked"):
            break
    check(call)


def check(call: Call) -> None:
    """Whatever was done, this has to be true at the end."""
    heard, rewound = call.heard(), any(getattr(event, "rewound", 0) for event in call.events)
    errors = [event.exception for event in call.events if event.name == "error"]
    assert [error for error in errors if not isinstance(error, SinkSlow)] == call.raised
    for producer in call.producers:
        last = producer.first + VALUES
        values = [value for value in heard if producer.first <= value < last]
        report = producer.utterance.report
        assert report is None or report.accepted == report.played + report.discarded
        if rewound:
            assert sorted(set(values)) == [*range(producer.first, producer.first + len(set(values)))]
        else:
            assert values == [*range(producer.first, producer.first + len(values))]
        assert producer.utterance.played == len(set(values))
    changes = [event for event in call.events if event.name == "state_changed"]
    assert all(one.new_leaf == other.old_leaf for one, other in pairwise(changes))
    finished = Counter(event.utterance.id for event in call.events if event.name == "utterance_finished")
    assert set(finished.values()) <= {1}
    used = {producer.utterance.id for producer in call.producers if producer.utterance.report is not None}
    assert used == set(finished)
    assert call.controller.buffered == 0


def test_an_odd_push_from_within_a_push() -> None:
    """The push in mid-sample that a listener makes is the last one: what follows goes on with it."""
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    values = np.arange(1, 400, dtype=np.int16).tobytes()
    utterance = controller.utterance()
    controller.once("state_changed", lambda _: utterance.push(values[20:41]))
    utterance.push(values[:20])
    for start, stop in ((41, 61), (61, 80), (80, 100)):
        utterance.push(values[start:stop])
    assert controller.read(50)[:, 0].tolist() == [*range(1, 51)]


async def test_an_odd_push_while_a_write_waits() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS, high_water_seconds=20 / RATE)
    values = np.arange(1, 400, dtype=np.int16).tobytes()
    utterance = controller.utterance()
    utterance.push(values[:800])
    writing = asyncio.ensure_future(utterance.write(b"\0" + values[2:3]))
    await asyncio.sleep(0)
    controller.once("mark_reached", lambda _: utterance.push(values[:1]))
    utterance.mark("here", at=1 / RATE)
    heard = []
    for _ in range(30):
        heard += controller.read(20)[:, 0].tolist()
        await asyncio.sleep(0)
    assert await writing == 1
    assert [value for value in heard if value] == [*range(1, 400), 1]
    assert utterance._partial == values[2:3]
