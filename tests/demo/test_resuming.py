"""A page that comes back takes its session up again, and the speech goes on where the listener lost it."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import httpx
import pytest
from aiortc import RTCSessionDescription

from playback.demo.app import DemoSettings, create_app
from playback.demo.session import Session
from tests.demo.page import SDP, Page, page, served, settled
from tests.demo.test_commands import LONG
from tests.demo.test_limits import nothing_left

pytestmark = pytest.mark.portable

RATE = 48_000


async def again(one: Page, query: str = "", secret: str | None = None) -> tuple[Page, httpx.Response]:
    """A page with a connection of its own, which asks for the session of another one."""
    hello = await one.message("hello")
    other = Page(one.client)
    other.location = one.location
    headers = {"playback-secret": hello["secret"] if secret is None else secret}
    with patch.dict(SDP, headers):
        response = await other.offer(query, one.location)
    if response.status_code == 200:
        await other.peer.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
    return other, response


async def leave(one: Page, query: str = "") -> None:
    hello = await one.message("hello")
    response = await one.client.post(f"{one.location}/away{query}", headers={"playback-secret": hello["secret"]})
    assert response.status_code == 200


async def position(one: Page) -> int:
    """Where the server stands now."""
    one.messages[:] = [message for message in one.messages if message["is"] != "level"]
    place: int = (await one.message("level"))["position"]
    return place


@pytest.mark.parametrize(("missed", "rewind"), [(0, 0.0), (12_000, 0.0), (12_000, 0.5)])
async def test_an_answer_goes_on_where_the_page_lost_it(missed: int, rewind: float) -> None:
    async with nothing_left(), page() as one:
        one.send("say", text=LONG)
        await one.event("mark_reached", payload="seven")
        heard = await position(one) - missed
        await leave(one, f"?heard={heard}")
        await one.gone()
        other, response = await again(one, f"?rewind={rewind}")
        assert response.status_code == 200, response.text
        hello = await other.message("hello")
        assert (hello["resumed"], hello["leaf"]) == (True, "paused.ended")
        shown = await other.message("utterance", utterance="utterance-1")
        assert shown["text"] == LONG
        assert 7 <= shown["reached"] < 12
        resumed = await other.event("resumed")
        # What was read behind the last level, until the page was gone, was not heard either.
        assert missed + rewind * RATE <= resumed["rewound"] < missed + rewind * RATE + RATE
        report = (await other.event("utterance_finished"))["report"]
        assert (report["outcome"], report["heard"]) == ("completed", LONG)
        marks = [event["payload"] for event in one.of("event") + other.of("event") if event["name"] == "mark_reached"]
        assert marks == LONG.replace(".", "").split()
        await other.close()


async def test_a_page_that_comes_back_before_it_was_missed_takes_the_place_of_the_other() -> None:
    async with nothing_left(), page() as one:
        one.send("say", text=LONG)
        await one.event("mark_reached", payload="two")
        other, response = await again(one)
        assert response.status_code == 200
        await other.message("hello", resumed=True)
        await one.gone()
        await other.event("mark_reached", payload="twelve")
        other.send("ping", n=1)
        await other.message("pong")
        await other.close()


async def test_nothing_plays_while_nobody_is_there() -> None:
    app = create_app(DemoSettings(resume_seconds=60))
    async with served(app=app) as client:
        one = Page(client)
        await one.connect()
        one.send("say", text=LONG)
        await one.event("mark_reached", payload="two")
        await one.close()  # without a word
        session = app.state.sessions.get(one.location[6:])
        await settled(lambda: session.controller.holds == ("lost page",), lambda: session.controller.holds)
        before = session.controller.position
        await asyncio.sleep(0.2)
        assert session.controller.position == before
        assert session.controller.reader is None


async def test_a_page_that_falls_silent_is_held_until_it_is_there_again() -> None:
    with patch("playback.demo.session.SILENT_SECONDS", 0.6):
        async with nothing_left(), page() as one:
            one.send("say", text=LONG)
            heard = (await one.event("mark_reached", payload="two"))["position"]
            assert (await one.event("paused"))["by"] == "lost page"
            one.send("ping", n=1, heard=heard)
            resumed = await one.event("resumed")
            assert resumed["by"] == "lost page"
            assert resumed["rewound"] > 0.3 * RATE


async def test_the_hold_of_the_page_itself_stays() -> None:
    async with nothing_left(), page() as one:
        one.send("say", text=LONG)
        await one.event("mark_reached", payload="two")
        one.send("pause")
        await one.message("done", do="pause")
        await leave(one)
        other, _ = await again(one)
        await other.message("level", leaf="paused.ended")
        other.send("resume")
        await other.event("utterance_finished")
        await other.close()


async def test_the_silence_of_a_pause_is_not_taken_for_speech_that_was_missed() -> None:
    async with nothing_left(), page() as one:
        one.send("say", text=LONG)
        await one.event("mark_reached", payload="four")
        one.send("pause")
        paused = (await one.event("paused"))["position"]
        while await position(one) < paused + RATE // 2:
            pass
        await leave(one, f"?heard={paused}")
        other, _ = await again(one)
        await other.message("level", leaf="paused.ended")
        other.send("resume")
        assert (await other.event("resumed"))["rewound"] == 0
        await other.close()


async def test_a_session_ends_when_its_page_does_not_come_back() -> None:
    app = create_app(DemoSettings(resume_seconds=0.3))
    async with nothing_left(), served(app=app) as client:
        one = Page(client)
        await one.connect()
        one.send("say", text=LONG)
        await one.event("mark_reached", payload="two")
        session: Session = app.state.sessions.get(one.location[6:])
        waiting = asyncio.create_task(session.controller.utterance().wait())
        await leave(one)
        await settled(lambda: not len(app.state.sessions), lambda: len(app.state.sessions))
        await waiting
        other, response = await again(one)
        assert response.status_code == 404
        del session, waiting
        for each in (one, other):
            await each.close()


@pytest.mark.parametrize("secret", ["", "x", "\xff"])
async def test_without_the_secret_nothing_is_taken_up(secret: str) -> None:
    async with nothing_left(), page() as one:
        headers = httpx.Headers({**SDP, "playback-secret": secret}, encoding="latin-1")
        for path in (one.location, f"{one.location}/away", "/whep/x", "/whep/x/away"):
            response = await one.client.post(path, content=b"v=0", headers=headers)
            assert response.status_code == 404
            assert "with this secret" in response.json()["error"]
        one.send("ping", n=1)
        await one.message("pong")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("?heard=-1", "heard is '-1', expected a whole number of samples"),
        ("?heard=1e9", "heard is '1e9'"),
        ("?heard=" + "9" * 16, "heard is"),
        ("?rewind=6", "rewind is '6', expected seconds from 0 to 5"),
        ("?fade=1", "there is no setting 'fade', expected heard, rewind"),
        ("", "the offer"),
    ],
)
async def test_what_can_not_be_taken_up_leaves_the_session_as_it_was(query: str, error: str) -> None:
    async with nothing_left(), page() as one:
        hello = await one.message("hello")
        headers = {**SDP, "playback-secret": hello["secret"]}
        response = await one.client.post(one.location + query, content=b"v=0", headers=headers)
        assert response.status_code == 400
        assert error in response.json()["error"]
        other, response = await again(one)
        assert response.status_code == 200
        await other.message("hello", resumed=True)
        await other.close()


async def test_a_page_that_goes_and_comes_many_times_leaves_nothing() -> None:
    async with nothing_left(), page(DemoSettings(sessions_per_second=1_000)) as one:
        one.send("say", text=f"{LONG} {LONG}")
        await one.event("first_audio_byte")
        last = one
        for number in range(8):
            if number % 2:
                await leave(last)
            following, response = await again(last)
            assert response.status_code == 200
            await following.message("hello", resumed=True)
            if last is not one:
                await last.close()
            last = following
        await last.event("mark_reached", payload="twelve")
        await last.close()


async def test_a_server_that_is_being_shut_down_takes_nothing_up() -> None:
    app = create_app(DemoSettings(shutdown_seconds=0.1))
    async with nothing_left(), served(app=app) as client:
        one = Page(client)
        await one.connect()
        ending = asyncio.create_task(app.state.sessions.shutdown())
        await asyncio.sleep(0)
        other, response = await again(one)
        assert response.status_code in (404, 503)
        await ending
        for each in (one, other):
            await each.close()
