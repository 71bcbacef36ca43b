"""What the server of calls is made with: who may reach it, and how much of everything it takes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from playback._checks import check_seconds, check_whole
from playback.serving.listening import LOOPBACK
from playback.serving.requests import check_new_token

TOKEN_VARIABLE: Final = "PLAYBACK_SERVE_TOKEN"
"""Where the token may stand: other users of a machine see the arguments of a process."""

TURN_VARIABLE: Final = "PLAYBACK_TURN_SECRET"
"""Where the secret that is shared with the TURN servers stands."""

TURN_SECONDS: Final = 3_600
"""How long credentials of TURN can be used to begin a call."""


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """The limits of a server; every one of them is checked when the settings are made.

    Raises:
        TypeError: a limit that is no number.
        ValueError: a limit that is negative, not finite, or zero where nothing would work; a token that is too short or
            has a space or a character that is not ASCII; a URL that is none of STUN or TURN.
    """

    allowed_hosts: tuple[str, ...] | None = LOOPBACK
    """What a request's ``Host`` may name, without a port; None allows every name, for servers behind a proxy that
    checks it, or with a token."""
    token: str | None = field(default=None, repr=False)
    """What a caller has to know to begin a call: ``Authorization: Bearer``, or ``token`` in the first message of a
    WebSocket. None lets everybody in."""
    calls_per_second: float = 10.0
    """How many calls may be begun, on average; twice as many may come at once."""
    sdp_bytes: int = 65_536
    """How long an offer or a message may be."""
    sockets: int = 1_000
    """How many WebSockets there may be at a time."""
    first_message_seconds: float = 10.0
    """How long a WebSocket may take to send its first message."""
    retry_after_seconds: int = 5
    """When a caller that was turned away because there are too many calls may come again."""
    ice_servers: tuple[str, ...] = ()
    """URLs of the STUN and TURN servers that callers use."""
    turn_secret: str | None = field(default=None, repr=False)
    """The secret that is shared with the TURN servers (``static-auth-secret`` of coturn): callers get credentials that
    are made of it and end after an hour. Needed with a URL of TURN."""

    def __post_init__(self) -> None:
        if self.token is not None:
            check_new_token(self.token)
        for name in ("calls_per_second", "first_message_seconds"):
            check_seconds(name, getattr(self, name))
            if not getattr(self, name):
                raise ValueError(f"{name} is 0, expected more")
        for name in ("sdp_bytes", "sockets", "retry_after_seconds"):
            check_whole(name, getattr(self, name), range(1, 1_000_000_000))
        for url in self.ice_servers:
            if not url.startswith(("stun:", "turn:", "turns:")) or not url.isprintable() or {*url} & {*'<>", '}:
                raise ValueError(f"ice_servers has {url!r}, expected URLs such as 'turn:turn.example.org:3478'")
        if self.turn_secret is None and any(not url.startswith("stun:") for url in self.ice_servers):
            raise ValueError(f"ice_servers has a TURN server, expected turn_secret, too (or ${TURN_VARIABLE})")

    def links(self) -> list[str]:
        """The STUN and TURN servers as values of ``Link`` (RFC 9725, section 4.6)."""
        return [self._link(url) for url in self.ice_servers]

    def _link(self, url: str) -> str:
        if url.startswith("stun:") or self.turn_secret is None:
            return f'<{url}>; rel="ice-server"'
        name, password = turn_credentials(self.turn_secret)
        return f'<{url}>; rel="ice-server"; username="{name}"; credential="{password}"; credential-type="password"'


def turn_credentials(secret: str, seconds: int = TURN_SECONDS, now: float | None = None) -> tuple[str, str]:
    """A name and a password that a TURN server with this secret takes for so long.

    That is the TURN REST API (draft-uberti-behave-turn-rest-00), which coturn has with ``use-auth-secret``.

    Args:
        secret: what is shared with the TURN server.
        seconds: how long they can be used.
        now: seconds since the epoch.
    """
    name = f"{round((time.time() if now is None else now) + seconds)}:playback"
    digest = hmac.new(secret.encode(), name.encode(), hashlib.sha1).digest()
    return name, base64.b64encode(digest).decode()


def from_environment(
    *, allowed_hosts: tuple[str, ...] | None, token: str | None = None, ice_servers: Iterable[str] = ()
) -> ServingSettings:
    """Settings with the secrets of the environment: ``PLAYBACK_SERVE_TOKEN`` and ``PLAYBACK_TURN_SECRET``.

    Raises:
        ValueError: as for :class:`ServingSettings`.
    """
    return ServingSettings(
        allowed_hosts=allowed_hosts,
        token=token or os.environ.get(TOKEN_VARIABLE) or None,
        ice_servers=tuple(ice_servers),
        turn_secret=os.environ.get(TURN_VARIABLE) or None,
    )
