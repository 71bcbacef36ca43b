"""NativeEngine: calls whose connections belong to native threads. Needs Python 3.12 and the extra ``native``."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from playback._checks import check_seconds, check_whole
from playback.bargein.incoming import IncomingAudio
from playback.controller import PlaybackController
from playback.native import NativeChannel, NativePeer, PeerState
from playback.rtp.receiver import OpusReceiver, SampleStream
from playback.serving.aiortc_engine import BACKLOG_BYTES, CONNECT_SECONDS
from playback.serving.engine import Connection, ConnectionListener, stun_servers
from playback.serving.sdp import MOST_CANDIDATES, Candidate, check_offer, has_channel, section_names, sends_audio
from playback.track import LOST_SECONDS

LOGGER: Final = logging.getLogger("playback")

RATE: Final = 48_000
"""At which rate frames of the caller are made, in Hz: that of a track of aiortc."""


class NativeEngine:
    """Carries calls with :class:`~playback.native.NativePeer`.

    Args:
        ice_servers: URLs of STUN servers that say by which address this machine is seen; needed where it does not know
            that itself.
        udp_port: the UDP port of all calls of this process; None: one of its own for each call.
        bind_address: the address of the interface to use; None: all of them.
        connect_seconds: how long a caller may take to connect.
        lost_seconds: as for :class:`~playback.native.NativePeer`.

    Raises:
        TypeError: a number is none.
        ValueError: a number is out of range; a URL is not one of STUN.
    """

    def __init__(
        self,
        *,
        ice_servers: Iterable[str] = (),
        udp_port: int | None = None,
        bind_address: str | None = None,
        connect_seconds: float = CONNECT_SECONDS,
        lost_seconds: float = LOST_SECONDS,
    ) -> None:
        check_seconds("connect_seconds", connect_seconds)
        check_seconds("lost_seconds", lost_seconds)
        if udp_port is not None:
            check_whole("udp_port", udp_port, range(1, 65_536))
        self._servers: Final = stun_servers(ice_servers)
        self._udp_port: Final = udp_port
        self._bind_address: Final = bind_address
        self._connect_seconds: Final = connect_seconds
        self._lost_seconds: Final = lost_seconds or None

    def open(self, controller: PlaybackController, listener: ConnectionListener) -> Connection:
        """Make the connection that plays a controller."""
        peer = NativePeer(
            controller,
            udp_port=self._udp_port,
            bind_address=self._bind_address,
            ice_servers=self._servers,
            connect_seconds=self._connect_seconds,
            lost_seconds=self._lost_seconds,
            close_controller=False,
        )
        return _NativeConnection(peer, listener)


class _NativeConnection:
    """One native peer."""

    def __init__(self, peer: NativePeer, listener: ConnectionListener) -> None:
        self.incoming: IncomingAudio | None = None
        self._peer: Final = peer
        self._listener: Final = listener
        self._microphone: _Microphone | None = None
        self._channel: NativeChannel | None = None
        self._expects_channel = False
        self._unsent: Final[list[str | bytes]] = []
        self._sections: list[str] = []
        self._candidates = 0
        self._over = False
        peer.on("state_changed", self._state_changed)
        peer.on("channel", self._channel_came)

    async def answer(self, offer: str) -> str:
        """Take an offer; see :class:`Connection`."""
        check_offer(offer, needs_channel=False)
        self._sections, self._expects_channel = section_names(offer), has_channel(offer)
        try:
            answer = await self._peer.answer(offer)
        except RuntimeError:  # it was closed, now or meanwhile
            raise ValueError("the call was closed before it could begin") from None
        except ValueError as error:
            LOGGER.info("an offer could not be answered", exc_info=error)
            raise
        if sends_audio(offer):
            self._microphone = _Microphone(self._peer.receiver)
            self.incoming = IncomingAudio(self._microphone)
        return answer

    async def add_candidate(self, candidate: Candidate) -> None:
        """Take a candidate; see :class:`Connection`."""
        if not candidate.text or self._candidates >= MOST_CANDIDATES:
            return
        if candidate.mid is not None:
            known, name = candidate.mid in self._sections, candidate.mid
        else:
            known = candidate.index is not None and 0 <= candidate.index < len(self._sections)
            name = self._sections[candidate.index or 0] if known else ""
        if not known:
            raise ValueError(
                f"the candidate is of section {candidate.mid if candidate.mid is not None else candidate.index!r:.40},"
                f" expected one of {', '.join(self._sections)}"
            )
        self._candidates += 1
        with suppress(RuntimeError):  # it is closed
            self._peer.add_candidate(candidate.text, name)

    def send(self, message: str | bytes) -> bool:
        """Send a message; see :class:`Connection`."""
        channel = self._channel
        if self._expects_channel and not self._over and (channel is None or channel.readyState == "connecting"):
            if sum(map(len, self._unsent)) + len(message) > BACKLOG_BYTES:
                return False
            self._unsent.append(message)
            return True
        if channel is None or channel.readyState != "open" or channel.bufferedAmount + len(message) > BACKLOG_BYTES:
            return False
        try:
            channel.send(message)
        except (RuntimeError, ValueError):  # it is being closed, or longer than the caller's offer allows
            return False
        return True

    async def close(self) -> None:
        """End it; see :class:`Connection`."""
        if self._microphone is not None:
            self._microphone.stop()
        await self._peer.close()

    # The peer's events

    def _state_changed(self, state: PeerState) -> None:
        if self._over:
            return
        if state == "connected":
            self._listener.connected()
        elif state in ("failed", "closed"):
            self._over = True
            if self._microphone is not None:
                self._microphone.stop()
            self._listener.disconnected()

    def _channel_came(self, channel: NativeChannel) -> None:
        if self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._listener.message)
        if channel.readyState == "connecting":
            channel.once("open", self._send_unsent)
        else:
            self._send_unsent()

    def _send_unsent(self) -> None:
        waiting = [*self._unsent]
        self._unsent.clear()
        for message in waiting:
            self.send(message)


class _Microphone(MediaStreamTrack):
    """What the caller says, as a track: it is decoded from the first frame on that somebody asks for."""

    kind = "audio"

    def __init__(self, receiver: OpusReceiver) -> None:
        super().__init__()
        self._receiver: Final = receiver
        self._stream: SampleStream | None = None
        self._samples = 0

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        if self._stream is None:
            self._stream = self._receiver.samples(RATE)
        try:
            samples = await anext(self._stream)
        except StopAsyncIteration:
            self.stop()
            raise MediaStreamError from None
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts = self._samples
        self._samples += len(samples)
        return frame

    def stop(self) -> None:
        super().stop()
        if self._stream is not None:
            self._stream.clear()
            self._receiver.leave(self._stream)
