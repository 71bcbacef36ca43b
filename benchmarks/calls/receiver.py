"""The other end of many calls, in a process of its own: answers offers, and drops what it is sent.

``python -m benchmarks.calls.receiver`` reads a line of JSON for each offer from its input, ``{"sdp": …}``, and writes
one with the answer. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial

from aioice import ice
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription


async def main() -> None:
    """Answer until nothing more is asked."""
    ice.get_host_addresses = lambda **_: ["127.0.0.1"]
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    connections = []
    while line := await reader.readline():
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.append(connection)
        connection.on("connectionstatechange", partial(drop, connection))
        await connection.setRemoteDescription(RTCSessionDescription(json.loads(line)["sdp"], "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        sys.stdout.write(json.dumps({"sdp": connection.localDescription.sdp}) + "\n")
        sys.stdout.flush()
    await asyncio.gather(*(connection.close() for connection in connections))


async def drop(connection: RTCPeerConnection) -> None:
    """Once it is connected, have it decrypt what comes, and do nothing more: decoding would take a core of its own."""
    if connection.connectionState == "connected":
        for receiver in connection.getReceivers():
            await receiver.stop()


if __name__ == "__main__":
    asyncio.run(main())
