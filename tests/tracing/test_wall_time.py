"""The wall clock: beside the sample clock in events and traces, and no part of what is compared or replayed."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Closed, PlaybackController
from playback.bargein import BargeIn
from playback.events import EVENTS, Event
from playback.tracing import Trace, TraceError
from playback.tracing.replay import replay
from tests.signals import FRAME, RATE

pytestmark = pytest.mark.portable


def call(first: float = 1_000.0) -> tuple[Trace, list[Event]]:
    """A call whose wall clock counts how often it is looked at."""
    clock = count(first)
    controller = PlaybackController(AudioFormat(RATE), clock=lambda: next(clock))
    events: list[Event] = []
    trace = Trace(controller, limit=None)
    for name in EVENTS:
        controller.on(name, events.append)
    utterance = controller.utterance(text="one")
    utterance.push(np.ones(3 * FRAME, np.int16))
    for _ in range(6):
        controller.read(FRAME)
    controller.report_stall(0.25)
    controller.report_far_end(0.1, 0.02, 0.05)
    utterance.push(np.ones(3 * FRAME, np.int16))
    controller.interrupt()
    controller.close()
    return trace, events


def test_events_carry_the_wall_clock_in_the_order_of_delivery() -> None:
    _, events = call()
    times = [event.wall_time or 0.0 for event in events]
    assert times == sorted(times)
    assert times[0] >= 1_000.0
    assert [event.as_dict()["wall_time"] for event in events] == times


def test_it_is_no_part_of_a_comparison_or_of_what_is_shown() -> None:
    one, other = Closed(7, wall_time=1.0), Closed(7, wall_time=2.0)
    assert one == other
    assert hash(one) == hash(other)
    assert repr(one) == "Closed(position=7)"
    assert "wall_time" not in Closed(7).as_dict()


def test_every_record_has_it_and_a_file_keeps_it(tmp_path: Path) -> None:
    trace, events = call()
    assert all(record.wall_time is not None for record in trace.records)
    assert {event.wall_time for event in trace.events} < {event.wall_time for event in events}
    trace.save(tmp_path / "call.jsonl")
    loaded = Trace.load(tmp_path / "call.jsonl")
    assert [record.wall_time for record in loaded.records] == [record.wall_time for record in trace.records]


def test_a_replay_is_the_same_at_any_time() -> None:
    trace, other = call()[0], call(5_000.0)[0]
    again = replay(trace)
    assert trace.differences(again) == other.differences(again) == []
    assert {record.wall_time for record in again.records} == {None}


def test_what_a_reader_reports_is_in_the_trace_once() -> None:
    trace, events = call()
    assert {"stalled", "far_end_reported"} <= {event.name for event in events}
    names = [getattr(record, "name", "") for record in trace.records]
    assert names.count("stalled") == names.count("far_end") == 1
    assert "far_end_reported" not in names


@pytest.mark.parametrize("value", ["now", True, -1.0, 1e300, {"repr": "nan"}, []])
def test_another_time_in_a_file_is_refused(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    call()[0].save(path)
    lines = path.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"wall_time": value})
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TraceError, match=r"line 2: 'wall_time' is .*, expected a time"):
        Trace.load(path)


def test_the_events_of_a_policy_have_it_too() -> None:
    controller = PlaybackController(clock=lambda: 7.0)
    policy = BargeIn(controller, timer=_Timer())
    started: list[Event] = []
    policy.on("user_turn_started", started.append)
    policy.speech_started()
    assert [event.wall_time for event in started] == [7.0]


class _Timer:
    def time(self) -> float:
        return 0.0

    def call_at(self, *_: object) -> Any:
        return self

    def cancel(self) -> None:
        pass


def test_a_clock_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"clock is 7, expected a function such as time\.time"):
        PlaybackController(clock=7)  # type: ignore[arg-type]


def test_a_clock_that_raises_is_an_error_once_and_changes_nothing_else() -> None:
    def broken() -> float:
        raise OSError("no clock")

    controller = PlaybackController(AudioFormat(RATE), clock=broken)
    events: list[Event] = []
    for name in EVENTS:
        controller.on(name, events.append)
    controller.pause()
    controller.close()
    assert [event.name for event in events] == ["paused", "state_changed", "error", "closed", "state_changed"]
    assert {event.wall_time for event in events} == {None}
