"""Spans: one for each turn and one for each utterance within it, with what happened to them as span events.

A turn's span begins where the application begins the turn, as a child of the span that is current there; where the turn
is an utterance's own, with the first use of the utterance. An utterance's span is a child of its turn's. Where another
span is current at the utterance's first use, it is linked to that one, too.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from opentelemetry.context import Context, get_current
from opentelemetry.trace import (
    Link,
    Span,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
    get_current_span,
    get_tracer,
    set_span_in_context,
)

from playback import __version__
from playback.events import Event, FirstAudioByte, TurnFinished, UtteranceFinished
from playback.report import Outcome, TurnReport, UtteranceReport
from playback.telemetry.instruments import NAME
from playback.turn import Turn
from playback.utterance import Utterance

Value = str | int | float | bool


def tracer_of(provider: TracerProvider | None) -> Tracer:
    """The tracer of a provider, of the global one by default."""
    return get_tracer(NAME, __version__, tracer_provider=provider)


class Spans:
    """The spans of one call.

    Args:
        tracer: what makes them.
        call: the id of the call.
        sample_rate: of the positions.
        texts: whether they carry what is said.
    """

    __slots__ = ("_call", "_own", "_rate", "_texts", "_tracer", "_turns", "_utterances")

    def __init__(self, tracer: Tracer, call: str, sample_rate: int, *, texts: bool) -> None:
        self._tracer: Final = tracer
        self._call: Final = call
        self._rate: Final = sample_rate
        self._texts: Final = texts
        self._utterances: Final[WeakKeyDictionary[Utterance, Span]] = WeakKeyDictionary()
        self._turns: Final[WeakKeyDictionary[Turn, Span]] = WeakKeyDictionary()
        # The turn of an utterance that belongs to no other one is not made yet where its span begins.
        self._own: Final[WeakKeyDictionary[Utterance, Span]] = WeakKeyDictionary()

    def begin_turn(self, turn: Turn) -> None:
        """The application begins a turn."""
        self._turns[turn] = self._tracer.start_span("playback.turn", attributes=self._named("turn", turn.id))

    def begin_utterance(self, utterance: Utterance) -> None:
        """An utterance is used for the first time."""
        caller, turn = get_current(), self._turns.get(utterance.turn) if utterance.turn is not None else None
        if turn is None:
            turn = self._tracer.start_span("playback.turn", caller, attributes=self._named("turn", utterance.id))
            if utterance.turn is None:
                self._own[utterance] = turn
            else:  # it was begun before anybody watched
                self._turns[utterance.turn] = turn
        links = _links(caller, turn)
        attributes = self._named("utterance", utterance.id)
        if self._texts and utterance.text is not None:
            attributes["playback.utterance.text"] = utterance.text
        self._utterances[utterance] = self._tracer.start_span(
            "playback.utterance", set_span_in_context(turn, caller), attributes=attributes, links=links
        )

    def note(self, event: Event, head: Utterance | None, **attributes: Value) -> None:
        """Something happened to the utterance at the head of the queue."""
        span = None if head is None else self._utterances.get(head)
        if span is not None and span.is_recording():
            span.add_event(f"playback.{event.name}", {"playback.position": event.position / self._rate, **attributes})

    def first_audio(self, event: FirstAudioByte) -> None:
        """An utterance sounds."""
        self.note(event, event.utterance)

    def end_utterance(self, event: UtteranceFinished) -> None:
        """An utterance is over."""
        utterance, report = event.utterance, event.report
        if own := self._own.pop(utterance, None):
            self._turns[utterance.turn] = own
        if span := self._utterances.pop(utterance, None):
            span.set_attribute("playback.utterance.accepted", report.accepted / self._rate)
            span.set_attribute("playback.utterance.refused", report.refused / self._rate)
            if self._texts and report.heard is not None:
                span.set_attribute("playback.utterance.heard", report.heard)
            self._end(span, "utterance", report)

    def end_turn(self, event: TurnFinished) -> None:
        """A turn is over."""
        if span := self._turns.pop(event.turn, None):
            if event.report.first_audio_seconds is not None:
                span.set_attribute("playback.turn.first_audio", event.report.first_audio_seconds)
            self._end(span, "turn", event.report)

    def end(self) -> None:
        """Nobody watches any more: end what has not ended."""
        for spans in (self._utterances, self._own, self._turns):
            for span in [*spans.values()]:
                span.end()
            spans.clear()

    def _end(self, span: Span, kind: str, report: UtteranceReport | TurnReport) -> None:
        span.set_attribute(f"playback.{kind}.outcome", report.outcome.value)
        span.set_attribute(f"playback.{kind}.played", report.played / self._rate)
        span.set_attribute(f"playback.{kind}.discarded", report.discarded / self._rate)
        if report.outcome is Outcome.FAILED:
            error = report.error
            # The message may hold the text that could not be synthesized.
            name = "" if error is None else type(error).__qualname__
            span.set_status(Status(StatusCode.ERROR, name))
            if error is not None:
                span.set_attribute("error.type", name)
        span.end()

    def _named(self, kind: str, id: str) -> dict[str, Any]:
        return {"playback.call.id": self._call, f"playback.{kind}.id": id}


def _links(caller: Context, turn: Span) -> list[Link]:
    """A link to the caller's span, unless it is the turn's or belongs to the same trace."""
    current = get_current_span(caller).get_span_context()
    same = current.trace_id == turn.get_span_context().trace_id
    return [Link(current)] if current.is_valid and not same else []
