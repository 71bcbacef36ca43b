"""What a process with many calls wants. Nothing here is done unless it is called; see the page on performance."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

from playback._checks import check_whole


def freeze() -> int:
    """Have the garbage collector look no more at what there is now.

    To be called once, when everything is imported and set up, before the first call comes. A full collection stops all
    calls for as long as it takes to look at every object, and with aiortc loaded that is longer than a frame.

    What is frozen is never collected, so call it before there is anything that should be.

    Returns:
        How many objects it needs to look at no more.
    """
    gc.collect()
    before = gc.get_freeze_count()
    gc.freeze()
    return gc.get_freeze_count() - before


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the fastest event loop that is there: uvloop's where it is installed, else None, for asyncio's own.

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
    """Have a loop use so many threads for what it gives to others: with frames, that is aiortc's encoding.

    asyncio's own choice is 4 more than there are cores, up to 32. More than there are cores only wait for each other.
    To be called before the first call comes.

    Args:
        count: 1 or more.
        loop: the loop; the one that runs, unless given.

    Raises:
        TypeError: the count is no whole number.
        ValueError: the count is not positive.
        RuntimeError: no loop was given, and none runs.
    """
    check_whole("count", count, range(1, 1_001))
    loop = asyncio.get_running_loop() if loop is None else loop
    loop.set_default_executor(ThreadPoolExecutor(count, thread_name_prefix="playback"))
