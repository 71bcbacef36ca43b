"""However a call ends: everybody who waits goes on, the socket is closed with a reason, and nothing is left."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, PlaybackController, UtteranceReport
from playback.telephony import CallEnd, CallLimits, PhoneCall, Twilio, answer
from tests.telephony.calls import plain
from tests.telephony.carrier import Carrier
from tests.telephony.shapes import TelnyxSide, TwilioSide, VonageSide
from tests.telephony.virtual import virtually

pytestmark = pytest.mark.portable

SPEECH = np.full(8_000 * 5, 1_000, np.int16)


class Waiters:
    """An agent that speaks for five seconds, and waits for everything that there is to wait for."""

    def __init__(self) -> None:
        self.call: PhoneCall | None = None
        self.report: UtteranceReport | None = None
        self.keys: list[str] = []
        self.samples = 0
        self.at: list[float] = []

    async def __call__(self, call: PhoneCall) -> None:
        self.call = call
        utterance = call.controller.utterance()
        utterance.push(SPEECH)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_keys(call))
            group.create_task(self._hear(call))
            group.create_task(self._drain(call))
            self.report = await utterance.wait()
        self.at.append(asyncio.get_running_loop().time())

    async def _take_keys(self, call: PhoneCall) -> None:
        async for key in call.dtmf:
            self.keys.append(key)

    async def _hear(self, call: PhoneCall) -> None:
        async for samples in call.incoming.samples():
            self.samples += len(samples)

    async def _drain(self, call: PhoneCall) -> None:
        assert not await call.controller.drain()


async def held(
    side: TwilioSide, trouble: Callable[[Carrier], object], after: float = 1.0, **options: Any
) -> tuple[CallEnd, Carrier, Waiters]:
    """A call in which something happens after some time."""
    carrier, agent = Carrier(side), Waiters()
    asyncio.get_running_loop().call_later(after, trouble, carrier)
    end = await answer(carrier, side.dialect(), agent, controller=plain, **options)
    carrier.finish()
    assert agent.call is not None
    assert agent.call.incoming.ended
    assert agent.report is not None, "a waiter did not return"
    assert agent.report.outcome == "closed"
    assert agent.report.played <= len(carrier.speech)
    assert agent.call.controller.reader is None
    return end, carrier, agent


def coming(message: str | bytes) -> Callable[[Carrier], None]:
    """A message comes."""
    return lambda carrier: carrier.say(message)


@pytest.mark.parametrize(
    ("side", "message", "code"),
    [
        (TwilioSide(), "{", 1007),
        (TwilioSide(), '{"event":"surprise"}', 1003),
        (TwilioSide(), b"\xff" * 160, 1003),
        (TwilioSide(), json.dumps({"event": "mark", "streamSid": "MZ0", "mark": {"name": "a"}}), 1008),
        (TwilioSide(), " " * 10_000_000, 1009),
        (TelnyxSide(), "9" * 10_000, 1007),
        (TelnyxSide("L16", 16_000), TelnyxSide("L16", 16_000).media(b"\x00"), 1007),
        (VonageSide(), b"\x00" * 641, 1007),
        (VonageSide(), b"\x00" * 10_000_000, 1009),
        (VonageSide(), '{"event":"websocket:connected","content-type":"audio/l16;rate=8000"}', 1002),
    ],
    ids=range(10),
)
def test_a_message_that_breaks_a_rule_ends_the_call_with_a_reason(
    side: TwilioSide, message: str | bytes, code: int
) -> None:
    end, carrier, agent = virtually(held(side, coming(message)))
    assert (end.by, end.code) == ("message", code)
    assert carrier.closed == (code, end.reason)
    assert 0 < len(end.reason.encode()) <= 123
    assert agent.at[0] < 1.2


def test_too_many_messages_end_the_call() -> None:
    side = TwilioSide()

    def flood(carrier: Carrier) -> None:
        for _ in range(3_000):
            carrier.say(side.media(b"\xff"))

    end, carrier, _ = virtually(held(side, flood))
    assert end == CallEnd("message", 1008, "expected at most 250 messages a second")
    assert carrier.closed == (1008, end.reason)


def test_the_caller_hangs_up() -> None:
    side = TwilioSide()
    end, carrier, agent = virtually(held(side, coming(side.stop())))
    assert end == CallEnd("caller", 1000, "the call has ended")
    assert agent.at[0] < 1.2
    assert carrier.closed == (1000, "the call has ended")


def test_the_connection_is_lost() -> None:
    end, _, agent = virtually(held(TwilioSide(), Carrier.drop))
    assert end.by == "caller"
    assert agent.at == [1.0]


def test_a_socket_that_takes_nothing_ends_the_call_and_meanwhile_nothing_is_read() -> None:
    positions: list[int] = []

    async def call() -> tuple[CallEnd, Carrier, Waiters]:
        def stop(carrier: Carrier) -> None:
            carrier.take(False)
            loop = asyncio.get_running_loop()
            speak = next(task for task in asyncio.all_tasks() if "agent" in task.get_name())
            controller = speak.get_coro().cr_frame.f_locals["self"]._controller  # type: ignore[union-attr]
            for seconds in (0.1, 1.0, 5.0, 9.0):
                loop.call_later(seconds, lambda: positions.append(controller.position))

        return await held(TwilioSide(), stop)

    end, _, agent = virtually(call())
    assert end == CallEnd("socket", 1011, "the socket takes nothing")
    assert len(positions) == 4
    assert len(set(positions)) == 1
    assert 10.9 < agent.at[0] < 12


def test_a_socket_that_was_slow_goes_on_without_a_burst() -> None:
    side = TwilioSide()

    async def call() -> tuple[CallEnd, Carrier, list[float]]:
        carrier, stalls = Carrier(side), list[float]()
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, carrier.take, False)
        loop.call_later(3.0, carrier.take, True)

        async def agent(call: PhoneCall) -> None:
            call.controller.on("stalled", lambda event: stalls.append(event.seconds))
            utterance = call.controller.utterance()
            utterance.push(SPEECH)
            utterance.end()
            report = await utterance.wait()
            assert report.outcome == "completed"

        end = await answer(carrier, side.dialect(), agent, controller=plain)
        carrier.finish()
        return end, carrier, stalls

    end, carrier, stalls = virtually(call())
    assert end.by == "agent"
    assert np.count_nonzero(carrier.speech) == len(SPEECH)
    assert carrier.fullest <= 0.201
    assert stalls == [pytest.approx(1.8, abs=0.05)]


def test_an_interrupt_while_the_socket_is_blocked_drops_all_but_one_frame() -> None:
    side = TwilioSide()

    async def call() -> Carrier:
        carrier = Carrier(side, latency=0.02)
        loop = asyncio.get_running_loop()
        loop.call_later(1.0, carrier.take, False)
        loop.call_later(3.0, carrier.take, True)

        async def agent(call: PhoneCall) -> None:
            call.controller.push(SPEECH)
            await asyncio.sleep(2.0)
            call.controller.interrupt()
            await asyncio.sleep(2.0)

        await answer(carrier, side.dialect(), agent, controller=plain)
        carrier.finish()
        return carrier

    carrier = virtually(call())
    after = [kind for at, kind in carrier.sent if at >= 2.0]
    assert after in (["media", "clear"], ["mark", "clear"])
    late = sum(np.count_nonzero(piece.samples) for piece in carrier.played if piece.at > 2.5)
    assert late <= 160


def test_a_carrier_that_never_sends_a_mark_back_is_given_up() -> None:
    class Deaf(TwilioSide):
        def mark(self, name: str) -> str | bytes:
            return self.media(name.encode())

    end, _, agent = virtually(held(Deaf(), lambda _: None))
    assert end == CallEnd("socket", 1008, "no mark came back")
    assert agent.report is not None
    assert agent.report.played == 0


def test_a_call_in_which_nothing_comes_is_given_up() -> None:
    end, _, agent = virtually(held(TwilioSide(), lambda _: None, limits=CallLimits(receive_seconds=3.0)))
    assert end == CallEnd("socket", 1008, "nothing came for 3 s")
    assert 8 < agent.at[0] < 9  # the last mark came after five seconds of speech


class Mute:
    """A socket on which these messages come, and then nothing more."""

    def __init__(self, *messages: str | bytes | None) -> None:
        self.messages = list(messages)
        self.closed: list[tuple[int, str]] = []

    async def receive(self) -> str | bytes | None:
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)

    async def send(self, message: str | bytes) -> None:
        raise AssertionError(f"{message!r} is sent, expected nothing")

    async def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


async def no_agent(call: PhoneCall) -> None:
    raise AssertionError("no call has started")


@pytest.mark.parametrize(
    ("messages", "end"),
    [
        ((), CallEnd("message", 1008, "no start came in time")),
        ((TwilioSide().start()[0],), CallEnd("message", 1008, "no start came in time")),
        ((None,), CallEnd("caller", 1000, "the call has ended")),
        ((TwilioSide().start()[0], None), CallEnd("caller", 1000, "the call has ended")),
        ((TwilioSide().stop(),), CallEnd("caller", 1000, "the call has ended")),
        (("hello",), CallEnd("message", 1007, "the message is not JSON")),
        ((TwilioSide().media(b"\xff"),), CallEnd("message", 1002, "expected a start first")),
        ((" " * 65_537,), CallEnd("message", 1009, "expected messages of at most 65536 bytes")),
    ],
    ids=range(8),
)
def test_a_call_that_does_not_start_ends(messages: tuple[str | bytes | None, ...], end: CallEnd) -> None:
    socket = Mute(*messages)
    assert virtually(answer(socket, Twilio(), no_agent)) == end
    assert socket.closed == [(end.code, end.reason)]


def test_what_an_agent_raises_is_raised_when_the_call_is_over() -> None:
    async def call() -> tuple[Carrier, PhoneCall]:
        carrier, calls = Carrier(TwilioSide()), list[PhoneCall]()

        async def agent(call: PhoneCall) -> None:
            calls.append(call)
            call.controller.push(SPEECH)
            await asyncio.sleep(0.5)
            raise LookupError("no such customer")

        with pytest.raises(LookupError, match="no such customer"):
            await answer(carrier, Twilio(), agent)
        carrier.finish()
        return carrier, calls[0]

    carrier, call_ = virtually(call())
    assert carrier.closed == (1011, "internal error")
    assert call_.controller.state == "closed"
    assert call_.incoming.ended


def test_an_agent_that_goes_on_after_the_call_is_cancelled_after_some_time() -> None:
    async def call() -> tuple[float, list[str]]:
        carrier, seen = Carrier(TwilioSide()), list[str]()
        asyncio.get_running_loop().call_later(1.0, carrier.drop)

        async def agent(call: PhoneCall) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        await answer(carrier, Twilio(), agent)
        return asyncio.get_running_loop().time(), seen

    assert virtually(call()) == (6.0, ["cancelled"])


def test_a_server_that_goes_away_ends_its_calls_at_once() -> None:
    async def call() -> Carrier:
        carrier, agent = Carrier(TwilioSide()), Waiters()
        answering = asyncio.create_task(answer(carrier, Twilio(), agent))
        await asyncio.sleep(1.0)
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert asyncio.get_running_loop().time() == 1.0
        assert agent.call is not None
        assert agent.call.controller.state == "closed"
        carrier.finish()
        return carrier

    assert virtually(call()).closed == (1001, "the server goes away")


def test_closing_the_controller_ends_the_call() -> None:
    async def call() -> tuple[CallEnd, Carrier]:
        carrier = Carrier(TwilioSide())

        async def agent(call: PhoneCall) -> None:
            call.controller.push(SPEECH)
            await asyncio.sleep(1.0)
            call.controller.close()

        end = await answer(carrier, Twilio(), agent)
        carrier.finish()
        return end, carrier

    end, carrier = virtually(call())
    assert end in (CallEnd("controller", 1000, end.reason), CallEnd("agent", 1000, end.reason))
    assert carrier.closed == (1000, "the call has ended")


def test_what_an_agent_has_said_is_heard_before_the_call_is_hung_up() -> None:
    async def call() -> Carrier:
        carrier = Carrier(TwilioSide())

        async def agent(call: PhoneCall) -> None:
            call.controller.push(SPEECH)
            call.controller.end()

        end = await answer(carrier, Twilio(), agent, controller=plain)
        assert end.by == "agent"
        carrier.finish()
        return carrier

    assert np.count_nonzero(virtually(call()).speech) == len(SPEECH)


def test_a_controller_that_does_not_fit_is_refused() -> None:
    async def call(make: Callable[[AudioFormat], PlaybackController], error: type[Exception], match: str) -> None:
        carrier = Carrier(TwilioSide())
        with pytest.raises(error, match=match):
            await answer(carrier, Twilio(), no_agent, controller=make)
        assert carrier.closed == (1011, "internal error")

    def in_use(output: AudioFormat) -> PlaybackController:
        controller = PlaybackController(output)
        controller.attach(object())
        return controller

    virtually(call(lambda _: PlaybackController(AudioFormat(48_000)), ValueError, "48000.*8000.*as the carrier"))
    virtually(call(in_use, RuntimeError, "reads this controller already"))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"lead_seconds": 0.01}, "lead_seconds is 0.01, expected 0.02 to 2"),
        ({"lead_seconds": 3}, "lead_seconds is 3"),
        ({"mark_seconds": 0.2}, "mark_seconds is 0.2, expected 0.02 to 0.1"),
    ],
)
def test_times_out_of_bounds_are_refused(options: dict[str, float], match: str) -> None:
    async def call() -> None:
        await answer(Mute(), Twilio(), no_agent, **options)  # type: ignore[arg-type]

    with pytest.raises(ValueError, match=match):
        virtually(call())


def test_limits_are_checked() -> None:
    with pytest.raises(ValueError, match="message_bytes is 0"):
        CallLimits(message_bytes=0)
    with pytest.raises(ValueError, match="send_seconds is -1"):
        CallLimits(send_seconds=-1)
    with pytest.raises(TypeError, match="messages_per_second"):
        CallLimits(messages_per_second=1.5)  # type: ignore[arg-type]


def test_nothing_of_a_message_reaches_the_log_as_it_came(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    evil = "\x1b[2J\nroot: all is well %s {0}"

    async def call() -> None:
        side = TelnyxSide()
        carrier = Carrier(side)
        carrier.say(json.dumps({"event": "error", "payload": {"title": evil}}))
        carrier.say(side.mark(evil))
        carrier.say(json.dumps({"event": evil, "stream_id": side.stream}))

        async def agent(call: PhoneCall) -> None:
            call.controller.on("error", lambda event: logging.getLogger("application").error("%s", event.exception))
            await call.controller.drain()
            await asyncio.sleep(100)

        await answer(carrier, side.dialect(), agent)

    virtually(call())
    text = "".join(record.getMessage() for record in caplog.records)
    assert "all is well" in text  # the error of the carrier, escaped
    assert text.isprintable()


def test_200_calls_in_one_process() -> None:
    async def one(number: int) -> None:
        side = (TwilioSide, TelnyxSide, VonageSide)[number % 3]()
        carrier = Carrier(side, latency=0.02 + number / 1_000, jitter=0.02, seed=number)
        speech = np.full(side.rate, 1_000, np.int16)

        async def agent(call: PhoneCall) -> None:
            utterance = call.controller.utterance()
            utterance.push(speech)
            utterance.end()
            assert (await utterance.wait()).played == side.rate
            async for key in call.dtmf:
                assert key == str(number % 10)
                return

        carrier.say(side.dtmf(str(number % 10)))
        end = await answer(carrier, side.dialect(), agent, controller=plain)
        assert end.by == "agent"
        await asyncio.sleep(1.0)
        carrier.finish()
        assert np.count_nonzero(np.abs(carrier.speech) > 8) == side.rate

    async def all_of_them() -> None:
        await asyncio.gather(*map(one, range(200)))

    virtually(all_of_them())
