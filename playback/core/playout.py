"""Playout: the commands, and the parts that they act on. The controller is its facade.

It holds the transitions (chart, queue, playhead), what producers do (input) and what the reader does (output). Each
command does its work, fires its event and completes the step; all that follows from it is in the chart.
"""

from __future__ import annotations

from typing import Final

from playback.audio.formats import AudioFormat
from playback.audio.ramps import Fades
from playback.chart import CLOSED, PAUSED, PLAYBACK, SOUNDS
from playback.core.confirming import Confirming
from playback.core.input import Input
from playback.core.limits import Limits
from playback.core.observer import Observers, observed
from playback.core.output import Output
from playback.core.transitions import Transitions
from playback.core.turns import Turns
from playback.events import Interrupted
from playback.report import Outcome
from playback.utterance import Utterance

WORD_SECONDS: Final = 0.4
"""How much may be left of a word that an interrupt lets end. A word lasts 0.3 to 0.4 s in the mean (210 words a minute
in conversation, 140 in lectures: Tauroza and Allison, "Speech rates in British English", Applied Linguistics 11, 1990),
so nearly all end within it."""


class Playout:
    """Everything a controller can be asked to do.

    Args:
        format: what is handed out.
        limits: how much is buffered.
        fades: how long each change takes.
    """

    __slots__ = ("_rewind", "confirming", "holds", "input", "observers", "output", "transitions", "turns")

    def __init__(self, format: AudioFormat, limits: Limits, fades: Fades) -> None:
        self.transitions: Final = Transitions(format, limits, fades)
        self.confirming: Final = Confirming(self.transitions)
        self.turns: Final = Turns(self.transitions, self.confirming)
        self.input = Input(self.transitions, self.turns, self.confirming)
        self.output = Output(self.transitions)
        self.observers: Final[Observers] = self.transitions.observers
        """Who watches."""
        self.holds: Final[dict[str, None]] = {}
        """Who holds the audio back, in the order in which they began; nobody, unless the leaf is one of a pause."""
        self._rewind = 0  # the most samples that a released hold asked to go back by, while another one lasts

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
        """Fire an event that touches no audio, and has no other arguments: an unlock."""
        before = self.leaf
        taken = self.transitions.fire(event)
        self.transitions.complete(before)
        return taken

    def confirm(self, samples: int) -> None:
        """Count what the listener of a reader that confirms has heard."""
        self.confirming.confirm(samples)

    def pause(self, by: str) -> bool:
        """Hold the audio back for one owner: the first hold is the chart's pause, others add to it."""
        if not self.holds:
            self.confirming.take_back()
        return self._pause(by)

    @observed("pause")
    def _pause(self, by: str) -> bool:
        before = self.leaf
        held = by not in self.holds if self.holds else self.transitions.fire("pause", by=by)
        if held:
            self.holds[by] = None
        self.transitions.complete(before)
        return held

    @observed("resume")
    def resume(self, by: str, rewind: int) -> bool:
        """Release one owner's hold; the last one comes out of the pause, by the most samples that any asked for."""
        before, transitions = self.leaf, self.transitions
        if by not in self.holds:
            return False
        del self.holds[by]
        self._rewind = max(self._rewind, rewind)
        if self.holds:
            return True
        rewound = transitions.playhead.rewind(self._rewind) if self._rewind else 0
        self._rewind = 0
        transitions.playhead.resume()
        transitions.fire("resume", rewound=rewound, by=by)
        transitions.complete(before)
        return True

    def interrupt(self, *, by: str, lock: bool, force: bool, to_word_end: bool) -> bool:
        """Drop everything, but for a playing utterance that may not be interrupted, or what is left of its word.

        The owner's hold ends with what it held back. While others hold, what is pushed from now on stays back, too.
        """
        front = self.transitions.queue.front
        self.confirming.take_back(None if front is None or front.interruptible or force else front)
        return self._interrupt(by=by, lock=lock, force=force, to_word_end=to_word_end)

    @observed("interrupt")
    def _interrupt(self, *, by: str, lock: bool, force: bool, to_word_end: bool) -> bool:
        before, transitions = self.leaf, self.transitions
        moved = False
        transitions.generation = object()
        head = transitions.queue.front
        if head is not None and not head.interruptible and not force:
            finished = transitions.finish_all(Outcome.INTERRUPTED, keep=head)
            transitions.fire("drop_waiting")
        elif to_word_end and head is not None and self._end_with_word(head):
            if lock:
                self.input.lock()
            transitions.complete(before)
            return True
        else:
            transitions.playhead.interrupt(paused=before in PAUSED)
            discarded = transitions.queue.buffered
            finished = transitions.finish_all(Outcome.INTERRUPTED)
            transitions.fire("interrupt", discarded=discarded)
            transitions.playhead.fading |= (before, "interrupt") in PLAYBACK.outputs
            if lock:
                self.input.lock()
            moved = self.leaf != before
            self.holds.pop(by, None)
            self._rewind = 0
            if self.holds:
                transitions.fire("pause", by=next(iter(self.holds)))
        transitions.complete(before)
        return finished > 0 or moved

    def _end_with_word(self, head: Utterance) -> bool:
        """Drop everything but what is left of the word that sounds, if it is to be finished.

        Returns:
            False, and nothing is dropped, if none sounds, its end is not known or too far away, or an interrupt has
            let it end before.
        """
        transitions, queue = self.transitions, self.transitions.queue
        playhead, end = transitions.playhead, head._clip.word_end
        if end is None or self.leaf not in SOUNDS or head.is_yielding:
            return False
        if not playhead.is_speaking and not playhead.was_speaking:
            return False
        if end - head._clip.buffer.cursor > transitions.format.samples(WORD_SECONDS):
            return False
        buffered = queue.buffered
        if not transitions.let_end(head, end):
            return False
        transitions.finish_all(Outcome.INTERRUPTED, keep=head)
        transitions.emitter.emit(Interrupted(playhead.position, buffered - queue.buffered))
        transitions.fire("drop_waiting")
        return True

    @observed("lock")
    def lock(self) -> bool:
        """Refuse every push from now on."""
        before = self.leaf
        locked = self.input.lock()
        self.transitions.complete(before)
        return locked

    def close(self) -> bool:
        """Finish everything, for good."""
        self.confirming.take_back()
        return self._close()

    @observed("close")
    def _close(self) -> bool:
        before, transitions = self.leaf, self.transitions
        if before == CLOSED:
            return False
        transitions.finish_all(Outcome.CLOSED)
        transitions.playhead.hush()
        transitions.fire("close")
        self.holds.clear()
        transitions.complete(before)
        return True
