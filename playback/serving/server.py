"""The server of one process: ``run`` serves an agent until Ctrl+C or SIGTERM."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

import uvicorn
from starlette.applications import Starlette

from playback.serving.app import create_app
from playback.serving.call import Agent
from playback.serving.calls import MOST_CALLS, Calls
from playback.serving.connections import BoundedProtocol
from playback.serving.engines import make_engine
from playback.serving.listening import address_of, is_loopback, listen, names_of, terminating
from playback.serving.settings import ServingSettings, from_environment

SHUTDOWN_SECONDS: Final = 10.0
"""How long calls may take to finish what they say after Ctrl+C or SIGTERM."""

REQUEST_SECONDS: Final = 3
"""How long requests may still take before that."""

HEADER_BYTES: Final = 16_384
"""How long the headers of a request may be."""

MESSAGE_BYTES: Final = 4 * 65_536
"""How long a message of a WebSocket may be: an offer, each of its characters in four bytes."""


def run(
    agent: Agent,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    max_calls: int = MOST_CALLS,
    reattach_seconds: float = 10.0,
    shutdown_seconds: float = SHUTDOWN_SECONDS,
    token: str | None = None,
    ice_servers: Iterable[str] = (),
    engine: str = "aiortc",
    udp_port: int | None = None,
) -> int:
    """Serve an agent, until Ctrl+C or SIGTERM; then calls finish what they say.

    Args:
        agent: what speaks with each caller.
        host: where to listen; a name or address of this machine.
        port: on which port; 0 takes one that is free.
        max_calls: how many calls there may be at a time.
        reattach_seconds: how long a call goes on when its socket is cut.
        shutdown_seconds: how long calls may take to finish what they say.
        token: what a caller has to know, by default ``$PLAYBACK_SERVE_TOKEN``. Where others than this machine can reach
            the server, it is made up and printed unless given.
        ice_servers: URLs of the STUN and TURN servers that callers use; this server uses those of STUN.
        engine: what carries the calls, one of :data:`playback.serving.engines.ENGINES`.
        udp_port: the one UDP port of all calls, for the engine ``native``; None: one of its own for each call.

    Returns:
        The exit code: 0, or 1 if the address can't be had.

    Raises:
        TypeError, ValueError: as for :class:`~playback.serving.calls.Calls` and
            :class:`~playback.serving.settings.ServingSettings`; the engine can't be used here.
    """
    servers = tuple(ice_servers)
    settings = from_environment(allowed_hosts=names_of(host), token=token, ice_servers=servers)
    carrier = make_engine(engine, servers, udp_port)
    calls = Calls(agent, engine=carrier, max_calls=max_calls, reattach_seconds=reattach_seconds)
    try:
        listener = listen(host, port)
    except OSError as error:
        sys.stderr.write(f"playback: error: {host}:{port} can't be had: {error.strerror or error}\n")
        return 1
    # Ctrl+C may come before uvicorn sees to it, and uvicorn raises it again once all is closed. The same for SIGTERM.
    with listener, suppress(KeyboardInterrupt), terminating():
        if settings.token is None and not is_loopback(listener):
            settings = replace(settings, token=secrets.token_urlsafe(16))
        _print_address(listener, host, settings.token)
        make_server(calls, settings, shutdown_seconds).run(sockets=[listener])
    return 0


def make_server(calls: Calls, settings: ServingSettings, shutdown_seconds: float = SHUTDOWN_SECONDS) -> uvicorn.Server:
    """A server of calls.

    Args:
        calls: the calls.
        settings: its limits.
        shutdown_seconds: how long calls may take to finish what they say at its end.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await calls.shutdown(seconds=shutdown_seconds)

    config = uvicorn.Config(
        create_app(calls, settings, lifespan),
        http=BoundedProtocol,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES,
        h11_max_incomplete_event_size=HEADER_BYTES,
        log_level="error",  # strangers could fill a log with warnings of requests that are none
        lifespan="on",
        timeout_graceful_shutdown=REQUEST_SECONDS,
        server_header=False,
    )
    return uvicorn.Server(config)


def _print_address(listener: socket.socket, host: str, token: str | None) -> None:
    address = address_of(host, listener.getsockname()[1], token)
    sys.stdout.write(f"the agent is at {address} (Ctrl+C ends it)\n")
    if not is_loopback(listener):
        sys.stdout.write("others can reach it; a browser gives the microphone to https alone\n")
    sys.stdout.flush()
