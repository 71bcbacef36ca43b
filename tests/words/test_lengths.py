"""How long words sound: numbers and symbols as they are spoken, and words by their letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback.words.lengths import lengths
from playback.words.numbers import spoken
from playback.words.tokens import tokens, without_markup


def length_of(text: str) -> float:
    return sum(lengths(text, tokens(text)))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("0", "zero"),
        ("7", "seven"),
        ("10", "ten"),
        ("42", "forty two"),
        ("100", "one hundred"),
        ("402", "four hundred two"),
        ("1,250", "one thousand two hundred fifty"),
        ("1.250", "one thousand two hundred fifty"),
        ("1,00,000", "one hundred thousand"),
        ("2,000,000", "two million"),
        ("1998", "nineteen ninety eight"),
        ("1,998", "one thousand nine hundred ninety eight"),
        ("1900", "nineteen hundred"),
        ("2000", "two thousand"),
        ("2004", "two thousand four"),
        ("2024", "twenty twenty four"),
        ("3.5", "three point five"),
        ("0,25", "zero point two five"),
        ("1.2.3", "one point two point three"),
        ("05", "zero five"),
        ("5550123", "five five five zero one two three"),
    ],
)
def test_a_number_is_as_long_as_its_words(number: str, words: str) -> None:
    assert " ".join(spoken(number)) == words


@pytest.mark.parametrize(
    ("number", "words"), [("42.50", "forty two fifty cents"), ("42.00", "forty two"), ("42", "forty two")]
)
def test_of_money_two_decimals_are_a_number(number: str, words: str) -> None:
    assert " ".join(spoken(number, is_amount=True)) == words


@given(st.from_regex(r"[0-9]+([.,][0-9]+)*", fullmatch=True), st.booleans())
def test_whatever_the_number_something_is_said(number: str, is_amount: bool) -> None:
    words = spoken(number, is_amount=is_amount)
    assert words
    assert len(words) <= 4 * len(number)


def test_a_number_of_any_length_is_read_digit_by_digit() -> None:
    assert spoken("7" * 10_000) == ["seven"] * 10_000


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$42.50", "forty two dollars fifty cents"),
        ("42,50€", "forty two fifty cents euros"),
        ("15%", "fifteen percent"),
        ("20°", "twenty degrees"),
        ("B&B", "B and B"),
        ("1,250", "one thousand two hundred fifty"),
    ],
)
def test_what_is_spoken_otherwise_is_as_long_as_what_is_spoken(written: str, said: str) -> None:
    assert length_of(written) == pytest.approx(length_of(said))


def test_a_symbol_belongs_to_the_word_beside_it() -> None:
    def by_word(text: str) -> list[float]:
        return lengths(text, tokens(text))

    plain = by_word("pay 42 now")
    assert [one > other for one, other in zip(by_word("pay $42 now"), plain, strict=True)] == [False, True, False]
    assert [one > other for one, other in zip(by_word("pay 42% now"), plain, strict=True)] == [False, True, False]
    assert [one > other for one, other in zip(by_word("pay 42 now %"), plain, strict=True)] == [False, False, True]
    assert lengths("$%&", tokens("$%&")) == []


def test_symbols_in_markup_are_silent() -> None:
    text = '<audio src="a?b=1&c=2"/>Your table'
    assert lengths(text, tokens(without_markup(text))) == lengths("Your table", tokens("Your table"))


def test_capital_letters_are_named_unless_all_are_capital() -> None:
    assert length_of("the FAQ page") > length_of("the faq page")
    assert length_of("THE FAQ PAGE") == length_of("the faq page")


@given(st.text())
def test_every_word_of_any_text_has_a_length(text: str) -> None:
    written = tokens(text)
    found = lengths(text, written)
    assert len(found) == len(written)
    assert all(length > 0 for length in found)
