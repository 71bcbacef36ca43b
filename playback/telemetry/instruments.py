"""Instruments: the metrics, by their names, units and buckets.

Times are seconds, as OpenTelemetry's conventions ask for. No attribute has a value that grows with the calls: neither
ids nor texts are among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from opentelemetry.metrics import Counter, Histogram, MeterProvider, UpDownCounter, get_meter

from playback import __version__

NAME: Final = "playback"
"""Of the instrumentation scope, for metrics and spans."""

LATENCY: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Boundaries for what a caller waits for: people answer each other after 0.2 s (Stivers et al., 2009,
"Universals and cultural variation in turn-taking in conversation"), and a pause of more than 1 s is taken for trouble
(Jefferson, 1989, "Notes on a possible metric for a 'standard maximum' silence of approximately one second")."""

FADE: Final = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
"""For what ends within a few frames of 20 ms; an interrupt at a word, within half a second."""

GAP: Final = (0.02, 0.04, 0.06, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)
"""For silence where there should be speech."""

LATENESS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.25, 0.5, 1.0, 5.0)
"""For frames: due each 0.02 s, skipped from 0.06 s on (:data:`playback.pacing.LATE_SECONDS`)."""

LOSS: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""For shares of packets."""

STATE: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""For how long a state lasts."""


@dataclass(frozen=True, slots=True)
class Instruments:
    """All metrics."""

    time_to_first_audio: Histogram
    turn_latency: Histogram
    interrupt: Histogram
    decision: Histogram
    underrun: Histogram
    underruns: Counter
    lateness: Histogram
    stalled: Counter
    state: Histogram
    loss: Histogram
    jitter: Histogram
    round_trip: Histogram
    accepted: Counter
    played: Counter
    discarded: Counter
    refused: Counter
    buffered: UpDownCounter
    active: UpDownCounter

    @classmethod
    def of(cls, provider: MeterProvider | None) -> Self:
        """Make them with a provider, the global one by default."""
        meter = get_meter(NAME, __version__, meter_provider=provider)

        def histogram(name: str, description: str, buckets: tuple[float, ...]) -> Histogram:
            return meter.create_histogram(
                f"{NAME}.{name}", "s", description, explicit_bucket_boundaries_advisory=buckets
            )

        def counter(name: str, description: str, unit: str = "s") -> Counter:
            return meter.create_counter(f"{NAME}.{name}", unit, description)

        return cls(
            time_to_first_audio=histogram(
                "time_to_first_audio", "From the beginning of a turn to its first sample.", LATENCY
            ),
            turn_latency=histogram(
                "turn.latency", "From the end of the user's speech to the agent's first sample.", LATENCY
            ),
            interrupt=histogram("interrupt.duration", "From an interrupt to silence.", FADE),
            decision=histogram(
                "barge_in.decision.duration", "From the user's first sound to what it was taken for.", LATENCY
            ),
            underrun=histogram("underrun.duration", "Silence because synthesis was too slow.", GAP),
            underruns=counter("underrun.count", "How often an utterance ran out of audio.", "{underrun}"),
            lateness=histogram("frame.lateness", "How late the latest of 50 frames was read.", LATENESS),
            stalled=counter("frame.skipped", "Time that readers came so late that they skipped it."),
            state=histogram("state.duration", "How long a state lasted.", STATE),
            loss=meter.create_histogram(
                f"{NAME}.network.loss",
                "1",
                "The share of packets that did not arrive, by each report of the far end.",
                explicit_bucket_boundaries_advisory=LOSS,
            ),
            jitter=histogram("network.jitter", "How much the packets' travel times differ.", FADE),
            round_trip=histogram("network.round_trip", "How long a packet takes there and back.", GAP),
            accepted=counter("audio.accepted", "Audio that was pushed and taken."),
            played=counter("audio.played", "Audio that was handed out."),
            discarded=counter("audio.discarded", "Audio that was taken and will never be played."),
            refused=counter("audio.refused", "Audio that was turned away."),
            buffered=meter.create_up_down_counter(
                f"{NAME}.buffer.duration", "s", "Audio that was taken and is neither played nor discarded."
            ),
            active=meter.create_up_down_counter(f"{NAME}.calls.active", "{call}", "Controllers that are not closed."),
        )
