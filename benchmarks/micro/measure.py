"""How things are measured: CPU time against the baseline, CPU time alone, memory."""

from __future__ import annotations

import gc
import tracemalloc
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from time import thread_time_ns

Case = Callable[[], Mapping[str, int]]
"""One round of a subject: prepares, acts, checks what came out; returns each act's CPU time in nanoseconds."""


def cpu_ns(act: Callable[[], object]) -> int:
    """The CPU time that this thread takes for an act, in nanoseconds."""
    start = thread_time_ns()
    act()
    return thread_time_ns() - start


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep garbage collections, which come at random, out of what is measured; `timeit` does the same."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def interleave(baseline: Callable[[], int], cases: Sequence[Case], rounds: int) -> tuple[float, dict[str, float]]:
    """Let the cases take turns, each between two runs of the baseline.

    Args:
        baseline: runs the baseline once; returns its CPU time in nanoseconds.
        cases: what is compared with it.
        rounds: how often; the first one, in which nothing is warm, is left out if there are others.

    Returns:
        The median of the baseline in nanoseconds, and for each act the median of its ratios to the baseline's runs just
        before and after it.
    """
    baselines: list[int] = []
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    with without_collector():
        for number in range(rounds):
            if number == 1:
                baselines.clear()
                ratios.clear()
            before = baseline()
            for case in cases:
                acts = case()
                after = baseline()
                for name, time in acts.items():
                    ratios[name].append(2 * time / (before + after))
                baselines.append(after)
                before = after
    return median(baselines), {name: median(values) for name, values in ratios.items()}


def median_ns(case: Case, rounds: int) -> dict[str, float]:
    """The median CPU time of each act of a case, in nanoseconds."""
    times: defaultdict[str, list[int]] = defaultdict(list)
    with without_collector():
        for _ in range(rounds):
            for name, time in case().items():
                times[name].append(time)
    return {name: median(values) for name, values in times.items()}


def allocated(build: Callable[[], object]) -> tuple[object, int]:
    """What is built, and the bytes of Python's memory that it holds on to, as tracemalloc counts them."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        built = build()
        gc.collect()
        return built, tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
