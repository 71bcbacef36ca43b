"""Events are data: what JSON gets of each, what a copy of one shares, and what a report shows of what was heard."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any, get_args

import numpy as np
import pytest

from playback import AudioFormat, PlaybackController, State, Utterance
from playback import bargein as policy
from playback.bargein.events import BargeInEventName, PolicyEvent
from playback.core.playout import Playout
from playback.events import (
    EVENTS,
    AudioRefused,
    Closed,
    ErrorRaised,
    Event,
    EventName,
    EventsLost,
    FarEndReported,
    FirstAudioByte,
    InputEnded,
    InputLocked,
    InputUnlocked,
    Interrupted,
    LastAudioByte,
    MarkReached,
    Paused,
    Resumed,
    Silenced,
    Stalled,
    StateChanged,
    TurnFinished,
    TurnStarted,
    Underrun,
    UnderrunEnded,
    UtteranceFinished,
)
from playback.report import Outcome, UtteranceReport
from playback.sinks.chunks import Chunk
from playback.words.known import HeardFrom
from tests.signals import FRAME, Heard

pytestmark = pytest.mark.portable


class BrokenError(Exception):
    """Has a message that can't be had."""

    def __str__(self) -> str:
        raise RuntimeError("no message")


class Word:
    """A payload that JSON does not have."""

    def __repr__(self) -> str:
        return "<word>"


def finished(**options: Any) -> Utterance:
    """An utterance that was interrupted after its first word."""
    controller = PlaybackController(AudioFormat(24_000))
    utterance = controller.utterance(id="greeting", **options)
    utterance.push(np.ones(4 * FRAME, np.int16))
    utterance.mark("one", at=0.0)
    utterance.mark("two", at=FRAME / 24_000)
    controller.read(FRAME)
    controller.interrupt()
    return utterance


UTTERANCE = finished(text="one two")
REPORT = UTTERANCE.report
TURN = PlaybackController().turn(id="answer")
TURN.end()
TURN_REPORT = TURN.report
assert REPORT is not None
assert TURN_REPORT is not None

ALL: list[tuple[Event, dict[str, Any]]] = [
    (
        StateChanged(1, State.IDLE, State.SPEAKING, "idle", "speaking.buffering"),
        {"old": "idle", "new": "speaking", "old_leaf": "idle", "new_leaf": "speaking.buffering"},
    ),
    (FirstAudioByte(1, UTTERANCE), {"utterance": "greeting"}),
    (LastAudioByte(1, UTTERANCE), {"utterance": "greeting"}),
    (UtteranceFinished(1, UTTERANCE, REPORT), {"utterance": "greeting", "report": REPORT.as_dict()}),
    (TurnStarted(1, TURN), {"turn": "answer"}),
    (TurnFinished(1, TURN, TURN_REPORT), {"turn": "answer", "report": TURN_REPORT.as_dict()}),
    (MarkReached(1, UTTERANCE, "one", 7), {"utterance": "greeting", "payload": "one", "at": 7}),
    (Paused(1, "application"), {"by": "application"}),
    (Resumed(1, 480, "application"), {"rewound": 480, "by": "application"}),
    (Interrupted(1, 960), {"discarded": 960}),
    (Silenced(1), {}),
    (InputLocked(1), {}),
    (InputUnlocked(1), {}),
    (Underrun(1, UTTERANCE), {"utterance": "greeting"}),
    (UnderrunEnded(1, UTTERANCE, 0.5), {"utterance": "greeting", "seconds": 0.5}),
    (AudioRefused(1, None, 480, "locked"), {"utterance": None, "samples": 480, "reason": "locked"}),
    (Stalled(1, 0.25), {"seconds": 0.25}),
    (FarEndReported(1, 0.1, 0.02, None), {"loss": 0.1, "jitter_seconds": 0.02, "round_trip_seconds": None}),
    (Closed(1), {}),
    (ErrorRaised(1, KeyError("x"), "read"), {"exception": {"type": "KeyError", "message": "'x'"}, "source": "read"}),
    (EventsLost(1, 3), {"count": 3}),
    (InputEnded(1, UTTERANCE), {"utterance": "greeting"}),
    (policy.BargeInSuspected(1, 7.0, 0.5), {"time": 7.0, "seconds": 0.5}),
    (policy.BargedIn(1, 7.0, 0.7, "no, wait"), {"time": 7.0, "seconds": 0.7, "words": "no, wait"}),
    (policy.FalseInterruption(1, 7.0, 0.8), {"time": 7.0, "seconds": 0.8}),
    (policy.UserTurnStarted(1, 7.0, 0.1), {"time": 7.0, "seconds": 0.1}),
    (policy.UserTurnEnded(1, 7.0, 2.5), {"time": 7.0, "seconds": 2.5}),
    (policy.AgentTurnStarted(1, 7.0, TURN, 0.9), {"time": 7.0, "turn": "answer", "latency": 0.9}),
    (
        policy.AgentTurnEnded(1, 7.0, TURN, TURN_REPORT),
        {"time": 7.0, "turn": "answer", "report": TURN_REPORT.as_dict()},
    ),
    (policy.Silence(1, 7.0, 8.0), {"time": 7.0, "seconds": 8.0}),
]
each_event = pytest.mark.parametrize(("event", "fields"), ALL, ids=[event.name for event, _ in ALL])


def all_events() -> set[type[Event]]:
    """Every event of the library."""
    found: set[type[Event]] = set()
    left = Event.__subclasses__()
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        # A dataclass with slots is made of another class, which is no part of its module.
        if kind.__module__.startswith("playback.") and getattr(sys.modules[kind.__module__], kind.__name__) is kind:
            found.add(kind)
    return found


def objects(*kinds: type) -> int:
    """How many objects of these types there are."""
    gc.collect()
    return sum(isinstance(each, kinds) for each in gc.get_objects())


# Names


def test_every_event_is_tried_here() -> None:
    assert {type(event) for event, _ in ALL} | {Chunk, PolicyEvent} == all_events()


@pytest.mark.parametrize(
    ("events", "names"), [(EVENTS, EventName), (policy.EVENTS, BargeInEventName)], ids=["controller", "policy"]
)
def test_the_names_are_those_of_the_events(events: dict[str, type[Event]], names: object) -> None:
    assert list(events) == list(get_args(names)) == [event.name for event in events.values()]


def test_events_can_not_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ALL[0][0].position = 5  # type: ignore[misc]


# JSON


@each_event
def test_json_takes_every_event(event: Event, fields: dict[str, Any]) -> None:
    plain = event.as_dict()
    assert plain == {"name": event.name, "position": 1, **fields}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_json_takes_whatever_a_call_emits() -> None:
    h = Heard()
    h.controller.on("paused", lambda _: 1 / 0)
    utterance = h.controller.utterance(text="one")
    utterance.push(np.ones(FRAME + 7, np.int16))
    for payload in ("one", Word(), float("nan"), b"\xff", {1: {2}}, np.float32(0.5)):
        utterance.mark(payload, at=0.0)
    h.read()
    h.read()
    h.controller.pause()
    h.controller.interrupt(lock=True)
    utterance.push(np.ones(1, np.int16))
    h.controller.report_stall(float("inf"))
    h.controller.report_stall(np.float64(0.5))
    h.controller.close()
    lines = [json.loads(json.dumps(event.as_dict(), allow_nan=False)) for event in h.events]
    assert [line["name"] for line in lines] == [event.name for event in h.events]
    payloads = [line["payload"] for line in lines if line["name"] == "mark_reached"]
    assert payloads[:2] == ["one", {"repr": "<word>"}]
    assert [line["seconds"] for line in lines if line["name"] == "stalled"] == [{"repr": "inf"}, 0.5]
    [error] = [line["exception"] for line in lines if line["name"] == "error"]
    assert error == {"type": "ZeroDivisionError", "message": "division by zero"}


def test_an_exception_without_a_message_hurts_nobody() -> None:
    exception = ErrorRaised(1, BrokenError(), "read").as_dict()["exception"]
    assert exception["type"] == "BrokenError"
    assert "BrokenError object" in exception["message"]


def test_a_report_in_an_event_is_what_the_report_gives() -> None:
    assert REPORT is not None
    plain = REPORT.as_dict()
    assert plain["outcome"] == "interrupted"
    assert (plain["heard"], plain["heard_from"]) == ("one", "marks")
    assert plain["marks"] == [[0, None, "one"], [FRAME, None, "two"]]
    assert {name: plain[name] for name in ("id", "accepted", "played", "discarded", "refused", "text")} == {
        "id": "greeting",
        "accepted": 4 * FRAME,
        "played": FRAME,
        "discarded": 3 * FRAME,
        "refused": 0,
        "text": "one two",
    }


# Copies


COPIES: dict[str, Callable[[Event], Event]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "replace": lambda event: replace(event, position=1),
}


@pytest.mark.parametrize("how", COPIES.values(), ids=list(COPIES))
@each_event
def test_a_copy_refers_to_the_same_utterance(
    event: Event, fields: dict[str, Any], how: Callable[[Event], Event]
) -> None:
    copied = how(event)
    assert copied.as_dict() == event.as_dict()
    if "utterance" in fields:
        assert copied.utterance is event.utterance  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", [*COPIES.values(), asdict], ids=[*COPIES, "dict"])
def test_no_copy_of_an_event_copies_a_controller(how: Callable[[Any], Any]) -> None:
    before = objects(PlaybackController, Playout, Utterance)
    copies = [how(event) for event, _ in ALL]
    assert objects(PlaybackController, Playout, Utterance) == before
    assert len(copies) == len(ALL)


@each_event
def test_a_dict_of_its_fields_refers_to_the_same_utterance(event: Event, fields: dict[str, Any]) -> None:
    plain = asdict(event)
    assert set(plain) == {"position", "wall_time", *fields}
    if "utterance" in fields:
        assert plain["utterance"] is event.utterance  # type: ignore[attr-defined]


def test_a_chunk_is_data_as_well() -> None:
    h = Heard()
    chunks: list[Chunk] = []
    h.controller.sinks.add(chunks.append, when="played")
    utterance = h.controller.utterance(id="greeting")
    utterance.push(np.ones(FRAME, np.int16))
    h.read()
    copied = copy.deepcopy(chunks[0])
    assert copied.utterance is chunks[0].utterance is utterance
    plain = copied.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert (plain["utterance"], plain["samples"], plain["when"]) == ("greeting", FRAME, "played")


@pytest.mark.parametrize("what", [UTTERANCE, FirstAudioByte(1, UTTERANCE)], ids=["utterance", "event"])
def test_pickling_an_utterance_says_what_to_do_instead(what: object) -> None:
    with pytest.raises(TypeError, match=r"<Utterance greeting .*can't be pickled, expected Event.as_dict\(\) or"):
        pickle.dumps(what)


def test_a_report_can_be_copied_and_pickled() -> None:
    for again in (copy.copy(REPORT), copy.deepcopy(REPORT), pickle.loads(pickle.dumps(REPORT))):
        assert again == REPORT
        assert again is not None
        assert again.heard == "one"


# What was heard


def report(outcome: Outcome, text: str | None, *, words: bool) -> UtteranceReport:
    """The report of an utterance, of which a word was heard if it was interrupted."""
    h = Heard()
    utterance = h.controller.utterance(text=text)
    utterance.push(np.ones(2 * FRAME, np.int16))
    if words:
        utterance.mark("one", at=0.0)
        utterance.mark("two", at=FRAME / 24_000)
    else:
        utterance.mark(1, at=0.0)
    h.read()
    if outcome is Outcome.COMPLETED:
        utterance.end()
        h.read()
    elif outcome is Outcome.INTERRUPTED:
        h.controller.interrupt()
    else:
        h.controller.close()
    assert utterance.report is not None
    assert utterance.report.outcome is outcome
    return utterance.report


CUT_SHORT = (Outcome.INTERRUPTED, Outcome.CLOSED)
HEARD: list[tuple[Outcome, str | None, bool, str | None, HeardFrom | None]] = [
    (Outcome.COMPLETED, "One, two.", True, "One, two.", "completed"),
    (Outcome.COMPLETED, "One, two.", False, "One, two.", "completed"),
    (Outcome.COMPLETED, None, True, "one two", "marks"),
    (Outcome.COMPLETED, None, False, None, None),
    *((outcome, "One, two.", True, "One", "marks") for outcome in CUT_SHORT),
    *((outcome, "One, two.", False, "", "estimate") for outcome in CUT_SHORT),
    *((outcome, None, True, "one", "marks") for outcome in CUT_SHORT),
    *((outcome, None, False, None, None) for outcome in CUT_SHORT),
]


@pytest.mark.parametrize(("outcome", "text", "words", "heard", "heard_from"), HEARD)
def test_heard_from_says_how_it_is_known(
    outcome: Outcome, text: str | None, words: bool, heard: str | None, heard_from: HeardFrom | None
) -> None:
    made = report(outcome, text, words=words)
    assert (made.heard, made.heard_from) == (heard, heard_from)
    assert made.as_dict()["heard_from"] == heard_from
    assert f", heard={heard!r}, heard_from={heard_from!r})" in repr(made)
    assert repr(made).startswith("UtteranceReport(id='utterance-1', outcome=<Outcome.")
    assert "Mark" not in repr(made), "words are what heard is made from: they would hide it"


def test_nothing_was_heard_of_what_never_sounded() -> None:
    controller = PlaybackController()
    utterance = controller.utterance(text="one")
    utterance.mark("one")
    controller.interrupt()
    assert utterance.report is not None
    assert (utterance.report.heard, utterance.report.heard_from) == ("", "marks")
