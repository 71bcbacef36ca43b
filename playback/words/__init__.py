"""Words and their times: what synthesizers send of them, and which of them were heard."""

from playback.words.payloads import Azure, Cartesia, ElevenLabs, Google, Inworld, Polly, Rime, WordParser
from playback.words.word import Word

__all__ = ["Azure", "Cartesia", "ElevenLabs", "Google", "Inworld", "Polly", "Rime", "Word", "WordParser"]
