"""Requests: their token and their body, checked before anything is done for them."""

from __future__ import annotations

import asyncio
import hmac
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

SDP: Final = "application/sdp"

SHORTEST_TOKEN: Final = 16
"""How many characters a token has, at least: nobody counts wrong ones, so it must not be guessed."""

CLOSE: Final = {"connection": "close"}
"""What is still on its way after a refusal is not waited for."""

PATIENCE_BYTES: Final = 16 * 1024 * 1024
"""How much of a body that is too long is thrown away before the connection is closed."""

BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive."""


def check_new_token(token: str) -> None:
    """See that a token can't be guessed, and can stand in a header.

    Raises:
        ValueError: it is too short, or has a space or a character that is not ASCII.
    """
    printable = token.isascii() and token.isprintable() and " " not in token
    if len(token) < SHORTEST_TOKEN or not printable:
        raise ValueError(f"token has {len(token)} characters, expected {SHORTEST_TOKEN} or more, all ASCII, no space")


def is_token(given: str, token: str) -> bool:
    """Whether this is the token. It takes as long for any: the time must not say how much of it was right."""
    return hmac.compare_digest(given.strip().encode(errors="surrogatepass"), token.encode())


def bearer(headers: Headers) -> str:
    """The token in ``Authorization: Bearer``; empty if there is none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given if scheme.casefold() == "bearer" else ""


def check_token(headers: Headers, token: str | None) -> None:
    """See that a request has the token.

    Raises:
        HTTPException: it does not.
    """
    if token is not None and not is_token(bearer(headers), token):
        detail = "this server wants its token: open the page at the address that the server has printed"
        raise HTTPException(401, detail, {"www-authenticate": "Bearer", **CLOSE})


async def read_body(request: Request, limit: int) -> bytes:
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
