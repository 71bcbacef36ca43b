"""The far end: what arrives at the other side of a connection, as its reports say (RTCP, RFC 3550, section 6.4).

aiortc keeps the newest report of the receiver. It is looked at every few seconds, and a new one is reported to the
controller, so that it is in traces and metrics.
"""

from __future__ import annotations

import asyncio
from typing import Final

from aiortc import RTCPeerConnection, RTCRtpSender
from aiortc.stats import RTCRemoteInboundRtpStreamStats

from playback._checks import check_seconds, check_type
from playback.chart import State
from playback.controller import PlaybackController

REPORT_SECONDS: Final = 5.0
"""How often it is looked. Browsers report every second or so, RFC 3550 has five seconds (section 6.2)."""

_FRACTION: Final = 256
"""The unit of the share of packets lost, in a report (RFC 3550, section 6.4.1)."""
_OPUS_RATE: Final = 48_000
"""The clock of RTP for Opus (RFC 7587, section 4.1), whatever its audio has."""


def report_far_end(
    peer_connection: RTCPeerConnection,
    sender: RTCRtpSender,
    controller: PlaybackController,
    *,
    every_seconds: float = REPORT_SECONDS,
) -> None:
    """Report to a controller what the other side of its connection reports, as ``far_end_reported``.

    For tracks that were added by hand; :func:`playback.track.play` does it itself. It ends with the connection, or with
    the controller.

    Args:
        peer_connection: the connection.
        sender: what sends the track over it.
        controller: what is played.
        every_seconds: how often it is looked whether a report has come.

    Raises:
        TypeError: an argument of another type.
        ValueError: the time is 0, negative or not finite.
    """
    check_type("sender", sender, RTCRtpSender)
    check_type("controller", controller, PlaybackController)
    check_seconds("every_seconds", every_seconds)
    if not every_seconds:
        raise ValueError("every_seconds is 0, expected more")
    task: asyncio.Task[None] | None = None

    def look() -> None:
        nonlocal task
        if peer_connection.connectionState == "connected" and task is None:
            rate = _clock_rate(peer_connection, sender)
            task = asyncio.get_running_loop().create_task(_report(sender, controller, rate, every_seconds))
        elif peer_connection.signalingState == "closed" and task is not None:
            task.cancel()

    peer_connection.on("signalingstatechange", look)
    peer_connection.on("connectionstatechange", look)
    look()


async def _report(sender: RTCRtpSender, controller: PlaybackController, rate: int, seconds: float) -> None:
    newest = None
    while controller.state is not State.CLOSED:
        await asyncio.sleep(seconds)
        for report in (await sender.getStats()).values():
            if isinstance(report, RTCRemoteInboundRtpStreamStats) and report.timestamp != newest:
                newest = report.timestamp
                loss, jitter = report.fractionLost / _FRACTION, report.jitter / rate
                controller.report_far_end(loss, jitter, report.roundTripTime)


def _clock_rate(peer_connection: RTCPeerConnection, sender: RTCRtpSender) -> int:
    """The clock of RTP that the jitter is given in: that of the codec that was negotiated."""
    for transceiver in peer_connection.getTransceivers():
        if transceiver.sender is sender:
            codecs = transceiver._codecs  # noqa: SLF001 - there is no public way to it
            return int(codecs[0].clockRate) if codecs else _OPUS_RATE
    return _OPUS_RATE
