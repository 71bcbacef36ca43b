"""Guard: which requests are let in at all, and the headers that every answer carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

SECURITY: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Set on every answer. ``style-src`` allows what stands within the charts' pictures; no script may."""


class Guard:
    """Turns away what another site's page may have sent; there are no CORS headers, so it could not read an answer.

    Starlette's ``TrustedHostMiddleware`` is not enough: it looks at no Origin, takes the first of two Hosts, names in
    its answer neither the host nor what it expects, and splits ``[::1]:80`` at the first colon in releases that are
    allowed here.

    Args:
        app: what is guarded.
        allowed_hosts: what ``Host`` may name, without a port; None allows any name.
    """

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str] | None) -> None:
        self._app: Final = app
        self._hosts: Final = None if allowed_hosts is None else {host.strip("[]").casefold() for host in allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it with 400 or 403."""
        if scope["type"] == "websocket":
            # A browser lets the page of any site open a WebSocket, and sends the Origin.
            scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"])
            if refused := self._refusal(scheme, Headers(scope=scope)):
                await deny(WebSocket(scope, receive, send), refused)
            else:
                await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        if refusal := self._refusal(scope["scheme"], Headers(scope=scope)):
            await refusal(scope, receive, send_secured)
        else:
            await self._app(scope, receive, send_secured)

    def _refusal(self, scheme: str | None, headers: Headers) -> JSONResponse | None:
        hosts = headers.getlist("host")
        host = _hostname(f"//{hosts[0]}") if len(hosts) == 1 else None
        if host is None:
            return failure(400, f"Host is {', '.join(hosts)[:100]!r}, expected the name of this server")
        if self._hosts is not None and host not in self._hosts:
            return failure(403, f"Host is {hosts[0][:100]!r}, expected one of {', '.join(sorted(self._hosts))}")
        for origin in headers.getlist("origin"):
            if origin.casefold() != f"{scheme}://{hosts[0]}".casefold():
                return failure(403, f"Origin is {origin[:100]!r}, expected {scheme}://{hosts[0]}")
        return None


async def deny(socket: WebSocket, response: Response) -> None:
    """Answer the handshake of a WebSocket with a response; with 403 alone, where the server knows no more than that."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        # Older releases of uvicorn add the length once more, which clients take for an error.
        del response.headers["content-length"]
        await socket.send_denial_response(response)
    else:
        await socket.close()


def failure(status: int, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer to a request that can't be met."""
    return JSONResponse({"error": error}, status, headers)


ErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


def error_handlers(places: str) -> dict[type[Exception], ErrorHandler]:
    """What an application answers where a request fails, as Starlette takes it.

    Args:
        places: which paths there are, for who asks for another one.
    """

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        match error.status_code:
            case 404 if error.detail == "Not Found":
                detail = f"there is nothing at {request.url.path[:80]!r}, expected {places}"
            case 405:
                detail = f"{request.method[:20]} can't be done here, expected {headers.get('Allow', 'another method')}"
            case _:
                detail = error.detail
        return failure(error.status_code, detail, headers)

    async def failed(_request: Request, _error: Exception) -> Response:
        return failure(500, "something went wrong in the server, see its log")

    return {HTTPException: refused, Exception: failed}


def _hostname(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError:
        return None
    plain = not (parts.path or parts.query or parts.fragment or parts.username)
    return parts.hostname if plain else None
