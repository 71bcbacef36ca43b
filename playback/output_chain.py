"""OutputChain: what comes behind the speech. Background sounds beneath it, sinks that hear both.

It takes no part in the chart, the events or the reports. The controller makes it when somebody first asks for
background or sinks, and hands it to the playout: as the tap of its input, as the post-processor of its output, and as
what its emitter calls before any listener.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from playback.audio.formats import AudioFormat, Block
from playback.background.mixer import Background
from playback.core.emitter import Emitter
from playback.events import Closed, ErrorRaised, Event
from playback.sinks.sinks import Sinks
from playback.utterance import Utterance


class OutputChain:
    """Finishes each frame that the speech has filled.

    Args:
        format: the output format.
        emitter: where events and audio for sinks go.
        position: gives the samples read so far.
        taps_input: called with whether any sink hears audio as it is pushed, each time that this may have changed.
        count_damaged: called with how many packets of a background file were skipped.
    """

    def __init__(
        self,
        format: AudioFormat,
        emitter: Emitter,
        position: Callable[[], int],
        taps_input: Callable[[bool], object],
        count_damaged: Callable[[int], object],
    ) -> None:
        self.background: Final = Background(format, self._background_failed, count_damaged)
        """What sounds beneath the speech."""
        self.sinks: Final = Sinks(format, self._emit_now, position, taps_input)
        """Who else hears the audio."""
        self._frame_bytes: Final = format.frame_bytes
        self._emitter: Final = emitter
        self._position: Final = position

    def take(self, utterance: Utterance, block: Block, at: int) -> None:
        """Pass on audio that was accepted.

        Args:
            utterance: whose it is.
            block: what was pushed.
            at: where it begins in the utterance, in samples at the output rate.
        """
        if self.sinks.hears_pushed:
            try:
                for chunk in self.sinks.pushed_chunks(utterance, block, at):
                    self._emitter.emit(chunk)
            except BaseException as error:  # the audio was accepted: the push has to go on
                self._emitter.emit(ErrorRaised(self._position(), error, "sinks"))

    def process(
        self, out: memoryview, start: int, pending: int, voice: Utterance | None, speaking: bool, paused: bool
    ) -> None:
        """Finish a frame; see :class:`playback.core.output.PostProcessor`."""
        speech = bytes(out) if self.sinks.hears_played else None
        if self.background.is_active:
            try:
                self.background.mix(out, speaking=speaking, paused=paused)
            except BaseException as error:
                self._background_failed(error)
        if self.sinks.replaces_output:
            out[:] = bytes(len(out))
        if speech is not None:
            self._emitter.insert(pending, self.sinks.played_chunk(voice, start, bytes(out), speech))
        if self.sinks.is_behind:
            self._catch_up(len(out), pending, voice)

    def _catch_up(self, size: int, pending: int, voice: Utterance | None) -> None:
        """Let sinks hear more of what was pushed, with a read of so many bytes, and before its events."""
        try:
            for number, item in enumerate(self.sinks.late_items(size // self._frame_bytes, voice)):
                self._emitter.insert(pending + number, item)
        except BaseException as error:
            self._emitter.emit(ErrorRaised(self._position(), error, "sinks"))

    def deliver(self, event: Event) -> None:
        """Hand on an event, or audio for the sinks, in order."""
        if event.name == Closed.name:
            self.background.close()
        self.sinks.deliver(event)

    def _background_failed(self, error: BaseException) -> None:
        self._emitter.emit(ErrorRaised(self._position(), error, "background"))

    def _emit_now(self, event: Event) -> None:
        """Emit what came of a sink at once: its task runs while nobody else is delivering anything."""
        self._emitter.emit(event)
        self._emitter.flush()
