"""Transcripts: which command of the chart a transcript of the user's is, and which transcripts are none.

A transcript counts for what was said to the agent that speaks now. These do not count:

* one that comes late, of speech that was over before the agent's began: the agent's speech is the answer to it;
* one just before or in the first moments of the agent's speech, which may be the agent's own voice; but one of speech
  that had begun before the agent's and went on counts;
* while the agent waits for a user who was first: one that says nothing new since the agent's audio arrived.
"""

from __future__ import annotations

import math
from typing import Final

from playback.bargein.backchannels import Backchannels, words_of
from playback.bargein.chart import AGENT_SPEAKS, GUARDED, READY, WAITING

LATE_SECONDS: Final = 2.0
"""How long after the end of speech its final transcript may come. Recognizers that end a transcript by silence, as most
streaming ones do, take 0.3 to 1.5 s, and the detector's end lies up to 0.3 s before."""


class Transcripts:
    """What the user has said, in its place between the user's speech and the agent's.

    Args:
        backchannels: what only shows that the user listens.
    """

    def __init__(self, backchannels: Backchannels) -> None:
        self._backchannels: Final = backchannels
        self._was_first = False  # the user spoke when the agent's audio arrived, and not again since
        self._spoke_since = False  # the user has begun to speak since
        self._owed = False  # no final transcript has come of the newest speech
        self._ended = -math.inf
        self._newest: list[str] = []
        self._known: list[str] = []

    @property
    def has_words(self) -> bool:
        """Whether words of the newest speech have come."""
        return bool(self._newest)

    def speech_began(self) -> None:
        """The user has begun to speak."""
        self._was_first, self._spoke_since, self._owed, self._newest = False, True, True, []

    def speech_ended(self, at: float) -> None:
        """The user has fallen silent."""
        self._ended = at

    def agent_began(self, *, user_speaks: bool) -> None:
        """The agent's audio has arrived, after the agent was silent."""
        self._was_first, self._spoke_since, self._known = user_speaks, False, self._newest

    def command(
        self, text: str, *, leaf: str, at: float, final: bool, certain: bool, min_words: int, pauses: bool
    ) -> str | None:
        """The command that a transcript is.

        Args:
            text: what was said so far.
            leaf: where the chart stands.
            at: when it came.
            final: whether no word of it will change.
            certain: whether whoever has heard it is sure enough.
            min_words: how many words are meant, while it is not final.
            pauses: whether the agent is paused for few words.

        Returns:
            None, if it does not count or if nothing follows from it yet.
        """
        words = words_of(text)
        counts = not words or self._counts(words, leaf, at)
        if words:  # without any, it says nothing about others that are still to come
            self._newest = words
            self._owed = self._owed and not final
        if not counts:
            return None
        if not certain or not words:
            return "no_words" if final else "no_words_so_far"
        if self._backchannels.cover(words, final=final):
            return "backchannel" if final else "backchannel_so_far"
        if final or len(words) >= min_words:
            return "words"
        return "few_words" if pauses else None

    def _counts(self, words: list[str], leaf: str, at: float) -> bool:
        if leaf in WAITING:
            return words != self._known
        if leaf not in AGENT_SPEAKS:
            return True
        over_before = not (self._was_first or self._spoke_since)
        if over_before and self._owed and at < self._ended + LATE_SECONDS:
            return False
        if leaf in READY:
            return not over_before
        return leaf not in GUARDED or self._was_first
