"""The framework's own session, with an audio output of ours: what is heard, and what its history says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc
from livekit.agents.voice.io import TextOutput
from livekit.agents.voice.transcription.synchronizer import TranscriptSynchronizer
from livekit_fakes import FRAME, RATE, WORD, Synthesizer, WholeText, audio_frame, calling, level, turns, until

from playback import AudioFormat, PlaybackController
from playback.integrations.livekit import PlaybackAudioOutput
from playback.sinks.recorder import RecorderSink
from playback.track import PlaybackTrack
from playback.words import Word

ANSWER = "Your table is booked for eight."
WORDS = ANSWER.split()
MARKER = RATE // 100
"""Silence that the framework adds to a streamed synthesis."""


def words(first: int, count: int) -> dict[int, int]:
    """The levels of so many whole words."""
    return {level(number): WORD for number in range(first, first + count)}


async def test_a_turn_to_its_end():
    async with calling(ANSWER) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.play_out(speech)
        assert call.said == [(ANSWER, False)]
        assert call.levels == words(0, 6)
        assert [name for name, _ in call.emitted] == ["playback_started", "playback_progressed", "playback_finished"]
        assert call.finished[0].playback_position == pytest.approx(0.61)
        assert call.session.agent_state == "listening"


async def test_an_interruption_in_mid_word():
    async with calling(ANSWER) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.32)  # and one frame before: 340 ms
        speech.interrupt()
        await call.play_out(speech)
        assert call.said == [("Your table is", True)]
        assert [event.interrupted for event in call.finished] == [True]
        heard = sum(call.levels.values())
        assert call.finished[0].playback_position == heard / RATE
        assert call.finished[0].synchronized_transcript == "Your table is"
        assert call.levels == {**words(0, 3), level(3): heard - 3 * WORD}


async def test_an_interruption_may_let_the_word_end():
    async with calling(ANSWER) as call:
        call.output._interrupt_at = "word"
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.32)
        speech.interrupt()
        await call.play_out(speech)
        assert call.said == [("Your table is booked", True)]
        assert [event.interrupted for event in call.finished] == [True]
        assert call.finished[0].playback_position == pytest.approx(0.4)
        assert call.finished[0].synchronized_transcript == "Your table is booked"
        assert call.levels == words(0, 4)


async def test_a_user_who_interrupts_and_says_something():
    async with calling(ANSWER, "Nine it is.", user=True, false_interruption_timeout=5.0) as call:
        call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.2)
        call.microphone.hear(0.6, speech=True)
        await until(lambda: call.controller.state == "paused")
        assert not call.finished  # the framework does not know yet what it was
        call.recognizer.said.put_nowait("No, at nine.")
        call.microphone.hear(0.3, speech=False)
        await until(lambda: call.finished)
        await call.listen_until(lambda: len(call.finished) == 2)
        await until(lambda: len(call.said) == 2)
        assert call.said == [("Your table", True), ("Nine it is.", False)]


async def test_a_false_interruption_pauses_and_goes_on_with_no_sample_lost():
    emitted = []
    async with calling(ANSWER, user=True, false_interruption_timeout=0.05) as call:
        call.session.on("agent_false_interruption", emitted.append)
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.2)
        call.microphone.hear(0.6, speech=True)
        await until(lambda: call.controller.state == "paused")
        await call.listen(1.0)
        assert sum(call.levels.values()) < 3 * WORD
        call.microphone.hear(0.3, speech=False)
        await until(lambda: call.controller.state == "speaking")
        await call.play_out(speech)
        assert [event.resumed for event in emitted] == [True]
        assert call.levels == words(0, 6)
        assert call.said == [(ANSWER, False)]
        assert [event.interrupted for event in call.finished] == [False]
        assert [name for name, _ in call.emitted].count("playback_started") == 1


async def test_three_false_interruptions_in_one_turn():
    async with calling(ANSWER, user=True, false_interruption_timeout=0.02) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        for _ in range(3):
            await call.listen(0.1)
            call.microphone.hear(0.6, speech=True)
            await until(lambda: call.controller.state == "paused")
            await call.listen(0.2)
            call.microphone.hear(0.3, speech=False)
            await until(lambda: call.controller.state == "speaking")
        await call.play_out(speech)
        assert call.levels == words(0, 6)
        assert call.said == [(ANSWER, False)]


async def test_after_a_false_interruption_it_may_go_on_at_the_word_that_was_cut():
    async with calling(ANSWER, user=True, false_interruption_timeout=0.02) as call:
        call.output._resume_to_word = True
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.24)  # into "is"
        call.microphone.hear(0.6, speech=True)
        await until(lambda: call.controller.state == "paused")
        call.microphone.hear(0.3, speech=False)
        await until(lambda: call.controller.state == "speaking")
        await call.play_out(speech)
        levels = call.levels
        assert levels.pop(level(2)) > WORD  # the word that was cut sounds again
        assert levels == {value: count for value, count in words(0, 6).items() if value != level(2)}
        assert call.finished[0].playback_position == pytest.approx(0.61)  # each sample counts once


async def test_two_turns_are_queued():
    async with calling() as call:
        speeches = call.session.say("One two."), call.session.say("Three four.")
        await call.play_out(*speeches)
        assert call.said == [("One two.", False), ("Three four.", False)]
        assert call.levels == words(0, 4)
        assert len(call.finished) == 2


async def samples(*counts: int) -> AsyncIterator[rtc.AudioFrame]:
    for count in counts:
        yield audio_frame(count)


@pytest.mark.parametrize("counts", [(), (0,), (1,), (71,), (FRAME - 1,), (100, 0, 100)])
async def test_a_turn_that_is_empty_or_shorter_than_a_frame(counts):
    async with calling() as call:
        speech = call.session.say("Hm.", audio=samples(*counts))
        following = call.session.say("One.")
        await call.play_out(speech, following)
        assert call.levels.pop(1_000) - WORD == sum(counts)
        assert [round(event.playback_position * RATE) for event in call.finished] == (
            [sum(counts)] * bool(counts) + [WORD + MARKER]
        )
        assert call.session.agent_state == "listening"


async def test_an_interruption_before_the_first_sample():
    async with calling(ANSWER) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await until(lambda: call.controller.buffered)
        speech.interrupt()
        await until(speech.done)
        await call.listen(0.1)
        assert call.levels == {}
        assert call.said == []
        assert [(event.playback_position, event.interrupted) for event in call.finished] == [(0.0, True)]


async def test_an_interruption_while_it_is_synthesized():
    gate = asyncio.Semaphore(3)
    async with calling(ANSWER, "Two words.", synthesizer=Synthesizer(gate=gate)) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.finished or call.controller.stats.underruns)
        speech.interrupt()
        for _ in range(10):
            gate.release()  # the rest comes late
        await call.play_out(speech)
        await call.listen(0.5)
        assert call.levels == words(0, 3)
        assert call.said == [("Your table is", True)]
        speech = call.session.generate_reply(user_input="Go on.")
        await call.play_out(speech)
        assert call.said[1:] == [("Two words.", False)]


async def test_an_interruption_during_a_pause():
    async with calling(ANSWER, "Nine it is.") as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.2)
        call.output.pause()
        await call.listen(0.2)
        before = dict(call.levels)
        speech.interrupt()
        await until(speech.done)
        await call.listen(0.2)
        assert call.levels == before
        assert call.controller.state == "paused"
        assert call.said == [("Your table", True)]
        speech = call.session.generate_reply(user_input="At nine.")  # the framework resumes before it speaks
        await call.play_out(speech)
        assert call.said[1:] == [("Nine it is.", False)]


async def test_three_barge_ins_in_a_row():
    async with calling(ANSWER, ANSWER, ANSWER, "Good.") as call:
        for number in range(3):
            speech = call.session.generate_reply(user_input="Wait.")
            await call.listen_until(lambda number=number: len(call.emitted) > 3 * number)
            await call.listen(0.12)
            speech.interrupt()
            await call.play_out(speech)
        speech = call.session.generate_reply(user_input="Now.")
        await call.play_out(speech)
        assert call.said == [("Your", True)] * 3 + [("Good.", False)]
        assert [event.interrupted for event in call.finished] == [True, True, True, False]


async def test_what_may_not_be_interrupted_goes_on():
    async with calling() as call:
        speech = call.session.say("This call is recorded.", allow_interruptions=False)
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        with pytest.raises(RuntimeError):
            speech.interrupt()
        await call.play_out(speech)
        assert call.levels == words(0, 4)


async def test_background_through_all_of_it():
    async with calling(ANSWER, user=True, false_interruption_timeout=0.02) as call:
        call.controller.background.duck_db = 0.0
        call.controller.background.add(np.full(RATE, 7, np.int16), gain_db=0.0, fade_seconds=0.0)
        await call.listen(0.2)
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        call.microphone.hear(0.6, speech=True)
        await until(lambda: call.controller.state == "paused")
        await call.listen(0.2)
        call.microphone.hear(0.3, speech=False)
        await until(lambda: call.controller.state == "speaking")
        await call.listen(0.2)
        speech.interrupt()
        await call.play_out(speech)
        await call.listen(0.2)
        audio = np.concatenate(call.heard)
        assert (audio % 100 == 7).all()
        assert call.finished[0].playback_position == sum(audio > 7) / RATE


async def test_shutdown_while_speaking():
    async with calling(ANSWER) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.12)
        await asyncio.wait_for(call.session.aclose(), 5)
        assert speech.done()
        assert call.said == [("Your", True)]
        assert [event.interrupted for event in call.finished] == [True]
        await call.listen(0.2)
        assert sum(call.levels.values()) / RATE == call.finished[0].playback_position


async def test_the_peer_hangs_up_while_it_speaks():
    async with calling(ANSWER, ANSWER) as call:
        track = PlaybackTrack(call.controller)
        speech = call.session.generate_reply(user_input="Is there a table?")
        await until(lambda: call.controller.buffered)
        for _ in range(3):
            await track.recv()
        track.stop()
        await until(speech.done)
        assert [event.interrupted for event in call.finished] == [True]
        speech = call.session.generate_reply(user_input="Are you there?")  # nobody hears it, and nobody waits
        await until(speech.done)
        assert [event.playback_position for event in call.finished][1:] == [0.0]
        await asyncio.wait_for(call.session.aclose(), 5)


async def test_it_plays_in_real_time_into_a_track():
    async with calling("One two.") as call:
        track = PlaybackTrack(call.controller)
        speech = call.session.generate_reply(user_input="Count.")
        frames = []
        while not speech.done():
            frames.append((await track.recv()).to_ndarray())
        assert np.count_nonzero(np.concatenate(frames, axis=1)) == 2 * WORD
        track.stop()


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 2), (44_100, 1)])
async def test_a_synthesizer_of_another_rate(rate, channels):
    synthesizer = Synthesizer(rate=rate, channels=channels, word_samples=rate // 10)
    async with calling(ANSWER, synthesizer=synthesizer) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.22)
        speech.interrupt()
        await call.play_out(speech)
        assert call.said == [("Your table", True)]
        assert call.finished[0].playback_position == sum(audio.any() * len(audio) for audio in call.heard) / RATE


async def test_without_the_times_of_words_the_synchronizer_of_the_framework_says_what_was_heard():
    """It goes by the wall clock, so this one does, too."""

    def synchronized(session, output):
        synchronizer = TranscriptSynchronizer(next_in_chain_audio=output, next_in_chain_text=None)
        session.output.transcription = synchronizer.text_output
        return synchronizer.audio_output

    answer = " ".join(["Your table is booked for eight."] * 3)
    async with calling(answer, synthesizer=Synthesizer(aligned=False), wrap=synchronized) as call:
        track = PlaybackTrack(call.controller)
        speech = call.session.generate_reply(user_input="Is there a table?")
        await until(lambda: call.controller.buffered)
        for _ in range(50):
            await track.recv()
        speech.interrupt()
        await until(speech.done)
        track.stop()
        # Ten words were heard; how good the estimate is depends on the machine.
        assert all(interrupted and answer.startswith(said) for said, interrupted in call.said)
        assert [event.interrupted for event in call.finished] == [True]


async def test_a_recorder_of_its_own(tmp_path: Path):
    """The framework records in rooms alone; the controller's recorder hears what the call hears."""
    path = tmp_path / "call.wav"
    async with calling("One two.") as call:
        recorder = RecorderSink(str(path))
        call.controller.sinks.add(recorder, when="played")
        speech = call.session.generate_reply(user_input="Count.")
        await call.play_out(speech)
        await asyncio.to_thread(recorder.close)
    assert path.stat().st_size > 2 * WORD


async def test_words_whose_times_are_odd_break_nothing():
    from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT, TimedString

    async def audio() -> AsyncIterator[rtc.AudioFrame]:
        odd = [TimedString("One ", start_time=-0.1, end_time=-0.2), TimedString("two "), "three"]
        odd.append(TimedString("four ", start_time=0.5, end_time=0.1))
        odd.append(TimedString("five ", start_time=float("inf"), end_time=float("nan")))
        odd.append(TimedString("six ", start_time=float("nan"), end_time=float("inf")))
        for word in odd:
            frame = audio_frame(WORD)
            frame.userdata[USERDATA_TIMED_TRANSCRIPT] = [word]
            yield frame

    async with calling() as call:
        speech = call.session.say("One two three four.", audio=audio())
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.14)
        speech.interrupt()
        await call.play_out(speech)
        assert call.said == [("One", True)]
        speech = call.session.say("All of it.", audio=audio())
        await call.play_out(speech)
        assert call.finished[1].playback_position == 6 * WORD / RATE


async def test_with_its_fades_it_is_heard_to_stop_within_60_ms():
    controller = PlaybackController(AudioFormat(RATE))
    async with calling(ANSWER, controller=controller) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.1)
        speech.interrupt()
        await until(speech.done)
        await turns()
        call.heard.clear()
        await call.listen(0.2)
        assert 0 < np.flatnonzero(np.concatenate(call.heard))[-1] < 0.06 * RATE


async def test_of_a_synthesizer_that_does_not_stream_whole_sentences_are_known():
    async with calling(synthesizer=WholeText()) as call:
        speech = call.session.say("The first sentence is this. And this is the second sentence.")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen_until(lambda: len(call.levels) == 8)
        speech.interrupt()
        await call.play_out(speech)
        assert call.said == [("The first sentence is this.", True)]


async def test_with_no_times_at_all_the_framework_writes_down_the_whole_text():
    async with calling(synthesizer=Synthesizer(aligned=False)) as call:
        speech = call.session.say(ANSWER)
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.2)
        speech.interrupt()
        await call.play_out(speech)
        assert call.said == [(ANSWER, True)]


def with_text(session, output):
    """The session's text goes through the output, too."""
    session.output.transcription = output.transcription()
    return output


@pytest.mark.parametrize("frames", [10, 40, 75, 120])
async def test_without_the_times_of_words_what_was_heard_is_estimated(frames: int):
    """The synthesizer gives all words the same length, so short and long ones put the estimate off by a word or two."""
    answer = " ".join(["Your table is booked for eight."] * 5)
    async with calling(answer, synthesizer=Synthesizer(aligned=False), wrap=with_text) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await until(lambda: call.controller.buffered / RATE >= 2.8)
        await call.listen(frames * 0.02)
        speech.interrupt()
        await call.play_out(speech)
        [(said, interrupted)] = call.said
        assert interrupted
        assert answer.startswith(said)
        assert len(said.split()) == pytest.approx(frames / 5, abs=2)


async def test_what_the_model_writes_goes_on_in_the_chain_and_stays_whole():
    class Kept(TextOutput):
        def __init__(self) -> None:
            super().__init__(label="kept", next_in_chain=None)
            self.texts = [""]

        async def capture_text(self, text: str) -> None:
            self.texts[-1] += text

        def flush(self) -> None:
            self.texts.append("")

    kept = Kept()

    def chained(session, output):
        session.output.transcription = output.transcription(kept)
        return output

    async with calling("One two.", "Three four.", synthesizer=Synthesizer(aligned=False), wrap=chained) as call:
        for question in ("Count.", "Go on."):
            speech = call.session.generate_reply(user_input=question)
            await call.play_out(speech)
        assert call.said == [("One two.", False), ("Three four.", False)]
        assert [text.strip() for text in kept.texts if text] == ["One two.", "Three four."]
        assert [event.synchronized_transcript.strip() for event in call.finished] == ["One two.", "Three four."]


async def test_with_a_text_words_with_times_are_exact_as_they_are_without():
    async with calling(ANSWER, wrap=with_text) as call:
        speech = call.session.generate_reply(user_input="Is there a table?")
        await call.listen_until(lambda: call.session.agent_state == "speaking")
        await call.listen(0.32)
        speech.interrupt()
        await call.play_out(speech)
        assert call.said == [("Your table is", True)]


async def test_an_aligner_is_waited_for():
    class Levels:
        """Finds the words by their levels, which differ here."""

        def align(self, text, audio, format):
            samples = np.frombuffer(audio, np.int16)
            size = format.samples(0.1)
            count = len(samples) // size
            spoken = text.split()[: count + 1]
            return [
                Word(word, number * 0.1, (number + 1) * 0.1 if number < count else None)
                for number, word in enumerate(spoken)
            ]

    controller = PlaybackController(AudioFormat(RATE), word_timing=Levels(), late_words_seconds=10.0)
    output = PlaybackAudioOutput(controller)
    transcription = output.transcription()
    finished = []
    output.on("playback_finished", finished.append)
    await transcription.capture_text(ANSWER)
    transcription.flush()
    for number in range(6):
        await output.capture_frame(audio_frame(WORD, level(number)))
    controller.read(WORD * 3 + WORD // 2)
    output.clear_buffer()
    event = await output.wait_for_playout()
    assert (event.synchronized_transcript, event.interrupted) == ("Your table is", True)
    assert len(finished) == 1


async def test_text_without_audio_belongs_to_no_later_segment():
    output = PlaybackAudioOutput(PlaybackController(AudioFormat(RATE)))
    transcription = output.transcription()
    await transcription.capture_text("Nobody says this.")
    transcription.flush()
    output.clear_buffer()
    await output.capture_frame(audio_frame(WORD))
    assert output.controller.head is not None
    assert output.controller.head.text is None
    await transcription.capture_text("But ")
    await transcription.capture_text("this.")
    assert output.controller.head.text == "But this."
