"""What a voice agent goes through, in the real agent; time is the samples that are read."""

import asyncio
from typing import Any

import numpy as np
import pytest
from fake_agent import speech, talk

from playback import Outcome, State
from playback.integrations.vision_agents import PlaybackAudioTrack
from playback.words import Word


def reports(now: Any) -> list[Any]:
    kept: list[Any] = []
    now.controller.on("utterance_finished", lambda event: kept.append(event.report))
    return kept


@pytest.mark.parametrize("by_edge", [False, True], ids=["publisher", "edge"])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_turn_to_its_end(by_edge: bool, streaming: bool) -> None:
    async with talk(by_edge=by_edge, streaming=streaming) as now:
        kept = reports(now)
        await now.ask("Your table is booked.")
        heard = now.play(0.4)
        assert [(report.outcome, report.played) for report in kept] == [(Outcome.COMPLETED, 19_200)]
        assert np.array_equal(heard, np.tile(speech(0.1).samples, 4))
        assert now.controller.state == State.IDLE


async def test_a_barge_in_cuts_the_message_to_what_was_heard() -> None:
    async with talk(words=True) as now:
        await now.ask("Good morning. Your table is booked for eight. Anything else?")
        now.play(0.2 + 0.26)  # in the middle of "is"
        await now.barge_in()
        assert not now.play(0.1).any()
        assert now.said == ["Good morning. Your table"]
        await now.ask("And for nine?")
        assert now.play(0.3).all()
        assert now.said == ["Good morning. Your table", "And for nine?"]


async def test_words_that_were_said_before_stay_when_they_are_said_again() -> None:
    async with talk(words=True) as now:
        await now.ask("Hello there.")
        now.play(1.0)
        await now.ask("All right. All right. One moment. Hello there.")
        now.play(0.2 + 0.15)  # in the second one's second word
        await now.barge_in()
        assert now.said == ["Hello there.", "All right. All"]
        await now.ask("All right.")
        now.play(0.05)
        await now.barge_in()
        assert now.said == ["Hello there.", "All right. All", ""]


@pytest.mark.parametrize(("words", "said"), [(0, ""), (1, ""), (2, "One two."), (3, "One two. Three")])
async def test_a_barge_in_while_synthesis_is_slow(words: int, said: str) -> None:
    """What it was asked to speak and has not spoken was not heard."""
    async with talk(words=True) as now:
        now.tts.words = asyncio.Semaphore(words)
        await now.ask("One two. Three four.")
        now.play(0.02 if words == 1 else 1.0)
        await now.barge_in()
        assert now.said == [said]
        for _ in range(10):
            now.tts.words.release()
        await now.ask("Five.")
        assert now.play(0.1).all()
        now.play(0.1)
        assert now.said == [said, "Five."]


async def test_without_announced_words_the_conversation_is_left_alone() -> None:
    async with talk() as now:
        kept = reports(now)
        await now.ask("Your table is booked.")
        now.play(0.2)
        await now.barge_in()
        assert [(report.outcome, report.played, report.heard) for report in kept] == [
            (Outcome.INTERRUPTED, 9_600, None),
        ]
        assert now.said == ["Your table is booked."]


async def test_a_false_interruption_resumes_at_the_very_next_sample() -> None:
    async with talk() as now:
        await now.ask("Your table is booked.")
        heard = [now.play(0.14)]
        now.controller.pause()
        assert not now.play(2).any()
        now.controller.resume()
        heard.append(now.play(0.26))
        assert np.array_equal(np.concatenate(heard), np.tile(speech(0.1).samples, 4))


async def test_two_turns_queue() -> None:
    async with talk() as now:
        kept = reports(now)
        await now.agent.say("One moment.")
        await now.agent.say("Here it is.")
        await now.settled()
        assert np.array_equal(now.play(0.5), np.tile(speech(0.1).samples, 5))
        assert [report.played for report in kept] == [9_600, 14_400]


async def test_a_turn_without_audio_and_one_shorter_than_a_frame() -> None:
    async with talk() as now:
        kept = reports(now)
        await now.agent.say("[silence]")
        await now.agent.say("[short]")
        await now.agent.say("Next.")
        await now.settled()
        now.play(0.12)
        # The framework ends nothing that had no audio, and pads what is shorter than 20 ms.
        assert [report.played for report in kept] == [960, 4_800]
        assert now.controller.state == State.IDLE


async def test_an_interruption_before_the_first_sample() -> None:
    async with talk(words=True) as now:
        kept = reports(now)
        await now.ask("Your table is booked.")
        await now.barge_in()
        assert not now.play(0.1).any()
        assert [(report.outcome, report.played) for report in kept] == [(Outcome.INTERRUPTED, 0)]
        assert now.said == [""]


async def test_an_interruption_in_a_pause() -> None:
    async with talk(words=True) as now:
        await now.ask("Your table is booked.")
        now.play(0.24)
        now.controller.pause()
        now.play(1)
        await now.barge_in()
        now.controller.resume()
        assert not now.play(0.1).any()
        assert now.said == ["Your table"]


async def test_three_barge_ins_in_a_row() -> None:
    async with talk(words=True) as now:
        for frames in (1, 6, 13):
            await now.ask("Your table is booked.")
            assert now.play(frames / 50).all()
            await now.barge_in()
            assert not now.play(0.1).any()
        assert now.said == ["", "Your", "Your table"]


async def test_what_synthesis_makes_after_an_interruption_is_not_heard() -> None:
    async with talk() as now:
        now.tts.words = asyncio.Semaphore(2)
        await now.ask("Your table is booked.")
        assert now.play(0.1).all()
        await now.barge_in()
        for _ in range(2):
            now.tts.words.release()  # it ignores that it was interrupted
        await now.settled()
        assert not now.play(0.4).any()


async def test_what_is_written_late_after_an_interruption_of_ones_own_is_refused() -> None:
    async with talk() as now:
        now.tts.words = asyncio.Semaphore(2)
        await now.ask("Your table is booked.")
        now.play(0.1)
        refused = []
        now.controller.on("audio_refused", refused.append)
        now.controller.interrupt()
        for _ in range(10):
            now.tts.words.release()
        await now.settled()
        assert sum(event.samples for event in refused) == 9_600
        assert {event.reason for event in refused} == {"interrupted"}
        assert not now.play(0.4).any()
        await now.ask("And for nine?")
        assert now.play(0.3).all()


async def test_a_lock_keeps_all_of_it_out() -> None:
    async with talk() as now:
        await now.ask("Your table is booked.")
        now.play(0.1)
        now.controller.interrupt(lock=True)
        await now.agent.say("Not now.")
        await now.settled()
        assert not now.play(0.2).any()
        now.controller.unlock()
        await now.agent.say("Now.")
        await now.settled()
        assert now.play(0.1).all()


async def test_background_sounds_through_all_of_it() -> None:
    async with talk() as now:
        now.controller.background.add(np.full(48_000, 3_000, np.int16), fade_seconds=0)
        await now.ask("Your table is booked.")
        assert now.play(0.1).all()
        now.controller.pause()
        assert now.play(0.1).all()
        now.controller.resume()
        await now.barge_in()
        assert now.play(0.2).all()


async def test_shutdown_while_speaking() -> None:
    async with talk() as now:
        kept = reports(now)
        waiting = asyncio.create_task(now.controller.utterance().wait())
        await now.ask("Your table is booked.")
        now.play(0.1)
    assert now.agent.closed
    assert now.track.readyState == "ended"
    assert now.controller.state == State.CLOSED
    assert {(report.outcome, report.played) for report in kept} == {(Outcome.CLOSED, 4_800), (Outcome.CLOSED, 0)}
    assert (await waiting).outcome is Outcome.CLOSED


async def test_the_track_in_real_time() -> None:
    async with talk() as now:
        assert isinstance(now.track, PlaybackAudioTrack)
        await now.ask("Your table is booked.")
        frames = [await now.track.recv() for _ in range(3)]
        assert [frame.pts for frame in frames] == [0, 960, 1_920]
        assert all(frame.to_ndarray().all() for frame in frames)


async def test_an_announcement_without_words_is_estimated() -> None:
    async with talk(words=True) as now:
        announce = now.tts.announce
        now.tts.announce = lambda text, _: announce(text)
        await now.ask("Your table is booked for eight.")
        now.play(0.35)
        await now.barge_in()
        assert now.said == ["Your table is"]


async def test_what_an_aligner_finds_corrects_the_message() -> None:
    class TenthOfSeconds:
        """Finds the words that last 100 ms each, as they do here."""

        def align(self, text: str, audio: bytes, format: Any) -> list[Word]:
            count = len(audio) // 2 // format.samples(0.1)
            return [Word(word, number * 0.1, number * 0.1 + 0.1) for number, word in enumerate(text.split()[:count])]

    async with talk(words=True) as now:
        late = now.controller._transitions.late_words
        late.configure(10.0, estimates=True, aligner=TenthOfSeconds())
        announce = now.tts.announce
        now.tts.announce = lambda text, _: announce(text)
        await now.ask("Internationalization of a table is. Good.")
        now.play(0.35)
        await now.barge_in()
        for _ in range(200):
            await asyncio.sleep(0.01)
            if now.said == ["Internationalization of a"]:
                break
        assert now.said == ["Internationalization of a"]
