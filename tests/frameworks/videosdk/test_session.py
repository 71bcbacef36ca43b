"""Calls in the real framework: its session, orchestrator, speech generation and history, on our tracks."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import numpy as np
import pytest
from videosdk.agents import BackgroundAudioHandlerConfig
from videosdk.agents.utils import AgentState
from videosdk_fakes import ANSWER, FRAME, RATE, WORD, Call, calling, ramp, settle, until

from playback import State
from playback.integrations.videosdk import CustomAudioStreamTrack, MixingCustomAudioStreamTrack
from playback.report import Outcome

FADE_FRAMES = 3
"""What an interrupt leaves to hear: 60 ms."""
RAMP = 120
"""Samples of a pause's ramp, and of a resume's: 5 ms."""
TURN_FRAMES = 10 * WORD // FRAME


async def test_a_turn_to_its_end(call: Call) -> None:
    await call.ask()
    heard = await call.play(TURN_FRAMES - 1)
    assert "last_audio_byte" not in call.emitted
    assert call.session.agent_state is AgentState.SPEAKING
    heard = np.concatenate([heard, await call.play(1)])
    assert heard.tolist() == ramp(10 * WORD, 0).tolist()
    assert call.emitted == [
        "synthesis_started",
        "first_audio_byte",
        "last_audio_byte",
    ]  # with the last frame, not after
    assert call.session.agent_state is AgentState.IDLE
    await until(lambda: call.history == [("user", "hello there", False), ("assistant", ANSWER, False)])
    await call.play(50)
    assert call.emitted.count("last_audio_byte") == 1


async def test_a_turn_whose_synthesis_pauses_for_long(call: Call) -> None:
    call.tts.words_at_once = 2
    await call.ask()
    await call.play(2 * WORD // FRAME + 40)  # no audio for 0.8 s
    assert "last_audio_byte" not in call.emitted
    assert not call.track.is_speaking
    call.tts.words_at_once = None
    call.tts.go_on.set()
    await settle()
    await call.play(8 * WORD // FRAME)
    assert call.emitted.count("last_audio_byte") == 1
    assert call.track.snapshot_playback() == (10 * WORD, 10 * WORD)


async def test_an_interruption_in_mid_word(call: Call) -> None:
    await call.ask()
    await call.play(22)  # 440 ms: four words, and a part of the fifth
    await call.barge_in()
    assert call.history[-1] == ("assistant", "one two six ten", True)
    assert call.track.snapshot_playback() == (22 * FRAME, 10 * WORD)
    assert not call.track.is_speaking
    tail = await call.play(FADE_FRAMES)
    assert tail.any()
    assert not (await call.play(30)).any()
    assert "last_audio_byte" not in call.emitted


async def test_the_words_of_the_user_interrupt(call: Call) -> None:
    await call.ask()
    await call.play(22)
    await call.stt.hear("no wait stop", final=False)
    await until(lambda: call.history[-1][2])
    assert call.history[-1] == ("assistant", "one two six ten", True)
    await call.ask("something else")
    heard = await call.play(TURN_FRAMES)
    assert [said for _, said, _ in call.history[2:]] == ["something else", ANSWER]
    assert heard[FADE_FRAMES * FRAME :].tolist() == ramp(10 * WORD, 10 * WORD)[FADE_FRAMES * FRAME :].tolist()


async def test_a_false_interruption_loses_no_sample() -> None:
    async with calling(CustomAudioStreamTrack(), resumes=True) as call:
        await call.ask()
        before = await call.play(22)
        await call.vad.hear(True)
        await until(lambda: call.track._is_paused)
        ramp_down = await call.play(5)
        assert not ramp_down[RAMP:].any()
        assert call.track.snapshot_playback() == (22 * FRAME, 10 * WORD)
        await call.vad.hear(False)
        await until(lambda: not call.track._is_paused)
        after = await call.play(TURN_FRAMES - 22)
        source = ramp(10 * WORD, 0)
        assert before.tolist() == source[: 22 * FRAME].tolist()
        assert after[RAMP:].tolist() == source[22 * FRAME + RAMP :].tolist()  # the ramp up is the very next samples
        assert after[1:RAMP].all()
        assert call.emitted.count("last_audio_byte") == 1
        assert [(report.played, report.discarded) for report in call.reports] == [(10 * WORD, 0)]


async def test_an_interruption_during_a_pause() -> None:
    async with calling(CustomAudioStreamTrack(), resumes=True, doubt_seconds=20.0) as call:
        await call.ask()
        await call.play(22)
        await call.vad.hear(True)
        await until(lambda: call.track._is_paused)
        await call.play(5)
        await call.stt.hear("no wait stop", final=False)  # it was no cough
        await until(lambda: call.history[-1][2])
        assert call.history[-1] == ("assistant", "one two six ten", True)
        assert not (await call.play(30)).any()
        await call.vad.hear(False)
        await call.ask()
        assert (await call.play(TURN_FRAMES)).all()
        assert call.emitted.count("last_audio_byte") == 1


async def test_an_interruption_before_the_first_sample(call: Call) -> None:
    call.tts.words_at_once = 0
    await call.ask()
    await call.barge_in()
    assert not (await call.play(30)).any()
    assert call.track.snapshot_playback() == (0, 0)
    assert call.history[-1][2]  # as the framework has it: with nothing played, it keeps what the model has said
    call.tts.words_at_once = None
    await call.ask()
    assert (await call.play(TURN_FRAMES)).all()
    assert call.emitted[-1] == "last_audio_byte"


async def test_three_barge_ins_in_a_row(call: Call) -> None:
    for turn in range(3):
        await call.ask()
        heard = await call.play(22)
        assert (
            heard[FADE_FRAMES * FRAME :].tolist() == ramp(22 * FRAME, turn * 10 * WORD)[FADE_FRAMES * FRAME :].tolist()
        )
        await call.barge_in()
        assert call.history[-1] == ("assistant", "one two six ten", True)
        assert len(np.flatnonzero(await call.play(30))) <= FADE_FRAMES * FRAME
    assert call.emitted.count("last_audio_byte") == 0
    assert [report.outcome for report in call.reports] == [Outcome.INTERRUPTED] * 3


async def test_a_late_chunk_after_an_interruption(call: Call) -> None:
    refused = []
    call.track.controller.on("audio_refused", refused.append)
    await call.ask()
    await call.play(22)
    await call.barge_in()
    await call.tts.word()
    assert [event.samples for event in refused] == [WORD]
    await call.play(FADE_FRAMES)
    assert not (await call.play(30)).any()
    await call.ask()
    assert (await call.play(TURN_FRAMES)).tolist() == ramp(10 * WORD, 11 * WORD).tolist()


async def test_a_synthesizer_that_does_not_stop(call: Call) -> None:
    """The mark of an interrupted turn comes when the user has long been heard; the next turn waits for it."""
    call.tts.deaf = True
    call.tts.words_at_once = 5
    said = asyncio.create_task(call.session.say("one two six ten and off her way out now"))
    await until(lambda: call.tts.words_at_once == 0)
    await call.play(5)
    await call.pipeline.orchestrator.interrupt()
    call.tts.words_at_once = None
    call.tts.go_on.set()
    async with asyncio.timeout(5):
        await said
    await call.play(FADE_FRAMES)
    assert not (await call.play(30)).any()


async def test_two_turns_queued(call: Call) -> None:
    first = asyncio.create_task(call.session.say("one two"))
    second = asyncio.create_task(call.session.say("six ten"))
    await until(lambda: call.tts.pushed == 4 * WORD)
    await settle()
    heard = await call.play(2 * WORD // FRAME)
    assert call.emitted.count("last_audio_byte") == 1
    assert call.track.snapshot_playback() == (0, 2 * WORD)  # the second one's, of which nothing was heard yet
    heard = np.concatenate([heard, await call.play(2 * WORD // FRAME)])
    assert heard.tolist() == ramp(4 * WORD, 0).tolist()
    assert call.emitted.count("last_audio_byte") == 2
    async with asyncio.timeout(5):
        assert (await first).done()
        assert (await second).done()


async def test_a_turn_without_words(call: Call) -> None:
    call.llm.answer = ""
    await call.ask()
    await until(lambda: "last_audio_byte" in call.emitted)
    assert not (await call.play(20)).any()
    assert call.session.agent_state is AgentState.IDLE


@pytest.mark.parametrize("samples", [1, 100, FRAME - 1, FRAME, FRAME + 1])
async def test_a_turn_of_few_samples(call: Call, samples: int) -> None:
    audio = ramp(samples)
    saying = asyncio.create_task(call.session.say("hm", audio_data=audio.tobytes()))
    await until(lambda: call.track.snapshot_playback()[1])
    heard = await call.play(2)
    assert heard[:samples].tolist() == audio.tolist()
    assert not heard[samples:].any()
    async with asyncio.timeout(5):
        assert (await saying).done()
    assert call.emitted.count("last_audio_byte") == 1


async def test_a_turn_of_no_samples(call: Call) -> None:
    async with asyncio.timeout(5):
        assert (await call.session.say("", audio_data=b"")).done()


async def test_audio_that_is_interrupted_while_it_is_said(call: Call) -> None:
    chunk = asyncio.Event()

    async def chunks():
        yield ramp(10 * FRAME).tobytes()
        await chunk.wait()
        yield ramp(10 * FRAME).tobytes()

    saying = asyncio.create_task(call.session.say("one two", audio_data=chunks()))
    await until(lambda: call.track.snapshot_playback()[1])
    await call.play(5)
    call.session.current_utterance.interrupt()
    chunk.set()
    async with asyncio.timeout(5):
        assert (await saying).interrupted
    assert len(np.flatnonzero(await call.play(30))) <= FADE_FRAMES * FRAME


async def test_shutdown_while_speaking(call: Call) -> None:
    await call.ask()
    await call.play(22)
    await call.session.close()
    await call.track.cleanup()
    assert call.track.readyState == "ended"
    assert call.track.controller.state is State.CLOSED
    assert [report.outcome for report in call.reports] == [Outcome.INTERRUPTED]
    assert call.reports[0].played == 22 * FRAME
    await call.track.cleanup()


ALONE = {299, 300}
"""The background's level, with nothing above it."""


def background_file(path: Path, level: int = 300) -> str:
    """Two seconds of a constant level, so that it can be recognized wherever it sounds."""
    with wave.open(str(path / "background.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.full(2 * RATE, level, np.int16).tobytes())
    return str(path / "background.wav")


async def test_background_audio_through_it_all(tmp_path: Path) -> None:
    pushed = 0

    class Counting(MixingCustomAudioStreamTrack):
        async def add_background_bytes(self, audio_data: bytes) -> None:
            nonlocal pushed
            pushed += len(audio_data) // 2
            await super().add_background_bytes(audio_data)

    track = Counting()
    async with calling(track, resumes=True, doubt_seconds=20.0) as call:
        assert call.session.is_background_audio_enabled
        config = BackgroundAudioHandlerConfig(background_file(tmp_path), mode="mixing", looping=True)
        await call.session.play_background_audio(config, override_thinking=True)

        levels: list[int] = []  # the lowest one in each frame

        async def pull() -> None:
            """The framework's player keeps time, and its audio is read as it comes: a busy machine makes no gap."""
            while True:
                await until(lambda: pushed >= (len(levels) + 1) * FRAME)
                levels.append(int(np.abs(track.controller.read(FRAME)).min()))

        async def next_frames(count: int, after: int = 0) -> set[int]:
            begin = len(levels) + after
            await until(lambda: len(levels) >= begin + count)
            return set(levels[begin : begin + count])

        pulling = asyncio.create_task(pull())
        assert await next_frames(3, after=5) <= ALONE
        await call.ask()
        await next_frames(3)
        await call.vad.hear(True)
        await until(lambda: track._is_paused)
        assert await next_frames(3, after=2) <= ALONE  # the speech is held, the background is not
        await call.barge_in_words()
        assert await next_frames(3, after=FADE_FRAMES + 1) <= ALONE
        assert 0 not in levels[2:]
        pulling.cancel()
        await call.session.stop_background_audio()
        await call.play(10)
        assert not (await call.play(3)).any()


async def test_without_a_mixing_track_there_is_no_background(call: Call) -> None:
    assert not call.session.is_background_audio_enabled
