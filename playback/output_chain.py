"""The stage: what comes after the voice. Background sounds beneath it, sinks hear both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from playback.background.mixer import Background
from playback.chart import PAUSED, STATE_OF, State
from playback.events import Closed, ErrorRaised, Event
from playback.sinks.sinks import Sinks

if TYPE_CHECKING:
    from playback.audio.clip import Clip
    from playback.audio.formats import Block
    from playback.core.playhead import Silence
    from playback.core.playout import Playout
    from playback.utterance import Utterance


class Stage:
    """Finishes each frame that the voice has filled. It takes no part in the chart, the events or the reports.

    Args:
        playout: whose voice it is.
    """

    def __init__(self, playout: Playout) -> None:
        self.background: Final = Background(playout.format, self._background_failed)
        self.sinks: Final = Sinks(playout.format, self._tell, lambda: playout.playhead.position, playout.disturb)
        self._playout: Final = playout
        playout.listeners.tee = self._hear
        if STATE_OF[playout.session.leaf] is State.CLOSED:
            self._hear(Closed(playout.playhead.position))

    def take(self, utterance: Utterance, block: Block, at: int) -> None:
        """Pass on audio that was accepted.

        Args:
            utterance: whose it is.
            block: what was pushed.
            at: where it begins in the utterance, in samples at the output rate.
        """
        if self.sinks.hears_pushed:
            listeners = self._playout.listeners
            try:
                listeners.tell(self.sinks.pushed_chunk(utterance, block, at))
            except Exception as error:  # the audio was accepted: the push has to go on
                listeners.tell(ErrorRaised(self._playout.playhead.position, error, "sinks"))

    def perform(self, out: memoryview, start: int, told: int, source: Clip | Silence | None = None) -> None:
        """Finish a frame.

        Args:
            out: the voice; what is to be heard instead is put there.
            start: the frame's position.
            told: how many things waited to be told before this frame: its audio goes ahead of its events.
            source: where all of it was copied from, if it was.
        """
        playout = self._playout
        voice = bytes(out) if self.sinks.hears_played else None
        background = self.background
        if background.sounds:
            try:
                paused = background.follow_pause and playout.session.leaf in PAUSED
                speaking = playout.playhead.is_sounding if source is None else source.utterance is not None
                background.mix(out, speaking=speaking, paused=paused)
            except Exception as error:
                self._background_failed(error)
        if self.sinks.replaces_output:
            out[:] = bytes(len(out))
        if voice is not None:
            whose = playout.playhead.voice if source is None else source.utterance
            chunk = self.sinks.played_chunk(whose, start, bytes(out), voice)
            playout.listeners.insert(told, chunk)

    def _hear(self, event: Event) -> None:
        """What is told to anybody, and audio for the sinks; in order."""
        if event.name == Closed.name:
            self.background.close()
        self.sinks.deliver(event)

    def _background_failed(self, error: Exception) -> None:
        listeners, position = self._playout.listeners, self._playout.playhead.position
        listeners.tell(ErrorRaised(position, error, "background"))

    def _tell(self, event: Event) -> None:
        """Tell what came of a sink: at once, for its task runs while nobody else is telling anything."""
        self._playout.listeners.tell(event)
        self._playout.listeners.flush()
