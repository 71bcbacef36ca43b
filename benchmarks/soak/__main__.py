"""``python -m benchmarks.soak [--hours H] [--controllers N] [--quick] [--seed S] [--json FILE]``: hours of talk.

Controllers are talked to and read from for hours of audio, in as little time as that takes: time is the number of
samples read. Everything that an application may do happens to them in an order that the seed decides. After each turn
every count is compared with its own ledger; at the end of each segment everything comes to rest, and memory, live
objects and the CPU time of a read are looked at.

There are two parts. The first, three quarters of the time, is as it is in earnest; the second has every allocation of
Python traced, which finds much smaller leaks, and makes everything several times slower.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import about
from benchmarks.soak.growth import (
    COUNTED,
    MEGABYTE,
    Sample,
    Trend,
    ends,
    growing,
    left,
    running_tasks,
    sample,
    trends,
    warm,
)
from benchmarks.soak.ledger import Findings
from benchmarks.soak.session import Session
from playback.chart import PLAYBACK

WIDTH: Final = 110
MOST_ROUNDS: Final = 1_000
MOST_SLOWER: Final = 2.0
"""How many times as long a read may take at the end: machines are noisy."""
FEWEST_SEGMENTS: Final = 8
"""A quarter of them is for the warm-up; the first and the last quarter of the others are compared."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done."""

    hours: float
    """Of audio, of all controllers together."""
    controllers: int
    """At a time."""
    segments: int
    """After each one things are looked at."""
    seed: int = 1
    traced: bool = False
    """Whether Python's allocations are traced."""

    def parts(self) -> tuple[Plan, Plan]:
        """Most of it as it is, and the rest traced, with a seed of its own."""
        fewer = max(FEWEST_SEGMENTS, self.segments // 2)
        traced = replace(self, hours=self.hours / 4, segments=fewer, seed=self.seed + 1, traced=True)
        return replace(self, hours=self.hours * 3 / 4), traced


FULL: Final = Plan(hours=24.0, controllers=50, segments=18)
QUICK: Final = Plan(hours=0.3, controllers=6, segments=FEWEST_SEGMENTS)


@dataclass(slots=True)
class Outcome:
    """What a run has found."""

    plan: Plan
    findings: Findings
    samples: list[Sample]
    before: Sample
    """Before the first controller was made."""
    after: Sample
    """After the last one was closed and let go."""
    tasks_left: int
    cpu_seconds: float

    @property
    def trends(self) -> list[Trend]:
        """Of memory: of what is traced, if it is; of the whole process, if nothing distorts that."""
        return trends(self.samples, "traced" if self.plan.traced else "rss")

    @property
    def reads(self) -> tuple[float, float]:
        """What a read within speech took in the first and the last quarter after the warm-up, × the baseline."""
        return ends([one.ratio for one in warm(self.samples)])

    @property
    def problems(self) -> list[str]:
        """Why the run has failed, in lines to read; none if it has not."""
        lines = [f"{name}: {number} times" for name, number in self.findings.failed.items()]
        lines += self.findings.failures
        for trend in self.trends:
            if trend.grows:
                lines.append(f"{trend.limit.name} grows: {_trend(trend)}")
        first, last = self.reads
        if last > MOST_SLOWER * first:
            lines.append(f"reads take longer: {first:.2f} × baseline in the first quarter, {last:.2f} in the last")
        for name, (first, last) in growing(self.samples).items():
            lines.append(f"more and more live objects: {name}, {first:,.0f} at first, {last:,.0f} at last")
        alive = [one.types.get(COUNTED["controllers"], 0) for one in (self.before, *self.samples)]
        if max(alive) > alive[0] + self.plan.controllers:
            lines.append(
                f"controllers that nobody holds are kept: {max(alive) - alive[0]}, not {self.plan.controllers}"
            )
        for name, number in left(self.before, self.after).items():
            lines.append(f"left when all was closed: {name}, {number:,}")
        if self.tasks_left:
            lines.append(f"left when all was closed: {self.tasks_left} tasks")
        totals = self.findings.totals
        if totals["utterances"] != totals["finished"] + totals["forgotten"]:
            lines.append(f"{totals['utterances']} utterances, but {totals['finished']} finished")
        if totals["accepted"] != totals["played"] + totals["discarded"]:
            lines.append("accepted is not played + discarded when all was closed")
        return lines


async def soak(plan: Plan, show: Callable[[Outcome], None] | None = None) -> Outcome:
    """Run it.

    Args:
        plan: how much.
        show: called after each segment, with what was found so far.
    """
    started = time.process_time()
    findings = Findings()
    before = sample()
    outcome = Outcome(plan, findings, [], before, before, 0, 0.0)
    sessions = [Session(number, plan.seed, findings) for number in range(plan.controllers)]
    for segment in range(1, plan.segments + 1):
        cpu, reads = time.process_time(), findings.totals["reads"]
        while reads == findings.totals["reads"] or _hours(sessions) < plan.hours * segment / plan.segments:
            for session in sessions:
                await session.turn()
                await asyncio.sleep(0)
        all_in = (time.process_time() - cpu) / (findings.totals["reads"] - reads)
        ratio = median([await session.rest() for session in sessions])
        outcome.samples.append(sample(_hours(sessions), ratio, 1e6 * all_in))
        outcome.cpu_seconds = time.process_time() - started
        if show is not None:
            show(outcome)

    for session in sessions:
        await session.close()
    hours = _hours(sessions)
    del session
    sessions.clear()
    for _ in range(MOST_ROUNDS):  # sinks that are awaited have their last audio to hear
        if not running_tasks():
            break
        await asyncio.sleep(0)
    outcome.tasks_left = running_tasks()
    outcome.after = sample(hours)
    outcome.cpu_seconds = time.process_time() - started
    return outcome


def _hours(sessions: list[Session]) -> float:
    return sum(session.seconds for session in sessions) / 3_600


def run(plan: Plan, show: Callable[[Outcome], None] | None = None) -> Outcome:
    """Run it in a loop of its own, without the log of what is raised on purpose.

    Args:
        plan: how much.
        show: called after each segment, with what was found so far.
    """
    logger = logging.getLogger("playback")
    disabled, logger.disabled = logger.disabled, True
    if plan.traced:
        tracemalloc.start()
    try:
        return asyncio.run(soak(plan, show))
    finally:
        logger.disabled = disabled
        if plan.traced:
            tracemalloc.stop()


# What is shown

COLUMNS: Final[dict[str, Callable[[Sample], str]]] = {
    "hours": lambda one: f"{one.hours:,.2f}",
    "RSS, MB": lambda one: f"{one.rss / MEGABYTE:,.1f}",
    "traced, MB": lambda one: f"{one.traced / MEGABYTE:,.2f}" if one.traced else "",
    "× baseline": lambda one: f"{one.ratio:.2f}",
    "µs": lambda one: f"{one.all_in_us:.0f}",
    "objects": lambda one: f"{one.objects:,}",
    **{name: lambda one, kind=kind: f"{one.types.get(kind, 0):,}" for name, kind in COUNTED.items()},  # type: ignore[misc]
}
"""The table, a line for each segment."""


def main(arguments: list[str] | None = None) -> int:
    """Run it, and print what was found.

    Args:
        arguments: the command line without the program's name; the process's own unless given.

    Returns:
        The exit code: 1 if a count was wrong, or something grows.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description="Hours of talk, and what they cost.")
    parser.add_argument("--hours", type=float, help="of audio, of all controllers together")
    parser.add_argument("--controllers", type=int, help="how many there are at a time")
    parser.add_argument("--seed", type=int, default=FULL.seed, help="decides on everything that happens")
    parser.add_argument("--quick", action="store_true", help="a few minutes for each of a few controllers")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write what was found there")
    options = parser.parse_args(arguments)
    plan = replace(QUICK if options.quick else FULL, seed=options.seed)
    plan = replace(plan, hours=options.hours or plan.hours, controllers=options.controllers or plan.controllers)
    if plan.hours < 0 or plan.controllers < 0:
        parser.error("expected hours of audio, and controllers")

    console = Console(width=WIDTH, highlight=False)
    progress = Console(stderr=True, highlight=False)
    progress.print(f"{plan.hours:g} h of audio, {plan.controllers} controllers, Python {platform.python_version()}")
    outcomes = []
    for part in plan.parts():
        outcome = run(part, lambda outcome: progress.print(_progress(outcome)))
        outcomes.append(outcome)
        console.print(f"\n{part.hours:g} h of audio, {'traced' if part.traced else 'as it is'}", style="bold")
        console.print(_table(outcome))
        console.print(_summary(outcome))
        for line in outcome.problems:
            console.print(line, style="red", markup=False)
    failed = any(outcome.problems for outcome in outcomes)
    console.print("\nFAILED" if failed else "\nok", style="bold red" if failed else "bold")
    if options.json:
        found = {"machine": about(), "ok": not failed, "parts": [*map(_as_json, outcomes)]}
        options.json.write_text(json.dumps(found, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(failed)


def _progress(outcome: Outcome) -> str:
    one = outcome.samples[-1]
    failed = outcome.findings.failed.total()
    return f"{one.hours:6.2f} h, {outcome.cpu_seconds:6.1f} s of CPU, {failed} failures"


def _table(outcome: Outcome) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for one in (*outcome.samples, outcome.after):
        closed = one is outcome.after
        table.add_row(*("" if "nan" in (text := cell(one)) else text for cell in COLUMNS.values()), end_section=closed)
    return table


def _trend(trend: Trend) -> str:
    limit = trend.limit
    return (
        f"{trend.slope / MEGABYTE:+.3f} MB by an hour, {trend.rise / MEGABYTE:+.2f} MB in all;"
        f" not more than both {limit.slope / MEGABYTE:g} and {limit.rise / MEGABYTE:g}"
    )


def _summary(outcome: Outcome) -> str:
    totals = outcome.findings.totals
    first, last = outcome.reads
    leaves = len(set(outcome.findings.leaves) & set(PLAYBACK.leaves))
    lines = [
        "Each line is at rest, the last after closing. × baseline: a read within speech. µs: all in all, by read.",
        f"{totals['reads']:,} reads, {totals['pushes'] + totals['writes']:,} pushes, {totals['controllers']:,}"
        f" controllers, {totals['utterances']:,} utterances:"
        f" {totals['completed']:,} completed, {totals['interrupted']:,} interrupted, {totals['closed']:,} closed,"
        f" {totals['forgotten']:,} dropped unused",
        f"{totals['accepted']:,} samples accepted = {totals['played']:,} played + {totals['discarded']:,} discarded;"
        f" {totals['refused']:,} refused in {totals['refusals']:,} pushes",
        f"{leaves} of {len(PLAYBACK.leaves)} leaves of the chart; {outcome.findings.failed.total()} failures of checks",
        *(f"{trend.limit.name}: {_trend(trend)} ({trend.limit.why})" for trend in outcome.trends),
        f"read: {first:.2f} × baseline in the first quarter, {last:.2f} in the last: {last / first:.2f}",
        f"{outcome.cpu_seconds:,.0f} s of CPU for {outcome.after.hours:,.2f} h of audio",
    ]
    return "\n".join(lines)


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "plan": asdict(outcome.plan),
        "problems": outcome.problems,
        "totals": dict(sorted(outcome.findings.totals.items())),
        "leaves": dict(sorted(outcome.findings.leaves.items())),
        "reads": outcome.reads,
        "trends": {one.limit.name: {"slope": one.slope, "rise": one.rise} for one in outcome.trends},
        "samples": [asdict(one) | {"ratio": one.ratio} for one in outcome.samples],
        "left": left(outcome.before, outcome.after),
        "cpu_seconds": outcome.cpu_seconds,
    }


if __name__ == "__main__":
    sys.exit(main())
