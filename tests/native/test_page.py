"""The code on the page about native calls works, as it is, with an offer of aiortc."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from tests.native.calls import HERE, PATIENCE

PAGE = Path(__file__).parents[2] / "docs" / "native.md"


async def test_the_code_on_the_page_answers_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no welcome.wav: that utterance fails, and the call goes on
    [block] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    with patch("aioice.ice.get_host_addresses", return_value=[HERE]):
        other = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        other.addTrack(AudioStreamTrack())
        connected = asyncio.Event()
        other.on("connectionstatechange", lambda: connected.set() if other.connectionState == "connected" else None)
        await other.setLocalDescription(await other.createOffer())
        answer = await names["answer"](other.localDescription.sdp)
        await other.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.wait_for(connected.wait(), PATIENCE)
        await other.close()
