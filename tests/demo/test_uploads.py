"""Whatever a page uploads: the server keeps its memory, opens nothing, and goes on with its calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest

from tests.audio.hostile import bombs, lists, mutations, truncations
from tests.audio.watching import Watch, watching
from tests.demo.page import Page, loopback
from tests.demo.test_commands import send_file, wav

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="inotify and /proc are Linux's"),
    pytest.mark.timeout(3_600),
]

MEMORY: Final = 300 * 2**20
TIMES: Final = int(os.environ.get("FUZZ_TIMES") or "1")
MUTATIONS: Final = 2_000


class Server:
    """The server as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, client: httpx.AsyncClient) -> None:
        self.client: Final = client
        self.peak = 0
        self.peak_with_decoders = 0
        self._process: Final = process
        self._watched: Final = psutil.Process(process.pid)

    async def lateness(self) -> dict[str, float]:
        """How late the frames of a call in it were since the last time, in ms."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        figures: dict[str, float] = json.loads(await self._process.stdout.readline())
        return figures

    def look(self) -> None:
        """Note its memory."""
        own = self._watched.memory_info().rss
        self.peak = max(self.peak, own)
        with contextlib.suppress(psutil.NoSuchProcess):
            decoders = sum(child.memory_info().rss for child in self._watched.children(recursive=True))
            self.peak_with_decoders = max(self.peak_with_decoders, own + decoders)

    def sockets(self) -> set[tuple[Any, ...]]:
        """What it and its decoders have open to a network, but for connections to its page."""
        found = set()
        for process in (self._watched, *self._watched.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                found |= {(c.type, c.laddr) for c in process.net_connections("inet") if c.status != "ESTABLISHED"}
        return found

    def files(self) -> set[str]:
        """The files that it has open."""
        return {file.path for file in self._watched.open_files()}

    def decoders(self) -> int:
        """How many processes decode for it."""
        return len([c for c in self._watched.children() if c.status() != psutil.STATUS_ZOMBIE])


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    program = str(Path(__file__).with_name("upload_server.py"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+", (await process.stdout.readline()).decode())
        assert address
        with loopback():
            async with httpx.AsyncClient(base_url=address[0]) as client:
                yield Server(process, client)
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 0


async def upload(server: Server, one: Page, name: str, data: bytes) -> str:
    """Upload a file, and drop it as soon as it sounds; what has become of it."""
    one.messages.clear()
    send_file(one, data, name, 65_536)

    def is_decided(message: dict[str, Any]) -> bool:
        return message["is"] == "refused" or message.get("name") in ("first_audio_byte", "utterance_finished")

    async with asyncio.timeout(60):
        while not any(map(is_decided, one.messages)):
            server.look()
            await asyncio.sleep(0.01)
    server.look()
    outcome = "refused" if one.of("refused") else "played"
    if outcome == "played":
        one.send("interrupt", force=True)
    await one.event("utterance_finished")
    return outcome


def corpus(watch: Watch, mutated: int) -> Iterator[tuple[str, bytes]]:
    """All that is uploaded: the seed of what is made up is fixed."""
    listed, bombed, cut = list(lists(watch.bait).items()), list(bombs().items()), list(truncations())
    everything = mutated >= MUTATIONS
    yield from listed if everything else listed[::6]
    yield from bombed if everything else bombed[::5]
    yield from cut if everything else cut[::40]
    yield from mutations(mutated, seed=2)


@pytest.mark.fuzz
async def test_uploads_of_strangers(tmp_path: Path, record_property: Any) -> None:
    mutated = 4 if TIMES == 1 else max(MUTATIONS, 50 * TIMES)
    with watching(tmp_path) as watch:
        async with serving() as server:
            one = Page(server.client)
            await one.connect()
            assert await upload(server, one, "a tone", wav()) == "played"  # all that is loaded once is loaded
            await server.lateness()
            await asyncio.sleep(1.0 if TIMES == 1 else 20.0)
            without = await server.lateness()
            sockets, files = server.sockets(), server.files()
            outcomes: dict[str, str] = {}
            for name, data in corpus(watch, mutated):
                outcomes[name] = await upload(server, one, name, data)
                assert server.sockets() == sockets, name
                assert server.files() == files, name
            under = await server.lateness()
            assert await upload(server, one, "a tone", wav()) == "played", "it goes on"
            async with asyncio.timeout(10):
                while server.decoders():  # noqa: ASYNC110 - nobody notifies
                    await asyncio.sleep(0.01)
            await one.close()
        assert [what for what in watch.opened() if "bait" in what or "connected" in what] == []
    played = sum(outcome == "played" for outcome in outcomes.values())
    assert all(outcomes[name] == "refused" for name in outcomes if name in lists(watch.bait))
    assert server.peak_with_decoders < MEMORY
    figures = {
        "files": len(outcomes),
        "played": played,
        "server_mb": server.peak >> 20,
        "server_and_decoders_mb": server.peak_with_decoders >> 20,
        "without": without,
        "with": under,
    }
    record_property("uploads", json.dumps(figures))
    print(json.dumps(figures))
