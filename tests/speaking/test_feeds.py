"""Sources of every kind, and what becomes of them: fed, slow, broken, silent, dropped."""

from __future__ import annotations

import array
import asyncio
import gc
import io
import threading
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
import pytest

from playback import AudioFormat, FormatError, InputTimeout, Outcome, PlaybackController, Utterance
from playback.words import Word
from tests.audio.media import wav
from tests.signals import FRAME, RATE, ramp
from tests.speaking.playing import (
    STALL,
    Call,
    Clock,
    Source,
    Threads,
    no_thread_is_left,
    tasks_of_speaking,
    turns,
    until,
)

threads_end = pytest.fixture(autouse=True)(no_thread_is_left)

AUDIO = ramp(5 * FRAME)
PIECES = [piece.tobytes() for piece in np.split(AUDIO, 5)]
HEARD = AUDIO.tolist()
HTML = b"<html><body>429 Too Many Requests</body></html>"


@pytest.fixture
async def call() -> AsyncGenerator[Call, None]:
    made = Call()
    yield made
    made.controller.close()
    await turns()
    assert not tasks_of_speaking()


# Kinds of sources


async def generator(items: list[bytes] = PIECES) -> AsyncGenerator[bytes, None]:
    for item in items:
        await asyncio.sleep(0)
        yield item


class Bare:
    """An asynchronous iterator that can't be closed."""

    def __init__(self) -> None:
        self.left = iter(PIECES)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self.left:
            return piece
        raise StopAsyncIteration


class Iterated:
    """No iterator, but something to iterate over, as often as one likes."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return generator()


class Network(Iterated):
    """A stream that has a read() for the loop, too."""

    async def read(self) -> bytes:
        raise AssertionError("must not be read")


async def coroutine() -> AsyncIterator[bytes]:
    await asyncio.sleep(0)
    return generator()


async def nested() -> Awaitable[AsyncIterator[bytes]]:
    return coroutine()


def frame() -> av.AudioFrame:
    made = av.AudioFrame.from_ndarray(AUDIO.reshape(1, -1), "s16", "mono")
    made.sample_rate = RATE
    return made


KINDS: dict[str, Callable[[], Any]] = {
    "async generator": generator,
    "async iterator": lambda: Source(*PIECES),
    "async iterator without aclose": Bare,
    "async iterable": Iterated,
    "network stream": Network,
    "iterator": lambda: iter(PIECES),
    "list": lambda: PIECES,
    "generator": lambda: (piece for piece in PIECES),
    "coroutine": coroutine,
    "awaitable of an awaitable": nested,
    "task": lambda: asyncio.ensure_future(coroutine()),
    "bytes": AUDIO.tobytes,
    "bytearray": lambda: bytearray(AUDIO.tobytes()),
    "memoryview": lambda: memoryview(AUDIO.tobytes()),
    "array": lambda: AUDIO,
    "frame": frame,
    "file object": lambda: io.BytesIO(wav(AUDIO, RATE)),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_sources_of_every_kind(call: Call, kind: str) -> None:
    utterance = call.controller.speak(KINDS[kind](), text="All of it.")
    assert call.controller.leaf == "speaking.buffering", "it is enqueued at once"
    await call.play(utterance)
    assert call.heard == HEARD
    assert utterance.report is not None
    assert (utterance.report.outcome, utterance.report.error, utterance.report.heard) == (
        Outcome.COMPLETED,
        None,
        "All of it.",
    )
    assert not tasks_of_speaking()


@pytest.mark.parametrize("kind", [str, Path])
async def test_a_path(call: Call, tmp_path: Path, kind: type) -> None:
    path = tmp_path / "greeting.wav"
    path.write_bytes(wav(AUDIO, RATE))
    utterance = call.controller.speak(kind(path))
    await call.play(utterance)
    assert call.heard == HEARD


async def test_a_path_that_leads_nowhere(call: Call, tmp_path: Path) -> None:
    utterance = call.controller.speak(tmp_path / "none.wav", text="Hello.")
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, FileNotFoundError)
    assert utterance.report.heard == ""


@pytest.mark.parametrize("source", [None, 5, object()])
async def test_what_is_no_source(call: Call, source: Any) -> None:
    with pytest.raises(TypeError, match="expected audio, a path, a file, or an iterator"):
        call.controller.speak(source)
    assert call.controller.state == "idle"
    assert not tasks_of_speaking()


async def test_an_awaitable_of_what_is_no_source(call: Call) -> None:
    async def give() -> None:
        return None

    utterance = call.controller.speak(give())
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, TypeError)


@pytest.mark.parametrize("kind", ["bytes", "array"])
async def test_audio_that_is_longer_than_all_that_may_be_buffered(kind: str) -> None:
    call = Call(high_water_seconds=0.5, max_buffered_seconds=2.0)
    audio = np.tile(AUDIO, 100)
    first = call.controller.speak(Source(*PIECES))
    second = call.controller.speak(audio if kind == "array" else audio.tobytes())
    await call.play(first, second)
    assert second.report is not None
    assert second.report.error is None
    assert call.heard == HEARD + audio.tolist()


def test_without_a_loop() -> None:
    controller = PlaybackController()
    with pytest.raises(RuntimeError, match="no running event loop"):
        controller.speak(PIECES)
    assert controller.is_unused


@pytest.mark.parametrize("option", ["timeout_seconds", "first_audio_timeout_seconds"])
async def test_a_time_that_can_not_be_closes_the_source_unasked(call: Call, option: str) -> None:
    source = Source(*PIECES)
    options: dict[str, Any] = {option: -1.0}
    with pytest.raises(ValueError, match=option):
        call.controller.speak(source, **options)
    await turns()
    assert (source.asked, source.closed) == (0, 1)
    assert call.controller.state == "idle"


# Kinds of items

FLOATS = (AUDIO / 32_768).astype(np.float32)
ITEMS: dict[str, list[Any]] = {
    "bytes": PIECES,
    "bytearray": [bytearray(piece) for piece in PIECES],
    "memoryview": [memoryview(piece) for piece in PIECES],
    "memoryview of samples": [memoryview(piece).cast("h") for piece in PIECES],
    "array.array": [array.array("h", piece) for piece in PIECES],
    "int16": np.split(AUDIO, 5),
    "int16 column": [piece.reshape(-1, 1) for piece in np.split(AUDIO, 5)],
    "float32": np.split(FLOATS, 5),
    "frames": [frame()],
    "of several kinds": [PIECES[0], np.split(AUDIO, 5)[1], bytearray(PIECES[2]), *np.split(FLOATS, 5)[3:]],
    "samples that are split": [PIECES[0][:101], PIECES[0][101:], b"", *PIECES[1:]],
}


@pytest.mark.parametrize("format", [None, AudioFormat(RATE)])
@pytest.mark.parametrize("kind", ITEMS)
async def test_items_of_every_kind(call: Call, kind: str, format: AudioFormat | None) -> None:
    utterance = call.controller.speak(Source(*ITEMS[kind]), format=format)
    await call.play(utterance)
    assert utterance.report is not None
    assert utterance.report.error is None
    assert call.heard == HEARD


@pytest.mark.parametrize("kind", ["bytes", "array"])
async def test_the_format_of_samples(call: Call, kind: str) -> None:
    source = Source(*(ITEMS["bytes"] if kind == "bytes" else ITEMS["int16"]))
    utterance = call.controller.speak(source, format=AudioFormat(2 * RATE))
    await call.play(utterance)
    assert utterance.played == len(AUDIO) // 2


async def test_samples_of_another_encoding(call: Call) -> None:
    utterance = call.controller.speak(AUDIO.astype(">i2").tobytes(), format=AudioFormat(RATE, encoding="s16be"))
    await call.play(utterance)
    assert call.heard == HEARD


@pytest.mark.parametrize("item", [5, None, "text", np.zeros(4), memoryview(array.array("d", [0.0]))])
async def test_an_item_that_is_no_audio(call: Call, item: Any) -> None:
    # A number would be turns of the loop to a Source.
    async def items() -> AsyncGenerator[Any, None]:
        yield PIECES[0]
        yield item

    utterance = call.controller.speak(items(), text="Hello there.")
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, FormatError)
    assert utterance.report.outcome is Outcome.FAILED
    assert call.heard == HEARD[:FRAME]


async def test_words_mark_words(call: Call) -> None:
    source = Source(Word("Good", 0.0, 0.02), PIECES[0], Word("morning.", 0.02, 0.04), PIECES[1], STALL)
    utterance = call.controller.speak(source, text="Good morning.")
    await until(lambda: utterance.accepted == 2 * FRAME)
    call.read()
    call.controller.interrupt()
    assert [event.payload for event in call.named("mark_reached")] == ["Good", "morning."]
    assert utterance.report is not None
    assert [mark.payload for mark in utterance.report.marks] == ["Good", "morning."]
    assert (utterance.report.heard, utterance.report.heard_from) == ("Good", "marks")


@pytest.mark.parametrize("word", [Word("no", -1.0), Word("no", 1.0, 0.5), Word(5, 0.0)])  # type: ignore[arg-type]
async def test_a_word_that_can_not_be(call: Call, word: Word) -> None:
    source = Source(PIECES[0], word)
    utterance = call.controller.speak(source)
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, (TypeError, ValueError))
    assert call.heard == HEARD[:FRAME]
    assert source.closed == 1


@pytest.mark.parametrize("pieces", [1, 7, 1_000])
@pytest.mark.parametrize("format", [None, "encoded"])
async def test_text_in_place_of_audio_is_quoted(call: Call, pieces: int, format: Any) -> None:
    source = Source(*(HTML[at : at + pieces] for at in range(0, len(HTML), pieces)))
    utterance = call.controller.speak(source, text="Hello.", format=format)
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, FormatError)
    assert "<html><body>429 Too Many Requests" in str(utterance.report.error)
    assert (utterance.report.outcome, utterance.report.heard, utterance.played) == (Outcome.FAILED, "", 0)
    assert source.closed == 1


@pytest.mark.parametrize("items", [[], [b""], [b"", b""]])
@pytest.mark.parametrize(
    ("text", "outcome"), [("Hello.", Outcome.FAILED), ("…", Outcome.COMPLETED), (None, Outcome.COMPLETED)]
)
async def test_a_source_that_sends_no_audio_was_not_heard(
    call: Call, items: list[bytes], text: str | None, outcome: Outcome
) -> None:
    utterance = call.controller.speak(Source(*items), text=text)
    await call.play(utterance)
    assert utterance.report is not None
    assert utterance.report.outcome is outcome
    if outcome is Outcome.FAILED:
        assert str(utterance.report.error) == "Source ended without any audio"
        assert utterance.report.heard == ""


# Back-pressure


async def test_a_source_is_never_more_than_the_high_water_ahead() -> None:
    call = Call(high_water_seconds=0.1)
    source = Source(*(PIECES * 20))
    utterance = call.controller.speak(source)
    most = 0
    while utterance.report is None:
        await turns()
        ahead = source.asked * FRAME - utterance.played
        most = max(most, ahead)
        assert call.controller.buffered <= 0.1 * RATE + FRAME
        call.read()
    # One piece more is buffered where the high water was not reached, and the next one waits.
    assert 0.1 * RATE <= most <= 0.1 * RATE + 3 * FRAME
    assert call.heard == HEARD * 20


async def test_an_iterator_in_a_thread_is_asked_for_no_more_than_is_wanted() -> None:
    call = Call(high_water_seconds=0.1)
    asked: list[threading.Thread] = []

    def pieces() -> Iterator[bytes]:
        for piece in PIECES * 20:
            asked.append(threading.current_thread())
            yield piece

    utterance = call.controller.speak(pieces())
    while utterance.report is None:
        await turns()
        assert len(asked) * FRAME - utterance.played <= 0.1 * RATE + 3 * FRAME
        call.read()
    assert call.heard == HEARD * 20
    assert len(set(asked)) == 1
    assert asked[0] is not threading.current_thread()
    call.controller.close()


async def test_sentences_in_parallel_wait_for_each_other_only_as_long_as_they_must() -> None:
    call = Call(high_water_seconds=0.1, max_buffered_seconds=0.1)
    sentences = [call.controller.speak(Source(*([50 - 10 * number] * (number < 5)), *PIECES)) for number in range(6)]
    await call.play(*sentences)
    assert [sentence.report.error for sentence in sentences if sentence.report] == [None] * 6
    assert call.heard == HEARD * 6


# Errors


class Broken(Exception):  # noqa: N818 - as synthesizers name theirs
    """What a synthesizer raises."""


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("kind", ["async", "thread", "awaited", "decoded"])
async def test_a_source_that_breaks(call: Call, kind: str, place: int) -> None:
    error = Broken("the network is gone")

    async def pieces() -> AsyncGenerator[bytes, None]:
        if kind == "decoded":
            yield wav(AUDIO[:0], RATE, length=0xFFFF_FFFF)
        for piece in PIECES[:place]:
            yield piece
        raise error

    def blocking() -> Iterator[bytes]:
        yield from PIECES[:place]
        raise error

    async def awaited() -> AsyncIterator[bytes]:
        if not place:
            raise error
        return pieces()

    source = {"thread": blocking, "awaited": awaited}.get(kind, pieces)()
    utterance = call.controller.speak(source, text="Good morning.")
    behind = call.controller.speak(AUDIO)
    await call.play(utterance, behind)
    assert utterance.report is not None
    assert (utterance.report.outcome, utterance.report.error) == (Outcome.FAILED, error)
    assert utterance.report.heard == "", "so little is no whole word"
    assert utterance.report.heard_from == ("estimate" if place else "marks")
    assert utterance.played == place * FRAME
    assert call.heard == HEARD[: place * FRAME] + HEARD, "what arrived plays, and nothing after it waits"
    assert [event.utterance for event in call.named("last_audio_byte")] == [behind]
    assert not call.named("error")


async def test_what_arrived_of_a_beginning_that_is_not_recognized_plays(call: Call) -> None:
    # 0xFF 0xF* may be a frame of MPEG audio, of which more has to come.
    audio = np.full(100, -3, np.int16)
    utterance = call.controller.speak(Source(audio.tobytes(), Broken()))
    await call.play(utterance)
    assert call.heard == audio.tolist()


class Panic(BaseException):
    """As what an extension in another language raises."""


@pytest.mark.parametrize("kind", [Panic, StopIteration, StopAsyncIteration, KeyError])
async def test_whatever_an_iterator_in_a_thread_raises_ends_it(call: Call, kind: type[BaseException]) -> None:
    class Raising:
        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            raise kind

    utterance = call.controller.speak(Raising())
    await call.play(utterance)
    assert utterance.report is not None
    expected = Outcome.FAILED if kind in (Panic, KeyError) else Outcome.COMPLETED
    assert utterance.report.outcome is expected


async def test_a_panic_of_a_source_fails_it_and_stays_there(call: Call) -> None:
    source = Source(PIECES[0], Panic())
    utterance = call.controller.speak(source)
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, Panic)
    assert source.closed == 1


async def test_an_error_while_closing_is_reported(call: Call) -> None:
    class Leaky(Source):
        async def aclose(self) -> None:
            raise Broken("can't be closed")

    utterance = call.controller.speak(Leaky(*PIECES))
    await call.play(utterance)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.COMPLETED
    assert [(type(event.exception), event.source.split()[0]) for event in call.named("error")] == [(Broken, "closing")]


# Timeouts


async def test_no_first_audio(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    source = Source(Word("Good", 0.0), 5, b"", STALL)
    utterance = call.controller.speak(source, text="Good morning.", first_audio_timeout_seconds=5.0)
    await turns()
    await clock.advance(4.0)
    assert utterance.report is None
    await clock.advance(1.5)
    assert utterance.ended
    call.read()
    assert utterance.report is not None
    assert isinstance(utterance.report.error, InputTimeout)
    assert str(utterance.report.error) == "no first audio came for 5 s from Source"
    assert (utterance.report.outcome, utterance.report.heard) == (Outcome.FAILED, "")
    assert source.closed == 1
    assert not tasks_of_speaking()


async def test_words_and_empty_pieces_are_no_first_audio(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    arrivals: asyncio.Queue[Any] = asyncio.Queue()

    async def items() -> AsyncGenerator[Any, None]:
        while True:
            yield await arrivals.get()

    utterance = call.controller.speak(items(), first_audio_timeout_seconds=5.0)
    for item in (Word("a", 0.0), b"", Word("b", 1.0)):
        await clock.advance(1.5)
        arrivals.put_nowait(item)
    assert not utterance.ended
    await clock.advance(1.0)
    assert utterance.ended


async def test_a_source_that_begins_with_nothing_is_asked_for_more_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    call = Call(high_water_seconds=0.1)
    asked_for = 0

    async def items() -> AsyncGenerator[bytes, None]:
        nonlocal asked_for
        yield b""
        asked_for += 1
        await asyncio.sleep(3600)

    before = call.controller.utterance()
    before.push(np.zeros(RATE, np.int16))
    before.end()
    utterance = call.controller.speak(items(), first_audio_timeout_seconds=5.0)
    await clock.advance(60.0)
    assert (utterance.ended, asked_for) == (False, 0)
    call.controller.read(RATE)
    await clock.advance(4.9)
    assert (utterance.ended, asked_for) == (False, 1)
    await clock.advance(0.2)
    assert utterance.ended
    call.controller.close()


async def test_nothing_more(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    arrivals: asyncio.Queue[bytes] = asyncio.Queue()

    async def items() -> AsyncGenerator[bytes, None]:
        while True:
            yield await arrivals.get()

    utterance = call.controller.speak(items(), timeout_seconds=10.0, first_audio_timeout_seconds=1.0)
    behind = call.controller.speak(AUDIO)
    await turns()
    for piece in PIECES:
        arrivals.put_nowait(piece)
        await clock.advance(9.0)
    assert not utterance.ended, "each piece has its own time"
    await clock.advance(2.0)
    await call.play(utterance, behind)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, InputTimeout)
    assert str(utterance.report.error).startswith("no audio came for 10 s from ")
    assert call.heard == HEARD * 2


async def test_a_short_time_after_a_long_first_one(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    source = Source(PIECES[0], STALL)
    utterance = call.controller.speak(source, timeout_seconds=1.0, first_audio_timeout_seconds=60.0)
    await turns()
    await clock.advance(1.5)
    assert utterance.ended


@pytest.mark.parametrize("kind", ["before", "after"])
async def test_no_timeout(call: Call, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    clock = Clock(monkeypatch)
    source = Source(*PIECES[: kind == "after"], STALL)
    utterance = call.controller.speak(source, timeout_seconds=None, first_audio_timeout_seconds=None)
    await turns()
    await clock.advance(1e6)
    assert not utterance.ended
    utterance.cancel()


async def test_an_iterator_in_a_thread_that_stalls(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    release = threading.Event()
    closed = threading.Event()

    def stalling() -> Iterator[bytes]:
        try:
            release.wait()
            yield PIECES[0]
        finally:
            closed.set()

    threads = Threads()
    utterance = call.controller.speak(stalling())
    await turns()
    await clock.advance(6.0)
    assert utterance.ended
    assert not tasks_of_speaking(), "nobody waits for the thread"
    release.set()
    threads.join()
    assert closed.is_set()


@pytest.mark.parametrize("reaction", ["item", "error"])
async def test_a_source_that_catches_the_cancellation(
    call: Call, monkeypatch: pytest.MonkeyPatch, reaction: str
) -> None:
    clock = Clock(monkeypatch)

    async def stubborn() -> AsyncGenerator[bytes, None]:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if reaction == "error":
                raise Broken from None
        yield PIECES[0]

    utterance = call.controller.speak(stubborn())
    await turns()
    await clock.advance(6.0)
    assert utterance.ended
    call.read()
    assert utterance.report is not None
    assert isinstance(utterance.report.error, InputTimeout)
    assert not tasks_of_speaking()


async def test_back_pressure_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    call = Call(high_water_seconds=0.04)
    utterance = call.controller.speak(Source(*PIECES))
    await turns()
    assert utterance.accepted < len(AUDIO)
    await clock.advance(3_600.0)
    assert not utterance.ended
    await call.play(utterance)
    assert call.heard == HEARD


async def test_pauses_do_not_count(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    utterance = call.controller.speak(Source(PIECES[0], STALL), timeout_seconds=10.0)
    await turns()
    await clock.advance(6.0)
    call.controller.pause()
    await clock.advance(3_600.0)
    assert not utterance.ended
    call.controller.resume()
    await clock.advance(3.0)
    assert not utterance.ended, "6 + 3 seconds"
    await clock.advance(1.5)
    assert utterance.ended


async def test_a_pause_that_began_before(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    call.controller.pause()
    utterance = call.controller.speak(Source(STALL), first_audio_timeout_seconds=5.0)
    await turns()
    await clock.advance(3_600.0)
    assert not utterance.ended
    call.controller.resume()
    await clock.advance(4.0)
    assert not utterance.ended
    await clock.advance(1.5)
    assert utterance.ended


# Whoever ends it first


def interrupt(call: Call, utterance: Utterance) -> None:
    call.controller.interrupt()


def cancel(call: Call, utterance: Utterance) -> None:
    utterance.cancel()


def lock(call: Call, utterance: Utterance) -> None:
    call.controller.lock()


def close(call: Call, utterance: Utterance) -> None:
    call.controller.close()


def end(call: Call, utterance: Utterance) -> None:
    utterance.end()


def fail(call: Call, utterance: Utterance) -> None:
    utterance.fail(Broken())


def cancel_tasks(call: Call, utterance: Utterance) -> None:
    for task in asyncio.all_tasks():
        if task.get_name().startswith("speaking "):
            task.cancel()


ENDS: dict[Callable[[Call, Utterance], None], Outcome] = {
    interrupt: Outcome.INTERRUPTED,
    cancel: Outcome.INTERRUPTED,
    lock: Outcome.INTERRUPTED,
    close: Outcome.CLOSED,
    end: Outcome.COMPLETED,
    fail: Outcome.FAILED,
    cancel_tasks: Outcome.INTERRUPTED,
}


@pytest.mark.parametrize("wait", [0, 1, 2, 12])
@pytest.mark.parametrize("where", ["first", "later", "back-pressure", "decoding"])
@pytest.mark.parametrize("act", ENDS)
async def test_whoever_ends_it_stops_the_source_at_once(
    act: Callable[[Call, Utterance], None], where: str, wait: int
) -> None:
    call = Call(high_water_seconds=0.04)
    items: dict[str, list[Any]] = {
        "first": [STALL],
        "later": [PIECES[0], STALL],
        "back-pressure": PIECES,
        "decoding": [wav(AUDIO, RATE), STALL],
    }
    source = Source(*items[where])
    utterance = call.controller.speak(source, text="Good morning.")
    await turns(wait)
    act(call, utterance)
    assert utterance.ended or act is cancel_tasks
    asked = source.asked
    await turns()
    assert source.asked <= asked + (wait == 0 and act is not cancel_tasks)
    assert source.closed == 1
    assert not tasks_of_speaking()
    await call.play(utterance)
    assert utterance.report is not None
    # To end it while a write waits cuts it short.
    is_cut = act is end and where == "back-pressure" and wait > 0
    assert utterance.report.outcome is (Outcome.INTERRUPTED if is_cut else ENDS[act])
    assert not call.named("error")
    assert not call.named("audio_refused")


@pytest.mark.parametrize("act", [interrupt, cancel, close, fail])
@pytest.mark.parametrize("kind", ["generator", "thread", "file", "coroutine", "waiting coroutine", "iterable"])
async def test_every_kind_of_source_is_closed_once(
    call: Call, act: Callable[[Call, Utterance], None], kind: str
) -> None:
    closed: list[str] = []
    threads = Threads()

    async def slow() -> AsyncGenerator[bytes, None]:
        try:
            yield PIECES[0]
            await asyncio.get_running_loop().create_future()
        finally:
            closed.append(kind)

    class Pieces:
        """An iterator that blocks on nothing."""

        def __iter__(self) -> Iterator[bytes]:
            return self

        def __next__(self) -> bytes:
            return PIECES[0]

        def close(self) -> None:
            closed.append(kind)

    class File(io.BytesIO):
        def close(self) -> None:
            if not self.closed:
                closed.append(kind)
            super().close()

    class Response:
        """Something with an iterator that need not be closed."""

        def __aiter__(self) -> AsyncIterator[bytes]:
            return Source(PIECES[0], STALL)

        async def aclose(self) -> None:
            closed.append(kind)

    async def give() -> AsyncIterator[bytes]:
        return slow()

    async def wait() -> AsyncIterator[bytes]:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            closed.append(kind)
        return slow()

    source: Any = {
        "generator": slow,
        "thread": Pieces,
        "file": lambda: File(wav(np.tile(AUDIO, 500), RATE)),
        "coroutine": give,
        "waiting coroutine": wait,
        "iterable": Response,
    }[kind]()
    utterance = call.controller.speak(source)
    await until(lambda: utterance.accepted > 0 or kind == "waiting coroutine")
    await turns()
    act(call, utterance)
    await turns()
    threads.join()
    assert closed == [kind]
    assert not tasks_of_speaking()


@pytest.mark.parametrize("act", [lock, close])
@pytest.mark.parametrize("kind", ["async iterator", "coroutine", "iterator", "file object"])
async def test_a_speak_that_is_refused_closes_its_source(
    call: Call, act: Callable[[Call, Utterance], None], kind: str
) -> None:
    act(call, call.controller.utterance())
    source: Any = KINDS[kind]()
    utterance = call.controller.speak(source)
    assert utterance.report is not None
    assert utterance.report.outcome is (Outcome.CLOSED if act is close else Outcome.INTERRUPTED)
    await turns()
    assert not tasks_of_speaking()
    if isinstance(source, Source):
        assert (source.asked, source.closed) == (0, 1)
    if isinstance(source, io.BytesIO):
        assert source.closed


async def test_a_speak_of_a_turn_that_is_over(call: Call) -> None:
    turn = call.controller.turn()
    call.controller.interrupt()
    source = Source(*PIECES)
    utterance = turn.speak(source)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.INTERRUPTED
    await turns()
    assert (source.asked, source.closed) == (0, 1)


async def test_an_interrupt_before_the_coroutine_has_given_its_source(call: Call) -> None:
    source = Source(*PIECES)

    async def give() -> Source:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:  # it gives the source none the less
            return source
        raise AssertionError

    call.controller.speak(give())
    await turns()
    call.controller.interrupt()
    await turns()
    assert (source.asked, source.closed) == (0, 1)
    assert not tasks_of_speaking()


async def test_a_task_that_is_cancelled_by_others_cancels_its_utterance(call: Call) -> None:
    task = asyncio.ensure_future(asyncio.Event().wait())
    utterance = call.controller.speak(task, text="Hello.")
    behind = call.controller.speak(AUDIO)
    await turns()
    task.cancel()
    await call.play(utterance, behind)
    assert utterance.report is not None
    assert utterance.report.outcome is Outcome.INTERRUPTED
    assert call.heard == HEARD


async def test_cancelling_what_surrounds_a_turn_cancels_its_sources(call: Call) -> None:
    sources = [Source(*PIECES, STALL) for _ in range(3)]

    async def answer() -> None:
        async with call.controller.turn() as turn:
            for source in sources:
                turn.speak(source)
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(answer())
    await turns()
    task.cancel()
    await turns()
    assert [source.closed for source in sources] == [1, 1, 1]
    assert call.controller.buffered == 0
    assert [event.report.outcome for event in call.named("turn_finished")] == [Outcome.INTERRUPTED]


@pytest.mark.parametrize("wait", [0, 3])
def test_the_end_of_the_loop_closes_the_source(wait: int) -> None:
    source, decoded, threads = Source(PIECES[0], STALL), Source(wav(AUDIO, RATE), STALL), Threads()
    call = Call()
    utterances: list[Utterance] = []

    async def main() -> None:
        utterances.extend(map(call.controller.speak, (source, decoded, iter([PIECES[0]] * 10_000))))
        await turns(wait)

    asyncio.run(main())
    threads.join()
    assert source.closed == decoded.closed == 1
    assert [utterance.ended for utterance in utterances] == [True] * 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_dies_without_a_word_leaves_no_thread() -> None:
    threads, controllers = Threads(), [Call(high_water_seconds=0.04).controller]
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # it reports each task that it has lost

    async def main() -> None:
        controllers[0].speak(iter([PIECES[0]] * 10_000))
        controllers[0].speak(Source(wav(AUDIO, RATE), STALL))
        await turns()

    loop.run_until_complete(main())
    loop.close()
    controllers.pop().close()

    async def another() -> None:
        Call().controller.speak(Source())

    asyncio.run(another())  # from here on nothing holds the tasks of the dead one
    for thread in threads.started():
        while thread.is_alive():
            gc.collect()  # again: a thread on its way to its next request still holds the last one
            thread.join(0.01)


async def test_a_listener_that_speaks_again_behind_an_interrupt(call: Call) -> None:
    notices: list[Utterance] = []

    @call.controller.on("utterance_finished")
    def again(event: Any) -> None:
        if event.report.text == "By law we record this." and event.report.outcome is Outcome.INTERRUPTED:
            notices.append(call.controller.speak(Source(*PIECES), text="By law we record this.", first=True))

    playing = call.controller.speak(Source(PIECES[0], STALL))
    call.controller.speak(Source(*PIECES), text="By law we record this.")
    call.controller.speak(Source(*PIECES), text="And another thing.")
    await until(lambda: playing.accepted > 0)
    call.read(100)
    del call.heard[:]
    call.controller.interrupt()
    await call.play(*notices)
    assert [notice.report and notice.report.heard for notice in notices] == ["By law we record this."]
    assert call.heard == HEARD
    assert call.controller.state == "idle"


async def test_a_source_that_ends_its_own_utterance(call: Call) -> None:
    made: list[Utterance] = []
    closed: list[bool] = []

    async def items() -> AsyncGenerator[bytes, None]:
        try:
            yield PIECES[0]
            made[0].cancel()
            yield PIECES[1]
        finally:
            closed.append(True)

    made.append(call.controller.speak(items()))
    await call.play(*made)
    assert made[0].report is not None
    assert made[0].report.outcome is Outcome.INTERRUPTED
    assert closed == [True]
    assert not tasks_of_speaking()


async def test_the_input_timeout_of_the_controller_closes_the_source() -> None:
    call = Call(input_timeout_seconds=0.1)
    source = Source(PIECES[0], STALL)
    utterance = call.controller.speak(source)
    await call.play(utterance)
    assert utterance.report is not None
    assert isinstance(utterance.report.error, InputTimeout)
    assert source.closed == 1
    assert not tasks_of_speaking()


async def test_a_feed_leaves_no_listener(call: Call) -> None:
    before = dict(call.controller._emitter._registered)
    counts = {name: len(listeners) for name, listeners in before.items()}
    utterance = call.controller.speak(Source(*PIECES))
    await call.play(utterance)
    assert {name: len(listeners) for name, listeners in call.controller._emitter._registered.items()} == counts


# Many


async def test_a_thousand_sentences_of_twenty_synthesizers() -> None:
    call = Call(high_water_seconds=0.5, history_seconds=0.0)
    random = Random(1)
    order: list[int] = []
    held: list[tuple[int, int]] = []

    @call.controller.on("utterance_finished")
    def finished(event: Any) -> None:
        assert event.report.outcome is Outcome.COMPLETED
        order.append(int(event.utterance.id))

    async def synthesize(number: int) -> AsyncGenerator[bytes, None]:
        for _ in range(3):
            await turns(random.randrange(6))
            yield np.full(40, number + 1, np.int16).tobytes()

    gate = asyncio.Semaphore(20)
    tracemalloc.start()
    try:
        for number in range(1_000):
            await until(lambda: not gate.locked(), lambda: call.read(60))
            await gate.acquire()
            utterance = call.controller.speak(synthesize(number), id=str(number))
            waiting = asyncio.ensure_future(utterance.wait())
            waiting.add_done_callback(lambda _: gate.release())
            if number in (300, 999):
                call.events.clear()
                del utterance, waiting
                gc.collect()
                held.append((tracemalloc.get_traced_memory()[0], len(gc.get_objects())))
        await until(lambda: len(order) == 1_000, call.read)
    finally:
        tracemalloc.stop()
    assert order == list(range(1_000))
    assert call.heard == [number + 1 for number in range(1_000) for _ in range(120)]
    # What was heard is kept by this test: 8 bytes a sample, and an object for each sample above 256.
    kept = 700 * 120 * (8 + 32)
    (before, objects), (after, more) = held
    assert after - before < kept + 300_000
    assert more - objects < 2_000
    call.controller.close()
    await turns()
    assert not tasks_of_speaking()
