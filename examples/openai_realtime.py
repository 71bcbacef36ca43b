"""OpenAI Agents: a realtime session whose audio is played by a controller, and that knows what was heard.

It runs offline: a server in this file stands for OpenAI's, and a loop that reads frames for the peer connection.

    pip install 'voice-playback[openai]'
    python examples/openai_realtime.py
"""

import asyncio
import base64
import json
import os
from typing import Any

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"

import websockets
from agents.realtime import RealtimeAgent, RealtimeRunner

from playback import PlaybackController
from playback.integrations.openai import RealtimePlayback
from playback.track import PlaybackTrack


async def main() -> None:
    """A call: an answer, a cough, a barge-in."""
    async with websockets.serve(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        controller = PlaybackController()
        track = PlaybackTrack(controller)  # peer_connection.addTrack(track)

        # The change: the playback is the session's tracker, and hears what its model says.
        playback = RealtimePlayback(controller)
        session = await RealtimeRunner(RealtimeAgent(name="Receptionist")).run(
            model_config={"url": f"ws://127.0.0.1:{port}", "headers": {}, "playback_tracker": playback}
        )
        playback.attach(session)

        controller.on("state_changed", show)
        async with session:
            await session.send_message("Book a table for eight, please.")
            async for event in session:
                if event.type == "agent_end":
                    break  # all of it has come; none of it was heard
            await hear(track, 0.6)

            controller.pause()  # was that a cough?
            await hear(track, 0.4)
            controller.resume()  # it was: not a sample is lost
            await hear(track, 0.3)

            await session.interrupt()  # no: the user says something
            await hear(track, 0.2)
        track.stop()


def show(event: Any) -> None:
    """Print a change of state."""
    if event.new is not event.old:
        print(f"{event.position / 48_000:5.2f} s  {event.new}")


async def hear(track: PlaybackTrack, seconds: float) -> None:
    """Stand for the peer connection."""
    for _ in range(round(seconds * 50)):
        await track.recv()


async def speak(socket: Any) -> None:
    """Stand for OpenAI: answer with two items of a second, faster than they are heard."""
    response = {"id": "response_1", "object": "realtime.response"}

    async def send(type: str, **content: Any) -> None:
        await socket.send(json.dumps({"type": type, "event_id": "event_1", **content}))

    async for text in socket:
        message = json.loads(text)
        match message["type"]:
            case "response.create":
                await send("response.created", response=response)
                for item in ("item_1", "item_2"):
                    where = {"response_id": response["id"], "item_id": item, "output_index": 0, "content_index": 0}
                    delta = base64.b64encode(b"\x00\x10" * 24_000).decode()
                    await send("response.output_audio.delta", delta=delta, **where)
                    await send("response.output_audio.done", **where)
                await send("response.done", response={**response, "status": "completed"})
            case "conversation.item.truncate":
                print(f"        {message['item_id']} is truncated at {message['audio_end_ms']} ms")


if __name__ == "__main__":
    asyncio.run(main())
