"""Background sounds beneath the speech: music on hold, the hum of an office, a second speaker.

They are not part of the chart: pauses and interrupts of the speech do not stop them, and they change no state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from os import PathLike
from typing import Any, BinaryIO, Final, TypeVar

import numpy as np

from playback._checks import check_decibels, check_seconds, check_type
from playback.audio.formats import AudioFormat
from playback.audio.limiter import Limiter
from playback.audio.ramps import GAIN_RAMP_SECONDS, factor
from playback.background.sounds import ArrivingSound, BackgroundSound, Level, LiveSound, Scratch
from playback.background.sources import FileSource, LiveSource, MemorySource

__all__ = ["Background", "BackgroundSound", "LiveSound"]

DUCK_SECONDS: Final = 0.15
"""How long the background takes to make way for speech, unless it is set."""

RECOVER_SECONDS: Final = 0.6
"""How long it takes to come back, unless it is set: slower, for nothing hurries it."""

DUCK_HOLD_SECONDS: Final = 0.5
"""How long it stays down after speech, unless it is set: longer than a pause for breath, so that it does not pump."""

LOGGER: Final = logging.getLogger("playback")

V = TypeVar("V", bound=BackgroundSound)


class Background:
    """Everything that sounds beneath the speech. For the controller's thread, as the controller itself.

    Example::

        hold = controller.background.add("music.ogg", gain_db=-24)
        controller.background.duck_db = 9
        hold.stop(fade_seconds=2)

    Args:
        format: the output format.
        on_error: called with what a source raised while it played; it is logged unless there is one.
        on_damage: called with how many packets of a file were skipped.
    """

    def __init__(
        self,
        format: AudioFormat,
        on_error: Callable[[BaseException], object] | None = None,
        on_damage: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.follow_pause = False
        """Whether the background is held, too, while the speech is paused."""
        self.is_active = False
        """Whether there is any sound, or a limit that the last one has left is still being released."""

        self._format: Final = format
        self._width: Final = format.frame_bytes
        self._on_error: Final = on_error or _log
        self._on_damage: Final = on_damage
        self._sounds: list[BackgroundSound] = []
        self._limiter: Final = Limiter(format)
        self._duck_db = 12.0
        self._duck_seconds = DUCK_SECONDS
        self._recover_seconds = RECOVER_SECONDS
        self._duck_hold_seconds = DUCK_HOLD_SECONDS
        self._duck: Final = Level()
        self._ducked = False
        self._quiet = 0  # samples without speech, while it stays down nevertheless
        self._hold: Final = Level()
        self._held = False
        self._rested = True
        self._is_settled = False  # neither has it rested, nor does it stay down after speech
        # The level of both while neither moves: 0 while all is held, for then nothing is taken.
        self._steady: float | None = 1.0
        self._scratch = Scratch(0, format.channels)
        self._closed = False

    @property
    def duck_db(self) -> float:
        """By how many dB the background falls while speech sounds; 0 leaves it as it is, infinity silences it.

        It falls within :attr:`duck_seconds`, and stays down between the utterances of a turn, and for
        :attr:`duck_hold_seconds` of any other silence; then it comes back within :attr:`recover_seconds`.

        Raises:
            TypeError: no number.
            ValueError: not a number, or negative.
        """
        return self._duck_db

    @duck_db.setter
    def duck_db(self, duck_db: float) -> None:
        check_decibels("duck_db", duck_db)
        if not duck_db >= 0:
            raise ValueError(f"duck_db is {duck_db!r}, expected a number of dB, 0 or more")
        self._duck_db = duck_db
        if self._ducked:
            self._duck.move(factor(-duck_db), self._format.samples(self._duck_seconds))
            self._steady = None

    @property
    def duck_seconds(self) -> float:
        """How long it takes to fall, in seconds, from the next change on; 0 is a step.

        Raises:
            TypeError: no number.
            ValueError: a time that is negative or not finite.
        """
        return self._duck_seconds

    @duck_seconds.setter
    def duck_seconds(self, seconds: float) -> None:
        check_seconds("duck_seconds", seconds)
        self._duck_seconds = seconds

    @property
    def recover_seconds(self) -> float:
        """How long it takes to come back, in seconds, from the next change on; 0 is a step.

        Raises:
            TypeError: no number.
            ValueError: a time that is negative or not finite.
        """
        return self._recover_seconds

    @recover_seconds.setter
    def recover_seconds(self, seconds: float) -> None:
        check_seconds("recover_seconds", seconds)
        self._recover_seconds = seconds

    @property
    def duck_hold_seconds(self) -> float:
        """How long it stays down in silence, before it comes back: over short underruns, and from answer to answer.

        Raises:
            TypeError: no number.
            ValueError: a time that is negative or not finite.
        """
        return self._duck_hold_seconds

    @duck_hold_seconds.setter
    def duck_hold_seconds(self, seconds: float) -> None:
        check_seconds("duck_hold_seconds", seconds)
        self._duck_hold_seconds = seconds

    def add(
        self,
        source: Any,
        gain_db: float = -18.0,
        loop: bool = True,
        fade_seconds: float = 0.5,
        *,
        format: AudioFormat | None = None,
        untrusted: bool = False,
    ) -> BackgroundSound:
        """Add a sound that plays from the next read on.

        A file is opened and decoded on a thread, a little ahead. Damaged packets are skipped and counted, and joined
        files play one after the other. If nothing can be decoded, the sound ends with an ``error`` event. If only the
        rest of a file can't be decoded, a loop begins again, and emits that event once.

        Args:
            source: audio (bytes-like, an array of int16 or float32, an ``av.AudioFrame``), or a path or binary file
                object of a container of audio, such as WAV, MP3 or Ogg. A file object is read by the thread from now on
                until the sound is finished, and not closed.
            gain_db: how loud, in dB.
            loop: begin again at the end, without a seam, until it is stopped.
            fade_seconds: how long it fades in.
            format: what bare bytes and arrays are taken for; by default the output format.
            untrusted: whether a file comes from a stranger: it is decoded in a process of its own, which is limited in
                memory and time.

        Returns:
            The sound. After :meth:`close` it is finished from the start.

        Raises:
            TypeError: an argument of another type.
            ValueError: a gain or a time that can't be, a format for a file, a loop of a file that can't go back.
            FormatError: audio that can't be played, or none at all; a file that does not begin as one of audio.
            OSError: there is no such file, or it can't be read.
            RuntimeError: an untrusted file where no process can be limited, as on Windows.
        """
        check_type("loop", loop, bool)
        check_type("untrusted", untrusted, bool)
        check_type("format", format, AudioFormat, None)
        _check_levels(gain_db, fade_seconds)
        if isinstance(source, (str, PathLike)) or hasattr(source, "read"):
            if format is not None:
                raise ValueError(f"format is {format!r}, expected None: a file states its own")
            file: str | PathLike[str] | BinaryIO = source
            decoded = FileSource(
                self._format, file, loop=loop, untrusted=untrusted, on_error=self._on_error, on_damage=self._on_damage
            )
            return self._enter(ArrivingSound(self._format, decoded, gain_db, fade_seconds))
        audio = MemorySource(self._format, source, format or self._format, loop=loop)
        return self._enter(BackgroundSound(self._format, audio, gain_db, fade_seconds))

    def stream(self, format: AudioFormat | None = None, gain_db: float = -18.0, fade_seconds: float = 0.5) -> LiveSound:
        """Add a live sound, whose audio is pushed as it arrives; it fades in with its first sample.

        Args:
            format: what bare bytes and arrays are taken for; by default the output format.
            gain_db: how loud, in dB.
            fade_seconds: how long it fades in.

        Returns:
            The sound. After :meth:`close` it is finished from the start.

        Raises:
            TypeError: an argument of another type.
            ValueError: a gain or a time that can't be.
        """
        check_type("format", format, AudioFormat, None)
        _check_levels(gain_db, fade_seconds)
        source = LiveSource(self._format, format or self._format)
        return self._enter(LiveSound(self._format, source, gain_db, fade_seconds))

    def mix(self, out: memoryview, *, speaking: bool, paused: bool) -> None:
        """Mix into a frame, in place.

        Args:
            out: writable bytes of whole samples in the output format.
            speaking: whether speech sounds in it, or a turn waits for its next utterance: then it makes way.
            paused: whether the speech is paused.
        """
        if not self._is_settled or speaking != self._ducked or (paused and self.follow_pause) != self._held:
            self._move(speaking, paused and self.follow_pause, len(out) // self._width)
        if len(out) != self._scratch.size:
            self._scratch = Scratch(len(out), self._format.channels)
        scratch = self._scratch
        audio = scratch.flat_sum
        if not self._sum(scratch):
            if not self._limiter.is_active:
                self.is_active = bool(self._sounds)
                return
            audio[:] = 0.0
        frame = np.frombuffer(out, np.int16)
        np.add(audio, frame, audio)
        # An index of the extreme is found in a third of the time that its value takes.
        highest, lowest = audio.item(audio.argmax()), audio.item(audio.argmin())
        limiter = self._limiter
        if highest > limiter.highest or lowest < limiter.lowest or limiter.is_active:
            limiter.apply(scratch.sum)
        np.rint(audio, audio)
        frame[:] = audio
        if not self._sounds:
            self.is_active = self._limiter.is_active

    def leave_headroom(self, leave: bool) -> None:
        """Keep sums 0.3 dB below full scale, as speech with a gain above 0 dB is, or only within it."""
        self._limiter.leave_headroom(leave)

    def close(self) -> None:
        """Stop everything at once, for good."""
        self._closed = True
        for sound in self._sounds:
            sound.finish()
        self._sounds = []
        self._limiter.reset()
        self.is_active = False

    def _enter(self, sound: V) -> V:
        if self._closed:
            sound.finish()
        else:
            # While nothing sounded, nobody followed the speech: what begins now begins at the level that is due.
            self._rested = self._rested or not self.is_active
            self._is_settled = self._is_settled and not self._rested
            self._sounds.append(sound)
            self.is_active = True
        return sound

    def _move(self, speaking: bool, held: bool, samples: int) -> None:
        """Begin the ramps that a change of the speech asks for, in a frame of so many samples."""
        stays_down = self._ducked and self._quiet < self._format.samples(self._duck_hold_seconds)
        self._quiet = self._quiet + samples if stays_down and not speaking and not self._rested else 0
        ducked = speaking or self._quiet > 0
        if ducked != self._ducked:
            self._ducked = ducked
            target, seconds = (factor(-self._duck_db), self._duck_seconds) if ducked else (1.0, self._recover_seconds)
            self._duck.move(target, self._format.samples(seconds))
            self._steady = None
        if held != self._held:
            self._held = held
            self._hold.move(0.0 if held else 1.0, self._format.samples(GAIN_RAMP_SECONDS))
            self._steady = None
        if self._rested:
            self._rested = False
            self._duck.move(factor(-self._duck_db) if speaking else 1.0, 0)
            self._hold.move(0.0 if held else 1.0, 0)
            self._steady = None
        self._is_settled = not self._quiet

    def _sum(self, scratch: Scratch) -> bool:
        """Put the sum of all sounds into the scratch; False if none of them gave anything."""
        steady = self._steady
        if steady and len(self._sounds) == 1:  # the short way of most frames: one sound, nothing moves, nothing is held
            try:
                if self._sounds[0].render_steady(scratch, steady):
                    return True
            except BaseException as error:
                self._sounds[0].fail(error)
        limit = len(scratch.sum) if steady else self._hold.limit(len(scratch.sum))
        level = 1.0 if steady is None else steady
        any_sounding = finished = False
        for sound in self._sounds:
            try:
                sounding = sound.render(scratch, any_sounding, limit, level)
            # One sound that fails must not silence the others.
            except BaseException as error:
                sounding = False
                sound.fail(error)
            if sounding and any_sounding:
                np.add(scratch.sum, scratch.addend, scratch.sum)
            any_sounding = any_sounding or sounding
            finished = finished or sound.is_finished
        if steady is None:
            if not any_sounding:
                scratch.sum[:] = 0.0
            for ramp in (self._duck, self._hold):
                ramp.apply(scratch.sum)
            if not self._duck.left and not self._hold.left:
                self._steady = self._duck.level * self._hold.level
        if finished:
            self._dismiss()
        return any_sounding

    def _dismiss(self) -> None:
        """Let go of the sounds that are finished, and report what went wrong with them."""
        finished = [sound for sound in self._sounds if sound.is_finished]
        self._sounds = [sound for sound in self._sounds if not sound.is_finished]
        for sound in finished:
            if sound.error is not None:
                self._on_error(sound.error)


def _log(error: BaseException) -> None:
    LOGGER.error("a background sound has failed", exc_info=error)


def _check_levels(gain_db: float, fade_seconds: float) -> None:
    check_decibels("gain_db", gain_db)
    factor(gain_db)
    check_seconds("fade_seconds", fade_seconds)
