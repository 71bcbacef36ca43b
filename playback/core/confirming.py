"""Confirming: readers that play later what they read, and say what their listener has heard.

What a track reads counts as heard at once. A transport that buffers audio somewhere else (a carrier's socket, the queue
of another SDK) attaches as a reader that confirms: then marks, ends of utterances and turns, and reports follow what it
confirms, not what it has read. What is read and not confirmed is in the ledger, and still in the buffers.

A command that drops or holds what the transport has already got (an interrupt, a pause, a cancel, a close) asks it to
give that back first: :meth:`ConfirmingReader.recall`. That is a step of its own: what the transport says was heard
counts as confirmed, and the playhead goes back to there. So the command itself always finds a playout that stands where
the listener is, and does what it does for any other reader. The transport has been silenced by then, so there is no
fade-out, and what goes on later comes back along the ramp of a resume.

Who is asked, and when:

============================ =======================================================================================
``pause``                    by the first hold
``interrupt``                always, unless it spares the utterance that the listener hears, and nothing else was read
``interrupt(at="word")``     the same: the rest of the word is read again
``cancel`` of an utterance   if some of that utterance was read and not confirmed
``cancel`` of a turn         the same for its utterances
``close``                    always
``lock``, ``unlock``, gain   never: what was read plays on
``detach``                   never: what the reader has confirmed before is what was heard; the rest is taken back
============================ =======================================================================================

Nobody is asked where no speech was read that is not confirmed. So a pause between two answers lets background go on,
and what fades out after an interrupt is not cut by another one.
"""

from __future__ import annotations

import operator
from typing import Final, Protocol

from playback.core.ledger import Ledger
from playback.core.observer import Observers, observed
from playback.core.transitions import Transitions
from playback.events import ErrorRaised
from playback.utterance import Utterance


class NoReaderConfirms(RuntimeError):  # noqa: N818 - as BufferFull
    """A confirmation came, and no reader is attached that confirms."""

    def __init__(self) -> None:
        super().__init__("no reader confirms, expected one that is attached with confirms=True")


class ConfirmingReader(Protocol):
    """A reader that plays later what it reads, as :meth:`PlaybackController.attach` takes it with ``confirms=True``."""

    def recall(self) -> int:
        """Throw away all audio that the listener has not heard, at once, such as by a carrier's ``clear``.

        It is called within :meth:`PlaybackController.pause`, ``interrupt``, ``cancel`` and ``close``, before they do
        anything, and only if speech was read that is not confirmed. It must not wait and not call the controller.

        A listener may give such a command within a read: then the frame of that read was taken back as well, so the
        reader must not send it, and must not count it.

        Returns:
            How many samples the listener has heard, counted as :meth:`PlaybackController.confirm` counts them. The
            reader's count of samples read goes on from this number: what was thrown away does not count any more, and
            is read again, if it is not dropped. A number below the last confirmation counts as that one. If it raises,
            or returns more than was read, that is an ``error`` event, and what was confirmed before counts.
        """


class Confirming:
    """The reader that confirms, if there is one, and what follows from what it says.

    Args:
        transitions: the playout's chart, queue and playhead.
    """

    __slots__ = ("_asking", "_reader", "_transitions", "observers")

    def __init__(self, transitions: Transitions) -> None:
        self.observers: Final[Observers] = transitions.observers
        """Who watches."""
        self._transitions: Final = transitions
        self._reader: ConfirmingReader | None = None
        self._asking = False

    @property
    def is_on(self) -> bool:
        """Whether the reader confirms."""
        return self._transitions.playhead.ledger is not None

    def attach(self, reader: ConfirmingReader | None) -> None:
        """Have what is read from now on count as heard when it is confirmed.

        Args:
            reader: who is asked to give back what was not heard; None in a replay, where all answers are known.
        """
        self._reader = reader
        self._attach()

    @observed("attach")
    def _attach(self) -> None:
        transitions = self._transitions
        if transitions.playhead.ledger is None:
            transitions.playhead.ledger = Ledger(transitions.playhead)
            transitions.fast.refresh()

    def confirm(self, samples: int) -> None:
        """See :meth:`PlaybackController.confirm`."""
        ledger = self._transitions.playhead.ledger
        samples = operator.index(samples)
        if ledger is None:
            raise NoReaderConfirms
        if self._asking:
            raise RuntimeError("confirm() was called within recall(), expected the number as the result of that")
        _check(samples, ledger, "samples is")
        if samples > ledger.heard:
            self._confirm(samples)

    @observed("confirm")
    def _confirm(self, samples: int) -> None:
        transitions = self._transitions
        before = transitions.session.leaf
        self._hear(samples)
        transitions.end_step(before)
        transitions.queue.wake_writers(transitions.read_size)
        transitions.emitter.flush()

    def holds(self, *utterances: Utterance) -> bool:
        """Whether any sample of these was read and is not confirmed."""
        ledger = self._transitions.playhead.ledger
        return ledger is not None and any(map(ledger.holds, utterances))

    def take_back(self, spared: Utterance | None = None) -> None:
        """Ask the reader to give back what was not heard, and take that back.

        Args:
            spared: the utterance that is to play on: nobody is asked if nothing but its samples would come back.
        """
        playhead = self._transitions.playhead
        ledger = playhead.ledger
        if ledger is None or self._reader is None or not ledger.holds_speech:
            return
        if spared is not None and not ledger.holds_others(spared):
            return
        if self._asking:  # the reader has called this: it can't be asked now
            self.recalled(ledger.heard)
            return
        self._asking = True
        try:
            heard = operator.index(self._reader.recall())
            if playhead.ledger is ledger and ledger.holds_speech:
                _check(heard, ledger, "recall() returned")
        except BaseException as error:
            heard = 0
            self._transitions.emitter.emit(ErrorRaised(playhead.position, error, "recall"))
        finally:
            self._asking = False
        if playhead.ledger is ledger and ledger.holds_speech:  # the reader may have detached, or closed the controller
            self.recalled(max(heard, ledger.heard))

    @observed("recall", flushes=False)
    def recalled(self, samples: int) -> None:
        """Count what was heard until the reader gave back the rest, and go back to there."""
        transitions, ledger = self._transitions, self._transitions.playhead.ledger
        if ledger is None:
            raise NoReaderConfirms
        _check(samples, ledger, "samples is")
        before = transitions.session.leaf
        self._hear(samples)
        transitions.end_step(before)
        transitions.playhead.take_back()
        transitions.fast.refresh()

    def detach(self) -> None:
        """Have what is read from now on count as heard at once; what was not confirmed is taken back."""
        self._reader = None
        if self.is_on:
            self._detach()

    @observed("detach")
    def _detach(self) -> None:
        transitions = self._transitions
        before = transitions.session.leaf
        transitions.playhead.take_back()
        transitions.playhead.ledger = None
        for utterance in transitions.queue.utterances:
            utterance._clip.hear_at_once()
        transitions.complete(before)

    def _hear(self, samples: int) -> None:
        """Count samples as heard: marks are reached, and utterances over, in the order in which they are heard."""
        transitions, ledger = self._transitions, self._transitions.playhead.ledger
        assert ledger is not None
        for utterance, at in ledger.hear(samples):
            utterance._clip.buffer.hear(at)
            transitions.playhead.emit_marks(utterance)
            transitions.finish_heard()


def _check(samples: int, ledger: Ledger, what: str) -> None:
    """See that a number of samples can have been heard.

    Raises:
        ValueError: it is negative, or more than was read.
    """
    if not 0 <= samples <= ledger.read:
        raise ValueError(f"{what} {samples}, expected 0 to {ledger.read}, the samples read and not recalled")
