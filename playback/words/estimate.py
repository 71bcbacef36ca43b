"""Estimate: what was heard of a text, where no word times are known, from how much of the speech was played.

Words take time as they have sounds. So the share of a text that was heard is the share of its speech that was played;
silence does not count. Pauses say more: most of them stand where the text has punctuation. They divide the audio and
the text into phrases that correspond, so that an error in one does not go on into the next.

While synthesis is still running, nobody knows how much of the text the audio is so far. Then the speaking rate counts:
that of the same controller's speech so far, or a usual one.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from playback.words.lengths import breaks, lengths
from playback.words.tokens import Token, tokens, without_markup
from playback.words.word import Word

USUAL_RATE: Final = 18.6
"""How many units of length are spoken in a second of speech, before anything is known of a voice: 16 to 20 in eight
voices of eSpeak NG and flite."""

_AUDIBLE: Final = 1 / 24
"""What counts as speech, as a share of what is loud in an utterance: -28 dB, above the noise and the reverberation of a
recording, and below the quietest sounds that last."""

_PAUSE_SECONDS: Final = 0.1
"""From how long on a silence is a pause: the closure of a plosive is shorter."""

_EVEN: Final = 0.2
"""What it costs if a phrase is off by the square root of its length, in pieces of audio; found with real pauses, as are
the two that follow. They may be half or twice as much without a difference."""

_SKIPPED: Final = 1.0
"""What a pause costs that has no punctuation, and punctuation without a pause."""

_BAND: Final = 40
"""By how many pieces of audio a pause may be off from where its punctuation is expected, and by a tenth of all speech,
as far as that is no more: 0.8 to 1.6 s."""

_LOOKBACK: Final = 16
"""How many places are tried as the one before: as many as lie within a few phrases."""


class Sound(NamedTuple):
    """What is known of the audio of an utterance."""

    windows: NDArray[np.uint8]
    """How loud it is in each piece, from its start, as far as it had arrived."""
    seconds: float
    """How long a piece is."""
    played: float
    """How much of it was played, in seconds."""
    ended: bool
    """Whether all of it had arrived."""


def estimate(text: str, sound: Sound, rate: float = USUAL_RATE) -> str:
    """The part of a text that was heard, as far as it can be known; whole words only.

    Args:
        text: what was to be said.
        sound: what is known of its audio.
        rate: units of length in a second of speech, for audio that is not all there.
    """
    written = tokens(without_markup(text))
    speech = _speech_of(sound)
    pieces = min(float(len(speech)), sound.played / sound.seconds + 1e-6)  # 0.3 s are 14.999... pieces of 0.02 s
    played = int(pieces)
    total = int(speech.sum())
    heard = int(speech[:played].sum()) + (pieces - played if played < len(speech) and speech[played] else 0.0)
    if not written or not heard:
        return ""
    if sound.ended and heard == total:
        return text
    ends, path = _path(text, written, sound, speech, rate)
    before, after = next(pair for pair in pairwise(path) if heard <= pair[1].at)
    share = (heard - before.at) / (after.at - before.at)
    inside = before.length + share * (after.length - before.length)
    number = bisect_right(ends, inside + 1e-6) - 1
    if not sound.ended:
        number = min(number, len(written) - 1)  # more was to come: the last word at least
    return text[: written[number - 1].end] if number else ""


def word_times(text: str, sound: Sound, rate: float = USUAL_RATE) -> list[Word]:
    """When each word of a text sounds, as far as its audio has arrived.

    Args:
        text: what is said.
        sound: what is known of its audio.
        rate: as above.
    """
    written = tokens(without_markup(text))
    speech = _speech_of(sound)
    if not written or not speech.any():
        return []
    ends, path = _path(text, written, sound, speech, rate)
    audible = np.concatenate([[0], np.cumsum(speech)])
    # Where they are in the text, in the speech, and in the audio.
    pieces = np.rint(np.interp(ends, [place.length for place in path], [place.at for place in path], right=np.inf))
    starts = np.searchsorted(audible, pieces, side="right") - 1
    stops = np.searchsorted(audible, pieces, side="left")
    return [
        Word(
            text[token.start : token.end],
            float(starts[number]) * sound.seconds,
            float(stops[number + 1]) * sound.seconds,
        )
        for number, token in enumerate(written)
        if pieces[number + 1] <= audible[-1]
    ]


def speaking_rate(text: str, sound: Sound) -> float | None:
    """Units of length in a second of speech, of audio that says all of a text; None if there is no speech."""
    seconds = float(_speech_of(sound).sum()) * sound.seconds
    units = sum(lengths(text, tokens(without_markup(text))))
    return units / seconds if seconds and units else None


def _path(
    text: str, written: list[Token], sound: Sound, speech: NDArray[np.bool_], rate: float
) -> tuple[list[float], list[_Place]]:
    """Where each word ends, in units of length, and which places of the audio correspond to which of the text."""
    ends = [0.0, *accumulate(lengths(text, written))]
    audible = np.concatenate([[0], np.cumsum(speech)])
    total = int(audible[-1])
    pauses = [
        int(audible[start]) for start, stop, loud in _runs(speech) if not loud and start > 0 and stop < len(speech)
    ]
    places = [ends[number] for number in breaks(text, written)]
    whole = ends[-1] if sound.ended else None
    # Whatever the rate, what has arrived says no more than all of the text.
    even = ends[-1] / total
    return ends, _match(pauses, places, total, whole, even if whole else min(even, rate * sound.seconds))


def _speech_of(sound: Sound) -> NDArray[np.bool_]:
    """Which pieces are speech; short silences within it are, too."""
    windows = sound.windows
    if not windows.any():
        return np.ones(len(windows), bool)  # too quiet to say
    loud = float(np.percentile(windows[windows > 0], 90))
    audible = windows >= max(1.0, loud * _AUDIBLE)
    longest = round(_PAUSE_SECONDS / sound.seconds)
    for start, stop, is_speech in _runs(audible):
        if not is_speech and stop - start < longest and start > 0 and stop < len(audible):
            audible[start:stop] = True
    return audible


def _runs(values: NDArray[np.bool_]) -> list[tuple[int, int, bool]]:
    """The runs of equal values: where each begins and ends, and the value."""
    edges = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return [(start, stop, bool(values[start])) for start, stop in pairwise(edges) if start < stop]


class _Place(NamedTuple):
    """A place in the speech and the one that it is in the text."""

    at: float
    """In pieces of audio."""
    length: float
    """In units of length."""
    pause: int
    """Which pause it is; 0 is the beginning."""
    punctuation: int
    """Which punctuation; 0 is the beginning."""


def _match(pauses: list[int], places: list[float], total: int, whole: float | None, rate: float) -> list[_Place]:
    """Which pauses stand at which punctuation: places that correspond, in order, from the beginning to the end.

    Of all ways to match them, it is the one in which the phrases between them are spoken at the most even rate, and in
    which the fewest of both are left over: the shortest path through all pairs that can be.

    Args:
        pauses: where they are in the speech.
        places: where the text has punctuation.
        total: how much speech there is.
        whole: how long the text is, if all of the speech is there.
        rate: units of length in a piece of audio.
    """
    band = _BAND + 0.1 * min(total, 10 * _BAND)
    paths = _Paths(rate)
    for number, pause in enumerate(pauses, 1):
        first, last = bisect_left(places, (pause - band) * rate), bisect_right(places, (pause + band) * rate)
        paths.add([_Place(float(pause), places[place], number, place + 1) for place in range(first, last)])
    nodes, best = paths.places, paths.best
    if whole is not None:
        end = _Place(float(total), whole, len(pauses) + 1, len(places) + 1)
        _, number = paths.cheapest(end)
    else:  # the text goes on behind the audio: from the last place that is known, at the usual rate
        ends = [(total, node.length + (total - node.at) * rate) for node in nodes]
        skipped = [
            len(pauses) - node.pause + bisect_left(places, beyond) - node.punctuation
            for node, (_, beyond) in zip(nodes, ends, strict=True)
        ]
        number = min(range(len(nodes)), key=lambda number: best[number][0] + _SKIPPED * skipped[number])
        end = _Place(*ends[number], len(pauses) + 1, len(places) + 1)
    path = [end, nodes[number]]
    while number:
        number = best[number][1]
        path.append(nodes[number])
    return path[::-1]


class _Paths:
    """The cheapest way to each place, from the beginning on.

    Args:
        rate: units of length in a piece of audio.
    """

    def __init__(self, rate: float) -> None:
        self._rate: Final = rate
        self.places: Final = [_Place(0.0, 0.0, 0, 0)]
        """Pause by pause, in the order of the text."""
        self.best: Final = [(0.0, 0)]
        """What the way to each of them costs, and which place is the one before."""
        self._last: Final = deque([_Before(0.0, 0.0, 0.0, 0)], _LOOKBACK)

    def add(self, places: list[_Place]) -> None:
        """Add the places of the next pause."""
        found = [self.cheapest(place) for place in places]
        for number, (place, (cost, _)) in enumerate(zip(places, found, strict=True), len(self.places)):
            length = place.length / self._rate
            skipped = place.pause + place.punctuation
            self._last.append(_Before(length, place.at - length, cost - _SKIPPED * skipped, number))
        self.places.extend(places)
        self.best.extend(found)

    def cheapest(self, to: _Place) -> tuple[float, int]:
        """What the cheapest way to a place behind all pauses so far costs, and which place is the one before."""
        to_length = to.length / self._rate
        to_lag, penalty = to.at - to_length, _EVEN
        least, found = math.inf, 0
        if to_length > 0:  # from the beginning, whatever lies between
            least = penalty * to_lag * to_lag / (to_length + 5.0)
        for length, lag, cost, number in self._last:  # this is what takes the time
            if length < to_length:
                late, expected = to_lag - lag, to_length - length
                cost += penalty * late * late / (expected + 5.0)
                if cost < least:
                    least, found = cost, number
        return least + _SKIPPED * (to.pause + to.punctuation - 2), found


class _Before(NamedTuple):
    """What counts of a place for the way to one behind it."""

    length: float
    """How long the text is up to there, in pieces of audio as they are expected."""
    lag: float
    """How much later it is than that."""
    cost: float
    """What the way to it costs, less what its numbers will be charged for behind it."""
    number: int
    """Which place it is."""
