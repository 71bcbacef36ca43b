"""The picture of a session: what was received over a ribbon of states, with words and events. Extra: ``demo``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from playback.chart import State
from playback.events import StateChanged
from playback.say.recording import RECEIVED_RATE, Recording

# The palette of Okabe and Ito, which people who see colours differently can distinguish.
COLOURS: Final = {
    State.IDLE: "#d5d9df",
    State.SPEAKING: "#009e73",
    State.PAUSED: "#e69f00",
    State.INTERRUPTED: "#d55e00",
    State.INPUT_LOCKED: "#7b5ea7",
}
SHOWN: Final = {
    "first_audio_byte": ("first audio byte", State.SPEAKING),
    "last_audio_byte": ("last audio byte", State.SPEAKING),
    "paused": ("pause", State.PAUSED),
    "resumed": ("resume", State.SPEAKING),
    "interrupted": ("interrupt", State.INTERRUPTED),
    "silenced": ("silence", State.INTERRUPTED),
    "input_locked": ("lock", State.INPUT_LOCKED),
    "input_unlocked": ("unlock", State.INPUT_LOCKED),
    "audio_refused": ("audio refused", State.INPUT_LOCKED),
    "underrun": ("underrun", State.INTERRUPTED),
    "stalled": ("stalled", State.INTERRUPTED),
    "error": ("error", State.INTERRUPTED),
}
"""The events that are drawn, what they are called, and whose colour they have; the rest is words, or the ribbon."""

Colour = str | tuple[float, float, float]

_INK: Final = "#1f2733"
_FAINT: Final = "#8b94a3"
_WAVE: Final = "#2f6db5"

# The picture is one pair of axes: seconds across, and up and down a unit of which the waveform takes ±1.
_LEFT: Final = 0.02
_UNIT_INCHES: Final = 0.95
_SECOND_INCHES: Final = 1.15
_RIBBON: Final = (-1.52, -1.20)
_WORDS_FROM: Final = 1.16
_EVENTS_FROM: Final = -1.74
_ROW: Final = 0.24
_STEP_SECONDS: Final = 0.005


def draw(recording: Recording, path: Path | str) -> None:
    """Draw a session.

    Args:
        recording: what came of it.
        path: where to; its suffix says which format (.svg, .png, .pdf).

    Raises:
        OSError: it can't be written there.
        ValueError: there is no such format.
    """
    seconds = max(0.5, recording.seconds, len(recording.received) / RECEIVED_RATE)
    # Text as outlines looks the same everywhere; without a salt and a date, the same session is the same file.
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "playback", "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(min(40.0, max(9.0, seconds * _SECOND_INCHES)), 4.0), facecolor="white")
        axes = figure.add_axes((_LEFT, 0.0, 1.0 - 2 * _LEFT, 1.0))
        axes.set_xlim(-0.01 * seconds, 1.01 * seconds)
        states = _draw_ribbon(axes, recording, seconds)
        _draw_wave(axes, recording)
        words: list[tuple[float, str, Colour]] = [
            (position / recording.sample_rate, word, _INK) for position, word in recording.words
        ]
        word_rows = _draw_labels(axes, words, _WORDS_FROM, 1, 0.98)
        events = list(_events(recording))
        for at, _, colour in events:
            axes.plot([at, at], [-1.1, 1.0], color=colour, linewidth=0.9, alpha=0.55, zorder=1)
        event_rows = _draw_labels(axes, events, _EVENTS_FROM, -1, _RIBBON[0])
        top = _WORDS_FROM + max(1, word_rows) * _ROW
        bottom = _EVENTS_FROM - max(1, event_rows) * _ROW
        _frame(figure, axes, recording, states, (bottom, top))
        figure.savefig(path, metadata={"Date": None} if Path(path).suffix == ".svg" else None, dpi=110)


def _draw_ribbon(axes: Axes, recording: Recording, seconds: float) -> list[State]:
    """Draw the visible states one after the other; returns those that occur, in the order in which they do."""
    changed = [event for event in recording.events if isinstance(event, StateChanged) and event.new is not State.CLOSED]
    changes = [(0.0, State.IDLE), *((event.position / recording.sample_rate, event.new) for event in changed)]
    ends = [at for at, _ in changes[1:]] + [seconds]
    low, high = _RIBBON
    seen: dict[State, None] = {}
    for (start, state), end in zip(changes, ends, strict=True):
        if end > start:
            seen[state] = None
            axes.fill_between([start, end], low, high, color=COLOURS[state], linewidth=0, zorder=3)
            axes.fill_between([start, end], -1.0, 1.0, color=COLOURS[state], linewidth=0, zorder=0, alpha=0.10)
    return list(seen)


def _draw_wave(axes: Axes, recording: Recording) -> None:
    """Draw the envelope of what was received, full scale at ±1."""
    step = round(_STEP_SECONDS * RECEIVED_RATE)
    count = len(recording.received) // step
    if not count:
        return
    pieces: NDArray[np.float64] = recording.received[: count * step].reshape(count, step) / 32768.0
    times = (np.arange(count) + 0.5) * _STEP_SECONDS
    level = np.sqrt((pieces**2).mean(axis=1))
    # Speech peaks far below full scale; the loudest sample fills the height.
    scale = 0.92 / max(0.05, float(np.abs(pieces).max()))
    low, high = pieces.min(axis=1) * scale, pieces.max(axis=1) * scale
    axes.fill_between(times, low, high, color=_WAVE, alpha=0.45, linewidth=0.4, zorder=2)
    axes.fill_between(times, -level * scale, level * scale, color=_WAVE, linewidth=0, zorder=2)


def _events(recording: Recording) -> Iterator[tuple[float, str, Colour]]:
    """The events to draw: when, what they are called, their colour."""
    for event, *more in recording.runs:
        if event.name in SHOWN:
            label, state = SHOWN[event.name]
            many = f" ×{1 + len(more)}" if more else ""
            yield event.position / recording.sample_rate, label + many, _for_text(state)


def _for_text(state: State) -> tuple[float, float, float]:
    """A state's colour, dark enough for small letters on white."""
    red, green, blue = to_rgb(COLOURS[state])
    return 0.72 * red, 0.72 * green, 0.72 * blue


def _draw_labels(
    axes: Axes, labels: Sequence[tuple[float, str, Colour]], start: float, direction: int, stem: float
) -> int:
    """Write labels at their times, each in the first row in which it hits no other.

    Args:
        axes: where to.
        labels: when, what, in which colour.
        start: the height of the first row.
        direction: 1 puts further rows above it, -1 below.
        stem: the height at which the labels' stems begin.

    Returns:
        How many rows there are.
    """
    to_seconds = axes.transData.inverted()
    rightmost = axes.get_xlim()[1]
    ends: list[float] = []
    for at, words, colour in sorted(labels, key=lambda label: label[0]):
        text = axes.text(
            at,
            0.0,
            words,
            color=colour,
            fontsize=8.5,
            va="center",
            ha="left",
            zorder=5,
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
        box = text.get_window_extent().transformed(to_seconds)
        left = min(at, rightmost - box.width)
        row = next((row for row, end in enumerate(ends) if end <= left), len(ends))
        ends[row : row + 1] = [left + box.width + 0.06]
        height = start + direction * _ROW * row
        text.set_position((left, height))
        axes.plot([at, at], [stem, height], color=colour, linewidth=0.7, alpha=0.6, zorder=1)
    return len(ends)


def _frame(figure: Figure, axes: Axes, recording: Recording, states: list[State], heights: tuple[float, float]) -> None:
    """Give the picture its size, axis, title and legend."""
    bottom, top = heights
    header, footer = 0.62, 0.52
    inches = (top - bottom) * _UNIT_INCHES
    height = inches + header + footer
    figure.set_figheight(height)
    axes.set_position((_LEFT, footer / height, 1.0 - 2 * _LEFT, inches / height))
    axes.set_ylim(bottom, top)
    axes.set_yticks([])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FAINT)
    axes.tick_params(axis="x", colors=_INK, labelsize=8.5)
    axes.set_xlabel("seconds of playback", fontsize=9, color=_INK)
    delay = round(1000 * recording.delay_seconds)
    axes.text(
        0.0,
        1.0 + 0.3 / inches,
        "What the listener received",
        transform=axes.transAxes,
        fontsize=12,
        fontweight="bold",
        color=_INK,
        va="bottom",
    )
    axes.text(
        0.0,
        1.0 + 0.1 / inches,
        f"the sound arrives {delay} ms after it was read; words and events are at the read",
        transform=axes.transAxes,
        fontsize=8.5,
        color=_FAINT,
        va="bottom",
    )
    figure.legend(
        handles=[Patch(color=COLOURS[state], label=state.replace("_", " ")) for state in states],
        loc="upper right",
        bbox_to_anchor=(1.0 - _LEFT, 1.0 - 0.1 / height),
        ncols=len(states),
        frameon=False,
        fontsize=8.5,
        handlelength=1.2,
        handleheight=0.9,
        columnspacing=1.2,
    )
