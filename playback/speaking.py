"""Speaking: feeds an utterance from a source of audio, whatever kind of source that is, until one of the two ends.

A :class:`Feed` is a task that asks the source for its next piece and writes it. Whoever ends the utterance first (an
interrupt, a lock, a close, a cancel) cancels the task and closes the source, so that nobody pays for synthesis that
nobody hears. A source that raises or sends nothing for too long fails the utterance. Sources that block run on a thread
of their own, never on the loop's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, Final

from playback._checks import check_seconds
from playback.audio.formats import Block, FormatError
from playback.audio.media.containers import Kind, recognize
from playback.core.input import Input
from playback.media_input import StreamInput
from playback.report import InputTimeout
from playback.sources import Source, open_source
from playback.utterance import Utterance
from playback.words.word import Word, check_word

BEGINNING_BYTES: Final = 4096
"""The most that is held back to recognize what a source sends: two frames of MP3 at any bit rate."""


_RUNNING: Final[set[asyncio.Task[None]]] = set()
"""The loop itself holds its tasks only weakly."""


class Feed:
    """Feeds one utterance from one source.

    Args:
        input: the playout's producers' side.
        utterance: what is fed; it has its place already.
        source: see :meth:`PlaybackController.speak`.
        recognizes: whether bytes may be a media stream, which is decoded; otherwise they are samples.
        needs_media: whether bytes that are none are an error.
        timeout_seconds: how long the source may send nothing; None waits for ever.
        first_audio_timeout_seconds: the same for its first audio.
    """

    def __init__(
        self,
        input: Input,
        utterance: Utterance,
        source: Any,
        *,
        recognizes: bool,
        needs_media: bool,
        timeout_seconds: float | None,
        first_audio_timeout_seconds: float | None,
    ) -> None:
        for name, value in (
            ("timeout_seconds", timeout_seconds),
            ("first_audio_timeout_seconds", first_audio_timeout_seconds),
        ):
            if value is not None:
                check_seconds(name, value)
        self._input: Final = input
        self._utterance: Final = utterance
        self._source: Final[Source] = open_source(source)
        self._timeout: Final = timeout_seconds
        self._first_timeout: Final = first_audio_timeout_seconds
        self._beginning = b""
        self._recognizes = recognizes
        self._needs_media: Final = needs_media
        self._decoder: StreamInput | None = None
        self._heard = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Enqueue the utterance, and begin. Where it can't be enqueued, it is cancelled, and the source closed."""
        task = asyncio.get_running_loop().create_task(self._run(), name=f"speaking {self._utterance.id}")
        self._task = task
        _RUNNING.add(task)
        task.add_done_callback(_RUNNING.discard)
        self._utterance._on_input_over = self._cancel  # noqa: SLF001 - a feed is the utterance's own producer
        if not self._input.enqueue(self._utterance):
            self._input.cancel(self._utterance)
            self._cancel()

    def _cancel(self) -> None:
        if self._task is not None and not self._task.done() and self._task is not _current_task():
            self._task.cancel()

    async def _run(self) -> None:
        utterance = self._utterance
        try:
            async with aclosing(self._items()) as items:
                async for item in items:
                    await self._take(item)
                    if utterance.ended:
                        return
            await self._finish()
        except asyncio.CancelledError:
            if not utterance.ended:  # it is this task that somebody else has cancelled
                self._input.cancel(utterance)
        except BaseException as error:
            await self._fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            await self._close()

    async def _items(self) -> AsyncGenerator[Any, None]:
        """What the source sends, each piece in time."""
        iterator = aiter(self._source)
        while True:
            limit = self._timeout if self._heard else self._first_timeout
            try:
                async with asyncio.timeout(limit) as waiting:
                    item = await anext(iterator)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if not waiting.expired():
                    raise
                what = "no audio came" if self._heard else "no first audio came"
                raise InputTimeout(f"{what} for {limit:.3g} s from {self._source.name}") from error
            yield item

    async def _take(self, item: Any) -> None:
        if isinstance(item, Word):
            self._utterance.mark_words([check_word(item)])
            return
        self._heard = True
        if isinstance(item, Block):
            await self._input.write_block(self._utterance, item)
        elif not isinstance(item, (bytes, bytearray, memoryview)):
            await self._utterance.write(item)
        elif self._decoder is not None:
            await self._decoder.write(item)
        elif self._recognizes:
            await self._recognize(bytes(item))
        else:
            await self._utterance.write(item)

    async def _recognize(self, data: bytes, *, final: bool = False) -> None:
        """Find out what a source sends from how it begins."""
        self._beginning += data
        kind = recognize(self._beginning, final=final or len(self._beginning) >= BEGINNING_BYTES)
        if kind is None:
            return
        data, self._beginning, self._recognizes = self._beginning, b"", False
        if kind is Kind.TEXT:
            raise FormatError(f"{self._source.name} sent text in place of audio: {data[:200]!r}")
        if kind.is_container or self._needs_media:
            self._decoder = StreamInput(self._input, self._utterance, self._source.name)
            await self._decoder.write(data)
        elif data:
            await self._utterance.write(data)

    async def _finish(self) -> None:
        """The source has ended: so does the utterance, when all of it was decoded."""
        if self._beginning:
            await self._recognize(b"", final=True)
        if self._decoder is None:
            self._input.end(self._utterance)
        else:
            self._decoder.end()
            await self._decoder.wait()

    async def _fail(self, error: BaseException) -> None:
        """What has arrived plays, then the utterance fails."""
        if self._beginning:
            with suppress(Exception):  # it has failed anyhow
                await self._recognize(b"", final=True)
        if self._decoder is None:
            self._input.fail(self._utterance, error)
        else:
            self._decoder.end(error)
            await self._decoder.wait()

    async def _close(self) -> None:
        """Close the source, whatever it does."""
        if self._decoder is not None:
            self._decoder.cancel()
        try:
            await self._source.aclose()
        except Exception as error:
            self._input.report_error(error, f"closing {self._source.name}")


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
