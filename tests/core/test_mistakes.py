"""Mistakes of the programmer: an error that names the value and what was expected, and nothing half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from playback import AudioFormat, Fades, PlaybackController
from tests.signals import RATE, Heard


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PlaybackController(24_000), "format is 24000, expected AudioFormat"),  # type: ignore[arg-type]
        (lambda: PlaybackController(input_format=24_000), "input_format is 24000, expected AudioFormat or None"),  # type: ignore[arg-type]
        (lambda: PlaybackController(fades=0.06), r"fades is 0\.06, expected Fades"),  # type: ignore[arg-type]
        (lambda: PlaybackController(prebuffer_seconds="1"), "prebuffer_seconds is '1', expected a number of seconds"),  # type: ignore[arg-type]
        (lambda: Fades("long"), "interrupt_seconds is 'long', expected a number of seconds"),  # type: ignore[arg-type]
        (lambda: PlaybackController().utterance(text=123), "text is 123, expected str or None"),  # type: ignore[arg-type]
        (lambda: PlaybackController().utterance(id=7), "id is 7, expected str or None"),  # type: ignore[arg-type]
        (lambda: PlaybackController().utterance(format=16_000), "format is 16000, expected an AudioFormat"),  # type: ignore[arg-type]
        (lambda: PlaybackController().utterance().mark("word", at="1"), "at is '1', expected a number of seconds"),  # type: ignore[arg-type]
        (lambda: PlaybackController().resume("1"), "rewind_seconds is '1', expected a number of seconds"),  # type: ignore[arg-type]
        (lambda: PlaybackController().on(print), "the event's name is .*print.*, expected a string"),  # type: ignore[call-overload]
        (lambda: PlaybackController().on("closed", 5), "the listener is 5, expected a function"),  # type: ignore[call-overload]
    ],
)
def test_an_argument_of_another_type(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("seconds", [-0.1, 5.1, float("nan"), float("inf"), 10**400])
def test_fades_that_can_not_be(seconds: float) -> None:
    with pytest.raises(ValueError, match=f"pause_seconds is {seconds}"):
        Fades(pause_seconds=seconds)


def test_numbers_of_numpy_are_numbers() -> None:
    stereo = AudioFormat(np.int64(24_000), np.int8(2))  # type: ignore[arg-type]
    assert (stereo, type(stereo.sample_rate)) == (AudioFormat(24_000, 2), int)
    assert PlaybackController(stereo, prebuffer_seconds=np.float32(0.5)).format == stereo  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "audio", [np.zeros(8, np.float64).data, np.zeros(8, np.float32).data, np.zeros(8, np.int32).data]
)
def test_a_buffer_of_anything_but_bytes_and_16_bit_samples(audio: Any) -> None:
    with pytest.raises(ValueError, match=f"the buffer's type is '{audio.format}'"):
        PlaybackController().push(audio)


def test_floats_that_nobody_has_scaled() -> None:
    with pytest.raises(ValueError, match=r"magnitude 20000, expected finite numbers, full scale 1\.0"):
        PlaybackController().push(np.full(10, 20_000, np.float32))


def test_an_interrupt_can_not_be_kept_from_working() -> None:
    case = Heard(PlaybackController(AudioFormat(RATE)))
    utterance = case.controller.utterance(text="Hello there")
    for payload in ("Hello", object(), 3, None, b"there"):
        utterance.mark(payload, at=0)
    utterance.mark("there", at=0.02)
    utterance.push(bytes(3840))
    case.read()
    assert case.controller.interrupt()
    assert utterance.report is not None
    assert utterance.report.heard == "Hello"
