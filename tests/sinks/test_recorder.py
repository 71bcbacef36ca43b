"""The recorder: the file, decoded again, is what was read."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController
from playback.events import ErrorRaised
from playback.sinks import SinkSlow
from playback.sinks.recorder import RecorderSink
from tests.signals import FRAME, RATE, Heard, ramp, signal_to_noise, tone

pytestmark = [pytest.mark.portable, pytest.mark.timeout(60)]

LOSSLESS = ["wav", "flac"]


def decoded(path: Path) -> tuple[NDArray[np.int16], int]:
    """What a file holds, of shape (samples, channels), and its rate."""
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        resampler = av.AudioResampler(format="s16", layout="stereo")
        pieces = [
            piece.to_ndarray().reshape(-1, 2)
            for frame in container.decode(stream)
            for piece in resampler.resample(frame)
        ]
        return (np.concatenate(pieces) if pieces else np.empty((0, 2), np.int16)), stream.rate


def session(controller: PlaybackController, before_read: Callable[[int], object] = lambda _: None) -> NDArray[np.int16]:
    """A session with speech, silence, a pause and an interrupt; all that was read."""
    rng = np.random.default_rng(3)
    reads = []
    for turn in range(60):
        before_read(turn)
        if turn % 20 == 3:
            controller.push(rng.integers(-9999, 9999, (3100, controller.format.channels)).astype(np.int16))
            controller.end()
        match turn:
            case 5 | 50:
                controller.pause()
            case 9:
                controller.resume()
            case 26:
                controller.interrupt()
        reads.append(controller.read(FRAME if turn % 7 else 333))
    return np.concatenate(reads)


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("rate", [RATE, 44_100, 48_000])
def test_the_file_is_what_was_read(tmp_path: Path, suffix: str, rate: int) -> None:
    controller = PlaybackController(AudioFormat(rate))
    path = tmp_path / f"call.{suffix}"
    recorder = controller.sinks.add(RecorderSink(path))
    read = session(controller)
    assert read.any()
    controller.close()
    recorder.close()
    audio, found = decoded(path)
    assert found == rate
    assert audio[:, 0].tolist() == audio[:, 1].tolist() == read[:, 0].tolist()


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_it_begins_where_it_was_added_and_ends_where_it_was_removed(tmp_path: Path, suffix: str) -> None:
    controller = PlaybackController(AudioFormat(RATE))
    path = tmp_path / f"call.{suffix}"
    recorder = RecorderSink(path)
    starts: list[int] = []

    def come_and_go(turn: int) -> None:
        if turn == 4:
            controller.sinks.add(recorder, when="played")
            starts.append(controller.position)
        elif turn == 30:
            controller.sinks.remove(recorder)
            starts.append(controller.position)

    read = session(controller, come_and_go)
    recorder.close()
    first, last = starts
    assert decoded(path)[0][:, 1].tolist() == read[first:last, 0].tolist()


def test_the_speech_is_on_the_left_and_all_that_was_read_on_the_right(tmp_path: Path) -> None:
    """With a sink in the output's place, the two are as different as can be."""
    controller = PlaybackController(AudioFormat(RATE))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav"), replaces_output=True)
    controller.push(ramp(2 * FRAME))
    controller.end()
    for _ in range(3):
        controller.read(FRAME)
    recorder.close()
    audio, _ = decoded(tmp_path / "call.wav")
    assert audio[:, 0].tolist() == [*range(1, 2 * FRAME + 1), *[0] * FRAME]
    assert not audio[:, 1].any()


def test_stereo_is_averaged(tmp_path: Path) -> None:
    controller = PlaybackController(AudioFormat(RATE, 2))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav"))
    read = session(controller)
    recorder.close()
    audio, _ = decoded(tmp_path / "call.wav")
    assert audio[:, 1].tolist() == np.rint(read.mean(axis=1)).astype(int).tolist()
    assert audio[:, 0].tolist() == audio[:, 1].tolist()


@pytest.mark.parametrize("suffix", ["ogg", "opus", "m4a", "mp4", "mp3", "mka", "webm"])
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_any_container_will_do(tmp_path: Path, suffix: str, rate: int) -> None:
    controller = PlaybackController(AudioFormat(rate))
    path = tmp_path / f"call.{suffix}"
    recorder = controller.sinks.add(RecorderSink(path))
    controller.push(tone(2 * rate, rate))
    controller.end()
    for _ in range(100):
        controller.read(rate // 50)
    controller.close()
    recorder.close()
    audio, found = decoded(path)
    assert len(audio) / found == pytest.approx(2.0, abs=0.1)
    for channel in audio.T:
        assert signal_to_noise(channel[found // 2 : found * 3 // 2], found) > 20


def test_ogg_holds_opus(tmp_path: Path) -> None:
    controller = PlaybackController()
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.ogg"))
    controller.read(960)
    recorder.close()
    with av.open(str(tmp_path / "call.ogg")) as container:
        assert container.streams.audio[0].codec_context.name.endswith("opus")


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_a_recording_of_nothing_is_a_file(tmp_path: Path, suffix: str) -> None:
    RecorderSink(tmp_path / f"none.{suffix}").close()
    assert not len(decoded(tmp_path / f"none.{suffix}")[0])


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    RecorderSink(str(tmp_path / "call.wav")).close()
    assert (tmp_path / "call.wav").exists()


# Mistakes


@pytest.mark.parametrize("name", ["call.xyz", "call", "call.png"])
def test_a_suffix_that_is_no_container_of_audio_is_reported_and_makes_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=rf"suffix of '{name}'"):
        RecorderSink(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        RecorderSink(tmp_path / "nowhere" / "call.wav")
    (tmp_path / "directory.wav").mkdir()
    with pytest.raises(IsADirectoryError):
        RecorderSink(tmp_path / "directory.wav")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("record ")]


def test_it_hears_what_is_played_and_nothing_else(tmp_path: Path) -> None:
    recorder = RecorderSink(tmp_path / "call.wav")
    with pytest.raises(ValueError, match="when is 'pushed', expected 'played' for RecorderSink"):
        PlaybackController().sinks.add(recorder, when="pushed")
    recorder.close()


# Its thread


def test_closing_twice_is_closing_once_and_late_frames_are_nothing(tmp_path: Path) -> None:
    controller = PlaybackController(AudioFormat(RATE))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav"))
    controller.read(FRAME)
    recorder.close()
    size = (tmp_path / "call.wav").stat().st_size
    controller.read(FRAME)
    controller.close()
    recorder.close()
    assert (tmp_path / "call.wav").stat().st_size == size
    assert len(decoded(tmp_path / "call.wav")[0]) == FRAME


def test_closed_ends_the_thread(tmp_path: Path) -> None:
    controller = PlaybackController(AudioFormat(RATE))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.flac"))
    controller.read(FRAME)
    controller.close()
    recorder._thread.join(30)
    assert not recorder._thread.is_alive()
    assert len(decoded(tmp_path / "call.flac")[0]) == FRAME


def test_a_recorder_that_nobody_closes_is_finished_at_exit(tmp_path: Path) -> None:
    path = tmp_path / "call.flac"
    script = f"""
from playback import PlaybackController
from playback.sinks.recorder import RecorderSink
controller = PlaybackController()
controller.sinks.add(RecorderSink({str(path)!r}))
for _ in range(100):
    controller.read(960)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=50)
    assert len(decoded(path)[0]) == 96_000


@pytest.mark.parametrize("suffix", ["ogg", "m4a", "mp3"])
def test_closing_a_recording_of_nothing_is_no_error(tmp_path: Path, suffix: str) -> None:
    RecorderSink(tmp_path / f"none.{suffix}").close()


def fail(*_: Any) -> None:
    raise OSError("the disk is full")


def test_what_goes_wrong_in_the_thread_is_reported_once_and_raised_by_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playback.sinks.recorder._frame", fail)
    h = Heard()
    recorder = h.controller.sinks.add(RecorderSink(tmp_path / "call.wav"))
    h.read()
    recorder._thread.join(30)
    for _ in range(3):
        h.read()
    h.controller.close()
    assert [(str(e.exception), e.source) for e in h.events if isinstance(e, ErrorRaised) and not slow(e)] == [
        ("the disk is full", "sink RecorderSink")
    ]
    with pytest.raises(OSError, match="the disk is full"):
        recorder.close()


def slow(event: ErrorRaised) -> bool:
    """Whether it was but the machine that runs the tests."""
    return isinstance(event.exception, SinkSlow)


def test_what_goes_wrong_before_it_was_added_to_anything_is_raised_by_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("playback.sinks.recorder.open_recording", fail)
    with pytest.raises(OSError, match="the disk is full"):
        RecorderSink(tmp_path / "call.wav").close()


def test_a_slow_disk_does_not_keep_the_reader_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = threading.Event()
    real = RecorderSink._write

    def wait(recorder: RecorderSink) -> None:
        assert written.wait(30)
        real(recorder)

    monkeypatch.setattr(RecorderSink, "_write", wait)
    controller = PlaybackController(AudioFormat(RATE))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav"))
    read = session(controller)
    controller.close()
    assert recorder._thread.is_alive()
    written.set()
    recorder.close()
    assert decoded(tmp_path / "call.wav")[0][:, 1].tolist() == read[:, 0].tolist()
