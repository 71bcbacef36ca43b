"""One stream of bytes, pushed without a handle: a sample that is cut between pushes is put together, or dropped.

What a producer pushes from another thread sounds as what one in the loop's thread pushes: where the calls come in the
same order, both controllers play, refuse and finish the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from playback import AudioRefused, PlaybackController, UtteranceFinished
from tests.fuzzing import thorough
from tests.signals import ramp

FRAME = 20
Step = tuple[str, int]

STEPS = st.one_of(
    st.tuples(st.just("push"), st.integers(0, 9)),
    st.tuples(st.sampled_from(("read", "end", "interrupt", "lock", "unlock", "interrupt and lock")), st.just(0)),
)


class Stream:
    """A controller, what it emits, and a producer of it."""

    def __init__(self, *, threadsafe: bool) -> None:
        self.controller = PlaybackController()
        producer = self.controller.threadsafe(asyncio.get_running_loop()) if threadsafe else self.controller
        self._push: Callable[[bytes], object] = producer.push
        self._end: Callable[[], object] = producer.end
        self._bytes = ramp(2_000).tobytes()
        self.seen: list[object] = []
        self.controller.on("audio_refused", lambda event: self.seen.append(("refused", self._samples(event))))
        self.controller.on("utterance_finished", self._report)

    @staticmethod
    def _samples(event: AudioRefused) -> int:
        return event.samples

    def _report(self, event: UtteranceFinished) -> None:
        report = event.report
        if report.accepted:  # a handle of another thread is made before anybody knows that its audio is refused
            self.seen.append((report.outcome, report.accepted, report.played))

    async def do(self, step: Step) -> None:
        match step:
            case "push", length:
                data, self._bytes = self._bytes[:length], self._bytes[length:]
                self._push(data)
            case "end", _:
                self._end()
            case "read", _:
                self.seen.append(self.controller.read(FRAME).tobytes())
            case "interrupt and lock", _:
                self.controller.interrupt(lock=True)
            case command, _:
                getattr(self.controller, command)()
        await asyncio.sleep(0)


async def _both(steps: list[Step]) -> None:
    direct, other = Stream(threadsafe=False), Stream(threadsafe=True)
    for step in [*steps, ("read", 0)]:
        await direct.do(step)
        await other.do(step)
    assert other.seen == direct.seen


CUTS: list[list[Step]] = [
    [("push", 4), ("interrupt", 0), ("lock", 0), ("push", 3), ("push", 1), ("unlock", 0), ("push", 4)],
    [("push", 4), ("interrupt", 0), ("lock", 0), ("push", 1), ("unlock", 0), ("push", 4)],
    [("push", 3), ("lock", 0), ("push", 1), ("push", 1), ("unlock", 0), ("push", 3)],
    [("lock", 0), ("push", 1), ("push", 0), ("unlock", 0), ("push", 4)],
]


@pytest.mark.parametrize("steps", CUTS, ids=lambda steps: " ".join(f"{name}{length or ''}" for name, length in steps))
async def test_a_cut_sample_is_dropped_or_put_together_in_any_thread(steps: list[Step]) -> None:
    await _both(steps)


@pytest.mark.fuzz
@given(steps=st.lists(STEPS, max_size=14))
@example(steps=CUTS[0])
@thorough(300)
def test_any_thread_s_bytes_are_the_same_stream(steps: list[Step]) -> None:
    asyncio.run(_both(steps))
