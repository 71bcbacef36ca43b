"""Engine: what carries calls, as far as this package knows it, so that one may take the place of another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from aiortc import RTCIceServer

from playback.bargein.incoming import IncomingAudio
from playback.controller import PlaybackController
from playback.serving.sdp import Candidate


class ConnectionListener(Protocol):
    """Who is notified of what becomes of a connection, on the event loop."""

    def connected(self) -> None:
        """The caller can hear and be heard."""

    def disconnected(self) -> None:
        """The connection is over, or did not come up in time. Called at most once, also while it is closed."""

    def message(self, message: str | bytes) -> None:
        """The caller has sent a message over its data channel."""


class Connection(Protocol):
    """What carries one call."""

    @property
    def incoming(self) -> IncomingAudio | None:
        """What the caller says; None before the answer, and if the caller sends no audio."""

    async def answer(self, offer: str) -> str:
        """Take an offer, and begin to connect; called once.

        Args:
            offer: its SDP, checked by :func:`~playback.serving.sdp.check_offer`.

        Returns:
            The answer's SDP, with all candidates of this side.

        Raises:
            ValueError: the offer can't be answered; the connection has to be closed then.
        """

    async def add_candidate(self, candidate: Candidate) -> None:
        """Take a candidate of the caller, or learn that there are no more; what comes too late is ignored.

        Raises:
            ValueError: it is of no section of the offer.
        """

    def send(self, message: str | bytes) -> bool:
        """Send a message over the caller's data channel; one that was offered and is not open yet is waited for.

        Returns:
            False if there is none, or too much waits already.
        """

    async def close(self) -> None:
        """End it, and free all that it holds; while it answers, too."""


class Engine(Protocol):
    """Makes connections."""

    def open(self, controller: PlaybackController, listener: ConnectionListener) -> Connection:
        """Make the connection that plays a controller; it is closed with :meth:`Connection.close`.

        While the caller is lost, it pauses the controller.
        """


def stun_servers(urls: Iterable[str]) -> list[RTCIceServer]:
    """The STUN servers that an engine asks; none if there are no URLs.

    Raises:
        ValueError: a URL is not one of STUN.
    """
    urls = list(urls)
    if wrong := [url for url in urls if not url.startswith("stun:")]:
        raise ValueError(f"ice_servers has {wrong[0]!r}, expected URLs such as 'stun:stun.example.org:3478'")
    return [RTCIceServer(urls)] if urls else []
