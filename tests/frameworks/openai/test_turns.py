"""What a voice agent goes through, in the real session over a real websocket; time is the samples that are read."""

import asyncio
from typing import Any

import numpy as np
import pytest
from fake_server import FRAME, call, speech

from playback import AudioFormat, Outcome, PlaybackController, State

AUTOMATIC = {"type": "server_vad", "interrupt_response": True}
EACH = pytest.mark.parametrize("by_server", [True, False], ids=["server detects", "application interrupts"])


async def interrupt(now: Any, by_server: bool) -> None:
    if by_server:
        await now.server.user_speaks()
    else:
        await now.session.interrupt()
    await now.settled()


async def test_a_turn_to_its_end() -> None:
    async with call() as now:
        reports = []
        now.controller.on("utterance_finished", lambda event: reports.append(event.report))
        await now.server.say("r1", "a", milliseconds=100)
        await now.settled()
        now.play(40)
        assert now.playback.get_state() == {
            "current_item_id": "a",
            "current_item_content_index": 0,
            "elapsed_ms": 40.0,
        }
        now.play(60)
        assert [(report.id, report.outcome, report.played) for report in reports] == [("a:0", "completed", 4_800)]
        assert now.playback.get_state()["current_item_id"] is None
        await now.server.user_speaks()
        assert await now.answered() == []  # it was heard in full


@EACH
async def test_an_interruption_truncates_at_what_was_heard(by_server: bool) -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.say("r1", "a")
        await now.settled()
        now.play(437)
        await interrupt(now, by_server)
        assert not now.play(20).any()
        assert await now.answered() == [("a", 0, 437)]


@EACH
async def test_what_was_waiting_is_truncated_at_zero(by_server: bool) -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.say("r1", "a", "b")
        await now.server.say("r2", "c")
        await now.settled()
        now.play(300)
        await interrupt(now, by_server)
        assert not now.play(20).any()
        assert sorted(await now.answered()) == [("a", 0, 300), ("b", 0, 0), ("c", 0, 0)]


async def test_two_turns_play_one_after_the_other() -> None:
    async with call() as now:
        await now.server.say("r1", "a", milliseconds=21.0)  # a tail shorter than a frame
        await now.server.say("r2", "b", milliseconds=100)
        await now.settled()
        now.play(20)
        assert now.playback.get_state()["current_item_id"] == "a"
        now.play(20)
        state = now.playback.get_state()
        assert (state["current_item_id"], state["elapsed_ms"]) == ("b", 19.0)
        await now.server.user_speaks()
        assert await now.answered() == [("b", 0, 19)]


async def test_each_content_of_an_item_counts_alone() -> None:
    async with call() as now:
        await now.server.begin("r1")
        for index in range(2):
            await now.server.delta("r1", "a", speech(100), index)
            await now.server.done("r1", "a", index)
        await now.settled()
        now.play(130)
        await now.server.user_speaks()
        assert await now.answered() == [("a", 1, 30)]


async def test_a_false_interruption_resumes_at_the_very_next_sample() -> None:
    async with call() as now:
        await now.server.say("r1", "a", milliseconds=200)
        await now.settled()
        heard = [now.play(50)]
        now.controller.pause()
        assert not now.play(500).any()
        assert now.playback.get_state()["elapsed_ms"] == 50.0
        now.controller.resume()
        heard.append(now.play(150))
        whole = np.concatenate(heard)
        assert now.controller.state == State.IDLE

        unpaused = PlaybackController(AudioFormat(48_000), input_format=AudioFormat(24_000))
        unpaused.push(speech(200))
        unpaused.end()
        assert np.array_equal(whole, unpaused.read(len(whole))[:, 0])
        assert await now.answered() == []


@EACH
async def test_an_interruption_in_a_pause(by_server: bool) -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.say("r1", "a", "b")
        await now.settled()
        now.play(120)
        now.controller.pause()
        now.play(3_000)  # of silence, which nobody takes for speech
        await interrupt(now, by_server)
        now.controller.resume()
        assert not now.play(100).any()
        assert sorted(await now.answered()) == [("a", 0, 120), ("b", 0, 0)]


@EACH
async def test_an_interruption_before_the_first_sample(by_server: bool) -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.say("r1", "a", "b")
        await now.settled()
        await interrupt(now, by_server)
        assert not now.play(100).any()
        assert sorted(await now.answered()) == [("a", 0, 0), ("b", 0, 0)]


async def test_an_item_without_audio_and_one_shorter_than_a_frame() -> None:
    async with call() as now:
        finished = []
        now.controller.on("last_audio_byte", lambda event: finished.append(event.utterance.id))
        await now.server.begin("r1")
        await now.server.delta("r1", "empty", b"")
        await now.server.done("r1", "empty")
        await now.server.end("r1")
        await now.server.say("r2", "short", milliseconds=3)
        await now.server.say("r3", "next", milliseconds=17)
        await now.settled()
        now.play(20)
        assert finished == ["short:0", "next:0"]
        assert now.controller.state == State.IDLE


async def test_three_barge_ins_in_a_row() -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        for turn, milliseconds in enumerate([100, 250, 1], 1):
            await now.server.say(f"r{turn}", f"item{turn}")
            await now.settled()
            assert now.play(milliseconds).any()
            await now.server.user_speaks()
            await now.settled()
            assert not now.play(20).any()
        assert await now.answered() == [("item1", 0, 100), ("item2", 0, 250), ("item3", 0, 1)]


async def test_what_comes_late_is_refused() -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        refused = []
        now.controller.on("audio_refused", refused.append)
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(200))
        await now.settled()
        now.play(100)
        await now.server.user_speaks()
        await now.server.delta("r1", "a", speech(200))  # was on its way
        await now.server.delta("r1", "b", speech(200))  # and another item of the same response
        await now.settled()
        assert [(event.utterance.id, event.reason) for event in refused] == [
            ("a:0", "interrupted"),
            ("b:0", "interrupted"),
        ]
        assert not now.play(100).any()
        await now.server.end("r1", "cancelled")

        await now.server.say("r2", "c", milliseconds=100)
        await now.settled()
        assert now.play(100).any()
        assert await now.answered() == [("a", 0, 100), ("b", 0, 0)]


async def test_the_controller_interrupts_and_the_model_hears_of_it() -> None:
    """As a policy of one's own does, where the server detects no turns, or a button that says stop."""
    async with call(turn_detection=AUTOMATIC) as now:
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(500))
        await now.server.delta("r1", "b", speech(500))
        await now.settled()
        now.play(320)
        now.controller.interrupt()
        await now.server.wait_for("response.cancel")
        await now.server.delta("r1", "c", speech(500))
        assert await now.answered() == [("a", 0, 320), ("b", 0, 0), ("c", 0, 0)]
        assert not now.play(600).any()
        assert len(now.server.of("response.cancel")) == 1


async def test_an_utterance_is_cancelled_alone() -> None:
    async with call() as now:
        await now.server.say("r1", "a", "b")
        await now.settled()
        now.play(250)
        now.controller.playing.cancel()
        assert now.play(20).any()  # the next one
        assert await now.answered() == [("a", 0, 250)]
        assert now.server.of("response.cancel") == []


async def test_a_lock_lets_out_what_there_is_and_truncates_the_rest() -> None:
    async with call() as now:
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(100))
        await now.settled()
        now.controller.lock()
        await now.server.delta("r1", "a", speech(100))
        await now.settled()
        now.play(200)
        assert await now.answered() == [("a", 0, 100)]


async def test_a_slow_model_does_not_advance_the_position() -> None:
    async with call() as now:
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(100))
        await now.settled()
        now.play(2_000)  # no audio for all but 80 ms: the last of an open item waits until a frame is full
        await now.server.delta("r1", "a", speech(100))
        await now.settled()
        now.play(40)
        await now.server.user_speaks()
        assert await now.answered() == [("a", 0, 120)]


async def test_background_sounds_through_all_of_it() -> None:
    async with call(turn_detection=AUTOMATIC) as now:
        now.controller.background.add(np.full(48_000, 3_000, np.int16), fade_seconds=0)
        await now.server.say("r1", "a")
        await now.settled()
        assert now.play(100).all()
        now.controller.pause()
        assert now.play(100).all()
        now.controller.resume()
        assert now.play(100).all()
        await now.server.user_speaks()
        assert await now.answered() == [("a", 0, 200)]
        assert now.play(100).all()


@pytest.mark.parametrize("session_first", [True, False])
async def test_shutdown_while_speaking(session_first: bool, caplog: pytest.LogCaptureFixture) -> None:
    reports, errors = [], []
    async with call() as now:
        now.controller.on("utterance_finished", lambda event: reports.append(event.report))
        now.controller.on("error", errors.append)
        await now.server.say("r1", "a", "b")
        await now.settled()
        now.play(100)
        if not session_first:
            now.controller.close()
            assert await now.answered() == [("a", 0, 100), ("b", 0, 0)]
    await asyncio.sleep(0.05)
    outcome = Outcome.INTERRUPTED if session_first else Outcome.CLOSED
    assert [(report.id, report.outcome, report.played) for report in reports] == [
        ("a:0", outcome, 4_800),
        ("b:0", outcome, 0),
    ]
    assert errors == []
    assert not now.controller.read(FRAME).any()


async def test_a_lost_connection_leaves_nobody_waiting() -> None:
    async with call() as now:
        await now.server.begin("r1")
        await now.server.delta("r1", "a", speech(100))
        await now.settled()
        utterance = now.controller.utterance()
        await now.server.socket.close()
        async with asyncio.timeout(5):
            async for _ in now.session:
                pass
        now.play(200)
        assert now.controller.state == State.IDLE
        utterance.cancel()


@pytest.mark.parametrize("ahead", [True, False], ids=["text first", "audio first"])
async def test_what_was_heard_is_estimated_from_the_transcript(ahead: bool) -> None:
    async with call() as now:
        reports: list[Any] = []
        now.controller.on("utterance_finished", lambda event: reports.append(event.report))
        await now.server.session()
        await now.server.begin("response")

        async def write() -> None:
            for delta in ("Table ", "seven ", "seats ", "eight."):
                await now.server.send(
                    "response.output_audio_transcript.delta",
                    response_id="response",
                    item_id="item",
                    output_index=0,
                    content_index=0,
                    delta=delta,
                )

        if ahead:
            await write()
        await now.server.delta("response", "item", speech(2_000))
        if not ahead:
            await write()
        await now.server.done("response", "item")
        await now.settled()
        now.controller.read(round(1.1 * now.controller.format.sample_rate))
        now.controller.interrupt()
        [report] = reports
        assert (report.text, report.heard, report.heard_from) == ("Table seven seats eight.", "Table seven", "estimate")


async def test_a_transcript_without_audio_belongs_to_no_other_item() -> None:
    async with call() as now:
        await now.server.session()
        await now.server.begin("one")
        await now.server.send(
            "response.output_audio_transcript.delta",
            response_id="one",
            item_id="silent",
            output_index=0,
            content_index=0,
            delta="Nobody says this.",
        )
        await now.server.end("one")
        await now.server.say("two", "spoken")
        await now.settled()
        assert now.controller.head is not None
        assert now.controller.head.text is None
        assert not now.playback._transcripts
