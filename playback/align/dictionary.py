"""Dictionaries of pocketsphinx: how words are pronounced."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final


class Dictionary:
    """A pronunciation dictionary: on each line a word and its phones; ``word(2)`` is another pronunciation.

    It keeps the file as it is, 3 MB for pocketsphinx's English one; as a dict of lists it would take ten times as much.

    Args:
        path: the file, in UTF-8.

    Raises:
        OSError: it can't be read.
        ValueError: it is not UTF-8.
    """

    def __init__(self, path: Path) -> None:
        text = path.read_text("utf-8")
        self._text: Final = f"\n{text}\n"

    def __contains__(self, word: str) -> bool:
        return bool(self[word])

    def __getitem__(self, word: str) -> list[str]:
        """The pronunciations of a word, each as phones separated by spaces; none if it is not there."""
        found: list[str] = []
        key = word
        while word and not any(map(str.isspace, word)):
            at = self._text.find(f"\n{key} ")
            if at < 0:
                break
            at += len(key) + 1
            found.append(" ".join(self._text[at : self._text.index("\n", at)].split()))
            key = f"{word}({len(found) + 1})"
        return found

    def phones(self) -> frozenset[str]:
        """All phones that it uses."""
        return frozenset(phone for line in self._text.splitlines() for phone in line.split()[1:])


def model_path(name: str) -> Path:
    """A file or folder of the models that come with pocketsphinx.

    Raises:
        ModuleNotFoundError: pocketsphinx is not installed.
    """
    try:
        from pocketsphinx import get_model_path
    except ModuleNotFoundError as error:
        message = "the words need pocketsphinx: install it with pip install 'voice-playback[align]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    return Path(get_model_path(name))


@cache
def english() -> Dictionary:
    """Pocketsphinx's own dictionary, CMUdict.

    Raises:
        ModuleNotFoundError: pocketsphinx is not installed.
    """
    return Dictionary(model_path("en-us/cmudict-en-us.dict"))
