"""Limits of the buffer, and the counters of a playout; a push beyond the limits raises :class:`BufferFull`."""

from __future__ import annotations

from dataclasses import dataclass

from playback._checks import check_seconds
from playback.audio.formats import AudioFormat


class BufferFull(Exception):  # noqa: N818 - the name says what is the matter, as in queue.Full
    """A push would exceed the most that may be buffered; nothing of it was taken."""


@dataclass(slots=True)
class Stats:
    """Counters since the controller was made; samples are at the output rate."""

    underruns: int = 0
    """How often an open utterance ran out of audio."""
    underrun_samples: int = 0
    """Silence that was read because of that."""
    refusals: int = 0
    """Refused pushes."""
    refused_samples: int = 0
    """Samples in the refused pushes."""
    partial_bytes: int = 0
    """Bytes of samples that were never completed."""
    damaged_packets: int = 0
    """Packets of media streams and background files that could not be decoded, and were skipped."""
    stalls: int = 0
    """How often the reader came late and skipped ahead."""
    stalled_seconds: float = 0.0
    """By how much in all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is buffered, in samples at the output rate."""

    prebuffer: int
    high_water: int
    maximum: int
    history: int
    input_timeout: int | None
    timeout_completes: bool = False
    """Whether an utterance that the input timeout ends counts as completed, rather than failed."""

    def to_start(self, largest: int) -> int:
        """How many samples an open utterance must have to start, or to go on after silence.

        While one push plays, the next one of its size is made. So what covers a delay is what lies beyond one push, the
        largest so far. More than the high water is never asked for: above it, :meth:`Utterance.write` waits.

        Args:
            largest: samples of its largest push so far.
        """
        return min(self.prebuffer + largest, self.high_water) if self.prebuffer else 0

    @classmethod
    def of_seconds(
        cls,
        format: AudioFormat,
        prebuffer_seconds: float,
        high_water_seconds: float,
        max_buffered_seconds: float,
        history_seconds: float,
        input_timeout_seconds: float | None,
        on_input_timeout: str,
    ) -> Limits:
        """The limits that a controller was given.

        Raises:
            TypeError: a time that is no number.
            ValueError: a time that is negative or not finite, or not prebuffer ≤ high water ≤ maximum;
                another word for what an input timeout does.
        """
        for name, value in (
            ("prebuffer_seconds", prebuffer_seconds),
            ("high_water_seconds", high_water_seconds),
            ("max_buffered_seconds", max_buffered_seconds),
            ("history_seconds", history_seconds),
            ("input_timeout_seconds", 0.0 if input_timeout_seconds is None else input_timeout_seconds),
        ):
            check_seconds(name, value)
        if not prebuffer_seconds <= high_water_seconds <= max_buffered_seconds:
            raise ValueError(
                "expected prebuffer_seconds ≤ high_water_seconds ≤ max_buffered_seconds,"
                f" got {prebuffer_seconds!r}, {high_water_seconds!r}, {max_buffered_seconds!r}"
            )
        if on_input_timeout not in ("fail", "complete"):
            raise ValueError(f"on_input_timeout is {on_input_timeout!r}, expected 'fail' or 'complete'")
        return cls(
            prebuffer=format.samples(prebuffer_seconds),
            high_water=format.samples(high_water_seconds),
            maximum=format.samples(max_buffered_seconds),
            history=format.samples(history_seconds),
            input_timeout=None if input_timeout_seconds is None else max(1, format.samples(input_timeout_seconds)),
            timeout_completes=on_input_timeout == "complete",
        )
