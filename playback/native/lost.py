"""LostPeer: a pause while nothing comes from the other side, and a return to where it was lost."""

from __future__ import annotations

from typing import Final

from playback.controller import PlaybackController
from playback.lost_peer import HOLD

STEADY_SECONDS: Final = 5.0
"""For how long audio has to have come without a gap until its end means something."""
STEADY_GAP_SECONDS: Final = 1.0
"""What counts as a gap."""


class LostPeer:
    """Whether the other side of a call is there, by what comes from it.

    Whoever has sent audio all the time is lost when nothing has come for a while. Whoever sends none in silence, or
    only listens, is not watched by this: that it is gone is seen only when ICE finds it out, after half a minute
    (RFC 7675). It can't be asked, as on aiortc: libdatachannel sends no request for consent on demand.

    Args:
        controller: what is paused meanwhile, by :data:`~playback.lost_peer.HOLD`.
        lost_seconds: after how long.
    """

    def __init__(self, controller: PlaybackController, lost_seconds: float) -> None:
        self._controller: Final = controller
        self._lost_seconds: Final = lost_seconds
        self._heard_at: float | None = None
        """When audio came last."""
        self._steady_since = 0.0
        self._unheard: float | None = None
        """For how long it was lost before that was noticed; None if it isn't lost."""
        self._watches = True

    def look(self, now: float, audio: int, reports: int) -> None:
        """Note what has come since the last look.

        Args:
            now: seconds, of a clock that never goes back.
            audio: how many packets of audio.
            reports: how many of RTCP.
        """
        if reports and not audio and self._unheard is not None:
            self._watches = False  # it is there, and sends no audio
        if audio or reports:
            self.release()
        if audio:
            if self._heard_at is None or now - self._heard_at >= STEADY_GAP_SECONDS:
                self._steady_since = now
            self._heard_at = now
            return
        if self._heard_at is None or not self._watches or self._unheard is not None:
            return
        silent = now - self._heard_at
        if silent >= self._lost_seconds and self._heard_at - self._steady_since >= STEADY_SECONDS:
            self._unheard = silent if self._controller.pause(by=HOLD) else None

    def suppresses_silence(self) -> None:
        """Learn that packets which came after a gap follow those before it: it has sent none, and was not lost."""
        self._watches = False

    def release(self) -> None:
        """End the pause, if there is one, and go back to where the other side was lost."""
        if self._unheard is not None:
            unheard, self._unheard = self._unheard, None
            self._controller.resume(unheard, by=HOLD)
