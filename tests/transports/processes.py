"""A peer in a process of its own, which may be stopped, continued and killed."""

from __future__ import annotations

import ast
import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from aiortc import RTCPeerConnection, RTCSessionDescription

OTHER_END: Final = Path(__file__).with_name("other_end.py")


@asynccontextmanager
async def another_end(peer_connection: RTCPeerConnection, *options: str) -> AsyncIterator[Process]:
    """A process that has answered the offer of a connection; killed at the end.

    Args:
        peer_connection: what it is connected to.
        options: of the process: ``"speaks"`` for one that sends audio, too.
    """
    process = await asyncio.create_subprocess_exec(sys.executable, str(OTHER_END), *options, stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await peer_connection.setLocalDescription(await peer_connection.createOffer())
        process.stdin.write(repr(peer_connection.localDescription.sdp).encode() + b"\n")
        answer = (await process.stdout.readline()).decode()
        await peer_connection.setRemoteDescription(RTCSessionDescription(ast.literal_eval(answer), "answer"))
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
