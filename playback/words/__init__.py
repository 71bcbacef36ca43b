"""Words: what was said when, and what was heard."""

from playback.words.word import Word

__all__ = ["Word"]
