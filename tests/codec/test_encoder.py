"""The encoder: the same packets as PyAV's, what a decoder makes of them, and where libopus is looked for."""

from __future__ import annotations

import ctypes
import gc
import logging
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.micro.codecs import decoded
from playback.codec import libopus
from playback.codec.encoder import OpusEncoder, PyAVEncoder, open_encoder
from playback.codec.settings import SAMPLE_RATES, Application, OpusSettings
from tests.transports.test_track import band, similarity, speech

pytestmark = pytest.mark.portable

RATE = 48_000


def frames(rate: int, seconds: float = 1.0) -> NDArray[np.int16]:
    """Speech, 20 ms in each row."""
    samples = np.frombuffer(speech(seconds, rate), np.int16)
    size = rate // 50
    return samples[: len(samples) // size * size].reshape(-1, size)


def direct(rate: int = RATE, **settings: Any) -> OpusEncoder:
    encoder = open_encoder(rate, OpusSettings(**settings))
    assert isinstance(encoder, OpusEncoder), "PyAV's wheel ships libopus"
    return encoder


@pytest.fixture
def without_libopus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """PyAV stands in an empty folder, and the system has no libopus."""
    (tmp_path / "av").mkdir()
    monkeypatch.setattr(libopus, "av", SimpleNamespace(__file__=str(tmp_path / "av" / "__init__.py")))
    real = ctypes.CDLL

    def only_files(name: str) -> Any:
        if not Path(name).is_absolute():
            raise OSError(f"{name}: not found")
        return real(name)

    monkeypatch.setattr(libopus, "ctypes", SimpleNamespace(CDLL=only_files))
    libopus.load.cache_clear()
    return tmp_path


@pytest.fixture(autouse=True)
def loaded_anew() -> Any:
    """What a test has made of the search ends with it."""
    yield
    libopus.load.cache_clear()


# The packets


@pytest.mark.parametrize("rate", SAMPLE_RATES)
@pytest.mark.parametrize("application", ["voip", "audio", "lowdelay"])
@pytest.mark.parametrize("expected_loss", [0.0, 0.2])
def test_the_packets_are_those_of_pyav(rate: int, application: Application, expected_loss: float) -> None:
    for complexity, bitrate in ((0, 32_000), (5, 16_000), (10, 6_000), (3, 256_000)):
        settings = OpusSettings(bitrate, complexity, application, expected_loss)
        encoder, other = open_encoder(rate, settings), PyAVEncoder(rate, settings)
        assert isinstance(encoder, OpusEncoder)
        for frame in frames(rate, 0.4):
            assert encoder.encode(frame) == other.encode(frame)


@pytest.mark.parametrize("rate", SAMPLE_RATES)
def test_a_decoder_gets_back_what_was_encoded_as_late_as_the_encoder_says(rate: int) -> None:
    encoder = direct(rate)
    spoken = frames(rate, 1.5)
    packets = [av.Packet(encoder.encode(frame)) for frame in spoken]
    sound = decoded(packets)
    assert len(sound) == len(packets) * 960  # each packet is 20 ms
    assert encoder.lookahead == rate * 0.0065
    match, lag = similarity(band(spoken[:-2].reshape(-1), rate), band(sound, RATE))
    assert match > 0.9
    assert lag <= RATE * 0.01


def test_what_is_filled_in_is_encoded_as_what_is_passed() -> None:
    filled, passed = direct(), direct()
    for frame in frames(RATE):
        filled.samples[:] = frame
        assert filled.encode(filled.samples) == passed.encode(frame)


@pytest.mark.parametrize("samples", [np.zeros(480, np.int16), np.zeros(960, np.int32), np.zeros((960, 2), np.int16)])
@pytest.mark.parametrize("kind", [direct, lambda: PyAVEncoder(RATE, OpusSettings())])
def test_what_is_no_20_ms_is_refused(samples: NDArray[Any], kind: Any) -> None:
    with pytest.raises(ValueError, match=r"expected int16 of shape \(960,\)"):
        kind().encode(samples)


def test_a_rate_that_opus_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="sample_rate is 44100, expected one of 8000, 12000, 16000, 24000, 48000"):
        open_encoder(44_100)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"bitrate": 5_999}, ValueError, "bitrate is 5999"),
        ({"complexity": 11}, ValueError, "complexity is 11"),
        ({"complexity": 1.5}, TypeError, "complexity is 1.5"),
        ({"application": "music"}, ValueError, "application is 'music'"),
        ({"expected_loss": 2}, ValueError, "expected_loss is 2"),
    ],
)
def test_a_setting_that_opus_does_not_have_is_refused(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        OpusSettings(**settings)


# Its state


def test_an_encoder_that_gets_the_state_of_another_goes_on_like_it() -> None:
    one, other = direct(), direct()
    spoken = frames(RATE)
    for frame in spoken[:20]:
        one.encode(frame)
    other.restore(one.state())
    assert [one.encode(frame) for frame in spoken[20:]] == [other.encode(frame) for frame in spoken[20:]]


def test_a_state_of_something_else_is_refused() -> None:
    encoder = direct()
    with pytest.raises(ValueError, match="the state has 3 bytes"):
        encoder.restore(b"abc")


def test_a_packet_that_was_encoded_apart_sounds_the_same_after_anything() -> None:
    spoken = frames(RATE, 1.5)
    before = direct(complexity=0)
    other = [before.encode(frame[::-1].copy()) for frame in spoken[:20]]

    def heard(apart: bool) -> float:
        """How far apart the same packets sound, after nothing and after something else: the rms, for an rms of 1."""
        encoder = direct()
        for frame in spoken[:30]:
            encoder.encode(frame)
        first, *rest = spoken[30:]
        packets = [encoder.encode_apart(first) if apart else encoder.encode(first), *map(encoder.encode, rest)]
        alone = decoded(map(av.Packet, packets))
        after = decoded(map(av.Packet, [*other, *packets]))[len(other) * 960 :]
        # From the second packet on: the first one overlaps with what was before.
        difference, sound = (alone - after)[960:], alone[960:]
        return float(np.sqrt(np.mean(difference**2) / np.mean(sound**2)))

    assert heard(apart=True) < 0.5 * heard(apart=False)
    assert heard(apart=True) < 0.05


# Its memory


def test_an_encoder_s_memory_ends_with_it() -> None:
    def made() -> None:
        for _ in range(20):
            direct().encode(np.zeros(960, np.int16))

    made()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        encoder = direct()
        one = tracemalloc.get_traced_memory()[0] - before
        assert one > 10_000  # the state is seen by Python
        del encoder
        made()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < one
    finally:
        tracemalloc.stop()


def test_encoders_on_several_threads_do_not_disturb_each_other() -> None:
    spoken = frames(RATE)

    def encoded(_: int) -> list[bytes]:
        encoder = direct()
        return [encoder.encode(frame) for frame in spoken]

    alone = encoded(0)
    with ThreadPoolExecutor(2) as pool:
        assert all(packets == alone for packets in pool.map(encoded, range(4)))


# Where libopus is


@pytest.mark.parametrize(
    ("folder", "name"),
    [("av.libs", "libopus-114e2b1a.so.0.11.1"), ("av/.dylibs", "libopus.0.dylib"), ("av.libs", "opus-0a1b2c.dll")],
)
def test_it_is_found_where_the_wheels_of_pyav_have_it(without_libopus: Path, folder: str, name: str) -> None:
    [real] = (Path(av.__file__).parent.with_name("av.libs")).glob("libopus-*.so*")
    (without_libopus / folder).mkdir()
    (without_libopus / folder / "libopusfile.so.0").write_bytes(b"something else")
    (without_libopus / folder / "libopus-broken.so").write_bytes(b"not a library")
    shutil.copy(real, without_libopus / folder / name)
    assert libopus.load() is not None


def test_without_it_pyav_makes_the_same_packets_and_that_is_logged_once(
    without_libopus: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING, "playback"):
        encoder, other = open_encoder(24_000), open_encoder(24_000)
    assert isinstance(encoder, PyAVEncoder)
    assert isinstance(other, PyAVEncoder)
    assert len(caplog.records) == 1
    assert "no libopus is found" in caplog.text
    packets = [encoder.encode(frame) for frame in frames(24_000)]
    monkeypatch.undo()
    libopus.load.cache_clear()
    alike = direct(24_000)
    assert packets == [alike.encode(frame) for frame in frames(24_000)]
