"""The server: ``run`` serves the demo until Ctrl+C or SIGTERM."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from typing import Final

import uvicorn

from playback.demo.app import create_app
from playback.demo.settings import DemoSettings
from playback.serving.connections import BoundedProtocol
from playback.serving.listening import address_of, is_loopback, listen, names_of, terminating

SHUTDOWN_SECONDS: Final = 3
"""How long requests may still take after Ctrl+C or SIGTERM."""


HEADER_BYTES: Final = 16_384
"""How long the headers of a request may be."""


def run(host: str = "127.0.0.1", port: int = 8765, open_browser: bool = True, token: str | None = None) -> int:
    """Serve the demo, until Ctrl+C or SIGTERM; then sessions finish what they say, and say goodbye.

    Args:
        host: where to listen; a name or address of this machine.
        port: on which port; 0 takes one that is free.
        open_browser: show the page in a browser, if there is one to be seen.
        token: what a page has to know to begin a session. Where others than this machine can reach the server, it is
            made up and printed unless given; otherwise nothing has to be known unless given.

    Returns:
        The exit code: 0, or 1 if the address can't be had.

    Raises:
        ValueError: a token that is too short, or has other characters than printable ASCII.
    """
    DemoSettings(token=token)
    try:
        listener = listen(host, port)
    except OSError as error:
        sys.stderr.write(f"playback: error: {host}:{port} can't be had: {error.strerror or error}\n")
        return 1
    # Ctrl+C may come before uvicorn sees to it, and uvicorn raises it again once all is closed. The same for SIGTERM.
    with listener, suppress(KeyboardInterrupt), terminating():
        if token is None and not is_loopback(listener):
            token = secrets.token_urlsafe(16)
        _serve(listener, host, open_browser, token)
    return 0


def _serve(listener: socket.socket, host: str, open_browser: bool, token: str | None) -> None:
    address = address_of(host, listener.getsockname()[1], token)
    sys.stdout.write(f"the demo is at {address} (Ctrl+C ends it)\n")
    if not is_loopback(listener):
        sys.stdout.write(
            "others can reach it: give this address to those alone who may use it; a browser gives the microphone to "
            "https alone\n"
        )
    sys.stdout.flush()
    app = create_app(DemoSettings(allowed_hosts=names_of(host), token=token))
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        h11_max_incomplete_event_size=HEADER_BYTES,
        log_level="error",  # strangers could fill a log with warnings of requests that are none
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
    )
    if open_browser and _has_display():
        # It may wait for the browser, and the browser for the server.
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    uvicorn.Server(config).run(sockets=[listener])


def _has_display() -> bool:
    """Whether a browser would be seen: on a Linux without a display, one would take over the terminal."""
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
