"""The process that decodes one file from a stranger. Only :mod:`playback.audio.media.untrusted` starts it.

It reads the file from its standard input and writes messages to its standard output. Before it looks at the first byte,
it gives up what it does not need: it may open no file and no socket, start no process, and use only so much memory and
time. The kernel sees to that, whatever the file makes of the process.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from playback.audio.formats import FormatError
from playback.audio.media.blocks import Damage
from playback.audio.media.decoding import decode
from playback.audio.media.messages import Message, pack, pack_block, pack_damage

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

OUTPUT: Final = 1
"""Where the messages go."""

_MOST_REASON: Final = 300
"""Characters of an error."""


_SILENCE: Final = b".snd" + b"".join(number.to_bytes(4, "big") for number in (24, 8, 3, 8_000, 1)) + bytes(8)
"""A file of four samples: AU, 16 bits, 8 kHz, mono."""


class _Clock:
    """Limits the CPU time: so many seconds, and as many as the audio takes that came of it."""

    def __init__(self, seconds: int) -> None:
        self._allowed: Final = seconds
        self._audio = 0.0
        self._granted = 0
        self.grant(0.0)

    def grant(self, seconds: float) -> None:
        """Allow as much more: audio of this length was decoded. A file that decodes slower than it plays is no use."""
        self._audio += seconds
        limit = self._allowed + int(self._audio)
        if limit > self._granted:
            self._granted = limit
            _limit("RLIMIT_CPU", limit, hard=False)


def _limit(name: str, value: int, *, hard: bool = True) -> None:
    """Lower a limit of this process; never raise one that is lower already."""
    kind = getattr(resource, name, None)
    if kind is None:
        return
    most = resource.getrlimit(kind)[1]
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(kind, (value, value if hard else most))


def _confine(memory_bytes: int) -> None:
    if resource is None:
        return
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", 0)
    _limit("RLIMIT_NPROC", 0)
    try:
        with open("/proc/self/statm", "rb") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # no Linux: the address space of a process that has just begun is not known, and may be huge
        pass
    else:
        _limit("RLIMIT_AS", used + memory_bytes)
    # Nothing but the three that are open: also a file or a socket would need a number of its own.
    _limit("RLIMIT_NOFILE", 3)


def _send(message: bytes) -> None:
    left = memoryview(message)
    while left:
        left = left[os.write(OUTPUT, left) :]


def run(name: str, memory_bytes: int, cpu_seconds: int) -> None:
    """Decode the standard input.

    Args:
        name: what to call it in errors.
        memory_bytes: how much more memory it may use than it does now.
        cpu_seconds: how much CPU time it may use, besides as much as the audio takes.
    """
    list(decode(_SILENCE))  # what PyAV imports only when it opens a file can't be imported later
    file = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - it is not ours to close
    _confine(memory_bytes)
    clock, damage, reported = _Clock(cpu_seconds), Damage(), 0
    try:
        for block in decode(file, name=name, damage=damage):
            if damage.count > reported:
                reported = damage.count
                _send(pack_damage(reported, _reason(damage.last)))
            _send(pack_block(block))
            clock.grant(block.samples / block.layout.sample_rate)
    except MemoryError:
        last = pack(Message.ERROR, f"{name} needs more than {memory_bytes >> 20} MiB of memory".encode())
    except FormatError as error:
        last = pack(Message.ERROR, str(error)[: _MOST_REASON + len(name)].encode("utf-8", "replace"))
    else:
        last = pack(Message.END)
    if damage.count > reported:
        _send(pack_damage(damage.count, _reason(damage.last)))
    if damage.rest is not None:
        _send(pack(Message.REST, _reason(damage.rest).encode("utf-8", "replace")))
    _send(last)


def _reason(error: Exception | None) -> str:
    return str(error)[:_MOST_REASON]


def main(arguments: list[str]) -> None:
    """What the process does: a name, and the two limits."""
    try:
        run(arguments[0], int(arguments[1]), int(arguments[2]))
    except BrokenPipeError:  # whoever wanted this has gone
        os._exit(1)
    sys.stdout = None  # nothing is to be flushed
