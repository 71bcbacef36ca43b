"""What decoders of all kinds share: blocks of a length that a read can convert, and what was skipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import av

from playback.audio.formats import BLOCK_SECONDS, Block

FAULTS: Final = (av.FFmpegError, ValueError, ArithmeticError, LookupError, RuntimeError)
"""What PyAV raises where bytes can't be decoded. An error of the source itself, such as OSError, is none of these."""


REST_BYTES: Final = 8192
"""Where so many bytes at the end of a file belong to nothing, its rest is lost; a few may be a tag or a packet."""


class Damage:
    """What of a stream could not be decoded, and was skipped."""

    def __init__(self) -> None:
        self.count = 0
        """Packets, stretches without any, and joined files."""
        self.last: Exception | None = None
        self.rest: Exception | None = None
        """Why nothing more could be had, where a file did not simply end."""

    def add(self, error: Exception) -> None:
        """Count one."""
        self.count += 1
        self.last = error


def pieces(block: Block) -> Iterator[Block]:
    """A block in pieces of at most :data:`BLOCK_SECONDS`, for some codecs have frames of many seconds."""
    step = max(1, int(BLOCK_SECONDS * block.layout.sample_rate))
    if 0 < block.samples <= step:
        yield block
        return
    for start in range(0, block.samples, step):
        yield cut(block, start, min(start + step, block.samples))


def cut(block: Block, start: int, stop: int) -> Block:
    """The samples of a block from ``start`` up to ``stop``."""
    return Block(block.layout, block.read(start, stop), stop - start)


def to_frame(block: Block) -> av.AudioFrame:
    """A block as a frame, which says its rate and layout itself."""
    frame = av.AudioFrame(format=block.layout.sample_type, layout=block.layout.channels, samples=block.samples)
    frame.sample_rate = block.layout.sample_rate
    frame.planes[0].update(block.read())  # type: ignore[arg-type]
    return frame
