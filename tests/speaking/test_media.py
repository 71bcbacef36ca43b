"""Media streams as synthesizers send them: through ``speak``, and through ``utterance(format="encoded")``."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import playback.sources
from playback import AudioFormat, FormatError, Outcome, PlaybackController, Utterance
from playback.audio.media import streams
from playback.audio.media.streams import StreamDecoder
from playback.media_input import MOST_BLOCKS, MOST_BYTES
from playback.words import Word
from tests.audio.media import CASES, SAMPLES, chunk, correlation, made, sound, wav
from tests.speaking.playing import (
    PATIENCE,
    STALL,
    Call,
    Source,
    no_thread_is_left,
    tasks_of_speaking,
    turns,
    until,
)

threads_end = pytest.fixture(autouse=True)(no_thread_is_left)

RATE = 24_000
STEREO = {"ogg vorbis", "webm vorbis"}


def call_of(rate: int, channels: int = 1, **options: Any) -> Call:
    """A call whose output has the rate of what is played, so that nothing is resampled."""
    return Call(format=AudioFormat(rate, channels), **options)


def pieces_of(data: bytes, size: str) -> Iterator[bytes]:
    """A stream in pieces of so many bytes, or of random lengths."""
    rng = np.random.default_rng(7)
    at = 0
    while at < len(data):
        step = int(size) if size.isdigit() else int(rng.integers(1, 3_000))
        yield data[at : at + step]
        at += step


async def whole(call: Call, utterance: Utterance) -> NDArray[np.float64]:
    """All of an utterance, read when all of it is there: so no underrun comes between."""
    await until(lambda: utterance.ended)
    out = call.controller.read(utterance.accepted)[:, 0].astype(np.float64)
    await turns()
    assert utterance.report is not None
    assert utterance.report.error is None
    assert utterance.report.outcome is Outcome.COMPLETED
    assert not tasks_of_speaking()
    assert not call.named("error")
    return out


# Ways to play a stream


def spoken(call: Call, data: bytes, size: str) -> Utterance:
    return call.controller.speak(Source(*pieces_of(data, size)))


def spoken_as_encoded(call: Call, data: bytes, size: str) -> Utterance:
    return call.controller.speak(Source(*pieces_of(data, size)), format="encoded")


def written(call: Call, data: bytes, size: str) -> Utterance:
    utterance = call.controller.utterance(format="encoded")

    async def write() -> None:
        async with utterance:
            for piece in pieces_of(data, size):
                assert await utterance.write(piece) == len(piece)

    call.tasks.append(asyncio.ensure_future(write()))
    return utterance


def pushed(call: Call, data: bytes, size: str) -> Utterance:
    utterance = call.controller.utterance(format="encoded")
    for piece in pieces_of(data, size):
        assert utterance.push(piece) == len(piece)
    utterance.end()
    return utterance


WAYS: list[Callable[[Call, bytes, str], Utterance]] = [spoken, spoken_as_encoded, written, pushed]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", ["random", "100000"])
@pytest.mark.parametrize("name", CASES)
async def test_each_container_and_codec(name: str, size: str, way: Callable[[Call, bytes, str], Utterance]) -> None:
    await check(name, size, way)


@pytest.mark.parametrize("name", CASES)
async def test_each_container_and_codec_byte_by_byte(name: str) -> None:
    await check(name, "1", spoken)


async def check(name: str, size: str, way: Callable[[Call, bytes, str], Utterance]) -> None:
    case = CASES[name]
    call = call_of(case.rate, 2 if name in STEREO else 1)
    out, audio = await whole(call, way(call, made(name), size)), sound(case.rate)
    if case.is_lossless:
        assert np.array_equal(out, audio)
    elif name.startswith("m4a"):
        assert abs(len(out) - SAMPLES) <= case.rate / 1_000, "an edit list may count in milliseconds"
    elif case.states_length:
        assert len(out) == SAMPLES
    else:
        assert SAMPLES <= len(out) - case.delay < SAMPLES + 2_048
    assert correlation(out, audio, case.delay) > 0.95


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["mp3", "ogg opus", "wav"])
async def test_a_stream_of_another_rate_is_converted(name: str, way: Callable[[Call, bytes, str], Utterance]) -> None:
    call = call_of(16_000)
    out = await whole(call, way(call, made(name), "random"))
    assert abs(len(out) - SAMPLES * 16_000 / CASES[name].rate) <= 1
    step = CASES[name].rate // 8_000  # both at 8 kHz, at which the voice has nothing to lose
    assert correlation(out[::2], sound(CASES[name].rate)[::step]) > 0.9


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["wav", "mp3", "adts", "ogg opus", "ogg vorbis", "flac", "webm opus"])
async def test_several_files_in_a_row(name: str, way: Callable[[Call, bytes, str], Utterance]) -> None:
    case = CASES[name]
    call = call_of(case.rate, 2 if name in STEREO else 1)
    data = made(name) + made(name, 2) + made(name, 3)
    out = await whole(call, way(call, data, "random"))
    if case.states_length:
        assert len(out) == 3 * SAMPLES
        for number in range(3):
            one = out[number * SAMPLES : (number + 1) * SAMPLES]
            assert correlation(one, sound(case.rate, number + 1)) > 0.95
    else:
        assert 3 * SAMPLES <= len(out) - 3 * case.delay < 3 * (SAMPLES + 2_048)
        assert correlation(out, sound(case.rate), case.delay) > 0.95


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("length", [None, 0, 0x7FFF_FFFF, 0xFFFF_FFFF])
@pytest.mark.parametrize("before", [b"", chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0")])
async def test_wav_of_any_stated_length(
    length: int | None, before: bytes, way: Callable[[Call, bytes, str], Utterance]
) -> None:
    call, audio = call_of(RATE), sound(RATE)
    out = await whole(call, way(call, wav(audio, RATE, length=length, before=before), "random"))
    assert np.array_equal(out, audio)


@pytest.mark.parametrize("length", [None, 0, 0xFFFF_FFFF])
async def test_a_wav_header_on_every_piece(length: int | None) -> None:
    call, audio = call_of(RATE), sound(RATE)
    source = Source(*(wav(piece, RATE, length=length) for piece in np.array_split(audio, 40)))
    assert np.array_equal(await whole(call, call.controller.speak(source)), audio)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["mp3 plain", "adts", "ogg opus"])
async def test_damaged_packets_are_skipped(name: str, way: Callable[[Call, bytes, str], Utterance]) -> None:
    data = bytearray(made(name))
    start = len(data) // 2
    data[start : start + 400] = bytes(byte ^ 0x55 for byte in data[start : start + 400])
    call = call_of(CASES[name].rate)
    out = await whole(call, way(call, bytes(data), "random"))
    assert 0.6 * SAMPLES < len(out) < SAMPLES + 2_048 + CASES[name].delay
    assert call.controller.stats.damaged_packets > 0


@pytest.mark.parametrize("size", ["1", "random"])
async def test_a_stream_that_breaks_off_fails_after_what_arrived(size: str) -> None:
    call, data = call_of(CASES["mp3 plain"].rate), made("mp3 plain")
    error = ConnectionResetError()
    utterance = call.controller.speak(Source(*pieces_of(data[: len(data) // 2], size), error))
    await call.play(utterance)
    assert utterance.report is not None
    assert (utterance.report.outcome, utterance.report.error) == (Outcome.FAILED, error)
    assert 0.4 * SAMPLES < utterance.played < 0.6 * SAMPLES


@pytest.mark.parametrize("data", [b"", b"{}", bytes(500), made("mp3")[:300], made("wav")[:44]])
@pytest.mark.parametrize("way", [spoken_as_encoded, written])
async def test_an_encoded_stream_without_audio(data: bytes, way: Callable[[Call, bytes, str], Utterance]) -> None:
    call = call_of(RATE)
    utterance = way(call, data, "100000")
    await call.play(utterance)
    assert utterance.report is not None
    if data:
        assert isinstance(utterance.report.error, FormatError)
        assert utterance.report.outcome is Outcome.FAILED
    assert utterance.played == 0


@pytest.mark.parametrize("size", ["1", "100000"])
async def test_an_error_page_that_is_pushed_is_quoted(size: str) -> None:
    call = call_of(RATE)
    page = b"<!DOCTYPE html><html><body>" + b"429 Too Many Requests " * 20
    utterance = call.controller.utterance(format="encoded", text="Hello.")
    for piece in pieces_of(page, size):
        utterance.push(piece)
    utterance.end()
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, FormatError)
    assert "<!DOCTYPE html><html><body>429 Too Many" in str(utterance.report.error)
    assert utterance.report.heard == ""


@pytest.mark.parametrize("name", ["wav", "mp3", "ogg opus", "flac"])
async def test_a_container_that_is_declared_to_be_samples_is_an_error(name: str) -> None:
    call = call_of(RATE)
    utterance = call.controller.speak(Source(*pieces_of(made(name), "random")), format=AudioFormat(RATE))
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, FormatError)
    assert utterance.played == 0


# Threads, and how far they run ahead


@pytest.mark.parametrize("kind", ["stream", "encoded", "file"])
async def test_decoding_never_runs_in_a_read_or_on_the_loop(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    decoding: list[threading.Thread] = []
    module, name = (playback.sources, "decode") if kind == "file" else (streams, "decode_stream")
    decode = getattr(module, name)

    def noted(*arguments: Any, **options: Any) -> Iterator[Any]:
        for block in decode(*arguments, **options):
            decoding.append(threading.current_thread())
            yield block

    monkeypatch.setattr(module, name, noted)
    call, data = call_of(RATE, high_water_seconds=0.3), made("mp3", samples=5 * SAMPLES)
    ways: dict[str, Callable[[], Utterance]] = {
        "stream": lambda: spoken(call, data, "random"),
        "encoded": lambda: written(call, data, "random"),
        "file": lambda: call.controller.speak(io.BytesIO(data)),
    }
    utterance = ways[kind]()
    await call.play(utterance)
    assert utterance.played == 5 * SAMPLES
    assert len(decoding) > 5
    assert len(set(decoding)) == 1
    assert decoding[0] is not threading.current_thread()


async def test_a_loop_that_is_busy_is_not_overrun(monkeypatch: pytest.MonkeyPatch) -> None:
    paused = threading.Event()
    pause = StreamDecoder.pause

    def noted(decoder: StreamDecoder) -> None:
        pause(decoder)
        paused.set()

    monkeypatch.setattr(StreamDecoder, "pause", noted)
    call, audio = call_of(RATE), sound(RATE, samples=10 * SAMPLES)
    utterance = pushed(call, wav(audio, RATE), "1000000")
    decoder: Any = utterance._decoder
    assert paused.wait(PATIENCE), "while this has the loop, nobody takes a block"
    assert len(decoder._blocks) == MOST_BLOCKS
    assert np.array_equal(await whole(call, utterance), audio)


@pytest.mark.parametrize("name", ["wav", "mp3"])
async def test_a_media_source_is_not_much_more_than_the_high_water_ahead(name: str) -> None:
    call, data = call_of(RATE, high_water_seconds=0.5), made(name, samples=30 * SAMPLES)
    source = Source(*pieces_of(data, "1000"))
    utterance = call.controller.speak(source)
    await until(lambda: utterance.accepted > 0.5 * RATE)
    await turns(500)
    ahead = source.asked * 1_000 - MOST_BYTES - 2 * 1_000
    rest = (0.5 + 0.2 * (MOST_BLOCKS + 3)) * RATE * len(data) / (30 * SAMPLES)
    assert ahead <= rest + 2 * 32_768, "what the decoder has read in one go, too"
    assert source.items, "it has more to send"
    utterance.cancel()
    await turns()
    assert source.closed == 1


@pytest.mark.parametrize("way", [spoken, written])
async def test_a_stream_that_is_decoded_when_all_of_it_is_there(way: Callable[[Call, bytes, str], Utterance]) -> None:
    data = made("m4a alac", samples=5 * SAMPLES)
    assert data.index(b"mdat") < data.index(b"moov")
    assert len(data) > 4 * MOST_BYTES, "so much that writes have to wait, and no block comes meanwhile"
    call = call_of(RATE)
    assert np.array_equal(await whole(call, way(call, data, "1000")), sound(RATE, samples=5 * SAMPLES))


# Who ends an encoded utterance


def test_an_encoded_utterance_needs_a_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        PlaybackController().utterance(format="encoded")


async def test_another_word_for_a_format() -> None:
    for make in (PlaybackController().utterance, lambda **options: PlaybackController().speak(b"", **options)):
        with pytest.raises(FormatError, match="format is 'mp3', expected an AudioFormat or 'encoded'"):
            make(format="mp3")  # type: ignore[arg-type]


@pytest.mark.parametrize("act", ["interrupt", "cancel", "close", "lock"])
@pytest.mark.parametrize("wait", [0, 1, 12])
async def test_whoever_ends_an_encoded_utterance_stops_its_decoder(act: str, wait: int) -> None:
    call = call_of(RATE, high_water_seconds=0.1)
    utterance = call.controller.utterance(format="encoded")
    assert utterance.push(made("wav")) == len(made("wav"))
    await turns(wait)
    getattr(utterance if act == "cancel" else call.controller, act)()
    assert utterance.ended
    assert utterance.push(made("wav")) == 0
    assert not utterance.end()
    await call.play(utterance)
    assert not tasks_of_speaking()
    assert not call.named("error")
    assert [event.samples for event in call.named("audio_refused")] == [0], "nobody knows how long it would have been"


async def test_an_interrupt_before_the_first_push() -> None:
    call = call_of(RATE)
    utterance = call.controller.utterance(format="encoded")
    call.controller.interrupt()
    assert utterance.push(made("wav")) == 0
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.INTERRUPTED
    await turns()
    assert not tasks_of_speaking()


async def test_an_encoded_utterance_that_fails_plays_what_was_pushed() -> None:
    call = call_of(RATE)
    utterance = call.controller.utterance(format="encoded")
    utterance.push(made("flac"))
    error = ConnectionResetError()
    assert utterance.fail(error)
    assert not utterance.fail(ValueError())
    assert utterance.push(b"more") == 0
    await call.play(utterance)
    assert utterance.report is not None
    assert (utterance.report.outcome, utterance.report.error) == (Outcome.FAILED, error)
    assert utterance.played == SAMPLES


@pytest.mark.parametrize(
    "act",
    [
        lambda call, _: call.controller.interrupt(),
        lambda _, utterance: utterance.end(),
        lambda _, utterance: utterance.fail(LookupError("broken")),
    ],
    ids=["interrupt", "end", "fail"],
)
async def test_a_write_that_waits_ends_with_its_utterance(act: Callable[[Call, Utterance], object]) -> None:
    call = call_of(RATE, high_water_seconds=0.1)
    utterance = call.controller.utterance(format="encoded")
    data = made("wav", samples=30 * SAMPLES)
    pieces = [data[start : start + 20_000] for start in range(0, len(data), 20_000)]

    async def write() -> int:
        return sum([await utterance.write(piece) for piece in pieces])

    writing = asyncio.ensure_future(write())
    await until(lambda: utterance.accepted > 0.1 * RATE)
    await turns()
    assert not writing.done()
    act(call, utterance)  # and nobody reads
    await turns()
    assert writing.done()
    assert writing.result() < len(data)


async def feed(utterance: Utterance, data: bytes) -> int:
    """Write all of it; returns how many bytes were taken."""
    return sum([await utterance.write(piece) for piece in pieces_of(data, "1000")])


async def test_a_task_of_decoding_that_others_cancel_cancels_its_utterance() -> None:
    call = call_of(RATE, high_water_seconds=0.1)
    utterance = call.controller.utterance(format="encoded")
    utterance.push(made("wav"))
    await until(lambda: utterance.accepted > 0)
    (task,) = (task for task in asyncio.all_tasks() if task.get_name().startswith("decoding "))
    task.cancel()
    await turns()
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.INTERRUPTED


async def test_words_of_a_media_stream_count_from_its_start() -> None:
    call = call_of(RATE)
    source = Source(Word("Good", 0.0, 0.4), made("wav"), Word("morning.", 0.4, 0.9), STALL)
    utterance = call.controller.speak(source, text="Good morning.")
    await until(lambda: utterance.accepted == SAMPLES)
    call.read(RATE // 2)
    call.controller.interrupt()
    await turns()
    assert utterance.report is not None
    assert utterance.report.heard == "Good"
