"""Drain: coroutines that wait until everything was heard. Time is samples read, as everywhere in the core.

State. How many coroutines wait. While there are any, the fast path of reads is closed, so that each read looks whether
they may go on.
"""

from __future__ import annotations

from typing import Final

from playback._waiting import Gate
from playback.core.playhead import Playhead
from playback.core.queue import PlayoutQueue


class Drain:
    """Where coroutines wait until nothing is left to be heard.

    Args:
        queue: the utterances.
        playhead: where reading stands.
    """

    __slots__ = ("_gate", "_playhead", "_queue", "waiting")

    def __init__(self, queue: PlayoutQueue, playhead: Playhead) -> None:
        self.waiting = 0
        """How many wait."""
        self._gate: Final = Gate()
        self._queue: Final = queue
        self._playhead: Final = playhead

    def is_over(self, network: int) -> bool:
        """Whether nothing is in the queue, no tail sounds, and so many samples were read since the last of speech."""
        playhead = self._playhead
        nothing_left = not self._queue.turns and not self._queue.unheard and playhead.is_silent
        return nothing_left and playhead.position >= playhead.sounded_until + network

    async def next_step(self) -> None:
        """Wait for the end of the next step: a command, or a read."""
        await self._gate.wait()

    def step_over(self) -> None:
        """Let all who wait look again."""
        self._gate.open()
