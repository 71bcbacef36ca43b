"""Observers: what they see, who may be one, and that nothing is spent on them while there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, BufferFull, PlaybackController
from playback.controller import NEW_CONTROLLERS
from playback.events import Event
from tests.signals import CUTS, FRAME, RATE

pytestmark = pytest.mark.portable

FRAME_BYTES = bytes(2 * FRAME)


class Watcher:
    """Keeps what it sees, in order, as lines to read."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.calls: list[str] = []
        self.arguments: dict[str, Any] = {}

    def called(self, position: int, name: str, arguments: dict[str, Any]) -> None:
        self.calls.append(arguments.get("event", name))
        self.arguments = arguments
        self.seen.append(f"{position}: {self.calls[-1]}()")

    def edge(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None:
        self.seen.append(f"{position}: {source} --{event}--> {target} {list(outputs)}")

    def event(self, event: Event) -> None:
        self.seen.append(f"{event.position}: {event.name}")

    def take(self) -> list[str]:
        """The calls so far; and forget them."""
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def controller() -> PlaybackController:
    return PlaybackController(AudioFormat(RATE), fades=CUTS)


@pytest.fixture
def watcher(controller: PlaybackController) -> Watcher:
    watcher = Watcher()
    controller.observe(watcher)
    return watcher


def speaking(controller: PlaybackController) -> None:
    """Bring it where both fast paths are open, if they ever are."""
    controller.push(FRAME_BYTES * 9)
    controller.read(FRAME)
    controller.push(FRAME_BYTES)


def fast_paths(controller: PlaybackController) -> tuple[bool, bool]:
    """Whether the next push and the next read may take the fast path."""
    fast = controller._transitions.fast
    return fast.push is not None, fast.read is not None


# What they see


def test_a_call_its_edge_and_its_events_are_seen_in_this_order(
    controller: PlaybackController, watcher: Watcher
) -> None:
    controller.pause()
    assert watcher.seen == ["0: pause()", "0: idle --pause--> paused.empty ['paused']", "0: paused", "0: state_changed"]


def test_arguments_are_seen_by_name(controller: PlaybackController, watcher: Watcher) -> None:
    controller.interrupt(force=True)
    assert watcher.arguments == {"by": "application", "lock": False, "force": True, "to_word_end": False}
    controller.report_stall(0.5)
    assert watcher.arguments == {"seconds": 0.5}


def test_every_push_and_every_read_is_seen(controller: PlaybackController) -> None:
    speaking(controller)
    assert fast_paths(controller) == (True, True)
    watcher = Watcher()
    controller.observe(watcher)
    for _ in range(3):
        controller.push(FRAME_BYTES)
        controller.read(FRAME)
    assert watcher.take() == ["push", "read"] * 3


def test_what_changes_nothing_is_a_call_as_well(controller: PlaybackController, watcher: Watcher) -> None:
    assert not controller.resume()
    assert not controller.unlock()
    assert watcher.take() == ["resume", "unlock"]


# Calls of the playout itself


def test_what_the_playout_calls_itself_is_no_call_from_outside(
    controller: PlaybackController, watcher: Watcher
) -> None:
    controller.push(FRAME_BYTES)
    assert watcher.take() == ["utterance", "push"], "a handle's first use is one"
    controller.interrupt(lock=True)  # locks
    assert controller.input_locked
    assert watcher.take() == ["interrupt"]
    controller.unlock()
    late = controller.utterance()
    late.push(FRAME_BYTES)
    controller.lock()
    watcher.take()
    late.push(FRAME_BYTES)  # is refused
    assert watcher.take() == ["push"]


def test_what_a_listener_calls_is_a_call_from_outside(controller: PlaybackController, watcher: Watcher) -> None:
    controller.once("paused", lambda _: controller.resume())
    controller.once("resumed", lambda _: controller.interrupt(lock=True))
    controller.pause()
    assert watcher.take() == ["pause", "resume", "interrupt"]
    controller.once("input_unlocked", lambda _: controller.read(FRAME).sum())
    controller.unlock()
    assert watcher.take() == ["unlock", "read"]


def test_what_comes_after_a_listener_that_called_is_a_call_from_outside_too(
    controller: PlaybackController, watcher: Watcher
) -> None:
    def call(event: Event) -> None:
        controller.pause()
        controller.resume()
        raise RuntimeError(event.name)

    controller.once("first_audio_byte", call)
    controller.push(FRAME_BYTES)
    controller.read(FRAME)
    controller.lock()
    assert watcher.take() == ["utterance", "push", "read", "pause", "resume", "lock"]


def test_after_a_call_that_raises_the_next_one_is_seen() -> None:
    controller = PlaybackController(max_buffered_seconds=0.02, high_water_seconds=0.02)
    watcher = Watcher()
    controller.observe(watcher)
    for _ in range(2):
        with pytest.raises(BufferFull):
            controller.push(np.ones(1_000, np.int16))
    assert watcher.take() == ["utterance", "push", "push"]


# Several, and none


def test_several_see_the_same(controller: PlaybackController) -> None:
    watchers = [Watcher() for _ in range(3)]
    for watcher in watchers:
        controller.observe(watcher)
    speaking(controller)
    controller.interrupt(lock=True)
    controller.close()
    assert watchers[0].seen == watchers[1].seen == watchers[2].seen
    assert len(watchers[0].seen) > 15


def test_one_that_is_removed_sees_no_more_and_the_others_go_on(controller: PlaybackController) -> None:
    first, second = Watcher(), Watcher()
    remove_first, remove_second = controller.observe(first), controller.observe(second)
    controller.pause()
    remove_first()
    remove_first()
    controller.resume()
    assert (first.take(), second.take()) == (["pause"], ["pause", "resume"])
    remove_second()
    controller.lock()
    assert not first.calls + second.calls


def test_one_may_come_and_go_in_a_listener(controller: PlaybackController) -> None:
    watcher = Watcher()
    removes = []
    controller.once("paused", lambda _: removes.append(controller.observe(watcher)))
    controller.once("resumed", lambda _: removes.pop()())
    controller.pause()
    controller.resume()
    controller.lock()
    assert watcher.take() == ["resume"]
    assert "0: resumed" in watcher.seen
    assert not removes


def test_the_fast_paths_are_open_unless_somebody_watches(controller: PlaybackController) -> None:
    speaking(controller)
    assert fast_paths(controller) == (True, True)
    removes = [controller.observe(Watcher()) for _ in range(2)]
    assert fast_paths(controller) == (False, False)
    speaking(controller)
    assert fast_paths(controller) == (False, False)
    removes[0]()
    assert fast_paths(controller) == (False, False)
    removes[1]()
    controller.read(FRAME)
    controller.push(FRAME_BYTES)
    assert fast_paths(controller) == (True, True)


def test_nothing_is_called_for_observers_while_there_is_none(
    controller: PlaybackController, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("there is nobody to report to")

    for name in ("called", "edge", "event"):
        monkeypatch.setattr(f"playback.core.observer.Observers.{name}", refuse)
    errors: list[Event] = []
    controller.on("error", errors.append)
    speaking(controller)
    controller.pause()
    controller.interrupt(lock=True)
    controller.close()
    assert not errors
    assert controller._emitter.watch is None


# One that need not see everything


def test_one_that_need_not_see_everything_leaves_the_fast_paths_open(controller: PlaybackController) -> None:
    watcher = Watcher()
    stop = controller.observe(watcher, everything=False)
    speaking(controller)
    assert fast_paths(controller) == (True, True)
    controller.read(FRAME)
    assert watcher.take() == ["utterance"]
    controller.pause()
    assert watcher.take() == ["pause"]
    assert "paused" in watcher.seen[-2]
    stop()
    controller.resume()
    assert watcher.take() == []


def test_beside_one_that_sees_everything_the_fast_paths_are_closed_until_that_one_ends(
    controller: PlaybackController,
) -> None:
    controller.observe(Watcher(), everything=False)
    everything = Watcher()
    stop = controller.observe(everything)
    speaking(controller)
    assert fast_paths(controller) == (False, False)
    assert everything.take() == ["utterance", "push", "read", "push"]
    stop()
    controller.read(FRAME)
    controller.push(FRAME_BYTES)
    assert fast_paths(controller) == (True, True)


# Who is notified of new controllers


def test_each_controller_that_is_made_is_reported_until_that_is_ended() -> None:
    made: list[PlaybackController] = []
    stop = NEW_CONTROLLERS.add(made.append)
    again = NEW_CONTROLLERS.add(made.append)
    one = PlaybackController()
    assert made == [one, one]
    stop()
    stop()
    other = PlaybackController()
    assert made == [one, one, other]
    again()
    PlaybackController()
    assert len(made) == 3
