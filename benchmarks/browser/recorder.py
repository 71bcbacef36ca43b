"""A recorder within a page: keeps the sound of a track in pieces, each with when it came. For benchmarks and tests."""

from __future__ import annotations

import base64
from typing import Final

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

# A processor sees what the jitter buffer gives out as it does, 10 ms at a time, where Web Audio has a queue in between.
# Seconds of what comes are kept while the page is busy with something else.
_RECORD: Final = """
() => {
  window.recording = [];
  const [track] = %s.getAudioTracks();
  const pieces = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader();
  let end = 0;
  const keep = ({ done, value }) => {
    if (done) return;
    const arrived = performance.now();
    const samples = new Float32Array(value.numberOfFrames);
    value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
    end += samples.length;
    recording.push({ end, samples, arrived, rate: value.sampleRate });
    value.close();
    pieces.read().then(keep);
  };
  pieces.read().then(keep);
}
"""
_PACK: Final = """
async () => {
  const pieces = %s;
  const bytes = new Uint8Array(await new Blob(pieces.map(({ samples }) => samples)).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return {
    audio: btoa(text),
    ends: pieces.map(({ end }) => end),
    arrived: pieces.map(({ arrived }) => arrived),
    rates: [...new Set(pieces.map(({ rate }) => rate))],
  };
}
"""


def install(page: Page, stream: str) -> None:
    """Put ``recording`` into a page: what it receives is recorded from now on.

    Args:
        page: of Chromium, which is alone in having what this takes.
        stream: the MediaStream whose first audio track is recorded, as an expression in the page. Something else has
            to play it: nobody takes sound out of the jitter buffer for a recorder alone.
    """
    page.evaluate(_RECORD % stream)


def pieces(page: Page, which: str, rate: int) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """What was recorded.

    Args:
        page: where.
        which: the pieces, as an expression in the page.
        rate: of the samples, in Hz.

    Returns:
        The samples, full scale 1; where each piece ends, in samples since the recording began; and when each came, by
        the page's clock, in milliseconds.

    Raises:
        RuntimeError: there is nothing, or it has another rate.
    """
    recorded = page.evaluate(_PACK % which)
    if recorded["rates"] != [rate]:
        raise RuntimeError(f"what was recorded has these rates: {recorded['rates']}, expected {rate} Hz alone")
    samples = np.frombuffer(base64.b64decode(recorded["audio"]), np.float32)
    return samples, np.asarray(recorded["ends"], float), np.asarray(recorded["arrived"], float)
