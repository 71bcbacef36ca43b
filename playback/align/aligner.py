"""PocketsphinxAligner: finds the words of a text in audio, with pocketsphinx.

1. The audio becomes 16 kHz mono, and its pauses are cut out (``pauses.py``).
2. The text becomes pieces, and each piece what may be said for it (``spoken.py``), as phones (``pronouncing.py``).
3. Window by window a grammar is made of as many pieces as could be said in it, and the decoder finds the best way
   through it (``decoder.py``). So neither the length of the text nor that of the audio makes one step long.
4. What has no sound that is known gets a share of its neighbour's time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_type
from playback.align.decoder import Decoder
from playback.align.dictionary import Dictionary, english, model_path
from playback.align.grammar import FRAMES_PER_PHONE, Found, Grammar, Piece, pieces_of
from playback.align.pauses import FRAME, RATE, Speech
from playback.align.phones import PHONES
from playback.align.pronouncing import Pronouncer
from playback.audio.converter import Converter
from playback.audio.formats import AudioFormat, bare_layout, parse
from playback.words.word import Word

_WINDOW: Final = 3_000
"""How many frames of speech are aligned at once: 30 s."""
_OVERLAP: Final = 300
"""How many frames before the end of a window its words are not believed yet: 3 s, as long as the longest word."""
_IDLE: Final = 2
"""How many decoders are kept for later."""
_AT_END_SECONDS: Final = 0.05
"""What ends this near to the end of the audio may go on behind it: the decoder drops up to 40 ms there."""
_CONVERTED: Final = 4_096
"""How many samples are converted at once."""
_OUTPUT: Final = AudioFormat(RATE)


class PocketsphinxAligner:
    """Finds when each word of an English text sounds; a :class:`playback.words.Aligner` for ``word_timing=``.

    One object serves all calls of a process, from any threads. An alignment takes about 1.5 % of the duration of the
    audio, never holds the interpreter's lock for long, and must not run in an event loop's thread.

    Args:
        language: the language of texts, as in ``"en"`` or ``"de"``: what numbers are spoken in, and with which voice
            eSpeak NG pronounces words that are in no dictionary.
        model: the folder of an acoustic model of pocketsphinx's; None for its own English one.
        dictionary: a pronunciation dictionary in the model's phones; None for pocketsphinx's own if the language is
            English. Without one, eSpeak NG pronounces each word.
        voice: the voice of eSpeak's, where it is not the language's.

    Raises:
        ModuleNotFoundError: pocketsphinx is not installed, or num2words: both come with the extra ``align``.
        FileNotFoundError: there is no such model or dictionary.
        RuntimeError: pocketsphinx can't read the model.
        TypeError: an argument is of another type.
        ValueError: a model without a dictionary, or a dictionary without words.
    """

    def __init__(
        self,
        *,
        language: str = "en",
        model: Path | str | None = None,
        dictionary: Path | str | None = None,
        voice: str | None = None,
    ) -> None:
        check_type("language", language, str)
        check_type("model", model, Path, str, None)
        check_type("dictionary", dictionary, Path, str, None)
        check_type("voice", voice, str, None)
        if model is not None and dictionary is None:
            raise ValueError(f"model is {str(model)!r} without a dictionary, expected one in the model's phones")
        _check_installed()
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
        self._lock: Final = Lock()
        self._idle: Final = [Decoder(self._model, self._phone)]  # what is wrong with a model shows here

    def align(self, text: str, audio: bytes, format: AudioFormat) -> list[Word]:
        """The words of a text that begin within audio, in the order and spelling of the text.

        The audio may stop in the middle of the text, or of a word, and the text may go on after it.

        Args:
            text: what the audio says or begins to say. Markup such as SSML's and Markdown's is not spoken.
            audio: the audio from its start.
            format: the format of ``audio``.

        Returns:
            Words with their times in seconds from the start of ``audio``; the last one has no end if the audio stops
            within it. Empty where nothing of the text was found, and where most of it is in a script that has no
            pronunciation here.

        Raises:
            TypeError: the text is no string.
            playback.FormatError: the audio is none of that format.
        """
        check_type("text", text, str)
        speech = Speech(_samples(audio, format))
        pieces = pieces_of(text)
        found, silent = self._find(pieces, speech)
        return list(_words(pieces, found, silent, speech))

    def _find(self, pieces: list[Piece], speech: Speech) -> tuple[list[Found], set[int]]:
        """When the pieces sound that do, in order; and those that have no sounds that are known."""
        total = len(speech.samples) // FRAME
        found: list[Found] = []
        silent: set[int] = set()
        at = piece = 0
        decoder = self._take()
        try:
            while total - at >= FRAMES_PER_PHONE:
                frames = min(_WINDOW, total - at)
                grammar = Grammar(self._pronouncer, self._language)
                grammar.add(pieces, piece, frames // FRAMES_PER_PHONE)
                if not grammar.is_mostly_known:
                    break
                silent |= grammar.silent
                steps = decoder.find(grammar.arcs, speech.samples[at * FRAME : (at + frames) * FRAME])
                now = grammar.by_pieces(steps)
                is_last = at + frames == total
                if not is_last:  # what is near the end may be wrong: its continuation is not known here
                    now = [one for one in now if one.whole and one.last < frames - _OVERLAP]
                found += [one._replace(first=one.first + at, last=one.last + at) for one in now]
                if is_last or not now:
                    break
                at, piece = at + now[-1].last + 1, now[-1].piece + 1
        finally:
            self._give_back(decoder)
        return found, silent

    def _take(self) -> Decoder:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Decoder(self._model, self._phone)

    def _give_back(self, decoder: Decoder) -> None:
        with self._lock:
            if len(self._idle) < _IDLE and not decoder.is_full:
                self._idle.append(decoder)


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


def _samples(audio: bytes, format: AudioFormat) -> NDArray[np.int16]:
    """Audio as one channel at the decoder's rate."""
    block = parse(audio, format)
    if block.layout == bare_layout(_OUTPUT):
        return np.frombuffer(block.read(), np.int16)
    converter = Converter(block.layout, _OUTPUT)
    parts = []
    for start in range(0, block.samples, _CONVERTED):
        parts.append(converter.convert(block.read(start, min(block.samples, start + _CONVERTED))))
        time.sleep(0)
    return np.frombuffer(b"".join([*parts, converter.flush()]), np.int16)


def _check_installed() -> None:
    """See that what is needed is there; num2words is loaded here, for that takes a while."""
    model_path("en-us")
    try:
        import_module("num2words")
    except ModuleNotFoundError as error:
        message = "numbers need num2words: install it with pip install 'voice-playback[align]'"
        raise ModuleNotFoundError(message, name=error.name) from error
