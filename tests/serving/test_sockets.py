"""Signalling over WebSockets: candidates, sockets that are cut and come back, and what is turned away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import websockets

from playback.serving.calls import Calls
from playback.serving.settings import ServingSettings
from tests.leftovers import settled
from tests.serving import agents
from tests.serving.callers import SocketCaller, serving

pytestmark = pytest.mark.portable

TOKEN = "a-token-of-the-tests"


async def test_a_call_goes_on_when_its_socket_is_cut_and_can_be_taken_up_again() -> None:
    calls = Calls(agents.talk)
    caller = SocketCaller()
    async with serving(calls) as address:
        await caller.call(address)
        await caller.hears()
        caller.cut()
        await caller.hears()
        assert await caller.attach(address) == {"type": "attached"}
        await caller.hears()
        await caller.send(type="bye")
        assert await caller.receive() == {"type": "ended", "reason": "bye"}
        assert (await caller.attach(address))["error"] == "there is no such call, or it is over"
        await caller.close()


async def test_a_call_whose_socket_does_not_come_back_is_over() -> None:
    calls = Calls(agents.talk, reattach_seconds=0.2)
    caller = SocketCaller()
    async with serving(calls) as address:
        await caller.call(address)
        await caller.hears()
        caller.cut()
        await settled(lambda: not len(calls), lambda: len(calls))
        await caller.close()


async def test_the_newest_socket_has_the_call() -> None:
    calls = Calls(agents.talk, reattach_seconds=0.3)
    caller = SocketCaller()
    async with serving(calls) as address:
        await caller.call(address)
        await caller.hears()
        first = caller.socket
        assert (await caller.attach(address))["type"] == "attached"
        assert "another socket" in await first.recv()
        await first.wait_closed()
        assert first.close_code == 4001
        await asyncio.sleep(0.5)  # what the old one left behind does not end the call
        assert len(calls) == 1
        await caller.send(type="bye")
        assert (await caller.receive())["reason"] == "bye"
        await caller.close()


async def test_candidates_come_over_the_socket() -> None:
    calls = Calls(agents.talk)
    caller = SocketCaller()
    async with serving(calls) as address:
        offer = await caller.offer()
        lines = offer.splitlines(keepends=True)
        caller.socket = await websockets.connect(f"{address.replace('http', 'ws')}/ws")
        await caller.send(type="offer", sdp="".join(line for line in lines if "candidate" not in line))
        answer = await caller.receive()
        for line in lines:
            if line.startswith("a=candidate"):
                await caller.send(type="candidate", candidate=line.strip()[2:], sdpMid="0", sdpMLineIndex=0)
        await caller.send(type="candidate", candidate=None)
        await caller.send(type="candidate", candidate="")
        await caller.answered(answer["sdp"])
        await caller.hears()
        await caller.close()
        await settled(lambda: not len(calls), lambda: len(calls))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("no json", "expected an object of JSON"),
        ("[" * 50_000, "expected an object of JSON"),
        ("[1]", "expected an object of JSON"),
        (b"{}", "expected text"),
        ("{}", "expected an offer or attach"),
        ('{"type": "bye"}', "expected an offer or attach"),
        ('{"type": "offer", "sdp": 7}', "expected an offer or attach"),
        ('{"type": "offer", "sdp": ""}', "expected one audio"),
        ('{"type": "offer", "sdp": "\\ud800"}', "expected one audio"),
        ('{"type": "attach", "key": "a wrong key"}', "there is no such call"),
        (json.dumps({"type": "offer", "sdp": "v" * 70_000}), "expected at most 65536"),
    ],
)
async def test_a_first_message_that_is_none_is_refused(message: str | bytes, error: str) -> None:
    calls = Calls(agents.talk)
    async with serving(calls) as address, websockets.connect(f"{address.replace('http', 'ws')}/ws") as socket:
        await socket.send(message)
        answer = json.loads(await socket.recv())
        assert (answer["type"], error in answer["error"]) == ("error", True), answer
        await socket.wait_closed()
        assert socket.close_code == 1008
        assert not len(calls)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "offer", "sdp": ""}, "has a call already"),
        ({"type": "dance"}, "expected candidate or bye"),
        ({"type": "candidate", "candidate": 7}, "RTCIceCandidate"),
        ({"type": "candidate", "candidate": "candidate:x", "sdpMid": "0"}, "expected candidate:"),
        ({"type": "candidate", "candidate": "candidate:x", "sdpMLineIndex": True}, "RTCIceCandidate"),
    ],
)
async def test_a_later_message_that_is_none_costs_the_socket_and_not_the_call(
    message: dict[str, Any], error: str
) -> None:
    calls = Calls(agents.talk)
    caller = SocketCaller()
    async with serving(calls) as address:
        await caller.call(address)
        await caller.send(**message)
        answer = await caller.receive()
        assert (answer["type"], error in answer["error"]) == ("error", True), answer
        assert await caller.closed() == 1008
        assert (await caller.attach(address))["type"] == "attached"
        await caller.close()


async def test_messages_are_bounded_in_length_and_number() -> None:
    caller = SocketCaller()
    async with serving(Calls(agents.talk)) as address:
        await caller.call(address)
        for _ in range(201):
            await caller.send(type="candidate", candidate=None)
        assert "more than 200 messages" in (await caller.receive())["error"]
        async with websockets.connect(f"{address.replace('http', 'ws')}/ws") as socket:
            await socket.send("v" * 10_000_000)
            await socket.wait_closed()
            assert socket.close_code == 1009
        await caller.close()


async def test_strangers_are_turned_away() -> None:
    settings = ServingSettings(token=TOKEN, sockets=1, first_message_seconds=0.3)
    one, other, third = (SocketCaller() for _ in range(3))
    async with serving(Calls(agents.talk), settings) as address:
        url = f"{address.replace('http', 'ws')}/ws"
        for wrong in ({}, {"token": "another"}, {"token": 7}, {"token": "\ud800"}):
            assert "wants its token" in (await one.call(address, **wrong))["error"]
            assert await one.closed() == 1008
        async with websockets.connect(url) as silent:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await third.call(address, token=TOKEN)
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["retry-after"] == "5"
            assert "nothing came within 0.3 s" in str(await silent.recv())
        with pytest.raises(websockets.InvalidStatus, match="403"):
            await websockets.connect(url, origin="http://elsewhere.example")  # type: ignore[arg-type]
        with pytest.raises(websockets.InvalidStatus, match="403"):
            await websockets.connect(url.replace("127.0.0.1", "[::ffff:127.0.0.1]"))
        assert (await other.call(address, token=TOKEN))["type"] == "answer"
        for caller in (one, other, third):
            await caller.close()


async def test_calls_do_not_begin_too_fast() -> None:
    one, other = SocketCaller(), SocketCaller()
    async with serving(Calls(agents.talk), ServingSettings(calls_per_second=0.1)) as address:
        assert (await one.call(address))["type"] == "answer"
        refused = await other.call(address)
        assert refused["retry_after"] == 1
        assert await other.closed() == 1013
        await one.close()
        await other.close()


async def test_a_socket_that_is_cut_while_it_is_answered_leaves_a_call_that_ends() -> None:
    calls = Calls(agents.talk, reattach_seconds=0.1)
    caller = SocketCaller()
    async with serving(calls) as address:
        caller.socket = await websockets.connect(f"{address.replace('http', 'ws')}/ws")
        await caller.send(type="offer", sdp=await caller.offer())
        caller.cut()
        await settled(lambda: not len(calls), lambda: len(calls))
        await caller.close()
