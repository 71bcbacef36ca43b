"""The producers of a session: who pushes, in time and too late, to its end and not, with a handle and without."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from benchmarks.soak.audio import KINDS, Kind, of_bytes
from benchmarks.soak.ledger import Account, Entry
from playback import PlaybackController, Utterance

MOST_SECONDS: Final = 25.0
"""Producers wait while more than this is buffered, so that what a run holds does not depend on chance."""

MOST_OPEN: Final = 4
MOST_WRITES: Final = 2

Act = Callable[[], None]


@dataclass(slots=True, eq=False)
class Speaker:
    """A producer and the handle that it holds."""

    handle: Utterance
    entry: Entry

    @property
    def kind(self) -> Kind:
        """What it pushes."""
        return self.entry.kind


class Producers:
    """All who push into one controller.

    Args:
        controller: must be new.
        account: where everything is booked.
        chance: what everything depends on.
        exact: whether all of them push whole samples in the controller's own format.
        times_out: whether the controller ends utterances by itself.
    """

    def __init__(
        self, controller: PlaybackController, account: Account, chance: Random, *, exact: bool, times_out: bool
    ) -> None:
        self.tasks: Final[set[asyncio.Task[object]]] = set()
        """Those that write, and those that wait for a report."""
        self.acts: Final[tuple[tuple[Act, int], ...]] = (
            (self.say, 30),
            (self._feed, 30),
            (self._end_one, 12),
            (self._say_at_length, 2),
            (self._say_nothing, 2),
            (self._forget, 1),
            (self._say_without_a_handle, 6),
            (self._end_without_a_handle, 3),
            (self._write, 4),
            (self._cancel_writes, 1),
            (self._cancel, 3),
            (self._push_late, 8),
        )
        """What may happen, and how often."""

        self._controller: Final = controller
        self._account: Final = account
        self._random: Final = chance
        self._exact: Final = exact
        self._times_out: Final = times_out
        self._native: Final = of_bytes("bytes in the controller's own format", controller.format)
        self._open: list[Speaker] = []
        self._past: Final[deque[Speaker]] = deque(maxlen=4)
        self._writes: Final[list[asyncio.Task[object]]] = []  # in an order that does not depend on addresses
        self._own: Entry | None = None
        self._names = self._owned = 0

    def end_all(self) -> None:
        """Let everybody come to the end."""
        self._end_without_a_handle()
        while self._open:
            self._end(self._open[-1])

    def let_go(self) -> None:
        """Drop the handles of what is over."""
        self._past.clear()

    def fall_behind(self) -> None:
        """Those who were interrupted have not noticed yet, and will push on."""
        self._past.extend(speaker for speaker in self._open if speaker.entry.ended)
        self._open = [speaker for speaker in self._open if not speaker.entry.ended]

    def push_all(self) -> None:
        """Push a little through each handle that there is."""
        for speaker in (*self._open, *self._past):
            self._push(speaker, 100)

    def say_for_a_while(self) -> None:
        """Say something of two seconds, the same each time, and leave open whether more comes."""
        speaker = self._make(self._native)
        self._open.append(speaker)
        self._push(speaker, 2 * speaker.kind.format.sample_rate)

    def _make(self, kind: Kind | None = None, *, interruptible: bool = True) -> Speaker:
        self._names += 1
        if kind is None:
            kind = self._native if self._exact or self._random.random() < 0.6 else self._random.choice(KINDS)
        text = self._random.choice((None, "Your table is booked for eight."))
        name = f"handle {self._names}"
        handle = self._controller.utterance(text=text, id=name, format=kind.format, interruptible=interruptible)
        return Speaker(handle, self._account.open(name, kind, handle))

    def _push(self, speaker: Speaker, samples: int, extra: int = 0) -> None:
        self._account.push(speaker.handle, speaker.entry, speaker.kind, samples, extra)

    def _chunk(self, kind: Kind) -> tuple[int, int]:
        """So many samples and bytes as one push has: 20 to 400 ms, and now and then a length that nobody expects."""
        if self._random.random() < 0.05:
            return self._random.choice((0 if kind.is_bytes else 1, 1, 7)), 0
        odd = kind.is_bytes and not self._exact and self._random.random() < 0.1
        extra = self._random.randrange(kind.format.frame_bytes) if odd else 0
        return kind.format.samples(self._random.choice((0.02, 0.04, 0.1, 0.1, 0.2, 0.4))), extra

    def _has_room(self) -> bool:
        return self._controller.buffered < self._controller.format.samples(MOST_SECONDS)

    def say(self) -> None:
        """Begin to say something, if not too many do already; mostly to its end."""
        if len(self._open) >= MOST_OPEN or not self._has_room():
            return
        speaker = self._make(interruptible=self._random.random() > 0.1)
        self._open.append(speaker)
        for index in range(self._random.choice((0, 0, 3))):
            speaker.handle.mark(f"word {index}", at=index * 0.2)
            speaker.entry.marks += 1
        self._go_on(speaker)

    def _go_on(self, speaker: Speaker) -> None:
        for _ in range(self._random.randrange(1, 12)):
            self._push(speaker, *self._chunk(speaker.kind))
        if speaker.entry.id in self._account.live and self._random.random() < 0.2:
            speaker.handle.mark(None)
            speaker.entry.marks += 1
        if self._random.random() < 0.6:
            self._end(speaker)

    def _end(self, speaker: Speaker) -> None:
        self._account.end(speaker.handle, speaker.entry)
        if speaker in self._open:
            self._open.remove(speaker)
        if self._random.random() < 0.5:  # else nobody holds the handle any more
            self._past.append(speaker)

    def _feed(self) -> None:
        if self._open and self._has_room():
            self._go_on(self._random.choice(self._open))

    def _end_one(self) -> None:
        if self._open:
            self._end(self._random.choice(self._open))

    def _say_at_length(self) -> None:
        if self._has_room():
            speaker = self._make()
            self._push(speaker, speaker.kind.format.samples(10))
            self._end(speaker)

    def _say_nothing(self) -> None:
        self._end(self._make())

    def _forget(self) -> None:
        self._make()

    def _say_without_a_handle(self) -> None:
        if self._times_out or not self._has_room():  # when its utterance times_out nobody could ask
            return
        for _ in range(self._random.randrange(1, 8)):
            samples, extra = self._chunk(self._native)
            if (self._own is None or self._own.ended) and not self._account.locked:
                self._owned += 1
                self._own = self._account.open(f"utterance-{self._owned}", self._native)
            own = self._own if self._own is not None and not self._own.ended else None
            self._account.push(self._controller, own, self._native, samples, extra)

    def _end_without_a_handle(self) -> None:
        own, self._own = self._own, None
        self._account.end(self._controller, own)

    def _push_late(self) -> None:
        if self._past:
            speaker = self._random.choice(self._past)
            self._push(speaker, *self._chunk(speaker.kind))

    def _cancel(self) -> None:
        speakers = (*self._open, *self._past)
        if speakers:
            speaker = self._random.choice(speakers)
            self._account.cancel(speaker.handle, speaker.entry)

    # Producers that wait

    def _write(self) -> None:
        if len(self._writes) < MOST_WRITES and self._has_room():
            speaker = self._make()
            self._writes.append(self._begin_task(self._go_on_writing(speaker)))

    async def _go_on_writing(self, speaker: Speaker) -> None:
        entry = speaker.entry
        samples = entry.kind.format.samples(0.4)
        self._account.use(entry)
        self._begin_task(speaker.handle.wait())
        try:
            for _ in range(self._random.randrange(1, 12)):
                accepted = await speaker.handle.write(entry.kind.cut(samples, 0))
                self._account.wrote(entry, samples, accepted)
                if not accepted:
                    break
        finally:
            self._account.end(speaker.handle, entry)

    def _cancel_writes(self) -> None:
        for task in self._writes:
            task.cancel()

    def _begin_task(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[object]) -> None:
        self.tasks.discard(task)
        if task in self._writes:
            self._writes.remove(task)
        error = None if task.cancelled() else task.exception()
        self._account.check(error is None, "a producer that waits does not fail", repr(error))
