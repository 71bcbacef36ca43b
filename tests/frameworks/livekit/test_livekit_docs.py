"""The code on the page and the example are true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from aiortc import RTCPeerConnection
from livekit.agents import AgentSession

from playback import AudioFormat, PlaybackController

ROOT = Path(__file__).parents[3]


class Participant:
    """Takes a track, as a room's own participant does."""

    async def publish_track(self, track: object, options: object) -> None:
        self.published = track, options


class TelephoneCall:
    """Has what the page uses of a call over a carrier's WebSocket."""

    def __init__(self) -> None:
        self.controller = PlaybackController(AudioFormat(8_000))
        self.incoming = self

    async def samples(self, rate: int) -> AsyncIterator[np.ndarray]:
        assert rate == 16_000
        yield np.full(320, 7, np.int16)


async def test_the_blocks_of_the_page_run():
    page = (ROOT / "docs/frameworks/livekit.md").read_text()
    blocks = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 7
    participant = Participant()
    peer_connection = RTCPeerConnection()
    names = {
        "peer_connection": peer_connection,
        "room": SimpleNamespace(local_participant=participant),
        "session": AgentSession(vad=None, turn_handling={"turn_detection": "manual"}),
        "music": np.zeros(48_000, np.int16),
    }
    for number, block in enumerate(blocks):
        code = compile(block, f"block {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        running = eval(code, names)
        if running is not None:
            await running
    assert participant.published[0] is names["track"]
    call = TelephoneCall()
    names["connect"](names["session"], call)
    frame = await anext(names["session"].input.audio)
    assert (frame.sample_rate, frame.samples_per_channel, bytes(frame.data)) == (16_000, 320, b"\7\0" * 320)
    with pytest.raises(StopAsyncIteration):
        await anext(names["session"].input.audio)
    assert names["session"].output.audio.controller is call.controller
    await names["synchronizer"].aclose()
    await peer_connection.close()


def test_the_example_runs():
    run = subprocess.run(
        [sys.executable, ROOT / "examples/livekit_agent.py"], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "in the history: ['Your table is booked.', 'It is at']" in run.stdout
