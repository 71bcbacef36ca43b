"""Decoder: finds the best way through a grammar of words whose order is known.

A grammar is a list of arcs from state to state. Whatever state the audio ends in is final, also one within a word: its
first phones are words, too, that lead to the end. Measured with audio that was cut anywhere (eleven voices of eSpeak NG
and flite): with whole words alone, the count of the words was right in 57 %, because what has begun is taken for the
word before or for a whole one; with beginnings of words, in 80 %, and never wrong by more than one.

Two passes hear the same audio. The first one only has the decoder estimate the mean of its features (cepstral mean
normalization), with a grammar of one phone, for a fifth of the cost. Without it, one of six sentences got lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

_SETTINGS: Final = {
    "lm": None,
    "bestpath": False,
    "fsgusefiller": False,  # neither silence nor noise: what is silent was cut out
    # How much worse than the best a path may be. What it costs is less than a tenth of all; with pocketsphinx's own
    # beams, voices with an accent lost the way.
    "beam": 1e-100,
    "wbeam": 1e-80,
    "pbeam": 1e-100,
    "topn": 2,  # how many Gaussians of each state count: with 4, as is usual, all costs a fifth more, and is no better
    "loglevel": "FATAL",
}
_EARLY: Final = 1e-10
"""How likely the audio is to end before the text does. The words fit into all of it, or they don't fit at all. Where it
was 1, a word of a voice with an accent lasted for the rest of a sentence."""
_MOST_WORDS: Final = 50_000
"""How many pronunciations and beginnings a decoder learns before it is replaced: 10 MB or so."""


class Arc(NamedTuple):
    """A way from one state of a grammar to another, with a sound."""

    start: int
    end: int
    sounds: str
    """Phones separated by spaces."""
    piece: int
    """To which piece of the text it belongs."""


class Step(NamedTuple):
    """An arc that was gone, and when."""

    arc: Arc
    first: int
    """Its first frame."""
    last: int
    """Its last frame."""
    whole: bool
    """Whether all of its sounds were there."""


class Decoder:
    """One decoder of pocketsphinx's; for one thread at a time. It takes 6 MB, and 8 ms to make.

    Args:
        model: the folder of the acoustic model.
        phone: one of its phones.

    Raises:
        ModuleNotFoundError: pocketsphinx is not installed.
        RuntimeError: the folder holds no model.
    """

    def __init__(self, model: Path, phone: str) -> None:
        from pocketsphinx import Decoder as Pocketsphinx

        with TemporaryDirectory() as folder:  # it does not start without a dictionary
            dictionary = Path(folder) / "words.dict"
            dictionary.write_text(f"any {phone}\n")
            self._decoder: Final[Any] = Pocketsphinx(hmm=str(model), dict=str(dictionary), **_SETTINGS)
        self._decoder.add_fsg("any", self._decoder.create_fsg("any", 0, 1, [(0, 1, 1.0, "any")]))
        self._usual_mean: Final = self._decoder.get_cmn(False)
        self._known: Final = {"any"}

    @property
    def is_full(self) -> bool:
        """Whether it knows so many words that another one should take its place."""
        return len(self._known) > _MOST_WORDS

    def find(self, arcs: Sequence[Arc], samples: NDArray[np.int16]) -> list[Step]:
        """Find the best way from state 0, as far as the audio goes.

        Args:
            arcs: the grammar.
            samples: one channel at :data:`playback.align.pauses.RATE`.

        Returns:
            The arcs in order; none if there is no way.
        """
        ways = self._add(arcs)
        self._run("any", samples, self._usual_mean)
        mean = self._decoder.get_cmn(True)
        self._run("text", samples, mean)
        steps: list[Step] = []
        state = 0
        for segment in self._decoder.seg() or ():
            if (state, segment.word) in ways:  # others are null transitions
                arc, whole = ways[state, segment.word]
                steps.append(Step(arc, segment.start_frame, segment.end_frame, whole))
                state = arc.end
        return steps

    def _run(self, name: str, samples: NDArray[np.int16], mean: str) -> None:
        decoder = self._decoder
        decoder.activate_search(name)
        decoder.set_cmn(mean)  # it would go on with what it has learned from the audio before
        decoder.start_utt()
        decoder.process_raw(samples.tobytes())
        decoder.end_utt()

    def _add(self, arcs: Sequence[Arc]) -> dict[tuple[int, str], tuple[Arc, bool]]:
        """Make the grammar, and say what each of its words is, by the state in which it begins."""
        ways: dict[tuple[int, str], tuple[Arc, bool]] = {}
        transitions: list[tuple[Any, ...]] = []
        end = max(arc.end for arc in arcs) + 1
        for arc in arcs:
            name = self._name(arc.sounds, arc.start, ways)
            ways[arc.start, name] = arc, True
            transitions.append((arc.start, arc.end, 1.0, name))
        for arc in arcs:
            phones = arc.sounds.split()
            for count in range(1, len(phones)):
                beginning = " ".join(phones[:count])
                if (arc.start, _word(beginning, 0)) not in ways:
                    name = self._name(beginning, arc.start, ways)
                    ways[arc.start, name] = arc, False
                    transitions.append((arc.start, end, _EARLY, name))
        transitions += [(state, end, _EARLY) for state in sorted({0, *(arc.end for arc in arcs)})]
        self._decoder.add_fsg("text", self._decoder.create_fsg("text", 0, end, transitions))
        return ways

    def _name(self, sounds: str, state: int, ways: dict[tuple[int, str], tuple[Arc, bool]]) -> str:
        """A word of the decoder's with these sounds, another one than those that begin in the same state."""
        number = 0
        while (state, name := _word(sounds, number)) in ways:
            number += 1
        if name not in self._known:
            self._decoder.add_word(name, sounds, False)
            self._known.add(name)
        return name


def _word(sounds: str, number: int) -> str:
    return f"{sounds.replace(' ', '_')}~{number}"
