"""Words and their times: what synthesizers send of them, and which of them were heard."""

from playback.words.aligner import Aligner
from playback.words.payloads import Azure, Cartesia, ElevenLabs, Google, Inworld, Polly, Rime, WordParser
from playback.words.word import Word

__all__ = ["Aligner", "Azure", "Cartesia", "ElevenLabs", "Google", "Inworld", "Polly", "Rime", "Word", "WordParser"]
