"""The adapters of real WebSockets: of Starlette behind uvicorn, of websockets, and of aiohttp."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from playback.telephony import AiohttpSocket, Socket, SocketClosedError, StarletteSocket, WebsocketsSocket
from tests.needs import need_module

for module, package in (
    ("websockets", "the extra telephony"),
    ("uvicorn", "the extra telephony"),
    ("aiohttp", "aiohttp"),
):
    need_module(module, package, for_module=True)

import uvicorn  # noqa: E402
from aiohttp import web  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.routing import WebSocketRoute  # noqa: E402
from starlette.websockets import WebSocket  # noqa: E402
from websockets.asyncio.client import ClientConnection, connect  # noqa: E402
from websockets.asyncio.server import ServerConnection, serve  # noqa: E402
from websockets.exceptions import ConnectionClosed  # noqa: E402

Handler = Callable[[Socket], Awaitable[None]]


@asynccontextmanager
async def websockets_server(handle: Handler) -> AsyncIterator[str]:
    async def handler(connection: ServerConnection) -> None:
        await handle(WebsocketsSocket(connection))

    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@asynccontextmanager
async def starlette_server(handle: Handler) -> AsyncIterator[str]:
    async def handler(websocket: WebSocket) -> None:
        await websocket.accept()
        await handle(StarletteSocket(websocket))

    app = Starlette(routes=[WebSocketRoute("/", handler)])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def aiohttp_server(handle: Handler) -> AsyncIterator[str]:
    async def handler(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await handle(AiohttpSocket(response))
        return response

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await web.SockSite(runner, listener).start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            await runner.cleanup()


each_server = pytest.mark.parametrize("server", [websockets_server, starlette_server, aiohttp_server])


async def closed(client: ClientConnection) -> tuple[int, str]:
    """Wait until a connection is closed; its code and reason."""
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert client.close_code is not None
    assert client.close_reason is not None
    return client.close_code, client.close_reason


@each_server
async def test_messages_go_both_ways_and_a_close_has_its_reason(server: Callable[[Handler], Any]) -> None:
    async def echo(socket: Socket) -> None:
        assert isinstance(socket, Socket)
        for _ in range(2):
            message = await socket.receive()
            assert message is not None
            await socket.send(message)
        await socket.close(1008, "expected something else")
        await socket.close(1008, "a second time")

    async with server(echo) as url, connect(url) as client:
        for message in ('{"event":"start"}', b"\x00\xff"):
            await client.send(message)
            assert await client.recv() == message
        assert await closed(client) == (1008, "expected something else")


@each_server
async def test_a_socket_that_the_other_side_closes_has_no_more_messages(server: Callable[[Handler], Any]) -> None:
    seen: asyncio.Queue[object] = asyncio.Queue()

    async def take(socket: Socket) -> None:
        seen.put_nowait(await socket.receive())
        seen.put_nowait(await socket.receive())
        try:
            for _ in range(1_000):
                await socket.send("x" * 1_000)
                await asyncio.sleep(0)
        except SocketClosedError as error:
            seen.put_nowait(type(error))
        await socket.close(1000, "")
        seen.put_nowait("over")

    async with server(take) as url:
        async with connect(url) as client:
            await client.send("the last")
        async with asyncio.timeout(10):
            assert [await seen.get() for _ in range(4)] == ["the last", None, SocketClosedError, "over"]


@each_server
async def test_a_connection_that_is_lost_has_no_more_messages(server: Callable[[Handler], Any]) -> None:
    seen: asyncio.Queue[object] = asyncio.Queue()

    async def take(socket: Socket) -> None:
        seen.put_nowait(await socket.receive())
        seen.put_nowait(await socket.receive())
        await socket.close(1011, "the socket broke")
        seen.put_nowait("over")

    async with server(take) as url:
        client = await connect(url)
        await client.send("the last")
        assert await seen.get() == "the last"
        client.transport.abort()
        async with asyncio.timeout(10):
            assert [await seen.get() for _ in range(2)] == [None, "over"]
