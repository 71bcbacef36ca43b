"""What plays a controller to a carrier: its reader. Theory of operation.

One task reads frames of 20 ms and sends them, one after the other: while a send waits, nothing more is read, so a slow
socket makes the audio wait in the controller, where an interrupt can still drop it. Its state:

* :class:`~playback.telephony.lead.Lead` says when the next frame is due. While the controller has speech ready, frames
  are sent ahead, up to the lead; otherwise each is read when the carrier's buffer is empty.
* :class:`~playback.telephony.ledger.Ledger` counts what was read, and what marks have confirmed.
* Whether a clear is still to be sent. A recall, which the controller makes in the middle of an interrupt, a pause or a
  close, can't wait for the socket, so it only notes that; the task sends the clear before anything else.

Frames of silence in which nobody speaks are not sent, so that the next sentence plays at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from playback.audio.encodings import encode
from playback.audio.formats import AudioFormat
from playback.chart import SOUNDS, State
from playback.controller import PlaybackController
from playback.pacing import PTIME_SECONDS, frame_samples
from playback.telephony.dialect import POLICY, Dialect, MessageError
from playback.telephony.lead import Lead
from playback.telephony.ledger import Ledger
from playback.telephony.limits import CallLimits
from playback.telephony.sockets import Socket

UNMARKED_WAY_SECONDS: Final = 0.2
"""For carriers without marks: how long audio is taken to be on its way."""


class SocketStalledError(ConnectionError):
    """The socket has taken nothing for too long."""


class CarrierPlayout:
    """Reads a controller, and sends what it reads to a carrier.

    Args:
        controller: what to play; its format is one channel at the carrier's rate.
        socket: where it goes.
        dialect: how it is said.
        format: how the carrier wants the audio.
        lead_seconds: how much audio the carrier may have that the caller has not heard yet.
        mark_seconds: at most how much audio is sent without a mark.
        limits: for how long a send and a mark may take.
    """

    def __init__(
        self,
        controller: PlaybackController,
        socket: Socket,
        dialect: Dialect,
        format: AudioFormat,
        *,
        lead_seconds: float,
        mark_seconds: float,
        limits: CallLimits,
    ) -> None:
        self._controller: Final = controller
        self._socket: Final = socket
        self._dialect: Final = dialect
        self._encoding: Final = format.encoding
        self._samples: Final = frame_samples(format.sample_rate)
        self._mark_samples: Final = format.samples(mark_seconds)
        self._limits: Final = limits
        # What may be outstanding before nothing more is read: the lead, and what is on its way there and back.
        self._most_outstanding: Final = format.samples(lead_seconds + limits.way_seconds)
        self._lead: Final = Lead(lead_seconds)
        self._ledger: Final = Ledger()
        self._loop: Final = asyncio.get_running_loop()
        self._wake: Final = asyncio.Event()
        self._clears: Final = dialect.clear() is not None
        self._clear_due = False
        self._recalls = 0
        self._sounding = False  # the last frame was not silent, though nobody spoke
        self._held_since: float | None = None
        # For a carrier without marks: when each of them would come back.
        self._expected: Final[deque[tuple[float, str]]] = deque()

    @property
    def heard(self) -> int:
        """Samples that the caller has heard, as far as is known."""
        return self._ledger.heard

    def attach(self) -> None:
        """Claim the controller.

        Raises:
            RuntimeError: another reader has it.
        """
        self._controller.attach(self, confirms=True)

    def detach(self) -> None:
        """Release the controller."""
        self._controller.detach(self)

    async def run(self) -> None:
        """Play until the controller is closed.

        Raises:
            SocketClosedError: the socket is closed.
            SocketStalledError: it takes nothing.
            MessageError: the carrier confirms nothing.
        """
        while not self._over:
            now = self._loop.time()
            if self._clear_due:
                self._clear_due = False
                message = self._dialect.clear()
                if message is not None:
                    await self._send(message)
                continue
            self._expire(now)
            if self._is_held(now):
                await self._sleep(PTIME_SECONDS)
                continue
            ahead = self._controller.has_ready(self._samples)
            wait = self._lead.wait(now, ahead=ahead, sounding=self._sounding)
            if wait > 0:
                if self._ledger.unmarked and not ahead:
                    await self._mark()
                else:
                    # Audio may come, and be due earlier.
                    await self._sleep(min(wait, PTIME_SECONDS))
                continue
            await self._play(now)

    def recall(self) -> int:
        """Have the carrier drop what it has not played; the controller calls this as it interrupts, pauses or closes.

        Returns:
            The samples that the caller has heard, up to the last mark that came back. More may have been played: what
            lies between two marks, and what plays until the clear arrives. A carrier that can't be cleared plays all
            that it has.
        """
        self._recalls += 1
        if self._clears:
            self._clear_due = True
            self._lead.cleared(self._loop.time())
            self._wake.set()
        self._expected.clear()
        return self._ledger.recall(lost=self._clears)

    def mark_played(self, name: str) -> None:
        """Take a mark that came back."""
        if self._ledger.played(name):
            self._controller.confirm(self._ledger.heard)
            self._wake.set()

    def wake(self) -> None:
        """Look again, whatever is waited for: the controller was closed."""
        self._wake.set()

    @property
    def _over(self) -> bool:
        return self._controller.state is State.CLOSED

    async def _play(self, now: float) -> None:
        """Read a frame, and send it."""
        controller = self._controller
        late = self._lead.take(now)
        for watch in controller.frame_watchers:
            watch(self._lead.late)
        if late:
            controller.report_stall(late)
        spoke, recalls = controller.leaf in SOUNDS, self._recalls
        frame = controller.read(self._samples)
        speaks = spoke or controller.leaf in SOUNDS
        self._sounding = not speaks and bool(frame.any())
        if self._recalls != recalls:
            # A listener has interrupted: this frame was taken back before it was sent.
            self._lead.skipped(now)
        elif speaks or self._sounding:
            self._ledger.sent(self._samples)
            await self._send(self._dialect.media(encode(frame, self._encoding)))
            if self._recalls == recalls and (late := self._lead.sent(self._loop.time())):
                controller.report_stall(late)
            if self._ledger.unmarked >= self._mark_samples:
                await self._mark()
        else:
            self._count_skipped(now)

    def _count_skipped(self, now: float) -> None:
        before = self._ledger.heard
        self._ledger.skipped(self._samples)
        self._lead.skipped(now)
        if self._ledger.heard != before:
            self._controller.confirm(self._ledger.heard)

    async def _mark(self) -> None:
        """Ask to be notified when all that was sent so far was played."""
        name = self._ledger.mark()
        if self._dialect.has_marks:
            await self._send(self._dialect.mark(name))
        else:
            self._expected.append((self._lead.ends(self._loop.time()) + UNMARKED_WAY_SECONDS, name))

    def _expire(self, now: float) -> None:
        """Take for played what must have been by now, for a carrier without marks."""
        while self._expected and self._expected[0][0] <= now:
            self.mark_played(self._expected.popleft()[1])

    def _is_held(self, now: float) -> bool:
        """Whether so much is on its way that nothing more is read.

        Raises:
            MessageError: that has lasted for too long.
        """
        if self._ledger.outstanding < self._most_outstanding:
            self._held_since = None
            return False
        if self._held_since is None:
            self._held_since = now
        if now - self._held_since > self._limits.confirm_seconds:
            raise MessageError(POLICY, "no mark came back")
        return True

    async def _send(self, message: str | bytes) -> None:
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                await self._socket.send(message)
        except TimeoutError:
            raise SocketStalledError(f"the socket has taken nothing for {self._limits.send_seconds:g} s") from None

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but no longer than until something has happened."""
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
