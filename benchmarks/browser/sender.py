"""The agent's side of what a listener hears: a process of its own, so that nothing but its track is on its loop."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final, Literal
from unittest.mock import patch

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.micro.audio import expect
from playback import AudioFormat, Fades, PlaybackController
from playback.opus import OpusPlaybackTrack, prefer_opus
from playback.pacing import PTIME_SECONDS
from playback.track import ControllerTrack, PlaybackTrack

PATIENCE_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Subject:
    """A track that is measured."""

    name: str
    rate: int
    """Of its controller, in Hz."""
    make: Callable[[PlaybackController], ControllerTrack]


def opus(controller: PlaybackController) -> ControllerTrack:
    """The track that encodes for itself, with its defaults."""
    return OpusPlaybackTrack(controller)


def low_delay(controller: PlaybackController) -> ControllerTrack:
    """The same with the encoder that looks least ahead."""
    return OpusPlaybackTrack(controller, application="lowdelay")


SUBJECTS: Final = (
    Subject("24 kHz frames", 24_000, PlaybackTrack),
    Subject("48 kHz frames", 48_000, PlaybackTrack),
    Subject("Opus", 48_000, opus),
    Subject("Opus, low delay", 48_000, low_delay),
)


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    at: float
    """Seconds since the script began, to the next tick after that."""
    do: Literal["push", "pause", "interrupt", "stall", "wait"]
    phase: float = 0.0
    """How far into the 20 ms between two reads, as a share of them."""
    audio: bytes = b""
    """What is pushed, s16le at the controller's rate, as a whole utterance; the controller has to be idle."""
    seconds: float = 0.0
    """For how long the loop is blocked."""


_RIGHT: Final = {
    "push": ("idle",),
    "pause": ("speaking.draining",),
    "interrupt": ("speaking.draining", "paused.ended"),
    "stall": ("speaking.draining",),
}
"""The leaves that a step is meant for."""


@dataclass(frozen=True)
class Done:
    """What a script did, by the system's monotonic clock."""

    times: list[float]
    """When each step began: just before the call."""
    ends: list[float]
    """When it had been done."""
    reads: list[tuple[float, int]]
    """When each frame was read, and the controller's position before, in samples at its rate."""


class NotingController(PlaybackController):
    """A controller that notes when it is read."""

    def __init__(self, rate: int) -> None:
        super().__init__(AudioFormat(rate), fades=Fades(interrupt_seconds=0.0))
        self.reads: Final[list[tuple[float, int]]] = []
        self.started: Final = asyncio.Event()
        """Whether it has been read at all."""

    def read_into(self, buffer: Any) -> None:
        """Read, and note when that was."""
        self.reads.append((time.monotonic(), self.position))
        self.started.set()
        super().read_into(buffer)


class Agent:
    """One connection that sends a subject's track.

    Args:
        subject: what it sends.
    """

    def __init__(self, subject: Subject) -> None:
        self._controller: Final = NotingController(subject.rate)
        self._peer: Final = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        sender = self._peer.addTrack(subject.make(self._controller))
        prefer_opus(self._peer, sender)

    async def answer(self, offer: str) -> str:
        """Answer an offer; both are SDP."""
        await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return str(self._peer.localDescription.sdp)

    async def perform(self, script: Sequence[Step]) -> Done:
        """Do what a script says.

        Raises:
            RuntimeError: a step finds the controller in a state that it is not meant for.
            TimeoutError: nobody reads.
        """
        controller = self._controller
        async with asyncio.timeout(PATIENCE_SECONDS):
            await controller.started.wait()
        del controller.reads[:-1]
        gc.collect()
        gc.freeze()  # so that later collections are short: a full one takes longer than a tick
        begin = time.monotonic()
        times, ends = [], []
        for step in script:
            await self._tick(begin + step.at, step.phase)
            if step.do == "push":
                # Where the machine stood still, what was pushed before takes as much longer; so does all that follows.
                waited = time.monotonic()
                while controller.leaf not in _RIGHT["push"]:  # noqa: ASYNC110 - seldom, and never where it matters
                    await asyncio.sleep(PTIME_SECONDS)
                begin += time.monotonic() - waited
            expect(
                f"{step.do} finds the controller in {controller.leaf}",
                controller.leaf in _RIGHT.get(step.do, (controller.leaf,)),
                True,
            )
            times.append(time.monotonic())
            match step.do:
                case "push":
                    controller.push(step.audio)
                    controller.end()
                case "pause":
                    controller.pause()
                case "interrupt":
                    controller.interrupt()
                case "stall":
                    time.sleep(step.seconds)  # noqa: ASYNC251 - it is what is measured
            ends.append(time.monotonic())
        return Done(times, ends, list(controller.reads))

    async def close(self) -> None:
        """End the connection."""
        await self._peer.close()

    async def _tick(self, when: float, phase: float) -> None:
        """Wait for a time, and on until a phase of the tick after it."""
        await asyncio.sleep(when - time.monotonic())
        due = self._controller.reads[-1][0] + (1 + phase) * PTIME_SECONDS
        await asyncio.sleep(due - time.monotonic())


class Sender:
    """The process, as seen from outside.

    Args:
        subject: what it sends.
    """

    def __init__(self, subject: Subject) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, there = context.Pipe()
        self._process: Final = context.Process(target=_serve, args=(there, subject), daemon=True)
        self._process.start()
        there.close()

    def answer(self, offer: str) -> str:
        """Answer an offer; both are SDP."""
        answer: str = self._ask("answer", offer, PATIENCE_SECONDS)
        return answer

    def perform(self, script: Sequence[Step]) -> Done:
        """Do what a script says; returns when its last step is done."""
        done: Done = self._ask("perform", script, script[-1].at + PATIENCE_SECONDS)
        return done

    def close(self) -> None:
        """End the connection, and the process."""
        self._connection.close()  # which notifies it
        self._process.join(PATIENCE_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, what: str, argument: object, seconds: float) -> Any:
        """Have something done.

        Raises:
            RuntimeError: it went wrong there, or there is no answer in time.
        """
        self._connection.send((what, argument))
        if not self._connection.poll(seconds):
            raise RuntimeError(f"the sender has no answer to {what!r} within {seconds:.0f} s")
        try:
            fault, result = self._connection.recv()
        except EOFError:
            raise RuntimeError(f"the sender has ended before it answered {what!r}") from None
        if fault:
            raise RuntimeError(f"the sender cannot {what}: {fault}")
        return result


@contextmanager
def sending(subject: Subject) -> Iterator[Sender]:
    """A process that sends a subject's track to one listener."""
    sender = Sender(subject)
    try:
        yield sender
    finally:
        sender.close()


def _serve(connection: Connection, subject: Subject) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks is interrupted, too, and closes the connection
    # The loopback address alone: nothing depends on the network of the machine.
    with patch("aioice.ice.get_host_addresses", return_value=["127.0.0.1"]):
        asyncio.run(_obey(connection, subject))


async def _obey(connection: Connection, subject: Subject) -> None:
    """Do what is asked for, one after the other, until nobody can ask any more."""
    options: asyncio.Queue[tuple[str, Any] | None] = asyncio.Queue()

    def hear() -> None:
        try:
            options.put_nowait(connection.recv())
        except (EOFError, OSError):
            loop.remove_reader(connection.fileno())
            options.put_nowait(None)

    loop = asyncio.get_running_loop()
    loop.add_reader(connection.fileno(), hear)
    agent = Agent(subject)
    doing: dict[str, Callable[[Any], Awaitable[object]]] = {"answer": agent.answer, "perform": agent.perform}
    while (wish := await options.get()) is not None:
        what, argument = wish
        try:
            connection.send((None, await doing[what](argument)))
        except Exception as error:
            connection.send((f"{type(error).__name__}: {error}", None))
    await agent.close()
