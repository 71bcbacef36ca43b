"""A closed grammar of short English words, by pocketsphinx. Needs the extra ``align``.

Two searches hear a sound: one knows the commands, one the backchannels. The better of them is what was said, and by how
much it is better says how certain that is. A third search, for any sequence of phones, was tried to reject what is none
of the words: it costs twice as much as both, and where it rejected half of other speech, it rejected a tenth of the
words. So only what lasts too long for a word is rejected: a hum may last, a "stop" does not.

What it costs (pocketsphinx 5.1, measured): a decoder with all of the dictionary takes 29 MB and 95 ms, one with the few
words that are known 6 MB and 8 ms. So there is one of these for each grammar, for all calls of a process. pocketsphinx
holds the interpreter's lock, so it gets pieces of 20 ms, with a chance for other threads between them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import chain, product
from math import exp, inf, log
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_type
from playback.align import dictionary
from playback.align.dictionary import Dictionary
from playback.align.phones import PHONES
from playback.bargein.backchannels import words_of
from playback.bargein.recognizer import RATE, Recognized

COMMANDS: Final = ("stop", "wait", "no", "no wait", "hold on", "hello", "excuse me")
"""What asks the agent to be silent."""

BACKCHANNELS: Final = ("yeah", "okay", "right", "yes", "sure", "mm hm", "mm", "hm", "mhm", "uh huh")
"""What shows that the user listens; each of them is in :data:`playback.bargein.BACKCHANNELS`."""

PRONUNCIATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "mm hm": ("M HH M",),
    "mm": ("M M",),
    "hm": ("HH M", "HH AH M"),
    "mhm": ("AH M HH AH M",),
    "uh huh": ("AH HH AH", "AA HH AA"),
    "stop": ("S T AO P",),
    "no": ("N AO", "N AO AH"),
    "hello": ("HH AH L AO",),
    "yeah": ("Y EH AH",),
}
"""How a phrase sounds besides what pocketsphinx's dictionary has, in its phones (ARPAbet)."""

_HUMMED: Final = {"M", "N", "HH", "AH"}
"""The phones of which humming consists."""
_WORD_SECONDS: Final = 2.1
"""What is longer, with the pauses around it, is no word said once or twice, unless it is hummed."""
_PIECE: Final = RATE // 50
_LEVEL: Final = 500.0
"""The loudness that every sound is brought to (RMS): the decoder's idea of a usual one adapts too slowly for a word."""
_DITHER: Final = np.random.default_rng(0).normal(0, 10, 10 * RATE)
"""Soft noise: the features of digital silence are like no recording's."""

_BEAMS: Final = {"beam": 1e-60, "wbeam": 1e-40, "pbeam": 1e-60}
"""How much worse than the best a path may be; with pocketsphinx's own a grammar sometimes finds none."""
_COMMAND_BIAS: Final = 0.3
"""How much the commands are preferred: an agent that stops too often is better than one that can't be stopped."""
_STEEPNESS: Final = 3.0
"""How fast certainty grows with the margin."""


class ClosedGrammar:
    """Recognizes short phrases of a closed list, said once or twice.

    It is a :class:`playback.bargein.recognizer.Recognizer`; one object serves all calls of a process.

    Args:
        commands: phrases that ask the agent to be silent, in lower case.
        backchannels: phrases that show that the user listens.
        pronunciations: for a phrase, its further pronunciations, as phones of ARPAbet. A phrase of which each word is
            in pocketsphinx's dictionary needs none.

    Raises:
        ModuleNotFoundError: pocketsphinx is not installed.
        TypeError: a single string in place of several, or a phrase that is none.
        ValueError: there are no phrases in one of the lists, one is in both, or a word has no pronunciation.
    """

    def __init__(
        self,
        commands: Iterable[str] = COMMANDS,
        backchannels: Iterable[str] = BACKCHANNELS,
        *,
        pronunciations: Mapping[str, Iterable[str]] = PRONUNCIATIONS,
    ) -> None:
        self._lists: Final = _phrases("commands", commands), _phrases("backchannels", backchannels)
        for phrase in self._lists[0]:
            if phrase in self._lists[1]:
                raise ValueError(f"{phrase!r} is in commands and in backchannels, expected one of them")
        self._phrases: Final = {f"w{number}": phrase for number, phrase in enumerate(chain(*self._lists))}
        more = {" ".join(words_of(phrase)): tuple(sounds) for phrase, sounds in pronunciations.items()}
        known = dictionary.english()
        sounds = {token: _sounds(phrase, known, more.get(phrase, ())) for token, phrase in self._phrases.items()}
        self._entries: Final = [
            f"{token}{f'({number})' if number > 1 else ''} {each}"
            for token, some in sounds.items()
            for number, each in enumerate(some, 1)
        ]
        self._hummed: Final = {token for token, some in sounds.items() if _HUMMED.issuperset(some[0].split())}
        self._lock: Final = Lock()
        self._decoder: Any = None
        self._mean = ""

    def recognize(self, samples: NDArray[np.int16]) -> Recognized | None:
        """Recognize the whole of a sound.

        Args:
            samples: one channel at :data:`RATE`, of at most ten seconds.

        Returns:
            The words, and how certain they are: from 0.5, as well a phrase of the other list, to 1. None if it is none
            of the phrases.

        Raises:
            ValueError: it is longer than that.
        """
        if len(samples) > len(_DITHER):
            raise ValueError(f"the sound has {len(samples)} samples, expected at most {len(_DITHER)}")
        if len(samples) < _PIECE or not samples.any():
            return None
        level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
        audio = np.clip(samples * (_LEVEL / level) + _DITHER[: len(samples)], -32768, 32767).astype(np.int16)
        frames = len(samples) / (RATE / 100)
        with self._lock:
            if self._decoder is None:
                self._decoder = self._make()
                self._mean = self._decoder.get_cmn(False)
            command, backchannel = self._search("commands", audio), self._search("backchannels", audio)
        command = command[0] + _COMMAND_BIAS * frames, command[1]
        (best, text), (other, _) = sorted((command, backchannel), reverse=True)
        words = [word.partition("(")[0] for word in text.split()]
        if not words or (len(samples) > _WORD_SECONDS * RATE and not self._hummed.issuperset(words)):
            return None
        margin = (best - other) / frames
        said = " ".join(self._phrases[word] for word in words)
        return Recognized(said, 1 / (1 + exp(-min(_STEEPNESS * margin, 50.0))))

    def _search(self, name: str, audio: NDArray[np.int16]) -> tuple[float, str]:
        """The score of one grammar, in thousandths of its logarithm, and what it has found."""
        decoder = self._decoder
        decoder.activate_search(name)
        decoder.set_cmn(self._mean)  # it would go on with what it has learned from the sound before
        decoder.start_utt()
        for start in range(0, len(audio), _PIECE):
            decoder.process_raw(audio[start : start + _PIECE].tobytes())
            time.sleep(0)
        decoder.end_utt()
        found = decoder.hyp()
        return (log(found.score) * 1_000, found.hypstr) if found is not None and found.score > 0 else (-inf, "")

    def _make(self) -> Any:
        from pocketsphinx import Decoder

        with TemporaryDirectory() as folder:
            file = Path(folder) / "words.dict"
            file.write_text("\n".join(self._entries) + "\n")
            decoder = Decoder(lm=None, dict=str(file), bestpath=False, loglevel="FATAL", **_BEAMS)
        tokens = list(self._phrases)
        count = len(self._lists[0])
        # The same phrase twice is usual ("no, no"); two others are not, and would fit too much.
        for name, some in (("commands", tokens[:count]), ("backchannels", tokens[count:])):
            _add(decoder, name, " | ".join(f"{token} [{token}]" for token in some))
        return decoder


@cache
def english() -> ClosedGrammar:
    """The grammar with its defaults, one for the process.

    Raises:
        ModuleNotFoundError: pocketsphinx is not installed.
    """
    return ClosedGrammar()


def _add(decoder: Any, name: str, rule: str) -> None:
    decoder.add_jsgf_string(name, f"#JSGF V1.0; grammar {name}; public <sound> = {rule};")


def _phrases(name: str, phrases: Iterable[str]) -> list[str]:
    if isinstance(phrases, str):
        raise TypeError(f"{name} is {phrases!r}, expected several strings")
    found: list[str] = []
    for phrase in phrases:
        check_type(f"one of {name}", phrase, str)
        plain = " ".join(words_of(phrase))
        if not plain:
            raise ValueError(f"one of {name} is {phrase!r}, expected a word or more")
        found.append(plain)
    if not found:
        raise ValueError(f"{name} is empty, expected a phrase or more")
    return list(dict.fromkeys(found))


def _sounds(phrase: str, known: Dictionary, more: tuple[str, ...]) -> list[str]:
    """The pronunciations of a phrase."""
    for sounds in more:
        if not sounds.split() or any(phone not in PHONES for phone in sounds.split()):
            raise ValueError(f"the pronunciation {sounds!r} of {phrase!r} has other phones than {' '.join(PHONES)}")
    words = phrase.split()
    if all(word in known for word in words):
        return list(dict.fromkeys([*map(" ".join, product(*(known[word] for word in words))), *more]))
    if not more:
        missing = next(word for word in words if word not in known)
        raise ValueError(f"{missing!r} is not in pocketsphinx's dictionary: give {phrase!r} a pronunciation")
    return list(more)
