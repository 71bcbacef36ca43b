"""Calls: those of this process, and how many there may be."""

from __future__ import annotations

import asyncio
import inspect
import secrets
from collections.abc import Callable
from typing import Final

from playback._checks import check_seconds, check_whole
from playback.controller import PlaybackController
from playback.ending import Goodbye, shutdown
from playback.serving.aiortc_engine import AiortcEngine
from playback.serving.call import Agent, CallRequest, EndReason
from playback.serving.engine import Engine
from playback.serving.live_call import LiveAttachment, LiveCall
from playback.serving.sdp import Candidate, check_offer
from playback.serving.service import FullError, NoSuchCallError, Started

MOST_CALLS: Final = 20
"""How many calls one process has by default; docs/performance.md has what a call costs."""


def check_agent(agent: object) -> None:
    """See that this can be an agent.

    Raises:
        TypeError: it can't.
    """
    function = agent if inspect.isroutine(agent) else type(agent).__dict__.get("__call__")
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"agent is {agent!r:.80}, expected async def agent(call)")


class Calls:
    """The calls of this process.

    Args:
        agent: what speaks with each caller, as :class:`~playback.serving.call.Call` says.
        engine: what carries the calls; by default aiortc.
        max_calls: how many there may be at a time; one that is being ended counts.
        reattach_seconds: how long a call goes on when its socket is cut; 0 ends it at once.
        drain_seconds: how long the last speech may take when an agent has returned.
        controller: makes the controller of a call, from its id; by default one with all defaults.

    Raises:
        TypeError: the agent is no asynchronous function, or a number is none.
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        engine: Engine | None = None,
        max_calls: int = MOST_CALLS,
        reattach_seconds: float = 10.0,
        drain_seconds: float = 30.0,
        controller: Callable[[str], PlaybackController] | None = None,
    ) -> None:
        check_agent(agent)
        check_whole("max_calls", max_calls, range(1, 100_001))
        check_seconds("reattach_seconds", reattach_seconds)
        check_seconds("drain_seconds", drain_seconds)
        self.max_calls: Final = max_calls
        self._agent: Final = agent
        self._engine: Final[Engine] = engine or AiortcEngine()
        self._reattach_seconds: Final = reattach_seconds
        self._drain_seconds: Final = drain_seconds
        self._make_controller: Final = controller or _controller
        self._calls: Final[dict[str, LiveCall]] = {}
        self._empty: Final = asyncio.Event()
        self._empty.set()
        self._draining = False

    def __len__(self) -> int:
        """How many there are."""
        return len(self._calls)

    def status(self) -> dict[str, int]:
        """How many calls there are and may be; ``ready`` is 0 if another one would be refused."""
        ready = not self._draining and len(self._calls) < self.max_calls
        return {"calls": len(self._calls), "max_calls": self.max_calls, "ready": int(ready)}

    async def start(self, offer: str, request: CallRequest | None = None) -> Started:
        """Begin a call.

        Args:
            offer: the caller's SDP.
            request: what its agent may see of the request.

        Raises:
            ValueError: the offer can't be answered.
            FullError: there are as many calls as there may be, or the process is being ended.
        """
        check_offer(offer, needs_channel=False)
        # Nothing waits from here until it is one of them.
        if self._draining:
            raise FullError("this server is being shut down, expected another one")
        if len(self._calls) >= self.max_calls:
            raise FullError(f"there are {self.max_calls} calls, expected to be asked again when one is over")
        key, name = secrets.token_urlsafe(24), secrets.token_hex(6)
        live = LiveCall(
            key,
            name,
            self._make_controller(name),
            request or CallRequest(),
            self._engine,
            self._agent,
            self._reattach_seconds,
            self._drain_seconds,
            self._over,
        )
        self._calls[key] = live
        self._empty.clear()
        try:
            return Started(key, name, await live.answer(offer))
        except BaseException:
            await asyncio.shield(live.end("not_connected"))
            raise

    async def add_candidate(self, key: str, candidate: Candidate) -> None:
        """Take a candidate of a caller.

        Raises:
            NoSuchCallError: there is no such call.
            ValueError: it is of no section of the offer.
        """
        await self._get(key).add_candidate(candidate)

    async def attach(self, key: str) -> LiveAttachment:
        """Give a call a socket; one that it has is superseded.

        Raises:
            NoSuchCallError: there is no such call.
        """
        return self._get(key).attach()

    def keys(self) -> list[str]:
        """The keys of all that are not over."""
        return list(self._calls)

    async def wait_over(self, key: str) -> EndReason:
        """Wait until nothing of a call is left.

        Raises:
            NoSuchCallError: there is no such call.
        """
        live = self._calls.get(key)
        if live is None:
            raise NoSuchCallError("there is no such call, or it is over")
        return await live.wait_over()

    def begin_end(self, key: str) -> None:
        """Have a call end, and do not wait for that.

        Raises:
            NoSuchCallError: there is no such call.
        """
        self._get(key).end("bye")

    async def end(self, key: str) -> None:
        """End a call, and wait until it is over.

        Raises:
            NoSuchCallError: there is no such call.
        """
        await asyncio.shield(self._get(key).end("bye"))

    async def drain(self) -> None:
        """Take no more calls, and wait until the last one is over."""
        self._draining = True
        await self._empty.wait()

    async def shutdown(self, goodbye: Goodbye | None = None, *, seconds: float = 10.0) -> None:
        """Take no more calls, and end them all: each finishes its speech, and says goodbye.

        Args:
            goodbye: as for :func:`playback.ending.shutdown`.
            seconds: how long that may take.

        Raises:
            TypeError: the time is no number.
            ValueError: the time is negative or not finite.
        """
        self._draining = True
        controllers = []
        for live in self._calls.values():
            live.prepare_shutdown()
            controllers.append(live.call.controller)
        await shutdown(controllers, goodbye, finish_seconds=seconds / 2, deadline_seconds=seconds)
        await self.aclose()

    async def aclose(self) -> None:
        """Take no more calls, and end them all at once."""
        self._draining = True
        if ending := [live.end("shutdown") for live in self._calls.values()]:
            await asyncio.wait(ending)

    def _get(self, key: str) -> LiveCall:
        live = self._calls.get(key)
        if live is None or live.call.closed:
            raise NoSuchCallError("there is no such call, or it is over")
        return live

    def _over(self, live: LiveCall) -> None:
        del self._calls[live.key]
        if not self._calls:
            self._empty.set()


def _controller(id: str) -> PlaybackController:
    return PlaybackController(id=id)
