"""The demo's server at real sockets: clients that are slow, silent, many or gone hold nothing for long."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
import uvicorn

from playback.demo import server
from playback.demo.app import DemoSettings, create_app
from playback.serving.connections import BoundedProtocol
from playback.serving.rate_limit import Places, network
from tests.demo.page import PATIENCE_SECONDS, SDP, Page, loopback, served, settled, sockets

pytestmark = pytest.mark.portable

TOKEN = "a-token-of-the-tests"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}


class Impatient(BoundedProtocol):
    """The server's protocol, with less time and fewer connections."""

    exchange_seconds = 0.5
    most_per_address = 8


@asynccontextmanager
async def listening(settings: DemoSettings | None = None) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """The demo behind uvicorn in this loop; gives its port. At the end no connection is left."""
    held = sockets()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(settings), http=Impatient, ws="none", log_level="critical", lifespan="on")
    one = uvicorn.Server(config)
    task = asyncio.create_task(one._serve([listener]))
    await settled(lambda: one.started, lambda: "not started")
    try:
        yield listener.getsockname()[1], one
        await settled(lambda: not one.server_state.connections, lambda: one.server_state.connections)
    finally:
        one.should_exit = True
        await task
        listener.close()
    await settled(lambda: sockets() <= held, lambda: f"{sockets()} sockets, {held} before")


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the server has closed the connection."""
    data = b""
    async with asyncio.timeout(PATIENCE_SECONDS):
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                data += piece
    return data


async def drip(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send a little, for ever."""
    with suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (b"", None),
        (b"GET / HTTP/1.1\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"x: y\r\n"),
        (b"G", b""),
        (
            b"POST /whep HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 5000\r\n\r\n",
            b"v",
        ),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n", b"v"),
        (b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nv\r\n"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", b"a: b\r\n"),
    ],
)
async def test_a_request_that_comes_too_slowly_is_dropped(begin: bytes, more: bytes | None) -> None:
    async with listening() as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begin)
        dripping = asyncio.create_task(drip(writer, more or b""))
        await closed(reader)
        dripping.cancel()
        writer.close()


async def test_a_client_that_never_reads_is_dropped() -> None:
    async with listening() as (port, one):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
            request = b"GET /style.css HTTP/1.1\r\nHost: localhost\r\n\r\n"
            with suppress(BlockingIOError, ConnectionError):
                client.send(request * 1_000)
            await settled(lambda: one.server_state.total_requests > 0, lambda: "nothing was answered")
            await settled(lambda: not one.server_state.connections, lambda: one.server_state.connections)


async def test_a_half_open_connection_is_dropped_and_a_half_closed_one_too() -> None:
    async with listening() as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: local")
        writer.write_eof()
        assert await closed(reader) == b""
        writer.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with listening() as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for path in ("icon.svg", "nowhere", "icon.svg"):
            close = "Connection: close\r\n" if path == "" else ""
            writer.write(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n".encode())
        answers = await closed(reader)
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"404", b"200"]
        writer.close()


async def test_an_upgrade_to_a_websocket_is_a_request_like_any_other() -> None:
    async with listening() as (port, _), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        headers = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-key": "x",
            "sec-websocket-version": "13",
        }
        assert (await client.get("/", headers=headers)).status_code == 200


async def test_headers_that_are_too_long_are_not_kept() -> None:
    async with listening() as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        dripping = asyncio.create_task(drip(writer, b"x: " + b"y" * 20_000 + b"\r\n"))
        await closed(reader)
        dripping.cancel()
        writer.close()


async def test_one_address_has_only_so_many_connections() -> None:
    async with listening() as (port, one):
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
        await settled(lambda: len(one.server_state.connections) <= 8, lambda: len(one.server_state.connections))
        for reader, writer in opened:
            await closed(reader)
            writer.close()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/")).status_code == 200


# Sessions that nobody connects to


async def test_offers_of_one_address_do_not_take_all_sessions() -> None:
    app = create_app(DemoSettings(sessions_per_second=1_000, connect_seconds=1.0))
    async with served(app=app) as client:
        pages = [Page(client) for _ in range(8)]
        answers = [await one.offer() for one in pages]
        assert [answer.status_code for answer in answers] == [201] * 4 + [429] * 4
        assert answers[4].json() == {
            "error": "4 sessions of your address have not connected, expected to be asked again in 1 s"
        }
        assert answers[4].headers["retry-after"] == "1"
        elsewhere = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("192.0.2.1", 9)), base_url=client.base_url
        )
        other = Page(elsewhere)
        await other.connect()
        await settled(lambda: len(app.state.sessions) == 1, lambda: len(app.state.sessions))
        assert (await pages[7].offer()).status_code == 201
        for one in [*pages, other]:
            await one.close()
        await elsewhere.aclose()


async def test_pages_that_connect_take_no_place_of_those_that_do_not() -> None:
    async with served(DemoSettings(sessions_per_second=1_000, connecting_per_address=1)) as client:
        pages = [Page(client) for _ in range(3)]
        for one in pages:
            await one.connect()
            await one.close()


def test_a_place_is_given_back_once_or_when_its_time_is_over() -> None:
    now = 0.0
    places = Places(2, 10.0, lambda: now)
    first, second = places.take("192.0.2.1"), places.take("192.0.2.1")
    assert first is not None
    assert second is not None
    assert places.take("192.0.2.1") is None
    assert places.take("192.0.2.2") is not None
    first()
    first()
    assert len(places) == 2
    assert places.take("192.0.2.1") is not None
    assert places.take("192.0.2.1") is None
    now = 10.0
    for number in range(1_000):
        now += 1
        assert places.take(f"192.0.3.{number % 256}") is not None
    assert len(places) <= 11  # what is over is forgotten


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:0:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("unix:x", "unix:x", True),
        (None, "", True),
    ],
)
def test_the_addresses_of_one_customer_are_one(one: str | None, other: str | None, same: bool) -> None:
    assert (network(one) == network(other)) is same


# The token


@pytest.mark.parametrize(
    "given",
    [
        "",
        TOKEN,
        f"Basic {TOKEN}",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer \xff\xfe",
        "\0",
    ],
)
async def test_without_the_token_nothing_is_read_or_begun(given: str) -> None:
    app = create_app(DemoSettings(token=TOKEN))
    async with served(app=app) as client:
        headers = httpx.Headers({**SDP, "authorization": given}, encoding="latin-1")

        async def unread() -> AsyncIterator[bytes]:
            raise AssertionError("the body was read")
            yield b""

        for method, path, content in (("POST", "/whep", unread()), ("DELETE", "/whep/x", None)):
            response = await client.request(method, path, content=content, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert "this server wants its token" in response.json()["error"]
            assert TOKEN not in response.text
        assert (await client.get("/")).status_code == 200


async def test_with_the_token_a_session_begins() -> None:
    async with served(DemoSettings(token=TOKEN)) as client:
        client.headers.update(AUTHORIZED)
        one = Page(client)
        await one.connect()
        assert (await client.delete(one.location)).status_code == 200
        await one.close()


@pytest.mark.parametrize("token", ["", "x" * 15, "with a space in it", "ümlaute-in-a-token", "a-token\nof-two-lines"])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="expected 16 or more, all ASCII, no space"):
        DemoSettings(token=token)
    with pytest.raises(ValueError, match="token has"):
        server.run(port=0, open_browser=False, token=token)
    assert TOKEN not in repr(DemoSettings(token=TOKEN))


@pytest.mark.parametrize(
    ("host", "token", "printed"),
    [
        ("127.0.0.1", None, r"http://127\.0\.0\.1:\d+/ \("),
        ("127.0.0.1", TOKEN, rf"http://127\.0\.0\.1:\d+/#token={TOKEN} \("),
        ("0.0.0.0", None, r"http://localhost:\d+/#token=[\w-]{22} \("),
        ("0.0.0.0", TOKEN, rf"http://localhost:\d+/#token={TOKEN} \("),
    ],
)
def test_a_token_is_needed_where_others_can_reach_the_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str, token: str | None, printed: str
) -> None:
    made: list[DemoSettings] = []

    def app(settings: DemoSettings) -> Any:
        made.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "create_app", app)
    assert server.run(host, 0, open_browser=False, token=token) == 0
    out = capsys.readouterr().out
    assert re.search(printed, out), out
    assert (made[0].token is None) is ("#token" not in out)
    assert made[0].token is None or made[0].token in out
    assert ("others can reach it" in out) is (host == "0.0.0.0")


async def test_the_program_takes_its_token_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYBACK_DEMO_TOKEN", TOKEN)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "playback", "demo", "--port", "0", "--no-browser", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        address = re.search(r"http://\S+/", (await process.stdout.readline()).decode())
        assert address
        with loopback():
            async with httpx.AsyncClient(base_url=address[0]) as client:
                assert (await client.post("/whep", content=b"v=0", headers=SDP)).status_code == 401
                assert (await client.post("/whep", content=b"v=0", headers={**SDP, **AUTHORIZED})).status_code == 400
        process.terminate()
        await process.communicate()
