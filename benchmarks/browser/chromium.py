"""A listener in a real browser: headless Chromium that receives one audio track and records what it plays.

Everything stays on the loopback interface, and no server is needed: the page is made up, and offer and answer pass
through the browser driver.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.browser import recorder
from benchmarks.browser.signals import RATE, Delays, Recording, mean_delays

PATIENCE_SECONDS: Final = 20.0
STATS_SECONDS: Final = 0.1

_ADDRESS: Final = "http://localhost/"
"""Nobody listens there: the driver answers. Worklets are for secure contexts, and about:blank is none."""
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",  # a name would have to be looked up on the network
)

# The audio element makes Chromium pull the sound: without it a recorder gets nothing.
_OFFER: Final = """
async () => {
  window.peer = new RTCPeerConnection({ iceServers: [] });
  peer.addTransceiver("audio", { direction: "recvonly" });
  window.audio = new Audio();
  audio.autoplay = true;
  peer.ontrack = ({ track }) => { audio.srcObject = new MediaStream([track]); };
  await peer.setLocalDescription();
  while (peer.iceGatheringState !== "complete") await new Promise((resolve) => setTimeout(resolve, 20));
  return peer.localDescription.sdp;
}
"""
_ACCEPT: Final = """
async (sdp) => {
  await peer.setRemoteDescription({ type: "answer", sdp });
  await audio.play();
}
"""

_FOLLOW: Final = """
(milliseconds) => {
  window.figures = [];
  window.following = setInterval(async () => {
    for (const report of (await peer.getStats()).values()) {
      if (report.type !== "inbound-rtp") continue;
      figures.push([performance.now(), report.jitterBufferDelay, report.jitterBufferEmittedCount]);
    }
  }, milliseconds);
}
"""
_FIGURES: Final = "() => { clearInterval(following); return figures; }"


class Listener:
    """A page that receives a track.

    Args:
        page: an empty page, of a secure context.
        answer: takes an offer's SDP to whoever sends, and returns the answer's.

    Raises:
        RuntimeError: the connection was not made.
    """

    def __init__(self, page: Page, answer: Callable[[str], str]) -> None:
        self._page: Final = page
        page.evaluate(_ACCEPT, answer(loopback_only(page.evaluate(_OFFER))))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (state := page.evaluate("peer.connectionState")) != "connected":
            if time.monotonic() > deadline:
                raise RuntimeError(f"the connection is {state!r}, expected 'connected'")
            self.rest(0.05)
        recorder.install(page, "audio.srcObject")

    def rest(self, seconds: float) -> None:
        """Let time go by."""
        self._page.wait_for_timeout(1000 * seconds)

    def begin(self) -> None:
        """Record anew."""
        self._page.evaluate("() => { recording.splice(0) }")

    def take(self) -> Recording:
        """What was recorded since the beginning, or since it was taken last.

        Raises:
            RuntimeError: nothing was, or at another rate.
        """
        samples, ends, arrived = recorder.pieces(self._page, "recording.splice(0)", RATE)
        return Recording.received(samples, ends, arrived / 1000 - self._ahead())

    def follow_delay(self) -> None:
        """Begin to note how long the jitter buffer holds what it gives out."""
        self._page.evaluate(_FOLLOW, 1000 * STATS_SECONDS)

    def delays(self) -> Delays:
        """What was noted, and no more of it from now on."""
        figures = np.asarray(self._page.evaluate(_FIGURES), float).reshape(-1, 3)
        return mean_delays(figures[:, 0] / 1000 - self._ahead(), figures[:, 1], figures[:, 2])

    def clock_error_ms(self) -> float:
        """By how much the page's clock may be mapped wrongly: half of the shortest way there and back."""
        return 500 * min(back - sent for sent, _, back in self._round_trips())

    def _ahead(self) -> float:
        """By how many seconds the page's clock is ahead of this process's.

        Both are the system's monotonic clock, from different beginnings: nothing drifts.
        """
        sent, page, back = min(self._round_trips(), key=lambda trip: trip[2] - trip[0])
        return page - (sent + back) / 2

    def _round_trips(self) -> list[tuple[float, float, float]]:
        trips = []
        for _ in range(20):
            sent = time.monotonic()
            page = self._page.evaluate("performance.now()") / 1000
            trips.append((sent, page, time.monotonic()))
        return trips


@contextmanager
def browsing() -> Iterator[Browser]:
    """Chromium, headless.

    Raises:
        FileNotFoundError: it is not installed.
    """
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("there is no chromium: install the Debian package of that name")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def listening(browser: Browser, answer: Callable[[str], str]) -> Iterator[Listener]:
    """A new page that receives a track, connected, recording.

    Args:
        browser: in which browser.
        answer: takes an offer's SDP to whoever sends, and returns the answer's.

    Raises:
        RuntimeError: the connection was not made.
    """
    page = browser.new_page()
    try:
        page.route(_ADDRESS, lambda route: route.fulfill(body="<title>A listener</title>", content_type="text/html"))
        page.goto(_ADDRESS)
        yield Listener(page, answer)
    finally:
        page.close()


def loopback_only(sdp: str) -> str:
    """An offer without the addresses that other machines can reach."""
    lines = sdp.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("a=candidate") or " 127.0.0.1 " in line)
