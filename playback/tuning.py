"""Settings for a process with many calls: garbage collector, event loop, threads. See the page on performance."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from playback._checks import check_whole


def freeze() -> int:
    """Exclude all existing objects from garbage collection.

    Call this once, when everything is imported and set up, before the first call comes. A full collection stops all
    calls until it has visited every object, and with aiortc loaded that takes longer than a frame.

    Frozen objects are never collected, so call this before there are objects that should be collected.

    Returns:
        How many objects were frozen.
    """
    gc.collect()
    before = gc.get_freeze_count()
    gc.freeze()
    return gc.get_freeze_count() - before


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The factory of the fastest available event loop: uvloop's if it is installed, else None, for asyncio's own.

    Example::

        with asyncio.Runner(loop_factory=tuning.loop_factory()) as runner:
            runner.run(main())
    """
    if find_spec("uvloop") is None:
        return None
    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def set_threads(count: int, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Set the number of threads of a loop's default executor, in which aiortc encodes frames.

    asyncio's default is the number of cores plus 4, at most 32; threads beyond the number of cores only wait for each
    other. Call this before the first call comes.

    Args:
        count: 1 or more.
        loop: the loop; defaults to the running one.

    Raises:
        TypeError: the count is not a whole number.
        ValueError: the count is not positive.
        RuntimeError: no loop was given, and none runs.
    """
    check_whole("count", count, range(1, 1_001))
    loop = asyncio.get_running_loop() if loop is None else loop
    loop.set_default_executor(ThreadPoolExecutor(count, thread_name_prefix="playback"))
