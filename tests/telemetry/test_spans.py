"""Spans: a turn and its utterances in the caller's trace, with what happened to them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.trace import StatusCode

from playback import AudioFormat, PlaybackController
from tests.signals import FRAME, RATE
from tests.telemetry.collecting import Collector

FIVE_FRAMES = np.full(5 * FRAME, 1_000, np.int16)


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def controller(collector: Collector) -> PlaybackController:
    controller = PlaybackController(AudioFormat(RATE), id="call 7")
    collector.instrument(controller)
    return controller


def read(controller: PlaybackController, frames: int) -> None:
    for _ in range(frames):
        controller.read(FRAME)


def test_a_turn_is_a_child_of_its_callers_span_and_its_utterances_are_children_of_it(
    collector: Collector, controller: PlaybackController
) -> None:
    tracer = collector.tracers.get_tracer("application")
    with tracer.start_as_current_span("answer") as answer:
        turn = controller.turn(id="turn 1")
    with tracer.start_as_current_span("synthesis") as synthesis:
        utterance = turn.utterance(id="sentence 1", text="a secret")
        utterance.push(FIVE_FRAMES)
    utterance.end()
    turn.end()
    read(controller, 6)
    [turn_span], [span] = collector.spans("playback.turn"), collector.spans("playback.utterance")
    assert turn_span.parent == answer.get_span_context()
    assert span.parent == turn_span.context
    assert [link.context for link in span.links] == [synthesis.get_span_context()]
    assert turn_span.attributes == {
        "playback.call.id": "call 7",
        "playback.turn.id": "turn 1",
        "playback.turn.outcome": "completed",
        "playback.turn.played": 0.1,
        "playback.turn.discarded": 0.0,
        "playback.turn.first_audio": 0.0,
    }
    assert span.attributes is not None
    assert span.attributes["playback.utterance.outcome"] == "completed"
    assert "secret" not in span.to_json() + turn_span.to_json()


def test_an_utterance_of_its_own_has_a_turns_span_too(collector: Collector, controller: PlaybackController) -> None:
    with collector.tracers.get_tracer("application").start_as_current_span("answer") as answer:
        controller.push(FIVE_FRAMES)
    controller.end()
    read(controller, 6)
    [turn_span], [span] = collector.spans("playback.turn"), collector.spans("playback.utterance")
    assert turn_span.parent == answer.get_span_context()
    assert span.parent == turn_span.context
    assert list(span.links) == []


def test_what_happens_to_an_utterance_is_on_its_span(collector: Collector, controller: PlaybackController) -> None:
    utterance = controller.utterance()
    utterance.push(FIVE_FRAMES)
    read(controller, 10)
    utterance.push(FIVE_FRAMES)
    read(controller, 1)
    controller.pause(by="somebody")
    controller.report_stall(0.5)
    controller.resume(by="somebody")
    controller.interrupt()
    [span] = collector.spans("playback.utterance")
    names = [event.name for event in span.events if event.name != "playback.state_changed"]
    assert names == [
        f"playback.{name}"
        for name in ("first_audio_byte", "underrun", "underrun_ended", "paused", "stalled", "resumed")
    ]
    by_name = {event.name: event.attributes for event in span.events}
    assert by_name["playback.underrun_ended"] == {"playback.position": 0.2, "playback.seconds": 0.1}
    assert by_name["playback.paused"] == {"playback.position": pytest.approx(0.22), "playback.hold": "other"}
    changes = [event.attributes for event in span.events if event.name == "playback.state_changed"]
    leaves = [attributes["playback.leaf.new"] for attributes in changes if attributes]
    assert leaves == [
        "speaking.streaming",
        "speaking.buffering",
        "speaking.streaming",
        "paused.held",
        "speaking.streaming",
    ]
    assert span.attributes is not None
    assert span.attributes["playback.utterance.outcome"] == "interrupted"


def test_one_that_failed_is_an_error_without_what_the_exception_says(
    collector: Collector, controller: PlaybackController
) -> None:
    utterance = controller.utterance()
    utterance.push(FIVE_FRAMES)
    utterance.fail(ValueError("can't say 'a secret'"))
    read(controller, 6)
    for name in ("playback.utterance", "playback.turn"):
        [span] = collector.spans(name)
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError")
        assert span.attributes is not None
        assert span.attributes["error.type"] == "ValueError"
        assert "secret" not in span.to_json()


def test_texts_are_on_spans_where_they_are_asked_for(collector: Collector) -> None:
    controller = PlaybackController(AudioFormat(RATE))
    collector.instrument(controller, texts=True)
    utterance = controller.utterance(text="Good morning.")
    utterance.push(FIVE_FRAMES)
    utterance.end()
    read(controller, 6)
    [span] = collector.spans("playback.utterance")
    assert span.attributes is not None
    assert span.attributes["playback.utterance.text"] == "Good morning."
    assert span.attributes["playback.utterance.heard"] == "Good morning."


def test_every_span_ends_with_the_call(collector: Collector, controller: PlaybackController) -> None:
    turn = controller.turn()
    turn.utterance().push(FIVE_FRAMES)
    controller.close()
    assert len(collector.spans("playback.turn")) == len(collector.spans("playback.utterance")) == 1


def test_every_span_ends_where_measuring_does(collector: Collector) -> None:
    controller = PlaybackController(AudioFormat(RATE))
    stop = collector.instrument(controller)
    controller.turn().utterance().push(FIVE_FRAMES)
    controller_of_its_own = PlaybackController(AudioFormat(RATE))
    stop_other = collector.instrument(controller_of_its_own)
    controller_of_its_own.push(FIVE_FRAMES)
    stop()
    stop_other()
    assert len(collector.spans("playback.turn")) == len(collector.spans("playback.utterance")) == 2
