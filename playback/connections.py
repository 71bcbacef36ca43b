"""The life of a track and of the peer connections that it is sent over: with the last of them, it ends.

aiortc leaves that to the application. A sender stops its track when it ends, but one that was never started does
nothing at all: a connection that nobody answers, that is closed while it connects, or whose ICE fails leaves its track
live, and whoever waits for what it plays waits for ever. Behind a ``MediaRelay`` the track stays live in any case.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiortc import RTCPeerConnection

from playback._checks import check_seconds, check_type
from playback.call_log import connection_changed
from playback.controller_track import ControllerTrack

CONNECT_SECONDS: Final = 30.0
"""How long a connection may take to come up: signalling, ICE and DTLS. aioice gives up after a minute without an
answer to its checks, but it begins only when there is a description of the other side."""

_OVER: Final = ("closed", "failed")
_LATE: Final = "its connection, which did not come up in time"

_closing: Final[set[asyncio.Task[None]]] = set()


def close_with(
    peer_connection: RTCPeerConnection, track: ControllerTrack, *, connect_seconds: float | None = CONNECT_SECONDS
) -> None:
    """End a track with the connection that it is sent over, however that ends.

    For tracks that were added by hand; :func:`playback.track.play` does it itself. To be called once for each
    connection. Behind a ``MediaRelay`` that is once for each peer, with the track that is relayed; it ends with the
    last of them::

        relay, track = MediaRelay(), PlaybackTrack(controller)
        for peer_connection in peers:
            peer_connection.addTrack(relay.subscribe(track))
            close_with(peer_connection, track)

    A connection that has failed, or was not up in time, is closed.

    Args:
        peer_connection: an ``RTCPeerConnection``; one of a fork of aiortc has what is needed, too.
        track: a :class:`~playback.track.PlaybackTrack` or :class:`~playback.opus.OpusPlaybackTrack`.
        connect_seconds: how long the connection may take from now on to come up; None waits for ever.

    Raises:
        TypeError: the track is something else, such as the relay's, or the time is no number.
        ValueError: the time is negative or not finite.
        RuntimeError: no event loop runs.
    """
    check_type("track", track, ControllerTrack)
    if connect_seconds is not None:
        check_seconds("connect_seconds", connect_seconds)
    _Life(peer_connection, track, connect_seconds, asyncio.get_running_loop())


class _Life:
    """One connection of a track, until it is over."""

    def __init__(
        self,
        peer_connection: RTCPeerConnection,
        track: ControllerTrack,
        connect_seconds: float | None,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._peer_connection: Final = peer_connection
        self._track: Final = track
        self._loop: Final = loop
        self._over = self._connected = False
        self._due = None if connect_seconds is None else loop.call_later(connect_seconds, self._end, _LATE)
        track.keep(self)
        # The first is emitted when a close begins, the second when it is complete.
        peer_connection.on("signalingstatechange", self._look)
        peer_connection.on("connectionstatechange", self._look)
        self._look()

    def _look(self) -> None:
        """See what has become of the connection."""
        connection = self._peer_connection
        if connection.connectionState in _OVER or connection.signalingState == "closed":
            failed = connection.connectionState == "failed"
            self._end(f"its connection, which {'failed' if failed else 'was closed'}")
        elif connection.connectionState == "connected" and not self._connected:
            self._connected = True
            connection_changed(self._track.call_id, "connected")
            if self._due is not None:
                self._due.cancel()
                self._due = None

    def _end(self, why: str) -> None:
        if self._over:
            return
        self._over = True
        if self._due is not None:
            self._due.cancel()
        try:
            self._track.release(self, why)
        finally:  # a listener of the track's own end may raise
            if self._peer_connection.signalingState != "closed":
                closing = self._loop.create_task(self._peer_connection.close())
                _closing.add(closing)
                closing.add_done_callback(_closing.discard)
