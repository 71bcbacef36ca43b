"""The clock of all calls, on a loop whose time only goes on when nothing is left to do."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise

import pytest

from playback.native.clock import SLOTS, Clock


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop that does not wait: its time goes on to the next timer at once. Work takes no time unless it says so."""

    now = 100.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


Run = Callable[[Callable[[VirtualLoop], None], float], None]


@pytest.fixture
def run() -> Run:
    """Runs a loop for some seconds, after a function has set it up."""

    def run(begin: Callable[[VirtualLoop], None], seconds: float) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            begin(loop)
            await asyncio.sleep(seconds)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())

    return run


def test_each_call_ticks_each_20_ms_and_all_are_spread(run: Run) -> None:
    times: defaultdict[int, list[float]] = defaultdict(list)

    def begin(loop: VirtualLoop) -> None:
        for call in range(3 * SLOTS):
            Clock.running().add(lambda *_, call=call: times[call].append(loop.time()))

    run(begin, 1.0)
    for each in times.values():
        assert 49 <= len(each) <= 51
        assert all(abs(after - before - 0.02) < 1e-6 for before, after in pairwise(each))
    phases = Counter(round(each[-1] % 0.02 * 1000, 3) for each in times.values())
    assert len(phases) == SLOTS
    assert set(phases.values()) == {3}


def test_late_ticks_are_made_up_for_until_they_are_too_late(run: Run) -> None:
    seen: list[tuple[int, float, float]] = []
    stalls = {10: 0.05, 30: 0.51}

    def begin(loop: VirtualLoop) -> None:
        def tick(number: int, late: float, skipped: float) -> None:
            seen.append((number, late, skipped))
            loop.now += stalls.pop(number, 0.0)

        Clock.running().add(tick)

    run(begin, 2.0)
    numbers = [number for number, *_ in seen]
    assert numbers[:31] == list(range(31))  # 50 ms were made up for
    assert numbers[31] == 31 + 24  # 490 ms late: those are skipped
    assert [round(skipped, 3) for *_, skipped in seen if skipped] == [0.49]
    assert [round(late, 3) for _, late, _ in seen[11:14]] == [0.03, 0.01, 0.0]


def test_a_call_may_leave_and_others_may_come_within_a_tick(run: Run) -> None:
    count: Counter[str] = Counter()

    def begin(loop: VirtualLoop) -> None:
        clock = Clock.running()

        def leaves(*_: float) -> None:
            count["leaves"] += 1
            clock.remove(leaves)
            clock.remove(leaves)
            clock.add(comes)

        def comes(*_: float) -> None:
            count["comes"] += 1

        clock.add(leaves)

    run(begin, 1.0)
    assert count["leaves"] == 1
    assert 49 <= count["comes"] <= 51


def test_without_calls_there_is_no_timer_and_loops_are_forgotten(run: Run) -> None:
    def begin(loop: VirtualLoop) -> None:
        clock = Clock.running()

        def tick(*_: float) -> None:
            clock.remove(tick)
            loop.call_soon(look)

        def look() -> None:
            assert clock._timer is None
            assert Clock.running() is not clock

        clock.add(tick)
        assert Clock.running() is clock

    run(begin, 0.1)


def test_what_a_tick_raises_goes_on_to_the_loop_and_the_clock_goes_on(run: Run) -> None:
    ticks, raised = [], []

    def begin(loop: VirtualLoop) -> None:
        loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))

        def tick(number: int, *_: float) -> None:
            ticks.append(number)
            if number == 3:
                raise ValueError("once")

        Clock.running().add(tick)

    run(begin, 0.2)
    assert len(ticks) >= 9
    assert [str(error) for error in raised] == ["once"]
