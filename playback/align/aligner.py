"""PocketsphinxAligner: finds the words of a text in audio, with pocketsphinx.

The audio becomes 16 kHz mono here. All else is done by a :class:`playback.align.finder.Finder` in a process of its own
(``process.py``), for it would keep the calls of this one waiting.
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from playback._checks import check_type
from playback.align.dictionary import model_path
from playback.align.finder import Finder
from playback.align.pauses import RATE
from playback.align.process import FinderProcess
from playback.audio.converter import Converter
from playback.audio.formats import AudioFormat, bare_layout, parse
from playback.words.word import Word

_CONVERTED: Final = 4_096
"""How many samples are converted at once."""
_OUTPUT: Final = AudioFormat(RATE)


class PocketsphinxAligner:
    """Finds when each word of an English text sounds; a :class:`playback.words.Aligner` for ``word_timing=``.

    One object serves all calls of a process, from any threads. It has a process of its own, of 45 MB, which ends with
    it. An alignment takes about 1.5 % of the duration of the audio there; ``align`` waits for that, so it must not run
    in an event loop's thread.

    Args:
        language: the language of texts, such as ``"en"`` or ``"de"``: the language of spoken numbers, and of the eSpeak
            NG voice that pronounces words that are not in the dictionary.
        model: the folder of a pocketsphinx acoustic model; None for its English model.
        dictionary: a pronunciation dictionary in the model's phones; None for pocketsphinx's own if the language is
            English. Without a dictionary, eSpeak NG pronounces each word.
        voice: the eSpeak NG voice; defaults to that of the language.

    Raises:
        ModuleNotFoundError: pocketsphinx is not installed, or num2words: both come with the extra ``align``.
        FileNotFoundError: there is no such model or dictionary.
        RuntimeError: pocketsphinx can't read the model.
        OSError: no process can be started.
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
        Finder(language, model, dictionary, voice)  # what is wrong with them shows here
        paths = (None if path is None else os.path.abspath(path) for path in (model, dictionary))
        self._process: Final = FinderProcess([language, *paths, voice])

    def align(self, text: str, audio: bytes, format: AudioFormat) -> list[Word]:
        """The words of a text that begin within audio, in the order and spelling of the text.

        The audio may stop in the middle of the text, or of a word, and the text may go on after it.

        Args:
            text: the text that the audio says, or begins to say. Markup such as SSML's and Markdown's is not spoken.
            audio: the audio from its start.
            format: the format of ``audio``.

        Returns:
            Words with their times in seconds from the start of ``audio``; the last one has no end if the audio stops
            within it. Empty where nothing of the text was found, and where most of it is in a script that has no
            pronunciation here.

        Raises:
            TypeError: the text is no string.
            playback.FormatError: the audio does not have this format.
            OSError: the process has ended before, and no other one can be started.
            RuntimeError: the process has ended in the middle of the alignment, or takes much longer than it should. The
                next alignment has a new one.
        """
        check_type("text", text, str)
        return self._process.find(text, _samples(audio, format))


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
