"""Playout: the commands, and the parts that they act on. The controller is its facade.

It holds the transitions (chart, queue, playhead), what producers do (input) and what the reader does (output). Each
command does its work, fires its event and completes the step; all that follows from it is in the chart.
"""

from __future__ import annotations

from typing import Final

from playback.audio.formats import AudioFormat
from playback.audio.ramps import Fades
from playback.chart import CLOSED, PAUSED, PLAYBACK
from playback.core.input import Input
from playback.core.limits import Limits
from playback.core.observer import Observers, observed
from playback.core.output import Output
from playback.core.transitions import Transitions
from playback.core.turns import Turns
from playback.report import Outcome


class Playout:
    """Everything a controller can be asked to do.

    Args:
        format: what is handed out.
        limits: how much is buffered.
        fades: how long each change takes.
    """

    __slots__ = ("input", "observers", "output", "transitions", "turns")

    def __init__(self, format: AudioFormat, limits: Limits, fades: Fades) -> None:
        self.transitions: Final = Transitions(format, limits, fades)
        self.turns: Final = Turns(self.transitions)
        self.input: Final = Input(self.transitions, self.turns)
        self.output: Final = Output(self.transitions)
        self.observers: Final[Observers] = self.transitions.observers
        """Who watches."""

    @property
    def leaf(self) -> str:
        """Where the chart stands."""
        return self.transitions.session.leaf

    @property
    def into_word(self) -> int:
        """How many samples of the current word of the head were played; 0 between words, and without any."""
        head = self.transitions.queue.head
        return 0 if head is None else head._clip.into_word

    @observed("command")
    def command(self, event: str) -> bool:
        """Fire an event that touches no audio: a pause or an unlock."""
        before = self.leaf
        taken = self.transitions.fire(event)
        self.transitions.complete(before)
        return taken

    @observed("resume")
    def resume(self, rewind: int) -> bool:
        """Come out of a pause, so many samples earlier."""
        before, transitions = self.leaf, self.transitions
        if before not in PAUSED:
            return False
        rewound = transitions.playhead.rewind(rewind) if rewind else 0
        transitions.playhead.resume()
        transitions.fire("resume", rewound=rewound)
        transitions.complete(before)
        return True

    @observed("interrupt")
    def interrupt(self, *, lock: bool, force: bool) -> bool:
        """Drop everything, but for a playing utterance that may not be interrupted."""
        before, transitions = self.leaf, self.transitions
        transitions.generation = object()
        head = transitions.queue.head
        if head is not None and not head.interruptible and not force:
            finished = transitions.finish_all(Outcome.INTERRUPTED, keep=head)
            transitions.fire("drop_waiting")
        else:
            transitions.playhead.interrupt(paused=before in PAUSED)
            discarded = transitions.queue.buffered
            finished = transitions.finish_all(Outcome.INTERRUPTED)
            transitions.fire("interrupt", discarded=discarded)
            transitions.playhead.fading |= (before, "interrupt") in PLAYBACK.outputs
            if lock:
                self.input.lock()
        transitions.complete(before)
        return finished > 0 or self.leaf != before

    @observed("lock")
    def lock(self) -> bool:
        """Refuse every push from now on."""
        before = self.leaf
        locked = self.input.lock()
        self.transitions.complete(before)
        return locked

    @observed("close")
    def close(self) -> bool:
        """Finish everything, for good."""
        before, transitions = self.leaf, self.transitions
        if before == CLOSED:
            return False
        transitions.finish_all(Outcome.CLOSED)
        transitions.playhead.hush()
        transitions.fire("close")
        transitions.complete(before)
        return True
