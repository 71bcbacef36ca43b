"""Several consumers of a controller that come, go and end at any time: each frame reaches one of them, in order.

The loop's clock is the test's own: it jumps to what is due next, so that a second of frames costs no second.
"""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any, Final

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, PlaybackController
from playback.controller_track import ControllerTrack, TrackInUseError
from playback.events import ErrorRaised
from playback.track import PlaybackTrack
from tests.fuzzing import thorough
from tests.signals import CUTS

RATE: Final = 8_000
FRAME: Final = RATE // 50
LENGTH: Final = 30_000
"""Samples of speech: each has a value of its own."""

Action = tuple[str, int]

ACTIONS: Final = (
    *("consume", "consume", "consume at leisure", "receive", "cancel", "turns", "turns", "frames", "frames"),
    *("track", "reader", "no reader", "stop", "send", "send", "close", "pause", "resume"),
)


class JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: whatever time it is asked to wait for has passed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everybody waits, and nothing is due")
        self.now += max(0.0, timeout)
        return super().select(0)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run it in a loop whose clock jumps."""
    selector = JumpingSelector()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main)


class Consumer:
    """A task that takes frames.

    Args:
        call: where they go.
        track: what it consumes.
        frames: how many it takes at most.
        pause_seconds: how long it is busy with each of them.
        stops: whether it stops the track where it can't read it, as a sender of aiortc does.
    """

    def __init__(
        self, call: Call, track: ControllerTrack, frames: int, pause_seconds: float, *, stops: bool = False
    ) -> None:
        self.track: Final = track
        self.pause_seconds: Final = pause_seconds
        self.taken: Final[list[int]] = []
        """Which frames it has got: their places among all that anybody has got."""
        self.waits: Final[list[tuple[int, int]]] = []
        """When each began to wait for its frame, and when it came."""
        self.error: MediaStreamError | None = None
        self.has_stopped = False
        self.task: Final = asyncio.create_task(self._consume(call, frames, stops))

    async def _consume(self, call: Call, frames: int, stops: bool) -> None:
        try:
            for _ in range(frames):
                began = call.tick()
                frame = await self.track.recv()
                self.waits.append((began, call.tick()))
                self.taken.append(len(call.frames))
                assert isinstance(frame, av.AudioFrame)
                call.frames.append(frame.to_ndarray()[0])
                if self.pause_seconds:
                    await asyncio.sleep(self.pause_seconds)
        except MediaStreamError as error:
            self.error = error
            live = self.track.readyState
            if stops:
                self.track.stop()
            self.has_stopped = self.track.readyState != live


class Call:
    """A controller that speaks, its tracks, and all who consume them."""

    def __init__(self) -> None:
        self.controller: Final = PlaybackController(AudioFormat(RATE), fades=CUTS)
        self.errors: Final[list[ErrorRaised]] = []
        self.frames: Final[list[Any]] = []
        self.consumers: Final[list[Consumer]] = []
        self.tracks: Final[list[ControllerTrack]] = []
        self.time = 0
        self.controller.on("error", self.errors.append)
        self.utterance: Final = self.controller.utterance()
        self.utterance.push(np.arange(1, LENGTH + 1, dtype=np.int16))
        self.utterance.end()
        self.track()

    def tick(self) -> int:
        """A number that grows with each call."""
        self.time += 1
        return self.time

    def track(self) -> None:
        self.tracks.append(PlaybackTrack(self.controller))

    async def act(self, action: Action) -> None:
        what, number = action
        controller, track = self.controller, self.tracks[number % len(self.tracks)]
        match what:
            case "consume":
                self.consumers.append(Consumer(self, track, 1 + number * 4, 0))
            case "consume at leisure":
                self.consumers.append(Consumer(self, track, 1 + number, number % 5 * 0.013))
            case "receive":
                self.consumers.append(Consumer(self, track, 1, 0))
                await asyncio.wait([self.consumers[-1].task])
            case "cancel":
                if self.consumers:
                    self.consumers[number % len(self.consumers)].task.cancel()
            case "turns":
                for _ in range(number % 4):
                    await asyncio.sleep(0)
            case "frames":
                await asyncio.sleep(number * 0.007)
            case "track":
                self.track()
            case "reader":
                try:
                    controller.attach(self)
                except RuntimeError:
                    assert controller.reader not in (None, self)
            case "no reader":
                controller.detach(self)
            case "stop":
                track.stop()
            case "send":
                self.consumers.append(Consumer(self, track, 1 + number, 0, stops=True))
            case _:
                getattr(controller, what)()

    async def end(self) -> None:
        """End everything, and see that nobody waits."""
        self.controller.detach(self)
        for track in self.tracks:
            track.stop()
        self.controller.close()
        if self.consumers:
            await asyncio.wait([consumer.task for consumer in self.consumers], timeout=10)
        assert all(consumer.task.done() for consumer in self.consumers)
        await self.utterance.wait()
        assert self.controller.reader is None

    def check(self) -> None:
        """Whatever was done, this has to be true at the end."""
        heard = [int(sample) for frame in self.frames for sample in frame if sample]
        assert heard == [*range(1, len(heard) + 1)]
        errors = [consumer.error for consumer in self.consumers if consumer.error is not None]
        refused = [error for error in errors if isinstance(error, TrackInUseError)]
        assert all("MediaRelay" in str(error) or "expected one reader" in str(error) for error in refused)
        assert all("was stopped" in str(error) for error in errors if error not in refused)
        assert Counter(event.exception for event in self.errors) == Counter(refused)
        for track in self.tracks:  # of those that wait at the same time, one gets a frame
            waits = sorted(wait for consumer in self.consumers if consumer.track is track for wait in consumer.waits)
            assert all(came < began for (_, came), (began, _) in pairwise(waits))
        for consumer in self.consumers:
            assert not (consumer.has_stopped and "another task" in str(consumer.error))
            if not consumer.task.cancelled():
                assert consumer.task.exception() is None
            if consumer.taken and not consumer.pause_seconds:
                self.check_eager(consumer)

    def check_eager(self, consumer: Consumer) -> None:
        """Who takes frames without a pause has all of them, from the first to the last; no later consumer ends that."""
        first, last = consumer.taken[0], consumer.taken[-1]
        assert consumer.taken == [*range(first, last + 1)]
        if len(self.tracks) == 1 and not any(other.pause_seconds for other in self.consumers):
            assert not isinstance(consumer.error, TrackInUseError) or "another task" not in str(consumer.error)


actions = st.tuples(st.sampled_from(ACTIONS), st.integers(0, 12))


@pytest.mark.fuzz
@given(actions=st.lists(actions, min_size=5, max_size=40))
@thorough(400)
def test_each_frame_reaches_one_consumer_and_the_others_get_an_error(actions: list[Action]) -> None:
    async def main() -> None:
        call = Call()
        for action in actions:
            await call.act(action)
        await call.end()
        call.check()

    run(main())
