"""NativeSender: what a controller plays, as RTP packets of Opus."""

from __future__ import annotations

from typing import Final

from playback.codec.settings import PACKET_SAMPLES
from playback.native.rtp import RtpStream
from playback.opus_reader import OpusReader


class NativeSender:
    """Makes RTP packets of what an :class:`~playback.opus_reader.OpusReader` reads, 20 ms at a time.

    Args:
        reader: reads the controller; it sends nothing after 200 ms of silence, or silence.
    """

    def __init__(self, reader: OpusReader) -> None:
        self._read: Final = reader.read
        self._marks = True
        """Whether the next packet is the first one, or the first one after a gap (RFC 3551, section 4.1)."""

    def packets(self, stream: RtpStream, number: int) -> list[bytes]:
        """Read the next 20 ms.

        Args:
            stream: makes the headers.
            number: which 20 ms of the call they are; some may have been skipped.

        Returns:
            One packet; none within silence; two at the end of silence in which none was sent.
        """
        read = self._read()
        if not read:
            self._marks = True
            return []
        time = number * PACKET_SAMPLES
        packets = []
        for offset, payload in read:
            packets.append(stream.packet(payload, time + offset, marker=self._marks))
            self._marks = False
        return packets
