"""The tracks of older voice agents: their names and methods, over a controller."""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from pyee.asyncio import AsyncIOEventEmitter

from playback import State
from playback.integrations import legacy
from playback.integrations.legacy import (
    CustomAudioStreamTrack,
    LegacyTrack,
    MixingCustomAudioStreamTrack,
    TeeCustomAudioStreamTrack,
    TeeMixingCustomAudioStreamTrack,
    legacy_tracks,
)
from playback.integrations.legacy.base import EventBus
from tests.signals import FRAME, RATE, ramp, tone
from tests.transports.peers import connected

pytestmark = pytest.mark.portable

FOUR: list[type[LegacyTrack]] = [
    CustomAudioStreamTrack,
    MixingCustomAudioStreamTrack,
    TeeCustomAudioStreamTrack,
    TeeMixingCustomAudioStreamTrack,
]
four = pytest.mark.parametrize("track_class", FOUR, ids=lambda track_class: track_class.__name__)
STARVING_FRAMES = 12
"""Reads after which an utterance without audio has timed out."""


class Turns:
    """Counts what it is called for."""

    def __init__(self, track: LegacyTrack) -> None:
        self.count = 0
        track.on_last_audio_byte(self.over)

    def over(self) -> None:
        self.count += 1


def read(track: LegacyTrack, samples: int = FRAME) -> list[int]:
    """What the track hands out in so many samples, frame by frame, without waiting until they are due."""
    assert samples % FRAME == 0
    return [int(sample) for _ in range(samples // FRAME) for sample in track.controller.read(FRAME)[:, 0]]


def heard(track: LegacyTrack, frames: int) -> list[int]:
    """All that is not silent in the next frames."""
    return [sample for sample in read(track, frames * FRAME) if sample]


# As a track


@four
async def test_frames_are_those_of_the_originals(track_class: type[LegacyTrack]) -> None:
    track = track_class(asyncio.get_running_loop())
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    frames = [await track.recv() for _ in range(3)]
    assert [frame.pts for frame in frames] == [0, FRAME, 2 * FRAME]
    for frame in frames:
        assert (frame.sample_rate, frame.samples, frame.layout.name, frame.format.name) == (RATE, FRAME, "mono", "s16")
        assert frame.time_base == Fraction(1, RATE)
    audio = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    assert audio.tolist() == [*ramp(2 * FRAME).tolist(), *[0] * FRAME]
    await track.cleanup()


@four
async def test_cleanup_ends_the_track_and_may_come_twice(track_class: type[LegacyTrack]) -> None:
    track = track_class(asyncio.get_running_loop())
    turns = Turns(track)
    await track.add_new_bytes(bytes(2 * FRAME))
    await track.cleanup()
    await track.cleanup()
    assert track.readyState == "ended"
    assert track.controller.state is State.CLOSED
    await track.add_new_bytes(bytes(2 * FRAME))
    track.mark_synthesis_complete()
    assert turns.count == 0
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_speech_arrives_at_a_peer() -> None:
    track = TeeMixingCustomAudioStreamTrack(asyncio.get_running_loop())
    done = asyncio.Event()

    async def over() -> None:
        done.set()

    async with connected(track) as peers:
        track.on_last_audio_byte(over)
        await track.add_new_bytes(tone(RATE, RATE).tobytes())
        track.mark_synthesis_complete()
        async with asyncio.timeout(20):
            await done.wait()
        await peers.receive(0.3)
        audio = peers.audio()
        assert np.sqrt(np.mean(audio**2)) > 1000
        await track.cleanup()


def test_attributes_that_others_read() -> None:
    track = CustomAudioStreamTrack()
    assert (track.kind, track.sample_rate, track.channels, track.sample_width) == ("audio", 24_000, 1, 2)
    assert (track.samples, track.chunk_size, track.time_base_fraction) == (480, 960, Fraction(1, 24_000))
    assert track.can_pause
    assert not track.is_speaking
    assert track._accepting_audio
    assert not track._manual_audio_control
    assert not track._is_paused


async def test_what_is_buffered_can_be_seen() -> None:
    track = CustomAudioStreamTrack()
    await track.add_new_bytes(ramp(2 * FRAME + 5).tobytes())
    assert (len(track.frame_buffer), len(track.audio_data_buffer)) == (2, 10)
    assert track.is_speaking
    assert track._is_speaking
    track.mark_synthesis_complete()
    read(track, 3 * FRAME)
    assert (len(track.frame_buffer), len(track.audio_data_buffer)) == (0, 0)
    assert not track.is_speaking


def test_the_classes_are_related_as_the_originals_are() -> None:
    assert all(issubclass(track_class, CustomAudioStreamTrack) for track_class in FOUR)
    assert issubclass(TeeMixingCustomAudioStreamTrack, MixingCustomAudioStreamTrack)


async def test_a_subclass_in_the_old_manner() -> None:
    class Ignoring(TeeCustomAudioStreamTrack):
        def __init__(self, loop: AbstractEventLoop, sinks: Any = None, pipeline: Any = None) -> None:
            super().__init__(loop, sinks, pipeline)
            self.ignores = False

        def interrupt(self) -> None:
            self.ignores = True
            super().interrupt()

        async def add_new_bytes(self, audio_data: bytes) -> None:
            if not self.ignores:
                await super().add_new_bytes(audio_data)

        def enable_audio_input(self, manual_control: bool = False) -> None:
            self.ignores = False
            super().enable_audio_input(manual_control)

    track = Ignoring(asyncio.get_running_loop(), None, "pipeline")
    assert track.pipeline == "pipeline"
    track.interrupt()
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert heard(track, 2) == []
    track.enable_audio_input()
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert heard(track, 2) == ramp(FRAME).tolist()


# The last audio byte


@four
@pytest.mark.parametrize("samples", [1, 479, 480, 481, 4_800])
async def test_a_marked_utterance_is_reported_once_and_on_time(track_class: type[LegacyTrack], samples: int) -> None:
    track = track_class()
    turns = Turns(track)
    await track.add_new_bytes(ramp(samples).tobytes())
    track.mark_synthesis_complete()
    for _ in range((samples - 1) // FRAME):
        read(track)
        assert turns.count == 0
    read(track)
    assert turns.count == 1
    heard(track, 2 * STARVING_FRAMES)
    assert turns.count == 1


async def test_an_utterance_that_timed_out_is_reported_once() -> None:
    track = CustomAudioStreamTrack()
    turns = Turns(track)
    for _ in range(3):  # the gaps, less what is played between them, are shorter than timing out takes
        await track.add_new_bytes(ramp(FRAME).tobytes())
        read(track, 3 * FRAME)
    assert turns.count == 0
    read(track, STARVING_FRAMES * FRAME)
    assert turns.count == 1
    read(track, 10 * RATE)
    assert turns.count == 1


async def test_a_mark_after_the_input_timeout_reports_nothing_twice() -> None:
    track = CustomAudioStreamTrack()
    turns = Turns(track)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    for _ in range(2 * STARVING_FRAMES):
        read(track)
    assert turns.count == 1
    track.mark_synthesis_complete()
    assert turns.count == 1
    track.mark_synthesis_complete()  # of the next turn, in which nothing was pushed
    assert turns.count == 2


@pytest.mark.parametrize("begin", ["enable_audio_input", "mark_synthesis_start", "interrupt"])
async def test_the_mark_of_a_new_turn_is_not_taken_for_that_of_one_that_timed_out(begin: str) -> None:
    track = CustomAudioStreamTrack()
    turns = Turns(track)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    for _ in range(2 * STARVING_FRAMES):
        read(track)
    getattr(track, begin)()
    track.mark_synthesis_complete()
    assert turns.count == 2


async def test_no_input_timeout_if_it_is_switched_off() -> None:
    track = CustomAudioStreamTrack(input_timeout_seconds=None)
    turns = Turns(track)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    read(track, 60 * RATE)
    assert turns.count == 0
    track.mark_synthesis_complete()
    assert turns.count == 1


def test_a_mark_with_nothing_pushed() -> None:
    track = CustomAudioStreamTrack()
    turns = Turns(track)
    track.mark_synthesis_complete()
    assert turns.count == 1
    track.mark_synthesis_complete()
    assert turns.count == 2


@pytest.mark.parametrize("manual_control", [False, True])
async def test_a_mark_right_after_an_interrupt(manual_control: bool) -> None:
    track = CustomAudioStreamTrack()
    turns = Turns(track)
    track.enable_audio_input(manual_control=manual_control)
    await track.add_new_bytes(ramp(10 * FRAME).tobytes())
    read(track)
    track.interrupt()
    assert turns.count == 0
    track.mark_synthesis_complete()
    assert turns.count == 1
    heard(track, 50)
    assert turns.count == 1


async def test_a_second_mark_while_it_plays_is_the_same_one() -> None:
    track = CustomAudioStreamTrack()
    turns = Turns(track)
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    track.mark_synthesis_complete()
    read(track)
    track.mark_synthesis_complete()
    read(track, 10 * FRAME)
    assert turns.count == 1


async def test_each_turn_has_its_own_callback() -> None:
    track = CustomAudioStreamTrack()
    first, called = Turns(track), []
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    track.mark_synthesis_complete()
    track.on_last_audio_byte(lambda: called.append(first.count))
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    track.mark_synthesis_complete()
    read(track, 2 * FRAME)
    assert (first.count, called) == (1, [])
    read(track, 2 * FRAME)
    assert (first.count, called) == (1, [1])


async def test_a_callback_that_comes_after_the_mark() -> None:
    track = CustomAudioStreamTrack()
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    track.mark_synthesis_complete()
    turns = Turns(track)
    read(track, 2 * FRAME)
    assert turns.count == 1


async def test_a_coroutine_function_as_a_callback() -> None:
    track = CustomAudioStreamTrack()
    done = asyncio.Event()

    async def over() -> None:
        await asyncio.sleep(0)
        done.set()

    track.on_last_audio_byte(over)
    track.mark_synthesis_complete()
    async with asyncio.timeout(1):
        await done.wait()


async def test_a_callback_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    track = CustomAudioStreamTrack()
    track.on_last_audio_byte(lambda: 1 / 0)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.mark_synthesis_complete()
    assert (await track.recv()).to_ndarray()[0].tolist() == ramp(FRAME).tolist()
    assert (await track.recv()).samples == FRAME
    assert "ZeroDivisionError" in caplog.text
    await track.cleanup()


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_a_handler_of_the_bus_that_raises_is_logged_and_stops_nobody(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    bus, called = EventBus(), 0

    def fail(_: object) -> None:
        raise ZeroDivisionError("in a handler")

    async def fail_later(data: object) -> None:
        fail(data)

    def count(_: object) -> None:
        nonlocal called
        called += 1

    bus.on("ON_SPEECH_OUT", fail if kind == "function" else fail_later)
    bus.on("ON_SPEECH_OUT", count)
    assert bus.emit("ON_SPEECH_OUT", {})
    await asyncio.sleep(0.01)
    assert "ZeroDivisionError: in a handler" in caplog.text
    caplog.clear()
    errors: list[Exception] = []
    bus.on("error", errors.append)  # who wants to know, is asked instead
    assert bus.emit("ON_SPEECH_OUT", {})
    await asyncio.sleep(0.01)
    assert (len(errors), caplog.text, called) == (1, "", 2)
    assert not bus.emit("ON_NOTHING")


def test_the_bus_goes_by_what_is_public_of_pyee() -> None:
    own = {name for name in vars(EventBus) if name.startswith("_") and not name.startswith("__")}
    assert not own & set(dir(AsyncIOEventEmitter))


async def test_a_callback_may_begin_the_next_turn() -> None:
    track = CustomAudioStreamTrack()

    def over() -> None:
        track.interrupt()
        track.mark_synthesis_complete()

    turns = []
    track.on_last_audio_byte(lambda: turns.append(1) or (over() if len(turns) < 3 else None))  # type: ignore[func-returns-value]
    track.mark_synthesis_complete()
    read(track)
    assert len(turns) == 3


# Commands


async def test_interrupts_may_be_repeated_and_come_in_every_turn() -> None:
    track = CustomAudioStreamTrack()
    turns = Turns(track)
    for _ in range(5):
        await track.add_new_bytes(ramp(100 * FRAME).tobytes())
        assert any(read(track))
        for _ in range(3):
            track.interrupt()
        read(track, 5 * FRAME)  # what is left fades out
        assert heard(track, 50) == []
    assert turns.count == 0
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.mark_synthesis_complete()
    assert read(track) == ramp(FRAME).tolist()
    assert turns.count == 1


async def test_an_interrupt_leaves_a_pause() -> None:
    track = CustomAudioStreamTrack()
    await track.add_new_bytes(ramp(10 * FRAME).tobytes())
    await track.pause()
    track.interrupt()
    assert not track._is_paused
    assert heard(track, 20) == []
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert read(track) == ramp(FRAME).tolist()


@four
async def test_a_pause_loses_nothing(track_class: type[LegacyTrack]) -> None:
    track = track_class()
    turns = Turns(track)
    audio = np.full(20 * FRAME, 1000, np.int16)
    await track.add_new_bytes(audio[: 10 * FRAME].tobytes())
    read(track, 5 * FRAME)
    await track.pause()
    await track.pause()
    assert track._is_paused
    await track.add_new_bytes(audio[10 * FRAME :].tobytes())
    track.mark_synthesis_complete()
    read(track, FRAME)  # the ramp
    assert heard(track, 100) == []
    assert turns.count == 0
    assert track.controller.buffered == 15 * FRAME
    await track.resume()
    await track.resume()
    read(track, 14 * FRAME)
    assert turns.count == 0
    assert read(track)[-1] == 1000
    assert turns.count == 1


async def test_a_pause_before_anything_sounds_is_exact() -> None:
    track = CustomAudioStreamTrack()
    await track.pause()
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    assert heard(track, 20) == []
    await track.resume()
    assert heard(track, 2)[-FRAME:] == ramp(FRAME, FRAME + 1).tolist()


# Manual control


@four
async def test_manual_control_refuses_speech_from_an_interrupt_on(track_class: type[LegacyTrack]) -> None:
    track = track_class()
    turns = Turns(track)
    track.enable_audio_input(manual_control=True)
    await track.add_new_bytes(ramp(10 * FRAME).tobytes())
    track.interrupt()
    assert not track._accepting_audio
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert heard(track, 20) == []
    assert track.controller.stats.refused_samples == FRAME
    assert turns.count == 0

    track.enable_audio_input(manual_control=True)
    assert track._accepting_audio
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.mark_synthesis_complete()
    assert read(track) == ramp(FRAME).tolist()
    assert turns.count == 1


async def test_without_manual_control_an_interrupt_goes_on_taking_speech() -> None:
    track = CustomAudioStreamTrack()
    track.enable_audio_input(manual_control=True)
    track.interrupt()
    track._manual_audio_control = False  # as a new session does
    track.interrupt()
    assert track._accepting_audio
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert heard(track, 3) == ramp(FRAME).tolist()


async def test_what_was_taken_before_the_input_was_refused_plays_to_its_end() -> None:
    track = CustomAudioStreamTrack()
    turns = Turns(track)
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    track._accepting_audio = False
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert heard(track, 10) == ramp(2 * FRAME).tolist()
    assert turns.count == 1
    track.mark_synthesis_complete()
    assert turns.count == 1
    track._accepting_audio = True
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert heard(track, 10) == ramp(FRAME).tolist()


# Bytes


async def test_odd_bytes_shift_nothing() -> None:
    track = CustomAudioStreamTrack()
    audio = ramp(3 * FRAME).tobytes()
    for begin in range(0, len(audio), 7):
        await track.add_new_bytes(audio[begin : begin + 7])
    assert heard(track, 5) == ramp(3 * FRAME).tolist()


async def test_odd_bytes_keep_their_place_while_the_input_is_refused_and_after_a_timeout() -> None:
    track = CustomAudioStreamTrack(input_timeout_seconds=0.02)
    audio = ramp(60).tobytes()
    await track.add_new_bytes(audio[:21])
    track._accepting_audio = False
    await track.add_new_bytes(audio[21:38])
    assert heard(track, 2) == [*range(1, 11)]
    track._accepting_audio = True
    await track.add_new_bytes(audio[38:61])
    assert heard(track, 4) == [*range(20, 31)]
    await track.add_new_bytes(audio[61:])
    assert heard(track, 4) == [*range(31, 61)]


async def test_odd_bytes_that_are_late_have_no_part_in_what_follows() -> None:
    track = CustomAudioStreamTrack()
    track.enable_audio_input(manual_control=True)
    await track.add_new_bytes(ramp(FRAME).tobytes() + b"\x01")
    track.interrupt()
    await track.add_new_bytes(b"\x01")
    await track.add_new_bytes(b"\x01\x01")
    await track.add_new_bytes(b"\x01")
    track.enable_audio_input(manual_control=True)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert heard(track, 5) == ramp(FRAME).tolist()


async def test_a_byte_left_over_does_not_reach_the_next_utterance() -> None:
    track = CustomAudioStreamTrack()
    await track.add_new_bytes(ramp(FRAME).tobytes() + b"\x01")
    track.mark_synthesis_complete()
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert heard(track, 5) == 2 * ramp(FRAME).tolist()


async def test_a_tail_shorter_than_a_frame_is_heard() -> None:
    track = CustomAudioStreamTrack()
    await track.add_new_bytes(ramp(FRAME + 7).tobytes())
    assert len(heard(track, 20)) == FRAME + 7  # the rest once it has timed out


async def test_speech_at_another_rate_is_converted() -> None:
    for reframe in (False, True):
        track = CustomAudioStreamTrack()
        if reframe:
            track.sample_rate = 16_000  # as connectors do with the attributes
        else:
            track.set_input_format(16_000)
        await track.add_new_bytes(tone(16_000, 16_000).tobytes())
        track.mark_synthesis_complete()
        assert track.controller.buffered == RATE
        audio = np.array(read(track, RATE))
        crossings = np.count_nonzero(np.diff(np.signbit(audio)))
        assert crossings == pytest.approx(2000, abs=4)  # 1 kHz still


async def test_another_format_begins_another_utterance() -> None:
    track = CustomAudioStreamTrack()
    turns = Turns(track)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.set_input_format(48_000)
    await track.add_new_bytes(bytes(4 * FRAME))
    assert track.controller.buffered == 2 * FRAME
    track.mark_synthesis_complete()
    read(track, 2 * FRAME)
    assert turns.count == 2


async def test_a_snapshot_counts_since_the_start_of_the_synthesis() -> None:
    track = CustomAudioStreamTrack()
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.mark_synthesis_complete()
    read(track)
    track.mark_synthesis_start()
    assert track.snapshot_playback() == (0, 0)
    await track.add_new_bytes(ramp(3 * FRAME).tobytes())
    read(track)
    assert track.snapshot_playback() == (FRAME, 3 * FRAME)
    track.interrupt()
    read(track)
    assert track.snapshot_playback() == (FRAME, 3 * FRAME)


# Background


@pytest.mark.parametrize("track_class", [MixingCustomAudioStreamTrack, TeeMixingCustomAudioStreamTrack])
async def test_the_background_sounds_beneath_the_speech(track_class: type[MixingCustomAudioStreamTrack]) -> None:
    track = track_class()
    await track.add_background_bytes(np.full(20 * FRAME, 1000, np.int16).tobytes())
    read(track, 5 * FRAME)  # it fades in
    assert read(track) == [1000] * FRAME
    await track.add_new_bytes(np.full(3 * FRAME, 5000, np.int16).tobytes())
    assert read(track, 3 * FRAME) == [6000] * 3 * FRAME
    track.mark_synthesis_complete()
    await track.add_new_bytes(np.full(10 * FRAME, 5000, np.int16).tobytes())
    await track.pause()
    read(track)
    assert read(track) == [1000] * FRAME
    track.interrupt()
    read(track, 4 * FRAME)
    assert read(track) == [1000] * FRAME
    assert not any(read(track, 20 * FRAME)[10 * FRAME :])


async def test_loud_sums_do_not_wrap_around() -> None:
    track = MixingCustomAudioStreamTrack()
    await track.add_background_bytes(np.full(20 * FRAME, 30_000, np.int16).tobytes())
    await track.add_new_bytes(np.full(20 * FRAME, 30_000, np.int16).tobytes())
    assert min(read(track, 20 * FRAME)) >= 30_000


async def test_background_alone_speaks_no_turn() -> None:
    track = MixingCustomAudioStreamTrack()
    turns = Turns(track)
    await track.add_background_bytes(np.full(5 * FRAME, 1000, np.int16).tobytes())
    read(track, 100 * FRAME)
    assert turns.count == 0
    assert not track.is_speaking


async def test_background_at_another_rate() -> None:
    track = MixingCustomAudioStreamTrack()
    await track.add_background_bytes(np.full(2 * FRAME, 1000, np.int16).tobytes())
    track.sample_rate = 48_000
    await track.add_background_bytes(np.full(4 * FRAME, 1000, np.int16).tobytes())
    assert 1000 in read(track, 4 * FRAME)


async def test_background_that_does_not_fit_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    track = MixingCustomAudioStreamTrack()
    with caplog.at_level(logging.WARNING, "playback"):
        await track.add_background_bytes(bytes(8 * RATE))
        assert not caplog.records
        await track.add_background_bytes(bytes(120 * RATE))
    assert "background was dropped" in caplog.text


# Sinks


class Avatar:
    def __init__(self) -> None:
        self.audio = b""

    async def handle_audio_input(self, audio_data: bytes) -> None:
        await asyncio.sleep(0)
        self.audio += audio_data


@pytest.mark.parametrize("track_class", [TeeCustomAudioStreamTrack, TeeMixingCustomAudioStreamTrack])
async def test_sinks_of_all_kinds_get_what_was_accepted_and_nothing_else(
    track_class: type[TeeCustomAudioStreamTrack],
) -> None:
    avatar, plain, awaited = Avatar(), bytearray(), bytearray()

    async def callback(audio: bytes) -> None:
        awaited.extend(audio)

    track = track_class(asyncio.get_running_loop(), sinks=[avatar])
    track.add_sink(plain.extend)
    track.add_sink(callback)
    track.add_sink(avatar)  # it is there already
    track.enable_audio_input(manual_control=True)

    first, refused, second = (ramp(1000, start).tobytes() for start in (1, 5001, 9001))
    await track.add_new_bytes(first)
    track.interrupt()
    await track.add_new_bytes(refused)
    track.enable_audio_input(manual_control=True)
    await track.add_new_bytes(second)
    for audio in (avatar.audio, plain, awaited):
        assert bytes(audio) == first + second


async def test_sinks_get_whole_samples() -> None:
    pieces: list[bytes] = []
    track = TeeCustomAudioStreamTrack(None, [pieces.append])
    for piece in (b"\1", b"\2\3", b"\4\5\6", b"\7"):
        await track.add_new_bytes(piece)
    assert pieces == [b"\1\2", b"\3\4\5\6"]


async def test_the_list_of_sinks_may_be_changed_by_anybody() -> None:
    pieces: list[bytes] = []
    sinks: list[Any] = []
    track = TeeCustomAudioStreamTrack(None, sinks)
    await track.add_new_bytes(b"\1\1")
    sinks.append(pieces.append)
    await track.add_new_bytes(b"\2\2")
    track.remove_sink(pieces.append)
    track.remove_sink(pieces.append)
    await track.add_new_bytes(b"\3\3")
    assert sinks == []
    track.add_sink(pieces.append)
    await track.add_new_bytes(b"\4\4")
    assert pieces == [b"\2\2", b"\4\4"]


async def test_a_sink_that_fails_keeps_audio_from_nobody(caplog: pytest.LogCaptureFixture) -> None:
    pieces: list[bytes] = []
    track = TeeCustomAudioStreamTrack(None, [lambda _: 1 / 0, pieces.append])
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert pieces == [ramp(FRAME).tobytes()]
    assert read(track) == ramp(FRAME).tolist()
    assert "ZeroDivisionError" in caplog.text


async def test_slow_sinks_get_audio_in_order_and_nothing_that_was_interrupted() -> None:
    gate, taken = asyncio.Event(), []

    async def slow(audio: bytes) -> None:
        await gate.wait()
        taken.append(audio)

    track = TeeCustomAudioStreamTrack(None, [slow])
    pushes = [asyncio.create_task(track.add_new_bytes(bytes([n, 0]))) for n in (1, 2, 3)]
    await asyncio.sleep(0)
    track.interrupt()
    pushes += [asyncio.create_task(track.add_new_bytes(bytes([n, 0]))) for n in (4, 5)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*pushes)
    assert taken == [b"\1\0", b"\4\0", b"\5\0"]  # it had begun with the first


@pytest.mark.parametrize("replaces_output", [False, True])
async def test_sinks_may_replace_the_output(replaces_output: bool) -> None:
    avatar = Avatar()
    track = TeeCustomAudioStreamTrack(None, [avatar], replaces_output=replaces_output)
    turns = Turns(track)
    audio = ramp(FRAME).tobytes()
    await track.add_new_bytes(audio)
    track.mark_synthesis_complete()
    frame = await track.recv()
    assert any(frame.to_ndarray()[0]) is not replaces_output
    assert (avatar.audio, turns.count) == (audio, 1)

    track.remove_sink(avatar)
    await track.add_new_bytes(audio)
    frame = await track.recv()
    assert frame.to_ndarray()[0].tolist() == ramp(FRAME).tolist()
    await track.cleanup()


# The event bus


@four
async def test_speech_out_receives_what_was_accepted(track_class: type[LegacyTrack]) -> None:
    emitted: list[dict[str, bytes]] = []
    legacy.global_event_emitter.on("ON_SPEECH_OUT", emitted.append)
    try:
        track = track_class()
        track.enable_audio_input(manual_control=True)
        await track.add_new_bytes(b"\1\2\3")
        await track.add_new_bytes(b"")
        track.interrupt()
        await track.add_new_bytes(b"\4\5")
        track.enable_audio_input()
        await track.add_new_bytes(b"\6\7")
        assert emitted == [{"audio_data": b"\1\2\3"}, {"audio_data": b"\6\7"}]
    finally:
        legacy.global_event_emitter.off("ON_SPEECH_OUT", emitted.append)
    legacy.global_event_emitter.off("ON_SPEECH_OUT", emitted.append)
    await track.add_new_bytes(b"\1\2")
    assert len(emitted) == 2


async def test_a_handler_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def fail(data: dict[str, bytes]) -> None:
        raise ZeroDivisionError

    legacy.global_event_emitter.on("ON_SPEECH_OUT", fail)
    track = CustomAudioStreamTrack()
    await track.add_new_bytes(ramp(FRAME).tobytes())
    legacy.global_event_emitter.off("ON_SPEECH_OUT", fail)
    assert read(track) == ramp(FRAME).tolist()
    assert "ZeroDivisionError" in caplog.text


async def test_another_bus_can_be_used() -> None:
    class Bus:
        def __init__(self) -> None:
            self.emitted: list[tuple[str, Any]] = []

        def emit(self, event: str, data: Any) -> None:
            self.emitted.append((event, data))

    class Track(CustomAudioStreamTrack):
        event_emitter = Bus()

    await Track().add_new_bytes(b"\1\2")
    assert Track.event_emitter.emitted == [("ON_SPEECH_OUT", {"audio_data": b"\1\2"})]


# Another stack


class ForkError(Exception):
    pass


class ForkTrack:
    """The least that a track class of another stack has."""

    kind = "unknown"

    def __init__(self) -> None:
        self.readyState = "live"

    def stop(self) -> None:
        self.readyState = "ended"


@pytest.mark.parametrize("name", [track_class.__name__ for track_class in FOUR])
async def test_another_base_class(name: str) -> None:
    tracks = legacy_tracks(ForkTrack, ForkError)
    track: Any = getattr(tracks, name)(asyncio.get_running_loop())
    assert isinstance(track, ForkTrack)
    assert isinstance(track, tracks.CustomAudioStreamTrack)
    assert type(track).__name__ == name
    assert track.kind == "audio"
    turns = Turns(track)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.mark_synthesis_complete()
    frame = await track.recv()
    assert isinstance(frame, AudioFrame)
    assert frame.to_ndarray()[0].tolist() == ramp(FRAME).tolist()
    assert turns.count == 1
    await track.cleanup()
    assert track.readyState == "ended"
    with pytest.raises(ForkError):
        await track.recv()
