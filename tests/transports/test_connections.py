"""Connections that die in every phase: the track ends with them, so does the controller, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
from asyncio import Task, create_task
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast
from unittest.mock import patch

import numpy as np
import pytest
from aiortc import InvalidStateError, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole, MediaRelay

from playback import AudioFormat, Outcome, PlaybackController, State
from playback.opus import OpusPlaybackTrack
from playback.track import PlaybackTrack, close_with, play
from tests.fuzzing import VARIABLE
from tests.transports.processes import another_end

PATIENCE: Final = 30.0
"""Seconds after which somebody is taken to wait for ever, on a machine that is busy."""
LIMIT: Final = 0.5
"""What these connections may take to come up, in seconds, where they never do."""
TIMES: Final = min(10, int(os.environ.get(VARIABLE) or 1))
"""Four connections for each phase in CI, forty at night."""


@pytest.fixture(autouse=True)
def loopback() -> Any:
    """Without servers and with the loopback address alone, nothing depends on the network of the machine."""
    # aioice would ask for half a minute whether anybody answers its checks.
    with patch("aioice.ice.get_host_addresses", return_value=["127.0.0.1"]), patch("aioice.stun.RETRY_MAX", 1):
        yield


def connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


class Call:
    """A controller with an open utterance, a full buffer, a turn, and somebody who waits for each of them."""

    def __init__(self) -> None:
        self.controller = PlaybackController(AudioFormat(24_000), high_water_seconds=1.0, max_buffered_seconds=30.0)
        self.peer_connection = connection()
        self.turn = self.controller.turn()
        self.utterance = self.turn.utterance()
        self.utterance.push(np.ones(24_000 * 25, np.int16))
        self.waiters: list[Task[Any]] = [
            create_task(waiter)
            for waiter in (
                self.utterance.wait(),
                self.turn.wait(),
                self.utterance.write(bytes(48_000)),
                self.controller.drain(),
                self.all_events(),
            )
        ]

    async def all_events(self) -> str:
        name = ""
        async for event in self.controller.events():
            name = event.name
        return name

    async def over(self) -> None:
        """See that everybody has what they waited for."""
        async with asyncio.timeout(PATIENCE):
            report, turn, accepted, drained, last = await asyncio.gather(*self.waiters)
        assert (report.outcome, turn.outcome) == (Outcome.CLOSED, Outcome.CLOSED)
        assert (accepted, drained, last) == (0, False, "state_changed")
        assert self.controller.state is State.CLOSED
        assert self.controller.reader is None


async def played(controller: PlaybackController, samples: int) -> None:
    """Wait until so much was sent."""
    async with asyncio.timeout(PATIENCE):
        while controller.position < samples:  # noqa: ASYNC110 - nobody else knows
            await asyncio.sleep(0.02)


async def offered(call: Call) -> RTCSessionDescription:
    peer_connection = call.peer_connection
    await peer_connection.setLocalDescription(await peer_connection.createOffer())
    return peer_connection.localDescription


async def answered(call: Call, other: RTCPeerConnection) -> RTCSessionDescription:
    """The answer of another connection, which takes what it is sent."""
    other.on("track", _consume)
    await other.setRemoteDescription(await offered(call))
    await other.setLocalDescription(await other.createAnswer())
    return other.localDescription


def _consume(track: Any) -> None:
    hole = MediaBlackhole()
    hole.addTrack(track)
    task = create_task(hole.start())
    track.on("ended", task.cancel)


async def connected(call: Call, other: RTCPeerConnection) -> None:
    await call.peer_connection.setRemoteDescription(await answered(call, other))
    await played(call.controller, 24_000 // 10)


# The phases: each lets one connection die


async def never_offered(call: Call) -> None:
    pass


async def no_answer(call: Call) -> None:
    await offered(call)


async def closed_before_the_offer(call: Call) -> None:
    await call.peer_connection.close()


async def closed_without_an_answer(call: Call) -> None:
    await offered(call)
    await call.peer_connection.close()


async def closed_while_connecting(call: Call) -> None:
    other = connection()
    await call.peer_connection.setRemoteDescription(await answered(call, other))
    await asyncio.sleep(0)
    await call.peer_connection.close()
    await other.close()


async def ice_failed(call: Call) -> None:
    """The other side has another password than it says, so that no check of either side succeeds."""
    other = connection()
    answer = await answered(call, other)
    lines = [f"a=ice-pwd:{'x' * 22}" if "ice-pwd" in line else line for line in answer.sdp.splitlines()]
    await call.peer_connection.setRemoteDescription(RTCSessionDescription("\r\n".join(lines) + "\r\n", "answer"))
    call.waiters[0].add_done_callback(lambda _: create_task(other.close()))


async def closed_in_mid_utterance(call: Call) -> None:
    other = connection()
    await connected(call, other)
    await call.peer_connection.close()
    await other.close()


async def closed_by_the_other_side(call: Call) -> None:
    other = connection()
    await connected(call, other)
    await other.close()


DEATHS: Final[dict[str, Callable[[Call], Awaitable[None]]]] = {
    death.__name__: death
    for death in (
        never_offered,
        no_answer,
        closed_before_the_offer,
        closed_without_an_answer,
        closed_while_connecting,
        ice_failed,
        closed_in_mid_utterance,
        closed_by_the_other_side,
    )
}


async def die(how: str, opus: bool, by_hand: bool) -> float:
    """Let one connection die; returns how long after that the last waiter went on."""
    call = Call()
    await asyncio.sleep(0)  # they wait
    if by_hand:
        track = OpusPlaybackTrack(call.controller) if opus else PlaybackTrack(call.controller)
        call.peer_connection.addTrack(track)
        close_with(call.peer_connection, track, connect_seconds=LIMIT if how in ("never_offered", "no_answer") else 30)
    else:
        limit = LIMIT if how in ("never_offered", "no_answer") else 30
        play(call.peer_connection, call.controller, opus=opus, connect_seconds=limit)
    await DEATHS[how](call)
    dead = asyncio.get_running_loop().time()
    await call.over()
    late = asyncio.get_running_loop().time() - dead
    async with asyncio.timeout(PATIENCE):
        await call.peer_connection.close()
    return late


@pytest.mark.portable
@pytest.mark.fuzz
@pytest.mark.parametrize("how", DEATHS)
async def test_when_a_connection_dies_nobody_waits_for_ever(how: str, capsys: pytest.CaptureFixture[str]) -> None:
    ways = [(opus, by_hand) for opus in (False, True) for by_hand in (False, True)] * TIMES
    late = await asyncio.gather(*(die(how, *way) for way in ways))
    with capsys.disabled():
        print(f"\n{len(ways)} connections {how}: everybody went on within {max(late):.2f} s")


async def test_a_peer_that_is_killed_is_noticed_by_its_consent(capsys: pytest.CaptureFixture[str]) -> None:
    """aioice asks for consent every 5 s and gives up after six times (RFC 7675); here it asks more often."""
    with patch("aioice.ice.CONSENT_INTERVAL", 0.2):
        call = Call()
        play(call.peer_connection, call.controller)
        async with another_end(call.peer_connection) as process:
            await played(call.controller, 24_000 // 10)
            process.kill()
            dead = asyncio.get_running_loop().time()
            await call.over()
            late = asyncio.get_running_loop().time() - dead
    with capsys.disabled():
        print(f"\na peer was killed: everybody went on within {late:.2f} s")


# Relays, options, mistakes


async def relayed(controller: PlaybackController, number: int) -> list[RTCPeerConnection]:
    relay, track = MediaRelay(), PlaybackTrack(controller)
    peers = [connection() for _ in range(number)]
    for peer in peers:
        peer.addTrack(relay.subscribe(track))
        close_with(peer, track)
    return peers


async def test_behind_a_relay_the_controller_is_closed_with_the_last_peer() -> None:
    controller = PlaybackController()
    utterance = controller.utterance()
    utterance.push(bytes(960))
    first, second, third = await relayed(controller, 3)
    other = connection()
    other.on("track", _consume)
    await first.setLocalDescription(await first.createOffer())
    await other.setRemoteDescription(first.localDescription)
    await other.setLocalDescription(await other.createAnswer())
    await first.setRemoteDescription(other.localDescription)
    await played(controller, 1)
    await first.close()
    await third.close()
    assert controller.state is not State.CLOSED
    await second.close()
    async with asyncio.timeout(PATIENCE):
        assert (await utterance.wait()).outcome is Outcome.CLOSED
    await other.close()


async def test_a_controller_may_outlive_its_connection() -> None:
    controller, peer_connection = PlaybackController(), connection()
    play(peer_connection, controller, close_controller=False)
    await peer_connection.close()
    assert controller.state is State.IDLE
    again = connection()
    play(again, controller)
    await again.close()
    assert controller.leaf == "closed"


async def test_the_end_of_an_old_connection_does_not_close_what_a_new_one_plays() -> None:
    controller, old, new = PlaybackController(), connection(), connection()
    play(old, controller)
    track = PlaybackTrack(controller)
    new.addTrack(track)
    await track.recv()  # it has taken over
    await old.close()
    assert controller.state is State.IDLE
    track.stop()
    await new.close()


async def test_a_connection_that_is_closed_already_ends_the_track_at_once() -> None:
    controller, peer_connection = PlaybackController(), connection()
    await peer_connection.close()
    close_with(peer_connection, PlaybackTrack(controller))
    assert controller.state is State.CLOSED


async def test_a_connection_that_came_up_has_no_limit() -> None:
    call, other = Call(), connection()
    play(call.peer_connection, call.controller, connect_seconds=PATIENCE)
    await connected(call, other)
    assert call.peer_connection.connectionState == "connected"
    handles = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
    assert not [handle for handle in handles if "_Life" in repr(handle)]
    await call.peer_connection.close()
    await other.close()
    await call.over()


async def test_mistakes_leave_the_connection_as_it_was() -> None:
    controller, peer_connection = PlaybackController(AudioFormat(11_025)), connection()
    with pytest.raises(ValueError, match="11025 Hz"):
        play(peer_connection, controller)
    controller = PlaybackController()
    wrong: Any = None
    with pytest.raises(TypeError, match="controller is None, expected PlaybackController"):
        play(peer_connection, wrong)
    with pytest.raises(TypeError, match="peer_connection is None, expected RTCPeerConnection"):
        play(wrong, controller)
    with pytest.raises(ValueError, match="connect_seconds is -1"):
        play(peer_connection, controller, connect_seconds=-1)
    with pytest.raises(ValueError, match="lost_seconds is 0, expected more than 0, or None"):
        play(peer_connection, controller, lost_seconds=0)
    with pytest.raises(TypeError, match="expected ControllerTrack"):
        close_with(peer_connection, MediaRelay().subscribe(PlaybackTrack(controller)))  # type: ignore[arg-type]
    other = connection()
    other.addTransceiver("audio")
    await peer_connection.setRemoteDescription(await other.createOffer())
    with pytest.raises(RuntimeError, match="has an offer already, expected play\\(opus=True\\) before"):
        play(peer_connection, controller, opus=True)
    assert not [sender for sender in peer_connection.getSenders() if sender.track is not None]
    assert controller.state is State.IDLE
    await peer_connection.close()
    with pytest.raises(InvalidStateError):
        play(peer_connection, controller)
    assert controller.leaf == "idle"
    await other.close()


def test_it_needs_a_loop() -> None:
    track, wrong = PlaybackTrack(PlaybackController()), cast("RTCPeerConnection", None)
    with pytest.raises(RuntimeError, match="no running event loop"):
        close_with(wrong, track)
    assert track.readyState == "live"
