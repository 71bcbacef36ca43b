"""The limits of one call."""

from __future__ import annotations

from dataclasses import dataclass, fields

from playback._checks import check_seconds, check_whole


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What a carrier may do, and for how long each thing may take.

    Raises:
        TypeError: a value that is no number.
        ValueError: a value out of its bounds.
    """

    message_bytes: int = 1 << 16
    """The largest message: 64 KiB hold two seconds of L16 at 24 kHz in base64."""
    messages_per_second: int = 250
    """How many messages may come, on average: 50 of audio, and as many marks; ten seconds' worth at once."""
    start_seconds: float = 10.0
    """For how long the start may be waited for."""
    receive_seconds: float = 30.0
    """For how long nothing may come. Carriers send audio all the time."""
    send_seconds: float = 10.0
    """For how long the socket may take nothing."""
    way_seconds: float = 2.0
    """How much audio may be sent and not confirmed, beyond the lead; then nothing is read until marks come back."""
    confirm_seconds: float = 10.0
    """For how long that may last."""
    close_seconds: float = 5.0
    """For how long the closing of the socket may take, and for how long the agent may go on after the call."""
    drain_seconds: float = 10.0
    """For how long what the agent has said may play on after it has returned."""

    def __post_init__(self) -> None:
        check_whole("message_bytes", self.message_bytes, range(1, 1 << 30))
        check_whole("messages_per_second", self.messages_per_second, range(1, 1_000_000))
        for field in fields(self)[2:]:
            check_seconds(field.name, getattr(self, field.name))
