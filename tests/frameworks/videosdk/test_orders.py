"""Any order in which the framework may call a track, its end in each state, and callbacks that do as they like."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from test_contract import FOUR, Turns, begin, four, play
from videosdk_fakes import FRAME, ramp, settle

from playback.integrations.videosdk import CustomAudioStreamTrack


class Turn:
    """What was done to a turn, and how often its end was reported."""

    def __init__(self) -> None:
        self.ends = 0
        self.interrupted = self.marked = False

    async def over(self) -> None:
        self.ends += 1


@pytest.mark.parametrize("seed", range(40))
async def test_any_order_of_calls(seed: int) -> None:
    dice = random.Random(seed)
    track = dice.choice(FOUR)(asyncio.get_running_loop())
    turns: list[Turn] = []
    for _ in range(80):
        match dice.choice(["begin", "push", "push", "push", "mark", "interrupt", "pause", "resume", "read", "read"]):
            case "begin":
                turns.append(Turn())
                begin(track, turns[-1].over)
            case "push":
                await track.add_new_bytes(ramp(5_000).tobytes()[: dice.choice([0, 1, 2, 333, 960, 5_000])])
            case "mark" if turns and not turns[-1].marked:
                turns[-1].marked = True
                track.mark_synthesis_complete()
            case "interrupt":
                for _ in range(dice.randint(1, 3)):
                    track.interrupt()
                for turn in turns:
                    turn.interrupted = True
                assert not track.is_speaking
            case "pause":
                await track.pause()
            case "resume":
                await track.resume()
            case "read":
                await play(track, dice.randint(1, 6))
        await settle()
        played, pushed = track.snapshot_playback()
        assert 0 <= played <= pushed
        assert track.is_speaking == (track.controller.buffered > 0)
        assert all(turn.ends <= turn.marked for turn in turns)
    await track.resume()
    for _ in range(400):
        await play(track, 1)
    assert all(turn.ends == 1 for turn in turns if turn.marked and not turn.interrupted)


async def test_a_turn_whose_last_pieces_end_in_one_read_is_reported_once() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    begin(track, turns.of("one"))
    for rate in (24_000, 48_000, 16_000):  # each change begins another utterance
        track.set_input_format(rate)
        await track.add_new_bytes(ramp(100).tobytes())
    track.mark_synthesis_complete()
    await play(track, 1)
    assert turns.over == ["one"]
    assert not track.is_speaking


@four
@pytest.mark.parametrize("state", ["idle", "speaking", "paused", "interrupted", "locked", "closed"])
async def test_shutdown_in_each_state_and_calls_after_it(track_class: type[Any], state: str) -> None:
    track, turns = track_class(asyncio.get_running_loop()), Turns()
    if state != "idle":
        begin(track, turns.of("one"))
        await track.add_new_bytes(ramp(10 * FRAME).tobytes())
        await play(track, 2)
    match state:
        case "paused":
            await track.pause()
        case "interrupted":
            track.interrupt()
        case "locked":
            track._accepting_audio = False
        case "closed":
            track.stop()
    for _ in range(2):
        await track.cleanup()
        assert track.controller.state == "closed"
        begin(track, turns.of("two"))
        await track.add_new_bytes(ramp(FRAME).tobytes())
        if hasattr(track, "add_background_bytes"):
            await track.add_background_bytes(ramp(FRAME).tobytes())
        track.interrupt()
        await track.pause()
        await track.resume()
        track._manual_audio_control, track._accepting_audio = False, True
        track.mark_synthesis_complete()
        assert not track.is_speaking
        assert track.snapshot_playback() == (0, 0)
    await settle()
    assert turns.over == []


async def test_a_callback_that_raises_or_begins_the_next_turn() -> None:
    track, turns = CustomAudioStreamTrack(), Turns()
    errors: list[Any] = []
    track.controller.on("error", errors.append)

    async def raises() -> None:
        raise RuntimeError("the callback's own")

    def goes_on() -> None:
        begin(track, turns.of("next"))
        pushing.append(asyncio.ensure_future(track.add_new_bytes(ramp(FRAME).tobytes())))

    pushing: list[Any] = []
    for callback in (raises, goes_on):
        begin(track, callback)
        await track.add_new_bytes(ramp(FRAME).tobytes())
        track.mark_synthesis_complete()
        await play(track, 1)
    assert len(errors) == 1
    await asyncio.gather(*pushing)
    track.mark_synthesis_complete()
    assert (await play(track, 1)).tolist() == ramp(FRAME).tolist()
    assert turns.over == ["next"]
