"""Hanging up behind `drain`: how much of the last second a real peer receives."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController
from playback.opus import OpusPlaybackTrack, prefer_opus
from playback.track import PlaybackTrack
from tests.transports.peers import PATIENCE_SECONDS, RATE, Peers, connected

LOUD = 2000
"""Of full scale 32767; the tone has 8000."""


def tone(seconds: float, rate: int) -> NDArray[np.int16]:
    audio: NDArray[np.float64] = 8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return audio.astype(np.int16)


def heard_ms(peers: Peers) -> int:
    """For how long the tone is there, in what has arrived, looked at in pieces of 5 ms."""
    audio = np.abs(peers.audio())
    pieces = audio[: len(audio) // 240 * 240].reshape(-1, 240)
    return 5 * int((pieces.max(axis=1) > LOUD).sum())


@pytest.mark.portable
@pytest.mark.parametrize("kind", ["frames", "packets"])
@pytest.mark.parametrize("rate", [24_000, RATE])
async def test_goodbye_is_heard_whole(kind: str, rate: int, capsys: pytest.CaptureFixture[str]) -> None:
    heard = {}
    for drains in (False, True):
        controller = PlaybackController(AudioFormat(rate))
        track = PlaybackTrack(controller) if kind == "frames" else OpusPlaybackTrack(controller)
        async with connected(track, prefer_opus) as peers, asyncio.timeout(PATIENCE_SECONDS):
            if kind == "frames":
                await peers.receive(0.02)  # it is connected
            utterance = controller.utterance()
            utterance.push(tone(1.0, rate))
            utterance.end()
            await utterance.wait()
            if drains:
                assert await controller.drain()
            await peers.sender.close()
        heard[drains] = heard_ms(peers)
    with capsys.disabled():
        print(f"\n{kind} at {rate} Hz: {heard[True]} of 1,000 ms, without drain {heard[False]}")
    assert heard[True] >= 990
