"""Speaker: the texts and files of a session, each an utterance that is enqueued when it is asked for.

The controller keeps their order, and drops those that wait along with the one that plays. What is here are the sources:
one at a time makes audio, and only when there is room for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from playback.audio.formats import AudioFormat, Block, FormatError
from playback.audio.media.untrusted import UntrustedDecoder
from playback.controller import PlaybackController
from playback.demo.protocol import File, ProtocolError, Say
from playback.demo.recording import Recording, find_aligner
from playback.demo.settings import DemoSettings
from playback.sources import open_source
from playback.speech import SpeechError, stream
from playback.utterance import Utterance
from playback.words.word import Word

LOGGER: Final = logging.getLogger("playback")

WORDS_SECONDS: Final = 0.1
"""How often the words are sent to the page while a text is being made."""


_ESTIMATE_SECONDS: Final = 5.0
"""After how much of a recording its words are sent to the page again, while it is being decoded."""


class FileError(Exception):
    """A file that can't be played: says why."""


@dataclass(eq=False)
class _Job:
    """A text or a file."""

    do: str
    """The command that it came with."""
    text: str
    """What it says, or what the file is called of which that is not known."""
    size: int = 0
    """How many bytes it holds, if it is a file."""
    name: str = ""
    """What the file is called."""
    has_begun: bool = False
    words: list[dict[str, Any]] = field(default_factory=list)
    """Those that are known, as the page takes them."""
    handle: Utterance = field(init=False)

    @property
    def says(self) -> bool:
        """Whether it is a file of which it is known what it says."""
        return bool(self.name) and self.text != self.name


class Speaker:
    """Says texts and plays files, in order.

    Args:
        controller: what plays them.
        settings: how much may wait.
        speech_format: what texts are made into; None where there is no speech.
        put: sends a message to the page.
    """

    def __init__(
        self,
        controller: PlaybackController,
        settings: DemoSettings,
        speech_format: AudioFormat | None,
        put: Callable[..., None],
    ) -> None:
        self._controller: Final = controller
        self._settings: Final = settings
        self._speech_format: Final = speech_format
        self._put: Final = put
        self._loop: Final = asyncio.get_running_loop()
        self._jobs: list[_Job] = []
        self._open: list[_Job] = []  # what has not finished
        self._making: Final = asyncio.Lock()

    def say(self, command: Say) -> Utterance:
        """Say a text, after all that came before it.

        Returns:
            The utterance.

        Raises:
            ProtocolError: too much waits, the input is locked, or there is no speech.
        """
        if self._speech_format is None:
            raise ProtocolError("this server has no eSpeak NG, expected a file to play instead of a text")
        self._check_waiting()
        job = _Job(command.do, command.text)
        self._speak(job, self._spoken(job), self._speech_format, interruptible=command.interruptible)
        return job.handle

    def check_file(self, command: File) -> None:
        """See that there is room for a file, before its bytes come.

        Raises:
            ProtocolError: too much waits.
        """
        self._check_waiting()
        waiting = sum(job.size for job in self._jobs)
        limit = 2 * self._settings.file_bytes
        if waiting + command.bytes > limit:
            raise ProtocolError(f"{waiting} bytes of files wait, expected at most {limit} with this one", command.do)

    def play(self, name: str, data: bytes, text: str = "") -> None:
        """Play a file, after all that came before it.

        Args:
            name: what it is called.
            data: all of it.
            text: what it says; the page then gets its words, with the times at which they sound.

        Raises:
            ProtocolError: the input is locked.
        """
        job = _Job(File.do, text or name, len(data), name)
        self._speak(job, self._decoded(job, data), self._controller.format)

    def show_all(self) -> None:
        """Send what has not finished, for a page that knows nothing of it."""
        for job in self._open:
            if job.handle.report is None:
                self._show(job, job.words)

    def _check_waiting(self) -> None:
        self._jobs = [job for job in self._jobs if not job.handle.ended]
        waiting = sum(not job.has_begun for job in self._jobs)
        if waiting >= self._settings.waiting:
            raise ProtocolError(f"{waiting} texts and files wait already, expected at most {self._settings.waiting}")

    def _speak(
        self, job: _Job, source: AsyncGenerator[Any, None], format: AudioFormat, *, interruptible: bool = True
    ) -> None:
        job.handle = self._controller.speak(
            source,
            text=job.text,
            format=format,
            interruptible=interruptible,
            # A source may have to wait for others: for those before it, and for the texts of other sessions.
            timeout_seconds=None,
            first_audio_timeout_seconds=None,
        )
        if job.handle.report is not None:
            raise ProtocolError("the input is locked, expected it to be unlocked before", job.do)
        self._jobs.append(job)
        self._open = [each for each in self._open if each.handle.report is None] + [job]
        self._show(job, [])

    @asynccontextmanager
    async def _make(self, job: _Job) -> AsyncIterator[None]:
        """Wait until all that came before is made, and report what goes wrong with this one to the page."""
        async with self._making:
            job.has_begun = True
            try:
                yield
            except (SpeechError, FileError) as error:
                self._put("refused", error=str(error), do=job.do)
                raise
            except Exception:
                LOGGER.exception("a source has failed")
                self._put("refused", error="something went wrong in the server, see its log", do=job.do)
                raise

    async def _spoken(self, job: _Job) -> AsyncGenerator[bytes | Word, None]:
        """A text; the page gets its words as they become known, and each one's end with the next one."""
        words: list[Word] = []
        shown = 0.0
        async with self._make(job), aclosing(stream(job.text, limit_seconds=self._settings.text_seconds)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Word):
                    words.append(piece)
                    now = self._loop.time()
                    if len(words) > 1 and now >= shown + WORDS_SECONDS:
                        shown = now
                        self._show(job, _spans(words[:-1], piece.start))
                yield piece
        self._show(job, _spans(words, job.handle.accepted_seconds))

    async def _decoded(self, job: _Job, data: bytes) -> AsyncGenerator[bytes | Block, None]:
        """A file, as far ahead of what plays as the controller wants it.

        It comes from a stranger, so a process of its own decodes it.
        """
        limit = self._settings.file_seconds
        recording = None
        if job.says:
            recording = Recording(job.text, self._controller.format, await asyncio.to_thread(find_aligner))
        shown, is_whole = 0.0, True
        async with self._make(job):
            yield b""  # its write waits for room
            try:
                async with aclosing(open_source(UntrustedDecoder(data, name=job.name))) as decoded:
                    async for block in decoded:
                        if recording is not None:
                            recording.add(block)
                        yield block
                        seconds = job.handle.accepted_seconds
                        if recording is not None and seconds >= shown + _ESTIMATE_SECONDS:
                            shown = seconds
                            self._show(job, _spans(recording.estimated(ended=False), seconds))
                        if seconds >= limit:
                            self._put("refused", error=f"{job.name} is cut off after {limit:g} s", do=job.do)
                            is_whole = False
                            break
            except FormatError as error:
                reason = f"{error}; expected audio such as WAV, MP3, Ogg or FLAC"
                raise FileError(f"{job.name} can't be decoded: {reason}") from error
        if recording is not None:
            words = await recording.found() if is_whole else recording.estimated(ended=False)
            self._show(job, _spans(words, job.handle.accepted_seconds))

    def _show(self, job: _Job, words: list[dict[str, Any]]) -> None:
        handle = job.handle
        job.words = words
        played = self._controller.format.seconds(handle.played)
        self._put(
            "utterance",
            utterance=handle.id,
            text=job.text,
            words=words,
            reached=sum(word["at"] < played for word in words),
            interruptible=handle.interruptible,
        )


def _spans(words: list[Word], end: float) -> list[dict[str, Any]]:
    """The words as the page takes them, each up to the next one."""
    ends = [*(word.start for word in words[1:]), end]
    return [
        {"word": word.text, "at": round(word.start, 4), "until": round(max(word.start, until), 4)}
        for word, until in zip(words, ends, strict=False)  # the end is one too many where there is no word
    ]
