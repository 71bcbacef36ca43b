"""What is dropped is gone, whatever it was connected with and whatever was queued; what is kept keeps little else."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest

from playback import AudioFormat, PlaybackController, Utterance
from playback.bargein import BargeIn
from playback.bargein.vad import VoiceActivity
from playback.opus import OpusPlaybackTrack
from playback.pump import Pump
from playback.sinks import CallbackSink, Chunk, RecorderSink
from playback.tracing import Trace
from playback.track import PlaybackTrack
from tests.signals import FRAME, RATE, ramp

FORMAT = AudioFormat(RATE)


async def write(_: Any) -> None:
    await asyncio.Event().wait()


async def listen(_: Chunk) -> None:
    await asyncio.Event().wait()


async def synthesize() -> AsyncGenerator[bytes, None]:
    while True:
        yield bytes(2 * FRAME)
        await asyncio.sleep(0)


def queued(controller: PlaybackController) -> Utterance:
    utterance = controller.utterance()
    utterance.push(ramp(FRAME))
    return utterance


def in_turn(controller: PlaybackController) -> Any:
    turn = controller.turn()
    turn.utterance().push(ramp(FRAME))
    return turn


def encoded(controller: PlaybackController) -> Utterance:
    utterance = controller.utterance(format="encoded")
    utterance.push(b"RIFF\xff\xff\xff\x7fWAVE")
    return utterance


def hearing(controller: PlaybackController) -> VoiceActivity:
    return VoiceActivity(PlaybackTrack(PlaybackController(FORMAT)), BargeIn(controller))


def awaited_sink(controller: PlaybackController) -> object:
    sink = CallbackSink(listen)
    controller.sinks.add(sink, when="pushed")
    queued(controller)
    return sink


def len_of(chunk: Chunk) -> int:
    return len(chunk.audio)


def behind_sink(controller: PlaybackController) -> object:
    """A sink for which a long push is still to be converted."""
    sink = CallbackSink(len_of)
    controller.sinks.add(sink, when="pushed")
    controller.push(np.zeros(3 * RATE, np.float32))
    return sink


COMPANIONS: dict[str, Callable[[PlaybackController], Any]] = {
    "trace": Trace,
    "barge-in": BargeIn,
    "voice activity": hearing,
    "track": PlaybackTrack,
    "opus track": OpusPlaybackTrack,
    "pump": lambda controller: Pump(controller, write),
    "event stream": lambda controller: controller.events(),
    "background": lambda controller: controller.background.add(ramp(FRAME), loop=True),
    "live background": lambda controller: controller.background.stream(),
    "sink": lambda controller: controller.sinks.add(CallbackSink(), when="played"),
    "awaited sink": awaited_sink,
    "sink that is behind": behind_sink,
    "threadsafe producer": lambda controller: controller.threadsafe(asyncio.get_running_loop()),
    "threadsafe handle": lambda controller: controller.threadsafe(asyncio.get_running_loop()).utterance(),
    "handle": queued,
    "turn": in_turn,
    "encoded": encoded,
    "speak": lambda controller: controller.speak(synthesize(), format=FORMAT),
}

ALONE = ["trace", "background", "live background", "sink", "awaited sink"]
"""What does nothing to a controller, so that it has no reason to keep it."""


def run(session: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def measured() -> None:
        await session()
        await asyncio.sleep(0)

    asyncio.run(measured())


@pytest.mark.parametrize("name", COMPANIONS)
def test_all_that_was_dropped_is_gone(name: str) -> None:
    async def session() -> None:
        controller = PlaybackController(FORMAT)
        if name not in ("turn", "speak", "encoded"):
            queued(controller)
        companion = COMPANIONS[name](controller)
        for _ in range(3):
            await asyncio.sleep(0)
            controller.read(FRAME)
        gone: list[ref[Any]] = [ref(controller), ref(controller.events()), ref(companion)]
        if name == "speak":
            companion.cancel()  # its source keeps it speaking
        del controller, companion
        for _ in range(5):  # what has a task of its own may need a turn of the loop to go
            await asyncio.sleep(0)
            if any(one() for one in gone):
                gc.collect()
        assert [one() for one in gone] == [None] * 3

    run(session)


@pytest.mark.parametrize("name", ALONE)
def test_what_only_listens_keeps_no_playout(name: str) -> None:
    async def session() -> None:
        controller = PlaybackController(FORMAT)
        companion = COMPANIONS[name](controller)
        utterance = queued(controller)
        controller.read(FRAME // 2)
        await asyncio.sleep(0)
        gone: list[ref[Any]] = [ref(controller), ref(utterance)]
        del controller, utterance
        gc.collect()
        assert [one() for one in gone] == [None] * 2
        if isinstance(companion, Trace):
            assert companion.calls
            companion.stop()
            companion.stop()

    run(session)


def test_a_report_keeps_nothing() -> None:
    controller = PlaybackController(FORMAT)
    utterance = queued(controller)
    controller.interrupt()
    report = utterance.report
    gone: list[ref[Any]] = [ref(controller), ref(utterance)]
    del controller, utterance
    gc.collect()
    assert report is not None
    assert [one() for one in gone] == [None] * 2


def test_what_was_recorded_keeps_no_playout(tmp_path: Path) -> None:
    controller = PlaybackController(FORMAT)
    recorder = controller.sinks.add(RecorderSink(tmp_path / "call.wav"), when="played")
    utterance = queued(controller)
    controller.read(FRAME)
    gone: list[ref[Any]] = [ref(controller), ref(utterance)]
    del controller, utterance
    gc.collect()
    assert [one() for one in gone] == [None] * 2
    recorder.close()


def test_feeds_of_a_dead_loop_go_with_the_next_one() -> None:
    gone: list[ref[Any]] = []

    async def session() -> None:
        controller = PlaybackController(FORMAT)
        utterance = controller.speak(synthesize(), format=FORMAT)
        await asyncio.sleep(0)
        gone.extend([ref(controller), ref(utterance)])

    for _ in range(2):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(session())
        loop.close()
    del loop
    gc.collect()
    assert [one() for one in gone[:2]] == [None] * 2


def test_what_was_dropped_leaves_no_thread_and_no_task() -> None:
    before = set(threading.enumerate())

    async def session() -> None:
        for _ in range(20):
            controller = PlaybackController(FORMAT)
            companions = [COMPANIONS[name](controller) for name in ("encoded", "background", "awaited sink", "speak")]
            companions[-1].cancel()
            controller.close()
            del controller, companions
        for _ in range(20):
            await asyncio.sleep(0)
        gc.collect()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(session)
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
        assert not thread.is_alive(), thread
