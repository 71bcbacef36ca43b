"""CommandHandler: carries out what a page asks for, and turns down what can't be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from playback._token_bucket import TokenBucket
from playback.background.mixer import BackgroundSound
from playback.controller import PlaybackController
from playback.demo.channel import Channel
from playback.demo.music import FORMAT, music
from playback.demo.observers import PolicyObserver
from playback.demo.protocol import (
    Command,
    File,
    Gain,
    Interrupt,
    Listen,
    Lock,
    Music,
    Pause,
    Ping,
    ProtocolError,
    Resume,
    Say,
    Unlock,
    parse,
    plain,
)
from playback.demo.settings import DemoSettings
from playback.demo.speech_queue import Speaker
from playback.demo.upload import Upload
from playback.events import Event

LOGGER: Final = logging.getLogger("playback")

FADE_SECONDS: Final = 0.5
"""How long the music takes to come and to go."""

PATIENCE: Final = 1_000
"""How many messages beyond the limit may come at once, and are ignored, before the session is closed."""


class CommandHandler:
    """What the messages of one page do.

    Args:
        controller: what they are about.
        speaker: what says texts and files.
        outbox: where the answers go.
        settings: how much is taken.
        close: closes the session, and says why.
        on_heard: called with the position up to which the page has heard the speech, each time that it says so.
    """

    def __init__(
        self,
        controller: PlaybackController,
        speaker: Speaker,
        outbox: Channel,
        settings: DemoSettings,
        close: Callable[[str], object],
        on_heard: Callable[[int], object],
    ) -> None:
        self.active_at = asyncio.get_running_loop().time()
        """When something was asked for last; a ping is nothing."""
        self._controller: Final = controller
        self._speaker: Final = speaker
        self._messages: Final = outbox
        self._settings: Final = settings
        self._close: Final = close
        self._on_heard: Final = on_heard
        self._loop: Final = asyncio.get_running_loop()
        rate = settings.messages_per_second
        self._rate: Final = TokenBucket(rate, max(1.0, 2 * rate), self._loop.time)
        self._complaints: Final = TokenBucket(1.0, 1.0, self._loop.time)
        self._excess: Final = TokenBucket(rate, PATIENCE, self._loop.time)
        self._upload: Upload | None = None
        self._music: BackgroundSound | None = None
        self._listening: PolicyObserver | None = None
        self._user_speaks = False

    @property
    def user_speaks(self) -> bool:
        """Whether the user is heard."""
        return self._user_speaks

    def take(self, message: str | bytes) -> None:
        """Carry out a message, or say why not; it never raises."""
        try:
            if isinstance(message, bytes) and self._upload is not None:
                self._take_piece(self._upload, message)
            elif self._rate.take():
                self._take(message)
            else:
                self._ignore()
        except ProtocolError as error:
            self._messages.put("refused", error=str(error), do=error.do)
        # A page that has found a mistake of ours must not bring down the connection, which aiortc would.
        except Exception:
            LOGGER.exception("a message of a page could not be carried out")
            self._messages.put("refused", error="something went wrong in the server, see its log", do=None)

    def hear(self, speaking: bool, seconds_ago: float = 0.0) -> None:
        """The user has begun to speak, or fallen silent.

        Args:
            speaking: which of the two.
            seconds_ago: how long before now that was.
        """
        self._user_speaks = speaking
        self._messages.put("speech", speaking=speaking)
        if self._listening is not None:
            self._listening.heard(speaking, seconds_ago)

    def understand(self, text: str, *, final: bool, certainty: float) -> None:
        """The user has said a short word.

        Args:
            text: what was said so far.
            final: whether no word of it will change.
            certainty: how sure that is, 0 to 1.
        """
        if self._listening is not None:
            self._listening.understood(text, final=final, certainty=certainty)

    def lose(self) -> None:
        """The page is gone, or has another connection: what it was sending does not come any more."""
        self._upload = None
        if self._user_speaks:
            self.hear(False)

    def stop(self) -> None:
        """Let go of the controller."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.stop()

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            raise ProtocolError(f"{len(message)} bytes came, but no file was announced, expected a text message")
        try:
            command = parse(message, self._settings)
        except ProtocolError as error:
            if error.skip:
                self._expect(Upload("the refused file", error.skip, keep=False))
            raise
        if not isinstance(command, Ping):
            self.active_at = self._loop.time()
        try:
            changed = self._carry_out(command)
        except ProtocolError as error:
            raise ProtocolError(str(error), command.do) from None
        if changed is not None:
            self._messages.put("done", do=command.do, changed=changed)

    def _carry_out(self, command: Command) -> bool | None:
        """Do it; whether that changed something, None if there is nothing to say yet."""
        controller = self._controller
        match command:
            case Say():
                self._speaker.say(command)
                return True
            case Pause():
                return controller.pause()
            case Resume():
                return controller.resume(command.rewind, to_word=command.to_word)
            case Interrupt():
                return controller.interrupt(lock=command.lock, force=command.force)
            case Lock():
                return controller.lock()
            case Unlock():
                return controller.unlock()
            case Gain():
                return self._set_gain(command.db)
            case Music():
                return self._play_music(command)
            case Listen():
                return self._listen(command)
            case File():
                self._announce(command)
            case Ping():
                if command.heard >= 0:
                    self._on_heard(command.heard)
                self._messages.put("pong", n=command.n)
        return None

    def _set_gain(self, gain_db: float) -> bool:
        """Set how loud the voice is; one that is lowered while the user speaks stays lower by as much."""
        lowered_db = self._listening.policy.lowered_db if self._listening is not None else 0.0
        before, self._controller.gain_db = self._controller.gain_db, gain_db - lowered_db
        return self._controller.gain_db != before

    def _play_music(self, command: Music) -> bool:
        background, playing = self._controller.background, self._music
        if not command.on:
            self._music = None
            return playing is not None and playing.stop(FADE_SECONDS)
        background.duck_db = command.duck_db
        if playing is None:
            self._music = background.add(music(), command.gain_db, fade_seconds=FADE_SECONDS, format=FORMAT)
        else:
            playing.gain_db = command.gain_db
        return True

    def _listen(self, command: Listen) -> bool:
        was_on = self._listening is not None
        self.stop()
        if command.on:
            self._listening = PolicyObserver(self._controller, command, self._loop, self._send_policy, self._send_leaf)
            if self._user_speaks:
                self._listening.heard(True)
        return command.on or was_on

    def _send_policy(self, event: Event, leaf: str) -> None:
        values = {
            name: plain(getattr(event, name))
            for name in ("position", "seconds", "words", "latency")
            if hasattr(event, name)
        }
        self._messages.put("policy", name=event.name, leaf=leaf, **values)

    def _send_leaf(self, leaf: str) -> None:
        self._messages.put("policy_leaf", leaf=leaf)

    # Files

    def _announce(self, command: File) -> None:
        if self._upload is not None:
            raise ProtocolError(f"{self._upload.left} bytes of {self._upload.name} are still to come, expected these")
        try:
            self._speaker.check_file(command)
        except ProtocolError:
            self._expect(Upload(command.name, command.bytes, keep=False))
            raise
        self._expect(Upload(command.name, command.bytes, command.text.strip()))

    def _expect(self, upload: Upload) -> None:
        if self._upload is None:
            self._upload = upload

    def _take_piece(self, upload: Upload, piece: bytes) -> None:
        self.active_at = self._loop.time()
        try:
            upload.add(piece)
        except ProtocolError:
            self._upload = None
            raise
        if not upload.left:
            self._upload = None
            if upload.keep:
                self._speaker.play(upload.name, upload.data(), upload.text)
                self._messages.put("done", do=File.do, changed=True)

    def _ignore(self) -> None:
        limit = f"expected at most {self._settings.messages_per_second:g} messages a second"
        if not self._excess.take():
            self._close(f"closed after {PATIENCE} messages too many, {limit}")
        elif self._complaints.take():
            self._messages.put("refused", error=f"a message was ignored, {limit}", do=None)
