"""Network: through which sockets and servers a call goes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aiortc import RTCCertificate, RTCIceServer
from cryptography.hazmat.primitives import serialization

from playback._checks import check_whole
from playback.native.binding import rtc

PORTS: Final = range(1, 65_536)

_DEFAULT_PORTS: Final = {"stun": 3478, "turn": 3478, "turns": 5349}
"""RFC 7064 and RFC 7065, section 3.2."""


def configuration(
    udp_port: int | None,
    bind_address: str | None,
    ice_servers: Sequence[RTCIceServer],
    certificate: tuple[str | Path, str | Path] | None,
    *,
    relay_only: bool,
) -> Any:
    """The configuration of a native connection.

    Raises:
        ValueError: a port is out of bounds, or a server's URL can't be used.
        TypeError: an argument of another type.
        FileNotFoundError: there is no such certificate or key.
    """
    found = rtc.Configuration()
    found.disable_auto_negotiation = True
    found.bind_address = bind_address
    if udp_port is not None:
        check_whole("udp_port", udp_port, PORTS)
        found.enable_ice_udp_mux = True
        found.port_range_begin = found.port_range_end = udp_port
    found.ice_servers = [_server(url, server) for server in ice_servers for url in _urls(server)]
    if relay_only:
        if not any(each.type == rtc.IceServer.Type.Turn for each in found.ice_servers):
            raise ValueError("relay_only needs a TURN server, expected one in ice_servers")
        found.ice_transport_policy = rtc.TransportPolicy.Relay
    if certificate is not None:
        for file in certificate:
            if not Path(file).is_file():
                raise FileNotFoundError(f"there is no file {file}, expected a certificate and its key, PEM")
        found.certificate_pem_file, found.key_pem_file = map(str, certificate)
    else:
        found.certificate_pem_file, found.key_pem_file = own_certificate()
    return found


@cache
def own_certificate() -> tuple[str, str]:
    """A certificate of this process and its key, PEM, made when it is first asked for.

    One that libdatachannel makes comes from its worker threads, and the function that describes a connection waits for
    it without releasing the GIL: when each of these threads is in a callback, and so waits for the GIL, that is for
    ever. What is passed as text is there at once.
    """
    made = RTCCertificate.generateCertificate()
    key = made._key.private_bytes(  # noqa: SLF001 - there is no public way to it
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made._cert.public_bytes(serialization.Encoding.PEM).decode(), key.decode()  # noqa: SLF001


def _urls(server: RTCIceServer) -> list[str]:
    return [server.urls] if isinstance(server.urls, str) else list(server.urls)


def _server(url: str, server: RTCIceServer) -> Any:
    """One URL of a server: a password may hold what a URL can't, so it is passed apart from it.

    Raises:
        ValueError: it is no URL of a STUN or TURN server.
    """
    kind, _, rest = url.partition(":")
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port or _DEFAULT_PORTS[kind]
    except (KeyError, ValueError):
        host = None
    if not host:
        raise ValueError(f"the ICE server is {url!r}, expected a URL such as 'stun:host:3478' or 'turn:host:3478'")
    if kind == "stun":
        return rtc.IceServer(host, port)
    if server.username is None or server.credential is None:
        raise ValueError(f"the TURN server {url!r} has no username or no credential, expected both")
    relays = rtc.IceServer.RelayType
    relay = relays.TurnTls if kind == "turns" else relays.TurnTcp if "transport=tcp" in parts.query else relays.TurnUdp
    return rtc.IceServer(host, port, server.username, server.credential, relay)
