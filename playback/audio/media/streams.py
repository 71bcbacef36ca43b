"""Decoding a media stream as it arrives, on a thread of its own.

State: the bytes that wait, and whether the stream has ended, is paused, or is over. All of it is in the pipe, under one
lock that nobody holds for longer than it takes to change it. The lock is reentrant, because the garbage collector may
close a pipe at any point, also where its own thread holds the lock. The thread holds the pipe, and the decoder only
while it calls back: a decoder that nobody holds is closed.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from threading import Condition, RLock, Thread
from typing import Any, Final

from playback.audio.formats import Block, FormatError
from playback.audio.media.blocks import Damage
from playback.audio.media.decoding import decode_stream
from playback.audio.media.reader import Reader
from playback.audio.media.untrusted import UntrustedDecoder, check_system


class StreamDecoder:
    """Decodes a media stream that states its own format: WAV, MP3, AAC, Ogg, FLAC, WebM, MP4 and others.

    The stream may arrive in pieces of any size, and consist of several files, one after the other. No method waits. A
    thread decodes what is there; it ends with the stream, with :meth:`close`, or when nobody holds the decoder any
    more, also where audio of it is still to come. An MP4 stream is decoded as it arrives if its index comes first,
    otherwise when all of it is there.

    Args:
        on_block: called on the decoder's thread with each block, of at most
            :data:`~playback.audio.formats.BLOCK_SECONDS`, in the rate and layout of the stream, which may change. It
            may call :meth:`pause`. It may also wait, but then nothing here wakes it.
        on_finish: called on the decoder's thread once, after the last block: with None, or the error that ended it.
            That is a :class:`FormatError` where the stream holds no audio that can be decoded, or whatever ``on_block``
            has raised. It is not called after :meth:`close`.
        on_read: called on the decoder's thread when :attr:`waiting_bytes` has become less: a producer may go on.
        name: what to call the stream in errors.
        untrusted: decode it in a process of its own, which is limited in memory and time, and ends with the decoder.

    Raises:
        RuntimeError: an untrusted one, where no process can be limited.
    """

    def __init__(
        self,
        on_block: Callable[[Block], object],
        on_finish: Callable[[BaseException | None], object],
        *,
        on_read: Callable[[], object] = lambda: None,
        name: str = "the stream",
        untrusted: bool = False,
    ) -> None:
        if untrusted:
            check_system()
        self.on_read: Final = on_read
        self.on_block: Final = on_block
        self.on_finish: Final = on_finish
        self._name: Final = name
        self._pipe: Final = _Pipe()
        self._untrusted: Final = untrusted
        self._thread: Thread | None = None
        self._close: Final = weakref.finalize(self, self._pipe.close)
        self._close.atexit = False  # the thread is a daemon

    @property
    def waiting_bytes(self) -> int:
        """The bytes that were fed and not decoded yet: a producer may stop while there are many."""
        return self._pipe.waiting

    @property
    def damaged(self) -> int:
        """How many packets, stretches without any and joined files could not be decoded, and were skipped."""
        return self._pipe.damage.count

    def feed(self, data: Any) -> bool:
        """Add the next bytes.

        Args:
            data: bytes-like, of any length.

        Returns:
            Whether they were taken: not after :meth:`end`, :meth:`close`, or when the stream has finished.

        Raises:
            FormatError: it is something else.
        """
        if not is_bytes(data):
            raise FormatError(f"encoded audio is a {type(data).__name__}, expected bytes")
        taken = self._pipe.feed(bytes(data))
        if taken:
            self._start()
        return taken

    def end(self) -> None:
        """No more bytes come; what is there is decoded."""
        if self._pipe.end():
            self._start()

    def pause(self) -> None:
        """Hand out no more blocks, except for one that is being handed out, until :meth:`resume`."""
        self._pipe.pause(True)

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        self._pipe.pause(False)

    def close(self) -> None:
        """Let go of everything. No callback begins afterwards but one that the thread is about to make."""
        self._close()

    def _start(self) -> None:
        if self._thread is None:
            arguments = self._pipe, weakref.ref(self), self._name, self._untrusted
            self._thread = Thread(target=_decode, args=arguments, name=f"decoding {self._name}", daemon=True)
            self._thread.start()


class _Pipe:
    """What the decoder and its thread share."""

    def __init__(self) -> None:
        self.damage: Final = Damage()
        self.waiting = 0
        """Bytes."""
        self._pieces: Final[deque[memoryview]] = deque()
        self._changed: Final = Condition(RLock())  # two threads may wait: one for bytes, one for the end of a pause
        self._is_ended = False
        self._is_paused = False
        self._is_over = False
        """Closed or finished."""
        self._process: UntrustedDecoder | None = None

    def feed(self, data: bytes) -> bool:
        """Add bytes; whether they were taken."""
        with self._changed:
            if self._is_ended or self._is_over:
                return False
            if data:
                self._pieces.append(memoryview(data))  # its slices are no copies
                self.waiting += len(data)
                self._changed.notify_all()
            return True

    def end(self) -> bool:
        """Take no more bytes; whether it did before."""
        with self._changed:
            before, self._is_ended = self._is_ended or self._is_over, True
            self._changed.notify_all()
            return not before

    def pause(self, paused: bool) -> None:
        """Hold blocks back, or no longer."""
        with self._changed:
            self._is_paused = paused
            self._changed.notify_all()

    def close(self) -> bool:
        """Let go of the bytes and of the thread.

        Returns:
            Whether it was neither closed nor finished.
        """
        with self._changed:
            before, self._is_over = self._is_over, True
            if self._process is not None:
                self._process.kill()
            self._pieces.clear()
            self.waiting = 0
            self._changed.notify_all()
            return not before

    # On the thread

    def confine(self, process: UntrustedDecoder) -> UntrustedDecoder:
        """End this process with the stream."""
        with self._changed:
            self._process = process
            if self._is_over:
                process.kill()
        return process

    def read(self, size: int) -> bytes:
        """The next bytes, as soon as there are any; none at the end."""
        with self._changed:
            while not (self._pieces or self._is_ended or self._is_over):
                self._changed.wait()
            taken: list[memoryview] = []
            while self._pieces and size:
                piece = self._pieces.popleft()
                if len(piece) > size:
                    self._pieces.appendleft(piece[size:])
                    piece = piece[:size]
                taken.append(piece)
                size -= len(piece)
            data = b"".join(taken)
            self.waiting -= len(data)
            return data

    def goes_on(self) -> bool:
        """Wait while it is paused; whether it is not over."""
        with self._changed:
            while self._is_paused and not self._is_over:
                self._changed.wait()
            return not self._is_over


def _decode(pipe: _Pipe, reference: weakref.ref[StreamDecoder], name: str, untrusted: bool) -> None:
    """What the thread does."""
    failure: BaseException | None = None

    def read(size: int) -> bytes:
        data = pipe.read(size)
        if (decoder := reference()) is not None:
            decoder.on_read()
        return data

    try:
        decoder_of_blocks: UntrustedDecoder | Generator[Block, None, None] = (
            pipe.confine(UntrustedDecoder(read, name=name, damage=pipe.damage))
            if untrusted
            else decode_stream(Reader(read), name, pipe.damage)
        )
        with closing(decoder_of_blocks) as blocks:
            for block in blocks:
                if not pipe.goes_on() or (decoder := reference()) is None:
                    return
                decoder.on_block(block)
                del decoder
    except BaseException as error:  # whatever it is, somebody waits for the end
        failure = error
    if pipe.close() and (decoder := reference()) is not None:
        decoder.on_finish(failure)


def is_bytes(item: Any) -> bool:
    """Whether these may be the bytes of a media stream; a buffer of numbers is none."""
    return isinstance(item, (bytes, bytearray)) or (isinstance(item, memoryview) and item.format in ("B", "b", "c"))
