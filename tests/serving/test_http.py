"""Calls over HTTP: what is answered, and what is turned away."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest

from playback.serving.calls import Calls
from playback.serving.sdp import Candidate, Fragment
from playback.serving.settings import ServingSettings, turn_credentials
from tests.leftovers import settled
from tests.serving import agents
from tests.serving.callers import SDP, Caller, HttpCaller, serving

pytestmark = pytest.mark.portable

TOKEN = "a-token-of-the-tests"
FRAGMENT = {"content-type": "application/trickle-ice-sdpfrag"}
CANDIDATE = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"


async def test_a_call_begins_with_an_answer_and_ends_with_a_delete() -> None:
    calls = Calls(agents.talk)
    caller = HttpCaller()
    async with serving(calls) as address, httpx.AsyncClient(base_url=address) as client:
        response = await caller.call(client)
        assert response.headers["content-type"] == "application/sdp"
        assert re.fullmatch(r"/whep/[\w-]{32}", caller.location)
        assert response.headers["cache-control"] == "no-store"
        await caller.hears()
        assert (await client.delete(caller.location)).status_code == 200
        assert not len(calls)
        assert (await client.delete(caller.location)).status_code == 404
        await caller.gone()
        for method in ("GET", "PUT", "POST"):
            assert (await client.request(method, caller.location)).status_code == 405
        await caller.close()


async def test_candidates_are_trickled() -> None:
    """The offer names none of the caller's addresses: they come by PATCH."""
    calls = Calls(agents.talk)
    caller = HttpCaller()
    async with serving(calls) as address, httpx.AsyncClient(base_url=address) as client:
        offer = await caller.offer()
        bare = "".join(line for line in offer.splitlines(keepends=True) if "candidate" not in line)
        response = await client.post("/whep", content=bare, headers=SDP)
        assert response.status_code == 201
        assert response.headers["accept-patch"] == "application/trickle-ice-sdpfrag"
        location, tag = response.headers["location"], response.headers["etag"]
        lines = [line for line in offer.splitlines() if re.match(r"a=(ice-|mid|candidate|end-of)", line)]
        fragment = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" + "\r\n".join(lines) + "\r\n"

        async def patch(body: str = fragment, **headers: str) -> int:
            return (await client.patch(location, content=body, headers={**FRAGMENT, **headers})).status_code

        assert await patch() == 428
        assert await patch(**{"if-match": '"other"'}) == 412
        assert await patch(**{"if-match": "*"}) == 422
        assert await patch("a=mid:0", **{"if-match": tag}) == 400
        assert await patch("a=ice-ufrag:else\r\n", **{"if-match": tag}) == 412
        assert await patch(**{"if-match": tag, "content-type": "text/plain"}) == 415
        assert await patch(**{"if-match": tag}) == 204
        assert await patch(**{"if-match": tag}) == 204  # again, and ignored
        await caller.answered(response.text)
        await caller.hears()
        await client.delete(location)
        assert await patch(**{"if-match": tag}) == 404
        await caller.close()


def without(section: str, offer: str) -> str:
    return re.sub(rf"(?s)m={section}.*?(?=m=|\Z)", "", offer)


async def test_what_is_no_offer_is_refused() -> None:
    calls = Calls(agents.talk)
    caller, silent = Caller(channel=True), Caller(direction="sendonly")
    async with serving(calls) as address, httpx.AsyncClient(base_url=address) as client:
        offer = await caller.offer()
        for body, status, error in (
            (b"", 400, "expected one audio"),
            (b"v=0\r\nm=", 400, "can't be read"),
            (b"\xff\xfe", 400, "no UTF-8"),
            (without("audio", offer).encode(), 400, "the offer has application, expected one audio"),
            (offer.replace("m=audio", "m=video").encode(), 400, "expected one audio"),
            ((await silent.offer()).encode(), 400, "expected sendrecv or recvonly"),
            (re.sub(r"a=fingerprint.*\r\n", "", offer).encode(), 400, "fingerprint"),
            (re.sub(r"a=ice-ufrag.*\r\n", "", offer).encode(), 400, "ICE credentials"),
            (offer.encode() + b"a=x\r\n" * 20_000, 413, "more than 65536 bytes"),
            (b"v" * 10_000_000, 413, "more than 65536 bytes"),
        ):
            response = await client.post("/whep", content=body, headers=SDP)
            assert (response.status_code, error in response.json()["error"]) == (status, True), response.text
            assert not len(calls)
        assert (await client.post("/whep", content=offer)).status_code == 415
        assert (await client.get("/whep")).status_code == 405
        missing = await client.get("/nothing")
        assert (missing.status_code, "/whep" in missing.text) == (404, True)
        await caller.close()
        await silent.close()


async def test_strangers_are_turned_away() -> None:
    calls = Calls(agents.talk)
    caller = HttpCaller()
    settings = ServingSettings(token=TOKEN)
    async with serving(calls, settings) as address, httpx.AsyncClient(base_url=address) as client:
        assert (await caller.call(client)).status_code == 401
        assert (await client.options("/whep")).status_code == 401
        assert (await client.delete("/whep/key")).status_code == 401
        assert (await client.patch("/whep/key")).status_code == 401
        client.headers["authorization"] = f"Bearer {TOKEN}"
        assert (await client.post("/whep", headers={"host": "elsewhere.example"})).status_code == 403
        assert (await client.post("/whep", headers={"origin": "http://elsewhere.example"})).status_code == 403
        assert (await caller.call(client)).status_code == 201
        await caller.close()


async def test_calls_do_not_begin_too_fast() -> None:
    async with (
        serving(Calls(agents.talk), ServingSettings(calls_per_second=0.5)) as address,
        httpx.AsyncClient(base_url=address) as client,
    ):
        statuses = [(await client.post("/whep", content=b"", headers=SDP)).status_code for _ in range(2)]
    assert statuses == [400, 429]


async def test_any_host_may_be_allowed() -> None:
    async with (
        serving(Calls(agents.talk), ServingSettings(allowed_hosts=None)) as address,
        httpx.AsyncClient(base_url=address) as client,
    ):
        assert (await client.get("/health", headers={"host": "elsewhere.example"})).status_code == 200


async def test_servers_of_ice_are_named_in_headers() -> None:
    urls = ("stun:stun.example.org:3478", "turn:turn.example.org:3478?transport=tcp")
    settings = ServingSettings(ice_servers=urls, turn_secret="secret of coturn")
    async with serving(Calls(agents.talk), settings) as address, httpx.AsyncClient(base_url=address) as client:
        response = await client.options("/whep")
    assert response.status_code == 204
    stun, turn = response.headers.get_list("link")
    assert stun == '<stun:stun.example.org:3478>; rel="ice-server"'
    assert re.fullmatch(
        r'<turn:turn\.example\.org:3478\?transport=tcp>; rel="ice-server"; username="\d+:playback"; '
        r'credential="[\w+/=]{28}"; credential-type="password"',
        turn,
    )


def test_credentials_of_turn_are_those_of_its_rest_api() -> None:
    """Compared with: echo -n 1000003600:playback | openssl dgst -sha1 -hmac secret -binary | base64."""
    assert turn_credentials("secret", now=1_000_000_000.0) == ("1000003600:playback", "mtqPVJUkibVyPE1kogXvV6hRObs=")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"token": "short"}, "token has 5 characters"),
        ({"calls_per_second": 0.0}, "calls_per_second is 0"),
        ({"sockets": 0}, "sockets"),
        ({"ice_servers": ("http://x",)}, "expected URLs such as"),
        ({"ice_servers": ('turn:x">',), "turn_secret": "s"}, "expected URLs such as"),
        ({"ice_servers": ("turn:x",)}, "expected turn_secret"),
    ],
)
def test_settings_are_checked(wrong: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        ServingSettings(**wrong)


@pytest.mark.parametrize(
    "text", ["candidate:", "candidate:1 1 udp x 127.0.0.1 9 typ host", "x" * 600, CANDIDATE.replace("127.0.0.1", "a.b")]
)
def test_candidates_are_checked(text: str) -> None:
    with pytest.raises(ValueError, match="expected candidate"):
        Candidate(text, "0")


def test_a_candidate_has_a_section_and_may_hide_its_address() -> None:
    with pytest.raises(ValueError, match="expected sdpMid or sdpMLineIndex"):
        Candidate(CANDIDATE)
    hidden = Candidate(CANDIDATE.replace("127.0.0.1", "0c8f-00.local"), "0")
    assert hidden.disclosed("192.0.2.1").text == CANDIDATE.replace("127.0.0.1", "192.0.2.1")
    assert Candidate("").disclosed("192.0.2.1") == Candidate("")


def test_a_fragment_has_only_so_many_candidates() -> None:
    fragment = Fragment.parse(f"a=ice-ufrag:u\nm=audio 9 x 0\na=mid:a\na={CANDIDATE}\nm=audio 9 x 0\na={CANDIDATE}")
    assert [(each.mid, each.index) for each in fragment.candidates] == [("a", 0), (None, 1)]
    with pytest.raises(ValueError, match="41 candidates"):
        Fragment.parse("a=ice-ufrag:u\n" + f"a={CANDIDATE}\n" * 41)


async def test_many_requests_at_once_are_all_answered() -> None:
    calls = Calls(agents.talk, max_calls=2)
    caller = Caller()
    async with serving(calls, ServingSettings(calls_per_second=100.0)) as address:
        async with httpx.AsyncClient(base_url=address) as client:
            offer = await caller.offer()
            answers = await asyncio.gather(*(client.post("/whep", content=offer, headers=SDP) for _ in range(8)))
            assert sorted(answer.status_code for answer in answers) == [201] * 2 + [503] * 6
        await caller.close()
        for live in [*calls._calls]:
            await calls.end(live)
        await settled(lambda: not len(calls), lambda: len(calls))
