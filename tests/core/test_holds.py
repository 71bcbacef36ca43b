"""Holds: several owners pause a controller, and each ends its own pause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController, State
from playback.events import Event, Paused, Resumed

RATE = 8_000
CUTS = Fades(0, 0, 0, 0)


@pytest.fixture
def controller() -> PlaybackController:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    controller.push(np.arange(1, RATE + 1).astype(np.int16))
    controller.read(160)
    return controller


def emitted(controller: PlaybackController) -> list[Event]:
    events: list[Event] = []
    for name in ("paused", "resumed", "interrupted"):
        controller.on(name, events.append)
    return events


def first(controller: PlaybackController) -> int:
    return int(controller.read(160)[0, 0])


def test_it_goes_on_when_the_last_owner_resumes(controller: PlaybackController) -> None:
    events = emitted(controller)
    assert controller.pause(by="lost peer")
    assert controller.pause()
    assert [*controller.holds] == ["lost peer", "application"]
    assert controller.resume()
    assert (controller.state.value, [*controller.holds]) == ("paused", ["lost peer"])
    assert first(controller) == 0
    assert controller.resume(by="lost peer")
    assert first(controller) == 161
    assert events == [Paused(160, "lost peer"), Resumed(320, 0, "lost peer")]


def test_an_owner_holds_once_and_releases_nothing_but_its_own(controller: PlaybackController) -> None:
    events = emitted(controller)
    assert controller.pause(by="one")
    assert not controller.pause(by="one")
    assert not controller.resume(by="another")
    assert not controller.resume()
    assert controller.resume(by="one")
    assert not controller.resume(by="one")
    assert [event.name for event in events] == ["paused", "resumed"]


def test_the_longest_rewind_that_an_owner_asked_for_counts(controller: PlaybackController) -> None:
    for owner in ("a", "b", "c"):
        controller.pause(by=owner)
    controller.resume(0.005, by="a")
    controller.resume(0.015, by="b")
    controller.resume(by="c")
    assert first(controller) == 161 - 120
    controller.pause()
    controller.resume()
    assert first(controller) == 161 - 120 + 160  # that one had no rewind


def test_an_interrupt_ends_the_hold_of_its_owner_alone(controller: PlaybackController) -> None:
    events = emitted(controller)
    controller.pause(by="lost peer")
    controller.pause(by="barge-in")
    controller.interrupt(by="barge-in")
    assert (controller.leaf, controller.holds) == ("paused.empty", ("lost peer",))
    controller.push(np.full(320, 7, np.int16))
    assert first(controller) == 0
    controller.resume(1.0, by="lost peer")
    assert first(controller) == 7
    assert [event.name for event in events] == ["paused", "interrupted", "paused", "resumed"]


def test_an_interrupt_by_a_stranger_drops_the_speech_and_ends_no_hold(controller: PlaybackController) -> None:
    controller.pause(by="barge-in")
    assert controller.interrupt()
    assert (controller.leaf, controller.buffered, controller.holds) == ("paused.empty", 0, ("barge-in",))


def test_a_rewind_does_not_outlast_what_was_paused(controller: PlaybackController) -> None:
    controller.pause(by="a")
    controller.pause(by="b")
    controller.resume(0.01, by="a")
    controller.interrupt(by="b")
    controller.push(np.arange(1, 1601).astype(np.int16))
    assert first(controller) == 1
    controller.pause()
    controller.resume()
    assert first(controller) == 161


def test_a_close_ends_every_hold(controller: PlaybackController) -> None:
    controller.pause(by="a")
    controller.close()
    assert controller.holds == ()
    assert not controller.resume(by="a")
    assert not controller.pause(by="a")


@pytest.mark.parametrize(
    ("by", "error", "message"),
    [(1, TypeError, "by is 1, expected a string"), ("", ValueError, "by is empty, expected a name")],
)
def test_an_owner_has_a_name(controller: PlaybackController, by: Any, error: type[Exception], message: str) -> None:
    for call in (controller.pause, controller.resume, controller.interrupt):
        with pytest.raises(error, match=message):
            call(by=by)
    assert controller.state is State.SPEAKING
