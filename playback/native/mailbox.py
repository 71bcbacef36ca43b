"""Mailbox: calls of native threads, made in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final


class Mailbox:
    """What native threads call is called in the loop: in the order in which it was posted, and never after the close.

    The loop's own queue keeps the order (``call_soon_threadsafe`` is first in, first out). A native thread may post
    while the mailbox is being closed, or when the loop has ended: both are dropped.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop: Final = loop
        self._open = True

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have the loop call a function; to be called on any thread."""
        if self._open:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._call, function, args)

    def poster(self, function: Callable[..., object]) -> Callable[..., None]:
        """A callback for native threads that posts the call of a function."""
        return lambda *args: self.post(function, *args)

    def close(self) -> None:
        """Drop what has not been called yet, and all that is posted from now on; to be called in the loop."""
        self._open = False

    def _call(self, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self._open:
            function(*args)
