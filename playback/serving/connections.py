"""BoundedProtocol: HTTP connections, each with a deadline, and no more than so many of them.

Uvicorn waits without a limit for the end of a request's headers, for a body that nobody reads, and for a client to take
the answer; only between requests does it close a connection that is silent.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from playback.serving.rate_limit import network

EXCHANGE_SECONDS: Final = 20.0
"""How long it may take from the beginning of a connection, or from one answer, until the next answer is written."""

MOST_CONNECTIONS: Final = 256
"""How many connections there may be at a time."""

MOST_PER_ADDRESS: Final = 32
"""How many of them may come from one address: a browser opens six."""


class BoundedProtocol(H11Protocol):
    """Uvicorn's protocol, which drops connections that are too slow or too many.

    They are aborted: to close them in the usual way would wait until the client has taken what was written.
    """

    exchange_seconds = EXCHANGE_SECONDS
    most_connections = MOST_CONNECTIONS
    most_per_address = MOST_PER_ADDRESS

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or drop it."""
        super().connection_made(transport)
        mine = self.network()
        others: set[Any] = self.connections
        same = sum(isinstance(each, BoundedProtocol) and each.network() == mine for each in others)
        if len(others) > self.most_connections or same > self.most_per_address:
            transport.abort()
        else:
            self._allow()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._stop()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """An answer was written: the next one has the same time."""
        self._allow()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection to the protocol of WebSockets, which has deadlines of its own."""
        self._stop()
        super().handle_websocket_upgrade(event)

    def network(self) -> str:
        """Where the client is."""
        return network(self.client[0] if self.client else None)

    def _allow(self) -> None:
        self._stop()
        self._deadline = self.loop.call_later(self.exchange_seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
