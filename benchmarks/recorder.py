"""A recorder within a page: keeps the sound of a stream in pieces, each with when it came. For benchmarks and tests."""

from __future__ import annotations

import base64
from typing import Final

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

# A piece has 2,048 samples: each costs the page a message, and the best of a second's pieces set the clock.
_WORKLET: Final = """
registerProcessor("recorder", class extends AudioWorkletProcessor {
  samples = new Float32Array(2048);
  count = 0;

  process([[channel]]) {
    if (channel) this.samples.set(channel, this.count);
    else this.samples.fill(0, this.count, this.count + 128);
    this.count += 128;
    if (this.count === this.samples.length) {
      this.port.postMessage({ end: currentFrame + 128, samples: this.samples });
      this.count = 0;
    }
    return true;
  }
});
"""
_RECORD: Final = """
async ([rate, worklet]) => {
  const context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  await context.audioWorklet.addModule(`data:text/javascript,${encodeURIComponent(worklet)}`);
  const recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
  window.recording = [];
  recorder.port.onmessage = ({ data }) => recording.push({ ...data, arrived: performance.now() });
  window.context = context;
  window.recorder = recorder;
}
"""
_PACK: Final = """
async () => {
  const pieces = %s;
  const bytes = new Uint8Array(await new Blob(pieces.map(({ samples }) => samples)).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return { audio: btoa(text), ends: pieces.map(({ end }) => end), arrived: pieces.map(({ arrived }) => arrived) };
}
"""


def install(page: Page, rate: int) -> None:
    """Put ``context``, ``recorder`` and ``recording`` into a page; what is connected to the recorder is recorded.

    Args:
        page: its policy must not forbid worklets.
        rate: of the samples, in Hz.
    """
    page.evaluate(_RECORD, [rate, _WORKLET])


def pieces(page: Page, which: str) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """What was recorded.

    Args:
        page: where.
        which: the pieces, as an expression in the page.

    Returns:
        The samples, full scale 1; where each piece ends, in samples since the recording began; and when each came, by
        the page's clock, in milliseconds.
    """
    told = page.evaluate(_PACK % which)
    samples = np.frombuffer(base64.b64decode(told["audio"]), np.float32)
    return samples, np.asarray(told["ends"], float), np.asarray(told["arrived"], float)
