"""Sinks: who else hears the audio, ahead of time or as it plays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import BuiltinMethodType, MethodType
from typing import Any, Final, Protocol, TypeVar, get_args

from playback.audio.formats import AudioFormat, Block
from playback.events import Closed, Event, InputEnded, UtteranceFinished
from playback.sinks.chunks import CONTROLS, Chunk, When
from playback.sinks.dispatch import SinkOverflow, SinkSlow, SinkWorker, ignore, name_of
from playback.sinks.pushed import PushedAudio, samples
from playback.utterance import Utterance

__all__ = ["CONTROLS", "CallbackSink", "Chunk", "Sink", "SinkOverflow", "SinkSlow", "Sinks", "When"]


class Sink(Protocol):
    """What hears audio. If it has ``control``, that receives :data:`CONTROLS`."""

    @property
    def audio(self) -> Callable[[Any], object]:
        """Called with each :class:`Chunk`; may be a coroutine function."""


class CallbackSink:
    """A sink made of functions, plain or coroutine functions.

    Example::

        controller.sinks.add(CallbackSink(avatar.send, avatar.control), when="pushed")

    Args:
        audio: called with each chunk.
        control: called with each event of :data:`CONTROLS`.
    """

    def __init__(
        self, audio: Callable[[Any], object] | None = None, control: Callable[[Any], object] | None = None
    ) -> None:
        self.audio: Final = audio or ignore
        self.control: Final = control or ignore


S = TypeVar("S", bound=Sink | Callable[[Any], object])


class Sinks:
    """The sinks of a controller: ``controller.sinks``.

    A sink is an object with ``audio(chunk)`` and, if it cares, ``control(event)``; a function of a chunk is one too.
    Each hears, in order: its audio, ``paused``, ``resumed``, ``stalled``, ``interrupted``, ``input_locked``,
    ``input_unlocked``, ``input_ended`` (no more audio of this utterance comes), ``utterance_finished`` and, as the last
    thing, ``closed``. Audio that was dropped is reported by ``utterance_finished``, whose report counts it as
    discarded.

    A push that has to be converted for them comes in chunks of 0.2 s, the first one at once and the others with the
    reads that follow, ten times as fast as they play.

    Plain functions run within the push or the read and must not block: one that takes longer than 5 ms is reported as
    an ``error`` event (:class:`SinkSlow`). Coroutine functions are awaited one at a time by a task of the sink's own;
    what is too much for it to hold is dropped and reported (:class:`SinkOverflow`), and pushed audio whose utterance
    was dropped before its turn came is passed over, so that nobody speaks on. What a sink raises becomes an ``error``
    event, too.

    Args:
        format: the output format.
        emit: where events go; they are delivered at once, unless somebody is at it.
        position: gives the samples read so far.
        taps_input: called with whether any sink hears what is pushed, each time that this may have changed.
    """

    def __init__(
        self,
        format: AudioFormat,
        emit: Callable[[Event], None],
        position: Callable[[], int],
        taps_input: Callable[[bool], object],
    ) -> None:
        self.hears_pushed = False
        """Whether any sink hears what is pushed."""
        self.hears_played = False
        """Whether any sink hears what is played."""
        self.replaces_output = False
        """Whether the output is silent because a sink sounds in its place."""

        self._format: Final = format
        self._emit: Final = emit
        self._position: Final = position
        self._taps_input: Final = taps_input
        self._workers: Final[list[SinkWorker]] = []
        self._pushed: Final = PushedAudio(format, position)
        self._closed = False

    def add(self, sink: S, *, when: When | None = None, replaces_output: bool = False) -> S:
        """Let a sink hear everything from now on.

        Example::

            controller.sinks.add(RecorderSink("call.flac"), when="played")

        Args:
            sink: an object with ``audio(chunk)``, or a function of a chunk.
            when: ``"pushed"``: audio as it is accepted, ahead of its time and in the producer's own rate, as an avatar
                needs it; ``"played"``: each frame exactly as it is read. By default what the sink's own attribute
                ``when`` says, else ``"pushed"``.
            replaces_output: the sink's audio is what people hear, so the output is silent. Positions, events and
                reports stay as they are; a played frame's ``audio`` is silent too then, its ``voice`` is not.

        Returns:
            The sink. Added to a closed controller, it gets ``closed`` at once.

        Raises:
            ValueError: it was added before, or hears at another time only.
            TypeError: nothing that could hear audio.
        """
        if self._find(sink) is not None:
            raise ValueError(f"{name_of(sink)} was added already")
        worker = SinkWorker(
            sink,
            _when(sink, when),
            replaces_output,
            emit=self._emit,
            position=self._position,
            rate=self._format.sample_rate,
        )
        self._workers.append(worker)
        self._update()
        if self._closed:
            worker.put(Closed(self._position()))
        return sink

    def remove(self, sink: object) -> None:
        """Let a sink hear nothing more, at once; what it is just being awaited for is cancelled.

        Raises:
            ValueError: it is not there.
        """
        worker = self._find(sink)
        if worker is None:
            raise ValueError(f"{name_of(sink)} is none of the sinks")
        self._workers.remove(worker)
        self._update()
        worker.stop()

    @property
    def is_behind(self) -> bool:
        """Whether some of what was pushed is still to be heard: a long push comes in pieces, with the reads."""
        return bool(self._pushed)

    def pushed_chunks(self, utterance: Utterance, block: Block, at: int) -> Iterator[Chunk]:
        """What can be heard at once of what was accepted; see :meth:`PushedAudio.take`."""
        return self._pushed.take(utterance, block, at)

    def late_items(self, samples: int, playing: Utterance | None) -> Iterator[Event]:
        """What comes of earlier pushes with a read; see :meth:`PushedAudio.more`."""
        return self._pushed.more(samples, playing)

    def played_chunk(self, utterance: Utterance | None, position: int, audio: bytes, voice: bytes) -> Chunk:
        """What was read, from a position on; the speech alone, and whose it begins with."""
        own = self._format
        return Chunk(position, utterance, None, own, samples(audio, own), "played", samples(voice, own))

    def deliver(self, item: Event) -> None:
        """Hand a chunk or an event to those whom it concerns; nothing comes after ``closed``."""
        if self._closed or (item.name != Chunk.name and item.name not in CONTROLS):
            return
        if self._pushed and isinstance(item, (InputEnded, UtteranceFinished)):
            if isinstance(item, InputEnded):
                if self._pushed.holds_back(item):
                    return
            else:
                for late in self._pushed.finish(item.utterance):
                    self._hand_on(late)
        self._hand_on(item)

    def _hand_on(self, item: Event) -> None:
        workers = tuple(self._workers)  # a sink may add and remove sinks, itself too
        if isinstance(item, Closed):
            self._closed = True
            self._update()
        for worker in workers:
            if not worker.stopped and not (isinstance(item, Chunk) and item.when != worker.when):
                worker.put(item)

    def _find(self, sink: object) -> SinkWorker | None:
        # A bound method is another object each time that it is asked for.
        method = isinstance(sink, (MethodType, BuiltinMethodType))
        return next((o for o in self._workers if o.sink is sink or (method and o.sink == sink)), None)

    def _update(self) -> None:
        heard = {worker.when for worker in self._workers if worker.hears_audio and not self._closed}
        self.hears_pushed = "pushed" in heard
        self.hears_played = "played" in heard
        self.replaces_output = any(worker.replaces_output for worker in self._workers)
        if not self.hears_pushed:
            self._pushed.clear()
        self._taps_input(self.hears_pushed)


def _when(sink: object, when: When | None) -> When:
    """When a sink hears, as given or as it says itself."""
    own = getattr(sink, "when", None)
    if own not in get_args(When):
        own = None
    if when is not None and when not in get_args(When):
        raise ValueError(f"when is {when!r}, expected 'pushed' or 'played'")
    if None not in (own, when) and own != when:
        raise ValueError(f"when is {when!r}, expected {own!r} for {name_of(sink)}")
    return when or own or "pushed"
