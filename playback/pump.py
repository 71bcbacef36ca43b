"""The pump: for transports that do not pull (a socket, another SDK's audio source)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from playback._waiting import running_task
from playback.chart import State
from playback.controller import PlaybackController
from playback.pacing import PTIME_SECONDS, Pacer, frame_samples

Write = Callable[[NDArray[np.int16]], object]
"""Takes a frame; what it returns is waited for if it can be."""

MOST_AHEAD_SECONDS: Final = 0.040
"""How much audio may be written before its time: all of it is out of reach of a pause or an interrupt."""


class Pump:
    """Reads a controller in real time, and writes each frame to a transport.

    A frame is written at most ``lead_seconds`` before it is due, so at most that much audio plays on after a pause or
    an interrupt. When the loop or the transport blocks for more than 60 ms, the pump skips ahead.

    Example::

        async with asyncio.TaskGroup() as group:
            group.create_task(Pump(controller, source.capture).run())

    Args:
        controller: what to play; it can have one live reader, and this is one while it runs.
        write: called with each frame, int16 of shape (samples, channels); may be a coroutine function.
        frame_seconds: how much audio a frame holds, up to 0.040.
        lead_seconds: how far ahead frames are written, 0 to 0.040.
        ready: called before the first frame; may be a coroutine function. Nothing is read before it has returned, so
            that a greeting does not play before somebody listens.
        close_controller: whether the controller is closed when ``write`` or ``ready`` raises, so that no task waits for
            ever; False keeps it open for another reader.

    Raises:
        ValueError: a time outside of these ranges, or ``frame_seconds`` is not a whole number of samples.
    """

    def __init__(
        self,
        controller: PlaybackController,
        write: Write,
        *,
        frame_seconds: float = PTIME_SECONDS,
        lead_seconds: float = MOST_AHEAD_SECONDS,
        ready: Callable[[], object] | None = None,
        close_controller: bool = True,
    ) -> None:
        if not 0 <= lead_seconds <= MOST_AHEAD_SECONDS:
            raise ValueError(f"lead_seconds is {lead_seconds!r}, expected 0 to {MOST_AHEAD_SECONDS}")
        if not 0 < frame_seconds <= MOST_AHEAD_SECONDS:
            raise ValueError(f"frame_seconds is {frame_seconds!r}, expected more than 0, up to {MOST_AHEAD_SECONDS}")
        self._samples: Final = frame_samples(controller.format.sample_rate, frame_seconds)
        self._controller: Final = controller
        self._write: Final = write
        # A frame is ahead by its own length until it has played.
        self._pacer: Final = Pacer(frame_seconds, max(0.0, lead_seconds - frame_seconds))
        self._ready: Final = ready
        self._close_controller: Final = close_controller
        self._stopped = False
        self._ended: Final = asyncio.Event()

    async def run(self) -> None:
        """Pump until the controller is closed, :meth:`stop` is called or the task is cancelled.

        Raises:
            Exception: an exception of ``write`` or ``ready``; the controller is closed then, unless the pump was made
                with ``close_controller=False``.
            RuntimeError: another live reader has the controller.
        """
        self._attach()
        clock = asyncio.get_running_loop().time
        try:
            ready = None if self._ready is None else self._ready()
            if inspect.isawaitable(ready):
                await self._unless_ended(ready)
            while not self._over:
                await asyncio.sleep(self._pacer.wait(clock()))
                if self._over:
                    break
                _, late = self._pacer.tick(clock())
                for watch in self._controller.frame_watchers:
                    watch(self._pacer.late)
                if late:
                    self._controller.report_stall(late)
                written = self._write(self._controller.read(self._samples))
                if inspect.isawaitable(written):
                    await written
        except BaseException as error:
            # Whoever has cancelled this task may have another reader; a transport may be cancelled by itself, too.
            task = running_task()
            cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
            if self._close_controller and not cancelled:
                self._controller.close(by=f"its pump, which raised {type(error).__qualname__}")
            raise
        finally:
            self._controller.detach(self)

    def stop(self) -> None:
        """Write no more frames; the controller stays open."""
        self._stopped = True
        self._ended.set()

    def _attach(self) -> None:
        """Claim the controller."""
        self._controller.attach(self)

    async def _unless_ended(self, ready: Awaitable[object]) -> None:
        """Wait for the transport, but no longer than for an end: it may never get ready."""

        def end(_: object) -> None:
            self._ended.set()

        self._controller.on("closed", end)
        if self._over:
            self._ended.set()
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(ready), asyncio.ensure_future(self._ended.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if waiting[0].done():
                waiting[0].result()
        finally:
            self._controller.remove_listener("closed", end)
            for each in waiting:
                each.cancel()

    @property
    def _over(self) -> bool:
        return self._stopped or self._controller.state is State.CLOSED
