"""Offer: what a page proposes, checked before a peer connection sees it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from aiortc.sdp import SessionDescription

_HIDDEN: Final = re.compile(r"(?m)^(a=candidate:\S+ \d+ \S+ \d+ )\S+\.local(?= )")

MOST_CANDIDATES: Final = 40
"""How many addresses an offer may name: each is one that this server will knock at."""


def check_offer(text: str) -> None:
    """See that an offer is one that can be answered: aiortc takes more, and may fail half-way.

    Raises:
        ValueError: it is not; says why, and what was expected.
    """
    try:
        offer = SessionDescription.parse(text)
    # The parser asserts, indexes and converts; none of that says what is wrong.
    except Exception as error:
        raise ValueError(f"the offer can't be read ({type(error).__name__}), expected SDP") from None
    kinds = sorted(media.kind for media in offer.media)
    if kinds != ["application", "audio"]:
        described = ", ".join(kind[:20] for kind in kinds[:10]) or "nothing"
        raise ValueError(f"the offer has {described}, expected one audio and one application (data channel) section")
    mids = [media.rtp.muxId for media in offer.media]
    if not all(mids) or len(set(mids)) < len(mids):
        raise ValueError("the offer's sections have no names of their own, expected a=mid in each")
    for media in offer.media:
        if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
            raise ValueError(f"the {media.kind} section has no ICE credentials, expected a=ice-ufrag and a=ice-pwd")
        if media.dtls is None or not media.dtls.fingerprints:
            raise ValueError(
                f"the {media.kind} section has no DTLS fingerprint or role, expected a=fingerprint and a=setup"
            )
        if media.kind == "audio" and media.direction in ("sendonly", "inactive"):
            raise ValueError(f"the audio section is {media.direction}, expected sendrecv or recvonly: it is to hear")
        if media.kind == "application" and (media.profile.upper() == "DTLS/SCTP" or media.sctp_port is None):
            raise ValueError("the application section has no SCTP port, expected UDP/DTLS/SCTP with a=sctp-port")
    if sum(len(media.ice_candidates) for media in offer.media) > MOST_CANDIDATES:
        raise ValueError(f"the offer has too many candidates, expected at most {MOST_CANDIDATES}")
    for group in offer.group:
        if group.semantic == "BUNDLE" and (group.items[:1] and set(map(str, group.items)) - set(mids)):
            raise ValueError("the offer bundles sections that it does not have, expected a=group with its own a=mid")


def takes_opus(text: str) -> bool:
    """Whether an offer, already checked, has Opus among its codecs."""
    media = SessionDescription.parse(text).media
    return any(codec.mimeType.lower() == "audio/opus" for section in media for codec in section.rtp.codecs)


def disclose(text: str, host: str | None) -> str:
    """Put an address where a browser hides its own behind a name that only multicast DNS knows.

    A browser does so until it may use the microphone. Looking the name up takes a second where there is no multicast,
    and fails; but the page has come from somewhere.

    Args:
        text: the offer.
        host: where the request came from; anything but an address changes nothing.
    """
    try:
        address = ip_address(host or "")
    except ValueError:
        return text
    return _HIDDEN.sub(rf"\g<1>{address}", text)
