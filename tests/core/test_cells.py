"""Every cell of the table, from the outside: a command goes in, samples and events come out.

Reads are 480 samples at 24 kHz, fades are off. Each leaf is reached by public calls, with 100 samples still to play
wherever it can hold any: less than a read's worth, so that an utterance that is open holds them back. The golden
matrix says where a command leads, :data:`EMITTED` what listeners receive, the next reads show what the leaf lets sound.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from playback import Outcome, Utterance
from playback.chart import PLAYBACK, State
from statecharts import IMPOSSIBLE, state_of
from tests.core.test_chart import golden
from tests.signals import FRAME, Heard, ramp

GOLDEN = golden()
SILENCE = [0] * FRAME
FIRST = ramp(FRAME).tolist()
LEFT = 100


class Case(Heard):
    """A controller with the utterance that is under way, if there is one."""

    utterance: Utterance

    def begin(self, samples: int) -> None:
        self.utterance = self.controller.utterance()
        self.utterance.push(ramp(samples))

    def idle(self) -> None:
        """Where everything begins."""

    def buffering(self) -> None:
        self.begin(LEFT)

    def streaming(self) -> None:
        self.begin(FRAME + LEFT)
        assert self.read() == FIRST

    def draining(self) -> None:
        self.streaming()
        self.utterance.end()

    def sealed(self) -> None:
        self.streaming()
        self.controller.lock()

    def paused_empty(self) -> None:
        self.controller.pause()

    def held(self) -> None:
        self.streaming()
        self.controller.pause()

    def ended(self) -> None:
        self.draining()
        self.controller.pause()

    def paused_sealed(self) -> None:
        self.sealed()
        self.controller.pause()

    def fading(self) -> None:
        self.streaming()
        self.controller.interrupt()

    def interrupted_sealed(self) -> None:
        self.streaming()
        self.controller.interrupt(lock=True)

    def locked(self) -> None:
        self.controller.lock()

    def closed(self) -> None:
        self.controller.close()


REACH: dict[str, Callable[[Case], None]] = {
    "idle": Case.idle,
    "speaking.buffering": Case.buffering,
    "speaking.streaming": Case.streaming,
    "speaking.draining": Case.draining,
    "speaking.sealed": Case.sealed,
    "paused.empty": Case.paused_empty,
    "paused.held": Case.held,
    "paused.ended": Case.ended,
    "paused.sealed": Case.paused_sealed,
    "interrupted.fading": Case.fading,
    "interrupted.sealed": Case.interrupted_sealed,
    "input_locked": Case.locked,
    "closed": Case.closed,
}

HOLDS = {
    "speaking.buffering",
    "speaking.streaming",
    "speaking.draining",
    "speaking.sealed",
    "paused.held",
    "paused.ended",
    "paused.sealed",
}
"""The leaves that are reached above with samples still to play."""

PLAYS_ALL = {"speaking.draining", "speaking.sealed"}
"""The leaves that hand out even less than a read's worth."""

EMITTED: dict[str, list[str]] = {
    "pause": ["paused"],
    "resume": ["resumed"],
    "interrupt": ["interrupted"],
    "lock": ["input_locked"],
    "unlock": ["input_unlocked"],
    "close": ["closed"],
}


def reach(leaf: str) -> Case:
    case = Case()
    REACH[leaf](case)
    assert case.controller.leaf == leaf
    case.events.clear()
    return case


def rest(leaf: str) -> list[int]:
    """The next frame of a case that was reached in this leaf, if it is let to sound."""
    start = 1 if leaf == "speaking.buffering" else 1 + FRAME
    return [*range(start, start + LEFT), *[0] * (FRAME - LEFT)]


def destination(leaf: str, event: str) -> str:
    cell = GOLDEN[leaf][event]
    return leaf if cell in ("=", ".", "R") else cell


def test_every_leaf_is_reached() -> None:
    assert set(REACH) == set(GOLDEN)


@pytest.mark.parametrize("command", ["pause", "resume", "lock", "unlock", "interrupt", "close"])
@pytest.mark.parametrize("leaf", PLAYBACK.leaves)
def test_a_command(leaf: str, command: str) -> None:
    case = reach(leaf)
    drops = leaf in HOLDS and command in ("interrupt", "close")

    changed = getattr(case.controller, command)()

    target = destination(leaf, command)
    assert case.controller.leaf == target
    assert case.controller.state == State(state_of(target))
    assert changed is (target != leaf)
    emitted = ["utterance_finished"] * drops + (EMITTED[command] + ["state_changed"] if changed else [])
    assert case.emitted() == emitted
    assert case.read() == (rest(leaf) if leaf in HOLDS and target in PLAYS_ALL else SILENCE)
    assert case.read() == SILENCE
    if drops:
        report = case.utterance.report
        assert report is not None
        assert report.outcome is (Outcome.CLOSED if command == "close" else Outcome.INTERRUPTED)
        assert (report.played, report.discarded) == (0 if leaf == "speaking.buffering" else FRAME, LEFT)


@pytest.mark.parametrize("leaf", PLAYBACK.leaves)
def test_a_push(leaf: str) -> None:
    case = reach(leaf)
    buffered = case.controller.buffered
    utterance = case.controller.utterance()
    cell = GOLDEN[leaf]["push"]

    accepted = utterance.push(ramp(LEFT, 10_001))

    assert case.controller.leaf == destination(leaf, "push")
    if cell == "R" or leaf == "closed":
        assert (accepted, utterance.refused, case.controller.buffered) == (0, LEFT, buffered)
        assert case.emitted("audio_refused", "state_changed") == ["audio_refused"]
        assert case.controller.stats.refused_samples == LEFT
    else:
        assert (accepted, utterance.refused, case.controller.buffered) == (LEFT, 0, buffered + LEFT)
        assert case.emitted() == (["state_changed"] if cell != "=" else [])
        # What is new plays after what was there, and only once it is ended or long enough.
        assert not set(case.read()) & set(ramp(LEFT, 10_001).tolist())


@pytest.mark.parametrize("leaf", sorted(HOLDS))
def test_an_end_of_what_is_under_way(leaf: str) -> None:
    case = reach(leaf)
    open_before = not case.utterance.ended

    assert case.utterance.end() is open_before
    assert case.utterance.end() is False

    ended = GOLDEN[leaf]["input_ended"]
    assert case.controller.leaf == (leaf if ended == IMPOSSIBLE else ended)
    assert case.emitted() == (["state_changed"] if open_before else [])
    speaks = case.controller.leaf in PLAYS_ALL
    assert case.read() == (rest(leaf) if speaks else SILENCE)
    ends = {"speaking.sealed": ["utterance_finished"]}.get(leaf, ["last_audio_byte", "utterance_finished"])
    assert case.emitted("last_audio_byte", "utterance_finished") == (ends if speaks else [])


@pytest.mark.parametrize("leaf", sorted(set(PLAYBACK.leaves) - HOLDS - {"closed"}))
def test_a_boundary_where_nothing_is_queued(leaf: str) -> None:
    """An empty utterance is enqueued when it is ended, and is over at once."""
    case = reach(leaf)
    utterance = case.controller.utterance()
    case.events.clear()
    assert utterance.end()
    assert case.controller.leaf == leaf
    assert case.emitted() == ["last_audio_byte", "utterance_finished"]
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.COMPLETED


@pytest.mark.parametrize("leaf", sorted(HOLDS))
def test_a_boundary_behind_what_is_queued(leaf: str) -> None:
    """An empty utterance waits for its turn, and finishes where it comes to the head."""
    case = Case()
    REACH[leaf](case)
    sealed = leaf.endswith("sealed")
    if sealed:
        case.controller.unlock()
    empty, last = case.controller.utterance(), case.controller.utterance()
    empty.end()
    if leaf in ("speaking.buffering", "speaking.streaming", "paused.held"):
        last.push(ramp(LEFT, 10_001))  # keeps the leaf: an utterance is open still
    if sealed:
        case.controller.lock()
    assert case.controller.leaf == leaf
    case.events.clear()
    assert case.utterance.cancel()
    emitted = case.emitted("last_audio_byte", "utterance_finished")
    assert emitted == ["utterance_finished", "last_audio_byte", "utterance_finished"]
    assert (case.utterance.report is not None, empty.report is not None) == (True, True)
    drained = {"speaking.draining": "idle", "speaking.sealed": "input_locked"}
    assert case.controller.leaf == drained.get(leaf, leaf)


def test_after_the_close_every_end_is_over() -> None:
    case = reach("closed")
    utterance = case.controller.utterance()
    assert utterance.end() is False
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.CLOSED
    assert case.emitted() == ["utterance_finished"]


def test_ready() -> None:
    case = reach("speaking.buffering")
    case.utterance.push(ramp(FRAME - LEFT - 1, 1 + LEFT))
    assert (case.controller.leaf, case.emitted()) == ("speaking.buffering", [])
    case.utterance.push(ramp(1, FRAME))
    assert (case.controller.leaf, case.emitted()) == ("speaking.streaming", ["state_changed"])
    assert case.read() == FIRST


def test_underrun() -> None:
    case = reach("speaking.streaming")
    assert case.read() == SILENCE
    assert (case.controller.leaf, case.emitted()) == ("speaking.buffering", ["underrun", "state_changed"])
    assert case.controller.stats.underruns == 1


@pytest.mark.parametrize(
    ("leaf", "target"),
    [
        ("speaking.draining", "idle"),
        ("speaking.sealed", "input_locked"),
        ("interrupted.fading", "idle"),
        ("interrupted.sealed", "input_locked"),
    ],
)
def test_drained_and_faded(leaf: str, target: str) -> None:
    case = reach(leaf)
    assert case.read() == (rest(leaf) if leaf in HOLDS else SILENCE)
    assert case.controller.leaf == target == GOLDEN[leaf]["faded" if "interrupted" in leaf else "drained"]
    assert case.emitted()[-1] == "state_changed"
