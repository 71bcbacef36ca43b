"""What a type checker finds in code that subscribes, and what it lets pass.

mypy checks this file with all others (``make lint``). Each ``type: ignore`` here stands for an error that it has to
find: in strict mode it reports each one that is not needed. What runs is what a program without a type checker gets.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from playback import PlaybackController
from playback.bargein import EVENTS as BARGE_IN_EVENTS
from playback.bargein import BargedIn, BargeIn, FalseInterruption
from playback.events import EVENTS, Event, Paused, Resumed, Underrun, UtteranceFinished

pytestmark = pytest.mark.portable


@pytest.fixture
def controller() -> PlaybackController:
    return PlaybackController()


@pytest.fixture
async def policy(controller: PlaybackController) -> BargeIn:
    return BargeIn(controller)


def of_paused(event: Paused) -> int:
    return event.position


def of_resumed(event: Resumed) -> int:
    return event.rewound


def of_any(event: Event) -> str:
    return event.name


async def later_of_paused(event: Paused) -> None:
    of_paused(event)


class Agent:
    """Subscribes its methods."""

    def __init__(self, controller: PlaybackController) -> None:
        self.rewound: list[int] = []
        controller.on("resumed", self.resumed)
        controller.once("utterance_finished", self.finished)

    def resumed(self, event: Resumed) -> None:
        self.rewound.append(event.rewound)

    async def finished(self, event: UtteranceFinished) -> None:
        assert event.report.heard_from is None


def test_a_misspelled_name_is_an_error(controller: PlaybackController) -> None:
    with pytest.raises(ValueError, match="last_audio_bite"):
        controller.on("last_audio_bite", print)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="last_audio_bite"):
        controller.once("last_audio_bite")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="last_audio_bite"):
        controller.remove_listener("last_audio_bite", print)  # type: ignore[arg-type]


def test_a_listener_of_another_event_is_an_error(controller: PlaybackController) -> None:
    controller.on("paused", of_resumed)  # type: ignore[call-overload]
    controller.once("resumed", later_of_paused)  # type: ignore[call-overload]
    controller.on("paused", Agent(controller).resumed)  # type: ignore[call-overload]

    @controller.on("paused")  # type: ignore[arg-type]
    def decorated(event: Underrun) -> None:
        assert event.utterance


def test_an_attribute_that_the_event_does_not_have_is_an_error(controller: PlaybackController) -> None:
    controller.on("paused", lambda event: event.rewound)  # type: ignore[call-overload]
    controller.on("utterance_finished", lambda event: event.report.herd)  # type: ignore[call-overload]


def test_good_code_passes(controller: PlaybackController) -> None:
    kept: Callable[[Paused], int] = controller.on("paused", of_paused)
    coroutine: Callable[[Paused], Coroutine[Any, Any, None]] = controller.on("paused", later_of_paused)
    assert (kept, coroutine) == (of_paused, later_of_paused)

    @controller.on("resumed")
    def decorated(event: Resumed) -> int:
        return event.rewound

    @controller.once("resumed")
    async def decorated_coroutine(event: Resumed) -> int:
        return event.rewound

    assert callable(decorated)
    assert callable(decorated_coroutine)
    controller.on("utterance_finished", lambda event: print(event.report.heard, event.utterance.text))
    controller.on("paused", of_any)  # a listener of any event is one of this
    for name in EVENTS:
        controller.on(name, of_any)
        controller.remove_listener(name, of_any)
    agent = Agent(controller)
    for kept_ in (of_paused, later_of_paused):
        controller.remove_listener("paused", kept_)
    controller.pause()
    controller.resume()
    assert agent.rewound == [0]


async def test_a_policy_s_mistakes_are_errors(policy: BargeIn) -> None:
    with pytest.raises(ValueError, match="barged_in"):
        policy.on("barged_in", print)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="barged_in"):
        policy.remove_listener("barged_in", print)  # type: ignore[arg-type]
    policy.on("barge_in", of_paused)  # type: ignore[call-overload]
    policy.on("false_interruption", lambda event: event.words)  # type: ignore[call-overload]

    @policy.on("barge_in")  # type: ignore[arg-type]
    def decorated(event: FalseInterruption) -> None:
        assert event.seconds


async def test_a_policy_s_good_code_passes(policy: BargeIn) -> None:
    @policy.on("barge_in")
    def decorated(event: BargedIn) -> str | None:
        return event.words

    assert callable(decorated)
    policy.on("barge_in_suspected", lambda event: event.seconds)
    policy.on("false_interruption", of_any)
    for name in BARGE_IN_EVENTS:
        policy.on(name, of_any)
        policy.remove_listener(name, of_any)
