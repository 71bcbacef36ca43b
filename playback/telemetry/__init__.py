"""Telemetry: what callers experience, as metrics and spans of OpenTelemetry. It needs the extra ``otel``.

Only the API of OpenTelemetry is used: where nothing is set up to collect them, metrics and spans go nowhere. Names,
units and attributes are on the page "In production".
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakSet

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from playback._checks import check_type
from playback.bargein.policy import NEW_POLICIES, BargeIn
from playback.controller import NEW_CONTROLLERS, PlaybackController
from playback.telemetry.calls import CallTelemetry
from playback.telemetry.instruments import Instruments
from playback.telemetry.policies import PolicyTelemetry
from playback.telemetry.spans import tracer_of

__all__ = ["instrument"]


def instrument(
    *targets: PlaybackController | BargeIn,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    texts: bool = False,
) -> Callable[[], None]:
    """Measure the calls of a process, or only some.

    Without targets, every controller and every barge-in policy that is made from now on is measured::

        from playback import telemetry

        telemetry.instrument()

    A target that is measured already is measured twice.

    Args:
        targets: controllers and policies that are there already; only these are measured then.
        meter_provider: where metrics go; the global one by default, also if that is set later.
        tracer_provider: where spans go; the same.
        texts: whether spans carry what is said, which may be personal.

    Returns:
        What ends it, for all that it has begun to measure.

    Raises:
        TypeError: a target of another type.
    """
    for target in targets:
        check_type("target", target, PlaybackController, BargeIn)
    instruments, tracer = Instruments.of(meter_provider), tracer_of(tracer_provider)
    measured: WeakSet[CallTelemetry | PolicyTelemetry] = WeakSet()

    def measure(target: PlaybackController | BargeIn) -> None:
        if isinstance(target, BargeIn):
            measured.add(PolicyTelemetry(target, instruments))
        else:
            measured.add(CallTelemetry(target, instruments, tracer, texts=texts))

    for target in targets:
        measure(target)
    ends = [] if targets else [NEW_CONTROLLERS.add(measure), NEW_POLICIES.add(measure)]

    def stop() -> None:
        for end in ends:
            end()
        for each in list(measured):
            each.stop()

    return stop
