"""The subjects: each sets its stage, takes its time, and checks that what came out is what the table says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from time import thread_time_ns
from typing import Final

import av
import numpy as np
from aiortc.rtp import HeaderExtensionsMap, RtpPacket
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pylibsrtp import Policy, Session

from benchmarks.micro.audio import FORMAT, FRAME_BYTES, FRAMES, READY, SPEECH, chunks, content, expect, loudness
from benchmarks.micro.measure import cpu_ns
from playback import AudioFormat, PlaybackController, telemetry
from playback.chart import MACHINE
from playback.opus import OpusPlaybackTrack
from playback.sinks import CallbackSink, Chunk
from playback.track import PlaybackTrack

READS_BEFORE_COMMAND: Final = 10
READS_OF_FADE: Final = 5
"""More than an interrupt's fade lasts, 60 ms."""

SECONDS_OF_PIECES: Final = 8
"""Less than the high water: nothing has to wait for a reader."""

_METERS: Final = MeterProvider([InMemoryMetricReader()])
_TRACERS: Final = TracerProvider()
_TRACERS.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))

QUEUED: Final = 1_000
EDGES: Final = 1_000
CONTROLLERS: Final = 50


class Player:
    """A controller and its track, read without waiting for the time to come.

    Args:
        output: what is handed out.
        input: what is pushed.
    """

    def __init__(self, output: AudioFormat = FORMAT, input: AudioFormat = FORMAT) -> None:
        self.controller: Final = PlaybackController(output, input_format=input)
        self._track: Final = PlaybackTrack(self.controller)
        self._samples: Final = output.samples(0.02)
        self._last: av.AudioFrame | None = None

    def push(self, audio: list[bytes]) -> None:
        """Push each chunk."""
        push = self.controller.push
        for chunk in audio:
            push(chunk)

    def read(self, frames: int = FRAMES) -> None:
        """Read so many frames; the last one can be looked at."""
        read, samples = self._track.frame, self._samples
        for number in range(frames):
            frame = read(number * samples)
        self._last = frame

    def read_audio(self, frames: int = FRAMES) -> bytes:
        """Read so many frames, for what is in them."""
        return b"".join(content(self._track.frame(number * self._samples)) for number in range(frames))

    @property
    def last(self) -> bytes:
        """The samples of the frame that was read last."""
        return b"" if self._last is None else content(self._last)


class Speaking:
    """Push one second and read one, with a second more in the buffer all along, within one open utterance.

    Args:
        name: what the acts are called: ``push NAME``, ``read NAME`` and ``push and read NAME``.
        size: bytes of a chunk that is pushed.
        rate: of what is handed out; what is pushed has 24 kHz.
        equip: what is done to the controller before.
        mixed: whether that changes what is heard.
    """

    def __init__(
        self,
        name: str,
        size: int,
        rate: int = FORMAT.sample_rate,
        equip: Callable[[PlaybackController], object] | None = None,
        mixed: bool = False,
    ) -> None:
        self._name: Final = name
        self._chunks: Final = chunks(size)
        self._player: Final = Player(AudioFormat(rate))
        self._exact: Final = rate == FORMAT.sample_rate and not mixed
        if equip is not None:
            equip(self._player.controller)
        self._player.push(self._chunks)
        self._player.push(self._chunks)
        # The first second that is read shows that all of it is speech; each round looks at its last frame.
        self._heard: Final = self._player.read_audio()
        if self._exact:
            expect("what was read", self._heard == SPEECH, True)
        if mixed:
            expect("there is something beneath the speech", self._heard != SPEECH, True)
        else:
            expect("the loudness", round(loudness(self._heard), 2), round(loudness(SPEECH), 2))
        self._mixed: Final = mixed

    def __call__(self) -> Mapping[str, int]:
        """One round."""
        player = self._player
        before = player.controller.position
        push = cpu_ns(lambda: player.push(self._chunks))
        read = cpu_ns(player.read)
        expect("the leaf", player.controller.leaf, "speaking.streaming")
        expect("the seconds read", player.controller.position - before, player.controller.format.sample_rate)
        expect("the underruns", player.controller.stats.underruns, 0)
        if self._exact:
            expect("the last frame is the speech's", player.last == READY[-1], True)
        if self._mixed:
            expect("there is something beneath the speech", player.last != READY[-1], True)
        else:
            expect("the last frame's loudness", round(loudness(player.last), 2), round(loudness(READY[-1]), 2))
        name = self._name
        return {f"push {name}": push, f"read {name}": read, f"push and read {name}": push + read}


def with_background(controller: PlaybackController) -> None:
    """Let music sound beneath the speech, ducked."""
    music = np.random.default_rng(1).normal(0, 3_000, 3 * FORMAT.sample_rate).astype(np.int16)
    controller.background.add(music, fade_seconds=0.0)


def with_sinks(controller: PlaybackController) -> None:
    """Let three others hear what is played."""
    for _ in range(3):
        controller.sinks.add(CallbackSink(audio=len_of), when="played")


def len_of(chunk: Chunk) -> int:
    """The least that a sink can do with a chunk."""
    return len(chunk.audio)


class Idle:
    """Read silence."""

    def __init__(self) -> None:
        self._player: Final = Player()

    def __call__(self) -> Mapping[str, int]:
        """One round."""
        read = cpu_ns(self._player.read)
        expect("the leaf", self._player.controller.leaf, "idle")
        expect("the last frame's loudness", loudness(self._player.last), 0.0)
        return {"read silence": read}


class LongPush:
    """Push much at once into a new controller, and read its first second.

    Args:
        seconds: how much.
    """

    def __init__(self, seconds: int) -> None:
        self._name: Final = f"one push of {seconds} s"
        self._seconds: Final = seconds
        self._audio: Final = SPEECH * seconds

    def __call__(self) -> Mapping[str, int]:
        """One round."""
        player = Player()
        push = cpu_ns(lambda: player.controller.push(self._audio))
        expect("the samples buffered", player.controller.buffered, self._seconds * FORMAT.sample_rate)
        expect("what was read", player.read_audio() == SPEECH, True)
        return {self._name: push}


class Command:
    """Interrupt or pause a new controller that is speaking, and listen to what follows.

    Args:
        name: the command.
        seconds: how much is buffered when it comes, pushed in chunks of 20 ms.
    """

    def __init__(self, name: str, seconds: int) -> None:
        self._name: Final = name
        self._seconds: Final = seconds

    def __call__(self) -> Mapping[str, int]:
        """One round."""
        player = speaking(self._seconds)
        buffered = player.controller.buffered
        if self._name == "pause":
            time = cpu_ns(player.controller.pause)
            expect("the leaf", player.controller.leaf, "paused.held")
            expect("the samples buffered", player.controller.buffered, buffered)
        else:
            time = cpu_ns(player.controller.interrupt)
            expect("the leaf", player.controller.leaf, "interrupted.fading")
            expect("the samples buffered", player.controller.buffered, 0)
        expect("a ramp is heard", loudness(player.read_audio(1)) > 0, True)
        player.read(READS_OF_FADE)
        expect("the loudness after it", loudness(player.last), 0.0)
        return {f"{self._name}, {self._seconds} s buffered": time}


class AfterInterrupt:
    """Read silence while what an interrupt has dropped is being freed, a little with each read.

    Args:
        seconds: how much was dropped; more than the reads of a round free.
    """

    def __init__(self, seconds: int) -> None:
        self._seconds: Final = seconds

    def __call__(self) -> Mapping[str, int]:
        """One round."""
        player = speaking(self._seconds)
        player.controller.interrupt()
        player.read(READS_OF_FADE)
        read = cpu_ns(player.read)
        expect("the leaf", player.controller.leaf, "idle")
        expect("the last frame's loudness", loudness(player.last), 0.0)
        return {"read while an interrupt's audio is freed": read}


def interrupt_many() -> Mapping[str, int]:
    """Interrupt a new controller with many utterances: each is finished, with a report and an event of its own."""
    player = Player()
    for _ in range(QUEUED):
        utterance = player.controller.utterance()
        utterance.push(READY[0])
        utterance.end()
    player.read(READS_BEFORE_COMMAND)
    time = cpu_ns(player.controller.interrupt)
    expect("the samples buffered", player.controller.buffered, 0)
    return {f"interrupt, {QUEUED:,} utterances queued": time}


def speaking(seconds: int) -> Player:
    """A new player that has begun to speak, with so much left in the buffer."""
    player = Player()
    player.push(chunks(seconds=seconds))
    player.push(READY[:READS_BEFORE_COMMAND])
    expect("what was read", player.read_audio(READS_BEFORE_COMMAND) == b"".join(READY[:READS_BEFORE_COMMAND]), True)
    expect("the leaf", player.controller.leaf, "speaking.streaming")
    expect("the samples buffered", player.controller.buffered, seconds * FORMAT.sample_rate)
    return player


def pieces() -> Mapping[str, int]:
    """Give speech to a new controller twice, by writing and by speaking; the time of one piece each."""
    return asyncio.run(_pieces(chunks(seconds=SECONDS_OF_PIECES)))


async def _pieces(audio: list[bytes]) -> Mapping[str, int]:
    times = {}
    for name, give in (("write a piece", _write), ("speak a piece", _speak)):
        player = Player()
        before = thread_time_ns()
        await give(player.controller, audio)
        times[name] = (thread_time_ns() - before) // len(audio)
        expect("the samples buffered", player.controller.buffered, SECONDS_OF_PIECES * FORMAT.sample_rate)
        expect("what was read", player.read_audio() == SPEECH, True)
    return times


async def _write(controller: PlaybackController, audio: list[bytes]) -> None:
    async with controller.utterance() as utterance:
        async for piece in _synthesized(audio):
            await utterance.write(piece)


async def _speak(controller: PlaybackController, audio: list[bytes]) -> None:
    utterance = controller.speak(_synthesized(audio))
    while not utterance.ended:  # noqa: ASYNC110 - nobody is notified of that
        await asyncio.sleep(0)


async def _synthesized(audio: list[bytes]) -> AsyncGenerator[bytes, None]:
    for piece in audio:
        yield piece


def build() -> Mapping[str, int]:
    """Build controllers; the time of one."""
    built: list[PlaybackController] = []
    time = cpu_ns(lambda: built.extend(PlaybackController(FORMAT) for _ in range(CONTROLLERS)))
    expect("the states", {controller.state.value for controller in built}, {"idle"})
    return {"build a controller": time // CONTROLLERS}


def fire() -> Mapping[str, int]:
    """Take a session around the two edges between speaking and paused; the time of one."""
    session = MACHINE.session()
    MACHINE.fire(session, "push")
    leaf = session.leaf

    def edges() -> None:
        for _ in range(EDGES // 2):
            MACHINE.fire(session, "pause")
            MACHINE.fire(session, "resume")

    time = cpu_ns(edges)
    expect("the leaf", (leaf, session.leaf), ("speaking.buffering", "speaking.buffering"))
    return {"an edge through the machine": time // EDGES}


class Calls:
    """A call of six seconds over a track, encoded with Opus, with telemetry or without.

    Each packet is sent as aiortc does it, by SRTP over UDP, and each frame waits for the event loop once. All else that
    a call costs, such as ICE and reports, comes on top: so the ratio of the two is more than what telemetry adds.

    Args:
        name: of the act.
        measured: whether there is telemetry: with OpenTelemetry's SDK, which keeps what it gets in memory.
    """

    def __init__(self, name: str, *, measured: bool) -> None:
        self._name: Final = name
        self._measured: Final = measured
        self._chunks: Final = chunks(FRAME_BYTES)
        self._srtp: Final = Session(Policy(key=bytes(range(30)), ssrc_type=Policy.SSRC_ANY_OUTBOUND))
        self._sequence = 0

    async def _send(self, track: OpusPlaybackTrack, controller: PlaybackController, to: socket.socket) -> None:
        for number in range(FRAMES):
            await asyncio.sleep(0)
            for watch in controller.frame_watchers:  # as the track does where it waits
                watch(0.001)
            for packet in track.packets(number * 960):
                self._sequence = (self._sequence + 1) % (1 << 16)
                rtp = RtpPacket(payload_type=111, sequence_number=self._sequence, timestamp=number * 960, ssrc=7)
                rtp.payload = bytes(packet)
                data = self._srtp.protect(rtp.serialize(HeaderExtensionsMap()))
                to.sendto(data, to.getsockname())
                to.recv(2_048)

    def __call__(self) -> Mapping[str, int]:
        """One round: an answer of three seconds, one that is interrupted after two, and a second of silence."""
        stop = (
            telemetry.instrument(meter_provider=_METERS, tracer_provider=_TRACERS) if self._measured else lambda: None
        )
        controller = PlaybackController(FORMAT)
        track = OpusPlaybackTrack(controller)

        async def call() -> None:
            for seconds in (3, 2):
                utterance = controller.utterance()
                for _ in range(seconds):
                    for chunk in self._chunks:
                        utterance.push(chunk)
                    await self._send(track, controller, to)
                if seconds == 3:
                    utterance.end()
            controller.interrupt()
            await self._send(track, controller, to)
            controller.close()

        with asyncio.Runner() as runner, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to:
            to.bind(("127.0.0.1", 0))
            runner.get_loop()
            time = cpu_ns(lambda: runner.run(call()))
        stop()
        expect("the seconds read", controller.position, 6 * FORMAT.sample_rate)
        return {self._name: time}


def held_by_audio(seconds: int) -> object:
    """A controller with so much audio, pushed in chunks of 20 ms."""
    controller = PlaybackController(FORMAT)
    for _ in range(seconds):
        for chunk in chunks():
            controller.push(chunk)
    expect("the samples buffered", controller.buffered, seconds * FORMAT.sample_rate)
    return controller


def held_by_sessions(count: int) -> object:
    """So many sessions of the state machine."""
    return tuple(MACHINE.session() for _ in range(count))
