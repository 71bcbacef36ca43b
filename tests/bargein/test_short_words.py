"""Short words by ear: what is delivered when, on which thread, and how much may wait; then with real speech."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.short_words import cut, kind_of
from benchmarks.voices import BACKCHANNELS, COMMANDS, JUDGED, Saying, Voice, in_noise, say
from playback.align import dictionary
from playback.bargein import BACKCHANNELS as POLICY_BACKCHANNELS
from playback.bargein import closed_grammar
from playback.bargein.closed_grammar import ClosedGrammar, english
from playback.bargein.recognizer import RATE, Recognized
from playback.bargein.short_words import _WORKER, BEFORE_SECONDS, ShortWords
from playback.bargein.vad import SpeechDetector, VoiceActivity
from tests.bargein.microphones import Microphone, sure
from tests.needs import need_program

pytestmark = pytest.mark.portable

Audio = NDArray[np.int16]
PIECE = RATE // 50


class Ears:
    """A recognizer whose answers are given, each when the test lets it."""

    def __init__(self, *answers: Recognized | Exception | None, held: bool = False) -> None:
        self.answers = list(answers)
        self.sounds: list[Audio] = []
        self.threads: set[int] = set()
        self.free = threading.Event()
        if not held:
            self.free.set()

    def recognize(self, samples: Audio) -> Recognized | None:
        self.threads.add(threading.get_ident())
        self.sounds.append(samples)
        assert self.free.wait(10)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def answered(self, count: int) -> None:
        """Wait until so many sounds are recognized, and the loop has taken the answers."""
        async with asyncio.timeout(10):
            while len(self.sounds) < count:
                await asyncio.get_running_loop().run_in_executor(_WORKER, int)  # behind what was given to it
                await asyncio.sleep(0)


class Transcripts:
    def __init__(self) -> None:
        self.got: list[tuple[str, bool, float]] = []
        self.more = asyncio.Event()

    def __call__(self, text: str, *, final: bool, certainty: float) -> None:
        self.got.append((text, final, certainty))
        self.more.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.got) < count:
                self.more.clear()
                await self.more.wait()


def hear(words: ShortWords, seconds: float, value: int = 1) -> None:
    for _ in range(round(seconds * 50)):
        words.samples_heard(np.full(PIECE, value, np.int16))


YEAH = Recognized("yeah", 0.9)
STOP = Recognized("stop", 0.8)


async def test_a_short_sound_is_recognized_whole_at_its_end_on_another_thread() -> None:
    ears, got = Ears(STOP), Transcripts()
    words = ShortWords(got, ears)
    hear(words, 2.0, 7)
    words.speech_started()
    hear(words, 0.2, 8)
    words.speech_ended()
    await got.until(1)
    assert got.got == [("stop", True, 0.8)]
    (sound,) = ears.sounds
    assert np.count_nonzero(sound == 8) == round(0.2 * RATE)
    assert 0 <= np.count_nonzero(sound == 7) - BEFORE_SECONDS * RATE < PIECE
    assert threading.get_ident() not in ears.threads


async def test_a_sound_that_lasts_is_recognized_while_it_does() -> None:
    ears, got = Ears(YEAH, YEAH, YEAH), Transcripts()
    words = ShortWords(got, ears, first_seconds=0.5, every_seconds=0.4)
    words.speech_started()
    for number, seconds in enumerate((0.5, 0.4), 1):
        hear(words, seconds)
        await got.until(number)
    words.speech_ended()
    await got.until(3)
    assert [final for _, final, _ in got.got] == [False, False, True]
    assert [len(sound) / RATE for sound in ears.sounds] == pytest.approx([0.5, 0.9, 0.9])


async def test_what_is_too_long_is_no_short_sound() -> None:
    ears, got = Ears(), Transcripts()
    words = ShortWords(got, ears, first_seconds=5.0, max_seconds=1.0)
    words.speech_started()
    hear(words, 60.0)
    assert words._kept <= 1.1 * RATE
    words.speech_ended()
    await asyncio.sleep(0.02)
    assert ears.sounds == got.got == []


async def test_what_is_none_of_the_words_delivers_that_at_its_end() -> None:
    ears, got = Ears(None, YEAH, None), Transcripts()
    words = ShortWords(got, ears, first_seconds=0.2, every_seconds=0.2)
    words.speech_started()
    hear(words, 0.2)
    await ears.answered(1)
    assert got.got == []
    hear(words, 0.2)
    await got.until(1)
    words.speech_ended()
    await got.until(2)
    assert got.got == [("yeah", False, 0.9), ("", True, 0.0)]


async def test_a_recognizer_that_is_slow_has_one_request_and_the_newest_waits() -> None:
    ears, got = Ears(None, YEAH, held=True), Transcripts()
    words = ShortWords(got, ears, first_seconds=0.1, every_seconds=0.02)
    words.speech_started()
    hear(words, 2.0)
    words.speech_ended()
    ears.free.set()
    await got.until(1)
    assert got.got == [("yeah", True, 0.9)]
    assert [len(sound) / RATE for sound in ears.sounds] == pytest.approx([0.1, 2.0])


async def test_what_comes_too_late_for_its_sound_is_not_delivered() -> None:
    ears, got = Ears(STOP, YEAH, held=True), Transcripts()
    words = ShortWords(got, ears)
    for _ in range(2):
        words.speech_started()
        hear(words, 0.3)
        words.speech_ended()
    ears.free.set()
    await got.until(1)
    await ears.answered(2)
    assert got.got == [("yeah", True, 0.9)]


async def test_a_recognizer_that_raises_is_reported_and_the_next_sound_is_recognized() -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    ears, got = Ears(OSError("no ears"), STOP), Transcripts()
    words = ShortWords(got, ears)
    words.speech_started()
    hear(words, 0.2)
    words.speech_ended()
    await ears.answered(1)
    await asyncio.sleep(0)
    words.speech_started()
    hear(words, 0.2)
    words.speech_ended()
    await got.until(2)
    assert [str(error) for error in reported] == ["no ears"]
    assert got.got == [("", True, 0.0), ("stop", True, 0.8)]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (("stop", 0.9), "the recognizer returned ('stop', 0.9), expected Recognized or None"),
        (Recognized(3, 0.9), "the recognized text is 3"),  # type: ignore[arg-type]
        (Recognized("stop", float("nan")), "the certainty is nan, expected a share from 0 to 1"),
    ],
)
async def test_a_result_that_can_not_be_is_reported_and_counts_as_none(result: Any, message: str) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    got = Transcripts()
    words = ShortWords(got, Ears(result))
    words.speech_started()
    hear(words, 0.2)
    words.speech_ended()
    await got.until(1)
    await asyncio.sleep(0)
    assert got.got == [("", True, 0.0)]
    assert [str(error)[: len(message)] for error in reported] == [message]


async def test_a_sound_without_samples_is_none_of_the_words() -> None:
    ears, got = Ears(), Transcripts()
    words = ShortWords(got, ears)
    for _ in range(2):
        words.speech_started()
        words.speech_ended()
    assert got.got == [("", True, 0.0)] * 2
    assert not ears.sounds


def test_a_recognizer_that_never_returns_keeps_no_process_from_its_end() -> None:
    program = """
import asyncio, threading
import numpy as np
from playback.bargein.short_words import ShortWords

class Deaf:
    def recognize(self, samples):
        began.set()
        threading.Event().wait()

async def hear():
    words = ShortWords(print, Deaf())
    words.speech_started()
    words.samples_heard(np.zeros(8_000, np.int16))
    words.speech_ended()

began = threading.Event()
asyncio.run(hear())
assert began.wait(20)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


async def test_voice_activity_gives_it_what_it_has_cut_out() -> None:
    ears, got, microphone = Ears(STOP), Transcripts(), Microphone()
    detector = SpeechDetector(sure, end_seconds=0.1)
    microphone.put(np.concatenate([np.zeros(RATE), np.ones(RATE // 4), np.zeros(RATE // 2)]).astype(np.int16))
    microphone.end()
    words = ShortWords(got, ears, first_seconds=0.5)
    await VoiceActivity(microphone, words, detector=detector).run()
    await got.until(1)
    assert got.got == [("stop", True, 0.8)]
    assert np.count_nonzero(ears.sounds[0]) == RATE // 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first_seconds": -1.0}, "first_seconds is -1.0"),
        ({"every_seconds": 0.0}, "every_seconds is 0.0, expected more than 0"),
        ({"max_seconds": 0.0}, "max_seconds is 0.0, expected more than 0"),
    ],
)
async def test_settings_that_cannot_be_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShortWords(Transcripts(), Ears(), **settings)


# The grammar


def test_every_backchannel_of_the_grammar_is_one_of_the_policy() -> None:
    assert set(closed_grammar.BACKCHANNELS) <= set(POLICY_BACKCHANNELS)
    assert not set(closed_grammar.COMMANDS) & set(POLICY_BACKCHANNELS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"commands": "stop"}, TypeError, "commands is 'stop', expected several strings"),
        ({"commands": []}, ValueError, "commands is empty"),
        ({"commands": ["..."]}, ValueError, "one of commands is '...', expected a word"),
        ({"backchannels": [3]}, TypeError, "one of backchannels is 3"),
        ({"backchannels": ["stop"]}, ValueError, "'stop' is in both commands and backchannels"),
        ({"commands": ["xyzzyq now"]}, ValueError, "'xyzzyq' is not in pocketsphinx's dictionary"),
        (
            {"pronunciations": {"stop": ["S T XX"]}},
            ValueError,
            "the pronunciation of 'stop' is 'S T XX', expected phones",
        ),
    ],
)
def test_a_grammar_that_cannot_be_is_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ClosedGrammar(**arguments)


async def test_without_pocketsphinx_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    dictionary.english.cache_clear()
    english.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'voice-playback\[align\]'"):
        ShortWords(Transcripts())
    monkeypatch.undo()
    assert ClosedGrammar() is not None


@pytest.mark.parametrize("audio", [np.zeros(0, np.int16), np.zeros(RATE, np.int16), np.ones(100, np.int16)])
def test_what_is_no_sound_is_no_word(audio: Audio) -> None:
    assert english().recognize(audio) is None


def test_a_sound_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at most 160000"):
        english().recognize(np.ones(11 * RATE, np.int16))


def test_a_sentence_is_no_short_word_however_it_fits() -> None:
    sentence = say(Voice("espeak", "en-us"), Saying("Sorry, I would rather have a table for two, outside, at eight."))
    assert len(sentence) > 2.1 * RATE
    assert english().recognize(sentence) is None


@pytest.mark.parametrize("phrase", ["halt", "pause please"])
def test_the_word_lists_are_the_applications(phrase: str) -> None:
    sound = say(Voice("espeak", "en-us"), Saying(f"{phrase}."))
    found = ClosedGrammar(commands=[phrase], backchannels=["yeah"]).recognize(sound)
    assert found is not None
    assert found.text == phrase


# Real speech, of voices that the grammar was not tuned with


@pytest.mark.parametrize("program", ["espeak", "flite"])
def test_short_sounds_are_understood_by_ear(program: str) -> None:
    """Of all voices together: eSpeak's waver a little, so that one sound is one word today and another tomorrow."""
    if program == "flite":
        need_program("flite", "flite")
    wrong, count = [], 0
    for voice in JUDGED:
        for saying in (*COMMANDS[::3], *BACKCHANNELS[::3]) if voice.program == program else ():
            sound = cut(in_noise(say(voice, saying), None))
            kind = "command" if saying in COMMANDS else "backchannel"
            count += 1
            if sound is not None and kind_of(english().recognize(sound)) != kind:
                wrong.append((voice.name, saying.text))
    assert len(wrong) <= 0.25 * count, wrong


async def test_stop_is_heard_from_the_microphone_to_the_transcript() -> None:
    got, microphone = Transcripts(), Microphone()
    microphone.put(in_noise(say(Voice("espeak", "en-us"), Saying("Stop.")), None))
    microphone.end()
    await VoiceActivity(microphone, ShortWords(got)).run()
    async with asyncio.timeout(20):
        while not got.got or not got.got[-1][1]:
            got.more.clear()
            await got.more.wait()
    text, _, certainty = got.got[-1]
    assert text == "stop"
    assert 0.5 <= certainty <= 1
