"""Observers: what a page draws and no event carries, the edges of one chart and the leaves of the other."""

from __future__ import annotations

import math
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, Final

from playback.bargein import EVENTS, BargeIn
from playback.controller import PlaybackController
from playback.demo.protocol import Listen
from playback.events import Event, EventName

_LEAF_MAY_CHANGE: Final[tuple[EventName, ...]] = ("state_changed", "first_audio_byte", "utterance_finished")
"""After which of the controller's events the policy may have another leaf."""


class EdgeObserver:
    """Observes a controller's chart, and passes on each edge when it is taken.

    Args:
        on_edge: called with position, source, event and target, while the edge is being taken; it must not call the
            controller.
    """

    def __init__(self, on_edge: Callable[[int, str, str, str], object]) -> None:
        self._on_edge: Final = on_edge

    def called(self, position: int, name: str, arguments: dict[str, Any]) -> None:
        """Calls are not drawn."""

    def event(self, event: Event) -> None:
        """Events are emitted by the controller itself."""

    def edge(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None:
        """Pass on an edge, but for a push that changes nothing: there are dozens a second."""
        if event != "push" or source != target or outputs:
            self._on_edge(position, source, event, target)


class PolicyObserver:
    """A policy, whose leaf is reported each time it is another one.

    Args:
        controller: whose speech it decides about.
        options: how.
        loop: its clock.
        on_event: called with each event of the policy.
        on_leaf: called with each leaf, the first one too.
    """

    def __init__(
        self,
        controller: PlaybackController,
        options: Listen,
        loop: AbstractEventLoop,
        on_event: Callable[[Event, str], object],
        on_leaf: Callable[[str], object],
    ) -> None:
        self._loop: Final = loop
        self._on_event: Final = on_event
        self._on_leaf: Final = on_leaf
        self._leaf = ""
        self.policy: Final = BargeIn(
            controller,
            pause_after_seconds=options.pause_after_seconds if options.mode == "pause" else math.inf,
            min_seconds=options.min_seconds,
            false_after_seconds=options.false_after_seconds,
            lock=options.lock,
            timer=self,
        )
        for name in EVENTS:
            self.policy.on(name, self._forward)
        # The policy listens to these, too, and was there first.
        for event in _LEAF_MAY_CHANGE:
            controller.on(event, self._look)
        self._look()

    def time(self) -> float:
        """The loop's clock, through which the policy looks."""
        return self._loop.time()

    def call_at(self, when: float, callback: Callable[[], object], /) -> Any:
        """Call the policy back, and see what has become of it."""

        def call() -> None:
            callback()
            self._look()

        return self._loop.call_at(when, call)

    def heard(self, speaking: bool, seconds_ago: float = 0.0) -> None:
        """The user has begun to speak, or fallen silent, so long before now."""
        if speaking:
            self.policy.speech_started(seconds_ago)
        else:
            self.policy.speech_ended(seconds_ago)
        self._look()

    def understood(self, text: str, *, final: bool, certainty: float) -> None:
        """The user has said a short word."""
        self.policy.transcript(text, final=final, certainty=certainty)
        self._look()

    def stop(self) -> None:
        """Let go of the controller."""
        for name in _LEAF_MAY_CHANGE:
            self.policy.controller.remove_listener(name, self._look)
        self.policy.stop()
        self._look()

    def _forward(self, event: Event) -> None:
        self._on_event(event, self.policy.leaf)
        self._look()

    def _look(self, _: object = None) -> None:
        if self._leaf != self.policy.leaf:
            self._leaf = self.policy.leaf
            self._on_leaf(self._leaf)
