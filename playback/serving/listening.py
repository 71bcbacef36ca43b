"""Where a server listens, by which names it is called, and how it is asked to end."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote

from aioice.ice import get_host_addresses

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""The names by which a machine calls itself."""

ANY: Final = ("0.0.0.0", "::")
"""What listens on all addresses."""


@contextmanager
def terminating() -> Iterator[None]:
    """SIGTERM is a KeyboardInterrupt: to be asked to end is no failure."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address of this machine; port 0 takes one that is free.

    Raises:
        OSError: the address can't be had.
    """
    if not 0 <= port <= 65_535:
        raise OSError("the port is out of range, expected 0 to 65535")
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family)


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine can reach it."""
    return ip_address(listener.getsockname()[0]).is_loopback


def names_of(host: str) -> tuple[str, ...]:
    """By which names the server may be asked for."""
    if host not in ANY:
        return (*LOOPBACK, host)
    # Not the addresses of its name, which it may have none of, or 127.0.1.1 alone.
    addresses = get_host_addresses(use_ipv4=True, use_ipv6=True)
    return (*LOOPBACK, socket.gethostname(), *sorted(addresses))


def shown(host: str) -> str:
    """A host as it stands in an address."""
    if host in ANY:
        return "localhost"
    return f"[{host}]" if ":" in host else host


def address_of(host: str, port: int, token: str | None) -> str:
    """Where the page of a server is."""
    address = f"http://{shown(host)}:{port}/"
    # What stands behind "#" is sent to no server, and so is in no log of a proxy.
    return address if token is None else f"{address}#token={quote(token, safe='')}"
