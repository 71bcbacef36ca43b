"""The code on the page and the example are true."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from aiortc import RTCPeerConnection
from livekit.agents import AgentSession

ROOT = Path(__file__).parents[3]


class Participant:
    """Takes a track, as a room's own participant does."""

    async def publish_track(self, track: object, options: object) -> None:
        self.published = track, options


async def test_the_blocks_of_the_page_run():
    page = (ROOT / "docs/frameworks/livekit.md").read_text()
    blocks = re.findall(r"^```py\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
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
    await names["synchronizer"].aclose()
    await peer_connection.close()


def test_the_example_runs():
    run = subprocess.run(
        [sys.executable, ROOT / "examples/livekit_agent.py"], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert "in the history: ['Your table is booked.', 'It is at']" in run.stdout
