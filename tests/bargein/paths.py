"""Short sequences that come by every cell of BARGE_IN, with a policy and its model side by side.

Each is a context that leads to a leaf, then a probe, then a sequel that brings to light what the probe has left behind.
A sequence is written in words; a tick is a tenth of a second:

    ==================== ==================================================================
    ``t3``               three ticks pass: so much is read, and the clock goes on
    ``r1``               so much is read at once
    ``a9``               the agent says nine ticks of speech
    ``A9``               the same and half a tick more, which may not be interrupted
    ``g2`` ``end``       open an utterance or go on with it, by two ticks of speech · end it
    ``turn`` ``over``    begin a turn, to which what the agent says belongs · end it
    ``s`` ``s2``         the user begins to speak · has begun two ticks ago
    ``e`` ``e2``         the user falls silent · has fallen silent two ticks ago
    ``no`` ``few``       a final transcript that means it · a first word of one
    ``mm`` ``hm``        a transcript that is a backchannel so far · that is one
    ``er`` ``uh``        a transcript without words so far · that is final
    ``release``          somebody ends the policy's hold
    ``stop``             the policy is stopped
    ==================== ==================================================================

and ``pause``, ``resume``, ``interrupt``, ``close`` of the controller.
"""

from __future__ import annotations

import functools
import itertools
import re
import sys
from collections.abc import Iterable
from math import inf
from typing import Any, Final, NamedTuple

import numpy as np

from playback import AudioFormat, Fades, PlaybackController, Turn, Utterance
from playback.bargein import EVENTS
from statecharts import Chart
from statecharts.machine import WATCHERS
from tests.bargein.clock import Clock
from tests.bargein.model import HOLD, ModelPolicy

TICK: Final = 0.1
RATE: Final = 8_000

CONTEXTS: Final = {
    "idle": ("", "a1 t2", "s t1 e", "a9 t3 no t1", "A1 a9 t1"),
    "quiet": ("t7", "a1 t9"),
    "user": ("s", "s t3", "a9 t3 s t5", "a9 t1 s t1 close", "s A1 a9 t1"),
    "agent.ready": ("a9", "s t1 a9 t1 e hm"),
    "agent.early": ("a9 t1", "g9 t1", "turn a9 t1", "s t1 a20 t1 e hm t1", "g1 t1 r1 g9", "A a9 t1"),
    "agent.settled": ("a20 t3", "a20 t3 s t1 e hm t1", "g20 t3"),
    "agent.gap": ("g2 t3", "turn a2 t3"),
    "both.early": ("a20 t1 s", "g9 t1 s", "g1 t1 s"),
    "both.released": ("s t1 a20 t1 release", "a20 t3 s t3 release"),
    "lowered.speaking": (
        "a20 t3 s",
        "g9 t3 s t1",
        "a20 t1 s t1",
        # It was reported late: it began before the agent went on, but after the agent's first audio had arrived.
        "g2 t3 g9 t1 s3",
        "a20 t3 s t2 e hm t1 s3",
        "a20 t3 s t2 e uh t1 s3",
    ),
    "lowered.listening": ("a20 t3 s mm", "a20 t3 s t3 mm", "g9 t3 s t1 mm"),
    "lowered.silent": ("a20 t3 s t1 e", "g5 t3 s mm e"),
    "held.speaking": ("a20 t3 s t2", "a20 t3 s few", "a20 t1 s2", "g4 t3 s t2"),
    "held.silent": ("a20 t3 s t2 e", "a20 t3 s few e"),
    "waiting.speaking": ("s t1 a20 t1", "s t1 g3 t1", "turn a2 t3 s"),
    "waiting.listening": ("s t1 a20 t1 mm", "turn a2 t3 s mm"),
    "waiting.silent": ("s t1 a20 t1 e", "turn a2 t3 s t1 e"),
    "stopped": ("stop", "a20 t3 s t2 stop", "a20 t3 stop", "s stop"),
}
"""For each leaf of the chart, how it is come by, with the settings ``usual``."""

PROBES: Final = (
    "t1",
    "t3",
    "t5",
    "t9",
    "s",
    "s2",
    "e",
    "e2",
    "no",
    "few",
    "mm",
    "hm",
    "er",
    "uh",
    "stop",
    "a5",
    "A5",
    "g3",
    "end",
    "a2 t1",
    "pause",
    "resume",
    "release",
    "interrupt",
    "close",
    "over",
    "s t3 e",
)
"""What is done there: everything that a user, an agent and an application can do."""

SEQUELS: Final = (
    "t2 e t4 a20 t3 s t3 few t1 no t2",
    "e t1 s t2 hm t2 mm t9",
    "t1 few t1 mm t1 e t1 hm a9 t9 t9",
    "no t1 s2 t3 e t4 a9 t1 stop t2",
    "t5 release t1 e t9",
)


class Times(NamedTuple):
    """The settings of a policy."""

    pause_after_seconds: float = 1.5 * TICK
    min_seconds: float = 3.5 * TICK
    max_backchannel_seconds: float = 6.5 * TICK
    false_after_seconds: float = 2.5 * TICK
    guard_seconds: float = 1.5 * TICK
    silence_seconds: float = 6 * TICK


SETTINGS: Final = {
    "usual": Times(),
    "pauses at once": Times(pause_after_seconds=0.0),
    "only lowers": Times(pause_after_seconds=inf, guard_seconds=0.0),
}
TRANSCRIPTS: Final = {
    "no": ("stop that", True),
    "few": ("stop", False),
    "mm": ("yes", False),
    "hm": ("Yes.", True),
    "er": ("", False),
    "uh": ("", True),
}
DECIDED: Final = tuple(name for name in EVENTS if not name.startswith("agent_turn"))

_WORD: Final = re.compile(r"([a-zA-Z]+?)(\d*)")


class Stop(NamedTuple):
    """One sequence, and in which of the :data:`SETTINGS` it is walked."""

    sequence: str
    settings: str


class World:
    """A controller with a policy, or with the model of one.

    Args:
        policy: which of them.
        times: its settings.
    """

    def __init__(self, policy: Any, times: Times) -> None:
        self.clock = Clock()
        self.controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0), input_timeout_seconds=None)
        self.policy = policy(self.controller, timer=self.clock, backchannels=["yes"], **times._asdict())
        self.turn: Turn | None = None
        self.open: Utterance | None = None
        self.emitted: list[Any] = []
        self._looked = 0
        if isinstance(self.policy, ModelPolicy):
            self.emitted = self.policy.emitted
        else:
            for name in DECIDED:
                self.policy.on(name, self.emitted.append)

    def do(self, word: str) -> None:
        """Do what one word says."""
        match = _WORD.fullmatch(word)
        if match is None:
            raise ValueError(f"{word!r} is no action")
        name, number = match[1], int(match[2] or 0)
        match name:
            case "t":
                for _ in range(number):
                    self.controller.read(round(TICK * RATE))
                    self.clock.advance_to(round(self.clock.now + TICK, 6))
            case "r":
                self.controller.read(round(number * TICK * RATE))
            case "a" | "A":
                half = 0.5 if name == "A" else 0.0  # it ends within a read, in which the next one begins
                self._push(self._utterance(interruptible=not half), number + half).end()
            case "g":
                self.open = self.open or self._utterance()
                self._push(self.open, number)
            case "end":
                if self.open is not None:
                    self.open.end()
                self.open = None
            case "turn":
                self.turn = self.controller.turn()
            case "over":
                if self.turn is not None:
                    self.turn.end()
                self.turn = None
            case "s":
                self.policy.speech_started(number * TICK)
            case "e":
                self.policy.speech_ended(number * TICK)
            case _ if name in TRANSCRIPTS:
                text, final = TRANSCRIPTS[name]
                self.policy.transcript(text, final=final)
            case "release":
                self.controller.resume(by=HOLD)
            case "stop":
                self.policy.stop()
            case "pause" | "resume" | "interrupt" | "close":
                getattr(self.controller, name)()
            case _:
                raise ValueError(f"{word!r} is no action")

    def _utterance(self, **options: Any) -> Utterance:
        if self.turn is not None and self.turn.is_open:
            return self.turn.utterance(**options)
        return self.controller.utterance(**options)

    def _push(self, utterance: Utterance, ticks: float) -> Utterance:
        utterance.push(np.ones(round(ticks * TICK * RATE), np.int16))
        return utterance

    def look(self) -> tuple[object, ...]:
        """What a user of the policy sees: the state of things, and what was emitted since the last look."""
        controller = self.controller
        state = (controller.leaf, controller.holds, controller.buffered, controller.position, round(controller.gain_db))
        events = [event.as_dict() for event in self.emitted[self._looked :]]
        for event in events:
            event.pop("wall_time", None)  # no policy decides it, and the model's events have none
        self._looked = len(self.emitted)
        return (self.policy.leaf, *state, events)


def itinerary(leaves: Iterable[str] = tuple(CONTEXTS)) -> list[Stop]:
    """Every probe in every context of these leaves; sequels and other settings take turns."""
    stops = []
    sequels, settings = itertools.cycle(SEQUELS), itertools.cycle(SETTINGS)
    for context, probe in itertools.product((context for leaf in leaves for context in CONTEXTS[leaf]), PROBES):
        stops.append(Stop(f"{context} {probe} {next(sequels)}", "usual"))
        stops.append(Stop(f"{context} {probe} {next(sequels)}", next(settings)))
    return stops


def walk(stop: Stop, policy: Any = None) -> World:
    """Take one sequence of actions, and compare the policy with its model after each.

    Args:
        stop: the sequence.
        policy: what is compared; by default :class:`playback.bargein.BargeIn` as it is imported by then, which a judge
            of mutants may have done anew.

    Raises:
        AssertionError: they differ; this and any other exception has a note that says where.
    """
    times = SETTINGS[stop.settings]
    policy = policy or sys.modules["playback.bargein"].BargeIn
    world, model = World(policy, times), World(ModelPolicy, times)
    for number, word in enumerate(stop.sequence.split(), start=1):
        try:
            model.do(word)
            world.do(word)
            assert world.look() == model.look()
        except Exception as error:
            error.add_note(f"at word {number}, {word!r}, of {stop}")
            raise
    return world


@functools.cache
def asked(leaf: str) -> frozenset[tuple[str, str]]:
    """The cells that the sequences ask which come by one leaf."""
    cells: set[tuple[str, str]] = set()

    def watch(chart: Chart, leaf: str, event: str) -> None:
        if chart.name == "barge_in":
            cells.add((leaf, event))

    WATCHERS.add(watch)
    try:
        for stop in itinerary([leaf]):
            walk(stop)
    finally:
        WATCHERS.remove(watch)
    return frozenset(cells)
