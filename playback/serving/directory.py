"""Directory: where calls are that run in other processes, and what is asked of them.

One process has it. A host, which is a process with calls, asks it again and again what is to be done, and says each
time which calls it has: so a directory that was started anew knows them again. Who holds a call's socket asks it when
the call is over. It knows nothing of Ray; :mod:`playback.serving.ray` puts it into a deployment.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from playback.serving.call import EndReason
from playback.serving.sdp import Candidate

POLL_SECONDS: Final = 3.0
"""How long a question waits for its answer before it has to be asked again."""

LOST_SECONDS: Final = 30.0
"""After how long without a question a host is lost, and its calls with it."""

MOST_ENDED: Final = 10_000
"""How many calls that are over are remembered."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is to be done with a call."""

    key: str
    """Which call."""
    kind: Literal["candidate", "attach", "detach", "end"]
    """What."""
    candidate: Candidate | None = None
    """The candidate."""
    generation: int = 0
    """Which socket."""


Followed = tuple[Literal["over"], EndReason] | tuple[Literal["superseded", "wait"], None]


@dataclass(slots=True)
class _Host:
    seen: float
    commands: list[Command] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Entry:
    host: str
    generation: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Directory:
    """The calls of all hosts."""

    def __init__(self, poll_seconds: float = POLL_SECONDS, lost_seconds: float = LOST_SECONDS) -> None:
        self._poll_seconds: Final = poll_seconds
        self._lost_seconds: Final = lost_seconds
        self._hosts: Final[dict[str, _Host]] = {}
        self._entries: Final[dict[str, _Entry]] = {}
        self._ended: Final[OrderedDict[str, EndReason]] = OrderedDict()
        self._begun: float | None = None

    # Of hosts

    async def register(self, host: str, key: str) -> None:
        """A host has a call."""
        self._seen(host, [key])

    async def collect(self, host: str, keys: list[str]) -> list[Command]:
        """What is to be done: waits until there is something, but not longer than it takes to be asked again.

        Args:
            host: who asks.
            keys: the calls that it has.
        """
        mine = self._seen(host, keys)
        if not mine.commands:
            mine.more.clear()
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await mine.more.wait()
            except TimeoutError:
                pass
        mine.seen = _now()
        commands, mine.commands = mine.commands, []
        return commands

    async def over(self, key: str, reason: EndReason) -> None:
        """A call is over; the first reason counts."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            entry.changed.set()
        if key not in self._ended:
            self._ended[key] = reason
            while len(self._ended) > MOST_ENDED:
                self._ended.popitem(last=False)

    # Of who holds sockets

    async def command(self, key: str, kind: Literal["candidate", "end"], candidate: Candidate | None = None) -> bool:
        """Have something done with a call.

        Returns:
            False if there is no such call.
        """
        return self._command(Command(key, kind, candidate))

    async def attach(self, key: str) -> int | None:
        """Give a call another socket.

        Returns:
            The number of the socket; None if there is no such call.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.generation += 1
        entry.changed.set()
        entry.changed = asyncio.Event()
        self._command(Command(key, "attach", generation=entry.generation))
        return entry.generation

    async def detach(self, key: str, generation: int) -> None:
        """A socket is gone; nothing happens if the call has another one."""
        entry = self._entries.get(key)
        if entry is not None and entry.generation == generation:
            self._command(Command(key, "detach", generation=generation))

    async def follow(self, key: str, generation: int) -> Followed:
        """What has become of a call with this socket; waits as :meth:`collect`, and "wait" has to be asked again."""
        deadline = _now() + self._poll_seconds
        while True:
            if key in self._ended:
                return "over", self._ended[key]
            entry = self._entries.get(key)
            host = None if entry is None else self._hosts[entry.host]
            if _now() - (self._age() if host is None else host.seen) > self._lost_seconds:
                await self.over(key, "lost")
                continue
            if entry is not None:
                if entry.generation > generation:
                    return "superseded", None
                entry.generation = generation  # of a directory that was started anew
            left = deadline - _now()
            if left <= 0:
                return "wait", None
            changed = asyncio.Event() if entry is None else entry.changed
            try:
                async with asyncio.timeout(min(left, 1.0)):
                    await changed.wait()
            except TimeoutError:
                continue

    def _seen(self, host: str, keys: Iterable[str]) -> _Host:
        self._age()
        mine = self._hosts.setdefault(host, _Host(_now()))
        mine.seen = _now()
        for key in keys:
            if key not in self._ended and key not in self._entries:
                self._entries[key] = _Entry(host)
        used = {entry.host for entry in self._entries.values()}
        for name in [name for name, each in self._hosts.items() if _now() - each.seen > 2 * self._lost_seconds]:
            if name not in used:
                del self._hosts[name]
        return mine

    def _command(self, command: Command) -> bool:
        entry = self._entries.get(command.key)
        if entry is None:
            return False
        host = self._hosts[entry.host]
        host.commands.append(command)
        host.more.set()
        return True

    def _age(self) -> float:
        """When it began."""
        if self._begun is None:
            self._begun = _now()
        return self._begun


def _now() -> float:
    return asyncio.get_running_loop().time()
