"""The framework's own interface: every member that it touches, in the orders in which it may."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import videosdk
import videosdk.agents
from videosdk.agents.room import output_stream
from videosdk_fakes import FRAME, RATE, ramp, settle
from vsaiortc.mediastreams import MediaStreamError, MediaStreamTrack

from playback.integrations import videosdk as ours
from playback.integrations.videosdk import (
    CustomAudioStreamTrack,
    MixingCustomAudioStreamTrack,
    TeeCustomAudioStreamTrack,
    TeeMixingCustomAudioStreamTrack,
)

FOUR = [
    CustomAudioStreamTrack,
    MixingCustomAudioStreamTrack,
    TeeCustomAudioStreamTrack,
    TeeMixingCustomAudioStreamTrack,
]
four = pytest.mark.parametrize("track_class", FOUR, ids=lambda track_class: track_class.__name__)

NOT_OURS = {
    "set_pipeline_hooks",  # asked for with hasattr; none of the framework's tracks has it
    "put_frame",  # an avatar server's track
    "_audio_buffer",  # the same
}
INTERNALS = {"buildAudioFrames", "next_timestamp", "mix_audio"}
"""How the framework's own tracks are made; nobody else calls these."""
TRACK = r"\b(?:mic_track|(?:\w*_)?audio_track)"
TOUCHED = re.compile(rf"""{TRACK}\.(\w+)|(?:has|get)attr\(\s*[\w.]*{TRACK},\s*["'](\w+)["']""")


class Turns:
    """A callback that says which turn was heard to its end."""

    def __init__(self) -> None:
        self.over: list[str] = []

    def of(self, name: str) -> Any:
        async def over() -> None:
            self.over.append(name)

        return over


def begin(track: Any, callback: Any) -> None:
    """As the framework's speech generation begins a turn."""
    track.mark_synthesis_start()
    track.enable_audio_input(manual_control=True)
    track.on_last_audio_byte(callback)


async def play(track: Any, frames: int) -> np.ndarray:
    audio = track.controller.read(frames * FRAME)[:, 0]
    await settle()
    return audio


def touched(source: Path) -> Iterator[str]:
    """The members of tracks that a file touches or asks for."""
    for own, asked in TOUCHED.findall(source.read_text()):
        yield own or asked


def test_every_member_that_the_framework_touches_is_there() -> None:
    sources = [path for path in Path(videosdk.agents.__file__).parent.rglob("*.py") if path.name != "output_stream.py"]
    members = {member for source in sources for member in touched(source)} - NOT_OURS
    assert {
        "add_new_bytes",
        "snapshot_playback",
        "interrupt_fade_duration",
        "_accepting_audio",
    } <= members  # it finds any
    track = TeeMixingCustomAudioStreamTrack()
    assert {member for member in members if not hasattr(track, member)} == set()


@four
def test_it_has_what_the_frameworks_own_track_has(track_class: type[Any]) -> None:
    original = getattr(output_stream, track_class.__name__)
    for name, member in inspect.getmembers(original):
        if name.startswith("_") or name in INTERNALS:
            continue
        assert hasattr(track_class, name), name
        if inspect.isfunction(member):
            assert inspect.iscoroutinefunction(member) == inspect.iscoroutinefunction(getattr(track_class, name)), name
            theirs, own = (inspect.signature(method).parameters for method in (member, getattr(track_class, name)))
            assert [*theirs] == [*own][: len(theirs)], name
    parameters = [*inspect.signature(original).parameters]
    assert [*inspect.signature(track_class).parameters][: len(parameters)] == parameters
    assert issubclass(track_class, videosdk.CustomAudioTrack)
    assert issubclass(track_class, MediaStreamTrack)


async def test_public_attributes_are_those_of_the_framework() -> None:
    loop = asyncio.get_running_loop()
    for track_class in FOUR:
        original = getattr(output_stream, track_class.__name__)(loop)
        track = track_class(loop)
        for name, value in vars(original).items():
            if name.startswith("_") or name in ("frame_time", "background_audio_buffer"):
                continue
            assert hasattr(track, name), name
            if name != "interrupt_fade_duration" and not isinstance(value, (list, bytearray)):
                assert getattr(track, name) == value, name


def test_background_bytes_are_the_mixing_tracks_flag() -> None:
    assert [hasattr(track_class, "add_background_bytes") for track_class in FOUR] == [False, True, False, True]


def test_sinks_are_the_tee_tracks() -> None:
    assert [hasattr(track_class(), "sinks") for track_class in FOUR] == [False, False, True, True]
    assert issubclass(TeeMixingCustomAudioStreamTrack, MixingCustomAudioStreamTrack)


@four
async def test_frames(track_class: type[Any]) -> None:
    track = track_class(asyncio.get_running_loop())
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    frames = [await track.recv() for _ in range(3)]
    times = [frame.pts for frame in frames]
    assert times[0] == 0
    assert times == sorted({*times})
    assert not any(time % FRAME for time in times)
    for frame in frames:
        assert (frame.sample_rate, frame.samples, frame.layout.name, frame.format.name) == (RATE, FRAME, "mono", "s16")
        assert frame.time_base == Fraction(1, RATE)
    await track.cleanup()


@four
async def test_a_stopped_track_raises_what_its_stack_waits_for(track_class: type[Any]) -> None:
    track = track_class(asyncio.get_running_loop())
    ended = []
    track.on("ended", lambda: ended.append(True))
    track.stop()
    track.stop()
    assert (track.readyState, ended) == ("ended", [True])
    with pytest.raises(MediaStreamError):
        await track.recv()
    track.interrupt()
    await track.add_new_bytes(bytes(960))
    track.mark_synthesis_complete()
    await track.pause()
    await track.resume()
    assert not track.is_speaking


@four
async def test_the_callback_comes_with_the_last_sample(track_class: type[Any]) -> None:
    track, turns = track_class(), Turns()
    begin(track, turns.of("one"))
    await track.add_new_bytes(ramp(FRAME + 1).tobytes())
    track.mark_synthesis_complete()
    await play(track, 1)
    assert (turns.over, track.is_speaking) == ([], True)
    await play(track, 1)
    assert (turns.over, track.is_speaking) == (["one"], False)
    await play(track, 50)
    assert turns.over == ["one"]


async def test_a_turn_calls_back_for_itself_alone() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    for name in ("one", "two"):
        begin(track, turns.of(name))
        await track.add_new_bytes(ramp(FRAME).tobytes())
        track.mark_synthesis_complete()
    await play(track, 1)
    assert turns.over == ["one"]
    await play(track, 1)
    assert turns.over == ["one", "two"]
    await track.add_new_bytes(ramp(FRAME).tobytes())  # nobody's turn, such as a sound that is played in between
    await play(track, 30)
    assert turns.over == ["one", "two"]


async def test_a_turn_that_nobody_ends_calls_nobody() -> None:
    """So it is when a synthesis fails, or when its bytes go through a hook."""
    track, turns = CustomAudioStreamTrack(), Turns()
    begin(track, turns.of("one"))
    await track.add_new_bytes(ramp(FRAME).tobytes())
    begin(track, turns.of("two"))
    await track.add_new_bytes(ramp(FRAME, 1000).tobytes())
    track.mark_synthesis_complete()
    assert track.snapshot_playback() == (0, FRAME)
    assert (await play(track, 2)).tolist() == [*ramp(FRAME), *ramp(FRAME, 1000)]
    assert turns.over == ["two"]


async def test_a_mark_with_nothing_pushed() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    begin(track, turns.of("one"))
    track.mark_synthesis_complete()
    await settle()
    assert turns.over == ["one"]
    await track.add_new_bytes(ramp(FRAME).tobytes())
    begin(track, turns.of("two"))
    track.mark_synthesis_complete()  # behind what still plays
    await settle()
    assert turns.over == ["one"]
    await play(track, 1)
    assert turns.over == ["one", "two"]


@pytest.mark.parametrize("manual", [True, False])
@pytest.mark.parametrize("paused", [True, False])
async def test_a_mark_right_after_an_interrupt(manual: bool, paused: bool) -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    begin(track, turns.of("one"))
    track.enable_audio_input(manual_control=manual)
    await track.add_new_bytes(ramp(10 * FRAME).tobytes())
    await play(track, 2)
    if paused:
        await track.pause()
    track.interrupt()
    track.mark_synthesis_complete()
    await settle()
    assert turns.over == ["one"]
    assert track.snapshot_playback() == (2 * FRAME, 10 * FRAME)


async def test_three_interrupts_are_one() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    interrupted = []
    track.controller.on("interrupted", interrupted.append)
    begin(track, turns.of("one"))
    await track.add_new_bytes(ramp(10 * FRAME).tobytes())
    track.mark_synthesis_complete()
    await play(track, 2)
    for _ in range(3):
        track.interrupt()
        assert track.snapshot_playback() == (2 * FRAME, 10 * FRAME)
        assert not track.is_speaking
        assert not track._accepting_audio
    assert len(interrupted) == 1
    assert np.count_nonzero(await play(track, 10)) <= 3 * FRAME
    assert turns.over == []


async def test_the_input_is_refused_until_it_is_enabled() -> None:
    track = CustomAudioStreamTrack()
    track.enable_audio_input(manual_control=True)
    track.interrupt()
    await track.add_new_bytes(ramp(FRAME).tobytes())
    assert not (await play(track, 2)).any()
    track._manual_audio_control = False  # as a job does for another pipeline
    track._accepting_audio = True
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.interrupt()
    assert track._accepting_audio
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.mark_synthesis_complete()
    assert (await play(track, 1)).any()
    track._accepting_audio = False
    await track.add_new_bytes(ramp(FRAME).tobytes())
    await play(track, 3)
    assert not (await play(track, 2)).any()


async def test_pause_and_resume_in_any_order() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    assert track.can_pause is True
    await track.resume()
    await track.pause()
    await track.pause()
    begin(track, turns.of("one"))
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    track.mark_synthesis_complete()
    assert not (await play(track, 20)).any()
    assert (track.is_speaking, turns.over) == (True, [])
    await track.resume()
    await track.resume()
    await play(track, 2)
    assert (track.is_speaking, turns.over) == (False, ["one"])


async def test_a_realtime_models_callback_stands_for_all_its_turns() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    track.enable_audio_input()
    track.on_last_audio_byte(turns.of("answer"))
    for count in (1, 2):
        await track.add_new_bytes(ramp(FRAME).tobytes())
        track.mark_synthesis_complete()
        assert track.snapshot_playback() == (0, FRAME)
        await play(track, 1)
        assert turns.over == ["answer"] * count
    await track.add_new_bytes(ramp(FRAME).tobytes())  # one that never marks: 0.2 s without a sample are the end
    await play(track, 11)
    assert turns.over == ["answer"] * 2
    await play(track, 1)
    assert turns.over == ["answer"] * 3
    track.mark_synthesis_complete()  # late: the same end
    await settle()
    assert turns.over == ["answer"] * 3
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.interrupt()
    track.mark_synthesis_complete()
    await settle()
    assert turns.over == ["answer"] * 4


async def test_a_realtime_model_after_a_synthesis_that_was_never_ended() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    track.mark_synthesis_start()
    track.enable_audio_input(manual_control=True)
    await track.add_new_bytes(ramp(FRAME).tobytes())
    track.enable_audio_input()
    track.on_last_audio_byte(turns.of("answer"))
    await play(track, 1)
    assert turns.over == []
    for count in (1, 2):
        await track.add_new_bytes(ramp(FRAME).tobytes())
        track.mark_synthesis_complete()
        await play(track, 1)
        assert turns.over == ["answer"] * count


async def test_a_callback_that_comes_after_its_audio() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    await track.add_new_bytes(ramp(2 * FRAME).tobytes())
    track.on_last_audio_byte(turns.of("one"))
    track.mark_synthesis_complete()
    await play(track, 1)
    assert turns.over == []
    await play(track, 1)
    assert turns.over == ["one"]


async def test_the_fade_may_be_assigned() -> None:
    track = CustomAudioStreamTrack()
    assert track.interrupt_fade_duration == 0.06
    track.interrupt_fade_duration = 0.4
    assert track.interrupt_fade_duration == 0.4


def test_the_module_offers_the_frameworks_names() -> None:
    assert {*ours.__all__} - {"install"} == {
        name
        for name, member in vars(output_stream).items()
        if name.endswith("AudioStreamTrack") and inspect.isclass(member)
    }
