"""A session that is closed in each state: nobody waits for ever, and each segment has had its one end."""

from __future__ import annotations

import asyncio

import pytest
from livekit_fakes import calling, until

STATES = ["idle", "synthesized", "speaking", "paused", "queued", "interrupted", "locked", "closed"]


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("state", STATES)
async def test_shutdown_in_each_state(state, reads):
    async with calling("Your table is booked.") as call:
        if state != "idle":
            speech = call.session.generate_reply(user_input="Is there a table?")
            await until(lambda: call.controller.buffered)
        if state not in ("idle", "synthesized"):
            await call.listen_until(lambda: call.session.agent_state == "speaking")
        match state:
            case "paused":
                call.output.pause()
            case "queued":
                call.session.say("Anything else?")
            case "interrupted":
                speech.interrupt()
            case "locked":
                call.controller.lock()
            case "closed":
                call.controller.close()
        closing = asyncio.create_task(call.session.aclose())
        if reads:
            await call.listen_until(closing.done)
        await asyncio.wait_for(closing, 10)
        assert len(call.finished) == call.output.captured_playout_segments == (state != "idle")
        assert all(event.interrupted for event in call.finished)
        await asyncio.wait_for(call.output.wait_for_playout(), 1)


async def test_an_output_that_was_left_in_a_pause_serves_the_next_session():
    async with calling("Your table is booked.") as call:
        call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        call.output.pause()
        await asyncio.wait_for(call.session.aclose(), 10)
        assert call.controller.state == "paused"
        async with calling("It is at eight.", controller=call.controller) as other:
            await other.play_out(other.session.generate_reply(user_input="When?"))
            assert other.said == [("It is at eight.", False)]
            assert [event.interrupted for event in other.finished] == [False]
