"""Prepared audio: converted once, encoded once, and played in any number of calls.

Greetings, fillers and hold music are the same in each call. A :class:`PreparedUtterance` keeps their samples, which all
calls share, and the Opus packets of each encoder's settings, which are sent as they are; see :mod:`playback.passing`.

Theory. The packets come from one encoder, in chapters of half a second. The first packet of a chapter is predicted from
nothing, so that a decoder that had something else before it can begin there; and what the encoder remembered before
each chapter is kept. To leave the packets, an encoder gets what was remembered at the beginning of the chapter, encodes
again what was sent of it, and is then, to the bit, where the encoder of the packets was: what it encodes next is what
a decoder expects. That costs at most 24 packets, 1.3 ms; to keep each state would take 31 KB for each 20 ms.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from os import PathLike, fspath
from threading import Lock
from typing import Any, Final

from playback._checks import check_type
from playback.audio.buffer import SampleBuffer
from playback.audio.formats import AudioFormat, Block, FormatError, parse
from playback.audio.media.containers import next_beginning
from playback.audio.media.decoding import decode
from playback.codec.encoder import LOOKAHEAD_SECONDS, OpusEncoder, open_encoder
from playback.codec.settings import SAMPLE_RATES, OpusSettings
from playback.pacing import frame_samples
from playback.passing import frame_of
from playback.words.word import Word, check_word

CHAPTER: Final = 25
"""Packets of a chapter: half a second."""


class PreparedUtterance:
    """Audio, its text and its words, ready to be played in many calls.

    Example::

        greeting = PreparedUtterance("greeting.wav", text="Welcome!", format=AudioFormat(24_000))
        greeting.encode()                                # before the first call, which would do it as it plays
        report = await controller.speak(greeting).wait()

    The audio is padded with silence to whole frames of 20 ms, at least by the 6.5 ms that Opus is late. The object does
    not change, and may be used in several threads. A file is decoded in this process: it must not be a stranger's.

    Args:
        audio: what :meth:`Utterance.push` takes, or the path, the bytes or the binary file of a media file.
        text: the text of the speech.
        words: when its words sound, in seconds.
        format: the output format of the controllers that play it; others play it, too, but convert and encode it again.
        source_format: the format of bytes and arrays; that of the output by default.

    Raises:
        FormatError: the audio can't be played, or there is none.
        TypeError: an argument of another type.
        ValueError: the format's rate has no frames of 20 ms.
    """

    def __init__(
        self,
        audio: Any,
        *,
        text: str | None = None,
        words: Iterable[Word] = (),
        format: AudioFormat | None = None,
        source_format: AudioFormat | None = None,
    ) -> None:
        check_type("text", text, str, None)
        check_type("format", format, AudioFormat, None)
        check_type("source_format", source_format, AudioFormat, None)
        self.format: Final = format or AudioFormat(48_000)
        """The format of :attr:`audio`."""
        self.text: Final = text
        """The text of the speech."""
        self.words: Final = tuple(map(check_word, words))
        """When its words sound."""
        samples = _converted(audio, source_format or self.format, self.format)
        if not samples:
            raise FormatError("the prepared audio is empty, expected at least one sample")
        width = frame_samples(self.format.sample_rate) * self.format.frame_bytes
        least = len(samples) + round(LOOKAHEAD_SECONDS * self.format.sample_rate) * self.format.frame_bytes
        self.audio: Final = samples + bytes(-(-least // width) * width - len(samples))
        """Its samples, interleaved int16, and the silence that they end with."""
        self._packets: Final[dict[OpusSettings, PreparedPackets]] = {}
        self._lock: Final = Lock()

    def __repr__(self) -> str:
        return f"<PreparedUtterance {self.seconds:.3g} s at {self.format.sample_rate} Hz>"

    @property
    def seconds(self) -> float:
        """How long it is, with the silence at its end."""
        return len(self.audio) / self.format.frame_bytes / self.format.sample_rate

    def encode(self, settings: OpusSettings | None = None) -> None:
        """Encode all of it now; otherwise each half second is encoded when the first call plays it.

        It takes some 3 ms for each second, without the interpreter's lock: ``asyncio.to_thread(greeting.encode)``.

        Args:
            settings: of the tracks that play it; the defaults of :class:`playback.opus.OpusPlaybackTrack` unless given.
        """
        packets = self.packets(self.format.sample_rate, settings or OpusSettings())
        if packets is not None:
            packets.encode()

    def packets(self, sample_rate: int, settings: OpusSettings) -> PreparedPackets | None:
        """Its packets; see :meth:`playback.passing.OpusSource.packets`."""
        if sample_rate != self.format.sample_rate or self.format.channels != 1 or sample_rate not in SAMPLE_RATES:
            return None
        found = self._packets.get(settings)
        if found is None:
            with self._lock:
                encoder = open_encoder(sample_rate, settings)
                if not isinstance(encoder, OpusEncoder):
                    return None
                found = self._packets.setdefault(settings, PreparedPackets(self.audio, encoder))
        return found


class PreparedPackets:
    """The packets of prepared audio, for one kind of encoder.

    Args:
        audio: whole frames of 20 ms.
        encoder: a new one.
    """

    def __init__(self, audio: bytes, encoder: OpusEncoder) -> None:
        self._audio: Final = audio
        self._width: Final = encoder.samples.nbytes
        self._count: Final = len(audio) // self._width
        self._packets: Final[list[bytes]] = []
        self._states: Final[list[bytes]] = [encoder.state()]  # before each chapter, and at last after all of them
        self._encoder: OpusEncoder | None = encoder
        self._lock: Final = Lock()

    def __len__(self) -> int:
        return self._count

    @property
    def bytes_kept(self) -> int:
        """The memory of packets and states."""
        return sum(map(len, self._packets)) + sum(map(len, self._states))

    def encode(self) -> None:
        """Encode what was not encoded yet."""
        if self._count:
            self.packet(self._count - 1)

    def frame(self, number: int) -> bytes | None:
        """See :meth:`playback.passing.PassedPackets.frame`."""
        start = number * self._width
        return self._audio[start : start + self._width] if number < self._count else None

    def packet(self, number: int) -> bytes:
        """See :meth:`playback.passing.PassedPackets.packet`; its chapter is encoded now, if it was not before."""
        while number >= len(self._packets):
            with self._lock:
                if number >= len(self._packets):
                    self._encode_chapter()
        return self._packets[number]

    def enters(self, number: int) -> bool:
        """See :meth:`playback.passing.PassedPackets.enters`."""
        return number % CHAPTER == 0

    def leave(self, encoder: OpusEncoder, number: int, *, silent: bool) -> bool:
        """See :meth:`playback.passing.PassedPackets.leave`: the encoder goes on as the one of the packets did."""
        del silent
        if number:
            self.packet(number - 1)
        chapter, rest = divmod(number, CHAPTER)
        if number == self._count:
            chapter, rest = len(self._states) - 1, 0
        encoder.restore(self._states[chapter])
        for each in range(number - rest, number):
            self._encode(encoder, each)
        return False

    def _encode_chapter(self) -> None:
        encoder = self._encoder
        assert encoder is not None, "some packets are missing"
        start = len(self._packets)
        stop = min(start + CHAPTER, self._count)
        made = [self._encode(encoder, number) for number in range(start, stop)]
        # The state comes first: whoever sees the packets, in another thread, may leave them.
        self._states.append(encoder.state())
        self._packets.extend(made)
        if stop == self._count:
            self._encoder = None

    def _encode(self, encoder: OpusEncoder, number: int) -> bytes:
        start = number * self._width
        samples = frame_of(self._audio[start : start + self._width])
        return encoder.encode_apart(samples) if self.enters(number) else encoder.encode(samples)


def _converted(audio: Any, source: AudioFormat, output: AudioFormat) -> bytes:
    """Audio of any kind, as samples of the output format."""
    buffer = SampleBuffer(output, 0)
    for block in _blocks(audio, source):
        buffer.append(block, buffer.measure(block))
    buffer.end()
    samples = bytearray(buffer.available(buffer.accepted) * output.frame_bytes)
    if buffer.error is not None:
        raise buffer.error
    buffer.read(memoryview(samples))
    return bytes(samples)


def _blocks(audio: Any, source: AudioFormat) -> Iterable[Block]:
    if isinstance(audio, (str, PathLike)):
        return decode(audio, name=fspath(audio))
    if hasattr(audio, "read"):
        return decode(audio)
    if isinstance(audio, (bytes, bytearray, memoryview)):
        try:
            next_beginning(b"", audio)
        except FormatError:  # they begin like a file
            return decode(BytesIO(audio))
    return [parse(audio, source)]
