"""An agent is served over native calls: callers of aiortc over WebSockets and HTTP, and Chromium through the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from playback.native.lost import STEADY_SECONDS
from playback.serving.call import Call
from playback.serving.calls import Calls
from playback.serving.engines import make_engine
from playback.serving.native_engine import NativeEngine
from playback.serving.sdp import Candidate, Fragment, ufrag_of
from tests.native.calls import HERE, PATIENCE, free_port, until
from tests.needs import need_module
from tests.serving import agents
from tests.serving.callers import HttpCaller, SocketCaller, serving


@asynccontextmanager
async def natively(agent: Any, *, lost_seconds: float = 3.0, **options: Any) -> AsyncIterator[tuple[str, Calls]]:
    """A server whose calls are native, on one port; gives its address and its calls."""
    engine = NativeEngine(bind_address=HERE, udp_port=free_port(), lost_seconds=lost_seconds)
    calls = Calls(agent, engine=engine, **options)
    async with serving(calls) as address:
        yield address, calls


async def test_a_caller_hears_the_agent_to_its_end_and_then_the_call_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caller = SocketCaller(channel=True)
    async with natively(agents.greet) as (address, _):
        assert (await caller.call(address))["type"] == "answer"
        heard = asyncio.create_task(caller.heard_seconds())
        assert await caller.receive() == {"type": "ended", "reason": "completed"}
        assert await caller.closed() == 1000
        await until(lambda: caller.channel is not None and caller.channel.readyState == "closed")
        await caller.close()
        assert await heard >= 0.9
    # The other side is in this loop: a close that waited for it in the loop would wait in vain.
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_messages_go_both_ways_and_what_was_sent_too_early_waits() -> None:
    caller = SocketCaller(channel=True)
    async with natively(agents.echo) as (address, _):
        await caller.call(address)
        async with asyncio.timeout(PATIENCE):
            assert await caller.messages.get() == "hello"
            assert caller.channel is not None
            for message in (b"bytes", "ä text"):
                caller.channel.send(message)
                assert await caller.messages.get() == message
        await caller.close()


async def test_the_agent_hears_the_caller_who_hangs_up() -> None:
    caller = SocketCaller(channel=True)
    async with natively(agents.listen) as (address, _):
        await caller.call(address)
        async with asyncio.timeout(PATIENCE):
            assert await caller.messages.get() == "True"
        await caller.send(type="bye")
        assert await caller.receive() == {"type": "ended", "reason": "bye"}
        await caller.close()


async def test_a_caller_that_only_listens_has_no_audio_and_no_channel() -> None:
    seen: list[Any] = []

    async def agent(call: Call) -> None:
        seen.extend([call.incoming, call.send("nobody")])

    caller = SocketCaller(direction="recvonly")
    async with natively(agent) as (address, _):
        await caller.call(address)
        assert (await caller.receive())["reason"] == "completed"
        await caller.close()
    assert seen == [None, False]


async def test_the_agent_is_cancelled_when_the_caller_leaves() -> None:
    reasons: list[str | None] = []

    async def agent(call: Call) -> None:
        try:
            await agents.talk(call)
        finally:
            await call.wait_closed()
            reasons.append(call.reason)

    caller = SocketCaller(channel=True)
    async with natively(agent) as (address, calls):
        await caller.call(address)
        await caller.hears()
        await caller.peer.close()
        await until(lambda: not len(calls))
        await caller.close()
    assert reasons == ["left"]


async def test_the_controller_is_paused_while_the_caller_is_lost() -> None:
    paused: list[str] = []

    async def agent(call: Call) -> None:
        call.controller.on("paused", lambda _: paused.append("paused"))
        await agents.talk(call)

    caller = SocketCaller()
    async with natively(agent, lost_seconds=0.5) as (address, _):
        await caller.call(address)
        await caller.hears()
        await asyncio.sleep(STEADY_SECONDS + 0.5)  # only who has sent audio for so long can be lost
        await caller.peer.getSenders()[0].stop()
        await until(lambda: paused)
        await caller.close()


async def test_a_call_over_http_with_candidates_that_trickle_until_it_is_deleted() -> None:
    caller = HttpCaller(channel=True)
    async with natively(agents.talk) as (address, calls), httpx.AsyncClient(base_url=address) as client:
        whole = await caller.offer()
        bare = "".join(line for line in whole.splitlines(keepends=True) if not line.startswith("a=candidate"))
        response = await client.post("/whep", content=bare, headers={"content-type": "application/sdp"})
        assert response.status_code == 201
        location, tag = response.headers["location"], response.headers["etag"]
        trickled = [line for line in whole.splitlines() if line.startswith(("m=", "a=mid", "a=candidate"))]
        fragment = "\r\n".join([f"a=ice-ufrag:{ufrag_of(whole)}", *trickled, "a=end-of-candidates", ""])
        assert Fragment.parse(fragment).candidates[0].text
        headers = {"content-type": "application/trickle-ice-sdpfrag", "if-match": tag}
        assert (await client.patch(location, content=fragment, headers=headers)).status_code == 204
        await caller.answered(response.text)
        await caller.hears()
        assert (await client.delete(location)).status_code == 200
        assert not len(calls)
        await caller.close()


async def test_a_candidate_of_no_section_is_refused() -> None:
    caller = SocketCaller(channel=True)
    async with natively(agents.talk) as (address, calls):
        await caller.call(address)
        line = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"
        for candidate in (Candidate(line, "nowhere"), Candidate(line, None, 7)):
            with pytest.raises(ValueError, match=r"expected one of 0, 1"):
                await calls.add_candidate(caller.key, candidate)
        await calls.add_candidate(caller.key, Candidate(line, None, 1))
        await caller.close()


async def test_a_call_too_many_and_one_without_opus_are_refused() -> None:
    one, other, third = HttpCaller(channel=True), HttpCaller(), HttpCaller()
    async with (
        natively(agents.talk, max_calls=1) as (address, calls),
        httpx.AsyncClient(base_url=address) as client,
    ):
        await one.offer()
        plain = (await third.offer()).replace("opus/48000", "speex/48000")
        response = await client.post("/whep", content=plain, headers={"content-type": "application/sdp"})
        assert (response.status_code, "Opus" in response.text) == (400, True)
        await until(lambda: not len(calls))
        assert (await one.call(client)).status_code == 201
        assert (await other.call(client)).status_code == 503
        await one.hears()
        for caller in (one, other, third):
            await caller.close()


async def test_callers_share_the_port() -> None:
    callers = [SocketCaller(channel=True) for _ in range(3)]
    async with natively(agents.talk) as (address, _):
        answers = [(await caller.call(address))["sdp"] for caller in callers]
        for caller in callers:
            await caller.hears()
        ports = {line.split()[5] for sdp in answers for line in sdp.splitlines() if line.startswith("a=candidate")}
        assert len(ports) == 1
        for caller in callers:
            await caller.close()


async def test_a_caller_that_does_not_connect_is_not_waited_for() -> None:
    engine = NativeEngine(bind_address=HERE, connect_seconds=0.3)
    caller = SocketCaller()
    async with serving(Calls(agents.fail, engine=engine)) as address:
        first = await SocketCaller.call(caller, address)
        assert first["type"] == "answer"
        await caller.peer.close()
        assert (await caller.receive())["reason"] in ("not_connected", "left")
        await caller.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"ice_servers": ["turn:x"]}, "expected URLs such as 'stun:"),
        ({"udp_port": 70_000}, "udp_port"),
        ({"connect_seconds": -1.0}, "connect_seconds"),
    ],
)
def test_a_mistake_is_named_before_there_is_a_call(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        NativeEngine(**arguments)


def test_it_is_made_by_its_name_with_the_stun_servers_alone() -> None:
    assert isinstance(make_engine("native", ["turn:x", "stun:x"], 40_000), NativeEngine)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    need_module("playwright", "pip install playwright")
    from playwright.sync_api import sync_playwright

    from tests.demo.browser import browsing

    with sync_playwright() as playwright, browsing(playwright) as found:
        yield found


@pytest.mark.timeout(90)
def test_chromium_calls_the_page_and_hangs_up(browser: Any) -> None:
    from tests.serving import test_browser
    from tests.serving.processes import served

    arguments = ("tests.serving.agents:talk", "--engine", "native", "--udp-port", str(free_port()))
    with served(*arguments) as (address, _):
        visit = test_browser.call(browser, address)
        visit.page.evaluate("window.cut = call.socket; cut.close()")
        visit.wait("call.socket !== cut && call.ready")
        test_browser.hears(visit)
        visit.press("Hang up")
        visit.wait("document.querySelector('#state').textContent === 'over: bye'")
        assert not visit.wrong
        visit.page.context.close()
