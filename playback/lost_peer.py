"""A lost peer: pauses the controller while the peer does not answer, and resumes it where the peer was lost.

A crashed browser, a dead battery or a tunnel close no connection. aioice notices only after half a minute, when six of
its requests for consent were not answered (RFC 7675, section 5.1), and until then everything counts as heard.

What can be known depends on the peer. One that sends audio sends packets all the time; one that only listens sends
reports (RTCP), a browser every few seconds. Each of them answers requests for consent, as long as it is there. So
after a while in which no packet came at all, neither of RTP nor of RTCP, the peer is asked; whoever does not answer,
and sends nothing meanwhile, is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aioice.stun import TransactionError
from aiortc import RTCPeerConnection, RTCRtpSender

from playback._checks import check_seconds, check_type
from playback.chart import State
from playback.controller import PlaybackController

HOLD: Final = "lost peer"
"""The name of the hold, in ``controller.holds``."""

LOST_SECONDS: Final = 2.0
"""How long a peer may be silent."""

LOOK_SECONDS: Final = 0.25
"""How often it is looked whether packets came."""


def hold_while_lost(
    peer_connection: RTCPeerConnection,
    sender: RTCRtpSender,
    controller: PlaybackController,
    *,
    lost_seconds: float = LOST_SECONDS,
) -> None:
    """Pause a controller while the peer is lost, and resume it where the peer was lost when it is back.

    For tracks that were added by hand; :func:`playback.track.play` does it itself. Do not use it behind a
    ``MediaRelay``, where others still listen.

    The pause has an owner of its own, :data:`HOLD`, so it does not end the pause of another owner. When the connection
    ends, the watch ends.

    Args:
        peer_connection: the connection.
        sender: the sender of the track.
        controller: the controller that the track plays.
        lost_seconds: the peer is lost after this time without a packet and without an answer to a consent request.

    Raises:
        TypeError: an argument of another type.
        ValueError: the time is 0, negative or not finite.
    """
    check_type("sender", sender, RTCRtpSender)
    check_type("controller", controller, PlaybackController)
    check_seconds("lost_seconds", lost_seconds)
    if not lost_seconds:
        raise ValueError("lost_seconds is 0, expected more than 0")
    watch = PeerWatch(
        controller, lambda: _packets(sender), lambda: _answers(sender), asyncio.get_running_loop().time, lost_seconds
    )
    task: asyncio.Task[None] | None = None

    def look() -> None:
        nonlocal task
        if peer_connection.connectionState == "connected" and task is None:
            task = asyncio.get_running_loop().create_task(watch.run())
        elif peer_connection.signalingState == "closed" and task is not None:
            task.cancel()

    peer_connection.on("signalingstatechange", look)
    peer_connection.on("connectionstatechange", look)
    look()


class PeerWatch:
    """Watches one peer.

    Args:
        controller: what is held while it is lost.
        packets: how many packets have come from it so far.
        answers: asks it for a sign of life; whether it answers, within half a second.
        clock: seconds, from any beginning.
        lost_seconds: how long it may be silent.
    """

    def __init__(
        self,
        controller: PlaybackController,
        packets: Callable[[], Awaitable[int]],
        answers: Callable[[], Awaitable[bool]],
        clock: Callable[[], float],
        lost_seconds: float,
    ) -> None:
        self._controller: Final = controller
        self._packets: Final = packets
        self._answers: Final = answers
        self._clock: Final = clock
        self._lost_seconds: Final = lost_seconds
        self._counted = -1
        self._heard_at = clock()

    async def run(self) -> None:
        """Watch until the controller is closed, or the task is cancelled."""
        self._heard_at = self._clock()
        while self._controller.state is not State.CLOSED:
            await asyncio.sleep(LOOK_SECONDS)
            if not await self._is_lost():
                continue
            unheard = self._silent_seconds
            if self._controller.pause(by=HOLD):
                try:
                    await self._come_back()
                finally:  # if this connection is over instead, another one may play the controller, from there on
                    self._controller.resume(unheard, by=HOLD)

    async def _come_back(self) -> None:
        """Wait until there is a sign of life."""
        while self._controller.state is not State.CLOSED:
            if await self._shows_up() or await self._asked():
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _is_lost(self) -> bool:
        """Whether it was silent for too long; it is asked from half of that time on."""
        if await self._shows_up() or self._silent_seconds < self._lost_seconds / 2:
            return False
        # Whatever has kept this loop from reading packets has kept it from reading the answer, too: it is asked anew.
        return not await self._asked() and not await self._shows_up() and self._silent_seconds >= self._lost_seconds

    @property
    def _silent_seconds(self) -> float:
        return self._clock() - self._heard_at

    async def _shows_up(self) -> bool:
        """Whether packets have come since this was last asked."""
        counted = await self._packets()
        came, self._counted = counted != self._counted, counted
        if came:
            self._heard_at = self._clock()
        return came

    async def _asked(self) -> bool:
        """Whether it answers."""
        answered = await self._answers()
        if answered:
            self._heard_at = self._clock()
        return answered


async def _packets(sender: RTCRtpSender) -> int:
    """The packets of RTP and RTCP that came over a sender's transport."""
    stats = (await sender.getStats()).values()
    return sum(each.packetsReceived for each in stats if each.type == "transport")


async def _answers(sender: RTCRtpSender) -> bool:
    """Ask the other side for consent, once, as aioice does every five seconds."""
    connection = sender.transport.transport._connection  # noqa: SLF001 - there is no public way to it
    password = connection.remote_password
    for pair in [*connection._nominated.values()]:  # noqa: SLF001
        request = connection.build_request(pair, nominate=False)
        try:
            await pair.protocol.request(
                request, pair.remote_addr, integrity_key=(password or "").encode(), retransmissions=0
            )
        except TransactionError:
            continue
        return True
    return False
