"""The demo's server as a program: it says where it is, and ends cleanly."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
import threading
import webbrowser
from unittest.mock import patch

import httpx
import numpy as np
import pytest

from playback.demo import server
from playback.demo.session import GOODBYE
from playback.serving import listening
from playback.serving.listening import LOOPBACK
from tests.demo.page import LOUD, Page, loopback

pytestmark = pytest.mark.portable

PROGRAM = "import sys; from playback.demo.server import run; sys.exit(run(port=0, open_browser=False))"


async def test_it_ends_cleanly_on_an_interrupt_with_a_session_under_way() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        line = (await process.stdout.readline()).decode()
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert address, line
        with loopback():
            async with httpx.AsyncClient(base_url=address[0]) as client:
                one = Page(client)
                assert (await one.offer()).status_code == 201
                await one.close()
        process.send_signal(signal.SIGINT)
        out, error = await process.communicate()
    assert (process.returncode, out, error) == (0, b"", b"")


async def test_it_says_goodbye_whole_when_it_is_to_end() -> None:
    """SIGTERM in mid-sentence: the sentence is finished, goodbye is heard to its end, and the exit code is 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        address = re.search(r"http://127\.0\.0\.1:\d+", (await process.stdout.readline()).decode())
        assert address
        with loopback():
            async with httpx.AsyncClient(base_url=address[0]) as client:
                one = Page(client)
                await one.connect()
                hearing = asyncio.create_task(one.hear_all())
                one.send("say", text="Your table is booked for eight.")
                await one.event("mark_reached", payload="table")
                process.send_signal(signal.SIGTERM)
                out, error = await process.communicate()
                await one.gone()
        await one.close()
        heard = await hearing
    assert (process.returncode, out, error) == (0, b"", b"")
    finished = [event["report"] for event in one.of("event") if event["name"] == "utterance_finished"]
    reports = {report["text"]: report for report in finished}
    assert [report["outcome"] for report in reports.values()] == ["completed", "completed"]
    assert list(reports) == ["Your table is booked for eight.", GOODBYE]
    # Whoever closes too early loses the end: what was loud has to be followed by the silence that was read behind it.
    loud = np.flatnonzero(np.abs(heard) > LOUD)
    said = sum(report["played"] for report in reports.values())
    assert loud[-1] - loud[0] > said - 0.5 * 48_000
    assert len(heard) - loud[-1] > 0.05 * 48_000


def test_it_ends_cleanly_on_an_interrupt_before_it_serves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "create_app", interrupted)
    assert server.run(port=0, open_browser=False) == 0
    assert "the demo is at http://127.0.0.1:" in capsys.readouterr().out


def test_an_address_that_cannot_be_had_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert server.run(port=port) == 1
    assert re.match(rf"playback: error: 127.0.0.1:{port} can't be had: Address already in use", capsys.readouterr().err)
    assert server.run("no.such.host.invalid", 0) == 1
    assert server.run(port=70_000) == 1


@pytest.mark.parametrize(("display", "opened"), [("", False), (":0", True)])
def test_a_browser_is_opened_only_where_it_is_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], display: str, opened: bool
) -> None:
    addresses: list[str] = []
    seen = threading.Event()

    def show(address: str) -> None:
        addresses.append(address)
        seen.set()

    def interrupted(self: object, sockets: object) -> None:
        if opened:
            seen.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(webbrowser, "open", show)
    monkeypatch.setattr("uvicorn.Server.run", interrupted)
    assert server.run(port=0) == 0
    assert bool(addresses) is opened
    assert all(address in capsys.readouterr().out for address in addresses)


def test_who_serves_everybody_is_warned_and_goes_by_all_names() -> None:
    assert listening.names_of("::1").count("::1") == 2
    assert {"localhost", socket.gethostname()} <= set(listening.names_of("0.0.0.0"))
    assert listening.shown("::1") == "[::1]"
    assert listening.shown("0.0.0.0") == "localhost"
    with (
        patch("socket.getaddrinfo", side_effect=socket.gaierror("it knows no such name")),
        patch.object(listening, "get_host_addresses", return_value=["192.0.2.7", "2001:db8::7"]),
    ):
        assert listening.names_of("::") == (*LOOPBACK, socket.gethostname(), "192.0.2.7", "2001:db8::7")
