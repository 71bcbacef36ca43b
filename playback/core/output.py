"""Output: what the reader does to a playout. Every read answers with a full frame, whatever goes wrong.

A frame in which nothing can happen is copied (:class:`~playback.core.fast_paths.FastPaths`). Any other one is filled by
the playhead, and followed by the internal events. What comes behind the speech, background and sinks, is handed in as a
post-processor and takes no part in the chart.
"""

from __future__ import annotations

from typing import Final, Protocol

from playback.chart import CLOSED, PAUSED, PLAYBACK, RUNS_DRY, SOUNDS, WAITS
from playback.core.observer import Observers, observed
from playback.core.transitions import Transitions
from playback.events import ErrorRaised, FarEndReported, Stalled
from playback.report import InputTimeout
from playback.turn import Turn
from playback.utterance import Utterance


class PostProcessor(Protocol):
    """Finishes each frame that the speech has filled."""

    def process(
        self, out: memoryview, start: int, pending: int, voice: Utterance | None, speaking: bool, paused: bool
    ) -> None:
        """Finish a frame, in place.

        Args:
            out: the speech, whole samples in the output format.
            start: the frame's position.
            pending: how many events waited before this frame: its audio goes ahead of its events.
            voice: whose speech it begins with.
            speaking: whether speech sounds in it, or a tail of it, or a turn that sounds waits for its next utterance.
            paused: whether a pause holds audio back.
        """


class Output:
    """What the reader does.

    Args:
        transitions: the playout's chart, queue and playhead.
    """

    __slots__ = ("_fast", "_playhead", "_transitions", "_width", "observers", "post_processor")

    def __init__(self, transitions: Transitions) -> None:
        self.observers: Final[Observers] = transitions.observers
        """Who watches."""
        self.post_processor: PostProcessor | None = None
        """What finishes each frame."""
        self._transitions: Final = transitions
        self._playhead: Final = transitions.playhead
        self._fast: Final = transitions.fast
        self._width: Final = transitions.format.frame_bytes

    def read(self, out: memoryview) -> None:
        """Fill a buffer of whole samples with what is to be heard now."""
        processor = self.post_processor
        if processor is None:
            if not self._copy(out):
                self._read_frame(out)
                self._transitions.emitter.flush()
            return
        emitter = self._transitions.emitter
        pending, start, voice = len(emitter.outbox), self._playhead.position, self._fast.reads
        speaking = voice is not None
        if not self._copy(out):
            self._read_frame(out)
            voice = self._playhead.voice
            speaking = self._playhead.is_sounding or self._waits_between_utterances()
        processor.process(out, start, pending, voice, speaking, self._transitions.session.leaf in PAUSED)
        if emitter.outbox:
            emitter.flush()

    def _waits_between_utterances(self) -> bool:
        """Whether a turn has begun to sound, and its next utterance has not."""
        head, leaf = self._transitions.queue.head, self._transitions.session.leaf
        return self._playhead.is_within_turn and (head is None or not head._clip.begun) and leaf not in PAUSED

    def _copy(self, out: memoryview) -> bool:
        """Fill a frame from where nothing else has to be looked at, if there is such a place."""
        source = self._fast.read
        try:
            if source is None or not source.fill(out):
                return False
        except Exception as error:
            self._transitions.emitter.emit(ErrorRaised(self._playhead.position, error, "read"))
            return False
        samples = len(out) // self._width
        self._playhead.position += samples
        self._transitions.read_size = samples
        return True

    @observed("read", flushes=False, frequent=True)
    def _read_frame(self, out: memoryview) -> None:
        """Fill a frame with a look at everything, and run to completion."""
        transitions, playhead = self._transitions, self._playhead
        before = transitions.session.leaf
        samples = len(out) // self._width
        start = playhead.position
        try:
            self._fill(out, samples)
        # Whatever went wrong, the transport gets a frame: an exception would end its track for good.
        except BaseException as error:
            out[:] = bytes(len(out))
            if playhead.ledger is not None:
                playhead.ledger.add(None)
            transitions.emitter.emit(ErrorRaised(start, error, "read"))
        playhead.position = start + samples
        transitions.emit_change(before)

    def _fill(self, out: memoryview, samples: int) -> None:
        transitions = self._transitions
        if samples != transitions.read_size:
            transitions.read_size = samples
            transitions.run_internal_events()
        leaf = transitions.session.leaf
        transitions.queue.clean()
        start = self._playhead.position
        spoken = self._playhead.read(out, sounds=leaf in SOUNDS, paused=leaf in PAUSED)
        self._count(leaf, spoken, samples - spoken, start + spoken)
        transitions.run_internal_events()
        transitions.queue.wake_writers(samples)

    def _count(self, leaf: str, spoken: int, missing: int, position: int) -> None:
        """Count what a read has found missing, and end input that stays away.

        Args:
            leaf: in which it was made.
            spoken: samples of speech that it found.
            missing: samples that it did not find.
            position: where it began to miss them.
        """
        transitions, queue = self._transitions, self._transitions.queue
        head = queue.head
        turn = queue.turns[0] if queue.turns else None
        short = turn is not None and leaf in RUNS_DRY and missing > 0
        transitions.short = (head, position) if short else None
        if turn is None:
            if queue.open_turn is not None and leaf == PLAYBACK.initial:
                self._count_turn(queue.open_turn, missing)
            return
        if turn._started_at is not None and (leaf in SOUNDS or leaf in WAITS):
            turn._silence += missing
        if spoken:
            turn._waited = 0
        if leaf in WAITS or short:
            if head is None:
                self._count_turn(turn, missing)
            else:
                self._count_head(head, missing)

    def _count_head(self, head: Utterance, samples: int) -> None:
        """Count the silence of a head that is open, and end its input at the timeout."""
        transitions, clip = self._transitions, head._clip
        if clip.begun:
            transitions.stats.underrun_samples += samples
        handed_out = clip.buffer.handed_out
        clip.waited = max(0, clip.waited - (handed_out - clip.waited_at)) + samples
        clip.waited_at = handed_out
        limits = transitions.limits
        if limits.input_timeout is not None and clip.waited >= limits.input_timeout and not head.ended:
            seconds = transitions.format.seconds(clip.waited)
            error = InputTimeout(f"no audio came for {seconds:.3g} s, and {head!r} was not ended")
            transitions.end_input(head, cut_short=not limits.timeout_completes, error=error)

    def _count_turn(self, turn: Turn, samples: int) -> None:
        """Count the silence of a turn that is open and has nothing enqueued, and end it at the timeout."""
        transitions, timeout = self._transitions, self._transitions.limits.input_timeout
        turn._waited += samples
        if timeout is not None and turn._waited >= timeout and turn.is_open:
            seconds = transitions.format.seconds(turn._waited)
            error = InputTimeout(f"nothing was enqueued for {seconds:.3g} s, and {turn!r} was not ended")
            transitions.fail_turn(turn, error)

    async def drain(self, network: int) -> bool:
        """Wait until everything was heard: handed out and confirmed, and so many samples read since.

        Returns:
            False if the playout is closed.
        """
        transitions, drain = self._transitions, self._transitions.drain
        drain.waiting += 1
        self._fast.refresh()
        try:
            while transitions.session.leaf != CLOSED:
                if drain.is_over(network):
                    return True
                await drain.next_step()
            return False
        finally:
            drain.waiting -= 1
            self._fast.refresh()

    def has_ready(self, samples: int) -> bool:
        """Whether a read of so many samples would hand out speech now: to its end, or to that of the head."""
        head = self._transitions.queue.head
        if head is None or self._transitions.session.leaf not in SOUNDS:
            return False
        buffer = head._clip.buffer
        return buffer.available(samples) >= samples or (buffer.ended and buffer.unread > 0)

    @observed("gain")
    def set_gain(self, gain_db: float) -> None:
        """Move to another gain."""
        self._playhead.set_gain(gain_db)
        self._fast.refresh()

    @observed("stalled")
    def stalled(self, seconds: float) -> None:
        """Count and report that the reader came late."""
        transitions = self._transitions
        transitions.stats.stalls += 1
        transitions.stats.stalled_seconds += seconds
        transitions.emitter.emit(Stalled(self._playhead.position, seconds))
        transitions.emitter.flush()

    @observed("far_end")
    def far_end(self, loss: float, jitter_seconds: float, round_trip_seconds: float | None) -> None:
        """Report what the far end has reported."""
        emitter = self._transitions.emitter
        emitter.emit(FarEndReported(self._playhead.position, loss, jitter_seconds, round_trip_seconds))
        emitter.flush()
