"""A network on the way of a call that loses, repeats and reorders packets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.native.calls import HERE

Address = tuple[str, int]


class _Side(asyncio.DatagramProtocol):
    """One of its two sockets."""

    def __init__(self, relay: Relay) -> None:
        self.relay: Final = relay
        self.transport: Any = None
        self.far: Address | None = None
        """Where what comes at the other socket is sent to."""
        self.other: _Side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.far = addr
        self.relay.forward(data, self.other)

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])


@dataclass
class Relay:
    """What it does to packets of audio; those of ICE and DTLS it only loses.

    Attributes:
        lose: the share of packets that is lost.
        repeat: the share that comes twice.
        reorder: the share that comes 30 ms later, behind the one after it.
    """

    lose: float = 0.0
    repeat: float = 0.0
    reorder: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    counts: dict[str, int] = field(default_factory=lambda: {"lost": 0, "repeated": 0, "reordered": 0})

    def forward(self, data: bytes, to: _Side) -> None:
        if self.chance.random() < self.lose:
            self.counts["lost"] += 1
            return
        if not 128 <= data[0] < 192:  # RFC 7983: those are of RTP and RTCP
            self.send(data, to)
            return
        if self.chance.random() < self.reorder:
            self.counts["reordered"] += 1
            asyncio.get_running_loop().call_later(0.03, self.send, data, to)
            return
        self.send(data, to)
        if self.chance.random() < self.repeat:
            self.counts["repeated"] += 1
            self.send(data, to)

    def send(self, data: bytes, to: _Side) -> None:
        if to.far is not None and not to.transport.is_closing():
            to.transport.sendto(data, to.far)


@asynccontextmanager
async def relayed(relay: Relay, port: int) -> AsyncIterator[int]:
    """Put a relay before a port of this machine; gives the port at which it is reached instead."""
    loop = asyncio.get_running_loop()
    near, far = _Side(relay), _Side(relay)
    near.other, far.other = far, near
    far.far = (HERE, port)
    for side in (near, far):
        await loop.create_datagram_endpoint(lambda side=side: side, local_addr=(HERE, 0))  # type: ignore[misc]
    try:
        yield near.port
    finally:
        near.transport.close()
        far.transport.close()
