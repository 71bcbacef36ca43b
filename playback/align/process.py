"""FinderProcess: finds words in a process of its own.

pocketsphinx holds the interpreter's lock while it decodes. On a thread, also one that gives the lock away each 0.2 ms,
an event loop waits that long whenever it needs the lock again, and it gives it away with each system call and each
packet that it encodes. Measured with 60 calls (one core for all of them), three of which are interrupted in a second:
reads were 20 ms late (99 %) instead of 1. In a process of its own, alignment costs the calls no more than the CPU time
that they leave.

The process starts with its aligner, and again after it has ended for whatever reason. It ends with the aligner and with
this process. A fork of this process has none; it starts its own when it needs one.
"""

from __future__ import annotations

import json
import os
import subprocess
import weakref
from collections.abc import Sequence
from threading import Lock, Timer
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from playback._child import exit_of, start
from playback.align.child import ANSWER, REQUEST
from playback.align.pauses import RATE
from playback.words.word import Word

_ANSWER_SECONDS: Final = 30.0
"""How much longer than the audio an alignment may take: a hundred times as long as it does on a busy machine."""


class FinderProcess:
    """A process with a :class:`playback.align.finder.Finder`. Any threads may ask it; it answers one after the other.

    Args:
        arguments: those of the finder.

    Raises:
        OSError: no process can be started.
    """

    def __init__(self, arguments: Sequence[str | None]) -> None:
        self._arguments: Final = json.dumps(arguments)
        self._lock = Lock()
        self._running: Final[list[_Child]] = [_Child(self._arguments)]
        weakref.finalize(self, _close, self._running)
        _PROCESSES.add(self)

    @property
    def pid(self) -> int | None:
        """The number of the process; None if there is none now."""
        return self._running[0].pid if self._running else None

    def find(self, text: str, samples: NDArray[np.int16]) -> list[Word]:
        """Have the process find the words of a text, and wait for them.

        Raises:
            OSError: no process can be started.
            RuntimeError: the process has ended in the middle of it, or takes too long.
        """
        with self._lock:
            if self._running and not self._running[0].is_alive:
                _close(self._running)
            if not self._running:
                self._running.append(_Child(self._arguments))
            try:
                return self._running[0].find(text, samples)
            except BaseException:
                _close(self._running)  # nobody knows what it answers next
                raise

    def forget(self) -> None:
        """Have no process, without ending it: this process is a fork of the one that has started it."""
        self._lock = Lock()
        for child in self._running:
            child.forget()
        self._running.clear()


class _Child:
    """One process, from its start to its end."""

    def __init__(self, arguments: str) -> None:
        self._popen: Final = start(
            "playback.align.child",
            [arguments],
            packages=["playback", "playback.align", "playback.words"],
            environment=os.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._pipes: Final[tuple[Any, Any]] = self._popen.stdin, self._popen.stdout
        self._has_expired = False

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def find(self, text: str, samples: NDArray[np.int16]) -> list[Word]:
        """Send a request, and read its answer.

        Raises:
            RuntimeError: there is none, or the answer is an error.
        """
        seconds = _ANSWER_SECONDS + len(samples) / RATE
        timer = Timer(seconds, self._expire)
        timer.daemon = True
        timer.start()
        try:
            said = text.encode("utf-8", "surrogatepass")
            self._write(REQUEST.pack(len(said), samples.nbytes) + said + samples.tobytes())
            (size,) = ANSWER.unpack(self._read(ANSWER.size))
            found = json.loads(self._read(size))
        except (BrokenPipeError, EOFError):
            if self._has_expired:
                raise RuntimeError(f"the process that aligns took {seconds:g} s, expected less") from None
            raise RuntimeError(f"the process that aligns ended with {exit_of(self._popen.wait())}") from None
        finally:
            timer.cancel()
        if isinstance(found, str):
            raise RuntimeError(f"the process that aligns raised {found}")
        return [Word(*word) for word in found]

    def close(self) -> None:
        """End it, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()
        for pipe in self._pipes:
            pipe.close()

    def forget(self) -> None:
        """Close the copies of its pipes, or it would live as long as this process."""
        for pipe in self._pipes:
            pipe.close()
        self._popen.returncode = 0  # it is nobody's child here: nothing is to be waited for

    def _expire(self) -> None:
        self._has_expired = True
        self._popen.kill()

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._pipes[0].write(left) :]

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._pipes[1].read(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)


def _close(running: list[_Child]) -> None:
    while running:
        running.pop().close()


def _forget_all() -> None:
    for process in list(_PROCESSES):
        process.forget()


_PROCESSES: Final[weakref.WeakSet[FinderProcess]] = weakref.WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
