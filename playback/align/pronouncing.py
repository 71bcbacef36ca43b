"""How words are pronounced: as a dictionary says, otherwise eSpeak NG, otherwise rules of spelling."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from playback.align.dictionary import Dictionary
from playback.align.phones import from_ipa, from_letters, is_latin
from playback.espeak import SpeechError, phonemes

_KNOWN: Final = 20_000
"""How many words are remembered: more than most people use."""

_VOICELESS: Final = frozenset({"P", "T", "K", "F", "TH"})
_HISSING: Final = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})

_NAMES: Final = {"a": "EY", "w": "D AH B AH L Y UW", "z": "Z IY"}
"""Letters whose names the dictionary lacks, or has as a word, too."""


class Pronouncer:
    """Finds pronunciations of words.

    Args:
        dictionary: what is looked up first, if there is one.
        voice: the voice of eSpeak's that says how other words sound; None if the model has other phones than ARPAbet's,
            so that only the dictionary counts.
        by_letters: whether words are English, so that their spelling says it where eSpeak can't.
    """

    def __init__(self, dictionary: Dictionary | None, voice: str | None, *, by_letters: bool) -> None:
        self._dictionary: Final = dictionary
        self._voice: Final = voice
        self._by_letters: Final = by_letters
        self.of: Final = lru_cache(_KNOWN)(self._find)

    def _find(self, word: str) -> tuple[str, ...]:
        """The pronunciations of a word, each as phones separated by spaces; none if nobody knows.

        Args:
            word: in lower case; a letter that is to be named is in upper case.
        """
        if len(word) == 1 and word.isupper():
            return self._named(word.lower())
        if self._dictionary is not None:
            if found := self._dictionary[word]:
                return tuple(found)
            if word.endswith("'s") and (base := self._dictionary[word[:-2]]):
                return tuple(f"{sounds} {_possessive(sounds)}" for sounds in base)
            if "'" in word and (found := self._dictionary[word.replace("'", "")]):
                return tuple(found)
        return self._other(word)

    def _named(self, letter: str) -> tuple[str, ...]:
        if self._by_letters and letter in _NAMES:
            return (_NAMES[letter],)
        found = self._dictionary[letter] if self._dictionary is not None else []
        return tuple(found) or self._other(letter)

    def _other(self, word: str) -> tuple[str, ...]:
        if self._by_letters and not is_latin(word):
            return ()  # eSpeak's English voices would name the script
        sounds = ""
        if self._voice is not None:
            try:
                sounds = from_ipa(phonemes(word, self._voice))
            except SpeechError:
                sounds = ""
        if not sounds and self._by_letters:
            sounds = from_letters(word)
        return (sounds,) if sounds else ()


def _possessive(sounds: str) -> str:
    last = sounds.rsplit(" ", 1)[-1]
    return "IH Z" if last in _HISSING else "S" if last in _VOICELESS else "Z"
