"""Aligner: finds when each word of a text sounds, for synthesizers that send no word times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from playback.audio.formats import AudioFormat
from playback.words.word import Word


class Aligner(Protocol):
    """Finds the times of words in audio. One object serves all calls of a process.

    It is called on worker threads, never on the loop's, and may be called on several at once.
    """

    def align(self, text: str, audio: bytes, format: AudioFormat) -> Sequence[Word]:
        """The words of ``text`` that begin within ``audio``, in the order and spelling of the text.

        The audio may stop in the middle of the text, or of a word, and the text may go on after it.

        Args:
            text: the text that the audio says, or begins to say.
            audio: the audio from its start.
            format: the format of ``audio``.

        Returns:
            Words with their times in seconds from the start of ``audio``; the last one has no end if the audio stops
            within it. Empty where nothing of the text was found.
        """
