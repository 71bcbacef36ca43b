"""What the tests of telemetry collect: metrics and spans, in memory, with OpenTelemetry's own SDK."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from playback import telemetry

Attributes = frozenset[tuple[str, Any]]
Point = NumberDataPoint | HistogramDataPoint | ExponentialHistogramDataPoint


@dataclass
class Collector:
    """Metrics and spans in memory."""

    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)

    def __post_init__(self) -> None:
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def instrument(self, *targets: Any, texts: bool = False) -> Callable[[], None]:
        return telemetry.instrument(*targets, meter_provider=self.meters, tracer_provider=self.tracers, texts=texts)

    def points(self) -> dict[str, dict[Attributes, Point]]:
        """Every metric that has data: its points, by their attributes."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: {frozenset((point.attributes or {}).items()): point for point in metric.data.data_points}
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def totals(self) -> dict[str, float]:
        """The sum of each metric, over all attributes."""
        return {name: sum(map(sum_of, points.values())) for name, points in self.points().items()}

    def counts(self) -> dict[str, int]:
        """How many values each histogram has, over all attributes."""
        return {
            name: sum(p.count for p in points.values() if isinstance(p, HistogramDataPoint))
            for name, points in self.points().items()
        }

    def spans(self, name: str) -> list[ReadableSpan]:
        """The spans of a name that have ended, in that order."""
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


def sum_of(point: Point) -> float:
    """What a point adds up to."""
    assert isinstance(point, HistogramDataPoint | NumberDataPoint)
    return point.sum if isinstance(point, HistogramDataPoint) else point.value
