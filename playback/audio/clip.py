"""Clip: the audio of one utterance with its marks.

The buffer knows where playback stands; the clip knows which marks were reached, and has the buffer stop before the next
one, so that a plain copy never passes it unnoticed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice
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

    __slots__ = (
        "_due",
        "_longest",
        "_reported",
        "_taken_back",
        "_takes_back",
        "begun",
        "buffer",
        "cut_short",
        "had_arrived",
        "marks",
        "truncated",
        "waited",
        "waited_at",
        "yields",
    )

    def __init__(self, format: AudioFormat, history: int) -> None:
        self.buffer = SampleBuffer(format, history)
        """The samples."""
        self.begun = False
        """Whether its first sample was handed out."""
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
        """How much was handed out when that was last counted. What is since makes up for as much of the silence, and
        no more: a producer that sends next to nothing now and then is not waited for without end."""

        self._due = 0  # index of the first mark that was not reached yet
        self._longest = 0  # samples of the longest mark
        self._taken_back: list[object] = []  # payloads of reached marks that were taken back for those that follow
        self._reported: list[Mark] = []  # marks that are still to come, and stand for one that was reached
        self._takes_back = False  # whether the last change took one back

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

    def keep_unheard(self) -> None:
        """Have what is read from here on count as played only when it is confirmed, and marks as reached only then."""
        if not self.buffer.keeps_unheard:
            self.buffer.keep_unheard()
            self._stop_before_next()

    def hear_at_once(self) -> None:
        """Have it count as played when it is read, again."""
        self.buffer.hear_at_once()
        self.waited_at = min(self.waited_at, self.buffer.handed_out)
        self._stop_before_next()

    def add_mark(self, mark: Mark) -> bool:
        """Put a mark in its place.

        Returns:
            Whether its place was reached already: it is reported at once then, and never again. False also where it
            replaces one that was reported.
        """
        self._takes_back = False
        late = 0 < self.buffer.played >= mark.at
        place = bisect_right(self.marks, mark.at, key=lambda other: other.at)
        self.marks.insert(place, mark)
        if mark.until is not None:
            self._longest = max(self._longest, mark.until - mark.at)
        if late:
            self._due += 1
        self._stop_before_next()
        if mark.payload not in self._taken_back:
            return late
        self._taken_back.remove(mark.payload)
        if not late:
            self._reported.append(mark)
        return False

    def remove_mark(self, mark: Mark) -> None:
        """Take a mark back, because another one replaces it; if it is none of them, nothing."""
        if not self._takes_back:
            self._takes_back, self._taken_back = True, []
        place = bisect_left(self.marks, mark.at, key=lambda other: other.at)
        while place < len(self.marks) and self.marks[place].at == mark.at:
            if self.marks[place] == mark:
                del self.marks[place]
                if mark in self._reported:
                    self._reported.remove(mark)
                    self._taken_back.append(mark.payload)
                elif place < self._due:
                    self._taken_back.append(mark.payload)
                self._due -= place < self._due
                self._stop_before_next()
                break
            place += 1

    def replaced_by(self, words: Sequence[Mark]) -> list[Mark]:
        """The words that others correct, because they sound at the same time.

        Times are rounded, so words that follow each other may overlap a little: one is replaced only if the others
        cover more than half of it, or it covers more than half of them; a quarter is enough if it is one of them. A
        word without an end ends where the next one begins. The last one is a point; if the one before it is replaced
        and it is the last of the others, too, it is corrected with them.
        """
        if not words:
            return []
        first = min(word.at for word in words)
        last = max(word.at if word.until is None else word.until for word in words)
        texts = {word.payload for word in words}
        begin = bisect_left(self.marks, first - self._longest, key=lambda mark: mark.at)
        end = bisect_right(self.marks, last, key=lambda mark: mark.at)
        while begin and not isinstance(self.marks[(begin := begin - 1)].payload, str):
            pass  # as far back as the word before, which may have no end
        replaced = []
        for place in range(begin, end):
            mark = self.marks[place]
            if not isinstance(mark.payload, str):
                continue
            stop, again = self._end_of(place), mark.payload in texts
            shared = min(stop, last) - max(mark.at, first)
            if first == last or stop == mark.at:
                is_replaced = first < mark.at < last or (again and first <= mark.at <= last)
            else:
                is_replaced = 4 * shared > min(stop - mark.at, last - first) * (1 if again else 2)
            if is_replaced:
                replaced.append(mark)
        if replaced and len(self.marks) > end:
            open_ends = [mark for mark in islice(self.marks, end, None) if isinstance(mark.payload, str)]
            if len(open_ends) == 1 and open_ends[0][1:] == (None, words[-1].payload):
                replaced += open_ends
        return replaced

    def _end_of(self, place: int) -> int:
        """Where a word ends: where it says so, or else where the next one begins."""
        mark = self.marks[place]
        if mark.until is not None:
            return mark.until
        following = (other.at for other in islice(self.marks, place + 1, None) if isinstance(other.payload, str))
        return next(following, mark.at)

    def reached(self, *, completed: bool) -> list[Mark]:
        """The marks that were reached since this was last asked.

        Args:
            completed: whether all was played to the end that its producer set: then all that are left are reached.
        """
        first = self._due
        played = self.buffer.played
        while self._due < len(self.marks) and (completed or 0 < played >= self.marks[self._due].at):
            self._due += 1
        if self._due > first:
            self._stop_before_next()
        reached = self.marks[first : self._due]
        return [mark for mark in reached if mark not in self._reported] if self._reported else reached

    def _stop_before_next(self) -> None:
        # A mark that is reached when it is confirmed is nothing that a read has to stop before.
        comes = self._due < len(self.marks) and not self.buffer.keeps_unheard
        self.buffer.stop_before(self.marks[self._due].at if comes else None)
