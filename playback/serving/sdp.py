"""Offers and candidates: what a caller proposes, checked before a peer connection sees it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from aiortc.sdp import SessionDescription, candidate_from_sdp

_HIDDEN: Final = re.compile(r"(?m)^(a=candidate:\S+ \d+ \S+ \d+ )\S+\.local(?= )")

MOST_CANDIDATES: Final = 40
"""How many addresses a caller may name: each is one that this server will knock at."""

LONGEST_CANDIDATE: Final = 500
"""How many characters a candidate may have; with all its extensions it has about 200."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An address at which a caller may be reached (RFC 8839, section 5.1).

    Raises:
        ValueError: it can't be read, or it is of no section.
    """

    text: str
    """``candidate:…``, without ``a=``; empty if there are no more of them."""
    mid: str | None = None
    """The name of its section."""
    index: int | None = None
    """The number of its section; one of both has to be known, unless the text is empty."""

    def __post_init__(self) -> None:
        if not self.text:
            return
        if self.mid is None and self.index is None:
            raise ValueError("the candidate is of no section, expected sdpMid or sdpMLineIndex")
        try:
            if len(self.text) > LONGEST_CANDIDATE:
                raise ValueError("too long")
            ip_address_or_name(candidate_from_sdp(self.text.removeprefix("candidate:")).ip)
        # The parser indexes, asserts and converts; none of that says what is wrong.
        except Exception:
            raise ValueError(f"the candidate is {self.text[:80]!r}, expected candidate:… of RFC 8839") from None

    def disclosed(self, host: str | None) -> Candidate:
        """The candidate as :func:`disclose` makes it."""
        if not self.text:
            return self
        text = disclose(f"a={self.text}", host).removeprefix("a=")
        return Candidate(text, self.mid, self.index)


@dataclass(frozen=True, slots=True)
class Fragment:
    """A fragment of SDP that trickles candidates (RFC 8840, section 9)."""

    ufrag: str
    """Of which ICE session they are."""
    candidates: tuple[Candidate, ...]
    """The candidates; the last one is empty if there are no more."""

    @classmethod
    def parse(cls, text: str) -> Fragment:
        """Read one.

        Raises:
            ValueError: it can't be read; says why, and what was expected.
        """
        ufrag, mid, index = "", None, -1
        candidates: list[Candidate] = []
        complete = False
        for line in text.splitlines():
            name, _, value = line.strip().partition(":")
            if name.startswith("m="):
                index, mid = index + 1, None
            elif name == "a=mid":
                mid = value
            elif name == "a=ice-ufrag":
                ufrag = value
            elif name == "a=candidate":
                candidates.append(Candidate(f"candidate:{value}", mid, max(index, 0)))
            elif name == "a=end-of-candidates":
                complete = True
        if not ufrag:
            raise ValueError("the fragment has no a=ice-ufrag, expected that of the offer")
        if len(candidates) > MOST_CANDIDATES:
            raise ValueError(f"the fragment has {len(candidates)} candidates, expected at most {MOST_CANDIDATES}")
        return cls(ufrag, (*candidates, Candidate("")) if complete else tuple(candidates))


def ip_address_or_name(host: str) -> None:
    """See that this is an address, or a name of multicast DNS: no other name is looked up for a stranger.

    Raises:
        ValueError: it is neither.
    """
    if not host.endswith(".local"):
        ip_address(host)


def ufrag_of(offer: str) -> str:
    """The name of an offer's ICE session; the offer is checked already."""
    ice = SessionDescription.parse(offer).media[0].ice
    return str(ice.usernameFragment) if ice is not None else ""


def check_offer(text: str, *, needs_channel: bool = True) -> None:
    """See that an offer is one that can be answered: aiortc takes more, and may fail half-way.

    Args:
        text: the offer.
        needs_channel: whether it has to have a data channel; otherwise it may have one.

    Raises:
        ValueError: it is not; says why, and what was expected.
    """
    try:
        offer = SessionDescription.parse(text)
    # The parser asserts, indexes and converts; none of that says what is wrong.
    except Exception as error:
        raise ValueError(f"the offer can't be read ({type(error).__name__}), expected SDP") from None
    kinds = sorted(media.kind for media in offer.media)
    if kinds != ["application", "audio"] and (needs_channel or kinds != ["audio"]):
        described = ", ".join(kind[:20] for kind in kinds[:10]) or "nothing"
        expected = "one audio and one" if needs_channel else "one audio and at most one"
        raise ValueError(f"the offer has {described}, expected {expected} application (data channel) section")
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


def has_channel(text: str) -> bool:
    """Whether an offer, already checked, has a data channel."""
    return any(section.kind == "application" for section in SessionDescription.parse(text).media)


def sends_audio(text: str) -> bool:
    """Whether the caller of an offer, already checked, is to be heard."""
    return any(
        section.kind == "audio" and section.direction == "sendrecv" for section in SessionDescription.parse(text).media
    )


def section_names(text: str) -> list[str]:
    """The names of the sections of an offer, already checked, in their order."""
    return [section.rtp.muxId for section in SessionDescription.parse(text).media]


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
