"""Calls on Ray Serve: real peers, in two processes and more."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets
import yaml
from playwright.sync_api import Page, expect, sync_playwright
from ray import serve
from ray.serve.schema import ServeDeploySchema

from playback.serving.ray import Options, app
from tests.frameworks.serving.conftest import Fleet, deleted
from tests.needs import need_program
from tests.serving.callers import SDP, HttpCaller, SocketCaller

SEQUENCE = int(os.environ.get("SERVING_CALLS", "20"))
"""How many calls there are in sequence."""
PLACES = 10
HEARS = """async () => {
  const stats = [...(await call.peer.getStats()).values()];
  return (stats.find(({ type }) => type === "inbound-rtp")?.totalAudioEnergy ?? 0) > 0;
}"""
TWO = {"max_calls": PLACES, "min_processes": 2, "max_processes": 2, "reattach_seconds": 60.0}


@pytest.fixture(scope="module")
def address(fleet: Fleet) -> str:
    return fleet("two", **TWO)


class Fellow(SocketCaller):
    """A caller that knows in which process its call is."""

    pid: int

    def __init__(self) -> None:
        super().__init__(channel=True)

    async def begin(self, address: str) -> None:
        """Call, and wait until the agent speaks."""
        answer = await self.call(address)
        assert answer["type"] == "answer", answer
        async with asyncio.timeout(20):
            self.pid = int(await self.messages.get())
        await self.hears()

    async def hang_up(self) -> None:
        """Hang up."""
        await self.send(type="bye")
        assert await self.receive() == {"type": "ended", "reason": "bye"}
        await self.close()


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing notifies
            await asyncio.sleep(0.1)


def descriptors(pids: set[int]) -> dict[int, int]:
    return {pid: psutil.Process(pid).num_fds() for pid in pids}


async def test_twenty_calls_at_once_fill_two_processes_and_another_one_is_turned_away(address: str) -> None:
    first = Fellow()
    await first.begin(address)
    await first.hang_up()
    callers = [Fellow() for _ in range(2 * PLACES)]
    await asyncio.gather(*(caller.begin(address) for caller in callers))
    assert sorted(Counter(caller.pid for caller in callers).values()) == [PLACES, PLACES]
    over_http, over_socket = HttpCaller(), SocketCaller()
    async with httpx.AsyncClient(base_url=address, timeout=20.0) as client:
        refused = await over_http.call(client)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    message = await over_socket.call(address)
    assert (message["type"], message["retry_after"]) == ("error", 5)
    assert await over_socket.closed() == 1013
    await callers[0].hears()
    await asyncio.gather(*(caller.hang_up() for caller in callers))
    await over_http.close()
    await over_socket.close()


async def test_calls_in_sequence_leave_nothing_behind(address: str) -> None:
    pids: set[int] = set()
    before: dict[int, int] = {}
    processes: set[int] = set()
    for number in range(SEQUENCE):
        caller = Fellow()
        await caller.begin(address)
        await caller.hang_up()
        pids.add(caller.pid)
        if number == 4:
            processes = {process.pid for process in psutil.process_iter()}
            before = descriptors(pids)
    after = descriptors(set(before))
    assert all(after[pid] <= before[pid] + 4 for pid in before), (before, after)
    assert not [
        each for each in psutil.process_iter(["name"]) if each.pid not in processes and "ray::" in each.info["name"]
    ]
    async with httpx.AsyncClient(base_url=address) as client:
        assert (await client.get("/health")).json()["calls"] == 0


async def test_a_socket_that_was_cut_is_taken_up_again(address: str) -> None:
    caller = Fellow()
    await caller.begin(address)
    caller.cut()
    await caller.hears()
    first = caller.socket
    assert await caller.attach(address) == {"type": "attached"}
    second = caller.socket
    assert await caller.attach(address) == {"type": "attached"}
    await second.wait_closed()
    assert (first is not second, second.close_code) == (True, 4001)
    await caller.hears()
    await caller.hang_up()
    assert "no such call" in (await caller.attach(address))["error"]
    await caller.close()


async def test_candidates_and_delete_reach_the_call_over_http(address: str) -> None:
    caller = HttpCaller()
    async with httpx.AsyncClient(base_url=address, timeout=20.0) as client:
        assert (await caller.call(client)).status_code == 201
        await caller.hears()
        assert caller.peer.localDescription is not None
        ufrag = next(line for line in caller.peer.localDescription.sdp.splitlines() if line.startswith("a=ice-ufrag"))
        headers = {"content-type": "application/trickle-ice-sdpfrag", "if-match": caller.tag}
        body = f"{ufrag}\r\na=end-of-candidates\r\n"
        assert (await client.patch(caller.location, content=body, headers=headers)).status_code == 204
        assert (await client.delete(caller.location)).status_code == 200
        await caller.gone()
        assert (await client.delete(caller.location)).status_code == 404
        assert (await client.post("/whep", content="v=0", headers=SDP)).status_code == 400
    await caller.close()


def test_a_browser_calls_through_the_fleet(address: str) -> None:
    """The page, its WebSocket and its candidates through Ray's proxy; the socket is cut in mid-call."""
    need_program("chromium", "Debian package chromium")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        page = browser.new_context(permissions=["microphone"]).new_page()
        page.goto(address)
        page.click("#call")
        expect(page.locator("#state")).to_have_text("connected", timeout=20_000)
        page.evaluate("window.cut = call.socket; cut.close()")
        expect_true(page, "call.socket !== cut && call.ready")
        expect_true(page, HEARS)
        page.click("#hang-up")
        expect(page.locator("#state")).to_have_text("over: bye", timeout=20_000)
        browser.close()


def expect_true(page: Page, script: str) -> None:
    """Wait until an expression is true in the page."""
    for _ in range(200):
        if page.evaluate(script):
            return
        page.wait_for_timeout(100)
    raise AssertionError(script)


async def test_a_process_that_is_killed_takes_only_its_own_calls_along(address: str) -> None:
    callers = [Fellow() for _ in range(4)]
    await asyncio.gather(*(caller.begin(address) for caller in callers))
    pids = {caller.pid for caller in callers}
    assert len(pids) == 2
    killed = callers[0].pid
    os.kill(killed, signal.SIGKILL)
    for caller in callers:
        if caller.pid == killed:
            assert await caller.receive() == {"type": "ended", "reason": "lost"}
            await caller.close()
    others = [caller for caller in callers if caller.pid != killed]
    for caller in others:
        await caller.hears()
    following = Fellow()
    await following.begin(address)
    assert following.pid != killed
    for caller in [*others, following]:
        await caller.hang_up()


@pytest.mark.parametrize("deployment", ["Signalling", "Directory"])
async def test_a_call_outlives_the_processes_that_only_carry_signals(address: str, deployment: str) -> None:
    """It goes on, and can be taken up again once Serve has replaced the process."""
    caller = Fellow()
    await caller.begin(address)
    # What can't be asked of a process, which may just have ended, is None.
    running = psutil.process_iter(["cmdline"])
    [process] = [each for each in running if f":two:{deployment}" in " ".join(each.info["cmdline"] or [])]
    process.kill()
    caller.cut()
    await caller.hears()
    async with asyncio.timeout(60):
        while True:
            try:
                if (await caller.attach(address))["type"] == "attached":
                    break
            except (OSError, websockets.WebSocketException, TimeoutError):
                pass
            await asyncio.sleep(0.2)
    await caller.hears()
    await caller.hang_up()


async def test_processes_come_and_go_while_calls_last(fleet: Fleet) -> None:
    quick = {"upscale_seconds": 0.5, "downscale_seconds": 2.0}
    address = fleet("scaled", max_calls=2, target_calls=1.0, max_processes=3, full_seconds=30.0, **quick)
    callers = [Fellow() for _ in range(3)]
    for caller in callers:
        await caller.begin(address)
    pids = {caller.pid for caller in callers}
    assert len(pids) >= 2
    kept = callers[0]
    for caller in callers[1:]:
        await caller.hang_up()
    running = lambda: serve.status().applications["scaled"].deployments["Host"].replica_states  # noqa: E731
    await until(lambda: running().get("RUNNING") == 1, seconds=60.0)
    # Which process is stopped does not depend on its calls: the one that lasts goes on in it all the same.
    await kept.hears()
    other = Fellow()
    await other.begin(address)
    await kept.hears()
    for caller in (kept, other):
        await caller.hang_up()


async def test_an_application_that_is_deleted_lets_its_calls_end(fleet: Fleet) -> None:
    address = fleet("brief", agent="tests.frameworks.serving.agents:brief", **TWO)
    over_socket, over_http = Fellow(), HttpCaller()
    await over_socket.begin(address)
    async with httpx.AsyncClient(base_url=address, timeout=20.0) as client:
        await over_http.call(client)
        heard = asyncio.create_task(over_http.heard_seconds())
        deleting = asyncio.create_task(deleted("brief"))
        assert await over_socket.receive() == {"type": "ended", "reason": "completed"}
        await deleting
        assert await heard > 3.0
    await over_socket.close()
    await over_http.close()


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({}, "agent is missing"),
        ({"agent": "m:f", "speed": 1}, "there is no option 'speed'"),
        ({"agent": "m:f", "max_calls": "many"}, "max_calls is 'many', expected int"),
        ({"agent": "m:f", "max_calls": "0"}, "max_calls"),
        ({"agent": "m:f", "engine": "steam"}, "engine is 'steam', expected one of aiortc"),
        ({"agent": "m:f", "min_processes": 2}, "max_processes is 1, expected 2 or more"),
        ({"agent": "m:f", "full_seconds": "-1"}, "full_seconds"),
    ],
)
def test_options_are_checked(args: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        app(args)


def test_options_may_be_text() -> None:
    options = Options.parse({"agent": "m:f", "max_calls": "10", "ice_servers": "stun:a,turn:b"})
    assert (options.max_calls, options.target_calls, options.urls) == (10, 7.0, ["stun:a", "turn:b"])


def test_the_example_of_a_configuration_is_one() -> None:
    text = (Path(__file__).parents[3] / "docs" / "deploy" / "serve.yaml").read_text()
    config = ServeDeploySchema(**yaml.safe_load(text))
    [application] = config.applications
    assert application.import_path == "playback.serving.ray:app"
    app(application.args)
