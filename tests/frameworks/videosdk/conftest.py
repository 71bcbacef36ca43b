"""Nothing here reaches for a network."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from videosdk_fakes import Call, calling

from playback.integrations.videosdk import TeeCustomAudioStreamTrack


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.getaddrinfo

    def local_only(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("127.0.0.1", "localhost", "::1", None):
            raise OSError(f"{host} is not to be reached in a test")
        return original(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", local_only)


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    async with calling(TeeCustomAudioStreamTrack(asyncio.get_running_loop())) as call:
        yield call
