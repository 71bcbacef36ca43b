"""A phone call over a carrier's WebSocket: from its start to its end, however it ends.

:func:`answer` runs three tasks: one receives, one plays the controller to the carrier, and one is the agent. Whichever
ends first ends the call, as :class:`CallEnd` says. In every case the controller is closed, so that whoever waits for
speech goes on, the caller's audio and keys end, the socket is closed with a reason, and no task is left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from playback._checks import check_seconds, check_type
from playback._token_bucket import TokenBucket
from playback.audio.formats import AudioFormat
from playback.bargein.incoming import IncomingAudio
from playback.controller import PlaybackController
from playback.pacing import PTIME_SECONDS
from playback.telephony.dialect import (
    GOING_AWAY,
    INTERNAL_ERROR,
    NORMAL,
    POLICY,
    PROTOCOL_ERROR,
    TOO_BIG,
    CarrierError,
    CarrierEvent,
    Dialect,
    Digit,
    MarkPlayed,
    Media,
    MessageError,
    Started,
    Stopped,
)
from playback.telephony.incoming import CallerTrack, Keys
from playback.telephony.limits import CallLimits
from playback.telephony.playout import CarrierPlayout
from playback.telephony.sockets import Socket

LEAD_SECONDS: Final = 0.2
MARK_SECONDS: Final = 0.1

_log: Final = logging.getLogger("playback.telephony")


class TelephonyError(RuntimeError):
    """The carrier has reported an error."""


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended."""

    by: str
    """Who has ended it: ``"caller"`` (or the carrier), ``"agent"``, ``"controller"`` (it was closed), ``"message"``
    (one that breaks a rule), ``"socket"`` (it broke, or takes nothing) or ``"error"`` (the agent raised)."""
    code: int
    """The code with which the socket was closed, if it was open."""
    reason: str
    """The reason, in words; nothing of a message is in it."""


_BROKEN: Final = CallEnd("error", INTERNAL_ERROR, "internal error")
_GOING_AWAY: Final = CallEnd("error", GOING_AWAY, "the server goes away")


class PhoneCall:
    """One call, as the agent sees it."""

    def __init__(self, started: Started, controller: PlaybackController, track: CallerTrack) -> None:
        self._track: Final = track
        self.controller: Final = controller
        """What the caller hears. Its output is one channel at the carrier's rate, and it confirms what was heard."""
        self.id: Final = started.call_id or controller.id
        """The carrier's id of the call, or the controller's where it has none."""
        self.parameters: Final[Mapping[str, str]] = dict(started.parameters)
        """What the application gave to the carrier for this call. It comes from outside: escape it in logs."""
        self.incoming: Final = IncomingAudio(track)
        """The caller's audio: for ``VoiceActivity``, recognition (``samples()``) and recorders (``track()``)."""
        self.dtmf: Final = Keys()
        """The keys that the caller presses, for ``async for``; ends with the call."""
        self._closed: Final = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether it is over, or being ended."""
        return self._closed.is_set()

    async def wait_closed(self) -> None:
        """Wait until the caller has hung up, or the call has ended in another way."""
        await self._closed.wait()

    def close(self) -> None:
        """Note that it is over: audio and keys end."""
        self._closed.set()
        self._track.stop()
        self.dtmf.end()


Agent = Callable[[PhoneCall], Awaitable[object]]
"""What holds a call. When it returns, what it has said plays to its end, and the call is hung up."""


async def answer(
    socket: Socket,
    dialect: Dialect,
    agent: Agent,
    *,
    controller: Callable[[AudioFormat], PlaybackController] = PlaybackController,
    lead_seconds: float = LEAD_SECONDS,
    mark_seconds: float = MARK_SECONDS,
    limits: CallLimits = CallLimits(),  # noqa: B008 - it is immutable
) -> CallEnd:
    """Hold one call over a WebSocket, until it is over.

    Example::

        async def agent(call):
            await call.controller.speak(synthesize("Hello."), text="Hello.").wait()
            async for key in call.dtmf:
                ...

        async def phone(websocket):
            await websocket.accept()
            await answer(StarletteSocket(websocket), Twilio(), agent)

    Args:
        socket: an open WebSocket; :mod:`playback.telephony.sockets` has adapters.
        dialect: the carrier's, made for this call.
        agent: a coroutine function that gets the :class:`PhoneCall`. When the call ends, it has five seconds to finish
            (``limits.close_seconds``), then it is cancelled.
        controller: makes the controller, for the format it gets: 16-bit samples, one channel at the carrier's rate.
        lead_seconds: how far ahead of the caller's ear audio is sent, 0.02 to 2. More rides out more jitter; an
            interrupt takes it back, if the carrier can be cleared.
        mark_seconds: at most how much audio is sent without a mark, 0.02 to 0.1: to this it is known what was heard.
        limits: what the carrier may do, and for how long.

    Returns:
        How the call ended.

    Raises:
        Exception: what the agent or the ``controller`` function has raised; the call is over then.
        TypeError: an argument of another type.
        ValueError: a time out of its bounds, or a controller of another format.
    """
    check_type("limits", limits, CallLimits)
    _check_between("lead_seconds", lead_seconds, PTIME_SECONDS, 2.0)
    _check_between("mark_seconds", mark_seconds, PTIME_SECONDS, 0.1)
    inbox = _Inbox(socket, dialect, limits)
    end = _BROKEN

    async def close(end: CallEnd) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(limits.close_seconds):
                await socket.close(end.code, end.reason)
        _log.info("%s: the call was ended by %s: %s", dialect.name, end.by, end.reason)

    session = None
    try:
        try:
            started = await inbox.start()
        except MessageError as error:
            end = CallEnd("message", error.code, error.reason)
            return end
        if started is None:
            end = CallEnd("caller", NORMAL, "the call has ended")
            return end
        output = AudioFormat(started.outgoing.sample_rate)
        made = controller(output)
        if made.format != output:
            raise ValueError(f"the controller's format is {made.format}, expected {output}, as the carrier wants it")
        playout = CarrierPlayout(
            made,
            socket,
            dialect,
            started.outgoing,
            lead_seconds=lead_seconds,
            mark_seconds=mark_seconds,
            limits=limits,
        )
        playout.attach()
        session = _Session(started, made, playout, inbox, limits)
    except asyncio.CancelledError:
        end = _GOING_AWAY
        raise
    finally:
        if session is None:
            await close(end)
    return await session.run(agent, close)


class _Inbox:
    """What comes from a socket, as events, within the limits."""

    def __init__(self, socket: Socket, dialect: Dialect, limits: CallLimits) -> None:
        self._socket: Final = socket
        self._dialect: Final = dialect
        self._limits: Final = limits
        clock = asyncio.get_running_loop().time
        self._rate: Final = TokenBucket(limits.messages_per_second, 10.0 * limits.messages_per_second, clock)

    async def start(self) -> Started | None:
        """The start of the call; None if it ends before.

        Raises:
            MessageError: something else has come, or nothing in time.
        """
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                while True:
                    event = await self.next()
                    if isinstance(event, Started):
                        return event
                    if isinstance(event, Stopped):
                        return None
                    if event is not None:
                        raise MessageError(PROTOCOL_ERROR, "expected a start first")
        except TimeoutError:
            raise MessageError(POLICY, "no start came in time") from None

    async def next(self) -> CarrierEvent | None:
        """What the next message says; :class:`Stopped` when there is none any more.

        Raises:
            MessageError: it breaks a rule.
        """
        message = await self._socket.receive()
        if message is None:
            return Stopped()
        if len(message) > self._limits.message_bytes:
            raise MessageError(TOO_BIG, f"expected messages of at most {self._limits.message_bytes} bytes")
        if not self._rate.take():
            raise MessageError(POLICY, f"expected at most {self._limits.messages_per_second} messages a second")
        return self._dialect.receive(message)


class _Session:
    """A call that has started."""

    def __init__(
        self,
        started: Started,
        controller: PlaybackController,
        playout: CarrierPlayout,
        inbox: _Inbox,
        limits: CallLimits,
    ) -> None:
        self._controller: Final = controller
        self._playout: Final = playout
        self._inbox: Final = inbox
        self._limits: Final = limits
        self._track: Final = CallerTrack(started.incoming)
        self._call: Final = PhoneCall(started, controller, self._track)

    async def run(self, agent: Agent, close: Callable[[CallEnd], Awaitable[None]]) -> CallEnd:
        """Hold the call.

        Args:
            agent: what holds it.
            close: closes the socket.

        Raises:
            Exception: what the agent has raised.
        """
        self._controller.on("closed", self._closed)
        holding = asyncio.create_task(self._hold(agent), name="the agent of a call")
        ways = [
            asyncio.create_task(self._receive(), name="receives from a carrier"),
            asyncio.create_task(self._play(), name="plays to a carrier"),
        ]
        end, finish_seconds = _BROKEN, self._limits.close_seconds
        try:
            await asyncio.wait({holding, *ways}, return_when=asyncio.FIRST_COMPLETED)
            # If several have ended at once, a way knows more than the agent, which may have ended because of it.
            end = next((task for task in (*ways, holding) if task.done()), holding).result()
        except asyncio.CancelledError:
            end, finish_seconds = _GOING_AWAY, 0.0
            raise
        finally:
            self._controller.close(by=f"its phone call, which was ended by {end.by}")
            self._controller.remove_listener("closed", self._closed)
            self._playout.detach()
            self._call.close()
            await _cancel(*ways)
            await close(end)
            await asyncio.wait({holding}, timeout=finish_seconds)
            await _cancel(holding)
        if not holding.cancelled():
            holding.result()  # what the agent has raised
        return end

    async def _receive(self) -> CallEnd:
        """Receive until the carrier has ended the stream."""
        try:
            while True:
                async with asyncio.timeout(self._limits.receive_seconds):
                    event = await self._inbox.next()
                if isinstance(event, Media):
                    self._track.put(event.audio)
                elif isinstance(event, MarkPlayed):
                    self._playout.mark_played(event.name)
                elif isinstance(event, Digit):
                    self._call.dtmf.put(event.key)
                elif isinstance(event, CarrierError):
                    self._controller.report_error(TelephonyError(event.text), "the carrier")
                elif isinstance(event, Stopped):
                    return CallEnd("caller", NORMAL, "the call has ended")
        except MessageError as error:
            return CallEnd("message", error.code, error.reason)
        except TimeoutError:
            return CallEnd("socket", POLICY, f"nothing came for {self._limits.receive_seconds:g} s")
        except OSError:
            return CallEnd("socket", INTERNAL_ERROR, "the socket broke")

    async def _play(self) -> CallEnd:
        """Play until the controller is closed."""
        try:
            await self._playout.run()
        except MessageError as error:
            return CallEnd("socket", error.code, error.reason)
        except OSError:
            return CallEnd("socket", INTERNAL_ERROR, "the socket takes nothing")
        return CallEnd("controller", NORMAL, "the call has ended")

    async def _hold(self, agent: Agent) -> CallEnd:
        """Let the agent hold the call."""
        await agent(self._call)
        await self._controller.drain(timeout=self._limits.drain_seconds)
        return CallEnd("agent", NORMAL, "the call has ended")

    def _closed(self, _: Any) -> None:
        self._playout.wake()


async def _cancel(*tasks: asyncio.Task[CallEnd]) -> None:
    """End tasks, and wait until they have."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _check_between(name: str, seconds: float, least: float, most: float) -> None:
    check_seconds(name, seconds)
    if not least <= seconds <= most:
        raise ValueError(f"{name} is {seconds!r}, expected {least:g} to {most:g}")
