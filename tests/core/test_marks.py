"""Marks, and the report of what was heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

from playback import AudioFormat, PlaybackController, Utterance
from playback.events import MarkReached
from tests.signals import CUTS, FRAME, RATE, Heard, ramp


class Said(Heard):
    """A controller and the utterance that was put into it."""

    handle: Utterance


def marks(case: Heard) -> list[tuple[object, int]]:
    """Payload and position of the marks that were reached."""
    return [(event.payload, event.position) for event in case.events if isinstance(event, MarkReached)]


Words = Sequence[tuple[str, int, int | None]]
"""Each word with its start and, if it is known, its end, in samples."""


def said(text: str | None, words: Words, samples: int = 10 * FRAME, **options: Any) -> Said:
    case = Said(PlaybackController(AudioFormat(RATE), fades=CUTS, **options))
    utterance = case.handle = case.controller.utterance(text=text)
    for word, at, until in words:
        utterance.mark(word, at=at / RATE, until=None if until is None else until / RATE)
    utterance.push(ramp(samples))
    utterance.end()
    return case


def heard(case: Said, reads: int) -> str | None:
    for _ in range(reads):
        case.read()
    case.controller.interrupt()
    assert case.handle.report is not None
    return case.handle.report.heard


class TestReached:
    def test_once_the_samples_before_it_are_played_to_the_sample(self) -> None:
        case = said(None, [("start", 0, None), ("one", 1, None), ("frame", 480, None), ("later", 700, None)])
        assert marks(case) == []
        case.read()
        assert marks(case) == [("start", 0), ("one", 1), ("frame", 480)]
        case.read()
        assert marks(case)[3:] == [("later", 700)]

    def test_beyond_the_end_just_before_the_last_byte(self) -> None:
        case = said(None, [("beyond", 99_999, None)], samples=100)
        case.read()
        assert case.emitted() == [
            "state_changed",
            "state_changed",
            "first_audio_byte",
            "mark_reached",
            "last_audio_byte",
            "utterance_finished",
            "state_changed",
        ]

    def test_of_an_empty_utterance_at_its_end(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.mark("only", at=0)
        assert case.emitted() == []
        utterance.end()
        assert case.emitted() == ["mark_reached", "last_audio_byte", "utterance_finished"]

    def test_late_at_once(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.push(ramp(4 * FRAME))
        case.read()
        assert utterance.mark("late", at=100 / RATE)
        assert marks(case) == [("late", FRAME)]
        assert utterance.mark("next", at=500 / RATE)
        case.read()
        assert marks(case) == [("late", FRAME), ("next", 500)]

    def test_by_default_where_the_audio_stands(self) -> None:
        case = Heard()
        utterance = case.controller.utterance()
        utterance.push(ramp(100))
        utterance.mark("here")
        utterance.push(ramp(500))
        case.read()
        assert marks(case) == [("here", 100)]

    def test_in_the_order_of_their_places_not_of_their_making(self) -> None:
        case = said(None, [("b", 200, None), ("c", 300, None), ("a", 100, None)])
        case.read()
        assert [payload for payload, _ in marks(case)] == ["a", "b", "c"]

    def test_any_object_may_be_one(self) -> None:
        case = Heard()
        payload = {"viseme": 3}
        utterance = case.controller.utterance()
        utterance.mark(payload, at=0)
        utterance.push(ramp(FRAME))
        case.read()
        assert marks(case) == [(payload, 0)]

    def test_never_after_an_interrupt(self) -> None:
        case = said(None, [("never", 700, None)])
        case.read()
        case.controller.interrupt()
        case.read(), case.read()
        assert marks(case) == []
        assert case.handle.mark("late") is False

    def test_never_for_audio_that_did_not_come(self) -> None:
        case = said(None, [("there", 0, None), ("end", 100, None), ("missing", 101, None)], samples=0)
        utterance = case.controller.utterance()
        for word, at in (("there", 0), ("end", 100), ("missing", 101)):
            utterance.mark(word, at=at / RATE)
        refused = case.controller.utterance()
        refused.mark("never", at=0)
        utterance.push(ramp(100))
        case.controller.lock()
        refused.push(ramp(100))
        refused.end()
        case.events.clear()
        case.read()
        assert [payload for payload, _ in marks(case)] == ["there", "end"]
        assert refused.report is not None

    @pytest.mark.parametrize(
        ("at", "until"), [(-0.1, None), (float("nan"), None), (0.1, float("inf")), (0.2, 0.1), (0.0, -1.0)]
    )
    def test_times_that_can_not_be(self, at: float, until: float | None) -> None:
        utterance = PlaybackController().utterance()
        with pytest.raises(ValueError, match="expected"):
            utterance.mark("word", at=at, until=until)
        utterance.end()


class TestHeard:
    WORDS: Final = [("Your", 0, None), ("table", 480, None), ("is", 960, None), ("booked", 1440, None)]
    TEXT: Final = "Your table is booked for eight."

    @pytest.mark.parametrize(
        ("reads", "words"), [(0, ""), (1, "Your"), (2, "Your table"), (3, "Your table is"), (4, "Your table is")]
    )
    def test_up_to_the_last_word_heard(self, reads: int, words: str) -> None:
        assert heard(said(self.TEXT, self.WORDS), reads) == words

    def test_a_word_whose_end_is_known_needs_no_successor(self) -> None:
        words = [("Your", 0, 400), ("table", 480, 960), ("is", 960, 1441)]
        assert heard(said(self.TEXT, words), 1) == "Your"
        assert heard(said(self.TEXT, words), 2) == "Your table"
        assert heard(said(self.TEXT, words), 3) == "Your table"
        assert heard(said(self.TEXT, words), 4) == "Your table is"

    def test_all_of_it_on_completion(self) -> None:
        assert heard(said(self.TEXT, self.WORDS), 10) == self.TEXT
        assert heard(said(self.TEXT, []), 10) == self.TEXT

    def test_the_payloads_if_there_is_no_text(self) -> None:
        assert heard(said(None, self.WORDS), 2) == "Your table"
        assert heard(said(None, self.WORDS), 10) == "Your table is booked"

    def test_none_without_marks_and_without_an_estimate(self) -> None:
        assert heard(said(self.TEXT, [], word_timing=None), 2) is None
        assert heard(said(None, []), 10) is None

    def test_a_few_words_are_enough(self) -> None:
        text = "Your table at the window is booked for eight."
        words = [("table", 0, 480), ("booked", 480, 960)]
        assert heard(said(text, words), 1) == "Your table"
        assert heard(said(text, words), 2) == "Your table at the window is booked"

    def test_words_that_are_spelled_otherwise_are_aligned_by_their_neighbours(self) -> None:
        words = [("Table", 0, 480), ("8", 480, 960), ("TONIGHT", 960, 1440)]
        assert heard(said("Table for eight, tonight!", words), 2) == "Table for eight"
        assert heard(said("Table for eight, tonight!", words), 3) == "Table for eight, tonight!"
        assert heard(said("Table for eight, tonight!", words[:2]), 2) == "Table"

    def test_two_words_of_one_place_are_heard_together(self) -> None:
        assert heard(said(None, [("one", 0, None), ("two", 0, None)]), 1) == "one"

    @pytest.mark.parametrize(
        ("text", "words", "wanted"),
        [
            (
                "Call 2 people, then two more",
                ["Call", "two", "people", "then"],
                ["", "Call", "Call 2", "Call 2 people"],
            ),
            ("Dr. Lee is in room 5; the doctor waits", ["doctor", "Lee", "is"], ["", "Dr", "Dr. Lee"]),
            ("你好世界朋友们", ["你好", "世界", "朋友们"], ["", "你好", "你好世界"]),
            ("Hello big world", ["Hello", " big", " world"], ["", "Hello", "Hello big"]),
            ("Hello big world", ["Hello ", "big ", "world "], ["", "Hello", "Hello big"]),
            ("Unbelievable story", ["Un", "believ", "able", " story"], ["", "", "", "Unbelievable"]),
            ("I don’t know", ["I", "don't", "know"], ["", "I", "I don’t"]),
            ("Hi you", list("Hi you"), ["", "", "Hi", "Hi", "Hi", "Hi"]),
            ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"], ["", "नमस्ते"]),
            ("Nothing alike", ["xyz", "abc", "def"], ["", "", ""]),
            ("", ["word", "more"], ["", ""]),
            ("...", ["word", "more"], ["", ""]),
        ],
    )
    def test_however_synthesis_spells_it(self, text: str, words: list[str], wanted: list[str]) -> None:
        marked = [(word, index * FRAME, None) for index, word in enumerate(words)]
        assert [heard(said(text, marked), reads) for reads in range(len(words))] == wanted

    @pytest.mark.parametrize(("reads", "with_text", "without"), [(1, "", "two"), (2, "one two", "one two")])
    def test_a_word_that_ends_within_another_one(self, reads: int, with_text: str, without: str) -> None:
        words = [("one", 0, 2 * FRAME), ("two", FRAME // 2, FRAME)]
        assert heard(said("one two three", words), reads) == with_text
        assert heard(said(None, words), reads) == without

    def test_spaces_among_the_payloads_are_kept(self) -> None:
        assert heard(said(None, [("Un", 0, 480), ("heard", 480, 960), (" of", 960, 1440)]), 3) == "Unheard of"

    def test_what_is_no_word_is_not_one(self) -> None:
        case = said(None, [("Hello", 0, 480)])
        case.handle.mark({"viseme": 3}, at=0.02)
        assert heard(case, 3) == "Hello"
        case = said("Hello there", [], word_timing=None)
        case.handle.mark(3, at=0.02)
        assert heard(case, 3) is None

    def test_a_payload_that_can_not_be_shown_hurts_nobody(self) -> None:
        class Broken:
            def __repr__(self) -> str:
                raise RuntimeError

        case = said("Hello", [("Hello", 0, 480)])
        case.handle.mark(Broken(), at=0.01)
        assert heard(case, 3) == "Hello"

    def test_a_rewind_unhears_nothing(self) -> None:
        case = said(self.TEXT, self.WORDS)
        case.read(), case.read()
        case.controller.pause(), case.controller.resume(rewind_seconds=1)
        assert heard(case, 0) == "Your table"


def test_a_mark_that_is_no_word_ends_none() -> None:
    """A mouth's shapes lie within a word: none of them is its end."""
    heard = Heard()
    utterance = heard.controller.utterance(text="one two")
    utterance.push(ramp(2 * FRAME))
    utterance.mark("one", at=0.0)
    utterance.mark({"viseme": 1}, at=0.0)
    utterance.mark({"viseme": 2}, at=0.01)
    utterance.mark("two", at=0.03)
    heard.read()
    heard.controller.interrupt()
    assert utterance.report is not None
    assert utterance.report.heard == ""
