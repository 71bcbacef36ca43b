"""NativePeer: one call, whose connection belongs to native threads.

Theory of operation. A peer has a native connection, a mailbox, and a place in the loop's clock. Native threads call
nothing but the mailbox, so all that is in this module runs in the loop. The peer is in one of the states of
:data:`PeerState`; ``closed`` is final, whoever closed it: the application, the other side, a timeout, or the end of the
loop, which cancels the peer's task. With it, the mailbox is closed, the clock forgets the peer, and the controller is
released and closed.
"""

from __future__ import annotations

import asyncio
import atexit
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread
from typing import Any, Final, Literal
from weakref import WeakSet

from aiortc import RTCIceServer
from pyee.base import EventEmitter

from playback._checks import check_seconds, check_type
from playback.call_log import connection_changed
from playback.codec.settings import CLOCK_RATE, Application, OpusSettings
from playback.connections import CONNECT_SECONDS
from playback.controller import PlaybackController
from playback.lost_peer import LOST_SECONDS
from playback.native.binding import rtc
from playback.native.channel import NativeChannel
from playback.native.clock import Clock
from playback.native.description import (
    OFFERED,
    AudioSection,
    answered_audio,
    audio_section,
    offered_audio,
    parse_description,
)
from playback.native.lost import STEADY_GAP_SECONDS, LostPeer
from playback.native.mailbox import Mailbox
from playback.native.native_objects import LINGER_SECONDS, close, close_apart, sweep
from playback.native.network import configuration
from playback.native.rtp import RtpStream, is_rtcp, receptions
from playback.native.sender import NativeSender
from playback.opus_reader import Idle, OpusReader
from playback.rtp.receiver import OpusReceiver

PeerState = Literal["new", "connecting", "connected", "disconnected", "failed", "closed"]

LOOK_TICKS: Final = 10
"""After how many ticks it is looked what has come, where nobody listens: each 200 ms."""

CLOSE_SECONDS: Final = 1.0
"""How long a close waits for the native connection's, which may wait for another side that does not answer."""

LATE: Final = "its connection, which did not come up in time"

_live: Final[WeakSet[NativePeer]] = WeakSet()
"""The peers whose connections are open."""


class NativePeer(EventEmitter):
    """A call: Opus in both directions, data channels, and a controller that it plays.

    Answer an offer, and the call begins when the connection is up::

        peer = NativePeer(controller, udp_port=40_000)
        answer = await peer.answer(offer)

    Or make an offer: ``offer = await peer.offer()``, then ``peer.accept(answer)``.

    When the connection ends, for whatever reason, the controller is closed, so that tasks that wait for an utterance
    get its report. While the other side is lost, the controller is paused; when it is back, it resumes where it was
    lost. The controller's states, events and positions are the same as with a track of aiortc.

    Events, all of them in the loop: ``state_changed`` (:attr:`state`), ``candidate`` (a line of SDP and its section's
    name; the line is None when there are no more), ``channel`` (a :class:`NativeChannel` that the other side has made).

    Args:
        controller: what to play, mono at 8, 12, 16, 24 or 48 kHz; it can have one live reader, and this is one while it
            is connected.
        udp_port: the UDP port of this call and all others that name the same one; None: a port of its own.
        bind_address: the address of the interface to use; None: all of them.
        ice_servers: STUN and TURN servers.
        relay_only: whether all must go through TURN.
        certificate: the files of a certificate and its key, PEM; None: one is made for each call.
        bitrate: of the encoder, as for an :class:`~playback.opus.OpusPlaybackTrack`; so are the next four.
        complexity: 0 to 10.
        application: what the encoder is tuned for.
        expected_loss: the share of packets that is expected to be lost, 0 to 1.
        idle: ``"nothing"``, or ``"silence"`` to send packets of silence.
        connect_seconds: how long the connection may take to come up, from now on, before the call is closed; None: no
            timeout.
        lost_seconds: how long an other side that has sent audio all the time may send nothing before it counts as lost;
            None: it is not watched.
        close_controller: whether the controller is closed at the end; False keeps it for another connection.

    Raises:
        ValueError: the controller's format or an argument is nothing that can be used.
        TypeError: an argument of another type.
        FileNotFoundError: there is no such certificate.
        RuntimeError: no event loop runs.
    """

    def __init__(
        self,
        controller: PlaybackController,
        *,
        udp_port: int | None = None,
        bind_address: str | None = None,
        ice_servers: Sequence[RTCIceServer] = (),
        relay_only: bool = False,
        certificate: tuple[str | Path, str | Path] | None = None,
        bitrate: int = 32_000,
        complexity: int = 5,
        application: Application = "audio",
        expected_loss: float = 0.0,
        idle: Idle = "nothing",
        connect_seconds: float | None = CONNECT_SECONDS,
        lost_seconds: float | None = LOST_SECONDS,
        close_controller: bool = True,
    ) -> None:
        check_type("controller", controller, PlaybackController)
        for name, seconds in (("connect_seconds", connect_seconds), ("lost_seconds", lost_seconds)):
            if seconds is not None:
                check_seconds(name, seconds)
        if lost_seconds == 0:
            raise ValueError("lost_seconds is 0, expected more than 0, or None")
        settings = OpusSettings(bitrate, complexity, application, expected_loss)
        sender = NativeSender(OpusReader(controller, settings, idle=idle, shares_silence=True))
        found = configuration(udp_port, bind_address, ice_servers, certificate, relay_only=relay_only)
        loop = asyncio.get_running_loop()
        super().__init__()
        self._controller: Final = controller
        self._close_controller: Final = close_controller
        self._sender: Final = sender
        self._loop: Final = loop
        self._mailbox: Final = Mailbox(loop)
        self._clock: Final = Clock.running()
        self._lost: Final = None if lost_seconds is None else LostPeer(controller, lost_seconds)
        self._ssrc: Final = 1 + secrets.randbelow(0xFFFFFFFF)
        self._state: PeerState = "new"
        self._stream: RtpStream | None = None
        self._begin: int | None = None
        self._channels: Final[list[NativeChannel]] = []
        self._listeners: tuple[Callable[[bytes], object], ...] = ()
        self._receiver: OpusReceiver | None = None
        self._has_channels = False
        self._closing: Thread | None = None
        self._packets_sent = 0
        self._heard_number, self._heard_at = 0, loop.time()
        self._gathered: Final[asyncio.Future[None]] = loop.create_future()
        self._track: Any = None
        self._connection: Any = rtc.PeerConnection(found)
        self._connection.on_state_change(self._mailbox.poster(self._changed))
        self._connection.on_local_candidate(self._mailbox.poster(self._found))
        self._connection.on_gathering_state_change(self._mailbox.poster(self._gathering_changed))
        self._connection.on_data_channel(self._brought)
        _live.add(self)
        self._due = None if connect_seconds is None else loop.call_later(connect_seconds, self._end, LATE)
        # All tasks are cancelled when a loop ends; by then, this one may not have begun.
        self._life: Final = loop.create_task(_for_ever())
        self._life.add_done_callback(lambda _: self._end("its event loop, which has ended"))

    # Its state

    @property
    def controller(self) -> PlaybackController:
        """What it plays."""
        return self._controller

    @property
    def state(self) -> PeerState:
        """``"new"``, ``"connecting"``, ``"connected"``, ``"disconnected"``, ``"failed"`` or ``"closed"``."""
        return self._state

    @property
    def remote_address(self) -> str | None:
        """Where its packets go to, an address and a port; None if there is no connection."""
        return None if self._connection is None else self._connection.remote_address()

    @property
    def packets_sent(self) -> int:
        """How many packets of audio were sent."""
        return self._packets_sent

    # Signalling

    async def answer(self, offer: str, *, trickle: bool = False) -> str:
        """Answer an offer.

        Args:
            offer: its SDP, with Opus among the codecs of its first audio section; other sections of audio and video are
                refused.
            trickle: return at once, and emit addresses as they are found (``candidate``).

        Returns:
            The answer's SDP.

        Raises:
            ValueError: the offer can't be answered. It has changed nothing if it can't be read or has no Opus;
                otherwise, the peer is closed.
            RuntimeError: the peer has a description already, or is closed, now or meanwhile.
        """
        self._check_new()
        description = parse_description(offer, "offer")
        section = audio_section(description)
        try:
            self._add_audio(answered_audio(section, self._ssrc), section)
            self._connection.set_remote_description(description)
            self._connection.set_local_description(rtc.Description.Type.Answer)
        except (ValueError, RuntimeError) as error:
            self._end("its offer, which could not be answered")
            raise ValueError(f"the offer can't be answered: {error}") from error
        return await self._described(trickle=trickle)

    async def offer(self, *, trickle: bool = False) -> str:
        """Make an offer; create channels before, or at least one of them.

        Returns:
            The offer's SDP.

        Raises:
            ValueError: it can't be made, such as where the port is taken; the peer is closed.
            RuntimeError: as for :meth:`answer`.
        """
        self._check_new()
        try:
            self._add_audio(offered_audio(self._ssrc), OFFERED)
            self._connection.set_local_description(rtc.Description.Type.Offer)
        except (ValueError, RuntimeError) as error:
            self._end("its offer, which could not be made")
            raise ValueError(f"the offer can't be made: {error}") from error
        return await self._described(trickle=trickle)

    def accept(self, answer: str) -> None:
        """Take the answer to an offer.

        Raises:
            ValueError: the answer can't be used; see :meth:`answer`.
            RuntimeError: there is no offer that waits for an answer.
        """
        if self._connection is None or self._connection.signaling_state().name != "HaveLocalOffer":
            raise RuntimeError("the peer has no offer that waits for an answer, expected offer() before accept()")
        description = parse_description(answer, "answer")
        section = audio_section(description)
        try:
            self._connection.set_remote_description(description)
        except (ValueError, RuntimeError) as error:
            self._end("its answer, which could not be used")
            raise ValueError(f"the answer can't be used: {error}") from error
        self._stream = RtpStream(self._ssrc, section.payload_type)

    def add_candidate(self, candidate: str | None, mid: str = "") -> None:
        """Take an address of the other side that came after its description (trickle ICE).

        Args:
            candidate: a line of SDP, with or without ``a=``; None or an empty one says that there are no more.
            mid: the name of its section.

        Raises:
            ValueError: it can't be read.
            RuntimeError: there is no description of the other side yet, or the peer is closed.
        """
        self._check_open()
        if not candidate:
            return
        try:
            self._connection.add_remote_candidate(rtc.Candidate(candidate, mid))
        except ValueError as error:
            raise ValueError(f"the candidate is {candidate[:200]!r}, expected a line of SDP: {error}") from error

    def create_channel(self, label: str) -> NativeChannel:
        """Make a data channel, before :meth:`offer` or :meth:`answer`; it opens with the connection.

        Raises:
            RuntimeError: the peer has a description already, or is closed.
        """
        self._check_new()
        channel = NativeChannel(self._connection.create_data_channel(label), self._mailbox)
        channel.wire()
        self._keep(channel)
        return channel

    # What comes

    @property
    def receiver(self) -> OpusReceiver:
        """What the other side says, decoded for listeners (``samples()``, ``VoiceActivity``); closed with the peer."""
        if self._receiver is None:
            self._receiver = OpusReceiver(clock=self._loop.time)
            if self._state == "closed":
                self._receiver.close()
            else:
                self.listen(self._receiver.feed)
        return self._receiver

    def listen(self, listener: Callable[[bytes], object]) -> Callable[[], None]:
        """Have each RTP packet of the other side passed to a function, decrypted, in the loop, each 20 ms.

        Until somebody listens, packets are only counted.

        Returns:
            What ends it.
        """
        self._listeners += (listener,)

        def remove() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

        return remove

    # The end

    async def close(self) -> None:
        """End the call, and close the controller, unless that was not wanted."""
        self._end("its connection, which was closed")
        await asyncio.wait([self._life])
        deadline = self._loop.time() + CLOSE_SECONDS
        while self._closing is not None and self._closing.is_alive() and self._loop.time() < deadline:  # noqa: ASYNC110 - a thread
            await asyncio.sleep(0.01)

    def _end(self, why: str) -> None:
        if self._state == "closed":
            return
        self._mailbox.close()
        self._clock.remove(self._tick)
        self._release(apart=True)
        if not self._loop.is_closed():
            self._loop.call_later(2 * LINGER_SECONDS, sweep)
        self._listeners = ()
        if self._receiver is not None:
            self._receiver.close()
        self._gathered.cancel()
        self._life.cancel()
        if self._due is not None:
            self._due.cancel()
        others = self._controller.reader not in (None, self)
        try:
            self._set_state("closed")
            for channel in [*self._channels]:
                channel.end()
        finally:  # a listener of these may raise
            if self._lost is not None:
                self._lost.release()
            self._controller.detach(self)
            if self._close_controller and not others:
                self._controller.close(by=why)
            self.remove_all_listeners()

    def _release(self, *, apart: bool) -> None:
        """Close the native connection; where that may take long, in a thread of its own, if it may."""
        connection, track, self._connection, self._track = self._connection, self._track, None, None
        _live.discard(self)
        if connection is not None:
            others = [track, *(channel.native for channel in self._channels)]
            if apart and self._has_channels:
                self._closing = close_apart(connection, others)
            else:
                close(connection, others)

    # The native connection's events

    def _changed(self, native: Any) -> None:
        state: PeerState = native.name.lower()
        if state == "closed":
            self._end("its connection, which was closed")
            return
        self._set_state(state)
        if state == "connected":
            self._start()
        elif state == "failed":
            self._end("its connection, which failed")

    def _set_state(self, state: PeerState) -> None:
        if state != self._state:
            self._state = state
            self.emit("state_changed", state)

    def _start(self) -> None:
        """Begin to send."""
        if self._begin is not None or self._state != "connected":
            return
        connection_changed(self._controller.id, "connected")
        if self._due is not None:
            self._due.cancel()
        try:
            self._controller.attach(self)
        except RuntimeError as error:
            self._controller.report_error(error, "NativePeer")
            self._end("its connection, which was refused")
            return
        self._clock.add(self._tick)

    def _found(self, candidate: Any) -> None:
        self.emit("candidate", str(candidate).removeprefix("a="), candidate.mid())

    def _gathering_changed(self, state: Any) -> None:
        if state.name == "Complete" and not self._gathered.done():
            self._gathered.set_result(None)
            self.emit("candidate", None, "")

    def _brought(self, native: Any) -> None:
        """A channel of the other side; called by a native thread."""
        channel = NativeChannel(native, self._mailbox)
        self._mailbox.post(self._channel_came, channel)
        channel.wire()  # from here on, its events follow that one

    def _channel_came(self, channel: NativeChannel) -> None:
        self._keep(channel)
        self.emit("channel", channel)

    def _keep(self, channel: NativeChannel) -> None:
        self._has_channels = True
        self._channels.append(channel)
        channel.once("close", lambda: self._channels.remove(channel))

    # Each 20 ms

    def _tick(self, number: int, late: float, skipped: float) -> None:
        controller, track, stream = self._controller, self._track, self._stream
        if track is None or stream is None or not track.is_open():  # it opens a moment after the connection
            return
        if self._begin is None:
            self._begin = number
        for watch in controller.frame_watchers:
            watch(late)
        if skipped:
            controller.report_stall(skipped)
        try:
            for packet in self._sender.packets(stream, number - self._begin):
                track.send(packet)
                self._packets_sent += 1
        except Exception as error:
            if self._track is None or not track.is_open():  # the loop will be notified of its end, if it was not yet
                return
            controller.report_error(error, "NativePeer")
            self._end("its connection, which could not send")
            return
        if self._listeners or number % LOOK_TICKS == 0:
            self._receive()

    def _receive(self) -> None:
        """Take what has come."""
        audio = reports = 0
        receive = self._track.receive if self._track is not None else lambda: None
        while (packet := receive()) is not None:
            if is_rtcp(packet):
                reports += 1
                self._report(packet)
                continue
            audio += 1
            self._follow(packet)
            for listener in self._listeners:
                try:
                    listener(packet)
                except Exception as error:
                    self._controller.report_error(error, "NativePeer.listen")
        for channel in self._channels:
            channel.look()
        if self._lost is not None and self._track is not None:
            self._lost.look(self._loop.time(), audio, reports)

    def _follow(self, packet: bytes) -> None:
        """See whether a packet that comes after a gap is numbered as if there was none."""
        number, now = int.from_bytes(packet[2:4]), self._loop.time()
        follows = (number - self._heard_number) & 0xFFFF == 1
        if follows and now - self._heard_at >= STEADY_GAP_SECONDS and self._lost is not None:
            self._lost.suppresses_silence()
        self._heard_number, self._heard_at = number, now

    def _report(self, packet: bytes) -> None:
        for each in receptions(packet, self._ssrc):
            self._controller.report_far_end(each.loss, each.jitter / CLOCK_RATE, each.round_trip_seconds)

    # Helpers

    def _add_audio(self, media: Any, section: AudioSection) -> None:
        track = self._connection.add_track(media)
        packets = rtc.RtpPacketizationConfig(self._ssrc, section.name, section.payload_type, CLOCK_RATE)
        track.set_media_handler(rtc.RtcpSrReporter(packets))
        if section.nack:
            track.chain_media_handler(rtc.RtcpNackResponder())
        self._track = track
        self._stream = RtpStream(self._ssrc, section.payload_type)

    async def _described(self, *, trickle: bool) -> str:
        """Our description, with all addresses unless they are to trickle."""
        if not trickle:
            try:
                await asyncio.shield(self._gathered)
            except asyncio.CancelledError:
                if not self._gathered.cancelled():
                    raise
        if self._connection is None:
            raise RuntimeError("the peer was closed before it was described")
        return str(self._connection.local_description())

    def _check_open(self) -> None:
        if self._connection is None:
            raise RuntimeError("the peer is closed, expected one that is not")

    def _check_new(self) -> None:
        self._check_open()
        if self._track is not None:
            raise RuntimeError("the peer has a description already, expected one offer or answer for each peer")


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


@atexit.register
def _close_all() -> None:
    """Close what is still open: libdatachannel aborts a process that ends with an open connection."""
    for peer in [*_live]:
        peer._release(apart=False)  # noqa: SLF001 - of this module
