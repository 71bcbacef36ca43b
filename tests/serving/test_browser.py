"""A real browser calls an agent through the page of ``playback serve``, also through a TURN server alone."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from playback.cli import main
from tests.demo.browser import Visit, browsing
from tests.serving.processes import SECRET, relaying, served

TOKEN = "a-token-of-the-tests"
ENERGY = """async () => {
  const stats = [...(await call.peer.getStats()).values()];
  return stats.find(({ type }) => type === "inbound-rtp")?.totalAudioEnergy ?? 0;
}"""
LOCAL = """async () => {
  const stats = await call.peer.getStats();
  const transport = [...stats.values()].find(({ type }) => type === "transport");
  return stats.get(stats.get(transport.selectedCandidatePairId).localCandidateId).candidateType;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield from _browser(playwright)


def _browser(playwright: Playwright) -> Iterator[Browser]:
    with browsing(playwright) as browser:
        yield browser


def call(browser: Browser, address: str) -> Visit:
    """Press Call on a page of one's own, and wait until the agent is heard."""
    visit = Visit(browser.new_context(permissions=["microphone"]).new_page())
    visit.watch()
    visit.page.goto(address)
    visit.press("Call")
    visit.wait("document.querySelector('#state').textContent === 'connected'")
    hears(visit)
    return visit


def hears(visit: Visit) -> None:
    """Wait until there is more to hear than now."""
    before = visit.page.evaluate(ENERGY)
    for _ in range(200):
        if visit.page.evaluate(ENERGY) > before:
            return
        visit.rest(0.05)
    raise AssertionError("nothing is heard")


def state(visit: Visit) -> str:
    return visit.page.text_content("#state") or ""


def test_the_agent_is_heard_until_the_caller_hangs_up(browser: Browser) -> None:
    with served("tests.serving.agents:talk", PLAYBACK_SERVE_TOKEN=TOKEN) as (address, _):
        visit = call(browser, address)
        assert visit.page.evaluate(LOCAL) in ("host", "prflx")
        visit.press("Hang up")
        visit.wait("document.querySelector('#state').textContent.startsWith('over')")
        assert state(visit) == "over: bye"
        assert not visit.wrong
        # With a wrong token nothing begins.
        visit.page.goto("about:blank")
        visit.page.goto(f"{address.partition('#')[0]}#token=another")
        visit.press("Call")
        visit.wait("document.querySelector('#state').textContent.includes('wants its token')")
        visit.page.context.close()


def test_a_socket_that_is_cut_comes_back_and_the_call_goes_on(browser: Browser) -> None:
    with served("tests.serving.agents:talk") as (address, _):
        visit = call(browser, address)
        visit.page.evaluate("window.cut = call.socket; cut.close()")
        visit.wait("call.socket !== cut && call.ready")
        hears(visit)
        visit.press("Hang up")
        visit.wait("document.querySelector('#state').textContent === 'over: bye'")
        assert not visit.wrong
        visit.page.context.close()


def test_a_call_through_relay_candidates_alone(browser: Browser, tmp_path: Path) -> None:
    with (
        relaying(tmp_path) as turn,
        served("tests.serving.agents:talk", "--ice-server", turn, PLAYBACK_TURN_SECRET=SECRET) as (address, _),
    ):
        visit = call(browser, f"{address}#relay")
        assert visit.page.evaluate(LOCAL) == "relay"
        visit.press("Hang up")
        visit.wait("document.querySelector('#state').textContent === 'over: bye'")
        assert not visit.wrong
        visit.page.context.close()
    assert "peer" in (tmp_path / "turn.log").read_text()


def test_a_turn_server_takes_no_credentials_of_another_secret(browser: Browser, tmp_path: Path) -> None:
    """So it is the secret that let the relayed call through."""
    with (
        relaying(tmp_path) as turn,
        served("tests.serving.agents:talk", "--ice-server", turn, PLAYBACK_TURN_SECRET="another") as (address, _),
    ):
        visit = Visit(browser.new_context(permissions=["microphone"]).new_page())
        visit.page.goto(f"{address}#relay")
        visit.press("Call")
        visit.wait("window.call?.peer?.iceGatheringState === 'complete'")
        assert "relay" not in visit.page.evaluate("call.peer.localDescription.sdp")
        visit.page.context.close()


def test_ctrl_c_ends_the_server_and_its_calls(browser: Browser) -> None:
    with served("tests.serving.agents:greet") as (address, server):
        visit = call(browser, address)
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
        visit.page.context.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["nothing"], "expected module:function"),
        (["tests.serving.agents:tone"], "expected async def agent(call)"),
        (["tests.serving.agents:talk", "--max-calls", "0"], "max_calls"),
        (["tests.serving.agents:talk", "--token", "short"], "token has 5 characters"),
        (["tests.serving.agents:talk", "--ice-server", "turn:x"], "expected turn_secret"),
    ],
)
def test_a_mistake_is_named_before_anything_is_served(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    assert ended.value.code == 2
    assert error in capsys.readouterr().err.splitlines()[-1]


def test_who_serves_others_has_a_token() -> None:
    with served("tests.serving.agents:talk", "--host", "0.0.0.0") as (address, server):
        assert re.fullmatch(r"http://localhost:\d+/#token=[\w-]{22}", address)
        assert server.stdout is not None
        assert "others can reach it" in server.stdout.readline()


def test_an_address_that_cannot_be_had_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "tests.serving.agents:talk", "--host", "192.0.2.254"]) == 1
    assert capsys.readouterr().err.startswith("playback: error: 192.0.2.254:8000")
