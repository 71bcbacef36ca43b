"""UtteranceReport: what became of an utterance, and what was heard of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from playback._json import jsonable, message_of
from playback.audio.clip import Mark
from playback.words.heard import join_texts
from playback.words.known import HeardFrom, KnownWords, least_certain


class InputTimeout(TimeoutError):  # noqa: N818 - as TimeoutError
    """A producer has sent nothing for too long."""


class Outcome(StrEnum):
    """How an utterance or a turn ended."""

    COMPLETED = "completed"
    """Its producer ended it, and all of it was played."""
    FAILED = "failed"
    """Its producer broke, or sent nothing for too long; what had arrived was played."""
    INTERRUPTED = "interrupted"
    """An interrupt or a cancel dropped it, a lock ended it before its producer did, or audio of it was refused."""
    CLOSED = "closed"
    """The controller was closed."""


@dataclass(frozen=True, repr=False)
class UtteranceReport:
    """How an utterance ended, and how much of it was played. Counts are samples at the output rate."""

    id: str
    outcome: Outcome
    accepted: int
    """Samples that were pushed and accepted."""
    played: int
    """Samples that were handed out, each counted once; where the reader confirms, those that it has confirmed."""
    discarded: int
    """Samples that were accepted and will never be played."""
    refused: int
    """Samples that were pushed and refused before it finished."""
    text: str | None
    """The text to be spoken."""
    error: BaseException | None = None
    """Why it failed: the exception of its producer, or :class:`InputTimeout`. An utterance that was completed by an
    input timeout has one, too."""
    ended: bool = False
    """Whether its producer had ended it, so that all of its audio had arrived."""
    known: KnownWords | None = field(default=None, repr=False, compare=False)
    """The known words, from which :attr:`heard` is computed."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
        return f"{type(self).__qualname__}({shown}, heard={self.heard!r}, heard_from={self.heard_from!r})"

    def as_dict(self) -> dict[str, Any]:
        """The report as a dictionary of JSON values; marks as ``[at, until, payload]``, positions in samples."""
        names = [field.name for field in fields(self) if field.name not in ("error", "known")]
        plain = {name: jsonable(getattr(self, name)) for name in names}
        marks = [[mark.at, mark.until, jsonable(mark.payload)] for mark in self.marks]
        known = {"heard": self.heard, "heard_from": self.heard_from, "final": self.final}
        return plain | {"marks": marks, "error": error_as_dict(self.error)} | known

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Its marks, by position; late words are added to them, until the report is :attr:`final`."""
        return () if self.known is None else tuple(self.known.marks)

    @property
    def final(self) -> bool:
        """Whether :attr:`heard` will not change any more.

        A report is final from the start if all or none of the text was heard. Otherwise it becomes final
        ``late_words_seconds`` after the end, in samples read, or when ``wait()`` has waited that long.
        """
        return self.known is None or self.known.is_certain or not self.known.is_open

    @property
    def aligning(self) -> bool:
        """Whether an aligner is running whose result will still count for :attr:`heard`."""
        return self.known is not None and self.known.is_aligning

    @property
    def heard_from(self) -> HeardFrom | None:
        """The source of :attr:`heard`.

        ``completed``: all of it was played. ``marks``: word times; also if nothing was played. ``alignment``: an
        aligner has found the words in the audio. ``estimate``: the share of the speech that was played. None if
        ``heard`` is None.
        """
        return None if self.known is None else self.known.heard.source

    @property
    def heard(self) -> str | None:
        """What was heard: ``text`` up to the last word that was played to its end; whole words only.

        Words are the marks whose payload is a string. Without a text, they are joined. After completion, and if only
        silence was cut off after the last word, it is the whole text. If nothing was played, it is empty. Without words
        it is aligned or estimated, depending on the controller's ``word_timing``. Words are found in the text by their
        letters and digits, so case, spaces, punctuation, parts of words and single characters make no difference; a
        word that is spelled differently ("8" for "eight") is located by its neighbours.

        It is computed on each access, in time that grows with the number of words. Late words change it, until the
        report is :attr:`final`.
        """
        return None if self.known is None else self.known.heard.text


@dataclass(frozen=True, repr=False)
class TurnReport:
    """How a turn ended, and how much of it was played. Counts are samples at the output rate."""

    id: str
    outcome: Outcome
    """The worst outcome of the turn itself and of its utterances; worst first: closed, interrupted, failed,
    completed."""
    utterances: tuple[UtteranceReport, ...]
    """The reports of its utterances, in the order in which they play; those that never had a place come last."""
    error: BaseException | None = None
    """The first thing that went wrong."""
    gaps: tuple[float, ...] = ()
    """The silences between its first and its last audible sample in which it had nothing to play, in seconds."""
    first_audio_seconds: float | None = None
    """From its beginning to its first audible sample, in samples read; None if there was none."""

    @property
    def text(self) -> str | None:
        """The texts of its utterances, joined; None if none has a text."""
        return _joined(report.text for report in self.utterances)

    @property
    def heard(self) -> str | None:
        """What was heard of it: what was heard of its utterances, one after the other; None if that is not known."""
        return _joined(report.heard for report in self.utterances)

    @property
    def heard_from(self) -> HeardFrom | None:
        """How :attr:`heard` is known: of the ways of its utterances, the least certain one."""
        return least_certain(report.heard_from for report in self.utterances)

    @property
    def final(self) -> bool:
        """Whether :attr:`heard` stays as it is now; see :attr:`UtteranceReport.final`."""
        return all(report.final for report in self.utterances)

    @property
    def accepted(self) -> int:
        """Samples that were pushed and accepted."""
        return sum(report.accepted for report in self.utterances)

    @property
    def played(self) -> int:
        """Samples that were handed out."""
        return sum(report.played for report in self.utterances)

    @property
    def discarded(self) -> int:
        """Samples that were accepted and will never be played."""
        return sum(report.discarded for report in self.utterances)

    def __repr__(self) -> str:
        return (
            f"TurnReport(id={self.id!r}, outcome={self.outcome!r}, heard={self.heard!r}, played={self.played},"
            f" discarded={self.discarded}, utterances={len(self.utterances)}, error={self.error!r}, gaps={self.gaps},"
            f" first_audio_seconds={self.first_audio_seconds})"
        )

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return {
            "id": self.id,
            "outcome": self.outcome.value,
            "text": self.text,
            "heard": self.heard,
            "heard_from": self.heard_from,
            "final": self.final,
            "played": self.played,
            "discarded": self.discarded,
            "error": error_as_dict(self.error),
            "gaps": list(self.gaps),
            "first_audio_seconds": self.first_audio_seconds,
            "utterances": [report.as_dict() for report in self.utterances],
        }


def error_as_dict(error: BaseException | None) -> dict[str, str] | None:
    """An exception as JSON can hold it: its type and its message."""
    return None if error is None else {"type": type(error).__qualname__, "message": message_of(error)}


def _joined(texts: Iterable[str | None]) -> str | None:
    """Texts side by side; None if there is not one."""
    known = [text for text in texts if text is not None]
    return join_texts(known) if known else None
