"""Turns: answers of several utterances, in one place each; and what enqueueing, failing and ``first`` do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from playback import AudioFormat, InputTimeout, Outcome, PlaybackController, Turn, TurnReport, Utterance
from tests.signals import CUTS, FRAME, RATE, Heard, ramp

PART = 100
"""Samples of an utterance; its samples are its number."""


class Broken(Exception):  # noqa: N818 - as synthesizers name theirs
    """What a producer raises."""


class Case(Heard):
    """A controller in which each utterance says its own number."""

    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {"format": AudioFormat(RATE), "fades": CUTS}
        super().__init__(PlaybackController(**defaults | options))
        self.count = 0
        self.finished: list[TurnReport] = []
        self.controller.on("turn_finished", lambda event: self.finished.append(event.report))

    def say(self, turn: Turn | None = None, *, end: bool = True, **options: Any) -> Utterance:
        """An utterance that is pushed, and ended unless it is to stay open."""
        self.count += 1
        made = (turn or self.controller).utterance(text=f"{self.count}.", id=str(self.count), **options)
        made.push(ramp(1, self.count).repeat(PART))
        if end:
            made.end()
        return made

    def order(self, samples: int = 30 * PART) -> list[int]:
        """The numbers that are heard, in order."""
        heard = self.read(samples)
        return [number for number, before in zip(heard, [0, *heard], strict=False) if number != before and number]


def report(part: Turn | Utterance) -> Any:
    """Its report, which is there."""
    assert part.report is not None
    return part.report


@pytest.fixture
def case() -> Case:
    return Case()


@pytest.mark.parametrize(
    "interrupt",
    [
        lambda case, _: case.controller.interrupt(at="word"),
        lambda case, _: case.controller.interrupt(),
        lambda _, parts: [part.cancel() for part in reversed(parts)],
        lambda case, _: case.controller.close(),
        lambda *_: None,
    ],
    ids=["word", "now", "cancel", "close", "none"],
)
@pytest.mark.parametrize("interruptible", [True, False])
def test_its_report_has_the_utterances_in_the_order_in_which_they_play(
    case: Case, interrupt: Any, interruptible: bool
) -> None:
    turn = case.controller.turn()
    parts = [case.say(turn, interruptible=interruptible), case.say(turn), case.say(turn, first=True)]
    parts[0].mark("1.", at=0.0, until=PART / RATE)
    case.read(PART // 2)
    interrupt(case, parts)
    turn.end()
    case.read(10 * PART)
    assert report(turn).text == "1. 3. 2."


# The place


def test_a_turn_is_contiguous_and_what_is_outside_waits(case: Case) -> None:
    turn = case.controller.turn()
    case.say(turn)
    outside = case.say()
    case.say(turn)
    assert case.order(3 * PART) == [1, 3], "the one outside waits, although the turn has nothing to play"
    assert outside.played == 0
    case.say(turn)
    assert case.order(PART) == [4]
    turn.end()
    assert case.order() == [2]


def test_a_turn_has_its_place_from_its_first_enqueued_utterance_on(case: Case) -> None:
    turn = case.controller.turn()
    case.say()
    turn.utterance().mark("no place is needed for this")
    case.say(turn)
    case.say()
    turn.end()
    assert case.order() == [1, 2, 3]


def test_sentences_play_in_the_order_of_enqueueing_whoever_pushes_first(case: Case) -> None:
    turn = case.controller.turn()
    first, second = turn.utterance(), turn.utterance()
    assert (first.enqueue(), first.enqueue()) == (True, False)
    second.push(b"")
    case.say(turn)
    second.push(ramp(PART, 1_000))
    second.end()
    assert not any(case.read(FRAME)), "the head is open and has nothing"
    first.push(ramp(PART, 2_000))
    first.end()
    turn.end()
    heard = case.read(4 * PART)
    assert heard[: 2 * PART] == [*range(2_000, 2_000 + PART), *range(1_000, 1_000 + PART)]
    assert heard[2 * PART : 3 * PART] == [1] * PART


def test_each_utterance_outside_is_a_turn_of_its_own(case: Case) -> None:
    case.say()
    case.say()
    assert case.order() == [1, 2]
    assert case.emitted("turn_started", "turn_finished", "last_audio_byte") == [
        *("turn_started", "last_audio_byte", "turn_finished"),
        *("turn_started", "last_audio_byte", "turn_finished"),
    ]
    assert [(found.id, found.heard) for found in case.finished] == [("1", "1."), ("2", "2.")]


def test_a_turn_has_one_pair_of_events(case: Case) -> None:
    turn = case.controller.turn(id="answer")
    case.say(turn)
    case.say(turn)
    started = [event for event in case.events if event.name == "turn_started"]
    assert not started, "it starts with the first audible sample"
    case.read(30)
    turn.end()
    case.read(3 * PART)
    events = [event for event in case.events if event.name.startswith("turn_")]
    assert [(event.name, event.position, event.turn) for event in events] == [  # type: ignore[attr-defined]
        ("turn_started", 0, turn),
        ("turn_finished", 2 * PART, turn),
    ]
    assert report(turn).utterances == tuple(found for found in report(turn).utterances if found.id in "12")
    assert not turn.end()
    assert not turn.cancel()


def test_a_turn_without_audio_finishes_and_never_starts(case: Case) -> None:
    turn = case.controller.turn()
    assert case.controller.state == "idle"
    assert turn.end()
    assert case.emitted("turn_started", "turn_finished") == ["turn_finished"]
    assert (report(turn).outcome, report(turn).heard, report(turn).text) == (Outcome.COMPLETED, None, None)
    assert report(turn).first_audio_seconds is None


def test_one_open_turn_at_a_time(case: Case) -> None:
    turn = case.controller.turn()
    with pytest.raises(RuntimeError, match="is open, expected one open turn at a time: end it first"):
        case.controller.turn()
    case.say(turn)
    turn.end()
    other = case.controller.turn()
    case.say(other)
    assert turn.report is None, "it may still be playing"
    other.end()
    assert case.order() == [1, 2]
    assert [found.outcome for found in case.finished] == [Outcome.COMPLETED] * 2


def test_a_turn_that_is_open_is_not_idle(case: Case) -> None:
    turn = case.controller.turn()
    case.say(turn)
    states = set()
    for _ in range(5):
        case.read()
        states.add(case.controller.state.value)
    assert states == {"speaking"}
    assert case.controller.leaf == "speaking.buffering"
    turn.end()
    assert case.controller.state == "idle", "there is nothing left, and nothing to wait for"
    assert case.emitted("turn_finished", "underrun") == ["turn_finished"]


# What comes out


def test_the_report_of_a_turn(case: Case) -> None:
    case.read(240)
    turn = case.controller.turn(id="answer")
    case.read(120)
    case.say(turn)
    case.read(120)  # 100 of speech, then a gap of 20
    case.read(240)
    case.say(turn)
    turn.utterance(text="").end()
    turn.end()
    case.order()
    found = report(turn)
    assert (found.id, found.outcome, found.error) == ("answer", Outcome.COMPLETED, None)
    assert (found.text, found.heard) == ("1. 2.", "1. 2.")
    assert (found.accepted, found.played, found.discarded) == (2 * PART, 2 * PART, 0)
    assert found.first_audio_seconds == 120 / RATE
    assert found.gaps == (260 / RATE,)
    assert found.as_dict()["heard"] == "1. 2."
    assert len(found.as_dict()["utterances"]) == 3


def test_silence_before_and_after_a_turn_is_no_gap(case: Case) -> None:
    turn = case.controller.turn()
    case.read()
    case.say(turn)
    case.read(PART)
    case.read()
    turn.end()
    assert report(turn).gaps == ()


def test_a_pause_is_no_gap(case: Case) -> None:
    turn = case.controller.turn()
    case.say(turn)
    case.read(50)
    case.controller.pause()
    case.read()
    case.controller.resume()
    turn.end()
    case.order()
    assert report(turn).gaps == ()
    assert report(turn).outcome is Outcome.COMPLETED


def test_an_underrun_of_an_utterance_is_a_gap_of_its_turn(case: Case) -> None:
    turn = case.controller.turn()
    utterance = case.say(turn, end=False)
    turn.end()
    case.read(60)
    case.read(80)  # the 40 that are left are held back
    case.read(200)
    utterance.push(ramp(PART))
    utterance.end()
    case.order()
    assert report(turn).gaps == (280 / RATE,)


def fail(case: Case, turn: Turn) -> None:
    case.say(turn, end=False).fail(Broken("first"))


def fail_again(case: Case, turn: Turn) -> None:
    case.say(turn, end=False).fail(Broken("second"))


def cancel(case: Case, turn: Turn) -> None:
    case.say(turn).cancel()


def complete(case: Case, turn: Turn) -> None:
    case.say(turn)


@pytest.mark.parametrize(
    ("acts", "outcome", "error"),
    [
        ([], Outcome.COMPLETED, None),
        ([complete, complete], Outcome.COMPLETED, None),
        ([complete, fail, complete], Outcome.FAILED, "first"),
        ([fail, fail_again], Outcome.FAILED, "first"),
        ([fail_again, fail], Outcome.FAILED, "second"),
        ([cancel, fail], Outcome.INTERRUPTED, "first"),
        ([fail, cancel, complete], Outcome.INTERRUPTED, "first"),
    ],
)
@pytest.mark.parametrize("closes", [False, True])
def test_the_worst_outcome_is_the_turns(
    case: Case, acts: list[Any], outcome: Outcome, error: str | None, closes: bool
) -> None:
    turn = case.controller.turn()
    for act in acts:
        act(case, turn)
    case.read(30 * PART)
    if closes:
        case.controller.close()
    else:
        turn.end()
    assert report(turn).outcome is (Outcome.CLOSED if closes else outcome)
    assert error == (None if report(turn).error is None else str(report(turn).error))
    assert case.emitted("turn_finished") == ["turn_finished"]


def test_an_utterance_that_fails_does_not_end_its_turn(case: Case) -> None:
    turn = case.controller.turn()
    broken = case.say(turn, end=False)
    case.say(turn)
    broken.fail(Broken())
    assert case.order() == [1, 2]
    case.say(turn)
    turn.end()
    assert case.order() == [3]
    assert report(turn).heard == "2. 3."
    assert [found.outcome for found in report(turn).utterances] == [Outcome.FAILED, *[Outcome.COMPLETED] * 2]


def test_stop_on_failure(case: Case) -> None:
    turn = case.controller.turn(stop_on_failure=True)
    broken = case.say(turn, end=False)
    behind, last = case.say(turn), case.say(turn)
    marked = turn.utterance()
    marked.mark("it has no place yet")
    outside = case.say()
    error = Broken()
    broken.fail(error)
    assert case.order() == [1, 4], "what had arrived plays, the rest of the turn does not"
    assert (report(turn).outcome, report(turn).error) == (Outcome.FAILED, error)
    assert [found.outcome for found in report(turn).utterances] == [Outcome.FAILED] * 4
    assert [report(part).error for part in (behind, last, marked)] == [error] * 3
    assert len(case.emitted("utterance_finished")) == 5, "one report each"
    assert report(outside).outcome is Outcome.COMPLETED
    assert marked.push(ramp(PART)) == 0
    late = turn.utterance()
    assert late.push(ramp(PART)) == 0
    assert report(late).outcome is Outcome.INTERRUPTED
    assert case.controller.buffered == 0
    assert case.controller.state == "idle"


# What ends a turn


@pytest.mark.parametrize("placed", [False, True])
def test_a_lock_ends_it(case: Case, placed: bool) -> None:
    turn = case.controller.turn()
    if placed:
        case.say(turn, end=False)
    case.controller.lock()
    assert not turn.is_open
    assert (turn.report is None) is placed, "what is there plays"
    assert case.order() == [1] * placed
    assert report(turn).outcome is Outcome.INTERRUPTED
    locked = case.controller.turn()
    assert report(locked).outcome is Outcome.INTERRUPTED
    case.controller.unlock()
    case.controller.turn()


def test_what_has_no_place_in_a_turn_that_a_lock_has_ended_gets_none(case: Case) -> None:
    turn = case.controller.turn()
    marked = turn.utterance()
    marked.mark("first")
    case.controller.lock()
    case.controller.unlock()
    assert marked.push(ramp(PART)) == 0
    marked.end()
    assert report(marked).outcome is Outcome.INTERRUPTED
    assert case.order() == []
    assert case.controller.buffered == 0
    case.say()
    assert case.order() == [1]


def test_what_has_no_place_in_a_turn_that_timed_out_gets_none() -> None:
    case = Case(input_timeout_seconds=0.02)
    turn = case.controller.turn()
    marked = turn.utterance()
    marked.mark("first")
    case.read()
    case.read()
    assert not turn.is_open
    assert marked.push(ramp(PART)) == 0
    assert case.order() == []
    assert report(marked).outcome in (Outcome.INTERRUPTED, Outcome.FAILED)
    assert report(turn).outcome is not Outcome.COMPLETED
    assert case.controller.buffered == 0


def test_a_turn_after_closing(case: Case) -> None:
    case.controller.close()
    turn = case.controller.turn()
    assert report(turn).outcome is Outcome.CLOSED
    utterance = turn.utterance()
    assert utterance.push(ramp(PART)) == 0
    assert report(utterance).outcome is Outcome.CLOSED


def test_an_interrupt_ends_it_and_later_handles_are_born_interrupted(case: Case) -> None:
    turn = case.controller.turn()
    case.say(turn)
    case.say(turn, end=False)
    case.read(50)
    case.controller.interrupt()
    found = report(turn)
    # Of the first one it is not known what was heard; the second one has not sounded.
    assert [part.heard for part in found.utterances] == ["", ""]
    assert (found.outcome, found.heard, found.played, found.discarded) == (Outcome.INTERRUPTED, "", 50, 150)
    late = turn.utterance(text="too late")
    assert late.push(ramp(PART)) == 0
    assert report(late).outcome is Outcome.INTERRUPTED
    assert report(turn) is found
    assert len(found.utterances) == 2
    other = case.controller.turn()
    case.say(other)
    assert case.order() == [3]


@pytest.mark.parametrize("placed", [False, True])
def test_a_spared_head_keeps_its_turn(case: Case, placed: bool) -> None:
    turn = case.controller.turn()
    if placed:
        spared = case.say(turn, end=False, interruptible=False)
        dropped = case.say(turn)
        case.read(50)
        assert case.controller.interrupt()
        assert not turn.is_open
        assert turn.report is None
        assert report(dropped).outcome is Outcome.INTERRUPTED
        spared.push(ramp(1, 1).repeat(PART))
        spared.end()
        assert report(case.say(turn)).outcome is Outcome.INTERRUPTED
        assert case.order() == [1]
        assert report(turn).outcome is Outcome.INTERRUPTED
        assert (report(spared).outcome, spared.played) == (Outcome.COMPLETED, 2 * PART)
    else:
        assert not case.controller.interrupt()
        assert report(turn).outcome is Outcome.INTERRUPTED


def test_canceling_a_turn_drops_all_of_it_and_nothing_else(case: Case) -> None:
    turn = case.controller.turn()
    parts = [case.say(turn, interruptible=False), case.say(turn)]
    unused, marked = turn.utterance(), turn.utterance()
    marked.mark("first")
    outside = case.say()
    case.read(50)
    assert turn.cancel()
    assert not turn.cancel()
    assert [report(part).outcome for part in [*parts, marked]] == [Outcome.INTERRUPTED] * 3
    assert (report(turn).outcome, report(turn).played) == (Outcome.INTERRUPTED, 50)
    assert unused.report is None
    assert unused.push(ramp(PART)) == 0
    assert report(unused).outcome is Outcome.INTERRUPTED
    assert case.order() == [3]
    assert report(outside).heard == "3."


@pytest.mark.parametrize("placed", [False, True])
def test_a_turn_with_nothing_enqueued_times_out(placed: bool) -> None:
    case = Case(input_timeout_seconds=0.1)
    turn = case.controller.turn()
    if placed:
        case.say(turn)
        case.read(PART)
    outside = case.say() if placed else None
    for _ in range(4):
        case.read()
        assert turn.is_open
    case.read()
    assert not turn.is_open
    assert (report(turn).outcome, type(report(turn).error)) == (Outcome.FAILED, InputTimeout)
    assert "nothing was enqueued for 0.1 s" in str(report(turn).error)
    case.order()
    assert outside is None or report(outside).outcome is Outcome.COMPLETED, "what is behind it does not wait for ever"
    assert case.controller.state == "idle"


def test_an_utterance_that_is_enqueued_begins_the_turns_time_anew() -> None:
    case = Case(input_timeout_seconds=0.1)
    turn = case.controller.turn()
    for _ in range(5):
        case.read(4 * FRAME)
        case.say(turn)
        case.read(PART)
    assert turn.is_open
    turn.end()
    assert report(turn).outcome is Outcome.COMPLETED


@pytest.mark.parametrize("paused_before", [False, True])
def test_a_pause_does_not_count_for_the_input_timeout(paused_before: bool) -> None:
    case = Case(input_timeout_seconds=0.1)
    if paused_before:
        case.controller.pause()
    turn = case.controller.turn()
    case.say(turn)
    if not paused_before:
        case.read(PART)
        case.controller.pause()
    case.read(100 * FRAME)
    assert turn.is_open
    case.controller.resume()
    case.read(4 * FRAME)
    assert turn.is_open
    case.read(2 * FRAME)
    assert not turn.is_open


# Statements


async def test_leaving_the_statement_ends_the_turn(case: Case) -> None:
    async with case.controller.turn() as turn:
        case.say(turn)
        waiting = asyncio.ensure_future(turn.wait())
        await asyncio.sleep(0)
    assert not turn.is_open
    case.order()
    assert await waiting is await turn.wait() is report(turn)


async def test_an_exception_fails_the_turn_and_goes_on(case: Case) -> None:
    error, turn = Broken(), case.controller.turn()
    unfinished: list[Utterance] = []

    async def answer() -> None:
        async with turn:
            case.say(turn)
            unfinished.append(case.say(turn, end=False))
            unfinished.append(turn.utterance())
            unfinished[1].mark("it has no place yet")
            raise error

    with pytest.raises(Broken):
        await answer()
    assert case.order() == [1, 2], "what is there plays"
    assert (report(turn).outcome, report(turn).error, report(turn).heard) == (Outcome.FAILED, error, "1.")
    assert [(report(part).outcome, report(part).error) for part in unfinished] == [(Outcome.FAILED, error)] * 2


async def test_a_cancellation_cancels_the_turn(case: Case) -> None:
    turns = []

    async def answer() -> None:
        async with case.controller.turn() as turn:
            turns.append(turn)
            case.say(turn)
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(answer())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert case.order() == []
    assert report(turns[0]).outcome is Outcome.INTERRUPTED


async def test_an_utterance_as_a_statement(case: Case) -> None:
    async with case.controller.utterance() as first:
        case.say()
        first.push(ramp(PART, 1_000))
        assert not first.ended
    assert case.read(2 * PART) == [*range(1_000, 1_000 + PART), *[1] * PART]
    assert report(first).outcome is Outcome.COMPLETED


async def leave(utterance: Utterance, error: BaseException) -> None:
    """Leave an utterance's statement by an error."""
    async with utterance:
        utterance.push(ramp(PART))
        raise error


async def test_an_exception_fails_the_utterance_and_goes_on(case: Case) -> None:
    error, broken = Broken(), case.controller.utterance(text="Hello there.")
    with pytest.raises(Broken):
        await leave(broken, error)
    assert case.read(PART) == ramp(PART).tolist()
    assert (report(broken).outcome, report(broken).error) == (Outcome.FAILED, error)
    assert report(broken).heard == ""


async def test_a_cancellation_cancels_the_utterance(case: Case) -> None:
    dropped = case.controller.utterance()
    with pytest.raises(asyncio.CancelledError):
        await leave(dropped, asyncio.CancelledError())
    assert case.order() == []
    assert report(dropped).outcome is Outcome.INTERRUPTED


# Failures of utterances


def test_what_was_accepted_of_a_failed_utterance_plays(case: Case) -> None:
    utterance = case.controller.utterance(text="Good morning to you.")
    utterance.push(ramp(2 * FRAME))
    utterance.mark("Good", 0.0, 0.01)
    utterance.mark("morning", 0.01, 0.02)
    utterance.mark("to", 0.02, 0.9)
    error = Broken()
    assert utterance.fail(error)
    assert not utterance.fail(Broken())
    assert not utterance.end()
    assert utterance.push(ramp(PART)) == 0
    assert case.read(3 * FRAME)[: 2 * FRAME] == ramp(2 * FRAME).tolist()
    found = report(utterance)
    assert (found.outcome, found.error, found.played) == (Outcome.FAILED, error, 2 * FRAME)
    assert (found.heard, found.heard_from) == ("Good morning", "marks")
    assert "last_audio_byte" not in case.emitted()
    assert case.controller.state == "idle"


@pytest.mark.parametrize("error", ["broken", None, Broken])
def test_an_error_is_an_exception(case: Case, error: Any) -> None:
    with pytest.raises(TypeError):
        case.controller.utterance().fail(error)


def test_an_utterance_that_fails_without_audio(case: Case) -> None:
    utterance = case.controller.utterance(text="Good morning.")
    utterance.fail(Broken())
    case.say()
    assert case.order() == [1]
    assert (report(utterance).outcome, report(utterance).heard) == (Outcome.FAILED, "")


@pytest.mark.parametrize("completes", [False, True])
def test_an_open_head_that_stays_dry(completes: bool) -> None:
    case = Case(input_timeout_seconds=0.1, on_input_timeout="complete" if completes else "fail")
    silent = case.say(end=False)
    case.say()
    assert case.order(PART) == [1]
    heard = case.read(6 * FRAME) + case.read()
    assert heard.count(2) == PART, "what is behind it does not wait for ever"
    found = report(silent)
    assert isinstance(found.error, InputTimeout)
    assert found.outcome is (Outcome.COMPLETED if completes else Outcome.FAILED)
    assert (found.heard, found.heard_from) == ("", "estimate"), "no whole word can have sounded"
    assert case.emitted("last_audio_byte") == ["last_audio_byte"] * (1 + completes)


# first=True


def test_first_is_directly_behind_the_head(case: Case) -> None:
    head = case.say(end=False)
    case.say()
    case.say(first=True)
    case.say(first=True)
    case.read(50)
    head.end()
    assert case.order() == [1, 4, 3, 2]


def test_first_without_a_head(case: Case) -> None:
    case.say(first=True)
    case.say()
    assert case.order() == [1, 2]


def test_first_is_behind_the_turn_that_has_begun(case: Case) -> None:
    turn = case.controller.turn()
    case.say(turn)
    case.say(turn)
    case.say()
    case.say(first=True)
    case.say(turn, first=True)
    turn.end()
    assert case.order() == [1, 5, 2, 4, 3]


def test_a_turn_that_begins_with_a_first_one_goes_ahead_of_what_waits(case: Case) -> None:
    case.say()
    case.say()
    turn = case.controller.turn()
    case.say(turn, first=True)
    case.say(turn)
    turn.end()
    assert case.order() == [1, 3, 4, 2]


def test_a_listener_can_say_again_what_an_interrupt_has_dropped(case: Case) -> None:
    case.say()
    notice = case.say()

    @case.controller.on("utterance_finished")
    def again(event: Any) -> None:
        if event.utterance is notice:
            case.say(first=True)

    case.say()
    case.read(50)
    case.controller.interrupt()
    assert case.order() == [4]


# Back-pressure


async def settled(task: asyncio.Future[Any]) -> bool:
    """Whether it is done after a few turns of the loop."""
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


async def test_the_head_goes_on_where_a_later_handle_has_filled_the_buffer() -> None:
    case = Case(high_water_seconds=2.0, max_buffered_seconds=2.0)
    head, later = case.controller.utterance(), case.controller.utterance()
    head.push(ramp(1))
    later.push(ramp(2 * RATE - 1))
    assert case.controller.buffered == 2 * RATE
    writing = asyncio.ensure_future(head.write(ramp(FRAME, 2)))
    assert await settled(writing), "it goes on, although nothing was read"
    assert writing.result() == FRAME
    head.end()
    assert case.read(FRAME + 1) == ramp(FRAME + 1).tolist()


async def test_the_heads_write_waits_for_its_own_high_water_alone() -> None:
    case = Case(high_water_seconds=2.0, max_buffered_seconds=2.0)
    head, later = case.controller.utterance(), case.controller.utterance()
    head.push(b"")
    later.push(ramp(RATE))
    assert await head.write(ramp(RATE)) == RATE
    assert await head.write(ramp(RATE + 1)) == RATE + 1, "above the maximum"
    waiting = asyncio.ensure_future(head.write(ramp(1)))
    assert not await settled(waiting)
    case.read(1)
    assert await settled(waiting)


async def test_a_write_behind_the_head_waits_where_the_buffer_is_full() -> None:
    case = Case(high_water_seconds=2.0, max_buffered_seconds=2.0)
    head, second, third = (case.controller.utterance() for _ in range(3))
    for utterance in (head, second, third):
        utterance.enqueue()
    third.push(ramp(2 * RATE))
    waiting = asyncio.ensure_future(second.write(ramp(FRAME)))
    assert not await settled(waiting), "it is no error: there will be room"
    assert await head.write(ramp(FRAME)) == FRAME
    assert not await settled(waiting)
    head.end()
    case.read(2 * FRAME)
    assert await settled(waiting), "it is the head now"
    assert waiting.result() == FRAME
