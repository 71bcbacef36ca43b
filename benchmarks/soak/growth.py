"""What the soak watches from segment to segment: memory, live objects, CPU; and when that counts as growing."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import resource
import sys
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Final

MEGABYTE: Final = 1_000_000
_STATM: Final = Path("/proc/self/statm")

COUNTED: Final = {
    "controllers": "playback.controller.PlaybackController",
    "utterances": "playback.utterance.Utterance",
    "clips": "playback.audio.clip.Clip",
    "sinks": "playback.sinks.dispatch.SinkWorker",
    "tasks": "_asyncio.Task",
}
"""The types that have a column of their own; all are judged."""

SOAK: Final = tuple(
    f"benchmarks.soak.{name}." for name in ("attachments", "audio", "growth", "ledger", "producers", "session")
)
"""The modules whose objects belong to one session; those of the program itself outlive it."""

WATCHED: Final = ("playback.", "statecharts.", "asyncio.", "_asyncio.", "pyee.", "aiortc.", "av.", *SOAK)
"""Where the types are from that are judged one by one; the rest is judged in its sum."""


OURS: Final = ("playback.", "statecharts.", "aiortc.", *SOAK)
CACHED: Final = ("playback.audio.formats.Layout", "benchmarks.soak.growth.Sample")
"""What is kept on purpose: a layout for each format, the samples of the soak itself."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much something may grow: both a slope and a rise must be exceeded, so that no single jump of noise counts."""

    name: str
    slope: float
    """By an hour of audio."""
    rise: float
    """In all: what comes and goes by itself."""
    why: str

    def exceeded(self, slope: float, rise: float) -> bool:
        """Whether it grows."""
        return slope > self.slope and rise > self.rise


LIMITS: Final = (
    Limit(
        "traced",
        0.05 * MEGABYTE,
        0.3 * MEGABYTE,
        "an hour of audio is 180,000 reads and some 2,000 utterances: 50 kB are 25 bytes for each utterance",
    ),
    Limit(
        "rss",
        0.5 * MEGABYTE,
        16.0 * MEGABYTE,
        "what the allocator keeps for later moves by some 10 MB, at once; 0.5 MB by an hour are 3 bytes a read",
    ),
)

MOST_MORE: Final = 20
"""By how many instances any type may have become more, at rest. Little is left to chance then: whether a controller
still knows the utterance that sounded last, how much a trace holds."""

MOST_MORE_SHARE: Final = 0.05
"""The same as a share of how many there were."""


@dataclass(frozen=True, slots=True)
class Sample:
    """How things stood at the end of a segment, at rest."""

    hours: float
    """Of audio, so far."""
    rss: int
    """Bytes of the process that are in memory; its peak where the system does not say."""
    traced: int
    """Bytes that Python has allocated since the soak began, and not freed."""
    objects: int
    """All that the garbage collector knows of."""
    types: dict[str, int]
    """Those of the watched types, by type."""
    ratio: float
    """CPU time of a read within speech, as a multiple of the baseline's just before and after it: the median of all
    controllers."""
    all_in_us: float
    """CPU time of everything in this segment, the soak's own ledger included, for each read; in microseconds."""


def sample(hours: float = 0.0, ratio: float = math.nan, all_in_us: float = math.nan) -> Sample:
    """See how things stand; the arguments are what is known already."""
    gc.collect()
    objects = gc.get_objects()
    count = len(objects)
    kinds = Counter(map(type, objects)).items()
    types = {name: number for kind, number in kinds if (name := _name(kind)).startswith(WATCHED)}
    del objects, kinds
    return Sample(hours, resident(), tracemalloc.get_traced_memory()[0], count, types, ratio, all_in_us)


@cache
def _name(kind: type) -> str:
    """Made once: samples are kept, and must not be what grows."""
    return f"{kind.__module__}.{kind.__qualname__}"


def resident() -> int:
    """Bytes of this process that are in memory; where the system does not say, the most there ever were."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def warm(samples: Sequence[Sample]) -> Sequence[Sample]:
    """What counts: all but the first quarter, in which caches and allocators take what they will need."""
    return samples[len(samples) // 4 :]


def slope(hours: Sequence[float], values: Sequence[float]) -> float:
    """The slope by an hour: the median of those between any two points, which a few outliers do not move.

    After P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63, 1968.
    """
    points = zip(hours, values, strict=True)
    slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2) if x2 > x1]
    return median(slopes) if slopes else 0.0


def ends(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the first and the last quarter.

    Where there are six values they are of three at least: one value alone is whatever it happens to be.
    """
    count = max(1, min(3, len(values) // 2), len(values) // 4)
    return median(values[:count]), median(values[-count:])


@dataclass(frozen=True, slots=True)
class Trend:
    """How memory has developed after the warm-up, in bytes."""

    limit: Limit
    slope: float
    rise: float

    @property
    def grows(self) -> bool:
        """Whether that is more than it may."""
        return self.limit.exceeded(self.slope, self.rise)


def trends(samples: Sequence[Sample], *names: str) -> list[Trend]:
    """How kinds of memory have developed, by the names of their limits."""
    counted = warm(samples)
    hours = [sample.hours for sample in counted]
    found = []
    for limit in LIMITS:
        if limit.name not in names:
            continue
        values = [float(getattr(sample, limit.name)) for sample in counted]
        first, last = ends(values)
        found.append(Trend(limit, slope(hours, values), last - first))
    return found


def growing(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """The types of which there are more and more: how many in the first and the last quarter after the warm-up."""
    counted = warm(samples)
    numbers = {name: [float(one.types.get(name, 0)) for one in counted] for one in counted for name in one.types}
    numbers["all objects"] = [float(one.objects) for one in counted]
    found = {}
    for name, values in numbers.items():
        first, last = ends(values)
        rates = slope([one.hours for one in counted], values)
        if rates > 0 and last - first > MOST_MORE + MOST_MORE_SHARE * first:
            found[name] = (first, last)
    return found


def left(before: Sample, after: Sample) -> dict[str, int]:
    """Of which of the library's and the soak's types there are more than before, once everything is closed.

    What caches keep is no leak: there is one for each format.
    """
    return {
        name: number - before.types.get(name, 0)
        for name, number in after.types.items()
        if number > before.types.get(name, 0) and name.startswith(OURS) and name not in CACHED
    }


def running_tasks() -> int:
    """How many tasks the loop has beside the one that asks."""
    return len(asyncio.all_tasks()) - 1
