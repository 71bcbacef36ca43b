"""A voice agent of LiveKit Agents whose audio plays through a controller, into a track of aiortc.

It needs no room, no network and no key: the synthesizer makes tones. Run it with the extra `livekit` installed.
"""

import asyncio

import numpy as np
from livekit.agents import Agent, AgentSession, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, TimedString

from playback import AudioFormat, PlaybackController
from playback.integrations.livekit import PlaybackAudioOutput
from playback.track import PlaybackTrack

RATE = 24_000


class Tones(tts.TTS):
    """Stands for a synthesizer that sends the times of its words: each word is a tone of 100 ms."""

    def __init__(self):
        capabilities = tts.TTSCapabilities(streaming=True, aligned_transcript=True)
        super().__init__(capabilities=capabilities, sample_rate=RATE, num_channels=1)

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        """A whole text at once."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(self, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        """A text as the model writes it."""
        return ToneStream(tts=self, conn_options=conn_options)


class ToneStream(tts.SynthesizeStream):
    """One text on its way."""

    async def _run(self, output_emitter):
        output_emitter.initialize(
            request_id="tones", sample_rate=RATE, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id="tones")
        text = "".join([piece async for piece in self._input_ch if isinstance(piece, str)])
        for number, word in enumerate(text.split()):
            tone = 8_000 * np.sin(2 * np.pi * (300 + 50 * number) * np.arange(RATE // 10) / RATE)
            output_emitter.push_timed_transcript(TimedString(word + " ", number / 10, (number + 1) / 10))
            output_emitter.push(tone.astype(np.int16).tobytes())
            output_emitter.flush()
        output_emitter.end_segment()


async def call(track, seconds):
    """Stands for a peer connection, which takes a frame every 20 ms."""
    for _ in range(round(seconds * 50)):
        await track.recv()


async def main():
    """A turn to its end, and one that the user interrupts."""
    controller = PlaybackController(AudioFormat(48_000))
    track = PlaybackTrack(controller)  # peer_connection.addTrack(track)

    session = AgentSession(tts=Tones(), vad=None, turn_handling={"turn_detection": "manual"})
    session.output.audio = PlaybackAudioOutput(controller)  # this is the change

    @session.output.audio.on("playback_finished")
    def finished(event):
        how = "interrupted" if event.interrupted else "to its end"
        print(f"played {event.playback_position:.3f} s, {how}: {event.synchronized_transcript!r}")

    await session.start(Agent(instructions="Book tables."), record=False)

    session.say("Your table is booked.")
    await call(track, 0.6)

    answer = session.say("It is at eight, by the window.")
    await call(track, 0.36)
    answer.interrupt()  # the user has barged in
    await call(track, 0.1)

    print("in the history:", [item.text_content for item in session.history.items if item.type == "message"])
    track.stop()
    await session.aclose()


asyncio.run(main())
