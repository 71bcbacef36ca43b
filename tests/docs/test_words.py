"""The words that are not to be used are found where they are, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.docs.words import LIST, ROOT, Word, Words, check

WORDS: Final = Words.load(ROOT / LIST)
each_word = pytest.mark.parametrize("word", WORDS.words, ids=lambda word: word.write.split(",")[0])


def test_nothing_uses_a_word_that_is_not_to_be_used() -> None:
    assert check(ROOT) == []


@each_word
def test_what_is_wrong_is_found(word: Word) -> None:
    assert word.wrong
    assert all(word.pattern.search(line) for line in word.wrong)


@each_word
def test_what_is_right_is_not(word: Word) -> None:
    assert word.right
    assert not [line for line in word.right if word.pattern.search(line)]


def test_exceptions_say_why() -> None:
    assert all(each.why for each in WORDS.exceptions)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with a list of one word, that may be used in one place."""
    (tmp_path / LIST).write_text(
        "[[word]]\npattern = '\\bfloor\\b'\nwrite = 'baseline'\nwithin = ['benchmarks/**', 'README.md']\n"
        "[[except]]\nfile = 'README.md'\ntext = 'the ground floor'\nwhy = 'of a house'\n"
    )
    (tmp_path / "README.md").write_text("Where it is: the ground floor.\n")
    (tmp_path / "benchmarks" / "micro").mkdir(parents=True)
    return tmp_path


def test_a_word_is_found_wherever_it_is_looked_for(tree: Path) -> None:
    assert check(tree) == []
    (tree / "benchmarks" / "micro" / "run.py").write_text("# as a\n# multiple of the floor\n")
    for other in (tree / "docs", tree / "tests" / "benchmarks"):
        other.mkdir(parents=True)
        (other / "agent.md").write_text("The user has the floor.\n")
    assert check(tree) == ["benchmarks/micro/run.py:2:19: 'floor', expected baseline"]


def test_an_exception_is_for_its_words_alone(tree: Path) -> None:
    (tree / "README.md").write_text("Where it is: the ground floor. A floor.\n")
    assert check(tree) == ["README.md:1:34: 'floor', expected baseline"]


def test_an_exception_that_is_not_needed_is_reported(tree: Path) -> None:
    (tree / "README.md").write_text("Where it is.\n")
    assert check(tree) == [f"{LIST}: 'the ground floor' is not in README.md: drop it"]
