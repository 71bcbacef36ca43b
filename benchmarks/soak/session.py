"""A session of the soak: one place for a controller, whose producers, user and application do what happens in calls."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

import numpy as np

from benchmarks.micro.audio import FRAMES, baseline
from benchmarks.micro.measure import cpu_ns
from benchmarks.soak.attachments import Attachments
from benchmarks.soak.ledger import Account, Findings
from benchmarks.soak.producers import Act, Producers
from playback import AudioFormat, Fades, PlaybackController
from playback.opus import SAMPLE_RATES, OpusPlaybackTrack
from playback.track import PlaybackTrack

OUTPUTS: Final = (*3 * (AudioFormat(24_000),), AudioFormat(48_000), AudioFormat(16_000), AudioFormat(48_000, 2))
"""What controllers hand out; half of them what speech synthesis mostly makes."""

FRAME_SECONDS: Final = 0.02
MOST_ROUNDS: Final = 1_000
"""How long a controller is given to come to rest: four times what producers may have buffered."""

FRAMES_BEFORE: Final = 10
"""How many are read before the time of others is taken."""


class Session:
    """One controller after the other, each made with the same settings, with its account, and what happens to them.

    Args:
        number: which one of all sessions; decides on the settings.
        seed: of the run.
        findings: where failures and totals go.
    """

    def __init__(self, number: int, seed: int, findings: Findings) -> None:
        self._number: Final = number
        self._random: Final = random.Random(f"{seed} {number}")
        self._findings: Final = findings
        self._generation = 0
        self._seconds = 0.0
        self._begin()

    def _begin(self) -> None:
        """Make a controller, and all that belongs to it."""
        self._generation += 1
        variant = self._number
        output = OUTPUTS[variant % len(OUTPUTS)]
        # Without fades, conversion, rewinds and background each sample that is heard can be counted.
        self._exact = variant % 5 == 0
        maximum = 4.0 if variant % 7 == 0 else 600.0
        times_out = variant % 4 == 1
        self.controller = PlaybackController(
            output,
            fades=Fades(0, 0, 0, 0) if self._exact else Fades(),
            prebuffer_seconds=0.1 if variant % 3 == 0 else 0.0,
            high_water_seconds=2.0,
            max_buffered_seconds=maximum,
            history_seconds=0.0 if variant % 8 == 0 else 2.0,
            input_timeout_seconds=1.0 if times_out else None,
        )
        name = f"controller {self._number}.{self._generation}"
        self.account = Account(self.controller, self._findings, name, output.samples(maximum), times_out=times_out)
        self.attachments = Attachments(self.controller, self.account, self._random, quiet=self._exact)
        if variant % 4 == 2:
            self.attachments.stay()
        self.producers = Producers(self.controller, self.account, self._random, exact=self._exact, times_out=times_out)
        self._acts = dict((*self.producers.acts, *self._commands()))
        self._track: PlaybackTrack | OpusPlaybackTrack | None = None
        if variant % 3 == 1:
            self._track = PlaybackTrack(self.controller)
        elif variant % 3 == 2 and output.channels == 1 and output.sample_rate in SAMPLE_RATES:
            self._track = OpusPlaybackTrack(self.controller)
        self._frame = bytearray(output.samples(FRAME_SECONDS) * output.frame_bytes)
        self._heard = 0
        self._findings.totals["controllers"] += 1
        if variant % 6 == 0:
            self.controller.on("last_audio_byte", self._answer)

    @property
    def seconds(self) -> float:
        """How much audio was read, of all its controllers."""
        return self._seconds + self.controller.format.seconds(self.controller.position)

    def _commands(self) -> tuple[tuple[Act, int], ...]:
        """What the user and the application may do, and how often."""
        return (
            (self._interrupt, 4),
            (self._interrupt_and_lock, 3),
            (self._interrupt_by_force, 2),
            (self._interrupt_twice, 1),
            (self._interrupt_in_a_pause, 2),
            (self._interrupt_before_the_first_sample, 2),
            (self._pause, 5),
            (self._pause_and_resume, 2),
            (self._lock, 2),
            (self._change_the_gain, 1),
            (self._change_the_attachments, 6),
        )

    def _act(self, act: Act) -> None:
        self._findings.totals[act.__name__.strip("_").replace("_", " ")] += 1
        act()

    # The course of things

    async def turn(self) -> None:
        """A second or so: a few things happen, then it is read on."""
        chance = self._random
        for act in chance.choices(list(self._acts), list(self._acts.values()), k=chance.choice((1, 1, 1, 2, 3))):
            self._act(act)
        self._read(chance.randrange(5, 90))
        self.verify()
        if self.controller.input_locked and chance.random() < 0.4:
            self.controller.unlock()
        if self.controller.state == "paused" and chance.random() < 0.4:
            self.controller.resume(0.0 if self._exact else chance.choice((0.0, 0.0, 0.1, 0.4, 5.0)))
        if chance.random() < 1 / 100:
            await self.close()
            self._seconds = self.seconds
            self._begin()

    async def rest(self) -> float:
        """Let everything come to its end, so that what is alive then depends on nothing that has happened.

        Returns:
            The CPU time of a read in the middle of an utterance, as a multiple of the baseline's.
        """
        await self._come_to_rest()
        self.attachments.leave()
        await self.attachments.see_off()
        ratio = self._probe()
        await self._come_to_rest()
        self.account.check(not self.account.live, "all is finished at rest", list(self.account.live))
        self.account.verify_rest()
        return ratio

    def _probe(self) -> float:
        self.producers.say_for_a_while()
        self._read_on(FRAMES_BEFORE)
        before = baseline()
        return 2 * cpu_ns(lambda: self._read_on(FRAMES)) / (before + baseline())

    async def _come_to_rest(self) -> None:
        self.controller.unlock()
        self.controller.resume()
        self.producers.end_all()
        if self._random.random() < 0.5:
            self.account.interrupt(force=True)
        for _ in range(MOST_ROUNDS):
            self.producers.end_all()  # a listener may have said something more
            if not self.controller.buffered and not self.producers.tasks and self.controller.state == "idle":
                break
            self._read(10)
            await asyncio.sleep(0)
        else:
            self.account.check(False, "a controller comes to rest", self.controller.leaf)
        self._read(100)  # what an interrupt has dropped is freed a little with each read
        await self._let_tasks_run()
        self.producers.let_go()
        self.verify()

    async def close(self) -> None:
        """Close the controller, in whatever state it is, and see that nothing is left undone."""
        self._findings.totals["controllers closed"] += 1
        self.verify()
        if self._track is not None:
            self._track.stop()
        else:
            self.controller.close()
        self.account.check(not self.account.in_use, "all is finished when it is closed", self.account.in_use)
        self.producers.push_all()
        self.account.check(not self.controller.close(), "a controller is closed once", self.controller)
        self.account.check(not self.controller.read(480).any(), "what is closed is silent")
        if self.producers.tasks:
            await asyncio.wait(self.producers.tasks)
        await self.attachments.see_off()
        await self._let_tasks_run()
        self.verify()
        self.account.verify_rest()

    async def _let_tasks_run(self) -> None:
        """Let coroutine listeners and sinks, of which nobody knows here, do what they have to do."""
        for _ in range(5):
            await asyncio.sleep(0)

    def verify(self) -> None:
        """Check all that must be true at any time."""
        self.account.verify(self._heard if self._exact else None)
        self.attachments.verify()

    def _read(self, frames: int) -> None:
        """Read on, mostly in frames of 20 ms."""
        output = self.controller.format
        self._findings.totals["reads"] += frames
        if self._random.random() < 0.05:
            for _ in range(frames):
                self._hear(self.controller.read(self._random.choice((0, 1, 77, output.samples(0.01)))))
        else:
            self._read_on(frames)

    def _read_on(self, frames: int) -> None:
        if self._exact:
            samples = self.controller.format.samples(FRAME_SECONDS)
            for _ in range(frames):
                self._hear(self.controller.read(samples))
        elif isinstance(self._track, OpusPlaybackTrack):
            for number in range(frames):
                self._track.packets(number)
        elif self._track is not None:
            for number in range(frames):
                self._track.frame(number)
        else:
            for _ in range(frames):
                self.controller.read_into(self._frame)

    def _hear(self, frame: Any) -> None:
        if self._exact:
            self._heard += int(np.count_nonzero(frame[:, 0]))

    # The user and the application

    def _interrupt(self, *, lock: bool = False, force: bool = False) -> None:
        self.verify()
        locked = self.account.locked
        self.account.interrupt(lock=lock, force=force)
        left = self.account.in_use
        self.account.check(len(left) <= (not force), "an interrupt drops everything", left)
        self.account.check(self.account.locked == (locked or (lock and not left)), "no lock beside who is spared", left)
        if self._random.random() < 0.5:
            self.producers.fall_behind()

    def _interrupt_and_lock(self) -> None:
        self._interrupt(lock=True)

    def _interrupt_by_force(self) -> None:
        self._interrupt(lock=self._random.random() < 0.3, force=True)

    def _interrupt_twice(self) -> None:
        self._interrupt(force=True)
        self.account.check(not self.account.interrupt(), "a second interrupt changes nothing")

    def _interrupt_in_a_pause(self) -> None:
        self.controller.pause()
        self._read(self._random.randrange(3))
        self._interrupt(lock=self._random.random() < 0.2)

    def _interrupt_before_the_first_sample(self) -> None:
        self.producers.say()
        self._interrupt()

    def _answer(self, _: object) -> None:
        """Say something as soon as something was said, within the read."""
        if self._random.random() < 0.1:
            self.producers.say()

    def _pause(self) -> None:
        self.controller.pause()

    def _pause_and_resume(self) -> None:
        self.controller.pause()
        self._read(self._random.randrange(20))
        self.controller.resume(0.0 if self._exact else self._random.choice((0.0, 0.4)))

    def _lock(self) -> None:
        self.controller.lock()

    def _change_the_gain(self) -> None:
        if not self._exact:
            self.controller.gain_db = self._random.choice((0.0, 0.0, -6.0, 3.0))

    def _change_the_attachments(self) -> None:
        self._act(self._random.choice(self.attachments.acts))
