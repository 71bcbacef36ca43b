"""The other end of a connection, in a process of its own: it answers the offer of its first line, and listens.

With the argument "speaks" it sends audio, too.
"""

from __future__ import annotations

import ast
import asyncio
import sys
from unittest.mock import patch

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole
from aiortc.mediastreams import AudioStreamTrack


async def main() -> None:
    peer_connection, hole = RTCPeerConnection(RTCConfiguration(iceServers=[])), MediaBlackhole()

    @peer_connection.on("track")
    async def listen(track: MediaStreamTrack) -> None:
        hole.addTrack(track)
        await hole.start()

    offer = ast.literal_eval(sys.stdin.readline())
    await peer_connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    if "speaks" in sys.argv:
        peer_connection.addTrack(AudioStreamTrack())
    await peer_connection.setLocalDescription(await peer_connection.createAnswer())
    print(repr(peer_connection.localDescription.sdp), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with patch("aioice.ice.get_host_addresses", return_value=["127.0.0.1"]):
        asyncio.run(main())
