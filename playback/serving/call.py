"""Call: what an agent gets of a call."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from playback.bargein.incoming import IncomingAudio
from playback.controller import PlaybackController
from playback.serving.engine import Connection

LOGGER: Final = logging.getLogger("playback")

EndReason = Literal["completed", "failed", "left", "not_connected", "bye", "detached", "shutdown", "lost"]
"""Why a call is over: the agent has returned; it has raised; the caller is gone; the caller never connected; somebody
has asked for it; the caller's socket was cut and did not come back; the process ends; the process is gone."""

MOST_MESSAGES: Final = 1_000
"""How many messages wait for an agent that does not take them."""

MOST_MESSAGE_BYTES: Final = 1024 * 1024
"""How long they may be together."""

MOST_METADATA: Final = 64
"""How many headers, and how many parameters of the query, are kept."""
LONGEST_METADATA: Final = 2_048
"""How many characters of each are kept."""

_SECRETS: Final = frozenset({"authorization", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class CallRequest:
    """The request that has begun a call, as far as an agent may see it; a caller may write anything into it."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Its headers, the names in lower case, without the token of the server."""
    query: Mapping[str, str] = field(default_factory=dict)
    """The parameters of its query, without the token of the server."""
    client: str | None = None
    """The address where it comes from; behind a proxy, that of the proxy."""

    @classmethod
    def of(
        cls, headers: Iterable[tuple[str, str]], query: Iterable[tuple[str, str]], client: str | None
    ) -> CallRequest:
        """What is kept of a request: no secret, and not more than so much."""
        lower = ((name.lower(), value) for name, value in headers)
        return cls(_bounded((name, value) for name, value in lower if name not in _SECRETS), _bounded(query), client)


def _bounded(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in items:
        if len(kept) < MOST_METADATA or name in kept:
            kept[name[:LONGEST_METADATA]] = value[:LONGEST_METADATA]
    return kept


class Call:
    """One call, for its agent: ``async def agent(call): ...``.

    The agent is called when the caller has connected. When it returns, what it has said is heard to its end, and the
    call is over. When it raises, the error is logged, and the call is over. When the caller leaves, it is cancelled.

    Example::

        async def agent(call):
            call.controller.speak(synthesize("How can I help?"))
            await call.wait_closed()

    Args:
        id: its name in logs, metrics and traces.
        controller: what the caller hears.
        request: the request that has begun it.
        connection: what carries it.
    """

    def __init__(self, id: str, controller: PlaybackController, request: CallRequest, connection: Connection) -> None:
        self.id: Final = id
        self.controller: Final = controller
        self.request: Final = CallRequest(
            MappingProxyType(dict(request.headers)), MappingProxyType(dict(request.query)), request.client
        )
        self.reason: EndReason | None = None
        """Why it is over; None as long as it is not."""
        self.dropped_messages = 0
        """How many messages were dropped, because the agent did not take them in time."""
        self._connection: Final = connection
        self._messages: Final[deque[str | bytes]] = deque()
        self._waiting = 0
        """How long the messages are that wait."""
        self._closed: Final = asyncio.Event()
        self._more: Final = asyncio.Event()

    @property
    def incoming(self) -> IncomingAudio | None:
        """What the caller says; None if the caller sends no audio."""
        return self._connection.incoming

    @property
    def closed(self) -> bool:
        """Whether it is over, or being ended."""
        return self._closed.is_set()

    async def wait_closed(self) -> EndReason:
        """Wait until the call is over; as the agent is cancelled then, this is for others than the agent itself.

        In the agent, it waits for the caller to leave: what has to be done then stands in a ``finally``.
        """
        await self._closed.wait()
        assert self.reason is not None
        return self.reason

    async def messages(self) -> AsyncIterator[str | bytes]:
        """The messages of the caller's data channel, until the call is over; each goes to one iterator."""
        while True:
            while self._messages:
                message = self._messages.popleft()
                self._waiting -= len(message)
                yield message
            if self.closed:
                return
            self._more.clear()
            await self._more.wait()

    def send(self, message: str | bytes) -> bool:
        """Send a message over the caller's data channel.

        Returns:
            False if the caller has none, or reads too slowly.

        Raises:
            TypeError: it is neither a string nor bytes.
        """
        if not isinstance(message, str | bytes):
            raise TypeError(f"message is {message!r:.80}, expected str or bytes")
        return self._connection.send(message)

    def take(self, message: str | bytes) -> None:
        """Keep a message of the caller for the agent."""
        if len(self._messages) >= MOST_MESSAGES or self._waiting + len(message) > MOST_MESSAGE_BYTES:
            self.dropped_messages += 1
            if self.dropped_messages == 1:
                LOGGER.warning("call %s: its agent does not take its messages, they are dropped", self.id)
            return
        self._messages.append(message)
        self._waiting += len(message)
        self._more.set()

    def close(self, reason: EndReason) -> None:
        """Note that it is over."""
        if self.reason is None:
            self.reason = reason
            self._closed.set()
            self._more.set()


Agent = Callable[[Call], Awaitable[object]]
"""What speaks with a caller: ``async def agent(call): ...``."""
