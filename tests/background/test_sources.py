"""Background voices from files: decoded ahead on a thread, which ends when it is no longer needed."""

from __future__ import annotations

import gc
import io
import os
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, FormatError, PlaybackController
from playback.background import sounds
from playback.background.mixer import Background, BackgroundSound
from playback.background.sources import FileSource
from playback.events import ErrorRaised
from tests.audio.media import wav
from tests.signals import FRAME, RATE, Heard, ramp, signal_to_noise, tone

pytestmark = pytest.mark.portable

FORMAT = AudioFormat(RATE)
CODECS = {"wav": "pcm_s16le", "flac": "flac", "ogg": "libopus"}


def write(file: Any, audio: NDArray[np.int16], rate: int, kind: str) -> None:
    """Make a file of this audio, of shape (samples,) or (samples, 2)."""
    layout = "stereo" if audio.ndim == 2 else "mono"
    with av.open(file, "w", format=kind) as container:
        stream: Any = container.add_stream(CODECS[kind], rate=rate, layout=layout)
        for start in range(0, len(audio), 960):
            frame = av.AudioFrame.from_ndarray(audio[start : start + 960].reshape(1, -1), "s16", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def until(condition: Callable[[], bool]) -> None:
    """Wait for a thread, for 5 s at most."""
    for _ in range(1_000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it takes too long")


def sounding(voice: BackgroundSound) -> BackgroundSound:
    """Wait until the first of a file's audio is decoded."""
    source = voice._source
    assert isinstance(source, FileSource)
    until(lambda: bool(source._decoding.ready))
    return voice


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decoding ")]


def listen(source: FileSource, samples: int, size: int = FRAME) -> NDArray[np.int16]:
    """The next samples; waits for the thread."""
    out = np.zeros(samples, np.int16)
    done = 0
    while done < samples:
        piece = out[done : done + size]
        until(lambda: len(source._decoding.ready) > 0 or source.buffer.ended or source.buffer.available(size) >= size)
        taken = source.take(piece.data.cast("B"))
        done += taken
        if source.is_over:
            break
    return out[:done]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Any:
    yield
    gc.collect()
    until(lambda: not decoders())


@pytest.mark.parametrize("kind", ["wav", "flac"])
@pytest.mark.parametrize("size", [100, 2_400, 7_001, 60_000])
def test_a_loop_without_loss_is_exact(tmp_path: Path, kind: str, size: int) -> None:
    path = tmp_path / f"music.{kind}"
    audio = np.resize(ramp(30_000), size)
    write(str(path), audio, RATE, kind)
    source = FileSource(FORMAT, path, loop=True)
    assert np.array_equal(listen(source, 150_000), np.resize(audio, 150_000))
    source.close()


@pytest.mark.parametrize(("kind", "rate"), [("wav", 44_100), ("flac", 48_000), ("wav", 8_000)])
def test_a_loop_is_continuous_through_the_resampler(kind: str, rate: int) -> None:
    file = io.BytesIO()
    write(file, tone(rate // 10, rate), rate, kind)
    source = FileSource(FORMAT, file, loop=True)
    assert signal_to_noise(listen(source, 5 * RATE)[FRAME:], RATE) > 70
    source.close()


def test_opus_begins_the_same_in_each_round(tmp_path: Path) -> None:
    path = tmp_path / "music.ogg"
    write(str(path), tone(48_000, 48_000), 48_000, "ogg")
    output = AudioFormat(48_000)
    once = listen(FileSource(output, str(path), loop=False), 100_000)
    assert abs(len(once) - 48_000) <= 960
    assert signal_to_noise(once[2_000:46_000], 48_000) > 20
    source = FileSource(output, path, loop=True)
    assert np.array_equal(listen(source, 200_000), np.resize(once, 200_000))


@pytest.mark.parametrize(("output", "source"), [(1, 2), (2, 1)])
def test_channels_are_converted(output: int, source: int) -> None:
    file = io.BytesIO()
    audio = np.full((RATE, 2), 1_000, np.int16)
    write(file, audio if source == 2 else audio[:, 0].copy(), RATE, "wav")
    controller = PlaybackController(AudioFormat(RATE, output))
    voice = sounding(controller.background.add(file, gain_db=0, fade_seconds=0))
    controller.read(FRAME)
    assert np.array_equal(controller.read(FRAME), np.full((FRAME, output), 1_000))
    voice.stop(0)


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_a_file_ends_with_its_last_sample(rate: int) -> None:
    file = io.BytesIO()
    write(file, tone(rate, rate), rate, "wav")
    background = Background(FORMAT)
    voice = background.add(file, gain_db=0, loop=False, fade_seconds=0)
    assert isinstance(voice._source, FileSource)
    until(lambda: not decoders())
    out = np.zeros((60, FRAME), np.int16)
    frames = 0
    while background.is_active:
        background.mix(out[frames].data.cast("B"), speaking=False, paused=False)
        frames += 1
    assert RATE // FRAME <= frames <= RATE // FRAME + 1
    assert signal_to_noise(out.reshape(-1)[:RATE], RATE) > 60
    assert not out.reshape(-1)[RATE:].any()
    assert voice.is_finished
    assert not file.closed


def test_a_file_is_decoded_a_little_ahead_and_no_more() -> None:
    file = io.BytesIO()
    write(file, ramp(30_000), RATE, "wav")
    source = FileSource(FORMAT, file, loop=True)
    until(lambda: len(source._decoding.ready) == 15)
    time.sleep(0.05)
    held = sum(len(item) for item in source._decoding.ready if isinstance(item, bytes)) // 2 + source.buffer.accepted
    assert RATE <= held <= 2 * RATE
    source.close()


class Gated(io.BytesIO):
    """A file whose reads wait, once asked to, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False
        self.waits = False

    def read(self, size: int | None = -1, /) -> bytes:
        self.waits = not self.gate.is_set()
        assert self.gate.wait(5)
        if self.fails:
            raise OSError("the disk is gone")
        return super().read(size)


def test_a_decoder_that_is_behind_is_silence_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "GAP_RAMP_SECONDS", 0.0)  # the ramps repeat some of it
    file = Gated()
    write(file, np.resize(ramp(30_000), 300_000), RATE, "wav")
    controller = PlaybackController(FORMAT)
    voice = controller.background.add(file, gain_db=0, fade_seconds=0)
    source = voice._source
    assert isinstance(source, FileSource)
    until(lambda: len(source._decoding.ready) == 15)
    file.gate.clear()
    before = []
    while not file.waits:  # what was read of the file, but not decoded yet, still comes
        before.append(controller.read(FRAME)[:, 0])
        time.sleep(0.001)
    before += [controller.read(FRAME)[:, 0] for _ in range(100)]
    assert not before[-1].any()
    assert not voice.is_finished
    file.gate.set()
    until(lambda: len(source._decoding.ready) > 5)
    heard = np.concatenate([*before, *(controller.read(FRAME)[:, 0] for _ in range(20))])
    heard = heard[heard != 0]
    assert len(heard) > RATE
    assert np.array_equal(heard, np.resize(ramp(30_000), len(heard)))
    voice.stop(0)


def test_a_file_that_fails_later_is_an_error_event_and_ends() -> None:
    file = Gated()
    write(file, np.resize(ramp(30_000), 300_000), RATE, "wav")
    case = Heard()
    voice = case.controller.background.add(file, gain_db=0, fade_seconds=0)
    until(lambda: len(voice._source._decoding.ready) == 15)  # type: ignore[attr-defined]
    file.fails = True
    heard = []
    for _ in range(1_000):
        heard += case.read()
        if voice.is_finished:
            break
        time.sleep(0.001)
    assert voice.is_finished
    (event,) = (event for event in case.events if isinstance(event, ErrorRaised))
    assert "the disk is gone" in str(event.exception)
    kept = [sample for sample in heard if sample]
    assert len(kept) >= RATE
    assert kept == np.resize(ramp(30_000), len(kept)).tolist(), "all that was decoded sounds first"


class Pipe(io.RawIOBase):
    """A file object that can't go back."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(size)


def test_a_pipe_plays_once() -> None:
    file = io.BytesIO()
    write(file, ramp(RATE), RATE, "wav")
    with pytest.raises(ValueError, match="can't go back"):
        Background(FORMAT).add(Pipe(file.getvalue()))
    source = FileSource(FORMAT, Pipe(file.getvalue()), loop=False)  # type: ignore[arg-type]
    assert np.array_equal(listen(source, 2 * RATE), ramp(RATE))


def silent_wav() -> io.BytesIO:
    return io.BytesIO(wav(ramp(0), RATE))


@pytest.mark.parametrize("loop", [True, False])
def test_a_file_without_a_sample_is_an_error_event(loop: bool) -> None:
    case = Heard()
    voice = case.controller.background.add(silent_wav(), loop=loop)
    until(lambda: not decoders())
    case.read()
    assert voice.is_finished
    (event,) = (event for event in case.events if isinstance(event, ErrorRaised))
    assert "WAV without a sample that can be decoded" in str(event.exception)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_only_the_beginning_is_read_in_the_thread_that_adds_a_file(kind: str) -> None:
    threads: list[tuple[str, int]] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            threads.append((threading.current_thread().name, len(data)))
            return data

    file = Watched()
    write(file, np.tile(tone(48_000, 48_000), 20), 48_000, kind)
    threads.clear()
    voice = sounding(Background(FORMAT).add(file))
    here = [size for name, size in threads if name == threading.current_thread().name]
    assert sum(here) <= 32_768
    assert any(name.startswith("decoding ") for name, _ in threads)
    voice.stop(0)


def _pipe(folder: Path) -> Path:
    """A pipe that nobody writes to: to open it would wait for ever."""
    os.mkfifo(folder / "pipe.wav")
    return folder / "pipe.wav"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda path: str(path / "none.wav"), FileNotFoundError, r"none\.wav"),
        (lambda path: path, IsADirectoryError, "directory"),
        (_pipe, FormatError, "is a pipe"),
        (lambda _: io.BytesIO(b"no audio at all" * 100), FormatError, "BytesIO.* is text, expected audio"),
        (lambda _: io.BytesIO(), FormatError, "BytesIO"),
        (lambda _: io.StringIO("text"), (FormatError, TypeError), "StringIO|bytes"),
    ],
)
@pytest.mark.parametrize("loop", [True, False])
def test_what_can_not_be_opened(tmp_path: Path, make: Any, error: Any, message: str, loop: bool) -> None:
    background = Background(FORMAT)
    with pytest.raises(error, match=message):
        background.add(make(tmp_path), loop=loop)
    assert not background.is_active
    assert not decoders()


def test_a_file_without_a_stream_of_audio(tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("just text")
    with pytest.raises(FormatError, match=r"notes\.wav"):
        Background(FORMAT).add(path)


def test_threads_end_with_the_voice_the_background_or_the_controller() -> None:
    def music() -> io.BytesIO:
        file = io.BytesIO()
        write(file, ramp(30_000), RATE, "wav")
        return file

    controller = PlaybackController(FORMAT)
    voices = [controller.background.add(music(), fade_seconds=0) for _ in range(3)]
    assert len(decoders()) == 3
    controller.read(FRAME)
    voices[0].stop(0)
    until(lambda: len(decoders()) == 2)
    voices[1].stop(0.05)
    for _ in range(3):
        controller.read(FRAME)
    until(lambda: len(decoders()) == 1)
    controller.close()
    controller.read(FRAME)
    until(lambda: not decoders())

    dropped = Background(FORMAT)
    dropped.add(music())
    assert len(decoders()) == 1
    del dropped
    gc.collect()
    until(lambda: not decoders())
