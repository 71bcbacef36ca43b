"""Metrics: what a scripted call is measured as, and that what is measured adds up."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics.export import HistogramDataPoint
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from playback import AudioFormat, Fades, PlaybackController, telemetry
from playback.bargein import BargeIn
from playback.pump import Pump
from playback.telemetry.instruments import LATENCY
from tests.signals import FRAME, RATE
from tests.telemetry.collecting import Collector, sum_of

AUDIO = ("accepted", "played", "discarded", "refused")


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def everything(collector: Collector) -> Iterator[Collector]:
    """All controllers that are made from now on are measured."""
    stop = collector.instrument()
    yield collector
    stop()


def controller_at_rate(**options: Any) -> PlaybackController:
    return PlaybackController(AudioFormat(RATE), fades=Fades(interrupt_seconds=0.06), **options)


def speech(frames: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.full(int(frames * FRAME), 1_000, np.int16)


def read(controller: PlaybackController, frames: int) -> None:
    for _ in range(frames):
        controller.read(FRAME)


def balance(totals: dict[str, float]) -> float:
    """What was accepted and is nowhere."""
    accepted, played, discarded = (totals.get(f"playback.audio.{name}", 0.0) for name in AUDIO[:3])
    return accepted - played - discarded - totals.get("playback.buffer.duration", 0.0)


def test_a_scripted_call_is_measured_to_the_sample(everything: Collector) -> None:
    controller = controller_at_rate()
    assert everything.totals()["playback.calls.active"] == 1
    read(controller, 5)
    utterance = controller.utterance()
    utterance.enqueue()
    read(controller, 10)  # 0.2 s until its first sample
    utterance.push(speech(5.25))
    read(controller, 20)  # 0.1 s of it: less than a frame is held back; the remaining 0.3 s are an underrun
    utterance.push(speech(50))
    read(controller, 10)
    controller.interrupt(lock=True)
    read(controller, 5)
    utterance.push(speech(1))  # refused
    controller.close()
    totals = everything.totals()
    assert totals == pytest.approx(
        {
            "playback.audio.accepted": 1.105,
            "playback.audio.played": 0.3,
            "playback.audio.discarded": 0.805,
            "playback.audio.refused": 0.02,
            "playback.buffer.duration": 0.0,
            "playback.calls.active": 0,
            "playback.time_to_first_audio": 0.2,
            "playback.interrupt.duration": 0.06,
            "playback.underrun.duration": 0.3,
            "playback.underrun.count": 1,
            "playback.state.duration": 1.0,
        }
    )
    states = everything.points()["playback.state.duration"]
    lasted = {dict(attributes)["playback.state"]: sum_of(point) for attributes, point in states.items()}
    assert lasted == pytest.approx({"idle": 0.1, "speaking": 0.8, "interrupted": 0.06, "input_locked": 0.04})


@pytest.mark.parametrize("seed", range(4))
def test_audio_is_conserved_whatever_is_done(everything: Collector, seed: int) -> None:
    chance = random.Random(seed)
    controller = controller_at_rate(high_water_seconds=5.0, max_buffered_seconds=5.0)
    utterances = [controller.utterance(first=chance.random() < 0.2, interruptible=chance.random() < 0.8)]
    for step in range(150):
        match chance.randrange(12):
            case 0:
                utterances.append(controller.utterance(first=chance.random() < 0.3))
            case 1 | 2 | 3 | 4:
                chance.choice(utterances).push(speech(chance.uniform(0.1, 4)))
            case 5:
                chance.choice(utterances).end()
            case 6:
                chance.choice(utterances).cancel()
            case 7 if chance.random() < 0.3:
                controller.interrupt(lock=chance.random() < 0.3)
            case 8:
                controller.pause() or controller.resume(chance.uniform(0, 0.2))
            case 9:
                controller.unlock()
            case _:
                read(controller, chance.randrange(1, 6))
        if step % 30 == 0:
            assert balance(everything.totals()) == pytest.approx(0.0, abs=1e-9)
    controller.close()
    totals = everything.totals()
    assert balance(totals) == pytest.approx(0.0, abs=1e-9)
    assert totals["playback.audio.accepted"] == pytest.approx(controller.accepted / RATE)
    assert totals["playback.audio.accepted"] > 0
    assert totals["playback.buffer.duration"] == pytest.approx(0.0, abs=1e-9)


def test_a_controller_that_was_in_use_is_measured_from_then_on(collector: Collector) -> None:
    controller = controller_at_rate()
    controller.push(speech(10))
    read(controller, 4)
    collector.instrument(controller)
    read(controller, 4)
    controller.push(speech(1))
    controller.close()
    totals = collector.totals()
    accepted, played, discarded = (totals[f"playback.audio.{name}"] for name in AUDIO[:3])
    assert (accepted, played, discarded) == pytest.approx((0.14, 0.08, 0.06))
    assert balance(totals) == pytest.approx(0.0, abs=1e-9)


def test_only_what_is_asked_for_is_measured(collector: Collector) -> None:
    measured, other = controller_at_rate(), controller_at_rate()
    stop = collector.instrument(measured)
    for controller in (measured, other):
        controller.push(speech(3))
    assert collector.totals()["playback.audio.accepted"] == pytest.approx(0.06)
    stop()
    assert collector.totals()["playback.calls.active"] == 0
    measured.push(speech(3))
    measured.close()
    assert collector.totals()["playback.audio.accepted"] == pytest.approx(0.06)


def test_what_is_made_after_the_end_is_not_measured(collector: Collector) -> None:
    stop = collector.instrument()
    stop()
    controller_at_rate().push(speech(3))
    assert collector.totals() == {}


def test_another_target_is_refused() -> None:
    with pytest.raises(TypeError, match="target is 'call', expected PlaybackController or BargeIn"):
        telemetry.instrument("call")  # type: ignore[arg-type]


def test_a_controller_that_nobody_closed_is_no_active_call(everything: Collector) -> None:
    controller = controller_at_rate()
    controller.push(speech(3))
    del controller
    gc.collect()
    assert everything.totals()["playback.calls.active"] == 0


def test_the_fast_paths_stay_open(everything: Collector) -> None:
    controller = controller_at_rate()
    controller.push(speech(9).tobytes())
    read(controller, 1)
    controller.push(speech(1).tobytes())
    fast = controller._transitions.fast
    assert fast.push is not None
    assert fast.read is not None


async def test_a_pump_reports_how_late_its_frames_are(everything: Collector) -> None:
    controller = controller_at_rate()
    controller.push(speech(400))
    written: list[object] = []

    def write(frame: object) -> None:
        written.append(frame)
        if len(written) == 60:
            pump.stop()

    pump = Pump(controller, write)
    await asyncio.wait_for(pump.run(), 20)
    assert len(written) == 60
    assert everything.counts()["playback.frame.lateness"] == 1  # the latest of 50
    assert everything.totals()["playback.frame.lateness"] > 0
    # Counted once a second, though nothing has happened since the beginning.
    assert everything.totals()["playback.audio.played"] >= 0.9
    assert balance(everything.totals()) == pytest.approx(0.0, abs=1e-9)


def test_a_stall_is_measured_and_one_without_end_is_not(everything: Collector) -> None:
    controller = controller_at_rate()
    controller.report_stall(0.25)
    controller.report_stall(float("inf"))
    assert everything.totals()["playback.frame.skipped"] == 0.25


def test_what_the_far_end_reports_is_measured(everything: Collector) -> None:
    controller = controller_at_rate()
    controller.report_far_end(0.0, 0.01, None)
    controller.report_far_end(0.25, 0.03, 0.08)
    controller.report_far_end(float("nan"), -1.0, float("inf"))
    counts, totals = everything.counts(), everything.totals()
    names = [f"playback.network.{name}" for name in ("loss", "jitter", "round_trip")]
    assert [counts[name] for name in names] == [2, 2, 1]
    assert [totals[name] for name in names] == pytest.approx([0.25, 0.04, 0.08])


class Clock:
    """A policy's timer that stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def time(self) -> float:
        return self.now

    def call_at(self, *_: object) -> Any:
        return Mock()  # no timer runs out in this test


def test_the_turns_of_a_conversation_are_measured(everything: Collector) -> None:
    controller, clock = controller_at_rate(), Clock()
    policy = BargeIn(controller, timer=clock, guard_seconds=0.0)
    policy.speech_started()
    clock.now += 2.0
    policy.speech_ended()
    clock.now += 0.7
    controller.push(speech(100))
    read(controller, 5)
    policy.speech_started()
    clock.now += 0.3
    policy.transcript("stop it now", final=True)
    totals, counts = everything.totals(), everything.counts()
    assert totals["playback.turn.latency"] == pytest.approx(0.7)
    assert totals["playback.barge_in.decision.duration"] == pytest.approx(0.3)
    assert counts["playback.barge_in.decision.duration"] == 1
    [attributes] = everything.points()["playback.barge_in.decision.duration"]
    assert dict(attributes) == {"playback.barge_in.decision": "barge_in"}


def test_histograms_advise_their_buckets(everything: Collector) -> None:
    controller = controller_at_rate()
    controller.push(speech(1))
    controller.end()
    read(controller, 2)
    [point] = everything.points()["playback.time_to_first_audio"].values()
    assert isinstance(point, HistogramDataPoint)
    assert tuple(point.explicit_bounds) == LATENCY


def test_no_attribute_grows_with_the_calls(everything: Collector) -> None:
    for number in range(30):
        controller = controller_at_rate(id=f"call {number}")
        utterance = controller.utterance(id=f"utterance {number}", text=f"text {number}")
        utterance.push(speech(2))
        controller.pause(by=f"owner {number}")
        controller.resume(by=f"owner {number}")
        read(controller, 1)
        controller.interrupt(lock=True)
        utterance.push(speech(1))
        controller.close()
    assert all(len(points) <= 8 for points in everything.points().values())
    values = {str(value) for points in everything.points().values() for key in points for _, value in key}
    assert not any(character.isdigit() for character in "".join(values))


def test_prometheus_can_scrape_it() -> None:
    exporter = pytest.importorskip("opentelemetry.exporter.prometheus")
    from opentelemetry.sdk.metrics import MeterProvider

    registry = CollectorRegistry()
    reader = exporter.PrometheusMetricReader()
    registry.register(reader._collector)
    stop = telemetry.instrument(meter_provider=MeterProvider([reader]))
    controller = controller_at_rate()
    controller.push(speech(10))
    read(controller, 20)
    controller.push(speech(5))
    controller.interrupt()
    controller.push(speech(3))
    stop()
    text = generate_latest(registry).decode()
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("playback_")
    }
    accepted, played, discarded = (samples[f"playback_audio_{name}_seconds_total"] for name in AUDIO[:3])
    assert accepted - played - discarded == pytest.approx(samples["playback_buffer_duration_seconds"])
    assert samples["playback_buffer_duration_seconds"] == pytest.approx(0.06)
    assert samples["playback_underrun_count_total"] == 1
    assert samples["playback_underrun_duration_seconds_sum"] == pytest.approx(0.2)
    assert "playback_underrun_duration_seconds_bucket{" in text
