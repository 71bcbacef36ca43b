"""Link: one peer connection of a session. When it is lost, another one may replace it at the same controller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from playback.controller import PlaybackController
from playback.lost_peer import hold_while_lost
from playback.opus import OpusPlaybackTrack, prefer_opus
from playback.serving.sdp import check_offer, takes_opus
from playback.track import PlaybackTrack

LOGGER: Final = logging.getLogger("playback")

LABEL: Final = "playback"
"""What the data channel is called."""

_GONE: Final = frozenset({"failed", "closed", "disconnected"})
"""The states of a connection that will not come back: aiortc can't restart ICE."""

Work = Callable[[MediaStreamTrack], Coroutine[Any, Any, None]]


class Link:
    """One peer connection.

    Args:
        controller: what it plays; whoever closes the link closes the controller or not.
        on_message: called with each message of the page.
        on_open: called once the data channel is open.
        on_lost: called once, when the page is gone; not when the link is closed.
        listen: hears the page's microphone, until that ends.
        on_failed: called with what `listen` raises.
        lost_seconds: how long the page may send nothing before the controller is held.
    """

    def __init__(
        self,
        controller: PlaybackController,
        *,
        on_message: Callable[[str | bytes], object],
        on_open: Callable[[Link, RTCDataChannel], object],
        on_lost: Callable[[Link], object],
        listen: Work,
        on_failed: Callable[[BaseException], object],
        lost_seconds: float,
    ) -> None:
        self._controller: Final = controller
        self._on_message: Final = on_message
        self._on_open: Final = on_open
        self._on_lost: Final = on_lost
        self._listen: Final = listen
        self._on_failed: Final = on_failed
        self._lost_seconds: Final = lost_seconds
        self._answering: Final = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._channel: RTCDataChannel | None = None
        self._voice: PlaybackTrack | OpusPlaybackTrack | None = None
        self._microphone: MediaStreamTrack | None = None
        self._hearing: asyncio.Task[None] | None = None
        # Without servers: all there is to know of addresses is in offer and answer.
        self._peer: Final = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peer.on("datachannel", self._channel_opened)
        self._peer.on("track", self._track_came)
        self._peer.on("connectionstatechange", self._connection_changed)

    @property
    def is_open(self) -> bool:
        """Whether the page is there."""
        return self._channel is not None and self._closing is None

    async def answer(self, offer: str) -> str:
        """Take an offer.

        Args:
            offer: its SDP.

        Returns:
            The answer's SDP.

        Raises:
            ValueError: the offer can't be answered; the link has to be closed then.
        """
        check_offer(offer)
        if takes_opus(offer):
            # Sooner to be heard than frames; and whoever shows a waveform wants silence, too.
            voice = OpusPlaybackTrack(self._controller, application="lowdelay", idle="silence", close_controller=False)
            self._voice = voice
            sender = self._peer.addTrack(voice)
            prefer_opus(self._peer, sender)
        else:
            self._voice = PlaybackTrack(self._controller, close_controller=False)
            sender = self._peer.addTrack(self._voice)
        hold_while_lost(self._peer, sender, self._controller, lost_seconds=self._lost_seconds)
        try:
            async with self._answering:
                await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
                await self._peer.setLocalDescription(await self._peer.createAnswer())
        # It is checked, but a stranger's: what aiortc makes of it may still be any error.
        except Exception as error:
            LOGGER.info("an offer could not be answered", exc_info=error)
            raise ValueError(f"the offer can't be answered: {str(error)[:200] or type(error).__name__}") from error
        if self._closing is not None:  # meanwhile
            raise ValueError("the session was closed before it could begin")
        return str(self._peer.localDescription.sdp)

    def close(self) -> asyncio.Task[None]:
        """End it; nothing is read for it from here on.

        Returns:
            What is done once all is over.
        """
        if self._closing is None:
            if self._voice is not None:
                self._voice.stop()  # another reader may claim the controller at once
            self._closing = asyncio.get_running_loop().create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        # A connection that is closed while it gathers addresses does not close the sockets that it then opens.
        async with self._answering:
            pass
        if self._hearing is not None:
            self._hearing.cancel()
            await asyncio.wait([self._hearing])
        if self._microphone is not None:
            self._microphone.stop()
        await self._peer.close()

    # The peer connection's events

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if channel.label != LABEL or self._channel is not None or self._closing is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._took)
        channel.on("close", self._lost)
        self._on_open(self, channel)

    def _took(self, message: str | bytes) -> None:
        if self._closing is None:
            self._on_message(message)

    def _track_came(self, track: MediaStreamTrack) -> None:
        if track.kind != "audio" or self._microphone is not None:
            return
        self._microphone = track
        if self._closing is None:
            self._hearing = asyncio.get_running_loop().create_task(self._listen(track))
            self._hearing.add_done_callback(self._heard)

    def _heard(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failed(error)

    def _connection_changed(self) -> None:
        if self._peer.connectionState in _GONE:
            self._lost()

    def _lost(self) -> None:
        if self._closing is None:
            self.close()
            self._on_lost(self)
