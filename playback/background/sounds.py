"""Sounds: what sounds beneath the speech, one by one. Every change of level is a ramp."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_decibels, check_seconds
from playback.audio.formats import AudioFormat
from playback.audio.ramps import GAIN_RAMP_SECONDS, Ramp, Tail, factor
from playback.background.sources import LiveSource, Source

GAP_RAMP_SECONDS: Final = 0.005
"""How long a sound takes to fall silent where its audio is late, and to come back: as short as a pause's ramp."""


class Level(Ramp):
    """A ramp that says how far it still has to go."""

    __slots__ = ()

    @property
    def left(self) -> int:
        """Samples until it has reached its target."""
        return self._left

    def limit(self, samples: int) -> int:
        """How many of the next samples are not silent for good, because it has come down to silence."""
        return samples if self.target else min(samples, self._left)


class Scratch:
    """Memory for one frame, kept from one to the next: making it anew would take as long as mixing."""

    def __init__(self, size: int, channels: int) -> None:
        self.size: Final = size
        self.bytes: Final = memoryview(bytearray(size))
        self.taken: Final = np.frombuffer(self.bytes, np.int16).reshape(-1, channels)
        self.sum: Final = np.empty(self.taken.shape)
        self.addend: Final = np.empty(self.taken.shape)
        # The same in one dimension, which numpy goes through sooner.
        self.flat_taken: Final = self.taken.reshape(-1)
        self.flat_sum: Final = self.sum.reshape(-1)
        self.flat_addend: Final = self.addend.reshape(-1)


class BackgroundSound:
    """Something that sounds beneath the speech. Made by :meth:`Background.add`; every change of level is a ramp."""

    def __init__(self, format: AudioFormat, source: Source, gain_db: float, fade_seconds: float) -> None:
        self._format: Final = format
        self._source: Final = source
        self._gain_db = gain_db
        self._gain: Final = Level(factor(gain_db))
        self._fade: Final = Level(0.0)  # in at its beginning, out by a stop
        self._fade.move(1.0, format.samples(fade_seconds))
        self._hold: Final = Level()  # a pause
        self._finished = False
        # The level while nothing moves: then a frame is one multiplication.
        self._steady: float | None = None
        self._scale: Final = np.empty(())
        self._scaled_by = -1.0

    @property
    def gain_db(self) -> float:
        """How loud it is, in dB; setting it moves there along a ramp of 20 ms. Minus infinity is silence.

        Raises:
            TypeError: no number.
            ValueError: not a number, or more than 60 dB.
        """
        return self._gain_db

    @gain_db.setter
    def gain_db(self, gain_db: float) -> None:
        check_decibels("gain_db", gain_db)
        self._gain.move(factor(gain_db), self._format.samples(GAIN_RAMP_SECONDS))
        self._gain_db = gain_db
        self._steady = None

    @property
    def is_finished(self) -> bool:
        """Whether it will never sound again: it was stopped, its source is over or has failed, or all was closed."""
        return self._finished

    def pause(self) -> bool:
        """Fall silent within 20 ms, and take nothing of the source from then on.

        Returns:
            False if it is paused, being stopped or finished.
        """
        return self._move_hold(1.0, 0.0)

    def resume(self) -> bool:
        """Go on at the very next sample of the source.

        Returns:
            False if it is not paused, is being stopped or finished.
        """
        return self._move_hold(0.0, 1.0)

    def stop(self, fade_seconds: float = 0.5) -> bool:
        """Fade out and finish; one that does not sound finishes at once.

        Args:
            fade_seconds: how long it takes, 0 is a cut. While it fades out already, the shorter fade counts.

        Returns:
            False if it is finished.

        Raises:
            TypeError: no number.
            ValueError: a time that is negative or not finite.
        """
        check_seconds("fade_seconds", fade_seconds)
        if self._finished:
            return False
        samples = self._format.samples(fade_seconds)
        if self._fade.target or samples < self._fade.left:
            self._fade.move(0.0, samples)
        self._steady = None
        if not self._source.buffer.played or not self._fade.level or not self._hold.limit(1):
            self.finish()
        return True

    def _move_hold(self, old: float, new: float) -> bool:
        if self._finished or not self._fade.target or self._hold.target != old:
            return False
        self._hold.move(new, self._format.samples(GAIN_RAMP_SECONDS))
        self._steady = None
        return True

    @property
    def error(self) -> BaseException | None:
        """What ended it, if that was not its end."""
        return self._source.error

    def finish(self) -> None:
        """Never sound again, and drop the source."""
        self._finished = True
        self._steady = None
        self._source.close()

    def fail(self, error: BaseException) -> None:
        """Finish, because of what was raised."""
        self._source.error = error
        self.finish()

    def render_steady(self, scratch: Scratch, level: float, aside: bool = False) -> bool:
        """Take a whole frame and scale it, if nothing moves and all of it is there.

        Args:
            scratch: where it goes: into its sum.
            level: a factor for all of it.
            aside: put it into the addend instead.
        """
        if self._steady is None or not self._source.buffer.fill(scratch.bytes):
            return False
        if level != self._scaled_by:
            self._scale[...] = self._steady * level
            self._scaled_by = level
        # To convert and then to scale in place takes half as long as both in one: numpy buffers mixed types.
        flat = scratch.flat_addend if aside else scratch.flat_sum
        flat[:] = scratch.flat_taken
        flat *= self._scale
        return True

    def render(self, scratch: Scratch, aside: bool, samples: int, level: float) -> bool:
        """Take the next samples, and scale them.

        Args:
            scratch: where they go: into its sum, what is missing being silent there.
            aside: put them into its addend instead.
            samples: how many at most.
            level: a factor for all of them.

        Returns:
            Whether there were any.
        """
        if self._finished:  # by a stop since the last frame
            return False
        if samples == len(scratch.sum) and self.render_steady(scratch, level, aside):
            return True
        out = scratch.addend if aside else scratch.sum
        limit = self._hold.limit(self._fade.limit(samples))
        taken = self._source.take(scratch.bytes[: limit * self._format.frame_bytes])
        sounding = taken > 0
        if taken or self._source.buffer.played:  # a fade-in waits for the first sample
            out[:taken] = scratch.taken[:taken]
            out[taken:] = 0.0
            sounding = self._bridge(out[:limit], taken)
            for ramp in (self._gain, self._fade, self._hold):
                ramp.apply(out[:limit])
            out *= level
        stopped = not self._fade.target and not (samples and self._fade.left and self._hold.limit(1))
        if stopped or (self._source.is_over and self._has_faded()):
            self.finish()
        elif not (self._gain.left or self._fade.left or self._hold.left) and self._hold.target and self._is_steady():
            self._steady = self._gain.level * self._fade.level
            self._scaled_by = -1.0
        return sounding

    def _bridge(self, audio: NDArray[np.float64], taken: int) -> bool:  # noqa: ARG002 - for those that may be late
        """See to what is missing.

        Args:
            audio: of shape (samples, channels), silent from where it is missing.
            taken: how many samples there are.

        Returns:
            Whether any of it is to be heard.
        """
        return taken > 0

    def _is_steady(self) -> bool:
        """Whether nothing but the level is to be seen to."""
        return True

    def _has_faded(self) -> bool:
        """Whether nothing is left of what was cut."""
        return True


class ArrivingSound(BackgroundSound):
    """A sound whose audio comes while it sounds, as that of a file does. Made by :meth:`Background.add`.

    Where none has come in time, it falls silent within 5 ms, and comes back within as many.
    """

    def __init__(self, format: AudioFormat, source: Source, gain_db: float, fade_seconds: float) -> None:
        super().__init__(format, source, gain_db, fade_seconds)
        # Where none has come, its last sample fades out, and what comes next fades in.
        self._gap_samples: Final = format.samples(GAP_RAMP_SECONDS)
        self._presence: Final = Level()
        self._tail: Final = Tail()
        self._last: Final = np.zeros(format.channels)
        self._is_late = False

    def render_steady(self, scratch: Scratch, level: float, aside: bool = False) -> bool:
        """As for any sound; its last sample is kept, for a gap may follow."""
        if not super().render_steady(scratch, level, aside):
            return False
        self._last[...] = scratch.taken[-1]
        return True

    def _bridge(self, audio: NDArray[np.float64], taken: int) -> bool:
        if taken:
            if self._is_late:
                self._is_late = False
                self._presence.level = 0.0
                self._presence.move(1.0, self._gap_samples)
            self._last[...] = audio[taken - 1]
            self._presence.apply(audio[:taken])
        heard = self._tail.mix_into(audio[:taken])
        if taken < len(audio) and not self._is_late and not self._source.is_over:
            self._is_late = True
            self._steady = None
            self._tail.add(np.tile(self._last * self._presence.level, (self._gap_samples, 1)))
        heard += self._tail.mix_into(audio[taken:])
        return taken > 0 or heard > 0

    def _is_steady(self) -> bool:
        return not (self._presence.left or self._is_late or len(self._tail))

    def _has_faded(self) -> bool:
        return not len(self._tail)


class LiveSound(ArrivingSound):
    """A sound that is pushed while it sounds. Made by :meth:`Background.stream`."""

    def __init__(self, format: AudioFormat, source: LiveSource, gain_db: float, fade_seconds: float) -> None:
        super().__init__(format, source, gain_db, fade_seconds)
        self._live: Final = source

    def push(self, audio: Any) -> int:
        """Add audio; what is beyond 10 s in the buffer is refused, the newest first.

        Args:
            audio: bytes-like (s16le), an array of int16 or float32, or an ``av.AudioFrame``.

        Returns:
            The samples that were taken, at the output rate; 0 once it has ended or is finished.

        Raises:
            FormatError: a type, shape, rate or value that can't be.
        """
        return 0 if self._finished else self._live.push(audio)

    def end(self) -> bool:
        """Take no more audio: it finishes once what is buffered was played.

        Returns:
            False if it has ended.
        """
        if self._finished or self._source.buffer.ended:
            return False
        self._steady = None
        self._source.buffer.end()
        return True
