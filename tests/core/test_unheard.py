"""What never sounded is never said to have been heard, whatever kept it from sounding, and whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest

from playback import AudioFormat, Outcome, PlaybackController, Utterance
from tests.signals import CUTS, FRAME, RATE
from tests.speaking.playing import Call, turns, until

TEXT: Final = "Your code is four two seven."


async def _nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece


async def _raises() -> AsyncIterator[bytes]:
    yield b""
    raise ConnectionError("gone")


def _nothing_from_a_thread() -> Iterator[bytes]:
    return iter(())


SOURCES: Final[dict[str, Callable[[], Any]]] = {
    "no audio": _nothing,
    "an error": _raises,
    "no audio, from a thread": _nothing_from_a_thread,
    "an empty piece": lambda: iter([b""]),
    "empty bytes": lambda: b"",
    "an empty array": lambda: np.zeros(0, np.int16),
    "a part of a sample": lambda: b"\1",
    "an error page": lambda: b"<html><body>500</body></html>",
    "a header of a file": lambda: (
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\xc0\x5d\0\0\x80\xbb\0\0\2\0\x10\0data\0\0\0\0"
    ),
    "a damaged file": lambda: b"OggS" + bytes(500),
    "a media stream that is none": lambda: bytes(5_000),
}


@pytest.mark.parametrize("on_timeout", ["fail", "complete"])
@pytest.mark.parametrize("name", SOURCES)
async def test_a_source_without_audio(name: str, on_timeout: str) -> None:
    call = Call(on_input_timeout=on_timeout)
    encoded = "encoded" if name == "a media stream that is none" else None
    utterance = call.controller.speak(SOURCES[name](), text=TEXT, format=encoded)  # type: ignore[arg-type]
    await call.play(utterance)
    assert utterance.report is not None
    assert utterance.report.heard == ""
    assert call.heard == []


def _pushes_nothing(utterance: Utterance) -> None:
    utterance.push(b"")


def _enqueues(utterance: Utterance) -> None:
    utterance.enqueue()


def _pushes_half(utterance: Utterance) -> None:
    utterance.push(b"\1")


def _marks(utterance: Utterance) -> None:
    utterance.enqueue()
    utterance.mark("Your", at=0.0, until=0.1)
    utterance.mark("code", at=0.1)


BEGINNINGS: Final = (_enqueues, _pushes_nothing, _pushes_half, _marks)


@pytest.mark.parametrize("timeout", ["fail", "complete"])
@pytest.mark.parametrize("begin", BEGINNINGS)
@pytest.mark.parametrize(
    "end", ["times out", "ends", "fails", "is interrupted", "is locked", "is cancelled", "is closed"]
)
def test_an_utterance_without_audio(begin: Callable[[Utterance], None], end: str, timeout: Any) -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS, input_timeout_seconds=0.04, on_input_timeout=timeout)
    utterance = controller.utterance(text=TEXT)
    begin(utterance)
    match end:
        case "ends":
            utterance.end()
        case "fails":
            utterance.fail(LookupError("broken"))
        case "is interrupted":
            controller.interrupt()
        case "is locked":
            controller.lock()
        case "is cancelled":
            utterance.cancel()
        case "is closed":
            controller.close()
    for _ in range(4):
        controller.read(FRAME)
    assert utterance.report is not None
    assert utterance.played == 0
    assert utterance.report.heard == ""


@pytest.mark.parametrize("timeout", ["fail", "complete"])
def test_what_times_out_after_some_words_is_heard_as_far_as_its_marks_say(timeout: Any) -> None:
    controller = PlaybackController(AudioFormat(RATE), fades=CUTS, input_timeout_seconds=0.2, on_input_timeout=timeout)
    utterance = controller.utterance(text=TEXT)
    for index, word in enumerate(["Your", "code", "is", "four", "two", "seven"]):
        utterance.mark(word, at=index * 0.1)
    utterance.push(np.ones(7200, np.int16))
    for _ in range(40):
        controller.read(FRAME)
    assert utterance.report is not None
    assert utterance.report.heard == "Your code is"


async def test_a_thread_that_speaks_nothing() -> None:
    call = Call()
    producer = call.controller.threadsafe(asyncio.get_running_loop())
    for source in (b"", iter(()), [b""]):
        work = asyncio.ensure_future(asyncio.to_thread(producer.speak, source, text=TEXT))
        await until(work.done, call.read)
        spoken = await work
        await turns()
        call.read()
        assert spoken.handle.report is not None
        assert spoken.handle.report.heard == ""


@pytest.mark.parametrize("how", ["with", "end"])
async def test_a_block_that_gives_no_audio(how: str) -> None:
    call = Call()
    utterance = call.controller.utterance(text=TEXT)
    if how == "with":
        async with utterance:
            pass
    else:
        utterance.enqueue()
        utterance.end()
    call.read()
    assert utterance.report is not None
    assert utterance.report.heard == ""


async def test_a_turn_of_nothing() -> None:
    call = Call()
    async with call.controller.turn() as turn:
        turn.utterance(text=TEXT).end()
        turn.speak(_nothing(), text=TEXT)
    await call.play(turn)
    assert turn.report is not None
    assert not (turn.report.heard or "").strip()
    assert turn.report.outcome in (Outcome.COMPLETED, Outcome.FAILED)
