"""The aiortc track that encodes Opus itself, and sends nothing during silence."""

from __future__ import annotations

import logging
from collections import deque
from fractions import Fraction
from typing import Any, Final, get_args
from weakref import ReferenceType, ref

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender
from aiortc.sdp import SessionDescription

from playback.codec.settings import CLOCK_RATE, Application, OpusSettings
from playback.codec.settings import PACKET_SAMPLES as PACKET_SAMPLES
from playback.codec.settings import SAMPLE_RATES as SAMPLE_RATES
from playback.controller import PlaybackController
from playback.controller_track import ControllerTrack
from playback.opus_reader import IDLE_SECONDS as IDLE_SECONDS
from playback.opus_reader import Idle, OpusReader

LOGGER: Final = logging.getLogger("playback")

_TIME_BASE: Final = Fraction(1, CLOCK_RATE)
_OPUS: Final = "audio/opus"
_ADVICE: Final = (
    "call playback.opus.prefer_opus(peer_connection, sender) before createOffer() or, where an offer is answered,"
    " before setRemoteDescription(); if the other side has no Opus, use a PlaybackTrack"
)


class CodecError(RuntimeError):
    """A connection that did not negotiate Opus."""


class OpusPlaybackTrack(ControllerTrack):
    """An audio track that plays a controller as Opus packets, which aiortc sends as they are.

    It takes less than half of the CPU of a :class:`~playback.track.PlaybackTrack`, which aiortc encodes: it encodes
    mono instead of stereo, at a bit rate for speech, without another thread. A packet holds 20 ms. After 200 ms of
    silence, nothing is sent until there is sound again; 10 ms of silence are sent before that sound, so that none of it
    is lost. Timestamps always follow the clock. When the loop was blocked for more than 60 ms, the track skips ahead.

    Opus has to be the first codec that the connection negotiates::

        sender = peer_connection.addTrack(OpusPlaybackTrack(controller))
        prefer_opus(peer_connection, sender)

    aiortc labels packets with the codec that it negotiated, and does not report this codec to the track.
    :func:`prefer_opus` gives the connection to the track, so that it can check the codec: if it is not Opus, nothing is
    sent, and :meth:`recv` raises. Without :func:`prefer_opus` the track can't check this, and logs a warning.

    The controller's states, events and positions are the same with either track. But aiortc sends audio levels
    (RFC 6464) only for frames, not for packets: a receiver that detects the active speaker by them ignores this track.

    Args:
        controller: what to play, mono at 8, 12, 16, 24 or 48 kHz; it can have one live reader, and
            this is one from its first :meth:`recv` on.
        bitrate: what the encoder aims at, in bits per second, 6,000 to 256,000. ``voip`` keeps close to it; ``audio``
            and ``lowdelay`` spend up to twice as much on even, tonal voices, and would sound worse otherwise. 32,000 is
            within what full-band mono speech needs (RFC 7587, section 3.1.1: 28 to 40 kbit/s).
        complexity: 0 to 10: how much CPU the encoder may use.
        application: what the encoder is tuned for. ``audio`` sounds like ``voip`` for half of the CPU and more bits,
            and ``lowdelay`` is like ``audio``, 4 ms faster, and without FEC. The page on performance has the figures.
        expected_loss: the share of packets that is expected to be lost, 0 to 1. Above 0, a packet of speech also holds
            the one before it, more coarsely (in-band FEC), for a receiver that makes use of it; libopus does that from
            6 % on, so less counts as much. ``lowdelay`` has no such thing, and only leans less on what came before.
        idle: ``"nothing"``, or ``"silence"`` to send packets of silence, for a peer that takes a gap for a loss.
        close_controller: whether :meth:`stop` closes the controller, so that nobody waits for ever.

    Raises:
        ValueError: the controller's format, or one of these, is nothing that Opus has.
        TypeError: one of these has another type.
    """

    def __init__(
        self,
        controller: PlaybackController,
        *,
        bitrate: int = 32_000,
        complexity: int = 5,
        application: Application = "audio",
        expected_loss: float = 0.0,
        idle: Idle = "nothing",
        close_controller: bool = True,
    ) -> None:
        if idle not in get_args(Idle):
            raise ValueError(f"idle is {idle!r}, expected one of {', '.join(map(repr, get_args(Idle)))}")
        settings = OpusSettings(bitrate, complexity, application, expected_loss)
        self._reader: Final = OpusReader(controller, settings, idle=idle)
        super().__init__(controller, close_controller=close_controller)

        self._ready: Final[deque[av.Packet[av.AudioStream]]] = deque()
        self._peer_connection: ReferenceType[RTCPeerConnection] | None = None
        self._codec_checked = False

    async def recv(self) -> av.Packet[av.AudioStream]:
        """The next packet, when it is due; during silence, the first packet after it.

        Raises:
            CodecError: the connection, as :func:`prefer_opus` was given it, negotiated another codec for this track's
                sender. That is not seen through a relay, or another track around this one.
            MediaStreamError: the track was stopped.
            TrackInUseError: another task consumes the track, or another reader the controller.
        """
        self._check_live()
        if not self._codec_checked:
            self._check_codec()
        while not self._ready:
            self._ready.extend(self.packets(await self._tick() * PACKET_SAMPLES))
        return self._ready.popleft()

    def packets(self, pts: int) -> list[av.Packet[av.AudioStream]]:
        """Read and encode the next 20 ms, whether or not they are due.

        Args:
            pts: their timestamp, in samples at 48 kHz.

        Returns:
            One packet; none within silence; two at the end of silence: a jitter buffer fades in the first packet after
            a gap, so the first one is 10 ms of silence.
        """
        return [_stamped(data, pts + offset) for offset, data in self._reader.read()]

    def _use(self, peer_connection: RTCPeerConnection) -> None:
        """Look up in this connection what is negotiated; it is not kept alive for that."""
        self._peer_connection, self._codec_checked = ref(peer_connection), False

    def _check_codec(self) -> None:
        """See that Opus was negotiated, once it is known what was: a sender of aiortc never changes its codec.

        Raises:
            CodecError: it is something else.
        """
        if self._peer_connection is None:
            self._codec_checked = True
            LOGGER.warning(
                "an OpusPlaybackTrack is read that can't see which codec was negotiated: %s; behind a relay or another"
                " track, see to it that Opus is",
                _ADVICE,
            )
            return
        peer_connection = self._peer_connection()
        codec = None if peer_connection is None else _negotiated(peer_connection, self)
        if codec is None:  # somebody else reads, or the track is with another sender by now
            return
        if codec.lower() != _OPUS:
            raise CodecError(f"the connection negotiated {codec}, expected {_OPUS}: {_ADVICE}")
        self._codec_checked = True


def _stamped(data: bytes, pts: int) -> av.Packet[av.AudioStream]:
    """A packet, with its time."""
    packet: av.Packet[Any] = av.Packet(data)
    packet.pts = packet.dts = pts
    packet.time_base = _TIME_BASE
    return packet


def _negotiated(peer_connection: RTCPeerConnection, track: MediaStreamTrack) -> str | None:
    """What codec a connection negotiated for what it sends of a track.

    It is the first in its own description that the other side's has, too. An answer has them in order of preference,
    and so does an offer, once preferences were set, as :func:`prefer_opus` does.

    Returns:
        The MIME type; None if no sender of it has the track, or nothing is negotiated yet.
    """
    mids = [each.mid for each in peer_connection.getTransceivers() if each.sender.track is track]
    if not mids or peer_connection.signalingState != "stable":
        return None
    local, remote = peer_connection.localDescription, peer_connection.remoteDescription
    if local is None or remote is None:
        return None
    theirs = {codec.lower() for codec in _codecs(remote.sdp, mids[0])}
    return next((codec for codec in _codecs(local.sdp, mids[0]) if codec.lower() in theirs), None)


def _codecs(sdp: str, mid: str | None) -> list[str]:
    """The MIME types of a section, in order."""
    sections = (section for section in SessionDescription.parse(sdp).media if section.rtp.muxId == mid)
    return [codec.mimeType for section in sections for codec in section.rtp.codecs]


def prefer_opus(peer_connection: RTCPeerConnection, sender: RTCRtpSender) -> None:
    """Make a connection prefer Opus for a sender, if the other side supports it.

    Call this before ``createOffer()`` or, if the connection answers an offer, before ``setRemoteDescription()``. It
    sets the codec preferences: Opus, then all others that aiortc has. If the other side has no Opus, another codec is
    negotiated, and the sender's :class:`OpusPlaybackTrack` raises a :class:`CodecError` instead of sending.

    After ``replaceTrack()``, call it again, so that the new track can check the negotiated codec.

    Raises:
        ValueError: the sender is not one of this connection's, or does not send audio.
        RuntimeError: the connection has an offer already: codecs were chosen when it came.
    """
    if sender.kind != "audio":
        raise ValueError(f"the sender's kind is {sender.kind!r}, expected 'audio'")
    if peer_connection.signalingState == "have-remote-offer":
        raise RuntimeError("the connection has an offer already, expected prefer_opus before setRemoteDescription()")
    for transceiver in peer_connection.getTransceivers():
        if transceiver.sender is sender:
            codecs = RTCRtpSender.getCapabilities("audio").codecs
            transceiver.setCodecPreferences(sorted(codecs, key=lambda codec: codec.mimeType.lower() != _OPUS))
            if isinstance(sender.track, OpusPlaybackTrack):
                sender.track._use(peer_connection)  # noqa: SLF001 - of this module
            return
    raise ValueError("the sender belongs to another connection, expected one of peer_connection.getSenders()")
