"""What the audio tracks of older voice agents have in common, over a controller: names, methods and formats."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Final

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from pyee.asyncio import AsyncIOEventEmitter

from playback.audio.formats import SAMPLE_BYTES, AudioFormat
from playback.audio.ramps import Fades
from playback.chart import State
from playback.controller import PlaybackController
from playback.events import UtteranceFinished
from playback.pacing import frame_samples
from playback.report import Outcome
from playback.track import PlaybackTrack
from playback.utterance import Utterance

if TYPE_CHECKING:
    _Track = MediaStreamTrack
else:
    _Track = object  # the base class is the user's choice

LOGGER: Final = logging.getLogger("playback")

OUTPUT: Final = AudioFormat(24_000)
"""What the tracks hand out, and what they take bytes for by default."""

INPUT_TIMEOUT_SECONDS: Final = 0.2
"""How long an utterance may have no audio before it counts as ended: its producer has no other way to say so."""

Callback = Callable[[], object]


class EventBus(AsyncIOEventEmitter):
    """Where the tracks emit ``ON_SPEECH_OUT``; what a handler raises is logged and stops nobody."""

    def off(self, event: str, handler: Callable[..., Any]) -> None:
        """Call a handler no more; nothing happens if it was not registered."""
        if handler in self.listeners(event):
            self.remove_listener(event, handler)

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Emit an event; True if somebody handles it. What a handler raises is an event ``error``."""
        if event == "error" and not self.listeners(event):
            LOGGER.error("a handler raised", exc_info=args[0] if args else None)
            return False
        return super().emit(event, *args, **kwargs)


global_event_emitter: Final = EventBus()
"""Emits ``ON_SPEECH_OUT`` with ``{"audio_data": bytes}`` for each push that was accepted."""


class LegacyTrack(_Track):
    """Everything that the tracks have in common, to be mixed into a track class; :func:`legacy_tracks` does that.

    Args:
        loop: the event loop; kept for those who read it.
        input_timeout_seconds: an utterance that nobody ended and that has nothing to play for so long counts as ended;
            None waits for :meth:`mark_synthesis_complete`.
    """

    kind = "audio"
    stream_error: ClassVar[type[Exception]] = MediaStreamError
    """What :meth:`recv` raises once the track was stopped; another stack waits for another one."""
    event_emitter: ClassVar[Any] = global_event_emitter
    """Where ``ON_SPEECH_OUT`` is emitted: anything with ``emit(event, data)``."""

    def __init__(
        self, loop: AbstractEventLoop | None = None, *, input_timeout_seconds: float | None = INPUT_TIMEOUT_SECONDS
    ) -> None:
        super().__init__()
        # An hour is more than anybody pushes ahead: this code does not expect a push to fail.
        # A producer that never says the end has an underrun at each end: a ramp there would be heard after every turn.
        self.controller: Final = PlaybackController(
            OUTPUT,
            fades=Fades(underrun_seconds=0.0),
            input_timeout_seconds=input_timeout_seconds,
            on_input_timeout="complete",
            max_buffered_seconds=3600.0,
        )
        """What plays: for all that these methods don't offer."""
        self.loop = loop

        # Read and set by others. Rate and channels say what is pushed; the output stays as it is.
        self.sample_rate = OUTPUT.sample_rate
        self.channels = OUTPUT.channels
        self.sample_width = SAMPLE_BYTES
        self.time_base_fraction = Fraction(1, OUTPUT.sample_rate)
        self.samples = frame_samples(OUTPUT.sample_rate)
        self.chunk_size = self.samples * OUTPUT.frame_bytes

        self._source: Final = PlaybackTrack(self.controller)
        self._declared: AudioFormat | None = None
        self._partial = b""
        self._partial_format: AudioFormat | None = None
        self._is_late = False
        self._manual_audio_control = False
        self._callback: Callback | None = None
        # The one that the next push or mark belongs to: open, marked, or timed out, when its mark is yet to come.
        self._utterance: Utterance | None = None
        # Marked ones that still play, with whom to call: the next turn's callback may be there before they are over.
        self._marked: Final[dict[Utterance, Callback | None]] = {}
        self._counted: list[Utterance] | None = None
        self.controller.on("utterance_finished", self._finished)

    @property
    def can_pause(self) -> bool:
        """Whether :meth:`pause` works: always."""
        return True

    @property
    def is_speaking(self) -> bool:
        """Whether something plays or is going to."""
        return self.controller.state is State.SPEAKING or self.controller.buffered > 0

    _is_speaking = is_speaking

    @property
    def _is_paused(self) -> bool:
        return self.controller.state is State.PAUSED

    @property
    def _accepting_audio(self) -> bool:
        return not self.controller.input_locked

    @_accepting_audio.setter
    def _accepting_audio(self, accepting: bool) -> None:
        if accepting:
            self.controller.unlock()
        else:
            if self._utterance is not None:
                self._utterance.end()  # so that it plays to its end, as one that is complete
            self.controller.lock()

    @property
    def frame_buffer(self) -> list[None]:
        """As long as there are whole frames buffered; changing it changes nothing."""
        return [None] * (self.controller.buffered // frame_samples(OUTPUT.sample_rate))

    @property
    def audio_data_buffer(self) -> bytes:
        """As long as what is buffered beyond :attr:`frame_buffer`."""
        return bytes(self.controller.buffered % frame_samples(OUTPUT.sample_rate) * OUTPUT.frame_bytes)

    def set_input_format(self, sample_rate: int, channels: int = 1) -> None:
        """State what is pushed from now on, in Hz and 1 or 2 channels; it is converted."""
        self._declared = AudioFormat(sample_rate, channels)

    async def add_new_bytes(self, audio_data: bytes) -> None:
        """Add speech: s16le of any length, in the input format; it is dropped while the input is locked."""
        if not audio_data:
            return
        pushed = self._declared or AudioFormat(self.sample_rate, self.channels)
        audio = self._whole_samples(audio_data, pushed)
        if self.controller.input_locked:
            self.controller.push(audio)  # to be refused, and reported
            return
        utterance = self._utterance
        if utterance is None or utterance.ended or utterance.format != pushed:
            if utterance is not None:
                utterance.end()  # another format is another producer's
            utterance = self._new_utterance(pushed)
        utterance.push(audio)
        self.event_emitter.emit("ON_SPEECH_OUT", {"audio_data": audio_data})

    def mark_synthesis_start(self) -> None:
        """Count what :meth:`snapshot_playback` gives from here on."""
        self._begin_turn()
        self._counted = []

    def snapshot_playback(self) -> tuple[int, int]:
        """How much was played and how much was pushed since :meth:`mark_synthesis_start`, in samples of the output."""
        counted = self._counted or []
        return sum(utterance.played for utterance in counted), sum(utterance.accepted for utterance in counted)

    def mark_synthesis_complete(self) -> None:
        """End the utterance; the callback is called when it is played, at once if there is nothing to play."""
        self._partial = b""
        if self.controller.state is State.CLOSED:
            return
        utterance = self._utterance
        if utterance is not None and utterance.report is not None and utterance not in self._marked:
            self._utterance = None  # it timed out: its end was reported before this mark came
            return
        if utterance is None:
            utterance = self._new_utterance()
        self._marked.setdefault(utterance, self._callback)
        utterance.end()

    def on_last_audio_byte(self, callback: Callback) -> None:
        """Have a function, plain or a coroutine function, called once for each utterance that plays to its end."""
        self._begin_turn()
        self._callback = callback

    def interrupt(self) -> None:
        """Drop all speech and leave a pause; under manual control, refuse more until :meth:`enable_audio_input`."""
        self._begin_turn()
        self._partial, self._is_late = b"", True
        self.controller.interrupt(lock=self._manual_audio_control)
        if not self._manual_audio_control:
            self.controller.unlock()

    async def pause(self) -> None:
        """Hold all speech back; nothing is lost."""
        self.controller.pause()

    async def resume(self) -> None:
        """Go on at the very next sample."""
        self.controller.resume()

    def enable_audio_input(self, manual_control: bool = False) -> None:
        """Take speech; under manual control each interrupt refuses it, until this is called again."""
        self._begin_turn()
        self._manual_audio_control = manual_control
        self.controller.unlock()

    async def recv(self) -> av.AudioFrame:
        """The next frame, when it is due.

        Raises:
            Exception: the track was stopped: the stack's own ``MediaStreamError``, see :attr:`stream_error`.
        """
        try:
            return await self._source.recv()
        except MediaStreamError as error:
            raise self.stream_error(str(error)) from None

    def stop(self) -> None:
        """End the track and close its controller."""
        try:
            super().stop()
        finally:
            self._source.stop()

    async def cleanup(self) -> None:
        """Drop all speech and stop."""
        self.interrupt()
        self.stop()

    def _whole_samples(self, data: bytes, format: AudioFormat) -> bytes:
        """The samples that a push completes; what it leaves of one waits for the next push.

        Pushes that are refused count, for the stream goes on behind them; but not after an interrupt, for they are late
        ones of a stream that is over.
        """
        if format != self._partial_format:
            self._partial, self._partial_format = b"", format
        self._is_late = self._is_late and self.controller.input_locked
        audio = self._partial + data
        whole = len(audio) - len(audio) % format.frame_bytes
        self._partial = b"" if self._is_late else audio[whole:]
        return audio[:whole]

    def _new_utterance(self, format: AudioFormat | None = None) -> Utterance:
        self._utterance = self.controller.utterance(format=format)
        if self._counted is not None:
            self._counted.append(self._utterance)
        return self._utterance

    def _begin_turn(self) -> None:
        """Wait no more for the mark of an utterance that has timed out."""
        if self._utterance is not None and self._utterance.report is not None:
            self._utterance = None

    def _finished(self, event: UtteranceFinished) -> object:
        """Call back if it was played to its end; a coroutine is the controller's to run."""
        completed = event.report.outcome is Outcome.COMPLETED
        marked = event.utterance in self._marked
        callback = self._marked.pop(event.utterance, None) or self._callback
        if event.utterance is self._utterance and (marked or not completed):
            self._utterance = None
        return callback() if completed and callback is not None else None
