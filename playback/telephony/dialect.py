"""What a carrier's WebSocket says, as typed events, and how a user adds a carrier: the protocol :class:`Dialect`.

A dialect is pure: messages in, events out; commands in, messages out. It does no input or output, has no clock and no
buffer, so it can be tested with the messages of a carrier's documentation. Its only state is what the carrier's
``start`` said, so each call has a dialect of its own. :func:`~playback.telephony.session.answer` does everything else.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

from playback.audio.formats import AudioFormat, FormatError

Message = str | bytes
"""A message of a WebSocket: text or binary."""

KEYS: Final = frozenset("0123456789*#ABCD")
"""What a telephone's keypad can send (ITU-T Q.23)."""

RATES: Final = (8_000, 16_000, 24_000)
"""The rates of carriers, in Hz."""

ENCODINGS: Final = {
    "audio/x-mulaw": "mulaw",
    "pcmu": "mulaw",
    "audio/x-alaw": "alaw",
    "pcma": "alaw",
    "audio/x-l16": "s16le",
    "audio/l16": "s16le",
    "l16": "s16le",
}
"""The names that carriers give to encodings, in lower case, and ours."""

_ID: Final = re.compile(r"[\x21-\x7e]{1,512}")

# RFC 6455, section 7.4.1
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
INVALID_DATA: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

Value = TypeVar("Value")


class MessageError(ValueError):
    """A message that no carrier sends: it ends the call, and the socket is closed with this code and reason.

    Args:
        code: the close code of RFC 6455, such as :data:`INVALID_DATA`.
        reason: what was wrong, in at most 123 bytes; it has nothing from the message in it.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code: Final = code
        self.reason: Final = reason


@dataclass(frozen=True, slots=True)
class Started:
    """The stream has started; the first event of a call."""

    call_id: str
    """The carrier's id of the call: printable ASCII, without spaces."""
    incoming: AudioFormat
    """How the caller's audio is encoded."""
    outgoing: AudioFormat
    """How the carrier wants the agent's audio."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What the application gave to the carrier for this call. It comes from outside: escape it before you log it."""


@dataclass(frozen=True, slots=True)
class Media:
    """Audio of the caller, as the carrier encodes it."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class MarkPlayed:
    """All audio before a mark was played, or a clear has dropped it."""

    name: str


@dataclass(frozen=True, slots=True)
class Digit:
    """The caller has pressed a key."""

    key: str


@dataclass(frozen=True, slots=True)
class CarrierError:
    """The carrier reports an error; the call goes on."""

    text: str
    """Its words, escaped and shortened."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The stream has ended: the caller has hung up, or the carrier's program goes on."""


CarrierEvent = Started | Media | MarkPlayed | Digit | CarrierError | Stopped


@runtime_checkable
class Dialect(Protocol):
    """One carrier's messages. An object serves one call.

    Subclass :class:`JsonDialect` for a carrier that wraps audio into JSON as Twilio does; then what differs is a few
    lines.
    """

    @property
    def name(self) -> str:
        """The carrier, for logs and errors."""

    @property
    def has_marks(self) -> bool:
        """Whether the carrier reports what it has played. Without that, what was heard is known only by the clock."""

    def receive(self, message: Message) -> CarrierEvent | None:
        """What a message of the carrier says; None if there is nothing to do.

        Raises:
            MessageError: it is malformed, unknown, or of another stream.
        """

    def media(self, audio: bytes) -> Message:
        """The message that plays audio, 20 ms in the encoding of :attr:`Started.outgoing`."""

    def mark(self, name: str) -> Message:
        """The message that asks for a :class:`MarkPlayed` when all audio before it was played."""

    def clear(self) -> Message | None:
        """The message that drops what the carrier has not played yet; None if it has none."""


class JsonDialect:
    """What carriers with JSON messages after Twilio's pattern have in common: an ``event``, base64, one stream id.

    A subclass sets the names, and overrides what differs.
    """

    name = "carrier"
    has_marks = True
    stream_key: str = "streamSid"
    """The key of the stream's id in each message."""

    def __init__(self) -> None:
        self.stream_id: str | None = None
        """The id of the stream, once it has started."""

    def receive(self, message: Message) -> CarrierEvent | None:
        """What a message says; see :class:`Dialect`."""
        data = parse_object(message)
        event = take(data, "event", str)
        if event == "connected":
            return None
        if event == "start":
            if self.stream_id is not None:
                raise MessageError(PROTOCOL_ERROR, "a second start")
            self.stream_id = identifier(data, self.stream_key)
            return self.started(data)
        if event == "stop":  # also before a start, where a stream could not start
            return Stopped()
        if event == "error":
            return self.error(data)
        if self.stream_id is None:
            raise MessageError(PROTOCOL_ERROR, "expected a start first")
        if data.get(self.stream_key, self.stream_id) != self.stream_id:
            raise MessageError(POLICY, "a message of another stream")
        return self.during(event, data)

    def during(self, event: str, data: dict[str, Any]) -> CarrierEvent | None:
        """What a message within the stream says."""
        if event == "media":
            media = take(data, "media", dict)
            if media.get("track", "inbound") != "inbound":
                return None  # what the agent says itself
            return Media(decode_base64(take(media, "payload", str)))
        if event == "mark":
            return MarkPlayed(take(take(data, "mark", dict), "name", str))
        if event == "dtmf":
            return digit(take(data, "dtmf", dict))
        raise MessageError(UNSUPPORTED, "an unknown event")

    def started(self, data: dict[str, Any]) -> Started:
        """What a ``start`` says."""
        raise NotImplementedError

    def error(self, data: dict[str, Any]) -> CarrierEvent:  # noqa: ARG002 - for those that override it
        """What an ``error`` says, for carriers that have one."""
        raise MessageError(UNSUPPORTED, "an unknown event")

    def media(self, audio: bytes) -> Message:
        """The message that plays audio; see :class:`Dialect`."""
        return self.message("media", media={"payload": base64.b64encode(audio).decode()})

    def mark(self, name: str) -> Message:
        """The message that sets a mark; see :class:`Dialect`."""
        return self.message("mark", mark={"name": name})

    def clear(self) -> Message | None:
        """The message that drops what is not played yet; see :class:`Dialect`."""
        return self.message("clear")

    def message(self, event: str, **content: Any) -> str:
        """A message to the carrier."""
        return json.dumps({"event": event, self.stream_key: self.stream_id, **content}, separators=(",", ":"))


# What dialects read messages with


def parse_object(message: Message) -> dict[str, Any]:
    """The JSON object of a text message.

    Raises:
        MessageError: it is binary, no JSON or no object.
    """
    if not isinstance(message, str):
        raise MessageError(UNSUPPORTED, "expected text messages")
    try:
        data = json.loads(message)
    except (ValueError, RecursionError):
        raise MessageError(INVALID_DATA, "the message is not JSON") from None
    if not isinstance(data, dict):
        raise MessageError(INVALID_DATA, "the message is no JSON object")
    return data


def take(data: Mapping[str, Any], key: str, kind: type[Value]) -> Value:
    """The value of a key of a message.

    Args:
        data: the object.
        key: the key, for which the carrier's documentation promises a value.
        kind: its type.

    Raises:
        MessageError: there is none, or it is of another type.
    """
    value = data.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise MessageError(INVALID_DATA, f"{key} is missing or no {kind.__name__}")
    return value


def identifier(data: Mapping[str, Any], key: str) -> str:
    """An id in a message: printable ASCII without spaces, so that it can stand in a log.

    Raises:
        MessageError: it is something else.
    """
    value = take(data, key, str)
    if _ID.fullmatch(value) is None:
        raise MessageError(INVALID_DATA, f"{key} is no id")
    return value


def number(data: Mapping[str, Any], key: str) -> int:
    """A whole number in a message, which some carriers write as text.

    Raises:
        MessageError: it is something else.
    """
    value = data.get(key)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return int(value)
    return take(data, key, int)


def decode_base64(text: str) -> bytes:
    """The bytes of a payload.

    Raises:
        MessageError: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MessageError(INVALID_DATA, "the payload is not base64") from None


def audio_format(encoding: str, rate: int, channels: int = 1) -> AudioFormat:
    """The format that a carrier names.

    Args:
        encoding: its name, one of :data:`ENCODINGS` in any case.
        rate: in Hz, one of :data:`RATES`.
        channels: 1.

    Raises:
        MessageError: another encoding or rate, or more channels.
    """
    known = ENCODINGS.get(encoding.lower())
    if known is None or rate not in RATES or channels != 1:
        raise MessageError(UNSUPPORTED, "expected one channel of mu-law, A-law or L16 at 8, 16 or 24 kHz")
    try:
        return AudioFormat(rate, 1, known)
    except FormatError:  # pragma: no cover - the rates are checked above
        raise MessageError(UNSUPPORTED, "an unknown format") from None


def digit(data: Mapping[str, Any]) -> Digit:
    """The key of a ``dtmf`` message.

    Raises:
        MessageError: it is no key of a telephone.
    """
    key = take(data, "digit", str).upper()
    if key not in KEYS:
        raise MessageError(INVALID_DATA, "digit is no key of a telephone")
    return Digit(key)


def texts(data: object) -> dict[str, str]:
    """What an object has of keys with text: the parameters of an application."""
    return {key: value for key, value in data.items() if isinstance(value, str)} if isinstance(data, dict) else {}
