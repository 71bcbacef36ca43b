"""Any order of what server, user and application may do: each item is truncated once, where it was heard."""

import random
from typing import Any

import pytest
from fake_server import call, speech

from playback import Outcome

AUTOMATIC = {"type": "server_vad", "interrupt_response": True}


@pytest.mark.parametrize("seed", range(20))
async def test_what_was_cut_is_truncated_once_and_what_was_heard_is_not(seed: int) -> None:
    dice = random.Random(seed)
    reports: list[Any] = []
    errors: list[Any] = []
    async with call(turn_detection=AUTOMATIC) as now:
        now.controller.on("utterance_finished", lambda event: reports.append(event.report))
        now.controller.on("error", errors.append)
        responses, is_open = 0, False
        items: list[tuple[str, int]] = []
        actions = [
            "begin",
            "audio",
            "audio",
            "done",
            "end",
            "user",
            "session",
            "button",
            "pause",
            "resume",
            "play",
            "cut",
        ]
        for _ in range(40):
            response = f"r{responses}"
            match dice.choice(actions):
                case "begin" if not is_open:
                    responses, items, is_open = responses + 1, [], True
                    await now.server.begin(f"r{responses}")
                case "audio" if is_open:
                    if not items or dice.random() < 0.4:
                        items.append((f"{response}-{len(items)}", dice.randint(0, 1)))
                    item, index = items[-1]
                    await now.server.delta(response, item, speech(dice.choice([1, 5, 20, 200])), index)
                case "done" if is_open and items:
                    await now.server.done(response, *items[-1])
                case "end" if is_open:
                    is_open = False
                    await now.server.end(response)
                case "user":
                    await now.server.user_speaks()
                case "session":
                    await now.session.interrupt()
                case "button":
                    now.controller.interrupt()
                case "pause":
                    now.controller.pause()
                case "resume":
                    now.controller.resume()
                case "play":
                    now.play(dice.choice([20, 60, 200]))
                case "cut" if now.controller.playing is not None:
                    now.controller.playing.cancel()
            if dice.random() < 0.8:
                await now.settled()
        if is_open:
            await now.server.end(f"r{responses}")
        await now.settled()
        now.controller.resume()
        now.play(9_000)
        truncated = {f"{item}:{index}": milliseconds for item, index, milliseconds in await now.answered()}
        assert len(truncated) == len(now.server.truncated)
        assert truncated == {
            report.id: report.played // 48 for report in reports if report.outcome is not Outcome.COMPLETED
        }
        assert len({report.id for report in reports}) == len(reports)
        assert not now.playback._items
        assert not now.playback._responses
        assert not errors
