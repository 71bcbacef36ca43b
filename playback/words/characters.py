"""Characters to words: for synthesizers that send a time for each character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from unicodedata import category

from playback.words.tokens import is_unspaced
from playback.words.word import Word

_REMEMBERED: Final = 200
"""How many characters are remembered to recognize those that are sent again; a sentence, mostly."""


class CharacterJoiner:
    """Joins characters to words, which may run across payloads.

    Spaces separate words. In scripts that are written without spaces, each character is a word of its own.
    """

    def __init__(self) -> None:
        self._text = ""
        self._start = 0.0
        self._end = 0.0
        self._seen = ""

    def add(self, characters: Sequence[str], starts: Sequence[float], ends: Sequence[float]) -> list[Word]:
        """The words that are complete now.

        Characters that were sent before, and are sent again by a synthesis that begins anew a little earlier, are
        skipped. They are recognized by their times, whose middle is before the end of the last one, and letters.

        Args:
            characters: one letter each, or several.
            starts: when each begins, in seconds from the utterance's start.
            ends: when each ends.
        """
        words: list[Word] = []
        first = self._repeated(characters, starts, ends)
        for character, start, end in list(zip(characters, starts, ends, strict=True))[first:]:
            if not character.strip() or (self._text and not self._continues(character)):
                words += self.flush()
            if not character.isspace():
                self._start = self._start if self._text else start
                self._text += character
            self._end = max(start, end)
            self._seen = (self._seen + character)[-_REMEMBERED:]
        return words

    def flush(self) -> list[Word]:
        """The word that is still open, if there is one."""
        text, self._text = self._text, ""
        return [Word(text, self._start, max(self._start, self._end))] if text else []

    def _continues(self, character: str) -> bool:
        """Whether a character belongs to the word that is open."""
        if category(character[0]).startswith("M"):
            return True
        return not is_unspaced(character[0]) and not (is_unspaced(self._text[0]) and character[0].isalnum())

    def _repeated(self, characters: Sequence[str], starts: Sequence[float], ends: Sequence[float]) -> int:
        """How many of the first characters were sent before."""
        middles = ((start + end) / 2 for start, end in zip(starts, ends, strict=True))
        limit = next((number for number, middle in enumerate(middles) if middle >= self._end), len(starts))
        for number in range(limit, 0, -1):
            if self._seen.endswith("".join(characters[:number])):
                return number
        return 0
