"""CallTelemetry: measures one call. It observes its controller, but not the pushes and reads in which nothing happens.

Audio is counted from the controller's counters and the reports of utterances: after each event that changes what is
buffered, and once a second, so that a long utterance is not counted all at once at its end. Accepted audio and buffered
audio are the queue's counts, played and discarded audio those of the utterances: that the four agree is a check.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any, Final
from weakref import finalize, ref

from opentelemetry.metrics import UpDownCounter
from opentelemetry.trace import Tracer

from playback.chart import State
from playback.controller import PlaybackController
from playback.events import (
    AudioRefused,
    Event,
    FarEndReported,
    Interrupted,
    Paused,
    Silenced,
    Stalled,
    StateChanged,
    TurnFinished,
    Underrun,
    UnderrunEnded,
    UtteranceFinished,
)
from playback.report import Outcome
from playback.telemetry.instruments import Instruments
from playback.telemetry.spans import Spans
from playback.turn import Turn
from playback.utterance import Utterance

FRAMES_OF_A_COUNT: Final = 50
"""After so many frames audio is counted anew, and the latest of them is recorded: once a second. To record a value
takes several microseconds; 50 times a second, that would be more than a call may pay for all of this."""

_OUTCOMES: Final = {outcome: {"playback.outcome": outcome.value} for outcome in Outcome}
_STATES: Final = {state: {"playback.state": state.value} for state in State}
_HOLDS: Final = ("application", "barge-in", "lost peer")
"""The owners of holds that the library knows; all others are ``other``, for applications may make names up."""


class CallTelemetry:
    """Measures one call, until it is closed, or gone.

    Args:
        controller: which one.
        instruments: where metrics go.
        tracer: where spans go.
        texts: whether spans carry what is said.
    """

    __slots__ = (
        "__weakref__",
        "_accepted",
        "_before",
        "_buffered",
        "_controller",
        "_ends",
        "_finished",
        "_frames",
        "_handlers",
        "_instruments",
        "_interrupted",
        "_latest",
        "_played",
        "_rate",
        "_since",
        "_spans",
    )

    def __init__(
        self, controller: PlaybackController, instruments: Instruments, tracer: Tracer, *, texts: bool
    ) -> None:
        self._controller: Final = ref(controller)
        self._instruments: Final = instruments
        self._rate: Final = controller.format.sample_rate
        self._spans: Final = Spans(tracer, controller.id, self._rate, texts=texts)
        self._handlers: Final[dict[str, Callable[[Any], None]]] = {
            "state_changed": self._state_changed,
            "first_audio_byte": self._spans.first_audio,
            "utterance_finished": self._utterance_finished,
            "turn_finished": self._turn_finished,
            "paused": self._paused,
            "resumed": self._noted,
            "interrupted": self._interrupt,
            "silenced": self._silenced,
            "underrun": self._underrun,
            "underrun_ended": self._underrun_ended,
            "audio_refused": self._refused,
            "stalled": self._stalled,
            "far_end_reported": self._far_end,
        }
        head = controller.head
        # What was there before it is measured, in samples: only what is buffered counts as accepted.
        self._before: Final = controller.accepted - controller.buffered
        self._finished = -(0 if head is None else head.played)  # what was played of utterances that are finished
        self._accepted = self._played = self._buffered = 0
        self._frames = 0
        self._latest = 0.0  # how late the latest of them was
        self._interrupted: int | None = None
        self._since = controller.position
        self._ends: list[Callable[[], object]] = []
        if controller.state is State.CLOSED:
            return
        instruments.active.add(1)
        gone = finalize(controller, _gone, instruments.active)
        gone.atexit = False
        self._ends += [
            gone,
            controller.observe(self, everything=False),
            controller.watch_frames(self._frame),
            self._spans.end,
        ]
        self._count(controller)

    def stop(self) -> None:
        """Measure no more."""
        while self._ends:
            self._ends.pop()()

    # As an observer

    def called(self, position: int, name: str, arguments: dict[str, Any]) -> None:  # noqa: ARG002 - the protocol
        """Begin a span where one of these is the first use of something: this is the caller's context."""
        if name == "utterance":
            utterance: Utterance = arguments["utterance"]
            self._spans.begin_utterance(utterance)
        elif name == "turn":
            turn: Turn = arguments["turn"]
            self._spans.begin_turn(turn)

    def edge(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None:
        """A step is summed up by its ``state_changed``."""

    def event(self, event: Event) -> None:
        """Measure what happened."""
        handler = self._handlers.get(event.name)
        if handler is not None:
            handler(event)

    # What happens

    def _frame(self, late: float) -> None:
        if late > self._latest:
            self._latest = late
        self._frames += 1
        if self._frames == FRAMES_OF_A_COUNT:
            self._second_over()

    def _second_over(self) -> None:
        latest = self._latest
        self._frames, self._latest = 0, 0.0
        controller = self._controller()
        if controller is None:
            return
        try:
            self._instruments.lateness.record(latest)
            self._count(controller)
        except Exception as error:  # whatever an SDK does, the track goes on
            controller.report_error(error, "telemetry")

    def _count(self, controller: PlaybackController) -> None:
        """Count the audio since the last time."""
        instruments, rate, head = self._instruments, self._rate, controller.head
        accepted = controller.accepted - self._before
        played = self._finished + (0 if head is None else head.played)
        buffered = controller.buffered
        if accepted > self._accepted:
            instruments.accepted.add((accepted - self._accepted) / rate)
        if played > self._played:
            instruments.played.add((played - self._played) / rate)
        if buffered != self._buffered:
            instruments.buffered.add((buffered - self._buffered) / rate)
        self._accepted, self._played, self._buffered = accepted, max(played, self._played), buffered

    def _state_changed(self, event: StateChanged) -> None:
        controller = self._controller()
        if event.old is not event.new:
            self._instruments.state.record((event.position - self._since) / self._rate, _STATES[event.old])
            self._since = event.position
            if controller is not None:
                self._count(controller)
        if controller is None:
            return
        self._spans.note(
            event, controller.head, **{"playback.leaf.old": event.old_leaf, "playback.leaf.new": event.new_leaf}
        )
        if event.new is State.CLOSED:
            self.stop()

    def _utterance_finished(self, event: UtteranceFinished) -> None:
        report = event.report
        self._finished += report.played
        if report.discarded:
            self._instruments.discarded.add(report.discarded / self._rate)
        if (controller := self._controller()) is not None:
            self._count(controller)
        self._spans.end_utterance(event)

    def _turn_finished(self, event: TurnFinished) -> None:
        seconds = event.report.first_audio_seconds
        if seconds is not None:
            self._instruments.time_to_first_audio.record(seconds, _OUTCOMES[event.report.outcome])
        self._spans.end_turn(event)

    def _noted(self, event: Event) -> None:
        controller = self._controller()
        self._spans.note(event, None if controller is None else controller.head)

    def _paused(self, event: Paused) -> None:
        controller = self._controller()
        by = event.by if event.by in _HOLDS else "other"
        self._spans.note(event, None if controller is None else controller.head, **{"playback.hold": by})

    def _interrupt(self, event: Interrupted) -> None:
        self._interrupted = event.position
        self._noted(event)

    def _silenced(self, event: Silenced) -> None:
        if self._interrupted is not None:
            self._instruments.interrupt.record((event.position - self._interrupted) / self._rate)
            self._interrupted = None

    def _underrun(self, event: Underrun) -> None:
        self._instruments.underruns.add(1)
        self._spans.note(event, event.utterance)

    def _underrun_ended(self, event: UnderrunEnded) -> None:
        self._instruments.underrun.record(event.seconds)
        if (controller := self._controller()) is not None:
            self._count(controller)
        self._spans.note(event, event.utterance, **{"playback.seconds": event.seconds})

    def _refused(self, event: AudioRefused) -> None:
        self._instruments.refused.add(event.samples / self._rate, {"playback.reason": event.reason})

    def _stalled(self, event: Stalled) -> None:
        seconds = max(0.0, float(event.seconds))
        if not isfinite(seconds):
            return  # a reader may report whatever it has measured
        self._instruments.stalled.add(seconds)
        controller = self._controller()
        self._spans.note(event, None if controller is None else controller.head, **{"playback.seconds": seconds})

    def _far_end(self, event: FarEndReported) -> None:
        instruments, trip = self._instruments, event.round_trip_seconds
        measured = [(instruments.loss, event.loss), (instruments.jitter, event.jitter_seconds)]
        if trip is not None:
            measured.append((instruments.round_trip, trip))
        for histogram, value in measured:
            if isfinite(value) and value >= 0:
                histogram.record(value)


def _gone(active: UpDownCounter) -> None:
    """A controller was closed, or nobody has it any more."""
    active.add(-1)
