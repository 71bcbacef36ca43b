"""The real controller in every configuration that a few handles of a few samples can bring it into."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import pytest

from playback import PLAYBACK, AudioFormat, Fades, Outcome, PlaybackController, State, Utterance
from playback.events import EVENTS, Event, FirstAudioByte, LastAudioByte, UtteranceFinished
from statecharts import IMPOSSIBLE, Chart
from statecharts.explore import Exploration, ExplorationError, explore
from statecharts.machine import WATCHERS
from tests.core import paths

pytestmark = pytest.mark.timeout(600)  # half a minute of computing each, and the machine may have other work

RATE: Final = 8_000
TAIL: Final = 2
SAMPLE: Final = np.array([1_000], np.int16)
SAMPLED: Final = 100

COMMANDS: Final = ("pause", "resume", "interrupt", "interrupt and lock", "lock", "unlock", "close")
"""What is done to the controller."""
OTHERS: Final = ("pause", "resume", "interrupt")
"""What another owner of a hold does, too."""

SILENCING: Final = frozenset({"pause", "interrupt", "interrupt and lock", "force", "close"})

RESTS: Final = frozenset({"idle", "input_locked", "closed"} | {leaf for leaf in PLAYBACK.leaves if "paused" in leaf})
"""Where reading leads, unless a producer holds an utterance open."""

SETTINGS: Final[Mapping[str, dict[str, Any]]] = {
    "cuts": {"pushes": 2},
    "ramps": {"pause_samples": 1, "resume_samples": 1},
    "uninterruptible": {"interruptible": False},
    # A tail long enough to be cut in the middle, and to sound on beneath whatever comes next.
    "two owners": {"slots": 1, "pushes": 2, "owners": 2, "pause_samples": 1},
    "whole tails": {"slots": 1, "pushes": 3, "pause_samples": 1, "resume_samples": 1},
    "underruns": {"slots": 1, "pushes": 3, "underrun_samples": 2},
    # The first two samples are a word, and as long a fade-out follows it.
    "words": {"slots": 1, "pushes": 4, "pause_samples": 1, "word": 2},
    # What was read is heard when it is confirmed: one utterance may be read while another one is still to be heard.
    "confirming": {"slots": 1, "pushes": 2, "lead": 2},
    "two confirmed": {"lead": 1},
}

SLOW: Final = frozenset({"cuts", "two confirmed"})
"""The settings with so many configurations that they are explored at night."""

Action = tuple[str, int]
"""What is done, and to which slot; -1 for the controller, -2 for the same by another owner."""


class Handle(NamedTuple):
    """What matters of a slot's utterance; a finished one has no place and nothing else."""

    condition: str
    interruptible: bool = True
    place: int = -1
    accepted: int = 0
    played: int = 0
    read: int = 0
    begun: bool = False
    ended: bool = False
    cut_short: bool = False
    yields: tuple[int, bool, bool] | None = None
    """How much of it was dropped if it ends with its word, whether it was truncated, and what follows its fade-out."""


class Configuration(NamedTuple):
    """What matters for whatever comes next."""

    leaf: str
    handles: tuple[Handle, ...]
    holds: tuple[str, ...] = ()
    tail: int = 0
    speaking: bool = False
    held: bool = False
    fading: bool = False
    presence: tuple[float, float, int] = (1.0, 1.0, 0)
    unheard: tuple[int, ...] = ()
    """Of each sample that was read and not heard the place of its utterance, or -1."""
    unheard_sound: int = 0
    """How many of them there are until the last that sounds."""


@dataclass
class Setting:
    """One kind of environment to explore, and what was met in it."""

    slots: int = 2
    pushes: int = 1
    """How many samples each handle may push."""
    owners: int = 1
    """How many pause, resume and interrupt."""
    pause_samples: int = 0
    resume_samples: int = 0
    underrun_samples: int = 0
    interruptible: bool = True
    """Whether the first slot's handles are; an interrupt is forced only where they are not."""
    word: int = 0
    """How many samples of each handle are a word that an interrupt may let end."""
    lead: int = 0
    """How many samples a reader that confirms reads ahead; 0 is one that does not."""
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each cell was asked, in the whole exploration."""
    failures: dict[str, str] = field(default_factory=dict)
    """What did not hold in some step, by the name of the check, with the shortest way there."""


class Reader:
    """A reader that confirms, of which nothing more was heard when it is asked.

    Args:
        controller: what it reads.
    """

    def __init__(self, controller: PlaybackController) -> None:
        self.controller = controller
        self.read = self.confirmed = 0

    def confirm(self) -> bool:
        """Confirm one sample more, if there is one."""
        if self.confirmed == self.read:
            return False
        self.confirmed += 1
        self.controller.confirm(self.confirmed)
        return True

    def recall(self) -> int:
        """Drop what was not heard."""
        self.read = self.confirmed
        return self.read


class Playout:
    """A controller with its two slots, and what must be true of it after every action."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.controller = PlaybackController(
            AudioFormat(RATE),
            fades=Fades(
                interrupt_seconds=TAIL / RATE,
                pause_seconds=setting.pause_samples / RATE,
                resume_seconds=setting.resume_samples / RATE,
                underrun_seconds=setting.underrun_samples / RATE,
            ),
        )
        self.controller.read(1)  # a read's worth is one sample from now on
        self.reader = Reader(self.controller)
        if setting.lead:
            self.controller.attach(self.reader, confirms=True)
        self.emitted: list[Event] = []
        for name in EVENTS:
            self.controller.on(name, self.emitted.append)
        self.slots = [self.controller.utterance() for _ in range(setting.slots)]
        self.utterances = list(self.slots)
        for utterance in self.slots:
            utterance.cancel()
        self.path: list[Action] = []
        self.loud = 0
        """Samples that sounded since the last command that silences."""

    # What may be done

    def actions(self) -> Iterator[Action]:
        """What may be done now: each slot holds one utterance at a time."""
        for slot, utterance in enumerate(self.slots):
            if utterance.report:
                yield "utterance", slot
            if utterance.ended or self.controller.input_locked or utterance.accepted < self.setting.pushes:
                yield "push", slot
            yield from (("end", slot), ("cancel", slot))
        yield from ((command, -1) for command in COMMANDS)
        if self.setting.owners > 1:
            yield from ((command, -2) for command in OTHERS)
        if not self.setting.interruptible:
            yield "force", -1
        if self.setting.word:
            yield "word", -1
        if self.setting.lead:
            yield "confirm", -1
        yield "read", -1

    def apply(self, action: Action) -> int:
        """Do one thing.

        Returns:
            Whether it changed something; of a push and of a read, the sample.
        """
        self.path.append(action)
        controller, (what, slot) = self.controller, action
        if what in SILENCING:
            self.loud = 0
        match what:
            case "utterance":
                utterance = controller.utterance(interruptible=slot > 0 or self.setting.interruptible)
                if self.setting.word:
                    utterance.mark("word", 0, self.setting.word / RATE)
                utterance._owner.admit(utterance)  # as whoever waits for it does: before its first use it is nobody's
                self.slots[slot] = utterance
                self.utterances.append(utterance)
                return True
            case "push":
                return self.slots[slot].push(SAMPLE)
            case "end":
                return self.slots[slot].end()
            case "cancel":
                return self.slots[slot].cancel()
            case "interrupt and lock":
                return controller.interrupt(lock=True)
            case "force":
                return controller.interrupt(force=True)
            case "word":
                return controller.interrupt(at="word")
            case "confirm":
                return self.reader.confirm()
            case "read":
                self._play_on(action)
                self.reader.read += 1
                sample = int(controller.read(1)[0, 0])
                self.loud += sample != 0
                return sample
            case "pause" | "resume" | "interrupt":
                return bool(getattr(controller, what)(by="application" if slot == -1 else "another"))
            case _:
                return bool(getattr(controller, what)())

    def _play_on(self, action: Action) -> None:
        """What confirms has to play before it reads more, once it is as far ahead as it goes."""
        if action[0] == "read" and self.setting.lead and self.reader.read - self.reader.confirmed == self.setting.lead:
            self.reader.confirm()

    # What must be true

    def visit(self, action: Action) -> None:
        """Do one thing, and check all that must be true then."""
        self._play_on(action)
        before, state, leaf, count = self.key(), self.controller.state, self.controller.leaf, len(self.emitted)
        refuses = action[0] == "push" and (self.controller.input_locked or self.slots[action[1]].ended)
        result = self.apply(action)
        names = [event.name for event in self.emitted[count:]]
        if action[0] == "push":
            self._check("a push is taken whole or refused", result == (0 if refuses else 1))
            if refuses:
                self._check("a refused push is emitted, and nothing else", names == ["audio_refused"])
                self._check("a refused push changes nothing that sounds", _sound(self.key()) == _sound(before))
        elif action[0] == "read":
            allowed = {State.PAUSED: self.setting.pause_samples, State.INTERRUPTED: TAIL, State.CLOSED: 0}.get(state)
            self._check("silence follows the ramp", allowed is None or not result or self.loud <= allowed)
        elif not result:
            self._check("what returns False changes nothing", self.key() == before and not names)
        changed = self.controller.leaf != leaf
        self._check("a change is emitted once", names.count("state_changed") == changed)
        self._check("a change is emitted last", not changed or names[-1] == "state_changed")
        self._check("no error", "error" not in names)
        paused = self.controller.state is State.PAUSED
        self._check("a pause lasts while anybody holds", bool(self.controller.holds) == paused)
        self._check_exactly_once()
        self._check_conservation()

    def _check(self, name: str, holds: bool) -> None:
        if not holds:
            self.setting.failures.setdefault(name, " · ".join(f"{what} {slot}" for what, slot in self.path))

    def _check_exactly_once(self) -> None:
        finished = Counter(event.utterance.id for event in self.emitted if isinstance(event, UtteranceFinished))
        first = Counter(event.utterance.id for event in self.emitted if isinstance(event, FirstAudioByte))
        last = Counter(event.utterance.id for event in self.emitted if isinstance(event, LastAudioByte))
        for utterance in self.utterances:
            report = utterance.report
            self._check("first_audio_byte exactly once", first[utterance.id] == utterance._clip.begun)
            self._check("what was heard has begun", utterance.played == 0 or utterance._clip.begun)
            self._check("utterance_finished exactly once", finished[utterance.id] == (report is not None))
            completed = report is not None and report.outcome is Outcome.COMPLETED
            self._check("last_audio_byte if and only if completed", last[utterance.id] == completed)
            self._check("completed is played whole", not completed or utterance.played == utterance.accepted)

    def _check_conservation(self) -> None:
        buffered = 0
        for utterance in self.utterances:
            left = utterance.accepted - utterance.played - utterance.discarded
            self._check("accepted = played + discarded + buffered", left == 0 if utterance.report else left >= 0)
            buffered += left
        self._check("buffered is what all utterances have left", self.controller.buffered == buffered)

    # Where it stands

    def key(self) -> Configuration:
        """The configuration; which slot holds which handle does not matter."""
        playout = self.controller._playout.transitions
        places = {id(utterance): place for place, utterance in enumerate(playout.queue.utterances)}
        ends = playout.playhead._following_ends
        handles = tuple(sorted(_handle(utterance, places.get(id(utterance)), ends) for utterance in self.slots))
        if self.controller.state is State.CLOSED:
            return Configuration(self.controller.leaf, handles)
        head, playhead, presence = playout.queue.head, playout.playhead, playout.playhead._presence
        ramps = playhead.is_within_turn or playhead.is_speaking  # otherwise what comes next begins at once
        return Configuration(
            leaf=self.controller.leaf,
            handles=handles,
            holds=self.controller.holds,
            tail=len(playhead._tail),
            # Otherwise it leaves no tail, and no ramp that the next turn would go on with.
            speaking=playhead.is_speaking and ((head is not None and head.played > 0) or not presence.flat),
            held=playhead._held,
            fading=playhead.fading,
            presence=(presence.level, presence.target, presence._left) if ramps else (1.0, 1.0, 0),
            unheard=self._unheard(places),
            unheard_sound=0
            if playhead.ledger is None
            else max(0, playhead.sounded_until - playhead.ledger.heard_until),
        )

    def _unheard(self, places: dict[int, int]) -> tuple[int, ...]:
        """Of each sample that was read and not heard the place of its utterance, or -1."""
        ledger = self.controller._playout.transitions.playhead.ledger
        if ledger is None:
            return ()
        kinds = [-1] * (ledger.read - ledger.heard)
        for number, (start, utterance, _) in enumerate(ledger._spans):
            place = -1 if utterance is None else places.get(id(utterance), -2)  # -2 would be one that has finished
            for position in range(max(start, ledger.heard_until), ledger._end(number)):
                kinds[position - ledger.heard_until] = place
        return tuple(kinds)


def _handle(utterance: Utterance, place: int | None, following_ends: bool) -> Handle:
    """What matters of an utterance, in its place in the queue if it has one."""
    if utterance.report:
        return Handle("finished")
    if place is None:
        return Handle("unqueued", utterance.interruptible, cut_short=utterance._clip.cut_short)
    return Handle(
        "queued",
        utterance.interruptible,
        place,
        utterance.accepted,
        utterance.played,
        utterance._clip.buffer.cursor,
        utterance._clip.begun,
        utterance.ended,
        utterance._clip.cut_short,
        _yields(utterance, following_ends),
    )


def _yields(utterance: Utterance, following_ends: bool) -> tuple[int, bool, bool] | None:
    """What matters of one that an interrupt lets end with its word."""
    if not utterance.is_yielding:
        return None
    return utterance.discarded, utterance._clip.truncated, following_ends


def _sound(configuration: Configuration) -> Configuration:
    """A configuration without what decides only how an utterance is reported."""
    handles = tuple(handle._replace(cut_short=False) for handle in configuration.handles)
    return configuration._replace(handles=handles)


Found = tuple[str, Setting, Exploration[Configuration, Action]]


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SETTINGS]
)
def found(request: pytest.FixtureRequest) -> Found:
    """All there is in one setting; every step was checked as it was made."""
    setting = Setting(**SETTINGS[request.param])

    def watch(_: Chart, leaf: str, event: str) -> None:
        setting.cells[leaf, event] += 1

    WATCHERS.add(watch)
    try:
        explored = explore(
            lambda: Playout(setting), Playout.actions, Playout.apply, Playout.key, visit=Playout.visit, limit=20_000
        )
    finally:
        WATCHERS.remove(watch)
    return request.param, setting, explored


def test_every_step(found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    name, setting, explored = found
    edges = sum(map(len, explored.edges.values()))
    with capsys.disabled():
        print(f"\n{name}: {len(explored.paths)} configurations, {edges} steps")
    assert not setting.failures


def test_every_leaf_is_reached(found: Found) -> None:
    _, _, explored = found
    assert {configuration.leaf for configuration in explored.paths} == set(PLAYBACK.leaves)


def test_every_cell_is_asked(found: Found) -> None:
    _, setting, _ = found
    if setting.slots > 1:  # some internal events take two utterances
        taken = {(edge.source, edge.event) for edge in PLAYBACK.edges()}
        spared = {cell for cell in taken if cell[1] == "drop_waiting"} if setting.interruptible else set()
        turns = {cell for cell in taken if cell[1] == "gap"}  # turns are explored by the paths and the properties
        assert taken - spared - turns - set(setting.cells) == set()
    impossible = {cell for cell in setting.cells if PLAYBACK.cells[cell[0]][cell[1]] == IMPOSSIBLE}
    assert impossible == set()


def test_the_tour_asks_every_cell_that_is_asked(found: Found) -> None:
    _, setting, _ = found
    assert set(setting.cells) <= paths.asked()


def test_reading_alone_comes_to_rest(found: Found) -> None:
    _, _, explored = found
    for configuration in explored.paths:
        *_, rest = explored.run(configuration, ("read", -1))
        assert explored.edges[rest]["read", -1] == rest, f"{configuration} goes round and round"
        if rest.leaf not in RESTS:
            assert rest.leaf == "speaking.buffering"
            assert [handle for handle in rest.handles if handle.place == 0 and not handle.ended], configuration
        assert not rest.tail


def test_closed_is_final(found: Found) -> None:
    _, _, explored = found
    for configuration, edges in explored.edges.items():
        assert edges["close", -1].leaf == "closed"
        if configuration.leaf == "closed":
            assert {target.leaf for target in edges.values()} == {"closed"}
            assert {handle.condition for target in edges.values() for handle in target.handles} == {"finished"}


def test_equal_configurations_behave_alike(found: Found) -> None:
    """The key holds all that matters: a configuration that is reached another way leads to the same ones."""
    _, setting, explored = found
    others = [
        ((*explored.paths[source], action), target)
        for source, edges in explored.edges.items()
        for action, target in edges.items()
        if explored.paths[target] != (*explored.paths[source], action)
    ]
    for path, target in random.Random(1).sample(others, min(SAMPLED, len(others))):
        expected = set(explored.edges[target].values())
        reached = set()
        here = _reach(setting, path)
        for action in tuple(here.actions()):
            other = _reach(setting, (*path, action))
            reached.add(other.key())
        assert reached == expected, path


def _reach(setting: Setting, path: tuple[Action, ...]) -> Playout:
    playout = Playout(setting)
    for action in path:
        playout.apply(action)
    return playout


class Counting:
    """A system that counts up to three."""

    def __init__(self, start: int = 0) -> None:
        self.count = start

    def actions(self) -> tuple[str, ...]:
        return ("+", "++", "reset")

    def apply(self, action: str) -> None:
        self.count = 0 if action == "reset" else min(self.count + len(action), 3)

    def key(self) -> int:
        return self.count


def test_an_exploration_finds_shortest_paths_and_runs() -> None:
    explored = explore(Counting, Counting.actions, Counting.apply, Counting.key)
    assert explored.paths == {0: (), 1: ("+",), 2: ("++",), 3: ("+", "++")}
    assert explored.edges[3] == {"+": 3, "++": 3, "reset": 0}
    assert list(explored.run(0, "+")) == [0, 1, 2, 3]
    assert list(explored.run(3, "reset")) == [3, 0]


def test_an_exploration_has_a_limit() -> None:
    with pytest.raises(ExplorationError, match="more than 3"):
        explore(Counting, Counting.actions, Counting.apply, Counting.key, limit=3)


def test_an_exploration_notices_what_can_not_be_repeated() -> None:
    starts = itertools.count()
    with pytest.raises(ExplorationError, match="before"):
        explore(lambda: Counting(next(starts)), Counting.actions, Counting.apply, Counting.key)
