"""Agents of the fleet."""

from __future__ import annotations

import os

from playback.serving.call import Call
from tests.serving.agents import talk, tone


async def where(call: Call) -> None:
    """Says in which process it is, and speaks until the caller leaves."""
    call.send(str(os.getpid()))
    await talk(call)


async def brief(call: Call) -> None:
    """Speaks for four seconds, and hangs up."""
    call.send(str(os.getpid()))
    for _ in range(4):
        async with call.controller.utterance() as utterance:
            await utterance.write(tone(1.0))
