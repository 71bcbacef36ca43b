"""Input of any kind, and its conversion."""

from __future__ import annotations

import tracemalloc
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, FormatError, PlaybackController
from playback.audio.converter import converted_samples
from playback.audio.formats import parse
from tests.signals import CUTS, FRAME, RATE, Heard, ramp, signal_to_noise, tone

pytestmark = pytest.mark.portable

RATES = (8_000, 16_000, 22_050, 24_000, 44_100, 48_000)


def play(audio: list[Any], source: AudioFormat, target: AudioFormat, size: int = 0) -> NDArray[np.int16]:
    """Everything that an utterance of these pushes sounds like."""
    controller = PlaybackController(target, fades=CUTS)
    utterance = controller.utterance(format=source)
    accepted = sum(utterance.push(piece) for piece in audio)
    utterance.end()
    assert accepted == utterance.accepted
    size = size or target.sample_rate // 50
    out = np.concatenate([controller.read(size) for _ in range(accepted // size + 2)])
    assert utterance.played == accepted
    assert not out[accepted:].any()
    return out[:accepted]


@pytest.mark.parametrize("target", RATES)
@pytest.mark.parametrize("source", RATES)
def test_the_number_of_converted_samples_is_exact(source: int, target: int) -> None:
    rng = np.random.default_rng(source + target)
    for total in (0, 1, 2, 3, 17, 33, source // 50, source // 3 + 7):
        cuts = np.sort(rng.integers(0, total + 1, 5))
        pieces = np.split(tone(total, source), cuts)
        out = play([piece.tobytes() for piece in pieces], AudioFormat(source), AudioFormat(target))
        assert len(out) == int(total * target / source + 0.5) == converted_samples(total, source, target)


@pytest.mark.parametrize("target", RATES)
@pytest.mark.parametrize("source", RATES)
def test_a_tone_stays_clean_and_in_place(source: int, target: int) -> None:
    out = play([tone(source, source).tobytes()], AudioFormat(source), AudioFormat(target))[:, 0]
    middle = out[target // 10 : -target // 10]
    assert signal_to_noise(middle, target) > 80
    ideal = tone(target, target).astype(np.float64)[target // 10 : -target // 10]
    assert np.abs(middle - ideal).max() < 20, "the tone has moved, or changed its level"


@pytest.mark.parametrize("size", [1, 7, 160, 959, 960, 5_000])
def test_the_size_of_pushes_and_reads_does_not_change_what_is_heard(size: int) -> None:
    audio = tone(8_000, 24_000)
    whole = play([audio.tobytes()], AudioFormat(24_000), AudioFormat(48_000))
    pieces = [audio[at : at + size].tobytes() for at in range(0, len(audio), size)]
    assert np.array_equal(play(pieces, AudioFormat(24_000), AudioFormat(48_000), size), whole)


def test_an_utterance_leaks_nothing_into_the_next_one() -> None:
    controller = PlaybackController(AudioFormat(48_000), input_format=AudioFormat(24_000), fades=CUTS)
    for audio in (tone(1_000, 24_000, level=0.9), np.zeros(1_000, np.int16)):
        utterance = controller.utterance()
        utterance.push(audio)
        utterance.end()
    out = controller.read(4_000)[:, 0]
    assert np.abs(out[:2_000]).max() > 25_000
    assert not out[2_000:].any()


def test_every_utterance_has_its_own_format() -> None:
    controller = PlaybackController(AudioFormat(48_000), fades=CUTS)
    for rate in RATES:
        utterance = controller.utterance(format=AudioFormat(rate))
        utterance.push(tone(rate, rate))
        utterance.end()
        assert utterance.accepted == 48_000
        out = controller.read(48_000)[4_800:-4_800, 0]
        assert signal_to_noise(out, 48_000) > 80


def test_the_remainder_that_the_converter_holds_back_counts_as_buffered() -> None:
    controller = PlaybackController(AudioFormat(48_000), input_format=AudioFormat(24_000), fades=CUTS)
    utterance = controller.utterance()
    assert utterance.push(tone(480, 24_000)) == 960
    controller.read(800)
    assert (utterance.played, controller.buffered) == (800, 160)
    controller.read(160)
    assert controller.leaf == "speaking.buffering", "the last samples depend on what follows them"
    utterance.end()
    controller.read(160)
    assert (utterance.played, controller.buffered) == (960, 0)


def test_a_change_of_rate_within_an_utterance_flushes_the_converter() -> None:
    heard = Heard(PlaybackController(AudioFormat(48_000), fades=CUTS))
    utterance = heard.controller.utterance()
    accepted = 0
    for rate in (24_000, 48_000, 16_000, 24_000):
        frame = av.AudioFrame.from_ndarray(tone(rate // 10, rate).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        accepted += utterance.push(frame)
    utterance.end()
    assert accepted == 4 * 4_800
    out = np.array(heard.read(accepted), np.int16)
    for start in range(0, accepted, 4_800):
        assert signal_to_noise(out[start + 500 : start + 4_300], 48_000) > 70
    assert heard.controller.state == "idle"


@pytest.mark.parametrize("sample_type", ["fltp", "s16p", "flt", "s16"])
@pytest.mark.parametrize(("layout", "channels"), [("6.1", 7), ("7.1", 8), ("16 channels", 16), ("25 channels", 25)])
def test_frames_of_many_channels(layout: str, channels: int, sample_type: str) -> None:
    # Of a layout without places for its channels, and of planes that PyAV does not count right.
    samples = np.arange(100 * channels, dtype=np.int16).reshape(100, channels)
    data = samples if sample_type.startswith("s16") else (samples / 32_768).astype(np.float32)
    packed_type = sample_type.removesuffix("p")
    packed = av.AudioFrame(format=packed_type, layout=layout, samples=100)
    packed.sample_rate = 48_000
    packed.planes[0].update(data.tobytes().ljust(packed.planes[0].buffer_size, b"\0"))
    (frame,) = av.AudioResampler(sample_type, packed.layout, 48_000).resample(packed)
    block = parse(frame, AudioFormat(48_000))
    assert (block.samples, block.layout.sample_type) == (100, packed_type)
    assert bytes(block.read()) == data.tobytes()


def arrays(channels: int) -> NDArray[np.float64]:
    left = tone(1_000, 48_000, 440).astype(np.float64)
    right = tone(1_000, 48_000, 880, 0.3).astype(np.float64)
    return np.stack([left, right], axis=1)[:, :channels]


@pytest.mark.parametrize("sample_type", ["u8", "s16", "s32", "flt", "dbl", "u8p", "s16p", "s32p", "fltp", "dblp"])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_frames_of_every_sample_type_and_layout(sample_type: str, layout: str) -> None:
    wanted = arrays(1 if layout == "mono" else 2)
    kind = sample_type.removesuffix("p")
    scale: dict[str, tuple[type, float, float]] = {
        "u8": (np.uint8, 1 / 256, 128),
        "s16": (np.int16, 1, 0),
        "s32": (np.int32, 65_536, 0),
        "flt": (np.float32, 1 / 32_768, 0),
        "dbl": (np.float64, 1 / 32_768, 0),
    }
    dtype, factor, offset = scale[kind]
    values = wanted * factor + offset
    data: NDArray[Any] = (np.rint(values) if np.issubdtype(dtype, np.integer) else values).astype(dtype)
    packed = np.ascontiguousarray(data.T) if sample_type.endswith("p") else data.reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format=sample_type, layout=layout)
    frame.sample_rate = 48_000
    out = play([frame], AudioFormat(48_000), AudioFormat(48_000, 2))
    tolerance = 256 if kind == "u8" else 1
    assert np.abs(out - np.broadcast_to(wanted, out.shape)).max() <= tolerance


@pytest.mark.parametrize("sample_type", ["s16", "s16p", "flt", "fltp", "s32", "dbl"])
def test_a_frame_without_samples_is_an_empty_push(sample_type: str) -> None:
    frame = av.AudioFrame(format=sample_type, layout="stereo", samples=0)
    frame.sample_rate = 44_100
    controller = PlaybackController(AudioFormat(24_000))
    utterance = controller.utterance()
    assert utterance.push(frame) == 0
    assert utterance.push(ramp(480).tobytes()) == 480
    assert utterance.refused == 0


def test_a_frame_of_many_channels_is_mixed_down() -> None:
    audio = np.zeros((6, 480), np.float32)
    audio[2] = 0.5  # the centre
    frame = av.AudioFrame.from_ndarray(audio, format="fltp", layout="5.1")
    frame.sample_rate = 48_000
    out = play([frame], AudioFormat(48_000), AudioFormat(48_000, 2))
    assert (out[:, 0] == out[:, 1]).all()
    assert out.min() > 1_000


def test_stereo_to_mono_averages_and_mono_to_stereo_copies() -> None:
    both = np.stack([ramp(100, 1_000), ramp(100, 3_000)], axis=1)
    mono = play([both], AudioFormat(RATE, 2), AudioFormat(RATE))
    assert np.array_equal(mono[:, 0], ramp(100, 2_000))
    stereo = play([ramp(100)], AudioFormat(RATE), AudioFormat(RATE, 2))
    assert np.array_equal(stereo, np.stack([ramp(100)] * 2, axis=1))


def test_stereo_stays_in_its_channels_when_the_rate_changes() -> None:
    both = np.stack([tone(2_400, 24_000), np.zeros(2_400, np.int16)], axis=1)
    out = play([both], AudioFormat(24_000, 2), AudioFormat(48_000, 2))
    assert signal_to_noise(out[500:-500, 0], 48_000) > 80
    assert not out[:, 1].any()


@pytest.mark.parametrize(
    "audio",
    [
        ramp(1_000).tobytes(),
        bytearray(ramp(1_000).tobytes()),
        memoryview(ramp(1_000).tobytes()),
        ramp(1_000).data,
        ramp(1_000),
        ramp(1_000).reshape(-1, 1),
        np.repeat(ramp(1_000), 2)[::2],
        (ramp(1_000) / 32_768).astype(np.float32),
        np.stack([ramp(1_000)] * 2, axis=1),
    ],
    ids=["bytes", "bytearray", "memoryview", "int16 view", "1-D", "2-D", "strided", "float32", "stereo"],
)
def test_every_kind_of_input_sounds_the_same(audio: Any) -> None:
    assert np.array_equal(play([audio], AudioFormat(RATE), AudioFormat(RATE))[:, 0], ramp(1_000))


def test_floats_beyond_full_scale_are_clipped() -> None:
    out = play([np.array([1.0, 2.5, -1.0, -7.9], np.float32)], AudioFormat(RATE), AudioFormat(RATE))
    assert out[:, 0].tolist() == [32_767, 32_767, -32_768, -32_768]


@pytest.mark.parametrize(
    "audio", [bytearray(ramp(FRAME).tobytes()), ramp(FRAME), (ramp(FRAME) / 32_768).astype(np.float32)]
)
def test_audio_that_changes_after_the_push_sounds_as_it_was(audio: Any) -> None:
    heard = Heard()
    heard.controller.push(audio)
    audio[:] = bytes(len(audio)) if isinstance(audio, bytearray) else 0
    assert heard.read() == ramp(FRAME).tolist()


def test_immutable_bytes_are_not_copied() -> None:
    controller = PlaybackController(AudioFormat(RATE))
    audio = bytes(10_000_000)
    tracemalloc.start()
    controller.push(audio)
    controller.read(FRAME)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_long_push_is_converted_as_reading_comes_near() -> None:
    controller = PlaybackController(AudioFormat(48_000), input_format=AudioFormat(24_000))
    audio = bytes(24_000 * 2 * 60)
    tracemalloc.start()
    assert controller.push(audio) == 60 * 48_000
    controller.read(960)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 48_000 * 2, "more than a fraction of a second was converted"


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        ("text", "str"),
        (None, "NoneType"),
        (3.5, "float"),
        ([1, 2, 3], "list"),
        (np.zeros(10), "float64"),
        (np.zeros(10, np.int32), "int32"),
        (np.zeros(10, ">i2"), ">i2"),
        (np.zeros((10, 3), np.int16), r"\(10, 3\)"),
        (np.zeros((2, 10, 1), np.int16), r"\(2, 10, 1\)"),
        (np.array([0, np.nan], np.float32), "nan"),
        (np.array([0, np.inf], np.float32), "inf"),
        (av.AudioFrame("s16", "mono", 10), "sample rate is 0"),
    ],
)
def test_what_cannot_be_played_is_a_format_error_that_names_it(audio: Any, message: str) -> None:
    controller = PlaybackController(AudioFormat(RATE))
    utterance = controller.utterance()
    with pytest.raises(FormatError, match=message):
        utterance.push(audio)
    assert (controller.state, utterance.accepted, controller.stats.refusals) == ("idle", 0, 0)


def test_a_frame_with_a_nan_is_a_format_error() -> None:
    frame = av.AudioFrame.from_ndarray(np.full((1, 10), np.nan, np.float32), format="fltp", layout="mono")
    frame.sample_rate = RATE
    with pytest.raises(FormatError, match="nan"):
        PlaybackController().push(frame)


def test_a_frame_that_can_not_be_converted_takes_nothing_and_stops_nothing() -> None:
    try:
        frame = av.AudioFrame("s16", "binaural", 480)
    except ValueError:
        pytest.skip("needs a PyAV that knows the layout, which FFmpeg can't convert")
    frame.sample_rate = 48_000
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    heard = Heard(PlaybackController(AudioFormat(48_000), fades=CUTS))
    utterance = heard.controller.utterance()
    with pytest.raises(FormatError, match="binaural"):
        utterance.push(frame)
    assert (utterance.accepted, heard.controller.leaf) == (0, "idle")
    utterance.push(ramp(FRAME))
    assert heard.read() == ramp(FRAME).tolist()


def test_a_frame_of_64_bit_samples_is_a_format_error() -> None:
    frame = av.AudioFrame("s64", "mono", 480)
    frame.sample_rate = 48_000
    with pytest.raises(FormatError, match="s64"):
        PlaybackController().push(frame)


def test_bytes_keep_their_format_whatever_was_pushed_before() -> None:
    controller = PlaybackController(AudioFormat(48_000), fades=CUTS)
    utterance = controller.utterance(format=AudioFormat(24_000))
    frame = av.AudioFrame.from_ndarray(np.ones((1, 960), np.int16), format="s16", layout="mono")
    frame.sample_rate = 48_000  # the output format
    assert [utterance.push(frame), utterance.push(frame), utterance.push(bytes(960))] == [960] * 3
    utterance = controller.utterance(format=AudioFormat(48_000, 2))
    assert utterance.push(np.ones((960, 1), np.int16)) == 960
    assert utterance.push(bytes(1_920)) == 480


def test_a_flat_array_of_several_channels_is_ambiguous() -> None:
    with pytest.raises(FormatError, match=r"\(samples, 2\)"):
        PlaybackController(AudioFormat(RATE, 2)).push(ramp(10))


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (-1, 1), (24_000.0, 1), (True, 1), (24_000, 0), (24_000, 3)])
def test_formats_that_cannot_be(rate: Any, channels: Any) -> None:
    with pytest.raises(FormatError, match=repr(rate if channels == 1 else channels)):
        AudioFormat(rate, channels)


class TestPartialSamples:
    def test_a_sample_split_between_pushes_is_whole_again(self) -> None:
        audio = ramp(FRAME).tobytes()
        for cut in (1, 2, 3, 479, 958, 959):
            heard = Heard()
            utterance = heard.controller.utterance()
            assert utterance.push(audio[:cut]) + utterance.push(audio[cut:]) == FRAME
            assert heard.read() == ramp(FRAME).tolist()

    def test_byte_by_byte(self) -> None:
        heard = Heard()
        utterance = heard.controller.utterance()
        audio = ramp(FRAME).tobytes()
        assert [utterance.push(audio[at : at + 1]) for at in range(len(audio))] == [0, 1] * FRAME
        assert heard.read() == ramp(FRAME).tolist()

    def test_an_odd_byte_at_the_end_shifts_nothing_that_follows(self) -> None:
        heard = Heard()
        for _ in range(2):
            utterance = heard.controller.utterance()
            utterance.push(ramp(FRAME).tobytes() + b"\x7f")
            utterance.end()
        assert heard.read() == heard.read() == ramp(FRAME).tolist()
        assert heard.controller.stats.partial_bytes == 2

    def test_an_array_can_not_complete_a_sample(self) -> None:
        heard = Heard()
        utterance = heard.controller.utterance()
        utterance.push(b"\x7f")
        utterance.push(ramp(FRAME))
        assert heard.read() == ramp(FRAME).tolist()
        assert heard.controller.stats.partial_bytes == 1

    def test_an_interrupt_drops_it(self) -> None:
        heard = Heard()
        heard.controller.push(ramp(FRAME).tobytes() + b"\x7f")
        heard.read()
        heard.controller.interrupt()
        heard.controller.push(ramp(FRAME).tobytes())
        assert heard.read() == ramp(FRAME).tolist()

    def test_it_is_counted_however_the_utterance_ends(self) -> None:
        for finish in ("interrupt", "close", "lock", "cancel"):
            controller = PlaybackController()
            utterance = controller.utterance()
            utterance.push(bytes(21))
            getattr(utterance if finish == "cancel" else controller, finish)()
            assert controller.stats.partial_bytes == 1, finish

    def test_a_refused_push_does_not_shift_what_follows(self) -> None:
        audio = ramp(10).tobytes()
        for cut in range(1, 8):
            heard = Heard()
            utterance = heard.controller.utterance()
            heard.controller.lock()
            utterance.push(audio[:1])
            utterance.push(audio[1:cut])
            heard.controller.unlock()
            utterance.push(audio[cut:])
            utterance.end()
            assert heard.read()[: 10 - cut // 2] == [*range(1 + cut // 2, 11)], cut

    def test_stereo_samples_have_four_bytes(self) -> None:
        heard = Heard(PlaybackController(AudioFormat(RATE, 2), fades=CUTS))
        audio = np.stack([ramp(FRAME)] * 2, axis=1).tobytes()
        utterance = heard.controller.utterance()
        for at in range(0, len(audio), 3):
            utterance.push(audio[at : at + 3])
        assert heard.read() == ramp(FRAME).tolist()
