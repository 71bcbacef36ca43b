"""Sessions: all that there are, and how many there may be."""

from __future__ import annotations

import asyncio
import logging
import secrets
from math import ceil
from time import monotonic
from typing import Final

from starlette.exceptions import HTTPException

from playback._token_bucket import TokenBucket
from playback.audio.formats import AudioFormat
from playback.demo.session import Session
from playback.demo.settings import DemoSettings, SessionOptions
from playback.ending import shutdown
from playback.serving.rate_limit import Places
from playback.speech import SpeechError, speech_format

LOGGER: Final = logging.getLogger("playback")


class Sessions:
    """The sessions of a server, by id. One that is being closed still counts.

    Args:
        settings: how many there may be.
    """

    def __init__(self, settings: DemoSettings) -> None:
        self._settings: Final = settings
        self._sessions: Final[dict[str, Session]] = {}
        self._begun: TokenBucket | None = None
        self._connecting: Final = Places(settings.connecting_per_address, settings.connect_seconds, monotonic)
        self._closed = False

    def __len__(self) -> int:
        """How many there are."""
        return len(self._sessions)

    def get(self, id: str) -> Session | None:
        """The session of a name."""
        return self._sessions.get(id)

    def check_room(self) -> None:
        """See that there may be another one.

        Raises:
            HTTPException: there may not.
        """
        most = self._settings.max_sessions
        if self._closed:
            raise HTTPException(503, "this server is being shut down, expected another one")
        if len(self._sessions) >= most:
            raise HTTPException(503, f"there are {most} sessions, expected to be asked again when one is over")

    async def begin(self, offer: str, options: SessionOptions, address: str | None = None) -> tuple[Session, str]:
        """Begin a session.

        Args:
            offer: the page's SDP.
            address: where the page is.
            options: what it has chosen.

        Returns:
            The session, and the SDP of the answer.

        Raises:
            ValueError: the offer can't be answered.
            HTTPException: there are too many sessions, or they come too fast.
        """
        speech_format = await _speech_format()
        # Nothing waits from here until it is one of them: others may begin, or all be closed, meanwhile.
        self.check_room()
        connected = self._connecting.take(address)
        if connected is None:
            most, seconds = self._settings.connecting_per_address, self._settings.connect_seconds
            detail = f"{most} sessions of your address have not connected, expected to be asked again in {seconds:g} s"
            raise HTTPException(429, detail, {"retry-after": str(ceil(seconds))})
        self._check_rate()
        session = Session(secrets.token_urlsafe(12), self._settings, options, speech_format, connected, self._over)
        self._sessions[session.id] = session
        try:
            return session, await session.answer(offer)
        except BaseException:
            await asyncio.shield(session.close())
            raise

    async def resume(self, session: Session, offer: str, heard: int | None, rewind_seconds: float) -> str:
        """Let a page take its session up again, as :meth:`Session.resume`.

        Raises:
            ValueError: the offer can't be answered.
            HTTPException: the server is being shut down, or connections come too fast.
        """
        if self._closed:
            raise HTTPException(503, "this server is being shut down, expected another one")
        self._check_rate()
        return await session.resume(offer, heard, rewind_seconds)

    async def shutdown(self) -> None:
        """Take no more, let them finish what they say and say goodbye, and close them all."""
        self._closed = True
        ending = {session.controller: session for session in self._sessions.values() if session.is_connected}
        seconds = self._settings.shutdown_seconds
        await shutdown(
            ending,
            lambda controller: ending[controller].say_goodbye(),
            finish_seconds=seconds / 2,
            deadline_seconds=seconds,
        )
        await self.aclose()

    async def aclose(self) -> None:
        """Close them all at once, and take no more."""
        self._closed = True
        if closing := [session.close("closed: the server is being shut down") for session in self._sessions.values()]:
            await asyncio.wait(closing)

    def _check_rate(self) -> None:
        if self._begun is None:
            clock = asyncio.get_running_loop().time
            self._begun = TokenBucket(self._settings.sessions_per_second, max(1, self._settings.max_sessions), clock)
        if not self._begun.take():
            rate = f"{self._settings.sessions_per_second:g}"
            raise HTTPException(429, f"sessions are begun too fast, expected {rate} a second", {"retry-after": "1"})

    def _over(self, session: Session) -> None:
        del self._sessions[session.id]


async def _speech_format() -> AudioFormat | None:
    """What texts are made into; None if there is no speech. The first time, the engine is loaded."""
    try:
        return await asyncio.to_thread(speech_format)
    except SpeechError as error:
        LOGGER.warning("texts can't be said: %s", error)
        return None
