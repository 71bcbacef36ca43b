"""Vision Agents (``vision-agents``): the agent's outgoing audio track, played by a controller.

The framework hands its audio to a track of getstream's: ``write(pcm, final)`` for each 20 ms, ``flush()`` when the user
barges in; an edge transport reads the frames. :class:`PlaybackAudioTrack` takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

import av
import numpy as np

try:
    from vision_agents.core.processors import AudioPublisher
except ImportError as error:
    raise ImportError("Vision Agents is not installed: pip install 'voice-playback[vision_agents]'") from error

from playback._checks import check_seconds, check_type
from playback.audio.formats import FormatError
from playback.controller import PlaybackController
from playback.core.limits import BufferFull
from playback.events import UtteranceFinished
from playback.report import Outcome
from playback.track import PlaybackTrack
from playback.utterance import Utterance

LOGGER: Final = logging.getLogger("playback")

_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_FORMATS: Final = {"int16": "s16", "float32": "flt"}

Words = Iterable[tuple[str, float]]
"""Words, each with where it begins, in seconds from the start of its audio."""


class PlaybackAudioTrack(PlaybackTrack):
    """A track that the framework writes to, in place of ``getstream.video.rtc.AudioStreamTrack``.

    What is written up to ``final=True`` is an utterance. Everything else is the controller's.

    Example::

        class Edge(getstream.Edge):
            def create_audio_track(self):
                return PlaybackAudioTrack(controller)

    Args:
        controller: what to play; it can have one reader at a time.
        close_controller: whether :meth:`stop` closes the controller, so that nobody waits for ever.

    Raises:
        ValueError: the controller's rate has no frames of 20 ms.
    """

    format: ClassVar = "s16"
    """The sample type of the frames."""

    def __init__(self, controller: PlaybackController, *, close_controller: bool = True) -> None:
        super().__init__(controller, close_controller=close_controller)
        self.controller: Final = controller
        """What plays: for all that the framework knows nothing of, such as a pause."""
        self.sample_rate: Final = controller.format.sample_rate
        """The rate of the frames."""
        self.channels: Final = controller.format.channels
        """How many channels the frames have."""
        self._utterance: Utterance | None = None
        self._announced: Final[deque[tuple[str, list[tuple[str, float]]]]] = deque()
        self._flushed: Callable[[], object] = lambda: None

    def announce(self, text: str, words: Words = ()) -> None:
        """State what the next audio says, before it is written; its report then has what was heard of it.

        A flush counts it as not heard, if it comes before the audio.

        Args:
            text: what the next utterance says that has not begun yet.
            words: its words, each with where it begins, in seconds; without them, what was heard is aligned or
                estimated, as the controller's ``word_timing`` says.

        Raises:
            TypeError: the text is no str.
            ValueError: a time that is negative or not finite.
        """
        # Here, where the error reaches whoever made it, and not in the task in which the framework writes.
        check_type("text", text, str)
        words = [(word, start) for word, start in words]
        for word, start in words:
            check_seconds(f"the start of {word!r}", start)
        self._announced.append((text, words))

    async def write(self, pcm: Any, final: bool = False) -> None:
        """Add audio. It never waits: a flush that comes after it has to get through.

        Audio that can't be taken is logged, not raised: that would end the task in which the framework writes.

        Args:
            pcm: a ``PcmData`` of any rate, mono or stereo, s16 or f32; an empty one is fine.
            final: whether the utterance ends with it.
        """
        if self._utterance is not None and self._is_over(self._utterance):
            self._utterance = None
        if self._utterance is None and (final or pcm.samples.size):
            self._utterance = self._begin()
        if self._utterance is None:
            return
        if pcm.samples.size:
            try:
                self._utterance.push(_frame(pcm))
            except (FormatError, BufferFull):
                LOGGER.exception("%r was not played", pcm)
        if final:
            self._utterance.end()
            self._utterance = None

    async def flush(self) -> None:
        """Interrupt: what comes after it is another utterance."""
        self._utterance = None
        # What was announced and has no audio yet is interrupted, too: its reports say that nothing of it was heard.
        announced = [self._begin() for _ in range(len(self._announced))]
        self.controller.interrupt()
        announced.clear()
        self._flushed()

    @staticmethod
    def _is_over(utterance: Utterance) -> bool:
        """Whether it timed out, and was heard to its end; an interrupted one goes on refusing the rest of its audio."""
        return utterance.report is not None and utterance.report.outcome is Outcome.COMPLETED

    def _begin(self) -> Utterance:
        text, words = self._announced.popleft() if self._announced else (None, [])
        utterance = self.controller.utterance(text=text)
        for word, start in words:
            utterance.mark(word, at=start)
        return utterance


class PlaybackPublisher(AudioPublisher):
    """Has an agent publish a :class:`PlaybackAudioTrack`, whatever its edge transport is.

    If what is said was announced, an interruption cuts the message in the agent's conversation to what was heard.

    Example::

        agent = Agent(edge=edge, llm=llm, tts=tts, stt=stt, processors=[PlaybackPublisher(controller)])

    Args:
        controller: what to play; it can have one reader at a time.
    """

    name: ClassVar = "playback"

    def __init__(self, controller: PlaybackController) -> None:
        super().__init__()
        self.track: Final = PlaybackAudioTrack(controller)
        """What the agent publishes."""
        self._agent: Any = None
        self._conversation: Any = None
        # How far the conversation was said: a message, and a place in it; and what was cut off there.
        self._message = self._place = 0
        self._rest = ""
        self._aligning: Final[set[asyncio.Task[None]]] = set()
        self.track._flushed = self._forget_rest  # noqa: SLF001 - of this module

    def publish_audio_track(self) -> PlaybackAudioTrack:
        """The track; the agent asks for it once, when it is made."""
        return self.track

    def attach_agent(self, agent: Any) -> None:
        """Know the agent whose conversation it is."""
        if self._agent is None:
            self.track.controller.on("utterance_finished", self._follow_conversation)
        self._agent = agent

    def _follow_conversation(self, event: UtteranceFinished) -> None:
        """Cut the message that was interrupted to what was heard of it."""
        report, conversation = event.report, self._agent.conversation
        text = (report.text or "").strip()
        if not text or conversation is None:
            return
        if conversation is not self._conversation:
            self._conversation, self._message, self._place, self._rest = conversation, 0, 0, ""
        if text in self._rest:
            self._rest = self._rest.partition(text)[2]
            return
        found = self._find(text)
        if found is None:
            return
        message, start = found
        self._place, self._rest = start + len(text), ""
        if report.outcome is not Outcome.COMPLETED and report.heard is not None:
            # All that follows would have been said later. The conversation takes no updates of a message that is
            # complete, which it is long before it was heard.
            self._rest = message.content[self._place :]
            message.content = f"{message.content[:start]}{report.heard}".rstrip()
            self._place = len(message.content)
            if report.aligning:
                task = asyncio.get_running_loop().create_task(self._correct(message, start, event))
                self._aligning.add(task)
                task.add_done_callback(self._aligning.discard)

    async def _correct(self, message: Any, start: int, event: UtteranceFinished) -> None:
        """Replace an estimate by what an aligner finds, if it does so in time."""
        estimated = message.content
        report = await event.utterance.wait()
        if message.content == estimated:  # nobody else has changed it
            message.content = f"{estimated[:start]}{report.heard}".rstrip()
            if self._place == len(estimated):
                self._place = len(message.content)

    def _forget_rest(self) -> None:
        """Nothing of it comes any more: who says the same again means it anew."""
        self._rest = ""

    def _find(self, text: str) -> tuple[Any, int] | None:
        """The message with a text, and where it begins in it: the first after what was said before.

        Utterances finish in the order in which the conversation has them, and may well repeat what was said.
        """
        for index, message in enumerate(self._conversation.messages[self._message :], self._message):
            start = message.content.find(text, self._place if index == self._message else 0)
            if message.role == "assistant" and start >= 0:
                self._message = index
                return message, start
        return None


def _frame(pcm: Any) -> av.AudioFrame:
    """A frame of what may be (samples,), interleaved, (channels, samples) or (samples, channels).

    Raises:
        FormatError: more than two channels, or samples of another type.
    """
    samples, channels = pcm.samples, pcm.channels or 1
    layout, sample_type = _LAYOUTS.get(channels), _FORMATS.get(str(samples.dtype))
    if layout is None or sample_type is None or samples.size % channels:
        raise FormatError(f"{pcm!r} has {channels} channels of {samples.dtype}, expected 1 or 2 of int16 or float32")
    if samples.ndim == 2 and samples.shape[0] == channels:
        samples = samples.T
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), sample_type, layout)
    frame.sample_rate = pcm.sample_rate
    return frame
