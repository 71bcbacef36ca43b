"""Pipecat: a processor that stands where ``transport.output()`` stands.

Words reach the context once their audio was played; an interruption keeps what was heard and drops the rest. Two new
frames pause the speech and let it go on. ``docs/frameworks/pipecat.md`` says what differs from the framework's output.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Final

try:
    from pipecat.audio.dtmf.utils import load_dtmf_audio
    from pipecat.frames.frames import (
        AggregatedTextProgressFrame,
        BotSpeakingFrame,
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        CancelFrame,
        EndFrame,
        Frame,
        InterruptionFrame,
        MixerControlFrame,
        OutputAudioRawFrame,
        OutputDTMFFrame,
        OutputDTMFUrgentFrame,
        OutputImageRawFrame,
        OutputTransportReadyFrame,
        SpeechOutputAudioRawFrame,
        SpriteFrame,
        StartFrame,
        SystemFrame,
        TTSAudioRawFrame,
        TTSStartedFrame,
        TTSStoppedFrame,
        TTSTextFrame,
        VolumeFrame,
        VolumeGainFrame,
    )
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup
except ImportError as error:
    raise ImportError("this needs Pipecat: pip install 'voice-playback[pipecat]'") from error

from playback.audio.formats import AudioFormat
from playback.chart import State
from playback.controller import PlaybackController
from playback.integrations.pipecat.mixer import PlaybackMixer, decibels
from playback.integrations.pipecat.turns import Turns
from playback.pump import Pump
from playback.sinks.chunks import Chunk

__all__ = ["PlaybackMixer", "PlaybackOutput", "PlaybackPauseFrame", "PlaybackResumeFrame"]

LOGGER: Final = logging.getLogger("playback")

INPUT_TIMEOUT_SECONDS: Final = 3.0
"""When speech that nobody has ended is taken to be over; the framework's own figure."""

BOT_SPEAKING_SECONDS: Final = 0.2
"""How often the pipeline is informed that the bot still speaks; the framework's own figure."""

STUCK_SECONDS: Final = 5.0
"""How long the end of the pipeline waits for a reader that has stopped reading."""

_POLL_SECONDS: Final = 0.01

_SETTLING_TURNS: Final = 20
"""How often the loop goes round before a system frame follows others. It overtakes what is queued in the processors
that come next; an interruption even destroys it there, and so words that were heard. So they get the time to arrive."""


@dataclass
class PlaybackPauseFrame(SystemFrame):
    """Hold the bot's speech, losing nothing of it."""


@dataclass
class PlaybackResumeFrame(SystemFrame):
    """Go on with it at the very next sample.

    Attributes:
        rewind_seconds: go on so much earlier.
        to_word: go on at the beginning of the word that the pause has cut, if the synthesizer gives the words' times.
    """

    rewind_seconds: float = 0.0
    to_word: bool = False


class PlaybackOutput(FrameProcessor):
    """Plays a pipeline's speech through a controller, and reports to the pipeline what was really heard.

    Whatever pulls can read the controller, a :class:`playback.track.PlaybackTrack` above all. For a transport that does
    not pull, ``pump`` lets the played audio flow on to the ``transport.output()`` that follows.

    Example::

        output = PlaybackOutput()
        peer_connection.addTrack(PlaybackTrack(output.controller, close_controller=False))
        pipeline = Pipeline([transport.input(), stt, user, llm, tts, output, assistant])

    Args:
        controller: what plays; by default one of its own, at 48 kHz mono. One that ends speech that times_out, as its
            own does after 3 s, forgives a synthesizer that never says the end.
        mixer: sounds beneath the speech, for the framework's mixer frames.
        pump: read the controller at the pace of playback, for an output that follows in the pipeline and plays.
        end_silence_seconds: how long reading goes on after the last word, before the pipeline ends and the transport
            with it: what was read is then still on its way.
        close_controller: whether the controller is closed with the pipeline.
        name: the processor's name.
        **kwargs: for the processor.
    """

    def __init__(
        self,
        controller: PlaybackController | None = None,
        *,
        mixer: PlaybackMixer | None = None,
        pump: bool = False,
        end_silence_seconds: float = 0.2,
        close_controller: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.controller: Final = controller or PlaybackController(
            AudioFormat(48_000), input_timeout_seconds=INPUT_TIMEOUT_SECONDS, on_input_timeout="complete"
        )
        """What plays, and what there is to read."""
        self._mixer: Final = mixer
        self._pumps: Final = pump
        self._pump: Pump | None = None
        self._end_silence_seconds: Final = end_silence_seconds
        self._close_controller: Final = close_controller
        self._turns: Turns | None = None
        self._volume = self._volume_gain = 1.0
        self._next_speaking = 0  # the position from which on it is reported again that the bot speaks
        self._interrupting = False
        self._held: list[tuple[Frame, FrameDirection]] | None = None  # what waits until an interruption has gone on
        # What goes on to the neighbours: events are emitted by a read, which can't wait for anybody.
        self._outbox: Final[asyncio.Queue[tuple[Frame, FrameDirection]]] = asyncio.Queue()
        self._tasks: Final[list[Any]] = []

    # What the framework calls

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Get ready: the rate of the pipeline's audio is known now."""
        await super().setup(setup)
        usual = AudioFormat(setup.audio_out_sample_rate)
        self._turns = Turns(self.controller, usual, self._due, self._report_speaking, setup.clock.get_time)
        self.controller.on("interrupted", self._interrupted)
        self.controller.sinks.add(self._played, when="played")

    async def cleanup(self) -> None:
        """Let go of everything."""
        await super().cleanup()
        self._stop()
        for task in self._tasks:
            await self.cancel_task(task)
        self._tasks.clear()
        if self._turns is not None:
            self._turns.detach()
            self.controller.remove_listener("interrupted", self._interrupted)
            self.controller.sinks.remove(self._played)
            self._turns = None
        if self._close_controller:
            self.controller.close()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Play it, keep it until the audio before it was played, or pass it on."""
        await super().process_frame(frame, direction)
        match frame:
            case StartFrame():
                await self.push_frame(frame, direction)
                self._start()
            case EndFrame():
                await self._drain()
                self._stop()
                await self.push_frame(frame, direction)
            case CancelFrame():
                self._drop()
                self._stop()
                await self.push_frame(frame, direction)
            case InterruptionFrame():
                await self._interrupt(frame, direction)
            case PlaybackPauseFrame():
                self.controller.pause()
                await self.push_frame(frame, direction)
            case PlaybackResumeFrame():
                self.controller.resume(frame.rewind_seconds, to_word=frame.to_word)
                await self.push_frame(frame, direction)
            case OutputDTMFUrgentFrame() if not self._pumps:
                tones = await self._dial(frame)
                self.controller.background.add(tones, 0.0, False, 0.0)
            case SystemFrame():
                await self.push_frame(frame, direction)
            case _ if direction is FrameDirection.UPSTREAM or frame.transport_destination is not None:
                await self.push_frame(frame, direction)
            case _:
                await self._take(frame, self._ready_turns)

    # Frames in order with the audio

    async def _take(self, frame: Frame, turns: Turns) -> None:
        if turns.is_stale(frame) and frame.interruptible and not isinstance(frame, TTSAudioRawFrame):
            return
        match frame:
            case TTSStartedFrame():
                turns.begin(frame)
            case TTSAudioRawFrame():
                turns.audio(frame)
            case SpeechOutputAudioRawFrame():
                turns.stream(frame)
            case OutputAudioRawFrame():
                turns.sound(frame)
            case TTSTextFrame() if frame.pts:
                turns.word(frame)
            case AggregatedTextProgressFrame() if frame.pts:
                turns.progress(frame)
            case TTSStoppedFrame():
                turns.stop(frame)
            case MixerControlFrame() if self._mixer is not None:
                self._mixer.control(frame)
            case OutputDTMFFrame() if not self._pumps:
                turns.sound(OutputAudioRawFrame(await self._dial(frame), self.controller.format.sample_rate, 1))
            case SpriteFrame():
                self._send(frame)
            case OutputImageRawFrame() if not frame.sync_with_audio:
                self._send(frame)
            case _:
                turns.sync(frame)

    def _due(self, frame: Frame) -> None:
        """All audio before this frame was played."""
        match frame:
            case VolumeFrame():
                self._volume = frame.volume
            case VolumeGainFrame():
                self._volume_gain = frame.gain
            case _:
                # It is presented now: a transport that follows must not hold it until a time that a pause has moved.
                frame.pts = None
                self._send(frame)
                return
        self.controller.gain_db = decibels(self._volume * self._volume_gain)

    async def _dial(self, frame: OutputDTMFFrame | OutputDTMFUrgentFrame) -> bytes:
        rate = self.controller.format.sample_rate
        return b"".join([await load_dtmf_audio(button, sample_rate=rate) for button in frame.buttons])

    # The beginning, interruptions, the end

    def _start(self) -> None:
        self._tasks.append(self.create_task(self._send_all()))
        if self._mixer is not None:
            self._mixer.start(self.controller)
        if self._pumps:
            # What is played flows on by the sink, as for every other reader.
            self._pump = Pump(self.controller, lambda _: None)
            self._tasks.append(self.create_task(self._pump.run()))
        self._send(OutputTransportReadyFrame(), FrameDirection.UPSTREAM)

    def _stop(self) -> None:
        if self._mixer is not None:
            self._mixer.stop()
        if self._pump is not None:
            self._pump.stop()

    async def _interrupt(self, frame: InterruptionFrame, direction: FrameDirection) -> None:
        held: list[tuple[Frame, FrameDirection]] = []
        self._interrupting, self._held = True, held
        try:
            parts = self._ready_turns.interrupt()
        finally:
            self._interrupting, self._held = False, None
        for part in parts:
            self._due(part)
        self._send(frame, direction)  # after what was heard, and before what comes of it
        for item in held:
            self._outbox.put_nowait(item)
        await self._outbox.join()

    def _interrupted(self, event: object) -> None:  # noqa: ARG002 - what a listener is called with
        """The controller was interrupted; if not by the pipeline, the pipeline has to be informed."""
        self._ready_turns.forget_words()
        if not self._interrupting:
            self._broadcast(InterruptionFrame(), InterruptionFrame())

    async def _drain(self) -> None:
        """Wait until all is played, and what was read is on its way; not for a reader that has gone."""
        turns, controller = self._ready_turns, self.controller
        turns.end()
        controller.resume()  # nobody is left to do it
        loop = asyncio.get_running_loop()
        silence = controller.format.samples(self._end_silence_seconds)
        position, moved, over = controller.position, loop.time(), None
        while controller.state is not State.CLOSED:
            if turns.is_empty:
                over = controller.position if over is None else over
                if controller.position - over >= silence:
                    break
            await asyncio.sleep(_POLL_SECONDS)
            if controller.position != position:
                position, moved = controller.position, loop.time()
            # Before anything was read there may never have been a reader.
            elif loop.time() - moved > (STUCK_SECONDS if not turns.is_empty else self._end_silence_seconds):
                if not turns.is_empty:
                    LOGGER.warning("nobody reads the controller: what is left is dropped")
                break
        if not turns.is_empty:
            self._drop()
        await self._outbox.join()

    def _drop(self) -> None:
        self._interrupting = True
        self.controller.interrupt(force=True)
        self._interrupting = False

    # What goes on

    def _played(self, chunk: Chunk) -> None:
        """A frame was read: recorders want it, and so does an output that follows."""
        turns = self._ready_turns
        turns.heard(chunk.utterance)  # the bot speaks from before its first audio on
        if chunk.utterance is not None or chunk.audio.any():
            self._send(OutputAudioRawFrame(chunk.audio.tobytes(), chunk.format.sample_rate, chunk.format.channels))
        if turns.is_speaking and chunk.utterance is not None and chunk.position >= self._next_speaking:
            self._next_speaking = chunk.position + chunk.format.samples(BOT_SPEAKING_SECONDS)
            self._broadcast(BotSpeakingFrame(), BotSpeakingFrame())

    def _report_speaking(self, is_speaking: bool) -> None:
        kind = BotStartedSpeakingFrame if is_speaking else BotStoppedSpeakingFrame
        self._broadcast(kind(), kind())

    def _broadcast(self, down: Frame, up: Frame) -> None:
        down.broadcast_sibling_id, up.broadcast_sibling_id = up.id, down.id
        self._send(down)
        self._send(up, FrameDirection.UPSTREAM)

    def _send(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if self._held is None:
            self._outbox.put_nowait((frame, direction))
        else:
            self._held.append((frame, direction))

    async def _send_all(self) -> None:
        is_arriving = False  # what was sent last may still be queued in the processors that follow
        while True:
            frame, direction = await self._outbox.get()
            try:
                urgent = isinstance(frame, SystemFrame)
                for _ in range(_SETTLING_TURNS if urgent and is_arriving else 0):
                    await asyncio.sleep(0)
                is_arriving = not urgent
                await self.push_frame(frame, direction)
            finally:
                self._outbox.task_done()

    @property
    def _ready_turns(self) -> Turns:
        if self._turns is None:
            raise RuntimeError(f"{self} is not set up, expected a pipeline to do that")
        return self._turns
