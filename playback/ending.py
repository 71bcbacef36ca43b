"""The end of a process: what its calls are saying is finished, goodbye is said, and all of them are closed in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Literal

from playback._checks import check_seconds
from playback.chart import State
from playback.controller import PlaybackController
from playback.events import INTERRUPTIONS
from playback.utterance import Utterance

Goodbye = Callable[[PlaybackController], Utterance]
"""Says goodbye on a controller, and returns the utterance."""

Finish = Literal["turn", "utterance"]

_FINISHED: Final[dict[str, Literal["turn_finished", "utterance_finished"]]] = {
    "turn": "turn_finished",
    "utterance": "utterance_finished",
}
_SAYS: Final = frozenset({State.SPEAKING, State.INTERRUPTED})
"""The states in which there is something to finish."""


async def shutdown(
    controllers: Iterable[PlaybackController],
    goodbye: Goodbye | None = None,
    *,
    finish: Finish = "turn",
    finish_seconds: float = 5.0,
    deadline_seconds: float = 10.0,
    network_seconds: float = 0.2,
) -> bool:
    """End calls: each one finishes what it says, says goodbye, and is closed, all at the same time.

    The application takes no new calls before, and closes the connections behind it. For each controller:

    1. Every hold is released: whoever holds would find nobody to resume later.
    2. What is playing goes on to its end. After ``finish_seconds`` it is interrupted, and so is what waits behind it.
    3. Goodbye is said. What is enqueued meanwhile comes behind it, and is dropped.
    4. The listener's ear has the last of it (as for :meth:`PlaybackController.drain`), and the controller is closed.

    Args:
        controllers: whose calls end; those that are closed are left out.
        goodbye: called once for each controller, such as ``lambda controller: controller.speak(source,
            interruptible=False)``. It must not block. What it raises is an ``error`` event of that controller.
        finish: what may go on to its end: the turn that plays, or only its utterance.
        finish_seconds: how long that may take; 0 interrupts at once.
        deadline_seconds: when all are closed in any case, whoever has stopped reading and whatever a source does.
        network_seconds: as for :meth:`PlaybackController.drain`.

    Returns:
        Whether every goodbye was heard whole; without one, whether everything that was said has drained.

    Raises:
        TypeError: a time that is no number.
        ValueError: a time that is negative or not finite, or another ``finish``.
    """
    check_seconds("finish_seconds", finish_seconds)
    check_seconds("deadline_seconds", deadline_seconds)
    check_seconds("network_seconds", network_seconds)
    if finish not in _FINISHED:
        raise ValueError(f"finish is {finish!r}, expected 'turn' or 'utterance'")
    ending = {
        asyncio.ensure_future(_end(controller, goodbye, finish, finish_seconds, network_seconds)): controller
        for controller in dict.fromkeys(controllers)
        if controller.state is not State.CLOSED
    }
    if not ending:
        return True
    try:
        _, late = await asyncio.wait(ending, timeout=deadline_seconds)
    finally:  # cancelled, too
        for task, controller in ending.items():
            task.cancel()
            controller.close(by="shutdown")
    await asyncio.wait(ending)
    return not late and all(not task.cancelled() and task.result() for task in ending)


async def _end(
    controller: PlaybackController,
    goodbye: Goodbye | None,
    finish: Finish,
    finish_seconds: float,
    network_seconds: float,
) -> bool:
    try:
        for owner in controller.holds:
            controller.resume(by=owner)
        await _finished(controller, finish, finish_seconds)
        controller.interrupt(force=True)
        controller.unlock()
        said = goodbye is None or await _said(controller, goodbye)
        controller.interrupt(lock=True, force=True)
        return await controller.drain(network_seconds=network_seconds) and said
    finally:
        controller.close(by="shutdown")


async def _finished(controller: PlaybackController, finish: Finish, seconds: float) -> None:
    """Wait until what plays is over, but no longer than this."""
    over = asyncio.Event()

    def look(_: object) -> None:
        if controller.state not in _SAYS:
            over.set()

    def end(_: object) -> None:
        over.set()

    look(None)
    controller.on(_FINISHED[finish], end)
    controller.on("state_changed", look)
    try:
        await asyncio.wait_for(over.wait(), seconds)
    except TimeoutError:
        pass
    finally:
        controller.remove_listener(_FINISHED[finish], end)
        controller.remove_listener("state_changed", look)


async def _said(controller: PlaybackController, goodbye: Goodbye) -> bool:
    """Say goodbye; whether it was heard whole."""
    try:
        utterance = goodbye(controller)
        return (await utterance.wait()).outcome == "completed"
    except (asyncio.CancelledError, GeneratorExit, *INTERRUPTIONS):
        raise
    except BaseException as error:  # a panic of a library in Rust is no Exception
        controller.report_error(error, "shutdown")
        return False
