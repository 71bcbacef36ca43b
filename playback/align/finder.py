"""Finder: finds the words of a text in speech, with pocketsphinx.

1. The pauses of the audio are cut out (``pauses.py``).
2. The text becomes pieces, and each piece what may be said for it (``spoken.py``), as phones (``pronouncing.py``).
3. Window by window a grammar is made of as many pieces as could be said in it, and the decoder finds the best way
   through it (``decoder.py``). So neither the length of the text nor that of the audio makes one step long.
4. What has no sound that is known gets a share of its neighbour's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback.align.decoder import Decoder
from playback.align.dictionary import Dictionary, english, model_path
from playback.align.grammar import FRAMES_PER_PHONE, Found, Grammar, Piece, pieces_of
from playback.align.pauses import FRAME, Speech
from playback.align.phones import PHONES
from playback.align.pronouncing import Pronouncer
from playback.words.word import Word

_WINDOW: Final = 3_000
"""How many frames of speech are aligned at once: 30 s."""
_OVERLAP: Final = 300
"""How many frames before the end of a window its words are not believed yet: 3 s, as long as the longest word."""
_AT_END_SECONDS: Final = 0.05
"""What ends this near to the end of the audio may go on behind it: the decoder drops up to 40 ms there."""


class Finder:
    """Finds when the words of texts sound; for one thread at a time.

    Args:
        language: as of :class:`playback.align.PocketsphinxAligner`, like the other arguments.
        model: the folder of an acoustic model.
        dictionary: the file of a dictionary.
        voice: a voice of eSpeak NG.

    Raises:
        ModuleNotFoundError: pocketsphinx is not installed.
        OSError: there is no such model or dictionary.
        RuntimeError: pocketsphinx can't read the model.
        ValueError: the dictionary has no words.
    """

    def __init__(
        self, language: str, model: Path | str | None, dictionary: Path | str | None, voice: str | None
    ) -> None:
        is_english = language.partition("-")[0] == "en"
        self._model: Final = Path(model) if model is not None else model_path("en-us/en-us")
        if not (self._model / "mdef").is_file():
            raise FileNotFoundError(f"model is {str(self._model)!r}, expected a folder with a model of pocketsphinx's")
        words = Dictionary(Path(dictionary)) if dictionary is not None else english() if is_english else None
        phones = words.phones() if words is not None and words is not english() else frozenset(PHONES)
        if not phones:
            raise ValueError(f"dictionary is {str(dictionary)!r}, expected a word and its phones on each line")
        is_arpabet = phones.issuperset(PHONES)
        other_voice = (voice or ("en-us" if is_english else language)) if is_arpabet else None
        self._language: Final = language
        self._pronouncer: Final = Pronouncer(words, other_voice, by_letters=is_english and is_arpabet)
        self._phone: Final = min(phones)
        self._decoder = Decoder(self._model, self._phone)

    def find(self, text: str, samples: NDArray[np.int16]) -> list[Word]:
        """The words of a text that begin within audio, as :meth:`playback.align.PocketsphinxAligner.align` has them.

        Args:
            text: the text.
            samples: one channel at :data:`playback.align.pauses.RATE`.
        """
        speech = Speech(samples)
        pieces = pieces_of(text)
        found, silent = self._find(pieces, speech)
        return list(_words(pieces, found, silent, speech))

    def _find(self, pieces: list[Piece], speech: Speech) -> tuple[list[Found], set[int]]:
        """When the pieces sound that do, in order; and those that have no sounds that are known."""
        total = len(speech.samples) // FRAME
        found: list[Found] = []
        silent: set[int] = set()
        at = piece = 0
        if self._decoder.is_full:
            self._decoder = Decoder(self._model, self._phone)
        while total - at >= FRAMES_PER_PHONE:
            frames = min(_WINDOW, total - at)
            grammar = Grammar(self._pronouncer, self._language)
            grammar.add(pieces, piece, frames // FRAMES_PER_PHONE)
            if not grammar.is_mostly_known:
                break
            silent |= grammar.silent
            steps = self._decoder.find(grammar.arcs, speech.samples[at * FRAME : (at + frames) * FRAME])
            now = grammar.by_pieces(steps)
            is_last = at + frames == total
            if not is_last:  # what is near the end may be wrong: its continuation is not known here
                now = [one for one in now if one.whole and one.last < frames - _OVERLAP]
            found += [one._replace(first=one.first + at, last=one.last + at) for one in now]
            if is_last or not now:
                break
            at, piece = at + now[-1].last + 1, now[-1].piece + 1
        return found, silent


def _words(pieces: list[Piece], found: list[Found], silent: set[int], speech: Speech) -> Iterator[Word]:
    """The words of the pieces that were found, and of those that have no sound of their own beside them."""
    at = 0
    starts = [speech.start(one.first) for one in found]
    for one, start, following in zip(found, starts, [*starts[1:], None], strict=False):
        until, end, is_over = one.piece + 1, speech.end(one.last), True
        if following is not None:
            end = min(end, following)
        elif speech.is_pause_after(one.last) or (one.whole and end < speech.seconds - _AT_END_SECONDS):
            while until in silent:
                until += 1
        else:
            is_over = False
        own = [pieces[piece] for piece in range(at, until) if piece == one.piece or pieces[piece].letters]
        yield from _share(own, start, max(start, end), is_over=is_over)
        at = until


def _share(pieces: list[Piece], start: float, end: float, *, is_over: bool) -> Iterator[Word]:
    """Words that divide a time by their letters. The last one has no end unless it is over."""
    total = sum(max(1, piece.letters) for piece in pieces)
    before = 0
    for number, piece in enumerate(pieces):
        after = before + max(1, piece.letters)
        is_open = number == len(pieces) - 1 and not is_over
        yield Word(
            piece.text,
            start + (end - start) * before / total,
            None if is_open else start + (end - start) * after / total,
        )
        before = after
