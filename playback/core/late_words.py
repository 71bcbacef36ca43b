"""LateWords: word times that come when an utterance is over, and who waits for them.

State. Whether this controller's synthesizer seems to send word times at all. What is known of the words of one
utterance is kept by its report (:class:`playback.words.known.KnownWords`), which takes more for so many samples read.

A wait ends when enough is known, when so many samples were read since the end, or after as many seconds of the loop's
clock, for a call may be over and nobody reads any more. What is known then is final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final
from weakref import ref

from playback.audio.buffer import SampleBuffer
from playback.audio.envelope import Envelope
from playback.audio.formats import AudioFormat
from playback.core.drain import Drain
from playback.core.emitter import Emitter
from playback.events import ErrorRaised
from playback.report import UtteranceReport
from playback.words.aligner import Aligner
from playback.words.alignment import BEYOND_SECONDS, KeptSpeech
from playback.words.known import Clock, KnownWords, SpeakingRate
from playback.words.word import Word

LATE_WORDS_SECONDS: Final = 0.3
"""How long a report takes late words, by default: synthesizers send the times of a piece with its audio or right after
it, and what is lost on the way comes again within a round trip or two."""


class LateWords:
    """How long reports stay open to words, and who waits for that.

    Args:
        format: what is handed out.
        clock: what has the position.
        emitter: where it goes what an aligner raises.
        drain: where coroutines wait for the next step.
        refresh: called when somebody begins or ceases to wait, for each read counts then.
    """

    __slots__ = (
        "__weakref__",
        "_aligner",
        "_clock",
        "_drain",
        "_emitter",
        "_format",
        "_rate",
        "_refresh",
        "_seconds",
        "_sends_words",
        "estimates",
    )

    def __init__(
        self, format: AudioFormat, clock: Clock, emitter: Emitter, drain: Drain, refresh: Callable[[], None]
    ) -> None:
        self._emitter: Final = emitter
        self._format: Final = format
        self._clock: Final = clock
        self._drain: Final = drain
        self._refresh: Final = refresh
        self._seconds = LATE_WORDS_SECONDS
        self._sends_words = True
        self._rate: Final = SpeakingRate()
        self._aligner: Aligner | None = None
        self.estimates = False
        """Whether what was heard is estimated, where no words are known."""

    def follow_loudness(self) -> Envelope | None:
        """What follows how loud the audio of an utterance is, if what was heard is estimated."""
        if self._aligner is not None:
            return KeptSpeech(self._format, self._aligner)
        return Envelope(self._format) if self.estimates else None

    def configure(self, seconds: float, *, estimates: bool, aligner: Aligner | None) -> None:
        """Say how long reports stay open, and how it is known what was heard where no words are.

        Args:
            seconds: how long.
            estimates: whether it is estimated.
            aligner: what aligns it.
        """
        self._seconds, self.estimates, self._aligner = seconds, estimates, aligner
        self._sends_words = aligner is None  # who has one, has a synthesizer that sends none

    def follow(self, report: UtteranceReport, buffer: SampleBuffer) -> None:
        """Keep a new report open, and what its estimate needs."""
        known, envelope = report.known, buffer.envelope
        if known is None:
            return
        if known.has_words or not report.played:
            buffer.envelope = None
        elif envelope is not None and report.text is not None:
            if known.played.completed:
                self._rate.has_said(report.text, envelope)
                if isinstance(envelope, KeptSpeech):
                    envelope.drop()  # the rate needs its loudness alone
            else:
                known.estimate_by(envelope, self._rate)
        if known.has_words:
            self._sends_words = True
        elif report.text is not None and known.played.completed and report.played:
            self._sends_words = False
        known.stay_open(self._clock, self._format.samples(self._seconds))
        if isinstance(envelope, KeptSpeech) and known.envelope is envelope and report.text is not None:
            beyond = self._format.samples(BEYOND_SECONDS)
            rest = buffer.kept_of_played(beyond)
            self._align(known, envelope.align(report.text, rest, buffer.following_raw(beyond)))

    def _align(self, known: KnownWords, alignment: Future[list[Word]]) -> None:
        """Go by an alignment once it is there; what goes wrong with it is an event."""
        known.align_by(alignment)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # it is there for whoever asks
        words = ref(self)

        def over() -> None:
            if (late := words()) is not None:
                late._alignment_is_over(known, alignment)

        def notify(_: Future[list[Word]]) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(over)

        alignment.add_done_callback(notify)

    def _alignment_is_over(self, known: KnownWords, alignment: Future[list[Word]]) -> None:
        error = None if alignment.cancelled() else alignment.exception()
        if error is None and not known.takes(alignment):
            error = TimeoutError(f"the aligner took longer than late_words_seconds, which is {self._seconds:g} s")
        if error is not None:
            self._emitter.emit(ErrorRaised(self._clock.position, error, "the aligner"))
            self._emitter.flush()
        self._drain.step_over()

    def changed(self, report: UtteranceReport) -> None:
        """More words of a report are known."""
        if report.known is not None:
            self._sends_words = True
            report.known.changed()
            self._drain.step_over()

    async def wait(self, reports: Sequence[UtteranceReport]) -> None:
        """Wait until what is known of the words of all reports reaches to where they were cut, or is final."""
        waiting = [report for report in reports if self._is_needed(report)]
        if not waiting:
            return
        self._drain.waiting += 1
        self._refresh()
        try:
            async with asyncio.timeout(self._seconds):
                while any(map(self._is_needed, waiting)):
                    await self._drain.next_step()
        except TimeoutError:
            for report in waiting:
                assert report.known is not None
                report.known.close()
        finally:
            self._drain.waiting -= 1
            self._refresh()
        # A synthesizer that was waited for in vain sends none.
        self._sends_words = self._sends_words and any(report.known and report.known.has_words for report in waiting)

    def _is_needed(self, report: UtteranceReport) -> bool:
        """Whether words are missing that may still come."""
        known = report.known
        if known is None or report.final or known.covers_cut:
            return False
        return known.is_aligning or self._sends_words or known.has_words
