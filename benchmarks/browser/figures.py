"""What is measured of what a listener hears, what is aimed at, and how it is drawn from recordings."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from operator import methodcaller
from typing import Any, Final, NamedTuple

import numpy as np
from playwright.sync_api import Browser

from benchmarks.browser.chromium import Listener, listening
from benchmarks.browser.sender import Done, Sender, Step, Subject, sending
from benchmarks.browser.signals import (
    HEARD,
    NOISE,
    ONSET,
    RATE,
    Aftermath,
    Reads,
    Recording,
    aftermath,
    first_heard,
    heard_delays,
    last_heard,
    level,
    likeness,
    pcm,
    tone,
    voice,
)
from benchmarks.machine import stolen_seconds
from playback.pacing import PTIME_SECONDS

QUIET: Final = 1e-4
"""The least level that is taken for sound, full scale 1."""
GOLDEN: Final = 0.618034
"""Multiples of it, less their whole parts, are spread evenly however many there are."""
PER_CONNECTION: Final = 4
"""How many measurements share a connection. How packets fall between the moments at which Chromium takes 10 ms out of
its jitter buffer is a matter of chance, and stays as it is."""
DISTURBED: Final = 0.05
"""For how many seconds other machines may take a core during a measurement before it counts as disturbed."""


@dataclass(frozen=True)
class Effort:
    """How much is done for each figure, and for how long things are left alone, in seconds."""

    rounds: int
    stalls: tuple[float, ...]
    """How long each stall is."""
    stall_rounds: int
    wait: float = 6.0
    """A listener's jitter buffer takes as long to come down to what the connection needs."""
    follow: float = 16.0
    """After a stall; a delay that takes longer than 15 s to be normal counts as never."""
    repeats: int = 0
    """How often something may be measured again because the machine was disturbed."""


FULL_ROUNDS: Final = 20
STALLS: Final = (0.1, 0.4, 1.0)
QUICK: Final = Effort(rounds=2, stalls=STALLS[:1], stall_rounds=1, follow=3.0)


def full(rounds: int) -> Effort:
    """So many rounds of all, and a tenth as many of each stall, at least one."""
    return Effort(rounds=rounds, stalls=STALLS, stall_rounds=max(1, rounds // 10), repeats=100)


@dataclass(frozen=True)
class Round:
    """A tone that was pushed and then stopped by a command; times in milliseconds, None where nothing was heard."""

    command: str
    push_to_sound_ms: float | None
    to_silence_ms: float | None
    to_rest_ms: float | None
    """From the command until the noise that the codec leaves where the tone is cut was over, too."""
    push_phase_ms: float
    """How long after the read before it the push came."""
    command_phase_ms: float
    level: float
    """Of the tone as it was heard, full scale 1."""


@dataclass(frozen=True)
class Onset:
    """The beginning of an utterance."""

    likeness: float
    """The normalised correlation of its first 20 ms with the recording, where that is greatest."""
    heard_ms: float
    """How long after the push that place was."""


@dataclass(frozen=True)
class Stall:
    """A sender that stood still, and what became of the delay."""

    seconds: float
    blocked_seconds: float
    """How long it really did."""
    buffered: Aftermath | None
    """What the jitter buffer reports of its delay."""
    heard: Aftermath | None
    """The same by what was heard: from the read of a sound until that sound was heard."""
    delays: list[tuple[float, float]]
    """Of the jitter buffer, each with the seconds since the end of the stall; in milliseconds."""


@dataclass
class Found:
    """All that was found of a subject."""

    subject: str
    rounds: list[Round] = field(default_factory=list)
    onsets: list[Onset] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    """By how much each read came later than 20 ms after the one before it; without the stalls."""
    clock_error_ms: float = 0.0
    """At most, of every figure from a command on."""
    repeated: int = 0
    """How often something was measured again because other machines had taken a core."""
    disturbed: int = 0
    """How many measurements count although they had, because that was too often."""

    def as_json(self) -> dict[str, Any]:
        """All raw values; of the reads' lateness no more than the distribution."""
        shares = (50, 90, 99, 100)
        late = np.percentile(self.late_ms, shares) if self.late_ms else [0.0] * len(shares)
        return asdict(self) | {
            "late_ms": {f"p{share}": float(value) for share, value in zip(shares, late, strict=True)}
        }


def measure(browser: Browser, subject: Subject, effort: Effort, report: Callable[[str], object]) -> Found:
    """Measure a subject.

    A jitter buffer remembers for a minute how late packets came. So what was disturbed is done again in a connection of
    its own.

    Args:
        browser: where the listener is.
        subject: what is sent.
        effort: how often.
        report: called with what is measured next.

    Raises:
        RuntimeError: there is no connection, or a step of a script went wrong.
    """
    found = Found(subject.name)
    to_do = deque(measurements(effort, found))
    while to_do:
        stolen = stolen_seconds()
        with sending(subject) as sender, listening(browser, sender.answer) as listener:
            report("waiting")
            session = Session(subject, sender, listener)
            session.wait(effort.wait)
            for _ in range(min(PER_CONNECTION, len(to_do))):
                measurement = to_do[0]
                report(measurement.name)
                results = measurement.take(session)
                stolen, before = stolen_seconds(), stolen
                if stolen - before > DISTURBED:
                    if found.repeated < effort.repeats:
                        found.repeated += 1
                        break
                    found.disturbed += 1
                measurement.results.extend(results)
                found.late_ms.extend(session.late_ms)
                session.late_ms.clear()
                to_do.popleft()
            found.clock_error_ms = max(found.clock_error_ms, listener.clock_error_ms())
    return found


class Measurement(NamedTuple):
    """Something to be measured."""

    name: str
    take: Callable[[Session], list[Any]]
    results: list[Any]
    """Where what it gives belongs."""


def measurements(effort: Effort, found: Found) -> Iterator[Measurement]:
    """All that is to be measured."""
    for number in range(effort.rounds):
        yield Measurement(f"both stops, {number + 1}", methodcaller("round", number), found.rounds)
    for number in range(effort.rounds):
        yield Measurement(f"an onset, {number + 1}", methodcaller("onset", number), found.onsets)
    for seconds in effort.stalls:
        for number in range(effort.stall_rounds):
            stall = methodcaller("stall", seconds, effort.follow, number)
            yield Measurement(f"a stall of {seconds:g} s, {number + 1}", stall, found.stalls)


class Session:
    """A connection on which scripts are played, each analysed once it is over.

    Args:
        subject: what is sent.
        sender: who does.
        listener: who receives it.
    """

    def __init__(self, subject: Subject, sender: Sender, listener: Listener) -> None:
        self._subject: Final = subject
        self._sender: Final = sender
        self._listener: Final = listener
        self.late_ms: Final[list[float]] = []

    def wait(self, seconds: float) -> None:
        """Let sound run for a while, so that the page and its jitter buffer are warm; it is not looked at."""
        audio = pcm(voice(seconds, self._subject.rate, 0))
        self._sender.perform([Step(0.1, "push", audio=audio), Step(seconds + 0.2, "wait")])

    def round(self, number: int) -> list[Round]:
        """Push a tone, and stop it after a second: with a pause, and another one with an interrupt.

        Args:
            number: of the round, from 0; sets where calls are in the time between two reads.
        """
        audio = pcm(tone(3.0, self._subject.rate))
        push, command = GOLDEN * number % 1, GOLDEN * (number + 0.5) % 1
        script = [
            Step(1.2, "push", push, audio),
            Step(2.3, "pause", command),
            Step(3.3, "interrupt"),
            Step(4.6, "push", (push + 0.5) % 1, audio),
            Step(5.7, "interrupt", command),
            Step(6.7, "wait"),
        ]
        done, recording = self._perform(script, rest=0.5)
        rounds = []
        for index in (0, 3):
            stopped, over = done.times[index + 1 : index + 3]
            rounds.append(judge(recording, script[index + 1].do, done, done.times[index], stopped, over))
        return rounds

    def onset(self, number: int) -> list[Onset]:
        """Push an utterance after two seconds and more of nothing.

        Args:
            number: of the onset, from 0; sets the voice, too.
        """
        length, seed = 0.6, number + 1
        audio = pcm(voice(length, self._subject.rate, seed))
        done, recording = self._perform([Step(2.5, "push", GOLDEN * seed % 1, audio)], rest=length + 1.0)
        begin, end = done.times[0], done.times[0] + 1.0
        match, place = likeness(voice(length, RATE, seed)[:ONSET], recording.between(begin, end))
        return [Onset(match, 1000 * (recording.at(recording.index(begin) + place) - begin))]

    def stall(self, seconds: float, follow: float, number: int) -> list[Stall]:
        """Block the sender in the midst of a long sound, and follow the delay."""
        begin, rate = 4.5, self._subject.rate
        length, seed = begin + seconds + follow + 1.0, 1000 + number
        script = [
            Step(1.2, "push", audio=pcm(voice(length, rate, seed))),
            Step(1.2 + begin, "stall", GOLDEN * (number + 1) % 1, seconds=seconds),
            Step(1.2 + begin + seconds + follow, "interrupt"),
        ]
        self._listener.follow_delay()
        done, recording = self._perform(script, rest=0.7, late=False)
        reported = self._listener.delays()
        pushed, blocked, _ = done.times
        gone_on = done.ends[1]
        reads = [read for read in done.reads if pushed <= read[0] <= done.times[2]]
        first = reads[0][1]
        heard = heard_delays(
            recording.until(done.times[2]),
            voice(length, RATE, seed),
            Reads(np.array([at for at, _ in reads]), np.array([(place - first) * RATE / rate for _, place in reads])),
        )
        stall = Stall(
            seconds=seconds,
            blocked_seconds=gone_on - blocked,
            buffered=aftermath(reported, blocked, gone_on),
            heard=aftermath(heard, blocked, gone_on),
            delays=reported.since(gone_on),
        )
        return [stall]

    def _perform(self, script: Sequence[Step], rest: float, late: bool = True) -> tuple[Done, Recording]:
        """Have a script done; returns it with what was recorded until a time after its last step."""
        self._listener.begin()
        done = self._sender.perform(script)
        self._listener.rest(rest)
        if late:
            times = [at for at, _ in done.reads]
            self.late_ms.extend(1000 * (np.diff(times) - PTIME_SECONDS))
        return done, self._listener.take()


def judge(recording: Recording, command: str, done: Done, pushed: float, stopped: float, over: float) -> Round:
    """See when a tone began and ended in a recording.

    Args:
        recording: of it.
        command: what stopped it.
        done: when there were reads.
        pushed: when it was pushed; just before, it has to be silent.
        stopped: when the command was given.
        over: until when the end is looked for; by then, it has to be silent.
    """
    usual = level(recording.between(stopped - 0.5, stopped - 0.05))
    threshold = max(HEARD * usual, QUIET)
    early = first_heard(recording, pushed - PTIME_SECONDS, pushed, threshold)
    sound = first_heard(recording, pushed, stopped, threshold) if early is None else None
    late = first_heard(recording, over - PTIME_SECONDS, over, threshold)
    silence = last_heard(recording, stopped, over, threshold) if late is None else None
    rest = last_heard(recording, stopped, over, NOISE * usual) if silence is not None else None
    reads = np.array([at for at, _ in done.reads])
    phases = [at - reads[max(0, int(np.searchsorted(reads, at)) - 1)] for at in (pushed, stopped)]
    return Round(
        command=command,
        push_to_sound_ms=None if sound is None else 1000 * (sound - pushed),
        to_silence_ms=None if silence is None else 1000 * (silence - stopped),
        to_rest_ms=None if rest is None else 1000 * (rest - stopped),
        push_phase_ms=1000 * float(phases[0]),
        command_phase_ms=1000 * float(phases[1]),
        level=usual,
    )
