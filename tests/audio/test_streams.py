"""A media stream that is decoded while it arrives."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from playback.audio.formats import Block, FormatError
from playback.audio.media.decoding import decode
from playback.audio.media.streams import StreamDecoder
from tests.audio.media import CASES, SAMPLES, correlation, made, samples_of, sound, wav
from tests.audio.test_containers import TEXTS

RATE = 24_000
PATIENCE = 60.0
"""Seconds after which a thread is taken to be stuck."""


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive(), thread.name


class Stream:
    """A decoder, and what it has given."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.finished: SimpleQueue[BaseException | None] = SimpleQueue()
        self.decoder = StreamDecoder(self.blocks.append, self.finished.put, name="the answer")

    def feed(self, data: bytes, sizes: Iterator[int]) -> Stream:
        """The bytes of a stream, in pieces, and its end; as many as are taken, for an error may end it before."""
        at, is_taken = 0, True
        while at < len(data) and is_taken:
            size = next(sizes)
            is_taken = self.decoder.feed(data[at : at + size])
            at += size
        self.decoder.end()
        return self

    def error(self) -> BaseException | None:
        """What ended it, once it has ended."""
        return self.finished.get(timeout=PATIENCE)


def sizes_of(kind: str) -> Iterator[int]:
    """Sizes of pieces, without end."""
    rng = np.random.default_rng(7)
    while True:
        yield int(kind) if kind.isdigit() else int(rng.integers(1, 3_000))


@pytest.mark.parametrize("pieces", ["1", "random", "4096", "100000"])
@pytest.mark.parametrize("name", CASES)
def test_a_stream_in_pieces_of_any_size(name: str, pieces: str) -> None:
    case, data = CASES[name], made(name)
    stream = Stream().feed(data, sizes_of(pieces))
    assert stream.error() is None
    assert stream.decoder.damaged == stream.decoder.waiting_bytes == 0
    assert {block.layout for block in stream.blocks} == {block.layout for block in decode(data)}
    out = samples_of(stream.blocks)
    assert np.array_equal(out, samples_of(list(decode(data)))), "the same as of a file"
    assert correlation(out, sound(case.rate), case.delay) > 0.95
    assert stream.finished.empty(), "it finishes once"


@pytest.mark.parametrize("pieces", ["1", "random", "4096"])
@pytest.mark.parametrize("name", ["wav", "mp3", "ogg opus", "flac", "webm opus"])
def test_joined_streams(name: str, pieces: str) -> None:
    data = made(name) + made(name, 2) + made(name, 3)
    stream = Stream().feed(data, sizes_of(pieces))
    assert stream.error() is None
    assert len(samples_of(stream.blocks)) == 3 * SAMPLES


def test_a_wav_header_on_every_piece() -> None:
    stream, audio = Stream(), sound(RATE)
    for piece in np.array_split(audio, 40):
        stream.decoder.feed(wav(piece, RATE, length=0xFFFF_FFFF))
    stream.decoder.end()
    assert stream.error() is None
    assert np.array_equal(samples_of(stream.blocks), audio)


@pytest.mark.parametrize("name", ["wav", "mp3", "adts", "ogg opus", "webm opus", "m4a index first", "mp4 fragmented"])
def test_audio_comes_before_the_stream_has_ended(name: str) -> None:
    came = threading.Event()
    blocks: list[Block] = []

    def take(block: Block) -> None:
        blocks.append(block)
        came.set()

    decoder = StreamDecoder(take, lambda _: None)
    data = made(name, samples=5 * SAMPLES)
    decoder.feed(data[: len(data) // 2])
    assert came.wait(PATIENCE)
    decoder.close()


def test_an_mp4_with_its_index_at_the_end_is_decoded_when_it_is_there() -> None:
    data = made("m4a")
    assert data.index(b"mdat") < data.index(b"moov")
    stream = Stream().feed(data, sizes_of("1000"))
    assert stream.error() is None
    assert abs(len(samples_of(stream.blocks)) - SAMPLES) <= 45


@pytest.mark.parametrize("text", TEXTS)
def test_an_error_page_is_quoted(text: str) -> None:
    stream = Stream().feed(text.encode(), sizes_of("1"))
    error = stream.error()
    assert isinstance(error, FormatError)
    assert str(error).startswith("the answer is text, expected audio; it begins with ")
    assert repr(text[:10])[1:-1] in str(error)
    assert not stream.blocks


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the answer is empty"),
        (b"{}", "the answer begins with b'{}'"),
        (bytes(5_000), "plain samples need an AudioFormat"),
        (sound(RATE).tobytes(), "plain samples need an AudioFormat"),
        (b"\xff", "the answer begins with"),
        (made("mp3")[:300], "MP3 without a sample"),
        (made("ogg opus")[:80], "Ogg without a sample"),
        (made("wav")[:44], "WAV without a sample"),
    ],
)
def test_a_stream_without_audio_is_an_error(data: bytes, message: str) -> None:
    error = Stream().feed(data, sizes_of("random")).error()
    assert isinstance(error, FormatError)
    assert message in str(error)


def test_what_is_not_a_stream_ends_before_it_does() -> None:
    stream = Stream()
    stream.decoder.feed(bytes(100))
    assert isinstance(stream.error(), FormatError)
    assert stream.decoder.feed(bytes(100)) is False
    stream.decoder.end()
    assert stream.finished.empty()
    assert stream.decoder.waiting_bytes == 0


@pytest.mark.parametrize("data", ["text", 5, None, [1]])
def test_only_bytes_are_fed(data: Any) -> None:
    decoder = StreamDecoder(lambda _: None, lambda _: None)
    with pytest.raises(FormatError, match=r"encoded audio is a .*, expected bytes"):
        decoder.feed(data)


def test_bytes_that_change_later_are_copied() -> None:
    stream, data = Stream(), bytearray(made("wav"))
    stream.decoder.pause()
    for start in range(0, len(data), 999):
        piece = bytearray(data[start : start + 999])
        stream.decoder.feed(memoryview(piece))
        piece[:] = bytes(len(piece))
    stream.decoder.resume()
    stream.decoder.end()
    assert stream.error() is None
    assert np.array_equal(samples_of(stream.blocks), sound(RATE))


# What the caller may do meanwhile


def test_the_caller_never_waits_for_the_consumer() -> None:
    inside, release = threading.Event(), threading.Event()

    def take(_: Block) -> None:
        inside.set()
        assert release.wait(PATIENCE)

    finished: SimpleQueue[BaseException | None] = SimpleQueue()
    decoder = StreamDecoder(take, finished.put)
    data = made("wav")
    decoder.feed(data)
    assert inside.wait(PATIENCE)
    for _ in range(100):  # while the thread waits within the callback
        assert decoder.feed(data)
        decoder.pause()
        decoder.resume()
    assert decoder.waiting_bytes > 90 * len(data)
    decoder.end()
    assert decoder.feed(data) is False
    release.set()
    assert finished.get(timeout=PATIENCE) is None


def test_a_paused_decoder_hands_nothing_out() -> None:
    stream = Stream()
    stream.decoder.pause()
    stream.feed(made("wav"), sizes_of("4096"))
    thread = stream.decoder._thread
    assert thread is not None
    assert stream.finished.empty()
    assert not stream.blocks
    stream.decoder.resume()
    assert stream.error() is None
    assert len(samples_of(stream.blocks)) == SAMPLES


def test_a_consumer_can_take_one_block_at_a_time() -> None:
    handed: SimpleQueue[Block | BaseException | None] = SimpleQueue()

    def take(block: Block) -> None:
        decoder.pause()
        handed.put(block)

    decoder = StreamDecoder(take, handed.put)
    decoder.feed(made("wav", samples=10 * SAMPLES))
    decoder.end()
    blocks: list[Block] = []
    while isinstance(item := handed.get(timeout=PATIENCE), Block):
        # It hands out no more while it is paused; after the last one it may finish.
        assert handed.qsize() <= (samples_of(blocks).size + item.samples == 10 * SAMPLES)
        blocks.append(item)
        decoder.resume()
    assert item is None
    assert np.array_equal(samples_of(blocks), sound(RATE, samples=10 * SAMPLES))


@pytest.mark.parametrize("state", ["fresh", "waiting", "recognizing", "paused", "ended", "finished"])
def test_closing_ends_the_thread_and_calls_nothing(state: str) -> None:
    stream = Stream()
    decoder, data = stream.decoder, made("ogg opus")
    if state == "paused":
        decoder.pause()
    if state == "recognizing":
        decoder.feed(data[:3])
    elif state != "fresh":
        decoder.feed(data)
    if state in ("paused", "ended", "finished"):
        decoder.end()
    if state == "finished":
        assert stream.error() is None
    decoder.close()
    decoder.close()
    if decoder._thread is not None:
        decoder._thread.join(PATIENCE)
    count = len(stream.blocks)
    assert decoder.feed(data) is False
    decoder.end()
    decoder.resume()
    assert decoder.waiting_bytes == 0
    assert len(stream.blocks) == count
    assert state == "ended" or stream.finished.empty(), "it may have finished just before"


def test_closing_from_within_a_callback() -> None:
    blocks: list[Block] = []
    finished: SimpleQueue[BaseException | None] = SimpleQueue()

    def take(block: Block) -> None:
        blocks.append(block)
        decoder.close()

    decoder = StreamDecoder(take, finished.put)
    decoder.feed(made("wav"))
    decoder.end()
    assert decoder._thread is not None
    decoder._thread.join(PATIENCE)
    assert len(blocks) == 1
    assert finished.empty()


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_decoder_that_nobody_holds_is_closed(is_paused: bool) -> None:
    stream = Stream()
    if is_paused:
        stream.decoder.pause()
    stream.decoder.feed(made("flac"))
    thread, reference = stream.decoder._thread, weakref.ref(stream.decoder)
    del stream
    gc.collect()
    assert thread is not None
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert reference() is None


def test_a_decoder_that_was_never_fed_has_no_thread() -> None:
    decoder = StreamDecoder(lambda _: None, lambda _: None)
    assert decoder._thread is None
    decoder.close()


class _Panic(BaseException):
    """As what an extension in another language raises."""


@pytest.mark.parametrize("kind", [RuntimeError, _Panic])
def test_an_error_of_the_consumer_ends_it(kind: type[BaseException]) -> None:
    def take(_: Block) -> None:
        raise kind("the consumer is broken")

    finished: SimpleQueue[BaseException | None] = SimpleQueue()
    decoder = StreamDecoder(take, finished.put)
    decoder.feed(made("wav"))
    decoder.end()
    assert isinstance(finished.get(timeout=PATIENCE), kind)
    assert finished.empty()


# Damage


@pytest.mark.parametrize("name", ["mp3 plain", "adts", "ogg opus"])
def test_damage_is_counted(name: str) -> None:
    data = bytearray(made(name))
    start = len(data) // 2
    data[start : start + 400] = bytes(byte ^ 0x55 for byte in data[start : start + 400])
    stream = Stream().feed(bytes(data), sizes_of("random"))
    assert stream.error() is None
    assert stream.decoder.damaged > 0
    assert len(samples_of(stream.blocks)) > 0.6 * SAMPLES


@pytest.mark.parametrize("name", CASES)
def test_truncations_and_flipped_bits_end(name: str) -> None:
    whole = made(name)
    rng = np.random.default_rng(len(name) + 1)
    for number in range(8):
        data = bytearray(whole)
        if number % 2:
            del data[int(rng.integers(0, len(data))) :]
        for _ in range(int(rng.integers(0, 30)) if data else 0):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        error = Stream().feed(bytes(data), sizes_of("random")).error()
        assert error is None or isinstance(error, FormatError)
