"""Sources: whatever an application has to speak, as one kind of asynchronous iterator that can be closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from inspect import isawaitable, iscoroutine
from os import PathLike, fspath
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, NamedTuple, Protocol
from weakref import finalize

import av
import numpy as np

from playback.audio.formats import AudioFormat, FormatError
from playback.audio.media.decoding import decode
from playback.audio.media.untrusted import UntrustedDecoder, check_system

Report = Callable[[BaseException], object]
"""Called with what is raised where nobody waits for it."""


class Source(Protocol):
    """What is spoken, piece by piece."""

    @property
    def name(self) -> str:
        """What to call it in errors."""

    def __aiter__(self) -> AsyncIterator[Any]:
        """Its pieces."""

    async def aclose(self, report: Report | None = None) -> None:
        """Let go of it, so that it makes no more; what a thread raises at that, for which nobody waits, is reported."""


def open_source(source: Any, *, samples: bool = False, untrusted: bool = False) -> Source:
    """Take any kind of source for the one kind.

    Args:
        source: an asynchronous iterator or iterable, an awaitable of a source, an iterator or iterable (run on a
            thread), a path or a binary file object (decoded on a thread), or audio.
        samples: whether files hold bare samples, which are read and not decoded.
        untrusted: whether files are decoded in a process of their own, which is limited in memory and time.

    Raises:
        TypeError: something else.
        RuntimeError: an untrusted one, where no process can be limited.
    """
    if untrusted:
        check_system()
    read: Callable[..., Iterator[Any]] = _read_samples if samples else UntrustedDecoder if untrusted else decode
    if isinstance(source, (bytes, bytearray, memoryview, np.ndarray, av.AudioFrame)):
        return _Whole(source)
    if isinstance(source, (str, PathLike)):
        return _Threaded(read(source, name=fspath(source)), None, fspath(source))
    if hasattr(source, "__aiter__"):  # before read(): a network stream has both
        return _Asynchronous(source)
    if hasattr(source, "read"):
        return _Threaded(read(source, name=_name_of(source)), source, _name_of(source))
    if isawaitable(source):
        return _Awaited(source, samples=samples, untrusted=untrusted)
    if isinstance(source, Iterable):
        iterator = iter(source)
        return _Threaded(iterator, None if iterator is source else source, _name_of(source))
    raise TypeError(
        f"the source is {source!r}, expected audio, a path, a file, or an iterator, asynchronous or not, of audio"
    )


def _name_of(source: Any) -> str:
    """What to call a source: never its repr, which may be as long as all of its audio."""
    for name in (getattr(source, "name", None), getattr(source, "__qualname__", None)):
        if isinstance(name, str):
            return name
    return type(source).__qualname__


def _read_samples(file: Any, *, name: str) -> Iterator[bytes]:
    """A file of bare samples, a piece at a time."""
    del name  # what is read as it is can't be wrong
    if isinstance(file, (str, PathLike)):
        with open(file, "rb") as opened:
            yield from iter(lambda: opened.read(_STEP), b"")
        return
    yield from iter(lambda: file.read(_STEP), b"")


_STEP: Final = 2**16
"""Bytes, or items of an array, that are spoken at a time: so that no single write holds more than may be buffered."""


class _Whole:
    """Audio that is there as a whole."""

    def __init__(self, audio: Any) -> None:
        self.name: Final = f"the {type(audio).__name__}"
        self._pieces: Final = _pieces(audio)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration

    async def aclose(self, report: Report | None = None) -> None:
        """There is nothing to let go of."""


def _pieces(audio: Any) -> Iterator[Any]:
    """Audio cut into pieces; what can't be cut, or is short, as it is."""
    shape = (len(audio),) if isinstance(audio, (bytes, bytearray)) else getattr(audio, "shape", None)
    if not shape or shape[0] <= _STEP or (isinstance(audio, memoryview) and len(shape) > 1):
        yield audio
        return
    for start in range(0, shape[0], _STEP):
        yield audio[start : start + _STEP]


class _Asynchronous:
    """An asynchronous iterator."""

    def __init__(self, source: Any) -> None:
        self.name: Final = _name_of(source)
        self._source: Final = source
        self._iterator: Final[AsyncIterator[Any]] = aiter(source)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._iterator

    async def aclose(self, report: Report | None = None) -> None:
        """Close the iterator, and what it iterates over, each if it can be closed."""
        del report  # what it raises, it raises here
        try:
            await _close_asynchronous(self._iterator)
        finally:
            if self._source is not self._iterator:
                await _close_asynchronous(self._source)


async def _close_asynchronous(closable: Any) -> None:
    """Call ``aclose()``, or else ``close()``, which may be a coroutine function or not."""
    close = getattr(closable, "aclose", None) or getattr(closable, "close", None)
    closing = close() if callable(close) else None
    if isawaitable(closing):
        await closing


class _Awaited:
    """A source that has to be awaited first."""

    def __init__(self, awaitable: Awaitable[Any], *, samples: bool, untrusted: bool) -> None:
        self.name: Final = _name_of(awaitable)
        self._awaitable: Final = asyncio.ensure_future(awaitable)
        self._kind: Final = {"samples": samples, "untrusted": untrusted}
        self._source: Source | None = None
        self._iterator: AsyncIterator[Any] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._source = open_source(await self._awaitable, **self._kind)
            self._iterator = aiter(self._source)
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # what was awaited has caught the cancellation
                raise asyncio.CancelledError
        return await anext(self._iterator)

    async def aclose(self, report: Report | None = None) -> None:
        """Close the source, or cancel what was to give it."""
        if self._source is None:
            if self._awaitable.cancel():
                await asyncio.wait([self._awaitable])
            if self._awaitable.cancelled() or self._awaitable.exception() is not None:
                return
            with suppress(TypeError):  # it was no source
                self._source = open_source(self._awaitable.result())
        if self._source is not None:
            await self._source.aclose(report)


_OVER: Final = object()
"""What the thread gives when the iterator has ended."""

_Request = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


class _Closing(NamedTuple):
    """The last request: nothing more is asked for, and what closing raises is to be reported."""

    loop: asyncio.AbstractEventLoop
    report: Report | None


class _Threaded:
    """An iterator that blocks: a thread of its own asks for one piece at a time, each when it is wanted.

    Args:
        iterator: what is asked.
        source: what it iterates over, which is closed with it.
        name: what to call it.
    """

    def __init__(self, iterator: Iterator[Any], source: Any, name: str) -> None:
        self.name: Final = name
        self._iterator: Final = iterator
        self._source: Final = source
        self._requests: Final[SimpleQueue[_Request | _Closing | None]] = SimpleQueue()
        self._thread: Thread | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        loop = asyncio.get_running_loop()
        piece: asyncio.Future[Any] = loop.create_future()
        self._requests.put((loop, piece))
        if self._thread is None:
            arguments = self._requests, self._iterator, self._source
            self._thread = Thread(target=_serve, args=arguments, name=f"reading {self.name}", daemon=True)
            self._thread.start()
            # The thread does not hold this object: where a loop dies and nobody closes it, the thread still ends.
            finalize(self, self._requests.put, None).atexit = False
        item = await piece
        if item is _OVER:
            raise StopAsyncIteration
        return item

    async def aclose(self, report: Report | None = None) -> None:
        """Have the iterator closed. Nobody waits for that: it may be in the middle of a piece that never comes."""
        if isinstance(self._iterator, UntrustedDecoder):
            self._iterator.kill()
        self._requests.put(_Closing(asyncio.get_running_loop(), report))
        if self._thread is None:
            _close(self._iterator, self._source)


def _serve(requests: SimpleQueue[_Request | _Closing | None], iterator: Iterator[Any], source: Any) -> None:
    """What the thread does: a piece for each request, until there is none."""
    while isinstance(request := requests.get(), tuple) and not isinstance(request, _Closing):
        loop, piece = request
        result, error = None, None
        try:
            result = next(iterator, _OVER)
        except BaseException as raised:  # whatever it is, somebody waits for the piece
            error = raised
        try:
            loop.call_soon_threadsafe(_resolve, piece, result, error)
        except RuntimeError:  # the loop is closed
            break
        if loop.is_closed():  # it was closed at this moment, and has dropped the call: nobody asks for more
            break
        del request, loop, piece, result, error  # while it waits, it holds nothing
    try:
        _close(iterator, source)
    except BaseException as raised:
        if isinstance(request, _Closing) and request.report is not None:
            with suppress(RuntimeError):  # the loop is closed
                request.loop.call_soon_threadsafe(request.report, raised)


def _close(*closables: Any) -> None:
    """Close each that can be closed, whatever the others do."""
    if closables:
        try:
            close = getattr(closables[0], "close", None)
            if callable(close):
                close()
        finally:
            _close(*closables[1:])


def _resolve(piece: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if piece.done():  # whoever asked has gone
        return
    if error is None:
        piece.set_result(result)
        return
    try:
        piece.set_exception(error)
    except TypeError as refusal:  # a future can't hold a StopIteration
        piece.set_exception(RuntimeError(f"the source raised {error!r}: {refusal}"))


def abandon(source: Any) -> None:
    """Let go of a source that is not spoken, because an argument was wrong: nobody else will.

    What can only be closed on a loop is closed if one runs.
    """
    if isinstance(source, asyncio.Future):
        source.cancel()
        return
    with suppress(Exception):  # the reason for which it is not spoken is raised
        close = getattr(source, "aclose", None) or getattr(source, "close", None)
        closing = close() if callable(close) else None
        if not isawaitable(closing):
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if iscoroutine(closing):
                closing.close()
            return
        _ABANDONED.add(task := asyncio.ensure_future(closing))
        task.add_done_callback(_abandoned)


_ABANDONED: Final[set[asyncio.Future[Any]]] = set()
"""What is being closed: a loop holds its tasks only weakly."""


def _abandoned(task: asyncio.Future[Any]) -> None:
    _ABANDONED.discard(task)
    if not task.cancelled():
        task.exception()  # it is not of interest, and must not be logged as one that nobody has seen


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
