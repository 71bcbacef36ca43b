"""What is reported to the model as heard: by the tracker of this project, and by the session's own estimate.

Both sessions go through the same, at the same time, each over a websocket of its own, each played by a track.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from fake_server import call, speech

from playback.track import PlaybackTrack

AUTOMATIC = {"type": "server_vad", "interrupt_response": True}


class Row(NamedTuple):
    scenario: str
    heard: dict[str, int]
    """Milliseconds of each item that were handed out."""
    reported: dict[str, int | None]
    """Milliseconds at which each item was truncated; None for one that stays whole."""

    @property
    def wrong(self) -> int:
        """Milliseconds that the conversation has too much or too little, the worst item."""
        return max(abs(self.heard[item] - (LENGTH if ms is None else ms)) for item, ms in self.reported.items())


LENGTH = 1_500
"""How much audio each item has, in milliseconds."""


class Scenario:
    """A session, and the track that plays it."""

    def __init__(self, now: Any) -> None:
        self.now = now
        self.server = now.server
        self.controller = now.controller
        self.track = PlaybackTrack(now.controller)

    async def hear(self, milliseconds: int) -> None:
        for _ in range(milliseconds // 20):
            await self.track.recv()


async def one_answer(scenario: Scenario) -> None:
    await scenario.server.say("r1", "a", milliseconds=LENGTH)
    await scenario.now.settled()
    await scenario.hear(400)


async def two_items(scenario: Scenario) -> None:
    await scenario.server.say("r1", "a", "b", milliseconds=LENGTH)
    await scenario.now.settled()
    await scenario.hear(400)


async def late_start(scenario: Scenario) -> None:
    await scenario.server.say("r1", "a", milliseconds=LENGTH)
    await asyncio.sleep(0.5)  # until the media of the call is connected
    await scenario.hear(200)


async def model_stalls(scenario: Scenario) -> None:
    await scenario.server.begin("r1")
    await scenario.server.delta("r1", "a", speech(200))
    await scenario.now.settled()
    await scenario.hear(700)
    await scenario.server.delta("r1", "a", speech(LENGTH - 200))
    await scenario.now.settled()
    await scenario.hear(200)


async def loop_stalls(scenario: Scenario) -> None:
    await one_answer(scenario)
    await asyncio.sleep(0.5)  # nobody reads: the process is busy, or the network is down
    await scenario.hear(100)


async def false_interruption(scenario: Scenario) -> None:
    await scenario.server.say("r1", "a", milliseconds=LENGTH)
    await scenario.now.settled()
    await scenario.hear(300)
    scenario.controller.pause()
    await scenario.hear(600)
    scenario.controller.resume()
    await scenario.hear(100)


async def in_a_pause(scenario: Scenario) -> None:
    await scenario.server.say("r1", "a", milliseconds=LENGTH)
    await scenario.now.settled()
    await scenario.hear(300)
    scenario.controller.pause()
    await scenario.hear(400)


SCENARIOS: dict[str, Callable[[Scenario], Awaitable[None]]] = {
    "one answer, read at once": one_answer,
    "two items, the first one plays": two_items,
    "the call connects 500 ms later": late_start,
    "the model stalls for 500 ms": model_stalls,
    "the reader stalls for 500 ms": loop_stalls,
    "paused for 600 ms, resumed": false_interruption,
    "interrupted in a pause of 400 ms": in_a_pause,
}


async def measure(name: str, tracked: bool) -> Row:
    reports: dict[str, Any] = {}
    async with call(turn_detection=AUTOMATIC, tracked=tracked) as now:
        now.controller.on("utterance_finished", lambda event: reports.update({event.report.id[:-2]: event.report}))
        scenario = Scenario(now)
        await SCENARIOS[name](scenario)
        await scenario.server.user_speaks()
        reported = {item: milliseconds for item, _, milliseconds in await now.answered()}
        scenario.track.stop()
    heard = {item: round(report.played / 48) for item, report in reports.items()}
    return Row(name, heard, {item: reported.get(item) for item in heard})


def shown(values: dict[str, int | None]) -> str:
    return ", ".join("whole" if value is None else str(value) for value in values.values())


PACKAGES = ("openai-agents", "openai")
HEADS = ("the user barges in", "heard, ms", "reported by our tracker", "by the clock")
ROWS = tuple(SCENARIOS)


async def measured() -> AsyncIterator[Sequence[object]]:
    """Each row: what was heard; with this project's tracker, and with the session's own estimate."""
    for name in SCENARIOS:
        ours, theirs = await asyncio.gather(measure(name, True), measure(name, False))
        yield (shown(ours.heard), *(f"{shown(row.reported)} ({row.wrong} ms wrong)" for row in (ours, theirs)))
