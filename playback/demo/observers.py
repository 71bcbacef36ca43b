"""Watching: what a page draws that no event tells, the edges of one chart and the leaves of the other."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import Any, Final

from playback.bargein import EVENTS, BargeIn
from playback.controller import PlaybackController
from playback.demo.protocol import Listen
from playback.events import Event
from playback.tracing.trace import Trace

_LEAF_MAY_CHANGE: Final = ("state_changed", "first_audio_byte", "utterance_finished")
"""After which of the controller's events the policy may have another leaf."""


class EdgeWatch(Trace):
    """A trace that keeps nothing, and tells each edge when it is taken."""

    on_edge: Callable[[int, str, str, str], object]

    @classmethod
    def watch(cls, controller: PlaybackController, on_edge: Callable[[int, str, str, str], object]) -> EdgeWatch:
        """Watch a controller.

        Args:
            controller: it has no other trace.
            on_edge: called with position, source, event and target, while the edge is being taken; it must not call
                the controller.
        """
        watch = cls.begin(controller._playout, controller.input_format, 1)
        assert isinstance(watch, cls)
        watch.on_edge = on_edge
        return watch

    def called(self, name: str, arguments: dict[str, Any]) -> None:
        """Calls are nothing that is drawn."""

    def told(self, event: Event) -> None:
        """Events are told by the controller itself."""

    def took(self, position: int, source: str, event: str, target: str, outputs: tuple[str, ...]) -> None:
        """Tell an edge."""
        # As in any trace: a push that changes nothing happens dozens of times a second.
        if event != "push" or source != target or outputs:
            self.on_edge(position, source, event, target)


class PolicyWatch:
    """A policy, whose leaf is told each time it is another one.

    Args:
        controller: whose speech it decides about.
        wishes: how.
        loop: its clock.
        on_event: called with each event of the policy.
        on_leaf: called with each leaf, the first one too.
    """

    def __init__(
        self,
        controller: PlaybackController,
        wishes: Listen,
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
            mode=wishes.mode,
            min_seconds=wishes.min_seconds,
            false_after_seconds=wishes.false_after_seconds,
            lock=wishes.lock,
            timer=self,
        )
        for name in EVENTS:
            self.policy.on(name, self._told)
        # The policy listens to these, too, and was there first.
        for name in _LEAF_MAY_CHANGE:
            controller.on(name, self._look)
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

    def heard(self, speaking: bool) -> None:
        """The user has begun to speak, or fallen silent."""
        if speaking:
            self.policy.speech_started()
        else:
            self.policy.speech_ended()
        self._look()

    def stop(self) -> None:
        """Let go of the controller."""
        for name in _LEAF_MAY_CHANGE:
            self.policy.controller.remove_listener(name, self._look)
        self.policy.stop()
        self._look()

    def _told(self, event: Event) -> None:
        self._on_event(event, self.policy.leaf)
        self._look()

    def _look(self, _: object = None) -> None:
        if self._leaf != self.policy.leaf:
            self._leaf = self.policy.leaf
            self._on_leaf(self._leaf)
