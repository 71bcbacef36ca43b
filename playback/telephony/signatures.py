"""Whether a request is the carrier's: its signature is checked before a socket is accepted, or a call is answered.

Twilio: https://www.twilio.com/docs/usage/webhooks/webhooks-security
Telnyx: https://developers.telnyx.com/docs/development/api-fundamentals/webhooks
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE_SECONDS: Final = 300.0
"""How old a signed request of Telnyx may be: longer would help whoever sends it again."""


def is_from_twilio(
    auth_token: str, signature: str | None, url: str, parameters: Mapping[str, str] | Iterable[tuple[str, str]] = ()
) -> bool:
    """Whether a request has Twilio's signature: HMAC-SHA1 of its URL and its sorted parameters.

    The handshake of a media stream is signed in the same way, without parameters.

    Args:
        auth_token: the account's primary token.
        signature: the header ``X-Twilio-Signature``; None if there is none.
        url: the URL exactly as Twilio has it, with ``https://`` or ``wss://`` and its query: behind a proxy, that is
            not what the server sees.
        parameters: the fields of a posted form; a field that comes several times counts once for each value.

    Raises:
        ValueError: the token is empty, with which anybody could sign.
    """
    if not auth_token:
        raise ValueError("auth_token is empty, expected the account's token")
    if not signature:
        return False
    pairs = parameters.items() if isinstance(parameters, Mapping) else parameters
    signed = url + "".join(name + value for name, value in sorted(set(pairs)))
    expected = base64.b64encode(hmac.digest(auth_token.encode(), signed.encode(), "sha1"))
    return hmac.compare_digest(expected, signature.encode())


def is_from_telnyx(
    public_key: str,
    signature: str | None,
    timestamp: str | None,
    body: bytes,
    now: float,
    *,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> bool:
    """Whether a webhook has Telnyx's signature: Ed25519 of its time, a bar and its body.

    A media stream's handshake is not signed: give the command that starts it a ``stream_auth_token``, and compare that
    with the header ``x-telnyx-streaming-auth-token`` by :func:`is_token`.

    Args:
        public_key: the account's, in base64, from the portal.
        signature: the header ``telnyx-signature-ed25519``, in base64; None if there is none.
        timestamp: the header ``telnyx-timestamp``, in seconds since the epoch.
        body: the bytes that came, not JSON that was written again.
        now: the time, in seconds since the epoch.
        tolerance_seconds: how far from that the timestamp may be.

    Raises:
        ValueError: the key is none.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
    except ValueError as error:
        raise ValueError("public_key is no Ed25519 key of 32 bytes in base64") from error
    if not signature or not timestamp or not timestamp.isascii() or not timestamp.isdecimal() or len(timestamp) > 15:
        return False
    if abs(now - int(timestamp)) > tolerance_seconds:
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + b"|" + body)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def is_token(expected: str, given: str | None) -> bool:
    """Whether a secret is the expected one, compared in a time that says nothing about it.

    Raises:
        ValueError: the expected one is empty, so that anybody would have it.
    """
    if not expected:
        raise ValueError("the expected token is empty, expected a secret")
    return given is not None and hmac.compare_digest(expected.encode(), given.encode())
