"""The real controller and its model, given the same calls, and compared in all that anybody can see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, BufferFull, Fades, PlaybackController, Utterance
from playback.events import EVENTS, Event
from playback.sinks import SinkSlow
from playback.turn import Turn
from tests.core.model import Emitted, Full, Group, Line, Model, Settings

RATE: Final = 8_000


@dataclass(eq=False)
class Producer:
    """Who pushes one utterance: consecutive samples, cut into pushes at any byte."""

    line: Line | None = None
    half: bytes = b""
    """The second byte of a sample of which the first was pushed."""


class Transport:
    """A reader that confirms: it counts as a carrier's socket would.

    Args:
        model: says how much of what was not confirmed was heard nevertheless.
    """

    def __init__(self, model: Model) -> None:
        self.model: Final = model
        self.read = self.confirmed = self.recalls = 0

    def recall(self) -> int:
        """Drop what was not heard."""
        self.recalls += 1
        self.read = self.confirmed = min(self.read, self.confirmed + self.model.extra)
        return self.read


@dataclass(eq=False)
class Part:
    """One handle, on both sides."""

    utterance: Utterance
    line: Line
    producer: Producer


class Pair:
    """A controller and its model. Each method does one thing to both, and compares what came of it.

    Args:
        settings: what both are made with.
    """

    def __init__(self, settings: Settings) -> None:
        self.model: Final = Model(settings)
        self.controller: Final = PlaybackController(
            AudioFormat(RATE),
            fades=Fades(
                settings.interrupt_fade / RATE,
                settings.pause_ramp / RATE,
                settings.resume_ramp / RATE,
                settings.underrun_ramp / RATE,
            ),
            prebuffer_seconds=settings.prebuffer / RATE,
            high_water_seconds=settings.maximum / RATE,
            max_buffered_seconds=settings.maximum / RATE,
            history_seconds=settings.history / RATE,
            input_timeout_seconds=None if settings.input_timeout is None else settings.input_timeout / RATE,
            on_input_timeout="complete" if settings.completes else "fail",
        )
        self.transport: Transport | None = None
        self.recalls = 0
        self.parts: Final[list[Part]] = []
        self.turns: Final[list[tuple[Turn, Group]]] = []
        self.emitted: Final[list[Event]] = []
        for name in EVENTS:
            self.controller.on(name, self.emitted.append)
        self._own = Producer()
        self._value = 0
        self._names = 0
        self._finished: Final[set[str]] = set()
        self._last: Final[set[str]] = set()

    # Producers

    def make(self, *, interruptible: bool = True, first: bool = False, in_turn: bool = False) -> Part:
        """Make a handle, of the newest turn if there is one and that is wanted."""
        self._names += 1
        name = f"handle-{self._names}"
        turn, group = self.turns[-1] if in_turn and self.turns else (None, None)
        make = self.controller.utterance if turn is None else turn.utterance
        utterance = make(id=name, interruptible=interruptible, first=first)
        part = Part(utterance, self.model.utterance(name, interruptible, first, group), Producer())
        self.parts.append(part)
        self.compare()
        return part

    def push(self, part: Part, length: int, *, odd: bool = False, kind: str = "bytes") -> None:
        data, half = self._take(part.producer, length, odd, kind)
        try:
            expected = self.model.push(part.line, data, whole=kind in ("array", "column"))
        except Full:
            with pytest.raises(BufferFull):
                part.utterance.push(_of_kind(data, kind))
        else:
            assert part.utterance.push(_of_kind(data, kind)) == expected
            part.producer.half = half
        self.compare()

    def push_own(self, length: int, *, odd: bool = False, kind: str = "bytes") -> None:
        own = self._own.line
        if self.model.own_generation != self.model.generation or (own is not None and own.dropped):
            self._own = Producer()  # another answer, which begins with a whole sample
        data, half = self._take(self._own, length, odd, kind)
        try:
            expected = self.model.push_own(data, whole=kind in ("array", "column"))
        except Full:
            with pytest.raises(BufferFull):
                self.controller.push(_of_kind(data, kind))
        else:
            assert self.controller.push(_of_kind(data, kind)) == expected
            self._own.half = half
        self._own.line = self.model.own
        self.compare()

    def end_own(self) -> None:
        assert self.controller.end() is self.model.end_own()
        self.compare()

    def end(self, part: Part) -> None:
        assert part.utterance.end() is self.model.end(part.line)
        self.compare()

    def enqueue(self, part: Part) -> None:
        assert part.utterance.enqueue() is self.model.enqueue(part.line)
        self.compare()

    def fail(self, part: Part) -> None:
        assert part.utterance.fail(LookupError("broken")) is self.model.fail(part.line)
        self.compare()

    def begin_turn(self, *, stops: bool = False) -> None:
        name = f"turn-{len(self.turns) + 1}"
        group = self.model.turn(name, stops)
        if group is None:
            with pytest.raises(RuntimeError, match="is open, expected one open turn"):
                self.controller.turn()
        else:
            self.turns.append((self.controller.turn(id=name, stop_on_failure=stops), group))
        self.compare()

    def end_turn(self) -> None:
        if self.turns:
            turn, group = self.turns[-1]
            assert turn.end() is self.model.end_turn(group)
            self.compare()

    def cancel_turn(self) -> None:
        if self.turns:
            turn, group = self.turns[-1]
            assert turn.cancel() is self.model.cancel_turn(group)
            self.compare()

    def fail_turn(self) -> None:
        if self.turns:
            turn, group = self.turns[-1]
            assert turn._owner.fail_turn(turn, LookupError("broken")) is self.model.fail_turn(group)
            self.compare()

    def cancel(self, part: Part) -> None:
        assert part.utterance.cancel() is self.model.cancel(part.line)
        self.compare()

    def mark(self, part: Part, at: int | None, length: int | None) -> None:
        payload = f"word-{len(part.line.words)}"
        until = None if length is None else (part.line.accepted if at is None else at) + length
        marked = part.utterance.mark(
            payload,
            at=None if at is None else at / RATE,
            until=None if until is None else until / RATE,
        )
        assert marked is self.model.mark(part.line, payload, at, until)
        self.compare()

    def forget(self, number: int) -> None:
        """Drop the last reference to an unused handle, named by its place among the parts; nobody knew of it."""
        self.parts.pop(number)

    # Commands

    def pause(self, by: str = "application") -> None:
        assert self.controller.pause(by=by) is self.model.pause(by)
        self.compare()

    def resume(self, rewind: int = 0, by: str = "application") -> None:
        resumed = self.controller.resume(rewind / RATE, by=by)
        rewound = next((getattr(event, "rewound", 0) for event in self.emitted if event.name == "resumed"), 0)
        assert resumed is self.model.resume(rewind, rewound, by)
        self.compare()

    def interrupt(
        self,
        *,
        lock: bool = False,
        force: bool = False,
        by: str = "application",
        at: Literal["now", "word"] = "now",
    ) -> None:
        interrupted = self.controller.interrupt(lock=lock, force=force, by=by, at=at)
        assert interrupted is self.model.interrupt(lock, force, by, at)
        self.compare()

    def lock(self) -> None:
        assert self.controller.lock() is self.model.lock()
        self.compare()

    def unlock(self) -> None:
        assert self.controller.unlock() is self.model.unlock()
        self.compare()

    def close(self) -> None:
        assert self.controller.close() is self.model.close()
        self.compare()

    # The reader

    def read(self, samples: int) -> NDArray[np.int16]:
        start = self.model.position
        expected = self.model.read(samples)
        frame = self.read_frame(samples)
        assert frame.shape == (samples, 1)
        if self.transport is not None:
            self.transport.read += samples
        heard = [
            None if known is None else sample for sample, known in zip(frame[:, 0].tolist(), expected, strict=True)
        ]
        assert heard == expected
        self.compare(start)
        return frame

    def attach(self) -> None:
        """Have a transport read that confirms, unless one does."""
        if self.transport is None:
            self.transport = Transport(self.model)
            self.controller.attach(self.transport, confirms=True)
            self.model.attach()
            self.compare()

    def detach(self) -> None:
        """Have the transport go."""
        if self.transport is not None:
            self.recalls += self.transport.recalls
            self.controller.detach(self.transport)
            self.transport = None
            self.model.detach()
            self.compare()

    def confirm(self, samples: int) -> None:
        """Have the transport confirm so many more samples, or all that it has."""
        if self.transport is not None:
            self.transport.confirmed = min(self.transport.read, self.transport.confirmed + samples)
            self.model.confirm(self.transport.confirmed)
            self.controller.confirm(self.transport.confirmed)
            self.compare()

    def read_frame(self, samples: int) -> NDArray[np.int16]:
        """Read from the controller alone."""
        return self.controller.read(samples)

    # What must be true

    def compare(self, start: int | None = None) -> None:
        """Compare what listeners received with what the model emits, and all that can be asked for.

        Args:
            start: where the read began, if this follows one.
        """
        # That a sink kept a read waiting is true on a busy machine, and says nothing of the playout.
        emitted = [
            _emitted(event) for event in self.emitted if not isinstance(getattr(event, "exception", None), SinkSlow)
        ]
        silenced = [event for event in self.emitted if event.name == "silenced"]
        for event in self.emitted:
            if event.name == "underrun":  # emitted when the read is over; it happened within it
                assert start is not None
                assert start <= event.position <= self.controller.position
        self.emitted.clear()
        # What fades out ends in its own time, whatever an utterance that sounds above it does.
        assert [event for event in emitted if event[0] != "silenced"] == self.model.emitted
        assert [event.position for event in silenced] == [at for at in [self.model.silenced_at] if at is not None]
        for name, _, who, extra in emitted:
            assert who is not None or name not in ("utterance_finished", "last_audio_byte")
            if name == "utterance_finished":
                assert who not in self._finished
                assert (extra[0] == "completed") == (who in self._last)
                self._finished.add(str(who))
            elif name == "last_audio_byte":
                assert who not in self._last
                self._last.add(str(who))
        self._compare_controller()
        if self.transport is not None:
            assert self.recalls + self.transport.recalls == self.model.recalls
            assert self.transport.read == self.model.heard + len(self.model.unheard)
        for part in self.parts:
            _compare_utterance(part.utterance, part.line)

    def _compare_controller(self) -> None:
        controller, model = self.controller, self.model
        assert controller.leaf == model.leaf
        assert controller.state.value == model.state
        assert controller.input_locked == model.refuses
        assert controller.position == model.position
        assert controller.buffered == model.buffered
        assert list(controller.holds) == model.holds
        assert bool(model.holds) == (controller.state.value == "paused")
        stats = controller.stats
        assert (stats.refusals, stats.refused_samples) == (model.refusals, model.refused_samples)
        assert (stats.underruns, stats.underrun_samples) == (model.underruns, model.underrun_samples)

    # Parts of the above

    def _take(self, producer: Producer, length: int, odd: bool, kind: str) -> tuple[bytes, bytes]:
        """The next bytes of a producer, and what it is left with halfway through a sample."""
        values = [(self._value + number) % 32_000 + 1 for number in range(length + 1)]
        self._value += length + 1
        data = b"".join(value.to_bytes(2, "little") for value in values)
        if kind in ("array", "column"):
            return data[:-2], b""
        data = producer.half + data
        return (data[:-1], data[-1:]) if odd else (data[:-2], b"")


def _compare_utterance(utterance: Utterance, line: Line) -> None:
    assert (utterance.accepted, utterance.played) == (line.accepted, line.played)
    assert (utterance.discarded, utterance.refused) == (line.discarded, line.refused)
    assert utterance.ended == line.ended
    assert utterance.is_yielding == (line.yields_at is not None and line.outcome is None)
    outcome = utterance.report and utterance.report.outcome.value
    assert outcome == line.outcome


def _of_kind(data: bytes, kind: str) -> Any:
    match kind:
        case "bytearray":
            return bytearray(data)
        case "memoryview":
            return memoryview(data)
        case "array":
            return np.frombuffer(data, np.int16)
        case "column":
            return np.frombuffer(data, np.int16).reshape(-1, 1)
        case _:
            return data


def _emitted(event: Any) -> Emitted:
    """An event as the model emits it."""
    utterance = getattr(event, "utterance", None)
    extra: Any = None
    position: int | None = event.position
    match event.name:
        case "state_changed":
            extra = event.old.value, event.new.value, event.old_leaf, event.new_leaf
        case "utterance_finished":
            report = event.report
            assert utterance is None or report.id == utterance.id
            extra = (
                report.outcome.value,
                report.accepted,
                report.played,
                report.discarded,
                report.refused,
                report.heard,
            )
        case "mark_reached":
            extra = event.payload, event.at
        case "turn_started":
            extra = event.turn.id
        case "turn_finished":
            turn = event.report
            first = None if turn.first_audio_seconds is None else round(turn.first_audio_seconds * RATE)
            gaps = tuple(round(gap * RATE) for gap in turn.gaps)
            counts = len(turn.utterances), turn.played, turn.discarded
            assert (turn.error is not None) >= (turn.outcome == "failed")
            extra = event.turn.id, (turn.outcome.value, *counts, gaps, first)
        case "paused":
            extra = event.by
        case "resumed":
            extra = event.rewound, event.by
        case "interrupted":
            extra = event.discarded
        case "audio_refused":
            extra = event.samples
        case "error":
            extra = repr(event.exception)
        case "underrun":
            position = None
    return event.name, position, utterance and utterance.id, extra
