"""Channel: what goes to the page, and what becomes of it when the page is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from aiortc import RTCDataChannel

from playback.demo.protocol import line

CROWDED_BYTES: Final = 65_536
"""How much may wait before what is soon out of date is left out."""


class Channel:
    """The data channel, as far as it is written to; writing never raises.

    Args:
        limit: how many bytes may wait.
        on_full: called once, when more would, or when a message is longer than the page takes; nothing is sent then.
    """

    def __init__(self, limit: int, on_full: Callable[[], object]) -> None:
        self._limit: Final = limit
        self._on_full: Final = on_full
        self._channel: RTCDataChannel | None = None
        self._full = False

    def open(self, channel: RTCDataChannel) -> None:
        """Write to a channel from now on; what was put before is gone."""
        self._channel = channel

    def put(self, kind: str, **values: Any) -> None:
        """Send a message."""
        self.put_line(line(kind, values))

    def put_line(self, text: str, *, passing: bool = False) -> None:
        """Send a message that is written already.

        Args:
            text: the message.
            passing: whether it is soon out of date, and better left out than late.
        """
        channel = self._channel
        if channel is None or channel.readyState != "open" or self._full:
            return
        if passing and channel.bufferedAmount > CROWDED_BYTES:
            return
        if channel.bufferedAmount + len(text) <= self._limit:
            # An offer may name how long messages may be, any number.
            with suppress(ValueError):
                channel.send(text)
                return
        self._full = True
        self._on_full()

    async def drain(self, seconds: float) -> None:
        """Wait until all is on its way, but no longer than this."""
        channel = self._channel
        if channel is None or channel.readyState != "open" or not channel.bufferedAmount:
            return
        sent = asyncio.Event()
        channel.once("bufferedamountlow", sent.set)
        with suppress(TimeoutError):
            await asyncio.wait_for(sent.wait(), seconds)
