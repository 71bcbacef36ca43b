"""The benchmark of what was heard: its truth, its counting, and that each way is measured."""

from __future__ import annotations

import shutil
from itertools import pairwise

import numpy as np
import pytest

from benchmarks import aligned_calls, words
from benchmarks.voices import Voice
from benchmarks.word_times import TEXTS, Said, say
from tests.needs import need_program

TEXT = TEXTS[0]
SILENCE = np.ones(16_000, np.int16)
SAID = Said(Voice("espeak", "en"), "One two, three four.", SILENCE, (0.0, 0.3, 0.5, 0.7), (0.2, 0.4, 0.7, 1.0))


@pytest.mark.parametrize(
    ("heard", "count"),
    [("", 0), ("One", 1), ("One t", 1), ("One two", 2), ("One two,", 2), ("One two, three four.", 4)],
)
def test_words_of_a_part_of_a_text_are_counted(heard: str, count: int) -> None:
    assert words.count_of(SAID.text, heard) == count


@pytest.mark.parametrize(("cut", "count"), [(0.0, 0), (0.19, 0), (0.2, 1), (0.69, 2), (1.0, 4)])
def test_marks_are_the_truth(cut: float, count: int) -> None:
    assert words.truth(SAID, cut) == words.by_marks(SAID, cut) == count


def test_the_rules_of_other_systems_count_from_nothing_to_all() -> None:
    for rule in (words.by_livekit, words.by_characters):
        counts = [rule(SAID, cut) for cut in np.linspace(0.0, 1.0, 50)]
        assert counts[0] == 0
        assert counts == sorted(counts)
    assert words.by_characters(SAID, 1.0) == 4


@pytest.mark.parametrize("program", ["espeak", "flite"])
def test_the_true_times_are_in_order_and_within_the_audio(program: str) -> None:
    if program == "flite":
        need_program("flite", "Debian's package flite")
    said = say(Voice(program, "slt" if program == "flite" else "en-us"), TEXT)
    assert said is not None
    times = [time for pair in zip(said.starts, said.ends, strict=True) for time in pair]
    assert len(said.starts) == len(TEXT.split())
    assert all(one <= other + 1e-4 for one, other in pairwise(times))
    assert times[-1] <= said.seconds
    for start, end in zip(said.starts, said.ends, strict=True):
        assert np.abs(said.audio[round(start * 16_000) : round(end * 16_000)].astype(float)).mean() > 50


def test_every_way_gets_figures_and_alignment_is_better_than_a_guess() -> None:
    voice = Voice("flite", "rms") if shutil.which("flite") else Voice("espeak", "en-us")
    found = words.measure(words.speech((voice,), TEXTS[:4]), 15)
    assert len(list(words.rows(found))) == 7
    assert all(len(row) == len(words.HEADS) for row in words.rows(found))
    ways = found["ways"]
    assert ways["marks"]["exact"] == 1.0
    assert ways["alignment"]["within_one"] == 1.0
    assert ways["alignment"]["exact"] > ways["VideoSDK's rule"]["exact"]


def test_calls_are_measured_with_an_aligner_and_without() -> None:
    found = aligned_calls.measure(2, 1, 1.5)
    assert set(found["kinds"]) == {"estimate", "alignment"}
    assert all(kind["p99"] >= kind["median"] >= 0 for kind in found["kinds"].values())
    assert len(found["waits"]) == found["kinds"]["alignment"]["aligned"]
    assert all(mean > 0 for mean in found["lock"].values())
