"""Alignment: when each word of a text sounds in audio. Needs the extra ``align``."""

from playback.align.aligner import PocketsphinxAligner

__all__ = ["PocketsphinxAligner"]
