"""Speaker: the texts and files of a session, made into utterances one after the other, in threads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Semaphore
from typing import Any, Final

from playback.audio.formats import AudioFormat, FormatError
from playback.controller import PlaybackController
from playback.core.limits import BufferFull
from playback.demo.files import FileError, frames, step
from playback.demo.protocol import File, ProtocolError, Say
from playback.demo.settings import DemoSettings
from playback.speech import SpeechError, synthesize
from playback.threads import ThreadsafeUtterance
from playback.utterance import Utterance

AHEAD: Final = 4
"""How many chunks may be on their way from the thread of a synthesis to the loop."""

TELL_SECONDS: Final = 0.1
"""How often the words are told while a text is being made."""


@dataclass(eq=False)
class _Text:
    """A text, and what is known of its words."""

    producer: ThreadsafeUtterance
    text: str
    words: list[tuple[str, float]] = field(default_factory=list)
    told: float = 0.0

    @property
    def handle(self) -> Utterance:
        return self.producer.handle


@dataclass(eq=False)
class _File:
    """A file that has arrived."""

    handle: Utterance
    name: str
    data: bytes


class Speaker:
    """Says what it is told to, in order.

    A handle is made for each when it is asked for, so that an interrupt drops what still waits, too.

    Args:
        controller: what plays it.
        settings: how much may wait.
        speech_format: what texts are made into; None where there is no speech.
        engine: held while a text is made: there is one engine for all sessions, and a thread that waits for it would be
            a thread that nobody else can use.
        put: sends a message to the page.
    """

    def __init__(
        self,
        controller: PlaybackController,
        settings: DemoSettings,
        speech_format: AudioFormat | None,
        engine: asyncio.Lock,
        put: Callable[..., None],
    ) -> None:
        self._controller: Final = controller
        self._settings: Final = settings
        self._speech_format: Final = speech_format
        self._engine: Final = engine
        self._put: Final = put
        self._loop: Final = asyncio.get_running_loop()
        self._producer: Final = controller.threadsafe(self._loop)
        self._jobs: Final[deque[_Text | _File]] = deque()
        self._now: _Text | _File | None = None
        self._more: Final = asyncio.Event()

    def say(self, command: Say) -> None:
        """Say a text, after all that came before it.

        Raises:
            ProtocolError: too much waits, or there is no speech.
        """
        if self._speech_format is None:
            raise ProtocolError("this server has no eSpeak NG, expected a file to play instead of a text")
        self._check_waiting()
        producer = self._producer.utterance(
            text=command.text, format=self._speech_format, interruptible=command.interruptible
        )
        job = _Text(producer, command.text)
        self._add(job)
        self._tell(job.handle, command.text, [])

    def check_file(self, command: File) -> None:
        """See that there is room for a file, before its bytes come.

        Raises:
            ProtocolError: too much waits.
        """
        self._check_waiting()
        jobs = [self._now, *self._jobs]
        waiting = sum(len(job.data) for job in jobs if isinstance(job, _File) and not job.handle.ended)
        limit = 2 * self._settings.file_bytes
        if waiting + command.bytes > limit:
            raise ProtocolError(f"{waiting} bytes of files wait, expected at most {limit} with this one", command.do)

    def play(self, name: str, data: bytes) -> None:
        """Play a file, after all that came before it."""
        job = _File(self._controller.utterance(text=name), name, data)
        self._add(job)
        self._tell(job.handle, name, [])

    async def run(self) -> None:
        """Make utterances, until it is cancelled."""
        while True:
            self._more.clear()
            while self._jobs:
                self._now = self._jobs.popleft()
                await self._do(self._now)
                self._now = None
            await self._more.wait()

    def _add(self, job: _Text | _File) -> None:
        self._jobs.append(job)
        self._more.set()

    def _check_waiting(self) -> None:
        waiting = sum(not job.handle.ended for job in self._jobs)
        if waiting >= self._settings.waiting:
            raise ProtocolError(f"{waiting} texts and files wait already, expected at most {self._settings.waiting}")

    async def _do(self, job: _Text | _File) -> None:
        # Nothing is added: this waits until less than the high water is buffered, or something drops the handle.
        await job.handle.write(b"")
        if job.handle.ended:
            return
        try:
            if isinstance(job, _Text):
                await self._make(job)
            else:
                await self._decode(job)
        except (SpeechError, FileError, FormatError, BufferFull) as error:
            job.handle.end()
            self._put("refused", error=str(error), do="say" if isinstance(job, _Text) else "file")
        except BaseException:
            # This also stops the thread, which no cancellation reaches.
            job.handle.cancel()
            raise

    async def _make(self, job: _Text) -> None:
        """Synthesize a text; its first words sound while the others are made."""
        producer = job.producer
        left = producer.handle.format.samples(self._settings.text_seconds)
        # The thread must not run away from the loop, in which an interrupt is noticed.
        ahead = Semaphore(AHEAD)

        def push(audio: bytes) -> bool:
            nonlocal left
            left -= len(audio) // 2
            ahead.acquire()
            producer.push(audio)
            self._loop.call_soon_threadsafe(ahead.release)
            return left > 0 and not producer.is_spent

        def mark(word: str, at: float) -> None:
            producer.mark(word, at)
            self._loop.call_soon_threadsafe(self._know, job, word, at)

        async with self._engine:
            if not producer.is_spent:
                await asyncio.to_thread(synthesize, job.text, push, mark)
        # What the thread has called is carried out by now.
        job.handle.end()
        self._tell(job.handle, job.text, _spans(job.words, self._controller.format.seconds(job.handle.accepted)))

    def _know(self, job: _Text, word: str, at: float) -> None:
        """Know of a word; how long it lasts, the next one tells."""
        job.words.append((word, at))
        now = self._loop.time()
        if len(job.words) > 1 and now >= job.told + TELL_SECONDS:
            job.told = now
            self._tell(job.handle, job.text, _spans(job.words, at)[:-1])

    async def _decode(self, job: _File) -> None:
        """Decode a file, as far ahead of what plays as the controller wants it."""
        handle = job.handle
        most = self._controller.format.samples(self._settings.file_seconds)
        source = frames(job.data, job.name)
        while not _is_spent(handle) and (taken := await asyncio.to_thread(step, source)):
            for frame in taken:
                await handle.write(frame)
            if handle.accepted >= most:
                limit = self._settings.file_seconds
                self._put("refused", error=f"{job.name} is cut off after {limit:g} s", do="file")
                break
        handle.end()

    def _tell(self, handle: Utterance, text: str, words: list[dict[str, Any]]) -> None:
        self._put("utterance", utterance=handle.id, text=text, words=words, interruptible=handle.interruptible)


def _is_spent(handle: Utterance) -> bool:
    """Whether it takes no more audio, or can't complete because its very beginning was refused."""
    return handle.ended or (handle.refused > 0 and not handle.accepted)


def _spans(words: list[tuple[str, float]], end: float) -> list[dict[str, Any]]:
    """The words as the page is told them, each up to the next one."""
    ends = [at for _, at in words[1:]] + [end]
    spans = zip(words, ends, strict=True)
    return [{"word": word, "at": round(at, 4), "until": round(max(at, until), 4)} for (word, at), until in spans]
