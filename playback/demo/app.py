"""The app: the page, and the endpoint by which it begins a session (as draft-ietf-wish-whep, with a microphone).

It can be mounted in another server under any prefix; as only the outermost app's lifespan runs, that server has to
await ``app.state.sessions.shutdown()`` itself when it ends; ``aclose()`` says no goodbye.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from playback.demo.registry import Sessions
from playback.demo.session import Session
from playback.demo.settings import DemoSettings, SessionOptions, parse_heard
from playback.serving.assets import load
from playback.serving.guard import Guard, error_handlers
from playback.serving.requests import CLOSE, SDP, check_token, read_body
from playback.serving.sdp import disclose

__all__ = ["DemoSettings", "create_app"]

SECRET: Final = "playback-secret"
"""The header in which a page shows that a session is its own."""


def create_app(settings: DemoSettings | None = None) -> Starlette:
    """Make the demo's app.

    Args:
        settings: its limits; by default those of :class:`DemoSettings`.

    Returns:
        The app; ``app.state.sessions`` are its sessions.
    """
    settings = settings or DemoSettings()
    sessions = Sessions(settings)
    pages = load("playback.demo")

    def show(path: str) -> Route:
        async def handed_out(_: Request) -> Response:
            return Response(pages[path].body, media_type=pages[path].kind)

        return Route(path, handed_out)

    def authorize(request: Request) -> None:
        check_token(request.headers, settings.token)

    async def begin(request: Request) -> Response:
        authorize(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
        if kind != SDP:
            raise HTTPException(415, f"Content-Type is {kind[:80]!r}, expected {SDP}")
        sessions.check_room()
        try:
            options = SessionOptions.parse(request.query_params)
            offer = (await read_body(request, settings.sdp_bytes)).decode()
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
            offer = (await read_body(request, settings.sdp_bytes)).decode()
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
        middleware=[Middleware(Guard, allowed_hosts=settings.allowed_hosts)],
        exception_handlers=error_handlers("/ or /whep"),
        lifespan=lifespan,
    )
    app.state.sessions = sessions
    return app
