"""The playhead: where reading stands, and how what is read sounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from playback.audio.clip import Clip, Mark
from playback.audio.formats import AudioFormat
from playback.audio.ramps import GAIN_RAMP_SECONDS, Fades, Ramp, Tail, factor, to_int16
from playback.core.queue import Timeline
from playback.events import Event, FirstAudioByte, MarkReached, Silenced

if TYPE_CHECKING:
    from playback.utterance import Utterance


class Silence:
    """What a read copies when nothing sounds and nothing can happen: a clip that never ends, and is nobody's."""

    utterance: Final = None

    def fill(self, out: memoryview) -> bool:
        """Fill a buffer with silence."""
        out[:] = bytes(len(out))
        return True


SILENCE: Final = Silence()


class Playhead:
    """Fills frames from the timeline, and tells what was reached within them, to the sample.

    It takes no decision: which leaves sound and what follows from a fact is the controller's to know.

    Args:
        timeline: the queue.
        format: the output format.
        fades: how long each change takes.
        tell: where events go.
        boundary: called when the head is over, to finish it and take it off the queue.
    """

    def __init__(
        self,
        timeline: Timeline,
        format: AudioFormat,
        fades: Fades,
        tell: Callable[[Event], None],
        boundary: Callable[[], None],
    ) -> None:
        self.position = 0
        """Samples read so far."""
        self.fading = False
        """Whether an interrupt's end is still to be told."""
        self.gain_db = 0.0
        """The gain that was asked for."""
        self.is_speaking = False
        """Whether the last sample handed out was speech."""
        self.is_sounding = False
        """Whether the last frame had any speech, or a tail of it."""
        self.voice: Utterance | None = None
        """Whose speech the last frame began with."""

        self._timeline: Final = timeline
        self._format: Final = format
        self._fades: Final = fades
        self._tell: Final = tell
        self._boundary: Final = boundary
        self._tail: Final = Tail()
        self._gain: Final = Ramp()
        self._presence: Final = Ramp()  # ramps the voice up after a pause has cut it
        self._held = False  # the last read stood within a pause

    @property
    def is_silent(self) -> bool:
        """Whether no tail sounds."""
        return not len(self._tail)

    def source(self, sounds: bool) -> Clip | Silence | None:
        """Where the next read may copy from without a look at anything else, if there is such a place.

        Args:
            sounds: whether the leaf hands out speech.
        """
        if len(self._tail) or self.fading or not self._timeline.is_clean:
            return None
        if not sounds:
            return SILENCE if self._gain.level == self._gain.target else None
        head = self._timeline.head
        steady = self.is_speaking and self._presence.flat and self._gain.flat
        return head if steady and head is not None and head.played else None

    def set_gain(self, gain_db: float) -> None:
        """Move to another gain, along a ramp."""
        self._gain.move(factor(gain_db), self._format.samples(GAIN_RAMP_SECONDS))
        self.gain_db = gain_db

    def read(self, out: memoryview, *, sounds: bool, paused: bool) -> int:
        """Fill a buffer of whole samples, and move on by as many.

        Args:
            out: what to fill.
            sounds: whether the leaf hands out speech.
            paused: whether it holds audio back.

        Returns:
            How many samples of speech were handed out; less than the buffer holds means that an open head ran dry, or
            that nothing is left.
        """
        start = self.position
        samples = len(out) // self._format.frame_bytes
        if paused and not self._held:
            self._cut_for_pause()
        self._held = paused
        self.voice = None

        spoken = self._speak(out, samples) if sounds else 0
        out[spoken * self._format.frame_bytes :] = bytes((samples - spoken) * self._format.frame_bytes)
        self.is_speaking = 0 < spoken == samples
        sounding = self._shape(out, spoken)
        self.is_sounding = spoken > 0 or sounding > 0
        if self.fading and self.is_silent:
            self.fading = False
            self._tell(Silenced(start + sounding))
        self.position = start + samples
        return spoken

    def resume(self) -> None:
        """Come out of a pause: if it has cut the voice, the voice ramps up again."""
        if not self._presence.target:
            self._presence.move(1.0, self._format.samples(self._fades.resume_seconds))

    def rewind(self, samples: int) -> int:
        """Go back within the head; the voice ramps up from there.

        Returns:
            By how many samples it went back.
        """
        head = self._timeline.head
        rewound = 0 if head is None else head.rewind(samples)
        if rewound:
            self._presence.move(0.0, 0)
        return rewound

    def interrupt(self, clip: Clip | None, paused: bool) -> None:
        """Keep a fade-out of what would have played next, if it was sounding, before it is dropped.

        Args:
            clip: the head, if the leaf hands out its speech.
            paused: whether a pause holds audio back: nothing at all sounds then.
        """
        if paused:
            self._tail.clear()
        elif clip is not None and self.is_speaking and clip.played:
            self._fade_out(clip, self._fades.interrupt_seconds)
        self.is_speaking = False
        self._presence.move(1.0, 0)

    def pass_on(self) -> None:
        """The head is gone. What follows begins at once, unless it goes on where a ramp is under way."""
        if not self.is_speaking:
            self._presence.move(1.0, 0)

    def hush(self) -> None:
        """End all sound at once."""
        self._tail.clear()
        self.fading = False

    def tell_marks(self, clip: Clip) -> None:
        """Tell the marks of a clip that were reached since this was last called, each at its own position."""
        cursor = clip.cursor
        for mark in clip.reached(completed=clip.over and not clip.cut_short):
            self.tell_mark(clip.utterance, mark, behind=max(0, cursor - mark.at))

    def tell_mark(self, utterance: Utterance, mark: Mark, behind: int = 0) -> None:
        """Tell one mark that was reached so many samples ago."""
        self._tell(MarkReached(self.position - behind, utterance, mark.payload, mark.at))

    def _speak(self, out: memoryview, samples: int) -> int:
        """Fill from the queue what it can give; returns how many samples that was."""
        width = self._format.frame_bytes
        spoken = 0
        while spoken < samples and (head := self._timeline.head) is not None:
            wanted = samples - spoken
            ready = head.available(wanted)
            if ready < wanted and not head.ended:
                break  # a remainder is held back until more comes or it ends
            taken = min(ready, wanted)
            if taken:
                if not head.played:
                    self._tell(FirstAudioByte(self.position, head.utterance))
                head.read(out[spoken * width : (spoken + taken) * width])
                self.is_speaking = True
                self.voice = self.voice or head.utterance
                spoken += taken
                self.position += taken
                self.tell_marks(head)
            if head.over:
                self._boundary()
            elif not taken:
                raise RuntimeError(f"{head.utterance!r} has ended, but its audio does not come")
        return spoken

    def _shape(self, out: memoryview, spoken: int) -> int:
        """Apply ramps, tail and gain to a frame; returns how many samples of the tail sounded."""
        if self._presence.flat and self._gain.flat and not len(self._tail):
            return 0
        frame = np.frombuffer(out, np.int16).reshape(-1, self._format.channels)
        audio = frame.astype(np.float64)
        self._presence.apply(audio[:spoken])
        sounding = self._tail.mix_into(audio)
        self._gain.apply(audio)
        to_int16(audio, frame)
        return sounding

    def _cut_for_pause(self) -> None:
        """Ramp out what sounds; the position stays, so the same samples play again after the pause."""
        self._tail.cut(self._format.samples(self._fades.pause_seconds))
        head = self._timeline.head
        if self.is_speaking and head is not None and head.played:
            self._fade_out(head, self._fades.pause_seconds)
            self._presence.move(0.0, 0)

    def _fade_out(self, clip: Clip, seconds: float) -> None:
        """Let the next samples of a clip fade out, from as loud as it is now."""
        upcoming = np.frombuffer(clip.peek(self._format.samples(seconds)), np.int16)
        audio: NDArray[np.float64] = upcoming.reshape(-1, self._format.channels).astype(np.float64)
        self._tail.add(audio * self._presence.level)
