"""A real peer connection of the framework's own transport, whose audio a controller plays."""

import asyncio

import numpy as np
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole
from pipecat.frames.frames import EndFrame
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat_fakes import conversation, until

from playback import AudioFormat, PlaybackController
from playback.integrations.pipecat import PlaybackOutput, PlaybackPauseFrame, PlaybackResumeFrame
from playback.track import PlaybackTrack


class Peer:
    """A browser: it sends nothing, and hears everything."""

    def __init__(self) -> None:
        self.pc = RTCPeerConnection()
        self.levels: list[int] = []
        self.sink = MediaBlackhole()
        self._tasks: list[asyncio.Task[None]] = []
        self.pc.on("track", lambda track: self._tasks.append(asyncio.create_task(self._hear(track))))

    async def _hear(self, track) -> None:
        while True:
            frame = await track.recv()
            self.levels.append(int(np.abs(frame.to_ndarray()).max()))

    async def connect(self, connection: SmallWebRTCConnection) -> None:
        self.pc.addTransceiver("audio")
        self.pc.createDataChannel("messages")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        await connection.initialize(self.pc.localDescription.sdp, self.pc.localDescription.type)
        answer = connection.get_answer()
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.pc.close()


async def test_small_webrtc_plays_a_controller() -> None:
    connection = SmallWebRTCConnection(ice_servers=[])
    transport = SmallWebRTCTransport(connection, TransportParams(audio_in_enabled=False))
    output = PlaybackOutput(PlaybackController(AudioFormat(48_000), input_timeout_seconds=3.0))
    peer = Peer()

    @transport.event_handler("on_client_connected")
    async def connected(transport, connection) -> None:
        connection.replace_audio_track(PlaybackTrack(output.controller, close_controller=False))

    await peer.connect(connection)
    try:
        async with conversation("One two three four.", output=output, more=(transport.output(),)) as talk:
            await until(lambda: output.controller.position, 10)
            await talk.ask()
            await until(lambda: max(peer.levels, default=0) > 500)
            await talk.queue(PlaybackPauseFrame())
            await asyncio.sleep(0.3)
            assert not any(level > 500 for level in peer.levels[-3:])
            assert talk.below.speaking == [True]
            await talk.queue(PlaybackResumeFrame())
            await until(lambda: talk.messages)
            assert talk.messages == ["One two three four."]
            assert talk.below.speaking == [True, False]
            await talk.worker.queue_frame(EndFrame())
            await until(lambda: talk.below.names(EndFrame))
    finally:
        await peer.close()
        await connection.disconnect()
