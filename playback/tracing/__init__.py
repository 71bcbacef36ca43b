"""Traces: the calls made on a controller, the edges that they took and the events, kept in a file and replayed."""

from playback.tracing.records import TracedCall, TracedEdge, TracedEvent, TraceError
from playback.tracing.trace import Trace

__all__ = ["Trace", "TraceError", "TracedCall", "TracedEdge", "TracedEvent"]
