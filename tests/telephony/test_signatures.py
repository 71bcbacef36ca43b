"""Signatures of carriers: the published example, keys made here, and everything that is almost right."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from playback.telephony.signatures import is_from_telnyx, is_from_twilio, is_token

pytestmark = pytest.mark.portable

# The example of https://www.twilio.com/docs/usage/webhooks/webhooks-security
TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_the_published_example_is_from_twilio() -> None:
    assert is_from_twilio(TOKEN, SIGNATURE, URL, FORM)
    assert is_from_twilio(TOKEN, SIGNATURE, URL, list(reversed(FORM.items())))


@pytest.mark.parametrize(
    "signature", [None, "", SIGNATURE[:-1], SIGNATURE.lower(), "ö", SIGNATURE.replace("8B8", "8B9")]
)
def test_another_signature_is_not_from_twilio(signature: str | None) -> None:
    assert not is_from_twilio(TOKEN, signature, URL, FORM)


def test_a_request_that_was_changed_is_not_from_twilio() -> None:
    assert not is_from_twilio("12346", SIGNATURE, URL, FORM)
    assert not is_from_twilio(TOKEN, SIGNATURE, URL + "/", FORM)
    assert not is_from_twilio(TOKEN, SIGNATURE, URL, {**FORM, "To": "+18005551213"})
    assert not is_from_twilio(TOKEN, SIGNATURE, URL)


def test_an_empty_token_signs_nothing() -> None:
    with pytest.raises(ValueError, match="auth_token is empty"):
        is_from_twilio("", SIGNATURE, URL)
    with pytest.raises(ValueError, match="expected token is empty"):
        is_token("", "")


def test_a_signed_webhook_is_from_telnyx_while_it_is_new() -> None:
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    body, at = b'{"data":{"event_type":"call.initiated"}}', "1793500000"
    signature = base64.b64encode(private.sign(at.encode() + b"|" + body)).decode()
    now = float(at)
    assert is_from_telnyx(public, signature, at, body, now)
    assert is_from_telnyx(public, signature, at, body, now + 300)
    assert not is_from_telnyx(public, signature, at, body, now + 301)
    assert not is_from_telnyx(public, signature, at, body, now - 301)
    assert not is_from_telnyx(public, signature, at, body + b" ", now)
    assert not is_from_telnyx(public, signature, "1793500001", body, now)
    for broken in (None, "", "!", "AAAA", signature[:-4], "ö"):
        assert not is_from_telnyx(public, broken, at, body, now), broken
    for time in (None, "", "-1", "1e9", "9" * 400, "١"):
        assert not is_from_telnyx(public, signature, time, body, now), time
    with pytest.raises(ValueError, match="no Ed25519 key"):
        is_from_telnyx("AAAA", signature, at, body, now)


def test_tokens_are_compared_whole() -> None:
    assert is_token("a secret", "a secret")
    assert not is_token("a secret", "a secre")
    assert not is_token("a secret", None)
    assert not is_token("a secret", "ä secret")
