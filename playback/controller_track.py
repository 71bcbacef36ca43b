"""What the tracks that play a controller have in common: one reader, one consumer, a pace, and an end."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from weakref import ReferenceType, WeakSet, ref

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from playback.controller import PlaybackController
from playback.pacing import Pacer, frame_samples

Consumer = asyncio.Task[Any]
"""Who consumes a track: a sender of aiortc is one task, and so is a relay."""


class TrackInUseError(MediaStreamError, RuntimeError):
    """A second consumer of a track, or a second reader of a controller: each would get half of the audio.

    It is a ``MediaStreamError``, because that is what ends a sender or a relay of aiortc in good order. As they end
    silently then, the controller emits it as an ``error`` event, too.
    """


class ControllerTrack(MediaStreamTrack):
    """What all tracks that play a controller have in common: its claim on the controller, its pace, its end.

    Args:
        controller: what to play; it can have one live reader, and this is one from its first :meth:`recv` on.
        close_controller: whether :meth:`stop` closes the controller, so that nobody waits for ever.

    Raises:
        ValueError: the controller's rate has no frames of 20 ms.
    """

    kind = "audio"

    def __init__(self, controller: PlaybackController, *, close_controller: bool = True) -> None:
        super().__init__()
        self._samples: Final = frame_samples(controller.format.sample_rate)
        self._controller: Final = controller
        self._close_controller: Final = close_controller
        self._pacer: Final = Pacer()
        # The first task that has consumed it, as long as it runs; the one that waits now; those that were refused.
        self._consumer: ReferenceType[Consumer] | None = None
        self._consuming: Consumer | None = None
        self._refused: Final[WeakSet[Consumer]] = WeakSet()
        self._keepers: Final[set[object]] = set()

    # Its consumer

    async def _tick(self) -> int:
        """Wait until the next frame is due.

        Returns:
            Its number; where the loop was blocked, some are left out.

        Raises:
            MediaStreamError: the track was stopped.
            TrackInUseError: another task consumes the track, or another reader the controller.
        """
        self._check_live()
        task = asyncio.current_task()
        if self._consuming is not None or self._consumer is None or self._consumer() is not task:
            self._admit(task)
        clock = asyncio.get_running_loop().time
        self._consuming = task
        try:
            await asyncio.sleep(self._pacer.wait(clock()))
            if self._consuming is not task:
                self._refuse(task)
        finally:
            if self._consuming is task:
                self._consuming = None
        self._check_live()
        tick, late = self._pacer.tick(clock())
        for watch in self._controller.frame_watchers:
            watch(self._pacer.late)
        if late:
            self._controller.report_stall(late)
        return tick

    def _admit(self, task: Consumer | None) -> None:
        """See that a task may consume the track.

        While the first one lives, another may do so in its stead, but not beside it. Where two wait at the same time,
        it is the first that goes on, whichever comes later: the other one finds that it was replaced.

        Raises:
            TrackInUseError: it may not.
        """
        first = None if self._consumer is None else self._consumer()
        if task is None:
            raise RuntimeError("recv was called outside of a task, expected one")
        if self._consuming is not None and task is not first:
            self._refuse(task)
        if self._controller.reader not in (None, self):
            self._report(
                f"{self._controller.reader!r} reads its controller already, expected one reader: stop it first"
            )
        self._controller.attach(self)
        if first is None or first.done():
            self._consumer = ref(task)

    def _refuse(self, task: Consumer | None) -> None:
        if task is not None:
            self._refused.add(task)
        self._report(
            f"another task consumes {self!r} already, expected one consumer: each would get half of the frames; give"
            " each of them a track of its own with aiortc.contrib.media.MediaRelay().subscribe(track)"
        )

    def _report(self, message: str) -> None:
        error = TrackInUseError(message)
        self._controller.report_error(error, f"{type(self).__name__}.recv")
        raise error

    @property
    def call_id(self) -> str:
        """The id of the call that it plays."""
        return self._controller.id

    # Its end

    def keep(self, keeper: object) -> None:
        """Count one more connection that the track is sent over; see :meth:`release`."""
        self._keepers.add(keeper)

    def release(self, keeper: object, why: str = "its connection") -> None:
        """A connection is over, for this reason; with the last one, the track is stopped."""
        if keeper in self._keepers:
            self._keepers.remove(keeper)
            if not self._keepers:
                self._end(why)

    def stop(self) -> None:
        """End the track.

        Closes the controller, unless the track was made not to or another reader has the controller by now. A consumer
        that was refused does not end the track for the others: aiortc's senders stop what they can't read.
        """
        try:
            refused = asyncio.current_task() in self._refused
        except RuntimeError:  # no loop runs
            refused = False
        if not refused:
            self._end("its track, which was stopped")

    def _end(self, why: str) -> None:
        if self.readyState == "live":
            try:
                super().stop()
            finally:  # a listener of the track's own `ended` may raise
                others = self._controller.reader not in (None, self)
                self._controller.detach(self)
                if self._close_controller and not others:
                    self._controller.close(by=why)

    def _check_live(self) -> None:
        if self.readyState != "live":
            raise MediaStreamError(f"{type(self).__name__} was stopped")
