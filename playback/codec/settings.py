"""What an Opus encoder is set to, and what Opus has at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from playback._checks import check_share, check_whole
from playback.pacing import PTIME_SECONDS

Application = Literal["voip", "audio", "lowdelay"]
"""What libopus is set to encode for; see :class:`OpusSettings`."""

CLOCK_RATE: Final = 48_000
"""The rate of the timestamps, in Hz, whatever the audio's is (RFC 7587, section 4.1)."""

PACKET_SAMPLES: Final = round(CLOCK_RATE * PTIME_SECONDS)
"""How far the timestamps of two packets are apart."""

SAMPLE_RATES: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
"""What an Opus encoder takes and a decoder makes, in Hz (RFC 6716, section 2.1.3 and libopus)."""

BITRATES: Final = range(6_000, 256_001)
"""In bits per second: from RFC 6716, section 2.1.1, to what FFmpeg takes for one channel."""

COMPLEXITIES: Final = range(11)
"""RFC 6716, section 2.1.5."""

LEAST_LOSS: Final = 0.06
"""Below it, libopus has no in-band FEC at 32 kbit/s (src/opus_encoder.c, decide_fec: not at 5 % and less)."""


@dataclass(frozen=True, slots=True)
class OpusSettings:
    """What an encoder is set to.

    Raises:
        ValueError: one of these is nothing that Opus has.
        TypeError: one of these has another type.
    """

    bitrate: int = 32_000
    """What it aims at, in bits per second, 6,000 to 256,000."""
    complexity: int = 5
    """0 to 10: how much CPU it may use."""
    application: Application = "audio"
    """What it is tuned for: ``voip``, ``audio`` or ``lowdelay``."""
    expected_loss: float = 0.0
    """The share of packets that is expected to be lost, 0 to 1; above 0, packets hold the one before them, too."""

    def __post_init__(self) -> None:
        check_whole("bitrate", self.bitrate, BITRATES)
        check_whole("complexity", self.complexity, COMPLEXITIES)
        if self.application not in get_args(Application):
            expected = ", ".join(map(repr, get_args(Application)))
            raise ValueError(f"application is {self.application!r}, expected one of {expected}")
        check_share("expected_loss", self.expected_loss)

    @property
    def loss_percent(self) -> int:
        """The expected loss as libopus takes it: a whole number of percent, at least what in-band FEC begins with."""
        return round(100 * max(self.expected_loss, LEAST_LOSS)) if self.expected_loss else 0

    @property
    def fec(self) -> bool:
        """Whether packets hold the one before them, too."""
        return self.expected_loss > 0


def check_rate(sample_rate: int) -> None:
    """See that Opus has a sample rate.

    Raises:
        ValueError: it does not.
    """
    if sample_rate not in SAMPLE_RATES:
        raise ValueError(f"sample_rate is {sample_rate!r}, expected one of {', '.join(map(str, SAMPLE_RATES))}")
