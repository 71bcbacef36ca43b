"""Turns of a conversation in the real framework: the context holds exactly what was heard."""

import asyncio

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotSpeakingFrame,
    BotStoppedSpeakingFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from pipecat.utils.text.base_text_aggregator import TextType
from pipecat_fakes import RATE, WORD_SECONDS, Conversation, conversation, settle, until

from playback import Fades
from playback.integrations.pipecat import PlaybackPauseFrame, PlaybackResumeFrame

TABLE = "Your table is booked for eight."
WORDS = len(TABLE.split())


def all_audio(talk: Conversation, words: int = WORDS) -> np.ndarray:
    """What the synthesizer makes of so many words."""
    return np.frombuffer(b"".join(talk.tts.audio(number) for number in range(words)), np.int16)


def late(talk: Conversation, seconds: float = 0.5) -> TTSAudioRawFrame:
    """A chunk of the last context, that comes late."""
    return TTSAudioRawFrame(talk.tts.audio(50, seconds), RATE, 1, context_id=talk.tts.contexts[-1])


async def test_a_turn_to_its_end() -> None:
    async with conversation(TABLE) as talk:
        await talk.ask(buffered=WORDS * WORD_SECONDS)
        assert talk.messages == []  # all of it is synthesized, nothing was heard
        heard = await talk.read(1.0)
        assert talk.messages == []  # the turn is not over
        assert [frame.text for frame in talk.below.down if isinstance(frame, TTSTextFrame)] == TABLE.split()[:5]
        heard = np.concatenate([heard, await talk.read(0.4)])
        assert talk.messages == [TABLE]
        np.testing.assert_array_equal(heard[: WORDS * 4800], all_audio(talk))
        np.testing.assert_array_equal(talk.below.audio(), all_audio(talk))  # what recorders get
        assert talk.below.speaking == [True, False]
        kinds = (BotStoppedSpeakingFrame, TTSStoppedFrame, LLMFullResponseEndFrame, TTSTextFrame)
        assert talk.below.names(*kinds)[-4:] == ["TTSTextFrame"] + [kind.__name__ for kind in kinds[:3]]


async def test_what_the_framework_above_hears() -> None:
    async with conversation(TABLE) as talk:
        await talk.ask(buffered=1.2)
        await talk.read(1.3)
        up = [type(frame).__name__ for frame in talk.above.up if type(frame).__name__.startswith(("Bot", "OutputT"))]
        assert up[:2] == ["OutputTransportReadyFrame", "BotStartedSpeakingFrame"]
        assert up[-1] == "BotStoppedSpeakingFrame"
        assert up.count("BotSpeakingFrame") == 6  # five in a second
        down = [frame for frame in talk.below.down if isinstance(frame, BotSpeakingFrame)]
        siblings = [frame.broadcast_sibling_id for frame in talk.above.up if isinstance(frame, BotSpeakingFrame)]
        assert siblings == [frame.id for frame in down]


async def test_an_interruption_in_mid_word() -> None:
    async with conversation(TABLE, "Yes.") as talk:
        await talk.ask(buffered=1.2)
        await talk.read(0.7)  # three words, and half of the fourth
        await talk.interrupt()
        assert talk.messages == ["Your table is"]
        assert talk.controller.buffered == 0
        assert talk.below.speaking == [True, False]
        assert not (await talk.read(0.5)).any()
        await talk.ask(buffered=0.2)
        await talk.read(0.3)
        assert talk.messages == ["Your table is", "Yes."]
        assert talk.llm.asked[1][1] == {"role": "assistant", "content": "Your table is"}


async def test_the_report_knows_what_was_heard() -> None:
    async with conversation(TABLE) as talk:
        reports = []
        talk.controller.on("utterance_finished", lambda event: reports.append(event.report))
        await talk.ask(buffered=1.2)
        await talk.read(0.7)
        await talk.interrupt()
        assert [(report.heard, report.played) for report in reports] == [("Your table is", 16_800)]


async def test_a_false_interruption_loses_no_sample() -> None:
    async with conversation(TABLE) as talk:
        await talk.ask(buffered=1.2)
        first = await talk.read(0.5)
        await talk.queue(PlaybackPauseFrame())
        assert talk.controller.state == "paused"
        assert not (await talk.read(1.0)).any()
        assert talk.messages == []
        assert talk.below.speaking == [True]  # the bot still has the floor
        await talk.queue(PlaybackResumeFrame())
        second = await talk.read(0.8)
        np.testing.assert_array_equal(np.concatenate([first, second])[: WORDS * 4800], all_audio(talk))
        np.testing.assert_array_equal(talk.below.audio(), all_audio(talk))
        assert talk.messages == [TABLE]


async def test_words_do_not_run_ahead_in_a_pause() -> None:
    async with conversation(TABLE) as talk:
        await talk.ask(buffered=1.2)
        await talk.read(0.5)
        await talk.queue(PlaybackPauseFrame())
        await asyncio.sleep(0.8)  # the clock of the framework goes on
        await talk.interrupt()
        assert talk.messages == ["Your table"]
        assert talk.controller.state in ("idle", "interrupted")  # the pause is over


async def test_resume_at_the_word_that_was_cut() -> None:
    async with conversation(TABLE) as talk:
        await talk.ask(buffered=1.2)
        await talk.read(0.5)  # half of the third word
        await talk.queue(PlaybackPauseFrame())
        await talk.queue(PlaybackResumeFrame(to_word=True))
        heard = await talk.read(0.2)
        assert set(heard) == {1_200}
        await talk.queue(PlaybackPauseFrame(), PlaybackResumeFrame(rewind_seconds=0.2))
        assert set(await talk.read(0.2)) == {1_200}


async def test_a_pause_before_the_answer_holds_it() -> None:
    async with conversation(TABLE) as talk:
        await talk.queue(PlaybackPauseFrame())
        await talk.ask(buffered=1.2)
        assert not (await talk.read(0.5)).any()
        assert talk.below.speaking == []
        await talk.queue(PlaybackResumeFrame())
        await talk.read(1.3)
        assert talk.messages == [TABLE]


async def test_two_turns_queued() -> None:
    async with conversation("One two.", "Three four.") as talk:
        await talk.ask(buffered=0.4)
        await talk.ask(buffered=0.8)
        await talk.read(0.5)
        assert talk.messages == ["One two."]
        assert talk.below.speaking == [True, False, True]
        await talk.read(0.3)
        assert talk.messages == ["One two.", "Three four."]
        starts = talk.below.names(LLMFullResponseStartFrame, LLMFullResponseEndFrame, TTSTextFrame)
        turn = ["LLMFullResponseStartFrame", "TTSTextFrame", "TTSTextFrame", "LLMFullResponseEndFrame"]
        assert starts == turn + turn


async def test_two_turns_queued_and_the_second_one_interrupted() -> None:
    async with conversation("One two.", "Three four.") as talk:
        await talk.ask(buffered=0.4)
        await talk.ask(buffered=0.8)
        await talk.read(0.64)
        await talk.interrupt()
        assert talk.messages == ["One two.", "Three"]


@pytest.mark.parametrize("samples", [0, 1, 100, 479, 481])
async def test_a_turn_that_is_empty_or_shorter_than_a_frame(samples: int) -> None:
    async with conversation("Hello.") as talk:
        audio = TTSAudioRawFrame(np.full(samples, 7, np.int16).tobytes(), RATE, 1, context_id="short")
        await talk.queue(TTSStartedFrame(context_id="short"), audio, TTSStoppedFrame(context_id="short"))
        heard = await talk.read(0.06)
        assert (heard == 7).sum() == samples
        assert talk.below.speaking == ([True, False] if samples else [])
        assert talk.below.names(TTSStoppedFrame) == ["TTSStoppedFrame"]
        await talk.ask(buffered=0.2)  # and nothing waits for it
        await talk.read(0.24)
        assert talk.messages == ["Hello."]


async def test_an_interruption_before_the_first_sample() -> None:
    async with conversation(TABLE, "Yes.") as talk:
        await talk.ask(buffered=1.2)
        await talk.interrupt()
        assert talk.messages == []
        assert not (await talk.read(0.5)).any()
        assert talk.below.speaking == []
        await talk.ask(buffered=0.2)
        await talk.read(0.24)
        assert talk.messages == ["Yes."]


async def test_an_interruption_between_the_start_of_a_context_and_its_audio() -> None:
    async with conversation() as talk:
        await talk.queue(TTSStartedFrame(context_id="early"))
        await talk.interrupt()
        await talk.queue(TTSAudioRawFrame(bytes(b"\x01\x01" * 4_800), RATE, 1, context_id="early"))
        assert not (await talk.read(0.3)).any()
        assert talk.controller.stats.refused_samples == 4_800


async def test_an_interruption_during_a_pause() -> None:
    async with conversation(TABLE, "Yes.") as talk:
        await talk.ask(buffered=1.2)
        await talk.read(0.4)
        await talk.queue(PlaybackPauseFrame())
        await talk.read(0.2)
        await talk.interrupt()
        assert talk.messages == ["Your table"]
        assert talk.below.speaking == [True, False]
        await talk.ask(buffered=0.2)
        await talk.read(0.24)
        assert talk.messages == ["Your table", "Yes."]


async def test_three_barge_ins_in_a_row() -> None:
    async with conversation(TABLE, TABLE, TABLE) as talk:
        for number in range(3):
            await talk.ask(buffered=1.2)
            await talk.read(0.2 * (number + 1) + 0.1)
            await talk.interrupt()
            await talk.interrupt()  # again, with nothing left
            await talk.read(0.1)
        assert talk.messages == ["Your", "Your table", "Your table is"]
        assert talk.below.speaking == [True, False] * 3
        assert talk.below.names(InterruptionFrame) == ["InterruptionFrame"] * 6


async def test_a_late_chunk_is_refused() -> None:
    async with conversation(TABLE, "Yes.") as talk:
        await talk.ask(buffered=1.2)
        await talk.read(0.3)
        await talk.interrupt()
        stale = late(talk)
        await talk.queue(stale)
        assert not (await talk.read(0.3)).any()
        assert talk.controller.stats.refused_samples == 12_000
        await talk.ask(buffered=0.2)
        await talk.queue(late(talk), stale)  # of the turn that plays, and of the old one
        word = TTSTextFrame("never", text_type=TextType.WORD, context_id=talk.tts.contexts[0])
        await talk.synthesized(word, TTSStoppedFrame(context_id=talk.tts.contexts[0]))
        await talk.read(4.0)  # nobody ends what is late of the turn that is over: it times_out
        assert talk.messages[-1] == "Yes."
        assert talk.controller.stats.refused_samples == 24_000
        assert talk.below.speaking == [True, False, True, False, True, False]


@pytest.mark.parametrize(
    ("seconds", "heard"), [(0.3, "One"), (0.45, "One two."), (0.62, "One two. Three"), (0.78, "One two. Three")]
)
async def test_of_words_without_times_as_many_are_heard_as_is_estimated(seconds: float, heard: str) -> None:
    async with conversation("One two. Three four.", words=False) as talk:
        await talk.ask(buffered=0.8)
        await talk.read(seconds)
        await talk.interrupt()
        assert talk.messages == [heard]


async def test_so_is_what_the_application_interrupts_itself() -> None:
    async with conversation("One two. Three four.", words=False) as talk:
        await talk.ask(buffered=0.8)
        await talk.read(0.62)
        talk.controller.interrupt()
        await until(lambda: talk.messages)
        assert talk.messages == ["One two. Three"]


async def test_two_contexts_that_were_synthesized_at_once() -> None:
    """The framework times the words of the second from the start of the first one's last word."""
    async with conversation() as talk:
        await talk.queue(TTSSpeakFrame("One two three."), TTSSpeakFrame("Four five six."))
        await until(lambda: talk.controller.buffered == 6 * 4_800)
        await talk.read(0.9)  # half of the fifth word
        await talk.interrupt()
        assert talk.messages == ["One two three.", "Four"]


async def test_the_words_of_a_turn_after_an_interruption() -> None:
    async with conversation("One two three four five six.", "Seven eight nine.") as talk:
        await talk.ask(buffered=1.2)
        await talk.read(0.1)
        await talk.interrupt()  # the synthesizer's clock was far ahead
        await talk.ask(buffered=0.6)
        await talk.read(0.5)
        await talk.interrupt()
        assert talk.messages == ["Seven eight"]


async def test_an_uninterruptible_message_goes_on() -> None:
    async with conversation("One two.") as talk:
        notice = TTSSpeakFrame("This is recorded.")
        notice.interruptible = False
        await talk.ask(buffered=0.4)
        await talk.queue(notice)
        await until(lambda: talk.controller.buffered == 5 * 4_800)
        await talk.read(0.3)
        await talk.interrupt()
        assert talk.controller.buffered == 3 * 4_800  # it waited behind what was dropped
        await talk.read(0.7)
        assert talk.messages == ["One", "This is recorded."]
        assert talk.below.speaking == [True, False, True, False]


async def test_an_interruption_fades_out() -> None:
    async with conversation(TABLE, fades=Fades()) as talk:
        await talk.ask(buffered=1.2)
        await talk.read(0.5)
        await talk.interrupt()
        tail = await talk.read(0.2)
        assert tail[0] > 1_100
        assert not tail[1_440:].any()
        np.testing.assert_array_equal(talk.below.audio()[-1_440:], tail[:1_440])


@pytest.mark.parametrize("rate", [16_000, 48_000])
async def test_the_transport_may_have_another_rate(rate: int) -> None:
    async with conversation(TABLE, rate=rate) as talk:
        await talk.ask(buffered=1.2)
        await talk.read(0.5)
        await talk.interrupt()
        assert talk.messages == ["Your table"]


async def test_barge_ins_while_it_is_read_in_real_time() -> None:
    async with conversation(TABLE, TABLE, "Yes.") as talk:
        reading = asyncio.create_task(talk.pull())
        for _ in range(2):
            await talk.ask()
            await until(lambda: talk.below.speaking[-1:] == [True])
            await talk.interrupt()
        await talk.ask()
        await until(lambda: talk.messages and talk.messages[-1] == "Yes.")
        reading.cancel()
        await settle()
        assert talk.below.speaking == [True, False] * 3
