"""PlaybackController: the facade of one playout; it makes the parts and joins them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import operator
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_interrupt_at, check_name, check_seconds, check_type
from playback._made import Made
from playback.audio.formats import AudioFormat, check_output
from playback.audio.ramps import Fades
from playback.background.mixer import Background
from playback.call_log import LOGGER, CallLog
from playback.chart import REFUSES, SOUNDS, STATE_OF, State
from playback.core.direct import DirectInput
from playback.core.emitter import EventStream, Listener
from playback.core.late_words import LATE_WORDS_SECONDS
from playback.core.limits import Limits, Stats
from playback.core.observer import Observer
from playback.core.playout import Playout
from playback.core.thread_checks import CheckedPlayout, is_debugging
from playback.events import Closed, EventName
from playback.media_input import attach_decoder
from playback.output_chain import OutputChain
from playback.sinks.sinks import Sinks
from playback.sources import abandon, check_source_format
from playback.speaking import Feed
from playback.subscribing import Subscribe
from playback.threads import ThreadsafeProducer
from playback.turn import Turn
from playback.utterance import Utterance
from playback.words.aligner import Aligner

_calls: Final = itertools.count(1)


class PlaybackController:
    """The buffer between speech synthesis, which pushes, and a transport, which reads one frame at a time.

    Every buffer transition is an edge of :data:`playback.chart.PLAYBACK`. Use the controller in one
    thread, that of its event loop; :meth:`threadsafe` is for producers on other threads. Time is the number of samples
    read: the controller has no clock.

    Example::

        controller = PlaybackController(input_format=AudioFormat(24_000))
        utterance = controller.utterance(text="Good morning.")
        utterance.push(pcm)
        utterance.end()
        frame = controller.read(960)

    Args:
        format: what is handed out.
        input_format: what bare bytes and arrays are taken for; defaults to the output format.
        fades: how long each change takes.
        prebuffer_seconds: what an open utterance must have buffered, beyond its largest push so far, to start, or to go
            on after silence; so each push may come so much later. At most the high water is asked for, and nothing
            with 0.
        high_water_seconds: what may be buffered before :meth:`Utterance.write` waits.
        max_buffered_seconds: what may be buffered at all.
        history_seconds: how much of the playing utterance is kept for a rewind.
        input_timeout_seconds: an open utterance that has nothing to play for so long, in samples read and outside of
            pauses, is ended with :class:`InputTimeout`, and so is an open turn that has nothing enqueued; None waits
            for ever. What it plays makes up for as much silence as it is long, and no more.
        on_input_timeout: whether such an utterance fails, or completes: then ``last_audio_byte`` is emitted, too.
        id: the name of the call in logs and spans; by default one is made up.
        clock: the wall clock, in seconds since the epoch, for the ``wall_time`` of events and traces; nothing else
            depends on it.
        word_timing: how it is known what was heard where no words are marked: ``"estimate"`` goes by how much of the
            speech was played; an aligner finds the words in the audio, on a thread, when an utterance is cut, and what
            it does not find in time is estimated; with None it is not known.
        late_words_seconds: how long the report of an utterance that was cut takes word times that come late, in samples
            read; and how long ``wait()`` waits for them, where those that are known do not reach to the cut.

    Raises:
        TypeError: an argument of another type, such as a bare rate for a format.
        ValueError: a time that is negative or not finite, or not prebuffer ≤ high water ≤ maximum.
    """

    def __init__(
        self,
        format: AudioFormat = AudioFormat(48_000),  # noqa: B008 - it is immutable
        *,
        input_format: AudioFormat | None = None,
        fades: Fades = Fades(),  # noqa: B008 - it is immutable
        prebuffer_seconds: float = 0.0,
        high_water_seconds: float = 10.0,
        max_buffered_seconds: float = 600.0,
        history_seconds: float = 2.0,
        input_timeout_seconds: float | None = 10.0,
        on_input_timeout: Literal["fail", "complete"] = "fail",
        id: str | None = None,
        clock: Callable[[], float] = time.time,
        word_timing: Literal["estimate"] | Aligner | None = "estimate",
        late_words_seconds: float = LATE_WORDS_SECONDS,
    ) -> None:
        check_type("format", format, AudioFormat)
        check_type("id", id, str, None)
        if not callable(clock):
            raise TypeError(f"clock is {clock!r}, expected a function such as time.time")
        check_type("input_format", input_format, AudioFormat, None)
        check_type("fades", fades, Fades)
        aligner = None if word_timing is None or isinstance(word_timing, str) else word_timing
        if not (word_timing in ("estimate", None) if aligner is None else callable(getattr(aligner, "align", None))):
            raise ValueError(f"word_timing is {word_timing!r}, expected 'estimate', None or an aligner")
        check_seconds("late_words_seconds", late_words_seconds)
        check_output(format)
        self.id: Final = f"call-{next(_calls)}" if id is None else id
        """The name of the call."""
        self.clock: Final = clock
        """The wall clock, in seconds since the epoch."""
        self.format: Final = format
        """What is handed out."""
        self.input_format: Final = input_format or format
        """The format of pushed bytes and arrays, for utterances without a format of their own."""

        self.limits: Final = Limits.of_seconds(
            format,
            prebuffer_seconds,
            high_water_seconds,
            max_buffered_seconds,
            history_seconds,
            input_timeout_seconds,
            on_input_timeout,
        )
        """How much is buffered, in samples at the output rate."""
        self._playout: Final = (CheckedPlayout if is_debugging() else Playout)(format, self.limits, fades)
        self._output: Final = self._playout.output
        self._transitions: Final = self._playout.transitions
        estimates = word_timing is not None
        self._transitions.late_words.configure(late_words_seconds, estimates=estimates, aligner=aligner)
        self._emitter: Final = self._transitions.emitter
        self._emitter.clock = clock
        self._chain: OutputChain | None = None
        self._numbers: Final = itertools.count(1)
        self._turns: Final = itertools.count(1)
        self._direct: Final = DirectInput(self._playout.input, self.utterance, self.input_format)
        self._width: Final = format.frame_bytes
        self._reader: object | None = None
        self.frame_watchers: tuple[Callable[[float], object], ...] = ()
        """Who is called with each frame's lateness by the reader; see :meth:`watch_frames`."""
        self._log: CallLog | None = None
        if LOGGER.isEnabledFor(logging.INFO):
            self._log = CallLog(self.id, format)
            self.observe(self._log, everything=False)
        NEW_CONTROLLERS.notify(self)

    # What there is to see

    @property
    def state(self) -> State:
        """The visible state."""
        return STATE_OF[self._playout.leaf]

    @property
    def leaf(self) -> str:
        """The detail of :attr:`state`: a leaf of :data:`playback.chart.PLAYBACK`."""
        return self._playout.leaf

    @property
    def input_locked(self) -> bool:
        """Whether every push is refused."""
        return self._playout.leaf in REFUSES

    @property
    def holds(self) -> tuple[str, ...]:
        """The owners of the pause, in the order in which they paused; empty while it is not paused."""
        return tuple(self._playout.holds)

    @property
    def position(self) -> int:
        """Samples read so far; the clock of all events."""
        return self._transitions.playhead.position

    @property
    def accepted(self) -> int:
        """Samples that were pushed and taken so far, of all utterances."""
        return self._transitions.queue.accepted

    @property
    def buffered(self) -> int:
        """Samples that were accepted and are neither played nor discarded."""
        return self._transitions.queue.buffered

    @property
    def playing(self) -> Utterance | None:
        """The utterance that sounds, or will in the next read; also while it is paused or in an underrun."""
        head = self._transitions.queue.head
        return head if head is not None and (head.played or self.leaf in SOUNDS) else None

    @property
    def head(self) -> Utterance | None:
        """The utterance at the head of the queue: the one that plays, or the next one that will."""
        return self._transitions.queue.head

    @property
    def fades(self) -> Fades:
        """How long each change takes."""
        return self._transitions.playhead.fades

    @property
    def is_unused(self) -> bool:
        """Whether nothing was read and nothing accepted, no turn is open, and it is in its initial leaf."""
        return self._transitions.is_unused

    @property
    def stats(self) -> Stats:
        """A copy of the counters."""
        return replace(self._transitions.stats)

    @property
    def gain_db(self) -> float:
        """The gain of the speech, in dB; a new value is reached along a ramp of 20 ms.

        Above 0 dB a limiter keeps it 0.3 dB below full scale, alone and together with background sounds.

        Raises:
            ValueError: not a number, or more than 60 dB. Minus infinity is silence.
        """
        return self._transitions.playhead.gain_db

    @gain_db.setter
    def gain_db(self, gain_db: float) -> None:
        self._output.set_gain(gain_db)
        if self._chain is not None:
            self._chain.background.leave_headroom(gain_db > 0)

    @property
    def background(self) -> Background:
        """The mixer of the background sounds."""
        return self._output_chain().background

    @property
    def sinks(self) -> Sinks:
        """The receivers of a copy of the audio."""
        return self._output_chain().sinks

    # Producers

    def utterance(
        self,
        *,
        text: str | None = None,
        id: str | None = None,
        format: AudioFormat | Literal["encoded"] | None = None,
        interruptible: bool = True,
        first: bool = False,
        turn: Turn | None = None,
        untrusted: bool = False,
    ) -> Utterance:
        """Make the handle of one piece of speech; it is in use from its first push, mark, enqueue, end or wait.

        Args:
            text: the text of the speech; ``report.heard`` is the part of it that was heard.
            id: its name in reports and events; by default one is made up.
            format: the format of its bytes and arrays; defaults to ``input_format``. ``"encoded"`` is for the
                bytes of a media stream that states its own format, such as MP3 or WAV: a thread decodes them, a push
                returns how many bytes it took, and the audio counts as accepted when it is decoded.
            interruptible: False keeps an interrupt without ``force`` from dropping it while it is the one to play.
            first: its place is directly behind what plays, and not behind all others.
            turn: the turn that it belongs to; :meth:`Turn.utterance` is the shorter way.
            untrusted: whether an encoded one comes from a stranger: it is decoded in a process of its own, which is
                limited in memory and time.

        Raises:
            TypeError: an argument of another type.
            FormatError: another word than ``"encoded"``.
            RuntimeError: an encoded one, where no event loop runs; an untrusted one, where no process can be limited.
        """
        check_source_format(format)
        check_type("untrusted", untrusted, bool)
        encoded = isinstance(format, str)
        made = self._make(
            text=text,
            id=id,
            format=None if isinstance(format, str) else format,
            interruptible=interruptible,
            first=first,
            turn=turn,
        )
        if encoded:
            attach_decoder(self._playout.input, made, untrusted=untrusted)
        return made

    def speak(
        self,
        source: Any,
        *,
        text: str | None = None,
        id: str | None = None,
        format: AudioFormat | Literal["encoded"] | None = None,
        interruptible: bool = True,
        first: bool = False,
        turn: Turn | None = None,
        timeout_seconds: float | None = 10.0,
        first_audio_timeout_seconds: float | None = 5.0,
        untrusted: bool = False,
    ) -> Utterance:
        """Play a source of audio as one utterance, which is enqueued at once.

        A task feeds it with back-pressure, and ends it with the source. A source that raises fails it. An interrupt, a
        lock, a cancel or a close stops the task at once and closes the source. A refused argument closes it, too. What
        closing raises becomes an ``error`` event.

        Example::

            utterance = controller.speak(synthesize("Good morning."), text="Good morning.")
            report = await utterance.wait()

        Args:
            source: an asynchronous iterator or iterable, an awaitable of a source, an iterator or iterable (which runs
                on a thread), a path or a binary file object (decoded on a thread), or audio. Its pieces are bytes,
                arrays, ``av.AudioFrame`` and :class:`playback.words.Word`, which marks a word.
            text: what it says.
            id: as for :meth:`utterance`, and so are ``interruptible``, ``first`` and ``turn``.
            format: what bytes are. By default a media stream is recognized by how it begins, and anything else is taken
                for ``input_format``; an :class:`AudioFormat` says that they are samples, ``"encoded"`` that they are a
                media stream.
            interruptible: see there.
            first: see there.
            turn: see there.
            timeout_seconds: how long the source may send nothing before the utterance fails; back-pressure and pauses
                do not count. None waits for ever.
            first_audio_timeout_seconds: the same for its first audio.
            untrusted: whether a file or a media stream comes from a stranger: it is decoded in a process of its own,
                which is limited in memory and time. That takes 0.2 s longer to its first audio.

        Raises:
            TypeError: an argument of another type, or a source that is none of these.
            FormatError: another word than ``"encoded"``.
            RuntimeError: no event loop runs, or no process can be limited for an untrusted source, as on Windows.
        """
        try:
            check_source_format(format)
            check_type("untrusted", untrusted, bool)
            encoded = isinstance(format, str)
            utterance = self._make(
                text=text,
                id=id,
                format=None if isinstance(format, str) else format,
                interruptible=interruptible,
                first=first,
                turn=turn,
            )
            feed = Feed(
                self._playout.input,
                utterance,
                source,
                emitter=self._emitter,
                recognizes=format is None or encoded,
                needs_media=encoded,
                untrusted=untrusted,
                timeout_seconds=timeout_seconds,
                first_audio_timeout_seconds=first_audio_timeout_seconds,
            )
        except BaseException:
            abandon(source)
            raise
        feed.start()
        return utterance

    def turn(self, *, id: str | None = None, stop_on_failure: bool = False) -> Turn:
        """Begin a turn: one answer, made of utterances, with one report.

        Args:
            id: its name in reports and events; by default one is made up.
            stop_on_failure: whether an utterance that fails ends the turn; by default the others play on.

        Returns:
            The turn. While the input is locked or the controller is closed, it is over from the start.

        Raises:
            RuntimeError: another turn is open. One that has ended may still be playing.
            TypeError: an argument of another type.
        """
        check_type("id", id, str, None)
        check_type("stop_on_failure", stop_on_failure, bool)
        name = f"turn-{next(self._turns)}" if id is None else id
        turn = Turn(
            self._playout.turns,
            self,
            id=name,
            generation=self._playout.input.generation,
            position=self.position,
            is_open=True,
            stop_on_failure=stop_on_failure,
        )
        self._playout.turns.open_turn(turn)
        return turn

    def push(self, audio: Any) -> int:
        """Add audio without a handle: to an utterance of the controller's own, which the first push begins.

        After an interrupt the next push begins a new one: only a lock keeps such a producer's late audio out. A sample
        may be split between two pushes, also by a lock or an input timeout; after an interrupt, a push begins with a
        whole sample.

        Args:
            audio: as for :meth:`Utterance.push`.

        Returns:
            The output samples that were accepted.

        Raises:
            FormatError: a type, shape, rate or value that can't be.
            BufferFull: more than ``max_buffered_seconds`` would be buffered; nothing of this push was taken.
        """
        return self._direct.push(audio)

    def end(self) -> bool:
        """End the controller's own utterance.

        Returns:
            False if there is none that is open.
        """
        return self._direct.end()

    def threadsafe(self, loop: AbstractEventLoop) -> ThreadsafeProducer:
        """The producer's calls, for use from any thread.

        Args:
            loop: the event loop in whose thread the controller lives.

        Raises:
            TypeError: it is something else.
        """
        check_type("loop", loop, AbstractEventLoop)
        return ThreadsafeProducer(self._playout.input, self._make, loop)

    # Commands: each returns True if it changed something

    def pause(self, *, by: str = "application") -> bool:
        """Pause: silence follows a ramp, and no audio is lost.

        Several owners may pause at the same time; playback resumes when all of them have resumed.

        Args:
            by: whose hold it is. Barge-in and a lost peer have names of their own.

        Returns:
            False if this owner holds already, or the controller is closed.

        Raises:
            TypeError: the name is no string.
            ValueError: it is empty.
        """
        check_name("by", by)
        return self._playout.pause(by)

    def resume(self, rewind_seconds: float = 0.0, *, to_word: bool = False, by: str = "application") -> bool:
        """End the pause of one owner; with the last one, playback resumes at the very next sample.

        Args:
            rewind_seconds: resume that much earlier, within the playing utterance and its kept history. Of several
                owners' rewinds the longest counts.
            to_word: resume at the beginning of the word that the pause has cut, if its words are marked.
            by: whose hold it is; those of others stay.

        Returns:
            False if this owner does not hold.

        Raises:
            TypeError: the name is no string.
            ValueError: it is empty, or a time is negative or not finite.
        """
        check_seconds("rewind_seconds", rewind_seconds)
        check_name("by", by)
        rewind = self.format.samples(rewind_seconds)
        return self._playout.resume(by, max(rewind, self._playout.into_word) if to_word else rewind)

    def interrupt(
        self,
        *,
        lock: bool = False,
        force: bool = False,
        by: str = "application",
        at: Literal["now", "word"] = "now",
    ) -> bool:
        """Drop all speech, and finish every utterance in use as interrupted; what sounds fades out.

        An utterance that plays and is not interruptible plays on; the rest is dropped, and nothing is locked.

        Args:
            lock: lock the input in the same step.
            force: drop an utterance that is not interruptible, too.
            by: whose hold ends with it, if it has one. While others hold, what comes next is held back, too.
            at: ``"word"`` lets the word end that sounds, and fades out then; all else is dropped now. It is cut at once
                where no word sounds (between two, in a pause or an underrun, without marked words), where its end is
                not known, not all of it has arrived, or more than 0.4 s of it is left, and by a second interrupt.

        Raises:
            TypeError: the name is no string.
            ValueError: it is empty, or there is no such place.
        """
        check_name("by", by)
        check_interrupt_at("at", at)
        return self._playout.interrupt(by=by, lock=lock, force=force, to_word_end=at == "word")

    def lock(self) -> bool:
        """Refuse every push until :meth:`unlock`; what is buffered plays to its end, as if its producers had ended."""
        return self._playout.lock()

    def unlock(self) -> bool:
        """Accept pushes again."""
        return self._playout.command("unlock")

    def close(self, *, by: str = "application") -> bool:
        """Finish every utterance as closed, and be silent for good.

        Args:
            by: who does it, or why, for the log.

        Raises:
            TypeError: the name is no string.
            ValueError: it is empty.
        """
        check_name("by", by)
        if self._log is not None and self.state is not State.CLOSED:
            self._log.closed_by = by
        return self._playout.close()

    async def drain(self, timeout: float | None = None, network_seconds: float = 0.2) -> bool:  # noqa: ASYNC109
        """Wait until everything was heard: the queue is empty, and the network has delivered the last sample.

        It does not lock: speech that is enqueued meanwhile is waited for, too. To hang up without cutting a word::

            controller.push(goodbye)
            controller.end()
            await controller.drain(timeout=10.0)
            await peer_connection.close()

        Args:
            timeout: how long it may take, in seconds of the loop's clock. Without one, a pause that nobody ends, or a
                reader that does not read, is waited for until the controller is closed.
            network_seconds: how much is read after the last sample of speech, for what the transport, the network and
                the listener's jitter buffer hold.

        Returns:
            False if the time was over, or the controller is closed.

        Raises:
            TypeError: a time that is no number.
            ValueError: a time that is negative or not finite.
        """
        if timeout is not None:
            check_seconds("timeout", timeout)
        check_seconds("network_seconds", network_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                return await self._output.drain(self.format.samples(network_seconds))
        return False

    # The reader

    def read(self, samples: int) -> NDArray[np.int16]:
        """Return the next samples; silence where there are none.

        It always returns a full frame: what a listener raises becomes an ``error`` event. Only KeyboardInterrupt and
        SystemExit of a listener are raised: in the loop after the frame, or, without a loop, by the next read, which
        then reads nothing.

        Args:
            samples: how many, at the output rate.

        Returns:
            An array of its own, of shape (samples, channels).

        Raises:
            ValueError: a negative number.
        """
        if operator.index(samples) < 0:
            raise ValueError(f"samples is {samples}, expected 0 or more")
        frame = np.empty((samples, self.format.channels), np.int16)
        if samples:
            self._output.read(frame.data.cast("B"))
        return frame

    def read_into(self, buffer: Any) -> None:
        """Read into a buffer of the caller.

        Args:
            buffer: a writable, contiguous buffer (bytearray, array, plane of a frame) of whole samples, interleaved.

        Raises:
            ValueError: it does not hold a whole number of samples of all channels.
            TypeError: it is read-only or not contiguous.
        """
        out = memoryview(buffer)
        if out.format != "B":
            out = out.cast("B")
        if out.readonly:
            raise TypeError("the buffer is read-only, expected a writable one")
        size = len(out)
        if size % self._width:
            raise ValueError(f"the buffer has {size} bytes, expected a multiple of {self._width}")
        if size:
            self._output.read(out)

    @property
    def reader(self) -> object | None:
        """The reader that has claimed this controller, or None."""
        return self._reader

    def attach(self, reader: object) -> None:
        """Claim the controller for one reader, as a track does when it runs.

        Raises:
            RuntimeError: another one has it: two readers would each get half of the audio.
        """
        if self._reader is not None and self._reader is not reader:
            raise RuntimeError(f"{self._reader!r} reads this controller already, expected one reader: stop it first")
        self._reader = reader

    def detach(self, reader: object) -> None:
        """Release the claim of a reader, so that another one can attach."""
        if self._reader is reader:
            self._reader = None

    def report_stall(self, seconds: float) -> None:
        """Report that the reader came late by so many seconds, and skipped ahead; emitted as ``stalled``."""
        self._output.stalled(seconds)

    def report_far_end(self, loss: float, jitter_seconds: float, round_trip_seconds: float | None = None) -> None:
        """Report what the other side of a connection has reported; emitted as ``far_end_reported``.

        Args:
            loss: the share of packets that were lost since its report before, 0 to 1.
            jitter_seconds: how much the packets' travel times differ.
            round_trip_seconds: how long a packet takes there and back; None if that is not known yet.
        """
        self._output.far_end(loss, jitter_seconds, round_trip_seconds)

    # Events

    @property
    def on(self) -> Subscribe:
        """``on(event, listener)`` has a listener called with each event of a name; ``@on(event)`` is the decorator.

        Listeners run once a step is complete and, in a read, once the frame is full. A coroutine function runs as a
        task. What a listener raises becomes an ``error`` event. The names are those of
        :data:`playback.events.EVENTS`; another one is a ValueError.

        Example::

            @controller.on("last_audio_byte")
            def turn_over(event):
                print(f"{event.utterance.id} was heard to its end")
        """
        return self._emitter.on

    @property
    def once(self) -> Subscribe:
        """The same for the next event of that name only; it never ends another registration."""
        return self._emitter.once

    def remove_listener(self, event: EventName, listener: Listener) -> None:
        """Call a listener no more.

        Raises:
            ValueError: there is no such event, or the listener was not registered for it.
        """
        self._emitter.remove_listener(event, listener)

    def events(self) -> EventStream:
        """All events from now on, for ``async for``; it ends after ``closed``.

        It holds the newest 1,000 events for a slow reader; ``events_lost`` stands where older ones were dropped.
        """
        return self._emitter.stream(closed=self.state is State.CLOSED)

    def observe(self, observer: Observer, *, everything: bool = True) -> Callable[[], None]:
        """Let an observer watch the calls, the chart's edges and the events, as a trace does.

        Args:
            observer: who watches.
            everything: whether it sees each push and each read; otherwise it need not, and they cost no more than
                without it.

        Returns:
            What ends it.
        """
        return self._playout.observers.add(observer, everything=everything)

    def watch_frames(self, watch: Callable[[float], object]) -> Callable[[], None]:
        """Have each frame of a track or a pump reported, with how many seconds late it is read.

        Args:
            watch: called before the frame is read, fifty times a second. What it raises ends the track or the pump.

        Returns:
            What ends it.
        """
        self.frame_watchers += (watch,)

        def remove() -> None:
            self.frame_watchers = tuple(other for other in self.frame_watchers if other is not watch)

        return remove

    def report_error(self, error: BaseException, source: str) -> None:
        """Emit as an ``error`` event what was raised where nobody can catch it.

        Args:
            error: what was raised.
            source: what raised it, in words.
        """
        self._playout.input.report_error(error, source)

    def _output_chain(self) -> OutputChain:
        """What comes behind the speech; made when it is first asked for."""
        if self._chain is None:
            playout, transitions = self._playout, self._transitions
            chain = OutputChain(
                self.format,
                self._emitter,
                lambda: transitions.playhead.position,
                transitions.fast.set_taps_input,
                playout.input.count_damaged,
            )
            chain.background.leave_headroom(self.gain_db > 0)
            playout.input.tap = playout.output.post_processor = self._chain = chain
            self._emitter.tap = chain.deliver
            if self.state is State.CLOSED:
                chain.deliver(Closed(self.position))
        return self._chain

    def _make(
        self,
        *,
        text: str | None = None,
        id: str | None = None,
        format: AudioFormat | None = None,
        interruptible: bool = True,
        first: bool = False,
        turn: Turn | None = None,
    ) -> Utterance:
        for argument, value, kind in (("text", text, str), ("id", id, str), ("format", format, AudioFormat)):
            check_type(argument, value, kind, None)
        check_type("interruptible", interruptible, bool)
        check_type("first", first, bool)
        check_type("turn", turn, Turn, None)
        return Utterance(
            self._playout.input,
            text=text,
            id=f"utterance-{next(self._numbers)}" if id is None else id,
            format=format or self.input_format,
            interruptible=interruptible,
            first=first,
            turn=turn,
        )


NEW_CONTROLLERS: Final[Made[PlaybackController]] = Made()
"""Notifies of each controller that is made."""
