"""Agents of the tests."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import numpy as np

from playback.serving.call import Call

RATE = 48_000


def tone(seconds: float) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Something that is heard."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (8_000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)


async def talk(call: Call) -> None:
    """Speaks until the caller leaves."""
    while True:
        async with call.controller.utterance() as utterance:
            await utterance.write(tone(1.0))


async def greet(call: Call) -> None:
    """Says one thing, and hangs up."""
    async with call.controller.utterance() as utterance:
        utterance.push(tone(1.0))


async def echo(call: Call) -> None:
    """Sends back what it gets."""
    call.send("hello")
    async for message in call.messages():
        call.send(message)


async def listen(call: Call) -> None:
    """Says how much it has heard."""
    assert call.incoming is not None
    samples = 0
    async for piece in call.incoming.samples():
        samples += len(piece)
        if samples > 8_000:
            break
    call.send(f"{samples > 8_000}")
    await call.wait_closed()


async def fail(call: Call) -> None:
    """Raises."""
    raise LookupError("a secret of the caller")


async def ignore(call: Call) -> None:
    """Goes on when it is cancelled."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.sleep(0.5)


async def block(call: Call) -> None:
    """Blocks the loop for a while, then speaks."""
    time.sleep(0.5)  # noqa: ASYNC251 - that is the point
    await greet(call)
