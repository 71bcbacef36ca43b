"""All commands in any order, against the model: the exact samples, states, events and counts of every step."""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray

from playback import AudioFormat, BufferFull, Fades, PlaybackController, Utterance
from playback.events import EVENTS, Event
from playback.sinks import CallbackSink, Chunk
from tests.model import Full, Line, Model, Settings, Told

RATE: Final = 8_000
KINDS: Final = ("bytes", "bytes", "bytes", "bytearray", "memoryview", "array", "column")

which = st.integers(0, 50)
lengths = st.one_of(st.sampled_from([0, 1, 16, 16, 16, 32]), st.integers(0, 60))
read_sizes = st.sampled_from([0, 1, 5, 7, 16, 16, 16, 16, 16, 40])
positions = st.one_of(st.none(), st.integers(0, 90))
rarely = st.integers(0, 24).map(lambda number: number == 7)
seldom = st.integers(0, 4).map(lambda number: number == 3)
settings_of_cuts = st.builds(Settings, history=st.sampled_from([16_000, 20, 0]))
settings_of_limits = st.builds(
    Settings,
    cushion=st.sampled_from([1, 12, 16, 40]),
    maximum=st.sampled_from([1_000_000, 90]),
    starve=st.sampled_from([None, 48, 90]),
)
settings_of_fades = st.builds(
    Settings,
    cushion=st.sampled_from([0, 0, 12]),
    interrupt_fade=st.sampled_from([1, 10, 24, 100]),
    pause_ramp=st.sampled_from([0, 3, 20]),
    resume_ramp=st.sampled_from([0, 3, 20]),
)


@dataclass(eq=False)
class Producer:
    """Who pushes one utterance: consecutive samples, cut into pushes at any byte."""

    line: Line | None = None
    half: bytes = b""
    """The second byte of a sample of which the first was pushed."""


class Playouts(RuleBasedStateMachine):
    """A controller and its model, told the same."""

    settings: ClassVar[st.SearchStrategy[Settings]]

    def __init__(self) -> None:
        super().__init__()
        self.handles: list[tuple[Utterance, Line, Producer]] = []
        self.own = Producer()
        self.told: list[Event] = []
        self.value = 0
        self.names = 0
        self.seen_finished: set[str] = set()
        self.seen_last: set[str] = set()

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        chosen = data.draw(self.settings)
        self.model = Model(chosen)
        self.controller = PlaybackController(
            AudioFormat(RATE),
            fades=Fades(chosen.interrupt_fade / RATE, chosen.pause_ramp / RATE, chosen.resume_ramp / RATE),
            cushion_seconds=chosen.cushion / RATE,
            high_water_seconds=chosen.maximum / RATE,
            max_buffered_seconds=chosen.maximum / RATE,
            history_seconds=chosen.history / RATE,
            starve_seconds=None if chosen.starve is None else chosen.starve / RATE,
        )
        for name in EVENTS:
            self.controller.on(name, self.told.append)
        self.equip()

    def equip(self) -> None:
        """Add whatever must make no difference."""

    # Producers

    @precondition(lambda self: len(self.handles) < 30)
    @rule(interruptible=st.sampled_from([True, True, True, False]), data=st.data())
    def make(self, interruptible: bool, data: st.DataObject) -> None:
        self.names += 1
        name = f"handle-{self.names}"
        utterance = self.controller.utterance(id=name, interruptible=interruptible)
        self.handles.append((utterance, self.model.utterance(name, interruptible), Producer()))
        self.check()
        if data.draw(st.booleans()):
            self.push(-1, 16, False, "bytes")

    @precondition(lambda self: self.handles)
    @rule(which=which, length=lengths, odd=seldom, kind=st.sampled_from(KINDS))
    def push(self, which: int, length: int, odd: bool, kind: str) -> None:
        utterance, line, producer = self.pick(which)
        data, half = self.take(producer, length, odd, kind)
        try:
            expected = self.model.push(line, data, whole=kind in ("array", "column"))
        except Full:
            with pytest.raises(BufferFull):
                utterance.push(_of_kind(data, kind))
        else:
            assert utterance.push(_of_kind(data, kind)) == expected
            producer.half = half
        self.check()

    @rule(length=lengths, odd=seldom, kind=st.sampled_from(KINDS))
    def push_without_a_handle(self, length: int, odd: bool, kind: str) -> None:
        if self.model.own is not self.own.line or self.model.own is None or self.model.own.ended:
            self.own = Producer()
        data, half = self.take(self.own, length, odd, kind)
        try:
            expected = self.model.push_own(data, whole=kind in ("array", "column"))
        except Full:
            with pytest.raises(BufferFull):
                self.controller.push(_of_kind(data, kind))
        else:
            assert self.controller.push(_of_kind(data, kind)) == expected
            self.own.half = half
        self.own.line = self.model.own
        self.check()

    @precondition(lambda self: self.model.own)
    @rule()
    def end_without_a_handle(self) -> None:
        assert self.controller.end() == self.model.end_own()
        self.check()

    @precondition(lambda self: self.handles)
    @rule(which=which)
    def end(self, which: int) -> None:
        utterance, line, _ = self.pick(which)
        assert utterance.end() == self.model.end(line)
        self.check()

    @precondition(lambda self: self.handles)
    @rule(which=which)
    def cancel(self, which: int) -> None:
        utterance, line, _ = self.pick(which)
        assert utterance.cancel() == self.model.cancel(line)
        self.check()

    @precondition(lambda self: self.handles)
    @rule(which=which, at=positions, length=st.one_of(st.none(), st.integers(1, 30)))
    def mark(self, which: int, at: int | None, length: int | None) -> None:
        utterance, line, _ = self.pick(which)
        payload = f"word-{len(line.words)}"
        until = None if length is None else (line.accepted if at is None else at) + length
        marked = utterance.mark(
            payload,
            at=None if at is None else at / RATE,
            until=None if until is None else until / RATE,
        )
        assert marked == self.model.mark(line, payload, at, until)
        self.check()

    @precondition(lambda self: self.model.placeless)
    @rule(which=which)
    def forget(self, which: int) -> None:
        """A handle that is dropped before its first push leaves no trace."""
        candidates = [number for number, (_, line, _) in enumerate(self.handles) if line in self.model.placeless]
        if candidates:
            number = candidates[which % len(candidates)]
            self.model.forget(self.handles.pop(number)[1])
            self.told.clear()
            gc.collect(0)
            self.check()

    # Commands

    @rule()
    def pause(self) -> None:
        assert self.controller.pause() == self.model.pause()
        self.check()

    @rule(rewind=st.one_of(st.just(0), st.integers(0, 60)))
    def resume(self, rewind: int) -> None:
        resumed = self.controller.resume(rewind / RATE)
        rewound = next((getattr(event, "rewound", 0) for event in self.told if event.name == "resumed"), 0)
        assert resumed == self.model.resume(rewind, rewound)
        self.check()

    @rule(lock=seldom, force=st.booleans())
    def interrupt(self, lock: bool, force: bool) -> None:
        assert self.controller.interrupt(lock=lock, force=force) == self.model.interrupt(lock, force)
        self.check()

    @rule(really=seldom)
    def lock(self, really: bool) -> None:
        if really:
            assert self.controller.lock() == self.model.lock()
            self.check()

    @rule(really=st.booleans())
    def unlock(self, really: bool) -> None:
        if not really and not self.controller.input_locked:
            return
        assert self.controller.unlock() == self.model.unlock()
        self.check()

    @rule(really=rarely)
    def close(self, really: bool) -> None:
        if really:
            assert self.controller.close() == self.model.close()
            self.check()

    # The reader

    @rule(samples=read_sizes, times=st.integers(1, 4))
    def read(self, samples: int, times: int) -> None:
        for _ in range(times):
            start = self.model.position
            expected = self.model.read(samples)
            frame = self.controller.read(samples)
            assert frame.shape == (samples, 1)
            heard = [
                None if known is None else int(sample) for sample, known in zip(frame[:, 0], expected, strict=True)
            ]
            assert heard == expected
            self.check(start)
            self.has_read(frame)

    def has_read(self, frame: NDArray[np.int16]) -> None:
        """See a frame that was right."""

    @rule(pushes=st.integers(1, 5), ended=st.booleans(), reads=st.integers(1, 4))
    def talk(self, pushes: int, ended: bool, reads: int) -> None:
        """Speech that sounds: what most of the other commands are about."""
        if len(self.handles) < 30:
            self.names += 1
            name = f"handle-{self.names}"
            line = self.model.utterance(name, True)
            self.handles.append((self.controller.utterance(id=name), line, Producer()))
            self.check()
        for _ in range(pushes):
            self.push(-1, 16, False, "bytes")
        if ended:
            self.end(45)
        self.read(16, reads)

    # What must be true

    def check(self, start: int | None = None) -> None:
        """Compare what listeners were told with what the model tells.

        Args:
            start: where the read began, if this follows one.
        """
        told = [_told(event) for event in self.told]
        silenced = [event for event in self.told if event.name == "silenced"]
        for event in self.told:
            if event.name == "underrun":  # told when the read is over; it happened within it
                assert start is not None
                assert start <= event.position <= self.controller.position
        self.told.clear()
        # What fades out ends in its own time, whatever an utterance that sounds above it does.
        assert [event for event in told if event[0] != "silenced"] == self.model.told
        assert [event.position for event in silenced] == [at for at in [self.model.silenced_at] if at is not None]
        for name, _, who, extra in told:
            assert who is not None or name not in ("utterance_finished", "last_audio_byte")
            if name == "utterance_finished":
                assert who not in self.seen_finished
                assert (extra[0] == "completed") == (who in self.seen_last)
                self.seen_finished.add(str(who))
            elif name == "last_audio_byte":
                assert who not in self.seen_last
                self.seen_last.add(str(who))

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        controller, model = self.controller, self.model
        assert controller.leaf == model.leaf
        assert controller.state.value == model.state
        assert controller.input_locked == model.refuses
        assert controller.position == model.position
        assert controller.buffered == model.buffered
        stats = controller.stats
        assert (stats.refusals, stats.refused_samples) == (model.refusals, model.refused_samples)
        assert stats.underruns == model.underruns

    @invariant()
    def nothing_is_lost(self) -> None:
        for utterance, line, _ in self.handles:
            assert (utterance.accepted, utterance.played) == (line.accepted, line.played)
            assert (utterance.discarded, utterance.refused) == (line.discarded, line.refused)
            assert utterance.ended == line.ended
            outcome = utterance.report and utterance.report.outcome.value
            assert outcome == line.outcome

    # Parts of the above

    def pick(self, which: int) -> tuple[Utterance, Line, Producer]:
        """One of the handles; mostly one that is not finished, and often the newest."""
        alive = [handle for handle in self.handles if handle[1].outcome is None]
        choice = self.handles if which > 45 or not alive else alive
        return choice[-1] if which < 0 else choice[which % len(choice)]

    def take(self, producer: Producer, length: int, odd: bool, kind: str) -> tuple[bytes, bytes]:
        """The next bytes of a producer, and what it is left with halfway through a sample."""
        values = [(self.value + number) % 32_000 + 1 for number in range(length + 1)]
        self.value += length + 1
        data = b"".join(value.to_bytes(2, "little") for value in values)
        if kind in ("array", "column"):
            return data[:-2], b""
        data = producer.half + data
        return (data[:-1], data[-1:]) if odd else (data[:-2], b"")


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


def _told(event: Any) -> Told:
    """An event as the model tells it."""
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
        case "resumed":
            extra = event.rewound
        case "interrupted":
            extra = event.discarded
        case "audio_refused":
            extra = event.samples
        case "error":
            extra = repr(event.exception)
        case "underrun":
            position = None
    return event.name, position, utterance and utterance.id, extra


class Cuts(Playouts):
    """No fades: every cut is exact to the sample."""

    settings = settings_of_cuts


class Limits(Playouts):
    """No fades, but a cushion, a maximum, and producers that are given up."""

    settings = settings_of_limits


class Faded(Playouts):
    """Fades: exact wherever nothing fades, and silent where nothing may sound."""

    settings = settings_of_fades


class Staged(Cuts):
    """With background that is silent and sinks that only listen, nothing is any different."""

    def equip(self) -> None:
        self.pushed: list[Chunk] = []
        self.played: list[Chunk] = []
        self.controller.background.add(np.zeros(7, np.int16), gain_db=0)
        self.controller.sinks.add(CallbackSink(self.pushed.append), when="pushed")
        self.controller.sinks.add(CallbackSink(self.played.append), when="played")

    def has_read(self, frame: NDArray[np.int16]) -> None:
        if not len(frame) or self.controller.state == "closed":
            return
        chunk = self.played.pop()
        assert not self.played
        assert chunk.position == self.controller.position - len(frame)
        assert np.array_equal(chunk.audio, frame)

    @invariant()
    def what_was_accepted_was_heard_ahead(self) -> None:
        accepted: Counter[Utterance | None] = Counter()
        for chunk in self.pushed if self.handles else ():
            assert chunk.offset == accepted[chunk.utterance]
            accepted[chunk.utterance] += len(chunk.audio)
        for utterance, _, _ in self.handles:
            assert accepted[utterance] == utterance.accepted


@pytest.mark.parametrize("machine", [Cuts, Limits, Faded, Staged])
def test_any_order_of_commands(machine: type[Playouts]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=250,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


# What the machines can't reach, or have found: each as short as it can be.


def _samples(first: int, count: int) -> bytes:
    return np.arange(first, first + count, dtype=np.int16).tobytes()


def test_an_utterance_that_begins_with_a_read_tells_its_first_audio_byte() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0), history_seconds=0)
    begun: list[Any] = []
    controller.on("first_audio_byte", begun.append)
    controller.read(16)
    leading, following = controller.utterance(id="leading"), controller.utterance(id="following")
    leading.push(_samples(1, 32))
    leading.end()
    following.push(_samples(101, 32))
    for _ in range(3):
        controller.read(16)
    assert [(event.utterance.id, event.position) for event in begun] == [("leading", 16), ("following", 48)]


@pytest.mark.timeout(5)
def test_an_utterance_that_starves_within_one_read_leaves_the_next_one_to_play() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0), starve_seconds=10 / RATE)
    controller.read(10)
    dry, following = controller.utterance(), controller.utterance()
    dry.push(_samples(1, 10))
    following.push(_samples(101, 40))
    assert controller.read(10)[:, 0].tolist() == list(range(1, 11))
    assert not controller.read(10).any()
    assert dry.ended
    assert controller.read(10)[:, 0].tolist() == list(range(101, 111))


def test_an_utterance_starves_whatever_becomes_of_others() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0), starve_seconds=20 / RATE)
    controller.read(10)
    dry, other = controller.utterance(), controller.utterance()
    dry.push(_samples(1, 5))
    controller.read(10)
    other.cancel()
    controller.read(10)
    assert dry.ended


def test_an_utterance_that_has_played_meanwhile_does_not_starve() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0), starve_seconds=90 / RATE)
    controller.read(40)
    utterance = controller.utterance()
    utterance.push(_samples(1, 16))
    controller.read(40)
    controller.read(40)
    for _ in range(3):
        assert controller.read(5).all()
    controller.read(16)
    assert not utterance.ended


def test_a_refused_push_takes_its_dangling_bytes_with_it() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0))
    utterance = controller.utterance()
    stream = _samples(1, 4)
    utterance.push(stream[:1])
    controller.lock()
    utterance.push(stream[1:4])
    controller.unlock()
    utterance.push(stream[4:])
    utterance.end()
    assert controller.read(3)[:, 0].tolist() == [3, 4, 0]


def test_words_that_begin_together_at_the_start_are_heard_with_the_first_sample() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0))
    controller.read(5)
    utterance = controller.utterance()
    utterance.push(_samples(1, 20))
    for word in ("one", "two"):
        utterance.mark(word, at=0)
    controller.read(5)
    controller.interrupt()
    assert utterance.report
    assert utterance.report.heard == "one"


def test_an_underrun_is_told_where_the_silence_begins() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0))
    underruns: list[Any] = []
    controller.on("underrun", underruns.append)
    controller.read(10)
    first, second = controller.utterance(), controller.utterance()
    first.push(_samples(1, 14))
    first.end()
    second.push(_samples(101, 3))
    controller.read(10)
    controller.read(10)
    assert [event.position for event in underruns] == [24]
