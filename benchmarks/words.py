"""``python -m benchmarks.words [--cuts N] [--json FILE]``: how exactly it is known what was heard.

Texts are spoken by eleven voices, and cut at random. What was heard is known from the synthesizer's own times. Each way
of finding it gets the same cuts; the words that it finds are counted and compared. Other systems' rules are written
down here as they describe them.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.machine import about
from benchmarks.word_times import TEXTS, VOICES, Said, say
from playback.align.finder import Finder
from playback.align.pauses import RATE
from playback.audio.envelope import Envelope
from playback.audio.formats import AudioFormat
from playback.words.alignment import BEYOND_SECONDS
from playback.words.estimate import Sound, estimate
from playback.words.heard import heard_of

FORMAT: Final = AudioFormat(RATE)
CUTS: Final = 1_000
LIVEKIT_SYLLABLES: Final = 3.83
"""Syllables per second that LiveKit's synchronizer takes for usual, where a synthesizer sends no word times."""

Way = Callable[[Said, float], int]
"""How many words of a text were heard when it was cut at a time."""


def count_of(text: str, heard: str) -> int:
    """How many of the words of a text, which are what stands between spaces, a part from its start has."""
    ends = [match.start() + len(match[0].rstrip(".,;:!?")) for match in re.finditer(r"\S+", text)]
    return bisect_right(ends, len(heard))


def truth(said: Said, cut: float) -> int:
    """How many words have sounded."""
    return bisect_right(said.ends, cut)


def by_marks(said: Said, cut: float) -> int:
    """With the times that a synthesizer sends: a word counts when it has ended."""
    words = said.text.split()
    return count_of(said.text, heard_of(said.text, words, truth(said, cut), is_final=True))


class ByAlignment:
    """With an aligner, which gets the audio up to the cut and what had arrived behind it.

    Args:
        beyond: how much that is at the most, in seconds.
    """

    def __init__(self, beyond: float) -> None:
        self._finder: Final = Finder("en", None, None, None)  # in this process, for its CPU time counts
        self._beyond: Final = beyond
        self.cpu = self.audio = 0.0

    def __call__(self, said: Said, cut: float) -> int:
        """How many words were heard."""
        audio = said.audio[: round((cut + self._beyond) * RATE)]
        before = time.thread_time()
        words = self._finder.find(said.text, audio)
        self.cpu += time.thread_time() - before
        self.audio += len(audio) / RATE
        played = sum(word.end is not None and word.end <= cut for word in words)
        heard = heard_of(said.text, [word.text for word in words], played, is_final=True)
        return count_of(said.text, heard)


def by_estimate(said: Said, cut: float) -> int:
    """By the share of the speech that was played, when all of it has arrived."""
    return count_of(said.text, estimate(said.text, _sound(said, said.seconds, cut)))


def by_running_estimate(said: Said, cut: float) -> int:
    """The same while synthesis is running, half a second ahead."""
    return count_of(said.text, estimate(said.text, _sound(said, cut + BEYOND_SECONDS, cut)))


def _sound(said: Said, arrived: float, cut: float) -> Sound:
    envelope = Envelope(FORMAT)
    envelope.add(said.audio[: round(arrived * RATE)].tobytes())
    return Sound(envelope.windows(), envelope.seconds, cut, arrived >= said.seconds)


def by_livekit(said: Said, cut: float) -> int:
    """As LiveKit's synchronizer does without word times: words at a usual rate, each in the middle of its time."""
    at, count = 0.0, 0
    for word in said.text.split():
        seconds = max(1, len(re.findall(r"[aeiouy]+|\d", word.lower()))) / LIVEKIT_SYLLABLES
        count += at + seconds / 2 <= cut
        at += seconds
    return count


def by_characters(said: Said, cut: float) -> int:
    """As VideoSDK does: the share of the characters is that of the audio that was played."""
    return count_of(said.text, said.text[: int(len(said.text) * cut / said.seconds)])


def speech(voices: tuple[Any, ...] = VOICES, texts: tuple[str, ...] = TEXTS) -> list[Said]:
    """All texts by all voices that are installed, as far as the times of all words are known."""
    return [said for voice in voices if voice.is_there for text in texts if (said := say(voice, text)) is not None]


def measure(all_said: list[Said], cuts: int) -> dict[str, Any]:
    """The figures of all ways, at the same cuts."""
    rng = np.random.default_rng(0)
    aligned, at_cut = ByAlignment(BEYOND_SECONDS), ByAlignment(0.0)
    ways: dict[str, Way] = {
        "marks": by_marks,
        "alignment": aligned,
        "alignment, nothing behind the cut": at_cut,
        "estimate, all audio there": by_estimate,
        "estimate, synthesis running": by_running_estimate,
        "LiveKit's rule": by_livekit,
        "VideoSDK's rule": by_characters,
    }
    errors: dict[str, list[int]] = {name: [] for name in ways}
    voices: dict[str, list[int]] = {}
    for _ in range(cuts):
        said = all_said[rng.integers(len(all_said))]
        cut = float(rng.uniform(0.0, said.seconds))
        for name, way in ways.items():
            errors[name].append(way(said, cut) - truth(said, cut))
        voices.setdefault(f"{said.voice.program} {said.voice.name}", []).append(errors["alignment"][-1])
    return {
        "cuts": cuts,
        "ways": {name: _figures(found) for name, found in errors.items()},
        "voices": {name: _figures(found) for name, found in sorted(voices.items())},
        "cpu": aligned.cpu / aligned.audio,
    }


def cost() -> dict[str, float]:
    """What it takes to estimate what was heard of 5,000 words, in ms of CPU time, the best of ten times."""
    rng = np.random.default_rng(0)
    amounts = [f"${whole:,}.{cents:02d}" for whole, cents in rng.integers(1, [10**7, 100], (5_000, 2))]
    texts = {"words": " ".join(["Hello there, how are you?"] * 1_000), "amounts": " ".join(amounts)}
    # Half an hour, with a pause of 0.2 s in each 1.2 s; half of it was played.
    sound = Sound(np.where(np.arange(75_000) % 60 < 50, 100, 0).astype(np.uint8), 0.02, 750.0, True)
    found: dict[str, float] = {}
    for name, text in texts.items():
        for _ in range(10):
            before = time.process_time()
            estimate(text, sound)
            found[name] = min(found.get(name, np.inf), 1_000 * (time.process_time() - before))
    return found


def _figures(errors: list[int]) -> dict[str, float]:
    off = np.abs(errors)
    return {
        "exact": float(np.mean(off == 0)),
        "within_one": float(np.mean(off <= 1)),
        "mean": float(np.mean(off)),
        "worst": int(off.max()),
        "too_many": float(np.mean(np.array(errors) > 0)),
    }


def rows(figures: dict[str, Any]) -> Iterator[list[str]]:
    """The figures, one row for each way."""
    for name, found in figures["ways"].items():
        yield [
            name,
            f"{found['exact']:.1%}",
            f"{found['within_one']:.1%}",
            f"{found['too_many']:.1%}",
            f"{found['mean']:.2f}",
            f"{found['worst']}",
        ]


HEADS: Final = ["what was heard, by", "exact", "within one word", "too many", "mean error, words", "worst"]


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=CUTS, help="how many (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    all_said = speech()
    figures = measure(all_said, options.cuts)
    for row in [HEADS, *rows(figures)]:
        print("  ".join(cell.ljust(34 if place == 0 else 16) for place, cell in enumerate(row)))
    for name, found in figures["voices"].items():
        print(f"{name}: exact {found['exact']:.1%}, within one word {found['within_one']:.1%}")
    print(f"{figures['cpu']:.2%} of the duration of the audio is what aligning takes, on one core")
    print(", ".join(f"5,000 {name} are estimated in {each:.0f} ms" for name, each in cost().items()))
    if options.json:
        options.json.write_text(json.dumps({"machine": about(), **figures}) + "\n")


if __name__ == "__main__":
    main()
