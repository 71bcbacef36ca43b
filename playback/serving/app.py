"""The app: calls over HTTP (as draft-ietf-wish-whep, with a microphone) and over WebSockets, and a page to try them.

``POST /whep`` begins a call, and answers with its address; ``DELETE`` there ends it, ``PATCH`` adds candidates. A
caller without a socket is gone when its connection is. ``/ws`` is the same with a socket: see
:mod:`playback.serving.sockets`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from playback._token_bucket import TokenBucket
from playback.serving.assets import load
from playback.serving.call import CallRequest
from playback.serving.guard import Guard, error_handlers, failure
from playback.serving.requests import CLOSE, SDP, check_token, read_body
from playback.serving.sdp import Fragment, disclose, ufrag_of
from playback.serving.service import FullError, NoSuchCallError, Service
from playback.serving.settings import ServingSettings
from playback.serving.sockets import Sockets

FRAGMENT: Final = "application/trickle-ice-sdpfrag"
NO_STORE: Final = {"cache-control": "no-store"}

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(
    service: Service, settings: ServingSettings | None = None, lifespan: Lifespan | None = None
) -> Starlette:
    """Make the app.

    It can be mounted in another app under any prefix.

    Args:
        service: the calls, such as a :class:`~playback.serving.calls.Calls`; whoever made it closes it.
        settings: its limits; by default those of :class:`ServingSettings`.
        lifespan: what is done at its beginning and its end.
    """
    settings = settings or ServingSettings()
    begun: TokenBucket | None = None

    def check_rate() -> None:
        """See that calls do not begin too fast.

        Raises:
            HTTPException: they do.
        """
        nonlocal begun
        if begun is None:
            rate = settings.calls_per_second
            begun = TokenBucket(rate, max(1.0, 2 * rate), asyncio.get_running_loop().time)
        if not begun.take():
            detail = f"calls are begun too fast, expected {settings.calls_per_second:g} a second"
            raise HTTPException(429, detail, {"retry-after": "1"})

    async def options(request: Request) -> Response:
        check_token(request.headers, settings.token)
        return _with_links(Response(status_code=204, headers={"accept-post": SDP, **NO_STORE}), settings)

    async def begin(request: Request) -> Response:
        check_token(request.headers, settings.token)
        _check_kind(request, SDP)
        check_rate()
        offer = await _text(request, settings.sdp_bytes, "offer")
        host = request.client.host if request.client else None
        asked = CallRequest.of(request.headers.items(), request.query_params.multi_items(), host)
        try:
            started = await service.start(disclose(offer, host), asked)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        except FullError as error:
            raise HTTPException(503, str(error), {"retry-after": str(settings.retry_after_seconds)}) from None
        location = f"{request.scope.get('root_path', '')}/whep/{started.key}"
        headers = {"location": location, "etag": _tag(started.key, ufrag_of(offer)), "accept-patch": FRAGMENT}
        return _with_links(Response(started.answer, 201, {**headers, **NO_STORE}, SDP), settings)

    async def trickle(request: Request) -> Response:
        check_token(request.headers, settings.token)
        key = request.path_params["key"]
        _check_kind(request, FRAGMENT)
        wanted = request.headers.get("if-match")
        if wanted is None:
            raise HTTPException(428, "there is no If-Match, expected the ETag of the call's answer")
        text = await _text(request, settings.sdp_bytes, "fragment")
        if wanted.strip() == "*":
            raise HTTPException(422, "ICE can't be restarted, expected another call")
        try:
            fragment = Fragment.parse(text)
            if wanted.strip() != _tag(key, fragment.ufrag):
                raise HTTPException(
                    412, "If-Match and a=ice-ufrag are of another ICE session, expected those of the offer"
                )
            host = request.client.host if request.client else None
            for candidate in fragment.candidates:
                await service.add_candidate(key, candidate.disclosed(host))
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return Response(status_code=204, headers=NO_STORE)

    async def end(request: Request) -> Response:
        check_token(request.headers, settings.token)
        await service.end(request.path_params["key"])
        return JSONResponse({}, headers=NO_STORE)

    async def health(_: Request) -> Response:
        return JSONResponse(service.status(), headers=NO_STORE)

    async def ready(_: Request) -> Response:
        status = service.status()
        return JSONResponse(status, 200 if status.get("ready", 1) else 503, NO_STORE)

    def show(kind: str, body: bytes) -> Callable[[Request], Awaitable[Response]]:
        async def handed_out(_: Request) -> Response:
            return Response(body, media_type=kind)

        return handed_out

    sockets = Sockets(service, settings, check_rate)
    return Starlette(
        routes=[
            *(Route(path, show(page.kind, page.body)) for path, page in load("playback.serving").items()),
            Route("/whep", options, methods=["OPTIONS"]),
            Route("/whep", begin, methods=["POST"]),
            Route("/whep/{key}", trickle, methods=["PATCH"]),
            Route("/whep/{key}", end, methods=["DELETE"]),
            Route("/health", health),
            Route("/ready", ready),
            WebSocketRoute("/ws", sockets.serve),
        ],
        middleware=[Middleware(Guard, allowed_hosts=settings.allowed_hosts)],
        exception_handlers={**error_handlers("/, /whep, /ws, /health or /ready"), NoSuchCallError: _not_found},
        lifespan=lifespan or _nothing,
    )


@asynccontextmanager
async def _nothing(_: Starlette) -> AsyncIterator[None]:
    yield


def _check_kind(request: Request, expected: str) -> None:
    """See that the body is of a type.

    Raises:
        HTTPException: it is not.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    if kind != expected:
        raise HTTPException(415, f"Content-Type is {kind[:80]!r}, expected {expected}")


async def _text(request: Request, limit: int, name: str) -> str:
    try:
        return (await read_body(request, limit)).decode()
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the {name} is no UTF-8: {error.reason} at byte {error.start}") from None


def _tag(key: str, ufrag: str) -> str:
    """The name of a call's ICE session, for If-Match; every server makes the same of the same."""
    return f'"{hashlib.sha256(f"{key} {ufrag}".encode()).hexdigest()[:24]}"'


def _with_links(response: Response, settings: ServingSettings) -> Response:
    for link in settings.links():
        response.headers.append("link", link)
    return response


async def _not_found(_: Request, error: Exception) -> Response:
    return failure(404, str(error), CLOSE)
