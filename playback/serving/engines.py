"""Engines by name: what may carry calls, and how each is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from playback.serving.aiortc_engine import AiortcEngine
from playback.serving.engine import Engine


def make_engine(name: str, urls: Sequence[str], udp_port: int | None = None) -> Engine:
    """Make an engine.

    Args:
        name: one of :data:`ENGINES`.
        urls: of the STUN and TURN servers that callers use; an engine uses those of STUN.
        udp_port: the one UDP port of all calls, for ``native``; None: one of its own for each call.

    Raises:
        ValueError: there is no such engine, what it needs is not installed, or it can't use an argument.
    """
    if name not in ENGINES:
        raise ValueError(f"engine is {name!r}, expected one of {', '.join(ENGINES)}")
    return ENGINES[name]([url for url in urls if url.startswith("stun:")], udp_port)


def _aiortc(urls: Sequence[str], udp_port: int | None) -> Engine:
    if udp_port is not None:
        raise ValueError(f"udp_port is {udp_port} with the engine 'aiortc', expected it with 'native' alone")
    return AiortcEngine(ice_servers=urls)


def _native(urls: Sequence[str], udp_port: int | None) -> Engine:
    try:
        from playback.serving.native_engine import NativeEngine
    except ImportError as error:
        raise ValueError(f"engine is 'native', which can't be used here: {error}") from error
    return NativeEngine(ice_servers=urls, udp_port=udp_port)


ENGINES: Final[Mapping[str, Callable[[Sequence[str], int | None], Engine]]] = {"aiortc": _aiortc, "native": _native}
"""What may carry calls: makes an engine from the URLs of STUN servers and a UDP port."""
