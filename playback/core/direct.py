"""DirectInput: pushes without a handle. They are one stream of bytes, whatever utterances it is cut into.

A lock and the input timeout end an utterance without its producer, maybe in the middle of a sample. The producer goes
on with the byte that comes next, so the place within a sample belongs to the stream: what the utterance has left of a
sample goes over to the next one, and refused bytes count. An interrupt, a cancel and an end begin another stream: what
was left is dropped, and bytes that are refused after an interrupt are late ones of the old stream, which count for
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from playback.audio.formats import AudioFormat, parse
from playback.core.input import Input
from playback.utterance import Utterance


class DirectInput:
    """The pushes of a producer that has no handle.

    Args:
        input: the playout's producers' side.
        make: makes a handle.
        format: what bare bytes and arrays are taken for.
    """

    __slots__ = ("_format", "_generation", "_input", "_make", "_own", "_remainder")

    def __init__(self, input: Input, make: Callable[[], Utterance], format: AudioFormat) -> None:
        self._input: Final = input
        self._make: Final = make
        self._format: Final = format
        self._own: Utterance | None = None
        self._generation = input.generation  # that of the stream: in a newer one there is another stream
        self._remainder = b""  # what the stream has left of a sample while it has no open utterance

    def push(self, audio: Any) -> int:
        """See :meth:`PlaybackController.push`."""
        own = self._own
        if own is None or own.ended or self._input.overtook(own):
            if self._input.refuses:
                return self._refuse(audio)
            own = self._begin()
        return self._input.push(own, audio)

    def end(self) -> bool:
        """See :meth:`PlaybackController.end`."""
        own, self._own = self._own, None
        ended = own is not None and self._input.end(own)
        self._restart()
        return ended

    def _begin(self) -> Utterance:
        """The next utterance of the stream, or of another one if an interrupt has come."""
        if self._generation is not self._input.generation:
            self._restart()
        own = self._own = self._make()
        own._partial, self._remainder = self._remainder, b""
        own._on_cut = self._keep
        return own

    def _refuse(self, audio: Any) -> int:
        """Turn audio away; unless an interrupt has come, the stream goes on behind it."""
        counts = self._generation is self._input.generation
        block = parse(audio, self._format, self._remainder if counts else b"")
        if counts:
            self._input.count_partial(block.dropped)
            self._remainder = block.partial
        return self._input.refuse_block(None, block)

    def _keep(self, remainder: bytes) -> None:
        self._remainder = remainder

    def _restart(self) -> None:
        """Another stream begins, with a whole sample."""
        self._input.count_partial(len(self._remainder))
        self._remainder = b""
        self._generation = self._input.generation
