"""``python -m benchmarks.report [--check]``: tables and plots for the docs, from the figures that were measured.

The figures are in ``docs/performance/*.json``, as ``make bench-full`` has left them there; what is made of them stands
beside them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks import words
from benchmarks.browser.__main__ import digits
from benchmarks.calls.__main__ import LATE_MS
from benchmarks.soak.growth import MEGABYTE

FOLDER: Final = Path(__file__).parent.parent / "docs" / "performance"
RENEW: Final = "python -m benchmarks.report"

LABELS: Final = {
    "baseline": "ready-made frames",
    "frames": "`PlaybackTrack`",
    "opus": "`OpusPlaybackTrack`",
}
# The palette of Okabe and Ito, which people who see colours differently can distinguish.
COLOURS: Final = {
    "baseline": "#8b94a3",
    "frames": "#d55e00",
    "opus": "#009e73",
    "24 kHz frames": "#e69f00",
    "48 kHz frames": "#d55e00",
    "Opus": "#009e73",
    "Opus, low delay": "#0072b2",
}
_INK: Final = "#1f2733"

Results = dict[str, Any]


def tables(results: Results) -> Iterator[tuple[str, str]]:
    """The name of each table of which there are figures, and the table in Markdown."""
    calls = results.get("calls", {})
    yield "machine", _machines(results)
    for part, of_part in CALLS.items():
        if part in calls:
            yield part, of_part(calls)
    for name, of_all in ALONE.items():
        if name in results:
            yield name, of_all(results[name])
    if "packets" in results.get("codecs", {}):
        yield "packets", _packets(results["codecs"])


def _machines(results: Results) -> str:
    """What each figure was measured with."""
    machines = {
        f"benchmarks.calls --only {part}": machine
        for part, machine in results.get("calls", {}).get("machines", {}).items()
    }
    machines |= {f"benchmarks.{PROGRAMS[name]}": results[name]["machine"] for name in ALONE if name in results}
    commands: dict[tuple[str, str, str], list[str]] = {}
    for command, machine in machines.items():
        versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
        where = f"{machine['cores']} cores of {machine['processor']}, {machine['system']}"
        commands.setdefault((machine["date"], where, versions), []).append(f"`python -m {command}`")
    return _table(
        ["date", "machine", "versions", "commands"],
        ([*measured, "<br>".join(found)] for measured, found in commands.items()),
    )


def _costs(calls: Results) -> str:
    costs = calls["costs"]
    return _table(
        [f"{costs['calls']} calls", "CPU time, × ready-made frames"],
        (
            [name, f"{ratio:.2f} ({min(costs['raw'][name]):.2f} to {max(costs['raw'][name]):.2f})"]
            for name, ratio in costs["ratios"].items()
        ),
    )


def _capacity(calls: Results) -> str:
    speaking, listening = calls["capacity"], calls.get("listening", {})
    heads = ["", "calls, agents always speak", "× frames"]
    if listening:
        heads += ["calls, agents speak a quarter of the time", "× frames"]
    return _table(
        heads,
        (
            [
                LABELS[track],
                *(f"{found[track]} | {found[track] / found['frames']:.1f}" for found in (speaking, listening) if found),
            ]
            for track in speaking
        ),
    )


def _lateness(calls: Results) -> str:
    rows = calls["lateness"]["rows"]
    return _table(
        ["calls", "track", "CPU, µs a frame", "cores", "late: half, ms", "99 % of a second", "99 % of all", "greatest"],
        (
            [
                str(row["calls"]),
                LABELS[row["track"]],
                f"{row['cpu_us']:.0f}",
                f"{row['cores']:.2f}",
                *(f"{row[key]:.1f}" for key in ("p50_ms", "second_p99_ms", "p99_ms", "max_ms")),
            ]
            for row in sorted(rows, key=lambda row: row["calls"])
        ),
    )


def _tuning(calls: Results) -> str:
    tuning = calls["tuning"]
    return _table(
        [
            "",
            *(
                f"{tuning[track]['calls']} × {LABELS[track]}: CPU, µs | late: 99 % of a second, ms | 99 % of all, ms"
                for track in tuning
            ),
        ],
        (
            [
                f"`{setting}`" if "(" in setting else setting,
                *(
                    f"{found['settings'][setting]['cpu_us']:.0f} | {found['settings'][setting]['second_p99_ms']:.1f} |"
                    f" {found['settings'][setting]['p99_ms']:.1f}"
                    for found in tuning.values()
                ),
            ]
            for setting in tuning["frames"]["settings"]
        ),
        width=1 + 3 * len(tuning),
    )


def _others(calls: Results) -> str:
    others = calls["others"]
    return _table(
        ["where", "its own track", "`PlaybackTrack`", "`OpusPlaybackTrack`"],
        ([name, *(f"{found[which]:.2f}" for which in ("its own", "frames", "opus"))] for name, found in others.items()),
    )


def _heard(heard: Results) -> str:
    figures = heard["figures"]
    subjects = list(dict.fromkeys(figure["subject"] for figure in figures))
    cells = {(figure["figure"], figure["subject"]): figure for figure in figures}
    units = {figure["figure"]: figure["unit"] for figure in figures}
    return _table(
        ["", *subjects],
        (
            [f"{name}, {unit}" if unit else name, *(_span(cells[name, subject]) for subject in subjects)]
            for name, unit in units.items()
        ),
    )


def _span(figure: Results) -> str:
    """A median with its range."""
    if figure["median"] is None:
        return "–"
    middle, least, greatest = (digits(figure[key]) for key in ("median", "least", "greatest"))
    return middle if least == greatest else f"{middle} ({least} to {greatest})"


def _codecs(codecs: Results) -> str:
    return _table(
        ["`application`", "`complexity`", "CPU, × aiortc's encoder", "kbit/s", "STOI"],
        (
            [
                f"`{row['application']}`",
                str(row["complexity"]),
                f"{row['ratio']:.2f}",
                f"{row['kilobits']:.0f}",
                f"{row['stoi']:.3f}",
            ]
            for row in codecs["rows"]
        ),
    )


def _packets(codecs: Results) -> str:
    return _table(
        ["20 ms", "µs of CPU", "× aiortc's encoder"],
        ([row["subject"], f"{row['micros']:.0f}", f"{row['ratio']:.2f}"] for row in codecs["packets"]),
    )


def _soak(soak: Results) -> str:
    parts = soak["parts"]
    rows: dict[str, list[str]] = {
        "hours of audio": [f"{part['samples'][-1]['hours']:.1f}" for part in parts],
        "reads": [f"{part['totals']['reads']:,}" for part in parts],
        "controllers": [f"{part['totals']['controllers']:,}" for part in parts],
        "utterances": [f"{part['totals']['utterances']:,}" for part in parts],
        "samples accepted": [f"{part['totals']['accepted']:,}" for part in parts],
        "samples played + discarded": [f"{part['totals']['played'] + part['totals']['discarded']:,}" for part in parts],
        "a read, × baseline, in the first quarter and in the last": [_span_of(*part["reads"]) for part in parts],
        "live objects, after the first segment and at the end": [_first_and_last(part, "objects") for part in parts],
        "memory of the process, MB": [_first_and_last(part, "rss", MEGABYTE) for part in parts],
        "memory of Python's objects, MB": ["", _first_and_last(parts[1], "traced", MEGABYTE)],
    }
    return _table(["", "as it is", "traced"], ([name, *cells] for name, cells in rows.items()))


def _span_of(first: float, last: float) -> str:
    return f"{first:.2f}, {last:.2f}"


def _first_and_last(part: Results, what: str, unit: int = 1) -> str:
    first, last = (part["samples"][place][what] / unit for place in (0, -1))
    return f"{first:,.0f}, {last:,.0f}" if unit == 1 else f"{first:,.1f}, {last:,.1f}"


CALLS: Final = {
    "costs": _costs,
    "capacity": _capacity,
    "lateness": _lateness,
    "tuning": _tuning,
    "others": _others,
}
"""The tables of what :mod:`benchmarks.calls` has measured, by part."""


def _words(found: Results) -> str:
    return _table(words.HEADS, words.rows(found))


ALONE: Final = {"heard": _heard, "codecs": _codecs, "soak": _soak, "words": _words}
"""Those of the other programs, by the name of the file."""

PROGRAMS: Final = {
    "heard": "browser",
    "codecs": "micro.codecs",
    "soak": "soak",
    "words": "words",
}
"""What has made each of these files: a module of benchmarks."""


def _table(heads: Sequence[str], rows: Any, width: int | None = None) -> str:
    width = width or len(heads)
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' + ' ---: |' * (width - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "".join(f"{line}\n" for line in lines)


# Plots


Plot = tuple[str, Callable[[list[Results]], Figure], list[Results]]
"""Its name, what draws it, and of what."""


def plots(results: Results) -> Iterator[Plot]:
    """All of which there are figures."""
    if "lateness" in results.get("calls", {}):
        yield "lateness", _plot_lateness, results["calls"]["lateness"]["rows"]
    if "heard" in results:
        yield "delay", _plot_delay, results["heard"]["raw"]


def _digest(figures: list[Results]) -> str:
    """Says whether a plot is of these figures: two releases of Matplotlib do not draw the same bytes."""
    return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()


def _plot_lateness(rows: list[Results]) -> Figure:
    """How late frames are, and how busy the process is, by the number of calls."""
    figure = Figure(figsize=(9.5, 3.8), layout="constrained")
    late, busy = figure.subplots(1, 2)
    for track in dict.fromkeys(row["track"] for row in rows):
        mine = [row for row in rows if row["track"] == track]
        calls = [row["calls"] for row in mine]
        look = {"color": COLOURS[track], "marker": "o", "markersize": 4, "label": LABELS[track].replace("`", "")}
        late.plot(calls, [max(row["second_p99_ms"], 0.1) for row in mine], **look)
        busy.plot(calls, [row["cores"] for row in mine], **look)
    late.set_yscale("log")
    late.axhline(LATE_MS, color=_INK, linewidth=0.8, linestyle="--")
    late.annotate("the next frame is due", (1, LATE_MS), (0, 3), textcoords="offset points", fontsize=8)
    _dress(late, "late by, ms (99 % of a second's frames are less late)", "calls in one process")
    _dress(busy, "cores in use", "calls in one process")
    busy.legend(frameon=False, fontsize=8)
    return figure


def _plot_delay(raw: list[Results]) -> Figure:
    """What becomes of a listener's delay when the sender stands still."""
    stalls = list(dict.fromkeys(stall["seconds"] for stall in raw[0]["stalls"]))
    figure = Figure(figsize=(9.5, 3.4), layout="constrained")
    for axes, seconds in zip(figure.subplots(1, len(stalls), sharey=True, squeeze=False)[0], stalls, strict=True):
        for found in raw:
            for number, stall in enumerate(each for each in found["stalls"] if each["seconds"] == seconds):
                at, delays = zip(*stall["delays"], strict=True)
                label = "" if number else found["subject"]
                axes.plot(at, delays, color=COLOURS[found["subject"]], linewidth=1.4, label=label)
        axes.set_xlim(-2, 12)
        axes.set_title(f"after {seconds:g} s", fontsize=9, color=_INK)
        _dress(axes, "buffered by Chromium, ms" if seconds == stalls[0] else "", "seconds since the end of the stall")
    figure.axes[-1].legend(frameon=False, fontsize=8)
    return figure


def _dress(axes: Axes, up: str, across: str) -> None:
    axes.set_ylabel(up, fontsize=9)
    axes.set_xlabel(across, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, color="#e4e7ec", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main(arguments: list[str] | None = None) -> int:
    """Write them, or see whether they are fresh; returns the exit code."""
    parser = argparse.ArgumentParser(prog=RENEW, description="Tables and plots for the docs.")
    parser.add_argument("--check", action="store_true", help="write nothing, but see that all is fresh")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="(default: docs/performance)")
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    results = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")}
    stale = []
    for name, table in tables(results):
        file = folder / f"{name}.md"
        if options.check:
            if not file.exists() or file.read_text(encoding="utf-8") != table:
                stale.append(file.name)
        else:
            file.write_text(table, encoding="utf-8")
    for name, draw, figures in plots(results):
        file, digest = folder / f"{name}.svg", _digest(figures)
        if options.check:
            if not file.exists() or digest not in file.read_text(encoding="utf-8"):
                stale.append(file.name)
            continue
        with mpl.rc_context({"svg.hashsalt": "playback", "svg.fonttype": "none", "font.family": "DejaVu Sans"}):
            picture = io.StringIO()
            draw(figures).savefig(picture, format="svg", metadata={"Date": None, "Identifier": digest})
            file.write_text(picture.getvalue(), encoding="utf-8")
    if stale:
        sys.stderr.write(f"stale: {', '.join(stale)}; renew with: {RENEW}\n")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
