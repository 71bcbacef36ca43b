"""The aiortc track: waits until a frame is due, reads it from the controller, stamps it. It decides nothing.

:func:`play` adds one to a connection, and lets both end together.
"""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Final

import av
from aiortc import RTCPeerConnection, RTCRtpSender

from playback._checks import check_seconds, check_type
from playback.connections import CONNECT_SECONDS, close_with
from playback.controller import PlaybackController
from playback.controller_track import ControllerTrack, TrackInUseError
from playback.far_end import report_far_end
from playback.lost_peer import LOST_SECONDS, hold_while_lost
from playback.opus import OpusPlaybackTrack, prefer_opus

__all__ = [
    "CONNECT_SECONDS",
    "LOST_SECONDS",
    "ControllerTrack",
    "PlaybackTrack",
    "TrackInUseError",
    "close_with",
    "hold_while_lost",
    "play",
    "report_far_end",
]


class PlaybackTrack(ControllerTrack):
    """An audio track that plays a controller.

    Frames hold 20 ms in the controller's format, s16 packed. When the loop was blocked for more than 60 ms the track
    skips ahead: timestamps follow the clock, no audio is lost, and nothing comes in a burst.

    :func:`play` adds one to a connection. By hand, that is::

        track = PlaybackTrack(controller)
        peer_connection.addTrack(track)
        close_with(peer_connection, track)

    Args:
        controller: what to play; it can have one live reader, and this is one from its first :meth:`recv` on.
        close_controller: whether :meth:`stop` closes the controller, so that nobody waits for ever.

    Raises:
        ValueError: the controller's rate has no frames of 20 ms.
    """

    def __init__(self, controller: PlaybackController, *, close_controller: bool = True) -> None:
        super().__init__(controller, close_controller=close_controller)
        output = controller.format
        self._sample_rate: Final = output.sample_rate
        self._layout: Final = "mono" if output.channels == 1 else "stereo"
        self._time_base: Final = Fraction(1, output.sample_rate)

    async def recv(self) -> av.AudioFrame:
        """The next frame, when it is due.

        Raises:
            MediaStreamError: the track was stopped.
            TrackInUseError: another task consumes the track, or another reader the controller.
        """
        return self.frame(await self._tick() * self._samples)

    def frame(self, pts: int) -> av.AudioFrame:
        """Read the next frame, whether or not it is due.

        Args:
            pts: its timestamp, in samples.
        """
        # A new one each time: a consumer (a relay, a recorder) may hold on to it.
        frame = av.AudioFrame("s16", self._layout, self._samples)
        self._controller.read_into(frame.planes[0])
        frame.sample_rate = self._sample_rate
        frame.pts = pts
        frame.time_base = self._time_base
        return frame


def play(
    peer_connection: RTCPeerConnection,
    controller: PlaybackController,
    *,
    opus: bool = False,
    connect_seconds: float | None = CONNECT_SECONDS,
    lost_seconds: float | None = LOST_SECONDS,
    close_controller: bool = True,
) -> RTCRtpSender:
    """Play a controller over a connection, and end with it.

    However the connection ends (closed, failed, never answered, closed while it connects), the track ends with it, and
    so does the controller: whoever waits for an utterance gets its report. While the peer is lost (no packet and no
    answer to a request for consent), the controller is paused; it goes on where the peer was lost when that is back.

    Example::

        play(peer_connection, controller)

    Args:
        peer_connection: where to; to be called before ``createOffer()`` or, with ``opus`` where an offer is answered,
            before ``setRemoteDescription()``.
        controller: what to play; it can have one live reader.
        opus: send an :class:`~playback.opus.OpusPlaybackTrack`, which costs less than half.
        connect_seconds: how long the connection may take from now on to come up, before it is closed; None waits for
            ever.
        lost_seconds: how long the peer may send nothing, not even an answer to a request for consent, before it is
            lost; None never pauses.
        close_controller: whether the controller is closed at the end; False keeps it for another connection.

    Returns:
        The sender.

    Raises:
        ValueError: the controller's format does not fit, or a time is negative or not finite.
        TypeError: an argument of another type.
        RuntimeError: no event loop runs; or, with ``opus``, the connection has an offer already.
        InvalidStateError: the connection is closed.
    """
    check_type("peer_connection", peer_connection, RTCPeerConnection)
    check_type("controller", controller, PlaybackController)
    if opus and peer_connection.signalingState == "have-remote-offer":
        raise RuntimeError(
            "the connection has an offer already, expected play(opus=True) before setRemoteDescription()"
        )
    for name, seconds in (("connect_seconds", connect_seconds), ("lost_seconds", lost_seconds)):
        if seconds is not None:
            check_seconds(name, seconds)
    if lost_seconds == 0:
        raise ValueError("lost_seconds is 0, expected more, or None")
    asyncio.get_running_loop()  # nothing is half done without one
    make = OpusPlaybackTrack if opus else PlaybackTrack
    track = make(controller, close_controller=close_controller)
    sender = peer_connection.addTrack(track)
    if opus:
        prefer_opus(peer_connection, sender)
    close_with(peer_connection, track, connect_seconds=connect_seconds)
    report_far_end(peer_connection, sender, controller)
    if lost_seconds is not None:
        hold_while_lost(peer_connection, sender, controller, lost_seconds=lost_seconds)
    return sender
