"""Words and their times: what synthesizers send of them, and which of them were heard."""

from playback.words.aligner import Aligner
from playback.words.payloads import (
    LMNT,
    Azure,
    Cartesia,
    ElevenLabs,
    Google,
    Hume,
    Inworld,
    Polly,
    Rime,
    Speechify,
    WordParser,
)
from playback.words.word import Word

__all__ = [
    "LMNT",
    "Aligner",
    "Azure",
    "Cartesia",
    "ElevenLabs",
    "Google",
    "Hume",
    "Inworld",
    "Polly",
    "Rime",
    "Speechify",
    "Word",
    "WordParser",
]
