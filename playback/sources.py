"""Sources: whatever an application has to speak, as one kind of asynchronous iterator that can be closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from contextlib import suppress
from inspect import isawaitable
from os import PathLike, fspath
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, Protocol

import av
import numpy as np

from playback.audio.formats import AudioFormat, FormatError
from playback.audio.media.decoding import decode


class Source(Protocol):
    """What is spoken, piece by piece."""

    @property
    def name(self) -> str:
        """What to call it in errors."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Its pieces."""

    async def aclose(self) -> None:
        """Let go of it, so that it makes no more."""


def open_source(source: Any) -> Source:
    """Take any kind of source for the one kind.

    Args:
        source: an asynchronous iterator or iterable, an awaitable of a source, an iterator or iterable (run on a
            thread), a path or a binary file object (decoded on a thread), or audio.

    Raises:
        TypeError: something else.
    """
    if isinstance(source, (bytes, bytearray, memoryview, np.ndarray, av.AudioFrame)):
        return _Whole(source)
    if isinstance(source, (str, PathLike)):
        name = fspath(source)
        return _Threaded(decode(source, name=name), name)
    if hasattr(source, "read"):
        return _Threaded(decode(source, name=repr(source)), repr(source))
    if hasattr(source, "__aiter__"):
        return _Asynchronous(source)
    if isawaitable(source):
        return _Awaited(source)
    if isinstance(source, Iterable):
        return _Threaded(iter(source), repr(source))
    raise TypeError(
        f"the source is {source!r}, expected audio, a path, a file, or an iterator, asynchronous or not, of audio"
    )


class _Whole:
    """Audio that is there as a whole."""

    def __init__(self, audio: Any) -> None:
        self.name: Final = f"the {type(audio).__name__}"
        self._audio: Final = audio

    async def __aiter__(self) -> AsyncIterator[Any]:
        yield self._audio

    async def aclose(self) -> None:
        """There is nothing to let go of."""


class _Asynchronous:
    """An asynchronous iterator."""

    def __init__(self, source: Any) -> None:
        self.name: Final = getattr(source, "__qualname__", None) or repr(source)
        self._iterator: Final[AsyncIterator[Any]] = aiter(source)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._iterator

    async def aclose(self) -> None:
        """Close the iterator, if it can be closed."""
        close = getattr(self._iterator, "aclose", None)
        if close is not None:
            await close()


class _Awaited:
    """A source that has to be awaited first."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.name: Final = getattr(awaitable, "__qualname__", None) or repr(awaitable)
        self._awaitable: Final = asyncio.ensure_future(awaitable)
        self._source: Source | None = None

    async def __aiter__(self) -> AsyncIterator[Any]:
        self._source = open_source(await self._awaitable)
        async for item in self._source:
            yield item

    async def aclose(self) -> None:
        """Close the source, or cancel what was to give it."""
        if self._source is not None:
            await self._source.aclose()
            return
        self._awaitable.cancel()
        await asyncio.wait([self._awaitable])
        if not self._awaitable.cancelled() and self._awaitable.exception() is None:
            await open_source(self._awaitable.result()).aclose()


_OVER: Final = object()
"""What the thread gives when the iterator has ended."""

_Request = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class _Threaded:
    """An iterator that blocks: a thread of its own asks for one piece at a time, each when it is wanted."""

    def __init__(self, iterator: Iterator[Any], name: str) -> None:
        self.name: Final = name
        self._iterator: Final = iterator
        self._requests: Final[SimpleQueue[_Request | None]] = SimpleQueue()
        self._thread: Thread | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        loop = asyncio.get_running_loop()
        piece: asyncio.Future[Any] = loop.create_future()
        self._requests.put((loop, piece))
        if self._thread is None:
            self._thread = Thread(target=self._serve, name=f"reading {self.name}", daemon=True)
            self._thread.start()
        item = await piece
        if item is _OVER:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """Have the iterator closed. Nobody waits for that: it may be in the middle of a piece that never comes."""
        self._requests.put(None)
        if self._thread is None:
            _close(self._iterator)

    def _serve(self) -> None:
        """What the thread does."""
        while (request := self._requests.get()) is not None:
            loop, piece = request
            result, error = None, None
            try:
                result = next(self._iterator, _OVER)
            except BaseException as raised:  # whatever it is, somebody waits for the piece
                error = raised
            try:
                loop.call_soon_threadsafe(_resolve, piece, result, error)
            except RuntimeError:  # the loop is closed: nobody asks for more
                break
        with suppress(Exception):
            _close(self._iterator)


def _close(iterator: Iterator[Any]) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


def _resolve(piece: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if piece.done():  # whoever asked has gone
        return
    if error is None:
        piece.set_result(result)
    else:
        piece.set_exception(error)


def check_source_format(format: object) -> None:
    """See that a format is one, ``"encoded"`` or None.

    Raises:
        FormatError: another word.
        TypeError: something else.
    """
    if isinstance(format, str) and format != "encoded":
        raise FormatError(f"format is {format!r}, expected an AudioFormat or 'encoded'")
    if format is not None and not isinstance(format, (str, AudioFormat)):
        raise TypeError(f"format is {format!r}, expected an AudioFormat, 'encoded' or None")
