"""What was heard of a text: finds the words that a synthesizer reports in the text that it has spoken.

The two are seldom spelled alike: a synthesizer says "forty two dollars" for "$42", leaves out markup, and sends parts
of words or single characters. Both are cut into tokens, and the tokens are aligned by their longest common subsequence.
What stands between two aligned tokens corresponds, whatever it is. A word counts when all of it was played: where that
is not certain, the result is rather a word too few than one that nobody heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rapidfuzz.distance import LCSseq

from playback.words.tokens import Token, count_unspaced, is_unspaced, tokens, without_markup

_WINDOW: Final = 4_000
"""How many tokens are aligned at once: time and memory grow with its square (4 ms and 2 MB for this one)."""

_SURE: Final = 4
"""From how many letters on a single word is sure to be the one of the text, where more words are to come."""

_CLOSING: Final = frozenset(".,;:!?%…)]}»”’›。、，．！？：；）］｝」』】〉》؟،؛।॥")
_OPENING: Final = frozenset("([{«“‘‹¿¡（［｛「『【〈《")


def heard_of(text: str, words: Sequence[str], count: int, *, is_final: bool) -> str:
    """The part of a text that was heard.

    Args:
        text: what was to be said.
        words: all words that are known, in order, played or not.
        count: how many of them were played.
        is_final: whether the producer has ended it, so that no more audio comes.
    """
    said, ends = join_words(words)
    played = ends[count - 1] if count else 0
    written, spoken = tokens(without_markup(text)), tokens(said)
    heard = next((number for number, token in enumerate(spoken) if token.end > played), len(spoken))
    stretches = _stretches(written, spoken, is_final=is_final)
    if is_final and count == len(words) and _says_the_rest(stretches, written, spoken):
        return text
    number = _aligned(stretches, written, spoken, heard)
    return text[: written[number - 1].end] if number else ""


def heard_words(words: Sequence[str], count: int) -> str:
    """The same without a text: the words that were played, joined. Of a word in parts, all or nothing."""
    said, ends = join_words(words)
    played = ends[count - 1] if count else 0
    for token in tokens(said):
        if token.start < played < token.end:
            played = token.start
    return said[:played].strip()


def join_words(words: Sequence[str]) -> tuple[str, list[int]]:
    """Words side by side as one text, and where each ends in it.

    Synthesizers that send spaces as parts of words, or between them, send all of them. Otherwise a space separates
    words, except in scripts that are written without, and around punctuation that comes as a word of its own. Where
    most of it is in such a script, numbers in it have no spaces, either.
    """
    as_sent = any(word != word.strip() for word in words) or _is_mostly_unspaced(words)
    parts: list[str] = []
    ends: list[int] = []
    length, before = 0, ""
    for word in words:
        if not as_sent and before and word and _has_space(before, word):
            parts.append(" ")
            length += 1
        parts.append(word)
        length += len(word)
        ends.append(length)
        before = word or before
    return "".join(parts), ends


def _is_mostly_unspaced(words: Sequence[str]) -> bool:
    text = "".join(words)
    return 2 * count_unspaced(text) > sum(map(str.isalnum, text))


def _has_space(before: str, after: str) -> bool:
    if is_unspaced(before[-1]) or is_unspaced(after[0]):
        return False
    is_suffix = len(after) > 1 and after[0] in "'’" and after[1].isalpha()  # the second part of "don't"
    return not (is_suffix or _CLOSING.issuperset(after) or _OPENING.issuperset(before))


def join_texts(texts: Sequence[str]) -> str:
    """Whole texts side by side, with a space between them where the script has spaces. Empty ones add none."""
    joined = ""
    for text in filter(None, texts):
        has_space = joined and not (_is_unspaced_end(joined[-1]) or is_unspaced(text[0]))
        joined += f" {text}" if has_space else text
    return joined


def _is_unspaced_end(character: str) -> bool:
    return is_unspaced(character) or character in "。、，．！？：；）］｝」』】〉》"


class _Stretch(NamedTuple):
    """Tokens of the text and of what was said that correspond, by their numbers."""

    alike: bool
    written: int
    written_end: int
    spoken: int
    spoken_end: int


def _says_the_rest(stretches: list[_Stretch], written: list[Token], spoken: list[Token]) -> bool:
    """Whether what was said, which was played to its end, is all of the text.

    It is not where the last word that was said is found in the text with others behind it, or is the beginning of what
    is left, or is less than what is left (what is spelled otherwise is mostly longer when it is spoken: numbers, dates,
    abbreviations). Then the synthesizer has not sent the times of all words.
    """
    if not stretches or stretches[-1].alike:
        return True
    _, start, end, by, until = stretches[-1]
    left, rest = _letters(written[start:end]), _letters(spoken[by:until])
    return (left == rest or not left.startswith(rest)) and end - start <= until - by


def _aligned(stretches: list[_Stretch], written: list[Token], spoken: list[Token], heard: int) -> int:
    """How many tokens of the text the first tokens of what was said are."""
    number = 0
    for alike, start, end, by, until in stretches:
        if heard <= by:
            break
        if alike:
            number = min(end, start + heard - by)
        elif until <= heard and until < len(spoken):  # what was said next is found behind it
            number = end
        else:  # something in the middle of what is spelled otherwise: as far as the letters are the same
            number, said = start, _letters(spoken[by:heard])
            while number < end and said.startswith(written[number].key):
                said = said.removeprefix(written[number].key)
                number += 1
    return number


def _letters(tokens: list[Token]) -> str:
    return "".join(token.key for token in tokens)


def _stretches(written: list[Token], spoken: list[Token], *, is_final: bool) -> list[_Stretch]:
    """Both lists of tokens from their beginning to their end, in stretches that are alike and others, by turns."""
    stretches: list[_Stretch] = []
    i = j = 0
    for i_alike, j_alike, length in _runs([token.key for token in written], [token.key for token in spoken]):
        if (i, j) != (i_alike, j_alike):
            stretches += _by_letters(_Stretch(False, i, i_alike, j, j_alike), written, spoken)
        i, j = i_alike + length, j_alike + length
        if length:
            stretches.append(_Stretch(True, i_alike, i, j_alike, j))
    if not is_final:
        _drop_weak_end(stretches, written, spoken)
    return stretches


def _by_letters(stretch: _Stretch, written: list[Token], spoken: list[Token]) -> Iterator[_Stretch]:
    """A stretch without what is divided otherwise at its beginning and its end: "p.m." is "p" and "m"."""
    _, start, end, by, until = stretch
    ones, others = written[start:end], spoken[by:until]
    first, first_said = _same_letters([token.key for token in ones], [token.key for token in others])
    if first:
        yield _Stretch(False, start, start + first, by, by + first_said)
    last, last_said = _same_letters(
        [token.key[::-1] for token in reversed(ones[first:])],
        [token.key[::-1] for token in reversed(others[first_said:])],
    )
    if (start + first, by + first_said) != (end - last, until - last_said):
        yield _Stretch(False, start + first, end - last, by + first_said, until - last_said)
    if last:
        yield _Stretch(False, end - last, end, until - last_said, until)


def _same_letters(ones: list[str], others: list[str]) -> tuple[int, int]:
    """How many pieces of both, from the beginning, have the same letters."""
    i = j = 0
    one = other = ""
    found = 0, 0
    while True:
        if not one and not other:
            found = i, j
        if not one:
            if i == len(ones):
                break
            one, i = ones[i], i + 1
        if not other:
            if j == len(others):
                break
            other, j = others[j], j + 1
        same = min(len(one), len(other))
        if one[:same] != other[:same]:
            break
        one, other = one[same:], other[same:]
    return found


def _drop_weak_end(stretches: list[_Stretch], written: list[Token], spoken: list[Token]) -> None:
    """Merge a last run that is too short to be sure of, with what stands around it.

    With more words to come, "one hundred and" is not yet the beginning of "105 cats and dogs".
    """
    for last in reversed(range(1, len(stretches))):
        alike, start, end, *_ = stretches[last]
        if alike and (end - start > 1 or len(written[start].key) >= _SURE):
            break
        if alike:
            before = stretches[last - 1]
            stretches[last - 1 :] = [_Stretch(False, before.written, len(written), before.spoken, len(spoken))]


def _runs(one: list[str], other: list[str]) -> Iterator[tuple[int, int, int]]:
    """The runs that two lists have in common: where each begins in both, and its length.

    The last one is empty, and stands at the end of both.
    """
    i = j = length = 0
    for at, by in [*_latest(_pairs(one, other), one, other), (len(one), len(other))]:
        if (i + length, j + length) == (at, by) and at < len(one) and by < len(other):
            length += 1
            continue
        if length:
            yield i, j, length
        i, j, length = at, by, 1
    yield len(one), len(other), 0


def _pairs(one: list[str], other: list[str]) -> list[tuple[int, int]]:
    """The pairs of a longest common subsequence, by their numbers; window by window."""
    shorter = min(len(one), len(other))
    same = next((at for at in range(shorter) if one[at] != other[at]), shorter)
    pairs = [(at, at) for at in range(same)]
    at = by = same
    while at < len(one) and by < len(other):
        is_last = at + _WINDOW >= len(one) and by + _WINDOW >= len(other)
        found = [
            (at + block.src_start + offset, by + block.dest_start + offset)
            for block in LCSseq.opcodes(one[at : at + _WINDOW], other[by : by + _WINDOW])
            if block.tag == "equal"
            for offset in range(block.src_end - block.src_start)
        ]
        if not is_last:  # what stands near the end of the window may have its counterpart behind it
            found = [(i, j) for i, j in found if max(i - at, j - by) < _WINDOW * 3 // 4]
        pairs += found
        if is_last or not found:
            break
        at, by = found[-1][0] + 1, found[-1][1] + 1
    return pairs


def _latest(pairs: list[tuple[int, int]], one: list[str], other: list[str]) -> list[tuple[int, int]]:
    """The same pairs, each with the last of what was said that it can be.

    Of several possible places, the later one counts less as heard.
    """
    limit = len(other)
    for number in reversed(range(len(pairs))):
        i, j = pairs[number]
        limit = next(later for later in range(limit - 1, j - 1, -1) if other[later] == one[i])
        pairs[number] = i, limit
    return pairs
