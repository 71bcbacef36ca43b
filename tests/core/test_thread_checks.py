"""In debug mode a call from a foreign thread is an error, and everything else works as ever."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from playback import AudioFormat, PlaybackController
from playback.core.playout import Playout
from playback.track import PlaybackTrack
from tests.signals import FRAME, RATE, ramp

FORMAT = AudioFormat(RATE)
MESSAGE = r"called in thread 'producer_0', expected 'MainThread', .* controller\.threadsafe"


async def elsewhere(call: Callable[[], Any]) -> Any:
    """Call something in a foreign thread."""
    with ThreadPoolExecutor(1, "producer") as executor:
        return await asyncio.get_running_loop().run_in_executor(executor, call)


CALLS: dict[str, Callable[[PlaybackController, Any], Any]] = {
    "push": lambda controller, _: controller.push(ramp(FRAME)),
    "push bytes": lambda _, utterance: utterance.push(bytes(2 * FRAME)),
    "push of a new handle": lambda controller, _: controller.utterance().push(bytes(2)),
    "enqueue": lambda _, utterance: utterance.enqueue(),
    "mark": lambda _, utterance: utterance.mark("word"),
    "end": lambda _, utterance: utterance.end(),
    "fail": lambda _, utterance: utterance.fail(ValueError()),
    "cancel": lambda _, utterance: utterance.cancel(),
    "write": lambda _, utterance: asyncio.run(utterance.write(bytes(2))),
    "turn": lambda controller, _: controller.turn().utterance().push(bytes(2)),
    "pause": lambda controller, _: controller.pause(),
    "resume": lambda controller, _: controller.resume(),
    "interrupt": lambda controller, _: controller.interrupt(),
    "lock": lambda controller, _: controller.lock(),
    "close": lambda controller, _: controller.close(),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_from_a_foreign_thread_is_an_error_and_does_nothing(name: str) -> None:
    async def main() -> None:
        controller = PlaybackController(FORMAT)
        utterance = controller.utterance()
        for _ in range(3):
            utterance.push(bytes(2 * FRAME))  # from here on pushes are fast
        if name == "resume":
            controller.pause()
        before = controller.leaf, controller.buffered, utterance.ended
        with pytest.raises(RuntimeError, match=MESSAGE):
            await elsewhere(lambda: CALLS[name](controller, utterance))
        assert (controller.leaf, controller.buffered, utterance.ended) == before

    asyncio.run(main(), debug=True)


def test_what_is_made_before_the_loop_belongs_to_where_it_is_read() -> None:
    script = """
import asyncio, threading
from playback import AudioFormat, PlaybackController
controller = PlaybackController(AudioFormat(24_000))
utterance = controller.utterance()
utterance.push(bytes(960))
async def main():
    controller.read(480)
    try:
        await asyncio.to_thread(utterance.push, bytes(960))
    except RuntimeError as error:
        print("caught", "threadsafe" in str(error))
    utterance.push(bytes(960))
    controller.threadsafe(asyncio.get_running_loop()).push(bytes(2))
asyncio.run(main())
"""
    run = subprocess.run([sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "caught True\n", run.stderr


def test_threadsafe_producers_and_reads_work_in_debug_mode() -> None:
    async def main() -> None:
        controller = PlaybackController(FORMAT)
        track = PlaybackTrack(controller)
        producer = controller.threadsafe(asyncio.get_running_loop())
        await elsewhere(lambda: producer.push(ramp(FRAME)))
        await elsewhere(lambda: producer.speak([ramp(FRAME).tobytes()]))
        producer.end()
        await asyncio.sleep(0)
        assert controller.buffered == 2 * FRAME
        frame = await track.recv()
        assert frame.samples > 0
        await elsewhere(lambda: controller.read(FRAME))  # a read always answers
        controller.close()

    asyncio.run(main(), debug=True)


def test_a_script_without_a_loop_is_not_checked() -> None:
    controller = PlaybackController(FORMAT)
    controller.push(ramp(FRAME))

    async def main() -> None:
        await elsewhere(lambda: controller.push(ramp(FRAME)))

    asyncio.run(main())
    assert controller.buffered == 2 * FRAME


def test_nothing_is_checked_without_debug_mode() -> None:
    async def main() -> None:
        controller = PlaybackController(FORMAT)
        await elsewhere(lambda: controller.push(ramp(FRAME)))
        assert type(controller._playout) is Playout

    assert not sys.flags.dev_mode
    asyncio.run(main())
