"""The aiortc track: waits until a frame is due, reads it from the controller, stamps it. It decides nothing."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Final

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from playback.controller import PlaybackController
from playback.pacing import Pacer, frame_samples


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

    async def _tick(self) -> int:
        """Wait until the next frame is due.

        Returns:
            Its number; where the loop was blocked, some are left out.

        Raises:
            MediaStreamError: the track was stopped.
            RuntimeError: another live reader has the controller.
        """
        self._check_live()
        self._controller.attach(self)
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._pacer.wait(clock()))
        self._check_live()
        tick, late = self._pacer.tick(clock())
        if late:
            self._controller.report_stall(late)
        return tick

    def stop(self) -> None:
        """End the track.

        Closes the controller, unless the track was made not to or another reader has the controller by now.
        """
        if self.readyState == "live":
            try:
                super().stop()
            finally:  # a listener of the track's own `ended` may raise
                others = self._controller.reader not in (None, self)
                self._controller.detach(self)
                if self._close_controller and not others:
                    self._controller.close()

    def _check_live(self) -> None:
        if self.readyState != "live":
            raise MediaStreamError(f"{type(self).__name__} was stopped")


class PlaybackTrack(ControllerTrack):
    """An audio track that plays a controller.

    Frames hold 20 ms in the controller's format, s16 packed. When the loop was blocked for more than 60 ms the track
    skips ahead: timestamps follow the clock, no audio is lost, and nothing comes in a burst.

    Example::

        peer_connection.addTrack(PlaybackTrack(controller))

    Args:
        controller: what to play; it can have one live reader, and this is one from its first :meth:`recv` on.
        close_controller: whether :meth:`stop` closes the controller, so that nobody waits for ever.

    Raises:
        ValueError: the controller's rate has no frames of 20 ms.
    """

    def __init__(self, controller: PlaybackController, *, close_controller: bool = True) -> None:
        super().__init__(controller, close_controller=close_controller)
        output = controller.format
        self._sample_rate: Final = output.sample_rate
        self._layout: Final = "mono" if output.channels == 1 else "stereo"
        self._time_base: Final = Fraction(1, output.sample_rate)

    async def recv(self) -> av.AudioFrame:
        """The next frame, when it is due.

        Raises:
            MediaStreamError: the track was stopped.
            RuntimeError: another live reader has the controller.
        """
        return self.frame(await self._tick() * self._samples)

    def frame(self, pts: int) -> av.AudioFrame:
        """Read the next frame, whether or not it is due.

        Args:
            pts: its timestamp, in samples.
        """
        # A new one each time: a consumer (a relay, a recorder) may hold on to it.
        frame = av.AudioFrame("s16", self._layout, self._samples)
        self._controller.read_into(frame.planes[0])
        frame.sample_rate = self._sample_rate
        frame.pts = pts
        frame.time_base = self._time_base
        return frame
