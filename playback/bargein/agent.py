"""AgentWatch: how the agent's speech stands, as an internal event: a function of the controller and the leaf.

What may not be interrupted counts as silence there, and so does the end of a word that an interrupt has left. Whether
the agent is audible at all is noted beside it, for the echo guard and for the silence in which nobody speaks.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Final

from playback.bargein.chart import PAUSES, TAKES
from playback.bargein.moments import Moments
from playback.chart import PAUSED, RUNS_DRY, SOUNDS, WAITS, State
from playback.controller import PlaybackController

RESUME_SECONDS: Final = 1.0
"""Agent speech that goes on within this time of the last does not restart the guard: echo cancellation has not
forgotten the echo's way."""

_QUIET: Final = (State.IDLE, State.INPUT_LOCKED)


class Speech(Enum):
    """How the agent's speech stands, as far as it may be interrupted."""

    NONE = auto()
    """There is none."""
    READY = auto()
    """It is the next to be read, and nothing of it was read."""
    SOUNDS = auto()
    """It sounds."""
    GAP = auto()
    """It is to come, or to go on, once there is enough audio."""
    HELD = auto()
    """The policy holds it."""


class AgentWatch:
    """Watches one controller.

    Args:
        controller: whose speech it is.
        hold: the name of the policy's own hold.
        moments: where the times are noted.
    """

    def __init__(self, controller: PlaybackController, hold: str, moments: Moments) -> None:
        self._controller: Final = controller
        self._hold: Final = hold
        self._moments: Final = moments
        self._sounds = False
        self._sounded = -math.inf
        self._turn: object = None
        self.is_quiet = True
        """Whether the agent says nothing, and is not about to."""

    def listen(self, now: float) -> None:
        """Note when the agent began and ceased to sound, and whether the guard begins anew with it."""
        head = self._controller.head
        sounds = self._controller.leaf in SOUNDS and head is not None and head.played > 0
        if sounds and head is not None:
            goes_on = head.turn is self._turn or now < self._sounded + RESUME_SECONDS
            if not self._sounds and not goes_on:
                self._moments.onset = now
            self._turn = head.turn
        if self._sounds:
            self._sounded = now
        self._sounds = sounds
        quiet = self._controller.state in _QUIET
        if not (quiet and self.is_quiet):
            self._moments.quiet_since = now
        self.is_quiet = quiet

    def speech(self, leaf: str) -> Speech:
        """How the agent's speech stands.

        Args:
            leaf: where the barge-in chart stands.
        """
        controller, head = self._controller, self._controller.head
        playback = controller.leaf
        if head is not None and (not head.interruptible or head.is_yielding):
            return Speech.NONE
        if playback in PAUSED:
            # Only a turn that is open can have the floor without any audio.
            is_there = head is not None or playback == "paused.held"
            is_held = leaf in PAUSES and self._hold in controller.holds
            return Speech.HELD if is_held and is_there else Speech.NONE
        if playback in WAITS or (head is None and playback in RUNS_DRY):
            return Speech.GAP
        if playback not in SOUNDS or head is None:
            return Speech.NONE
        return Speech.SOUNDS if head.played else Speech.READY

    def event(self, leaf: str) -> str | None:
        """The internal event that is true now and that the leaf takes, if there is one."""
        speech = self.speech(leaf)
        if leaf in TAKES["quiet_ended"] and speech is Speech.NONE:
            event = "quiet_ended" if self._controller.state is State.SPEAKING else ""
        elif speech is Speech.NONE:
            event = "agent_stopped"
        elif leaf in PAUSES:
            event = "" if speech is Speech.HELD else "hold_released"
        else:
            event = _EVENTS.get(speech, "")
        return event if leaf in TAKES.get(event, ()) else None


_EVENTS: Final = {Speech.READY: "agent_ready", Speech.SOUNDS: "agent_started", Speech.GAP: "gap_began"}
