"""``playback phone``: who is let in, what answers a call, and what the command takes."""

from __future__ import annotations

import asyncio
import base64
import hmac
from pathlib import Path
from typing import Any

import pytest

from tests.needs import need_module

for module in ("starlette", "httpx", "uvicorn", "websockets"):
    need_module(module, "the extra telephony", for_module=True)

import httpx  # noqa: E402
from starlette.applications import Starlette  # noqa: E402

from playback.cli import main  # noqa: E402
from playback.telephony import PhoneCall  # noqa: E402
from playback.telephony.server import PhoneSettings, create_app  # noqa: E402
from tests.telephony.shapes import TelnyxSide, TwilioSide, VonageSide  # noqa: E402

TOKEN = "a secret of the account"
THERE = "192.0.2.7"


async def agent(call: PhoneCall) -> None:
    """Waits for a key."""
    async for _ in call.dtmf:
        return


def app(**settings: Any) -> Starlette:
    """A server."""
    return create_app(agent, PhoneSettings(**settings))


class Connection:
    """A WebSocket of a client, by the messages of ASGI."""

    def __init__(
        self, app: Starlette, path: str, *, client: str = "127.0.0.1", host: str = "localhost", **headers: str
    ) -> None:
        path, _, query = path.partition("?")
        names = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in names.items()],
            "client": (client, 50_000),
            "server": (host, 80),
            "subprotocols": [],
        }
        self._there: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._here: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task = asyncio.create_task(app(scope, self._there.get, self._take))
        self.say("connect")

    async def _take(self, message: Any) -> None:
        self._here.put_nowait(message)

    def say(self, kind: str, **content: Any) -> None:
        """Send a message."""
        self._there.put_nowait({"type": f"websocket.{kind}", **content})

    async def until(self, *kinds: str) -> dict[str, Any]:
        """The next message that is of one of these kinds."""
        async with asyncio.timeout(10):
            while (message := await self._here.get())["type"] not in {f"websocket.{kind}" for kind in kinds}:
                pass
        return message

    async def is_let_in(self) -> bool:
        """Whether it is accepted; it is over then."""
        let_in: bool = (await self.until("accept", "close"))["type"] == "websocket.accept"
        self.say("disconnect", code=1000)
        await self.task
        return let_in


def sign(url: str, **form: str) -> str:
    """Twilio's signature."""
    text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return base64.b64encode(hmac.digest(TOKEN.encode(), text.encode(), "sha1")).decode()


each_path = pytest.mark.parametrize("path", ["/twilio", "/telnyx", "/vonage"])


@each_path
async def test_this_machine_calls_without_a_secret_and_nobody_else(path: str) -> None:
    assert await Connection(app(), path).is_let_in()
    assert not await Connection(app(), path, client=THERE).is_let_in()
    assert not await Connection(app(), path, host="example.com").is_let_in(), "through a tunnel"
    assert not await Connection(app(), path, x_forwarded_for=THERE).is_let_in(), "through a proxy"


@pytest.mark.parametrize(
    ("path", "side"), [("/twilio", TwilioSide()), ("/telnyx", TelnyxSide()), ("/vonage", VonageSide())]
)
async def test_each_path_speaks_its_dialect(path: str, side: TwilioSide) -> None:
    connection = Connection(app(), path)
    for message in (*side.start(), side.dtmf("1")):
        connection.say("receive", text=message)
    assert (await connection.until("close"))["code"] == 1000
    await connection.task


async def test_twilio_is_let_in_by_its_signature_of_the_public_url() -> None:
    server = app(secrets={"twilio": TOKEN}, public_url="https://example.com/")

    async def knock(**headers: str) -> bool:
        return await Connection(server, "/twilio", client=THERE, host="10.0.0.1:8080", **headers).is_let_in()

    assert await knock(x_twilio_signature=sign("wss://example.com/twilio"))
    assert not await knock(x_twilio_signature=sign("wss://example.org/twilio"))
    assert not await knock()
    assert not await Connection(server, "/twilio").is_let_in(), "this machine, too, where there is a secret"


async def test_the_webhook_of_twilio_is_answered_with_its_socket() -> None:
    def client(address: str, **settings: Any) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app(**settings), client=(address, 50_000))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost")

    form = {"CallSid": "CA1", "From": "+14158675309"}
    signed = {"x-twilio-signature": sign("https://example.com/twilio?a=%26b", **form)}
    async with client(THERE, secrets={"twilio": TOKEN}, public_url="https://example.com") as there:
        answer = await there.post("/twilio?a=%26b", data=form, headers=signed)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/xml")
        assert '<Connect><Stream url="wss://example.com/twilio?a=%26b" /></Connect>' in answer.text
        assert (await there.post("/twilio", data=form, headers=signed)).status_code == 403
        assert (await there.post("/twilio?a=%26b", data={**form, "From": "+1"}, headers=signed)).status_code == 403
    async with client("127.0.0.1") as here:
        assert (await here.post("/twilio", content=b"a" * 20_000)).status_code == 413
        assert 'url="ws://localhost/twilio"' in (await here.get("/twilio")).text


async def test_others_are_let_in_by_their_secret() -> None:
    server = app(secrets={"telnyx": TOKEN, "vonage": TOKEN})

    async def knock(path: str, **headers: str) -> bool:
        return await Connection(server, path, client=THERE, **headers).is_let_in()

    assert await knock("/telnyx", x_telnyx_streaming_auth_token=TOKEN)
    assert not await knock("/telnyx", x_telnyx_streaming_auth_token="a guess")
    assert not await knock("/telnyx")
    assert await knock(f"/vonage?token={TOKEN.replace(' ', '%20')}")
    assert not await knock("/vonage?token=a")
    assert not await knock("/vonage")


async def test_no_more_calls_than_are_allowed() -> None:
    server = app(most_calls=1)
    first = Connection(server, "/twilio")
    await first.until("accept")
    second = Connection(server, "/twilio")
    closed = await second.until("close")
    assert (closed["code"], closed["reason"]) == (1013, "too many calls")
    first.say("disconnect", code=1000)
    await first.task
    assert await Connection(server, "/twilio").is_let_in()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "expected module:function"),
        (["no_such_agent:agent"], "no module 'no_such_agent'"),
        (["a:b", "--public-url", "example.com"], "--public-url is 'example.com', expected https://"),
        (["a:b", "--most-calls", "0"], "--most-calls is 0"),
    ],
)
def test_what_is_wrong_with_the_command_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["phone", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    monkeypatch.chdir(tmp_path)
    (tmp_path / "another_agent.py").write_text("async def agent(call): ...\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: Any = taken.getsockname()[1]
        assert main(["phone", "another_agent:agent", "--port", str(port)]) == 1
    assert f"127.0.0.1:{port} can't be had" in capsys.readouterr().err
