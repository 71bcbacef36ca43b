"""The app: the page, and the endpoint by which it begins a session (as draft-ietf-wish-whep, with a microphone).

It can be mounted in another server under any prefix; as only the outermost app's lifespan runs, that server has to
await ``app.state.sessions.shutdown()`` itself when it ends; ``aclose()`` says no goodbye.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from playback.demo.assets import load
from playback.demo.middleware import Guard, failure
from playback.demo.registry import Sessions
from playback.demo.sdp import disclose
from playback.demo.session import Session
from playback.demo.settings import DemoSettings, SessionOptions, parse_heard

__all__ = ["DemoSettings", "create_app"]

SDP: Final = "application/sdp"

SECRET: Final = "playback-secret"
"""The header in which a page shows that a session is its own."""

CLOSE: Final = {"connection": "close"}
"""What is still on its way after a refusal is not waited for."""

PATIENCE_BYTES: Final = 16 * 1024 * 1024
"""How much of a body that is too long is thrown away before the connection is closed."""

BODY_SECONDS: Final = 10.0
"""How long a page may take to send its offer."""


def create_app(settings: DemoSettings | None = None) -> Starlette:
    """Make the demo's app.

    Args:
        settings: its limits; by default those of :class:`DemoSettings`.

    Returns:
        The app; ``app.state.sessions`` are its sessions.
    """
    settings = settings or DemoSettings()
    sessions = Sessions(settings)
    pages = load()

    def show(path: str) -> Route:
        async def handed_out(_: Request) -> Response:
            return Response(pages[path].body, media_type=pages[path].kind)

        return Route(path, handed_out)

    def authorize(request: Request) -> None:
        """See that a request has the token.

        Raises:
            HTTPException: it does not.
        """
        if settings.token is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        # The comparison takes as long for any token: its time must not say how much of it was right.
        if scheme.casefold() != "bearer" or not hmac.compare_digest(given.strip().encode(), settings.token.encode()):
            detail = "this server wants its token: open the page at the address that the server has printed"
            raise HTTPException(401, detail, {"www-authenticate": "Bearer", **CLOSE})

    async def begin(request: Request) -> Response:
        authorize(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
        if kind != SDP:
            raise HTTPException(415, f"Content-Type is {kind[:80]!r}, expected {SDP}")
        sessions.check_room()
        try:
            options = SessionOptions.parse(request.query_params)
            offer = (await _body(request, settings.sdp_bytes)).decode()
            host = request.client.host if request.client else None
            session, answer = await sessions.begin(disclose(offer, host), options, host)
        except UnicodeDecodeError as error:
            raise HTTPException(400, f"the offer is no UTF-8: {error.reason} at byte {error.start}") from None
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        location = f"{request.scope.get('root_path', '')}/whep/{session.id}"
        return Response(answer, 201, {"location": location, "cache-control": "no-store"}, SDP)

    def own_session(request: Request) -> Session:
        """The session of a request that has its secret."""
        authorize(request)
        session = sessions.get(request.path_params["id"])
        # Whether there is such a session is nobody's business but its page's.
        if session is None or not session.is_whose(request.headers.get(SECRET, "")):
            raise HTTPException(404, f"there is no session {request.path_params['id'][:40]!r} with this secret", CLOSE)
        return session

    async def resume(request: Request) -> Response:
        session = own_session(request)
        try:
            heard, rewind_seconds = parse_heard(request.query_params)
            offer = (await _body(request, settings.sdp_bytes)).decode()
            host = request.client.host if request.client else None
            answer = await sessions.resume(session, disclose(offer, host), heard, rewind_seconds)
        except UnicodeDecodeError as error:
            raise HTTPException(400, f"the offer is no UTF-8: {error.reason} at byte {error.start}") from None
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        return Response(answer, 200, {"cache-control": "no-store"}, SDP)

    async def leave(request: Request) -> Response:
        session = own_session(request)
        try:
            heard, _ = parse_heard(request.query_params)
        except ValueError as error:
            raise HTTPException(400, str(error)) from None
        session.leave(heard)
        return JSONResponse({})

    async def end(request: Request) -> Response:
        authorize(request)
        session = sessions.get(request.path_params["id"])
        if session is None:
            raise HTTPException(404, f"there is no session {request.path_params['id'][:40]!r}")
        await asyncio.shield(session.close())
        return JSONResponse({})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await sessions.shutdown()

    app = Starlette(
        routes=[
            *map(show, pages),
            Route("/whep", begin, methods=["POST"]),
            Route("/whep/{id}", end, methods=["DELETE"]),
            Route("/whep/{id}", resume, methods=["POST"]),
            Route("/whep/{id}/away", leave, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, settings=settings)],
        exception_handlers={HTTPException: _refused, Exception: _failed},
        lifespan=lifespan,
    )
    app.state.sessions = sessions
    return app


async def _body(request: Request, limit: int) -> bytes:
    """The body of a request; not a byte more than the limit is kept.

    Raises:
        HTTPException: it is longer, takes too long, or breaks off.
    """
    body = bytearray()
    length = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                length += len(piece)
                if length <= limit:
                    body += piece
                # A client that is cut off while it sends would not read why.
                elif length > PATIENCE_BYTES:
                    break
    except TimeoutError:
        raise HTTPException(400, f"the body did not come within {BODY_SECONDS:g} s", CLOSE) from None
    except ClientDisconnect:
        raise HTTPException(400, "the body broke off") from None
    if length > limit:
        raise HTTPException(413, f"the body has more than {limit} bytes, expected at most as many", CLOSE)
    return bytes(body)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    match error.status_code:
        case 404 if error.detail == "Not Found":
            detail = f"there is nothing at {request.url.path[:80]!r}, expected / or /whep"
        case 405:
            detail = f"{request.method[:20]} can't be done here, expected {headers.get('Allow', 'another method')}"
        case _:
            detail = error.detail
    return failure(error.status_code, detail, headers)


async def _failed(_request: Request, _error: Exception) -> Response:
    return failure(500, "something went wrong in the server, see its log")
