"""What is measured, what is aimed at, and what was measured of other systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.micro import cases, pushes
from benchmarks.micro.audio import FORMAT, FRAME_BYTES, FRAMES, SECOND_BYTES, baseline
from benchmarks.micro.measure import allocated, interleave, median_ns
from playback import PlaybackController


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done for each figure."""

    batches: int
    """Rounds of the baseline and all subjects that are compared with it."""
    rebuilds: int
    """Rounds of a subject that needs a full buffer each time."""
    sessions: int
    """Of the state machine, for its memory."""


FULL: Final = Effort(batches=1_000, rebuilds=21, sessions=10_000)
QUICK: Final = Effort(batches=3, rebuilds=1, sessions=100)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    subject: str
    unit: str
    target: float | None = None
    """The most that the figure may be; None is for information."""

    def met(self, figure: float) -> bool | None:
        """Whether a figure is within the target; None without one."""
        return None if self.target is None else figure <= self.target


TELEMETRY: Final = "a call with telemetry, to one without"
BACKGROUND: Final = "background and ducking, to reading without"

ROWS: Final = (
    Row("read speech", "× baseline", 1.6),
    Row("read silence", "× baseline", 1.6),
    Row("push and read speech", "× baseline", 2.1),
    Row("push speech", "× baseline"),
    Row("read speech in odd chunks", "× baseline"),
    Row("read while an interrupt's audio is freed", "× baseline"),
    Row("push and read speech at 48 kHz", "× baseline"),
    Row("push and read speech at 8 kHz", "× baseline"),
    Row(BACKGROUND, "× read", 3.0),
    Row("read speech with three sinks", "× baseline"),
    Row(TELEMETRY, "× call", 1.1),
    Row("one push of 300 s", "ms", 1.0),
    Row("push, 300 s, a planar float frame", "× copy", 1.5),
    Row("push with a sink, 300 s, a planar float frame", "× copy", 1.5),
    Row("push, 300 s, a float32 array", "× copy", 1.5),
    Row("push with a sink, 300 s, a float32 array", "× copy", 1.5),
    Row("interrupt, 1,000 utterances queued", "ms"),
    Row("interrupt, 60 s buffered", "ms", 0.5),
    Row("interrupt, 590 s buffered", "ms", 0.5),
    Row("pause, 60 s buffered", "ms", 0.5),
    Row("pause, 590 s buffered", "ms", 0.5),
    Row("write a piece", "µs"),
    Row("speak a piece", "µs"),
    Row("build a controller", "µs", 50.0),
    Row("an edge through the machine", "µs"),
    Row("memory of the machine for a controller", "bytes", 100.0),
    Row("memory of a controller", "bytes"),
    Row("memory of what is buffered", "× PCM", 1.08),
)
"""Every figure, in the order of the table."""

NOTES: Final = (
    "Speeds are CPU time of the thread, garbage collector off. A ratio compares 50 frames, one second of 24 kHz mono,"
    " with 50 frames of the baseline; a push is that of one second. Chunks hold 20 ms, odd ones 1,024 bytes. At 48 kHz"
    " means 24 kHz pushed and 48 kHz read, at 8 kHz the same with the filter for telephones. Each long push and each"
    " command has a new controller; the command comes 10 frames into the speech. A piece of 20 ms is awaited each:"
    " Utterance.write, and PlaybackController.speak with the"
    " same generator, which is to cost at most 5 µs more. Memory is what tracemalloc counts: what Python asked for,"
    " before the allocator rounds. A call with telemetry is six seconds of two answers over the Opus track,"
    " encoded, encrypted and sent, with OpenTelemetry's SDK; that is half of what a whole one costs, so 1.1 is 5 %."
    " A long push is compared with one copy of its bytes; `python -m"
    " benchmarks.micro.pushes` does that for every kind of input, and every way to give it."
)

SYSTEMS: Final = ("VideoSDK 1.0.30", "original track", "GetStream", "Pipecat")
ELSEWHERE: Final[dict[str, tuple[str, tuple[float, ...]]]] = {
    "read speech": ("× baseline", (0.8, 0.7, 1.2, 4.6)),
    "push and read speech": ("× baseline", (2.9, 2.9, 11.0, 5.6)),
    "one push of 300 s": ("ms", (4_800.0, 4_600.0, 140.0, 21.0)),
    "interrupt, 60 s buffered": ("ms", (30.0, 2.4, 4.9, 0.6)),
}
"""What the same subjects took in other systems, measured earlier; nothing here runs them."""

ELSEWHERE_NOTE: Final = (
    "For orientation, other systems: constants, measured earlier in one run elsewhere, ratios as multiples of that"
    " run's baseline. A read of VideoSDK's is below the baseline because it builds its frames when audio is pushed."
)


@dataclass(frozen=True, slots=True)
class Results:
    """What came out."""

    baseline_us: float
    """One frame of the baseline, in microseconds."""
    figures: Mapping[str, float]
    """By subject, in the unit of its row."""

    @property
    def missed(self) -> list[str]:
        """The subjects whose target is missed."""
        return [row.subject for row in ROWS if row.met(self.figures[row.subject]) is False]


def measure(effort: Effort) -> Results:
    """Measure everything.

    Args:
        effort: how often.

    Raises:
        RuntimeError: a subject did not do what it is measured for.
    """
    baseline_ns, figures = interleave(
        baseline,
        [
            cases.Speaking("speech", FRAME_BYTES),
            cases.Idle(),
            cases.Speaking("speech in odd chunks", 1_024),
            cases.Speaking("speech at 48 kHz", FRAME_BYTES, 48_000),
            cases.Speaking("speech at 8 kHz", FRAME_BYTES, 8_000),
            cases.Speaking("speech with background", FRAME_BYTES, equip=cases.with_background, mixed=True),
            cases.Speaking("speech with three sinks", FRAME_BYTES, equip=cases.with_sinks),
        ],
        effort.batches,
    )
    figures[BACKGROUND] = figures["read speech with background"] / figures["read speech"]
    plain, measured = cases.Calls(TELEMETRY, measured=False), cases.Calls(TELEMETRY, measured=True)
    figures |= interleave(lambda: plain()[TELEMETRY], [measured], max(2, effort.batches // 25))[1]
    figures |= interleave(baseline, [cases.AfterInterrupt(seconds=120)], effort.rebuilds)[1]
    for seconds in (60, 590):
        for command in ("interrupt", "pause"):
            figures |= _scaled(median_ns(cases.Command(command, seconds), effort.rebuilds), 1e6)
    figures |= _scaled(median_ns(cases.LongPush(300), effort.rebuilds), 1e6)
    figures |= pushes.measure(min(effort.rebuilds, 7))
    figures |= _scaled(median_ns(cases.interrupt_many, effort.rebuilds), 1e6)
    figures |= _scaled(median_ns(cases.pieces, effort.rebuilds), 1e3)
    figures |= _scaled(median_ns(cases.build, 20), 1e3)
    figures |= _scaled(median_ns(cases.fire, 20), 1e3)
    figures |= _memory(effort.sessions)
    return Results(baseline_ns / FRAMES / 1e3, {row.subject: figures[row.subject] for row in ROWS})


def _memory(sessions: int) -> dict[str, float]:
    controllers = 100
    seconds = 60
    machine = allocated(lambda: cases.held_by_sessions(sessions))[1]
    controller = allocated(lambda: [PlaybackController(FORMAT) for _ in range(controllers)])[1]
    audio = allocated(lambda: cases.held_by_audio(seconds))[1]
    return {
        "memory of the machine for a controller": machine / sessions,
        "memory of a controller": controller / controllers,
        "memory of what is buffered": audio / (seconds * SECOND_BYTES),
    }


def _scaled(times: Mapping[str, float], by: float) -> dict[str, float]:
    return {name: time / by for name, time in times.items()}
