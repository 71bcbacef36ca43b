"""Clip: the audio of one utterance with its marks.

The buffer knows where playback stands; the clip knows which marks were reached, and has the buffer stop before the next
one, so that a plain copy never passes it unnoticed.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from playback.audio.buffer import SampleBuffer
from playback.audio.formats import AudioFormat


class Mark(NamedTuple):
    """A place in an utterance that its producer wants to be notified of; positions in samples from its start."""

    at: int
    until: int | None
    payload: object


def _is_word(mark: Mark) -> bool:
    return isinstance(mark.payload, str)


class Clip:
    """The audio of one utterance, and its marks.

    Args:
        format: the output format.
        history: how many played samples are kept for a rewind.
    """

    __slots__ = ("_due", "buffer", "cut_short", "had_arrived", "marks", "truncated", "waited", "waited_at", "yields")

    def __init__(self, format: AudioFormat, history: int) -> None:
        self.buffer = SampleBuffer(format, history)
        """The samples."""
        self.cut_short = False
        """Whether something of it is missing: a lock ended it, or audio of it was refused. It can't complete then."""
        self.yields = False
        """Whether an interrupt lets it end with the word that sounds."""
        self.truncated = False
        """Whether something of it is missing because of that, or might have come."""
        self.had_arrived = False
        """Whether its producer had ended it before that, so that all of it had arrived."""
        self.marks: list[Mark] = []
        """All marks, by position."""
        self.waited = 0
        """Samples of silence that were read while it was the head, open, and had too little to go on."""
        self.waited_at = 0
        """How much was played when that was last counted. What is played since makes up for as much of the silence, and
        no more: a producer that sends next to nothing now and then is not waited for without end."""

        self._due = 0  # index of the first mark that was not reached yet

    @property
    def into_word(self) -> int:
        """How many samples of the current word were played; 0 between words, and without any."""
        cursor = self.buffer.cursor
        word, _ = self._word()
        if word is None or (word.until is not None and word.until <= cursor):
            return 0
        return cursor - word.at

    @property
    def word_end(self) -> int | None:
        """Where the current word ends, in samples from the start.

        None between words, without any, where none of its samples was played, where its end is not known (it has none,
        and neither the next word nor the end of the input has come), and where not all of it has arrived.
        """
        cursor, accepted, ended = self.buffer.cursor, self.buffer.accepted, self.buffer.ended
        word, following = self._word()
        if word is None or word.at == cursor:
            return None
        end = word.until
        if end is None:
            end = following.at if following is not None else accepted if ended else None
        if end is not None and ended:
            end = min(end, accepted)
        return end if end is not None and cursor < end <= accepted else None

    def _word(self) -> tuple[Mark | None, Mark | None]:
        """The last word that has begun, and the one that follows."""
        number = bisect_right(self.marks, self.buffer.cursor, key=lambda mark: mark.at)
        begun = (self.marks[index] for index in range(number - 1, -1, -1))
        to_come = (self.marks[index] for index in range(number, len(self.marks)))
        word, following = (next(filter(_is_word, marks), None) for marks in (begun, to_come))
        return word, following

    def add_mark(self, mark: Mark) -> bool:
        """Put a mark in its place.

        Returns:
            Whether its place was reached already: it is reported at once then, and never again.
        """
        late = 0 < self.buffer.played >= mark.at
        place = bisect_right(self.marks, mark.at, key=lambda other: other.at)
        self.marks.insert(place, mark)
        if late:
            self._due += 1
        self._stop_before_next()
        return late

    def reached(self, *, completed: bool) -> list[Mark]:
        """The marks that were reached since this was last asked.

        Args:
            completed: whether all was played to the end that its producer set: then all that are left are reached.
        """
        first = self._due
        cursor = self.buffer.cursor
        while self._due < len(self.marks) and (completed or 0 < cursor >= self.marks[self._due].at):
            self._due += 1
        if self._due > first:
            self._stop_before_next()
        return self.marks[first : self._due]

    def _stop_before_next(self) -> None:
        self.buffer.stop_before(self.marks[self._due].at if self._due < len(self.marks) else None)
