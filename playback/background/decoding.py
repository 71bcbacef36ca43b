"""Decoding a file for the background, on a thread: round after round, whatever is wrong with it.

State: the audio that is ready, the room for more, and whether anybody wants it. The thread holds nothing through which
the sound would be kept alive. The reader of the audio never waits for a lock that the thread may hold: both queues are
C's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import closing
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Final, NamedTuple

from playback.audio.converter import Converter, check_convertible
from playback.audio.formats import AudioFormat, Block, FormatError, Layout, bare_layout
from playback.audio.media.blocks import Damage
from playback.audio.media.decoding import Source, decode
from playback.audio.media.untrusted import UntrustedDecoder

_DECODED_SECONDS: Final = 0.1
"""How much of a file is handed over at a time."""

_KEPT_SECONDS: Final = 30.0
"""An untrusted file that is shorter is decoded once, and kept for its next rounds: each would take a process."""


class End(NamedTuple):
    """Nothing more comes."""

    error: BaseException | None
    """Why, if that is not its end."""


class Decoding:
    """The audio of a file, in the output format.

    Args:
        source: see :func:`playback.audio.media.decoding.decode`.
        name: what to call it in errors.
        format: the output format.
        loop: begin again at the end, for ever; all rounds are one run of the converter.
        untrusted: decode it in a process of its own.
        lead: how many blocks are decoded ahead.
    """

    def __init__(
        self, source: Source, name: str, format: AudioFormat, *, loop: bool, untrusted: bool, lead: int
    ) -> None:
        self.ready: Final[deque[bytes | int | Exception | End]] = deque()
        """What is to be taken, in order: audio, how many packets were skipped, what was wrong while it goes on."""
        self._source: Final = source
        self._name: Final = name
        self._format: Final = format
        self._loop: Final = loop
        self._untrusted: Final = untrusted
        self._room: Final[SimpleQueue[None]] = SimpleQueue()
        for _ in range(lead):
            self._room.put(None)
        self._lock: Final = Lock()
        self._is_stopped = False
        self._process: UntrustedDecoder | None = None

    def start(self) -> None:
        """Begin."""
        Thread(target=self._run, name=f"decoding {self._name}", daemon=True).start()

    def give_room(self) -> None:
        """Have one more block decoded."""
        self._room.put(None)

    def stop(self) -> None:
        """Stop, from any thread; a process that decodes ends at once."""
        with self._lock:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()
        self.ready.clear()
        self._room.put(None)

    # On the thread

    def _run(self) -> None:
        error: BaseException | None = None
        with closing(self._pieces()) as pieces:  # type: ignore[type-var]
            try:
                while self._room.get() is None and not self._is_stopped:
                    self.ready.append(next(pieces))
            except StopIteration:
                pass
            except BaseException as raised:  # whatever it is, the sound has to finish
                error = raised
        self.ready.append(End(error))

    def _pieces(self) -> Iterator[bytes]:
        """The file in the output format, in pieces of one length; the last one may be shorter."""
        size = self._format.samples(_DECODED_SECONDS) * self._format.frame_bytes
        waiting = bytearray()
        failure = None
        try:
            for data in self._converted():
                waiting += data
                while len(waiting) >= size:
                    yield bytes(waiting[:size])
                    del waiting[:size]
        except Exception as error:
            failure = error
        if waiting:
            yield bytes(waiting)
        if failure is not None:
            raise failure

    def _converted(self) -> Iterator[bytes]:
        """The file in the output format, as it comes."""
        native = bare_layout(self._format)
        run: tuple[Layout, Converter] | None = None
        failure = None
        try:
            for block in self._rounds():
                if run is not None and run[0] != block.layout:
                    yield run[1].flush()
                    run = None
                if block.layout == native:
                    yield bytes(block.read())
                    continue
                if run is None:
                    run = block.layout, Converter(block.layout, self._format)
                yield run[1].convert(block.read())
        except Exception as error:
            failure = error
        if run is not None:
            yield run[1].flush()
        if failure is not None:
            raise failure

    def _rounds(self) -> Iterator[Block]:
        """The blocks of the file, in a loop again and again.

        What can't be decoded is counted in the first round. What ends a round early is reported once, and the loop goes
        on, unless there was no audio in the whole round.

        Raises:
            Exception: what ended it early.
        """
        kept: list[Block] | None = [] if self._loop and self._untrusted else None
        failure: Exception | None = None
        is_first = True
        while not self._is_stopped:
            damage, seconds, last = Damage(), 0.0, failure
            try:
                for block in self._open(damage):
                    if not self._takes(block, damage):
                        continue
                    seconds += block.samples / block.layout.sample_rate
                    if kept is not None:
                        kept.append(block)
                        if seconds > _KEPT_SECONDS:
                            kept = None
                    yield block
            except Exception as error:
                failure = error
            failure = failure or damage.rest
            if not seconds and failure is None:
                failure = damage.last
            if is_first and damage.count:
                self.ready.append(damage.count)
            if not seconds and last is not None:  # that was reported
                return
            if not self._loop or not seconds:
                if failure is not None:
                    raise failure
                return
            if failure is not None and last is None:
                self.ready.append(failure)
            is_first = False
            while kept and not self._is_stopped:
                yield from kept

    def _takes(self, block: Block, damage: Damage) -> bool:
        """Whether a block can be converted; a damaged one may claim any number of channels."""
        try:
            check_convertible(block.layout, self._format)
        except FormatError as error:
            damage.add(error)
            return False
        return True

    def _open(self, damage: Damage) -> Iterator[Block]:
        # Opened anew each time: after a mere seek, some codecs begin differently.
        if not self._untrusted:
            yield from decode(self._source, name=self._name, damage=damage)
            return
        with self._lock:
            if self._is_stopped:
                return
            self._process = UntrustedDecoder(self._source, name=self._name, damage=damage)
        with closing(self._process):
            yield from self._process
