"""Traces: what is written down, what a file keeps of it, and that a replay of it is the same."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from asyncio import create_task
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import ReferenceType, ref

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, BufferFull, Fades, PlaybackController, Utterance
from playback.chart import PLAYBACK
from playback.cli import main
from playback.sinks import CallbackSink
from playback.tracing import Trace
from playback.tracing.records import TracedCall, TracedEdge, TraceError
from playback.tracing.replay import replay
from statecharts.chart import Chart
from statecharts.machine import WATCHERS
from tests.fuzzing import thorough
from tests.needs import need_program

RATE = 8_000
FRAME = 160


def made(**options: Any) -> tuple[PlaybackController, Trace]:
    """A controller at 8 kHz, and its trace from the beginning."""
    controller = PlaybackController(AudioFormat(RATE), **options)
    return controller, Trace(controller, limit=None)


def replayed(trace: Trace, path: Path) -> Trace:
    """What a replay of it yields, after it went through a file; all is as it was."""
    trace.stop()
    trace.save(path)
    loaded = Trace.load(path)
    assert loaded.records == trace.records
    assert loaded.settings == trace.settings
    again = replay(loaded)
    assert loaded.differences(again) == []
    assert again.differences(trace) == []
    return again


def names(trace: Trace) -> list[str]:
    return [call.name for call in trace.calls]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.jsonl"


def turn(controller: PlaybackController) -> None:
    """A turn in which everything happens that a dialogue has."""
    speech = controller.utterance(text="one two", id="same")
    speech.push(bytes(2 * FRAME))
    speech.mark("one", at=0.005, until=0.01)
    speech.mark({"word": ["two", 2, None]}, at=0.02)
    speech.mark(object())
    speech.mark(float("nan"))
    controller.read(FRAME // 2)
    controller.pause()
    for _ in range(3):
        controller.read(FRAME)
    controller.resume(rewind_seconds=0.005)
    controller.read(FRAME)
    controller.gain_db = -np.inf
    late = controller.utterance(id="same", interruptible=False)
    late.push(bytes(8 * FRAME))
    late.push(b"\0")
    speech.end()
    controller.read(FRAME)
    controller.interrupt()
    controller.interrupt(lock=True, force=True)
    late.push(bytes(200))
    controller.push(bytes(100))
    for _ in range(5):
        controller.read(FRAME)
    controller.unlock()
    controller.utterance(text="nothing").end()
    other = controller.utterance(format=AudioFormat(24_000, 2))
    other.push(np.zeros((3 * FRAME, 2), np.float32))
    controller.read(FRAME)
    other.cancel()
    controller.push(bytes(400))
    controller.lock()
    controller.report_stall(0.25)
    while controller.buffered:
        controller.read(FRAME)
    controller.read(FRAME)
    controller.unlock()
    controller.push(bytes(400))
    controller.end()
    controller.close()
    controller.push(bytes(20))


def test_a_turn_of_everything_is_the_same_again(path: Path) -> None:
    controller, trace = made(fades=Fades(0.06, 0.005, 0.005))
    turn(controller)
    again = replayed(trace, path)
    assert again.counts == trace.counts
    assert [edge.event for edge in trace.edges].count("interrupt") >= 1
    assert {"pause", "resume", "interrupt", "lock", "unlock", "cancel", "end", "gain", "stalled"} <= set(names(trace))
    assert {"mark_reached", "interrupted", "audio_refused", "closed"} <= {e.name for e in trace.events}
    payloads = [event.details["payload"] for event in trace.events if event.name == "mark_reached"]
    assert payloads[0] == "one"


def test_a_word_that_an_interrupt_lets_end_ends_again(path: Path) -> None:
    controller, trace = made()
    speech = controller.utterance()
    speech.mark("one", at=0.0, until=2.5 * FRAME / RATE)
    speech.push(bytes(2 * 8 * FRAME))
    controller.read(FRAME)
    controller.interrupt(at="word", lock=True)
    for _ in range(3):
        controller.read(FRAME)
    assert [edge.event for edge in trace.edges[-3:]] == ["drop_waiting", "lock", "cut_short"]
    again = replayed(trace, path)
    (report,) = [event.details["report"] for event in again.events if event.name == "utterance_finished"]
    assert (report["outcome"], report["played"]) == ("interrupted", 2.5 * FRAME)


def test_what_is_written_down_is_what_was_done() -> None:
    controller, trace = made()
    utterance = controller.utterance(text="Hi", id="greeting")
    utterance.push(bytes(2 * 2 * FRAME))
    controller.read(FRAME)
    controller.interrupt(lock=True)
    assert [str(call) for call in trace.calls] == [
        "0: utterance(utterance=1, id='greeting', text='Hi',"
        " format={'sample_rate': 8000, 'channels': 1, 'encoding': 's16le'}, interruptible=True, first=False,"
        " in_turn=None, stale=False)",
        "0: push(utterance=1, layout=[8000, 'mono', 's16', 2], samples=320, partial=0, dropped=0, bounded=True)",
        "0: read(samples=160)",
        "160: interrupt(by='application', lock=True, force=False, to_word_end=False)",
    ]
    assert [str(edge) for edge in trace.edges] == [
        "0: idle --push--> speaking.buffering",
        "0: speaking.buffering --ready--> speaking.streaming",
        "160: speaking.streaming --interrupt--> interrupted.fading, emits interrupted",
        "160: interrupted.fading --lock--> interrupted.sealed, emits input_locked",
    ]
    assert [event.name for event in trace.events][-5:] == [
        "utterance_finished",
        "turn_finished",
        "interrupted",
        "input_locked",
        "state_changed",
    ]
    report = next(event for event in trace.events if event.name == "utterance_finished").details["report"]
    assert (report["played"], report["discarded"], report["outcome"]) == (FRAME, FRAME, "interrupted")
    edges = {(edge.source, edge.event, edge.target) for edge in PLAYBACK.edges()}
    assert {(edge.source, edge.event, edge.target) for edge in trace.edges} <= edges
    assert trace.counts == Counter((edge.source, edge.event) for edge in trace.edges)


def test_reads_that_follow_each_other_are_one_record() -> None:
    controller, trace = made()
    for samples in (FRAME, FRAME, FRAME, 80, FRAME):
        controller.read(samples)
    assert [(call.arguments["samples"], call.times, call.position) for call in trace.calls] == [
        (FRAME, 3, 0),
        (80, 1, 3 * FRAME),
        (FRAME, 1, 3 * FRAME + 80),
    ]
    assert trace.calls[0] == TracedCall(0, "read", {"samples": FRAME}, 3)


def test_underruns_a_prebuffer_and_an_input_timeout(path: Path) -> None:
    controller, trace = made(prebuffer_seconds=0.03, input_timeout_seconds=0.1)
    utterance = controller.utterance()
    utterance.push(bytes(2 * FRAME + 1))
    controller.read(FRAME)
    for _ in range(2):
        utterance.push(bytes(2 * FRAME + 1))
    for _ in range(12):
        controller.read(FRAME)
    again = replayed(trace, path)
    assert {"underrun", "utterance_finished"} <= {event.name for event in again.events}


@pytest.mark.parametrize(
    ("output", "input"),
    [(AudioFormat(48_000), AudioFormat(16_000)), (AudioFormat(24_000, 2), AudioFormat(44_100))],
)
def test_other_rates_frames_and_odd_bytes(output: AudioFormat, input: AudioFormat, path: Path) -> None:
    controller = PlaybackController(output, input_format=input)
    trace = Trace(controller, limit=None)
    utterance = controller.utterance()
    rng = np.random.default_rng(1)
    for size in (1, 333, 0, 1001, 2):
        utterance.push(rng.bytes(size))
        controller.read(output.samples(0.01))
    frame = av.AudioFrame.from_ndarray(rng.integers(-9000, 9000, (2, 441)).astype(np.int16), "s16p", "stereo")
    frame.sample_rate = 32_000
    utterance.push(frame)
    utterance.push(b"\1")
    utterance.push(rng.standard_normal(300).astype(np.float32) if input.channels == 1 else b"")
    utterance.end()
    while controller.buffered:
        controller.read(output.samples(0.02))
    again = replayed(trace, path)
    assert again.events[-1].position == trace.events[-1].position


def test_what_does_not_fit_does_not_fit_again(path: Path) -> None:
    controller, trace = made(max_buffered_seconds=0.1, high_water_seconds=0.05)
    utterance = controller.utterance()
    utterance.push(bytes(1000))
    with pytest.raises(BufferFull):
        utterance.push(bytes(1000))
    controller.read(FRAME)
    utterance.end()
    replayed(trace, path)
    assert names(trace).count("push") == 2


async def test_producers_on_threads(path: Path) -> None:
    controller, trace = made(max_buffered_seconds=0.5, high_water_seconds=0.5)
    producer = controller.threadsafe(asyncio.get_running_loop())

    def produce() -> None:
        for _ in range(6):
            producer.push(bytes(2001))
        producer.utterance(text="stale").push(bytes(300))
        producer.end()

    await asyncio.to_thread(produce)
    controller.interrupt()
    late = await asyncio.to_thread(producer.utterance)
    controller.interrupt()  # before it is known of: nothing has run in between but the thread
    late.push(bytes(100))
    await asyncio.sleep(0)
    for _ in range(10):
        controller.read(FRAME)
    assert any(event.details.get("reason") == "full" for event in trace.events)
    assert any(event.name == "error" for event in trace.events)
    replayed(trace, path)


async def test_writes_that_wait_when_their_utterance_ends_or_is_locked_out(path: Path) -> None:
    controller, trace = made(high_water_seconds=0.02)
    for close in (Utterance.end, lambda _: controller.lock()):
        controller.unlock()
        utterance = controller.utterance()
        utterance.push(bytes(2 * 3 * FRAME))
        tasks = [create_task(utterance.write(bytes(2 * FRAME))) for _ in range(2)]
        for _ in range(5):
            await asyncio.sleep(0)
        close(utterance)
        for task in tasks:
            assert await task == 0
        while controller.buffered:
            controller.read(FRAME)
    waiting = controller.utterance()
    controller.unlock()
    await waiting.write(bytes(2 * FRAME))
    again = replayed(trace, path)
    assert [call.arguments["cut_short"] for call in again.calls if call.name == "end"] == [True]
    outcomes = [event.details["report"]["outcome"] for event in again.events if event.name == "utterance_finished"]
    assert outcomes == ["interrupted", "interrupted"]


def test_listeners_that_call_back_and_fail(path: Path) -> None:
    controller, trace = made()
    queued = [bytes(200), bytes(600), b""]

    @controller.on("utterance_finished")
    def go_on(event: Any) -> None:
        if queued:
            follower = controller.utterance(text=event.utterance.text)
            follower.push(queued.pop())
            follower.mark("again", at=0)
            follower.end()
            controller.read(7)
            controller.read(7)
            controller.pause()
        controller.interrupt(lock=not queued)

    @controller.on("paused")
    def fail(event: Any) -> None:
        controller.resume(0.001)
        raise RuntimeError("not mine")

    controller.sinks.add(CallbackSink(lambda _: None), when="played")
    first = controller.utterance(text="again")
    first.push(bytes(500))
    first.end()
    for _ in range(10):
        controller.read(FRAME)
    assert names(trace).count("interrupt") == 4
    controller.unlock()
    controller.push(bytes(500))
    controller.read(FRAME)
    controller.pause()  # what the listener does is called from within this call, and is a call of its own
    assert names(trace)[-2:] == ["pause", "resume"]
    assert any(event.name == "error" for event in trace.events)
    again = replayed(trace, path)
    assert not any(event.name == "error" for event in again.events)


def test_a_trace_that_is_never_stopped_keeps_nothing_alive() -> None:
    def call() -> list[ReferenceType[object]]:
        controller = PlaybackController()
        trace = Trace(controller, 100)
        utterance = controller.utterance()
        utterance.push(bytes(960))
        utterance.end()
        controller.read(480)
        controller.close()
        return [ref(controller), ref(utterance), ref(trace)]

    refs = call()
    gc.collect()
    assert [each() for each in refs] == [None, None, None]


def test_nothing_depends_on_when_a_handle_is_collected(path: Path) -> None:
    controller, trace = made()
    controller.utterance(text="marked").mark("word")
    controller.utterance(text="unused")
    kept = controller.utterance(text="kept")
    used = controller.utterance()
    used.push(bytes(100))
    del used
    gc.collect()
    controller.interrupt()
    assert kept.report is None, "nobody knows of it before its first use"
    assert kept.push(bytes(100)) == 0
    assert kept.report is not None
    assert replayed(trace, path).calls == trace.calls
    finished = [event.details["utterance"] for event in trace.events if event.name == "utterance_finished"]
    assert finished == [2, 1, 3]


class Awkward:
    def __repr__(self) -> str:
        raise RuntimeError("no name")


def test_payloads_that_json_can_not_hold_are_words_for_nobody(path: Path) -> None:
    controller, trace = made()
    utterance = controller.utterance(text="Hi there")
    utterance.push(bytes(2 * FRAME))
    circle: list[Any] = []
    circle.append(circle)
    for payload in ("Hi", Awkward(), np.float32(0.5), b"there", (1, 2), {1: "x"}, circle, float("inf"), 10**5000):
        utterance.mark(payload, at=0)
    utterance.end()
    controller.read(FRAME)
    replayed(trace, path)
    kept = [event.details["payload"] for event in trace.events if event.name == "mark_reached"]
    assert kept[0] == "Hi"
    assert kept[2:6] == [0.5, {"repr": "b'there'"}, [1, 2], {"1": "x"}]
    assert all(isinstance(payload["repr"], str) for payload in (kept[1], kept[6], kept[7], kept[8]))


def test_who_measures_the_chart_changes_no_trace() -> None:
    def watch(chart: Chart, leaf: str, event: str) -> None: ...

    controller, trace = made()
    WATCHERS.add(watch)
    try:
        turn(controller)
    finally:
        WATCHERS.discard(watch)
    unwatched, other = made()
    turn(unwatched)
    assert trace.edges == other.edges
    assert trace.differences(replay(trace)) == []


def test_a_trace_changes_nothing() -> None:
    def emitted(controller: PlaybackController) -> list[tuple[int, str]]:
        events: list[tuple[int, str]] = []
        for name in ("state_changed", "utterance_finished", "mark_reached", "audio_refused", "first_audio_byte"):
            controller.on(name, lambda event: events.append((event.position, event.name)))
        turn(controller)
        return events

    plain, (traced, _) = PlaybackController(AudioFormat(RATE)), made()
    assert emitted(plain) == emitted(traced)
    assert plain.stats == traced.stats


@dataclass
class Script:
    """Calls that hypothesis has chosen, made on a controller."""

    controller: PlaybackController

    def __post_init__(self) -> None:
        self.handles: list[Utterance] = []

    def do(self, name: str, which: int, size: int, flag: bool) -> None:
        controller = self.controller
        handle = self.handles[which % len(self.handles)] if self.handles else None
        try:
            match name:
                case "utterance":
                    self.handles.append(
                        controller.utterance(interruptible=flag, format=AudioFormat(16_000 // (1 + flag)))
                    )
                case "forget" if handle is not None:
                    self.handles.remove(handle)
                case "push":
                    (handle or controller).push(bytes(size))
                case "array" if handle is not None:
                    handle.push(np.ones((size, 2), np.int16))
                case "mark" if handle is not None:
                    handle.mark("word", at=size / RATE if flag else None)
                case "end":
                    (handle or controller).end()
                case "cancel" if handle is not None:
                    handle.cancel()
                case "own":
                    controller.push(bytes(size)) if flag else controller.end()
                case "resume":
                    controller.resume(size / RATE, by="one" if flag else "another")
                case "interrupt":
                    who = "one" if size % 3 else "another"
                    controller.interrupt(lock=flag, force=size % 2 == 0, by=who, at="word" if size % 5 else "now")
                case "read":
                    controller.read(size)
                case "pause":
                    controller.pause(by="one" if flag else "another")
                case "lock" | "unlock":
                    getattr(controller, name)()
                case "close" if size == 0:
                    controller.close()
        except BufferFull:
            pass


STEPS = ("utterance", "push", "push", "push", "read", "read", "read", "array", "forget", "mark", "end", "cancel", "own")
COMMANDS = ("resume", "interrupt", "pause", "lock", "unlock", "close")


@pytest.mark.fuzz
@thorough(150)
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(STEPS + COMMANDS),
            st.integers(0, 5),
            st.sampled_from([0, 1, 7, 16, 16, 40, 90]),
            st.booleans(),
        ),
        max_size=50,
    ),
    input_timeout=st.sampled_from([None, 0.006]),
    prebuffer=st.sampled_from([0.0, 0.003]),
    calls_back=st.booleans(),
)
def test_any_calls_are_the_same_again(
    calls: list[tuple[str, int, int, bool]], input_timeout: float | None, prebuffer: float, calls_back: bool
) -> None:
    controller, trace = made(
        fades=Fades(0.002, 0.001, 0.001),
        input_timeout_seconds=input_timeout,
        prebuffer_seconds=prebuffer,
        high_water_seconds=0.01,
        max_buffered_seconds=0.03,
    )
    script = Script(controller)
    if calls_back:
        controller.on("utterance_finished", lambda _: script.do("own", 0, 16, flag=True))
        controller.on("first_audio_byte", lambda _: script.do("mark", 1, 20, flag=True))
    for call in calls:
        script.do(*call)
    trace.stop()
    again = replay(trace)
    assert trace.differences(again) == []
    assert trace.counts == again.counts


def test_a_trace_that_was_changed_differs(path: Path) -> None:
    controller, trace = made()
    turn(controller)
    trace.save(path)
    lines = path.read_text().splitlines()
    removable = [at for at, line in enumerate(lines) if json.loads(line).get("call") in ("pause", "unlock", "cancel")]
    for at in removable:
        path.write_text("\n".join([*lines[:at], *lines[at + 1 :]]))
        changed = Trace.load(path)
        differences = changed.differences(replay(changed))
        assert any(line.startswith("edge ") for line in differences), lines[at]
        assert len(differences) <= 9
    assert len(removable) >= 4


def test_differences_name_what_is_not_the_same() -> None:
    one, mine = made()
    other, others = made(prebuffer_seconds=0.5)
    one.pause()
    other.lock()
    other.lock()
    lines = mine.differences(others)
    assert lines[0].startswith("settings: ")
    assert lines[1:4] == [
        "call 1: 0: pause(by='application'), but 0: lock()",
        "call 2: nothing more, but 0: lock()",
        "edge 1: 0: idle --pause--> paused.empty, emits paused, but 0: idle --lock--> input_locked, emits input_locked",
    ]


def test_a_limit_keeps_the_newest() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    trace = Trace(controller, limit=4)
    turn(controller)
    assert len(trace.records) == 4
    assert trace.records[-1] == trace.events[-1]
    with pytest.raises(TraceError, match=r"first \d+ records were dropped.*limit=None"):
        replay(trace)


def test_a_trace_that_was_begun_late_can_be_shown_but_not_replayed(path: Path) -> None:
    controller = PlaybackController(AudioFormat(RATE))
    controller.push(bytes(2 * FRAME))
    trace = Trace(controller)
    controller.read(FRAME)
    controller.interrupt()
    assert trace.edges[0] == TracedEdge(
        FRAME, "speaking.streaming", "interrupt", "interrupted.fading", ("interrupted",)
    )
    assert trace.events
    trace.save(path)
    for shown in (trace, Trace.load(path)):
        with pytest.raises(TraceError, match="was in use: begin it right after making the controller"):
            replay(shown)


def test_a_handle_that_is_older_than_the_trace_is_noticed_even_if_it_is_over() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    old = controller.utterance()
    controller.interrupt()
    trace = Trace(controller, limit=None)
    assert trace.fresh
    assert old.push(bytes(100)) == 0
    assert trace.calls[0].arguments["stale"]
    assert not trace.differences(replay(trace))


def test_a_handle_that_was_over_before_the_trace_is_noticed() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    old = controller.utterance()
    old.cancel()
    trace = Trace(controller, limit=None)
    assert trace.fresh
    old.push(bytes(100))
    with pytest.raises(TraceError, match="was in use"):
        replay(trace)


def test_begin_and_stop() -> None:
    controller, trace = made()
    other = Trace(controller)  # several may watch
    controller.lock()
    assert names(trace) == names(other) == ["lock"]
    trace.stop()
    trace.stop()
    controller.unlock()
    assert names(other) == ["lock", "unlock"]
    other.stop()
    second = Trace(controller)
    controller.pause()
    assert names(second) == ["pause"]
    second.stop()
    controller.resume()
    assert names(trace) == ["lock"]
    assert names(second) == ["pause"]


@pytest.mark.parametrize("limit", [0, -1, sys.maxsize + 1])
def test_a_limit_that_keeps_nothing(limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit is {limit}, expected 1 or more, or None"):
        Trace(PlaybackController(), limit)


@pytest.mark.parametrize("limit", [True, "10", 1.5])
def test_a_limit_of_another_type(limit: Any) -> None:
    with pytest.raises(TypeError, match=f"limit is {limit!r}, expected a whole number or None"):
        Trace(PlaybackController(), limit)


def replace_line(path: Path, number: int, line: str) -> None:
    lines = path.read_text().splitlines()
    lines[number - 1 : number] = [line]
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("number", "line", "message"),
    [
        (1, "", "line 1: expected JSON"),
        (1, "[]", "line 1: it is 'list', expected a JSON object"),
        (1, '{"call": "pause", "position": 0}', "line 1: expected the header of a trace"),
        (1, '{"trace": 2}', "line 1: a trace of version 2, expected 4"),
        (1, '{"trace": 4}', "line 1: 'fresh' is missing, expected true or false"),
        (2, "pause", "line 2: expected JSON"),
        (2, "{}", 'line 2: expected a record with "call", "edge" or "event"'),
        (
            2,
            '{"call": "stop"}',
            "line 2: there is no call 'stop', expected one of utterance, enqueue, refuse_enqueue, push",
        ),
        (2, '{"event": "over"}', "line 2: there is no event 'over', expected one of state_changed"),
        (2, '{"edge": 1}', "line 2: the edge is 1, expected the name"),
        (3, '{"call": "read", "position": 0}', "line 3: 'samples' is missing, expected a whole number"),
        (3, '{"call": "read", "position": 0, "samples": -1}', "line 3: 'samples' is -1, expected a whole number"),
        (3, '{"call": "pause", "position": true}', "line 3: 'position' is True, expected a whole number"),
        (3, '{"call": "read", "position": 0, "samples": 1, "times": 0}', "line 3: 'times' is 0, expected"),
        (
            3,
            '{"call": "read", "position": 0, "samples": 1, "times": 1000000000000000}',
            "line 3: 'times' is 1000000000000000, expected a whole number from 1 to 4,320,000",
        ),
        (3, '{"call": "pause", "position": 0, "times": 2}', "line 3: 'times' is 2, expected 1: only reads"),
        (
            3,
            '{"call": "end", "position": 0, "utterance": 1, "cut_short": 1}',
            "line 3: 'cut_short' is 1, expected true",
        ),
        (
            3,
            '{"call": "gain", "position": 0, "gain_db": {"re": "inf"}}',
            "line 3: 'gain_db' is {'re': 'inf'}, expected",
        ),
        (3, "[" * 100_000, "line 3: expected JSON"),
    ],
)
def test_files_that_are_no_traces(number: int, line: str, message: str, path: Path) -> None:
    controller, trace = made()
    turn(controller)
    trace.save(path)
    replace_line(path, number, line)
    with pytest.raises(TraceError) as caught:
        Trace.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", {"sample_rate": 1, "channels": 1}, "sample_rate is 1, expected"),
        ("fades", {"interrupt_seconds": -1}, "interrupt_seconds is -1, expected"),
        ("limits", {"prebuffer": 0}, "the settings are incomplete"),
        (
            "limits",
            dict.fromkeys(("prebuffer", "high_water", "maximum", "history", "input_timeout"), "x"),
            "prebuffer is 'x'",
        ),
    ],
)
def test_headers_that_can_not_be(field: str, value: object, message: str, path: Path) -> None:
    made()[1].save(path)
    replace_line(path, 1, json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(TraceError, match=message):
        Trace.load(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"call": "cancel", "position": 0, "utterance": 7}', "expected an utterance that is there, not 7"),
        ('{"call": "cancel", "position": 0, "utterance": null}', "expected an utterance that is there, not None"),
        (
            '{"call": "read", "position": 0, "samples": 2000000, "times": 400}',
            "call 1 .*: 800,000,000 samples in all, expected less audio: at most 691,200,000 samples",
        ),
        ('{"call": "read", "position": 0, "samples": 1000000, "times": 4320000}', "expected less audio"),
        (
            '{"call": "read", "position": 0, "samples": 0}\n'
            '{"call": "read", "position": 0, "samples": 0, "times": 4320000}',
            "call 2 .*: 4,320,001 reads in all, expected less audio: at most 4,320,000 reads, as in 24 hours",
        ),
        (
            '{"call": "read", "position": 0, "samples": 100000000000000000}',
            "'samples' is 100000000000000000, expected a whole number from 0 to",
        ),
        (
            '{"call": "utterance", "position": 0, "utterance": 1, "id": "a", "text": null, "interruptible": true,'
            ' "stale": false, "first": false, "in_turn": null, "format": {"sample_rate": 1, "channels": 1}}',
            "sample_rate is 1, expected a whole number from 4000",
        ),
        (
            '{"call": "stalled", "position": 0, "seconds": {"repr": "long"}}',
            "'seconds' is {'repr': 'long'}, expected a number",
        ),
    ],
)
def test_calls_that_do_not_go_together(line: str, message: str, path: Path) -> None:
    made()[1].save(path)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(TraceError, match=message):
        replay(Trace.load(path))


def test_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TraceError, match="line 1"):
        Trace.load(path)


def test_the_command_replays(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    controller, trace = made()
    turn(controller)
    trace.save(path)
    assert main(["replay", str(path)]) == 0
    out = capsys.readouterr().out
    calls = sum(call.times for call in trace.calls)
    assert f"{calls} calls, {len(trace.edges)} edges, {len(trace.events)} events" in out
    assert out.endswith("the replay is the same\n")

    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if '"call": "pause"' not in line))
    assert main(["replay", str(path)]) == 1
    assert "the replay differs:\nedge " in capsys.readouterr().out

    path.write_text("nothing")
    for bad in (path, path.parent / "missing.jsonl"):
        with pytest.raises(SystemExit) as exit_:
            main(["replay", str(bad)])
        assert exit_.value.code == 2
        assert str(bad) in capsys.readouterr().err


def test_the_command_reports_an_older_chart_s_trace_before_it_can_not_draw_it(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_program("dot", "Debian package graphviz")
    controller, trace = made()
    turn(controller)
    trace.save(path)
    path.write_text(path.read_text().replace('"speaking.draining"', '"speaking.ending"'))
    picture = path.with_name("way.svg")
    assert main(["replay", str(path), "--chart", str(picture)]) == 1
    out, err = capsys.readouterr()
    assert "the replay differs:\nedge " in out
    assert err.startswith("playback: error: --chart: the way can't be drawn: playback has no leaf 'speaking.ending'")
    assert len(err.splitlines()) == 1
    assert not picture.exists()


def test_the_command_names_what_a_terminal_can_not_show(path: Path) -> None:
    controller, trace = made()
    turn(controller)
    trace.save(path)
    path.write_text(path.read_text().replace('"position": 0, "source"', '"position": 7, "source"'))
    same = path.rename(path.with_name("spräche.jsonl"))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "playback", "replay", str(same)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "spr\\xe4che.jsonl" in done.stdout, done.stderr


def test_a_trace_ends_with_its_block() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    with Trace(controller) as trace:
        controller.pause()
    controller.resume()
    assert names(trace) == ["pause"]
    with pytest.raises(LookupError), Trace(controller):
        raise LookupError
    Trace(controller).stop()  # there is none any more


def test_a_file_is_kept_until_the_new_one_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    controller, trace = made()
    trace.save(path)
    before = path.read_text()
    controller.pause()

    def full(self: Path, text: str, encoding: str) -> int:
        with self.open("w") as file:
            file.write(text[:20])
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="no space left"):
            trace.save(path)
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]

    link = path.with_name("link.jsonl")
    link.symlink_to(path)
    trace.save(link)
    assert link.is_symlink()
    assert Trace.load(path).records == trace.records


def test_a_trace_can_be_written_to_what_is_no_file(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    controller, trace = made()
    controller.pause()
    trace.save(path)
    assert len(os.read(reader, 65_536).splitlines()) == 1 + len(trace.records)
    os.close(reader)
    assert path.is_fifo()
