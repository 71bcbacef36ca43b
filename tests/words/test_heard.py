"""What was heard of a text, of each kind that people write."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playback.words.heard import heard_of, heard_words, join_texts, join_words
from playback.words.tokens import tokens
from tests.words.languages import TEXTS, Part


def heard_parts(parts: tuple[Part, ...], count: int) -> int:
    """How many pieces of a text were heard with so many words."""
    number = 0
    for number, part in enumerate(parts):
        count -= len(part.spoken)
        if count < 0:
            return number
    return number + 1


def ends_within(heard: str, parts: tuple[Part, ...], count: int) -> bool:
    """Whether no more of the text counts as heard than was spoken with so many words."""
    number = heard_parts(parts, count)
    text = "".join(part.written for part in parts[:number])
    # Of the next piece some may be heard: parts of what a hyphen joins.
    rest = parts[number] if number < len(parts) else Part("", ())
    spoken = sum(len(part.spoken) for part in parts[:number])
    begun = "".join(token.key for word in rest.spoken[: count - spoken] for token in tokens(word))
    extra = "".join(token.key for token in tokens(heard[len(text) :]))
    return len(heard) <= len(text) or begun.startswith(extra)


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("known", ["all", "so far", "one more"])
@pytest.mark.parametrize("name", TEXTS)
def test_never_a_word_that_was_not_heard(name: str, known: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    """Cut at each word, with all words known or only those up to the cut."""
    parts = TEXTS[name]
    text = "".join(part.written for part in parts)
    words = [unicodedata.normalize(form, word) for part in parts for word in part.spoken]
    for count in range(len(words)):
        sent = {"all": len(words), "so far": count, "one more": count + 1}[known]
        heard = heard_of(text, words[:sent], count, is_final=known == "all")
        assert text.startswith(heard)
        assert ends_within(heard, parts, count), f"{heard!r} with {words[:count]} of {words[:sent]}"
    assert heard_of(text, words, len(words), is_final=True) == text


@pytest.mark.parametrize("name", TEXTS)
def test_right_to_the_word_where_all_word_times_are_known(name: str) -> None:
    """After each piece whose neighbours are spelled as they are spoken, exactly that much was heard."""
    parts = TEXTS[name]
    text = "".join(part.written for part in parts)
    words = [word for part in parts for word in part.spoken]
    said = written = 0
    for part, after in zip(parts, [*parts[1:], Part("", ())], strict=True):
        said += len(part.spoken)
        written += len(part.written)
        if part.spoken and is_spelled_alike(after):
            heard = heard_of(text, words, said, is_final=True)
            assert [token.key for token in tokens(heard)] == [token.key for token in tokens(text[:written])]


def is_spelled_alike(part: Part) -> bool:
    return bool(part.spoken) and letters(part.written) == letters("".join(part.spoken))


def letters(text: str) -> str:
    return "".join(token.key for token in tokens(text))


PIECES: dict[str, Callable[[str], list[str]]] = {
    "characters": list,
    "two characters": lambda text: [text[at : at + 2] for at in range(0, len(text), 2)],
    "leading spaces": lambda text: [("" if at == 0 else " ") + word for at, word in enumerate(text.split(" "))],
    "trailing spaces": lambda text: [word + " " for word in text.split(" ")],
    "words": lambda text: text.split(" "),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("pieces", PIECES)
def test_whole_words_only_in_whatever_pieces_they_are_sent(name: str, pieces: str) -> None:
    text = "".join(part.written for part in TEXTS[name] if "<" not in part.written)
    sent = PIECES[pieces](text)
    spans = [(token.start, token.end) for token in tokens(text)]
    played = 0
    for count in range(len(sent)):
        exact = max((end for _, end in spans if end <= played), default=0)
        assert heard_of(text, sent, count, is_final=True) == text[:exact]
        assert pieces == "words" or not any(start < len(heard_words(sent, count)) < end for start, end in spans)
        played += len(sent[count]) + (pieces == "words")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The total is $42.", "The total is forty two dollars"),
        ("See you on 3/4", "See you on March fourth"),
        ("See you 🙂", "See you"),
        ("Done!", "Done"),
        ("5.", "five"),
        ("...", "dot dot dot"),
        ("It is 10 p.m.", "It is ten p m"),
        ("你好吗？", "你 好 吗"),
    ],
)
def test_all_words_of_an_utterance_that_ended_are_all_of_its_text(text: str, words: str) -> None:
    spoken = words.split()
    assert heard_of(text, spoken, len(spoken), is_final=True) == text
    assert heard_of(text, spoken, len(spoken) - 1, is_final=True) != text


@pytest.mark.parametrize(
    ("text", "words", "heard"),
    [
        ("Hello there, my friend", "Hello there", "Hello there"),
        ("Table for eight, tonight!", "Table 8", "Table"),
        ("Your booking is confirmed", "Your book", "Your"),
        ("One two three four", "", ""),
    ],
)
def test_words_that_are_still_to_come_were_not_heard(text: str, words: str, heard: str) -> None:
    """An utterance may have ended before the times of its last words arrive."""
    assert heard_of(text, words.split(), len(words.split()), is_final=True) == heard


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("Hello there", "Hello there"),
        ("Hello , there !", "Hello, there!"),
        ("¿ Qué tal ?", "¿Qué tal?"),
        ("He said ( twice ) “ no ” .", "He said (twice) “no”."),
        ("I do n't know it 's", "I do n't know it's"),
        ("こ ん に ち は", "こんにちは"),
        ("你 好 ， 世 界 。", "你好，世界。"),
        ("สวัสดี ครับ", "สวัสดีครับ"),
        ("안녕 하세요", "안녕 하세요"),
        ("ठीक है ।", "ठीक है।"),
        ("مرحبا ، كيف", "مرحبا، كيف"),
    ],
)
def test_words_without_a_text_are_joined_as_their_language_is_written(words: str, text: str) -> None:
    spoken = words.split()
    joined, ends = join_words(spoken)
    assert joined == heard_words(spoken, len(spoken)) == text
    assert [joined[:end].endswith(word) for word, end in zip(spoken, ends, strict=True)] == [True] * len(spoken)


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        (["Hello.", "", "Bye."], "Hello. Bye."),
        (["你好。", "再见。"], "你好。再见。"),
        (["สวัสดี", "ครับ"], "สวัสดีครับ"),
        (["", ""], ""),
        ([], ""),
    ],
)
def test_texts_are_joined_as_their_language_is_written(texts: list[str], joined: str) -> None:
    assert join_texts(texts) == joined


ALPHABET = st.text(
    st.one_of(st.sampled_from("ab01 .,'’-$é́कि你はスกำ🙂<>&@/\u200d\u200b\n\ud800"), st.characters()), max_size=12
)


@given(st.one_of(ALPHABET, st.none()), st.lists(ALPHABET, max_size=8), st.data(), st.booleans())
def test_no_text_and_no_words_break_it(text: str | None, words: list[str], data: Any, is_final: bool) -> None:
    count = data.draw(st.integers(0, len(words)))
    joined, ends = join_words(words)
    assert len(ends) == len(words)
    assert heard_words(words, count) in joined
    if text is not None:
        assert text.startswith(heard_of(text, words, count, is_final=is_final))


@given(st.one_of(ALPHABET, st.text()))
def test_tokens_are_words_in_order(text: str) -> None:
    end = 0
    for token in tokens(text):
        assert token.key
        assert end <= token.start < token.end <= len(text)
        assert any(map(str.isalnum, text[token.start : token.end]))
        end = token.end


TYPOGRAPHY = "'’ʼ＇.․,٫٬-–—…€$“”„«»🎉\u00ad\u2028"


@given(st.text(st.one_of(st.characters(max_codepoint=127), st.sampled_from(f"a1 {TYPOGRAPHY}"))))
def test_plain_text_has_the_tokens_of_any_text(text: str) -> None:
    """The fast way for ASCII with typographic characters and the one for all of Unicode agree."""
    assert tokens(text) == [token for token in tokens(text + " é") if token.end <= len(text)]


def test_what_is_near_the_end_of_a_window_of_many_words_is_aligned() -> None:
    """More words than are aligned at once, each tenth of them spelled otherwise."""
    written = [f"{n}" if n % 10 == 0 else f"word{n}" for n in range(1, 12_001)]
    spoken = [f"number{n}" if n % 10 == 0 else f"word{n}" for n in range(1, 12_001)]
    for count in (1, 2_999, 3_000, 3_001, 4_005, 8_888, 11_999):
        assert heard_of(" ".join(written), spoken, count, is_final=True) == " ".join(written[:count])
