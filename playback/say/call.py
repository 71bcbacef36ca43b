"""A scripted session: commands at given times, through two real peer connections, with all that was sent and heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from playback.audio.formats import AudioFormat
from playback.chart import State
from playback.controller import PlaybackController
from playback.events import EVENTS, UtteranceFinished
from playback.say.recording import RECEIVED_RATE, Recording
from playback.sinks.recorder import RecorderSink
from playback.speech import VOICE, NothingToSay, speak
from playback.tracing import Trace
from playback.track import PlaybackTrack

CONNECT_SECONDS: Final = 10.0
"""How long the peer connection may take to be up."""

TAIL_SECONDS: Final = 0.4
"""How long the session goes on when all is over: the receiver's jitter buffer still holds the end."""

_QUIET: Final = frozenset({State.IDLE, State.INPUT_LOCKED, State.PAUSED})
"""The states in which nothing more is heard unless a command comes."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One command of a script."""

    at: float
    """When it is given, in seconds of playback since the session's first read."""
    command: str
    """A name in :data:`COMMANDS`, with its argument if it takes one."""


def parse_cue(at: str, command: str) -> Cue:
    """Read a cue as it is written on a command line.

    Args:
        at: seconds, such as ``1.5``.
        command: such as ``pause``, ``resume 0.4``, ``interrupt lock`` or ``say Some text.``

    Raises:
        ValueError: the time is no number of seconds, or there is no such command.
    """
    try:
        seconds = float(at)
    except ValueError:
        raise ValueError(f"{at!r} is no number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{at!r} is not a time of 0 seconds or more")
    name, _, argument = command.strip().partition(" ")
    action = COMMANDS.get(name)
    if action is None:
        raise ValueError(f"{command!r} is no command; expected one of {', '.join(COMMANDS)}")
    action(argument.strip())
    return Cue(seconds, command.strip())


class Session:
    """Carries out a script against a controller that plays through a real peer connection.

    Args:
        script: what to do, and when; cues of one time keep their order.
        voice: the voice of all that is said.
        sample_rate: the controller's output rate, in Hz.
        limit_seconds: when to cut the session off, if it is not over by itself.
        background: a file that sounds beneath the speech, again and again.
        record: where to put what is sent, as :class:`RecorderSink` does.

    Raises:
        FormatError: there is no such rate.
        ValueError: a cue that can't be read, a rate that has no frames of 20 ms, or a file of another kind.
        OSError: a file that can't be opened.
    """

    def __init__(
        self,
        script: Sequence[Cue],
        *,
        voice: str = VOICE,
        sample_rate: int = 48_000,
        limit_seconds: float = 120.0,
        background: Path | None = None,
        record: Path | None = None,
    ) -> None:
        self.controller: Final = PlaybackController(AudioFormat(sample_rate))
        self.trace: Final = Trace(self.controller, limit=None)
        """What was called, which edges that took, and what was emitted."""
        self.recording: Final = Recording(sample_rate)
        self._track: Final = _SentTrack(self.controller, self._before_read, self._after_read)
        self._voice: Final = voice
        self._limit_seconds: Final = limit_seconds
        self._cues: Final = sorted(script, key=lambda cue: cue.at)
        self._failed: list[BaseException] = []
        self._started: Final = asyncio.Event()
        self._over: Final = asyncio.Event()
        self._started_at = 0.0
        self._quiet_since: int | None = None
        for name in EVENTS:
            self.controller.on(name, self.recording.events.append)
        self.controller.on("utterance_finished", self._finished)
        if background is not None:
            self.controller.background.add(background)
        if record is not None:
            self.controller.sinks.add(RecorderSink(record), when="played")

    async def run(self) -> Recording:
        """Carry it out, to its end or to the limit.

        Returns:
            The recording.

        Raises:
            TimeoutError: the peer connection did not come up.
            SpeechError: something can't be said.
            InputTimeout: a text had no audio for too long.
        """
        sender, receiver = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2))
        received = _Receiver()
        receiver.on("track", received.start)
        try:
            sender.addTrack(self._track)
            await self._connect(sender, receiver)
            try:
                async with asyncio.timeout(self._limit_seconds):
                    await self._over.wait()
            except TimeoutError:
                self.recording.timed_out = True
        finally:
            self._track.stop()
            await sender.close()
            await receiver.close()
            await received.finish()
        if self._failed:
            raise self._failed[0]
        self.recording.sent = self._track.sent()
        self.recording.received, self.recording.delay_seconds = received.aligned(self._started_at)
        return self.recording

    def say(self, text: str) -> None:
        """Say a text, after all that came before it."""
        speak(self.controller, text, voice=self._voice)

    async def _connect(self, sender: RTCPeerConnection, receiver: RTCPeerConnection) -> None:
        """Let two peer connections of this process agree, and wait for the first read."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await sender.setLocalDescription(await sender.createOffer())
                await receiver.setRemoteDescription(sender.localDescription)
                await receiver.setLocalDescription(await receiver.createAnswer())
                await sender.setRemoteDescription(receiver.localDescription)
                await self._started.wait()
        except TimeoutError:
            raise TimeoutError(f"the peer connection was not up within {CONNECT_SECONDS:g} s") from None

    def _finished(self, event: UtteranceFinished) -> None:
        # A text without a word is no reason to end the session: nothing is said for it, and the report says why.
        if event.report.error is not None and not isinstance(event.report.error, NothingToSay):
            self._failed.append(event.report.error)
            self._over.set()

    # The script runs inside the reads: its clock is the reader's, so what is recorded is the same each time.

    def _before_read(self) -> None:
        if not self._started.is_set():
            self._started_at = asyncio.get_running_loop().time()
            self._started.set()
        position = self.controller.position
        while self._cues and self.controller.format.samples(self._cues[0].at) <= position:
            cue = self._cues.pop(0)
            name, _, argument = cue.command.partition(" ")
            self.recording.cues.append((position, cue.command))
            COMMANDS[name](argument.strip())(self)

    def _after_read(self) -> None:
        # A text is enqueued at once, so playback is not idle while one is being made. And what a pause holds back will
        # never be played if nobody is left to resume.
        if self._cues or self.controller.state not in _QUIET:
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = self.controller.position
        elif self.controller.position - self._quiet_since >= TAIL_SECONDS * self.recording.sample_rate:
            self._over.set()


Action = Callable[[Session], object]


def _plain(name: str, command: Callable[[PlaybackController], bool]) -> Callable[[str], Action]:
    """A command without an argument."""

    def parse(argument: str) -> Action:
        if argument:
            raise ValueError(f"{name!r} takes no argument, got {argument!r}")
        return lambda session: command(session.controller)

    return parse


def _resume(argument: str) -> Action:
    try:
        rewind_seconds = float(argument or 0.0)
    except ValueError:
        raise ValueError(f"'resume' takes seconds to go back, got {argument!r}") from None
    if not 0 <= rewind_seconds < float("inf"):
        raise ValueError(f"'resume' takes 0 seconds or more to go back, got {argument!r}")
    return lambda session: session.controller.resume(rewind_seconds)


def _interrupt(argument: str) -> Action:
    if argument not in ("", "lock", "word"):
        raise ValueError(f"'interrupt' takes nothing, 'lock' or 'word', got {argument!r}")
    at: Literal["now", "word"] = "word" if argument == "word" else "now"
    return lambda session: session.controller.interrupt(lock=argument == "lock", at=at)


def _say(argument: str) -> Action:
    if not argument:
        raise ValueError("'say' takes a text, got none")
    return lambda session: session.say(argument)


COMMANDS: Final[dict[str, Callable[[str], Action]]] = {
    "pause": _plain("pause", PlaybackController.pause),
    "resume": _resume,
    "interrupt": _interrupt,
    "lock": _plain("lock", PlaybackController.lock),
    "unlock": _plain("unlock", PlaybackController.unlock),
    "say": _say,
}
"""The commands of a script; each reads its argument, and gives what is to be done."""


class _SentTrack(PlaybackTrack):
    """The track, with a look before and after each read and a copy of each frame."""

    def __init__(self, controller: PlaybackController, before: Callable[[], None], after: Callable[[], None]) -> None:
        super().__init__(controller)
        self._before: Final = before
        self._after: Final = after
        self._sent: Final[list[NDArray[np.int16]]] = []

    def frame(self, pts: int) -> av.AudioFrame:
        self._before()
        frame = super().frame(pts)
        self._sent.append(np.frombuffer(bytes(frame.planes[0]), np.int16))
        self._after()
        return frame

    def sent(self) -> NDArray[np.int16]:
        """All that was read, in one piece."""
        return np.concatenate([np.zeros(0, np.int16), *self._sent])


class _Receiver:
    """Takes in what a peer connection receives."""

    def __init__(self) -> None:
        self._frames: Final[list[tuple[float, int, NDArray[np.int16]]]] = []
        self._task: asyncio.Task[None] | None = None

    def start(self, track: MediaStreamTrack) -> None:
        """Take in a track, until it ends."""
        self._task = asyncio.create_task(self._receive(track))

    async def finish(self) -> None:
        """Take in no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def aligned(self, started_at: float) -> tuple[NDArray[np.int16], float]:
        """All that was received, in one piece, as it arrived.

        Each frame arrives a little early or late; the frames' own timestamps are even. So the typical distance of the
        two says where the whole lies.

        Args:
            started_at: the loop's time at which the piece is to begin.

        Returns:
            The samples, and by how many seconds the first frame came after that time.
        """
        if not self._frames:
            return np.zeros(0, np.int16), 0.0
        distances = [arrived - started_at - pts / RECEIVED_RATE for arrived, pts, _ in self._frames]
        delay_seconds = max(0.0, float(np.median(distances)))
        delay = round(delay_seconds * RECEIVED_RATE)
        out = np.zeros(delay + max(pts + len(samples) for _, pts, samples in self._frames), np.int16)
        for _, pts, samples in self._frames:
            out[delay + pts : delay + pts + len(samples)] = samples
        return out, delay_seconds

    async def _receive(self, track: MediaStreamTrack) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                frame: Any = await track.recv()
            except MediaStreamError:
                return
            # Opus comes out as stereo, both channels the same; aiortc counts its timestamps from the first packet.
            samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)[:, 0].copy()
            self._frames.append((clock(), frame.pts, samples))
