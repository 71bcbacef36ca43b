"""All commands in any order, against the model: the exact samples, states, events and counts of every step."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pytest
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

from playback import AudioFormat, Fades, PlaybackController, Utterance
from playback.sinks import CallbackSink, Chunk
from tests.core.harness import RATE, Pair, Part
from tests.core.model import Settings
from tests.fuzzing import thorough

KINDS: Final = ("bytes", "bytes", "bytes", "bytearray", "memoryview", "array", "column")

which = st.integers(0, 50)
lengths = st.one_of(st.sampled_from([0, 1, 16, 16, 16, 32]), st.integers(0, 60))
read_sizes = st.sampled_from([0, 1, 5, 7, 16, 16, 16, 16, 16, 40])
positions = st.one_of(st.none(), st.integers(0, 90))
rarely = st.integers(0, 24).map(lambda number: number == 7)
owners = st.sampled_from(["application", "application", "another"])
places: st.SearchStrategy[Literal["now", "word"]] = st.sampled_from(["now", "word"])
several_words = st.lists(st.integers(0, 80), min_size=2, max_size=4)
maybe_words: st.SearchStrategy[list[int]] = st.one_of(st.just([]), several_words)
seldom = st.integers(0, 4).map(lambda number: number == 3)
settings_of_cuts = st.builds(Settings, history=st.sampled_from([16_000, 20, 0]))
settings_of_limits = st.builds(
    Settings,
    prebuffer=st.sampled_from([1, 12, 16, 40]),
    maximum=st.sampled_from([1_000_000, 90]),
    input_timeout=st.sampled_from([None, 48, 90]),
    completes=st.booleans(),
)
settings_of_fades = st.builds(
    Settings,
    prebuffer=st.sampled_from([0, 0, 12]),
    interrupt_fade=st.sampled_from([1, 10, 24, 100]),
    pause_ramp=st.sampled_from([0, 3, 20]),
    resume_ramp=st.sampled_from([0, 3, 20]),
    underrun_ramp=st.sampled_from([0, 3, 20, 40]),
)


class Playouts(RuleBasedStateMachine):
    """A controller and its model, given the same calls."""

    settings: ClassVar[st.SearchStrategy[Settings]]

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.pair = Pair(data.draw(self.settings))
        self.equip()

    def equip(self) -> None:
        """Add whatever must make no difference."""

    # Producers

    @precondition(lambda self: len(self.pair.parts) < 30)
    @rule(interruptible=st.sampled_from([True, True, True, False]), data=st.data())
    def make(self, interruptible: bool, data: st.DataObject) -> None:
        first, in_turn = data.draw(seldom), data.draw(st.booleans())
        part = self.pair.make(interruptible=interruptible, first=first, in_turn=in_turn)
        if data.draw(st.booleans()):
            self.pair.push(part, 16)
        elif data.draw(st.booleans()):
            self.pair.enqueue(part)

    @precondition(lambda self: self.pair.parts)
    @rule(which=which, length=lengths, odd=seldom, kind=st.sampled_from(KINDS))
    def push(self, which: int, length: int, odd: bool, kind: str) -> None:
        self.pair.push(self.pick(which), length, odd=odd, kind=kind)

    @rule(length=lengths, odd=seldom, kind=st.sampled_from(KINDS))
    def push_without_a_handle(self, length: int, odd: bool, kind: str) -> None:
        self.pair.push_own(length, odd=odd, kind=kind)

    @precondition(lambda self: self.pair.model.own)
    @rule()
    def end_without_a_handle(self) -> None:
        self.pair.end_own()

    @precondition(lambda self: self.pair.parts)
    @rule(which=which)
    def end(self, which: int) -> None:
        self.pair.end(self.pick(which))

    @precondition(lambda self: self.pair.parts)
    @rule(which=which)
    def enqueue(self, which: int) -> None:
        self.pair.enqueue(self.pick(which))

    @precondition(lambda self: self.pair.parts)
    @rule(which=which)
    def fail(self, which: int) -> None:
        self.pair.fail(self.pick(which))

    @rule(stops=seldom)
    def begin_turn(self, stops: bool) -> None:
        self.pair.begin_turn(stops=stops)

    @precondition(lambda self: self.pair.turns)
    @rule(how=st.sampled_from(["end", "end", "end", "cancel", "fail"]))
    def finish_turn(self, how: str) -> None:
        getattr(self.pair, f"{how}_turn")()

    @precondition(lambda self: self.pair.parts)
    @rule(which=which)
    def cancel(self, which: int) -> None:
        self.pair.cancel(self.pick(which))

    @precondition(lambda self: self.pair.parts)
    @rule(which=which, at=positions, length=st.one_of(st.none(), st.integers(1, 30)))
    def mark(self, which: int, at: int | None, length: int | None) -> None:
        self.pair.mark(self.pick(which), at, length)

    @precondition(lambda self: any(not part.line.used for part in self.pair.parts))
    @rule(which=which)
    def forget(self, which: int) -> None:
        """A handle that is dropped before its first push leaves no trace."""
        candidates = [number for number, part in enumerate(self.pair.parts) if not part.line.used]
        if candidates:
            self.pair.forget(candidates[which % len(candidates)])

    # Commands

    @rule(by=owners)
    def pause(self, by: str) -> None:
        self.pair.pause(by)

    @rule(rewind=st.one_of(st.just(0), st.integers(0, 60)), by=owners)
    def resume(self, rewind: int, by: str) -> None:
        self.pair.resume(rewind, by)

    @rule(lock=seldom, force=st.booleans(), by=owners, at=places)
    def interrupt(self, lock: bool, force: bool, by: str, at: Literal["now", "word"]) -> None:
        self.pair.interrupt(lock=lock, force=force, by=by, at=at)

    @rule(really=seldom)
    def lock(self, really: bool) -> None:
        if really:
            self.pair.lock()

    @rule(really=st.booleans())
    def unlock(self, really: bool) -> None:
        if really or self.pair.controller.input_locked:
            self.pair.unlock()

    @rule(really=rarely)
    def close(self, really: bool) -> None:
        if really:
            self.pair.close()

    # The reader

    @rule(samples=read_sizes, times=st.integers(1, 4))
    def read(self, samples: int, times: int) -> None:
        for _ in range(times):
            self.has_read(self.pair.read(samples))

    def has_read(self, frame: NDArray[np.int16]) -> None:
        """See a frame that was right."""

    @rule(pushes=st.integers(1, 5), ended=st.booleans(), reads=st.integers(1, 4), words=maybe_words)
    def talk(self, pushes: int, ended: bool, reads: int, words: list[int]) -> None:
        """Speech that sounds: what most of the other commands are about."""
        if len(self.pair.parts) < 30:
            self.pair.make()
        for word in words:
            self.mark(-1, word, None)
        for _ in range(pushes):
            self.push(-1, 16, False, "bytes")
        if ended:
            self.end(45)
        self.read(16, reads)

    @rule(words=several_words, ended=st.booleans(), alone=st.booleans(), lock=rarely, samples=st.integers(1, 40))
    def end_with_a_word(self, words: list[int], ended: bool, alone: bool, lock: bool, samples: int) -> None:
        """Speech of several words, interrupted at one of them: few other sequences come by that."""
        if alone:
            self.pair.interrupt(force=True)
            self.pair.resume(by="another")
            self.pair.resume()
            self.pair.unlock()
        self.talk(4, ended, 1, words)
        self.read(samples, 1)
        self.pair.interrupt(at="word", lock=lock)

    def pick(self, which: int) -> Part:
        """One of the handles; mostly one that is not finished, and often the newest."""
        alive = [part for part in self.pair.parts if part.line.outcome is None]
        choice = self.pair.parts if which > 45 or not alive else alive
        return choice[-1] if which < 0 else choice[which % len(choice)]


class Cuts(Playouts):
    """No fades: every cut is exact to the sample."""

    settings = settings_of_cuts


class Limits(Playouts):
    """No fades, but a prebuffer, a maximum, and producers that are given up."""

    settings = settings_of_limits


class Faded(Playouts):
    """Fades: exact wherever nothing fades, and silent where nothing may sound."""

    settings = settings_of_fades


class Confirmed(Playouts):
    """A reader that confirms, or does now and then: what was heard follows what it says."""

    settings = st.one_of(settings_of_cuts, settings_of_limits, settings_of_fades)

    def equip(self) -> None:
        self.pair.attach()

    @rule(samples=st.one_of(st.sampled_from([1, 16, 16, 48, 1_000]), st.integers(0, 60)))
    def confirm(self, samples: int) -> None:
        self.pair.confirm(samples)

    @rule(extra=st.sampled_from([0, 0, 1, 8, 16, 40, 1_000]))
    def play_on_unconfirmed(self, extra: int) -> None:
        self.pair.model.extra = extra

    @rule(really=seldom)
    def go(self, really: bool) -> None:
        if really:
            self.pair.detach()

    @rule()
    def come_back(self) -> None:
        self.pair.attach()

    @rule(lengths=st.lists(st.sampled_from([0, 0, 9, 16, 30]), min_size=2, max_size=5), reads=st.integers(1, 6))
    def answer(self, lengths: list[int], reads: int) -> None:
        """Many short utterances that are read ahead, some of them empty, and mostly of one turn."""
        self.pair.begin_turn(stops=len(lengths) == 3)
        for length in lengths:
            if len(self.pair.parts) < 30:
                part = self.pair.make(in_turn=True, interruptible=length != 9)
                self.pair.push(part, length)
                if length == 30:
                    self.pair.mark(part, 11, None)
                    self.pair.fail(part)
                else:
                    self.pair.end(part)
        self.read(16, reads)


class Staged(Cuts):
    """With background that is silent and sinks that only listen, nothing is any different."""

    def equip(self) -> None:
        self.pushed: list[Chunk] = []
        self.played: list[Chunk] = []
        self.pair.controller.background.add(np.zeros(7, np.int16), gain_db=0)
        self.pair.controller.sinks.add(CallbackSink(self.pushed.append), when="pushed")
        self.pair.controller.sinks.add(CallbackSink(self.played.append), when="played")

    def has_read(self, frame: NDArray[np.int16]) -> None:
        if not len(frame) or self.pair.controller.state == "closed":
            return
        chunk = self.played.pop()
        assert not self.played
        assert chunk.position == self.pair.controller.position - len(frame)
        assert np.array_equal(chunk.audio, frame)

    @invariant()
    def what_was_accepted_was_heard_ahead(self) -> None:
        accepted: Counter[Utterance | None] = Counter()
        for chunk in self.pushed if self.pair.parts else ():
            assert chunk.offset == accepted[chunk.utterance]
            accepted[chunk.utterance] += len(chunk.audio)
        for part in self.pair.parts:
            assert accepted[part.utterance] == part.utterance.accepted


@pytest.mark.fuzz
@pytest.mark.parametrize("machine", [Cuts, Limits, Faded, Staged, Confirmed])
def test_any_order_of_commands(machine: type[Playouts]) -> None:
    run_state_machine_as_test(machine, settings=thorough(250, steps=50))


# What the machines can't reach, or have found: each as short as it can be.


def _samples(first: int, count: int) -> bytes:
    return np.arange(first, first + count, dtype=np.int16).tobytes()


def test_an_utterance_that_begins_with_a_read_emits_its_first_audio_byte() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0), history_seconds=0)
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
def test_an_utterance_that_times_out_within_one_read_leaves_the_next_one_to_play() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0), input_timeout_seconds=10 / RATE)
    controller.read(10)
    silent, following = controller.utterance(), controller.utterance()
    silent.push(_samples(1, 10))
    following.push(_samples(101, 40))
    assert controller.read(10)[:, 0].tolist() == list(range(1, 11))
    assert not controller.read(10).any()
    assert silent.ended
    assert controller.read(10)[:, 0].tolist() == list(range(101, 111))


def test_an_utterance_times_out_whatever_becomes_of_others() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0), input_timeout_seconds=20 / RATE)
    controller.read(10)
    silent, other = controller.utterance(), controller.utterance()
    silent.push(_samples(1, 5))
    controller.read(10)
    other.cancel()
    controller.read(10)
    assert silent.ended


def test_an_utterance_that_has_played_meanwhile_does_not_time_out() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0), input_timeout_seconds=90 / RATE)
    controller.read(40)
    utterance = controller.utterance()
    utterance.push(_samples(1, 16))
    controller.read(40)
    controller.read(40)
    for _ in range(3):
        assert controller.read(5).all()
    controller.read(16)
    assert not utterance.ended


def test_a_producer_that_drips_is_not_waited_for_without_end() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0), input_timeout_seconds=0.5)
    utterance = controller.utterance()
    reads = 0
    while not utterance.ended:
        utterance.push(_samples(1 + reads, 2))
        controller.read(160)
        reads += 1
    assert reads == 25  # 0.5 s of silence, and what has come is less than one read


def test_a_piece_makes_up_for_as_much_silence_as_it_is_long() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0), input_timeout_seconds=0.5)
    utterance = controller.utterance()
    utterance.enqueue()
    for _ in range(20):
        assert not controller.read(160).any()
    utterance.push(_samples(1, 10 * 160))
    for _ in range(10):
        assert controller.read(160).any()
    for _ in range(25 - 20 + 10):
        assert not utterance.ended
        controller.read(160)
    assert utterance.ended


def test_a_refused_push_takes_its_partial_sample_with_it() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0))
    utterance = controller.utterance()
    stream = _samples(1, 4)
    controller.lock()
    utterance.push(stream[:1])
    utterance.push(stream[1:4])
    controller.unlock()
    utterance.push(stream[4:])
    utterance.end()
    assert controller.read(3)[:, 0].tolist() == [3, 4, 0]


def test_words_that_begin_together_at_the_start_are_heard_with_the_first_sample() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0))
    controller.read(5)
    utterance = controller.utterance()
    utterance.push(_samples(1, 20))
    for word in ("one", "two"):
        utterance.mark(word, at=0)
    controller.read(5)
    controller.interrupt()
    assert utterance.report
    assert utterance.report.heard == "one"


def test_an_underrun_is_emitted_where_the_silence_begins() -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=Fades(0, 0, 0, 0))
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
