"""``python -m benchmarks.calls [--short] [--only PART …] [--json FILE]``: what calls cost behind real senders.

Each figure comes from a process of its own, which has so many calls of one kind (:mod:`benchmarks.calls.sender`), with
all other ends in a second process. A cost is compared with the baseline's of the same round, as machines are noisy; a
number of calls is tried again when it fails, because noise only ever makes it worse.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import wave
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from rich.console import Console

from benchmarks.calls.tracks import RATE
from benchmarks.machine import about
from playback import AudioFormat, PlaybackController
from playback.speech import speech_format, synthesize

TEXT: Final = (
    "Your table for two is booked for eight o'clock this evening, in the quiet corner next to the window."
    " If you are late, just give us a call, and we will keep it for you until half past."
)
COUNTS: Final = (1, 5, 10, 20, 30, 40, 60, 80)
MORE: Final = (100, 120, 150, 200, 250, 300, 400, 500)
"""Tried where even the last of :data:`COUNTS` is no trouble."""

LATE_MS: Final = 20.0
"""When the next frame is due: a jitter buffer that is as short as it can be has missed this one."""

CALLS: Final = 20
"""How many calls there are where a cost is measured."""

ATTEMPTS: Final = 2
"""How often a number of calls has to fail, on a machine that is left alone."""

MOST_ATTEMPTS: Final = 5
"""How often anything is tried where other machines disturb it."""

DISTURBED: Final = 0.05
"""How many cores may be stolen, on average, before that is what fails."""

NATIVE: Final = (
    ("Opus, complexity 0", "opus, complexity 0", "speech"),
    ("native", "native", "speech"),
    ("native, complexity 0", "native, complexity 0", "speech"),
    ("native, prepared", "native, prepared", "speech"),
    ("native, silent", "native", "silence"),
)
"""What is measured beside the others where libdatachannel is installed (Python 3.12 and later)."""

NOX: Final = Path(".nox")
OTHERS: Final = {
    "VideoSDK": ("videosdk", "videosdk", "videosdk baseline"),
    "Pipecat": ("pipecat", "pipecat", "baseline"),
    "GetStream": ("vision_agents", "vision_agents", "baseline"),
}
"""By name: its environment, its track, and the baseline of its stack."""

Report = dict[str, Any]


class Runner:
    """Runs near ends, one at a time.

    Args:
        speech: what their agents say, a WAV file.
        console: where progress is shown.
        short: whether a few rounds are enough.
    """

    def __init__(self, speech: Path, console: Console, *, short: bool) -> None:
        self.short: Final = short
        self._speech: Final = speech
        self._console: Final = console

    def __call__(
        self, track: str, calls: int, *options: str, seconds: float = 5.0, python: str = sys.executable
    ) -> Report:
        """Have so many calls of a kind, for so long; returns what the near end reports.

        Raises:
            RuntimeError: it failed.
        """
        command = [python, "-m", "benchmarks.calls.sender", "--track", track, "--calls", str(calls)]
        command += ["--seconds", str(seconds), "--speech", str(self._speech), "--far-python", sys.executable, *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
        report: Report = json.loads(done.stdout.splitlines()[-1])
        self._console.print(
            f"[dim]{calls:4} × {' '.join((track, *options))}:"
            f" {report['cpu_us']:.0f} µs, p99 {report['p99_ms']:.1f} ms, mostly {report['second_p99_ms']:.1f} ms,"
            f" {report['stolen']:.2f} cores stolen[/dim]"
        )
        return report

    def say(self, text: str) -> None:
        """Show whoever runs this."""
        self._console.print(f"[bold]{text}[/bold]")

    def quietly(self, track: str, calls: int, *options: str, python: str = sys.executable) -> Report:
        """The same, tried again where other machines take this one's cores; the least disturbed of all tries."""
        best: Report = {"stolen": math.inf}
        for _ in range(1 if self.short else MOST_ATTEMPTS):
            best = min(best, self(track, calls, *options, python=python), key=itemgetter("stolen"))
            if best["stolen"] < DISTURBED:
                break
        return best


# What there is to find out


def costs(run: Runner) -> Report:
    """CPU time for each 20 ms of a call, as a multiple of the baseline's: 20 agents that speak, 20 that are silent."""
    subjects: tuple[tuple[str, str, str], ...] = (
        ("frames", "frames", "speech"),
        ("frames at 24 kHz", "frames 24 kHz", "speech"),
        ("Opus", "opus", "speech"),
        ("Opus, low delay", "opus low delay", "speech"),
        ("Opus, prepared", "opus, prepared", "speech"),
        ("frames, silent", "frames", "silence"),
        ("Opus, silent", "opus", "silence"),
    )
    if find_spec("libdatachannel") is not None:
        subjects += NATIVE
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    baselines = [run.quietly("baseline", CALLS, "--freeze")["cpu_us"]]
    for _ in range(1 if run.short else 3):
        for name, track, case in subjects:
            cost = run.quietly(track, CALLS, "--freeze", "--case", case)["cpu_us"]
            baselines.append(run.quietly("baseline", CALLS, "--freeze")["cpu_us"])
            ratios[name].append(cost / fmean(baselines[-2:]))
    return {
        "calls": CALLS,
        "baseline_us": median(baselines),
        "ratios": {name: median(values) for name, values in ratios.items()},
        "raw": ratios,
    }


def lateness(run: Runner) -> Report:
    """For each kind of track and number of calls: CPU time, and how late frames are."""
    rows = [
        {"track": track, "calls": calls, **run.quietly(track, calls, "--freeze")}
        for track in ("baseline", "frames", "opus")
        for calls in (COUNTS[:4] if run.short else COUNTS)
    ]
    return {"rows": rows}


def capacity(run: Runner) -> Report:
    """The most calls of which 99 % of the frames of a second are less than 20 ms late, mostly; agents never stop."""
    return _most(run, ("frames", "opus", *_native_tracks()), "speech")


def listening(run: Runner) -> Report:
    """The same with agents that listen three quarters of the time."""
    return _most(run, ("frames", "opus", *_native_tracks()), "turns")


def _native_tracks() -> tuple[str, ...]:
    found = find_spec("libdatachannel") is not None
    return ("native", "native, complexity 0", "native, prepared") if found else ()


def tuning(run: Runner) -> Report:
    """What each advice of :mod:`playback.tuning` changes, for 20 calls with frames and 40 with Opus."""
    settings = {
        "as it is": (),
        "freeze()": ("--freeze",),
        "uvloop": ("--uvloop",),
        "2 threads": ("--threads", "2"),
        "all three": ("--freeze", "--uvloop", "--threads", "2"),
    }
    numbers = {"frames": CALLS, "opus": 2 * CALLS}
    found: dict[str, dict[str, list[Report]]] = {track: defaultdict(list) for track in numbers}
    for _ in range(1 if run.short else 3):
        for track, calls in numbers.items():
            for name, options in settings.items():
                found[track][name].append(run.quietly(track, calls, *options))
    return {
        track: {
            "calls": numbers[track],
            "settings": {
                name: {
                    key: median(report[key] for report in reports)
                    for key in ("cpu_us", "p50_ms", "second_p99_ms", "p99_ms")
                }
                for name, reports in settings_found.items()
            },
        }
        for track, settings_found in found.items()
    }


def others(run: Runner) -> Report:
    """What other systems' own tracks cost, and ours beside them, each as a multiple of its stack's baseline."""
    found: Report = {}
    for name, (environment, track, baseline) in OTHERS.items():
        python = NOX / environment / "bin" / "python"
        if not python.exists():
            run.say(f"{name} is left out: there is no {python}; make integrations makes it")
            continue
        ratios: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(1 if run.short else 3):
            found_us = {
                each: run.quietly(each, CALLS, "--freeze", python=str(python))["cpu_us"]
                for each in dict.fromkeys((baseline, track, "baseline", "frames", "opus"))
            }
            ratios["its own"].append(found_us[track] / found_us[baseline])
            for ours in ("frames", "opus"):
                ratios[ours].append(found_us[ours] / found_us["baseline"])
        found[name] = {what: median(values) for what, values in ratios.items()}
    return found


def _most(run: Runner, tracks: tuple[str, ...], case: str) -> Report:
    return {track: _largest(lambda calls, track=track: _in_time(run, track, calls, case)) for track in tracks}  # type: ignore[misc]


def _in_time(run: Runner, track: str, calls: int, case: str) -> bool:
    """Whether so many calls are in time: once is enough, and what is stolen by other machines does not count."""
    failures = 0
    for _ in range(MOST_ATTEMPTS):
        try:
            report = run(track, calls, "--freeze", "--case", case)
        except (RuntimeError, subprocess.TimeoutExpired) as error:  # so many are too many even to connect them
            run.say(str(error))
            return False
        if report["frames_per_second"] and report["second_p99_ms"] < LATE_MS:
            return True
        failures += report["stolen"] < DISTURBED
        if failures == ATTEMPTS:
            return False
    return False


def _largest(passes: Callable[[int], bool]) -> int:
    """The largest number that passes, to within a sixteenth; 0 if none does."""
    low, high = 0, None
    for count in (*COUNTS[3:], *MORE):
        if not passes(count):
            high = count
            break
        low = count
    if high is None:
        return low
    if not low:
        low, high = next(((count, after) for count, after in _downwards() if passes(count)), (0, 0))
    while high - low > max(1, low // 16):
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return low


def _downwards() -> Iterator[tuple[int, int]]:
    """The smaller counts, from the largest of them, each with the one after it."""
    small = COUNTS[:4]
    return zip(reversed(small[:-1]), reversed(small[1:]), strict=True)


PARTS: Final = {
    "costs": costs,
    "lateness": lateness,
    "capacity": capacity,
    "listening": listening,
    "tuning": tuning,
    "others": others,
}
SHORT: Final = ("costs",)


def write_speech(path: Path) -> None:
    """Have the text spoken into a WAV file: mono, 16 bits, 48 kHz."""
    pieces: list[bytes] = []

    def take(piece: bytes) -> bool:
        pieces.append(piece)
        return True

    synthesize(TEXT, take, lambda *_: None)
    controller = PlaybackController(AudioFormat(RATE), input_format=speech_format())
    controller.push(b"".join(pieces))
    controller.end()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(controller.read(controller.buffered).tobytes())


def main(arguments: list[str] | None = None) -> int:
    """Measure, and report; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description="What calls cost.")
    parser.add_argument("--short", action="store_true", help="a few rounds; shows that it works, and roughly how fast")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="(default: all; with --short: costs)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="add the figures to what is there")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    results = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        speech = Path(folder) / "speech.wav"
        write_speech(speech)
        run = Runner(speech, console, short=options.short)
        for part in options.only or (SHORT if options.short else PARTS):
            console.print(f"[bold]{part}[/bold]: {PARTS[part].__doc__}")
            found = PARTS[part](run)
            if not found:
                run.say("nothing was found: what there was of it stays")
                continue
            results[part] = found
            results.setdefault("machines", {})[part] = about()
            console.print_json(json.dumps({part: results[part]}))
            if options.json:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
