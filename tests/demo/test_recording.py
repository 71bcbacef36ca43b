"""When the words of a recording sound: found in its audio, or else estimated."""

from __future__ import annotations

from itertools import pairwise

import pytest

from playback.audio.formats import AudioFormat, Block, parse
from playback.demo.recording import Recording, find_aligner
from playback.speech import speech_format, synthesize
from playback.words import Aligner, Word

TEXT = "Your table is booked for eight, and the kitchen is open until eleven."


def recorded(text: str = TEXT) -> tuple[list[Block], list[float]]:
    """Speech in blocks, and where each word begins."""
    blocks: list[Block] = []
    starts: list[float] = []

    def take(audio: bytes) -> bool:
        blocks.append(parse(audio, speech_format()))
        return True

    synthesize(text, take, lambda _, start: starts.append(start))
    return blocks, starts


async def words_of(aligner: Aligner | None, text: str = TEXT) -> tuple[list[Word], list[float]]:
    blocks, starts = recorded()
    recording = Recording(text, AudioFormat(48_000), aligner)
    for block in blocks:
        recording.add(block)
    return await recording.found(), starts


@pytest.mark.parametrize(("aligned", "tolerance"), [(True, 0.12), (False, 0.35)])
async def test_each_word_is_where_it_sounds(aligned: bool, tolerance: float) -> None:
    aligner = find_aligner() if aligned else None
    assert (aligner is not None) is aligned
    words, starts = await words_of(aligner)
    assert [word.text.strip(",.") for word in words] == TEXT.replace(",", "").replace(".", "").split()
    assert [word.start for word in words] == pytest.approx(starts, abs=tolerance)
    assert all(word.start < other.start for word, other in pairwise(words))


async def test_an_aligner_that_does_not_find_all_or_raises_leaves_the_estimate() -> None:
    class Half:
        def align(self, *_: object) -> list[Word]:
            return [Word("Your", 0.0, 0.1)]

    class Broken:
        def align(self, *_: object) -> list[Word]:
            raise RuntimeError

    estimated, _ = await words_of(None)
    for aligner in (Half(), Broken()):
        found, _ = await words_of(aligner)
        assert len(found) == len(estimated) == len(TEXT.split())


async def test_a_text_that_nobody_says_breaks_nothing() -> None:
    for text in ("...", "🙂", "完全に別のテキスト"):
        found, _ = await words_of(find_aligner(), text)
        assert all(word.end is not None for word in found)
