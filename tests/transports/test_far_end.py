"""What the other side reports: it reaches the controller, in seconds; real reports of a real peer."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc import RTCPeerConnection

from playback import AudioFormat, FarEndReported, PlaybackController
from playback.tracing import Trace
from playback.track import PlaybackTrack, report_far_end
from tests.transports.peers import connected

pytestmark = pytest.mark.portable


async def test_the_reports_of_a_peer_reach_events_and_trace() -> None:
    controller = PlaybackController(AudioFormat(48_000))
    reports: list[FarEndReported] = []
    enough = asyncio.Event()

    @controller.on("far_end_reported")
    def look(event: FarEndReported) -> None:
        reports.append(event)
        if len(reports) == 2:
            enough.set()

    controller.push(np.full(48_000 * 20, 1_000, np.int16))
    with Trace(controller, limit=None) as trace:
        track = PlaybackTrack(controller)
        added = lambda connection, sender: report_far_end(connection, sender, controller, every_seconds=0.05)  # noqa: E731
        async with asyncio.timeout(30), connected(track, added):
            await enough.wait()
        track.stop()
    for report in reports:
        assert 0.0 <= report.loss <= 1.0
        assert 0.0 <= report.jitter_seconds < 1.0
        assert report.round_trip_seconds is None or 0.0 <= report.round_trip_seconds < 5.0
    assert [call.name for call in trace.calls if call.name == "far_end"] == ["far_end"] * len(reports)
    assert not [event for event in trace.events if event.name == "far_end_reported"]


async def test_another_argument_is_refused() -> None:
    controller = PlaybackController()
    peer_connection = RTCPeerConnection()
    sender = peer_connection.addTrack(PlaybackTrack(controller))
    with pytest.raises(TypeError, match="sender is 7"):
        report_far_end(peer_connection, 7, controller)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="controller is 7"):
        report_far_end(peer_connection, sender, 7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every_seconds is 0, expected more"):
        report_far_end(peer_connection, sender, controller, every_seconds=0)
    await peer_connection.close()
