"""A voice agent on the telephone: it greets, gives way when the caller speaks, and takes keys.

It needs no carrier, no key and no network: ``playback phone phone_agent:agent`` in this folder serves it on this
machine, and a simulator of a carrier calls it, such as ``streamdouble call ws://127.0.0.1:8080/twilio --audio
hello.wav``. Tones stand for a synthesizer. It needs the extras ``telephony`` and ``vad``.

Press 1 to hear more, # to hang up.
"""

import asyncio

import numpy as np

from playback import AudioFormat
from playback.bargein import BargeIn
from playback.bargein.vad import VoiceActivity

RATE = 24_000
GREETING = "Good morning, this is the restaurant by the lake, how can I help you today?"
MORE = "We open at five every evening."
GOODBYE = "Goodbye."


async def synthesize(text):
    """Stands for a synthesizer that streams: each word is a tone of 200 ms."""
    for number, _ in enumerate(text.split()):
        tone = 8_000 * np.sin(2 * np.pi * (300 + 40 * number) * np.arange(RATE // 5) / RATE)
        yield tone.astype(np.int16).tobytes()
        await asyncio.sleep(0.01)


async def agent(call):
    """Hold one call."""

    def say(text):
        return call.controller.speak(synthesize(text), text=text, format=AudioFormat(RATE))

    policy = BargeIn(call.controller, pause_after_seconds=0.2, min_seconds=0.5)
    policy.on("barge_in", lambda _: print("the caller interrupts", flush=True))
    call.controller.on("utterance_finished", lambda event: print(f"heard: {event.report.heard!r}", flush=True))
    hearing = asyncio.create_task(VoiceActivity(call.incoming, policy).run())
    try:
        say(GREETING)
        async for key in call.dtmf:
            print(f"the caller presses {key}", flush=True)
            call.controller.interrupt()
            if key == "#":
                await say(GOODBYE).wait()
                return
            say(MORE)
    finally:
        hearing.cancel()
        print("the call is over", flush=True)
