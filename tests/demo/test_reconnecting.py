"""The demo's page in Chromium, in a hurry: whoever presses twice has one connection, and one microphone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import sync_playwright

from tests.demo.browser import Visit, browsing, serving, visiting

CONNECTED = "document.querySelector('#status').dataset.status === 'connected'"

# Counts the page's timers.
COUNT = """
window.timers = new Set();
const [begin, end] = [setInterval, clearInterval];
window.setInterval = (...how) => { const timer = begin(...how); timers.add(timer); return timer; };
window.clearInterval = (timer) => { timers.delete(timer); end(timer); };
"""

# Ends a session only when asked to, and reconnects as soon as the next one is answered: its channel opens after that.
HURRY = """
() => {
  const ask = fetch;
  const mayEnd = new Promise((resolve) => { window.mayEnd = resolve; });
  const open = RTCPeerConnection.prototype.setRemoteDescription;
  let isFirst = true;
  window.fetch = async (where, how) => {
    if (how.method === "DELETE") await mayEnd;
    return ask(where, how);
  };
  const createDataChannel = RTCPeerConnection.prototype.createDataChannel;
  RTCPeerConnection.prototype.createDataChannel = function (...options) {
    const channel = createDataChannel.apply(this, options);
    if (isFirst) channel.addEventListener("open", () => { window.openedLate = true; });
    return channel;
  };
  RTCPeerConnection.prototype.setRemoteDescription = async function (answer) {
    await open.call(this, answer);
    if (!isFirst) return;
    isFirst = false;
    document.querySelector("#reconnect").click();
  };
  document.querySelector("#reconnect").click();
}
"""

# Gives the microphone only when asked to.
ASK = """
() => {
  const give = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const mayGive = new Promise((resolve) => { window.mayGive = resolve; });
  window.streams = [];
  navigator.mediaDevices.getUserMedia = async (what) => {
    const stream = await give(what);
    streams.push(stream);
    await mayGive;
    return stream;
  };
}
"""


@pytest.fixture
def visit() -> Iterator[Visit]:
    with (
        serving() as address,
        sync_playwright() as playwright,
        browsing(playwright) as browser,
        visiting(browser, address) as visit,
    ):
        visit.page.add_init_script(COUNT)
        visit.page.reload()
        visit.wait(CONNECTED)
        visit.wait("timers.size === 2")
        yield visit


def test_a_connection_that_opens_too_late_is_not_taken_for_the_next(visit: Visit) -> None:
    visit.page.evaluate(HURRY)
    visit.wait("window.openedLate === true")
    visit.wait(CONNECTED)
    visit.page.evaluate("mayEnd()")
    visit.wait("timers.size === 2")
    visit.rest(0.5)
    assert visit.page.evaluate("timers.size") == 2


def test_a_microphone_that_is_asked_for_twice_is_given_once(visit: Visit) -> None:
    visit.page.evaluate(ASK)
    visit.page.click("#microphone")
    visit.wait("streams.length === 1")
    visit.page.click("#microphone")
    visit.page.evaluate("mayGive()")
    visit.wait("document.querySelector('#microphone').getAttribute('aria-pressed') === 'true'")
    assert visit.page.evaluate("streams.length") == 1
    visit.wait("document.querySelector('#ear').dataset.ear !== 'off'")
    visit.page.click("#microphone")
    visit.wait("document.querySelector('#microphone').getAttribute('aria-pressed') === 'false'")
    assert visit.page.evaluate("streams[0].getTracks().every((track) => track.readyState === 'ended')")
    assert visit.page.inner_text("#ear") == "microphone off"
