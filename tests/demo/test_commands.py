"""The demo's server, with real peer connections as its pages: what a page asks for happens, and it is notified."""

from __future__ import annotations

import asyncio
import io
import wave

import httpx
import pytest
import uvicorn
from aiortc import RTCRtpSender
from starlette.applications import Starlette
from starlette.routing import Mount

from playback import PlaybackController
from playback.chart import PLAYBACK
from playback.demo.app import DemoSettings, create_app
from playback.serving.guard import SECURITY
from playback.serving.sdp import disclose
from playback.speech import speech_format, synthesize
from playback.track import PlaybackTrack
from tests.demo.page import HOST, SDP, Page, page, served
from tests.signals import tone

pytestmark = pytest.mark.portable

TEXT = "Your table is booked for eight."
WORDS = ["Your", "table", "is", "booked", "for", "eight"]
LONG = "One two three four five six seven eight nine ten eleven twelve."


def wav(seconds: float = 0.3, rate: int = 8_000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone(round(seconds * rate), rate).tobytes())
    return out.getvalue()


def send_file(one: Page, data: bytes, name: str = "x.wav", piece: int = 16_384, **more: str) -> None:
    one.send("file", name=name, bytes=len(data), **more)
    for start in range(0, len(data), piece):
        one.channel.send(data[start : start + piece])


# Over HTTP


async def test_the_page_is_there_with_all_that_it_names() -> None:
    async with served() as client:
        response = await client.get("/")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/html")
        assert "<!-- chart:" not in response.text
        for name, value in SECURITY.items():
            assert response.headers[name] == value
        for path, kind in (("/app.js", "text/javascript"), ("/style.css", "text/css"), ("/icon.svg", "image/svg+xml")):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(kind)


async def test_an_offer_is_answered_and_a_session_can_be_ended() -> None:
    async with served() as client:
        one = Page(client)
        response = await one.offer("?prebuffer=0.2&fade=0.1&pause_fade=0")
        assert response.status_code == 201
        assert response.headers["content-type"] == "application/sdp"
        assert "a=candidate" in response.text
        location = response.headers["location"]
        assert location.startswith("/whep/")
        assert (await client.patch(location)).status_code == 405
        assert (await client.delete(location)).status_code == 200
        assert (await client.delete(location)).status_code == 404
        await one.close()


async def test_a_browser_that_hides_its_addresses_gets_through() -> None:
    async with served() as client:
        one = Page(client)
        one.hidden = True
        await one.connect()
        await one.close()


@pytest.mark.parametrize("host", [None, "", "unix:x", "localhost"])
def test_only_an_address_is_put_for_a_hidden_one(host: str | None) -> None:
    line = "a=candidate:1 1 udp 2122 0c8f.local 9 typ host\r\n"
    assert disclose(line, host) == line
    assert disclose(line, "::1") == "a=candidate:1 1 udp 2122 ::1 9 typ host\r\n"


async def test_it_can_be_mounted_under_a_prefix() -> None:
    demo = create_app()
    outer = Starlette(routes=[Mount("/some/demo", demo)])
    async with served(app=demo), httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url=HOST) as client:
        assert (await client.get("/some/demo/")).status_code == 200
        assert (await client.get("/some/demo/app.js")).status_code == 200
        one = Page(client)
        await one.connect(path="/some/demo/whep")
        assert one.location.startswith("/some/demo/whep/")
        assert (await client.delete(one.location)).status_code == 200
        await one.gone()
        await one.close()
        await demo.state.sessions.aclose()
        late = Page(client)
        assert (await late.offer(path="/some/demo/whep")).status_code == 503
        await late.close()


async def test_the_lifespan_closes_the_sessions() -> None:
    app = create_app()
    async with served(app=app) as client:
        one = Page(client)
        async with app.router.lifespan_context(app):
            await one.connect()
        await one.message("refused", error="closed: the server is being shut down")
        assert not len(app.state.sessions)
        await one.gone()
        await one.close()


# Over the data channel


async def test_hello_has_the_limits_and_the_settings() -> None:
    settings = DemoSettings(text_characters=7, file_bytes=99)
    async with page(settings, "?prebuffer=0.2&fade=0.1") as one:
        hello = await one.message("hello")
        assert hello["limits"] == {"text": 7, "file": 99}
        assert hello["settings"] == {"prebuffer": 0.2, "fade": 0.1, "pause_fade": 0.005}
        assert hello["sample_rate"] == 48_000
        assert hello["leaf"] == "idle"
        assert one.location.endswith(hello["session"])
        one.send("ping", n=7)
        assert await one.message("pong") == {"is": "pong", "n": 7}
        level = await one.message("level")
        assert set(level) == {"is", "position", "buffered", "leaf"}


async def test_a_text_is_said_with_its_words_events_and_edges() -> None:
    async with page() as one:
        one.send("say", text=TEXT)
        await one.message("done", do="say", changed=True)
        known = await one.message("utterance", lambda message: len(message["words"]) == len(WORDS))
        assert [word["word"] for word in known["words"]] == WORDS
        assert known["text"] == TEXT
        assert known["interruptible"] is True
        assert all(word["at"] < word["until"] for word in known["words"])
        finished = await one.event("utterance_finished")
        assert finished["utterance"] == known["utterance"]
        assert finished["report"]["outcome"] == "completed"
        assert finished["report"]["heard"] == TEXT
        assert [event["payload"] for event in one.of("event") if event["name"] == "mark_reached"] == WORDS
        await one.event("state_changed", new_leaf="idle")
        # The edges are a way through the chart, without a gap.
        ways = {(edge.source, edge.event): edge.target for edge in PLAYBACK.edges()}
        leaf = "idle"
        for edge in one.of("edge"):
            assert edge["source"] == leaf
            leaf = edge["target"]
            assert ways[edge["source"], edge["event"]] == leaf
        assert leaf == "idle"


async def test_the_voice_arrives() -> None:
    async with page() as one:
        one.send("say", text=TEXT)
        await one.hears(10)


async def test_commands_do_what_they_say() -> None:
    async with page() as one:
        one.send("say", text=LONG)
        await one.event("mark_reached", payload="two")
        one.send("pause")
        await one.message("done", do="pause", changed=True)
        one.send("pause")
        await one.message("done", do="pause", changed=False)
        one.send("resume", rewind=0.1)
        assert (await one.event("resumed"))["rewound"] == 4800
        one.send("pause")
        await one.message("done", lambda message: one.messages.count(message) == 2, do="pause", changed=True)
        one.send("resume", to_word=True)
        await one.event("mark_reached", payload="three")
        one.send("interrupt", lock=True)
        report = (await one.event("utterance_finished"))["report"]
        assert report["outcome"] == "interrupted"
        assert report["heard"].startswith("One two")
        await one.event("input_locked")
        one.send("say", text=TEXT)
        await one.message("refused", error="the input is locked, expected it to be unlocked before", do="say")
        one.send("unlock")
        await one.event("input_unlocked")
        one.send("gain", db=-6)
        await one.message("done", do="gain", changed=True)
        one.send("gain", db=-6.0)
        await one.message("done", do="gain", changed=False)
        one.send("lock")
        await one.message("done", do="lock", changed=True)


async def test_what_may_not_be_interrupted_is_not() -> None:
    async with page() as one:
        one.send("say", text=TEXT, interruptible=False)
        await one.event("mark_reached", payload="table")
        one.send("interrupt")
        await one.message("done", do="interrupt", changed=False)
        one.send("interrupt", force=True)
        await one.message("done", do="interrupt", changed=True)
        assert (await one.event("utterance_finished"))["report"]["outcome"] == "interrupted"


async def test_texts_queue_and_an_interrupt_drops_those_that_wait() -> None:
    async with page() as one:
        one.send("pause")
        for _ in range(3):
            one.send("say", text=TEXT)
        await one.message("utterance", lambda message: len(message["words"]) == 6, utterance="utterance-3")
        one.send("resume")
        await one.event("utterance_finished", utterance="utterance-1")
        await one.event("first_audio_byte", utterance="utterance-2")
        one.send("interrupt")
        for name in ("utterance-2", "utterance-3"):
            assert (await one.event("utterance_finished", utterance=name))["report"]["outcome"] == "interrupted"


@pytest.mark.parametrize("piece", [16_384, 1_111])
async def test_a_file_is_played(piece: int) -> None:
    async with page() as one:
        send_file(one, wav(), "../tone.wav", piece)
        await one.message("done", do="file", changed=True)
        assert (await one.message("utterance"))["text"] == "../tone.wav"
        report = (await one.event("utterance_finished"))["report"]
        assert (report["outcome"], report["played"]) == ("completed", 14_400)


async def test_the_words_of_a_file_are_shown_if_it_is_known_what_it_says() -> None:
    async with page() as one:
        send_file(one, wav(0.6), "tone.wav", text="One two.")
        await one.message("done", do="file", changed=True)
        assert (await one.message("utterance"))["text"] == "One two."
        report = (await one.event("utterance_finished"))["report"]
        assert (report["outcome"], report["heard"]) == ("completed", "One two.")
        shown = one.of("utterance")[-1]["words"]
        assert [word["word"] for word in shown] == ["One", "two"]
        assert shown[0]["at"] == 0
        assert shown[0]["until"] == shown[1]["at"]
        assert shown[1]["until"] == pytest.approx(0.6, abs=0.03)


async def test_what_a_file_says_may_be_no_longer_than_a_text() -> None:
    async with page(DemoSettings(text_characters=10)) as one:
        one.send("file", name="x.wav", bytes=1, text="o" * 11)
        refused = await one.message("refused", do="file")
        assert refused["error"] == "text has 11 characters, expected at most 10"


async def test_a_file_waits_for_the_text_before_it() -> None:
    async with page() as one:
        one.send("say", text="Hi.")
        send_file(one, wav(0.1))
        await one.event("utterance_finished", utterance="utterance-2")
        names = [m["utterance"] for m in one.of("event") if m["name"] == "utterance_finished"]
        assert names == ["utterance-1", "utterance-2"]


async def test_a_text_or_a_file_is_a_turn_of_its_own() -> None:
    async with page() as one:
        one.send("say", text=TEXT)
        send_file(one, wav(), "tone.wav")
        for name, text in (("utterance-1", TEXT), ("utterance-2", "tone.wav")):
            await one.event("turn_started", turn=name)
            report = (await one.event("turn_finished", turn=name))["report"]
            assert (report["outcome"], report["heard"], report["text"]) == ("completed", text, text)
        assert not one.of("refused")


@pytest.mark.parametrize(
    "text", ["?", "...", "- - -", "[[", "<>", "()", "\u200b", "\u202e", "\U000e0041", "\U0010ffff"]
)
async def test_a_text_without_a_sound_is_refused_and_the_next_one_is_said(text: str) -> None:
    async with page() as one:
        one.send("say", text=text)
        one.send("say", text="Hi.")
        refused = await one.message("refused", do="say")
        assert refused["error"] == f"there is nothing to say in {text!r}"
        report = (await one.event("utterance_finished", utterance="utterance-1"))["report"]
        assert (report["outcome"], report["heard"], report["played"]) == ("failed", "", 0)
        report = (await one.event("utterance_finished", utterance="utterance-2"))["report"]
        assert report["outcome"] == "completed"


async def test_a_long_abbreviation_does_not_bring_down_the_server() -> None:
    async with page() as one:
        one.send("say", text="a." * 250)
        await one.event("first_audio_byte")
        one.send("interrupt")
        one.send("say", text="Hi.")
        report = (await one.event("utterance_finished", utterance="utterance-2"))["report"]
        assert report["outcome"] == "completed"


async def test_a_text_without_a_word_may_have_a_sound() -> None:
    async with page() as one:
        one.send("say", text="\N{GRINNING FACE}")
        report = (await one.event("utterance_finished"))["report"]
        assert report["outcome"] == "completed"
        assert all(message["words"] == [] for message in one.of("utterance"))


async def test_music_sounds_and_stops() -> None:
    async with page() as one:
        for values, changed in (
            ({"on": False}, False),
            ({"on": True, "gain_db": 0, "duck_db": 3}, True),
            ({"on": True, "gain_db": -6.0}, True),
        ):
            one.messages.clear()
            one.send("background", **values)
            await one.message("done", do="background", changed=changed)
        await one.hears(10)
        one.messages.clear()
        one.send("background", on=False)
        await one.message("done", do="background", changed=True)


@pytest.mark.parametrize("mime_type", ["audio/opus", "audio/PCMU"])
async def test_a_page_hears_it_in_whatever_codec_it_has(mime_type: str) -> None:
    async with served() as client:
        one = Page(client)
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        transceiver = one.peer.addTransceiver("audio", direction="sendrecv")
        transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType == mime_type])
        await one.connect()
        one.send("say", text="Good morning to all of you.")
        await one.hears(20)
        await one.close()


async def test_a_user_who_speaks_interrupts_the_agent() -> None:
    user = PlaybackController()
    async with served() as client:
        one = Page(client)
        await one.connect(microphone=PlaybackTrack(user))
        one.send("barge_in", on=True, mode="pause", pause_after_seconds=0.2, min_seconds=0.4, false_after_seconds=0.3)
        assert (await one.message("policy_leaf"))["leaf"] == "idle"
        await one.message("done", do="barge_in", changed=True)
        one.send("say", text=LONG)
        await one.message("policy_leaf", leaf="agent.settled")
        said = user.utterance(format=speech_format())
        synthesize("No, wait a moment, please.", lambda audio: bool(said.push(audio)), lambda *_: None)
        said.end()
        await one.message("speech", speaking=True)
        suspected = await one.message("policy", name="barge_in_suspected")
        assert suspected["leaf"] == "lowered.speaking"
        await one.event("paused")
        assert (await one.message("policy", name="barge_in"))["seconds"] >= 0.39
        assert (await one.event("utterance_finished"))["report"]["outcome"] == "interrupted"
        await one.message("speech", speaking=False)
        leaves = [message["leaf"] for message in one.of("policy_leaf")]
        expected = ["idle", "agent.ready", "agent.early", "agent.settled", "lowered.speaking", "held.speaking", "user"]
        assert leaves[:7] == expected
        one.send("barge_in", on=False)
        await one.message("done", lambda message: one.messages.count(message) == 2, do="barge_in", changed=True)
        await one.close()


async def test_a_gain_that_is_set_while_the_agent_is_lowered_is_what_it_goes_on_with() -> None:
    app = create_app()
    async with served(app=app) as client:
        one = Page(client)
        await one.connect()
        session = app.state.sessions.get(one.location[6:])
        one.send("barge_in", on=True, mode="duck", min_seconds=5, false_after_seconds=0)
        one.send("say", text=f"{LONG} {LONG} {LONG}")
        await one.message("policy_leaf", leaf="agent.settled")
        session.speech_started()
        await one.message("policy", name="barge_in_suspected")
        for db, changed in ((-3, True), (-3.0, False)):
            one.messages.clear()
            one.send("gain", db=db)
            await one.message("done", do="gain", changed=changed)
            assert session.controller.gain_db == -18.0
        session.speech_ended()
        await one.message("policy", name="false_interruption")
        assert session.controller.gain_db == -3.0
        await one.close()


async def test_sessions_do_not_hear_each_other() -> None:
    async with served() as client:
        pages = [Page(client) for _ in range(3)]
        await asyncio.gather(*(one.connect() for one in pages))
        for index, one in enumerate(pages):
            one.send("say", text=f"Number {index}.")
        for index, one in enumerate(pages):
            assert (await one.event("utterance_finished"))["report"]["heard"] == f"Number {index}."
            await one.close()


async def test_a_server_at_a_port_of_its_own() -> None:
    """Uvicorn's own view of things: an early answer while a body is still coming, a lifespan."""
    app = create_app()
    server = uvicorn.Server(uvicorn.Config(app, port=0, ws="none", log_level="critical", lifespan="on"))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - it has no event for it
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/")).status_code == 200
            response = await client.post("/whep", content=b"v" * 10_000_000, headers=SDP)
            assert response.status_code == 413
            assert (await client.get("/", headers={"origin": "http://evil.example"})).status_code == 403
        server.should_exit = True
        await task
