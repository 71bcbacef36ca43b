"""What a process that decodes a file sends: messages of a kind, a length and as many bytes.

Whoever wrote the file may have taken that process over, so nothing of a message is believed: its length is bounded, and
a block has to be what :func:`playback.audio.formats.parse` could have made.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import Enum
from typing import Final

import av

from playback.audio.formats import RATES, Block, FormatError, Layout


class Message(Enum):
    """The kinds of messages."""

    BLOCK = b"B"
    """Audio."""
    DAMAGE = b"D"
    """How many packets were skipped so far, and the last reason."""
    REST = b"R"
    """Why the rest of the file can't be read."""
    ERROR = b"E"
    """Why nothing can be decoded. It is the last one."""
    END = b"F"
    """The file is over. It is the last one."""


MOST_BYTES: Final = 8 * 2**20
"""More than the longest block has: 0.2 s at 384 kHz of 8 channels in samples of 8 bytes are 4.9 MB."""

_HEAD: Final = struct.Struct("<cI")
_BLOCK: Final = struct.Struct("<IIBB")
_COUNT: Final = struct.Struct("<I")
_SAMPLE_TYPES: Final = frozenset(("u8", "s16", "s32", "s64", "flt", "dbl"))
_MOST_DAMAGE: Final = 2**32 - 1


def pack(kind: Message, *parts: bytes | memoryview) -> bytes:
    """A message of these parts."""
    data = b"".join(parts)
    return _HEAD.pack(kind.value, len(data)) + data


def pack_block(block: Block) -> bytes:
    """A message with audio."""
    layout = block.layout
    channels, sample_type = layout.channels.encode(), layout.sample_type.encode()
    head = _BLOCK.pack(layout.sample_rate, block.samples, len(channels), len(sample_type))
    return pack(Message.BLOCK, head, channels, sample_type, block.read())


def pack_damage(count: int, reason: str) -> bytes:
    """A message with how much was skipped so far, and the last reason."""
    return pack(Message.DAMAGE, _COUNT.pack(min(count, _MOST_DAMAGE)), reason.encode("utf-8", "replace"))


def read_message(read: Callable[[int], bytes]) -> tuple[Message, bytes] | None:
    """Read a message.

    Args:
        read: gives the next bytes, as many as asked for; fewer only at the end.

    Returns:
        Its kind and its bytes; None where they end before it is whole.

    Raises:
        FormatError: it is no message.
    """
    head = read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    name, size = _HEAD.unpack(head)
    try:
        kind = Message(name)
    except ValueError:
        raise FormatError(f"a message of kind {name!r}, expected a known one") from None
    if size > MOST_BYTES:
        raise FormatError(f"a message of {size} bytes, expected at most {MOST_BYTES}")
    data = read(size)
    return (kind, data) if len(data) == size else None


def unpack_block(data: bytes) -> Block:
    """The audio of a message.

    Raises:
        FormatError: it is not what it says.
    """
    try:
        rate, samples, *widths = _BLOCK.unpack_from(data)
        at = _BLOCK.size
        channels = data[at : at + widths[0]].decode("ascii")
        sample_type = data[at + widths[0] : at + sum(widths)].decode("ascii")
        width = av.AudioFormat(sample_type).bytes * av.AudioLayout(channels).nb_channels
    except (struct.error, ValueError) as error:
        raise FormatError(f"a block that can't be read: {error}") from None
    audio = memoryview(data)[at + sum(widths) :]
    if rate not in RATES or sample_type not in _SAMPLE_TYPES or not samples or len(audio) != samples * width:
        raise FormatError(f"a block of {samples} samples of {sample_type[:20]} at {rate} Hz in {len(audio)} bytes")
    return Block(Layout(rate, channels, sample_type, width), audio, samples)


def unpack_damage(data: bytes) -> tuple[int, str]:
    """How much was skipped so far, and the last reason.

    Raises:
        FormatError: it is not what it says.
    """
    if len(data) < _COUNT.size:
        raise FormatError(f"a count in {len(data)} bytes, expected {_COUNT.size}")
    return _COUNT.unpack_from(data)[0], data[_COUNT.size :].decode("utf-8", "replace")
