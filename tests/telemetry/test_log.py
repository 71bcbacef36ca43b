"""The log: a call's story in a dozen lines, each with its id, and nothing personal unless it is asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController
from playback.call_log import LOGGER, TEXTS
from playback.ending import shutdown
from playback.pump import Pump
from playback.track import PlaybackTrack, close_with
from tests.signals import FRAME, RATE
from tests.transports.peers import connected

SECRET = "my number is 4711"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "playback.call"):
        yield caplog


def speech(frames: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.full(frames * FRAME, 1_000, np.int16)


def read(controller: PlaybackController, frames: int) -> None:
    for _ in range(frames):
        controller.read(FRAME)


def scripted_call() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(interrupt_seconds=0.06), id="call 7")
    controller.on("error", lambda _: None)
    answer = controller.turn(id="answer")
    utterance = answer.utterance(text=SECRET)
    utterance.enqueue()
    read(controller, 10)
    utterance.push(speech(5))
    read(controller, 20)
    utterance.push(speech(50))
    read(controller, 10)
    controller.report_stall(0.25)
    controller.pause(by="lost peer")
    read(controller, 50)
    controller.resume(by="lost peer")
    read(controller, 5)
    controller.interrupt(lock=True)
    read(controller, 5)
    for _ in range(50):
        utterance.push(speech(1))
    controller.unlock()
    controller.report_error(ValueError(SECRET), "the synthesizer")
    controller.close(by="the caller, who hung up")


def test_a_call_is_a_story_of_a_dozen_lines(log: pytest.LogCaptureFixture) -> None:
    scripted_call()
    assert [record.getMessage() for record in log.records] == [
        "call 7: turn answer sounds",
        "call 7: underrun of 0.30 s in utterance-1",
        "call 7: stalled: the reader came 0.25 s late",
        "call 7: paused by lost peer",
        "call 7: resumed by lost peer after 1.00 s",
        "call 7: turn answer interrupted: first audio after 0.20 s, 0.40 s played, 0.70 s discarded, 0.30 s of gaps",
        "call 7: interrupted, 0.70 s discarded",
        "call 7: input locked",
        "call 7: silent 0.06 s after the interrupt",
        "call 7: 1.00 s of audio refused: interrupted",
        "call 7: input unlocked",
        "call 7: error of the synthesizer: ValueError",
        "call 7: closed by the caller, who hung up after 2.00 s and 1 turns",
    ]
    assert {record.levelname for record in log.records} == {"INFO"}
    assert {getattr(record, "call_id", None) for record in log.records} == {"call 7"}
    assert {record.name for record in log.records} == {"playback.call"}


def test_edges_are_logged_at_debug(log: pytest.LogCaptureFixture) -> None:
    with log.at_level(logging.DEBUG, "playback.call"):
        scripted_call()
    edges = [record.getMessage() for record in log.records if record.levelno == logging.DEBUG]
    assert "call 7: 0.300 s: speaking.streaming --underrun--> speaking.buffering" in edges
    assert SECRET not in log.text


def test_what_is_said_is_logged_only_where_it_is_asked_for(log: pytest.LogCaptureFixture) -> None:
    assert TEXTS.level == logging.WARNING
    controller = PlaybackController(AudioFormat(RATE), id="call 7")
    utterance = controller.utterance(text=SECRET, id="greeting")
    utterance.push(speech(1))
    utterance.end()
    with log.at_level(logging.INFO, TEXTS.name):
        read(controller, 2)
    assert f"call 7: heard of turn greeting: {SECRET!r}" in [record.getMessage() for record in log.records]


def test_without_info_nothing_is_spent_on_it() -> None:
    assert not LOGGER.isEnabledFor(logging.INFO)
    controller = PlaybackController()
    assert controller._log is None
    assert controller._transitions.observers.all == ()


@pytest.mark.parametrize(("by", "error"), [(7, TypeError), ("", ValueError)])
def test_whoever_closes_has_a_name(by: str, error: type[Exception]) -> None:
    controller = PlaybackController()
    with pytest.raises(error, match="by is"):
        controller.close(by=by)
    assert controller.state == "idle"


def test_who_closes_first_is_named(log: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController(id="call 7")
    controller.close(by="one")
    controller.close(by="other")
    assert log.messages == ["call 7: closed by one after 0.00 s and 0 turns"]


def test_a_name_cannot_look_like_a_line_of_its_own(log: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController(id="call 7\ncall 8: closed")
    controller.pause(by="x\x1b[2J\n")
    controller.close()
    assert log.messages[0] == r"call 7\ncall 8: closed: paused by x\x1b[2J\n"
    assert all(message.isprintable() for message in log.messages)


async def test_a_pump_that_breaks_is_why_a_call_is_closed(log: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController(id="call 7")
    with pytest.raises(ZeroDivisionError):
        await Pump(controller, lambda _: 1 / 0).run()
    assert log.messages[-1] == "call 7: closed by its pump, which raised ZeroDivisionError after 0.02 s and 0 turns"


async def test_a_shutdown_is_why_calls_are_closed(log: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController(id="call 7")
    await shutdown([controller], deadline_seconds=0.0)
    assert "closed by shutdown" in log.messages[-1]


async def test_a_connection_that_comes_up_and_is_closed_is_in_the_story(log: pytest.LogCaptureFixture) -> None:
    controller = PlaybackController(id="call 7")
    track = PlaybackTrack(controller)
    async with connected(track, lambda connection, _: close_with(connection, track)) as peers:
        await peers.receive(0.1)
    story = [message for message in log.messages if message.startswith("call 7")]
    assert story[0] == "call 7: connected"
    assert story[-1].startswith("call 7: closed by its connection, which was closed after 0.")
