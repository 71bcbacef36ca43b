"""A native call in Chromium: what the browser hears, and what is heard of it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np
import pytest

from playback import AudioFormat, PlaybackController, State
from playback.native import NativePeer
from tests.native.calls import RATE, Heard, free_port, native, say, until
from tests.needs import need_module, need_program

need_module("playwright", "pip install playwright", for_module=True)
from playwright.async_api import Page, async_playwright  # noqa: E402 - after the check

FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")

# Offers a tone of 1 kHz, and looks at the spectrum of what comes.
OFFER: Final = """async () => {
  const context = new AudioContext({ sampleRate: 48000 });
  await context.resume();
  const source = context.createOscillator(), mine = context.createMediaStreamDestination();
  source.frequency.value = 1000;
  source.connect(mine);
  source.start();
  const pc = new RTCPeerConnection();
  const analyser = context.createAnalyser();
  analyser.fftSize = 8192;
  pc.ontrack = ({ track }) => {
    const stream = new MediaStream([track]);
    const audio = new Audio();
    audio.srcObject = stream;
    audio.muted = true;
    audio.play();
    context.createMediaStreamSource(stream).connect(analyser);
  };
  pc.addTrack(mine.stream.getTracks()[0], mine.stream);
  const channel = pc.createDataChannel("chat");
  channel.onmessage = ({ data }) => channel.send("echo " + data);
  Object.assign(window, { pc, analyser, channel });
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
}"""
# The frequency that is loudest, and how loud that is, in dB.
LOUDEST: Final = """() => {
  const spectrum = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(spectrum);
  const at = spectrum.indexOf(Math.max(...spectrum));
  return [at * 48000 / analyser.fftSize, spectrum[at]];
}"""
INBOUND: Final = """async () => {
  for (const report of (await pc.getStats()).values()) if (report.type === "inbound-rtp") return report;
}"""


@asynccontextmanager
async def in_chromium(peer: NativePeer) -> AsyncIterator[Page]:
    """A page that has called a peer."""
    need_program("chromium", "Debian package chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        try:
            page = await browser.new_page()
            answer = await peer.answer(await page.evaluate(OFFER))
            await page.evaluate("(sdp) => pc.setRemoteDescription({ type: 'answer', sdp })", answer)
            await until(lambda: peer.state == "connected")
            yield page
        finally:
            await browser.close()
            await peer.close()


async def loudest(page: Page) -> tuple[float, float]:
    hertz, decibels = await page.evaluate(LOUDEST)
    return hertz, -200.0 if decibels is None else decibels


@pytest.mark.timeout(90)
async def test_chromium_hears_speech_and_its_interrupt_and_is_heard() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    peer = native(controller, udp_port=free_port())
    heard = Heard(peer)
    messages: list[Any] = []
    peer.on("channel", lambda channel: (channel.on("message", messages.append), channel.send("hello")))
    async with in_chromium(peer) as page:
        say(controller, 20.0)
        async with asyncio.timeout(20):
            while abs((await loudest(page))[0] - 440) > 12 or (await loudest(page))[1] < -40:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await asyncio.sleep(2.0)
        inbound = await page.evaluate(INBOUND)
        assert inbound["packetsLost"] == 0
        assert inbound["packetsReceived"] > 100
        controller.interrupt()
        async with asyncio.timeout(5):
            while (await loudest(page))[1] > -90:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not controller.buffered
        await until(lambda: messages == ["echo hello"])
        spectrum = np.abs(np.fft.rfft(heard.audio()[-48_000:]))
        assert abs(int(np.argmax(spectrum)) - 1000) < 5
        await page.evaluate("pc.close()")
        await until(lambda: peer.state == "closed")
    assert controller.state is State.CLOSED
