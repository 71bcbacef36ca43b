"""StreamInput: the bytes of a media stream as the input of an utterance.

A thread decodes what has arrived; its blocks are written by a task on the loop. The thread itself puts each block where
the task takes it, and pauses when there are a few, so that it can't run ahead of a loop that is busy. While it is
paused, or has much to decode, :meth:`StreamInput.write` waits: so back-pressure reaches the source.

Two things are shared with the thread: the blocks, which it adds and the task takes, and whether a write waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from playback._waiting import Gate, running_task
from playback.audio.formats import Block
from playback.audio.media.streams import StreamDecoder
from playback.core.input import Input
from playback.utterance import Utterance

MOST_BLOCKS: Final = 4
"""Decoded blocks, of 0.2 s each, that may wait to be written before the decoder pauses."""

MOST_BYTES: Final = 16 * 1024
"""Bytes that may wait to be decoded before a write waits."""


class StreamInput:
    """Decodes a media stream into an utterance.

    Args:
        input: the playout's producers' side.
        utterance: what the audio goes to.
        name: what to call the stream in errors.
        untrusted: decode it in a process of its own.

    Raises:
        RuntimeError: no event loop runs, or no process can be limited here.
    """

    def __init__(self, input: Input, utterance: Utterance, name: str, *, untrusted: bool) -> None:
        self._input: Final = input
        self._utterance: Final = utterance
        self._loop: Final = asyncio.get_running_loop()
        self._decoder: Final = StreamDecoder(
            self._decoded, self._finished, on_read=self._read, name=name, untrusted=untrusted
        )
        self._blocks: Final[deque[Block]] = deque()
        self._arrived: Final = Gate()
        self._taken: Final = Gate()
        self._order: Final = asyncio.Lock()
        self._writes_waiting = 0
        self._is_over = False  # the decoder has finished
        self._decode_error: BaseException | None = None
        self._producer_error: BaseException | None = None
        self._ended = False
        self._task: asyncio.Task[None] | None = None  # from the first byte on

    @property
    def ended(self) -> bool:
        """Whether it takes no more bytes."""
        return self._ended or self._utterance.ended

    def feed(self, data: Any) -> int:
        """Take bytes, which are decoded when they can be; returns how many were taken.

        Raises:
            FormatError: it is something else than bytes.
        """
        self._input.admit(self._utterance)  # an interrupt may have overtaken it
        if self.ended or not self._input.may_push(self._utterance):
            self._input.refuse(self._utterance, 0, "ended" if self.ended else "locked")  # nobody knows how long it is
            return 0
        if not self._decoder.feed(data):
            return 0
        if self._task is None:
            self._task = self._loop.create_task(self._write_blocks(), name=f"decoding for {self._utterance.id}")
        self._input.enqueue(self._utterance)
        return len(memoryview(data).cast("B"))

    async def write(self, data: Any) -> int:
        """The same, after waiting while much is not decoded or not written yet; concurrent writes keep their order."""
        async with self._order:
            self._writes_waiting += 1  # before it looks: the thread looks at this after it has made room
            try:
                while self._is_full and not self.ended and not self._is_over:
                    await self._taken.wait()
            finally:
                self._writes_waiting -= 1
            return self.feed(data)

    @property
    def _is_full(self) -> bool:
        return self._decoder.waiting_bytes > MOST_BYTES or len(self._blocks) >= MOST_BLOCKS

    def end(self, error: BaseException | None = None) -> bool:
        """Take no more bytes. What was taken is decoded and plays; then the utterance ends, or fails with this error.

        Returns:
            False if it had ended before.
        """
        if self.ended:
            return False
        self._ended = True
        self._producer_error = error
        self._taken.open()  # what waits to be written is refused
        if self._task is None:
            self._is_over = True
            self._end_utterance()
        self._decoder.end()
        return True

    async def wait(self) -> None:
        """Wait until all is written, or the utterance takes no more."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def cancel(self) -> None:
        """Stop: the utterance takes no more audio."""
        self._decoder.close()
        self._blocks.clear()
        if self._task is not None and self._task is not running_task() and not self._loop.is_closed():
            self._task.cancel()

    # On the decoder's thread

    def _decoded(self, block: Block) -> None:
        self._blocks.append(block)
        if len(self._blocks) >= MOST_BLOCKS:
            self._decoder.pause()
            if len(self._blocks) < MOST_BLOCKS:  # the task has taken some, and resumed it, just before it was paused
                self._decoder.resume()
        self._call(self._arrived.open)

    def _read(self) -> None:
        if self._writes_waiting:
            self._call(self._taken.open)

    def _finished(self, error: BaseException | None) -> None:
        self._call(self._finish, error)

    def _call(self, function: Callable[..., object], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits for it any more
            self._decoder.close()

    # On the loop

    def _finish(self, error: BaseException | None) -> None:
        self._is_over = True
        self._decode_error = error
        self._arrived.open()
        self._taken.open()

    async def _write_blocks(self) -> None:
        try:
            while not self._utterance.ended:
                while not self._blocks:
                    if self._is_over:
                        return
                    await self._arrived.wait()
                block = self._blocks.popleft()
                if len(self._blocks) < MOST_BLOCKS:
                    self._decoder.resume()
                self._taken.open()
                await self._input.write_block(self._utterance, block)
        except asyncio.CancelledError:
            # Whoever ended the utterance has cancelled this; anybody else has, in effect, cancelled the utterance.
            if not self._utterance.ended:
                self._input.cancel(self._utterance)
        except Exception as error:
            self._decode_error = self._decode_error or error
        finally:
            self._decoder.close()
            self._input.count_damaged(self._decoder.damaged)
            self._taken.open()
            self._end_utterance()

    def _end_utterance(self) -> None:
        error = self._producer_error or self._decode_error
        if error is not None:
            self._input.fail(self._utterance, error)
        elif self._is_over:
            self._input.end(self._utterance)


def attach_decoder(input: Input, utterance: Utterance, *, untrusted: bool) -> None:
    """Have the pushes of an utterance taken for the bytes of a media stream.

    Raises:
        RuntimeError: no event loop runs, or an untrusted one can't be decoded here.
    """
    decoder = StreamInput(input, utterance, utterance.id, untrusted=untrusted)
    utterance._decoder = decoder  # noqa: SLF001 - its own
    utterance._on_input_over = decoder.cancel  # noqa: SLF001
