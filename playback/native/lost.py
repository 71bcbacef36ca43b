"""LostPeer: a pause while nothing comes from the other side, and a return to where it was lost."""

from __future__ import annotations

from typing import Final

from playback.controller import PlaybackController
from playback.lost_peer import HOLD


class LostPeer:
    """Whether the other side of a call is there, by what comes from it.

    Whoever sends audio sends it all the time, so it is lost when nothing has come for a while. Whoever only listens
    sends a report now and then; that it is gone is seen only when ICE finds it out, after half a minute (RFC 7675). It
    can't be asked, as on aiortc: libdatachannel sends no request for consent on demand.

    Args:
        controller: what is paused meanwhile, by :data:`~playback.lost_peer.HOLD`.
        lost_seconds: after how long.
    """

    def __init__(self, controller: PlaybackController, lost_seconds: float) -> None:
        self._controller: Final = controller
        self._lost_seconds: Final = lost_seconds
        self._heard_at = 0.0
        self._unheard: float | None = None
        """For how long it was lost before that was noticed; None if it isn't lost."""
        self._sends_audio = False

    def look(self, now: float, audio: int, reports: int) -> None:
        """Note what has come since the last look.

        Args:
            now: seconds, of a clock that never goes back.
            audio: how many packets of audio.
            reports: how many of RTCP.
        """
        if audio or reports:
            # It has stopped sending audio, but it is there: it only listens from now on.
            self._sends_audio = bool(audio) or (self._sends_audio and self._unheard is None)
            self._heard_at = now
            self.release()
            return
        silent = now - self._heard_at
        if self._sends_audio and self._unheard is None and silent >= self._lost_seconds:
            self._unheard = silent if self._controller.pause(by=HOLD) else None

    def release(self) -> None:
        """End the pause, if there is one, and go back to where the other side was lost."""
        if self._unheard is not None:
            unheard, self._unheard = self._unheard, None
            self._controller.resume(unheard, by=HOLD)
