"""Opus packets that are there before anybody encodes, and may be sent as they are.

An utterance that came as packets, or was encoded before, has an :class:`OpusSource`. Whoever sends Opus asks it for the
packet of each 20 ms, and compares: only a frame that was read whole and unchanged, byte for byte, is sent as that one.
So a fade, a gain, a ramp, background or another sample in front needs no flag: the frame differs, and is encoded.

Opus remembers. A decoder that gets a packet of another encoder must not notice, and neither must the encoder that goes
on after it; what that takes is the source's to say (:meth:`PassedPackets.enters`, :meth:`PassedPackets.leave`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_type
from playback.audio.formats import AudioFormat, Block, parse
from playback.codec.decoder import Decoder, open_decoder
from playback.codec.encoder import OpusEncoder
from playback.codec.packets import CLOCK_RATE, packet_samples
from playback.codec.settings import PACKET_SAMPLES, SAMPLE_RATES, OpusSettings

PRE_ROLL: Final = 10
"""Frames from which an encoder learns what was before, where its own memory of it is not there: 200 ms, for what Opus
predicts from fades within a few frames (RFC 6716, section 4.3.2.1: by a half with each frame of 20 ms)."""


MOST_KEPT: Final = 1_500
"""Packets that are kept while nobody asks for them: 30 s, more than the 10 s that are buffered by default."""


class PassedPackets(Protocol):
    """The packets of the audio of one utterance, 20 ms each."""

    def frame(self, number: int) -> bytes | None:
        """The samples of which a packet is made, int16 mono at the output rate; None where there is no packet."""

    def packet(self, number: int) -> bytes:
        """The packet, of which there is a frame."""

    def enters(self, number: int) -> bool:
        """Whether this packet sounds right after something else than the packet before it."""

    def leave(self, encoder: OpusEncoder, number: int, *, silent: bool) -> bool:
        """Let an encoder go on where this packet would come, after all packets before it.

        Args:
            encoder: of the same rate and settings.
            number: of the packet in whose place it encodes.
            silent: whether what it encodes is silence.

        Returns:
            Whether what it encodes has to stand apart: it can't know what a decoder remembers.
        """


class OpusSource(Protocol):
    """What has packets for an utterance."""

    def packets(self, sample_rate: int, settings: OpusSettings) -> PassedPackets | None:
        """The packets for mono at this rate, as an encoder with these settings makes them; None if there are none."""


@dataclass(frozen=True, slots=True)
class OpusPacket:
    """A packet of Opus, as a synthesizer sends it: a piece of a source for :meth:`PlaybackController.speak`.

    Packets of 20 ms are sent on as they are, where nothing has to be mixed or faded.

    Raises:
        TypeError: it is no bytes.
        PacketError: it is no packet of Opus.
    """

    data: bytes

    def __post_init__(self) -> None:
        check_type("data", self.data, bytes)
        packet_samples(self.data)


class ReceivedPackets:
    """The packets of one utterance, decoded as they arrive: marks, sinks and estimates need samples.

    Args:
        output: the output format. Packets are sent on only if that is mono, at a rate that Opus has.
    """

    def __init__(self, output: AudioFormat) -> None:
        self._passes = output.channels == 1 and output.sample_rate in SAMPLE_RATES
        self._format: Final = AudioFormat(output.sample_rate if self._passes else CLOCK_RATE)
        self._decoder: Final[Decoder] = open_decoder(self._format.sample_rate)
        self._kept: Final[deque[tuple[bytes, bytes]]] = deque()
        self._first = 0  # the number of the first one that is kept

    def decode(self, packet: OpusPacket) -> Block:
        """Take the next packet.

        Returns:
            Its samples.

        Raises:
            PacketError: it can't be decoded.
        """
        audio = self._decoder.decode(packet.data).tobytes()
        if packet_samples(packet.data) != PACKET_SAMPLES:
            self._passes = False  # from here on, no packet is a frame
        if self._passes:
            self._kept.append((audio, packet.data))
            if len(self._kept) > MOST_KEPT:  # nobody sends them
                self._forget()
        return parse(audio, self._format)

    def packets(self, sample_rate: int, settings: OpusSettings) -> ReceivedPackets | None:
        """These, if they were decoded at this rate; see :meth:`OpusSource.packets`."""
        del settings  # of whoever encoded them, others
        return self if sample_rate == self._format.sample_rate else None

    def frame(self, number: int) -> bytes | None:
        """See :meth:`PassedPackets.frame`; what came long before is forgotten."""
        while self._first < number - PRE_ROLL and self._kept:
            self._forget()
        at = number - self._first
        return self._kept[at][0] if 0 <= at < len(self._kept) else None

    def _forget(self) -> None:
        self._kept.popleft()
        self._first += 1

    def packet(self, number: int) -> bytes:
        """See :meth:`PassedPackets.packet`."""
        return self._kept[number - self._first][1]

    def enters(self, number: int) -> bool:
        """Only with the first one: the others build upon it."""
        return number == 0

    def leave(self, encoder: OpusEncoder, number: int, *, silent: bool) -> bool:
        """See :meth:`PassedPackets.leave`.

        The decoder has had all of it already, and the encoder is 6.5 ms late. Before silence it begins without a past:
        the sound ends as it is. Otherwise it learns the past, and these 6.5 ms are heard twice, faded into each other.
        """
        encoder.reset()
        before = list(self._kept)[max(0, number - self._first - PRE_ROLL) : max(0, number - self._first)]
        if not silent:
            for audio, _ in before:
                encoder.encode(frame_of(audio))
        return True


def frame_of(audio: bytes) -> NDArray[np.int16]:
    """Bytes of int16, as samples."""
    samples: NDArray[Any] = np.frombuffer(audio, np.int16)
    return samples
