"""Calls of other threads reach the loop in order, and never after the close."""

from __future__ import annotations

import asyncio
import threading
from itertools import groupby

from playback.native.mailbox import Mailbox


async def test_calls_of_each_thread_are_made_in_its_order_in_the_loop() -> None:
    mailbox, here = Mailbox(asyncio.get_running_loop()), threading.get_ident()
    got: list[tuple[int, int]] = []

    def take(thread: int, number: int) -> None:
        assert threading.get_ident() == here
        got.append((thread, number))

    def post(thread: int) -> None:
        for number in range(500):
            mailbox.post(take, thread, number)

    await asyncio.gather(*(asyncio.to_thread(post, thread) for thread in range(4)))
    while len(got) < 2000:  # noqa: ASYNC110 - nobody else knows
        await asyncio.sleep(0.001)
    for thread, calls in groupby(sorted(got, key=lambda each: each[0]), key=lambda each: each[0]):
        assert [number for _, number in calls] == list(range(500)), thread


async def test_nothing_is_called_after_the_close_whenever_it_was_posted() -> None:
    mailbox = Mailbox(asyncio.get_running_loop())
    got: list[str] = []
    callback = mailbox.poster(got.append)
    callback("first")
    await asyncio.sleep(0.01)
    callback("posted before")
    mailbox.close()
    callback("posted after")
    await asyncio.sleep(0.01)
    assert got == ["first"]


async def test_a_call_may_close_the_mailbox_with_others_behind_it() -> None:
    mailbox = Mailbox(asyncio.get_running_loop())
    got: list[str] = []
    mailbox.post(mailbox.close)
    mailbox.post(got.append, "late")
    await asyncio.sleep(0.01)
    assert got == []


def test_a_closed_loop_is_no_error() -> None:
    loop = asyncio.new_event_loop()
    mailbox = Mailbox(loop)
    loop.close()
    mailbox.post(print, "never")
