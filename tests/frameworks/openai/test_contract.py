"""What the framework may call, and in which orders it does."""

import asyncio
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from agents import GuardrailFunctionOutput, OutputGuardrail
from agents.realtime import (
    RealtimeAgent,
    RealtimeModelListener,
    RealtimePlaybackTracker,
    RealtimeRunner,
    openai_realtime,
)
from agents.realtime import model as model_module
from fake_server import call, speech

import playback.integrations.openai as integration
from playback import AudioFormat, BufferFull, Fades, PlaybackController, State
from playback.integrations.openai import RealtimePlayback
from playback.track import PlaybackTrack

AUTOMATIC = {"type": "server_vad", "interrupt_response": True}


def test_it_is_what_the_framework_asks_for() -> None:
    playback = RealtimePlayback(PlaybackController())
    assert isinstance(playback, RealtimePlaybackTracker)
    assert isinstance(playback, RealtimeModelListener)


def test_every_member_the_model_uses_is_ours() -> None:
    used = set(re.findall(r"_playback_tracker\.(\w+)", inspect.getsource(openai_realtime)))
    assert used == {"get_state", "on_interrupted", "set_audio_format"}
    ours = set(vars(RealtimePlayback))
    public = {name for name in vars(RealtimePlaybackTracker) if not name.startswith("_")}
    assert used <= public <= ours
    for name in public:
        theirs = inspect.signature(getattr(RealtimePlaybackTracker, name)).parameters
        assert list(inspect.signature(getattr(RealtimePlayback, name)).parameters) == list(theirs)


def test_the_state_has_all_its_keys() -> None:
    playback = RealtimePlayback(PlaybackController())
    assert set(playback.get_state()) == set(model_module.RealtimePlaybackState.__annotations__)


def test_what_applications_used_to_report_counts_no_more() -> None:
    playback = RealtimePlayback(PlaybackController())
    playback.on_play_bytes("a", 0, speech(100))
    playback.on_play_ms("a", 0, 100.0)
    assert playback.get_state()["current_item_id"] is None


def test_calls_before_anything_else_are_harmless() -> None:
    playback = RealtimePlayback(PlaybackController())
    playback.on_interrupted()
    playback.on_interrupted()
    playback.set_audio_format("pcm16")
    playback.detach()
    assert playback.controller.state == State.IDLE


async def test_the_session_only_reports_it_again() -> None:
    """The events of the session, in place of the model's: late by its queue, else the same."""
    async with call(turn_detection=AUTOMATIC, listen=False) as now:
        reading = asyncio.create_task(feed(now))
        await now.server.say("r1", "a", "b")
        await now.settled()
        now.play(210)
        await now.server.user_speaks()
        await now.settled()
        assert not now.play(20).any()
        assert sorted(await now.answered()) == [("a", 0, 210), ("b", 0, 0)]
        await now.server.say("r2", "c", milliseconds=100)
        await now.settled()
        assert now.play(100).any()
    await reading


async def feed(now: Any) -> None:
    async for event in now.session:
        await now.playback.on_event(event)


async def test_the_same_event_from_both_is_played_once() -> None:
    async with call() as now:
        reading = asyncio.create_task(feed_wrapped_events(now))
        await now.server.say("r1", "a", milliseconds=100)
        await now.settled()
        assert now.controller.buffered == 4_800
    await reading


async def feed_wrapped_events(now: Any) -> None:
    async for event in now.session:
        if event.type in ("audio", "audio_end", "audio_interrupted"):
            await now.playback.on_event(event)


@pytest.mark.parametrize(("type", "codec"), [("audio/pcmu", "pcm_mulaw"), ("audio/pcma", "pcm_alaw")])
async def test_g711_is_decoded_and_counted_in_its_own_milliseconds(type: str, codec: str) -> None:
    tone = (8_000 * np.sin(np.arange(8_000) / 5)).astype(np.int16)
    encoder = av.CodecContext.create(codec, "w")
    encoder.sample_rate, encoder.layout, encoder.format = 8_000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
    frame.sample_rate = 8_000
    encoded = b"".join(bytes(packet) for packet in encoder.encode(frame))
    assert len(encoded) == 8_000
    async with call(format={"type": type}) as now:
        await now.server.begin("r1")
        for start in range(0, 8_000, 1_000):
            await now.server.delta("r1", "a", encoded[start : start + 1_000])
        await now.server.done("r1", "a")
        await now.settled()
        assert now.controller.buffered == 48_000
        heard = now.play(430)
        assert abs(int(np.abs(heard[4_800:]).max()) - 8_000) < 400
        await now.server.user_speaks()
        assert await now.answered() == [("a", 0, 430)]


def test_formats_by_all_their_names() -> None:
    playback = RealtimePlayback(PlaybackController())
    for name in ("g711_ulaw", "audio/pcmu", {"type": "audio/pcma"}):
        playback.set_audio_format(name)
        assert playback._g711 is not None
    for name in ("pcm16", {"type": "audio/pcm", "rate": 24_000}, "something new"):
        playback.set_audio_format(name)
        assert playback._g711 is None


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
def test_no_position_is_a_little_less_than_it_was(rate: int) -> None:
    playback = RealtimePlayback(PlaybackController(AudioFormat(rate)))
    for milliseconds in range(0, 100_000, 10):
        assert int(playback._milliseconds(rate * milliseconds // 1_000)) == milliseconds


async def test_a_guardrail_drops_its_own_response_alone() -> None:
    """What it is about waits behind another response, which goes on."""
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.say("r1", "a", milliseconds=300)
        await now.server.begin("r2")
        for item in ("b", "c"):
            await now.server.delta("r2", item, speech(300))
        await now.settled()
        now.play(100)
        await now.session.model.send_event(
            openai_realtime.RealtimeModelSendInterrupt(response_id="r2", playback_only=True)
        )
        assert await now.answered() == [("b", 0, 0), ("c", 0, 0)]
        assert now.play(200)[-960:].any()
        assert not now.play(20).any()
        await now.server.delta("r2", "d", speech(300))  # the model itself keeps this one back
        await now.server.end("r2")
        await now.server.say("r3", "e", milliseconds=300)
        await now.settled()
        assert now.playback.get_state()["current_item_id"] == "e"
        assert now.play(300).all()


async def test_a_guardrail_drops_what_plays() -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(300))
        await now.server.delta("r1", "b", speech(300))
        await now.settled()
        now.play(100)
        await now.session.model.send_event(
            openai_realtime.RealtimeModelSendInterrupt(response_id="r1", force_response_cancel=True)
        )
        assert sorted(await now.answered()) == [("a", 0, 100), ("b", 0, 0)]
        assert not now.play(100).any()
        assert len(now.server.of("response.cancel")) == 1


async def test_a_guardrail_that_trips_in_the_session() -> None:
    async def trip(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered="forbidden" in text)

    agent = RealtimeAgent(name="test", output_guardrails=[OutputGuardrail(guardrail_function=trip)])
    config = {"guardrails_settings": {"debounce_text_length": 10}}
    async with call(turn_detection=AUTOMATIC, agent=agent, run_config=config) as now:
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(1_000))
        await now.settled()
        now.play(140)
        await now.server.send(
            "response.output_audio_transcript.delta",
            response_id="r1",
            item_id="a",
            output_index=0,
            content_index=0,
            delta="this is forbidden",
        )
        await now.server.wait_for("conversation.item.truncate")
        await now.server.delta("r1", "a", speech(1_000))  # the model itself keeps this one back
        assert await now.answered() == [("a", 0, 140)]
        assert not now.play(100).any()


async def test_one_model_serves_one_session_after_another() -> None:
    async with call() as now:
        await now.server.say("r1", "a")
        await now.settled()
        now.play(100)
        await now.session.close()
        assert not now.play(20).any()
        runner = RealtimeRunner(RealtimeAgent(name="again"), model=now.session.model)
        session = await runner.run(model_config=now.session._model_config)
        now.playback.attach(session)  # a second time: it is not heard twice
        now.server.received.clear()
        async with session:
            now.session = session
            await now.server.say("r2", "b", milliseconds=100)
            await now.settled()
            assert now.controller.buffered == 4_800
            now.play(50)
            await now.server.user_speaks()
            assert await now.answered() == [("b", 0, 50)]


async def test_after_detaching_nothing_more_is_sent() -> None:
    async with call() as now:
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(100))
        await now.settled()
        now.playback.detach()
        now.play(50)
        assert now.playback.get_state()["current_item_id"] is None
        now.controller.interrupt()
        assert await now.answered() == []
        now.playback.detach()


async def test_detached_and_attached_again_it_truncates_again() -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.say("r1", "a", milliseconds=100)
        await now.settled()
        now.playback.detach()
        now.playback.attach(now.session)
        await now.server.say("r2", "b")
        await now.settled()
        now.play(100 + 200)
        now.controller.interrupt()
        assert await now.answered() == [("b", 0, 200)]
        now.play(20)
        assert not now.playback._items
        assert not now.playback._responses


async def test_what_comes_to_a_closed_controller_is_truncated_at_zero() -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(500))
        await now.settled()
        now.play(100)
        now.controller.close()
        await now.server.delta("r1", "a", speech(500))
        for _ in range(2):
            await now.server.delta("r1", "b", speech(500))
        await now.server.end("r1")
        assert await now.answered() == [("a", 0, 100), ("b", 0, 0)]
        assert not now.playback._items


async def test_two_sessions_in_one_process_know_nothing_of_each_other() -> None:
    async with call(turn_detection=AUTOMATIC) as one, call(turn_detection=AUTOMATIC) as other:
        for now, milliseconds in ((one, 100), (other, 200)):
            await now.server.say("r1", "a")
            await now.settled()
            now.play(milliseconds)
        await one.server.user_speaks()
        assert await one.answered() == [("a", 0, 100)]
        assert await other.answered() == []
        assert other.play(100).all()


async def test_a_sample_may_be_split_between_two_events() -> None:
    async with call() as now:
        audio = speech(100)
        await now.server.begin("r1")
        for start in range(0, len(audio), 333):
            await now.server.delta("r1", "a", audio[start : start + 333])
        await now.server.done("r1", "a")
        await now.server.delta("r1", "b", audio[:-1])
        await now.server.end("r1")
        await now.settled()
        assert now.play(100).all()
        assert now.playback.get_state()["current_item_id"] == "b"
        assert now.play(99).all()
        now.play(40)
        assert await now.answered() == []


async def test_nothing_is_kept_of_what_is_over() -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        for turn in range(20):
            await now.server.say(f"r{turn}", f"a{turn}", f"b{turn}", milliseconds=40)
            await now.settled()
            now.play(20)
            if turn % 2:
                await now.server.user_speaks()
                await now.settled()
            now.play(100)
        assert not now.playback._items
        assert not now.playback._responses
        assert not now.playback._stale


async def test_an_interruption_during_the_fade_and_what_was_heard() -> None:
    """A fade-out sounds, and counts as not heard: the truncation is where it began."""
    async with call(turn_detection=AUTOMATIC, fades=Fades()) as now:
        await now.server.say("r1", "a")
        await now.settled()
        now.play(200)
        await now.server.user_speaks()
        await now.settled()
        assert now.play(60).any()
        assert not now.play(20).any()
        assert await now.answered() == [("a", 0, 200)]


async def test_more_than_fits_is_no_secret() -> None:
    async with call() as now:
        await now.server.begin("r1")
        for _ in range(13):
            await now.server.delta("r1", "a", speech(50_000))
        with pytest.raises(BufferFull):
            async for _ in now.session:
                pass


async def test_a_track_plays_it_in_real_time() -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        track = PlaybackTrack(now.controller)
        await now.server.say("r1", "a")
        await now.settled()
        for _ in range(11):
            await track.recv()
        await now.server.user_speaks()
        assert await now.answered() == [("a", 0, 220)]
        track.stop()


def test_without_the_framework_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "agents.realtime", None)
    code = compile(Path(integration.__file__).read_text(), integration.__file__, "exec")
    with pytest.raises(ImportError, match=r"pip install 'voice-playback\[openai\]'"):
        exec(code, {"__name__": "again"})


async def test_the_transcript_that_the_session_keeps_is_beyond_reach() -> None:
    """The server drops the text of what it truncates; the session's own copy stays as it was."""
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(1_000))
        await now.server.send(
            "response.output_audio_transcript.delta",
            response_id="r1",
            item_id="a",
            output_index=0,
            content_index=0,
            delta="Your table is booked for eight.",
        )
        await now.settled()
        now.play(300)
        await now.server.user_speaks()
        await now.server.wait_for("conversation.item.truncate")
        await now.server.send("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=300)
        await now.server.wait_for("conversation.item.retrieve")
        content = [{"type": "output_audio"}]
        item = {"id": "a", "type": "message", "role": "assistant", "status": "incomplete", "content": content}
        await now.server.send("conversation.item.retrieved", item=item)
        await now.settled()
        (message,) = now.session._history
        assert message.content[0].transcript == "Your table is booked for eight."
