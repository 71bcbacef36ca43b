"""The sounds that are sent to a listener, and what a recording of them shows. All times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

RATE: Final = 48_000
"""Of a recording, in Hz: the rate that Chromium decodes Opus to, so that nothing is resampled."""
ONSET: Final = round(0.020 * RATE)
"""What of an utterance has to be there from its beginning, in samples."""
HEARD: Final = 10 ** (-30 / 20)
"""The share of a tone's level that counts as sound: -30 dB.

Where a tone is cut, Opus leaves noise in the rest of the packet, some 35 dB below it and for 15 ms; the tone itself
hides that from an ear (H. Fastl, E. Zwicker, "Psychoacoustics", 3rd edition, section 4.4: postmasking).
"""
NOISE: Final = 10 ** (-40 / 20)
"""The share that this noise is above, for it is shown, too: -40 dB."""

_HERTZ: Final = 1_000.0
_LEVEL: Final = 0.5
_HARMONICS: Final = range(2, 15)
_PIECE: Final = 1 / 10
_COARSE: Final = 4
"""By how much less than :data:`RATE` is enough to find a piece of a voice."""

Wave = NDArray[np.float64]


def tone(seconds: float, rate: int) -> Wave:
    """A sine of 1 kHz, at half of full scale from its first to its last sample."""
    return _LEVEL * np.sin(2 * np.pi * _HERTZ * np.arange(round(seconds * rate)) / rate)


def voice(seconds: float, rate: int, seed: int) -> Wave:
    """A voice-like sound that never repeats: harmonics of a pitch that glides all the time, with syllables.

    It begins with a fall of the pitch, so that nothing of what follows is like its onset. Its band is 250 to 4,200 Hz,
    so that it is the same sound at any rate that it is made for.

    Args:
        seconds: how long.
        rate: in Hz.
        seed: of the way that the pitch takes.
    """
    chance = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    knots = np.arange(-1, seconds + 1, 0.09)
    pitch = np.interp(at, knots, chance.uniform(125, 245, len(knots)))
    pitch += np.interp(at, [0.0, 0.06], [1.0, 0.0]) * (300 - pitch)
    phase = 2 * np.pi * (np.cumsum(pitch) - (pitch + pitch[0]) / 2) / rate  # the trapezoidal rule
    starts = chance.uniform(0, 2 * np.pi, len(_HARMONICS))
    sound = sum(
        np.sin(number * phase + start) / np.sqrt(number) for number, start in zip(_HARMONICS, starts, strict=True)
    )
    syllables = 0.6 + 0.4 * np.cos(2 * np.pi * 3.7 * at)
    soft = np.minimum(1.0, at / 0.001)
    return np.asarray(0.12 * soft * syllables * sound)


def pcm(sound: Wave) -> bytes:
    """A sound as s16le."""
    return np.rint(32767 * np.clip(sound, -1, 1)).astype("<i2").tobytes()


@dataclass(frozen=True)
class Recording:
    """What was played to a listener, and when.

    A piece leaves the jitter buffer as a whole, for a sound device, which takes time of its own; that is the time of
    the sample in its middle.
    """

    samples: NDArray[np.float32]
    """Of shape (samples,), full scale 1, at :data:`RATE`."""
    ends: Wave
    """Where each piece of it ends, as an index into the samples."""
    times: Wave
    """When each piece ended, by the system's monotonic clock."""

    @classmethod
    def received(cls, samples: NDArray[np.float32], ends: Wave, arrived: Wave) -> Recording:
        """Make one of pieces.

        Args:
            samples: of all pieces, two of them at least, all of one size.
            ends: where each piece ends, in samples by the recorder's count.
            arrived: when each piece came, in seconds.
        """
        # A piece may come late but never early, and the clock of a sound only ever falls behind that of the system, as
        # it does where the machine is too busy; so of a piece and all that follow, the one that came soonest sets the
        # clock.
        own = ends / RATE
        soonest = np.minimum.accumulate((arrived - own)[::-1])[::-1]
        return cls(samples, ends - ends[-1] + len(samples), own + soonest + (ends[-1] - ends[-2]) / RATE / 2)

    def at(self, index: int) -> float:
        """When a sample was played."""
        piece = min(int(np.searchsorted(self.ends, index, "right")), len(self.ends) - 1)
        return float(self.times[piece] - (self.ends[piece] - index) / RATE)

    def index(self, seconds: float) -> int:
        """The sample that was played at a time; the nearest one that there is."""
        piece = min(int(np.searchsorted(self.times, seconds)), len(self.times) - 1)
        index = self.ends[piece] - (self.times[piece] - seconds) * RATE
        return round(min(max(float(index), 0.0), float(len(self.samples))))

    def between(self, begin: float, end: float) -> NDArray[np.float32]:
        """The samples that were played from one time until another."""
        return self.samples[self.index(begin) : self.index(end)]

    def until(self, seconds: float) -> Recording:
        """What was played until a time."""
        return Recording(self.samples[: self.index(seconds)], self.ends, self.times)


def level(samples: NDArray[np.float32]) -> float:
    """The level of a tone: the median of the peaks of its periods; 0 if there is none."""
    period = round(RATE / _HERTZ)
    whole = samples[: len(samples) // period * period].reshape(-1, period)
    return float(np.median(np.abs(whole).max(axis=1))) if len(whole) else 0.0


def first_heard(recording: Recording, begin: float, end: float, threshold: float) -> float | None:
    """When the first sample above a threshold was played between two times; None if there is none."""
    found = np.flatnonzero(np.abs(recording.between(begin, end)) > threshold)
    return recording.at(recording.index(begin) + int(found[0])) if len(found) else None


def last_heard(recording: Recording, begin: float, end: float, threshold: float) -> float | None:
    """When the last one had been played; None if there is none."""
    found = np.flatnonzero(np.abs(recording.between(begin, end)) > threshold)
    return recording.at(recording.index(begin) + int(found[-1]) + 1) if len(found) else None


def likeness(sound: Wave, samples: NDArray[np.float32] | Wave) -> tuple[float, int]:
    """Where a sound is in a recording, if it is.

    Returns:
        The normalised correlation at the place where that is greatest (0 if there is no place or no sound), and the
        index of that place.
    """
    places = len(samples) - len(sound) + 1
    if places < 1:
        return 0.0, 0
    size = 1 << (len(samples) - 1).bit_length()
    products = np.fft.irfft(np.fft.rfft(samples, size) * np.conj(np.fft.rfft(sound, size)), size)[:places]
    energies = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    norms = np.sqrt(np.maximum(energies[len(sound) :] - energies[: -len(sound)], 0.0)) * np.linalg.norm(sound)
    matches = np.divide(products, norms, out=np.zeros(places), where=norms > 1e-6 * len(sound))
    best = int(np.argmax(matches))
    return float(matches[best]), best


# Delays


@dataclass(frozen=True)
class Delays:
    """How a delay went on."""

    times: Wave
    """When each was measured, by the system's monotonic clock."""
    seconds: Wave
    """The delays."""

    def since(self, begin: float) -> list[tuple[float, float]]:
        """Each as seconds since a time, to the hundredth, and the delay in milliseconds, to the tenth."""
        return list(zip((self.times - begin).round(2).tolist(), (1000 * self.seconds).round(1).tolist(), strict=True))


def mean_delays(times: Wave, sums: Wave, counts: Wave) -> Delays:
    """The mean delay of what a jitter buffer gave out between two looks at its statistics.

    Args:
        times: of the looks.
        sums: ``jitterBufferDelay`` of each, in seconds.
        counts: ``jitterBufferEmittedCount`` of each; where nothing was given out, there is no delay.
    """
    given = np.diff(counts) > 0
    return Delays(times[1:][given], np.diff(sums)[given] / np.diff(counts)[given])


@dataclass(frozen=True)
class Reads:
    """When audio left for the network."""

    times: Wave
    """Of each read, by the system's monotonic clock."""
    positions: Wave
    """The first sample of each, since the sound began, at :data:`RATE`."""


def heard_delays(recording: Recording, sound: Wave, reads: Reads, alike: float = 0.8) -> Delays:
    """How long after its read a sound was heard, piece by piece: every 100 ms of the recording is looked for in it.

    What a receiver makes up while it lacks sound may look like some that it had before; so each delay is the median of
    what is found for a piece and for those beside it.

    Args:
        recording: of this sound; what comes before and after it is left out.
        sound: at :data:`RATE`.
        reads: when it was read.
        alike: the least normalised correlation that counts as found.
    """
    begin, end = recording.index(reads.times[0]), len(recording.samples)
    heard, sent = coarse(recording.samples[begin:end]), coarse(sound)
    size, rate = round(_PIECE * RATE / _COARSE), RATE / _COARSE
    times, delays = [], []
    for start in range(0, len(heard) - size, size):
        time = recording.at(begin + start * _COARSE)
        last = int(np.searchsorted(reads.times, time, "right")) - 1
        latest = int((reads.positions[last] + 0.02 * RATE) / _COARSE) + size
        earliest = max(0, latest - size - round(2.5 * rate))
        match, place = likeness(heard[start : start + size], sent[earliest:latest])
        if match < alike:
            continue
        position = (earliest + place) * _COARSE
        read = max(int(np.searchsorted(reads.positions, position, "right")) - 1, 0)
        times.append(time)
        delays.append(time - reads.times[read] - (position - reads.positions[read]) / RATE)
    around = [float(np.median(delays[max(0, place - 1) : place + 2])) for place in range(len(delays))]
    return Delays(np.asarray(times), np.asarray(around))


def coarse(samples: NDArray[np.float32] | Wave) -> Wave:
    """A recording at a quarter of its rate."""
    size = len(samples) // _COARSE * _COARSE
    return np.asarray(np.fft.irfft(np.fft.rfft(samples[:size])[: size // _COARSE // 2 + 1], size // _COARSE) / _COARSE)


NORMAL: Final = 0.040
"""By how much a delay may be above what it was before and still be normal."""
STEADY: Final = 1.0
"""For how long it has to be."""
BEFORE: Final = 2.0


@dataclass(frozen=True)
class Aftermath:
    """What became of a delay after its sender had stood still; in milliseconds, but for ``normal_seconds``."""

    before_ms: float
    """The median of the last two seconds before."""
    greatest_ms: float
    """The greatest one since."""
    normal_seconds: float | None
    """How long after the end of the stall it was back to within 40 ms of before, for a second at least; None if never.

    It is 0 if it never was beyond that.
    """


def aftermath(delays: Delays, begin: float, end: float) -> Aftermath | None:
    """See what a stall did.

    Args:
        delays: before, during and after it.
        begin: when the sender stopped.
        end: when it went on.

    Returns:
        None if there are no delays before it or after it.
    """
    before = delays.seconds[(delays.times > begin - BEFORE) & (delays.times <= begin)]
    since = delays.times > end
    times, seconds = delays.times[since] - end, delays.seconds[since]
    if not len(before) or not len(seconds):
        return None
    usual = float(np.median(before))
    wrong = times[seconds > usual + NORMAL]
    normal = _first_rest(np.concatenate([[0.0], wrong, [np.inf]]), float(times[-1]))
    return Aftermath(1000 * usual, 1000 * float(seconds.max()), normal)


def _first_rest(wrong: Wave, until: float) -> float | None:
    """The first of some times that no other follows within :data:`STEADY`; None if there is none before the end."""
    for time, after in pairwise(wrong):
        if after - time > STEADY:
            return float(time) if until - time >= STEADY else None
    return None
