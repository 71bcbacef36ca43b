"""Decoding a file from a stranger in a process of its own, which has nothing to lose and little to use.

A file of a few kilobytes can make FFmpeg take gigabytes (a table of 80 million samples), or may make it crash. So the
decoder runs as :mod:`playback.audio.media.confined`: it gets the bytes, gives back blocks, and is limited in memory and
time by the kernel. It costs about 0.12 s of CPU and 45 MB for each file. Linux sees to all of the limits; macOS does
not limit the memory; Windows has none of them, so it is refused there.

Threads: one asks for blocks, and waits for them in :meth:`UntrustedDecoder.__next__`; a second one, of this module,
writes the bytes to the process, unless that reads a file itself. Any thread may :meth:`~UntrustedDecoder.kill`.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from io import BytesIO
from os import PathLike
from threading import Lock, Thread
from time import monotonic
from typing import Any, Final

from playback._child import exit_of, start
from playback.audio.formats import Block, FormatError
from playback.audio.media.blocks import Damage
from playback.audio.media.decoding import Source, is_seekable
from playback.audio.media.messages import Message, read_message, unpack_block, unpack_damage
from playback.audio.media.reader import Reader

MEMORY_BYTES: Final = 96 * 2**20
"""How much memory a decoder may use, besides the 45 MB of the process: enough for the 64 MiB of an MP4 stream whose
index comes last."""

CPU_SECONDS: Final = 10
"""How much CPU time it may use, besides as much as its audio takes when it plays."""

ANSWER_SECONDS: Final = 30.0
"""How long a decoder that has what it needs may take to its next block."""

_STEP: Final = 2**16

_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")
"""What the process gets of the environment: no passwords."""


class UntrustedDecoder:
    """The blocks of a file, decoded in a process that is started when the first one is asked for.

    It has to be closed, or iterated to its end. One thread iterates; any may kill.

    Args:
        source: a path, the bytes of a file, a binary file object, or a function that gives at most as many bytes as it
            is asked for, as ``read()`` does. A file object that can seek is read from its beginning.
        name: what to call it in errors.
        damage: counts what had to be skipped.

    Raises:
        RuntimeError: this system can't limit a process.
    """

    def __init__(
        self,
        source: Source | Callable[[int], bytes],
        *,
        name: str = "the audio",
        damage: Damage | None = None,
    ) -> None:
        check_system()
        self._source: Final[Any] = source
        self._name: Final = name
        self._damage: Final = damage or Damage()
        self._lock: Final = Lock()
        self._process: _Process | None = None
        self._is_killed = False
        self._is_over = False

    def __iter__(self) -> UntrustedDecoder:
        return self

    def __next__(self) -> Block:
        """The next block.

        Raises:
            OSError: the file can't be read.
            FormatError: it holds no audio that can be decoded, or takes more memory or time than it may.
        """
        if self._is_over or (self._process is None and not self._start()):
            raise StopIteration
        assert self._process is not None
        try:
            block = self._next(self._process)
        except BaseException:
            self.close()
            raise
        if block is None:
            self.close()
            raise StopIteration
        return block

    def kill(self) -> None:
        """End the process at once, from any thread, without waiting for it. The iteration ends."""
        with self._lock:
            self._is_killed = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process, and wait until it is gone. For the thread that iterates."""
        self.kill()
        self._is_over = True
        if self._process is not None:
            self._process.close()

    def _start(self) -> bool:
        """Start the process; False if it is not wanted any more.

        Raises:
            OSError: there is no such file, or no process can be started.
        """
        source = self._source
        if isinstance(source, (str, PathLike)):
            with open(source, "rb") as file:
                return self._begin(file, None)
        if isinstance(source, (bytes, bytearray, memoryview)):
            source = BytesIO(source)
        if is_seekable(source):
            source.seek(0)
        return self._begin(subprocess.PIPE, getattr(source, "read", source))

    def _begin(self, stdin: Any, read: Callable[[int], bytes] | None) -> bool:
        with self._lock:
            if not self._is_killed:
                self._process = _Process(stdin, self._name, read)
                weakref.finalize(self, self._process.close)  # where nobody closes it
            return self._process is not None

    def _next(self, process: _Process) -> Block | None:
        while True:
            try:
                message = read_message(process.output.read)
                block = self._understand(*message) if message is not None else None
            except FormatError as error:  # whoever sends such things is no decoder of ours
                raise FormatError(f"{self._name} can't be decoded: its decoder sent {error}") from None
            if block is not None:
                return block
            if message is None:
                self._died(process)
                return None
            kind, data = message
            if kind in (Message.END, Message.ERROR) and (failure := process.source_error) is not None:
                raise failure
            if kind is Message.ERROR:
                raise FormatError(data.decode("utf-8", "replace"))
            if kind is Message.END:
                return None

    def _understand(self, kind: Message, data: bytes) -> Block | None:
        """The audio of a message; or see what else it says of the file.

        Raises:
            FormatError: it is not what it says.
        """
        match kind:
            case Message.BLOCK:
                return unpack_block(data)
            case Message.DAMAGE:
                self._damage.count, reason = unpack_damage(data)
                self._damage.last = FormatError(reason)
            case Message.REST:
                self._damage.rest = FormatError(data.decode("utf-8", "replace"))
        return None

    def _died(self, process: _Process) -> None:
        """The process has ended in mid-file.

        Raises:
            FormatError: nobody here has ended it.
        """
        if self._is_killed:
            return
        if process.has_expired:
            reason = f"it took {ANSWER_SECONDS:g} s to its next block, expected less"
        elif (code := process.close()) == -getattr(signal, "SIGXCPU", 0):
            reason = f"it takes more CPU time than {CPU_SECONDS} s and its own length"
        else:
            reason = f"its decoder ended with {exit_of(code)}"
        raise FormatError(f"{self._name} can't be decoded: {reason}")


class _Process:
    """The process, and the thread that writes to it."""

    def __init__(self, stdin: Any, name: str, read: Callable[[int], bytes] | None) -> None:
        self.output: Final = Reader(self._receive)
        """What it sends."""
        self.has_expired = False
        """Whether it was ended because it took too long."""
        limits = str(MEMORY_BYTES), str(CPU_SECONDS)
        environment = {key: value for key in _ENVIRONMENT if (value := os.environ.get(key)) is not None}
        self._popen: Final = start(
            "playback.audio.media.confined",
            [name.replace("\0", " "), *limits],
            packages=["playback"],
            environment=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._popen.stdout is not None
        self._fd: Final = self._popen.stdout.fileno()
        self._poll: Final = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self._feed: Final = _Feed(read, self._popen.stdin, name) if read is not None else None

    @property
    def source_error(self) -> BaseException | None:
        """What the source has raised."""
        return self._feed.error if self._feed is not None else None

    def kill(self) -> None:
        """End it, without waiting for that."""
        self._popen.kill()

    def close(self) -> int:
        """End it; returns its exit code."""
        self._popen.kill()
        code = self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()
        return code

    def _receive(self, size: int) -> bytes:
        """What it has sent, at most so many bytes; nothing once it is gone."""
        began = monotonic()
        while not self._poll.poll(ANSWER_SECONDS * 1000 / 10):
            feed = self._feed
            if feed is not None and feed.is_reading:  # it may wait for more itself
                continue
            if monotonic() > max(began, feed.since if feed is not None else began) + ANSWER_SECONDS:
                self.has_expired = True
                return b""
        return os.read(self._fd, size)


class _Feed:
    """Writes what a source gives to a process, on a thread."""

    def __init__(self, read: Callable[[int], bytes], pipe: Any, name: str) -> None:
        self.error: BaseException | None = None
        """What the source has raised."""
        self.is_reading = True
        """Whether it waits for the source."""
        self.since = monotonic()
        """When the last bytes came."""
        Thread(target=self._run, args=(read, pipe), name=f"feeding {name}", daemon=True).start()

    def _run(self, read: Callable[[int], bytes], pipe: Any) -> None:
        try:
            while True:
                self.is_reading = True
                data = read(_STEP)
                self.since, self.is_reading = monotonic(), False
                if not isinstance(data, (bytes, bytearray, memoryview)):  # None, too, is no end
                    raise TypeError(
                        f"the file's read() gave a {type(data).__name__}, expected bytes: open it in binary mode"
                    )
                if not data:
                    break
                left = memoryview(data).cast("B")
                while left:
                    left = left[pipe.write(left) :]
        except BrokenPipeError:  # the process has ended
            pass
        except BaseException as error:  # whatever it is, it belongs to whoever asks for the next block
            self.error = error
        finally:
            self.is_reading = False
            pipe.close()


def check_system() -> None:
    """See that a process can be limited here.

    Raises:
        RuntimeError: it can't.
    """
    if not hasattr(select, "poll") or sys.platform == "win32":
        raise RuntimeError("untrusted files need a system that can limit a process, such as Linux")
