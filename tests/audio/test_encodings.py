"""Bare bytes in other encodings than s16le: what they become, and where they may not be."""

from __future__ import annotations

import pickle
from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from playback import AudioFormat, Fades, FormatError, PlaybackController
from playback.audio.encodings import ENCODINGS, encode
from playback.audio.formats import Block, bare_layout, parse
from playback.tracing import Trace
from playback.tracing.replay import replay

RATE = 8_000
CUTS = Fades(0, 0, 0, 0)
SAMPLES = np.random.default_rng(1).integers(-32_768, 32_768, (400, 2)).astype(np.int16)

ENCODE: dict[str, Callable[[NDArray[np.int16]], bytes]] = {
    "s16le": lambda samples: samples.astype("<i2").tobytes(),
    "s16be": lambda samples: samples.astype(">i2").tobytes(),
    "s24le": lambda samples: b"".join(int(sample).to_bytes(3, "little", signed=True) for sample in wide(samples, 8)),
    "s32le": lambda samples: wide(samples, 16).astype("<i4").tobytes(),
    "f32le": lambda samples: (samples / 32_768).astype("<f4").tobytes(),
    "u8": lambda samples: ((samples >> 8) + 128).astype(np.uint8).tobytes(),
}


def wide(samples: NDArray[np.int16], bits: int) -> NDArray[Any]:
    """Samples with more bits below."""
    return samples.ravel().astype(np.int64) << bits


def values(block: Block) -> NDArray[Any]:
    """The samples of a block, in 16 bits."""
    match block.layout.sample_type:
        case "s16":
            return np.frombuffer(block.read(), "<i2")
        case "s32":
            return np.frombuffer(block.read(), "<i2")[1::2]  # the upper half
        case "flt":
            floats = np.frombuffer(block.read(), np.float32)
            return np.rint(floats * 32_768).astype(np.int16)
    raise AssertionError(block.layout)


def heard(format: AudioFormat, pieces: list[Any], channels: int = 1) -> NDArray[np.int16]:
    """What an utterance of these pieces sounds like."""
    controller = PlaybackController(AudioFormat(RATE, channels), input_format=format, fades=CUTS)
    utterance = controller.utterance()
    for piece in pieces:
        utterance.push(piece)
    utterance.end()
    return controller.read(utterance.accepted)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", ENCODE)
def test_samples_are_exact(encoding: str, channels: int) -> None:
    samples = SAMPLES[:, :channels]
    expected = samples >> 8 << 8 if encoding == "u8" else samples
    data = ENCODE[encoding](samples)
    declared = AudioFormat(RATE, channels, encoding)
    assert len(data) == len(samples) * declared.frame_bytes
    block = parse(data, declared)
    assert block.samples == len(samples)
    assert block.layout.channels == ("mono", "stereo")[channels - 1]
    assert len(block.read()) == block.samples * block.layout.frame_bytes
    assert np.array_equal(values(block), expected.ravel())
    assert np.array_equal(heard(declared, [data], channels), expected)


@pytest.mark.parametrize("encoding", ["mulaw", "alaw", "s24le", "s16be", "u8", "s32le", "f32le"])
def test_every_code_is_what_ffmpeg_decodes(encoding: str) -> None:
    data = bytes(range(256)) * 3
    if encoding == "f32le":  # any bytes are no numbers
        data = np.linspace(-1, 1, 192, dtype="<f4").tobytes()
    decoder: Any = av.CodecContext.create(f"pcm_{encoding}", "r")
    decoder.sample_rate, decoder.layout = RATE, "mono"
    (frame,) = decoder.decode(av.Packet(data))
    ours = parse(data, AudioFormat(RATE, 1, encoding))
    theirs = parse(frame, AudioFormat(RATE))
    if encoding == "u8":  # they have a type for it
        theirs = parse(((frame.to_ndarray()[0].astype(np.int16) - 128) << 8), AudioFormat(RATE))
    assert ours.layout == theirs.layout
    assert bytes(ours.read()) == bytes(theirs.read())


def test_known_values_of_g711() -> None:
    mulaw = values(parse(b"\x00\x7f\x80\xff\xfe", AudioFormat(RATE, 1, "mulaw")))
    assert mulaw.tolist() == [-32_124, 0, 32_124, 0, 8]
    alaw = values(parse(b"\x2a\xaa\x55\xd5", AudioFormat(RATE, 1, "alaw")))
    assert alaw.tolist() == [-32_256, 32_256, -8, 8]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_sample_split_between_pushes_is_completed(encoding: str, channels: int, kind: Callable[[Any], Any]) -> None:
    samples = SAMPLES[:, :channels]
    data = ENCODE.get(encoding, ENCODE["u8"])(samples)
    declared = AudioFormat(RATE, channels, encoding)
    whole = heard(declared, [data], channels)
    rng = np.random.default_rng(channels)
    cuts = np.sort(rng.integers(0, len(data), 300)).tolist()
    pieces = [kind(data[start:stop]) for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert np.array_equal(heard(declared, pieces, channels), whole)
    assert np.array_equal(heard(declared, [data[at : at + 1] for at in range(len(data))], channels), whole)


def test_encodings_are_resampled_and_spread() -> None:
    tone = np.rint(16_000 * np.sin(np.arange(800) * 0.2)).astype(np.int16)
    outputs = []
    for encoding in ("s16le", "s16be", "s24le", "s32le", "f32le"):
        controller = PlaybackController(AudioFormat(24_000, 2), fades=CUTS)
        utterance = controller.utterance(format=AudioFormat(RATE, 1, encoding))
        data = ENCODE[encoding](tone)
        for start in range(0, len(data), 101):
            utterance.push(data[start : start + 101])
        utterance.end()
        assert utterance.accepted == 2_400
        outputs.append(controller.read(2_400).astype(int))
    assert all(np.abs(output - outputs[0]).max() <= 1 for output in outputs)


def test_bytes_that_look_like_the_output_are_decoded_all_the_same() -> None:
    # Their samples have the output's type, rate and channels, so only the encoding keeps them off the fast path.
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS)
    utterance = controller.utterance(format=AudioFormat(RATE, encoding="s16be"))
    data = ENCODE["s16be"](SAMPLES[:, 0])
    out = []
    for start in range(0, len(data), 80):
        utterance.push(data[start : start + 80])
        out.append(controller.read(40)[:, 0])
    assert np.array_equal(np.concatenate(out), SAMPLES[:, 0])


def test_arrays_and_frames_have_a_type_of_their_own() -> None:
    samples = np.ascontiguousarray(SAMPLES[:, 0])
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
    frame.sample_rate = RATE
    floats = (samples / 32_768).astype(np.float32)
    for encoding in ENCODINGS:
        for audio in (samples, frame, floats):
            assert np.array_equal(heard(AudioFormat(RATE, 1, encoding), [audio])[:, 0], samples)


@pytest.mark.parametrize("value", [8.5, -8.5, float("nan"), float("inf")])
def test_floats_out_of_scale_are_refused(value: float) -> None:
    data = np.array([0.0, value, 0.0], "<f4").tobytes()
    with pytest.raises(FormatError, match="expected finite numbers, full scale 1"):
        parse(data, AudioFormat(RATE, 1, "f32le"))


def test_items_of_16_bits_are_s16le_only() -> None:
    items = array("h", [1, 2, 3])
    assert parse(items, AudioFormat(RATE)).samples == 3
    with pytest.raises(FormatError, match="the buffer's type is 'h', expected bytes in mulaw"):
        parse(items, AudioFormat(RATE, 1, "mulaw"))


@pytest.mark.parametrize("encoding", ["", "s16", "S16LE", "mp3", None, 16, ["s16le"], b"s16le"])
def test_another_encoding_is_refused(encoding: Any) -> None:
    with pytest.raises(FormatError, match=r"encoding is .*, expected one of s16le, s16be, s24le"):
        AudioFormat(RATE, 1, encoding)


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "s16le"])
def test_an_output_has_no_other_encoding(encoding: str) -> None:
    with pytest.raises(FormatError, match=f"the output's encoding is '{encoding}', expected 's16le'"):
        PlaybackController(AudioFormat(RATE, 1, encoding))
    controller = PlaybackController(AudioFormat(RATE), input_format=AudioFormat(RATE, 1, encoding))
    assert controller.format.encoding == "s16le"


def test_a_format_is_a_value() -> None:
    formats = [AudioFormat(RATE, channels, encoding) for channels in (1, 2) for encoding in ENCODINGS]
    assert len(set(formats)) == len(formats)
    assert AudioFormat(RATE) == AudioFormat(RATE, 1, "s16le") != AudioFormat(RATE, 1, "s16be")
    for value in formats:
        assert pickle.loads(pickle.dumps(value)) == value
        assert replace(value, sample_rate=16_000).encoding == value.encoding
        assert replace(AudioFormat(RATE, value.channels), encoding=value.encoding) == value
    assert [AudioFormat(RATE, 2, encoding).frame_bytes for encoding in ENCODINGS] == [4, 4, 6, 8, 8, 2, 2, 2]


def test_the_layout_of_encoded_bytes_is_no_layout_of_samples() -> None:
    blocks = {parse(b"", AudioFormat(RATE, 1, encoding)).layout for encoding in ENCODINGS}
    others = {bare_layout(AudioFormat(RATE, 1, encoding)) for encoding in ENCODINGS if encoding != "s16le"}
    assert not blocks & others


def test_a_trace_keeps_the_encoding(tmp_path: Path) -> None:
    mulaw, floats = AudioFormat(RATE, 1, "mulaw"), AudioFormat(RATE, 2, "f32le")
    controller = PlaybackController(AudioFormat(RATE), input_format=mulaw, fades=CUTS)
    with Trace(controller) as trace:
        for declared in (mulaw, floats):
            utterance = controller.utterance(format=declared)
            for _ in range(3):
                utterance.push(bytes(7))
            utterance.end()
        controller.read(200)
    path = tmp_path / "call.jsonl"
    trace.save(path)
    loaded = Trace.load(path)
    assert loaded.settings.input_format == mulaw
    assert replay(loaded).records == trace.records
    text = path.read_text(encoding="utf-8")
    assert '"encoding": "f32le"' in text
    path.write_text(text.replace(', "encoding": "s16le"', ""), encoding="utf-8")
    assert Trace.load(path).settings.format == AudioFormat(RATE)


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_each_sample_gets_the_nearest_value_of_g711(encoding: str) -> None:
    samples = np.arange(-32_768, 32_768).astype(np.int16)
    encoded = encode(samples, encoding)
    decoded = np.frombuffer(ENCODINGS[encoding].decode(encoded), "<i2").astype(int)
    values = np.unique(decoded)
    assert len(values) >= 255
    some = np.arange(0, len(samples), 37)
    nearest = np.abs(values[:, None] - samples[some]).min(0)
    assert list(np.abs(decoded - samples)[some]) == list(nearest)
    assert (np.diff(decoded) >= 0).all()
    assert list(decoded[32_769:]) == list(-decoded[32_767:0:-1])  # but for 0 and the lowest, both sides are alike


def test_values_of_g711_are_encoded_as_themselves() -> None:
    for encoding in ("mulaw", "alaw"):
        every = bytes(range(256))
        again = encode(np.frombuffer(ENCODINGS[encoding].decode(every), "<i2"), encoding)
        # Mu-law has two zeros.
        assert [a for a, b in zip(every, again, strict=True) if a != b] == ([0x7F] if encoding == "mulaw" else [])
    assert encode(np.zeros(2, np.int16), "mulaw") == b"\xff\xff"
    assert encode(np.zeros(2, np.int16), "alaw") == b"\xd5\xd5"


def test_l16_is_encoded_in_either_order() -> None:
    samples = np.array([[1], [-2]], np.int16)
    assert encode(samples, "s16le") == b"\x01\x00\xfe\xff"
    assert encode(samples, "s16be") == b"\x00\x01\xff\xfe"
    with pytest.raises(ValueError, match="encoding is 'opus'"):
        encode(samples, "opus")
