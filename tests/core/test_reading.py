"""The only way out: every read answers, whatever happens around it."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, ChartError, PlaybackController
from playback.audio.converter import Converter
from playback.events import ErrorRaised, Event
from statecharts import ChartMachine
from tests.signals import CUTS, FRAME, RATE, Heard, ramp


def test_a_read_has_the_shape_and_type_that_it_says() -> None:
    for channels in (1, 2):
        controller = PlaybackController(AudioFormat(RATE, channels))
        frame = controller.read(FRAME)
        assert frame.shape == (FRAME, channels)
        assert frame.dtype == np.int16
        assert controller.position == FRAME
        assert controller.read(0).shape == (0, channels)
        assert controller.position == FRAME


def test_a_read_is_the_caller_s_own() -> None:
    case = Heard()
    case.controller.push(ramp(2 * FRAME))
    first = case.controller.read(FRAME)
    case.controller.read(FRAME)
    assert first[:, 0].tolist() == [*range(1, 1 + FRAME)]


@pytest.mark.parametrize("size", [1, 7, 100, 481, 3_000])
def test_reads_of_any_size_hand_out_the_same(size: int) -> None:
    case = Heard()
    utterance = case.controller.utterance()
    for start in range(0, 4_800, 160):
        utterance.push(ramp(160, 1 + start).tobytes())
    utterance.end()
    out = [sample for _ in range(0, 4_800, size) for sample in case.read(size)]
    assert out[:4_800] == [*range(1, 4_801)]
    assert not any(out[4_800:])


def test_a_read_may_change_its_size() -> None:
    case = Heard()
    case.controller.push(ramp(1_000))
    out = case.read(300) + case.read(1) + case.read(699)
    assert out == [*range(1, 1_001)]


@pytest.mark.parametrize(
    "buffer", [bytearray(2 * FRAME), array.array("h", [0] * FRAME), np.zeros((FRAME, 1), np.int16)]
)
def test_a_read_into_memory_of_the_caller_s(buffer: Any) -> None:
    case = Heard()
    case.controller.push(ramp(FRAME))
    case.controller.read_into(buffer)
    assert bytes(buffer) == ramp(FRAME).tobytes()


@pytest.mark.parametrize(
    ("buffer", "error", "message"),
    [
        (bytes(2 * FRAME), TypeError, "read-only"),
        (bytearray(3), ValueError, "3 bytes, expected a multiple of 2"),
        ("text", TypeError, "str"),
        (np.zeros(2 * FRAME, np.int16)[::2], TypeError, "contiguous"),
    ],
)
def test_memory_that_can_not_be_read_into(buffer: Any, error: type[Exception], message: str) -> None:
    case = Heard()
    case.controller.push(ramp(FRAME))
    with pytest.raises(error, match=message):
        case.controller.read_into(buffer)
    assert case.read() == [*range(1, 1 + FRAME)], "nothing was lost"


def test_a_negative_read_is_an_error() -> None:
    with pytest.raises(ValueError, match="-1"):
        PlaybackController().read(-1)


def test_the_position_is_the_number_of_samples_read_in_every_state() -> None:
    case = Heard()
    total = 0
    for command in ("pause", "resume", "lock", "unlock", "interrupt", "close"):
        case.controller.push(ramp(FRAME))
        getattr(case.controller, command)()
        for size in (1, 480, 77):
            case.read(size)
            total += size
        assert case.controller.position == total


def test_stereo() -> None:
    controller = PlaybackController(AudioFormat(RATE, 2), fades=CUTS)
    both = np.stack([ramp(1_000), ramp(1_000, 2_001)], axis=1)
    controller.push(both[:300].tobytes())
    controller.push(both[300:])
    assert np.array_equal(controller.read(FRAME), both[:FRAME])
    controller.pause(), controller.read(10), controller.resume(rewind_seconds=100 / RATE)
    assert np.array_equal(controller.read(FRAME), both[FRAME - 100 : 2 * FRAME - 100])


def test_a_listener_that_raises_costs_nobody_a_sample() -> None:
    case = Heard()

    def broken(event: Event) -> None:
        raise RuntimeError(event.name)

    for name in ("state_changed", "first_audio_byte", "last_audio_byte", "utterance_finished"):
        case.controller.on(name, broken)
    case.controller.push(ramp(FRAME))
    case.controller.end()
    assert case.read() == [*range(1, 1 + FRAME)]
    assert case.emitted("last_audio_byte", "error") == ["error"] * 2 + ["last_audio_byte"] + ["error"] * 4


def test_an_impossible_cell_within_a_read_is_an_error_event_and_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Heard()
    utterance = case.controller.utterance()
    utterance.push(ramp(FRAME))
    utterance.end()

    def impossible(*_: object) -> bool:
        raise ChartError("playback: 'completed' can't happen here")

    with monkeypatch.context() as patch:
        patch.setattr(ChartMachine, "fire", impossible)
        assert case.read() == [0] * FRAME
    (event,) = (event for event in case.events if isinstance(event, ErrorRaised))
    assert isinstance(event.exception, ChartError)
    assert case.controller.position == FRAME
    assert case.read() == [0] * FRAME


def test_an_impossible_cell_within_a_command_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Heard()
    session = case.controller._playout.transitions.session
    monkeypatch.setattr(session, "leaf", "speaking.buffering")
    with pytest.raises(ChartError, match=r"'drained' can't happen in 'speaking\.buffering'"):
        case.controller._playout.command("drained")


def test_a_conversion_that_fails_is_an_error_event_and_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Heard(PlaybackController(AudioFormat(48_000), input_format=AudioFormat(24_000), fades=CUTS))
    for _ in range(20):
        case.controller.push(bytes(24_000))
    case.read(960), case.read(960)

    def broken(*_: object) -> bytes:
        raise RuntimeError("no conversion")

    with monkeypatch.context() as patch:
        patch.setattr(Converter, "convert", broken)
        for _ in range(50):
            assert case.read(960) == [0] * 960
    assert "error" in case.emitted()
    assert case.controller.interrupt()
    assert case.controller.push(bytes(960)) == 960


def test_a_read_of_nothing_changes_nothing() -> None:
    case = Heard()
    case.read(), case.read()
    case.controller.read_into(bytearray())
    case.controller.push(ramp(1))
    assert case.controller.leaf == "speaking.buffering"


class TestGain:
    def test_moves_along_a_ramp_and_stays(self) -> None:
        case = Heard()
        case.controller.push(np.full(10 * FRAME, 1_000, np.int16))
        case.read()
        case.controller.gain_db = 6.0206
        assert case.controller.gain_db == 6.0206
        frame = np.array(case.read())
        assert np.abs(np.diff(np.concatenate([[1_000], frame]))).max() <= 3
        assert frame[-1] == 2_000
        assert case.read() == [2_000] * FRAME
        case.controller.gain_db = 0
        case.read()
        assert case.read() == [1_000] * FRAME

    def test_silence_and_full_scale(self) -> None:
        case = Heard()
        case.controller.push(np.full(10 * FRAME, 30_000, np.int16))
        case.controller.gain_db = 20
        case.read()
        assert case.read() == [31_655] * FRAME, "0.3 dB below full scale"
        case.controller.gain_db = float("-inf")
        case.read()
        assert case.read() == [0] * FRAME

    @pytest.mark.parametrize("gain", [float("nan"), 61.0, float("inf")])
    def test_that_can_not_be(self, gain: float) -> None:
        controller = PlaybackController()
        with pytest.raises(ValueError, match=repr(gain)):
            controller.gain_db = gain
        assert controller.gain_db == 0


def test_one_reader_at_a_time() -> None:
    controller = PlaybackController()
    controller.attach("one")
    controller.attach("one")
    with pytest.raises(RuntimeError, match="'one' reads this controller already"):
        controller.attach("two")
    controller.detach("two")
    controller.detach("one")
    controller.attach("two")


def test_dropped_audio_is_freed_as_reading_goes_on() -> None:
    case = Heard()
    for _ in range(200):
        case.controller.push(bytes(2 * FRAME))
    case.read()
    case.controller.interrupt()
    queue = case.controller._playout.transitions.queue
    assert not queue.is_clean
    for _ in range(4):
        case.read()
    assert queue.is_clean
