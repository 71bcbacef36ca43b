"""Grammars: the pieces of a text, and all ways in which they can be said one after the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Final, NamedTuple

from playback.align.decoder import Arc, Step
from playback.align.pronouncing import Pronouncer
from playback.align.spoken import Slot, form_of
from playback.words.tokens import count_unspaced, tokens, without_markup

FRAMES_PER_PHONE: Final = 3
"""The fewest frames that a phone takes: as many as its model has states."""

_PIECE: Final = re.compile(r"[^\s—―]+")


class Piece(NamedTuple):
    """A word of the text, as it is written there."""

    text: str
    before: str
    """The piece before it."""

    @property
    def letters(self) -> int:
        """How many letters and digits it has."""
        return sum(map(str.isalnum, self.text))


class Found(NamedTuple):
    """When a piece sounds."""

    piece: int
    first: int
    """Its first frame."""
    last: int
    """Its last frame."""
    whole: bool
    """Whether all of it was found."""


def pieces_of(text: str) -> list[Piece]:
    """The pieces of a text: what stands between spaces, and in scripts without spaces, each character."""
    text = without_markup(text)
    found: list[str] = []
    for match in _PIECE.finditer(text):
        piece = match[0]
        starts = [token.start for token in tokens(piece)] if count_unspaced(piece) else []
        edges = [0, *starts[1:], len(piece)]
        found += [piece[start:end] for start, end in pairwise(edges)]
    return [Piece(piece, before) for piece, before in zip(found, ["", *found], strict=False)]


class Grammar:
    """What can be said for some pieces of a text, as arcs from state 0 on.

    What may be left out has no arcs for that: what follows it begins in several states.

    Args:
        pronouncer: how words sound.
        language: what numbers are spoken in.
    """

    def __init__(self, pronouncer: Pronouncer, language: str) -> None:
        self._pronouncer: Final = pronouncer
        self._language: Final = language
        self.arcs: Final[list[Arc]] = []
        self._states = [0]
        self._free = 1
        self._ends: Final[set[int]] = set()  # states in which a piece is over
        self.silent: Final[set[int]] = set()
        """The pieces that have no sounds, or none that is known."""
        self._letters = {True: 0, False: 0}  # of pieces that have sounds, and of others

    @property
    def is_mostly_known(self) -> bool:
        """Whether there are sounds for half of the pieces or more, by their letters."""
        return bool(self.arcs) and self._letters[True] >= self._letters[False]

    def add(self, pieces: Sequence[Piece], first: int, most_phones: int) -> None:
        """Add as many pieces as can be said with so many phones, beginning with one of them."""
        for number in range(first, len(pieces)):
            piece, before = pieces[number], len(self.arcs)
            fewest = self._add(form_of(piece.text, piece.before, language=self._language), number)
            is_known = len(self.arcs) > before
            self._letters[is_known] += piece.letters
            if not is_known:
                self.silent.add(number)
            most_phones -= fewest or piece.letters
            if most_phones <= 0:
                break

    def by_pieces(self, steps: Sequence[Step]) -> list[Found]:
        """The pieces of the arcs that were gone."""
        found = []
        for piece, group in groupby(steps, lambda step: step.arc.piece):
            own = list(group)
            whole = own[-1].whole and own[-1].arc.end in self._ends
            found.append(Found(piece, own[0].first, own[-1].last, whole))
        return found

    def _add(self, form: tuple[Slot, ...], piece: int) -> int:
        """Add a piece, and return how many phones it has at least."""
        fewest = 0
        for slot in form:
            ways = [[self._pronouncer.of(word) for word in said] for said in slot]
            ways = [sounds for sounds in ways if all(sounds)]
            if not any(ways):
                continue  # nobody knows how it sounds
            end = self._new_state()
            for sounds in filter(None, ways):
                self._add_way(sounds, end, piece)
            if [] in ways:
                self._states.append(end)
            else:
                self._states = [end]
                fewest += min(sum(min(each.count(" ") + 1 for each in some) for some in sounds) for sounds in ways)
        self._ends.update(self._states)
        return fewest

    def _add_way(self, sounds: list[tuple[str, ...]], end: int, piece: int) -> None:
        """Add words one after the other, each with its pronunciations."""
        starts = self._states
        for place, some in enumerate(sounds):
            to = end if place == len(sounds) - 1 else self._new_state()
            self.arcs.extend(Arc(start, to, each, piece) for start in starts for each in dict.fromkeys(some))
            starts = [to]

    def _new_state(self) -> int:
        self._free += 1
        return self._free - 1
