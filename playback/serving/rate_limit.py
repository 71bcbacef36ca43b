"""Places: how many of something an address may have at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final


@dataclass(eq=False, slots=True)
class _Place:
    until: float


class Places:
    """Places of each address: so many at a time, each until it is given back or its time is over.

    Args:
        most: how many an address has.
        seconds: how long a place is held at most.
        clock: seconds, from any beginning.
    """

    def __init__(self, most: int, seconds: float, clock: Callable[[], float]) -> None:
        self._most: Final = most
        self._seconds: Final = seconds
        self._clock: Final = clock
        self._held: dict[str, list[_Place]] = {}

    def __len__(self) -> int:
        """How many are held."""
        return sum(map(len, self._held.values()))

    def take(self, address: str | None) -> Callable[[], None] | None:
        """Take a place.

        Args:
            address: whose, as :func:`network` names it.

        Returns:
            What gives it back, once; None if the address has no place left.
        """
        now = self._clock()
        kept = {each: [place for place in held if place.until > now] for each, held in self._held.items()}
        self._held = {each: held for each, held in kept.items() if held}
        key = network(address)
        held = self._held.setdefault(key, [])
        if len(held) >= self._most:
            return None
        place = _Place(now + self._seconds)
        held.append(place)

        def give_back() -> None:
            with suppress(ValueError):
                self._held.get(key, []).remove(place)

        return give_back


def network(address: str | None) -> str:
    """Whose an address is: of IPv6 its first 64 bits, which is what one customer has, of all else the address."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return address or ""
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ip_network((int(parsed) >> 64 << 64, 64)))
