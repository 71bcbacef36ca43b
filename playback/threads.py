"""Producers on other threads: the producer's calls, in order, carried to the loop's thread."""

from __future__ import annotations

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from threading import Lock
from typing import Any, Final, Protocol

import av
import numpy as np

from playback._loop_end import LoopEnd
from playback.audio.formats import AudioFormat, Block, parse
from playback.audio.media.blocks import to_frame
from playback.audio.media.containers import Kind, next_beginning, recognize, recognize_audio
from playback.audio.media.decoding import decode
from playback.audio.media.streams import is_bytes
from playback.audio.media.untrusted import UntrustedDecoder
from playback.core.input import Input
from playback.utterance import Utterance
from playback.words.word import Word


class _Make(Protocol):
    """How a controller makes a handle."""

    def __call__(
        self,
        *,
        text: str | None = None,
        id: str | None = None,
        format: AudioFormat | None = None,
        interruptible: bool = True,
        first: bool = False,
    ) -> Utterance: ...


class ThreadsafeUtterance:
    """An utterance whose producer runs on any thread. Made by :meth:`ThreadsafeProducer.utterance`.

    Calls run in the loop's thread, in order. All but :meth:`write` return None at once; an exception in the loop's
    thread becomes an ``error`` event.
    """

    def __init__(
        self, input: Input, loop: AbstractEventLoop, loop_end: LoopEnd, utterance: Utterance, partial: bytes = b""
    ) -> None:
        self.handle: Final = utterance
        """The utterance itself, for the loop's thread only."""
        self.generation: Final = input.generation
        """That in which it was made: each interrupt begins another."""
        self._input: Final = input
        self._loop: Final = loop
        self._loop_end: Final = loop_end
        self._beginning: bytes | None = b""
        self._partial = partial
        self._is_cut = False
        self._has_refused = False  # maybe less than a sample, which the handle does not count
        utterance._on_cut = self._cut  # noqa: SLF001 - this is its producer

    @property
    def is_spent(self) -> bool:
        """Whether it takes no more audio, or can't complete because its very beginning was refused."""
        return self._input.overtook(self.handle) or self.handle.ended or self.is_refused

    @property
    def remainder(self) -> bytes:
        """What goes over to the next utterance of the same stream: the sample that a lock or a timeout has cut."""
        return self._partial if self._is_cut or self.is_refused else b""

    @property
    def is_refused(self) -> bool:
        """Whether audio of it was refused, and none was taken."""
        return (self._has_refused or self.handle.refused > 0) and not self.handle.accepted

    def _cut(self, _: bytes) -> None:
        self._is_cut = True

    def push(self, audio: Any) -> None:
        """As :meth:`Utterance.push`; the audio is copied before this returns, unless it is immutable bytes.

        Raises:
            FormatError: a type, shape, rate or value that can't be.
            RuntimeError: the loop is closed.
        """
        if self._beginning is not None:
            self._beginning = next_beginning(self._beginning, audio)
        block = parse(audio, self.handle.format, self._partial)
        self._partial = block.partial
        self._call(self._push, block)

    def write(self, audio: Any) -> int:
        """As :meth:`Utterance.write`: the calling thread waits while more than the high water is buffered.

        Returns:
            The output samples that were accepted.

        Raises:
            FormatError: a type, shape, rate or value that can't be.
            BufferFull: it would not fit even if it waited.
            RuntimeError: this is the loop's own thread, which must not wait; or the loop is closed, ends meanwhile, or
                has not run for 5 s.
        """
        if _runs_here(self._loop):
            raise RuntimeError("called in the loop's own thread, which must not wait: await Utterance.write there")
        accepted = self._loop_end.run(self.handle.write, audio)
        self._partial = self._input.partial_of(self.handle)
        return accepted

    def mark(self, payload: object, at: float | None = None, until: float | None = None) -> None:
        """As :meth:`Utterance.mark`."""
        self._call(self.handle.mark, payload, at, until)

    def mark_words(self, words: Iterable[Word], offset_seconds: float = 0.0) -> None:
        """As :meth:`Utterance.mark_words`."""
        self._call(self.handle.mark_words, [*words], offset_seconds)

    def enqueue(self) -> None:
        """As :meth:`Utterance.enqueue`."""
        self._call(self.handle.enqueue)

    def end(self) -> None:
        """As :meth:`Utterance.end`."""
        self._call(self.handle.end)

    def fail(self, error: BaseException) -> None:
        """As :meth:`Utterance.fail`."""
        self._call(self.handle.fail, error)

    def cancel(self) -> None:
        """As :meth:`Utterance.cancel`."""
        self._call(self.handle.cancel)

    def _push(self, block: Block) -> None:
        self._input.admit(self.handle)
        self._input.push_from_thread(self.handle, block)
        self._has_refused |= not self._input.may_push(self.handle)

    def _call(self, function: Callable[..., object], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(self._carry_out, function, arguments)

    def _carry_out(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            function(*arguments)
        except BaseException as error:
            self._input.report_error(error, f"a call from another thread, {function.__name__.strip('_')}")


class ThreadsafeProducer:
    """The producer's calls of a controller, for use from any thread.

    A call is bound to its utterance when it is made: if an interrupt comes before the call runs, it is refused like any
    stale audio.

    Example::

        producer = controller.threadsafe(asyncio.get_running_loop())
        await asyncio.to_thread(synthesize, producer.push)
        producer.end()
    """

    def __init__(self, input: Input, make: _Make, loop: AbstractEventLoop) -> None:
        self._input: Final = input
        self._make: Final = make
        self._loop: Final = loop
        self._loop_end: Final = LoopEnd(loop)
        self._lock: Final = Lock()
        self._own: ThreadsafeUtterance | None = None
        self._generation = input.generation  # that of the stream which has no handle

    def utterance(
        self,
        *,
        text: str | None = None,
        id: str | None = None,
        format: AudioFormat | None = None,
        interruptible: bool = True,
        first: bool = False,
    ) -> ThreadsafeUtterance:
        """As :meth:`PlaybackController.utterance`."""
        utterance = self._make(text=text, id=id, format=format, interruptible=interruptible, first=first)
        return ThreadsafeUtterance(self._input, self._loop, self._loop_end, utterance)

    def speak(
        self,
        source: Any,
        *,
        text: str | None = None,
        id: str | None = None,
        format: AudioFormat | None = None,
        interruptible: bool = True,
        first: bool = False,
        untrusted: bool = False,
    ) -> ThreadsafeUtterance:
        """Play a source as one utterance, from this thread.

        It returns when all of the source is buffered, or when the utterance takes no more audio.

        Args:
            source: audio, an iterable of it, a path or a binary file object. Pieces may be
                :class:`playback.words.Word`, too.
            text: what it says.
            id: its name in reports and events.
            format: what bare bytes are; defaults to ``input_format``, and for audio that is given as a whole to what it
                begins as.
            interruptible: as for :meth:`PlaybackController.utterance`.
            first: the same.
            untrusted: whether a file or a whole media stream comes from a stranger: it is decoded in a process of its
                own, which is limited in memory and time.

        Returns:
            The utterance; it may still be playing.

        Raises:
            RuntimeError: this is the loop's own thread, which must not wait; the loop is closed, ends meanwhile, or has
                not run for 5 s; or no process can be limited for an untrusted source.
            TypeError: the source is something else.
            FormatError: it begins as text in place of audio, such as an error page; the utterance fails with it.
            Exception: whatever the source raises; the same.
        """
        if _runs_here(self._loop):
            raise RuntimeError("called in the loop's own thread, which must not wait: use controller.speak there")
        pieces = _pieces(source, decodes=format is None, untrusted=untrusted)
        spoken = self.utterance(text=text, id=id, format=format, interruptible=interruptible, first=first)
        spoken.enqueue()
        try:
            for piece in pieces:
                if isinstance(piece, Word):
                    spoken.mark_words([piece])
                elif not spoken.write(piece) and spoken.is_spent:
                    spoken.cancel()
                    return spoken
        except BaseException as error:
            spoken.fail(error)
            raise
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
        spoken.end()
        return spoken

    def push(self, audio: Any) -> None:
        """As :meth:`PlaybackController.push`, to an utterance of this producer's own.

        Raises:
            FormatError: a type, shape, rate or value that can't be.
            RuntimeError: the loop is closed.
        """
        with self._lock:
            own = self._own
            if own is None or own.is_spent:
                own = self._own = self._begin(own)
            own.push(audio)

    def _begin(self, last: ThreadsafeUtterance | None) -> ThreadsafeUtterance:
        """The next utterance of the stream, or of another one if an interrupt has come: see ``core/direct.py``."""
        generation, partial = self._input.generation, b""
        if last is not None and not last.is_refused:
            self._generation = last.generation
        if last is not None and self._generation is generation:
            partial = last.remainder
        return ThreadsafeUtterance(self._input, self._loop, self._loop_end, self._make(), partial)

    def end(self) -> None:
        """As :meth:`PlaybackController.end`; does nothing if no push came before."""
        with self._lock:
            own, self._own = self._own, None
            self._generation = self._input.generation
            if own is not None:
                own.end()


def _pieces(source: Any, *, decodes: bool, untrusted: bool) -> Iterator[Any]:
    """The pieces of a source that blocks; files and whole streams are decoded.

    Raises:
        TypeError: it is no such source.
    """
    whole = isinstance(source, (bytes, bytearray, memoryview))
    is_media = whole and decodes and recognize(bytes(source), final=True) not in (Kind.TEXT, Kind.UNKNOWN)
    if is_media or isinstance(source, (str, PathLike)) or hasattr(source, "read"):
        open_file: Callable[..., Iterator[Block]] = UntrustedDecoder if untrusted else decode
        return (to_frame(block) for block in open_file(source, name=type(source).__name__))
    if whole or isinstance(source, (np.ndarray, av.AudioFrame)):
        return _without_text(iter([source])) if decodes else iter([source])
    if not isinstance(source, Iterable):
        raise TypeError(f"the source is {source!r}, expected audio, a path, a file, or an iterable of audio")
    return _without_text(iter(source)) if decodes else iter(source)


def _without_text(pieces: Iterator[Any]) -> Iterator[Any]:
    """The same pieces, unless the first bytes are text in place of audio."""
    beginning, held = b"", []
    try:
        for piece in pieces:
            held.append(piece)
            if is_bytes(piece):
                beginning += piece
                if recognize_audio(beginning, name="the source") is not None:
                    break
            elif not isinstance(piece, Word):
                break
        recognize_audio(beginning, name="the source", final=True)
        yield from held
        yield from pieces
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _runs_here(loop: AbstractEventLoop) -> bool:
    """Whether this thread is the one that runs a loop, right now."""
    try:
        return get_running_loop() is loop
    except RuntimeError:
        return False
