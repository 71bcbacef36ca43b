"""Pages: an explanation in the terminal, and as one page of HTML that loads nothing.

All names and texts in a trace may come from anywhere: in the terminal what would not be printed, but obeyed, is
escaped, and on the page all that HTML would obey is, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Final

from playback.chart import State
from playback.tracing.explain import CAUSES, Explanation
from playback.tracing.fields import printable

COLUMNS: Final = 60
"""Of the timeline in the terminal."""
NAMES: Final = 19
"""Columns for the names of its lines."""

_STATES: Final = {
    str(state): color for state, color in zip(State, ("#bbb", "#2a7", "#e90", "#c33", "#86c", "#333"), strict=True)
}
_GAP: Final = "#d33"
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .8rem .2rem 0; text-align: left }
td.n, th.n { text-align: right } tr + tr { border-top: 1px solid #ddd }
.lane { position: relative; height: 1.4rem; background: #f4f4f4; margin-left: 11rem }
.lane b { position: absolute; left: -11rem; font-weight: normal }
.lane i { position: absolute; top: 0; bottom: 0; min-width: 1px }
"""

Rows = Iterable[Sequence[str]]
Lane = tuple[str, str, list[tuple[float, float]]]
"""A line of the timeline: its name, its color, and where it begins and ends, in seconds."""


def as_text(found: Explanation, name: str) -> str:
    """The report for a terminal.

    Args:
        found: what was found.
        name: of the trace's file.
    """
    lines = [f"{name}: {_summary(found)}", ""]
    lines += [_cells(found, lane) for lane in _lanes(found)]
    if found.spans:
        lines += [f"{'':>{NAMES}} 0 s{found.seconds:>{COLUMNS - 5}.1f} s"]
    for title, head, rows in _tables(found):
        lines += ["", title, *_columns([head, *rows])]
    return "".join(f"{printable(line)}\n" for line in lines)


def as_html(found: Explanation, name: str) -> str:
    """The report as a page of HTML.

    Args:
        found: what was found.
        name: of the trace's file.
    """
    title = _text(name)
    body = [f"<h1>{title}</h1>", f"<p>{_text(_summary(found))}</p>"]
    body += [_bars(found, lane) for lane in _lanes(found)]
    for heading, head, rows in _tables(found):
        body += [
            f"<h2>{_text(heading)}</h2>",
            "<table>",
            _row("th", head),
            *(_row("td", row) for row in rows),
            "</table>",
        ]
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n" + "\n".join(body) + "\n</html>\n"
    )


def _summary(found: Explanation) -> str:
    began = "" if found.began is None else f", from {_clock(found.began, '%Y-%m-%d %H:%M:%S')} UTC"
    whole = "" if found.complete else "; the trace does not hold all of the call"
    gaps = ", ".join(f"{cause} {seconds:.2f} s" for cause, seconds in found.totals.items())
    return f"{found.seconds:.2f} s{began}{whole}; {gaps or 'no gaps'}"


def _tables(found: Explanation) -> list[tuple[str, Sequence[str], list[Sequence[str]]]]:
    """What is shown in both forms: a title, the head and the rows of each table that has any."""
    tables: list[tuple[str, Sequence[str], list[Sequence[str]]]] = [
        (
            "Gaps",
            ("at", "clock", "seconds", "cause", ""),
            [
                (
                    f"{gap.begin:.2f} s",
                    "" if gap.wall_time is None else _clock(gap.wall_time, "%H:%M:%S"),
                    f"{gap.seconds:.2f}",
                    gap.cause,
                    gap.detail,
                )
                for gap in found.gaps
            ],
        ),
        (
            "Turns",
            ("id", "outcome", "first audio after", "played", "discarded"),
            [
                (
                    turn.id,
                    turn.outcome,
                    "never" if turn.first_audio is None else f"{turn.first_audio:.2f} s",
                    f"{turn.played:.2f} s",
                    f"{turn.discarded:.2f} s",
                )
                for turn in found.turns
            ],
        ),
        (
            "From an interrupt to silence",
            ("seconds",),
            [(f"{seconds:.3f}",) for seconds in found.silenced],
        ),
        (
            "Audio that was refused",
            ("reason", "seconds"),
            [(reason, f"{seconds:.2f}") for reason, seconds in found.refused.items()],
        ),
        (
            "What the far end has reported",
            ("", "mean", "highest"),
            [
                (name, f"{sum(values) / len(values):{form}}", f"{max(values):{form}}")
                for name, form, values in _far_end(found)
                if values
            ],
        ),
    ]
    return [table for table in tables if table[2]]


def _far_end(found: Explanation) -> list[tuple[str, str, list[float]]]:
    losses = [loss for _, loss, _, _ in found.far_end]
    jitters = [jitter for _, _, jitter, _ in found.far_end]
    trips = [trip for *_, trip in found.far_end if trip is not None]
    return [("packets lost", ".1%", losses), ("jitter, s", ".3f", jitters), ("round trip, s", ".3f", trips)]


# The timeline


def _lanes(found: Explanation) -> list[Lane]:
    """A line for each state that there was, then one for each cause of a gap."""
    lanes = [
        (state, color, [(span.begin, span.end) for span in found.spans if span.state == state])
        for state, color in _STATES.items()
    ]
    lanes += [
        (f"gap: {cause}", _GAP, [(gap.begin, gap.begin + gap.seconds) for gap in found.gaps if gap.cause == cause])
        for cause in CAUSES
    ]
    return [lane for lane in lanes if lane[2]]


def _cells(found: Explanation, lane: Lane) -> str:
    """A line of the timeline in the terminal."""
    name, _, intervals = lane
    cells = ["·"] * COLUMNS
    scale = COLUMNS / found.seconds if found.seconds else 0.0
    for begin, end in intervals:
        first = min(COLUMNS - 1, int(begin * scale))
        last = max(first + 1, min(COLUMNS, round(end * scale)))
        cells[first:last] = "█" * (last - first)
    return f"{name:>{NAMES}} {''.join(cells)}"


def _bars(found: Explanation, lane: Lane) -> str:
    """A line of the timeline on the page."""
    name, color, intervals = lane
    bars = "".join(_bar(found, begin, end, color) for begin, end in intervals)
    return f'<div class="lane"><b>{_text(name)}</b>{bars}</div>'


def _bar(found: Explanation, begin: float, end: float, color: str) -> str:
    whole = found.seconds or 1.0
    left, right = (100 * min(1.0, max(0.0, at / whole)) for at in (begin, end))
    place = f"left:{left:.3f}%;width:{right - left:.3f}%;background:{color}"
    return f'<i style="{place}" title="{begin:.2f} s to {end:.2f} s"></i>'


def _columns(rows: Rows) -> list[str]:
    """Rows side by side, as wide as they have to be."""
    table = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    ]


def _row(kind: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{kind}>{_text(cell)}</{kind}>" for cell in cells) + "</tr>"


def _text(text: str) -> str:
    """Text as it can stand on a page: escaped, and so is what can't be printed, such as a change of direction."""
    return escape(printable(text))


def _clock(wall_time: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(wall_time, UTC).strftime(form)
    except (OverflowError, OSError, ValueError):  # a file may hold any number
        return "?"
