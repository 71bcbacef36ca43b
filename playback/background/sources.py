"""Sources of background audio: in memory, live, or a file that is decoded ahead on a thread of its own.

Each is a :class:`~playback.audio.buffer.SampleBuffer` that is topped up as it plays. A loop is one run without an end,
so that even a resampler does not notice its seam.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from os import PathLike, fspath
from typing import Any, BinaryIO, Final

from playback.audio.buffer import SampleBuffer
from playback.audio.formats import BLOCK_SECONDS, AudioFormat, Block, FormatError, parse
from playback.audio.media.decoding import check_beginning, is_seekable
from playback.audio.media.untrusted import check_system
from playback.background.decoding import Decoding, End

LIVE_SECONDS: Final = 10.0
"""The most that a live source holds."""

_LEAD_BLOCKS: Final = 15
"""How many blocks of 0.1 s are decoded ahead: 1.5 s, enough for a disk or a scheduler that stalls."""


class Source:
    """Where a sound takes its audio from, sample after sample, in the output format.

    Args:
        format: the output format.
    """

    def __init__(self, format: AudioFormat) -> None:
        self.buffer: Final = SampleBuffer(format, history=0)
        self.error: BaseException | None = None
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
        untrusted: decode it in a process of its own, which is limited in memory and time.
        on_error: called by :meth:`take` with what was wrong, where it plays on nevertheless.
        on_damage: called by :meth:`take` with how many packets were skipped in the first round.

    Raises:
        OSError: there is no such file, or it can't be read.
        FormatError: it does not begin as a file of audio does.
        ValueError: a loop of a file object that can't go back.
        RuntimeError: an untrusted one, where no process can be limited.
    """

    def __init__(
        self,
        format: AudioFormat,
        file: str | PathLike[str] | BinaryIO,
        *,
        loop: bool,
        untrusted: bool = False,
        on_error: Callable[[Exception], object] = lambda _: None,
        on_damage: Callable[[int], object] = lambda _: None,
    ) -> None:
        super().__init__(format)
        name = fspath(file) if isinstance(file, (str, PathLike)) else repr(file)
        if loop and not isinstance(file, (str, PathLike)) and not is_seekable(file):
            raise ValueError(f"{name} can't go back to its beginning, expected a seekable file, or loop=False")
        if untrusted:
            check_system()
        # Only how it begins is looked at here: to open or to decode it may take any time.
        self._decoding: Final = Decoding(
            check_beginning(file, name=name), name, format, loop=loop, untrusted=untrusted, lead=_LEAD_BLOCKS
        )
        self._on_error: Final = on_error
        self._on_damage: Final = on_damage
        self._stop: Final = weakref.finalize(self, self._decoding.stop)
        self._decoding.start()

    def close(self) -> None:
        """End the thread, without waiting for it, and let go of the audio."""
        self._stop()
        super().close()

    def _top_up(self) -> bool:
        while self._decoding.ready:
            match self._decoding.ready.popleft():
                case bytes() as data:
                    self.buffer.append_plain(data, len(data) // self._format.frame_bytes)
                    self._decoding.give_room()
                    return True
                case int() as damaged:
                    self._on_damage(damaged)
                case End(error):
                    self.error = error
                    self.buffer.end()
                    return False
                case error:
                    self._on_error(error)
        return False
