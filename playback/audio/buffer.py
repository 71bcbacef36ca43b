"""SampleBuffer: audio, first in, first out, and where playback stands in it.

What was pushed lies in three places: samples that were played and are kept for a rewind, samples in the output format
that come next, and raw blocks that are still to be converted. Nothing here copies, joins or walks through what is
buffered, so no cost depends on how much that is. Only :meth:`append` adds, only :meth:`read` and :meth:`fill` move on,
only :meth:`rewind` and :meth:`take_back` go back, only :meth:`truncate` and :meth:`release` drop anything.

What is read was heard, unless the reader confirms (:meth:`keep_unheard`): then it is kept until :meth:`hear`.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from typing import Any, Final

from playback.audio.converter import Converter, check_convertible, converted_samples
from playback.audio.envelope import Envelope
from playback.audio.formats import BLOCK_SECONDS, AudioFormat, Block, FormatError, Layout, bare_layout

_GONE_BYTES: Final = 1 << 16
"""How much leaves the history until an envelope gets it: 0.7 s at 48 kHz."""

_NEVER: Final = 1 << 62
"""A sample that no buffer reaches."""


class SampleBuffer:
    """Audio in the order in which it was pushed.

    Args:
        format: the output format.
        history: how many played samples are kept for a rewind.
    """

    __slots__ = (
        "_base",
        "_chunk",
        "_chunks",
        "_converter",
        "_end",
        "_farthest",
        "_format",
        "_gone",
        "_gone_bytes",
        "_heard",
        "_history",
        "_history_bytes",
        "_layout",
        "_limit",
        "_made",
        "_native",
        "_offset",
        "_past",
        "_past_bytes",
        "_raw",
        "_raw_at",
        "_run_in",
        "_run_out",
        "_stop",
        "_width",
        "accepted",
        "discarded",
        "ended",
        "envelope",
        "error",
        "largest",
    )

    def __init__(self, format: AudioFormat, history: int) -> None:
        self.accepted = 0
        """Output samples that the pushes so far amount to."""
        self.largest = 0
        """Output samples of the largest push so far."""
        self.discarded = 0
        """Output samples that were dropped by :meth:`truncate`, and will never be played."""
        self.ended = False
        """Whether no more audio may come."""
        self.error: FormatError | None = None
        """Why the rest can't be played, once that was found: a long push is checked as it is converted."""

        self.envelope: Envelope | None = None
        """What follows how loud it is, if anything does."""

        self._format = format
        self._width = format.frame_bytes
        self._native = bare_layout(format)
        self._history = history
        self._history_bytes = history * self._width

        # Audio in the output format: what was played, the chunk being played from `_offset` on, what comes next.
        self._past: deque[bytes | memoryview] = deque()
        self._past_bytes = 0
        self._chunk: bytes | memoryview = b""
        self._offset = 0
        self._chunks: deque[bytes | memoryview] = deque()
        self._base = 0  # samples before `_chunk`
        self._made = 0  # samples up to the end of `_chunks`
        self._gone: list[bytes | memoryview] = []  # what has left `_past`, and the envelope has not got yet
        self._gone_bytes = 0
        self._farthest = 0  # where playback was when it last went back
        self._heard: int | None = None  # how much was heard, where that is not what was read
        self._stop = _NEVER  # see `stop_before`
        self._end = _NEVER  # see `truncate`
        self._limit = 0  # a plain copy has to end before this byte of `_chunk`

        # Audio that is still to be converted, and how much of the current run of pushes was taken and promised.
        self._raw: deque[Block] = deque()
        self._raw_at = 0  # samples of the first of these blocks that were taken
        self._converter: tuple[Layout, Converter] | None = None
        self._layout = self._native
        self._run_in = 0
        self._run_out = 0

    @property
    def cursor(self) -> int:
        """Where playback stands, in samples from the start; a rewind takes it back."""
        return self._base + self._offset // self._width

    @property
    def handed_out(self) -> int:
        """Samples that were read, each counted once."""
        return max(self._farthest, self._base + self._offset // self._width)

    @property
    def played(self) -> int:
        """Samples that were heard, each counted once; those that were read, unless the reader confirms."""
        return self.handed_out if self._heard is None else self._heard

    @property
    def keeps_unheard(self) -> bool:
        """Whether what was read counts as played only when it is confirmed."""
        return self._heard is not None

    @property
    def unread(self) -> int:
        """Samples that were accepted and are still to be read, after a rewind a second time."""
        return self.accepted - self.cursor

    @property
    def last_sample(self) -> bytes:
        """The sample before the next one, of all channels; silence at the start, and where it is no longer kept."""
        if self._offset:
            return bytes(memoryview(self._chunk)[self._offset - self._width : self._offset])
        return bytes(memoryview(self._past[-1])[-self._width :]) if self._past else bytes(self._width)

    @property
    def over(self) -> bool:
        """Whether no more audio may come and all of it was handed out."""
        return self.ended and self.cursor >= self._last

    @property
    def _last(self) -> int:
        """Where the last sample ends that can be played."""
        last = self.accepted if self.error is None else self._made
        return last if last < self._end else self._end

    def measure(self, block: Block) -> int:
        """How many output samples a block would add.

        Raises:
            FormatError: its layout can't be converted.
        """
        if block.layout == self._native:
            return block.samples
        run_in, run_out = self._run_in, self._run_out
        if block.layout != self._layout:
            check_convertible(block.layout, self._format)
            run_in = run_out = 0
        rates = block.layout.sample_rate, self._format.sample_rate
        return converted_samples(run_in + block.samples, *rates) - run_out

    def append(self, block: Block, added: int) -> None:
        """Add a block that was measured; a block of another layout than the one before begins a new run."""
        if block.layout != self._layout:
            self._layout, self._run_in, self._run_out = block.layout, 0, 0
        self._run_in += block.samples
        self._run_out += added
        self.accepted += added
        self.largest = max(self.largest, added)
        if block.layout == self._native and block.is_plain and not self._raw and self._converter is None:
            self._chunks.append(block.read())
            self._made += added
        elif block.samples:
            self._raw.append(block)

    def append_plain(self, data: bytes, samples: int) -> None:
        """Add whole samples in the output format, right after others of that kind: no run begins, nothing converts.

        They are no more than the :attr:`largest` push: this is the fast path of a push, and looks at nothing.
        """
        self._chunks.append(data)
        self.accepted += samples
        self._made += samples

    def takes_plain(self, format: AudioFormat) -> bool:
        """Whether :meth:`append_plain` may go on from here with bytes of this format."""
        plain = self._layout == self._native and not self._raw and self._converter is None
        return plain and bare_layout(format) == self._native

    def end(self) -> None:
        """Take no more audio."""
        self.ended = True
        self._plan()

    def stop_before(self, sample: int | None) -> None:
        """Have :meth:`fill` copy nothing that reaches this sample, where something is to be reported; None for none."""
        self._stop = _NEVER if sample is None else sample
        self._plan()

    def available(self, samples: int) -> int:
        """How many samples can be read now; converts no more than it takes to have as many as asked for."""
        while self._made - self.cursor < samples and self._convert():
            pass
        return self._made - self.cursor

    def fill(self, out: memoryview) -> bool:
        """Copy the next bytes, if they are there and reach neither the end nor what :meth:`stop_before` names.

        Returns:
            Whether it copied; False changes nothing that a read can notice.
        """
        start = self._offset
        if start == len(self._chunk):
            if not self._advance():
                return False
            start = 0
        stop = start + len(out)
        if stop >= self._limit:
            return self._fill_across(out)
        # Mostly a chunk is a frame, and needs no view; a slice without one would be a copy.
        out[:] = self._chunk if stop - start == len(self._chunk) else memoryview(self._chunk)[start:stop]
        self._offset = stop
        return True

    def _fill_across(self, out: memoryview) -> bool:
        """The same where a chunk ends within what is wanted."""
        samples = len(out) // self._width
        if self.cursor + samples >= self._next_stop() or self.available(samples) < samples:
            return False
        self.read(out)
        return True

    def read(self, out: memoryview) -> None:
        """Copy the next bytes; as many must be :meth:`available`."""
        done = 0
        while done < len(out):
            if self._offset == len(self._chunk):
                self._advance()
            piece = memoryview(self._chunk)[self._offset : self._offset + len(out) - done]
            out[done : done + len(piece)] = piece
            self._offset += len(piece)
            done += len(piece)

    def peek(self, samples: int) -> bytes:
        """The bytes of the next samples, as many as there are, without moving on."""
        left = min(samples, self.available(samples)) * self._width
        pieces = []
        for chunk in chain([memoryview(self._chunk)[self._offset :]], self._chunks):
            if left <= 0:
                break
            pieces.append(memoryview(chunk)[:left])
            left -= len(chunk)
        return b"".join(pieces)

    def follow_loudness(self, envelope: Envelope | None) -> None:
        """Have an envelope follow how loud it is, from here on: what is gone already counts as speech."""
        self.envelope = envelope
        if envelope is not None:
            envelope.skip(self._base - self._past_bytes // self._width)

    def kept_of_played(self, beyond: int = 0) -> list[bytes | memoryview]:
        """What was played, as far as it is still here.

        Args:
            beyond: how many samples of what follows it are wanted, too, if they have been converted.
        """
        self._look_at_gone()
        left = (self.played + beyond) * self._width - (self._base * self._width - self._past_bytes)
        pieces: list[bytes | memoryview] = []
        for chunk in chain(self._past, [self._chunk], self._chunks):
            if left <= 0:
                break
            pieces.append(memoryview(chunk)[:left])
            left -= len(chunk)
        return pieces

    def following_raw(self, beyond: int) -> list[tuple[Block, int, int]]:
        """What follows that and was not converted.

        Args:
            beyond: how many samples of what follows what was played are wanted.

        Returns:
            Blocks, and where in each of them the samples begin and end that are wanted.
        """
        left = self.played + beyond - self._made
        start = self._raw_at
        pieces: list[tuple[Block, int, int]] = []
        for block in self._raw:
            if left <= 0:
                break
            rate = block.layout.sample_rate
            stop = min(block.samples, start + converted_samples(left, self._format.sample_rate, rate))
            pieces.append((block, start, stop))
            left -= converted_samples(stop - start, rate, self._format.sample_rate)
            start = 0
        return pieces

    def rewind(self, samples: int) -> int:
        """Go back by so many samples, as far as the history goes.

        Returns:
            By how many samples it went back.
        """
        samples = min(samples, self._history, (self._offset + self._past_bytes) // self._width)
        self._go_back(samples)
        return samples

    def keep_unheard(self) -> None:
        """Have what is read from here on count as played only when it was heard, and keep it until then."""
        if self._heard is None:
            self._heard, self._history_bytes = self.played, _NEVER

    def hear(self, sample: int) -> None:
        """All up to a sample was heard, in the order of the last reading."""
        assert self._heard is not None
        self._heard = max(self._heard, sample)
        self._forget((sample - self._base) * self._width + self._past_bytes - self._history * self._width)

    def take_back(self, sample: int) -> None:
        """Go back to a sample from which on nothing was heard."""
        self._go_back(self.cursor - sample)

    def hear_at_once(self) -> None:
        """Have what is read from here on count as played; all that was read was heard or taken back."""
        if self._heard is not None:
            self._farthest, self._heard, self._history_bytes = self._heard, None, self._history * self._width

    def _go_back(self, samples: int) -> None:
        self._farthest = self.handed_out
        left = samples * self._width
        while left > self._offset:
            left -= self._offset
            self._chunks.appendleft(self._chunk)
            self._chunk = self._past.pop()
            self._past_bytes -= len(self._chunk)
            self._base -= len(self._chunk) // self._width
            self._offset = len(self._chunk)
        self._offset -= left
        self._plan()

    def truncate(self, end: int, beyond: int) -> tuple[bytes, tuple[deque[Any], ...]] | None:
        """Take no more audio, and drop all that comes after a sample.

        Args:
            end: how many samples from the start stay; they were accepted, and one of them is still to be read.
            beyond: how many of those that are dropped the caller needs.

        Returns:
            The bytes of these, as many as there are, and what held all that is dropped, as :meth:`release` gives it;
            None, and nothing is dropped, if what is to stay can't be played.
        """
        was_ended, self.ended = self.ended, True  # or a resampler would hold back what is to be played
        next_bytes = self.peek(end - self.cursor + beyond)
        kept = (end - self.cursor) * self._width
        if len(next_bytes) < kept:
            self.ended = was_ended
            return None
        held = self._chunks, self._raw
        word = next_bytes[:kept]
        if self._offset:
            self._chunk, self._chunks = memoryview(self._chunk)[: self._offset], deque([word])
        else:
            self._chunk, self._chunks = word, deque()
        self.discarded = self.accepted - max(end, self.played)
        self._raw, self._raw_at, self._converter, self.error = deque(), 0, None, None
        self._made = self._end = end
        self._plan()
        return next_bytes[kept:], held

    def release(self) -> tuple[deque[Any], ...]:
        """Drop all audio.

        Returns:
            What held it, so that the caller can free it a little at a time. An envelope has it instead, if there is
            one: it looks at what it frees.
        """
        held: tuple[deque[Any], ...] = self._past, self._chunks, self._raw
        if self.envelope is not None:
            self._look_at_gone()
            self._past.append(self._chunk)
            self.envelope.keep_rest(self._past, self._chunks, self._raw, self._raw_at)
            held = ()
        self._farthest = self.handed_out
        self._past, self._chunks, self._raw = deque(), deque(), deque()
        self._chunk, self._offset, self._base, self._converter = b"", 0, 0, None
        self._limit = self._past_bytes = self._made = self._raw_at = 0
        return held

    def _advance(self) -> bool:
        """Go on to the next chunk; False if there is none."""
        while not self._chunks:
            if not self._convert():
                return False
        size = len(self._chunk)
        self._base += size // self._width
        self._past.append(self._chunk)
        self._past_bytes += size
        while self._past and self._past_bytes - len(self._past[0]) >= self._history_bytes:
            gone = self._past.popleft()
            self._past_bytes -= len(gone)
            if self.envelope is not None:
                self._look_later(gone)
        self._chunk = self._chunks.popleft()
        self._offset = 0
        self._plan()
        return True

    def _forget(self, size: int) -> None:
        """Let go of so many bytes of what was played, as far as these are whole chunks."""
        while self._past and len(self._past[0]) <= size:
            gone = self._past.popleft()
            size -= len(gone)
            self._past_bytes -= len(gone)
            if self.envelope is not None:
                self._look_later(gone)

    def _look_later(self, gone: bytes | memoryview) -> None:
        """Have the envelope look at what has left the history, once it is enough."""
        self._gone.append(gone)
        self._gone_bytes += len(gone)
        if self._gone_bytes >= _GONE_BYTES:
            self._look_at_gone()

    def _look_at_gone(self) -> None:
        """Have the envelope look at what has left the history: many chunks at once, for each look costs its time."""
        if self._gone and self.envelope is not None:
            audio = b"".join(self._gone)
            self.envelope.add(audio)
            self.envelope.keep(audio)
        self._gone, self._gone_bytes = [], 0

    def _plan(self) -> None:
        """Find the byte of the current chunk before which a plain copy has to end."""
        limit = len(self._chunk) + 1
        if self.ended or self._stop != _NEVER:
            limit = min(limit, (self._next_stop() - self._base) * self._width)
        self._limit = limit

    def _next_stop(self) -> int:
        """Where there is something to report, in samples from the start."""
        end = self._last if self.ended else self.accepted + 1
        return end if end < self._stop else self._stop

    def _convert(self) -> bool:
        """Convert one more block of what waits; False if there is nothing to do."""
        layout = self._raw[0].layout if self._raw else None
        if self._converter is not None and (layout != self._converter[0] if layout else self.ended or self.error):
            data: bytes | memoryview = self._converter[1].flush()
            self._converter = None
        elif layout is None or self.error is not None:
            return False
        else:
            try:
                raw = self._next_raw(layout)
            except FormatError as error:
                self._fail(error)
                return True
            if layout == self._native:
                data = raw
            else:
                if self._converter is None:
                    self._converter = layout, Converter(layout, self._format)
                data = self._converter[1].convert(raw)
        if data:
            self._chunks.append(data)
            self._made += len(data) // self._width
        return True

    def _fail(self, error: FormatError) -> None:
        """Drop what waits: it can't be played."""
        self.error = error
        self._raw, self._raw_at = deque(), 0
        self._plan()

    def _next_raw(self, layout: Layout) -> bytes | memoryview:
        """At most :data:`BLOCK_SECONDS` of what waits in one layout, but whole where it is plain.

        Raises:
            FormatError: the very next samples can't be played.
        """
        if layout == self._native and self._raw[0].is_plain:
            return self._raw.popleft().read()
        room = max(1, int(BLOCK_SECONDS * layout.sample_rate))
        is_s16, width = layout.sample_type == "s16", layout.frame_bytes
        pieces: list[bytes | memoryview] = []
        while room and self._raw and self._raw[0].layout == layout:
            block, start = self._raw[0], self._raw_at
            _, data, samples, _, _, encoding = block
            # Most are short, and samples already: what block.read() would find out takes longer than all the rest.
            if type(data) is bytes and is_s16 and not start and encoding is None and samples <= room:
                pieces.append(data if len(data) == samples * width else data[: samples * width])
                room -= samples
                self._raw.popleft()
                continue
            stop = min(samples, start + room)
            try:
                pieces.append(block.read(start, stop))
            except FormatError:
                if not pieces:
                    raise
                break  # what comes before it can be played
            room -= stop - start
            self._raw_at = stop
            if stop == block.samples:
                self._raw.popleft()
                self._raw_at = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
