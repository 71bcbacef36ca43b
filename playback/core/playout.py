"""Playout: what producers, commands and the reader do. The controller is its face."""

from __future__ import annotations

from typing import Any, Final

from playback.audio.clip import Mark
from playback.audio.formats import AudioFormat, Block, converted_samples, parse
from playback.audio.ramps import Fades
from playback.chart import FLOWS, PAUSED, PLAYBACK, REFUSES, RUNS_DRY, SOUNDS, TAKES, WAITS
from playback.core.queue import BufferFull
from playback.core.transitions import Limits, Stepper
from playback.events import AudioRefused, ErrorRaised, Refusal, Stalled
from playback.output_chain import Stage
from playback.report import Outcome
from playback.tracing.trace import recorded
from playback.utterance import Utterance
from statecharts.machine import WATCHERS

_CLOSED: Final = "closed"


class Playout(Stepper):
    """Everything a controller can be asked to do, without its face.

    Args:
        format: what is handed out.
        limits: how much is buffered.
        fades: how long each change takes.
    """

    def __init__(self, format: AudioFormat, limits: Limits, fades: Fades) -> None:
        super().__init__(format, limits, fades)
        self.era = object()
        """Replaced by each interrupt: what was made in an older era is stale."""
        self.lock_era = object()
        """Replaced by each lock: a write that began in an older one is refused."""

        self.stage: Stage | None = None
        """Background and sinks, once somebody has asked for them."""

        self._writing: Final[list[Utterance]] = []
        # Samples that may be pushed before anybody has to count again: set by each push that looks at everything, and
        # never too many afterwards, for reading only makes more room.
        self._room = 0

    def staged(self) -> Stage:
        """The stage; the first time, it is made."""
        if self.stage is None:
            self.stage = Stage(self)
        return self.stage

    # Producers

    @recorded("admit")
    def admit(self, utterance: Utterance, era: object | None = None) -> None:
        """Know of a new handle, made in this era unless told: one that an interrupt has overtaken is finished."""
        if utterance._placed or utterance._report is not None:
            return  # it was used in the meantime
        stale = era is not None and era is not self.era
        if stale or self.session.leaf == _CLOSED:
            self._finish(utterance, Outcome.CLOSED if self.session.leaf == _CLOSED else Outcome.INTERRUPTED)
            self.listeners.flush()
        else:
            self._placeless[id(utterance)] = utterance

    def push(self, utterance: Utterance, audio: Any) -> int:
        """See :meth:`Utterance.push`."""
        clip = self._fast_in
        if clip is utterance._clip and type(audio) is bytes:
            samples, extra = divmod(len(audio), self._width)
            if not extra and samples <= self._room:
                clip.append_plain(audio, samples)
                self.timeline.accepted += samples
                self._room -= samples
                return samples
        return self.push_block(utterance, parse(audio, utterance.format, utterance._dangling))

    @recorded("push")
    def push_block(self, utterance: Utterance, block: Block) -> int:
        """Take a block that was parsed already, or turn it away."""
        if not self._may_push(utterance):
            return self.refuse_block(utterance, block)
        if not block.samples:
            self._keep_dangling(utterance, block)
            return 0
        clip = utterance._clip
        samples = clip.measure(block)
        self._room = self._limits.maximum - self.timeline.buffered
        if samples > self._room:
            raise BufferFull(
                f"{self.timeline.buffered} samples are buffered and {samples} were pushed,"
                f" expected at most {self._limits.maximum} together"
            )
        before = self.session.leaf
        self._room -= samples
        self.timeline.accepted += samples
        clip.append(block, samples)
        self._keep_dangling(utterance, block)
        self._place(utterance)
        self.timeline.clean()
        if self.stage is not None:
            self.stage.take(utterance, block, clip.accepted - samples)
        if before not in TAKES or WATCHERS:  # an edge that changes nothing costs no transition, unless it is measured
            self._fire("push")
        if before not in FLOWS:
            self._rest(before)
        else:
            self.listeners.flush()
        leaf = self.session.leaf
        # A listener may have ended it in the meantime.
        plain = not clip.ended and clip.takes_plain(utterance.format) and not block.dangling and self.timeline.is_clean
        tapped = self.stage is not None and self.stage.sinks.hears_pushed
        tapped |= bool(WATCHERS) and leaf != before  # the next push is an edge that they have not seen yet
        self._fast_in = clip if plain and leaf in FLOWS and not tapped and self.trace is None else None
        return samples

    @recorded("push_from_thread")
    def push_from_thread(self, utterance: Utterance, block: Block) -> None:
        """The same for a producer that no exception reaches: what does not fit is refused, so it can't go unseen."""
        try:
            self.push_block(utterance, block)
        except BufferFull as error:
            self.refuse(utterance, self._samples_of(block), "full")
            self.failed(error, "a push from another thread")

    async def write(self, utterance: Utterance, audio: Any, lock_era: object) -> int:
        """See :meth:`Utterance.write`; it began in this era of locks."""
        samples = utterance._clip.measure(parse(audio, utterance.format, utterance._dangling))
        while lock_era is self.lock_era and self._may_push(utterance) and not self._has_room(utterance, samples):
            self._writing.append(utterance)
            self._fast_out = None
            try:
                await utterance.room.wait()
            finally:
                self._writing.remove(utterance)
        if lock_era is not self.lock_era:
            return self.refuse_block(utterance, parse(audio, utterance.format, utterance._dangling))
        return self.push(utterance, audio)

    @recorded("mark")
    def mark(self, utterance: Utterance, mark: Mark) -> bool:
        """See :meth:`Utterance.mark`."""
        if utterance._report is not None:
            return False
        self._fast_out = None
        if utterance._clip.add_mark(mark):
            self.playhead.tell_mark(utterance, mark)
            self.listeners.flush()
        return True

    @recorded("end")
    def end(self, utterance: Utterance) -> bool:
        """See :meth:`Utterance.end`."""
        if utterance._clip.ended:
            return False
        before = self.session.leaf
        # What a write is still waiting to add will be refused, so something will be missing.
        self._end(utterance, cut_short=utterance in self._writing)
        self._place(utterance)
        self._fire_end()
        self._rest(before)
        return True

    @recorded("cancel")
    def cancel(self, utterance: Utterance) -> bool:
        """See :meth:`Utterance.cancel`."""
        if utterance._report is not None:
            return False
        before = self.session.leaf
        if utterance._clip is self.timeline.head:
            self.playhead.interrupt(utterance._clip if before in SOUNDS else None, before in PAUSED)
        self._finish(utterance, Outcome.INTERRUPTED)
        self._fire_end()
        self._rest(before)
        return True

    def refuse(self, utterance: Utterance | None, samples: int, reason: Refusal = "locked") -> None:
        """Turn audio away, count it and tell it; the reason is found out unless it lies outside."""
        self.stats.refusals += 1
        self.stats.refused_samples += samples
        if utterance is not None:
            utterance._refused += samples
            utterance._clip.cut_short = True
            if utterance._report is not None:
                reason = "interrupted" if utterance._report.outcome is Outcome.INTERRUPTED else "ended"
            elif utterance._clip.ended and self.session.leaf not in REFUSES:
                reason = "ended"
        if self.session.leaf == _CLOSED:
            reason = "closed"
        if self.session.leaf in REFUSES:
            self._fire("push", utterance=utterance, samples=samples, reason=reason)
        else:
            self.listeners.tell(AudioRefused(self.playhead.position, utterance, samples, reason))
        self.listeners.flush()

    @recorded("refuse")
    def refuse_block(self, utterance: Utterance | None, block: Block) -> int:
        """Turn a block away; an empty one is nothing to tell of."""
        # If more may come, it goes on where this one breaks off, maybe in the middle of a sample.
        if utterance is not None and not utterance.ended:
            self._keep_dangling(utterance, block)
        if block.samples:
            self.refuse(utterance, self._samples_of(block))
        return 0

    # Commands

    @recorded("command")
    def command(self, event: str) -> bool:
        """Fire an event that touches no audio: a pause or an unlock."""
        before = self.session.leaf
        taken = self._fire(event)
        self._rest(before)
        return taken

    @recorded("resume")
    def resume(self, rewind: int) -> bool:
        """Come out of a pause, so many samples earlier."""
        before = self.session.leaf
        if before not in PAUSED:
            return False
        rewound = self.playhead.rewind(rewind) if rewind else 0
        self.playhead.resume()
        self._fire("resume", rewound=rewound)
        self._rest(before)
        return True

    @recorded("interrupt")
    def interrupt(self, *, lock: bool, force: bool) -> bool:
        """Drop everything, but for a playing utterance that may not be interrupted."""
        before = self.session.leaf
        self.era = object()
        head = self.timeline.head
        if head is not None and not head.utterance.interruptible and not force:
            finished = self._finish_all(Outcome.INTERRUPTED, keep=head)
            self._fire_end()
        else:
            self.playhead.interrupt(head if before in SOUNDS else None, before in PAUSED)
            discarded = self.timeline.buffered
            finished = self._finish_all(Outcome.INTERRUPTED)
            self._fire("interrupt", discarded=discarded)
            self.playhead.fading |= (before, "interrupt") in PLAYBACK.outputs
            if lock:
                self._lock()
        self._rest(before)
        return finished > 0 or self.session.leaf != before

    @recorded("lock")
    def lock(self) -> bool:
        """Refuse every push from now on."""
        before = self.session.leaf
        locked = self._lock()
        self._rest(before)
        return locked

    @recorded("close")
    def close(self) -> bool:
        """Finish everything, for good."""
        before = self.session.leaf
        if before == _CLOSED:
            return False
        self._finish_all(Outcome.CLOSED)
        self.playhead.hush()
        self._fire("close")
        self._rest(before)
        return True

    # The reader

    def read(self, out: memoryview) -> None:
        """Fill a buffer of whole samples with what is to be heard now."""
        if self.stage is None:
            if not self._copy(out):
                self._read_frame(out)
                self.listeners.flush()
            return
        told, start, source = len(self.listeners.outbox), self.playhead.position, self._fast_out
        if not self._copy(out):
            source = None
            self._read_frame(out)
        self.stage.perform(out, start, told, source)
        if self.listeners.outbox:
            self.listeners.flush()

    def _copy(self, out: memoryview) -> bool:
        """Fill a frame from where nothing else has to be looked at, if there is such a place."""
        source = self._fast_out
        try:
            if source is None or not source.fill(out):
                return False
        except Exception as error:
            self.listeners.tell(ErrorRaised(self.playhead.position, error, "read"))
            return False
        samples = len(out) // self._width
        self.playhead.position += samples
        self._read_size = samples
        return True

    @recorded("read")
    def _read_frame(self, out: memoryview) -> None:
        """Fill a frame with a look at everything, and settle."""
        before = self.session.leaf
        samples = len(out) // self._width
        start = self.playhead.position
        self._fast_out = None
        try:
            self._read(out, samples)
        # Whatever went wrong, the transport gets a frame: an exception would end its track for good.
        except Exception as error:
            out[:] = bytes(len(out))
            self.listeners.tell(ErrorRaised(start, error, "read"))
        self.playhead.position = start + samples
        self._tell_change(before)
        leaf = self.session.leaf
        if leaf not in WAITS and not self._writing and self.trace is None:
            self._fast_out = self.playhead.source(leaf in SOUNDS)

    @recorded("gain")
    def set_gain(self, gain_db: float) -> None:
        """Move to another gain."""
        self.playhead.set_gain(gain_db)
        self._fast_out = None

    @recorded("stalled")
    def stalled(self, seconds: float) -> None:
        """Count and tell that the reader came late."""
        self.stats.stalls += 1
        self.stats.stalled_seconds += seconds
        self.listeners.tell(Stalled(self.playhead.position, seconds))
        self.listeners.flush()

    def failed(self, error: Exception, source: str) -> None:
        """Tell what was raised where nobody can catch it."""
        self.listeners.tell(ErrorRaised(self.playhead.position, error, source))
        self.listeners.flush()

    # Parts of the above

    def _may_push(self, utterance: Utterance) -> bool:
        return not utterance._clip.ended and self.session.leaf not in REFUSES

    def _has_room(self, utterance: Utterance, samples: int = 0) -> bool:
        """Whether so many samples can be taken, and no more than the high water has to be played before them.

        What plays after this utterance does not count: it would wait for room that only its own end can make. For the
        same reason there is nothing to wait for once nothing plays before them.
        """
        before = self.timeline.before_end_of(utterance._clip)
        fits = self.timeline.buffered + samples <= self._limits.maximum
        # Less than a read's worth would never start.
        enough = max(self._limits.high_water, self._read_size)
        return not before or (fits and before <= enough)

    def _samples_of(self, block: Block) -> int:
        """What a block would be at the output rate."""
        return converted_samples(block.samples, block.layout.sample_rate, self.format.sample_rate)

    def _keep_dangling(self, utterance: Utterance, block: Block) -> None:
        """Keep the bytes of a sample that has only begun, for the push that completes it."""
        self.stats.dangling_bytes += block.dropped
        utterance._dangling = block.dangling
        if block.dangling:
            self._fast_in = None

    def _lock(self) -> bool:
        """Fire the lock, and end what waits for audio that can no longer come."""
        if self.session.leaf in REFUSES:
            return False
        for clip in self.timeline.clips:
            if not clip.ended:
                self._end(clip.utterance, cut_short=True)
        self.lock_era = object()
        for utterance in list(self._writing):
            utterance.room.open()
        return self._fire("lock")

    def _read(self, out: memoryview, samples: int) -> None:
        if samples != self._read_size:
            self._read_size = samples
            self._settle()
        leaf = self.session.leaf
        self.timeline.clean()
        start = self.playhead.position
        spoken = self.playhead.read(out, sounds=leaf in SOUNDS, paused=leaf in PAUSED)
        head = self.timeline.head
        dry = head if leaf in RUNS_DRY and spoken < samples else None
        if head is not None:
            if dry or leaf in WAITS:
                self._count_dry(head, samples - spoken)
            elif spoken:
                head.dry = 0
        self._settle(dry=dry, dry_at=start + spoken, reading=True)
        for utterance in list(self._writing):
            if self._has_room(utterance):
                utterance.room.open()
