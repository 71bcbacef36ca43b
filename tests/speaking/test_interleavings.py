"""Any interleaving of sources that succeed, fail, stall, or are interrupted, cancelled, forgotten or closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, Outcome, Turn, Utterance
from playback.events import FirstAudioByte, TurnFinished, UtteranceFinished
from playback.words import Word
from tests.fuzzing import thorough
from tests.speaking.playing import STALL, Call, Source, Threads, tasks_of_speaking, turns

pytestmark = pytest.mark.fuzz

RATE: Final = 8_000
FRAME: Final = 80
TIMEOUT: Final = 400
"""The input timeout, in samples: whatever never comes is waited for as long as this."""


class BrokenError(Exception):
    """What a source raises."""


class Said(NamedTuple):
    """What one utterance is to say: as samples, each of which names the utterance and its own place."""

    number: int
    items: list[Any]

    @property
    def samples(self) -> list[int]:
        """All that its source sends before it ends, breaks or stalls."""
        return [sample for item in self._sent if isinstance(item, np.ndarray) for sample in item.tolist()]

    @property
    def words(self) -> list[Word]:
        """All words that it sends until then."""
        return [item for item in self._sent if isinstance(item, Word)]

    @property
    def succeeds(self) -> bool:
        """Whether its source comes to its end."""
        return len(self._sent) == len(self.items)

    @property
    def _sent(self) -> list[Any]:
        ends = [place for place, item in enumerate(self.items) if item is STALL or isinstance(item, BrokenError)]
        return self.items[: ends[0]] if ends else self.items


script = st.lists(
    st.one_of(
        st.sampled_from([1, 20, FRAME, 3 * FRAME]),
        st.tuples(st.just("turns"), st.integers(1, 5)),
        st.sampled_from(["word", "word", "error", "stall"]),
    ),
    max_size=5,
)
speaking = st.fixed_dictionaries(
    {
        "script": script,
        "kind": st.sampled_from(["source", "source", "generator", "coroutine", "thread"]),
        "in_turn": st.booleans(),
        "first": st.integers(0, 4).map(lambda number: number == 3),
        "interruptible": st.integers(0, 4).map(lambda number: number != 3),
        "is_kept": st.booleans(),
    }
)
which = st.integers(0, 20)
values = {
    "speak": speaking,
    "read": st.sampled_from([1, 20, FRAME, FRAME, 5 * FRAME]),
    "turns": st.integers(1, 6),
    "open_turn": st.booleans(),
    **dict.fromkeys(["cancel", "end", "fail", "cancel_task"], which),
    "interrupt": st.tuples(st.booleans(), st.booleans()),
}
# What ends much is seldom, or little would ever wait behind anything.
names = [
    *["speak"] * 24,
    *["read", "turns"] * 8,
    *["open_turn", "open_turn", "end_turn", "cancel", "end", "fail", "cancel_task", "pause", "resume", "resume"] * 2,
    *["cancel_turn", "fail_turn", "interrupt", "lock", "unlock", "unlock", "close"],
]


@st.composite
def step(draw: st.DrawFn) -> tuple[str, Any]:
    """One thing that happens."""
    name = draw(st.sampled_from(names))
    return name, draw(values[name]) if name in values else None


steps = st.lists(step(), min_size=15, max_size=50)


class Scenario:
    """A call in which things happen, and what must be true of it."""

    def __init__(self) -> None:
        self.call: Final = Call(
            format=AudioFormat(RATE), input_timeout_seconds=TIMEOUT / RATE, high_water_seconds=2 * FRAME / RATE
        )
        self.said: Final[dict[str, Said]] = {}
        self.sources: Final[list[Source]] = []
        self.closed_generators: Final[list[int]] = []
        self.generators = 0
        self.kept: Final[list[Utterance]] = []
        self.ended: Final[set[str]] = set()
        """Those that the application has ended itself."""
        self.cancelled: Final[set[str]] = set()
        self.turn: Turn | None = None
        self.turns: Final[list[str]] = []
        self.release: Final = threading.Event()
        self.reports: Final[dict[str, Any]] = {}
        self.turn_reports: Final[list[str]] = []
        self.heard_of: Final[list[str]] = []
        self.line: Final[list[tuple[str, list[str]]]] = []
        """What is to play, in order: turns, each with its utterances."""
        controller = self.call.controller
        controller.on("utterance_finished", self._finished)
        controller.on("turn_finished", self._turn_finished)
        controller.on("first_audio_byte", self._first_audio)

    # What is done

    async def act(self, name: str, value: Any) -> None:
        """One step."""
        controller = self.call.controller
        match name:
            case "speak":
                self._speak(**value)
            case "read":
                self.call.read(value)
            case "turns":
                await turns(value)
            case "open_turn" if self.turn is None or not self.turn.is_open:
                self.turns.append(f"turn {len(self.turns)}")
                self.turn = controller.turn(id=self.turns[-1], stop_on_failure=value)
            case "end_turn" if self.turn is not None:
                self.turn.end()
            case "cancel_turn" if self.turn is not None:
                self.turn.cancel()
            case "fail_turn" if self.turn is not None:
                await self.turn.__aexit__(BrokenError, BrokenError(), None)
            case "interrupt":
                controller.interrupt(lock=value[0], force=value[1])
            case "pause" | "resume" | "lock" | "unlock":
                getattr(controller, name)()
            case "close" if len(self.said) > 9:  # late: after it nothing happens
                controller.close()
            case "cancel" | "end" if self.kept:
                utterance = self.kept[value % len(self.kept)]
                if getattr(utterance, name)() and name == "end":
                    self.ended.add(utterance.id)
            case "fail" if self.kept:
                self.kept[value % len(self.kept)].fail(BrokenError())
            case "cancel_task":
                # Not those that close their source already: who cancels that wants it to stay open.
                busy = {f"speaking {name}" for name in self.said if name not in self.reports} - self.cancelled
                tasks = [task for task in asyncio.all_tasks() if task.get_name() in busy]
                if tasks:
                    task = min(tasks, key=asyncio.Task.get_name)
                    self.cancelled.add(task.get_name())
                    task.cancel()

    def _speak(
        self, script: list[Any], kind: str, in_turn: bool, first: bool, interruptible: bool, is_kept: bool
    ) -> None:
        name = f"utterance {len(self.said)}"
        said = self.said[name] = Said(len(self.said), self._items(script, len(self.said)))
        turn = self.turn if in_turn and self.turn is not None else None
        speak = self.call.controller.speak if turn is None else turn.speak
        utterance = speak(
            self._source(said.items, kind),
            id=name,
            text=" ".join(word.text for word in said.words) or "…",
            format=AudioFormat(RATE),
            first=first,
            interruptible=interruptible,
        )
        if utterance.report is None:
            self._place(name, name if turn is None else turn.id, first)
        if is_kept:
            self.kept.append(utterance)

    def _items(self, script: list[Any], number: int) -> list[Any]:
        items: list[Any] = []
        at = 0
        for step in script:
            if step == "word":
                # Each lasts to the end of the samples so far.
                items.append(Word(f"word{len(items)}", at / RATE / 2, at / RATE))
            elif step == "error":
                items.append(BrokenError())
            elif step == "stall":
                items.append(STALL)
            elif isinstance(step, tuple):
                items.append(step[1])
            else:
                items.append(np.arange(at, at + step, dtype=np.int16) % 500 + 1 + 500 * (number % 60))
                at += step
        return items

    def _source(self, items: list[Any], kind: str) -> Any:
        if kind == "thread":
            return self._in_thread(items)
        if kind == "generator":
            return self._generator(items)
        source = Source(*items)
        if kind == "source":
            self.sources.append(source)
            return source

        async def give() -> Source:
            self.sources.append(source)  # where it is cancelled before this, nobody ever gets the source
            return source

        return give()

    async def _generator(self, items: list[Any]) -> AsyncGenerator[Any, None]:
        self.generators += 1
        source = Source(*items)
        try:
            async for item in source:
                yield item
        finally:
            self.closed_generators.append(id(source))

    def _in_thread(self, items: list[Any]) -> Iterator[Any]:
        for item in items:
            if item is STALL:
                self.release.wait()
            elif isinstance(item, BrokenError):
                raise item
            elif not isinstance(item, int):
                yield item

    def _place(self, name: str, turn: str, first: bool) -> None:
        for there, names in self.line:
            if there == turn:
                names.insert(1 if first and names else len(names), name)
                return
        self.line.insert(1 if first and self.line else len(self.line), (turn, [name]))

    # What is notified

    def _finished(self, event: UtteranceFinished) -> None:
        assert event.report.id not in self.reports, "one report each"
        self.reports[event.report.id] = event.report
        for _, names in self.line:
            if event.report.id in names:
                names.remove(event.report.id)

    def _turn_finished(self, event: TurnFinished) -> None:
        assert event.report.id not in self.turn_reports
        self.turn_reports.append(event.report.id)
        self.line[:] = [place for place in self.line if place[0] != event.report.id]

    def _first_audio(self, event: FirstAudioByte) -> None:
        assert event.utterance.id == self.line[0][1][0], "it was the next one by its place"
        self.heard_of.append(event.utterance.id)

    # What must be true

    async def finish(self) -> None:
        """Let all that is under way come to its end, which takes no longer than it may."""
        controller = self.call.controller
        controller.resume()
        if self.turn is not None:
            self.turn.end()
        longest = sum(len(said.samples) + TIMEOUT + 2 * FRAME for said in self.said.values()) + 2 * TIMEOUT
        start = controller.position
        while len(self.reports) < len(self.said):
            assert controller.position - start <= longest, "something waits for ever"
            self.call.read(FRAME)
            await turns(3)
        self.call.read(FRAME)
        await turns()
        assert not tasks_of_speaking()
        assert controller.buffered == 0
        assert controller.state.value in ("idle", "input_locked", "closed")

    def check(self) -> None:
        """Compare what was heard with what was said."""
        assert set(self.turn_reports) >= set(self.turns)
        assert sorted(set(self.turn_reports)) == sorted(self.turn_reports)
        expected = [sample for name in self.heard_of for sample in self.said[name].samples[: self._played(name)]]
        assert self.call.heard == expected, "in the order of their places, each from its beginning"
        assert {name for name in self.said if self._played(name)} == set(self.heard_of)
        assert [source.closed for source in self.sources] == [1] * len(self.sources)
        assert len(self.closed_generators) == self.generators
        assert not self.call.named("error")
        for name, said in self.said.items():
            self._check_report(said, self.reports[name])

    def _played(self, name: str) -> int:
        return int(self.reports[name].played)

    def _check_report(self, said: Said, report: Any) -> None:
        assert report.accepted == report.played + report.discarded
        heard = (report.heard or "").split()
        ended = [word.text for word in said.words if word.end is not None and word.end * RATE <= report.played]
        if report.outcome is Outcome.COMPLETED and report.played:
            assert report.heard == report.text
            assert report.error is None
        else:
            assert set(heard) <= set(ended), "never more than what sounded"
        if report.outcome is Outcome.FAILED:
            assert report.error is not None
        if report.outcome is Outcome.COMPLETED and report.id not in self.ended:
            assert said.succeeds
            assert report.played == len(said.samples)


@given(steps=steps)
@thorough(200)
def test_any_interleaving(steps: list[tuple[str, Any]]) -> None:
    threads = Threads()
    scenario = Scenario()

    async def play() -> None:
        for step in steps:
            await scenario.act(*step)
        await scenario.finish()
        scenario.check()
        scenario.kept.clear()

    try:
        asyncio.run(play())
    finally:
        scenario.release.set()
    threads.join()
