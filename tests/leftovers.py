"""What there must not be more of when all is over, and how that is waited for."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from playback import PlaybackController

PATIENCE_SECONDS = 20.0


@contextmanager
def loopback() -> Iterator[None]:
    """Connections between addresses of this machine alone, whatever network it has."""
    with patch("aioice.ice.get_host_addresses", return_value=["127.0.0.1"]):
        yield


def sockets() -> int:
    """How many sockets this process holds."""
    held = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            held += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:  # of the listing itself
            continue
    return held


@contextmanager
def counted_controllers() -> Iterator[weakref.WeakSet[PlaybackController]]:
    """The controllers that are made meanwhile, as long as anybody holds them."""
    made: weakref.WeakSet[PlaybackController] = weakref.WeakSet()
    original = PlaybackController.__init__

    def init(self: PlaybackController, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        made.add(self)

    with patch.object(PlaybackController, "__init__", init):
        yield made


async def settled(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    """Wait until something is so; it takes the loop a few rounds."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110 - nothing notifies
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(what()) from None
