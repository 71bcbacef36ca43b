"""The end of native objects, and when what may be called on them.

A native thread that calls back holds a lock of the object while it waits for Python's (the GIL), and so does a caller
in Python, the other way round, in every function that does not release the GIL. Both wait for ever. With
libdatachannel-py 2026.1, a callback that slept while each function was called showed which these are:

- setting a callback, or resetting all of them, and the end of the Python object (its destructor). So callbacks are set
  where none can run: before there is a description, or in the callback that brings the object. They are never reset,
  and an object is kept until no callback of it can run any more (:func:`bury`).
- ``close`` of connections and channels, ``send``, ``receive``, descriptions, states and counts are safe.
- with data channels, ``close`` of a connection waits for the other side: 12.7 s where that did not answer. So a
  thread of its own calls it (:func:`close_apart`).
- describing a connection waits for a certificate from the same threads, unless there is one: see
  :func:`playback.native.network.own_certificate`.
- a callback for ``buffered amount low`` would run in the lock of ``send``, so there is none.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

LINGER_SECONDS: Final = 1.0
"""How long an object is kept after its close. Its last callbacks are called at the close, and only post to the loop."""

_buried: Final[deque[tuple[float, Any]]] = deque()
_lock: Final = threading.Lock()


def close(connection: Any, others: Sequence[Any]) -> None:
    """Close a connection, and keep it and its other objects for a while."""
    connection.close()
    bury((connection, others))


def close_apart(connection: Any, others: Sequence[Any]) -> threading.Thread:
    """Do that in a thread, which the process waits for at its end."""
    thread = threading.Thread(target=close, args=(connection, others), name="playback-native-close")
    thread.start()
    return thread


def bury(native: Any) -> None:
    """Keep a closed object for a while, and drop it then."""
    with _lock:
        _buried.append((time.monotonic() + LINGER_SECONDS, native))
    sweep()


def sweep() -> None:
    """Drop what has been kept for long enough."""
    now = time.monotonic()
    dropped = []
    with _lock:
        while _buried and _buried[0][0] <= now:
            dropped.append(_buried.popleft())
    # They end here, out of the lock.


@atexit.register
def _finish() -> None:
    """Drop them before the process ends: libdatachannel's own end would abort it, or hang, while one is closing."""
    if _buried:
        time.sleep(max(0.0, _buried[-1][0] - time.monotonic()))
        sweep()
