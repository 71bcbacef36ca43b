"""Recording: when the words of an uploaded recording sound, of which it is known what it says."""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import Final

from playback.audio.converter import Converter
from playback.audio.envelope import Envelope
from playback.audio.formats import AudioFormat, Block, Layout
from playback.words.aligner import Aligner
from playback.words.alignment import SPEECH
from playback.words.estimate import Sound, word_times
from playback.words.tokens import tokens, without_markup
from playback.words.word import Word

LOGGER: Final = logging.getLogger("playback")


@cache
def find_aligner() -> Aligner | None:
    """The aligner of the extra ``align``, one for all sessions; None where that is not installed."""
    try:
        from playback.align import PocketsphinxAligner
    except ImportError:
        return None
    try:
        return PocketsphinxAligner()
    except (ImportError, OSError, RuntimeError):
        return None


class Recording:
    """A recording while it is decoded.

    Args:
        text: what it says.
        format: the output format.
        aligner: what finds its words; without one, they are estimated.
    """

    def __init__(self, text: str, format: AudioFormat, aligner: Aligner | None) -> None:
        self._text: Final = text
        self._aligner: Final = aligner
        self._loudness: Final = Envelope(format)
        self._converter: tuple[Layout, Converter] | None = None
        self._speech: Final = bytearray()

    def add(self, block: Block) -> None:
        """Take what was decoded next.

        Raises:
            FormatError: it can't be played.
        """
        self._loudness.add_block(block)
        if self._aligner is not None:
            if self._converter is None or self._converter[0] != block.layout:
                self._converter = block.layout, Converter(block.layout, SPEECH)
            self._speech.extend(self._converter[1].convert(block.read()))

    def estimated(self, *, ended: bool) -> list[Word]:
        """Its words so far, by how much of the speech there is.

        Args:
            ended: whether all of it was decoded.
        """
        return word_times(self._text, Sound(self._loudness.windows(), self._loudness.seconds, 0.0, ended))

    async def found(self) -> list[Word]:
        """Its words, all of which was decoded; found in the audio where there is an aligner, and it finds them all."""
        if self._aligner is not None and self._speech:
            try:
                words = await asyncio.to_thread(self._aligner.align, self._text, bytes(self._speech), SPEECH)
            except Exception:
                LOGGER.exception("a recording could not be aligned")
            else:
                last = tokens(without_markup(self._text))[-1:]
                if words and [token.key for token in tokens(words[-1].text)[-1:]] == [token.key for token in last]:
                    return list(words)
        return self.estimated(ended=True)
