"""Calls in one process, over real sockets and real peer connections."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import httpx
import pytest

from playback import PlaybackController
from playback.serving import calls as module
from playback.serving import live_call
from playback.serving.aiortc_engine import AiortcEngine
from playback.serving.call import MOST_MESSAGES, Call, CallRequest
from playback.serving.calls import Calls
from playback.serving.loading import AgentError, load_agent
from playback.serving.service import FullError, NoSuchCallError
from tests.leftovers import counted_controllers, settled
from tests.serving import agents
from tests.serving.callers import Caller, HttpCaller, SocketCaller, serving

pytestmark = pytest.mark.portable


async def test_a_caller_hears_the_agent_to_its_end_and_then_the_call_is_over() -> None:
    caller = SocketCaller()
    async with serving(Calls(agents.greet)) as address:
        assert (await caller.call(address))["type"] == "answer"
        heard = asyncio.create_task(caller.heard_seconds())
        assert await caller.receive() == {"type": "ended", "reason": "completed"}
        assert await caller.closed() == 1000
        await caller.close()
        assert await heard >= 0.9


async def test_the_agent_gets_the_request_without_its_secrets() -> None:
    requests: list[CallRequest] = []

    async def agent(call: Call) -> None:
        requests.append(call.request)

    caller = HttpCaller()
    async with serving(Calls(agent)) as address, httpx.AsyncClient(base_url=address) as client:
        client.headers["authorization"] = "Bearer secret"
        client.headers["X-Name"] = "n" * 5_000
        assert (await caller.call(client, "?room=7&lang=en")).status_code == 201
        await caller.gone()
    await caller.close()
    [request] = requests
    assert request.query == {"room": "7", "lang": "en"}
    assert request.headers["x-name"] == "n" * 2_048
    assert "authorization" not in request.headers
    assert request.client == "127.0.0.1"


def test_a_request_keeps_only_so_much() -> None:
    request = CallRequest.of([(f"N{n}", "v") for n in range(100)], [("q" * 3_000, "v" * 3_000)], None)
    assert len(request.headers) == 64
    assert request.query == {"q" * 2_048: "v" * 2_048}


async def test_messages_go_both_ways() -> None:
    caller = SocketCaller(channel=True)
    async with serving(Calls(agents.echo)) as address:
        await caller.call(address)
        async with asyncio.timeout(20):
            assert await caller.messages.get() == "hello"
            assert caller.channel is not None
            caller.channel.send(b"bytes")
            assert await caller.messages.get() == b"bytes"
    await caller.close()


async def test_the_agent_hears_the_caller() -> None:
    caller = SocketCaller(channel=True)
    async with serving(Calls(agents.listen)) as address:
        await caller.call(address)
        async with asyncio.timeout(20):
            assert await caller.messages.get() == "True"
        await caller.send(type="bye")
        assert await caller.receive() == {"type": "ended", "reason": "bye"}
    await caller.close()


async def test_a_caller_that_only_listens_has_no_audio_and_no_channel() -> None:
    seen: list[Any] = []

    async def agent(call: Call) -> None:
        seen.extend([call.incoming, call.send("nobody")])
        with pytest.raises(TypeError, match="expected str or bytes"):
            call.send(7)  # type: ignore[arg-type]

    caller = SocketCaller(direction="recvonly")
    async with serving(Calls(agent)) as address:
        await caller.call(address)
        assert (await caller.receive())["reason"] == "completed"
    await caller.close()
    assert seen == [None, False]


async def test_an_agent_that_raises_ends_its_call_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def agent(call: Call) -> None:
        await (agents.fail if "fail" in call.request.query else agents.talk)(call)

    one, other = SocketCaller(), SocketCaller()
    async with serving(Calls(agent)) as address:
        await other.call(address)
        await one.call(address, "?fail=1")
        assert await one.receive() == {"type": "ended", "reason": "failed"}
        await other.hears()
        await one.close()
        await other.close()
    assert [record.levelname for record in caplog.records if "its agent has failed" in record.message] == ["ERROR"]


async def test_an_agent_that_cancels_itself_has_failed() -> None:
    async def agent(call: Call) -> None:
        raise asyncio.CancelledError

    caller = SocketCaller()
    async with serving(Calls(agent)) as address:
        await caller.call(address)
        assert (await caller.receive())["reason"] == "failed"
        await caller.close()


async def test_an_agent_that_returns_at_once_or_blocks_ends_as_any_other() -> None:
    async def nothing(call: Call) -> None:
        pass

    for agent in (nothing, agents.block):
        caller = SocketCaller()
        async with serving(Calls(agent)) as address:
            await caller.call(address)
            assert (await caller.receive())["reason"] == "completed"
            await caller.close()


async def test_the_agent_is_cancelled_when_its_caller_leaves() -> None:
    reasons: list[object] = []

    async def agent(call: Call) -> None:
        try:
            await call.wait_closed()
        finally:
            reasons.append(call.reason)

    caller = SocketCaller()
    async with serving(Calls(agent)) as address:
        await caller.call(address)
        await settled(lambda: caller.peer.connectionState == "connected", lambda: caller.peer.connectionState)
        await asyncio.sleep(0.1)
        await caller.peer.close()
        assert await caller.receive() == {"type": "ended", "reason": "left"}
        await caller.close()
    assert reasons == ["left"]


async def test_an_agent_that_goes_on_when_it_is_cancelled_holds_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live_call, "CANCEL_SECONDS", 0.1)
    calls = Calls(agents.ignore)
    caller = SocketCaller()
    async with serving(calls) as address:
        await caller.call(address)
        await settled(lambda: caller.peer.connectionState == "connected", lambda: caller.peer.connectionState)
        await asyncio.sleep(0.1)
        await caller.send(type="bye")
        assert (await caller.receive())["reason"] == "bye"
        assert not len(calls)
        await caller.close()
    assert "its agent goes on 0.1 s after it was cancelled" in caplog.text
    await asyncio.sleep(0.5)


async def test_a_caller_that_never_connects_gives_its_place_back() -> None:
    calls = Calls(agents.talk, engine=AiortcEngine(connect_seconds=0.3))
    caller = Caller()
    with counted_controllers() as controllers:
        async with serving(calls) as address, httpx.AsyncClient(base_url=address) as client:
            headers = {"content-type": "application/sdp"}
            assert (await client.post("/whep", content=await caller.offer(), headers=headers)).status_code == 201
            assert len(calls) == 1
            await settled(lambda: not len(calls), lambda: len(calls))
            [controller] = controllers
            assert controller.leaf == "closed"
            await caller.close()


async def test_there_are_only_so_many_calls() -> None:
    calls = Calls(agents.talk, max_calls=1)
    one, other, third = HttpCaller(), HttpCaller(), SocketCaller()
    async with serving(calls) as address, httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/ready")).status_code == 200
        assert (await one.call(client)).status_code == 201
        refused = await other.call(client)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        message = await third.call(address)
        assert (message["type"], message["retry_after"]) == ("error", 5)
        assert await third.closed() == 1013
        assert (await client.get("/ready")).status_code == 503
        assert (await client.get("/health")).json() == {"calls": 1, "max_calls": 1, "ready": 0}
        await one.close()
        await settled(lambda: not len(calls), lambda: len(calls))
        assert (await HttpCaller.call(other, client)).status_code == 201
        for caller in (other, third):
            await caller.close()


async def test_draining_takes_no_new_call_and_waits_for_the_last() -> None:
    calls = Calls(agents.talk)
    one, other = HttpCaller(), HttpCaller()
    async with serving(calls) as address, httpx.AsyncClient(base_url=address) as client:
        await one.call(client)
        draining = asyncio.create_task(calls.drain())
        await one.hears()
        assert (await other.call(client)).status_code == 503
        assert not draining.done()
        assert (await client.delete(one.location)).status_code == 200
        await draining
        for caller in (one, other):
            await caller.close()


async def test_a_shutdown_says_goodbye() -> None:
    calls = Calls(agents.talk)
    caller = HttpCaller()
    said: list[str] = []

    def goodbye(controller: PlaybackController) -> Any:
        utterance = controller.utterance(text="Goodbye.", interruptible=False)
        utterance.push(agents.tone(0.3))
        utterance.end()
        said.append(controller.id)
        return utterance

    async with serving(calls) as address, httpx.AsyncClient(base_url=address) as client:
        await caller.call(client)
        await caller.hears()
        await calls.shutdown(goodbye, seconds=4.0)
        assert len(said) == 1
        await caller.gone()
        await caller.close()


async def test_calls_in_a_row_and_at_once_leave_nothing_behind() -> None:
    """The sockets are counted by the server of the tests."""
    calls = Calls(agents.greet, max_calls=10)
    with counted_controllers() as controllers:
        async with serving(calls) as address:

            async def one() -> None:
                caller = SocketCaller()
                assert (await caller.call(address))["type"] == "answer"
                await caller.hears()
                await caller.send(type="bye")
                await caller.closed()
                await caller.close()

            for _ in range(6):
                await one()
            await asyncio.gather(*(one() for _ in range(8)))
    await settled(lambda: not gc.collect() and not len(controllers), lambda: len(controllers))


async def test_a_call_that_is_cancelled_while_it_is_answered_leaves_nothing() -> None:
    calls = Calls(agents.talk)
    caller = Caller()
    async with serving(calls):
        for rounds in (0, 1, 2, 3, 5, 8):
            starting = asyncio.create_task(calls.start(await caller.offer()))
            for _ in range(rounds):
                await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert not len(calls)
        await caller.close()


async def test_messages_that_nobody_takes_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    call = Call("id", PlaybackController(), CallRequest(), None)  # type: ignore[arg-type]
    for number in range(MOST_MESSAGES + 5):
        call.take(str(number))
    assert call.dropped_messages == 5
    assert caplog.text.count("does not take its messages") == 1
    call.take("x" * 1_100_000)
    assert call.dropped_messages == 6
    call.close("left")
    call.close("bye")
    assert [message async for message in call.messages()] == [str(number) for number in range(MOST_MESSAGES)]
    assert await call.wait_closed() == "left"


async def test_what_is_not_there_is_an_error() -> None:
    calls = Calls(agents.talk)
    for doing in (calls.end("key"), calls.attach("key")):
        with pytest.raises(NoSuchCallError):
            await doing
    await calls.aclose()
    caller = Caller()
    with pytest.raises(FullError, match="shut down"):
        await calls.start(await caller.offer())
    await caller.close()


def test_an_agent_is_an_asynchronous_function() -> None:
    class Callable:
        async def __call__(self, call: Call) -> None: ...

    module.check_agent(Callable())
    for wrong in (len, print, 7, lambda _: None):
        with pytest.raises(TypeError, match=r"expected async def agent\(call\)"):
            Calls(wrong)  # type: ignore[arg-type]
    for name, error in (
        ("tests.serving.agents", "expected module:function"),
        ("tests.serving.nothing:talk", "there is no module 'tests.serving.nothing'"),
        ("tests.serving.agents:nothing", "has no 'nothing'"),
        ("tests.serving.agents:tone", "expected async def"),
    ):
        with pytest.raises(AgentError, match=error):
            load_agent(name)
    assert load_agent("tests.serving.agents:talk") is agents.talk


@pytest.mark.parametrize("wrong", [{"max_calls": 0}, {"reattach_seconds": -1.0}, {"drain_seconds": float("nan")}])
def test_numbers_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Calls(agents.talk, **wrong)
