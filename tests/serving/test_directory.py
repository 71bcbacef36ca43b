"""The directory of calls in other processes; it needs no Ray."""

from __future__ import annotations

import asyncio

import pytest

from playback.serving.directory import MOST_ENDED, Command, Directory
from playback.serving.sdp import Candidate

pytestmark = pytest.mark.portable

NONE = Candidate("")


async def test_a_host_is_asked_for_what_is_to_be_done_with_its_calls() -> None:
    directory = Directory()
    await directory.register("host", "key")
    asking = asyncio.create_task(directory.collect("host", ["key"]))
    await asyncio.sleep(0)
    assert await directory.command("key", "candidate", NONE)
    assert await asking == [Command("key", "candidate", NONE)]
    assert await directory.command("key", "end")
    assert await directory.collect("host", ["key"]) == [Command("key", "end")]
    assert not await directory.command("another", "end")


async def test_a_question_is_answered_in_time() -> None:
    directory = Directory(poll_seconds=0.01)
    assert await directory.collect("host", ["key"]) == []
    assert await directory.follow("key", 0) == ("wait", None)


async def test_the_newest_socket_supersedes_and_the_end_is_known() -> None:
    directory = Directory()
    await directory.register("host", "key")
    first = await directory.attach("key")
    assert first == 1
    following = asyncio.create_task(directory.follow("key", first))
    await asyncio.sleep(0)
    second = await directory.attach("key")
    assert second == 2
    assert await following == ("superseded", None)
    await directory.detach("key", first)  # of a socket that is not the newest
    await directory.detach("key", second)
    commands = await directory.collect("host", ["key"])
    assert [(each.kind, each.generation) for each in commands] == [("attach", 1), ("attach", 2), ("detach", 2)]
    following = asyncio.create_task(directory.follow("key", second))
    await asyncio.sleep(0)
    await directory.over("key", "bye")
    await directory.over("key", "lost")
    assert await following == ("over", "bye")
    assert await directory.attach("key") is None
    await directory.register("host", "key")  # too late
    assert not await directory.command("key", "end")


async def test_a_directory_that_was_started_anew_learns_its_calls() -> None:
    directory = Directory(poll_seconds=1.2)
    following = asyncio.create_task(directory.follow("key", 3))
    await asyncio.sleep(0)
    assert await directory.attach("key") is None
    await directory.register("host", "key")
    assert await following == ("wait", None)
    assert await directory.attach("key") == 4
    assert [each.generation for each in await directory.collect("host", ["key"])] == [4]


async def test_calls_of_a_host_that_asks_no_more_are_lost() -> None:
    directory = Directory(poll_seconds=0.05, lost_seconds=0.1)
    await directory.register("host", "key")
    while (found := await directory.follow("key", 0))[0] == "wait":
        pass
    assert found == ("over", "lost")
    while (found := await directory.follow("a call of a host that is gone", 0))[0] == "wait":
        pass
    assert found == ("over", "lost")
    await asyncio.sleep(0.2)
    await directory.register("another", "other")
    assert list(directory._hosts) == ["another"]


async def test_only_so_many_ends_are_remembered() -> None:
    directory = Directory(poll_seconds=0.0)
    for number in range(MOST_ENDED + 1):
        await directory.over(str(number), "bye")
    assert await directory.follow("0", 0) == ("wait", None)
    assert await directory.follow("1", 0) == ("over", "bye")
