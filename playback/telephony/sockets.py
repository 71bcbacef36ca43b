"""A WebSocket, as a call needs it, and what makes one of those of Starlette, FastAPI, websockets and aiohttp.

None of these packages is needed to import this. Each of them can limit the size of a message before it is in memory;
set that, because a call can only look at a message that has arrived: uvicorn's ``ws_max_size``, the argument
``max_size`` of ``websockets.serve`` and ``max_msg_size`` of aiohttp's ``WebSocketResponse``.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, Protocol, runtime_checkable

from playback.telephony.dialect import Message


class SocketClosedError(ConnectionError):
    """A message could not be sent, because the socket is closed."""


@runtime_checkable
class Socket(Protocol):
    """What a call needs of a WebSocket that is open.

    One task receives and one sends, at the same time. ``send`` returns when the message is with the operating system,
    or in a buffer with a limit: that is how a slow socket holds the call up.
    """

    async def receive(self) -> Message | None:
        """The next message; None when the socket is closed, by whomever and however."""

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            SocketClosedError: the socket is closed.
        """

    async def close(self, code: int, reason: str) -> None:
        """Close the socket, with a code of RFC 6455 and a reason of at most 123 bytes; it may be closed already."""


class StarletteSocket:
    """The WebSocket of Starlette or FastAPI, which was accepted.

    Example::

        async def phone(websocket):
            await websocket.accept()
            await answer(StarletteSocket(websocket), Twilio(), agent)

    Args:
        websocket: a ``starlette.websockets.WebSocket``.
    """

    def __init__(self, websocket: Any) -> None:
        self._websocket: Final = websocket

    async def receive(self) -> Message | None:
        """The next message; see :class:`Socket`."""
        try:
            message = await self._websocket.receive()
        except RuntimeError:  # it was closed before
            return None
        if message["type"] != "websocket.receive":
            return None
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes")
        return data if text is None else text

    async def send(self, message: Message) -> None:
        """Send a message; see :class:`Socket`."""
        try:
            if isinstance(message, str):
                await self._websocket.send_text(message)
            else:
                await self._websocket.send_bytes(message)
        except Exception as error:  # WebSocketDisconnect, RuntimeError of one that is closed, or the server's own
            raise SocketClosedError(f"the socket is closed ({type(error).__name__})") from error

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; see :class:`Socket`."""
        with suppress(Exception):  # it is closed: WebSocketDisconnect, RuntimeError, or the server's own
            await self._websocket.close(code, reason)


class WebsocketsSocket:
    """A connection of the package ``websockets``, as ``websockets.serve`` gives it to a handler.

    Args:
        connection: a ``websockets.asyncio.server.ServerConnection``.
    """

    def __init__(self, connection: Any) -> None:
        from websockets.exceptions import ConnectionClosed

        self._connection: Final = connection
        self._closed: Final = ConnectionClosed

    async def receive(self) -> Message | None:
        """The next message; see :class:`Socket`."""
        try:
            message: Message = await self._connection.recv()
        except self._closed:
            return None
        return message

    async def send(self, message: Message) -> None:
        """Send a message; see :class:`Socket`."""
        try:
            await self._connection.send(message)
        except self._closed as error:
            raise SocketClosedError(f"the socket is closed ({type(error).__name__})") from error

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; see :class:`Socket`."""
        await self._connection.close(code, reason)


class AiohttpSocket:
    """A WebSocket of aiohttp's server, which was prepared.

    Args:
        response: an ``aiohttp.web.WebSocketResponse``.
    """

    def __init__(self, response: Any) -> None:
        self._response: Final = response

    async def receive(self) -> Message | None:
        """The next message; see :class:`Socket`."""
        message = await self._response.receive()
        data = message.data
        # The others are closing, closed and error; pings are answered by aiohttp.
        return data if message.type.name in ("TEXT", "BINARY") and isinstance(data, str | bytes) else None

    async def send(self, message: Message) -> None:
        """Send a message; see :class:`Socket`."""
        try:
            if isinstance(message, str):
                await self._response.send_str(message)
            else:
                await self._response.send_bytes(message)
        except Exception as error:  # ClientConnectionResetError
            raise SocketClosedError(f"the socket is closed ({type(error).__name__})") from error

    async def close(self, code: int, reason: str) -> None:
        """Close the socket; see :class:`Socket`."""
        await self._response.close(code=code, message=reason.encode())
