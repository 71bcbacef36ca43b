"""Any order of what may happen in a call, and its end in each state: the conversation has what was heard, no more."""

import random
from typing import Any

import pytest
from fake_agent import talk

from playback import Outcome


def sentences(dice: random.Random) -> str:
    """A few, of so few words that many are said again."""
    words = ("one", "two", "three")
    several = [" ".join(dice.choices(words, k=dice.randint(1, 4))) for _ in range(dice.randint(1, 3))]
    return " ".join(f"{sentence.capitalize()}." for sentence in several)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("seed", range(15))
async def test_the_conversation_is_what_was_heard(seed: int, streaming: bool) -> None:
    dice = random.Random(seed)
    reports: list[Any] = []
    errors: list[Any] = []
    async with talk(words=True, streaming=streaming) as now:
        now.controller.on("utterance_finished", lambda event: reports.append(event.report))
        now.controller.on("error", errors.append)
        await now.settled()  # so that the task that writes has begun
        for _ in range(30):
            match dice.choice(["ask", "say", "say at once", "barge in", "pause", "resume", "play", "play"]):
                case "ask":
                    await now.ask(sentences(dice))
                case "say":
                    await now.agent.say(sentences(dice))
                case "say at once":
                    await now.agent.say(sentences(dice), interrupt=True)
                case "barge in":
                    await now.barge_in()
                case "pause":
                    now.controller.pause()
                case "resume":
                    now.controller.resume()
                case "play":
                    now.play(dice.choice([0.02, 0.14, 0.3, 1.0]))
            await now.settled()
        now.controller.resume()
        now.play(30)
        heard = [report.text if report.outcome is Outcome.COMPLETED else report.heard for report in reports]
        assert " ".join(now.said).split() == " ".join(heard).split()
        assert not errors


@pytest.mark.parametrize("state", ["idle", "speaking", "paused", "interrupted", "locked", "closed"])
async def test_shutdown_in_each_state(state: str, caplog: pytest.LogCaptureFixture) -> None:
    async with talk(words=True) as now:
        if state != "idle":
            await now.ask("Your table is booked.")
            now.play(0.14)
        match state:
            case "paused":
                now.controller.pause()
            case "interrupted":
                await now.barge_in()
            case "locked":
                now.controller.lock()
            case "closed":
                now.controller.close()
                await now.ask("Anything else?")
                await now.barge_in()
    assert now.controller.state == "closed"
    assert now.track.readyState == "ended"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
