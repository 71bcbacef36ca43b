"""The advice for a busy process: each does what it says, and only when it is called."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from playback import tuning

pytestmark = pytest.mark.portable


def test_frozen_objects_are_looked_at_no_more() -> None:
    # In a process of its own: what is frozen here would stay so for all other tests.
    script = (
        "import gc; from playback import tuning, track;"
        "before = gc.get_freeze_count(); count = tuning.freeze();"
        "assert count == gc.get_freeze_count() - before > 10_000, count;"
        "assert len(gc.get_objects()) < count / 10"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_nothing_is_done_behind_anybody_s_back() -> None:
    script = (
        "import gc; before = gc.get_freeze_count();"  # Python 3.12 starts with some that are frozen
        "import asyncio, playback.tuning, playback.track, playback.opus;"
        "assert gc.get_freeze_count() == before;"
        "assert type(asyncio.new_event_loop()).__module__.startswith('asyncio')"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_uvloop_is_used_where_it_is_installed() -> None:
    async def main() -> str:
        return type(asyncio.get_running_loop()).__module__

    with asyncio.Runner(loop_factory=tuning.loop_factory()) as runner:
        assert runner.run(main()) == "uvloop"


def test_asyncio_s_own_loop_is_used_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "find_spec", lambda _: None)
    assert tuning.loop_factory() is None  # what asyncio.Runner takes for its own


async def test_as_many_threads_as_were_asked_for() -> None:
    tuning.set_threads(2)
    both_wait = threading.Barrier(2)
    loop = asyncio.get_running_loop()
    names = await asyncio.gather(
        *(loop.run_in_executor(None, lambda: (both_wait.wait(20), threading.current_thread().name)[1]) for _ in "ab")
    )
    assert len(set(names)) == 2
    third = loop.run_in_executor(None, threading.current_thread)
    assert (await third).name in names


def test_a_loop_can_be_given() -> None:
    loop = asyncio.new_event_loop()
    tuning.set_threads(1, loop)
    names = {loop.run_until_complete(loop.run_in_executor(None, threading.current_thread)).name for _ in range(3)}
    assert len(names) == 1
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_a_number_of_threads_that_can_t_be() -> None:
    with pytest.raises(ValueError, match="count is 0, expected 1 to 1,000"):
        tuning.set_threads(0)
    with pytest.raises(TypeError, match=r"count is 2\.5, expected a whole number"):
        tuning.set_threads(2.5)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="no running event loop"):
        tuning.set_threads(2)
