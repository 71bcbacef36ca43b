"""Speaking: feeds an utterance from a source of audio, whatever kind of source that is, until one of the two ends.

A :class:`Feed` is a task that asks the source for its next piece and writes it. Whoever ends the utterance first (an
interrupt, a lock, a close, a cancel) cancels the task and closes the source, so that nobody pays for synthesis that
nobody hears. A source that raises or sends nothing for too long fails the utterance. Sources that block run on a thread
of their own, never on the loop's.

State. Besides what it was made with, a feed has the task, what it knows of the source's kind of audio, and the time
since which it has been waiting for the source (None while it does something else). One timer looks at that time, and is
set again only when it goes off: most pieces come long before, and cost no timer.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

from playback._checks import check_seconds
from playback._waiting import running_task
from playback.audio.formats import Block, FormatError
from playback.audio.media.containers import recognize_audio
from playback.audio.media.streams import is_bytes
from playback.core.emitter import Emitter
from playback.core.input import Input
from playback.events import Event
from playback.media_input import StreamInput
from playback.passing import OpusPacket, ReceivedPackets
from playback.report import InputTimeout
from playback.sources import Source, open_source
from playback.utterance import Utterance
from playback.words.word import Word, check_word

_RUNNING: Final[dict[asyncio.AbstractEventLoop, set[asyncio.Task[None]]]] = {}
"""The tasks of each loop, for the loop itself holds them only weakly."""


class Feed:
    """Feeds one utterance from one source.

    Args:
        input: the playout's producers' side.
        utterance: what is fed; it has its place already.
        source: see :meth:`PlaybackController.speak`.
        emitter: where pauses are emitted, which do not count for the timeouts.
        recognizes: whether bytes may be a media stream, which is decoded; otherwise they are samples.
        needs_media: whether bytes that are none are an error.
        untrusted: whether files and media streams are decoded in a process of their own.
        timeout_seconds: how long the source may send nothing; None waits for ever.
        first_audio_timeout_seconds: how long it may take to its first audio; None waits for ever.

    Raises:
        RuntimeError: no event loop runs, or an untrusted source can't be decoded here.
        TypeError: the source is none, or a time is no number.
        ValueError: a time that is negative or not finite.
    """

    def __init__(
        self,
        input: Input,
        utterance: Utterance,
        source: Any,
        *,
        emitter: Emitter,
        recognizes: bool,
        needs_media: bool,
        untrusted: bool,
        timeout_seconds: float | None,
        first_audio_timeout_seconds: float | None,
    ) -> None:
        for name, value in (
            ("timeout_seconds", timeout_seconds),
            ("first_audio_timeout_seconds", first_audio_timeout_seconds),
        ):
            if value is not None:
                check_seconds(name, value)
        self._loop: Final = asyncio.get_running_loop()
        self._input: Final = input
        self._utterance: Final = utterance
        self._source: Final[Source] = open_source(source, samples=not recognizes, untrusted=untrusted)
        self._emitter: Final = emitter
        self._timeout: Final = timeout_seconds
        self._needs_media: Final = needs_media
        self._untrusted: Final = untrusted
        self._task: asyncio.Task[None] | None = None
        self._has_begun = False

        # What the source sends: a media stream, or samples, or it is not known yet.
        self._beginning = b""
        self._recognizes = recognizes
        self._decoder: StreamInput | None = None
        self._packets: ReceivedPackets | None = None

        # How long it may take. The limit is that of the first audio until that has come.
        self._limit = first_audio_timeout_seconds
        self._has_audio = False
        self._since: float | None = None
        self._paused_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._has_expired = False

    def start(self) -> None:
        """Enqueue the utterance, and begin. Where it can't be enqueued, it is cancelled, and the source closed."""
        self._task = self._hold(self._run())
        self._task.add_done_callback(self._task_done)
        self._emitter.on("paused", self._paused)
        self._emitter.on("resumed", self._resumed)
        self._paused_at = self._loop.time() if self._input.is_paused else None
        self._utterance._on_input_over = self._cancel  # noqa: SLF001 - a feed is the utterance's own producer
        if not self._input.enqueue(self._utterance):
            self._input.cancel(self._utterance)

    def _hold(self, coroutine: Any) -> asyncio.Task[None]:
        """A task that is held until it is done, or its loop is dead."""
        if self._loop not in _RUNNING:
            for loop in [loop for loop in list(_RUNNING) if loop.is_closed()]:
                _RUNNING.pop(loop, None)
        task: asyncio.Task[None] = self._loop.create_task(coroutine, name=f"speaking {self._utterance.id}")
        tasks = _RUNNING.setdefault(self._loop, set())
        tasks.add(task)
        task.add_done_callback(_let_go)
        return task

    def _cancel(self) -> None:
        """Stop the task: the utterance takes no more audio."""
        # A task that is cancelled before it has begun never begins, and could not close the source. It will see that
        # the utterance has ended.
        if self._loop.is_closed():
            self._stop()
        elif self._has_expired:  # it is cancelled already, and its source may need time to close
            if self._decoder is not None:
                self._decoder.cancel()
        elif self._task is not None and self._has_begun and self._task is not running_task():
            self._task.cancel()

    def _task_done(self, _: asyncio.Task[None]) -> None:
        """A task that somebody else has cancelled before it began has done nothing: do what it leaves undone."""
        if not self._has_begun:
            self._has_begun = True
            self._input.cancel(self._utterance)
            self._hold(self._close())

    async def _run(self) -> None:
        self._has_begun = True
        try:
            await self._speak()
        except BaseException as error:
            if self._is_dead(error):
                self._stop()
            else:
                await self._close()
            raise
        await self._close()

    async def _speak(self) -> None:
        """Write what the source sends, and end the utterance."""
        utterance = self._utterance
        try:
            if not utterance.ended:
                await self._write_all()
            if not utterance.ended:
                await self._finish()
        except BaseException as error:
            if self._is_dead(error):
                raise
            if self._has_expired and not utterance.ended:
                assert self._task is not None
                self._task.uncancel()
                await self._fail(self._timeout_error())
            elif not isinstance(error, asyncio.CancelledError):
                await self._fail(error)
            elif not utterance.ended:  # it is this task that somebody else has cancelled
                self._input.cancel(utterance)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise

    async def _write_all(self) -> None:
        utterance, now, iterator = self._utterance, self._loop.time, aiter(self._source)
        self._since = now()
        while True:
            if self._timer is None:
                self._set_timer()
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                break
            if self._has_expired:  # the source has caught the cancellation
                raise asyncio.CancelledError
            if self._has_audio:
                self._since = None
            await self._take(item)
            if utterance.ended:
                break
            if self._since is None:
                self._since = now()
        self._since = None

    async def _take(self, item: Any) -> None:
        if isinstance(item, Word):
            self._utterance.mark_words([check_word(item)])
            return
        if isinstance(item, OpusPacket):
            item = self._decoded(item)
        if not self._has_audio:
            if isinstance(item, (bytes, bytearray)) and not item:
                await self._wait_for_room()
                return
            self._begin_audio()
        samples = not is_bytes(item)
        if samples and self._beginning:
            await self._recognize(b"", final=True)
        if samples and self._decoder is not None:
            # It would overtake what is not decoded yet.
            raise FormatError(f"{self._source.name} sent {type(item).__name__} within a media stream, expected bytes")
        if isinstance(item, Block):
            await self._input.write_block(self._utterance, item)
        elif samples or (self._decoder is None and not self._recognizes):
            # Nobody else writes to this utterance, so this needs no order of writes.
            self._input.check_beginning(self._utterance, item)
            await self._input.write(self._utterance, item, self._input.lock_generation)
        elif self._decoder is not None:
            await self._decoder.write(item)
        else:
            await self._recognize(bytes(item))

    def _decoded(self, packet: OpusPacket) -> Block:
        """A packet's samples; the packets of an utterance that has nothing else may be sent as they are."""
        if self._packets is None:
            self._packets = ReceivedPackets(self._input.format)
            if not self._has_audio:
                self._utterance.opus = self._packets
        return self._packets.decode(packet)

    async def _wait_for_room(self) -> None:
        """An empty piece before the first audio: a source that makes nothing before there is room asks so for it.

        It is no audio, and the time that it takes is not the source's.
        """
        now = self._loop.time
        spent, self._since = now() - (self._since or now()), None
        await self._input.wait_for_room(self._utterance)
        self._since = now() - spent

    async def _recognize(self, data: bytes, *, final: bool = False) -> None:
        """Find out what a source sends from how it begins."""
        self._beginning += data
        try:
            kind = recognize_audio(self._beginning, name=self._source.name, final=final)
        except FormatError:
            self._beginning, self._recognizes = b"", False  # nothing of it is played
            raise
        if kind is None:
            return
        data, self._beginning, self._recognizes = self._beginning, b"", False
        if kind.is_container or self._needs_media:
            self._decoder = StreamInput(self._input, self._utterance, self._source.name, untrusted=self._untrusted)
            await self._decoder.write(data)
        elif data:
            await self._input.write(self._utterance, data, self._input.lock_generation)

    async def _finish(self) -> None:
        """The source has ended: so does the utterance, when all of it was decoded."""
        if self._beginning:
            await self._recognize(b"", final=True)
        if self._decoder is not None:
            self._decoder.end()
            await self._decoder.wait()
        elif self._utterance.accepted or not _has_words(self._utterance.text):
            self._input.end(self._utterance)
        else:  # were it complete, all of its text would count as heard
            self._input.fail(self._utterance, FormatError(f"{self._source.name} ended without any audio"))

    async def _fail(self, error: BaseException) -> None:
        """What has arrived plays, then the utterance fails."""
        self._since = None  # the source is waited for no more
        if self._beginning:
            with suppress(Exception):  # it has failed anyhow
                await self._recognize(b"", final=True)
        if self._decoder is None:
            self._input.fail(self._utterance, error)
        else:
            self._decoder.end(error)
            await self._decoder.wait()

    def _is_dead(self, error: BaseException) -> bool:
        """Whether this coroutine is closed, by a loop that is dead: nothing can be awaited any more.

        A source may raise GeneratorExit, too, as it may anything else.
        """
        return isinstance(error, GeneratorExit) and running_task() is not self._task

    def _stop(self) -> None:
        """Let go of all but the source."""
        self._since = None
        if self._timer is not None:
            self._timer.cancel()
        with suppress(ValueError):  # they are gone already
            self._emitter.remove_listener("paused", self._paused)
            self._emitter.remove_listener("resumed", self._resumed)
        if self._decoder is not None:
            self._decoder.cancel()

    async def _close(self) -> None:
        """Close the source, whatever it does."""
        self._stop()
        try:
            await self._source.aclose(self._report)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and running_task() is None:
                raise  # as above
            self._report(error)

    def _report(self, error: BaseException) -> None:
        self._input.report_error(error, f"closing {self._source.name}")

    # Timeouts

    def _begin_audio(self) -> None:
        """The first audio has come: from now on each piece has its own time."""
        self._has_audio = True
        self._since = None
        self._limit = self._timeout
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        if self._limit is not None and self._since is not None and self._paused_at is None:
            self._timer = self._loop.call_at(self._since + self._limit, self._look)

    def _look(self) -> None:
        """The timer has gone off: it is set again unless that much time was spent in waiting for the source."""
        self._timer = None
        if self._since is None or self._paused_at is not None or self._limit is None:
            return  # it is set when that has changed
        if self._loop.time() < self._since + self._limit:
            self._set_timer()
        elif self._task is not None:
            self._has_expired = True
            # The source may take its time over the cancellation; what is behind this utterance must not wait for that.
            if self._decoder is not None:
                self._decoder.end(self._timeout_error())
            elif not self._beginning:
                self._input.fail(self._utterance, self._timeout_error())
            self._task.cancel()

    def _timeout_error(self) -> InputTimeout:
        what = "no audio came" if self._has_audio else "no first audio came"
        return InputTimeout(f"{what} for {self._limit:.3g} s from {self._source.name}")

    def _paused(self, _: Event) -> None:
        self._paused_at = self._loop.time()

    def _resumed(self, _: Event) -> None:
        now, paused_at, self._paused_at = self._loop.time(), self._paused_at, None
        if self._since is not None and paused_at is not None:
            self._since += now - max(self._since, paused_at)
            if self._timer is None:
                self._set_timer()


def _let_go(task: asyncio.Task[None]) -> None:
    loop = task.get_loop()
    tasks = _RUNNING.get(loop, set())
    tasks.discard(task)
    if not tasks:
        _RUNNING.pop(loop, None)


def _has_words(text: str | None) -> bool:
    """Whether there is something to say: synthesizers give no audio for punctuation alone."""
    return text is not None and any(map(str.isalnum, text))
