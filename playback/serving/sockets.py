"""Sockets: signalling over a WebSocket that is held open for the call.

Messages are objects of JSON with a ``type``. The caller's first one is ``offer`` (``sdp``, and ``token`` where there
is one), or ``attach`` (``key``) to take up a call whose socket was cut; then come ``candidate`` (``candidate``,
``sdpMid``, ``sdpMLineIndex``, as browsers write it) and ``bye``. The server sends ``answer`` (``sdp``, ``key``, ``id``)
or ``attached``, ``error`` (``error``, and ``retry_after`` in seconds where it may be tried again), and at the end
``ended`` (``reason``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from playback.serving.call import CallRequest, EndReason
from playback.serving.guard import deny, failure
from playback.serving.requests import bearer, is_token
from playback.serving.sdp import Candidate, disclose
from playback.serving.service import Attachment, FullError, NoSuchCallError, Service, SupersededError
from playback.serving.settings import ServingSettings

ENDED: Final = 1000
"""The code with which a socket is closed when its call is over."""
REFUSED: Final = 1008
"""What was sent is against the rules (RFC 6455, section 7.4.1)."""
TRY_LATER: Final = 1013
"""There are too many calls, or too few seconds between them (IANA's registry of close codes)."""
SUPERSEDED: Final = 4001
"""The call has another socket."""

MOST_MESSAGES: Final = 200
"""How many messages a caller may send over one socket: each candidate is one."""


class _RefusedError(Exception):
    """A caller is turned away, with this code."""

    def __init__(self, code: int, error: str, retry_after: int | None = None) -> None:
        super().__init__(error)
        self.code: Final = code
        self.retry_after: Final = retry_after


class Sockets:
    """The WebSockets of a server.

    Args:
        service: the calls.
        settings: its limits.
        check_rate: raises an HTTPException if calls begin too fast.
    """

    def __init__(self, service: Service, settings: ServingSettings, check_rate: Callable[[], None]) -> None:
        self._service: Final = service
        self._settings: Final = settings
        self._check_rate: Final = check_rate
        self._count = 0

    async def serve(self, socket: WebSocket) -> None:
        """Serve one socket, until its call is over or the socket is cut."""
        if self._count >= self._settings.sockets:
            detail = f"there are {self._settings.sockets} sockets, expected to be asked again when one is closed"
            headers = {"retry-after": str(self._settings.retry_after_seconds)}
            await deny(socket, failure(503, detail, headers))
            return
        self._count += 1
        try:
            await socket.accept()
            await self._serve(socket)
        except _RefusedError as error:
            again = {} if error.retry_after is None else {"retry_after": error.retry_after}
            await _close(socket, error.code, {"type": "error", "error": str(error), **again})
        except WebSocketDisconnect:
            pass
        finally:
            self._count -= 1

    async def _serve(self, socket: WebSocket) -> None:
        try:
            async with asyncio.timeout(self._settings.first_message_seconds):
                first = await self._receive(socket)
        except TimeoutError:
            seconds = f"{self._settings.first_message_seconds:g}"
            raise _RefusedError(REFUSED, f"nothing came within {seconds} s, expected an offer") from None
        self._check_token(socket, first)
        match first:
            case {"type": "offer", "sdp": str(sdp)}:
                key, attachment = await self._start(socket, sdp)
            case {"type": "attach", "key": str(key)}:
                attachment = await self._attach(key)
                await _send(socket, {"type": "attached"})
            case _:
                raise _RefusedError(REFUSED, f"the first message is {_shown(first)}, expected an offer or attach")
        await self._hold(socket, key, attachment)

    async def _start(self, socket: WebSocket, sdp: str) -> tuple[str, Attachment]:
        host = socket.client.host if socket.client else None
        request = CallRequest.of(socket.headers.items(), socket.query_params.multi_items(), host)
        try:
            self._check_rate()
            started = await self._service.start(disclose(sdp, host), request)
        except HTTPException as error:
            raise _RefusedError(TRY_LATER, error.detail, 1) from None
        except FullError as error:
            raise _RefusedError(TRY_LATER, str(error), self._settings.retry_after_seconds) from None
        except ValueError as error:
            raise _RefusedError(REFUSED, str(error)) from None
        attachment = await self._attach(started.key)
        answer = {"type": "answer", "sdp": started.answer, "key": started.key, "id": started.id}
        try:
            await _send(socket, answer)
        except BaseException:
            await asyncio.shield(attachment.detach())
            raise
        return started.key, attachment

    async def _attach(self, key: str) -> Attachment:
        try:
            return await self._service.attach(key)
        except NoSuchCallError as error:
            raise _RefusedError(REFUSED, str(error)) from None

    async def _hold(self, socket: WebSocket, key: str, attachment: Attachment) -> None:
        """Carry messages until the call is over, or the socket is cut."""
        waiting: asyncio.Task[EndReason] = asyncio.ensure_future(attachment.wait())
        reading = asyncio.ensure_future(self._read(socket, key))
        try:
            await asyncio.wait((waiting, reading), return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and not waiting.done():
                reading.result()  # raises if the caller is gone, or against the rules
            await _close(socket, ENDED, {"type": "ended", "reason": await waiting})
        except SupersededError as error:
            await _close(socket, SUPERSEDED, {"type": "error", "error": str(error)})
        finally:
            for task in (waiting, reading):
                task.cancel()
            await asyncio.wait((waiting, reading))
            for task in (waiting, reading):
                if not task.cancelled():
                    task.exception()  # is looked at
            await asyncio.shield(attachment.detach())

    async def _read(self, socket: WebSocket, key: str) -> None:
        """Take what the caller sends, until it says goodbye."""
        for _ in range(MOST_MESSAGES):
            message = await self._receive(socket)
            match message:
                case {"type": "bye"}:
                    with suppress(NoSuchCallError):
                        await self._service.end(key)
                    return
                case {"type": "candidate"}:
                    await self._take_candidate(socket, key, message)
                case {"type": "offer"}:
                    raise _RefusedError(REFUSED, "this socket has a call already, expected one offer")
                case _:
                    raise _RefusedError(REFUSED, f"the message is {_shown(message)}, expected candidate or bye")
        raise _RefusedError(REFUSED, f"there are more than {MOST_MESSAGES} messages, expected fewer")

    async def _take_candidate(self, socket: WebSocket, key: str, message: dict[str, Any]) -> None:
        text, mid, index = (message.get(name) for name in ("candidate", "sdpMid", "sdpMLineIndex"))
        kinds = isinstance(text, str | None) and isinstance(mid, str | None) and isinstance(index, int | None)
        if not kinds or isinstance(index, bool):
            raise _RefusedError(REFUSED, "the candidate can't be read, expected what RTCIceCandidate.toJSON() gives")
        host = socket.client.host if socket.client else None
        try:
            await self._service.add_candidate(key, Candidate(text or "", mid, index).disclosed(host))
        except ValueError as error:
            raise _RefusedError(REFUSED, str(error)) from None
        except NoSuchCallError:
            pass  # it has just ended, and that is what is sent next

    async def _receive(self, socket: WebSocket) -> dict[str, Any]:
        received = await socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1006), received.get("reason"))
        text = received.get("text")
        if not isinstance(text, str):
            raise _RefusedError(REFUSED, "the message is binary, expected text")
        if len(text) > self._settings.sdp_bytes:
            most = self._settings.sdp_bytes
            raise _RefusedError(REFUSED, f"the message has {len(text)} characters, expected at most {most}")
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise _RefusedError(REFUSED, f"the message is {text[:80]!r}, expected an object of JSON")
        return message

    def _check_token(self, socket: WebSocket, first: dict[str, Any]) -> None:
        token, given = self._settings.token, first.get("token")
        if token is None or is_token(bearer(socket.headers), token):
            return
        if not isinstance(given, str) or not is_token(given, token):
            raise _RefusedError(REFUSED, "this server wants its token: expected it as token in the first message")


async def _send(socket: WebSocket, message: dict[str, Any]) -> None:
    try:
        await socket.send_text(json.dumps(message))
    except RuntimeError as error:  # starlette's, of a socket that was closed meanwhile
        raise WebSocketDisconnect(1006) from error


async def _close(socket: WebSocket, code: int, message: dict[str, Any]) -> None:
    """Send a last message, and close; nothing happens if the caller is gone."""
    if socket.application_state is WebSocketState.CONNECTED:
        with suppress(WebSocketDisconnect):
            await _send(socket, message)
            try:
                await socket.close(code)
            except RuntimeError as error:
                raise WebSocketDisconnect(1006) from error


def _shown(message: dict[str, Any]) -> str:
    return repr(message.get("type"))[:80]
