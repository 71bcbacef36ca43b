"""AiortcEngine: calls over aiortc, all on the event loop of the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from playback._checks import check_seconds
from playback.bargein.incoming import IncomingAudio
from playback.controller import PlaybackController
from playback.serving.engine import Connection, ConnectionListener, stun_servers
from playback.serving.sdp import MOST_CANDIDATES, Candidate, check_offer, has_channel, takes_opus
from playback.track import LOST_SECONDS, play

LOGGER: Final = logging.getLogger("playback")

CONNECT_SECONDS: Final = 15.0
"""How long a caller may take to connect, from its offer on: a call that nobody takes holds a place."""

BACKLOG_BYTES: Final = 1024 * 1024
"""How much may wait in a data channel for a caller that reads too slowly."""

_OVER: Final = frozenset({"failed", "closed"})


class AiortcEngine:
    """Carries calls over aiortc.

    Args:
        ice_servers: URLs of STUN servers that say by which address this machine is seen; needed where it does not know
            that itself.
        connect_seconds: how long a caller may take to connect.
        lost_seconds: as for :func:`playback.track.play`.

    Raises:
        TypeError: a time is no number.
        ValueError: a time is negative or not finite; a URL is not one of STUN.
    """

    def __init__(
        self,
        *,
        ice_servers: Iterable[str] = (),
        connect_seconds: float = CONNECT_SECONDS,
        lost_seconds: float = LOST_SECONDS,
    ) -> None:
        check_seconds("connect_seconds", connect_seconds)
        check_seconds("lost_seconds", lost_seconds)
        # With an empty list, aiortc asks nobody; without one, it asks a public server.
        self._servers: Final = stun_servers(ice_servers)
        self._connect_seconds: Final = connect_seconds
        self._lost_seconds: Final = lost_seconds

    def open(self, controller: PlaybackController, listener: ConnectionListener) -> Connection:
        """Make the connection that plays a controller."""
        peer = RTCPeerConnection(RTCConfiguration(iceServers=list(self._servers)))
        return _AiortcConnection(peer, controller, listener, self._connect_seconds, self._lost_seconds)


class _AiortcConnection:
    """One peer connection."""

    def __init__(
        self,
        peer: RTCPeerConnection,
        controller: PlaybackController,
        listener: ConnectionListener,
        connect_seconds: float,
        lost_seconds: float,
    ) -> None:
        self.incoming: IncomingAudio | None = None
        self._peer: Final = peer
        self._controller: Final = controller
        self._listener: Final = listener
        self._connect_seconds: Final = connect_seconds
        self._lost_seconds: Final = lost_seconds
        self._answering: Final = asyncio.Lock()
        self._channel: RTCDataChannel | None = None
        self._microphone: MediaStreamTrack | None = None
        self._expects_channel = False
        self._unsent: Final[list[str | bytes]] = []
        self._candidates = 0
        self._complete = self._over = self._closing = False
        peer.on("track", self._track_came)
        peer.on("datachannel", self._channel_opened)
        peer.on("connectionstatechange", self._connection_changed)

    async def answer(self, offer: str) -> str:
        """Take an offer; see :class:`Connection`."""
        check_offer(offer, needs_channel=False)
        async with self._answering:
            if self._closing:
                raise ValueError("the call was closed before it could begin")
            self._expects_channel = has_channel(offer)
            play(
                self._peer,
                self._controller,
                opus=takes_opus(offer),
                connect_seconds=self._connect_seconds,
                lost_seconds=self._lost_seconds,
                close_controller=False,
            )
            try:
                await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
                await self._peer.setLocalDescription(await self._peer.createAnswer())
            # It is checked, but a stranger's: what aiortc makes of it may still be any error.
            except Exception as error:
                LOGGER.info("an offer could not be answered", exc_info=error)
                reason = str(error)[:200] or type(error).__name__
                raise ValueError(f"the offer can't be answered: {reason}") from error
            if self._closing:
                raise ValueError("the call was closed before it could begin")
            return str(self._peer.localDescription.sdp)

    async def add_candidate(self, candidate: Candidate) -> None:
        """Take a candidate; see :class:`Connection`."""
        if self._complete or self._closing or self._candidates >= MOST_CANDIDATES:
            return
        if not candidate.text:
            self._complete = True
            await self._peer.addIceCandidate(None)
            return
        self._candidates += 1
        parsed = candidate_from_sdp(candidate.text.removeprefix("candidate:"))
        parsed.sdpMid, parsed.sdpMLineIndex = candidate.mid, candidate.index
        with suppress(OSError):  # an address of a kind that this machine has not
            await self._peer.addIceCandidate(parsed)

    def send(self, message: str | bytes) -> bool:
        """Send a message; see :class:`Connection`."""
        channel = self._channel
        if channel is None and self._expects_channel and not self._closing:
            if sum(map(len, self._unsent)) + len(message) > BACKLOG_BYTES:
                return False
            self._unsent.append(message)
            return True
        if channel is None or channel.readyState != "open" or channel.bufferedAmount + len(message) > BACKLOG_BYTES:
            return False
        try:
            channel.send(message)
        except ValueError:  # longer than the caller's offer allows
            return False
        return True

    async def close(self) -> None:
        """End it; see :class:`Connection`."""
        self._closing = True
        # A connection that is closed while it gathers addresses does not close the sockets that it then opens.
        async with self._answering:
            pass
        if self._microphone is not None:
            self._microphone.stop()
        await self._peer.close()

    # The peer connection's events

    def _track_came(self, track: MediaStreamTrack) -> None:
        if track.kind != "audio" or self._microphone is not None:
            return
        self._microphone = track
        self.incoming = IncomingAudio(track)
        self.incoming.frames(queue_seconds=0.0)  # it is read from now on: aiortc keeps what nobody takes

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._listener.message)
        for message in self._unsent:
            self.send(message)
        self._unsent.clear()

    def _connection_changed(self) -> None:
        if self._over:
            return
        if self._peer.connectionState == "connected":
            self._listener.connected()
        elif self._peer.connectionState in _OVER:
            self._over = True
            self._listener.disconnected()
