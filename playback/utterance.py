"""Utterance: the handle that a producer holds, and the protocol of the playout that owns it.

An utterance is unused until its first push, mark, enqueue, end, cancel or wait; until then nobody knows of it, and
dropping it leaves no trace. From then on it is known to its owner, has a place in the queue from when it is enqueued,
and is finished at last. The core is the only other place that uses the underscored names here.
"""

from __future__ import annotations

from asyncio import CancelledError, Lock
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, NoReturn, Protocol, Self

from playback._checks import check_seconds, check_type
from playback._waiting import Gate
from playback.audio.clip import Clip, Mark
from playback.audio.envelope import Envelope
from playback.audio.formats import AudioFormat
from playback.passing import OpusSource
from playback.report import Outcome, UtteranceReport
from playback.words.known import KnownWords, Played
from playback.words.word import Word, check_word


class UtteranceOwner(Protocol):
    """What an utterance asks of the playout that it belongs to."""

    @property
    def format(self) -> AudioFormat:
        """What is handed out."""

    @property
    def history(self) -> int:
        """How many played samples are kept for a rewind."""

    @property
    def generation(self) -> object:
        """Replaced by each interrupt."""

    @property
    def lock_generation(self) -> object:
        """Replaced by each lock."""

    def follow_loudness(self) -> Envelope | None:
        """What follows how loud the audio of an utterance is that has a text, if what was heard is estimated."""

    def admit(self, utterance: Utterance) -> None:
        """Know of an utterance from its first use on."""

    def check(self, utterance: Utterance, audio: Any) -> None:
        """See that audio can be taken, before a write waits."""

    def push(self, utterance: Utterance, audio: Any) -> int:
        """See :meth:`Utterance.push`."""

    async def write(self, utterance: Utterance, audio: Any, lock_generation: object) -> int:
        """See :meth:`Utterance.write`; it began in this generation of locks."""

    def mark(self, utterance: Utterance, mark: Mark) -> bool:
        """See :meth:`Utterance.mark`."""

    def unmark(self, utterance: Utterance, mark: Mark) -> None:
        """Take a word back, for others are to replace it."""

    async def wait_for_words(self, reports: Sequence[UtteranceReport]) -> None:
        """Wait for words that come late, as far as they are needed."""

    def enqueue(self, utterance: Utterance) -> bool:
        """See :meth:`Utterance.enqueue`."""

    def end(self, utterance: Utterance) -> bool:
        """See :meth:`Utterance.end`."""

    def fail(self, utterance: Utterance, error: BaseException) -> bool:
        """See :meth:`Utterance.fail`."""

    def cancel(self, utterance: Utterance) -> bool:
        """See :meth:`Utterance.cancel`."""


class MediaInput(Protocol):
    """What decodes the bytes of a media stream for an utterance."""

    @property
    def ended(self) -> bool:
        """Whether it takes no more bytes."""

    def feed(self, data: Any) -> int:
        """Take bytes; returns how many."""

    async def write(self, data: Any) -> int:
        """The same, after waiting for room."""

    def end(self, error: BaseException | None = None) -> bool:
        """Take no more bytes; what was taken is decoded, then the utterance ends, or fails."""


class Utterance:
    """One thing the agent says. Made by :meth:`PlaybackController.utterance`, never by hand.

    Its audio plays after all that was enqueued before it. It is enqueued by :meth:`enqueue`, or else by its first push.

    Example::

        utterance = controller.utterance(text="Good morning.")
        utterance.push(pcm)
        utterance.end()
        report = await utterance.wait()
    """

    __slots__ = (
        "__weakref__",
        "_beginning",
        "_clip",
        "_decoder",
        "_done",
        "_error",
        "_generation",
        "_on_cut",
        "_on_input_over",
        "_order",
        "_owner",
        "_partial",
        "_refused",
        "_report",
        "_text",
        "_turn",
        "_used",
        "first",
        "format",
        "id",
        "interruptible",
        "opus",
        "room",
    )

    def __init__(
        self,
        owner: UtteranceOwner,
        *,
        text: str | None,
        id: str,
        format: AudioFormat,
        interruptible: bool,
        first: bool = False,
        turn: Any = None,
        generation: object | None = None,
    ) -> None:
        self.id: Final = id
        """The name that reports and events carry."""
        self.format: Final = format
        """The format of pushed bytes and arrays."""
        self.interruptible: Final = interruptible
        """Whether an interrupt without ``force`` drops it while it plays."""
        self.first: Final = first
        """Whether it is enqueued directly behind the utterance that plays, not at the end of the queue."""
        self.opus: OpusSource | None = None
        """The packets of its audio, if it came as packets of Opus or was encoded before."""

        self._owner: Final = owner
        self._generation: Final = owner.generation if generation is None else generation
        self._turn = turn  # a playback.turn.Turn, which holds utterances and is not known here
        self._text = text
        self._error: BaseException | None = None
        self._on_input_over: Callable[[], object] | None = None  # called once, when it takes no more audio
        self._on_cut: Callable[[bytes], object] | None = None  # takes what a lock or a timeout leaves of a sample
        self._decoder: MediaInput | None = None
        self._clip: Final = Clip(owner.format, owner.history)
        self._clip.buffer.envelope = None if text is None else owner.follow_loudness()
        self._used = False  # whether its owner knows of it
        self._beginning: bytes | None = b""  # the first bytes, until it is clear that they are no file's
        self._partial = b""  # the bytes of a sample that the last push has left incomplete
        self._refused = 0
        self._report: UtteranceReport | None = None
        self._done: Final = Gate()
        self.room: Final = Gate()
        self._order: Lock | None = None

    def __repr__(self) -> str:
        condition = self._report.outcome if self._report else "ended" if self.ended else "open"
        return f"<Utterance {self.id} {condition}, {self.played} of {self.accepted} samples played>"

    # A handle stands for one utterance of one controller: a copy of an event or a report refers to the same one.

    def __copy__(self) -> Utterance:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> Utterance:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} can't be pickled, expected Event.as_dict() or its report")

    async def __aenter__(self) -> Self:
        self.enqueue()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
        elif isinstance(error, CancelledError):
            self.cancel()
        else:
            self.fail(error)

    def enqueue(self) -> bool:
        """Enqueue the utterance now, before there is any audio; the first push, even an empty one, does the same.

        Until it has ended, the utterances behind it wait, at most for the controller's input timeout. Used in an
        ``async with`` statement, an utterance is enqueued on entry and ended on leaving; an exception fails it, and
        propagates; a cancellation cancels it.

        Returns:
            False if it is enqueued already, or can't be: it is finished, or the input is locked, which is reported as
            ``audio_refused`` without samples.
        """
        return self._owner.enqueue(self)

    def push(self, audio: Any) -> int:
        """Add audio; it never blocks.

        Args:
            audio: bytes-like (s16le in :attr:`format`; a sample may be split between two pushes), a numpy array of
                int16 or float32 (full scale 1.0) of shape (samples,) or (samples, channels), an ``av.AudioFrame``
                of any rate, layout and sample type, or a :class:`playback.prepared.PreparedUtterance`, with its words
                and, unless the utterance has one, its text.

        Returns:
            The output samples that were accepted: 0 if the push was refused, because the input is locked, the utterance
            has ended, or the controller is closed. A refusal is reported as ``audio_refused``.

        Raises:
            FormatError: an invalid type, shape, rate or value, or bytes that begin with a container's signature. Of
                floats, the first second is checked. Invalid floats after that fail the utterance before they would
                play, with an ``error`` event, and are not heard.
            BufferFull: more than ``max_buffered_seconds`` would be buffered; nothing of this push was taken.
        """
        if self._decoder is not None:
            return self._decoder.feed(audio)
        return self._owner.push(self, audio)

    async def write(self, audio: Any) -> int:
        """Add audio as :meth:`push` does, after waiting while more than the high water is buffered, also in a pause.

        Only the audio up to the end of this utterance counts: utterances behind it never make it wait.

        Concurrent writes of one utterance keep their order. A cancelled write has added nothing. The audio must not
        change until it returns.

        Returns:
            The output samples that were accepted: 0 if the push was refused, or if an interrupt, a lock or a close came
            while it waited.

        Raises:
            FormatError: as :meth:`push`, before it waits.
            BufferFull: it would not fit even if it waited.
        """
        if self._decoder is not None:
            return await self._decoder.write(audio)
        self._owner.check(self, audio)
        lock_generation = self._owner.lock_generation
        if self._order is None:
            self._order = Lock()
        async with self._order:
            return await self._owner.write(self, audio, lock_generation)

    def mark(self, payload: object, at: float | None = None, until: float | None = None) -> bool:
        """Mark a position; ``mark_reached`` is emitted when all samples before it were played.

        A mark at position 0 is reached with the first sample, a mark beyond the end just before ``last_audio_byte``,
        and a mark whose position was played already at once.

        Args:
            payload: the payload of the event, usually a word.
            at: seconds from the utterance's start; defaults to the end of the audio accepted so far.
            until: the end of the word, in seconds from the utterance's start, if known. The word counts as heard when
                playback reaches it; without it, at the next mark, or at the end of the utterance.

        Returns:
            False if the utterance is finished, so that the mark will never be reached. A word counts for ``heard`` even
            then, until the report is final.

        Raises:
            ValueError: a time that is negative or not finite, or ``until`` before ``at``.
        """
        return self._owner.mark(self, self._place(payload, at, until))

    def _place(self, payload: object, at: float | None, until: float | None) -> Mark:
        """A mark, in samples."""
        output = self._owner.format
        for name, value in (("at", at), ("until", until)):
            if value is not None:
                check_seconds(name, value)
        start = self.accepted if at is None else output.samples(at)
        stop = None if until is None else output.samples(until)
        if stop is not None and stop < start:
            where = "the end of the accepted audio" if at is None else f"at, which is {at!r}"
            raise ValueError(f"until is {until!r}, expected at least {where}")
        return Mark(start, stop, payload)

    def end(self) -> bool:
        """State that no more audio comes; the buffered audio plays to its end.

        Returns:
            False if it had ended before.
        """
        return self._owner.end(self) if self._decoder is None else self._decoder.end()

    def fail(self, error: BaseException) -> bool:
        """State that the producer failed and no more audio comes. The buffered audio plays, then it finishes as failed.

        Args:
            error: the exception for ``report.error``.

        Returns:
            False if its input had ended before.

        Raises:
            TypeError: the error is not an exception.
        """
        check_type("error", error, BaseException)
        return self._owner.fail(self, error) if self._decoder is None else self._decoder.end(error)

    def append_text(self, text: str) -> None:
        """Append to :attr:`text`, while a language model is still writing it.

        Raises:
            TypeError: the text is not a string.
        """
        check_type("text", text, str)
        if self._text is None and self._report is None:
            self._clip.buffer.follow_loudness(self._owner.follow_loudness())
        self._text = (self._text or "") + text

    def mark_words(self, words: Iterable[Word], offset_seconds: float = 0.0) -> int:
        """Mark words at their times, as a synthesizer sends them.

        Words replace earlier ones that they overlap. Words may also come after the utterance has finished, until its
        report is :attr:`UtteranceReport.final`; they then count for ``heard``, and no ``mark_reached`` is emitted.

        Args:
            words: words with start and end in seconds.
            offset_seconds: the origin of their times, in seconds from the utterance's start. If times count from the
                start of a chunk, that is :attr:`accepted_seconds` before the chunk is pushed.

        Returns:
            How many were marked; 0 if the report is final.

        Raises:
            TypeError: an item is not a :class:`playback.words.Word`.
            ValueError: a time that is negative or not finite, or an end before its start.
        """
        check_seconds("offset_seconds", offset_seconds)
        marks = [
            self._place(word.text, word.start + offset_seconds, None if word.end is None else word.end + offset_seconds)
            for word in map(check_word, words)
        ]
        if self._report is not None and self._report.final:
            return 0
        for mark in self._clip.replaced_by(marks):
            self._owner.unmark(self, mark)
        for mark in marks:
            self._owner.mark(self, mark)
        return len(marks)

    def cancel(self) -> bool:
        """Drop this utterance alone, whether or not it is interruptible; it finishes as interrupted.

        Returns:
            False if it was finished before.
        """
        return self._owner.cancel(self)

    async def wait(self) -> UtteranceReport:
        """Wait until it is finished, and return the report.

        If it was cut, and the known words do not reach the position of the cut, this also waits for late words, at most
        the controller's ``late_words_seconds``.
        """
        self._owner.admit(self)
        while self._report is None:
            await self._done.wait()
        await self._owner.wait_for_words([self._report])
        return self._report

    @property
    def text(self) -> str | None:
        """The text of the speech; None if the producer gave none."""
        return self._text

    @property
    def turn(self) -> Any:
        """The :class:`Turn` that it belongs to; outside of a turn, from its first use on, a turn of its own."""
        return self._turn

    @property
    def report(self) -> UtteranceReport | None:
        """The report once it is finished, None before."""
        return self._report

    @property
    def ended(self) -> bool:
        """Whether it takes no more audio: its producer, a lock or an interrupt ended it."""
        return self._clip.buffer.ended

    @property
    def is_yielding(self) -> bool:
        """Whether it plays only to the end of the word that sounds, after an interrupt with ``at="word"``."""
        return self._report is None and self._clip.yields

    @property
    def accepted(self) -> int:
        """Samples that were pushed and accepted, at the output rate."""
        return self._clip.buffer.accepted

    @property
    def accepted_seconds(self) -> float:
        """The same in seconds: where in the utterance the next push begins."""
        return self._owner.format.seconds(self.accepted)

    @property
    def played(self) -> int:
        """Samples that were handed out, or confirmed by a reader that confirms; a rewound sample counts once."""
        return self._clip.buffer.played

    @property
    def discarded(self) -> int:
        """Samples that were taken and will never be played."""
        return self._clip.buffer.discarded if self._report is None else self._report.discarded

    @property
    def refused(self) -> int:
        """Samples that were turned away, also after it finished."""
        return self._refused

    # For the core

    @property
    def _has_arrived(self) -> bool:
        """Whether its producer has ended it, and nothing of it is missing."""
        return self._clip.buffer.ended and not self._clip.cut_short and self._error is None

    def _end_input(self, *, cut_short: bool) -> int:
        """Take no more audio; returns how many bytes of an incomplete sample were dropped."""
        remainder, self._partial = self._partial, b""
        if self._on_cut is not None:
            self._on_cut(remainder)
            remainder = b""
        self._clip.cut_short = self._clip.cut_short or cut_short
        self._clip.buffer.end()
        self.room.open()
        self._input_is_over()
        return len(remainder)

    def _input_is_over(self) -> None:
        """Stop whoever feeds it."""
        callback, self._on_input_over = self._on_input_over, None
        if callback is not None:
            callback()

    def _finish(self, outcome: Outcome) -> UtteranceReport:
        """Write the report; the owner decides when."""
        buffer = self._clip.buffer
        has_ended, buffer.ended = self._clip.had_arrived or self._has_arrived, True
        self._partial, self._on_cut = b"", None
        is_whole = outcome is Outcome.COMPLETED and self._error is None
        self._report = UtteranceReport(
            id=self.id,
            outcome=outcome,
            accepted=buffer.accepted,
            played=buffer.played,
            discarded=buffer.accepted - buffer.played,
            refused=self._refused,
            text=self.text,
            error=self._error,
            ended=has_ended,
            known=KnownWords(
                self._clip.marks,
                Played(self.text, buffer.played, is_whole, has_ended, self._owner.format.sample_rate),
            ),
        )
        self.room.open()
        self._done.open()
        self._input_is_over()
        return self._report
