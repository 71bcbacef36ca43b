"""Which utterance each of Pipecat's frames belongs to, and when a frame is due.

A frame that stands behind audio becomes a mark at the audio's end, so that it is due when that was played. All of it is
as the controller reports it; here is no clock and no audio.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from typing import Any, Final

import av
import numpy as np
from pipecat.audio.utils import is_silence
from pipecat.frames.frames import AggregatedTextProgressFrame, Frame, OutputAudioRawFrame, TTSTextFrame

from playback.audio.formats import AudioFormat
from playback.controller import PlaybackController
from playback.events import FirstAudioByte, MarkReached, UtteranceFinished
from playback.report import Outcome, UtteranceReport
from playback.utterance import Utterance

KEPT_CONTEXTS: Final = 100
"""How many contexts are remembered, so that their late audio is known for what it is."""

SILENCE_SECONDS: Final = 0.35
"""How much silence within a stream of speech means that the bot is silent; the framework's own figure."""


class Kind(Enum):
    """What a turn is made of."""

    CONTEXT = auto()
    """Speech of one context: the bot speaks as long as it plays, and a frame ends it."""
    SOUND = auto()
    """Audio that is not speech: whatever else comes ends it."""
    STREAM = auto()
    """Speech and silence without an end: the bot speaks while it is not silent."""


class Turn:
    """One utterance, and the frames that wait for it."""

    __slots__ = (
        "after",
        "base",
        "is_placed",
        "kind",
        "loud",
        "quiet",
        "rest",
        "said",
        "utterance",
        "waiting",
        "word",
        "word_at",
    )

    def __init__(self, utterance: Utterance, kind: Kind) -> None:
        self.utterance: Final = utterance
        self.kind: Final = kind
        self.is_placed = False
        """Whether it has its place in the queue."""
        self.waiting: Final[dict[int, Frame]] = {}
        """What is due within it, by the frames' ids."""
        self.after: Final[list[Frame]] = []
        """What is due once it is over."""
        self.base = 0
        """The presentation time of its first sample, in ns."""
        self.word: list[Frame] = []
        """The last word, whose end is not known yet, and what is due after it."""
        self.word_at = 0.0
        """Where that word begins, in seconds."""
        self.said = 0
        """How much of the utterance's text has gone on: whole sentences without word times."""
        self.loud = False
        """For a stream of speech: whether the bot speaks at its end."""
        self.quiet = 0.0
        """For a stream of speech: how many seconds of silence it ends with."""
        self.rest: tuple[AudioFormat | None, bytes] = (None, b"")
        """The bytes of a sample that has only begun, and their format if that is not what was agreed on."""

    @property
    def was_dropped(self) -> bool:
        """Whether it was interrupted: what still comes of it is late."""
        report = self.utterance.report
        return report is not None and report.outcome is not Outcome.COMPLETED


class Turns:
    """All turns of a controller, and the frames between them.

    Args:
        controller: what plays them.
        format: what audio mostly comes in.
        due: called with each frame when it is due.
        speaking: called with True when the bot begins to speak, with False when it stops.
        clock: the pipeline's time, in ns.
    """

    def __init__(
        self,
        controller: PlaybackController,
        format: AudioFormat,
        due: Callable[[Frame], None],
        speaking: Callable[[bool], None],
        clock: Callable[[], int],
    ) -> None:
        self._controller: Final = controller
        self._format: Final = format
        self._due: Final = due
        self._report_speaking: Final = speaking
        self._clock: Final = clock
        self._contexts: Final[dict[str | None, Turn]] = {}
        self._turns: Final[dict[Utterance, Turn]] = {}
        self._queue: Final[list[Turn]] = []  # in the order in which they play
        self._stream: Turn | None = None  # audio that no frame ends
        self._speaking: Turn | None = None
        self._last_pts = self._last_kept_pts = 0
        self._parts: list[Frame] | None = None  # while the pipeline interrupts: what goes ahead of that
        controller.on("first_audio_byte", self._begun)
        controller.on("mark_reached", self._reached)
        controller.on("utterance_finished", self._finished)

    def detach(self) -> None:
        """Hear no more of the controller."""
        self._controller.remove_listener("first_audio_byte", self._begun)
        self._controller.remove_listener("mark_reached", self._reached)
        self._controller.remove_listener("utterance_finished", self._finished)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to play."""
        return not self._queue

    @property
    def is_speaking(self) -> bool:
        """Whether the bot speaks."""
        return self._speaking is not None

    # Frames

    def is_stale(self, frame: Frame) -> bool:
        """Whether a frame belongs to a context that was interrupted."""
        context_id = getattr(frame, "context_id", None)
        turn = None if context_id is None else self._contexts.get(context_id)
        return turn is not None and turn.was_dropped

    def begin(self, frame: Frame) -> None:
        """A context begins: from now on an interruption makes it stale, also before its first audio."""
        self.end_stream()
        self._turn_of(frame)
        self.sync(frame)

    def audio(self, frame: OutputAudioRawFrame) -> None:
        """Audio of a context; it is refused if the context is stale."""
        self.end_stream()
        turn = self._turn_of(frame)
        if not turn.is_placed:
            turn.base = max(self._last_pts, self._clock())
        self._push(turn, frame)

    def sound(self, frame: OutputAudioRawFrame) -> None:
        """Audio that belongs to no context, and is not speech: whatever else comes ends it."""
        self._push(self._loose(frame, Kind.SOUND), frame)

    def stream(self, frame: OutputAudioRawFrame) -> None:
        """A piece of a stream that is speech and silence: the bot speaks while it is not silent."""
        turn = self._loose(frame, Kind.STREAM)
        seconds = len(frame.audio) / (2 * frame.num_channels * frame.sample_rate)
        turn.quiet = turn.quiet + seconds if is_silence(frame.audio) else 0.0
        loud = turn.quiet < SILENCE_SECONDS and (turn.loud or not turn.quiet)
        if loud != turn.loud:
            turn.loud = loud
            turn.utterance.mark(loud)
        self._push(turn, frame)

    def word(self, frame: TTSTextFrame) -> None:
        """A word with its time: it was heard when the next one begins, or else at the end."""
        turn = self._contexts.get(frame.context_id)
        if turn is None or not turn.is_placed or turn.utterance.ended:
            self.sync(frame)
            return
        self._last_pts = max(self._last_pts, frame.pts)
        if not frame.interruptible:
            self._last_kept_pts = self._last_pts
        # The synthesizer set its clock when it sent the audio, a moment before it came: words can't precede it.
        turn.base = min(turn.base, frame.pts)
        at = (frame.pts - turn.base) / 1e9
        self._end_word(turn, at)
        turn.word, turn.word_at = [frame], at

    def progress(self, frame: AggregatedTextProgressFrame) -> None:
        """What goes with the beginning of a word."""
        turn = self._contexts.get(frame.context_id)
        if turn is None or not turn.is_placed or turn.utterance.ended:
            self.sync(frame)
        else:
            self._wait(turn, frame, max(0, frame.pts - turn.base) / 1e9)

    def stop(self, frame: Frame) -> None:
        """A context ends."""
        turn = self._contexts.get(frame.context_id)
        if turn is not None:
            self._end(turn)
        self.sync(frame)

    def sync(self, frame: Frame) -> None:
        """A frame that is due when all audio before it was played."""
        if self._stream is not None and self._stream.kind is Kind.SOUND:
            self.end_stream()
        if not self._queue:
            self._due(frame)
            return
        last = self._queue[-1]
        if last.utterance.ended:
            last.after.append(frame)
        elif last.word:
            last.word.append(frame)
        else:
            if isinstance(frame, TTSTextFrame) and self._contexts.get(frame.context_id) is last:
                last.utterance.append_text(f"{frame.text} ")  # its audio is before it
            self._wait(last, frame, None)

    def end_stream(self) -> None:
        """End the audio that no frame of its own ends."""
        if self._stream is not None:
            self._end(self._stream)
            self._stream = None

    def end(self) -> None:
        """End everything: no more audio comes."""
        self.end_stream()
        for turn in list(self._turns.values()):
            self._end(turn)

    def interrupt(self) -> list[Frame]:
        """Drop everything that may be interrupted, wherever it stands in the queue.

        Returns:
            What was heard of a sentence that was cut, which has to go on before the interruption does.
        """
        parts = self._parts = []
        try:
            self._drop_interruptible()
        finally:
            self._parts = None
        return parts

    def _drop_interruptible(self) -> None:
        turns = list(self._turns.values())
        self.forget_words()
        if all(turn.utterance.interruptible for turn in turns):
            self._controller.interrupt()
        else:  # the controller keeps only what plays, Pipecat also what waits
            for turn in turns:
                if turn.utterance.interruptible:
                    turn.utterance.cancel()
            self._controller.resume()

    def forget_words(self) -> None:
        """The synthesizer times the next words after those that an interruption could not drop."""
        self._last_pts = self._last_kept_pts

    # The controller's events

    def heard(self, utterance: Utterance | None) -> None:
        """A frame that begins with this utterance was played."""
        turn = None if utterance is None else self._turns.get(utterance)
        if turn is not None and turn.kind is Kind.CONTEXT:
            self._speak(turn)

    def _begun(self, event: FirstAudioByte) -> None:
        self.heard(event.utterance)

    def _reached(self, event: MarkReached) -> None:
        turn = self._turns.get(event.utterance)
        if turn is None:
            return
        if isinstance(event.payload, bool):
            if event.payload:
                self._speak(turn)
            else:
                self._fall_silent(turn)
        elif isinstance(event.payload, Frame) and turn.waiting.pop(event.payload.id, None) is not None:
            if isinstance(event.payload, TTSTextFrame):
                turn.said += len(event.payload.text) + 1
            self._due(event.payload)

    def _finished(self, event: UtteranceFinished) -> None:
        turn = self._turns.pop(event.utterance, None)
        if turn is None:
            return
        self._fall_silent(turn)
        if turn.was_dropped:
            self._say_part(turn, event.report)
        frames = [*turn.waiting.values(), *turn.word, *turn.after]
        if turn.was_dropped:
            frames = [frame for frame in frames if not frame.interruptible]
        if self._stream is turn:
            self._stream = None
        before = self._queue.index(turn) if turn in self._queue else 0
        if turn in self._queue:
            self._queue.remove(turn)
        if before:
            self._queue[before - 1].after.extend(frames)
            return
        for frame in frames:
            self._due(frame)

    # Parts of the above

    def _say_part(self, turn: Turn, report: UtteranceReport) -> None:
        """Of a sentence without word times that was cut, what was heard of it goes on."""
        text = (report.heard or "")[turn.said :].strip()
        cut = next((frame for frame in turn.waiting.values() if isinstance(frame, TTSTextFrame)), None)
        if report.text is None or not text or cut is None or not cut.interruptible:
            return
        part = replace(cut, text=text)
        if self._parts is None:
            self._due(part)
        else:
            self._parts.append(part)

    def _turn_of(self, frame: Frame) -> Turn:
        """The turn of a frame's context; a new one if it is over, unless that makes the frame stale."""
        turn = self._contexts.get(frame.context_id)
        # Without an id late audio is like any other: only the synthesizer could know.
        if turn is None or (turn.utterance.ended and (frame.context_id is None or not turn.was_dropped)):
            turn = self._new(frame, Kind.CONTEXT)
            self._contexts.pop(frame.context_id, None)
            self._contexts[frame.context_id] = turn
            if len(self._contexts) > KEPT_CONTEXTS:
                del self._contexts[next(iter(self._contexts))]
        return turn

    def _loose(self, frame: Frame, kind: Kind) -> Turn:
        """The turn for audio without a context."""
        if self._stream is None or self._stream.kind is not kind or self._stream.utterance.ended:
            self.end_stream()
            self._stream = self._new(frame, kind)
        return self._stream

    def _new(self, frame: Frame, kind: Kind) -> Turn:
        utterance = self._controller.utterance(format=self._format, interruptible=frame.interruptible)
        turn = Turn(utterance, kind)
        if utterance.report is None:  # a closed controller finishes it at once
            self._turns[utterance] = turn
        return turn

    def _push(self, turn: Turn, frame: OutputAudioRawFrame) -> None:
        if frame.audio and not turn.is_placed and not turn.utterance.ended:
            turn.is_placed = True
            self._queue.append(turn)
        turn.utterance.push(self._audio_of(turn, frame))

    def _audio_of(self, turn: Turn, frame: OutputAudioRawFrame) -> Any:
        """A frame's audio, with its format if that is not what was agreed on."""
        own = AudioFormat(frame.sample_rate, frame.num_channels)
        if own == self._format:
            turn.rest = (None, b"")
            return frame.audio
        audio = turn.rest[1] + frame.audio if turn.rest[0] == own else frame.audio
        whole = len(audio) // own.frame_bytes * own.frame_bytes
        turn.rest = (own, audio[whole:])
        if not whole:
            return b""
        layout = "mono" if own.channels == 1 else "stereo"
        converted = av.AudioFrame.from_ndarray(np.frombuffer(audio[:whole], np.int16)[None, :], "s16", layout)
        converted.sample_rate = own.sample_rate
        return converted

    def _wait(self, turn: Turn, frame: Frame, at: float | None) -> None:
        turn.waiting[frame.id] = frame
        turn.utterance.mark(frame, at)

    def _end_word(self, turn: Turn, at: float) -> None:
        """The last word ends here; what came after it in the pipeline is due after it, too."""
        frames, turn.word = turn.word, []
        if frames and frames[0].text.strip():
            turn.utterance.mark(frames[0].text, turn.word_at, max(at, turn.word_at))  # for reports and rewinds
        for frame in frames:
            self._wait(turn, frame, at)

    def _end(self, turn: Turn) -> None:
        if not turn.utterance.ended:
            self._end_word(turn, self._controller.format.seconds(turn.utterance.accepted))
            turn.utterance.end()

    def _speak(self, turn: Turn) -> None:
        if self._speaking is not turn:
            if self._speaking is not None:
                self._report_speaking(False)
            self._speaking = turn
            self._report_speaking(True)

    def _fall_silent(self, turn: Turn) -> None:
        if self._speaking is turn:
            self._speaking = None
            self._report_speaking(False)
