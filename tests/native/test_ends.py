"""Calls that end in every way: the controller ends with them, whoever waits gets a report, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import weakref
from functools import partial
from typing import Any

import psutil
import pytest

from playback import AudioFormat, PlaybackController, State
from playback.native import NativePeer
from playback.native.native_objects import LINGER_SECONDS, sweep
from tests.fuzzing import VARIABLE
from tests.native.calls import RATE, Heard, browser_like, call, native, say, until

CONNECTS = 50 if int(os.environ.get(VARIABLE) or 1) == 1 else 1000
"""In CI, and at night."""


async def test_the_other_sides_close_ends_the_call_at_once_and_waiters_get_a_report() -> None:
    peer = native()
    waiting = asyncio.create_task(say(peer.controller, 30.0).wait())
    async with browser_like(peer) as peers:
        await peers.receive(0.1)
        await peers.sender.close()
        assert (await asyncio.wait_for(waiting, 5.0)).outcome == "closed"
        assert peer.state == "closed"
        assert peer.controller.reader is None


async def test_a_channel_closes_the_other_side_with_us() -> None:
    calling, called = native(), native()
    calling.create_channel("any")
    await call(calling, called)
    await calling.close()
    await until(lambda: called.state == "closed")
    assert called.controller.state is State.CLOSED


async def test_a_call_that_nobody_answers_ends_in_time() -> None:
    for offers in (False, True):
        peer = native(connect_seconds=0.3)
        if offers:
            await peer.offer()
        assert (await asyncio.wait_for(say(peer.controller, 1.0).wait(), 5.0)).outcome == "closed"
        assert peer.state == "closed"


async def test_an_answer_to_nobody_ends_in_time() -> None:
    calling, peer = native(), native(connect_seconds=0.5)
    offer = await calling.offer()
    await calling.close()
    await peer.answer(offer)
    await asyncio.wait_for(say(peer.controller, 1.0).wait(), 5.0)
    assert peer.state == "closed"


async def test_a_connection_that_is_up_outlives_the_time_to_connect() -> None:
    calling, called = native(connect_seconds=0.5), native()
    await call(calling, called)
    await asyncio.sleep(0.7)
    assert calling.state == "connected"
    await calling.close()
    await called.close()


@pytest.mark.parametrize("cancels", [True, False])
def test_the_end_of_the_loop_ends_its_calls(cancels: bool) -> None:
    peers: list[NativePeer] = []

    async def begin() -> None:
        calling, called = native(), native()
        if cancels:
            await call(calling, called)
        peers.extend((calling, called))

    asyncio.run(begin())
    assert all(peer.state == "closed" for peer in peers)
    assert all(peer.controller.state is State.CLOSED for peer in peers)


async def test_a_controller_that_is_kept_plays_on_over_another_connection() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    utterance = say(controller, 0.6)
    for seconds in (0.2, 0.6):
        calling, called = native(controller, close_controller=False), native()
        await call(calling, called)
        await until(lambda: utterance.report is not None or controller.position >= seconds * RATE)  # noqa: B023
        await calling.close()
        await called.close()
        assert controller.reader is None
        assert controller.state is not State.CLOSED
    assert utterance.report is not None
    assert utterance.report.outcome == "completed"


async def test_a_second_reader_is_refused_and_the_first_goes_on() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    errors: list[Any] = []
    controller.on("error", errors.append)
    first, second, others = native(controller), native(controller), [native(), native()]
    await call(first, others[0])
    second.accept(await others[1].answer(await second.offer()))
    await until(lambda: second.state == "closed")
    assert controller.reader is first
    assert controller.state is not State.CLOSED
    assert "expected one reader" in str(errors[0].exception)
    for peer in (first, *others):
        await peer.close()


def _note(late: list[str], name: str, *_: Any) -> None:
    late.append(name)


async def test_nothing_is_called_after_the_close_in_any_phase() -> None:
    """Closed at many moments of a connection's beginning and life: afterwards nobody is called."""
    for steps in range(0, 60, 3):
        calling, called = native(), native()
        late: list[str] = []
        channel = calling.create_channel("chat")
        heard = Heard(calling)
        for name in ("state_changed", "candidate", "channel"):
            calling.on(name, partial(_note, late, name))
        for name in ("open", "message", "close"):
            channel.on(name, partial(_note, late, name))
        called.on("channel", lambda channel: channel.send("hello"))
        task = asyncio.create_task(call(calling, called))
        for _ in range(steps):
            await asyncio.sleep(0.001)
        await calling.close()
        late.clear()
        heard.packets.clear()
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0.05)
        assert (late, heard.packets) == ([], [])
        assert calling.state == "closed"
        await called.close()


async def test_listeners_that_raise_do_not_keep_a_call_from_its_end() -> None:
    peer, other = native(), native()
    other.create_channel("any")
    loop = asyncio.get_running_loop()
    raised: list[str] = []
    loop.set_exception_handler(lambda _, context: raised.append(str(context["exception"])))

    def refuse(*_: Any) -> None:
        raise ValueError("no")

    peer.on("state_changed", refuse)
    peer.on("channel", refuse)
    await call(other, peer)
    with pytest.raises(ValueError, match="no"):
        await peer.close()
    assert peer.controller.state is State.CLOSED
    assert set(raised) == {"no"}
    await other.close()


async def test_connects_and_disconnects_leave_nothing_behind() -> None:
    process = psutil.Process()

    async def settled() -> tuple[int, int, int]:
        await asyncio.sleep(LINGER_SECONDS + 0.2)
        sweep()
        gc.collect()
        alive = sum(isinstance(each, NativePeer) for each in gc.get_objects())
        return process.num_fds(), process.num_threads(), alive

    async def once() -> weakref.ref[NativePeer]:
        calling, called = native(), native()
        calling.create_channel("chat").on("open", lambda: None)
        await call(calling, called)
        say(calling.controller, 0.1)
        await calling.close()
        await called.close()
        return weakref.ref(calling)

    for _ in range(10):  # the threads and the memory that are made once
        await once()
    before = await settled()
    seen = [await once() for _ in range(CONNECTS)]
    after = await settled()
    assert all(each() is None for each in seen)
    assert after <= before
    assert threading.active_count() < 20


def test_a_process_with_open_calls_ends_in_good_order() -> None:
    script = """
import asyncio
from tests.native.calls import call, native
async def main():
    global peers
    peers = [native(), native()]
    await call(*peers)
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
print("connected")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, env=os.environ
    )
    assert (done.returncode, done.stdout) == (0, "connected\n"), done.stderr
