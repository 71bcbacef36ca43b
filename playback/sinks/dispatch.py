"""Dispatch: how a sink is called, at once or by a task of its own, so that nothing that it does gets out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from time import perf_counter
from typing import Any, Final

from playback._waiting import Gate, running_task
from playback.events import Closed, ErrorRaised, Event
from playback.sinks.chunks import Chunk, When

INLINE_SECONDS: Final = 0.005
"""How long a sink may keep a push or a read waiting before that is reported: a quarter of a frame."""

QUEUE_SECONDS: Final[dict[When, float]] = {"pushed": 120.0, "played": 10.0}
"""How much audio waits for a sink that is awaited. Speech is synthesized in bursts of whole sentences, and what is
pushed ahead must wait; what is played comes at the pace of playback, and is stale when it is that late."""


class SinkSlow(Exception):  # noqa: N818 - it was not wrong, only slow
    """A plain function kept a push or a read waiting: ``sink``, and ``seconds``, how long."""

    def __init__(self, sink: object, seconds: float) -> None:
        super().__init__(
            f"{name_of(sink)} took {seconds * 1000:.1f} ms, expected at most {INLINE_SECONDS * 1000:.0f} ms"
        )
        self.sink: Final = sink
        self.seconds: Final = seconds


class SinkOverflow(Exception):  # noqa: N818 - as queue.Full
    """Audio for a sink that is awaited is dropped, so far behind is it: ``sink``, and ``dropped``, the chunks so far.

    Emitted when that begins, and with ``over`` when audio reaches it again or never will.
    """

    def __init__(self, sink: object, dropped: int, over: bool) -> None:
        so_far = f"{dropped} chunks were dropped in all" if over else "audio for it is being dropped"
        super().__init__(f"{name_of(sink)} is too slow: {so_far}")
        self.sink: Final = sink
        self.dropped: Final = dropped
        self.over: Final = over


class SinkWorker:
    """One sink: called at once, or by a queue's task if it has to be awaited. Nothing that it does gets out of here.

    Args:
        sink: what is called.
        when: which audio it hears.
        replaces_output: whether the output is silent because of it.
        emit: where events go.
        position: gives the samples read so far.
        rate: how many of them a second has.

    Raises:
        TypeError: it is nothing that could hear audio.
    """

    def __init__(
        self,
        sink: object,
        when: When,
        replaces_output: bool,
        *,
        emit: Callable[[Event], None],
        position: Callable[[], int],
        rate: int,
    ) -> None:
        audio = getattr(sink, "audio", sink)  # a function is its own
        control = getattr(sink, "control", None) or ignore
        if isinstance(sink, type) or not callable(audio) or not callable(control):
            raise TypeError(f"the sink is {sink!r}, expected an object with audio(chunk), or a function of a chunk")
        self.sink: Final = sink
        self.when: Final[When] = when
        self.replaces_output: Final = replaces_output
        self.hears_audio: Final = audio is not ignore
        self.stopped = False

        self._emit: Final = emit
        self._position: Final = position
        self._rate: Final = rate
        self._audio: Final[Callable[[Any], object]] = audio
        self._control: Final[Callable[[Any], object]] = control
        self._slow_again = 0  # the position from which on slowness is reported again
        awaited = _is_coroutine_function(audio) or _is_coroutine_function(control)
        self._queue = _Queue(self) if awaited else None

    def put(self, item: Event) -> None:
        """Hand over the next chunk or event."""
        try:
            if self._queue is not None:
                self._queue.put(item)
                return
            begun = self.call(item)
        except BaseException as error:  # as for listeners: neither CancelledError nor a panic is an Exception
            self.failed(error)
            return
        if isawaitable(begun) and not self.stopped:  # a plain function around a coroutine function
            self._queue = _Queue(self)
            self._queue.put(item, begun)
        elif iscoroutine(begun):
            begun.close()

    def call(self, item: Event) -> object:
        """Call the sink; returns what there may be to await."""
        began = perf_counter()
        try:
            return (self._audio if isinstance(item, Chunk) else self._control)(item)
        finally:
            seconds, position = perf_counter() - began, self._position()
            if seconds > INLINE_SECONDS and position >= self._slow_again:
                self._slow_again = position + self._rate
                self.failed(SinkSlow(self.sink, seconds))

    def failed(self, error: BaseException) -> None:
        """Report what went wrong."""
        self._emit(ErrorRaised(self._position(), error, f"sink {name_of(self.sink)}"))

    def stop(self) -> None:
        """Call it no more."""
        self.stopped = True
        if self._queue is not None:
            self._queue.stop()


class _Queue:
    """What a sink is still to be awaited for, and the task that does that, one after the other."""

    def __init__(self, worker: SinkWorker) -> None:
        self._worker: Final = worker
        self._items: Final[deque[tuple[Event, Awaitable[object] | None]]] = deque()
        self._most: Final = round(QUEUE_SECONDS[worker.when] * 1e6)
        self._waiting = 0  # in microseconds: rates differ, and floats would not add up
        self._dropped = 0
        self._arrived = Gate()
        self._task: asyncio.Task[None] | None = None
        self._stranded = False  # that no loop runs was reported

    def put(self, item: Event, begun: Awaitable[object] | None = None) -> None:
        """Let an item wait, or what its call has begun already. Audio may be dropped, events never."""
        if isinstance(item, Chunk):
            if not self._has_room():
                return
            self._waiting += _microseconds(item)
        elif isinstance(item, Closed):
            self._end_overflow()
        if self._serve_in_loop():
            self._items.append((item, begun))
        elif begun is None:
            self._items.append((item, None))  # for a loop that may still come
        elif iscoroutine(begun):
            begun.close()
        self._arrived.open()

    def stop(self) -> None:
        """Drop all that waits, and cancel the task, but for a sink that removes itself: it may finish what it does."""
        self._end_overflow()
        for _, begun in self._items:
            if iscoroutine(begun):
                begun.close()
        self._items.clear()
        if self._task is not None and self._task is not asyncio.current_task(self._task.get_loop()):
            self._task.cancel()

    def _has_room(self) -> bool:
        """Whether audio may wait; once it may not, not before half of what waits was served: rather one long gap."""
        if self._waiting < (self._most // 2 if self._dropped else self._most):
            self._end_overflow()
            return True
        self._dropped += 1
        if self._dropped == 1:
            self._worker.failed(SinkOverflow(self._worker.sink, 1, over=False))
        return False

    def _end_overflow(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._worker.failed(SinkOverflow(self._worker.sink, dropped, over=True))

    def _serve_in_loop(self) -> bool:
        """See that the task runs; False if there is no loop for it."""
        # A loop that was closed has left its tasks as they were.
        if self._task is None or self._task.done() or self._task.get_loop().is_closed():
            self._arrived = Gate()
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError as error:
                if not self._stranded:
                    self._stranded = True
                    self._worker.failed(error)
                return False
            self._stranded = False
            self._task = loop.create_task(self._serve())
        return True

    async def _serve(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        # A sink may swallow its cancellation; its task ends all the same.
        while not self._worker.stopped and not task.cancelling():
            while not self._items:
                await self._arrived.wait()
            item, begun = self._items.popleft()
            if isinstance(item, Chunk):
                self._waiting -= _microseconds(item)
                if _was_dropped(item):
                    continue
            try:
                result = self._worker.call(item) if begun is None else begun
                if isawaitable(result):
                    await result
            except asyncio.CancelledError as error:
                if task.cancelling():
                    raise
                self._worker.failed(error)  # the sink's own, from something else that it waited for
            except BaseException as error:
                if isinstance(error, GeneratorExit) and running_task() is not task:
                    raise  # this coroutine is closed, by a loop that is dead
                self._worker.failed(error)
            if isinstance(item, Closed):
                return


def ignore(_: Event) -> None:
    """What a sink without a function does."""


def _was_dropped(chunk: Chunk) -> bool:
    """Whether audio was pushed ahead in vain: what is left of its utterance will not be played."""
    report = chunk.utterance.report if chunk.utterance is not None and chunk.when == "pushed" else None
    return report is not None and report.discarded > 0


def _microseconds(chunk: Chunk) -> int:
    return round(1e6 * chunk.format.seconds(len(chunk.audio)))


def name_of(sink: object) -> str:
    """What to call a sink in messages."""
    return str(getattr(sink, "__qualname__", type(sink).__qualname__))


def _is_coroutine_function(function: object) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
