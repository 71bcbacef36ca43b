"""Servers, ports and certificates: what is refused, and what becomes of the rest."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCIceServer

from playback.native.binding import rtc
from playback.native.network import configuration
from tests.native.calls import call, native
from tests.needs import need_program


def made(**options: Any) -> Any:
    found: dict[str, Any] = {"udp_port": None, "bind_address": None, "ice_servers": (), "certificate": None}
    return configuration(**{**found, "relay_only": False, **options})


def test_servers_of_aiortc_are_understood() -> None:
    servers = (
        RTCIceServer("stun:stun.example.org"),
        RTCIceServer(["turn:turn.example.org:5000", "turns:turn.example.org"], "us:er", "p@ss/word"),
        RTCIceServer("turn:[2001:db8::1]:3479?transport=tcp", "a", "b"),
    )
    stun, turn, tls, tcp = made(ice_servers=servers, relay_only=True).ice_servers
    assert (stun.hostname, stun.port, stun.type.name) == ("stun.example.org", 3478, "Stun")
    assert (turn.hostname, turn.port, turn.username, turn.password) == (
        "turn.example.org", 5000, "us:er", "p@ss/word",
    )  # fmt: skip
    assert (tls.port, tls.relay_type, tcp.relay_type, turn.relay_type) == (
        5349, rtc.IceServer.RelayType.TurnTls, rtc.IceServer.RelayType.TurnTcp, rtc.IceServer.RelayType.TurnUdp,
    )  # fmt: skip
    assert (tcp.hostname, tcp.port) == ("2001:db8::1", 3479)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ice_servers": [RTCIceServer("http://x")]}, "the ICE server is 'http://x', expected a URL such as"),
        ({"ice_servers": [RTCIceServer("stun:")]}, "the ICE server is 'stun:'"),
        ({"ice_servers": [RTCIceServer("stun:a:99999")]}, "the ICE server is 'stun:a:99999'"),
        ({"ice_servers": [RTCIceServer("turn:a")]}, "the TURN server 'turn:a' has no username or no credential"),
        ({"relay_only": True}, "relay_only needs a TURN server"),
        ({"udp_port": 0}, "udp_port is 0, expected 1 to 65,535"),
        ({"udp_port": 70_000}, "udp_port is 70000"),
    ],
)
def test_what_can_not_be_used_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        made(**options)


async def test_bad_arguments_leave_nothing_open() -> None:
    for options in ({"connect_seconds": -1.0}, {"lost_seconds": 0}, {"complexity": 11}, {"udp_port": -1}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
            native(**options)
    with pytest.raises(FileNotFoundError, match=r"there is no file nowhere\.pem"):
        native(certificate=("nowhere.pem", "nowhere.key"))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path, str]:
    """The files of a certificate and of its key, and its fingerprint."""
    need_program("openssl", "OpenSSL")
    file, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=x -keyout"
    subprocess.run([*command.split(), key, "-out", file], check=True, capture_output=True)
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", file],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return file, key, shown.stdout.strip().partition("=")[2]


async def test_a_certificate_of_files_is_used(certificate: tuple[Path, Path, str]) -> None:
    file, key, fingerprint = certificate
    calling, called = native(certificate=(file, key)), native()
    await call(calling, called)
    await calling.close()
    await called.close()
    other = native(certificate=(file, key))
    assert f"a=fingerprint:sha-256 {fingerprint}" in await other.offer()
    await other.close()
