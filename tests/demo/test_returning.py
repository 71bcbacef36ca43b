"""The demo's page in Chromium loses its connection in mid-sentence, or is loaded again: the sentence goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.demo.browser import Visit, browsing, serving, visiting
from tests.demo.test_browser import SENTENCE

TOKEN = "a-token-of-the-tests"
CONNECTED = "document.querySelector('#status').dataset.status === 'connected'"
RESUMED = "received.some((message) => message.is === 'hello' && message.resumed)"
WORDS = SENTENCE.replace(",", "").replace(".", "").split()

# Notes every peer connection, and so can lose one.
PEERS = """
window.peers = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...how) { super(...how); peers.push(this); }
};
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, browsing(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    with visiting(browser, address) as visit:
        visit.page.add_init_script(PEERS)
        visit.page.reload()
        visit.wait(CONNECTED)
        yield visit


def marks(visit: Visit) -> list[str]:
    return [event["payload"] for event in visit.received("event") if event["name"] == "mark_reached"]


def reach(visit: Visit, word: str) -> None:
    visit.wait(f"received.some((message) => message.name === 'mark_reached' && message.payload === '{word}')", 60)


def finish(visit: Visit, before: list[str]) -> None:
    """See that the rest is said, and each word once."""
    visit.wait("received.some((message) => message.name === 'utterance_finished')", 60)
    (report,) = [event["report"] for event in visit.received("event") if event["name"] == "utterance_finished"]
    assert (report["outcome"], report["heard"]) == ("completed", SENTENCE)
    after = marks(visit)
    said = after if after[: len(before)] == before else before + after
    # What the server handed out while the page was going is not announced again.
    assert [word for word in WORDS if word in said][-5:] == WORDS[-5:]
    assert len(said) <= len(WORDS)
    assert said[: len(before)] == WORDS[: len(before)]
    visit.wait("document.querySelectorAll('.spoken .heard').length > 15")


def test_a_page_that_is_loaded_again_in_mid_sentence_goes_on_with_it(visit: Visit) -> None:
    visit.say(SENTENCE)
    reach(visit, "four")
    before = marks(visit)
    visit.page.reload()
    visit.wait(CONNECTED)
    visit.wait(RESUMED)
    (resumed,) = [event for event in visit.received("event") if event["name"] == "resumed"]
    assert 0 < resumed["rewound"] < 3 * 48_000
    visit.wait("document.querySelector('.spoken')?.textContent.startsWith('One two three')")
    assert visit.page.locator(".spoken .heard").count() >= 3
    assert "resumed" in visit.page.inner_text("#log")
    finish(visit, before)


def test_a_connection_that_is_lost_in_mid_sentence_is_made_anew(visit: Visit) -> None:
    visit.say(SENTENCE)
    reach(visit, "four")
    before = marks(visit)
    visit.page.evaluate("peers.at(-1).close()")
    visit.wait(RESUMED, 40)
    visit.wait(CONNECTED)
    assert visit.page.locator(".spoken").count() == 1
    finish(visit, before)


def test_a_session_that_is_over_is_followed_by_a_new_one(visit: Visit) -> None:
    visit.page.evaluate(
        """() => addEventListener("pagehide", () => {
          const kept = JSON.parse(sessionStorage.getItem("playback.session"));
          sessionStorage.setItem("playback.session", JSON.stringify({ ...kept, secret: "of another one" }));
        })"""
    )
    visit.page.reload()
    visit.wait(CONNECTED)
    visit.page.get_by_role("alert").get_by_text("this is a new one").wait_for()
    assert not visit.page.evaluate(RESUMED)
    assert visit.wrong
    assert all("404" in wrong or "whep" in wrong for wrong in visit.wrong), visit.wrong
    visit.wrong.clear()


def test_another_tab_does_not_take_the_session_of_this_one(visit: Visit) -> None:
    visit.page.reload()
    visit.wait(RESUMED)
    assert visit.page.evaluate("sessionStorage.getItem('playback.session')") is None


def test_a_page_has_its_token_from_its_address(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(TOKEN) as address:
        with visiting(browser, f"{address}#token={TOKEN}") as visit:
            visit.page.goto(f"{address}#text")
            visit.page.reload()
            visit.wait(CONNECTED)
            visit.press("Reconnect")
            visit.wait("received.filter((message) => message.is === 'hello').length === 2")
        page = browser.new_page()
        page.goto(address)
        page.get_by_role("alert").get_by_text("this server wants its token").wait_for()
        page.goto(f"{address}#token={TOKEN}")
        page.locator("#status[data-status=connected]").wait_for()
        page.close()
