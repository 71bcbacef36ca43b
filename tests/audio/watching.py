"""Watching what a piece of code opens: files by inotify, descriptors and sockets by /proc. Linux only."""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.audio.hostile import Bait
from tests.audio.media import made

_OPENED: Final = 0x20
"""IN_OPEN: somebody opens a file of the folder."""
_NONBLOCKING: Final = 0o4000

_NETWORK: Final = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}

_audited: list[str] = []
_is_auditing = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _is_auditing and (event in _NETWORK or (event == "open" and isinstance(arguments[0], str))):
        _audited.append(f"{event}: {arguments[0]!r}")


sys.addaudithook(_audit)


class Watch:
    """What was opened since it began."""

    def __init__(self, bait: Bait, notify: int, listener: socket.socket) -> None:
        self.bait: Final = bait
        self._notify: Final = notify
        self._listener: Final = listener
        self._sockets: Final = _sockets()

    def opened(self) -> list[str]:
        """What was opened: the bait's file, its port, a port of its own, or anything that Python has noticed."""
        found = list(_audited)
        try:
            if os.read(self._notify, 4096):
                found.append("a file of the bait was opened")
        except BlockingIOError:
            pass
        try:
            self._listener.accept()[0].close()
            found.append("somebody has connected")
        except BlockingIOError:
            pass
        return found + [f"a socket: {line}" for line in _sockets() - self._sockets]


def _sockets() -> set[str]:
    """The UDP ports and the TCP listeners of this machine's processes, as far as they are this process's."""
    own = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if target.startswith("socket:"):
            own.add(target)
    return own


@contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    """Lay a bait, and watch it."""
    global _is_auditing
    (folder / "secret.wav").write_bytes(made("wav"))
    libc = ctypes.CDLL(None, use_errno=True)
    notify = libc.inotify_init1(_NONBLOCKING)
    assert notify >= 0
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as spare:
        listener.setblocking(False)
        spare.bind(("127.0.0.1", 0))
        udp = spare.getsockname()[1]
        spare.close()
        assert libc.inotify_add_watch(notify, os.fsencode(folder), _OPENED) >= 0
        try:
            _audited.clear()
            _is_auditing = True
            yield Watch(Bait(str(folder), listener.getsockname()[1], udp), notify, listener)
        finally:
            _is_auditing = False
            os.close(notify)
