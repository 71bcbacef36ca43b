"""``python -m benchmarks.browser``: what a listener in a real browser hears, and when.

Each track sends to headless Chromium over the loopback interface, from a process of its own. The page records what it
plays; the system's monotonic clock, which both processes have, says how long after a call that was. The page, its
recorder and the connection are the same for all tracks; with all rounds it takes an hour, and more on a machine that
has something else to do.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table

from benchmarks.browser.chromium import browsing
from benchmarks.browser.figures import FULL_ROUNDS, QUICK, Effort, Found, full, measure
from benchmarks.browser.sender import SUBJECTS, Subject
from benchmarks.machine import about

WIDTH: Final = 110
VERDICTS: Final = {True: "ok", False: "MISSED", None: ""}
SCHEMA: Final = 1

Values = list[float | None]
"""Of one figure; None is what was not heard, or never came true."""


@dataclass(frozen=True)
class Row:
    """A figure that every subject has."""

    name: str
    unit: str
    values: Callable[[Found], Values]
    targets: Mapping[str, float] = field(default_factory=dict)
    """What the median has to meet, by subject; without one it is for information."""
    least: bool = False
    """Whether a target is the least that it may be, rather than the most."""

    def met(self, found: Found) -> bool | None:
        """Whether a subject meets its target; None without one. Where a value is missing, it does not."""
        if found.subject not in self.targets:
            return None
        middle, target = middle_of(self.values(found)), self.targets[found.subject]
        return middle is not None and (middle >= target if self.least else middle <= target)

    def target(self, subject: str) -> str:
        """What a subject has to meet, in words."""
        if subject not in self.targets:
            return ""
        return f"{'≥' if self.least else '≤'} {self.targets[subject]:g}{f' {self.unit}' if self.unit else ''}"


def middle_of(values: Values) -> float | None:
    """The median; None if there are no values, or one is missing."""
    there = [value for value in values if value is not None]
    return median(there) if there and len(there) == len(values) else None


SOON: Final = {"24 kHz frames": 75.0, "48 kHz frames": 50.0, "Opus": 50.0, "Opus, low delay": 50.0}
ALIKE: Final = dict.fromkeys(SOON, 0.9)
NORMAL_AGAIN: Final = {"Opus": 1.0, "Opus, low delay": 1.0}
LONG: Final = 1.0
"""The stall, in seconds, that has the target."""


def stopped(command: str, name: str) -> Callable[[Found], Values]:
    """A figure of all tones that a command has stopped."""
    return lambda found: [getattr(each, name) for each in found.rounds if each.command == command]


def stalled(seconds: float, delay: str, name: str) -> Callable[[Found], Values]:
    """A figure of all stalls of a length, by the buffered or the heard delay."""
    return lambda found: [getattr(getattr(each, delay), name, None) for each in found.stalls if each.seconds == seconds]


CALLS: Final = (
    Row("push to sound", "ms", lambda found: [each.push_to_sound_ms for each in found.rounds]),
    Row("pause to silence", "ms", stopped("pause", "to_silence_ms")),
    Row("interrupt to silence", "ms", stopped("interrupt", "to_silence_ms"), SOON),
    Row("interrupt to the end of the codec's noise", "ms", stopped("interrupt", "to_rest_ms")),
    Row("likeness of the first 20 ms", "", lambda found: [each.likeness for each in found.onsets], ALIKE, True),
    Row("late reads, 99th percentile", "ms", lambda found: [float(np.percentile(found.late_ms, 99))]),
)
"""The first table."""


def stall_rows(seconds: float) -> list[Row]:
    """The columns of the second table, for a stall of a length."""
    prefix, targets = f"stall of {seconds:g} s: ", NORMAL_AGAIN if seconds == LONG else {}
    return [
        Row(f"{prefix}buffered before", "ms", stalled(seconds, "buffered", "before_ms")),
        Row(f"{prefix}buffered at most", "ms", stalled(seconds, "buffered", "greatest_ms")),
        Row(f"{prefix}normal after", "s", stalled(seconds, "buffered", "normal_seconds"), targets),
        Row(f"{prefix}delay heard before", "ms", stalled(seconds, "heard", "before_ms")),
        Row(f"{prefix}delay heard at most", "ms", stalled(seconds, "heard", "greatest_ms")),
        Row(f"{prefix}heard as normal after", "s", stalled(seconds, "heard", "normal_seconds")),
    ]


def rows(effort: Effort) -> list[Row]:
    """All figures, in the order of the file."""
    return [*CALLS, *(row for seconds in effort.stalls for row in stall_rows(seconds))]


NOTES: Final = (
    "Each figure is a median, with the least and the greatest value. A tone of 1 kHz is pushed as one utterance into a"
    " controller that has been idle for more than a second; after 1.1 s it is paused (ramp of 5 ms) or interrupted (no"
    " fade). Calls are spread over the 20 ms between two reads. Sound and silence: the first and the last sample above"
    " -30 dB of the tone; where it is cut without a fade, the codec leaves noise below that, so it is shown, too,"
    " when this had fallen to -40 dB. An onset is that of a voice-like sound after 2.6 s of nothing, its likeness the"
    " normalised correlation of its first 20 ms with what was heard. A stall blocks the sender's loop within a voice:"
    " buffered is what getStats says of the jitter buffer every 100 ms, the delay heard is from the read of a piece of"
    " 100 ms until it was heard; normal is within 40 ms of the two seconds before, for a second at least. Sound is"
    " heard when it leaves the jitter buffer, which it does in pieces of 10 ms; a sound device takes time of its own."
    " What was measured while other machines took a core (/proc/stat, steal) was measured again."
)


def main(arguments: list[str] | None = None) -> int:
    """Measure everything, and print it.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 1 if ``--check`` was given and a target is missed, else 0.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.browser", description="What a listener hears, and when."
    )
    names = [subject.name for subject in SUBJECTS]
    parser.add_argument("--quick", action="store_true", help="two rounds of each; shows that it works, not how fast")
    parser.add_argument("--rounds", type=_whole, default=FULL_ROUNDS, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--only", action="append", choices=names, help="this track alone; may be given several times")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all values there")
    options = parser.parse_args(arguments)

    effort = QUICK if options.quick else full(options.rounds)
    subjects = [subject for subject in SUBJECTS if options.only is None or subject.name in options.only]
    console = Console(width=WIDTH, highlight=False)
    try:
        chromium, found = listen(subjects, effort, Console(stderr=True, highlight=False))
    except FileNotFoundError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    machine = about()
    machine["versions"]["Chromium"] = chromium
    lines = rows(effort)
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    console.print(f"{machine['processor']}, {machine['cores']} cores; {versions}")
    console.print(_calls(found))
    console.print(_stalls(effort, found))
    console.print(NOTES)
    if options.json:
        # Without indentation: thousands of delays would each have a line of their own.
        text = json.dumps(_as_json(machine, lines, found), ensure_ascii=False, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    missed = any(line.met(each) is False for line in lines for each in found)
    return 1 if options.check and missed else 0


def listen(subjects: Sequence[Subject], effort: Effort, progress: Console) -> tuple[str, list[Found]]:
    """Measure one subject after the other.

    Returns:
        The version of Chromium, and what was found.

    Raises:
        FileNotFoundError: Chromium is not installed.
        RuntimeError: something else than the figures went wrong.
    """
    found = []
    for subject in subjects:
        # A browser of its own for each: what one connection has left behind is not the next one's.
        with browsing() as browser, progress.status(subject.name) as status:
            report = partial(_show, status, subject)
            found.append(measure(browser, subject, effort, report))
            chromium = browser.version
    return chromium, found


def _show(status: Status, subject: Subject, what: str) -> None:
    status.update(f"{subject.name}: {what}")


def _whole(text: str) -> int:
    """A number of rounds.

    Raises:
        ValueError: none.
    """
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _calls(found: Sequence[Found]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("figure")
    table.add_column("track")
    for name in ("median", "least", "greatest", "target"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in CALLS:
        for number, each in enumerate(found):
            ordered = _ordered(row.values(each))
            unit = f" {row.unit}" if row.unit else ""
            table.add_row(
                row.name if number == 0 else "",
                each.subject,
                f"{digits(median(ordered))}{unit}",
                digits(ordered[0]),
                digits(ordered[-1]),
                row.target(each.subject),
                VERDICTS[row.met(each)],
                style="bold red" if row.met(each) is False else "",
                end_section=each is found[-1],
            )
    return table


def _stalls(effort: Effort, found: Sequence[Found]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("stall")
    table.add_column("track")
    for kind in ("buffered", "heard"):
        for name in ("before", "at most", "normal after"):
            table.add_column(f"{kind}\n{name}", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    for seconds in effort.stalls:
        columns = stall_rows(seconds)
        for number, each in enumerate(found):
            verdicts = [column.met(each) for column in columns]
            verdict = False if False in verdicts else True if True in verdicts else None
            table.add_row(
                f"{seconds:g} s" if number == 0 else "",
                each.subject,
                *(f"{digits(median(_ordered(column.values(each))))} {column.unit}" for column in columns),
                "".join(column.target(each.subject) for column in columns),
                VERDICTS[verdict],
                style="bold red" if verdict is False else "",
                end_section=each is found[-1],
            )
    return table


def _ordered(values: Values) -> list[float]:
    """Values by size; what never came is later than all that did."""
    there = sorted(value for value in values if value is not None)
    return there + [math.inf] * (len(values) - len(there)) or [math.inf]


def digits(figure: float) -> str:
    """A figure with as many digits as can be trusted; a dash if it never came."""
    if math.isinf(figure):
        return "–"
    return f"{figure:,.0f}" if figure >= 10 else f"{figure:.1f}" if figure > 1 else f"{figure:.2f}"


def _as_json(machine: Mapping[str, object], lines: Sequence[Row], found: Sequence[Found]) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "machine": dict(machine),
        "figures": list(_figures(lines, found)),
        "raw": [each.as_json() for each in found],
    }


def _figures(lines: Sequence[Row], found: Sequence[Found]) -> Iterator[dict[str, object]]:
    for line in lines:
        for each in found:
            values = line.values(each)
            there = [value for value in values if value is not None]
            yield {
                "figure": line.name,
                "subject": each.subject,
                "unit": line.unit,
                "median": middle_of(values),
                "least": min(there, default=None),
                "greatest": max(there, default=None),
                "values": values,
                "target": line.targets.get(each.subject),
                "ok": line.met(each),
            }


if __name__ == "__main__":
    sys.exit(main())
