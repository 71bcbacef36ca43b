"""The demo's server, with a call of its own beside: it answers a line with how late that one's frames are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys

import numpy as np
import uvicorn

from playback import PlaybackController
from playback.demo import server
from playback.track import PlaybackTrack

LATE: list[float] = []


async def call() -> None:
    """Read frames as a connection does, and note by how many milliseconds each comes after its time."""
    controller = PlaybackController()
    controller.background.add(np.full(48_000, 500, np.int16))
    track = PlaybackTrack(controller)
    clock = asyncio.get_running_loop().time
    skipped: list[float] = []
    controller.on("stalled", lambda event: skipped.append(event.seconds))
    await track.recv()
    due = clock()
    while True:
        await track.recv()
        due += 0.02
        late = clock() - due
        LATE.append(1000 * max(0.0, late))
        due += sum(skipped) + min(0.0, late)  # a stall is late once
        skipped.clear()


def report() -> None:
    """Answer a line."""
    if not os.read(0, 4_096):
        return
    late = np.array(LATE or [0.0])
    LATE.clear()
    figures = {"frames": len(late), "p50": np.percentile(late, 50), "p99": np.percentile(late, 99), "max": late.max()}
    print(json.dumps(figures), flush=True)


class Server(uvicorn.Server):
    """uvicorn's, with the call."""

    async def serve(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        asyncio.get_running_loop().add_reader(0, report)
        task = asyncio.create_task(call())
        try:
            await super().serve(sockets)  # type: ignore[arg-type]
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


if __name__ == "__main__":
    uvicorn.Server = Server  # type: ignore[misc]
    sys.exit(server.run(port=0, open_browser=False))
