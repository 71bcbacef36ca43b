"""A peer in another process that is stopped, and goes on: what it could not hear is held back, and said again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from playback import AudioFormat, PlaybackController, State
from playback.events import Event, Paused, Resumed
from playback.lost_peer import HOLD, LOST_SECONDS, hold_while_lost
from playback.track import PlaybackTrack, play
from tests.transports.processes import another_end

RATE: Final = 24_000
PATIENCE: Final = 40.0
"""Seconds after which something is taken never to happen, on a machine that is busy."""
LOST: Final = LOST_SECONDS


@pytest.fixture(autouse=True)
def loopback() -> Any:
    """Without servers and with the loopback address alone, nothing depends on the network of the machine."""
    with patch("aioice.ice.get_host_addresses", return_value=["127.0.0.1"]):
        yield


def speaking() -> tuple[PlaybackController, RTCPeerConnection, list[Event]]:
    controller, events = PlaybackController(AudioFormat(RATE), history_seconds=60.0), list[Event]()
    for name in ("paused", "resumed", "closed"):
        controller.on(name, events.append)
    controller.push(np.ones(RATE * 120, np.int16))
    return controller, RTCPeerConnection(RTCConfiguration(iceServers=[])), events


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 - it is another process that makes it so
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("options", [[], ["speaks"]], ids=["listens", "speaks"])
async def test_a_peer_that_stops_is_waited_for_and_hears_again_what_it_missed(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    controller, peer_connection, events = speaking()
    clock = asyncio.get_running_loop().time
    play(peer_connection, controller, lost_seconds=LOST)
    async with another_end(peer_connection, *options) as process:
        await until(lambda: controller.position > 3 * RATE)
        assert not events  # it is there, whether or not it has something to say

        stopped, position = clock(), controller.position
        os.kill(process.pid, signal.SIGSTOP)
        await until(lambda: controller.state is State.PAUSED)
        late, unheard = clock() - stopped, controller.position - position
        assert controller.holds == (HOLD,)
        assert [event.by for event in events if isinstance(event, Paused)] == [HOLD]
        held = controller.buffered

        os.kill(process.pid, signal.SIGCONT)
        await until(lambda: controller.state is State.SPEAKING)
        resumed = events[-1]
        assert isinstance(resumed, Resumed)
        assert resumed.by == HOLD
        assert resumed.rewound >= unheard - RATE  # when the last packet came is known to a quarter of a second, mostly
        assert controller.buffered <= held + resumed.rewound
        await until(lambda: controller.buffered < held)
        await peer_connection.close()
    assert controller.leaf == "closed"
    with capsys.disabled():
        print(f"\nlost after {late:.2f} s, of which {resumed.rewound / RATE:.2f} s are said again")


async def test_the_end_of_the_connection_closes_what_was_held() -> None:
    controller, peer_connection, events = speaking()
    with patch("aioice.ice.CONSENT_INTERVAL", 0.5):
        play(peer_connection, controller, lost_seconds=LOST)
        async with another_end(peer_connection) as process:
            await until(lambda: controller.position > RATE)
            process.kill()
            await until(lambda: controller.state is State.PAUSED)
            await until(lambda: controller.state is State.CLOSED)
    assert [event.name for event in events] == ["paused", "closed"]


async def test_another_connection_goes_on_where_the_peer_was_lost() -> None:
    controller, peer_connection, events = speaking()
    play(peer_connection, controller, lost_seconds=LOST, close_controller=False)
    async with another_end(peer_connection) as process:
        await until(lambda: controller.position > RATE)
        os.kill(process.pid, signal.SIGSTOP)
        await until(lambda: controller.state is State.PAUSED)
        await peer_connection.close()
        await until(lambda: not controller.holds)
    assert [event.name for event in events] == ["paused", "resumed"]
    assert controller.state is State.SPEAKING
    track = PlaybackTrack(controller)
    assert (await track.recv()).to_ndarray().any()
    track.stop()


async def test_without_it_nothing_is_held() -> None:
    controller, peer_connection, events = speaking()
    play(peer_connection, controller, lost_seconds=None)
    async with another_end(peer_connection) as process:
        await until(lambda: controller.position > RATE)
        os.kill(process.pid, signal.SIGSTOP)
        position = controller.position
        await until(lambda: controller.position > position + 3 * RATE)
        assert not events
        await peer_connection.close()


async def test_mistakes() -> None:
    controller, peer_connection, _ = speaking()
    sender = peer_connection.addTrack(PlaybackTrack(controller))
    with pytest.raises(ValueError, match="lost_seconds is 0, expected more"):
        hold_while_lost(peer_connection, sender, controller, lost_seconds=0)
    with pytest.raises(ValueError, match="lost_seconds is -1"):
        hold_while_lost(peer_connection, sender, controller, lost_seconds=-1)
    with pytest.raises(TypeError, match="expected RTCRtpSender"):
        hold_while_lost(peer_connection, None, controller)  # type: ignore[arg-type]
    await peer_connection.close()
