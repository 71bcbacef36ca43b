"""The pump: for transports that do not pull (a socket, another SDK's audio source)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from playback.chart import State
from playback.controller import PlaybackController
from playback.pacing import PTIME_SECONDS, Pacer, frame_samples

Write = Callable[[NDArray[np.int16]], Awaitable[Any] | None]


class Pump:
    """Reads a controller at the pace of playback, and writes each frame out.

    A frame is written at most ``lead_seconds`` before it is due, so no more than that is ever out of reach of a pause
    or an interrupt. When the loop or the transport blocks for more than 60 ms, the pump skips ahead.

    Example::

        async with asyncio.TaskGroup() as group:
            group.create_task(Pump(controller, source.capture).run())

    Args:
        controller: what to play; it can have one live reader.
        write: called with each frame, int16 of shape (samples, channels); may be a coroutine function.
        frame_seconds: how much audio a frame holds.
        lead_seconds: how far ahead frames are written, 0 to 0.040.

    Raises:
        ValueError: a lead beyond that, or the controller's rate has no frames of this length.
        RuntimeError: another live reader has the controller.
    """

    def __init__(
        self,
        controller: PlaybackController,
        write: Write,
        *,
        frame_seconds: float = PTIME_SECONDS,
        lead_seconds: float = 0.040,
    ) -> None:
        if not 0 <= lead_seconds <= 0.040:
            raise ValueError(f"lead_seconds is {lead_seconds!r}, expected 0 to 0.040")
        self._samples: Final = frame_samples(controller.format.sample_rate, frame_seconds)
        controller.attach(self)
        self._controller: Final = controller
        self._write: Final = write
        # A frame is ahead by its own length until it has played.
        self._pacer: Final = Pacer(frame_seconds, max(0.0, lead_seconds - frame_seconds))
        self._stopped = False

    async def run(self) -> None:
        """Pump until the controller is closed, :meth:`stop` is called or the task is cancelled.

        Raises:
            Exception: whatever ``write`` raises; another reader can go on from there.
        """
        clock = asyncio.get_running_loop().time
        try:
            while not self._stopped and self._controller.state is not State.CLOSED:
                await asyncio.sleep(self._pacer.wait(clock()))
                _, late = self._pacer.tick(clock())
                if late:
                    self._controller.report_stall(late)
                written = self._write(self._controller.read(self._samples))
                if written is not None:
                    await written
        finally:
            self._controller.detach(self)

    def stop(self) -> None:
        """End after the frame that is under way; the controller stays open."""
        self._stopped = True
