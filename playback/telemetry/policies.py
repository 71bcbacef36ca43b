"""PolicyTelemetry: how fast the conversation's turns change, as a barge-in policy sees it."""

from __future__ import annotations

from typing import Final

from playback.bargein.events import AgentTurnStarted, BargedIn, FalseInterruption
from playback.bargein.policy import BargeIn
from playback.telemetry.instruments import Instruments

_BARGE_IN: Final = {"playback.barge_in.decision": "barge_in"}
_FALSE: Final = {"playback.barge_in.decision": "false_interruption"}


class PolicyTelemetry:
    """Measures one policy.

    Args:
        policy: which one.
        instruments: where to.
    """

    __slots__ = ("__weakref__", "_instruments", "_policy")

    def __init__(self, policy: BargeIn, instruments: Instruments) -> None:
        self._policy: BargeIn | None = policy
        self._instruments: Final = instruments
        policy.on("agent_turn_started", self._agent_turn_started)
        policy.on("barge_in", self._barged_in)
        policy.on("false_interruption", self._went_on)

    def stop(self) -> None:
        """Measure no more."""
        policy, self._policy = self._policy, None
        if policy is not None:
            policy.remove_listener("agent_turn_started", self._agent_turn_started)
            policy.remove_listener("barge_in", self._barged_in)
            policy.remove_listener("false_interruption", self._went_on)

    def _agent_turn_started(self, event: AgentTurnStarted) -> None:
        if event.latency is not None:
            self._instruments.turn_latency.record(event.latency)

    def _barged_in(self, event: BargedIn) -> None:
        self._instruments.decision.record(event.seconds, _BARGE_IN)

    def _went_on(self, event: FalseInterruption) -> None:
        self._instruments.decision.record(event.seconds, _FALSE)
