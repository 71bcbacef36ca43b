"""Programs of the tests: ``playback serve`` and a TURN server, each as a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.error import URLError

from aioice.ice import get_host_addresses

from tests.demo.browser import PATIENCE_SECONDS, free_port
from tests.needs import ROOT, need_program

SECRET: Final = "the secret of the tests"


@contextmanager
def served(*arguments: str, **variables: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``playback serve`` with these arguments; gives its address and its process."""
    command = [sys.executable, "-m", "playback", "serve", *arguments, "--port", "0"]
    server = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        assert server.stderr is not None
        line = server.stdout.readline()
        address = re.search(r"http://\S+", line)
        assert address, (line, server.stderr.read() if not line else "")
        _await_answer(address[0], server)
        yield address[0], server
    finally:
        server.terminate()
        _, error = server.communicate(timeout=PATIENCE_SECONDS)
    assert (server.returncode, error) == (0, "")


def _await_answer(address: str, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except URLError:
            assert server.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)


def _await_stun(address: str, port: int, server: subprocess.Popen[bytes]) -> None:
    request = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + os.urandom(12)  # a binding request (RFC 8489, section 5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((address, port))
        client.settimeout(0.1)
        for _ in range(round(PATIENCE_SECONDS / 0.1)):
            assert server.poll() is None, "the TURN server has ended"
            try:
                client.send(request)
                client.recv(1_500)
                return
            except TimeoutError:
                continue
            except ConnectionRefusedError:  # nobody listens yet
                time.sleep(0.1)
    raise AssertionError("the TURN server does not answer")


@contextmanager
def relaying(folder: Path) -> Iterator[str]:
    """coturn, a TURN server with :data:`SECRET`; gives its URL."""
    need_program("turnserver", "Debian package coturn")
    address = next(iter(get_host_addresses(use_ipv4=True, use_ipv6=False)), "127.0.0.1")
    port = free_port()
    options = {
        "listening-ip": address,
        "relay-ip": address,
        "listening-port": port,
        "static-auth-secret": SECRET,
        "realm": "playback",
        "log-file": folder / "turn.log",
        "pidfile": folder / "turn.pid",
        "userdb": folder / "turn.db",
    }
    flags = ("-n", "--use-auth-secret", "--no-tls", "--no-dtls", "--no-cli", "--allow-loopback-peers", "--simple-log")
    command = ["turnserver", *flags, *(f"--{name}={value}" for name, value in options.items())]
    turn = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_stun(address, port, turn)
        yield f"turn:{address}:{port}"
    finally:
        turn.terminate()
        turn.wait(PATIENCE_SECONDS)
