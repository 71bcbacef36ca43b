"""Service: what the server of signalling asks for, whether calls are in this process or in others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from playback.serving.call import CallRequest, EndReason
from playback.serving.sdp import Candidate


class FullError(Exception):
    """There are as many calls as there may be, or no new one is taken any more."""


class NoSuchCallError(LookupError):
    """There is no such call, or it is over."""


class SupersededError(Exception):
    """The call has another socket by now."""


@dataclass(frozen=True, slots=True)
class Started:
    """A call that has begun."""

    key: str
    """What who takes it up again or ends it has to know; it can't be guessed, and is in no log."""
    id: str
    """Its name in logs."""
    answer: str
    """The SDP of the answer."""


class Attachment(Protocol):
    """A socket of a call."""

    async def wait(self) -> EndReason:
        """Wait until the call is over.

        Raises:
            SupersededError: another socket has taken the call up.
        """

    async def detach(self) -> None:
        """The socket is gone: unless another one comes in time, the call ends."""


class Service(Protocol):
    """Calls, by their keys."""

    async def start(self, offer: str, request: CallRequest) -> Started:
        """Begin a call.

        Raises:
            ValueError: the offer can't be answered.
            FullError: there may be no more calls.
        """

    async def add_candidate(self, key: str, candidate: Candidate) -> None:
        """Take a candidate of a caller.

        Raises:
            NoSuchCallError: there is no such call.
            ValueError: it is of no section of the offer.
        """

    async def attach(self, key: str) -> Attachment:
        """Give a call a socket; one that it has is superseded.

        Raises:
            NoSuchCallError: there is no such call.
        """

    async def end(self, key: str) -> None:
        """End a call, and wait until it is over.

        Raises:
            NoSuchCallError: there is no such call.
        """

    def status(self) -> dict[str, int]:
        """How many calls there are, for a health check."""
