"""PushedAudio: what sinks hear ahead of time, made into chunks a little at a time.

A chunk holds int16 at the producer's rate. A push that is already that becomes one chunk, and costs nothing. Anything
else has to be converted: the first :data:`~playback.audio.formats.BLOCK_SECONDS` at once, the rest with the reads that
follow, ten times as fast as it plays, and what is playing first. So a long push keeps neither the loop nor a read
waiting, and a sink is always ahead of playback.

Within one utterance all is in order: what is pushed later, and the end of its input, wait for what came before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from playback.audio.converter import Converter, converted_samples
from playback.audio.formats import BLOCK_SECONDS, AudioFormat, Block, FormatError
from playback.events import Event, InputEnded
from playback.sinks.chunks import Chunk
from playback.utterance import Utterance


class PushedAudio:
    """The audio that was pushed, as chunks.

    Args:
        format: the output format.
        position: gives the samples read so far.
    """

    def __init__(self, format: AudioFormat, position: Callable[[], int]) -> None:
        self._format: Final = format
        self._position: Final = position
        # By utterance, in the order in which they were pushed: what is left of it, and the end of its input.
        self._waiting: Final[dict[Utterance, deque[_Push | InputEnded]]] = {}

    def __bool__(self) -> bool:
        """Whether anything is left to be handed out."""
        return bool(self._waiting)

    def take(self, utterance: Utterance, block: Block, at: int) -> Iterator[Chunk]:
        """Take a block; gives what can be heard of it at once.

        Args:
            utterance: whose it is.
            block: what was pushed.
            at: where it begins in the utterance, in samples at the output rate.

        Raises:
            ValueError, av.FFmpegError: swresample knows no way to stereo.
        """
        push = _Push(utterance, block, at, self._format)
        if utterance in self._waiting:
            self._waiting[utterance].append(push)
            return
        yield push.next_chunk(self._position())
        if not push.is_over:
            self._waiting[utterance] = deque([push])

    def holds_back(self, event: InputEnded) -> bool:
        """Whether the end of an utterance's input waits for its audio; :meth:`more` gives it in its place then."""
        if event.utterance not in self._waiting:
            return False
        self._waiting[event.utterance].append(event)
        return True

    def more(self, samples: int, playing: Utterance | None) -> Iterator[Event]:
        """What comes with a read.

        Args:
            samples: that were read.
            playing: whose speech it was; that goes first.
        """
        left = max(2 * samples, self._format.samples(BLOCK_SECONDS))
        while left > 0 and self._waiting:
            utterance = playing if playing in self._waiting else next(iter(self._waiting))
            assert utterance is not None
            item = self._next(utterance)
            if isinstance(item, Chunk):
                left -= converted_samples(len(item.audio), item.format.sample_rate, self._format.sample_rate)
            if item is not None:
                yield item

    def finish(self, utterance: Utterance) -> Iterator[Event]:
        """What is left of an utterance that has finished; its audio only if it was played.

        That is little: less than was read just now.
        """
        report = utterance.report
        was_dropped = report is not None and report.discarded > 0
        while utterance in self._waiting:
            if was_dropped and isinstance(self._waiting[utterance][0], _Push):
                self._remove_first(utterance)
            elif (item := self._next(utterance)) is not None:
                yield item

    def clear(self) -> None:
        """Drop all: nobody hears it any more."""
        self._waiting.clear()

    def _next(self, utterance: Utterance) -> Event | None:
        item = self._waiting[utterance][0]
        if isinstance(item, InputEnded):
            self._remove_first(utterance)
            return item
        try:
            chunk = item.next_chunk(self._position())
        except FormatError:  # it will not be played either, which is reported there
            self._remove_first(utterance)
            return None
        if item.is_over:
            self._remove_first(utterance)
        return chunk

    def _remove_first(self, utterance: Utterance) -> None:
        waiting = self._waiting[utterance]
        waiting.popleft()
        if not waiting:
            del self._waiting[utterance]


class _Push:
    """One push, and how much of it was handed out."""

    def __init__(self, utterance: Utterance, block: Block, at: int, output: AudioFormat) -> None:
        self._utterance: Final = utterance
        self._block: Final = block
        self._at: Final = at
        self._output: Final = output
        self._taken = 0
        layout = block.layout
        self._own: Final = AudioFormat(layout.sample_rate, 1 if layout.channels == "mono" else 2)
        self._is_ready: Final = block.is_plain and layout.channels in ("mono", "stereo")
        # Of the same rate, so it holds nothing back.
        same = layout.sample_type == "s16" and layout.channels in ("mono", "stereo")
        self._converter: Final = None if same else Converter(layout, self._own)

    @property
    def is_over(self) -> bool:
        """Whether all of it was handed out."""
        return self._taken >= self._block.samples

    def next_chunk(self, position: int) -> Chunk:
        """The next piece: all of it, if that needs no conversion.

        Raises:
            FormatError: its samples can't be played.
        """
        block, start, rate = self._block, self._taken, self._own.sample_rate
        stop = block.samples if self._is_ready else min(block.samples, start + max(1, int(BLOCK_SECONDS * rate)))
        data = block.read(start, stop)
        if self._converter is not None:
            data = self._converter.convert(data)
        self._taken = stop
        at = self._at + converted_samples(start, rate, self._output.sample_rate)
        return Chunk(position, self._utterance, at, self._own, samples(data, self._own), "pushed")


def samples(data: bytes | memoryview, format: AudioFormat) -> NDArray[np.int16]:
    """Audio as an array, read-only because what is pushed and what was read is kept as immutable bytes."""
    array: NDArray[Any] = np.frombuffer(data, np.int16)
    return array.reshape(-1, format.channels)
