"""What was heard, estimated from how much of the speech was played."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from playback.words.estimate import USUAL_RATE, Sound, estimate, speaking_rate, word_times
from playback.words.lengths import lengths
from playback.words.tokens import tokens, without_markup
from tests.words.languages import TEXTS

WINDOW = 0.02
PAUSE = 0.3
"""How long the synthetic speech pauses at punctuation, in seconds."""


def spoken(text: str, rate: float = USUAL_RATE) -> tuple[NDArray[np.uint8], list[float]]:
    """The loudness of a text, spoken at an even rate with pauses at its punctuation, and where each word ends."""
    written = tokens(without_markup(text))
    windows: list[int] = []
    ends = []
    exact = 0.0
    for length, one, other in zip(lengths(text, written), written, [*written[1:], None], strict=True):
        exact += length / rate / WINDOW
        windows += [60] * (round(exact) - sum(map(bool, windows)))
        ends.append(len(windows) * WINDOW)
        if other is not None and any(mark in text[one.end : other.start] for mark in ",.;:!?"):
            windows += [0] * round(PAUSE / WINDOW)
    return np.array(windows, np.uint8), ends


def texts() -> list[str]:
    return ["".join(part.written for part in parts) for parts in TEXTS.values()]


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("name", TEXTS)
def test_whole_words_that_grow_with_what_was_played(name: str, ended: bool) -> None:
    text = "".join(part.written for part in TEXTS[name])
    windows, _ = spoken(text)
    ends = [0, *(token.end for token in tokens(without_markup(text)))]
    before = 0
    for played in np.arange(0, len(windows) * WINDOW + 0.1, 0.03):
        heard = estimate(text, Sound(windows, WINDOW, float(played), ended))
        assert text.startswith(heard)
        assert heard == text or len(heard) in ends
        assert len(heard) >= before
        before = len(heard)
    assert before == len(text) if ended else before >= ends[-2]


@pytest.mark.parametrize("rate", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("name", TEXTS)
def test_right_to_the_word_where_the_speech_is_even(name: str, rate: float) -> None:
    text = "".join(part.written for part in TEXTS[name])
    windows, ends = spoken(text, rate * USUAL_RATE)
    written = tokens(without_markup(text))
    off = []
    for end in ends[:-1]:
        heard = estimate(text, Sound(windows, WINDOW, end + 0.02, True))
        off.append(sum(token.end <= len(heard) for token in written) - sum(other <= end for other in ends))
    assert not off or max(map(abs, off)) <= 1
    assert sum(map(abs, off)) <= len(off) / 5


def test_silence_does_not_count() -> None:
    text = "Your table is booked for eight."
    windows, ends = spoken(text)
    for silence in (0.3, 2.0, 20.0):
        quiet = np.zeros(round(silence / WINDOW), np.uint8)
        around = np.concatenate([quiet, windows, quiet])
        assert estimate(text, Sound(around, WINDOW, silence, True)) == ""
        assert estimate(text, Sound(around, WINDOW, silence + ends[2] + 0.02, True)) == "Your table is"
        assert estimate(text, Sound(around, WINDOW, silence + ends[-1], True)) == text
        assert estimate(text, Sound(around, WINDOW, silence, False)) == ""


def test_noise_and_the_tail_of_a_word_are_silence() -> None:
    text = "Your table is booked for eight."
    windows, ends = spoken(text)
    noisy = np.maximum(np.concatenate([windows, np.zeros(50, np.uint8)]), 2)
    assert estimate(text, Sound(noisy, WINDOW, ends[-1], True)) == text


def test_pauses_hold_the_estimate_where_a_phrase_is_spoken_slowly() -> None:
    text = "Thank you for calling us today, we have found three tables, all by the window, for tonight."
    windows, ends = spoken(text)
    first = round(ends[5] / WINDOW)
    slow = np.concatenate([np.repeat(windows[:first], 3)[::2], windows[first:]])  # it takes half as long again
    later = len(slow) * WINDOW - len(windows) * WINDOW
    assert estimate(text, Sound(slow, WINDOW, ends[5] + later + 0.02, True)) == "Thank you for calling us today"
    table = "Thank you for calling us today, we have found three tables"
    assert estimate(text, Sound(slow, WINDOW, ends[10] + later + 0.02, True)) == table


def test_while_it_is_still_running_no_more_than_its_rate_allows() -> None:
    text = "Your table is booked for eight, and the kitchen is open until eleven."
    windows, ends = spoken(text)
    part = windows[: round((ends[4] + 0.2) / WINDOW)]
    assert estimate(text, Sound(part, WINDOW, ends[3] + 0.02, False)) == "Your table is booked"
    assert estimate(text, Sound(part, WINDOW, len(part) * WINDOW, False)) != text


def test_the_rate_of_a_voice_is_found_from_what_it_has_said() -> None:
    text = "Your table is booked for eight, and the kitchen is open until eleven."
    for rate in (10.0, 20.0, 40.0):
        windows, ends = spoken(text, rate)
        found = speaking_rate(text, Sound(windows, WINDOW, 0.0, True))
        assert found == pytest.approx(rate, rel=0.1)
        part = windows[: round((ends[4] + 0.2) / WINDOW)]
        assert estimate(text, Sound(part, WINDOW, ends[3] + 0.02, False), rate) == "Your table is booked"


@pytest.mark.parametrize("name", TEXTS)
def test_when_each_word_sounds(name: str) -> None:
    text = "".join(part.written for part in TEXTS[name])
    windows, ends = spoken(text)
    quiet = np.zeros(25, np.uint8)
    words = word_times(text, Sound(np.concatenate([quiet, windows, quiet]), WINDOW, 0.0, True))
    assert [word.text for word in words] == [text[token.start : token.end] for token in tokens(without_markup(text))]
    assert [word.end for word in words] == pytest.approx([end + 0.5 for end in ends], abs=0.15)
    assert all(word.end is not None and 0.48 <= word.start < word.end for word in words)
    assert all(word.end <= other.start for word, other in pairwise(words) if word.end is not None)


def test_of_audio_that_is_still_to_come_no_word_is_known() -> None:
    text = "Your table is booked for eight, and the kitchen is open until eleven."
    windows, ends = spoken(text)
    words = word_times(text, Sound(windows[: round((ends[4] + 0.1) / WINDOW)], WINDOW, 0.0, False))
    assert [word.text for word in words] == text.split()[:5]
    assert word_times(text, Sound(np.zeros(0, np.uint8), WINDOW, 0.0, True)) == []
    assert word_times("...", Sound(windows, WINDOW, 0.0, True)) == []


def test_nothing_is_known_of_a_voice_that_says_nothing() -> None:
    assert speaking_rate("", Sound(np.full(9, 60, np.uint8), WINDOW, 0.0, True)) is None
    assert speaking_rate("Hello", Sound(np.zeros(0, np.uint8), WINDOW, 0.0, True)) is None


def test_digits_are_read_as_words() -> None:
    assert lengths("1234", tokens("1234")) > lengths("four", tokens("four"))


@given(
    st.text() | st.sampled_from(texts()),
    st.lists(st.integers(0, 127), max_size=300),
    st.floats(0, 10),
    st.booleans(),
    st.floats(1, 100),
)
def test_whatever_the_text_and_the_audio_it_is_the_beginning(
    text: str, windows: list[int], played: float, ended: bool, rate: float
) -> None:
    heard = estimate(text, Sound(np.array(windows, np.uint8), WINDOW, played, ended), rate)
    assert text.startswith(heard)
