"""CallLog: a call's story in the log, in a few lines, each with the call's id.

``playback.call`` has the story at INFO and the edges of the chart at DEBUG. Neither says what is spoken, nor what an
exception says: that may be personal. What was heard of each turn is logged by ``playback.call.texts``, which is silent
until its level is set.

Whether there is a log at all is looked at once, when a controller is made: without INFO nothing is spent on it.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from playback.audio.formats import AudioFormat
from playback.events import (
    AudioRefused,
    Closed,
    ErrorRaised,
    Event,
    InputLocked,
    InputUnlocked,
    Interrupted,
    Paused,
    Resumed,
    Silenced,
    Stalled,
    TurnFinished,
    TurnStarted,
    UnderrunEnded,
)

LOGGER: Final = logging.getLogger("playback.call")
TEXTS: Final = logging.getLogger("playback.call.texts")
if TEXTS.level == logging.NOTSET:  # what is said is logged only where somebody asks for it
    TEXTS.setLevel(logging.WARNING)


class CallLog:
    """Writes the story of one call; an observer that need not see everything.

    Args:
        id: the call's.
        format: what is handed out.
    """

    __slots__ = ("_format", "_id", "_interrupted", "_paused", "_refused", "_turns", "closed_by")

    def __init__(self, id: str, format: AudioFormat) -> None:
        self._id: Final = _on_one_line(id)
        self._format: Final = format
        self.closed_by = "nobody"
        """Who has closed the controller; set before it is."""
        self._interrupted: int | None = None
        self._paused = 0
        self._refused: Final[dict[str, int]] = {}
        self._turns = 0

    def called(self, position: int, name: str, arguments: dict[str, Any]) -> None:
        """What comes of a call is logged, not the call."""

    def edge(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None:  # noqa: ARG002 - the protocol
        """Log an edge of the chart."""
        LOGGER.debug(
            "%s: %.3f s: %s --%s--> %s",
            self._id,
            self._format.seconds(position),
            source,
            event,
            target,
            extra={"call_id": self._id},
        )

    def event(self, event: Event) -> None:
        """Log what belongs to the story."""
        seconds = self._format.seconds
        match event:
            case TurnStarted():
                self._sum_up_refused()
                self._turns += 1
                self._log("turn %s sounds", event.turn.id)
            case TurnFinished():
                self._turn_finished(event)
            case Interrupted():
                self._interrupted = event.position
                self._log("interrupted, %.2f s discarded", seconds(event.discarded))
            case Silenced() if self._interrupted is not None:
                self._log("silent %.2f s after the interrupt", seconds(event.position - self._interrupted))
                self._interrupted = None
            case Paused():
                self._paused = event.position
                self._log("paused by %s", event.by)
            case Resumed():
                self._log("resumed by %s after %.2f s", event.by, seconds(event.position - self._paused))
            case UnderrunEnded():
                self._log("underrun of %.2f s in %s", event.seconds, event.utterance.id)
            case Stalled():
                self._log("stalled: the reader came %.2f s late", event.seconds)
            case AudioRefused():
                self._refused[event.reason] = self._refused.get(event.reason, 0) + event.samples
            case InputLocked():
                self._log("input locked")
            case InputUnlocked():
                self._sum_up_refused()
                self._log("input unlocked")
            case ErrorRaised():
                self._log("error of %s: %s", event.source, type(event.exception).__qualname__)
            case Closed():
                self._sum_up_refused()
                self._log(
                    "closed by %s after %.2f s and %d turns", self.closed_by, seconds(event.position), self._turns
                )

    def _turn_finished(self, event: TurnFinished) -> None:
        report, seconds = event.report, self._format.seconds
        first = report.first_audio_seconds
        self._log(
            "turn %s %s: %s, %.2f s played, %.2f s discarded, %.2f s of gaps",
            report.id,
            report.outcome,
            "without audio" if first is None else f"first audio after {first:.2f} s",
            seconds(report.played),
            seconds(report.discarded),
            sum(report.gaps),
        )
        TEXTS.info("%s: heard of turn %s: %r", self._id, report.id, report.heard, extra={"call_id": self._id})

    def _sum_up_refused(self) -> None:
        """Refused pushes come fifty a second, so they are summed up."""
        for reason, samples in self._refused.items():
            self._log("%.2f s of audio refused: %s", self._format.seconds(samples), reason)
        self._refused.clear()

    def _log(self, message: str, *arguments: object) -> None:
        LOGGER.info(f"%s: {message}", self._id, *map(_on_one_line, arguments), extra={"call_id": self._id})


def _on_one_line(value: object) -> object:
    """A name as it can stand in a log: one that a caller has chosen must not look like a line of its own."""
    return repr(value)[1:-1] if isinstance(value, str) and not value.isprintable() else value


def connection_changed(id: str, what: str) -> None:
    """Log what has become of the connection of a call."""
    LOGGER.info("%s: %s", name := _on_one_line(id), what, extra={"call_id": name})
