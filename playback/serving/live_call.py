"""LiveCall: a call from its offer to its end, with its agent, its connection and its socket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from playback.controller import PlaybackController
from playback.events import INTERRUPTIONS
from playback.serving.call import Agent, Call, CallRequest, EndReason
from playback.serving.engine import Engine
from playback.serving.sdp import Candidate
from playback.serving.service import SupersededError

LOGGER: Final = logging.getLogger("playback")

CANCEL_SECONDS: Final = 5.0
"""How long an agent that was cancelled may take to end; after that it is left alone."""

CLOSE_SECONDS: Final = 5.0
"""How long a connection may take to close."""

_BY: Final[dict[EndReason, str]] = {
    "completed": "its agent, which has returned",
    "failed": "its agent, which has failed",
    "left": "its caller, who has left",
    "not_connected": "its caller, who did not connect",
    "bye": "its caller, who has hung up",
    "detached": "its caller, whose socket did not come back",
    "shutdown": "shutdown",
}


class LiveCall:
    """One call; a listener of its connection.

    Args:
        key: what has to be known to end it.
        id: its name.
        controller: what its caller hears.
        request: the request that has begun it.
        engine: what carries it.
        agent: what speaks with the caller.
        reattach_seconds: how long it goes on without its socket.
        drain_seconds: how long the last speech may take when the agent has returned.
        on_over: called once all is over.
    """

    def __init__(
        self,
        key: str,
        id: str,
        controller: PlaybackController,
        request: CallRequest,
        engine: Engine,
        agent: Agent,
        reattach_seconds: float,
        drain_seconds: float,
        on_over: Callable[[LiveCall], object],
    ) -> None:
        self.key: Final = key
        self._connection: Final = engine.open(controller, self)
        self.call: Final = Call(id, controller, request, self._connection)
        self._agent: Final = agent
        self._reattach_seconds: Final = reattach_seconds
        self._drain_seconds: Final = drain_seconds
        self._on_over: Final = on_over
        self._loop: Final = asyncio.get_running_loop()
        self._running: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._over: Final = asyncio.Event()
        self._stopping = False
        self._attachment: LiveAttachment | None = None
        self._due: asyncio.TimerHandle | None = None

    async def answer(self, offer: str) -> str:
        """Take its offer.

        Raises:
            ValueError: it can't be answered; the call has to be ended then.
        """
        return await self._connection.answer(offer)

    async def add_candidate(self, candidate: Candidate) -> None:
        """Take a candidate.

        Raises:
            ValueError: it is of no section of the offer.
        """
        await self._connection.add_candidate(candidate)

    def end(self, reason: EndReason) -> asyncio.Task[None]:
        """End it.

        Returns:
            What is done once all is over.
        """
        if self._ending is None:
            self.call.close(reason)
            if self._due is not None:
                self._due.cancel()
            self._ending = self._loop.create_task(self._end(reason))
        return self._ending

    def prepare_shutdown(self) -> None:
        """Its controller is about to be shut down: when that takes no more speech, the agent is cancelled.

        An agent that speaks on and on would not let the loop run any more: a write that is refused does not wait.
        """
        self._stopping = True
        self.call.controller.on("input_locked", lambda _: self._running and self._running.cancel())

    async def wait_over(self) -> EndReason:
        """Wait until nothing of it is left."""
        await self._over.wait()
        assert self.call.reason is not None
        return self.call.reason

    # Its connection

    def connected(self) -> None:
        """The caller can hear: its agent begins."""
        if self._running is None and self._ending is None:
            self._running = self._loop.create_task(self._run())

    def disconnected(self) -> None:
        """The caller is gone."""
        self.end("left" if self._running is not None else "not_connected")

    def message(self, message: str | bytes) -> None:
        """The caller has sent a message."""
        if self._ending is None:
            self.call.take(message)

    # Its socket

    def attach(self) -> LiveAttachment:
        """Give it a socket, in place of the one that it has."""
        if self._attachment is not None:
            self._attachment.supersede()
        if self._due is not None:
            self._due.cancel()
        self._attachment = LiveAttachment(self)
        return self._attachment

    def detached(self, attachment: LiveAttachment) -> None:
        """A socket is gone: if it was the last one, wait for another."""
        if attachment is self._attachment and self._ending is None:
            self._attachment = None
            self._due = self._loop.call_later(self._reattach_seconds, self.end, "detached")

    # Its agent

    async def _run(self) -> None:
        call = self.call
        try:
            await self._agent(call)
        except INTERRUPTIONS:
            self.end("shutdown")
            raise
        except BaseException as error:  # a panic of a library in Rust is no Exception
            if self._stopping and isinstance(error, asyncio.CancelledError):
                return
            if self._ending is None:
                # An agent may be cancelled by its own code: then it has failed.
                LOGGER.error("call %s: its agent has failed", call.id, exc_info=error)
                self.end("failed")
            elif not isinstance(error, asyncio.CancelledError):
                LOGGER.error("call %s: its agent has failed while the call was ended", call.id, exc_info=error)
            return
        if self._ending is None:
            await call.controller.drain(self._drain_seconds)
            self.end("completed")

    async def _end(self, reason: EndReason) -> None:
        try:
            self.call.controller.close(by=_BY.get(reason, reason))
            if self._running is not None:
                self._running.cancel()
                _, late = await asyncio.wait([self._running], timeout=CANCEL_SECONDS)
                if late:
                    LOGGER.error("call %s: its agent goes on %g s after it was cancelled", self.call.id, CANCEL_SECONDS)
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._connection.close()
        except TimeoutError:
            LOGGER.error("call %s: its connection could not be closed within %g s", self.call.id, CLOSE_SECONDS)
        finally:
            self._over.set()
            self._on_over(self)


class LiveAttachment:
    """A socket of a call in this process."""

    def __init__(self, live: LiveCall) -> None:
        self._live: Final = live
        self._superseded: Final = asyncio.Event()

    def supersede(self) -> None:
        """Another socket has taken the call up."""
        self._superseded.set()

    async def wait(self) -> EndReason:
        """Wait until the call is over.

        Raises:
            SupersededError: another socket has taken the call up.
        """
        over = asyncio.ensure_future(self._live.wait_over())
        superseded = asyncio.ensure_future(self._superseded.wait())
        try:
            await asyncio.wait((over, superseded), return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                raise SupersededError("the call has another socket by now")
            return over.result()
        finally:
            over.cancel()
            superseded.cancel()

    async def detach(self) -> None:
        """The socket is gone."""
        self._live.detached(self)
