"""The playhead: where reading stands, and how what is read sounds.

It fills frames from the queue and emits what was reached within them, exact to the sample. Its state is the position,
what is left of a fade-out (the tail), two ramps (the gain, and the presence by which speech returns after silence), and
the limiter of what would be too loud: speech with a gain above 0 dB, or above a tail.
It takes no decision: which leaves sound, and what follows from what it found, is the chart's to say.

Where speech stops in the middle of a turn (a pause, an interrupt, an underrun, a gap), it ends along a ramp: a copy of
the samples that would have come next, fading out, which counts as nothing; the position of the utterance stays. Where
too few of them are there, what is missing is the last sample, which decays. Where it goes on within the turn, it comes
back along a ramp. A turn begins and ends as its audio does; one that an interrupt lets end with a word, as if the
interrupt came there.

A reader that confirms has a ledger: what is read is written down there, and marks are reached when it is heard. Where
that reader gives back what it has not played, the sound has stopped already: no fade-out follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback.audio.buffer import SampleBuffer
from playback.audio.clip import Mark
from playback.audio.formats import AudioFormat
from playback.audio.limiter import Limiter
from playback.audio.ramps import GAIN_RAMP_SECONDS, SHORTEST_FADE_SECONDS, Fades, Ramp, Tail, factor, to_int16
from playback.core.ledger import Ledger
from playback.core.queue import PlayoutQueue
from playback.events import Event, FirstAudioByte, MarkReached, Silenced, TurnStarted
from playback.utterance import Utterance


class Silence:
    """What a read copies when nothing sounds and nothing can happen: a buffer that never ends."""

    def fill(self, out: memoryview) -> bool:
        """Fill a buffer with silence."""
        out[:] = bytes(len(out))
        return True


SILENCE: Final = Silence()


class Playhead:
    """Fills frames from the queue, and emits what was reached within them, to the sample.

    Args:
        queue: the utterances.
        format: the output format.
        fades: how long each change takes.
        emit: where events go.
        head_over: called when all of the head was handed out, to finish it and take it off the queue.
        input_broke: called when the rest of the head turns out to be nothing that can be played.
    """

    def __init__(
        self,
        queue: PlayoutQueue,
        format: AudioFormat,
        fades: Fades,
        emit: Callable[[Event], None],
        head_over: Callable[[], None],
        input_broke: Callable[[Utterance], None],
    ) -> None:
        self.position = 0
        """Samples read so far."""
        self.fading = False
        """Whether ``silenced`` is still to be emitted after an interrupt."""
        self.gain_db = 0.0
        """The gain that was asked for."""
        self.is_speaking = False
        """Whether the last sample handed out was speech."""
        self.is_sounding = False
        """Whether the last frame had any speech, or a tail of it."""
        self.sounded_until = 0
        """Where the last speech ended that was handed out, or its tail; exact while nothing of it sounds any more."""
        self.voice: Utterance | None = None
        """Whose speech the last frame began with."""
        self.yielding: Utterance | None = None
        """The head, if an interrupt lets it play on to the end of a word, and no further."""
        self.ledger: Ledger | None = None
        """What was read and not heard, if the reader confirms."""
        self.was_speaking = False
        """Whether speech sounded until what was read after it was taken back; until the next read."""

        self.fades: Final = fades
        self._queue: Final = queue
        self._format: Final = format
        self._emit: Final = emit
        self._head_over: Final = head_over
        self._input_broke: Final = input_broke
        self._tail: Final = Tail()
        self._gain: Final = Ramp()
        self._limiter: Final = Limiter(format)
        self._presence: Final = Ramp()  # ramps the voice up after silence has cut it
        self._held = False  # the last read stood within a pause
        self._interrupted_at = -1  # where the last interrupt was
        self._following = b""  # what has followed the word with which the head is to end, as long as a fade-out
        self._following_ends = False  # whether that is all there was
        self._cut_at: int | None = None  # where in this frame the head has ended so
        self._cut_ending = np.empty((0, format.channels))  # what fades out there
        self._last = b""  # the last sample of the last utterance that has left the queue

    @property
    def is_silent(self) -> bool:
        """Whether no tail sounds, and all that has sounded was heard."""
        return not len(self._tail) and (self.ledger is None or self.ledger.heard_until >= self.sounded_until)

    @property
    def has_moved_on(self) -> bool:
        """Whether at least one sample was read since the last interrupt."""
        return self.position > self._interrupted_at

    def source(self, *, sounds: bool, paused: bool) -> SampleBuffer | Silence | None:
        """What the next read may be copied from without looking at anything else, if there is such a source.

        Args:
            sounds: whether the leaf hands out speech.
            paused: whether it holds audio back.
        """
        if len(self._tail) or self.fading or paused != self._held or not self._queue.is_clean:
            return None
        if self._limiter.is_active:
            return None
        if not sounds:
            steady = not self.is_speaking and self._gain.level == self._gain.target
            return SILENCE if steady and self.has_moved_on else None
        head = self._queue.head
        steady = self.is_speaking and self._presence.flat and self._gain.flat
        return head._clip.buffer if steady and head is not None and head._clip.begun else None

    def set_gain(self, gain_db: float) -> None:
        """Move to another gain, along a ramp."""
        self._gain.move(factor(gain_db), self._format.samples(GAIN_RAMP_SECONDS))
        self._limiter.leave_headroom(gain_db > 0)
        self.gain_db = gain_db

    def read(self, out: memoryview, *, sounds: bool, paused: bool) -> int:
        """Fill a buffer of whole samples, and move on by as many.

        Args:
            out: what to fill.
            sounds: whether the leaf hands out speech.
            paused: whether it holds audio back.

        Returns:
            How many samples of speech were handed out; less than the buffer holds means that an open head has too
            little, or that nothing is left.
        """
        start = self.position
        samples = len(out) // self._format.frame_bytes
        if paused and not self._held:
            self._cut_for_pause()
        self._held = paused
        self.voice = self._cut_at = None
        self.was_speaking = False

        sounded = self.is_speaking
        spoken = self._speak(out, samples) if sounds else 0
        if self.ledger is not None and spoken < samples:
            self.ledger.add(None)
        out[spoken * self._format.frame_bytes :] = bytes((samples - spoken) * self._format.frame_bytes)
        runs_out = (sounded or spoken > 0) and spoken < samples and not paused and self.is_within_turn
        self.is_speaking = 0 < spoken == samples
        sounding = self._shape(out, spoken, runs_out)
        self.is_sounding = spoken > 0 or sounding > 0
        if self.is_sounding or sounded:
            self.sounded_until = start + max(spoken, sounding)
        if self.fading and not len(self._tail):
            self.fading = False
            self._emit(Silenced(start + sounding))
        self.position = start + samples
        return spoken

    def resume(self) -> None:
        """Come out of a pause: if it has cut the voice, the voice ramps up again."""
        if not self._presence.target:
            self._presence.move(1.0, self._format.samples(self.fades.resume_seconds))

    def rewind(self, samples: int) -> int:
        """Go back within the head; the voice ramps up from there, and out from where it is if nobody has read since.

        Returns:
            By how many samples it went back.
        """
        head = self._queue.head
        if head is None:
            return 0
        ending = self._ending(self._format.samples(self.fades.pause_seconds)) if self.is_speaking else None
        rewound = head._clip.buffer.rewind(samples)
        if rewound:
            if ending is not None:
                self._tail.add(ending)
            self._presence.move(0.0, 0)
        return rewound

    def let_end(self, head: Utterance, following: bytes, *, ends: bool) -> None:
        """Fade out what has followed, once the head has played all that is left of it; that is ``silenced``, too.

        Args:
            head: an utterance that was truncated at the end of a word.
            following: the bytes that came next, at most as long as a fade-out.
            ends: whether its producer had ended it, so that nothing has followed these.
        """
        self.yielding, self._following, self._following_ends = head, following, ends

    def interrupt(self, *, paused: bool) -> None:
        """Keep a fade-out of what would have played next, if it was sounding, before it is dropped.

        Args:
            paused: whether a pause holds audio back: what sounds is the ramp into it, if that is not over.
        """
        if self.is_speaking:
            self.sounded_until = self.position
        seconds = self.fades.interrupt_seconds
        samples = self._format.samples(min(seconds, self.fades.pause_seconds) if paused else seconds)
        self._tail.cut(samples)
        self._interrupted_at = self.position
        if self.is_within_turn:
            if self.is_speaking:
                self._tail.add(self._ending(samples))
            self.is_speaking = False
            self._presence.move(1.0, 0)
        if self.yielding is not None:
            self.yielding, self.fading = None, True

    def take_back(self) -> None:
        """Go back to what was not heard: the reader has thrown it away, so all sound has stopped where it was.

        What goes on there comes back along the ramp of a resume.
        """
        assert self.ledger is not None
        if self.ledger.heard_until == self.position:
            return
        if self.is_speaking:
            self.sounded_until = self.position
        self.was_speaking, self.is_speaking = self.ledger.heard_speech, False
        self._queue.take_back()
        for utterance, at in self.ledger.take_back().items():
            utterance._clip.buffer.take_back(at)
        self._tail.clear()
        self._presence.move(0.0, 0)
        self._presence.move(1.0, self._format.samples(self.fades.resume_seconds))
        head = self._queue.head
        if head is not None and head.is_yielding:
            self.yielding, self.fading = head, False

    def pass_on(self, head: Utterance) -> None:
        """The next one is to be read: keep its last sample, from which the sound decays if nothing follows in time."""
        if head._clip.begun:
            self._last = head._clip.buffer.last_sample

    def hush(self) -> None:
        """End all sound at once."""
        self._tail.clear()
        self.fading = False
        self.yielding = None

    def emit_marks(self, utterance: Utterance, *, completed: bool = False) -> None:
        """Emit the marks that were reached since this was last called.

        Each is emitted at its own position; one that was confirmed, when it was.

        Args:
            utterance: whose marks.
            completed: whether it was played to the end that its producer set, so that none are left.
        """
        clip = utterance._clip
        played = clip.buffer.played
        for mark in clip.reached(completed=completed):
            behind = 0 if clip.buffer.keeps_unheard else max(0, played - mark.at)
            self.emit_mark(utterance, mark, behind)

    def emit_mark(self, utterance: Utterance, mark: Mark, behind: int = 0) -> None:
        """Emit one mark that was reached so many samples ago."""
        self._emit(MarkReached(self.position - behind, utterance, mark.payload, mark.at))

    @property
    def is_within_turn(self) -> bool:
        """Whether a turn has begun to sound and is not over."""
        return bool(self._queue.turns) and self._queue.turns[0]._started_at is not None

    def _speak(self, out: memoryview, samples: int) -> int:
        """Fill from the queue what it can give; returns how many samples that was."""
        width = self._format.frame_bytes
        spoken = 0
        while spoken < samples and (head := self._queue.head) is not None:
            buffer = head._clip.buffer
            wanted = samples - spoken
            ready = buffer.available(wanted)
            if buffer.error is not None:
                self._input_broke(head)
            if ready < wanted and not head.ended:
                break  # a remainder is held back until more comes or it ends
            taken = min(ready, wanted)
            if taken:
                if not head._clip.begun:
                    self._emit_first(head)
                self._queue.turns[0]._end_gap()
                if self.ledger is not None:
                    self.ledger.add(head, buffer.cursor)
                    head._clip.keep_unheard()
                buffer.read(out[spoken * width : (spoken + taken) * width])
                self.is_speaking = True
                self.voice = self.voice or head
                spoken += taken
                self.position += taken
                self.emit_marks(head)
            if buffer.over:
                if head is self.yielding:
                    self._end_word(spoken)
                self._head_over()
            elif not taken:
                raise RuntimeError(f"{head!r} has ended, but its audio does not come")
        return spoken

    def _end_word(self, at: int) -> None:
        """The head has played the word that an interrupt let end: fade out from this sample of the frame on."""
        self._cut_at, self._cut_ending = at, self._coming(self._format.samples(self.fades.interrupt_seconds))
        self.yielding, self.fading = None, True

    def _emit_first(self, head: Utterance) -> None:
        """Emit that an utterance begins to sound, and its turn if that does, too.

        A turn begins at once, unless it follows so closely that a ramp of the one before is still under way.
        """
        turn = self._queue.turns[0]
        head._clip.begun = True
        if turn._started_at is None:
            if not self.is_speaking:
                self._presence.move(1.0, 0)
            turn._started_at = self.position
            self._emit(TurnStarted(self.position, turn))
        self._emit(FirstAudioByte(self.position, head))

    def _shape(self, out: memoryview, spoken: int, runs_out: bool) -> int:
        """Apply ramps, tail and gain to a frame.

        Args:
            out: the frame.
            spoken: how many samples of it are speech.
            runs_out: whether speech stops there, because no more of it is there.

        Returns:
            How far into the frame a tail sounds.
        """
        is_plain = self._presence.flat and self._gain.flat and not self._limiter.is_active
        cut = self._cut_at
        if is_plain and not len(self._tail) and not runs_out and cut is None:
            return 0
        frame = np.frombuffer(out, np.int16).reshape(-1, self._format.channels)
        audio = frame.astype(np.float64)
        if cut is None:
            self._presence.apply(audio[:spoken])
            sounding = self._tail.mix_into(audio[:spoken])
        else:
            sounding = self._cut_for_word(audio[:spoken], cut)
        if runs_out:
            self._run_out()
        if rest := self._tail.mix_into(audio[spoken:]):
            sounding = spoken + rest
        self._scale(audio, beneath_tail=sounding > 0)
        to_int16(audio, frame)
        return sounding

    def _scale(self, audio: NDArray[np.float64], *, beneath_tail: bool) -> None:
        """Apply the gain; what would exceed full scale is limited."""
        limiter = self._limiter
        too_loud = beneath_tail and (audio.max() > limiter.highest or audio.min() < limiter.lowest)
        if max(self._gain.level, self._gain.target) > 1.0 or limiter.is_active or too_loud:
            level = np.ones((len(audio), 1))
            self._gain.apply(level)
            limiter.apply(audio, level[:, 0])
        else:
            self._gain.apply(audio)

    def _cut_for_pause(self) -> None:
        """Ramp out what sounds; the position stays, so the same samples play again after the pause."""
        samples = self._format.samples(self.fades.pause_seconds)
        self._tail.cut(samples)
        if self.is_speaking:
            self.sounded_until = self.position
        if self.is_speaking and self.is_within_turn:
            self._tail.add(self._ending(samples))
            self._presence.move(0.0, 0)

    def _cut_for_word(self, audio: NDArray[np.float64], cut: int) -> int:
        """Shape speech in which an utterance has ended with its word; what follows it begins beneath the fade-out.

        Returns:
            How far into it the utterance sounds, or a tail.
        """
        self._presence.apply(audio[:cut])
        self._tail.mix_into(audio[:cut])
        self._tail.add(self._cut_ending * self._presence.level)
        self._presence.move(1.0, 0)
        return cut + self._tail.mix_into(audio[cut:])

    def _run_out(self) -> None:
        """Ramp out what sounded until here; the position stays, and whatever of this turn comes next ramps up."""
        if samples := self._format.samples(self.fades.underrun_seconds):
            self._tail.add(self._ending(samples, samples))
            self._presence.move(0.0, 0)
            self._presence.move(1.0, samples)

    def _ending(self, samples: int, shortest: int | None = None) -> NDArray[np.float64]:
        """What sound that stops here ends with: :meth:`_coming`, as loud as it is now."""
        return self._coming(samples, shortest) * self._presence.level

    def _coming(self, samples: int, shortest: int | None = None) -> NDArray[np.float64]:
        """What would come next.

        Args:
            samples: how long it is at most.
            shortest: how long it is at least, unless the utterance ends within it; 4 ms by default.

        Returns:
            A copy of what would come next, then the last sample, held; of shape (samples, channels).
        """
        if shortest is None:
            shortest = min(samples, self._format.samples(SHORTEST_FADE_SECONDS))
        head = self._queue.head
        if head is not None and head._clip.begun:
            upcoming, last, ends = head._clip.buffer.peek(samples), head._clip.buffer.last_sample, head.ended
            if head is self.yielding:
                missing = samples - len(upcoming) // self._format.frame_bytes
                upcoming += self._following[: missing * self._format.frame_bytes]
                ends = self._following_ends
        else:
            upcoming, last, ends = b"", self._last, False
        if not ends:
            width = self._format.frame_bytes
            last = upcoming[-width:] or last
            upcoming += last * (shortest - len(upcoming) // width)
        return np.frombuffer(upcoming, np.int16).reshape(-1, self._format.channels).astype(np.float64)
