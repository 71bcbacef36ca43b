"""Real speech: every word at its time, every sample handed over, and nothing made for nobody."""

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from subprocess import PIPE
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback import AudioFormat, Outcome, PlaybackController
from playback.events import MarkReached, UtteranceFinished
from playback.speech import NothingToSay, SpeechError, _Words, check_voice, speak, speech_format, stream, synthesize
from playback.utterance import Utterance
from playback.words.word import Word
from tests.fuzzing import thorough

pytestmark = pytest.mark.portable

TEXT = "Your table is booked for eight."
WORDS = ["Your", "table", "is", "booked", "for", "eight"]


def spoken(text: str, voice: str = "en") -> tuple[list[bytes], list[tuple[str, float]]]:
    """All chunks, and all words with their starts."""
    chunks: list[bytes] = []
    words: list[tuple[str, float]] = []

    def keep(chunk: bytes) -> bool:
        chunks.append(chunk)
        return True

    synthesize(text, keep, lambda word, at: words.append((word, at)), voice=voice)
    return chunks, words


def ignore(word: str, at: float) -> None:
    pass


async def whole(utterance: Utterance) -> Utterance:
    """An utterance, once it takes no more audio."""
    async with asyncio.timeout(10):
        while not utterance.ended:  # noqa: ASYNC110 - nobody reports it
            await asyncio.sleep(0.01)
    return utterance


WAVERS = 0.04
"""By how much of its length eSpeak's audio of one text differs from call to call, at most."""


def samples_of(chunks: list[bytes]) -> int:
    return len(b"".join(chunks)) // 2


def test_words_come_in_order_at_rising_times_within_the_audio() -> None:
    chunks, words = spoken(TEXT)
    times = [at for _, at in words]
    assert [word for word, _ in words] == WORDS
    assert times[0] == 0
    assert all(earlier + 0.05 < later for earlier, later in itertools.pairwise(times))
    assert times[-1] < speech_format().seconds(samples_of(chunks))


def test_a_word_is_spoken_before_the_chunk_in_which_it_starts() -> None:
    made = 0
    starts: list[tuple[float, float]] = []

    def count(chunk: bytes) -> bool:
        nonlocal made
        made += len(chunk) // 2
        return True

    def start(word: str, at: float) -> None:
        starts.append((at, speech_format().seconds(made)))

    synthesize(TEXT, count, start)
    assert len(starts) == len(WORDS)
    assert all(made_seconds <= at for at, made_seconds in starts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("In 2026, at 8:30.", ["In", "2026", "at", "8:30"]),
        ("I don't know, e.g. tea.", ["I", "don't", "know", "e.g", "tea"]),
        ("Très naïve – über 東.", ["Très", "naïve", "über", "東"]),
        ("😀 well-known jokes", ["well-known", "jokes"]),
        ("yes yes yes", ["yes", "yes", "yes"]),
        ("...", []),
        ("", []),
    ],
)
def test_a_word_is_what_stands_in_the_text_and_is_spoken_once(text: str, words: list[str]) -> None:
    assert [word for word, _ in spoken(text)[1]] == words


def test_the_chunks_are_the_audio_that_is_played() -> None:
    chunks: list[bytes] = []
    controller = PlaybackController(speech_format())
    utterance = controller.utterance(text=TEXT)

    def push(chunk: bytes) -> bool:
        chunks.append(chunk)
        return utterance.push(chunk) > 0

    synthesize(TEXT, push, utterance.mark)
    utterance.end()
    audio = b"".join(chunks)
    assert len(chunks) > 10
    assert utterance.accepted == len(audio) // 2
    assert controller.read(utterance.accepted).tobytes() == audio
    assert utterance.report is not None
    assert utterance.report.heard == TEXT


async def test_all_of_a_spoken_utterance_is_played() -> None:
    chunks, words = spoken(TEXT)
    controller = PlaybackController(AudioFormat(48_000))
    reached: list[MarkReached] = []
    controller.on("mark_reached", reached.append)
    utterance = await whole(speak(controller, TEXT))
    ratio = 48_000 / speech_format().sample_rate
    assert utterance.accepted == pytest.approx(samples_of(chunks) * ratio, rel=WAVERS)
    controller.read(utterance.accepted)
    report = utterance.report
    assert report is not None
    assert (report.outcome, report.heard, report.played) == (Outcome.COMPLETED, TEXT, utterance.accepted)
    assert [event.payload for event in reached] == WORDS
    starts = [event.position / 48_000 for event in reached]
    assert starts[1:] == pytest.approx([at for _, at in words[1:]], abs=0.005)


async def test_an_interrupted_utterance_reports_what_was_heard() -> None:
    controller = PlaybackController()
    utterance = await whole(speak(controller, TEXT))
    controller.read(round(0.95 * 48_000))  # "booked" has begun, "for" has not
    controller.interrupt()
    report = await utterance.wait()
    assert report.outcome is Outcome.INTERRUPTED
    assert report.heard == "Your table is"
    assert report.played == round(0.95 * 48_000)
    assert report.accepted == report.played + report.discarded


def test_synthesis_stops_when_it_is_spoken_to_and_the_next_one_is_whole() -> None:
    whole, _ = spoken(TEXT)
    chunks: list[bytes] = []

    def one(chunk: bytes) -> bool:
        chunks.append(chunk)
        return False

    synthesize(TEXT, one, ignore)
    assert len(chunks) == 1
    assert samples_of(spoken(TEXT)[0]) == pytest.approx(samples_of(whole), rel=WAVERS)


@pytest.mark.parametrize("ending", ["interrupt", "close", "cancel"])
async def test_an_utterance_that_ends_takes_no_more_of_its_text(ending: str) -> None:
    text = "This sentence goes on and on for quite a while. " * 40
    controller = PlaybackController()
    finished: list[UtteranceFinished] = []
    controller.on("utterance_finished", finished.append)
    utterance = speak(controller, text)
    assert controller.leaf == "speaking.buffering"
    async with asyncio.timeout(10):
        while not utterance.accepted:  # noqa: ASYNC110 - nobody reports it
            await asyncio.sleep(0.001)
    match ending:
        case "interrupt":
            controller.interrupt()
        case "close":
            controller.close()
        case _:
            utterance.cancel()
    accepted = utterance.accepted
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    if tasks:
        _, pending = await asyncio.wait(tasks, timeout=5)
        assert not pending
    (event,) = finished
    assert event.report.outcome is (Outcome.CLOSED if ending == "close" else Outcome.INTERRUPTED)
    assert utterance.accepted == accepted
    assert not utterance.refused


async def test_nothing_is_made_until_there_is_room() -> None:
    pieces = stream(TEXT)
    assert await anext(pieces) == b""
    controller = PlaybackController(high_water_seconds=0.1)
    before = controller.utterance()
    before.push(bytes(48_000))
    before.end()
    text = "Nobody has heard this."  # the thread may still end what an earlier test has begun
    behind = speak(controller, text)
    with patch("playback.speech.synthesize") as made:
        for _ in range(10):
            await asyncio.sleep(0)
        assert text not in [call.args[0] for call in made.call_args_list]
        behind.cancel()
    assert [piece async for piece in pieces]


async def test_closing_a_stream_stops_its_thread_for_the_next_one() -> None:
    long = stream("This sentence goes on and on for quite a while. " * 400)
    await anext(long)
    await anext(long)
    waiting = stream(TEXT)
    await anext(waiting)
    first = asyncio.create_task(anext(waiting))
    await long.aclose()
    assert await first == Word("Your", 0.0)
    await waiting.aclose()


async def test_a_stream_makes_no_more_than_its_limit() -> None:
    chunks = [piece async for piece in stream(TEXT * 10, limit_seconds=1.0) if isinstance(piece, bytes)]
    assert 0 <= speech_format().seconds(samples_of(chunks)) - 1.0 < 0.1


SILENT = [
    "?",
    "...",
    "- - -",
    "[[",
    "<>",
    "()",
    "_",
    "\u200b",
    "\ufeff",
    "\u2028",
    "\u202e",
    "\U000e0041",
    "\U0010ffff",
]
SILENT += ["\0", "\x01", "\x7f", "\x85", "\ud800", "\udce9 \udfff", ""]
"""Texts in which the engine finds nothing that has a sound."""


@pytest.mark.parametrize("text", SILENT)
async def test_a_text_without_a_sound_fails_its_utterance(text: str) -> None:
    controller = PlaybackController()
    utterance = await whole(speak(controller, text))
    controller.read(48_000)
    report = await utterance.wait()
    assert report.outcome is Outcome.FAILED
    assert isinstance(report.error, NothingToSay)
    assert str(report.error) == f"there is nothing to say in {text!r}"
    assert (report.heard or "", report.accepted) == ("", 0)


# What strangers have said. The engine is C: each text is said in a process of its own, and must not end it.

SAY = """
import json, sys
from playback.speech import synthesize
for line in sys.stdin:
    samples = 0
    def take(piece):
        global samples
        samples += len(piece) // 2
        return samples < 200_000
    synthesize(json.loads(line), take, lambda word, at: None)
    print(samples, flush=True)
"""


class Engine:
    """eSpeak NG in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", SAY], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)

    def say(self, text: str) -> int:
        """Say a text, and give how many samples it has."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(text) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the engine has ended with {text!r}: {self._process.communicate()[1]}"
        return int(line)

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.mark.parametrize("abbreviation", ["a.", ".C", "U.S.", "в.", "α..", "e\u0301."])
def test_no_abbreviation_is_too_long_for_the_engine(abbreviation: str, engine: Engine) -> None:
    for times in (19, 20, 21, 100, 200, 500):
        assert engine.say(abbreviation * times) > 0


def test_no_text_changes_how_others_are_said(engine: Engine) -> None:
    before = engine.say(TEXT)
    for text in ("\x01450S", "a\x01450Sb", "\x0199P", "\x015A", "<speak>", "<prosody rate='x-fast'>", "[[_:::"):
        engine.say(text)
    assert engine.say(TEXT) == pytest.approx(before, rel=WAVERS)


PIECES = [
    *SILENT,
    "\x01450S",
    TEXT,
    "\N{GRINNING FACE}",
    "<speak>",
    "</p>",
    "&amp;",
    "مرحبا",
    "你好",
    "안녕",
    "नमस्ते",
    "ไทย",
    "אמ",
    "ﷺ",
]
PIECES += ["a", ".", "a.", "'", "-", "9", "1.5", "\u0301", "\u200d", "$", "%", "IV", ",", ";", "/", "\\", " ", "\n"]


@pytest.mark.fuzz
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=8), st.integers(1, 200))
@thorough(40)
def test_no_text_ends_the_engine(engine: Engine, pieces: list[str], times: int) -> None:
    engine.say(("".join(pieces) * times)[:500])


def test_what_a_callback_raises_comes_out() -> None:
    def fail(chunk: bytes) -> bool:
        raise LookupError("no room")

    def fail_word(word: str, at: float) -> None:
        raise LookupError(word)

    with pytest.raises(LookupError, match="no room"):
        synthesize(TEXT, fail, ignore)
    with pytest.raises(LookupError, match="Your"):
        synthesize(TEXT, bool, fail_word)


def test_threads_do_not_get_each_others_speech() -> None:
    texts = ["One two three.", "Drei, zwei, eins!", "A much longer sentence than all of the others."] * 4
    alone = [spoken(text) for text in texts]
    with ThreadPoolExecutor(len(texts)) as pool:
        together = list(pool.map(spoken, texts))
    for (chunks, words), (expected_chunks, expected_words) in zip(together, alone, strict=True):
        assert samples_of(chunks) == pytest.approx(samples_of(expected_chunks), rel=WAVERS)
        assert [word for word, _ in words] == [word for word, _ in expected_words]


def test_a_voice_stays_with_its_own_call() -> None:
    english, german = (samples_of(spoken(TEXT, voice)[0]) for voice in ("en", "de"))
    assert german != pytest.approx(english, rel=2 * WAVERS)
    assert samples_of(spoken(TEXT)[0]) == pytest.approx(english, rel=WAVERS)


async def test_an_unknown_voice_is_named() -> None:
    controller = PlaybackController()
    with pytest.raises(SpeechError, match="'xx-nowhere'"):
        check_voice("xx-nowhere")
    utterance = await whole(speak(controller, TEXT, voice="xx-nowhere"))
    controller.read(960)
    report = await utterance.wait()
    assert report.outcome is Outcome.FAILED
    with pytest.raises(SpeechError, match="'xx-nowhere'"):
        raise report.error or AssertionError
    assert controller.leaf == "idle"
    check_voice("en-us")


def test_a_missing_package_is_spoken_with_the_extra_that_brings_it() -> None:
    script = (
        "import sys; sys.modules['espeakng_loader'] = None\n"
        "from playback.speech import SpeechError, speech_format\n"
        "try: speech_format()\n"
        "except SpeechError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "voice-playback[demo]" in done.stdout


def test_a_first_word_that_espeak_forgets_begins_with_the_audio() -> None:
    spoken: list[tuple[str, float]] = []
    words = _Words("Your table is", 1000, lambda word, at: spoken.append((word, at)))
    words._report(5, 0.3)
    words._report(11, 0.6)
    assert spoken == [("Your", 0.0), ("table", 0.3), ("is", 0.6)]
