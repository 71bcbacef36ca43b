"""What the demo's server is made with: who may reach it, and how much of everything it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from playback._checks import check_seconds
from playback.audio.ramps import LONGEST_FADE_SECONDS, Fades
from playback.serving.listening import LOOPBACK
from playback.serving.requests import check_new_token


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """The limits of a server; every one of them is checked when the settings are made.

    Raises:
        ValueError: a limit that is negative, not finite, or zero where nothing would work; a token that is too short or
            has a space or a character that is not ASCII.
    """

    allowed_hosts: tuple[str, ...] = LOOPBACK
    """What a request's ``Host`` may name, without a port: any other name may be one that a foreign page has had point
    here (DNS rebinding)."""
    token: str | None = field(default=None, repr=False)
    """What a page has to know to begin a session, as ``Authorization: Bearer``; None lets everybody in."""
    max_sessions: int = 8
    """How many sessions there may be at a time."""
    sessions_per_second: float = 4.0
    """How many may be begun, on average; as many as there may be at a time may come at once."""
    sdp_bytes: int = 65_536
    """How long an offer may be."""
    text_characters: int = 500
    """How long a text may be."""
    waiting: int = 5
    """How many texts and files of a session may wait for their turn."""
    file_bytes: int = 10 * 1024 * 1024
    """How long a file may be; all that wait, together, may be twice as long."""
    file_seconds: float = 600.0
    """How much of a file is played."""
    text_seconds: float = 120.0
    """How much is made of a text: some symbols are long when they are spoken."""
    messages_per_second: float = 50.0
    """How many messages a session may send, on average; two seconds' worth may come at once."""
    backlog_bytes: int = 4 * 1024 * 1024
    """How much may wait for a page that reads too slowly, before its session is closed."""
    idle_seconds: float = 300.0
    """How long a session may last in which nothing is said and nothing is asked for."""
    connect_seconds: float = 8.0
    """How long it may take until the data channel is open."""
    lost_seconds: float = 2.0
    """How long a page may send nothing before the agent is held; see :func:`playback.lost_peer.hold_while_lost`."""
    resume_seconds: float = 10.0
    """How long a session whose page is lost waits for it to come back; 0 ends it at once."""
    shutdown_seconds: float = 8.0
    """How long sessions may take to finish what they say and to say goodbye, when the server is shut down."""
    connecting_per_address: int = 4
    """How many sessions one address may begin within ``connect_seconds`` that have not connected."""

    def __post_init__(self) -> None:
        if self.token is not None:
            check_new_token(self.token)
        for limit in fields(self)[2:]:
            value = getattr(self, limit.name)
            check_seconds(limit.name, value)
            if not value and limit.name not in ("waiting", "resume_seconds"):
                raise ValueError(f"{limit.name} is {value!r}, expected more than 0")


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a page may choose for its session, in seconds."""

    prebuffer: float = 0.0
    """The controller's ``prebuffer_seconds``."""
    fade: float = Fades().interrupt_seconds
    """The fade-out of an interrupt."""
    pause_fade: float = Fades().pause_seconds
    """The ramps into a pause and out of it."""

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> SessionOptions:
        """Read them from a query.

        Raises:
            ValueError: says what is wrong, and what was expected.
        """
        names = [field.name for field in fields(cls)]
        if unknown := [name for name in query if name not in names]:
            raise ValueError(f"there is no setting {unknown[0][:40]!r}, expected {', '.join(names)}")
        return cls(**{name: _seconds(name, text) for name, text in query.items()})

    @property
    def fades(self) -> Fades:
        """The controller's fades."""
        return Fades(self.fade, self.pause_fade, self.pause_fade)


def parse_heard(query: Mapping[str, str]) -> tuple[int | None, float]:
    """Read how far a page has heard the speech, a position in samples, and how many seconds earlier it wants to go on.

    Raises:
        ValueError: says what is wrong, and what was expected.
    """
    if unknown := [name for name in query if name not in ("heard", "rewind")]:
        raise ValueError(f"there is no setting {unknown[0][:40]!r}, expected heard, rewind")
    heard = query.get("heard")
    if heard is not None and not (heard.isascii() and heard.isdecimal() and len(heard) <= 15):
        raise ValueError(f"heard is {heard[:40]!r}, expected a whole number of samples")
    return (None if heard is None else int(heard)), _seconds("rewind", query.get("rewind", "0"))


def _seconds(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= LONGEST_FADE_SECONDS:
        raise ValueError(f"{name} is {text[:40]!r}, expected seconds from 0 to {LONGEST_FADE_SECONDS:g}")
    return value
