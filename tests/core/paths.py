"""Paths through the chart: short sequences of actions that come by every cell, in many circumstances.

Each is a context that leads to a leaf, then a probe, then a sequel that brings to light what the probe has left behind.
A sequence is written in words:

    ======================== ==============================================================
    ``a16``                  push 16 samples to the handle ``a``, which is made when it is first named
    ``A16``                  the same to one that is not interruptible
    ``*16``                  push without a handle
    ``a`` ``a.`` ``a!``      only make it · end it · cancel it
    ``a+`` ``a~``            enqueue it · fail it
    ``f16`` ``u16``          the same with ``f``, which is to be first, and ``u`` and ``v``, which belong to the turn
    ``turn`` ``over``        begin a turn · end it
    ``undo`` ``break``       cancel the turn · fail it
    ``a@9``                  mark a word at the sample 9
    ``read`` ``read5``       read 16 samples, or 5
    ``resume`` ``resume8``   go on, or go on 8 samples earlier
    ``hold`` ``release``     pause and resume, by another owner
    ``yield``                interrupt, by the other owner
    ``interrupt`` ``drop``   drop all that is interruptible · drop all by force
    ``hush``                 interrupt, and lock the input in the same step
    ``word``                 interrupt at the end of the word that sounds
    ``attach`` ``detach``    have a reader that confirms · take it away
    ``hear5`` ``hear``       it confirms 5 samples more, or all that it has read
    ``more5``                from now on 5 more were heard than it has confirmed, when it is asked
    ======================== ==============================================================

and ``pause``, ``lock``, ``unlock``, ``close``. The controller does not play less than a read's worth of an open handle.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from statecharts import Chart
from statecharts.machine import WATCHERS
from tests.core.harness import Pair, Part
from tests.core.model import Settings

CONTEXTS: Final = {
    "idle": (
        "",
        "read",
        "a16 a. read",
        "a20 read interrupt read read read",
        "a20 read read a! read",
        "pause resume",
        "lock unlock",
        "b",
        "read a90 read interrupt pause resume",
        "b read a90 read interrupt pause resume",
        "lock a9 unlock",
        "lock a9 b9 unlock read",
        "lock c9 a9 unlock read read",
        "read lock a9 unlock",
        "lock a9 c9 read unlock",
        "turn",
        "turn u! read",
    ),
    "speaking.buffering": (
        "read a10",
        "a10",
        "read a20 read read",
        "read a20 read pause read resume",
        "read a10 b40",
        "read a10 b40 b.",
        "read b. a10",
        "read A10 b40",
        "read a20 read read b40",
        "read a16 read read b5",
        "read a10 b. c5",
        "read *10",
        "read a20 a@9 read interrupt b10",
        "lock a9 unlock b10 a. c5",
        "lock a9 unlock b10 read a. c5",
        "lock a9 unlock read b10 a. c5",
        "read A10 b40 b.",
        "read A10 b5 read",
        "read A5 b40 c5",
        "c+",
        "turn u+ read",
        "turn u20 u. read read",
        "read turn u20 u. b40 read read",
        "read a10 f5 b5",
    ),
    "speaking.streaming": (
        "read a16",
        "read a40 read",
        "read a90 read read",
        "read a40 read a. b5",
        "read a20 b40 read a.",
        "read A90 read b40",
        "read A20 A. b40 read",
        "read A40 read read",
        "read a40 b5 read a.",
        "read a90 a@9 a@40 b9 read",
        "read a40 b. c5 read",
        "read *90 read",
        "read a40 read a. read5 b40",
        "read a90 read pause resume",
        "read a90 b40 read a!",
        "read turn u20 u. read v40",
        "read turn u16 u.",
        "read a40 f20 b9 read",
        "read turn u90 b9 read",
    ),
    "speaking.draining": (
        "read a40 read a.",
        "read a5 a.",
        "read a40 b40 a. b. read",
        "read a40 read lock unlock",
        "read a40 a. b. read",
        "read A40 A. b40 b. read",
        "read a20 a. b40 b. read",
        "read a40 read pause a. resume",
        "read a90 a. read a!",
        "read a90 a. read lock a! unlock",
        "read A90 A. b9 b. read",
        "read A90 A. b9 b. read5 read5",
        "read A40 A. b40 b.",
        "read a90 a~ read",
        "read turn u90 u. over read",
        "read turn u90 break read",
        "read a90 a. f9 f. read",
        "read a90 a@9 a@40 read word",
        "read a90 a@9 a@20 b9 read word",
        "read a90 a@9 read a. word",
        "read turn u90 u@9 u@40 read word",
    ),
    "speaking.sealed": (
        "read a40 read lock",
        "read a10 lock",
        "read a40 read a. lock",
        "read a20 b40 read lock",
        "read A40 b40 read lock",
        "read a40 b lock",
        "read a40 read pause lock resume",
        "read a40 b. c5 read lock",
        "read a90 read lock a!",
        "read A90 b40 read lock read",
        "read A90 b9 c9 read lock",
        "read A90 b40 lock",
        "read turn u90 read lock",
        "read a90 read a~ lock",
        "read a90 a@9 a@40 read word lock",
    ),
    "paused.empty": (
        "lock b9 unlock pause",
        "lock b9 a9 unlock pause read",
        "lock a9 b9 unlock read pause",
        "pause",
        "pause read",
        "read a90 read interrupt pause",
        "read a90 read interrupt pause read",
        "pause b",
        "read a90 read interrupt pause resume pause",
    ),
    "paused.held": (
        "pause a10",
        "read a90 read hold pause read",
        "read a16 b5 read pause a.",
        "pause a40",
        "read a10 pause",
        "read a90 read pause",
        "read a90 read pause read",
        "read a90 read pause read5 b40",
        "read a90 read interrupt pause b40",
        "read A90 read b40 pause",
        "read a20 read read pause",
        "read a40 a. read pause b5",
        "read *90 read pause",
        "read a10 b. c5 pause",
        "read a90 b. c5 read pause",
        "read A90 read b40 pause read",
        "read A90 b5 read pause",
        "pause A10 b5",
        "turn u20 u. read read pause",
        "turn u+ pause read",
        "lock b9 unlock read a90 b. c5 pause",
        "lock b9 unlock a90 read b. c5 pause read",
        "lock b9 unlock a90 b. c5 read read pause",
        "lock a9 unlock pause b9 a. c9 b!",
    ),
    "paused.ended": (
        "pause a10 a.",
        "pause a10 a!",
        "pause lock unlock",
        "read a40 read a. pause",
        "read a90 read a. pause read",
        "read a90 read pause a.",
        "read a90 read pause a!",
        "read a90 a. read a! pause",
        "read a90 read pause lock unlock",
        "read A90 A. b40 b. read pause",
        "pause lock b9 unlock a10 a. b.",
        "lock b9 unlock read a90 a. read pause b.",
        "lock b9 unlock a90 a. b. read pause read",
        "read A90 A. b9 b. pause",
        "pause A9 A. b9 b. read",
        "read a90 read a~ pause",
        "turn u90 u. over read pause",
        "read a90 a@9 a@40 read word pause",
        "read a90 a@9 a@40 read word read5 pause read",
    ),
    "paused.sealed": (
        "pause lock",
        "lock pause",
        "pause a40 lock",
        "read a90 read pause lock",
        "read a90 read lock pause",
        "read a90 read lock pause read",
        "read A90 b40 read lock pause",
        "read a90 read hush pause",
        "read a90 read pause a! lock",
        "read A90 b5 read pause lock",
        "read A90 b40 read pause lock read",
        "pause A9 b9 lock",
    ),
    "interrupted.fading": (
        "read a90 read interrupt",
        "read a90 read interrupt b",
        "read a90 read pause interrupt",
        "read a90 read pause read interrupt",
        "read a90 read pause a! interrupt",
        "read a10 interrupt",
        "read A90 read drop",
        "read a90 a. read interrupt",
        "read a90 read lock interrupt unlock",
        "read a90 read hush b9 unlock",
        "read a90 read hush b9 unlock b.",
        "lock b9 unlock read a90 read interrupt b!",
        "lock b9 a9 unlock read c90 read interrupt",
        "turn u90 read interrupt",
        "read a90 read interrupt turn",
    ),
    "interrupted.sealed": (
        "read a90 read hush",
        "read a90 read interrupt lock",
        "read a90 read lock interrupt",
        "read a90 read lock pause interrupt",
        "pause lock interrupt",
        "read a10 hush",
    ),
    "input_locked": (
        "lock",
        "hush",
        "b lock",
        "read a16 a. lock read",
        "read a90 read hush read read",
        "read a90 read interrupt pause resume lock",
        "turn u9 lock read",
        "lock turn",
    ),
    "closed": (
        "close",
        "b close",
        "read a90 read close",
        "read a90 read pause close",
        "lock close",
    ),
}
"""For each leaf of the chart, how it is come by."""

CONFIRMING: Final = {
    "idle": ("attach", "attach a16 a. read hear", "attach read a90 read interrupt read"),
    "speaking.buffering": (
        "attach read a20 read read hear9",
        "attach read turn u20 u. read read hear20",
    ),
    "speaking.streaming": (
        "attach read a90 a@9 a@40 read read hear20 more9",
        "attach read a20 a. b90 read read more30",
        "attach read A20 A. b90 read read",
    ),
    "speaking.draining": (
        "attach read a40 a. read read read hear20",
        "attach read a20 a. b. c9 c. read read read more1000",
        "attach read A20 A. B20 B. read read read more30",
        "attach read turn u9 u. v20 v~ over read read read",
    ),
    "speaking.sealed": ("attach read a40 read read read lock hear30",),
    "paused.empty": ("attach read a16 a. read more1000 pause",),
    "paused.held": ("attach read a90 read read hear20 pause", "attach read turn u20 u. read read more9 pause read"),
    "paused.ended": ("attach read a20 a. b40 b. read read read more30 pause",),
    "paused.sealed": ("attach read a20 a. read read lock pause",),
    "interrupted.fading": ("attach read a90 read read hear20 interrupt", "attach read a90 read hear interrupt read5"),
    "interrupted.sealed": ("attach read a90 read read hear20 hush",),
    "input_locked": ("attach read a16 a. read lock hear",),
    "closed": ("attach read a20 a. b40 read read close",),
}
"""The same with a reader that confirms."""

PROBES: Final = (
    "read",
    "read5",
    "read40",
    "pause",
    "hold",
    "yield",
    "resume",
    "interrupt",
    "hush",
    "drop",
    "word",
    "lock",
    "unlock",
    "close",
    "a9",
    "a30",
    "a.",
    "a!",
    "b30",
    "b.",
    "b!",
    "c",
    "c9",
    "c30",
    "c.",
    "c30 c.",
    "c!",
    "*9",
    "*30",
    "*.",
    "resume8",
    "a@3",
    "b40 a.",
    "b40 a!",
    "a~",
    "c+",
    "f20",
    "turn u9",
    "u. over",
    "undo",
    "break",
)
"""What is done there: every command, and every way in which a producer can be in the middle of something."""

SEQUELS: Final = (
    "read read resume read unlock d40 read pause resume d. read",
    "hold a16 read pause read release8 read resume5 d9 hold pause yield read d9 read interrupt d20 read release read",
    "a16 pause read resume8 read unlock read e16 e. read close read",
    "lock a9 read unlock a. c40 interrupt read resume d30 read",
    "over turn u20 u. read v+ read read v9 over a~ read d+ d9 d~ read",
)

CONFIRMING_PROBES: Final = ("hear", "hear9", "more9 interrupt", "more9 pause", "detach", "detach attach")
"""What is done there, too, with a reader that confirms."""

CONFIRMING_SEQUELS: Final = (
    "read hear30 read resume read unlock d40 read hear9 pause resume d. read read hear read",
    "hold a16 read hear9 release8 read read more9 hold yield read d20 read interrupt hear d9 release read hear",
    "a. detach read attach resume unlock e40 e@9 e@30 read hear9 word read read hear close hear",
    "over turn u20 u. read v+ read read hear20 v9 v~ read f9 f. d+ d9 d~ read hear9 undo read hear",
)
"""What follows then."""

SETTINGS: Final = {
    "fades": Settings(interrupt_fade=24, pause_ramp=3, resume_ramp=5, underrun_ramp=4),
    "cuts": Settings(),
    "prebuffer": Settings(prebuffer=24, interrupt_fade=1, input_timeout=90, completes=True),
    "timing out": Settings(prebuffer=12, input_timeout=48, maximum=200, history=20),
}
"""Those without fades can be compared to the sample; those with them have tails that sound on."""

_WORD: Final = re.compile(r"(?P<handle>[a-fA-Fuv*])(?P<does>[.!@+~]?)(?P<many>\d*)|(?P<command>[a-z]+?)(?P<number>\d*)")


class Stop(NamedTuple):
    """One sequence, and in which of the :data:`SETTINGS` it is walked."""

    sequence: str
    settings: str


def itinerary(leaves: Iterable[str] = tuple(CONTEXTS)) -> list[Stop]:
    """Every probe in every context of these leaves, with fades and without; sequels and other settings take turns."""
    stops = []
    sequels = itertools.cycle(SEQUELS)
    others = itertools.cycle(name for name in SETTINGS if name != "fades")
    for context, probe in itertools.product((context for leaf in leaves for context in CONTEXTS[leaf]), PROBES):
        stops.append(Stop(f"{context} {probe} {next(sequels)}", next(others)))
        stops.append(Stop(f"{context} {probe} {next(sequels)}", "fades"))
    sequels, contexts = itertools.cycle(CONFIRMING_SEQUELS), (text for leaf in leaves for text in CONFIRMING[leaf])
    for context, probe in itertools.product(contexts, PROBES + CONFIRMING_PROBES):
        stops.append(Stop(f"{context} {probe} {next(sequels)}", next(others)))
        stops.append(Stop(f"{context} {probe} {next(sequels)}", "fades"))
    return stops


@functools.cache
def asked() -> frozenset[tuple[str, str]]:
    """The cells that a third of the paths asks; it leaves none out that all paths asks."""
    cells: set[tuple[str, str]] = set()

    def watch(_: Chart, leaf: str, event: str) -> None:
        cells.add((leaf, event))

    WATCHERS.add(watch)
    try:
        for stop in itinerary():
            if stop.settings == "cuts":
                walk(stop)
    finally:
        WATCHERS.remove(watch)
    return frozenset(cells)


def walk(stop: Stop) -> Pair:
    """Take one sequence of actions, and compare the controller with the model after each.

    Raises:
        AssertionError: they differ; this and any other exception has a note that says where.
    """
    pair = Pair(SETTINGS[stop.settings])
    parts: dict[str, Part] = {}
    for number, word in enumerate(stop.sequence.split(), start=1):
        try:
            _take(pair, parts, word)
        except Exception as error:
            error.add_note(f"at word {number}, {word!r}, of {stop}")
            raise
    return pair


def _take(pair: Pair, parts: dict[str, Part], word: str) -> None:
    """Do what one word says."""
    match = _WORD.fullmatch(word)
    if match is None:
        raise ValueError(f"{word!r} is no action")
    name, does, many, command, number = match.groups()
    if name is None:
        _command(pair, command, number)
    elif name == "*":
        if does:
            pair.end_own()
        else:
            pair.push_own(int(many))
    else:
        part = parts.get(name.lower())
        if part is None:
            made = {"interruptible": name.islower(), "first": name.lower() == "f", "in_turn": name in "uv"}
            part = parts[name.lower()] = pair.make(**made)
        match does:
            case ".":
                pair.end(part)
            case "!":
                pair.cancel(part)
            case "+":
                pair.enqueue(part)
            case "~":
                pair.fail(part)
            case "@":
                pair.mark(part, int(many), None)
            case _ if many:
                pair.push(part, int(many))


def _command(pair: Pair, command: str, number: str) -> None:
    match command:
        case "read":
            pair.read(int(number or 16))
        case "resume":
            pair.resume(int(number or 0))
        case "hold":
            pair.pause("another")
        case "release":
            pair.resume(int(number or 0), "another")
        case "yield":
            pair.interrupt(by="another")
        case "hush":
            pair.interrupt(lock=True)
        case "drop":
            pair.interrupt(force=True)
        case "hear":
            pair.confirm(int(number or 1_000))
        case "more":
            pair.model.extra = int(number)
        case "pause" | "lock" | "unlock" | "close" | "attach" | "detach":
            plain: Callable[[], None] = getattr(pair, command)
            plain()
        case "interrupt":
            pair.interrupt()
        case "word":
            pair.interrupt(at="word")
        case "turn":
            pair.begin_turn()
        case "over":
            pair.end_turn()
        case "undo":
            pair.cancel_turn()
        case "break":
            pair.fail_turn()
        case _:
            raise ValueError(f"{command!r} is no action")
