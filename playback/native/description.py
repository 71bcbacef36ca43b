"""The descriptions of a call (SDP): where its audio is, and what ours says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from playback.codec.settings import CLOCK_RATE
from playback.native.binding import rtc

FORMAT: Final = "minptime=10;useinbandfec=1"
"""What we can decode (RFC 7587, section 6.1): packets from 10 ms on, and in-band FEC; mono by default."""

PAYLOAD_TYPE: Final = 111
"""Of Opus, in an offer of ours: what browsers use."""


@dataclass(frozen=True)
class AudioSection:
    """What is to be known of a section of audio."""

    mid: str
    payload_type: int
    """Of Opus."""
    sends: bool
    """Whether the other side sends audio, too."""
    nack: bool
    """Whether it asks for packets again that were lost."""
    name: str = "playback"
    """The canonical name of the sender (RFC 3550, section 6.5.1): it says nothing of the machine (RFC 7022)."""


OFFERED: Final = AudioSection("audio", PAYLOAD_TYPE, sends=True, nack=False)
"""What we offer."""


def parse_description(text: str, kind: str) -> Any:
    """A description.

    Args:
        text: its SDP.
        kind: ``"offer"`` or ``"answer"``.

    Raises:
        ValueError: it can't be read.
        TypeError: it is no string.
    """
    if not isinstance(text, str):
        raise TypeError(f"the {kind} is {type(text).__name__}, expected SDP, a string")
    try:
        return rtc.Description(text, kind)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"the {kind} can't be read, expected SDP: {error}") from error


def audio_section(description: Any) -> AudioSection:
    """The first section of audio of the other side, which has to have Opus.

    Raises:
        ValueError: there is none that can be used.
    """
    medias = [description.media(number) for number in range(description.media_count())]
    for media in medias:
        if media.type() != "audio" or media.is_removed():
            continue
        for payload_type in media.payload_types():
            codec = media.rtp_map(payload_type)
            if codec.format.lower() == "opus" and codec.clock_rate == CLOCK_RATE:
                directions = rtc.Description.Direction
                direction = media.direction()
                if direction not in (directions.SendRecv, directions.RecvOnly):
                    raise ValueError(f"the audio section is {direction.name.lower()}, expected sendrecv or recvonly")
                sends = direction == directions.SendRecv
                return AudioSection(media.mid(), payload_type, sends, "nack" in codec.rtcp_fbs)
        raise ValueError("the audio section has no Opus at 48 kHz, expected that among its codecs")
    found = ", ".join(media.type()[:20] for media in medias[:10]) or "nothing"
    raise ValueError(f"the description has {found}, expected a section of audio")


def answered_audio(section: AudioSection, ssrc: int) -> Any:
    """Our section in the answer to theirs."""
    directions = rtc.Description.Direction
    direction = directions.SendRecv if section.sends else directions.SendOnly
    media = _audio(section.mid, direction, section.payload_type, ssrc)
    if section.nack:
        codec = media.rtp_map(section.payload_type)
        codec.add_feedback("nack")
        media.remove_rtp_map(section.payload_type)
        media.add_rtp_map(codec)
    return media


def offered_audio(ssrc: int) -> Any:
    """Our section in an offer."""
    return _audio(OFFERED.mid, rtc.Description.Direction.SendRecv, PAYLOAD_TYPE, ssrc)


def _audio(mid: str, direction: Any, payload_type: int, ssrc: int) -> Any:
    media = rtc.Description.Audio(mid, direction)
    media.add_opus_codec(payload_type, FORMAT)
    media.add_ssrc(ssrc, OFFERED.name, OFFERED.name, f"{OFFERED.name}-audio")
    return media
