"""Backchannels: what people say to show that they listen, as against what they say to be heard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from unicodedata import category, normalize

from playback._checks import check_type

BACKCHANNELS: Final = (
    "ah", "aha", "alright", "go on", "great", "hm", "hmm", "i see", "mhm", "mm", "mm hm", "mm hmm", "mmhm", "oh", "ok",
    "okay", "really", "right", "sure", "uh huh", "uhm", "um", "wow", "yeah", "yep", "yes",
)  # fmt: skip
"""What people say to show that they listen; V. Yngve, "On getting a word in edgewise" (1970), has given it its name."""


class Backchannels:
    """A list of them.

    Args:
        phrases: each a word or more, in any case and with any punctuation.

    Raises:
        TypeError: a single string, or something that is none.
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        if isinstance(phrases, str):
            raise TypeError(f"backchannels is {phrases!r}, expected several strings")
        self._phrases: Final[set[tuple[str, ...]]] = set()
        for phrase in phrases:
            check_type("one of backchannels", phrase, str)
            self._phrases.add(tuple(words_of(phrase)))
        self._phrases.discard(())

    def cover(self, words: Sequence[str], *, final: bool) -> bool:
        """Whether words are nothing but backchannels.

        Args:
            words: as :func:`words_of` gives them.
            final: whether no more words come; until then, the last ones may be the beginning of a phrase.
        """
        reached = {0}
        for place in range(len(words)):
            if place not in reached:
                continue
            for phrase in self._phrases:
                said = tuple(words[place : place + len(phrase)])
                if said == phrase or (not final and place + len(said) == len(words) and said == phrase[: len(said)]):
                    reached.add(place + len(said))
        return bool(words) and len(words) in reached


def words_of(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    plain = normalize("NFC", text.casefold()).replace("’", "'")
    # A mark, such as a vowel of Hindi or Thai, is no letter by itself, but does not end a word either.
    kept = (char if char.isalnum() or char == "'" or category(char)[0] == "M" else " " for char in plain)
    words = (word.strip("'") for word in "".join(kept).split())
    return [word for word in words if any(map(str.isalnum, word))]
