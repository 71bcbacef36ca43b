"""LiveKit Agents: an audio output over a controller, and a pump into a room's audio source.

The output decides nothing: each method is a call or two to the controller, each event of the framework is one of the
controller's. ``docs/frameworks/livekit.md`` says what differs from the framework's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from math import ceil, isfinite
from typing import Any, Final, Literal

import av
import numpy as np
from numpy.typing import NDArray

from playback._checks import check_interrupt_at
from playback.audio.formats import FormatError
from playback.chart import State
from playback.controller import PlaybackController
from playback.events import FirstAudioByte, Paused, Underrun, UtteranceFinished
from playback.pacing import PTIME_SECONDS
from playback.pump import MOST_AHEAD_SECONDS, Pump
from playback.report import Outcome, UtteranceReport
from playback.utterance import Utterance

try:
    from livekit import rtc
    from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString
    from livekit.agents.utils import is_given
    from livekit.agents.voice.io import AudioOutput, AudioOutputCapabilities, TextOutput
except ImportError as error:
    raise ImportError(
        "playback.integrations.livekit needs LiveKit Agents: pip install 'voice-playback[livekit]'"
    ) from error

__all__ = ["PlaybackAudioOutput", "source_pump"]

_LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""What so many channels are taken for."""


class PlaybackAudioOutput(AudioOutput):
    """An audio output of LiveKit Agents that plays through a controller.

    Each segment is an utterance: the first frame captured begins it, ``flush`` ends it, ``clear_buffer`` interrupts it.
    Whatever becomes of it, exactly one ``playback_finished`` is emitted: within the read that hands out its last
    sample, or at once when it is dropped. Frames may have any rate and up to eight channels.

    Example::

        controller = PlaybackController()
        peer_connection.addTrack(PlaybackTrack(controller))
        session.output.audio = PlaybackAudioOutput(controller)

    Args:
        controller: what plays it; something has to read it, as a track or a pump does.
        label: what the framework calls it in its log.
        resume_to_word: whether to go on, after a false interruption, at the beginning of the word that was cut, if the
            synthesizer gives the times of its words; otherwise at the very next sample.
        interrupt_at: ``"word"`` lets the agent finish the word that sounds when it is interrupted, as
            :meth:`PlaybackController.interrupt` has it, if the synthesizer gives the times of its words; the end of the
            segment is reported then. A pause that the framework has made before has cut the word.

    Raises:
        ValueError: ``interrupt_at`` is neither ``"now"`` nor ``"word"``.
    """

    def __init__(
        self,
        controller: PlaybackController,
        *,
        label: str = "Playback",
        resume_to_word: bool = False,
        interrupt_at: Literal["now", "word"] = "now",
    ) -> None:
        check_interrupt_at("interrupt_at", interrupt_at)
        # Without a sample rate the framework hands on what synthesis makes, unconverted and with its words.
        super().__init__(label=label, capabilities=AudioOutputCapabilities(pause=True))
        self.controller: Final = controller
        """What plays it, for all that the framework has no word for: background, sinks, gain, events."""

        self._resume_to_word: Final = resume_to_word
        self._interrupt_at: Final[Literal["now", "word"]] = interrupt_at
        self._open: Utterance | None = None
        self._starting: Utterance | None = None
        # The segments that are not finished, and how many samples of each were reported as progress.
        self._progress: Final[dict[Utterance, int]] = {}
        self._text: _Text | None = None  # what the model has written, and no segment has begun to say
        self._finishing: Final[set[asyncio.Task[None]]] = set()

        controller.on("first_audio_byte", self._on_first_audio_byte)
        controller.on("paused", self._on_paused)
        controller.on("underrun", self._on_underrun)
        controller.on("utterance_finished", self._on_utterance_finished)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """Add audio to the segment; the first frame begins it. Waits while more than the high water is buffered.

        Words in the frame's user data, which synthesizers with aligned transcripts put there, become marks. What comes
        after ``clear_buffer`` and before ``flush`` belongs to a segment that is over, and is refused.

        Args:
            frame: s16, of any rate.

        Raises:
            FormatError: more than eight channels.
        """
        await super().capture_frame(frame)
        if self._open is not None:
            await self._capture(self._open, frame)
            return
        # Whoever listens when the handle is made may already end it, as a closed controller does.
        utterance = self._open = self._starting = self.controller.utterance(text=None if self._text is None else "")
        self._progress[utterance] = 0
        if self._text is not None:
            self._text.belong_to(utterance)
            self._text = None
        try:
            if utterance.report is not None:
                self._on_utterance_finished(UtteranceFinished(self.controller.position, utterance, utterance.report))
            await self._capture(utterance, frame)
        finally:
            self._starting = None

    def flush(self) -> None:
        """End the segment; what is buffered plays to its end. Without a segment, nothing."""
        super().flush()
        utterance, self._open = self._open, None
        if utterance is not None:
            utterance.end()

    def clear_buffer(self) -> None:
        """Drop all audio, with a fade-out if it sounds. A pause lasts until :meth:`resume`."""
        self._text = None
        if not self._progress and not self.controller.buffered:
            return
        paused = self.controller.state is State.PAUSED
        self.controller.interrupt(at=self._interrupt_at)
        if paused:  # to the controller an interrupt ends a pause, to the framework only `resume` does
            self.controller.pause()

    def transcription(self, next_in_chain: TextOutput | None = None) -> TextOutput:
        """A text output for the session, which gives each segment its text, for synthesizers without word times.

        After an interruption, the history then has the part of the text that was heard, found by the controller's
        aligner or estimated.

        Example::

            session.output.audio = output
            session.output.transcription = output.transcription()

        Args:
            next_in_chain: where the text goes on to.
        """
        return _Transcription(self, next_in_chain)

    def pause(self) -> None:
        """Hold everything back, also what is captured from now on; nothing is lost."""
        super().pause()
        self.controller.pause()

    def resume(self) -> None:
        """Go on."""
        super().resume()
        self.controller.resume(to_word=self._resume_to_word)

    async def _capture(self, utterance: Utterance, frame: rtc.AudioFrame) -> None:
        for word in frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, ()):
            if isinstance(word, TimedString):
                _mark(utterance, word)
        if frame.samples_per_channel:
            await utterance.write(_av_frame(frame))

    # The controller's events

    def _on_first_audio_byte(self, event: FirstAudioByte) -> None:
        if event.utterance in self._progress:
            self.on_playback_started(created_at=time.time())

    def _on_paused(self, _: Paused) -> None:
        playing = self.controller.playing
        if playing is not None:
            self._report_progress(playing)

    def _on_underrun(self, event: Underrun) -> None:
        self._report_progress(event.utterance)

    def _on_utterance_finished(self, event: UtteranceFinished) -> None:
        utterance, report = event.utterance, event.report
        if utterance not in self._progress:
            return
        if utterance is self._starting:
            # Outputs around this one count a segment when its first frame was taken; they must not receive its end
            # before that, or they would wait for it for ever.
            asyncio.get_running_loop().call_soon(self._on_utterance_finished, event)
            return
        self._report_progress(utterance)
        del self._progress[utterance]
        if report.aligning:
            task = asyncio.get_running_loop().create_task(self._finish_aligned(utterance, report))
            self._finishing.add(task)
            task.add_done_callback(self._finishing.discard)
        else:
            self._finish(report)

    async def _finish_aligned(self, utterance: Utterance, report: UtteranceReport) -> None:
        """The history gets what an aligner finds, if it does so in time."""
        try:
            await utterance.wait()
        finally:
            self._finish(report)

    def _finish(self, report: UtteranceReport) -> None:
        self.on_playback_finished(
            playback_position=report.played / self.controller.format.sample_rate,
            interrupted=report.outcome is not Outcome.COMPLETED,
            synchronized_transcript=report.heard,
        )

    def _capture_text(self, text: str) -> _Text:
        """The model begins to write: that belongs to the segment that is open and has no text, or to the next one."""
        begun = _Text(text)
        if self._open is not None and self._open.text is None:
            begun.belong_to(self._open)
        else:
            self._text = begun
        return begun

    def _report_progress(self, utterance: Utterance) -> None:
        """Report what has sounded without a gap since the last report: the session's recorder puts it in its place."""
        reported = self._progress.get(utterance)
        if reported is None or utterance.played <= reported:
            return
        self._progress[utterance] = utterance.played
        rate = self.controller.format.sample_rate
        duration = (utterance.played - reported) / rate
        self.on_playback_progressed(started_at=time.time() - duration, offset=reported / rate, duration=duration)


class _Text:
    """What the model writes for one segment, while it does.

    Args:
        text: how it begins.
    """

    def __init__(self, text: str) -> None:
        self._waiting = text
        self._utterance: Utterance | None = None

    def belong_to(self, utterance: Utterance) -> None:
        """The segment begins, or has begun."""
        self._utterance = utterance
        self.add("")

    def add(self, text: str) -> None:
        """The model writes on."""
        self._waiting += text
        if self._utterance is not None:
            if self._utterance.report is None:
                self._utterance.append_text(self._waiting)
            self._waiting = ""


class _Transcription(TextOutput):
    """Takes what the model writes as what the segments of an output say.

    Args:
        output: whose segments.
        next_in_chain: where the text goes on to.
    """

    def __init__(self, output: PlaybackAudioOutput, next_in_chain: TextOutput | None) -> None:
        super().__init__(label="Playback", next_in_chain=next_in_chain)
        self._output: Final = output
        self._text: _Text | None = None

    async def capture_text(self, text: str) -> None:
        """Take a piece of text; the first one begins a segment of it."""
        if self._text is None:
            self._text = self._output._capture_text(text)  # noqa: SLF001 - of this module
        else:
            self._text.add(text)
        if self.next_in_chain is not None:
            await self.next_in_chain.capture_text(text)

    def flush(self) -> None:
        """The segment of text is complete."""
        self._text = None
        if self.next_in_chain is not None:
            self.next_in_chain.flush()


def source_pump(
    controller: PlaybackController,
    source: rtc.AudioSource,
    publication: rtc.LocalTrackPublication | None = None,
    *,
    clears_queue: bool = False,
) -> Pump:
    """A pump that plays a controller into the audio source of a room's track, with at most 40 ms queued there.

    Example::

        source = rtc.AudioSource(48_000, 1)
        track = rtc.LocalAudioTrack.create_audio_track("agent", source)
        publication = await room.local_participant.publish_track(track)
        pumping = asyncio.create_task(source_pump(controller, source, publication).run())

    Args:
        controller: what to play; it can have one reader at a time.
        source: where to; of the controller's rate and channels.
        publication: what the track was published as: nothing is played before the first participant has subscribed to
            it, as with the framework's own output, so that the greeting is heard. Without it, playing begins at once.
        clears_queue: whether a pause and an interrupt empty the source's queue. The agent is then silent at once, and
            reports say what was dropped there; ends are reported when the queue has played. The source does not say
            what it has played, so that is known to about 10 ms, and a pause may lose or repeat as much. By default, the
            queue plays on and counts as heard, exact to the sample.

    Raises:
        ValueError: the source has another rate or other channels, or the rate has no frames of 20 ms.
    """
    rate, channels = controller.format.sample_rate, controller.format.channels
    if (source.sample_rate, source.num_channels) != (rate, channels):
        wrong = f"the source has {source.sample_rate} Hz and {source.num_channels} channels"
        raise ValueError(f"{wrong}, expected the controller's {rate} and {channels}")

    ready = None if publication is None else publication.wait_for_subscription
    if clears_queue:
        return _ClearingPump(controller, source, ready)

    async def write(samples: NDArray[np.int16]) -> None:
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), rate, channels, len(samples)))
        # A source with an underrun plays later than the pump reckons. So it is the queue itself that is waited for: the
        # next frame is not read before there is room for it.
        await asyncio.sleep(source.queued_duration - (MOST_AHEAD_SECONDS - PTIME_SECONDS))

    return Pump(controller, write, frame_seconds=PTIME_SECONDS, lead_seconds=MOST_AHEAD_SECONDS, ready=ready)


class _ClearingPump(Pump):
    """A pump into a source whose queue is emptied when the controller pauses or is interrupted: it confirms.

    Args:
        controller: what to play.
        source: where to.
        ready: see :class:`Pump`.
    """

    def __init__(
        self, controller: PlaybackController, source: rtc.AudioSource, ready: Callable[[], object] | None
    ) -> None:
        super().__init__(
            controller, self._queue, frame_seconds=PTIME_SECONDS, lead_seconds=MOST_AHEAD_SECONDS, ready=ready
        )
        self._source: Final = source
        self._read = 0  # samples that were queued, without those that were thrown away
        self._recalled_at = -1  # the controller's position at the last recall

    def recall(self) -> int:
        """Empty the queue; returns how many samples it has played, by its own reckoning."""
        self._recalled_at = self._controller.position
        self._read = self._played
        self._source.clear_queue()
        return self._read

    @property
    def _played(self) -> int:
        queued: float = self._source.queued_duration
        return max(0, self._read - ceil(queued * self._controller.format.sample_rate))

    def _attach(self) -> None:
        self._controller.attach(self, confirms=True)
        self._read = 0

    async def _queue(self, samples: NDArray[np.int16]) -> None:
        if self._recalled_at == self._controller.position:
            return  # a listener has interrupted within this very read: it was taken back, too
        source = self._source
        self._read += len(samples)
        await source.capture_frame(
            rtc.AudioFrame(samples.tobytes(), source.sample_rate, source.num_channels, len(samples))
        )
        await asyncio.sleep(source.queued_duration - (MOST_AHEAD_SECONDS - PTIME_SECONDS))
        self._controller.confirm(self._played)


def _mark(utterance: Utterance, word: TimedString) -> None:
    """Mark a word where the synthesizer says that it is; where its audio begins, if it says nothing that can be."""
    start, end = (time if is_given(time) and isfinite(time) else None for time in (word.start_time, word.end_time))
    at = None if start is None else max(0.0, start)
    utterance.mark(str(word), at=at, until=None if at is None or end is None else max(at, end))


def _av_frame(frame: rtc.AudioFrame) -> av.AudioFrame:
    """The same audio as what the controller converts from any rate and layout.

    Raises:
        FormatError: more than eight channels.
    """
    layout = _LAYOUTS.get(frame.num_channels)
    if layout is None:
        raise FormatError(f"the frame has {frame.num_channels} channels, expected 1 to {max(_LAYOUTS)}")
    # The memory of a frame may hold more than its samples.
    samples: NDArray[Any] = np.frombuffer(frame.data, np.int16)[: frame.samples_per_channel * frame.num_channels]
    audio = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", layout)
    audio.sample_rate = frame.sample_rate
    return audio
