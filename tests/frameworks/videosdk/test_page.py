"""The page about this framework, and the example: they are true."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import pytest
from videosdk.agents.room import room as rooms

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/frameworks/videosdk.md").read_text()
BLOCKS = re.findall(r"^```py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


async def test_the_blocks_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TeeCustomAudioStreamTrack", "TeeMixingCustomAudioStreamTrack"):
        monkeypatch.setattr(rooms, name, getattr(rooms, name))  # to be put back
    given: list[Any] = []
    names: dict[str, Any] = {
        "VideoSDKHandler": rooms.VideoSDKHandler,
        "pipeline": SimpleNamespace(orchestrator=SimpleNamespace(set_audio_track=given.append)),
        "room_options": {
            "meeting_id": "room",
            "auth_token": "token",
            "name": "Agent",
            "agent_participant_id": "agent",
            "agent_id": "agent",
            "pipeline": None,
            "loop": asyncio.get_running_loop(),
            "owns_session_metrics": False,
        },
    }
    assert len(BLOCKS) == 3
    for block in BLOCKS:
        code = compile(block, "docs/frameworks/videosdk.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        assert isinstance(code, CodeType)
        running = eval(code, names)
        if running is not None:
            await running
    assert given == [names["track"]]
    assert names["room"].audio_track is names["track"]
    assert rooms.TeeCustomAudioStreamTrack.__module__ == "playback.integrations.videosdk.tracks"


def test_the_example_runs() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples/videosdk_agent.py"], capture_output=True, text=True, timeout=60, check=True
    )
    assert "assistant: Your table is booked for eight and we look forward to it\n" in done.stdout
    assert "(interrupted)" in done.stdout
