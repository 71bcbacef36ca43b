"""Sources of background audio: in memory, live, or a file that is decoded ahead on a thread of its own.

Each is a :class:`~playback.audio.buffer.SampleBuffer` that is topped up as it plays. A loop is one run without an end,
so that even a resampler does not notice its seam.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from os import PathLike, fspath
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO, Final

from playback.audio.buffer import SampleBuffer
from playback.audio.converter import Converter
from playback.audio.formats import BLOCK_SECONDS, AudioFormat, Block, FormatError, Layout, bare_layout, parse
from playback.audio.media.decoding import decode

LIVE_SECONDS: Final = 10.0
"""The most that a live source holds."""

_DECODED_SECONDS: Final = 0.1
"""How much of a file is handed over at a time."""

_LEAD_BLOCKS: Final = 15
"""How many such blocks are decoded ahead: 1.5 s, enough for a disk or a scheduler that stalls."""


class Source:
    """Where a sound takes its audio from, sample after sample, in the output format.

    Args:
        format: the output format.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.buffer: Final = SampleBuffer(format, history=0)
        self.error: Exception | None = None
        """What ended it, if that was not its end."""
        self._format: Final = format
        self._closed = False

    @property
    def is_over(self) -> bool:
        """Whether all of it was taken and no more comes."""
        return self._closed or self.buffer.over

    def take(self, out: memoryview) -> int:
        """Copy the next samples; never waits for any.

        Args:
            out: bytes for whole samples.

        Returns:
            How many samples there were; what is missing is still to come, unless it :attr:`is_over`.
        """
        width = self._format.frame_bytes
        wanted = len(out) // width
        if self._closed:
            return 0
        if self.buffer.fill(out):
            return wanted
        # What a converter holds back comes with more, so it is what is available that counts, not what was accepted.
        while (available := self.buffer.available(wanted)) < wanted and self.buffer.error is None and self._top_up():
            pass
        if self.buffer.error is not None and not self.buffer.ended:
            self.error = self.buffer.error
            self.buffer.end()
        taken = min(wanted, available)
        self.buffer.read(out[: taken * width])
        return taken

    def close(self) -> None:
        """Let go of what it holds."""
        self._closed = True
        self.buffer.release()

    def _top_up(self) -> bool:
        """Add more audio to the clip, if there is more right now."""
        return False


class MemorySource(Source):
    """Audio that is there as a whole.

    Args:
        format: the output format.
        audio: what :func:`playback.audio.formats.parse` takes.
        source_format: what bare bytes and arrays are taken for.
        loop: begin again at the end, for ever.

    Raises:
        FormatError: a type, shape, rate or value that can't be, an incomplete sample, or nothing at all.
    """

    def __init__(self, format: AudioFormat, audio: Any, source_format: AudioFormat, *, loop: bool) -> None:
        super().__init__(format)
        block = parse(audio, source_format)
        if block.partial:
            width = source_format.frame_bytes
            size = block.samples * width + len(block.partial)
            raise FormatError(f"the source has {size} bytes, expected a multiple of {width}")
        if not block.samples:
            raise FormatError("the source is empty, expected at least one sample")
        self.buffer.measure(block)
        if loop:  # many rounds of a short one at a time, or each read would add a lot of them
            rounds = 1 + int(BLOCK_SECONDS * block.layout.sample_rate) // block.samples
            if rounds > 1:
                block = Block(block.layout, bytes(block.read()) * rounds, block.samples * rounds)
        self._block: Final[Block] = block
        self._top_up()
        self._loop: Final = loop
        if not loop:
            self.buffer.end()

    def _top_up(self) -> bool:
        if self.buffer.ended:
            return False
        self.buffer.append(self._block, self.buffer.measure(self._block))
        return True


class LiveSource(Source):
    """Audio that somebody pushes while it plays.

    Args:
        format: the output format.
        source_format: what bare bytes and arrays are taken for.
    """

    def __init__(self, format: AudioFormat, source_format: AudioFormat) -> None:
        super().__init__(format)
        self._source_format: Final = source_format
        self._limit: Final = format.samples(LIVE_SECONDS)
        self._partial = b""

    def push(self, audio: Any) -> int:
        """Add audio, as much as there is room for.

        Returns:
            The output samples that were taken.

        Raises:
            FormatError: a type, shape, rate or value that can't be.
        """
        block = parse(audio, self._source_format, self._partial)
        if self.buffer.ended:
            return 0
        samples = self.buffer.measure(block)
        room = self._limit - (self.buffer.accepted - self.buffer.cursor)
        # Also of what does not fit: the next push goes on where this one breaks off, maybe in the middle of a sample.
        self._partial = block.partial
        if samples > room:
            fitting = min(block.samples, room * block.layout.sample_rate // self._format.sample_rate)
            block = block._replace(samples=fitting)
            samples = self.buffer.measure(block)
        if block.samples:
            self.buffer.append(block, samples)
        return samples


class FileSource(Source):
    """A file that is decoded and converted on a thread, a little ahead of what plays.

    The thread ends with the file, with :meth:`close`, or when nobody holds the source any more.

    Args:
        format: the output format.
        file: a path or a binary file object; from now on the thread reads from that object, and does not close it.
        loop: begin again at the end, for ever.

    Raises:
        OSError: there is no such file, or it can't be read.
        FormatError: what it holds is no audio that can be decoded, or none at all.
        ValueError: a loop of a file object that can't go back.
    """

    def __init__(self, format: AudioFormat, file: str | PathLike[str] | BinaryIO, *, loop: bool) -> None:
        super().__init__(format)
        name = fspath(file) if isinstance(file, (str, PathLike)) else repr(file)
        if loop and not isinstance(file, (str, PathLike)) and not _is_seekable(file):
            raise ValueError(f"{name} can't go back to its beginning, expected a seekable file, or loop=False")
        self._ready: Final[deque[bytes | Exception | None]] = deque()
        # The reader gives room back without ever waiting for a lock that the thread may hold: both queues are C's own.
        self._room: Final[SimpleQueue[bool]] = SimpleQueue()
        closed: list[bool] = []
        blocks = _blocks(file, name, format, loop)
        # The first block is decoded here, so that a file that can't be played is an error of the caller's.
        first = next(blocks, b"")
        if not first:
            raise FormatError(f"{name} has no audio in it, expected at least one sample")
        self._add(first)
        for _ in range(_LEAD_BLOCKS - 1):
            self._room.put(True)
        arguments = blocks, self._ready, self._room, closed
        Thread(target=_decode, args=arguments, name=f"decoding {name}", daemon=True).start()
        self._stop: Final = weakref.finalize(self, _stop, self._room, closed)

    def close(self) -> None:
        """End the thread, without waiting for it, and let go of the audio."""
        self._stop()
        self._ready.clear()
        super().close()

    def _top_up(self) -> bool:
        if not self._ready:
            return False
        item = self._ready.popleft()
        if isinstance(item, bytes):
            self._add(item)
            self._room.put(True)
            return True
        self.error = item
        self.buffer.end()
        return False

    def _add(self, data: bytes) -> None:
        self.buffer.append_plain(data, len(data) // self._format.frame_bytes)


def _is_seekable(file: BinaryIO) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable and seekable())


def _stop(room: SimpleQueue[bool], closed: list[bool]) -> None:
    closed.append(True)
    room.put(False)


def _decode(
    blocks: Iterator[bytes],
    ready: deque[bytes | Exception | None],
    room: SimpleQueue[bool],
    closed: list[bool],
) -> None:
    """What the thread does; it holds nothing through which a sound would be kept alive."""
    with closing(blocks):  # type: ignore[type-var]
        try:
            while room.get() and not closed:
                ready.append(next(blocks))
        except StopIteration:
            ready.append(None)
        except Exception as error:
            ready.append(error)


def _blocks(file: str | PathLike[str] | BinaryIO, name: str, format: AudioFormat, loop: bool) -> Iterator[bytes]:
    """A file in the output format, in blocks of one length; the last one may be shorter.

    Raises:
        OSError: it can't be read.
        FormatError: it can't be decoded.
    """
    size = format.samples(_DECODED_SECONDS) * format.frame_bytes
    waiting = bytearray()
    for data in _converted(file, name, format, loop):
        waiting += data
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)


def _converted(file: str | PathLike[str] | BinaryIO, name: str, format: AudioFormat, loop: bool) -> Iterator[bytes]:
    """A file in the output format, as it comes; all rounds of a loop are one run of the converter."""
    native = bare_layout(format)
    run: tuple[Layout, Converter] | None = None
    heard = True
    while heard:
        heard = False
        for block in decode(file, name=name):  # opened anew each time: after a mere seek, some codecs begin differently
            heard = heard or block.samples > 0
            if run is not None and run[0] != block.layout:
                yield run[1].flush()
                run = None
            if block.layout == native:
                yield bytes(block.read())
                continue
            if run is None:
                run = block.layout, Converter(block.layout, format)
            yield run[1].convert(block.read())
        if not loop:
            break
    else:
        raise FormatError(f"{name} has no audio in it, expected at least one sample")
    if run is not None:
        yield run[1].flush()
