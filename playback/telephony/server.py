"""``playback phone``: a server for the WebSockets of carriers, with what answers Twilio's call. Needs ``telephony``.

A carrier is let in if it shows its secret: Twilio signs each request with the account's token, and for Telnyx and
Vonage the secret stands in a header or in the URL. For a carrier without a secret, only this machine is let in.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import quoteattr

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from playback.telephony.dialect import POLICY, Dialect
from playback.telephony.limits import CallLimits
from playback.telephony.session import Agent, answer
from playback.telephony.signatures import is_from_twilio, is_token
from playback.telephony.sockets import StarletteSocket
from playback.telephony.telnyx import Telnyx
from playback.telephony.twilio import Twilio
from playback.telephony.vonage import Vonage

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

TRY_AGAIN_LATER: Final = 1013
"""The close code of a server that has enough calls."""

FORM_BYTES: Final = 16_384
"""How long the form of a webhook may be."""

SECRETS: Final = {"twilio": "TWILIO_AUTH_TOKEN", "telnyx": "TELNYX_STREAM_TOKEN", "vonage": "VONAGE_STREAM_TOKEN"}
"""The environment variables in which the secret of each carrier stands."""


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """How a server takes calls."""

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The secret of each carrier in :data:`SECRETS`."""
    public_url: str | None = None
    """The URL by which carriers reach the server, such as ``https://example.com``; by default that of the request."""
    most_calls: int = 100
    """How many calls it holds at a time."""
    limits: CallLimits = CallLimits()  # noqa: RUF009 - it is immutable
    """The limits of each call."""


def create_app(agent: Agent, settings: PhoneSettings = PhoneSettings()) -> Starlette:
    """The routes of a telephone: sockets at ``/twilio``, ``/telnyx`` and ``/vonage``, and what answers Twilio's calls.

    Args:
        agent: what holds each call.
        settings: who is let in, and how many.
    """
    phone = _Phone(agent, settings)
    return Starlette(
        routes=[
            Route("/twilio", phone.twiml, methods=["GET", "POST"]),
            WebSocketRoute("/twilio", phone.twilio),
            WebSocketRoute("/telnyx", phone.telnyx),
            WebSocketRoute("/vonage", phone.vonage),
        ]
    )


class _Phone:
    """What the routes do."""

    def __init__(self, agent: Agent, settings: PhoneSettings) -> None:
        self._agent: Final = agent
        self._settings: Final = settings
        self._calls = 0

    async def twiml(self, request: Request) -> Response:
        """Connect a call of Twilio's with the socket."""
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > FORM_BYTES:
                return PlainTextResponse("the form is too long", 413)
        form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
        if not self._is_twilio(request, form):
            return PlainTextResponse("the signature is not Twilio's", 403)
        url = self._url(request, "ws")
        connect = f"<Connect><Stream url={quoteattr(url)} /></Connect>"
        document = f'<?xml version="1.0" encoding="UTF-8"?><Response>{connect}</Response>'
        return Response(document, media_type="text/xml")

    async def twilio(self, websocket: WebSocket) -> None:
        """Take the socket of a call of Twilio's."""
        await self._take(websocket, Twilio, is_allowed=self._is_twilio(websocket, []))

    async def telnyx(self, websocket: WebSocket) -> None:
        """Take the socket of a call of Telnyx's."""
        token = websocket.headers.get("x-telnyx-streaming-auth-token")
        await self._take(websocket, Telnyx, is_allowed=self._has_token("telnyx", websocket, token))

    async def vonage(self, websocket: WebSocket) -> None:
        """Take the socket of a call of Vonage's."""
        token = websocket.query_params.get("token")
        await self._take(websocket, Vonage, is_allowed=self._has_token("vonage", websocket, token))

    async def _take(self, websocket: WebSocket, dialect: Callable[[], Dialect], *, is_allowed: bool) -> None:
        if not is_allowed:
            await websocket.close(POLICY)  # before it is accepted: the handshake gets 403
            return
        await websocket.accept()
        phone = StarletteSocket(websocket)
        if self._calls >= self._settings.most_calls:
            await phone.close(TRY_AGAIN_LATER, "too many calls")
            return
        self._calls += 1
        try:
            await answer(phone, dialect(), self._agent, limits=self._settings.limits)
        finally:
            self._calls -= 1

    def _is_twilio(self, connection: HTTPConnection, form: list[tuple[str, str]]) -> bool:
        secret = self._settings.secrets.get("twilio")
        if not secret:
            return _is_local(connection)
        url = self._url(connection, "ws" if isinstance(connection, WebSocket) else "http")
        return is_from_twilio(secret, connection.headers.get("x-twilio-signature"), url, form)

    def _has_token(self, carrier: str, connection: HTTPConnection, token: str | None) -> bool:
        secret = self._settings.secrets.get(carrier)
        return is_token(secret, token) if secret else _is_local(connection)

    def _url(self, connection: HTTPConnection, scheme: str) -> str:
        """The URL of a request as the carrier has it: ``http`` or ``ws``, with an s if the public URL has one."""
        url = connection.url
        base = self._settings.public_url or f"{url.scheme.replace('ws', 'http')}://{url.netloc}"
        query = f"?{url.query}" if url.query else ""
        return scheme + base.removeprefix("http").rstrip("/") + url.path + query


def _is_local(connection: HTTPConnection) -> bool:
    """Whether a request is of this machine, and did not come through a tunnel or a proxy."""
    client = connection.client
    forwarded = any(name in connection.headers for name in ("forwarded", "x-forwarded-for", "x-forwarded-host"))
    return client is not None and client.host in LOOPBACK and connection.url.hostname in LOOPBACK and not forwarded


def run(agent: Agent, settings: PhoneSettings, host: str = "127.0.0.1", port: int = 8080) -> int:
    """Take calls until Ctrl+C or SIGTERM.

    Args:
        agent: what holds each call.
        settings: who is let in, and how many.
        host: where to listen.
        port: on which port; 0 takes one that is free.

    Returns:
        The exit code: 0, or 1 if the address can't be had.
    """
    config = uvicorn.Config(
        create_app(agent, settings),
        ws_max_size=settings.limits.message_bytes,
        access_log=False,  # a URL may hold a secret
        proxy_headers=False,  # who is local is seen by the connection itself
        timeout_graceful_shutdown=5,
        log_level="warning",
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        sys.stderr.write(f"playback: error: {host}:{port} can't be had: {error.strerror or error}\n")
        return 1
    server = uvicorn.Server(config)
    local = f"[{host}]" if ":" in host else host
    sys.stdout.write(f"Calls of this machine: ws://{local}:{listener.getsockname()[1]}/twilio, /telnyx, /vonage\n")
    for carrier, secret in settings.secrets.items():
        if secret:
            sys.stdout.write(f"Calls of {carrier.capitalize()}: /{carrier}\n")
    sys.stdout.flush()
    with listener, suppress(KeyboardInterrupt):  # uvicorn raises it again, once all is closed
        server.run(sockets=[listener])
    return 0
