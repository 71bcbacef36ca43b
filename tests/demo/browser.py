"""A real browser at the demo's page: the server in a process of its own, and a record of the sound as it arrives."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Playwright, Request, sync_playwright

from benchmarks.browser import recorder
from benchmarks.browser.signals import RATE, Recording
from tests.needs import need_program

PATIENCE_SECONDS: Final = 20.0
SETTLING_SECONDS: Final = 6.0
"""How long a browser's jitter buffer takes to come down to what the connection needs."""

_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
_SERVE: Final = (
    "import sys; from playback.demo.server import run; "
    "run('127.0.0.1', int(sys.argv[1]), open_browser=False, token=(sys.argv[2:] or [None])[0])"
)

# Notes what the page sends, and what it is sent, each with when.
_WATCH: Final = """
window.sent = [];
window.received = [];
const send = RTCDataChannel.prototype.send;
RTCDataChannel.prototype.send = function (data) {
  if (typeof data === "string") sent.push({ when: performance.now(), ...JSON.parse(data) });
  return send.call(this, data);
};
const createDataChannel = RTCPeerConnection.prototype.createDataChannel;
RTCPeerConnection.prototype.createDataChannel = function (...options) {
  const channel = createDataChannel.apply(this, options);
  channel.addEventListener("message", ({ data }) => received.push({ when: performance.now(), ...JSON.parse(data) }));
  return channel;
};
"""


@dataclass
class Visit:
    """A page that is open, and all that went wrong in it."""

    page: Page
    wrong: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what goes wrong from now on."""
        self.page.on("console", lambda message: self._note("console", message.text, message.type == "error"))
        self.page.on("pageerror", lambda error: self._note("page", str(error)))
        self.page.on("requestfailed", self._request_failed)
        self.page.on("response", lambda response: self._note("answer", response.url, response.status >= 400))

    def _request_failed(self, request: Request) -> None:
        # The browser asks for the icon when it likes, and drops that request itself when the page is left meanwhile.
        dropped = request.url.endswith("/icon.svg") and request.failure == "net::ERR_ABORTED"
        self._note("request", f"{request.url}: {request.failure}", not dropped)

    def _note(self, kind: str, text: str, is_wrong: bool = True) -> None:
        if is_wrong:
            self.wrong.append(f"{kind}: {text}")

    def wait(self, script: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until an expression is true in the page."""
        # Not wait_for_function: a page whose policy forbids eval does not let it look more than once.
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(script):
            assert time.monotonic() < deadline, f"never came true: {script}"
            self.rest(0.02)

    def rest(self, seconds: float) -> None:
        """Let time go by."""
        self.page.wait_for_timeout(1000 * seconds)

    def record(self, settling_seconds: float = SETTLING_SECONDS) -> None:
        """Begin to keep what arrives, and let the connection settle."""
        recorder.install(self.page, 'document.querySelector("audio").srcObject')
        self.rest(settling_seconds)

    def await_silence(self) -> None:
        """Wait until the newest fifth of a second of the recording is silent."""
        self.wait("recording.slice(-20).every(({ samples }) => samples.every((sample) => Math.abs(sample) < 0.001))")

    def here(self) -> int:
        """The place in the recording that is reached now, for :meth:`sound`."""
        return int(self.page.evaluate("recording.length"))

    def sound(self, begin: int = 0) -> Recording:
        """What was recorded from a place on; its times are by the page's clock."""
        samples, ends, arrived = recorder.pieces(self.page, f"recording.slice({begin})", RATE)
        return Recording.received(samples, ends, arrived / 1000)

    def received(self, *kinds: str) -> list[dict[str, Any]]:
        """What the server has sent, of some kinds."""
        messages: list[dict[str, Any]] = self.page.evaluate("received")
        return [message for message in messages if message["is"] in kinds]

    def sent(self, do: str) -> list[dict[str, Any]]:
        """The commands of a name that the page has sent."""
        messages: list[dict[str, Any]] = self.page.evaluate("sent")
        return [message for message in messages if message["do"] == do]

    def leaf(self, chart: str = "chart-detail") -> str:
        """The leaf that is lit in a picture."""
        lit: list[str] = self.page.eval_on_selector_all(f"#{chart} .lit", "parts => parts.map((part) => part.id)")
        assert len(lit) == 1, lit
        return lit[0].removeprefix("leaf-")

    def last_edge(self, chart: str = "chart-detail") -> str:
        """The edge that is marked in a picture."""
        marked: list[str] = self.page.eval_on_selector_all(f"#{chart} .last", "parts => parts.map((part) => part.id)")
        assert len(marked) == 1, marked
        return marked[0].removeprefix("edge-")

    def await_leaf(self, *leaves: str) -> str:
        """Wait until one of some leaves is lit."""
        lit = "document.querySelector('#chart-detail .lit')?.id"
        self.wait(f"{json.dumps([f'leaf-{leaf}' for leaf in leaves])}.includes({lit})")
        return self.leaf()

    def press(self, name: str) -> None:
        """Press the button of a name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def say(self, text: str) -> None:
        """Have a text said."""
        self.page.fill("#text", text)
        self.page.click("#say [type=submit]")

    def play(self, path: Path) -> None:
        """Have a sound file played."""
        self.page.set_input_files("#file", path)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serving(token: str | None = None) -> Iterator[str]:
    """The demo's server as a process of its own, with a token or without; gives its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    server = subprocess.Popen([sys.executable, "-c", _SERVE, str(port), *([token] if token else [])])
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                urllib.request.urlopen(address, timeout=1).close()
                break
            except URLError:
                assert server.poll() is None, "the server has ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(PATIENCE_SECONDS)


@contextmanager
def browsing(playwright: Playwright, microphone: Path | None = None) -> Iterator[Browser]:
    """Chromium; where a WAV file is given, that is what its microphone hears, once."""
    need_program("chromium", "Debian package chromium")
    flags = list(_FLAGS)
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def visiting(
    browser: Browser,
    address: str,
    *,
    size: tuple[int, int] = (1440, 900),
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Visit]:
    """The page, connected; at the end nothing may have gone wrong in it.

    Args:
        browser: in which browser.
        address: the server's.
        size: of the window.
        scheme: whether the system is set to light or dark.
    """
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        is_mobile=width < 500,
        has_touch=width < 500,
        permissions=["microphone"],
    )
    context.add_init_script(_WATCH)
    visit = Visit(context.new_page())
    visit.watch()
    try:
        visit.page.goto(address)
        visit.wait("document.querySelector('#status').dataset.status === 'connected'")
        visit.wait("document.querySelector('#chart-detail .lit')")
        yield visit
        wrong = list(visit.wrong)
    finally:
        context.close()
    assert not wrong, wrong


# Signals, and what has become of them


def write_wav(path: Path, samples: NDArray[np.float64], rate: int) -> Path:
    """Write samples, full scale 1, to a file; returns its path."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(32767 * np.clip(samples, -1, 1)).astype("<i2").tobytes())
    return path


def tones(hertz: Sequence[float], seconds: float, rate: int) -> NDArray[np.float64]:
    """Sines, one after the other, each with soft ends."""
    times = np.arange(round(seconds * rate)) / rate
    ends = np.minimum(1.0, np.minimum(times, seconds - times) / 0.005)
    return np.concatenate([0.5 * ends * np.sin(2 * np.pi * each * times) for each in hertz])


def heard_tones(samples: NDArray[np.float32], hertz: Sequence[float]) -> list[tuple[int | None, float]]:
    """Which of some tones follow each other in a recording, None for silence, each with its seconds.

    What lasts for less than 40 ms is where one passes into the next.
    """
    step, size = RATE // 100, RATE // 25
    window = np.hanning(size)
    grid = np.fft.rfftfreq(size, 1 / RATE)
    runs: list[tuple[int | None, float]] = []
    for begin in range(0, len(samples) - size, step):
        piece = samples[begin : begin + size]
        which = None
        if float(np.sqrt((piece**2).mean())) > 0.01:
            peak = grid[int(np.argmax(np.abs(np.fft.rfft(piece * window))))]
            which = int(np.argmin(np.abs(np.asarray(hertz) - peak)))
        if runs and runs[-1][0] == which:
            runs[-1] = (which, runs[-1][1] + 0.01)
        else:
            runs.append((which, 0.01))
    lasting: list[tuple[int | None, float]] = []
    for which, seconds in runs:
        if seconds < 0.035:
            continue
        if lasting and lasting[-1][0] == which:
            lasting[-1] = (which, lasting[-1][1] + seconds)
        else:
            lasting.append((which, seconds))
    return lasting


# Pictures for the documentation: python -m tests.demo.browser docs/pictures


def take_pictures(folder: Path) -> None:
    """Save what the page looks like while it speaks, in a pause, after an interrupt, and on a phone."""
    text = "Your table for two is booked for eight o'clock this evening, in the quiet corner next to the window."
    more = "If you are late, just give us a call, and we will keep it for you until half past."
    folder.mkdir(parents=True, exist_ok=True)
    with serving() as address, sync_playwright() as playwright, browsing(playwright) as browser:
        with visiting(browser, address) as visit:
            visit.say(text)
            visit.await_leaf("idle", "speaking.draining")
            visit.rest(3.4)
            visit.page.screenshot(path=folder / "demo-speaking.png")
            visit.await_leaf("idle")
            visit.say(f"{text} {more}")
            visit.rest(3)
            visit.press("Pause")
            visit.rest(1.2)
            visit.page.screenshot(path=folder / "demo-paused.png")
            visit.press("Resume")
            visit.rest(1.7)
            visit.press("Interrupt")
            visit.rest(1)
            visit.page.screenshot(path=folder / "demo-interrupted.png")
        with visiting(browser, address, scheme="dark") as visit:
            visit.say(f"{text} {more}")
            visit.rest(3)
            visit.press("Pause")
            visit.rest(1)
            visit.press("In detail")
            visit.rest(1)
            visit.page.screenshot(path=folder / "demo-dark.png")
        with visiting(browser, address, size=(390, 844)) as visit:
            visit.say(text)
            visit.rest(3)
            visit.press("Interrupt")
            visit.rest(1)
            visit.page.evaluate("document.querySelector('.say').scrollIntoView()")
            visit.page.screenshot(path=folder / "demo-phone.png")


if __name__ == "__main__":
    take_pictures(Path(sys.argv[1]))
