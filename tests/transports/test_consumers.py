"""One track, two consumers: the second one gets an error that says what to do, and the first one goes on."""

from __future__ import annotations

import asyncio
import gc
import weakref
from asyncio import create_task
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.contrib.media import MediaRelay
from aiortc.mediastreams import MediaStreamError

from playback import AudioFormat, PlaybackController, State
from playback.events import ErrorRaised
from playback.opus import OpusPlaybackTrack
from playback.track import ControllerTrack, PlaybackTrack, TrackInUseError, play
from tests.transports.peers import connected

pytestmark = pytest.mark.portable

TRACKS = pytest.mark.parametrize("make", [PlaybackTrack, OpusPlaybackTrack])
RATE = 24_000
FRAMES = 20


def speaking(seconds: float = 5.0) -> tuple[PlaybackController, list[ErrorRaised]]:
    controller, errors = PlaybackController(AudioFormat(RATE)), list[ErrorRaised]()
    controller.on("error", errors.append)
    tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(round(RATE * seconds)) / RATE)
    controller.push(tone.astype(np.int16))
    return controller, errors


async def consume(track: ControllerTrack, frames: int = FRAMES) -> list[Any]:
    return [await track.recv() for _ in range(frames)]


@TRACKS
@pytest.mark.parametrize("turns", range(4))
async def test_of_two_loops_the_first_goes_on(make: type[ControllerTrack], turns: int) -> None:
    controller, errors = speaking()
    track = make(controller)
    first = create_task(consume(track))
    for _ in range(turns):  # it has begun, or not even that
        await asyncio.sleep(0)
    second = create_task(consume(track))
    await asyncio.wait([first, second])
    refused = second.exception()
    assert len(first.result()) == FRAMES
    assert isinstance(refused, TrackInUseError)
    assert isinstance(refused, MediaStreamError)
    assert "MediaRelay" in str(refused)
    assert controller.position == FRAMES * RATE // 50
    assert [event.exception for event in errors] == [refused]
    track.stop()


@TRACKS
async def test_whoever_comes_between_two_frames_of_the_first_is_refused(make: type[ControllerTrack]) -> None:
    controller, errors = speaking()
    track = make(controller)
    await track.recv()
    second = create_task(track.recv())  # while the first one is busy with its frame
    await asyncio.sleep(0)
    await track.recv()
    with pytest.raises(TrackInUseError, match="expected one consumer"):
        await second
    await track.recv()
    assert len(errors) == 1
    track.stop()


@TRACKS
async def test_what_was_refused_can_not_stop_the_track(make: type[ControllerTrack]) -> None:
    controller, _ = speaking()
    track = make(controller)

    async def like_a_sender() -> None:
        try:
            await track.recv()
        except MediaStreamError:
            track.stop()

    first = create_task(consume(track))
    await asyncio.sleep(0)
    await create_task(like_a_sender())
    assert len(await first) == FRAMES
    track.stop()
    assert controller.state is State.CLOSED


@TRACKS
async def test_consumers_may_follow_each_other(make: type[ControllerTrack]) -> None:
    controller, errors = speaking()
    track = make(controller)
    for _ in range(3):
        await create_task(consume(track, 2))
        await consume(track, 2)
        await asyncio.wait_for(track.recv(), 10)
    cancelled = create_task(track.recv())
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    await create_task(consume(track, 2))
    assert not errors
    track.stop()


@TRACKS
async def test_a_track_keeps_no_consumer_alive(make: type[ControllerTrack]) -> None:
    track = make(speaking()[0])
    task = create_task(consume(track, 2))
    await task
    await asyncio.sleep(0)
    gone = weakref.ref(task)
    del task
    gc.collect()
    assert gone() is None
    track.stop()


@TRACKS
async def test_a_relay_that_comes_second_ends_its_own_consumers(make: type[ControllerTrack]) -> None:
    controller, errors = speaking()
    track = make(controller)
    first = create_task(consume(track))
    await asyncio.sleep(0)
    with pytest.raises(MediaStreamError):
        await asyncio.wait_for(MediaRelay().subscribe(track).recv(), 10)
    assert len(await first) == FRAMES
    assert len(errors) == 1
    track.stop()


async def test_of_two_connections_the_first_hears_it_all() -> None:
    controller, errors = speaking()
    track = PlaybackTrack(controller)
    async with connected(track) as first:
        await first.receive(0.5)
        async with connected(track) as second:
            await first.receive(0.5)
            async with asyncio.timeout(20):
                while not errors:  # noqa: ASYNC110 - nobody else knows
                    await asyncio.sleep(0.02)
        assert "MediaRelay" in str(errors[0].exception)
        begin = len(first.arrivals)
        audio = await first.receive(0.5)
        assert np.abs(audio).max(initial=0) > 1000
        assert not second.arrivals
        assert controller.state is State.SPEAKING
        assert len(first.arrivals) > begin
    assert controller.leaf == "closed"


async def test_a_second_track_of_a_controller_is_an_error_that_is_seen() -> None:
    controller, errors = speaking()
    first, peer_connection = PlaybackTrack(controller), RTCPeerConnection(RTCConfiguration(iceServers=[]))
    await first.recv()
    sender = play(peer_connection, controller)
    with pytest.raises(TrackInUseError, match="expected one reader"):
        await sender.track.recv()
    assert len(errors) == 1
    await peer_connection.close()
    assert controller.state is State.SPEAKING
    first.stop()
