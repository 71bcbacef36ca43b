"""Output: what the reader does to a playout. Every read answers with a full frame, whatever goes wrong.

A frame in which nothing can happen is copied (:class:`~playback.core.fast_paths.FastPaths`). Any other one is filled by
the playhead, and followed by the internal events. What comes behind the speech, background and sinks, is handed in as a
post-processor and takes no part in the chart.
"""

from __future__ import annotations

from typing import Final, Protocol

from playback.chart import PAUSED, RUNS_DRY, SOUNDS, WAITS
from playback.core.observer import Observers, observed
from playback.core.transitions import Transitions
from playback.events import ErrorRaised, Stalled
from playback.utterance import Utterance


class PostProcessor(Protocol):
    """Finishes each frame that the speech has filled."""

    def process(
        self, out: memoryview, *, start: int, pending: int, voice: Utterance | None, speaking: bool, paused: bool
    ) -> None:
        """Finish a frame, in place.

        Args:
            out: the speech, whole samples in the output format.
            start: the frame's position.
            pending: how many events waited before this frame: its audio goes ahead of its events.
            voice: whose speech it begins with.
            speaking: whether speech sounds in it, or a tail of it.
            paused: whether a pause holds audio back.
        """


class Output:
    """What the reader does.

    Args:
        transitions: the playout's chart, queue and playhead.
    """

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
            voice, speaking = self._playhead.voice, self._playhead.is_sounding
        paused = self._transitions.session.leaf in PAUSED
        processor.process(out, start=start, pending=pending, voice=voice, speaking=speaking, paused=paused)
        if emitter.outbox:
            emitter.flush()

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

    @observed("read")
    def _read_frame(self, out: memoryview) -> None:
        """Fill a frame with a look at everything, and run to completion."""
        transitions, playhead = self._transitions, self._playhead
        before = transitions.session.leaf
        samples = len(out) // self._width
        start = playhead.position
        try:
            self._fill(out, samples)
        # Whatever went wrong, the transport gets a frame: an exception would end its track for good.
        except Exception as error:
            out[:] = bytes(len(out))
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
        head = transitions.queue.head
        short = head is not None and leaf in RUNS_DRY and spoken < samples
        transitions.short = (head, start + spoken) if head is not None and short else None
        if head is not None:
            if leaf in WAITS or short:
                self._count_wait(head, samples - spoken)
            elif spoken:
                head._clip.waited = 0
        transitions.run_internal_events()
        transitions.queue.wake_writers(samples)

    def _count_wait(self, head: Utterance, samples: int) -> None:
        """Count the silence of an open head, and end its input at the timeout."""
        clip, timeout = head._clip, self._transitions.limits.input_timeout
        if head.played:
            self._transitions.stats.underrun_samples += samples
        if clip.waited_at != head.accepted:
            clip.waited, clip.waited_at = 0, head.accepted
        clip.waited += samples
        if timeout is not None and clip.waited >= timeout and not head.ended:
            self._transitions.end_input(head)

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
