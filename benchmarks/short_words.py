"""``python -m benchmarks.short_words [--tuned] [--quiet] [--wrong] [--json FILE]``: how well short sounds are heard.

Short utterances in several voices, quiet and with noise at 20 and 10 dB, go through the voice activity detector with
its defaults; what it cuts out is recognized as a backchannel, as a command or as neither. The voices are not those that
the grammar was tuned with, unless ``--tuned`` asks for these. ``--wrong`` lists each wrong one. An utterance that the
detector does not notice is right if it is a backchannel (nothing happens), and wrong if it is a command.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.machine import about
from benchmarks.voices import BACKCHANNELS, COMMANDS, JUDGED, OTHERS, TUNED, Audio, Saying, Voice, in_noise, say
from playback.bargein import closed_grammar
from playback.bargein.closed_grammar import ClosedGrammar
from playback.bargein.recognizer import RATE, Recognized
from playback.bargein.short_words import BEFORE_SECONDS
from playback.bargein.vad import SpeechDetector

NOISES: Final = (None, 20.0, 10.0)
KINDS: Final = {"command": COMMANDS, "backchannel": BACKCHANNELS, "other": OTHERS}
VITAL: Final = ("stop", "wait", "no")
"""The commands that must not be taken for backchannels."""


def cut(audio: Audio) -> Audio | None:
    """What the detector cuts out, with its defaults, as :class:`playback.bargein.short_words.ShortWords` keeps it."""
    detector = SpeechDetector()
    reported: list[tuple[bool, int]] = []
    for start in range(0, len(audio), 320):
        reported += [(change.speaking, start + 320) for change in detector.feed(audio[start : start + 320])]
    if not reported:
        return None
    end = reported[-1][1] if not reported[-1][0] else len(audio)
    return audio[max(0, reported[0][1] - round(BEFORE_SECONDS * RATE)) : end]


def kind_of(found: Recognized | None) -> str:
    """Whether it is a command, a backchannel or neither."""
    if found is None:
        return "neither"
    words = f" {found.text} "
    return "command" if any(f" {command} " in words for command in closed_grammar.COMMANDS) else "backchannel"


def judge(voice: Voice, decibels: float | None, grammar: ClosedGrammar) -> dict[str, Any]:
    """The figures of one voice with one noise."""
    counts: Counter[tuple[str, str]] = Counter()
    wrong: list[str] = []
    vital = lost = 0
    cpu: list[float] = []
    for kind, sayings in KINDS.items():
        for saying in sayings:
            sound = cut(in_noise(say(voice, saying), decibels))
            found = None
            if sound is not None:
                started = time.thread_time()
                found = grammar.recognize(sound)
                cpu.append(time.thread_time() - started)
            heard = kind_of(found) if sound is not None else "unnoticed"
            counts[kind, heard] += 1
            if kind == "command" and _words(saying)[0] in VITAL:
                vital += 1
                lost += heard == "backchannel"
            if kind != "other" and heard != kind and (kind, heard) != ("backchannel", "unnoticed"):
                wrong.append(f"{saying.text} {heard} {found}")
    judged = [kind for kind in KINDS if kind != "other"]
    return {
        "voice": f"{voice.program} {voice.name}",
        "noise": decibels,
        "sounds": sum(len(KINDS[kind]) for kind in judged),
        "right": sum(counts[kind, kind] for kind in judged) + counts["backchannel", "unnoticed"],
        "vital": vital,
        "vital_lost": lost,
        "others": len(OTHERS),
        "others_command": counts["other", "command"],
        "others_backchannel": counts["other", "backchannel"],
        "unnoticed": sum(count for (_, heard), count in counts.items() if heard == "unnoticed"),
        "cpu_ms": round(1000 * float(np.median(cpu)), 1),
        "wrong": wrong,
    }


def table(figures: list[dict[str, Any]]) -> str:
    """The figures as Markdown: one line for each noise, and one for each voice when it is quiet."""
    rows = []
    for noise in dict.fromkeys(each["noise"] for each in figures):
        rows += [("all voices", noise, [each for each in figures if each["noise"] == noise])]
    rows += [(each["voice"], None, [each]) for each in figures if each["noise"] is None]
    lines = [
        "| voice | noise | right | stop, wait, no taken for a backchannel | other speech taken for a backchannel |",
        "|---|---|---|---|---|",
    ]
    for voice, noise, some in rows:
        total = {key: sum(each[key] for each in some) for key in ("sounds", "right", "vital", "vital_lost", "others")}
        taken = sum(each["others_backchannel"] for each in some)
        lines.append(
            f"| {voice} | {'none' if noise is None else f'{noise:.0f} dB below'}"
            f" | {total['right']} of {total['sounds']} ({total['right'] / total['sounds']:.0%})"
            f" | {total['vital_lost']} of {total['vital']} | {taken} of {total['others']} |"
        )
    return "\n".join(lines)


def measure(voices: tuple[Voice, ...], noises: tuple[float | None, ...] = NOISES) -> list[dict[str, Any]]:
    """The figures of all voices that are installed."""
    grammar = ClosedGrammar()
    return [judge(voice, noise, grammar) for voice in voices if voice.is_there for noise in noises]


def main() -> None:
    """Measure, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuned", action="store_true", help="the voices that the grammar was tuned with")
    parser.add_argument("--quiet", action="store_true", help="without noise")
    parser.add_argument("--wrong", action="store_true", help="list each utterance that is not understood")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    options = parser.parse_args()
    figures = measure(TUNED if options.tuned else JUDGED, NOISES[:1] if options.quiet else NOISES)
    print(table(figures))
    print(f"\n{np.median([each['cpu_ms'] for each in figures]):.0f} ms of CPU each (median)")
    if options.wrong:
        for each in figures:
            for wrong in each["wrong"]:
                print(each["voice"], each["noise"], wrong)
    if options.json:
        options.json.write_text(json.dumps({"machine": about(), "figures": figures}, indent=1) + "\n")


def _words(saying: Saying) -> list[str]:
    return saying.text.lower().replace(",", " ").replace(".", " ").replace("!", " ").split() or [""]


if __name__ == "__main__":
    main()
