"""Alignment of texts with real speech, cut anywhere, and with what is no speech."""

from __future__ import annotations

import gc
import importlib.util
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, FormatError
from playback.audio.converter import Converter
from playback.audio.formats import bare_layout
from playback.words import Aligner, Word
from playback.words.heard import heard_of
from playback.words.tokens import tokens, without_markup
from tests.needs import need_module
from tests.words.languages import TEXTS

need_module("pocketsphinx", "the extra align", for_module=True)
need_module("num2words", "the extra align", for_module=True)

from playback.align import PocketsphinxAligner  # noqa: E402 - it needs what was checked above
from playback.align import dictionary as dictionaries  # noqa: E402
from playback.align.decoder import Decoder  # noqa: E402
from playback.align.dictionary import Dictionary  # noqa: E402
from playback.align.finder import Finder  # noqa: E402
from playback.align.grammar import Grammar, pieces_of  # noqa: E402
from playback.align.phones import PHONES, from_ipa, from_letters  # noqa: E402
from playback.align.pronouncing import Pronouncer  # noqa: E402
from playback.align.spoken import form_of  # noqa: E402

RATE = 16_000
FORMAT = AudioFormat(RATE)
HAS_ESPEAK = importlib.util.find_spec("espeakng_loader") is not None
needs_espeak = pytest.mark.skipif(not HAS_ESPEAK, reason="needs eSpeak NG")
portable = pytest.mark.portable

SENTENCE = "I'm sorry, but that flight has already left. The next one goes at half past six."


@cache
def aligner() -> PocketsphinxAligner:
    return PocketsphinxAligner()


@cache
def said(text: str, voice: str = "en-us") -> tuple[bytes, AudioFormat, tuple[Word, ...]]:
    """Speech of eSpeak NG's, and when its words begin."""
    from playback.speech import speech_format, synthesize

    chunks: list[bytes] = []
    words: list[Word] = []

    def keep(chunk: bytes) -> bool:
        chunks.append(chunk)
        return True

    synthesize(text, keep, lambda word, at: words.append(Word(word, at)), voice=voice)
    return b"".join(chunks), speech_format(), tuple(words)


def finder() -> Finder:
    """What works in the aligner's process, in this one."""
    return Finder("en", None, None, None)


def resampled(audio: bytes, source: AudioFormat, layout: AudioFormat) -> bytes:
    """Audio in another format, of 16 bits."""
    converter = Converter(bare_layout(source), AudioFormat(layout.sample_rate, layout.channels))
    return converter.convert(audio) + converter.flush()


def silence(seconds: float) -> bytes:
    return bytes(2 * round(RATE * seconds))


def noise(seconds: float, level: float = 3_000.0) -> bytes:
    samples = np.random.default_rng(0).normal(0, level, round(RATE * seconds))
    return np.clip(samples, -32768, 32767).astype(np.int16).tobytes()


def in_order(text: str, words: list[Word], seconds: float) -> bool:
    """Whether words are those of the text, in its order and spelling, one after the other in time."""
    at, before = 0, 0.0
    plain = without_markup(text)
    for number, word in enumerate(words):
        found = plain.find(word.text, at)
        between = plain[at:found]
        at = found + len(word.text)
        end = seconds if word.end is None else word.end
        if found < 0 or tokens(between) or not before - 1e-9 <= word.start <= end <= seconds + 0.01:
            return False
        if word.end is None and number < len(words) - 1:
            return False
        before = end
    return True


@needs_espeak
def test_it_is_an_aligner_whose_words_begin_when_they_are_spoken() -> None:
    made: Aligner = aligner()
    for voice in ("en-us", "en-gb-x-rp+f4", "en-us+m7"):
        audio, layout, true = said(SENTENCE, voice)
        words = made.align(SENTENCE, audio, layout)
        assert [word.text for word in words] == SENTENCE.split()
        errors = [abs(word.start - other.start) for word, other in zip(words, true, strict=True)]
        assert np.median(errors) < 0.03
        assert max(errors) < 0.2


@needs_espeak
def test_audio_that_stops_anywhere_is_never_off_by_more_than_a_word() -> None:
    audio, layout, true = said(SENTENCE)
    starts = [word.start for word in true]
    seconds = len(audio) / layout.frame_bytes / layout.sample_rate
    for cut in np.linspace(0, seconds, 30):
        words = list(aligner().align(SENTENCE, audio[: layout.samples(cut) * 2], layout))
        assert in_order(SENTENCE, words, cut)
        begun = sum(start < cut for start in starts)
        assert abs(len(words) - begun) <= 1
        over = sum(word.end is not None for word in words)
        assert begun - 2 <= over <= begun


@needs_espeak
def test_a_word_within_which_the_audio_stops_has_no_end() -> None:
    audio, layout, true = said(SENTENCE)
    middle = (true[6].start + true[7].start) / 2  # in "already"
    words = aligner().align(SENTENCE, audio[: 2 * layout.samples(middle)], layout)
    assert words[-1].text == "already"
    assert words[-1].end is None
    assert all(word.end is not None for word in words[:-1])


@needs_espeak
def test_text_that_is_far_ahead_of_the_audio_changes_nothing() -> None:
    audio, layout, _ = said("Your table is booked.")
    text = "Your table is booked. " + "Is there anything else that I can do for you today? " * 20
    words = aligner().align(text, audio, layout)
    assert [word.text for word in words][:4] == ["Your", "table", "is", "booked."]
    assert len(words) <= 5


@needs_espeak
@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("The total is $42 today.", "The total is forty two dollars today."),
        ("It costs €1,250.50 today.", "It costs one thousand two hundred and fifty euros and fifty cents today."),
        ("See you on 3/4 at noon.", "See you on the fourth of March at noon."),
        ("See you on 3/4 at noon.", "See you on April third at noon."),
        ("The train at 10:05 p.m. is late.", "The train at ten oh five P M is late."),
        ("Call 555-0102 now.", "Call five five five oh one oh two now."),
        ("Go to www.example.com today.", "Go to W W W dot example dot com today."),
        ("Write to jane.doe@example.org please.", "Write to Jane dot doe at example dot org please."),
        ("Dr. Lee lives in St. Mary's St. now.", "Doctor Lee lives in Saint Mary's Street now."),
        ("In 1999 it was 15% less.", "In nineteen ninety nine it was fifteen percent less."),
        ("Great 🎉 see you 🙂 soon", "Great see you soon"),
        ("**Note:** use `pip` and *smile*.", "Note use pip and smile."),
        ("<speak>Hello <break time='1s'/> dear friend.</speak>", "Hello dear friend."),
        ("It rose by $5 million & more.", "It rose by five million dollars and more."),
        ("Flight LH 402 from gate B12 left.", "Flight L H four oh two from gate B twelve left."),
        ("Add ½ a cup, or 250 ml.", "Add half a cup, or two hundred fifty milliliters."),
        ("Nguyen and Wojciech like zzyzx.", "Nguyen and Wojciech like zzyzx."),
    ],
)
def test_what_is_spelled_otherwise_than_it_is_spoken_is_one_word(text: str, spoken: str) -> None:
    """Each word of the text begins when the first of its spoken words does."""
    audio, layout, _ = said(spoken)
    words = aligner().align(text, audio, layout)
    seconds = len(audio) / 2 / layout.sample_rate
    plain = without_markup(text)
    assert [word.text for word in words] == [piece for piece in plain.split() if tokens(piece) or piece == "&"]
    assert in_order(text, words, seconds)
    # The last word of both is the same one: where it begins is where it would with all words spelled out.
    plainly = aligner().align(spoken, audio, layout)
    assert words[-1].start == pytest.approx(plainly[-1].start, abs=0.15)
    assert words[1].start == pytest.approx(plainly[1].start, abs=0.05)


@portable
@pytest.mark.parametrize("name", TEXTS)
def test_no_text_raises_and_words_are_in_order(name: str) -> None:
    """With speech that may say something else, and cut at many places."""
    text = "".join(part.written for part in TEXTS[name])
    if HAS_ESPEAK:
        audio, layout, _ = said(" ".join(word for part in TEXTS[name] for word in part.spoken), "en-us")
    else:
        audio, layout = noise(2.0), FORMAT
    seconds = min(4.0, len(audio) / 2 / layout.sample_rate)
    for cut in np.linspace(0, seconds, 5):
        words = aligner().align(text, audio[: 2 * layout.samples(cut)], layout)
        assert in_order(text, words, cut)
        heard = heard_of(text, [word.text for word in words], len(words), is_final=False)
        assert text.startswith(heard)


@portable
@pytest.mark.parametrize(
    "audio",
    [b"", b"\x01", silence(0.005), silence(3.0), noise(0.02), noise(2.0), noise(1.0, 30_000.0), silence(1) + noise(1)],
)
@pytest.mark.parametrize(
    "text", ["", " ", "Hello there.", "...", "🎉", "x" * 5_000, "$" * 50, "1" * 400, "\ud800 hi \x00"]
)
def test_audio_that_is_no_speech_and_texts_that_are_none(audio: bytes, text: str) -> None:
    assert in_order(text, aligner().align(text, audio, FORMAT), len(audio) / 2 / RATE)


@portable
def test_silence_has_no_words() -> None:
    assert aligner().align("Hello there.", silence(3.0), FORMAT) == []
    assert aligner().align("Hello there.", b"", FORMAT) == []


@needs_espeak
@pytest.mark.parametrize("layout", [AudioFormat(8_000, encoding="mulaw"), AudioFormat(48_000, 2), AudioFormat(24_000)])
def test_any_format_gives_the_same_words(layout: AudioFormat) -> None:
    audio, source, _ = said(SENTENCE)
    data = resampled(audio, source, layout)
    if layout.encoding == "mulaw":
        data = _mulaw(np.frombuffer(data, np.int16))
    words, plain = aligner().align(SENTENCE, data, layout), aligner().align(SENTENCE, audio, source)
    assert [word.text for word in words] == [word.text for word in plain]
    assert np.median([abs(one.start - other.start) for one, other in zip(words, plain, strict=True)]) < 0.03


def _mulaw(samples: NDArray[np.int16]) -> bytes:
    """G.711 µ-law, by its formula."""
    scaled = np.clip(samples / 32_768, -1, 1)
    coded = np.sign(scaled) * np.log1p(255 * np.abs(scaled)) / np.log(256)
    positive = (127 - np.abs(coded) * 127).round().astype(int)
    codes: bytes = np.where(coded >= 0, 0x80 | positive, positive).astype(np.uint8).tobytes()
    return codes


@needs_espeak
def test_long_audio_goes_window_by_window() -> None:
    """Each of the words that are said again and again is found where it is, over several windows."""
    audio, layout, true = said(SENTENCE)
    times, seconds = 12, len(audio) / 2 / layout.sample_rate
    words = aligner().align(" ".join([SENTENCE] * (times + 3)), audio * times, layout)
    starts = [word.start + number * seconds for number in range(times) for word in true]
    assert [word.text for word in words[: len(starts)]] == SENTENCE.split() * times
    errors = [abs(word.start - start) for word, start in zip(words, starts, strict=False)]
    assert np.percentile(errors, 95) < 0.1
    assert abs(len(words) - len(starts)) <= 1


def test_no_grammar_has_more_words_than_could_be_said() -> None:
    """So neither its size nor what it takes to make grows with the text."""
    text = "Is there anything else that I can do for you? " * 500
    with patch.object(Decoder, "find", autospec=True, return_value=[]) as find:
        finder().find(text, np.frombuffer(noise(2.0), np.int16))
    (_, arcs, samples), _ = find.call_args
    assert len({arc.piece for arc in arcs}) <= len(samples) / 160 / 3


@needs_espeak
def test_pauses_and_noise_beneath_the_speech_do_no_harm() -> None:
    audio, layout, _ = said(SENTENCE)
    pause = bytes(2 * layout.samples(5.0))
    plain = aligner().align(SENTENCE, audio, layout)
    late = aligner().align(SENTENCE, pause + audio + pause, layout)
    assert [word.text for word in late] == [word.text for word in plain]
    assert late[0].start == pytest.approx(5.0 + plain[0].start, abs=0.06)
    assert late[-1].end is not None
    samples = np.frombuffer(pause + audio, np.int16) + np.random.default_rng(1).normal(0, 100, len(pause + audio) // 2)
    noisy = aligner().align(SENTENCE, np.clip(samples, -32768, 32767).astype(np.int16).tobytes(), layout)
    assert [word.text for word in noisy] == [word.text for word in plain]
    assert np.median([abs(one.start - other.start) for one, other in zip(noisy, late, strict=True)]) < 0.05


@needs_espeak
def test_many_threads_get_what_one_gets() -> None:
    audio, layout, _ = said(SENTENCE)
    alone = aligner().align(SENTENCE, audio, layout)
    found: list[list[Word]] = []
    threads = [
        threading.Thread(target=lambda: found.append(aligner().align(SENTENCE, audio, layout)), daemon=True)
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [alone] * 4


@needs_espeak
def test_hardly_anything_is_left_of_the_audio_before() -> None:
    """The decoder begins with the Gaussians that fitted last: that may move a word by a few frames."""
    audio, layout, _ = said(SENTENCE)
    fresh = PocketsphinxAligner()
    first = fresh.align(SENTENCE, audio, layout)
    fresh.align("What is this noise?", noise(3.0), FORMAT)
    again = fresh.align(SENTENCE, audio, layout)
    assert [word.text for word in again] == [word.text for word in first]
    assert max(abs(word.start - other.start) for word, other in zip(again, first, strict=True)) < 0.05


@needs_espeak
def test_another_language_is_pronounced_by_espeak() -> None:
    text = "Guten Tag, Ihr Tisch ist für 20 Uhr reserviert, wir freuen uns auf Sie."
    audio, layout, true = said(text, "de")
    words = PocketsphinxAligner(language="de").align(text, audio, layout)
    assert [word.text for word in words] == text.split()
    assert np.median([abs(word.start - other.start) for word, other in zip(words, true, strict=True)]) < 0.08


@portable
def test_without_espeak_words_are_pronounced_by_rules() -> None:
    with patch.dict(sys.modules, {"espeakng_loader": None}), patch("playback.espeak._load", side_effect=_missing):
        pronouncer = Pronouncer(dictionaries.english(), "en-us", by_letters=True)
        assert pronouncer.of("blorptastic") == (from_letters("blorptastic"),)
        assert pronouncer.of("привет") == ()


def _missing() -> None:
    from playback.espeak import SpeechError

    raise SpeechError("eSpeak NG is not here")


@portable
def test_pronunciations() -> None:
    pronouncer = Pronouncer(dictionaries.english(), None, by_letters=True)
    assert "T EY B AH L" in pronouncer.of("table")
    assert len(pronouncer.of("the")) >= 2
    assert pronouncer.of("W") == ("D AH B AH L Y UW",)
    assert pronouncer.of("A") == ("EY",)
    assert pronouncer.of("flight's")[0].endswith("T S")
    for sounds in (from_letters("Phoenixology"), from_ipa("nˈuːjɛn"), from_ipa("dʒˌælɐpˈiːnjoʊ")):
        assert sounds
        assert set(sounds.split()) <= set(PHONES)
    assert from_ipa("tʃˈɛɹd") == "CH EH R D"
    assert from_letters("123") == from_ipa("♪") == ""


@portable
def test_a_dictionary_has_what_its_file_has(tmp_path: Path) -> None:
    file = tmp_path / "words.dict"
    file.write_text("hello HH AH L OW\nhello(2) HH EH L OW\nhell HH EH L\n")
    words = Dictionary(file)
    assert words["hello"] == ["HH AH L OW", "HH EH L OW"]
    assert words["hell"] == ["HH EH L"]
    assert "hel" not in words
    assert "" not in words
    assert "hell HH" not in words
    assert words.phones() == {"HH", "AH", "L", "OW", "EH"}


@portable
@pytest.mark.parametrize(
    ("piece", "said"),
    [
        ("$42.", "forty two dollars"),
        ("3/4", "three quarters"),
        ("10:00", "ten o'clock"),
        ("2024-03-04", "march fourth twenty twenty four"),
        ("21st", "twenty first"),
        ("007", "zero zero seven"),
        ("1,000,000", "one million"),
        ("NASA", "nasa"),
        ("NASA", "N A S A"),
        ("３", "three"),
        ("e.g.", "for example"),
        ("&", "and"),
    ],
)
def test_spoken_forms(piece: str, said: str) -> None:
    assert tuple(said.split()) in form_of(piece)[0]


@portable
@pytest.mark.parametrize("piece", ["", "🎉", "...", "—", "**", ",", "x" * 300])
def test_what_is_not_spoken_has_no_form(piece: str) -> None:
    assert form_of(piece) == ()


@portable
def test_what_may_be_left_out_leaves_every_way_open() -> None:
    grammar = Grammar(Pronouncer(dictionaries.english(), None, by_letters=True), "en")
    grammar.add(pieces_of("A state-of-the-art e-mail"), 0, 1_000)
    reached = {0}
    for arc in sorted(grammar.arcs):
        assert arc.start in reached or any(other.end == arc.start for other in grammar.arcs)
        reached.add(arc.end)
    assert grammar.is_mostly_known
    assert not grammar.silent


@portable
def test_a_text_in_another_script_has_no_words_and_a_few_characters_of_one_share_time() -> None:
    assert aligner().align("你好，我有十五个苹果。", noise(2.0), FORMAT) == []
    assert [piece.text for piece in pieces_of("Hi 你好。 you")] == ["Hi", "你", "好。", "you"]
    if HAS_ESPEAK:
        audio, layout, _ = said("Well, John and Mary are here today.")
        with patch("playback.align.pronouncing.phonemes", return_value=""):
            samples = np.frombuffer(resampled(audio, layout, FORMAT), np.int16)
            words = finder().find("Well, John 你好 and Mary are here today.", samples)
        assert [word.text for word in words] == ["Well,", "John", "你", "好", "and", "Mary", "are", "here", "today."]
        assert words[1].end == words[2].start
        assert words[2].end == words[3].start


@portable
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"language": 1}, TypeError, "language is 1"),
        ({"model": "/nowhere", "dictionary": __file__}, FileNotFoundError, "model is '/nowhere'"),
        ({"model": "/nowhere"}, ValueError, "without a dictionary"),
        ({"dictionary": "/nowhere"}, FileNotFoundError, "/nowhere"),
        ({"dictionary": "/dev/null"}, ValueError, "expected a word and its phones"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PocketsphinxAligner(**arguments)


@portable
def test_what_is_no_text_and_no_audio_is_refused() -> None:
    with pytest.raises(TypeError, match="text is 3"):
        aligner().align(3, b"", FORMAT)  # type: ignore[arg-type]
    with pytest.raises(FormatError):
        aligner().align("Hello", 3, FORMAT)  # type: ignore[arg-type]


@portable
@pytest.mark.parametrize("module", ["pocketsphinx", "num2words"])
def test_it_says_what_to_install(module: str) -> None:
    with (
        patch.dict(sys.modules, {module: None}),
        pytest.raises(ModuleNotFoundError, match=r"voice-playback\[align\]"),
    ):
        PocketsphinxAligner()


@portable
def test_a_decoder_that_knows_too_many_words_is_replaced() -> None:
    made, samples = finder(), np.frombuffer(noise(1.0), np.int16)
    first = made._decoder
    with patch("playback.align.decoder._MOST_WORDS", 3):
        words = made.find("Hello there, how are you?", samples)
        assert made._decoder is first
        assert [word.text for word in made.find("Hello there, how are you?", samples)] == [word.text for word in words]
    assert made._decoder is not first
    second = made._decoder
    made.find("Hello there, how are you?", samples)
    assert made._decoder is second


@portable
def test_memory_does_not_grow_with_what_was_aligned() -> None:
    psutil = pytest.importorskip("psutil")
    aligner().align("Hello there, how are you?", noise(0.3), FORMAT)
    both = psutil.Process(), psutil.Process(aligner()._process.pid)

    def used() -> int:
        return sum(process.memory_info().rss for process in both)

    for _ in range(20):
        aligner().align("Hello there, how are you?", noise(0.3), FORMAT)
    gc.collect()
    before = used()
    for _ in range(80):
        aligner().align("Hello there, how are you?", noise(0.3), FORMAT)
    gc.collect()
    assert used() - before < 15e6
