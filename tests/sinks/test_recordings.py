"""Recordings as what they are for: opened after a crash, in step with the clock, with the caller on a channel."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from playback import AudioFormat, PlaybackController
from playback.events import ErrorRaised
from playback.sinks import RecorderSink
from playback.sinks.containers import CONTAINERS, RecordingFile, container_of, open_recording
from tests.needs import need_program
from tests.signals import Heard, tone
from tests.sinks.test_recorder import decoded, slow

SURVIVES = ["wav", "flac", "ogg", "opus", "mka", "mkv", "webm", "mp3", "aac", "m4a", "mp4", "au", "caf"]
"""What can be opened after a crash. The lengths of AIFF and the index of TTA are written at the end only, and
the blocks of WavPack have up to two seconds."""

PROGRAM = """
import sys, time
import numpy as np
from playback import AudioFormat, PlaybackController
from playback.sinks import RecorderSink
rate, frames, pace = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
controller = PlaybackController(AudioFormat(rate))
recorders = [controller.sinks.add(RecorderSink(path)) for path in sys.argv[4:]]
controller.push((8000 * np.sin(0.05 * np.arange(rate * 30))).astype(np.int16))
controller.end()
began = time.monotonic()
for frame in range(frames):
    controller.read(rate // 50)
    time.sleep(max(0.0, began + pace * frame - time.monotonic()))
while pace == 0.0 and any(not recorder._queue.empty() for recorder in recorders):
    time.sleep(0.01)  # for their threads
time.sleep(0.1)
print("read", flush=True)
time.sleep(600)
"""


def seconds_of(path: Path) -> float:
    """How much PyAV decodes of a file."""
    audio, rate = decoded(path)
    assert np.abs(audio).max() > 7_000
    return len(audio) / rate


def seconds_of_ffmpeg(path: Path) -> float:
    """How much FFmpeg's own program decodes of a file."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-ac", "1", "-ar", "8000", "-"]
    return len(subprocess.run(command, capture_output=True, check=True).stdout) / 16_000


def killed(folder: Path, rate: int, seconds: float, pace: float) -> list[Path]:
    """Record with every container in one process, and kill it."""
    paths = [folder / f"call.{suffix}" for suffix in SURVIVES]
    arguments = str(rate), str(int(50 * seconds)), str(pace), *map(str, paths)
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "read\n"
        process.send_signal(signal.SIGKILL)
    return paths


@pytest.fixture(scope="module", params=[48_000, 8_000])
def of_a_killed_process(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return killed(tmp_path_factory.mktemp("killed"), request.param, 10, 0.0)


def test_a_process_that_is_killed_loses_a_second_at_most(of_a_killed_process: list[Path]) -> None:
    for path in of_a_killed_process:
        assert 9.0 <= seconds_of(path) <= 10.1, path.name


def test_ffmpeg_opens_what_a_killed_process_has_left(of_a_killed_process: list[Path]) -> None:
    need_program("ffmpeg", "ffmpeg")
    for path in of_a_killed_process:
        assert 9.0 <= seconds_of_ffmpeg(path) <= 10.1, path.name


@pytest.mark.fuzz
@pytest.mark.skipif(not os.environ.get("FUZZ_TIMES"), reason="10 s at the pace of a call")
def test_a_process_that_is_killed_in_a_call_loses_a_second_at_most(tmp_path: Path) -> None:
    paths = killed(tmp_path, 24_000, 10, 0.02)
    for path in paths:
        assert seconds_of(path) >= 9.0, path.name
    need_program("ffmpeg", "ffmpeg")
    for path in paths:
        assert seconds_of_ffmpeg(path) >= 9.0, path.name


@pytest.mark.parametrize("suffix", SURVIVES)
def test_a_second_is_on_disk_while_it_is_recorded(suffix: str, tmp_path: Path) -> None:
    """What is read is in the file within a second of audio, whatever follows."""
    controller = PlaybackController(AudioFormat(24_000))
    recorder = controller.sinks.add(RecorderSink(tmp_path / f"call.{suffix}"))
    controller.push(tone(24_000 * 4, 24_000))
    controller.end()
    for _ in range(200):
        controller.read(480)
    for _ in range(1_000):
        if recorder._queue.empty():
            break
        time.sleep(0.005)
    time.sleep(0.1)
    copy = tmp_path / f"copy.{suffix}"
    copy.write_bytes(recorder.path.read_bytes())
    recorder.close()
    assert seconds_of(copy) >= 3.0


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("rate", [4_000, 8_000, 12_345, 24_000, 44_100, 96_000, 384_000])
def test_each_container_takes_every_rate(suffix: str, rate: int, tmp_path: Path) -> None:
    path = tmp_path / f"call.{suffix}"
    file = RecordingFile(path)
    output, stream = open_recording(file, container_of(path), rate)
    with closing(file), output:
        samples = tone(rate // 2, rate)
        frame = av.AudioFrame.from_ndarray(np.repeat(samples, 2).reshape(1, -1), "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    audio, found = decoded(path)
    assert len(audio) / found == pytest.approx(0.5, abs=0.1 + 1_024 / found)


@pytest.mark.parametrize("suffix", ["amr", "3gp", "flv", "gsm", "g722", "avi", "m3u8", "mpd", "raw"])
def test_what_can_not_take_each_rate_or_is_no_file_of_audio_is_refused(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"the suffix of 'call\.{suffix}' is not .*, expected one of wav, "):
        RecorderSink(tmp_path / f"call.{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["wav", "flac", "tta", "wv", "aiff"])
def test_samples_have_16_bits(suffix: str, tmp_path: Path) -> None:
    controller = PlaybackController(AudioFormat(24_000))
    recorder = controller.sinks.add(RecorderSink(tmp_path / f"call.{suffix}"))
    audio = np.arange(-2_400, 2_400, dtype=np.int16) * 13
    controller.push(audio)
    controller.end()
    for _ in range(10):
        controller.read(480)
    recorder.close()
    assert np.array_equal(decoded(recorder.path)[0][:4_800, 0], audio)


@pytest.mark.parametrize("changes", [{"caller": 3}, {"fill_gaps": 1}])
def test_wrong_arguments_make_no_file(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=next(iter(changes))):
        RecorderSink(tmp_path / "call.wav", **changes)
    assert not list(tmp_path.iterdir())


# Stalls


@pytest.mark.parametrize(("fill_gaps", "seconds"), [(True, 3.5), (False, 2.0)])
def test_stalls_leave_silence_of_their_length(fill_gaps: bool, seconds: float, tmp_path: Path) -> None:
    controller = PlaybackController(AudioFormat(24_000))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav", fill_gaps=fill_gaps))
    controller.push(np.full(48_000, 5_000, np.int16))
    controller.end()
    for frame in range(100):
        if frame in (25, 50):
            controller.report_stall(frame / 50)
        controller.read(480)
    recorder.close()
    audio, _ = decoded(recorder.path)
    assert len(audio) == seconds * 24_000
    if fill_gaps:
        sounding = audio[:, 1] == 5_000
        expected = np.concatenate([np.full(n, v) for n, v in ((12_000, 1), (12_000, 0), (12_000, 1), (24_000, 0))])
        assert np.array_equal(sounding[:60_000], expected)


async def test_a_recording_with_stalls_is_as_long_as_the_clock_says(tmp_path: Path) -> None:
    from playback.track import PlaybackTrack

    controller = PlaybackController(AudioFormat(24_000))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav"))
    track = PlaybackTrack(controller)
    await track.recv()
    began = time.monotonic()
    for frame in range(60):
        if frame in (20, 40):
            time.sleep(frame / 40)  # noqa: ASYNC251 - the loop itself stalls
        await track.recv()
    seconds = time.monotonic() - began
    track.stop()
    recorder.close()
    audio, _ = decoded(recorder.path)
    assert len(audio) / 24_000 == pytest.approx(seconds + 0.02, abs=0.04)
    assert seconds > 2.4


# The caller


class Microphone(MediaStreamTrack):
    """A track whose frames come when the test says so."""

    kind = "audio"

    def __init__(self, frames: Iterator[NDArray[np.int16]], rate: int, error: Exception | None = None) -> None:
        super().__init__()
        self._frames = frames
        self._rate = rate
        self._error = error
        self.may_come = asyncio.Semaphore(0)

    async def recv(self) -> av.AudioFrame:
        await self.may_come.acquire()
        samples = next(self._frames, None)
        if samples is None:
            raise self._error or MediaStreamError
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
        frame.sample_rate = self._rate
        return frame


async def call(
    controller: PlaybackController, microphone: Microphone, frames: int, late: frozenset[int] = frozenset()
) -> None:
    for frame in range(frames):
        if frame not in late:
            microphone.may_come.release()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        controller.read(480)


@pytest.mark.parametrize("rate", [24_000, 48_000])
async def test_the_caller_has_a_channel(rate: int, tmp_path: Path) -> None:
    said = tone(2 * rate, rate)
    microphone = Microphone(iter(np.split(said, 100)), rate)
    controller = PlaybackController(AudioFormat(24_000))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav", caller=microphone))
    controller.push(np.full(24_000, 5_000, np.int16))
    controller.end()
    await call(controller, microphone, 110)
    controller.close()
    recorder.close()
    audio, _ = decoded(recorder.path)
    assert len(audio) == 110 * 480
    assert np.array_equal(audio[:, 0], np.repeat([5_000, 0], [24_000, 110 * 480 - 24_000]))
    at = int(np.argmax(np.abs(audio[:, 1]) > 100))
    assert at <= 0.1 * 24_000
    expected = tone(48_000, 24_000)
    heard = audio[at : at + 40_000, 1]
    assert max(np.corrcoef(heard, expected[shift : shift + 40_000])[0, 1] for shift in range(-0, 40)) > 0.999


async def test_a_caller_that_ends_or_fails_leaves_silence(tmp_path: Path) -> None:
    for error in (None, OSError("the network is gone")):
        heard = Heard()
        microphone = Microphone(iter([np.full(480, 3_000, np.int16)] * 20), 24_000, error)
        recorder = heard.controller.sinks.add(RecorderSink(tmp_path / "call.wav", caller=microphone))
        await call(heard.controller, microphone, 60)
        heard.controller.close()
        recorder.close()
        errors = [event for event in heard.events if isinstance(event, ErrorRaised) and not slow(event)]
        assert [str(event.exception) for event in errors] == ([] if error is None else ["the network is gone"])
        audio, _ = decoded(recorder.path)
        assert (audio[:, 1] != 0).sum() == 20 * 480
        assert len(audio) == 60 * 480


async def test_a_caller_who_comes_too_fast_stays_in_step(tmp_path: Path) -> None:
    microphone = Microphone(iter(np.full((400, 480), 3_000, np.int16)), 24_000)
    controller = PlaybackController(AudioFormat(24_000))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav", caller=microphone))
    await call(controller, microphone, 10)
    for _ in range(100):  # two seconds at once
        microphone.may_come.release()
        await asyncio.sleep(0)
    await call(controller, microphone, 50)
    assert recorder._caller is not None
    assert len(recorder._caller._buffer) <= 2 * 0.5 * 24_000
    controller.close()
    recorder.close()
    task = recorder._caller._task
    assert task is not None
    await asyncio.wait([task])


async def test_a_recorder_of_a_caller_leaves_no_task(tmp_path: Path) -> None:
    microphone = Microphone(iter([]), 24_000)
    controller = PlaybackController(AudioFormat(24_000))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav", caller=microphone))
    controller.read(480)
    recorder.close()
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_ffmpeg_reads_what_was_recorded(tmp_path: Path) -> None:
    need_program("ffprobe", "ffmpeg")
    controller = PlaybackController(AudioFormat(24_000))
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.mka"))
    controller.read(480)
    recorder.close()
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(recorder.path)]
    assert json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
