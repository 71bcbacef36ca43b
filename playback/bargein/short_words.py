"""Short words by ear: was a short sound of the user a "mm-hm" or a "stop"? Without any speech recognition service.

:class:`ShortWords` keeps what the voice activity detector has cut out, has it recognized on a thread, while it lasts
and at its end, and delivers a transcript with its certainty. What recognizes is a
:class:`playback.bargein.recognizer.Recognizer`; the one for English is
:class:`playback.bargein.closed_grammar.ClosedGrammar`, which needs the extra ``align``.

State and who changes it: the buffers and the request that waits belong to the thread of the event loop. A worker gets
a copy of the samples and returns its result to the loop. One thread does the work of all calls of a process, and a call
has at most one request there, so the queue is as long as there are calls.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_seconds
from playback._daemon_threads import DaemonThreads
from playback.bargein.recognizer import RATE, Recognized, Recognizer, check_recognized

BEFORE_SECONDS: Final = 0.3
"""How much is kept from before a detector reports speech: it does so 0.1 s late, and soft consonants come first."""

_WORKER: Final = DaemonThreads("short-words", 1)


class Deliver(Protocol):
    """Takes a transcript; :meth:`playback.bargein.BargeIn.transcript` does."""

    def __call__(self, text: str, *, final: bool, certainty: float) -> object:
        """Take what the user has said since speech began."""


class ShortWords:
    """Recognizes the short sounds that a :class:`playback.bargein.vad.VoiceActivity` hears.

    Example::

        await VoiceActivity(track, policy, ShortWords(policy.transcript)).run()

    For a sound that is none of the known words, it delivers an empty final transcript of certainty 0, so that a policy
    resumes the agent at once. While a sound lasts, an empty interim transcript takes back what was delivered before: if
    the sound matches no word any more, if the recognizer raises or has not answered when the next answer is due, and if
    the sound is longer than ``max_seconds``; after that nothing more is delivered for it.

    Args:
        deliver: called in the loop's thread with the text, ``final`` and ``certainty``.
        recognizer: the recognizer; by default a :class:`playback.bargein.closed_grammar.ClosedGrammar` of English.
        first_seconds: how long a sound lasts until it is recognized for the first time, while it goes on. The default
            is before the policy would pause the agent, so that a "mm-hm" makes no hole.
        every_seconds: how much more of it comes until it is recognized again.
        max_seconds: what is longer is not recognized.

    Raises:
        TypeError: a time that is no number.
        ValueError: a time that is negative or not finite, ``every_seconds`` of 0, or ``max_seconds`` of 0.
        ModuleNotFoundError: there is no recognizer, and pocketsphinx is not installed.
        RuntimeError: no event loop runs.
    """

    def __init__(
        self,
        deliver: Deliver,
        recognizer: Recognizer | None = None,
        *,
        first_seconds: float = 0.25,
        every_seconds: float = 0.4,
        max_seconds: float = 2.5,
    ) -> None:
        for name, value in (
            ("first_seconds", first_seconds), ("every_seconds", every_seconds), ("max_seconds", max_seconds),
        ):  # fmt: skip
            check_seconds(name, value)
        for name, value in (("every_seconds", every_seconds), ("max_seconds", max_seconds)):
            if value == 0:
                raise ValueError(f"{name} is {value!r}, expected more than 0")
        if recognizer is None:
            from playback.bargein.closed_grammar import english

            recognizer = english()
        self._recognizer: Final = recognizer
        self._deliver: Final = deliver
        self._first: Final = round(first_seconds * RATE)
        self._every: Final = math.ceil(every_seconds * RATE)
        self._max: Final = round(max_seconds * RATE)
        self._loop: Final = asyncio.get_running_loop()
        self._pieces: Final[deque[NDArray[np.int16]]] = deque()
        self._kept = 0
        self._speaking = False
        self._sound = 0
        """Which sound it is: the result of an earlier one is not delivered."""
        self._before = 0
        """How many of the samples that are kept came before speech was reported."""
        self._due = 0
        """At how many samples since then it is recognized next."""
        self._busy = False
        self._waiting: tuple[NDArray[np.int16], int, int, bool] | None = None
        self._delivered = False
        self._stale = 0
        """At how many samples since then what was delivered is taken back, unless it is confirmed before."""

    # A listener of the detector

    def samples_heard(self, samples: NDArray[np.int16]) -> None:
        """Take the next samples, one channel at :data:`RATE`."""
        if self._speaking and self._kept - self._before > self._max:
            return
        self._pieces.append(samples)
        self._kept += len(samples)
        if not self._speaking:
            self._forget(round(BEFORE_SECONDS * RATE))
            return
        length = self._kept - self._before
        if self._due <= length <= self._max:
            self._due = length + self._every
            self._request(final=False)
        if length > min(self._stale, self._max):
            self._take_back()

    def speech_started(self) -> None:
        """The user has begun to speak."""
        self._speaking, self._before, self._due = True, self._kept, self._first
        self._sound += 1
        self._delivered = False
        self._waiting = None

    def speech_ended(self) -> None:
        """The user has fallen silent: the sound is complete."""
        if self._speaking and self._kept - self._before <= self._max:
            self._request(final=True)
        self._speaking = False
        self._forget(0)

    # The worker

    def _forget(self, kept: int) -> None:
        """Keep no more than so many samples, to one piece."""
        while self._pieces and self._kept - len(self._pieces[0]) >= kept:
            self._kept -= len(self._pieces.popleft())

    def _request(self, *, final: bool) -> None:
        """Have all of the sound recognized; what has waited for that is replaced, for it is a part of it."""
        if not self._pieces:  # a detector may report a sound of which nothing has come here
            self._take(None, 0, final=final)
            return
        self._waiting = np.concatenate(self._pieces), self._sound, self._kept - self._before, final
        if not self._busy:
            self._start()

    def _start(self) -> None:
        if self._waiting is None:
            return
        (samples, sound, length, final), self._waiting, self._busy = self._waiting, None, True
        recognizing = self._loop.run_in_executor(_WORKER, self._recognize, samples)
        recognizing.add_done_callback(lambda done: self._done(done, sound, length, final))

    def _recognize(self, samples: NDArray[np.int16]) -> Recognized | None:
        """On the worker; what can't be a result is an error like any that the recognizer raises."""
        return check_recognized(self._recognizer.recognize(samples))

    def _done(self, done: asyncio.Future[Recognized | None], sound: int, length: int, final: bool) -> None:
        self._busy = False
        self._start()
        if done.cancelled():
            return
        error = done.exception()
        if sound == self._sound:
            self._take(None if error is not None else done.result(), length, final=final)
        if error is not None:
            raise error  # to the loop's exception handler

    def _take(self, found: Recognized | None, length: int, *, final: bool) -> None:
        """Deliver what was found in so many samples of the sound."""
        if found is not None:
            self._delivered, self._stale = True, length + 2 * self._every
            self._deliver(found.text, final=final, certainty=found.certainty)
        elif final:
            self._deliver("", final=True, certainty=0.0)
        else:
            self._take_back()

    def _take_back(self) -> None:
        """The sound is not, or no longer, known to be what was delivered."""
        if self._delivered:
            self._delivered = False
            self._deliver("", final=False, certainty=0.0)
