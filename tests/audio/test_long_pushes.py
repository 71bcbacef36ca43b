"""Long pushes: they cost one copy at most, and are decoded, converted and checked bit by bit as they play."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, FormatError, Outcome, PlaybackController
from playback.audio.encodings import ENCODINGS
from playback.audio.formats import Block, parse
from playback.events import ErrorRaised
from playback.sinks import Chunk
from tests.signals import CUTS, RATE, Heard, tone

pytestmark = pytest.mark.portable

SECONDS = 3
MONO = tone(SECONDS * RATE, RATE, 440, 0.4)
STEREO = np.stack([MONO, tone(SECONDS * RATE, RATE, 700, 0.3)], axis=1)


def floats(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    return (samples / 32_768).astype(np.float32)


def frame(samples: NDArray[Any], sample_type: str) -> av.AudioFrame:
    """A frame of samples of shape (samples, channels)."""
    layout = ("mono", "stereo")[samples.shape[1] - 1]
    lying = samples.T if sample_type.endswith("p") else samples.reshape(1, -1)
    made = av.AudioFrame.from_ndarray(np.ascontiguousarray(lying), format=sample_type, layout=layout)
    made.sample_rate = RATE
    return made


KINDS: dict[str, tuple[AudioFormat, Any]] = {
    **{
        encoding: (AudioFormat(RATE, 1, encoding), bytes(range(96, 128)) * (SECONDS * RATE * encoded.width // 32))
        for encoding, encoded in ENCODINGS.items()
        if encoding != "f32le"
    },
    "f32le": (AudioFormat(RATE, 2, "f32le"), floats(STEREO).tobytes()),
    "int16": (AudioFormat(RATE), MONO),
    "float32": (AudioFormat(RATE), floats(MONO)),
    "stereo": (AudioFormat(RATE, 2), STEREO),
    "stereo float32": (AudioFormat(RATE, 2), floats(STEREO)),
    "transposed": (AudioFormat(RATE, 2), np.ascontiguousarray(STEREO.T).T),
    "transposed float32": (AudioFormat(RATE, 2), np.ascontiguousarray(floats(STEREO).T).T),
    "strided": (AudioFormat(RATE), STEREO[:, 0]),
    "backwards": (AudioFormat(RATE), floats(MONO)[::-1]),
    "s16p": (AudioFormat(RATE), frame(STEREO, "s16p")),
    "fltp": (AudioFormat(RATE), frame(floats(STEREO), "fltp")),
    "flt": (AudioFormat(RATE), frame(floats(STEREO), "flt")),
    "fltp mono": (AudioFormat(RATE), frame(floats(MONO.reshape(-1, 1)), "fltp")),
    "dblp": (AudioFormat(RATE), frame(floats(STEREO).astype(np.float64), "dblp")),
    "s32p": (AudioFormat(RATE), frame(STEREO.astype(np.int32) << 16, "s32p")),
    "u8p": (AudioFormat(RATE), frame(((STEREO >> 8) + 128).astype(np.uint8), "u8p")),
    "bytearray": (AudioFormat(RATE), bytearray(MONO.tobytes())),
    "odd view": (AudioFormat(RATE), memoryview(bytearray(MONO.tobytes() + b"\x7f"))),
}


def size_of(audio: Any) -> int:
    """Bytes of its samples."""
    if isinstance(audio, av.AudioFrame):
        return audio.samples * audio.layout.nb_channels * audio.format.bytes
    return memoryview(audio).nbytes


def peak_of(act: Callable[[], object]) -> int:
    """The most memory that an act takes beyond what there was, and what it leaves."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("taps", [False, True], ids=["alone", "with a sink"])
@pytest.mark.parametrize("output", [AudioFormat(RATE), AudioFormat(48_000, 2)], ids=["same", "converted"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_push_makes_one_copy_and_no_more(kind: str, output: AudioFormat, taps: bool) -> None:
    declared, audio = KINDS[kind]
    controller = PlaybackController(output)
    if taps:
        controller.sinks.add(lambda chunk: len(chunk.audio), when="pushed")
    utterance = controller.utterance(format=declared)
    peak = peak_of(lambda: utterance.push(audio))
    assert utterance.accepted == SECONDS * output.sample_rate
    a_fraction = RATE * 4 * 2 * 1.3  # what is checked, and what a sink gets at once
    assert peak < (0 if isinstance(audio, bytes) else size_of(audio)) + a_fraction


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_makes_one_copy_and_no_more(kind: str) -> None:
    declared, audio = KINDS[kind]

    async def run() -> None:
        utterance = PlaybackController(AudioFormat(RATE)).utterance(format=declared)
        await utterance.write(b"")  # what asyncio needs at first
        tracemalloc.start()
        await utterance.write(audio)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < (0 if isinstance(audio, bytes) else size_of(audio)) + RATE * 4 * 2 * 1.3

    asyncio.run(run())


def whole(block: Block) -> bytes:
    return bytes(block.read())


@pytest.mark.parametrize("kind", KINDS)
def test_any_stretch_of_a_block_is_that_of_the_whole(kind: str) -> None:
    declared, audio = KINDS[kind]
    block = parse(audio, declared)
    together, width = whole(block), block.layout.frame_bytes
    assert len(together) == block.samples * width
    rng = np.random.default_rng(1)
    for start, stop in np.sort(rng.integers(0, block.samples + 1, (20, 2)), axis=1).tolist():
        assert bytes(block.read(start, stop)) == together[start * width : stop * width]


@pytest.mark.parametrize("output", [AudioFormat(RATE), AudioFormat(48_000, 2)], ids=["same", "converted"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_long_push_sounds_as_short_ones_do(kind: str, output: AudioFormat) -> None:
    declared, audio = KINDS[kind]
    block = parse(audio, declared)
    data, width = whole(block), block.layout.frame_bytes
    heard = []
    for pushes in ([audio], None):
        controller = PlaybackController(output, fades=CUTS)
        utterance = controller.utterance(format=declared)
        if pushes is None:  # the same samples in frames of 20 ms
            for start in range(0, block.samples, RATE // 50):
                piece = data[start * width : (start + RATE // 50) * width]
                short = av.AudioFrame(block.layout.sample_type, block.layout.channels, len(piece) // width)
                short.sample_rate = RATE
                short.planes[0].update(piece)
                utterance.push(short)
        else:
            utterance.push(audio)
        utterance.end()
        heard.append(controller.read(SECONDS * output.sample_rate))
    assert np.array_equal(heard[0], heard[1])
    assert heard[0].any()


# Floats out of scale


def late_fault(value: float) -> NDArray[np.float32]:
    """Three seconds, of which a sample in the third one is wrong."""
    samples = floats(MONO).copy()
    samples[2 * RATE + 100] = value
    return samples


FAULTS = [float("nan"), float("inf"), 8.5, -32_768.0]


@pytest.mark.parametrize("value", FAULTS)
@pytest.mark.parametrize("place", [0, RATE - 1])
def test_what_is_wrong_in_the_first_second_is_refused_at_once(value: float, place: int) -> None:
    samples = floats(MONO).copy()
    samples[place] = value
    heard = Heard()
    for audio in (samples, frame(samples.reshape(-1, 1), "fltp"), np.stack([floats(MONO), samples], axis=1)):
        with pytest.raises(FormatError, match="expected finite numbers, full scale 1"):
            heard.controller.push(audio)
    with pytest.raises(FormatError, match="expected finite numbers, full scale 1"):
        heard.controller.utterance(format=AudioFormat(RATE, encoding="f32le")).push(samples.tobytes())
    assert (heard.controller.buffered, heard.emitted()) == (0, [])


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "open"])
@pytest.mark.parametrize("output", [AudioFormat(RATE), AudioFormat(48_000)], ids=["same", "resampled"])
@pytest.mark.parametrize("value", FAULTS)
def test_what_is_wrong_later_fails_the_utterance_when_it_comes(value: float, output: AudioFormat, ended: bool) -> None:
    heard = Heard(PlaybackController(output, fades=CUTS))
    controller = heard.controller
    chunks: list[Chunk] = []
    controller.sinks.add(chunks.append, when="pushed")
    utterance = controller.utterance(format=AudioFormat(RATE), text="all of it")
    utterance.push(late_fault(value))
    if ended:
        utterance.end()
    behind = controller.utterance(format=AudioFormat(RATE))
    behind.push(MONO[:480])
    behind.end()
    out = controller.read(4 * output.sample_rate)[:, 0]
    report = utterance.report
    assert report is not None
    assert report.outcome is Outcome.FAILED
    assert isinstance(report.error, FormatError)
    # It is converted in pieces of 0.2 s, and the piece in which it is wrong is not played.
    assert report.played == 2 * output.sample_rate
    assert report.accepted == report.played + report.discarded == 3 * output.sample_rate
    assert report.heard is None or "all of it" not in report.heard
    assert out[: report.played].any()
    assert behind.report is not None
    assert behind.report.outcome is Outcome.COMPLETED
    (error,) = [event for event in heard.events if isinstance(event, ErrorRaised)]
    assert (error.exception, error.source) == (report.error, f"the audio of {utterance.id}")
    assert sum(len(chunk.audio) for chunk in chunks if chunk.utterance is utterance) == 2 * RATE
    assert not utterance.push(MONO)
    assert controller.state == "idle"


@pytest.mark.parametrize("command", ["pause", "interrupt"])
def test_a_command_just_before_what_is_wrong(command: str) -> None:
    # The fade looks at samples that are not converted yet.
    heard = Heard(PlaybackController(AudioFormat(RATE)))
    utterance = heard.controller.utterance()
    utterance.push(late_fault(float("nan")))
    utterance.end()
    heard.read(2 * RATE - 10)
    getattr(heard.controller, command)()
    heard.read(RATE)
    if command == "pause":
        assert utterance.report is None
        heard.controller.resume()
        heard.read(RATE)
    assert utterance.report is not None
    assert utterance.report.outcome is (Outcome.FAILED if command == "pause" else Outcome.INTERRUPTED)


def test_what_is_wrong_right_behind_a_short_prebuffer_never_hangs() -> None:
    # The first second is fine and played, the next one is waited for: nothing of it comes.
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    utterance = controller.utterance()
    samples = floats(MONO).copy()
    samples[RATE:] = np.nan
    utterance.push(samples)
    controller.read(SECONDS * RATE)
    assert utterance.report is not None
    assert (utterance.report.outcome, utterance.report.played) == (Outcome.FAILED, RATE)


@pytest.mark.parametrize("level", [1.0, 0.01, 0.0003, 0.0001])
@pytest.mark.parametrize("whole_numbers", [True, False])
def test_floats_of_16_bits_are_refused_from_their_first_loud_sample_on(level: float, whole_numbers: bool) -> None:
    loud = level * 32_767 * np.sin(np.arange(480) * 0.3)
    if whole_numbers:
        loud = np.rint(loud)
    audible = np.abs(loud).max() >= (2 if whole_numbers else 8)
    controller = PlaybackController(AudioFormat(RATE))
    if audible:
        with pytest.raises(FormatError, match=r"full scale 1\.0"):
            controller.push(loud.astype(np.float32))
    else:  # so soft that it might as well be hot audio of full scale 1.0
        controller.push(loud.astype(np.float32))
    assert controller.buffered == (0 if audible else 480)


@pytest.mark.parametrize("decibels", [0, 6, 12])
def test_hot_floats_play_clipped(decibels: float) -> None:
    factor = 10 ** (decibels / 20)
    hot = (factor * np.sin(np.arange(SECONDS * RATE) * 0.05)).astype(np.float32)
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    utterance = controller.utterance()
    utterance.push(hot)
    utterance.end()
    out = controller.read(SECONDS * RATE)[:, 0]
    expected = np.rint(hot.astype(np.float64) * 32_768).clip(-32_768, 32_767)
    assert np.abs(out - expected).max() <= 1
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.COMPLETED
